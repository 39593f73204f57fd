"""Oral questions for each student, made from their own numbers, guesses, broken laws and code.

A page is made from one student's graded notebook and the unit's source, and from nothing else. What is drawn follows
from the seed, the unit and the student's name alone: the same seed gives the same page, whoever else is in the class.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from nbformat import NotebookNode

from course_utils.cli.handin.cells import ANSWER, SOLUTION, TASK, TEST, kind_of, marks_of
from course_utils.cli.handin.evidence import FOUND, NOWHERE, Outputs, evidence, outputs_of, table_cells
from course_utils.system.errors import CourseError
from course_utils.system.stubs import is_blank, is_unwritten
from course_utils.system.tree import Tree
from course_utils.system.whole_file import write_whole

from ..beliefs import beliefs_in, questions_of
from ..grade import all_students
from ..gradebook import read_graded
from ..nbgrader_course import NbGraderCourse
from ..reasons import plain, score_of
from ..release import read_source
from ..safe_html import as_text, as_written, render_page
from .shown import output_html

MOST = 5
# What is changed in a student's line, and what the examiner should hear. The first pattern that a line has is taken.
_CHANGES = (
    (
        r"\b0\.5\s*\*|\*\s*0\.5\b|/\s*2\b(?!\.)",
        "the factor one half were left out",
        "It is what turns a log variance into a log standard deviation, or a quadratic form into an energy. Without it "
        "spreads come out squared, or the term has twice its size and so twice its weight against the others.",
    ),
    (
        r"\.sum\(",
        "this sum were a mean",
        "The term shrinks by the number of elements that are averaged. Against a term that is still a sum, that is "
        "another weight: a beta of its own. Losses in nats per image are sums over pixels or dimensions.",
    ),
    (
        r"\.mean\(",
        "this mean were a sum",
        "The number grows with the batch (or with whatever is summed): the gradient's size then depends on the batch, "
        "and numbers of different batches cannot be compared.",
    ),
    (
        r"\.detach\(|no_grad",
        "the gradient were not cut here",
        "The gradient would flow on to what lies before: it would be trained by this term as well, or a graph kept "
        "that nobody needs.",
    ),
    (
        r"zero_grad",
        "gradients were not cleared here",
        "Each backward pass adds to what is there: the step would follow the sum of all batches so far.",
    ),
    (
        r"randn|\.rsample\(|normal\(",
        "the same noise were drawn at every call",
        "Samples would no longer be independent: the loss would be an estimate at one point of the noise, which the "
        "network can learn by heart.",
    ),
    (
        r"\bexp\(",
        "the exponential were left out",
        "A logarithm would be used as if it were the quantity: negative spreads, and the wrong size for all but 1.",
    ),
    (
        r"dim\s*=\s*-?\d",
        "the other dimension were named here",
        "Images and elements would change places: the result has another shape, or mixes the images of a batch.",
    ),
    (
        r"sigmoid",
        "the sigmoid were left out",
        "Logits are no probabilities: they leave the range from 0 to 1, and pictures of them are wrong in contrast.",
    ),
    (
        r"\s-\s",
        "the minus were a plus",
        "The term would change its sign: what was made small is made large, or a difference becomes a sum.",
    ),
)


@dataclass(frozen=True)
class Oral:
    """One question with what the examiner expects, and what lies on the table: HTML from the student's notebook."""

    kind: str
    question: str
    expected: str
    shown: str = ""


def write_viva(tree: Tree, unit: str, student: str | None = None, seed: int = 0) -> list[Path]:
    """Write viva/<unit>/<student>.html for everybody whose notebook is graded; returns the paths.

    Raises CourseError when nothing is graded.
    """
    names = [student] if student else all_students(tree, NbGraderCourse(tree))
    pages = []
    sources = {name: read_source(tree, unit, name) for name in tree.notebooks(unit)}
    for name in names:
        graded = [(read_graded(tree.root, unit, name, of), source) for of, source in sources.items()]
        pairs = [(notebook, source) for notebook, source in graded if notebook is not None]
        if not pairs:
            continue
        path = tree.root / "viva" / unit / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        found = [oral for notebook, source in pairs for oral in orals(notebook, source, f"{seed} {unit} {name}")]
        title = f"\u2068{name}\u2069: {unit}"  # a name from right to left turns nothing around it
        page = render_page("viva.html.j2", title=title, seed=seed, orals=found[:MOST])
        write_whole(path, page)
        pages.append(path)
    if not pages:
        whose = f" of {student}" if student else ""
        raise CourseError(f"nothing{whose} in {unit} is graded. Run `course grade {unit[:2]}` first.")
    return pages


