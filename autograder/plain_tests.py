"""nbgrader's ordinary test cells: run beside the student's code, scored by what they leave, as nbgrader documents it.

No error is all points, an error none, and a number in the last line that many points. They are less protected than
checks: whoever shares a process with a test can change what it sees.
"""

from __future__ import annotations

import math
import re

from nbformat import NotebookNode
from nbformat.v4 import new_output

from .examiner.settings import RECORD
from .grades_file import CRASHED
from .template import TEST, is_check, kind_of

HIDDEN = "in a hidden test"
_LINE = re.compile(r"\bIn\s?\[\d+\], line (\d+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def is_plain(cell: NotebookNode) -> bool:
    """True for a test cell that is no check."""
    return cell.cell_type == "code" and kind_of(cell) == TEST and not is_check(cell.source)


def tidy_errors(cell: NotebookNode) -> None:
    """Of an error the line of the test in which it came stays, if it is no hidden one, and the error itself.

    The whole traceback would show hidden tests to students.
    """
    for output in cell.outputs:
        if output.output_type == "error":
            said = f"{output.ename}: {output.evalue}".rstrip(": ")
            where = _where(cell.source, "\n".join(output.traceback))
            output.traceback = [where, said] if where else [said]


def _where(source: str, traceback: str) -> str:
    found = _LINE.search(_COLOURS.sub("", traceback))
    lines = source.split("\n")
    if found is None or not 0 < int(found[1]) <= len(lines):
        return ""
    number = int(found[1])
    above = "\n".join(lines[:number])
    if above.count("BEGIN HIDDEN TESTS") > above.count("END HIDDEN TESTS"):
        return HIDDEN
    return f"line {number}: {lines[number - 1].strip()}"


def settle(cell: NotebookNode) -> None:
    """Leave only such outputs as nbgrader scores as it documents: a number within the points, an error, or neither.

    A number that the test cannot mean (below 0, above the points, nan) is no score: it is recorded as a fault.
    """
    if any(output.output_type == "error" for output in cell.outputs):
        return
    most = float(cell.metadata.nbgrader["points"])
    for index, output in enumerate(cell.outputs):
        if output.output_type != "execute_result":
            continue
        try:
            points = float(output.data.get("text/plain", ""))
        except ValueError:
            points = None
        if points is not None and 0 <= points <= most:
            continue
        cell.outputs[index] = new_output("display_data", data=output.data, metadata=output.metadata)
        if points is not None:
            given = "no number" if math.isnan(points) else f"{points:g}"
            fault = f"the test gave {given} for points, expected 0 to {most:g}"
            cell.metadata[RECORD] = {**cell.metadata.get(RECORD, {}), "status": CRASHED, "fault": fault}
            cell.outputs.append(new_output("error", ename="CourseFault", evalue=fault, traceback=[fault]))
            return
