"""Reasons in grades.csv come from a check's result as data, whatever the table under the cell looks like."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_output

from autograder.reasons import explain_score
from course_utils.checks.engine.score import MIME, Cause, LawResult, Score

ADDS = Cause("adds", "You add\nwhere the text multiplies.", "the second cell")
HOLDS = LawResult("returns a number", 1, True)
WRONG = LawResult("value at 2", 3, False, "4", "5")
NAMED = LawResult("value at 3", 3, False, "9", "<b>6</b>\nor so", ADDS)
STUB = LawResult("value", 1, False, "a result", "not written yet", Cause("not_written", "double is not written yet."))
LIKELY = "Likely cause: You add where the text multiplies. Look at the second cell."

CASES = {
    "causes before values": ((HOLDS, WRONG, NAMED), "", f"broken: value at 2; value at 3. {LIKELY}"),
    "a cause once": ((NAMED, NAMED), "", f"broken: value at 3; value at 3. {LIKELY}"),
    "values where no cause is named": ((HOLDS, WRONG), "", "broken: value at 2. Expected 4, came 5"),
    "a law alone": ((LawResult("value", 1, False),), "", "broken: value"),
    "not written": ((STUB, STUB), "not written yet", "not written yet"),
    "another note": ((WRONG,), "cannot be judged", "double: cannot be judged: 0 of 3 points"),
    "all laws hold": ((HOLDS,), "", "double: all 1 laws hold: 3 of 3 points"),
}


def cell(outputs=(), **record):
    marks = {"nbgrader": {"grade_id": "test_double", "grade": True, "solution": False}}
    return new_code_cell("", outputs=list(outputs), metadata=marks | ({"course": record} if record else {}))


def shown(score: Score):
    """What IPython and the grading put under a cell."""
    return new_output("execute_result", score._repr_mimebundle_(), execution_count=1)


@pytest.mark.parametrize("name", CASES)
def test_a_reason_is_read_from_the_output_s_data_with_or_without_a_record(name):
    laws, note, reason = CASES[name]
    score = Score("double", 3, laws, note=note)
    assert explain_score(cell([shown(score)])) == reason
    assert explain_score(cell([shown(score)], laws=[law.to_dict() for law in laws])) == reason


def test_the_record_goes_before_the_output_and_suffices():
    laws = [law.to_dict() for law in (HOLDS, NAMED)]
    assert explain_score(cell([shown(Score("double", 3, (WRONG,)))], laws=laws)) == f"broken: value at 3. {LIKELY}"
    assert explain_score(cell(laws=laws)) == f"broken: value at 3. {LIKELY}"
    assert explain_score(cell(laws=[STUB.to_dict()])) == "not written yet"


def test_the_table_is_never_read():
    html = Score("double", 3, (NAMED,))._repr_html_()
    assert explain_score(cell([new_output("execute_result", {"text/html": html, "text/plain": "0"})])) == ""
    assert explain_score(cell()) == "" == explain_score(cell(laws=[]))


def test_ipython_shows_a_score_as_a_number_a_table_and_data():
    from IPython.core.formatters import DisplayFormatter

    score = Score("double", 3, (HOLDS, NAMED))
    bundle, _ = DisplayFormatter().format(score)
    assert (bundle["text/plain"], bundle["text/html"]) == ("0.75", score._repr_html_())
    assert bundle[MIME]["laws"][1] == score.to_dict()["laws"][1] and bundle[MIME]["exercise"] == "double"
