"""Why a cell got the points it got, in a line, read from the graded notebook."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from nbformat import NotebookNode

from .examiner.settings import RECORD
from .grades_file import CRASHED, GRADED, REPAIRED, TIMED_OUT
from .preprocessors import is_answer
from .repair import is_blank

NOT_WRITTEN = "not written yet"
LONGEST = 1000
LIKELY_CAUSE, ALSO = "Likely cause: ", " Also: "
STATUS_OF_ERROR = {"ProcessEnded": CRASHED, "CellTimeoutError": TIMED_OUT}
OUR_ERRORS = (*STATUS_OF_ERROR, "NoVerdict", "CallFailed")


def explain_cell(
    cell: NotebookNode | None, score: float | None, max_score: float, exercise: NotebookNode | None = None
) -> tuple[str, str]:
    """Status and reason of a graded cell. The reason is empty for full marks where nothing was repaired.

    ``exercise`` is the cell that the graded one tests: where it failed itself, that is the reason.
    """
    if cell is None:
        return GRADED, "the graded cell is no longer in the notebook"
    record = cell.metadata.get(RECORD, {})
    status, reason = _explain(cell, score, max_score, exercise)
    status = record.get("status", status)
    if record.get("repaired"):
        note = f"repaired: {'; '.join(record['repaired'])}"
        return REPAIRED if status == GRADED else status, f"{reason} ({note})" if reason else note
    return status, reason


def _explain(
    cell: NotebookNode, score: float | None, max_score: float, exercise: NotebookNode | None
) -> tuple[str, str]:
    if is_answer(cell):
        return GRADED, "not answered" if is_blank(cell.source) else ""
    errors = [output for output in cell.outputs if output.output_type == "error"]
    if errors:
        error = errors[0]
        if error.ename == "NameError" and exercise is not None:
            own = next((output for output in exercise.get("outputs", []) if output.output_type == "error"), None)
            if own is not None:
                return GRADED, f"the cell of the exercise does not run: {explain_error(own)}"
        return STATUS_OF_ERROR.get(error.ename, GRADED), explain_error(error)
    if score is not None and score >= max_score:
        return GRADED, ""
    return GRADED, shorten(explain_score(cell))


def explain_error(output: NotebookNode) -> str:
    """The reason behind an error output."""
    if output.ename == "NotImplementedError":
        return NOT_WRITTEN
    return shorten(plain(output.evalue if output.ename in OUR_ERRORS else f"{output.ename}: {output.evalue}"))


def explain_score(cell: NotebookNode) -> str:
    """What the check's result says: its note (such as 'not written yet'), or the broken laws and the likely causes."""
    for output in cell.outputs:
        html = output.get("data", {}).get("text/html")
        if html:
            result = CheckResult("".join(html))
            return NOT_WRITTEN if NOT_WRITTEN in result.headline else result.summary()
    return ""


def plain(text: str) -> str:
    """Text without terminal colours and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def shorten(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


class CheckResult(HTMLParser):
    """What a check shows under its cell, read back: the headline, and the rows of the table of laws."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.headline = ""
        self.rows: list[list[str]] = []
        self._text: list[str] | None = None
        self.feed(html)

    def summary(self) -> str:
        """The broken laws, then each likely cause once."""
        broken = [row for row in self.rows if len(row) > 1 and "broken" in row[1]]
        if not broken:
            return self.headline
        laws = "; ".join(row[0] for row in broken)
        causes = self.causes()
        if causes:
            return f"{laws}. {LIKELY_CAUSE}{ALSO.join(causes)}"
        expected, came = (broken[0] + ["", ""])[2:4]
        return f"{laws}. Expected {expected}, came {came}" if expected or came else laws

    def causes(self) -> list[str]:
        """The likely causes named, each once."""
        named = [row[3].partition(LIKELY_CAUSE.strip())[2].strip() for row in self.rows if len(row) > 3]
        return list(dict.fromkeys(filter(None, named)))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag == "td" or (tag == "p" and not self.headline):
            self._text = []
        elif tag == "br":
            self.handle_data(" ")

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("td", "p") or self._text is None:
            return
        text, self._text = plain("".join(self._text)), None
        if tag == "td" and self.rows:
            self.rows[-1].append(text)
        elif tag == "p" and not self.headline:
            self.headline = text
