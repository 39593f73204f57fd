"""Whatever stands in a submission, what is kept of it is inert, valid, not too large, and loses no honest word."""

from __future__ import annotations

import html
import re
import time

import nbformat
import pytest
from acting import BUNDLES, TEXTS
from hypothesis import given, settings
from hypothesis import strategies as st
from miniature import source_notebook
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_source import CHECKOUT, read
from test_sanitise import Parts

from autograder import formulas
from autograder.feedback_page import FeedbackExporter
from autograder.repair import repair
from autograder.safe_html import LONGEST_MARKDOWN, TAGS, clean, in_pieces, is_safe_link, markdown_to_html
from autograder.sanitise import MOST_OUTPUTS, MOST_TEXT, Budget, cut, safe_html, safe_markdown, sanitise
from autograder.template import Template
from course_utils.cli.handin import parse_notebook
from course_utils.system.errors import CourseError

# Texts of pieces that mean something to a parser; seeded, so that no run differs from another.
PIECES = [
    "<",
    ">",
    "</",
    "/>",
    "<b",
    "<a",
    "<img",
    "<svg",
    "<math",
    "<mi",
    "<style",
    "<script",
    "<!--",
    "-->",
    "]]>",
    "<![CDATA[",
    "<?",
    "?>",
    '"',
    "'",
    "`",
    "```",
    "=",
    "&lt;",
    "&#106;",
    "&",
    ";",
    ":",
    "/",
    "//",
    "#",
    "(",
    ")",
    "[",
    "]",
    "](",
    "![",
    "]:",
    ">",
    "-",
    "*",
    "_",
    "**",
    "~~",
    "|",
    "\\",
    "\\[",
    "$",
    "$$",
    "{{",
    "}}",
    "\\text{",
    "\\href{",
    "href=",
    "src=",
    "style=",
    "onload=",
    "onerror=X()",
    "title=",
    "javascript:",
    "data:",
    "http://x.org",
    "attachment:",
    "url(",
    "\n",
    "\n\n",
    "\t",
    "\x00",
    "\u2028",
    "\ue000",
    "\ue001",
    "é",
    "𝔼",
    "word",
    "7",
]
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.sampled_from(list(TEXTS.values()))
checked = settings(max_examples=400, deadline=None, derandomize=True)


def faults(page: str) -> list[str]:
    """What in HTML could act, by its tags and attributes."""
    parts = Parts(page)
    found = sorted(set(parts.tags) - TAGS - formulas.ELEMENTS)
    for tag, name, value in parts.attributes:
        if name.startswith("on") or (name == "href" and not is_safe_link(value)):
            found.append(f"{tag} {name}={value}")
        if name == "src" and value and not value.startswith("data:image/"):
            found.append(f"{tag} {name}={value}")
    return found


@checked
@given(texts)
def test_any_text_is_inert_wherever_it_is_rendered(text):
    kept = safe_markdown(text)
    assert not faults(markdown2html(kept)), kept
    assert not faults(markdown_to_html(kept)) and not faults(markdown_to_html(text))
    assert not faults(clean(safe_html(text)))


@checked
@given(texts)
def test_cleaning_twice_changes_nothing(text):
    once = clean(text)
    assert clean(once) == once
    assert safe_markdown(safe_markdown(text)) == safe_markdown(text)


@checked
@given(st.text(alphabet="ab<>&\"'`*_[]()#! \n-.,=+/\\é𝔼", max_size=60))
def test_no_word_of_an_answer_is_lost(text):
    """Marks of Markdown go, letters stay: a tag that is none is read as it was written."""
    shown = html.unescape(re.sub(r"<[^>]*>", "", markdown_to_html(safe_markdown(text))))
    if not re.search(r"<[ab/!?]|\[", text):
        assert [letter for letter in shown if letter.isalpha()] == [letter for letter in text if letter.isalpha()]


mimes = st.sampled_from(
    [kind for bundle in BUNDLES.values() for kind in bundle] + ["text/html", "text/plain", "image/png"]
)
outputs = (
    st.builds(
        lambda data: new_output("display_data", data),
        st.dictionaries(mimes, texts | st.just("iVBORw0KGgo="), max_size=4),
    )
    | st.builds(lambda text: new_output("stream", name="stdout", text=text), texts)
    | st.builds(lambda a, b: new_output("error", ename=a, evalue=b, traceback=[a, b]), texts, texts)
)


@checked
@given(
    st.lists(outputs, max_size=4), texts, st.dictionaries(texts, st.dictionaries(mimes, texts, max_size=2), max_size=2)
)
def test_any_cell_stays_a_valid_notebook_that_becomes_a_page(shown, text, attachments):
    notebook = new_notebook(
        cells=[new_code_cell(text, outputs=shown), new_markdown_cell(text, attachments=attachments)]
    )
    for cell in notebook.cells:
        sanitise(cell)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert not faults(output.get("data", {}).get("text/html", ""))