def orals(notebook: NotebookNode, source: NotebookNode, seed: str) -> list[Oral]:
    """Four or five questions from a graded notebook, fewer only where there is nothing to ask about."""
    random = Random(seed)
    outputs = outputs_of(notebook)
    pools = [
        [*_broken_laws(notebook)],
        [*_guesses(notebook, source, wrong=True)],
        [*_named_numbers(notebook, outputs)],
        [*_comparisons(notebook)],
        [*_code(notebook)],
        [*_guesses(notebook, source, wrong=False)],
    ]
    for pool in pools:
        random.shuffle(pool)
    chosen: list[Oral] = []
    while len(chosen) < MOST and any(pools):
        for pool in pools:
            if pool and len(chosen) < MOST:
                chosen.append(pool.pop())
    expected = [*_expectations(source)] if len(chosen) < MOST - 1 else []
    random.shuffle(expected)
    return chosen + expected[: MOST - 1 - len(chosen)]


def _expectations(source: NotebookNode) -> Iterator[Oral]:
    """Where a notebook gives too little to ask about: the unit's own questions, asked anew."""
    for text, question in questions_of(source).items():
        options = "; ".join(question.words(letter) for letter in question.choices) if question.kind == "choice" else ""
        yield Oral(
            "what is expected",
            f"{text} What do you expect, and why?",
            f"{options + '. ' if options else ''}The unit's solution shows which came out, and why.",
        )


def _broken_laws(notebook: NotebookNode) -> Iterator[Oral]:
    for cell in notebook.cells:
        if cell.cell_type != "code" or kind_of(cell) != TEST:
            continue
        name = str(marks_of(cell).get("grade_id", "")).removeprefix("test_")
        for law in score_of(cell).get("laws", []):
            if not law.get("passed", True) and law.get("cause_id") != "not_written":
                cause = plain(law.get("cause") or "")
                broken = plain(law.get("name") or law.get("id") or "")
                expected = (
                    cause or f"Expected {plain(law.get('expected') or '?')}, came {plain(law.get('got') or '?')}."
                )
                yield Oral(
                    "a law that is broken",
                    f"Your {name} breaks the law \u201c{broken}\u201d. What in your code does that, and what would a "
                    "training with it show?",
                    expected,
                    _code_of(notebook, name),
                )
                break


def _code_of(notebook: NotebookNode, name: str) -> str:
    found = next(
        (c.source for c in notebook.cells if kind_of(c) == SOLUTION and marks_of(c).get("grade_id") == name), ""
    )
    return as_text(_without_words(found)[:3000]) if found else ""


def _without_words(source: str) -> str:
    """Code without its docstrings, which the course wrote, and without the marks of a solution."""
    lines = source.splitlines()
    try:
        parsed = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    for node in ast.walk(parsed):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) > 1:
            for line in range(node.body[0].lineno - 1, node.body[0].end_lineno or 0):
                lines[line] = "###"
    return "\n".join(line for line in lines if not line.strip().startswith("###"))


def _guesses(notebook: NotebookNode, source: NotebookNode, wrong: bool) -> Iterator[Oral]:
    questions = questions_of(source)
    for text, (guess, truth) in beliefs_in(notebook, questions).items():
        question = questions[text]
        if truth is None or (guess is not None and question.is_right(guess, truth)) == wrong:
            continue
        came, why = question.words(truth), _why(notebook, text)
        if guess is None:
            if wrong:
                continue
            asked = f"{text} You made no guess before you looked. What came out, and why?"
        elif wrong:
            asked = f"{text} You guessed {question.words(guess)}. It came out as {came}. Why?"
        else:
            asked = f"{text} You guessed {question.words(guess)}, rightly. What would have shown that you were wrong?"
        yield Oral("a guess", asked, f"{came}. {why}".strip())


