"""What the class believed: read from submitted notebooks that anybody may have written, and shown in the report."""

from __future__ import annotations

import json
import re

import nbformat
import pytest
from miniature import make_tree
from nbformat.v4 import new_code_cell, new_notebook, new_output

from autograder.beliefs import beliefs_in, class_belief, class_beliefs, questions_of
from autograder.safe_html import TEMPLATES
from autograder.sample_guesses import add_guesses
from course_utils.plots.guessing.questions import MIME, Choice, Curve, Number
from course_utils.system.templates import render
from course_utils.system.tree import Tree

UNIT = "01_double"
CHOICE = Choice("Which <way>?", {"a": "left", "b": "right"})
NUMBER = Number("How many?", 0, 50, "units")
CURVE = Curve("How does it fall?", (8, 16, 32), 0, 1, "n", "estimate")
QUESTIONS = {question.text: question for question in (CHOICE, NUMBER, CURVE)}
CELLS = [
    "g = predict.choose('Which <way>?', a='left', b='right', guess={})",
    "h = predict.number('How many?', 0, 50, 'units', guess={})",
    "k = predict.curve('How does it fall?', (8, 16, 32), 0, 1, xlabel='n', ylabel='estimate', guess={})",
]


def notebook(*records: object, typed: tuple = ("''", "None", "None")) -> nbformat.NotebookNode:
    """A notebook with the three predict cells, and a cell whose outputs carry ``records``."""
    asked = [
        new_code_cell(cell.format(guess), metadata={"tags": ["predict"]})
        for cell, guess in zip(CELLS, typed, strict=True)
    ]
    outputs = [new_output("display_data", {MIME: record}) for record in records]
    return new_notebook(cells=[*asked, new_code_cell("", outputs=outputs)])


def kept(question, guess, truth=None) -> dict:
    return {"question": question.text, "guess": guess, "truth": truth}


def shown(*beliefs) -> str:
    return render(TEMPLATES / "beliefs.html.j2", beliefs=beliefs)


def test_the_source_says_what_may_be_believed():
    assert questions_of(notebook()) == QUESTIONS


def test_what_is_locked_counts_before_what_is_typed_and_what_is_typed_before_nothing():
    submitted = notebook(
        kept(NUMBER, None, 31), kept(NUMBER, 12), kept(CHOICE, "a", "b"), typed=("'b'", "40", "[1, 0.5, 0]")
    )
    assert beliefs_in(submitted, QUESTIONS) == {
        CHOICE.text: ("a", "b"),
        NUMBER.text: (12, 31),
        CURVE.text: ((1, 0.5, 0), None),
    }


@pytest.mark.parametrize(
    "record",
    [
        None,
        1,
        "text",
        [],
        {},
        {"question": ["How many?"]},
        {"question": "How much?", "guess": 3},
        {"question": None, "guess": 1},
        *(
            kept(NUMBER, value, value)
            for value in ("<b>", 10**400, float("nan"), float("inf"), True, [3], {"a": 1}, "3")
        ),
        *(kept(CHOICE, value, value) for value in ("<script>", "c", 1, ["a"], {"a": "a"}, "a" * 1_000_000)),
        *(
            kept(CURVE, value, value)
            for value in ([1] * 100_000, [[1]] * 3, ["<b>"] * 3, [None] * 3, [1e400] * 3, {"0": 1}, "abc")
        ),
    ],
)
def test_no_record_but_an_answer_to_a_question_is_taken(record):
    assert set(beliefs_in(notebook(record), QUESTIONS).values()) == {(None, None)}


@pytest.mark.parametrize(
    "typed",
    ["<b>", "__import__('os').system('true')", "10 ** 400", "'" + "a" * 100_000 + "'", "float('nan')", "1e999", "("],
)
def test_nothing_typed_but_an_answer_to_a_question_is_taken(typed):
    assert set(beliefs_in(notebook(typed=(typed,) * 3), QUESTIONS).values()) == {(None, None)}


