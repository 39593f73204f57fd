"""grades.csv and grades.json as files."""

from __future__ import annotations

import pytest

from autograder.grades_file import Grade, number, read_grades, replace_unit, write_grades


def grade(student="ada", unit="01_a", exercise="kl", score=1.0, reason=""):
    return Grade(student, unit, exercise, score, 4, "graded", reason)


TEXTS = ("=1+1", "+x", "-x", "@x", "\tx", "plain", "with, comma", 'with "quotes"', "two\nlines", "ünï")
SCORES = ((None, ""), (0.0, "0"), (2, "2"), (2.5, "2.5"), (10.0, "10"), (3.999, "4"), (2.67, "2.67"))


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_as_it_was_and_never_as_a_formula(tmp_path, text):
    write_grades(tmp_path, [grade(student=text, reason=text)])
    assert read_grades(tmp_path / "grades.csv") == [grade(student=text, reason=text)]
    assert not (tmp_path / "grades.csv").read_text().splitlines()[1].startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize(("value", "text"), SCORES)
def test_scores_are_decimals_and_unknown_is_empty(value, text):
    assert number(value) == text


def test_replacing_one_unit_keeps_the_others_and_sorts(tmp_path):
    write_grades(tmp_path, [grade(unit="02_b"), grade(student="bob"), grade(exercise="old")])
    replace_unit(tmp_path, "01_a", [grade(exercise="new")])
    rows = [(row.student, row.unit, row.exercise) for row in read_grades(tmp_path / "grades.csv")]
    assert rows == [("ada", "01_a", "new"), ("ada", "02_b", "kl")]


def test_replacing_one_student_keeps_the_classmates(tmp_path):
    write_grades(tmp_path, [grade(), grade(student="bob")])
    replace_unit(tmp_path, "01_a", [grade(score=3.0)], students={"ada"})
    assert [(row.student, row.score) for row in read_grades(tmp_path / "grades.csv")] == [("ada", 3.0), ("bob", 1.0)]
