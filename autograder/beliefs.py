"""What the class believed before it looked: the guesses in submitted notebooks, beside what came out.

A submission is anybody's text: a guess counts only when it answers a question of the unit's own source as that question
allows, and nothing else of the submission is shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from nbformat import NotebookNode

from course_utils.plots.guessing.questions import MIME, Answer, Choice, Curve, Number, Question, asked_in
from course_utils.system.tree import Tree

from .release import read_source
from .submissions import Submission, find_submission
from .summary import Cell, Table
from .template import PREDICTION

Belief = tuple[Answer, Answer]  # a student's guess, and what came out in their notebook; None: not known
_BINS, _EM = 10, 12  # of a histogram; width of its longest bar
_WIDTH, _HEIGHT, _MARGIN = 600, 160, 44


@dataclass(frozen=True)
class Line:
    """A curve in a drawing: a guess, or what was measured."""

    points: list[tuple[float, float]]
    measured: bool = False


@dataclass(frozen=True)
class Label:
    """A word in a drawing; ``anchor`` is the end of it that stands at x."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Drawing:
    """Guessed curves on a plane of ``width`` times ``height``, with words for those who do not see it."""

    caption: str
    alt: str
    note: str
    lines: list[Line]
    labels: list[Label]
    width: int = _WIDTH
    height: int = _HEIGHT


Shown = Table | Drawing


def class_beliefs(tree: Tree, students: dict[str, list[str]]) -> list[Shown]:
    """The guesses of these students of each unit, question by question; templates/beliefs.html.j2 shows them."""
    shown: list[Shown] = []
    for unit, names in students.items():
        questions = questions_of(read_source(tree, unit))
        handed_in = [find_submission(tree, unit, name) for name in names] if questions else []
        held = [beliefs_in(_content(each.notebook), questions) for each in handed_in if isinstance(each, Submission)]
        shown += [class_belief(unit, question, [of[text] for of in held]) for text, question in questions.items()]
    return shown


def questions_of(source: NotebookNode) -> dict[str, Question]:
    """The questions of a unit's predict cells by their text."""
    cells = [cell for cell in source.cells if PREDICTION in cell.metadata.get("tags", [])]
    asked = [asked_in(cell.source) for cell in cells]
    return {found[0].text: found[0] for found in asked if found}


def beliefs_in(notebook: object, questions: dict[str, Question]) -> dict[str, Belief]:
    """For each question what a notebook, as JSON, says: recorded in an output, else typed in a cell. A guess that was
    made after the answer had been shown is none."""
    found: dict[str, list] = {text: [None, None] for text in questions}
    late = set()
    code = list(_code(notebook))
    for kept in (data.get(MIME) for _, outputs in code for data in outputs):
        if isinstance(kept, dict) and isinstance(kept.get("question"), str) and kept["question"] in questions:
            question, belief = questions[kept["question"]], found[kept["question"]]
            if kept.get("after"):
                late.add(kept["question"])
            belief[:] = (
                _first(belief[0], None if kept.get("after") else question.read(kept.get("guess"))),
                _first(belief[1], question.read_truth(kept.get("truth"))),
            )
    for asked in (asked_in(source) for source, _ in code if "predict" in source):
        if asked and asked[0].text in questions and asked[0].text not in late and found[asked[0].text][0] is None:
            found[asked[0].text][0] = questions[asked[0].text].read(asked[1])
    return {text: (guess, truth) for text, (guess, truth) in found.items()}


def class_belief(unit: str, question: Question, beliefs: list[Belief]) -> Shown:
    """One question: what was guessed by how many, what came out, and the share that was right."""
    guesses = [guess for guess, _ in beliefs if guess is not None]
    judged = [question.is_right(guess, truth) for guess, truth in beliefs if guess is not None and truth is not None]
    truth = consensus(question, [truth for _, truth in beliefs if truth is not None])
    adjective = "right" if question.kind == "choice" else "close"
    right = f"; {sum(judged)} of {len(judged)} who looked were {adjective}" if judged else ""
    measured = f" Measured by the class: {question.words(truth)}." if truth is not None else ""
    words = f"{unit}: {question.text} ({len(guesses)} of {len(beliefs)} guessed{right}.{measured})"
    if isinstance(question, Curve):
        return _curves(words, question, guesses, truth)
    return Table(words, ["guess", "students"], _rows(question, guesses, truth))


