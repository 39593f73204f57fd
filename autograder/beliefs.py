"""What the class believed before it looked: the guesses in submitted notebooks, beside what came out.

A submission is anybody's text: a guess counts only when it answers a question of the unit's own source as that question
allows, and nothing else of the submission is shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from html import escape
from statistics import median

from nbformat import NotebookNode

from course_utils.plots.guessing.questions import MIME, Curve, Number, Question, asked_in
from course_utils.system.tree import Tree

from .release import read_source
from .submissions import Submission, find_submission
from .summary import table
from .template import PREDICTION

Belief = tuple[object, object]  # a student's guess, and what came out in their notebook; None: not known
_BINS, _EM = 10, 12  # of a histogram; width of its longest bar
_WIDTH, _HEIGHT, _MARGIN = 600, 160, 44


def beliefs_section(tree: Tree, students: dict[str, list[str]]) -> str:
    """The guesses of these students of each unit, as HTML."""
    parts = []
    for unit, names in students.items():
        questions = questions_of(read_source(tree, unit))
        handed_in = [find_submission(tree, unit, name) for name in names] if questions else []
        held = [beliefs_in(_content(each.notebook), questions) for each in handed_in if isinstance(each, Submission)]
        parts += [belief_html(unit, question, [of[text] for of in held]) for text, question in questions.items()]
    return "<h2>What the class believed before it looked</h2>" + ("".join(parts) or "<p>no predictions</p>")


def questions_of(source: NotebookNode) -> dict[str, Question]:
    """The questions of a unit's predict cells by their text."""
    cells = [cell for cell in source.cells if PREDICTION in cell.metadata.get("tags", [])]
    asked = [asked_in(cell.source) for cell in cells]
    return {found[0].text: found[0] for found in asked if found}


def beliefs_in(notebook: object, questions: dict[str, Question]) -> dict[str, Belief]:
    """For each question what a notebook, as JSON, says: recorded in an output, else typed in a cell."""
    found: dict[str, list] = {text: [None, None] for text in questions}
    code = list(_code(notebook))
    for kept in (data.get(MIME) for _, outputs in code for data in outputs):
        if isinstance(kept, dict) and isinstance(kept.get("question"), str) and kept["question"] in questions:
            question, belief = questions[kept["question"]], found[kept["question"]]
            belief[:] = (
                _first(belief[0], question.read(kept.get("guess"))),
                _first(belief[1], question.read_truth(kept.get("truth"))),
            )
    for asked in (asked_in(source) for source, _ in code if "predict" in source):
        if asked and asked[0].text in questions and found[asked[0].text][0] is None:
            found[asked[0].text][0] = questions[asked[0].text].read(asked[1])
    return {text: tuple(belief) for text, belief in found.items()}


def belief_html(unit: str, question: Question, beliefs: list[Belief]) -> str:
    """One question: what was guessed by how many, what came out, and the share that was right."""
    guesses = [guess for guess, _ in beliefs if guess is not None]
    judged = [question.is_right(guess, truth) for guess, truth in beliefs if guess is not None and truth is not None]
    truth = consensus(question, [truth for _, truth in beliefs if truth is not None])
    adjective = "right" if question.kind == "choice" else "close"
    right = f"; {sum(judged)} of {len(judged)} who looked were {adjective}" if judged else ""
    measured = f" Measured by the class: {question.words(truth)}." if truth is not None else ""
    words = f"{unit}: {question.text} ({len(guesses)} of {len(beliefs)} guessed{right}.{measured})"
    if isinstance(question, Curve):
        caption = f"<figcaption><strong>{escape(words)}</strong></figcaption>"
        return f"<figure>{caption}{_curves(question, guesses, truth)}</figure>"
    return table(words, ["guess", "students"], _rows(question, guesses, truth))


def consensus(question: Question, truths: list) -> object:
    """What came out for the class: the most frequent letter, the median number, the median at each place."""
    if not truths:
        return None
    if question.kind == "choice":
        return min(Counter(truths).items(), key=lambda item: (-item[1], item[0]))[0]
    return tuple(map(median, zip(*truths, strict=True))) if isinstance(question, Curve) else median(truths)


def _rows(question: Question, guesses: list, truth: object) -> list[list[str]]:
    if isinstance(question, Number):
        edge = (question.high - question.low) / _BINS
        names = {
            i: f"{question.low + i * edge:g} to {question.low + (i + 1) * edge:g} {question.unit}" for i in range(_BINS)
        }
        place = lambda value: min(max(int((value - question.low) / edge), 0), _BINS - 1)  # noqa: E731
    else:
        names = {letter: question.words(letter) for letter in question.choices}
        place = lambda letter: letter  # noqa: E731
    counts = Counter(map(place, guesses))
    most = max(counts.values(), default=1)
    mark = None if truth is None else place(truth)
    return [
        [
            f"<strong>{escape(name)} (measured)</strong>" if key == mark else escape(name),
            f'<span class="bar" style="width:{_EM * counts[key] / most:.1f}em" aria-hidden="true"></span> {counts[key]}',
        ]
        for key, name in names.items()
    ]


def _curves(question: Curve, guesses: list, truth: object) -> str:
    """Every guess as a thin line, the truth as a thick dashed one."""

    def line(heights, look: str) -> str:
        shares = [min(max((height - question.low) / (question.high - question.low), 0), 1) for height in heights]
        points = " ".join(
            f"{_MARGIN + place * (_WIDTH - 2 * _MARGIN):.1f},{_HEIGHT - 24 - share * (_HEIGHT - 40):.1f}"
            for place, share in zip(question.places, shares, strict=True)
        )
        return f'<polyline points="{points}" fill="none" {look}/>'

    def text(x: float, y: float, words: object, anchor: str) -> str:
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(str(words))}</text>'

    places = [_MARGIN + place * (_WIDTH - 2 * _MARGIN) for place in question.places]
    parts = [line(guess, 'stroke="#0072b2" stroke-width="1.5" stroke-opacity="0.5"') for guess in guesses]
    parts += [line(truth, 'stroke="#000" stroke-width="3" stroke-dasharray="7 4"')] if truth is not None else []
    parts += [text(x, _HEIGHT - 6, f"{value:g}", "middle") for x, value in zip(places, question.x, strict=True)]
    parts += [
        text(_MARGIN - 8, 20, f"{question.high:g}", "end"),
        text(_MARGIN - 8, _HEIGHT - 20, f"{question.low:g}", "end"),
    ]
    axes = f"{question.ylabel} against {question.xlabel}"
    alt = f"{axes}: {len(guesses)} guesses" + (f". Measured: {question.words(truth)}" if truth is not None else "")
    note = f"{axes}. Thin: guesses." + (" Thick, dashed: measured." if truth is not None else "")
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(alt)}" font-size="12">'
        f"{''.join(parts)}</svg><p>{escape(note)}</p>"
    )


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