@pytest.mark.parametrize(
    "piece", ["word ", "[", "](", "<", "<b>", "$x$", "`", "> ", "- ", "\n\n", "![a](", "é", "&", "*a _b "]
)
def test_a_long_answer_is_kept_whole_and_shown_as_text(piece):
    text = (piece * 300_000)[:300_000]
    cell = new_markdown_cell(text)
    started = time.process_time()
    sanitise(cell)
    for page in (markdown_to_html(cell.source), markdown2html(cell.source)):
        assert html.unescape(re.sub(r"<[^>]*>", "", page)).strip() == text.strip()
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    "piece", ["[", "![", "[a](", "<b>", "$a$", "\\begin{a}", "> ", "*a _b ", "`", "\n# a", "{", "<a href='"]
)
def test_the_longest_text_that_is_rendered_takes_little_time(piece):
    text = (piece * LONGEST_MARKDOWN)[:LONGEST_MARKDOWN]
    started = time.process_time()
    markdown_to_html(safe_markdown(text))
    assert time.process_time() - started < 30


LONG = (
    "### BEGIN MARK SCHEME\n",
    "### BEGIN HIDDEN TESTS\n",
    "### END MARK SCHEME\n",
    "1;",
    "f = 0\n",
    "#[",
    "# '\n",
    "def f(): pass\n",
)


@pytest.mark.parametrize("piece", LONG)
@pytest.mark.parametrize("grade_id", ["double", "test_double", "q_double"])
def test_a_cell_that_is_long_in_an_odd_way_is_understood_in_little_time(piece, grade_id):
    unit = source_notebook()
    template = Template.of("01_double", unit)
    cell = next(cell for cell in unit.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)
    cell.source += "\n" + piece * 25_000
    started = time.process_time()
    repair(unit, template)
    assert time.process_time() - started < 20  # seconds; 41 where each mark is looked for to the end


@pytest.mark.parametrize("piece", ['\\"', "\\\\", "a", "[", '","', "\\u00"])
def test_a_file_whose_text_is_never_closed_is_refused_in_little_time(piece):
    started = time.process_time()
    with pytest.raises(CourseError, match="damaged"):
        parse_notebook(b'{"cells": ["' + piece.encode() * 500_000, "ada.ipynb")
    assert time.process_time() - started < 20  # seconds; hours where the time grows with the square of the length


@pytest.mark.parametrize("text", ["x" * 50_000, "word " * 9_000, "a line\n" * 9_000, "\n" * 9_000, "", "short\n"])
def test_a_long_text_is_shown_in_pieces_that_are_the_text_together(text):
    shown = in_pieces(text)
    assert html.unescape(re.sub(r"<[^>]*>", "", shown)) == text
    blocks = re.findall(r">([^<]*)<", shown)
    assert max(map(len, blocks)) <= 4000
    if "\n" in text and len(text) > 4000:
        assert all(block.endswith("\n") for block in blocks if block)


def test_what_is_cut_from_an_output_is_said():
    cell = new_code_cell("", outputs=[new_output("stream", name="stdout", text="a" * 150_000 + "end\n")])
    sanitise(cell)
    text = cell.outputs[0].text
    assert "[50,004 characters of this output are left out here.]" in text and text.endswith("end\n")
    assert len(text) < MOST_TEXT + 100 and cut("short") == "short"


def test_the_outputs_of_a_notebook_are_limited_together():
    cells = [new_code_cell("", outputs=[new_output("display_data", {"text/html": "x" * 3_000_000})]) for _ in range(40)]
    budget = Budget()
    for cell in cells:
        sanitise(cell, budget=budget)
    assert len(nbformat.writes(new_notebook(cells=cells))) < MOST_OUTPUTS + 100_000
    assert "3,000,000 characters" in cells[-1].outputs[0].text


def test_a_huge_output_is_named_on_the_page():
    cells = [
        new_code_cell(
            "", outputs=[new_output("display_data", {"text/html": "<b>" * 2_000_000, "text/plain": "p" * 300_000})]
        )
    ]
    sanitise(cells[0])
    page, _ = FeedbackExporter().from_notebook_node(
        new_notebook(cells=cells), {"nbgrader": {"notebook": "n", "score": 0, "max_score": 1, "late_penalty": 0}}
    )
    assert "[6,000,000 characters of this output are left out here.]" in page and len(page) < 300_000


@pytest.mark.parametrize("unit", sorted(path.name for path in (CHECKOUT / "notebooks").iterdir() if path.is_dir()))
def test_every_formula_of_the_units_is_drawn(unit):
    for cell in read(unit).cells:
        if cell.cell_type == "markdown":
            shown = markdown_to_html(cell.source)
            assert "<code>$" not in shown and not re.search(
                r"(?<![\\\w])\$[^$\n]+\$", re.sub(r"(?s)<(code|pre).*?</\1>", "", shown)
            )


@pytest.mark.parametrize(
    "tex",
    [
        r"\newcommand{\a}{xx}\newcommand{\b}{\a\a}\newcommand{\c}{\b\b}\c",
        r"\def\a{\a\a}\a",
        "{" * 3999,
        r"\sqrt" * 1000,
        "x_" * 1500,
        r"\unknown{x}",
        "a" * 5000,
    ],
)
def test_a_formula_that_cannot_be_drawn_is_shown_as_it_was_written(tex):
    assert formulas.drawn(tex, False) == f"<code>${html.escape(tex)}$</code>"
