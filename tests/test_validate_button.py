"""Validate's dialog says why points are missing."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_output

from course_utils.checks.engine.score import MIME, Cause, LawResult, Score
from course_utils.cli.validate_button import Reasons

LAWS = (
    LawResult("first law", 1, True),
    LawResult("second law", 1, False, "0.5", "1", Cause("id", "The half is missing.", "the card")),
)


class Nbgraders:
    def _extract_error(self, cell):
        return "Partial credit"


class Speaking(Reasons, Nbgraders):
    pass


def said(data) -> str:
    return Speaking()._extract_error(new_code_cell(outputs=[new_output("execute_result", data, execution_count=1)]))


def test_a_check_s_points_cause_and_broken_laws_are_said():
    text = said({"text/plain": "1.5", MIME: Score("double", 3, LAWS).to_dict()})
    assert text.splitlines() == [
        "double: 1.5 of 3 points",
        "Likely cause: The half is missing. Look at the card.",
        "Broken: second law",
        "  expected: 0.5",
        "  came:     1",
    ]


def test_what_is_not_written_is_said_and_other_cells_speak_as_nbgrader_does():
    assert said({MIME: Score("double", 3, LAWS, note="not written yet").to_dict()}).endswith("\nnot written yet")
    assert said({"text/plain": "1"}) == "Partial credit"
