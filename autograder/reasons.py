"""Why a cell got the points it got, in a line, read from the graded notebook."""

from __future__ import annotations

import re
from typing import Any

from nbformat import NotebookNode

from course_utils.checks.engine.score import MIME
from course_utils.system.stubs import NOT_WRITTEN

from .examiner.settings import RECORD
from .grades_file import CRASHED, GRADED, REPAIRED, TIMED_OUT
from .older_release import ADDED
from .plain_tests import is_plain
from .preprocessors import is_answer, is_unanswered

LONGEST = 1000
STATUS_OF_ERROR = {"ProcessEnded": CRASHED, "CellTimeoutError": TIMED_OUT}
OUR_ERRORS = (*STATUS_OF_ERROR, "NoVerdict", "CallFailed", "CourseFault")


def explain_cell(
    cell: NotebookNode | None, score: float | None, max_score: float, exercise: NotebookNode | None = None
) -> tuple[str, str]:
    """Status and reason of a graded cell. The reason is empty for full marks where nothing was repaired.

    ``exercise`` is the cell that the graded one tests: where it failed itself, that is the reason.
    """
    if cell is None:
        return GRADED, "the graded cell is no longer in the notebook"
    record = cell.metadata.get(RECORD, {})
    if record.get("added") and not score:
        return GRADED, ADDED
    status, reason = _explain(cell, score, max_score, exercise)
    status = record.get("status", status)
    if record.get("missing"):
        reason = shorten(f"{reason}; {plain(record['missing'])}")
    if record.get("repaired"):
        note = f"repaired: {'; '.join(record['repaired'])}"
        return REPAIRED if status == GRADED else status, f"{reason} ({note})" if reason else note
    return status, reason


def _explain(
    cell: NotebookNode, score: float | None, max_score: float, exercise: NotebookNode | None
) -> tuple[str, str]:
    if is_answer(cell):
        return GRADED, "not answered" if is_unanswered(cell) or score == 0 else ""
    if cell.cell_type != "code":
        return GRADED, ""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if errors:
        error = errors[0]
        if error.ename == "NameError" and exercise is not None:
            own = next((output for output in exercise.get("outputs", []) if output.output_type == "error"), None)
            if own is not None:
                return GRADED, f"the cell of the exercise does not run: {explain_error(own)}"
        where = error.traceback[0] if is_plain(cell) and len(error.traceback) == 2 else ""
        reason = explain_error(error)
        reason = shorten(plain(f"{reason} ({where})")) if where and reason != NOT_WRITTEN else reason
        return STATUS_OF_ERROR.get(error.ename, GRADED), reason
    if score is not None and score >= max_score:
        return GRADED, ""
    if is_plain(cell) and score is not None:
        return GRADED, f"the test gave {score:g} of {max_score:g} points"
    return GRADED, shorten(explain_score(cell))


def explain_error(output: NotebookNode) -> str:
    """The reason behind an error output."""
    if output.ename == "NotImplementedError":
        return NOT_WRITTEN
    return shorten(
        plain(output.evalue if output.ename in OUR_ERRORS else f"{output.ename}: {output.evalue}".rstrip(": "))
    )


def explain_score(cell: NotebookNode) -> str:
    """What the check says: its note (such as 'not written yet'), or the broken laws and the likely causes."""
    score = score_of(cell)
    note, laws = score.get("note", ""), score.get("laws", [])
    broken = [law for law in laws if not law["passed"]]
    if NOT_WRITTEN in note or (broken and all(law["cause_id"] == "not_written" for law in broken)):
        return NOT_WRITTEN
    if note or not broken:
        return _headline(score) if score else ""
    names = f"broken: {'; '.join(plain(law['name']) for law in broken)}"
    if causes := _likely_causes(score):
        return f"{names}. Likely cause: {' Also: '.join(causes)}"
    expected, came = plain(broken[0]["expected"]), plain(broken[0]["got"])
    return f"{names}. Expected {expected}, came {came}" if expected or came else names


def score_of(cell: NotebookNode) -> dict[str, Any]:
    """The check's result as data (`Score.to_dict`): what the grading has recorded goes before what the cell shows.

    Empty where there is neither.
    """
    shown: dict[str, Any] = next(
        (data[MIME] for output in cell.outputs if MIME in (data := output.get("data", {}))), {}
    )
    recorded = cell.metadata.get(RECORD, {}).get("laws")
    return {**shown, "laws": recorded} if recorded else shown


def _likely_causes(score: dict[str, Any]) -> list[str]:
    """The causes that the laws name, each once; only broken laws name any."""
    named = [plain(law["cause"]) for law in score.get("laws", [])]
    return list(dict.fromkeys(filter(None, named)))


def _headline(score: dict[str, Any]) -> str:
    """Where no broken law says why points are missing: the note, or that all laws hold, and the points."""
    if "earned" not in score:
        return ""
    what = score["note"] or f"all {len(score['laws'])} laws hold"
    return plain(f"{score['exercise']}: {what}: {score['earned']:g} of {score['points']:g} points")


def plain(text: str) -> str:
    """Text without terminal colours and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
