"""Pages that hold what students wrote run no script and ask nobody for anything, in a real Chromium.

Each text of acting.py goes through every way to a page, and every element of the page is then touched, clicked and
looked at. Cleaning and the pages' policy are two walls: each has to hold without the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from acting import BUNDLES, NAMES, TEXTS
from lab_in_chromium import chromium, find_chromium, keep_screenshot, lab
from miniature import hand_in, make_tree
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell

from autograder.batch import Options
from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import release_units
from autograder.report import write_report
from autograder.safe_html import clean, markdown_to_html
from autograder.sanitise import safe_html, safe_markdown
from course_utils.system.templates import content_policy
from course_utils.system.tree import Tree

UNIT, MALLORY = "01_double", "mallory"
WAYS = {
    "our pages": lambda text: markdown_to_html(safe_markdown(text)),
    "our pages, of something that was kept uncleaned": markdown_to_html,
    "nbconvert, which cleans nothing": lambda text: markdown2html(safe_markdown(text)),
    "outputs": lambda text: clean(safe_html(text)),
    "outputs that were kept uncleaned": clean,
}
# Whatever can be done to an element without a script of its own; links to the web are for people to follow.
TOUCH = """async (inside) => {
    const events = ["mouseover", "mouseenter", "pointerover", "focus", "focusin", "toggle", "beforetoggle", "wheel",
        "scroll", "keydown", "paste", "copy", "contextmenu", "dragstart", "search", "input", "auxclick", "error",
        "load", "animationstart", "transitionend", "beforematch", "begin"];
    for (const element of document.querySelectorAll(inside)) {
        for (const name of events) element.dispatchEvent(new Event(name));
        const link = element.closest("a[href]");
        if (!link || !/^(https?:|mailto:|#)/.test(link.getAttribute("href") ?? "")) element.click?.();
    }
    await new Promise((done) => setTimeout(done, 300));
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]


@contextmanager
def watched() -> Iterator:
    """A page, and what acted in it; at the end nothing may have asked another host."""
    acted: list[str] = []
    with chromium() as page:
        page.context.add_init_script("window.X = (number) => console.log(`acted: ${number}`);")
        page.context.on("console", lambda message: acted.append(message.text) if "acted: " in message.text else None)
        page.context.on("page", lambda other: acted.append(f"a window of {other.url}") if other != page else None)
        page.on("dialog", lambda dialog: (acted.append(dialog.message), dialog.dismiss()))
        page.context.route("**/*elsewhere.test/**", lambda route: route.abort())
        yield page, acted


def uncleaned() -> list[str]:
    """The texts as nbconvert renders them; without those that lead a page away or stop the renderer."""
    return [markdown2html(text) for text in TEXTS.values() if "refresh" not in text and "(attachment:" not in text]


def page_of(body: str, policy: str = "") -> str:
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if policy else ""
    return f'<!DOCTYPE html><html><head><meta charset="utf-8">{head}</head><body>{body}</body></html>'


def test_there_are_enough_texts_and_they_do_act(tmp_path):
    """Else the tests below would show nothing."""
    assert len(TEXTS) + len(BUNDLES) + len(NAMES) >= 300
    ran: set[str] = set()
    with pytest.raises(AssertionError, match="other hosts are asked"), watched() as (page, acted):
        page.context.route(re.compile(r"logout|\.test/formgrader"), lambda route: route.abort())
        for start in range(0, len(TEXTS), 40):  # what swallows the rest of a page takes few along
            body = "".join(uncleaned()[start : start + 40])
            (tmp_path / "page.html").write_text(page_of(body), encoding="utf-8")
            page.goto((tmp_path / "page.html").as_uri(), wait_until="commit")
            page.wait_for_timeout(300)
            ran |= set(acted)
    assert len(ran) >= 40, sorted(ran)


@pytest.mark.parametrize("way", WAYS)
def test_cleaned_text_is_inert_by_itself(way, tmp_path):
    """Without a policy, also after the browser has written the page and read it again."""
    parts = [f"<section>{WAYS[way](text)}</section><i class=marker>{n}</i>" for n, text in TEXTS.items()]
    (tmp_path / "page.html").write_text(page_of("".join(parts)), encoding="utf-8")
    with watched() as (page, acted):
        page.goto((tmp_path / "page.html").as_uri())
        assert page.locator("body > i.marker").count() == len(TEXTS), "a text swallows what comes behind it"
        page.evaluate(TOUCH, "section *")
        page.evaluate("() => { document.body.innerHTML = document.body.innerHTML; }")
        page.evaluate(TOUCH, "section *")
        assert page.evaluate("window === window.top && location.protocol") == "file:"
    assert not acted


def test_the_policy_holds_by_itself(tmp_path):
    """Nothing is cleaned here. A page may still be led away by a refresh, which is not the policy's to forbid."""
    with watched() as (page, acted):
        for start in range(0, len(TEXTS), 40):
            body = "".join(uncleaned()[start : start + 40])
            (tmp_path / "page.html").write_text(page_of(body, content_policy()), encoding="utf-8")
            page.goto((tmp_path / "page.html").as_uri())
            page.wait_for_timeout(100)
    assert not acted


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Tree:
    """A class of hostile people: one with every text in every place, others by their names."""
    tree = Tree(make_tree(tmp_path_factory.mktemp("class")))
    release_units(tree, [UNIT])
    wrong = "def double(x):\n    raise ValueError('<script>X(3000)</script><img src=x onerror=X(3001)>')\n"
    answer = "\n\n".join(TEXTS[number] for number in (1, 10, 60, 110))
    copied = "# <script>X(3002)</script>\ndef triple(x):\n    names = {}\n" + "".join(
        f"    names['</pre><img src=x onerror=X({n})>'] = x * {n}\n" for n in range(3003, 3020)
    )
    for name in (MALLORY, *NAMES):
        hand_in(tree.root, name, UNIT, {"double": wrong, "triple": copied, "q_double": answer})
    path = tree.root / "submitted" / MALLORY / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["title"] = "</title><script>X(3030)</script>"
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    for number, text in TEXTS.items():
        attached = {f'a"onerror=X({number}).png': {"image/png": f'"><script>X({number})</script>'}}
        notebook.cells.append(
            new_markdown_cell(f"{text}\n\n![a](attachment:{next(iter(attached))})", attachments=attached)
        )
        outputs = [new_output("display_data", {kind: text}) for kind in ("text/html", "text/markdown", "text/latex")]
        if number % 20 == 0:
            outputs.append(new_output("stream", name="stderr", text=text))
            outputs.append(new_output("error", ename=text, evalue=text, traceback=[text]))
            notebook.cells.append(new_raw_cell(text, metadata={"raw_mimetype": "text/html"}))
        notebook.cells.append(
            new_code_cell(f"# {text}", outputs=outputs, metadata={"tags": ["experiment", text.replace(",", "")]})
        )
    shown = [new_output("display_data", bundle, metadata={"isolated": True}) for bundle in BUNDLES.values()]
    notebook.cells.append(new_code_cell("show()", outputs=shown, metadata={"tags": ["experiment"]}))
    nbformat.write(notebook, path)
    grade_unit(tree, UNIT, options=Options(jobs=1, unsafe=True))
    with NbGraderCourse(tree).gradebook() as gradebook:
        comment = gradebook.find_comment("q_double", UNIT, UNIT, MALLORY)
        comment.manual_comment = "<script>X(3040)</script>[a](javascript:X(3041))"
        gradebook.db.commit()
    return tree


def without_policy(path: Path) -> Path:
    text, count = re.subn(r"<meta[^>]*Content-Security-Policy[^>]*>", "", path.read_text(encoding="utf-8"))
    assert count == 1, f"{path.name} says no policy"
    other = path.with_name("without-policy.html")
    other.write_text(text, encoding="utf-8")
    return other


def test_feedback_and_report_do_not_act(tree):
    feedback = feedback_unit(tree, UNIT)
    assert len(feedback) == len(NAMES) + 1
    pages = [*feedback, write_report(tree, tree.root / "report.html")]
    with watched() as (page, acted):
        for path in pages:
            for each in (path, without_policy(path)):
                page.goto(each.as_uri())
                page.evaluate(TOUCH, "body *")
        keep_screenshot(page, "hostile-report")
        assert "X(2000)" in page.inner_text("body"), "the name is not shown"
    assert not acted


def test_formgrader_does_not_act(tree):
    with NbGraderCourse(tree).gradebook() as gradebook:
        ids = [gradebook.find_submission_notebook(UNIT, UNIT, name).id for name in (MALLORY, *NAMES[:2])]
    with lab(tree.root, {}) as (address, token), watched() as (page, acted):
        page.goto(f"{address}/?token={token}")
        for place in ("manage_students", f"manage_submissions/{UNIT}", f"gradebook/{UNIT}/{UNIT}"):
            page.goto(f"{address}/formgrader/{place}", wait_until="networkidle")
            page.evaluate(TOUCH, "tbody td, tbody span")
        for number, each in enumerate(ids):
            page.goto(f"{address}/formgrader/submissions/{each}/", wait_until="networkidle")
            page.locator("input#q_double").wait_for()
            page.evaluate(TOUCH, ".rendered_html *, .output_area *, .input_area *")
            page.locator(".glyphicon-eye-open").first.click()
            if number:
                assert "X(200" in page.locator("a.name-shown").inner_text(), "the name is not shown"
            assert page.locator(".name-shown").first.is_visible(), "formgrader's own scripts do not run"
        keep_screenshot(page, "hostile-formgrader")
    assert not acted
