"""What an instructor does in JupyterLab after grading, and the pages that come of it, in a real Chromium."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
import pytest
from lab_in_chromium import (
    chromium,
    chromium_without_errors,
    find_chromium,
    keep_screenshot,
    lab,
    nbgraders_menu,
    open_welcome,
    serious_faults,
)
from miniature import CHECKOUT
from nbformat.v4 import new_code_cell, new_output
from PIL import Image
from student_tree import grade_id, make_instructors_tree

from autograder.batch import Options
from autograder.demo import add_figures, fill_in, sample_class
from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.marking.viva import write_viva
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

# Pictures of a page, or of a frame in it, that show nothing.
BROKEN_PICTURES = """(frame) => [...(frame ? document.querySelector(frame).contentDocument : document).images]
    .filter((image) => !image.complete || !image.naturalWidth).map((image) => image.alt)"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]


# Figures of one colour each, by their text alternatives: in HTML as the course shows it, a picture of its own, a kind
# that pages show as part of a text, and one that is attached to an answer under a name that needs care.
SQUARES = {"a green square": "#0a8f2c", "figure": "#c01818", "a moving square": "#8844cc", "a blue square": "#1230d0"}


def add_squares(notebook) -> None:
    """Put them into a submission."""
    green, red, violet, blue = (
        _picture(colour, "GIF" if "moving" in alt else "PNG") for alt, colour in SQUARES.items()
    )
    shown = [
        new_output(
            "display_data", {"text/html": f'<figure><img alt="a green square" src="data:image/png;base64,{green}">'}
        ),
        new_output("display_data", {"image/png": red, "text/plain": "<Figure>"}),
        new_output("display_data", {"text/html": f'<img alt="a moving square" src="data:image/gif;base64,{violet}">'}),
        new_output("display_data", {"text/html": "<table><tr><th>beta</th></tr><tr><td>0.0625</td></tr></table>"}),
    ]
    notebook.cells.append(new_code_cell("squares()", outputs=shown, metadata={"tags": ["experiment"]}))
    answer = next(cell for cell in notebook.cells if grade_id(cell) == QUESTION)
    answer.source += "\n\n![a blue square](attachment:my%20square%20(1).png)"
    answer.attachments = {"my square (1).png": {"image/png": blue}}


def _picture(colour: str, kind: str) -> str:
    file = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def colours_of(page) -> dict[str, str]:
    """What the squares look like on a page or in a frame of it."""
    pictures = {alt: page.get_by_alt_text(alt, exact=True).first for alt in SQUARES}
    pictures["figure"] = page.locator(f'img[src="data:image/png;base64,{_picture(SQUARES["figure"], "PNG")}"]')
    seen = {}
    for alt, picture in pictures.items():
        screen = Image.open(io.BytesIO(picture.screenshot())).convert("RGB")
        seen[alt] = "#{:02x}{:02x}{:02x}".format(*screen.getpixel((screen.width // 2, screen.height // 2)))
    return seen


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Tree:
    """One student has a misconception and has answered the questions; another's file is damaged."""
    tree = Tree(make_instructors_tree(tmp_path_factory.mktemp("instructor"), UNIT))
    notebook = nbformat.read(notebook_path(tree.root / "release", UNIT), as_version=4)
    fill_in(notebook, sample_class(read_source(tree, UNIT))["emil_logvar_as_log_sigma"])
    add_guesses(notebook, STUDENT, {})
    add_figures(notebook, nbformat.read(notebook_path(CHECKOUT / "solutions", UNIT), as_version=4))
    add_squares(notebook)
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
        assert colours_of(formgrader) == SQUARES
        assert formgrader.locator("math").count() > 50 and not page.evaluate(BROKEN_PICTURES, "iframe")
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
    assert "beta_zero</a>: 2.5 of 3 points" in made and "Say <em>why</em> it matters." in made
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
        page.emulate_media(color_scheme="dark")
        keep_screenshot(page, f"{name}-dark-390", full_page=True)
        assert not (faults := serious_faults(page)), faults
        if name == "feedback":
            printed = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
            assert 1 <= printed <= 6, f"{printed} printed pages while the notebook is folded"
            page.locator("details.notebook > summary").click()
            keep_screenshot(page, "feedback-dark-390-unfolded", full_page=True)
            assert not (faults := serious_faults(page)), faults


def test_the_oral_questions_of_a_student_are_one_printed_page(graded):
    (place,) = write_viva(graded, UNIT, seed=7)
    with chromium_without_errors() as page:
        page.goto(place.as_uri())
        assert page.locator(".oral").count() == 5
        assert page.locator(".expected").first.evaluate("each => getComputedStyle(each).borderLeftWidth") == "4px"
        for width, colours in ((1024, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 1000})
            page.emulate_media(color_scheme=colours)
            keep_screenshot(page, f"viva-{colours}-{width}", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert not (faults := serious_faults(page)), faults
        assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) == 1


def test_every_figure_and_formula_is_on_the_feedback_page(pages, graded):
    submitted = notebook_path(graded.root / "submitted" / STUDENT, UNIT).read_text(encoding="utf-8")
    with chromium_without_errors() as page:
        page.goto(pages["feedback"].as_uri())
        assert not page.locator("td", has_text="0.0625").is_visible(), "the notebook is not folded"
        assert page.locator("ul.marks li", has_text="logvar").count() >= 1, "no cause at the top"
        page.locator("details.notebook > summary").click()
        assert colours_of(page) == SQUARES
        assert page.locator("img").count() >= submitted.count("<img") + 2 and not page.evaluate(BROKEN_PICTURES, "")
        assert page.locator("td", has_text="0.0625").is_visible()
        assert page.locator("math").count() > 50 and page.locator("code", has_text="$").count() == 0


def test_a_name_without_end_makes_no_page_wider_than_the_screen(tmp_path):
    from marked_class import UNIT as WRITTEN
    from marked_class import enter, make_class, write_rows

    tree = make_class(tmp_path / "course", ["It is 117.2."])
    with NbGraderCourse(tree).gradebook() as gradebook:
        enter(tree, gradebook, "X" * 150, "It is 23.4.")
    write_rows(tree)
    made = [write_report(tree, tmp_path / "report.html"), *write_viva(tree, WRITTEN), *feedback_unit(tree, WRITTEN)]
    with chromium() as page:
        for path in made:
            page.goto(path.as_uri())
            for width in (1400, 390):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path.name[:20]} at {width}"