def test_the_report_counts_guesses_and_marks_what_was_measured_and_who_was_right():
    page = shown(
        class_belief(UNIT, CHOICE, [("a", "b"), ("b", "b"), ("b", "a"), ("b", None), (None, "b"), (None, None)])
    )
    text = re.sub(r"<[^>]+>", "", page)
    assert "Which &lt;way&gt;? (4 of 6 guessed; 1 of 3 who looked were right. Measured by the class: b, right.)" in text
    assert "a, left 1" in text and "b, right (measured) 3" in text and "<way>" not in page
    text = re.sub(r"<[^>]+>", "", shown(class_belief(UNIT, NUMBER, [(0, 31), (30, 31.5), (50, 1e9)])))
    assert "1 of 3 who looked were close. Measured by the class: 31.5 units." in text
    assert "0 to 5 units 1" in text and "30 to 35 units (measured) 1" in text and "45 to 50 units 1" in text


def test_the_report_draws_every_curve_and_the_measured_one_inside_the_picture():
    page = shown(class_belief(UNIT, CURVE, [((1, 1, 1), (1e12, -1e12, 0.5)), ((0, 0.5, 1), None)]))
    lines = [
        [tuple(map(float, point.split(","))) for point in points.split()]
        for points in re.findall(r'points="([^"]+)"', page)
    ]
    assert len(lines) == 3 and {len(line) for line in lines} == {3}
    assert all(0 <= x <= 600 and 0 <= y <= 160 for line in lines for x, y in line), lines
    assert lines[0][0][1] < lines[1][0][1] and "2 guesses" in page


def test_damaged_and_missing_submissions_leave_the_others_in_the_report(tmp_path):
    tree = Tree(make_tree(tmp_path / "course"))
    path = tree.source / UNIT / f"{UNIT}.ipynb"
    source = nbformat.read(path, as_version=4)
    source.cells += notebook().cells[:3]
    nbformat.write(source, path)
    add_guesses(source, "ada", {NUMBER.text: (None, 31)})
    odd = {
        "cells": [
            3,
            {"cell_type": "code", "source": 3, "outputs": [3, {"data": 3}]},
            {"cell_type": "code", "outputs": {}},
        ]
    }
    for student, text in {
        "ada": nbformat.writes(source),
        "bad": "{",
        "odd": json.dumps(odd),
        "deep": "[" * 100_000,
    }.items():
        place = tree.root / "submitted" / student / UNIT / f"{UNIT}.ipynb"
        place.parent.mkdir(parents=True)
        place.write_text(text)
    section = shown(*class_beliefs(tree, {UNIT: ["ada", "bad", "deep", "missing", "odd"], "02_other": ["ada"]}))
    assert section.count("(1 of 4 guessed") == 3 and "Measured by the class: 31 units" in section, section
    assert "<script" not in section and "http" not in section


def test_sample_students_guess_differently_and_the_same_every_time():
    def guessed(student: str) -> dict:
        submitted = notebook()
        add_guesses(submitted, student, {})
        return beliefs_in(json.loads(nbformat.writes(submitted)), QUESTIONS)

    first = guessed("ada")
    assert first == guessed("ada") != guessed("ben") and None not in [guess for guess, _ in first.values()]


def test_what_is_counted_has_a_row_for_each_whole_number():
    table = class_belief("02", Number("How many live?", 0, 6, "dimensions"), [(3.0, 3.0), (2.0, 3.0), (6.0, 3.0)])
    names = [getattr(name, "text", name) for name, _ in table.rows]
    assert names == ["0 dimensions", "1 dimensions", "2 dimensions", "3 dimensions (measured)"] + [
        f"{n} dimensions" for n in (4, 5, 6)
    ]
    assert [count.text for _, count in table.rows] == ["0", "0", "1", "1", "0", "0", "1"]
    assert Number("How many live?", 0, 6).step == 1 and Number("What distance?", 0, 6).step == 0.1


def test_what_is_measured_has_ranges_also_where_they_are_one_wide():
    table = class_belief("02", Number("What distance?", 0, 10, "nats"), [(3.4, 3.6), (9.9, 3.6)])
    names = [getattr(name, "text", name) for name, _ in table.rows]
    assert names[:4] == ["0 to 1 nats", "1 to 2 nats", "2 to 3 nats", "3 to 4 nats (measured)"] and len(names) == 10