def _why(notebook: NotebookNode, question: str) -> str:
    """What `reveal` said in the student's notebook, below the answer."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            kept = next((value for kind, value in data.items() if "guess" in kind and isinstance(value, dict)), {})
            markup = "".join(data.get("text/html", ""))
            if kept.get("question") == question and kept.get("truth") is not None and "</strong>" in markup:
                return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup.split("</strong>", 1)[1])).split())[:600]
    return ""


def _leading_to(text: str) -> str:
    """The last words of a text that leads to something, with a mark where more stands before them."""
    words = text.split()
    last = words[-10:]
    between = " " if text[-1:].isspace() else ""
    return ("\u2026 " if len(words) > len(last) else "") + " ".join(last) + between


def _named_numbers(notebook: NotebookNode, outputs: Outputs) -> Iterator[Oral]:
    asked = ""
    for cell in notebook.cells:
        asked = cell.source if kind_of(cell) == TASK else asked
        if kind_of(cell) != ANSWER or cell.cell_type != "markdown" or is_blank(cell.source):
            continue
        text = cell.source if (written := as_written(cell.source)) is None else written
        for named in evidence(text[:20_000], outputs, asked):
            quoted = f"You write \u201c{_leading_to(text[: named.start])}{named.text}\u201d."
            if named.status == NOWHERE:
                yield Oral(
                    "a number of the answer",
                    f"{quoted} Where does {named.text} come from?",
                    "It stands in no output of the notebook that was handed in: an older run, a reckoning, or someone "
                    "else's.",
                )
            elif named.status == FOUND and re.search(r"\d", named.text):
                place = named.places[0]
                yield Oral(
                    "a number of the answer",
                    f"{quoted} What was measured there, on how many images or draws, and how far would it move with "
                    "another seed?",
                    f"It stands in {place.words()}. Its caption and its column of seeds, if any, say the rest.",
                    output_html(notebook.cells[place.cell].outputs[place.output]),
                )


def _comparisons(notebook: NotebookNode) -> Iterator[Oral]:
    """For each column of numbers in a table of two rows or more: the smallest and the largest, and why."""
    for cell in notebook.cells:
        if marks_of(cell).get("grade"):
            continue
        for output in cell.get("outputs", []):
            columns: dict[str, list[tuple[float, str, str]]] = {}
            cells = table_cells(output)
            first = next((column for _, row, column in cells if not row), "")
            for text, row, column in cells:
                if row and column and re.fullmatch(r"[-−]?\d+(?:\.\d+)?(?:\s?%)?", text):
                    value = float(text.rstrip(" %").replace("−", "-"))
                    named = f"{first} {row}" if re.match(r"[-−\d]", row) else row
                    columns.setdefault(column, []).append((value, named.strip(), text))
            for column, values in columns.items():
                if re.search(r"epoch|second|seed|minute", column, re.I):  # settings, and what a machine took
                    continue
                low, high = min(values), max(values)
                if low[0] == high[0] or len({row for _, row, _ in values}) < len(values):  # two columns of a name
                    continue
                yield Oral(
                    "numbers of the notebook",
                    f"In your table, {column} is {low[2]} for \u201c{low[1]}\u201d and {high[2]} for "
                    f"\u201c{high[1]}\u201d. Why "
                    "there, and what would you change to bring the two together?",
                    f"All of {column}: "
                    + "; ".join(f"{row} {text}" for _, row, text in values[:8])
                    + ". A full answer "
                    "names what differs between the two rows and says which of it causes the number.",
                    output_html(output),
                )


def _code(notebook: NotebookNode) -> Iterator[Oral]:
    laws = {
        str(marks_of(cell).get("grade_id", "")).removeprefix("test_"): [
            plain(law.get("name") or law.get("id") or "") for law in score_of(cell).get("laws", [])
        ]
        for cell in notebook.cells
        if cell.cell_type == "code" and kind_of(cell) == TEST
    }
    for cell in notebook.cells:
        name = str(marks_of(cell).get("grade_id", ""))
        if kind_of(cell) != SOLUTION or cell.cell_type != "code" or is_unwritten(cell.source, name):
            continue
        for line in _statements(cell.source):
            found = next(((words, why) for pattern, words, why in _CHANGES if re.search(pattern, line)), None)
            if found:
                also = "; ".join([*filter(None, laws.get(name, []))][:5])
                expected = found[1] + (f" Laws of the check that could notice it: {also}." if also else "")
                yield Oral(
                    "a line of code",
                    f"In your {name} stands \u201c{line}\u201d. What would change, in numbers and in a training, "
                    f"if {found[0]}?",
                    expected,
                    as_text(_without_words(cell.source)[:3000]),
                )


def _statements(source: str) -> list[str]:
    """The statements of functions that fit on a line; none where the code does not parse."""
    try:
        parsed = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    lines = []
    for node in ast.walk(parsed):
        if isinstance(node, (ast.Assign, ast.Return, ast.Expr, ast.AugAssign)):
            text = " ".join((ast.get_source_segment(source, node) or "").split())
            is_words = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if 8 <= len(text) <= 140 and not is_words:
                lines.append(text)
    return list(dict.fromkeys(lines))