def consensus(question: Question, truths: list[Answer]) -> Answer:
    """What came out for the class: the most frequent letter, the median number, the median at each place."""
    if not truths:
        return None
    if question.kind == "choice":
        return min(Counter(truths).items(), key=lambda item: (-item[1], item[0]))[0]
    return tuple(map(median, zip(*truths, strict=True))) if isinstance(question, Curve) else median(truths)


def _rows(question: Number | Choice, guesses: list[Answer], truth: Answer) -> list[list[str | Cell]]:
    if isinstance(question, Number):
        wide = (question.high - question.low) / _BINS
        each = question.counts and wide < 2  # a row for each whole number
        edge, bins = (1, round(question.high - question.low) + 1) if each else (wide, _BINS)
        first = question.low - 0.5 if each else question.low
        names: dict[Answer, str] = {
            i: question.words(question.low + i)
            if each
            else f"{first + i * edge:g} to {first + (i + 1) * edge:g} {question.unit}"
            for i in range(bins)
        }
    else:
        names = {letter: question.words(letter) for letter in question.choices}

    def place(value: Answer) -> Answer:
        return min(max(int((value - first) / edge), 0), bins - 1) if isinstance(question, Number) else value

    counts = Counter(map(place, guesses))
    most = max(counts.values(), default=1)
    mark = None if truth is None else place(truth)
    return [
        [
            Cell(f"{name} (measured)", strong=True) if key == mark else name,
            Cell(str(counts[key]), bar=_EM * counts[key] / most),
        ]
        for key, name in names.items()
    ]


def _curves(caption: str, question: Curve, guesses: list[Answer], truth: Answer) -> Drawing:
    """Every guess as a thin line, the truth as a thick dashed one."""

    def points(heights) -> list[tuple[float, float]]:
        shares = [min(max((height - question.low) / (question.high - question.low), 0), 1) for height in heights]
        return [
            (_MARGIN + place * (_WIDTH - 2 * _MARGIN), _HEIGHT - 24 - share * (_HEIGHT - 40))
            for place, share in zip(question.places, shares, strict=True)
        ]

    lines = [Line(points(guess)) for guess in guesses]
    lines += [Line(points(truth), measured=True)] if truth is not None else []
    places = [_MARGIN + place * (_WIDTH - 2 * _MARGIN) for place in question.places]
    labels = [Label(x, _HEIGHT - 6, f"{value:g}", "middle") for x, value in zip(places, question.x, strict=True)]
    labels += [
        Label(_MARGIN - 8, 20, f"{question.high:g}", "end"),
        Label(_MARGIN - 8, _HEIGHT - 20, f"{question.low:g}", "end"),
    ]
    axes = f"{question.ylabel} against {question.xlabel}"
    alt = f"{axes}: {len(guesses)} guesses" + (f". Measured: {question.words(truth)}" if truth is not None else "")
    note = f"{axes}. Thin: guesses." + (" Thick, dashed: measured." if truth is not None else "")
    return Drawing(caption, alt, note, lines, labels)


def _content(data: bytes) -> object:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _code(content: object) -> Iterator[tuple[str, list[dict]]]:
    """Source and outputs' data of each code cell in a notebook's JSON; what has another shape is passed over."""
    for cell in _listed(content, "cells"):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source")
            lines = source if isinstance(source, list) else [source]
            data = [output.get("data") for output in _listed(cell, "outputs") if isinstance(output, dict)]
            text = "".join(line for line in lines if isinstance(line, str))
            yield text, [each for each in data if isinstance(each, dict)]


def _listed(node: object, key: str) -> list:
    found = node.get(key) if isinstance(node, dict) else None
    return found if isinstance(found, list) else []


def _first(*values: object) -> object:
    return next((value for value in values if value is not None), None)
