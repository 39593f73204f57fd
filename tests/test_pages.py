"""What an instructor does in JupyterLab after grading, and the pages that come of it, in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from lab_in_chromium import (
    chromium_without_errors,
    find_chromium,
    keep_screenshot,
    lab,
    nbgraders_menu,
    open_welcome,
    serious_faults,
)
from student_tree import make_instructors_tree

from autograder.batch import Options
from autograder.demo import fill_in, sample_class
from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import read_source
from autograder.report import write_report
from autograder.sample_guesses import add_guesses
from course_utils.system.tree import Tree, notebook_path

UNIT, STUDENT, QUESTION = "02_variational_autoencoders", "emil", "q_beta_zero"
# In pixels of the screen: a drawing's text shrinks with the drawing.
SMALLEST_TEXT = """() => {
    const sizes = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement, scale = element.getScreenCTM?.().a ?? 1;
        if (texts.currentNode.textContent.trim() && element.getBoundingClientRect().width)
            sizes.push(scale * parseFloat(getComputedStyle(element).fontSize));
    }
    return Math.min(...sizes);
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Tree:
    """One student has a misconception and has answered the questions; another's file is damaged."""
    tree = Tree(make_instructors_tree(tmp_path_factory.mktemp("instructor"), UNIT))
    notebook = nbformat.read(notebook_path(tree.root / "release", UNIT), as_version=4)
    fill_in(notebook, sample_class(read_source(tree, UNIT))["emil_logvar_as_log_sigma"])
    add_guesses(notebook, STUDENT, {})
    for student, text in ((STUDENT, nbformat.writes(notebook)), ("harper", "{")):
        path = notebook_path(tree.root / "submitted" / student, UNIT)
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    grade_unit(tree, UNIT, options=Options(jobs=1, unsafe=True))
    return tree


def test_an_instructor_marks_an_answer_in_formgrader_and_makes_the_feedback_there(graded):
    from playwright.sync_api import expect

    with lab(graded.root, {}) as (address, token), chromium_without_errors() as page:
        open_welcome(page, address, token)
        keep_screenshot(page, "instructor-welcome")
        assert "2 handed in, 1 graded" in page.locator(".jp-MarkdownViewer table").inner_text()
        assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0, "JupyterLab asks or announces something"
        offered = nbgraders_menu(page)
        assert {"Formgrader", "Create assignment"} <= offered and "Assignment List" not in offered, offered

        page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
        page.get_by_text("Formgrader", exact=True).click()
        formgrader = page.frame_locator("iframe[src*='formgrader']")
        formgrader.get_by_role("link", name=UNIT).wait_for(timeout=30_000)
        keep_screenshot(page, "instructor-formgrader")
        formgrader.get_by_role("link", name="Manual Grading").click()
        formgrader.locator("a[href*='gradebook']", has_text=UNIT).click()
        formgrader.locator(f"a[href$='gradebook/{UNIT}/{UNIT}']").click()
        formgrader.get_by_role("link", name="Submission #").first.click()
        marks = formgrader.locator(f"input#{QUESTION}")
        automatic = formgrader.locator("input#test_elbo_beta")
        expect(automatic).to_have_attribute("placeholder", "1", timeout=30_000)
        comment = formgrader.locator(f"textarea#{QUESTION}-comment")
        for field, text in ((marks, "2.5"), (comment, "Say *why* it matters.")):
            with page.expect_response(lambda response: response.request.method == "PUT" and response.ok):
                field.fill(text)
                field.press("Tab")
        keep_screenshot(page, "instructor-marks")
        with NbGraderCourse(graded).gradebook() as gradebook:
            grade = gradebook.find_grade(QUESTION, UNIT, UNIT, STUDENT)
            assert (grade.manual_score, grade.needs_manual_grade) == (2.5, False)

        page.keyboard.press("Escape")
        formgrader.get_by_role("link", name="Manual Grading").click()
        formgrader.get_by_role("link", name="Manage Assignments").click()
        formgrader.locator("td.generate-feedback a").click()
        formgrader.locator(".modal-title", has_text="Success").wait_for(timeout=60_000)
        keep_screenshot(page, "instructor-feedback")
    made = (graded.root / "feedback" / STUDENT / UNIT / f"{UNIT}.html").read_text(encoding="utf-8")
    assert "beta_zero</a>: 2.5 of 3.0 points" in made and "Say <em>why</em> it matters." in made
    assert "to the top" in made, "this is nbgrader's page, not the course's own"


@pytest.fixture(scope="module")
def pages(graded) -> dict[str, Path]:
    found = {path.parts[-3]: path for path in feedback_unit(graded, UNIT)}
    return {
        "feedback": found[STUDENT],
        "feedback-damaged": found["harper"],
        "report": write_report(graded, graded.root / "report.html"),
    }


@pytest.mark.parametrize("name", ["feedback", "feedback-damaged", "report"])
def test_a_page_reads_well_on_a_desk_and_on_a_phone(pages, name):
    with chromium_without_errors() as page:
        page.goto(pages[name].as_uri())
        for width in (1400, 390):
            page.set_viewport_size({"width": width, "height": 1000})
            keep_screenshot(page, f"{name}-{width}", full_page=True)
            wide, smallest = page.evaluate("document.documentElement.scrollWidth"), page.evaluate(SMALLEST_TEXT)
            assert wide <= width, f"the page is {wide} pixels wide in a window of {width}"
            assert smallest >= 12, f"text of {smallest} pixels"
        assert not (faults := serious_faults(page)), faults
