"""One examination: a submission's cells run in the sandbox, its graded cells are judged outside.

A cell or a call that ends the sandbox costs only what it belongs to: a new sandbox is started, the cells before are run
again without the guilty one, and the examination goes on.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from nbformat import NotebookNode

from autograder.plain_tests import tidy_errors
from autograder.run_order import explain_missing
from autograder.template import TEST, Template, defined_names, is_check, is_not_run, kind_of
from course_utils.checks.engine.law import Check
from course_utils.checks.engine.score import Score
from course_utils.checks.engine.seeds import derived, fresh
from course_utils.cli.handin import exercise_name
from course_utils.system.errors import CourseError

from .proxy import RemoteCandidate
from .session import Ended, Session
from .settings import RECORD, Settings
from .trusted import NotDefined, TrustedCells, Verdict

TIMED_OUT, CRASHED = "timed_out", "crashed"


class Exam:
    """Examines one notebook, which is changed in place: outputs, and the record of each graded cell."""

    def __init__(
        self,
        notebook: NotebookNode,
        template: Template,
        address: str,
        settings: Settings,
        files: dict[str, bytes] | None = None,
    ) -> None:
        self._cells = notebook.cells
        self._version = str(notebook.metadata.get("language_info", {}).get("version", ""))  # of the student's Python
        self._template, self._address, self._settings = template, address, settings
        self._files = files or {}
        self._deadline = time.monotonic() + settings.total_seconds
        self._session: Session | None = None
        self._index = 0  # of the graded cell that is being judged
        self._guilty: dict[int, Ended] = {}  # cells that ended a sandbox; never run again
        self._candidates: list[RemoteCandidate] = []
        self._trusted = TrustedCells(template, self._proxy)
        self.level = ""

    def run(self) -> None:
        try:
            for index, cell in enumerate(self._cells):
                if cell.cell_type != "code":
                    continue
                if is_run(cell):
                    self._run(index, cell)
                elif kind_of(cell) == TEST and cell.metadata.nbgrader["grade_id"] in self._template.marked:
                    self._judge(index, cell)
        finally:
            self._leave()
        for index, cell in enumerate(self._cells):
            if cell.cell_type == "code" and kind_of(cell) == TEST and (why := explain_missing(self._cells, index)):
                cell.metadata[RECORD] = {**cell.metadata.get(RECORD, {}), "missing": why}

    def replay(self, check: Check, law: str | None, seed: int | None) -> Score:
        """Judge one exercise alone, after the cells above its test. Raises CourseError when there is nothing to
        judge."""
        name, grade_id = check.exercise, f"test_{check.exercise}"
        self._index = next(
            index
            for index, cell in enumerate(self._cells)
            if kind_of(cell) == TEST and cell.metadata.nbgrader["grade_id"] == grade_id
        )
        try:
            points = float(self._cells[self._index].metadata.nbgrader["points"])
            return check.judge(self._proxy(name), points, law=law, seed=seed)
        except NameError:
            reason = (self._who_broke(grade_id) or ("", f"the cells above its test do not define {name}"))[1]
            raise CourseError(f"there is nothing to judge: {reason}.") from None
        except Ended as ended:
            raise CourseError(f"there is nothing to judge: {ended.reason}.") from None
        finally:
            for candidate in self._candidates:
                candidate.close()
            self._leave()

    def _run(self, index: int, cell: NotebookNode) -> None:
        cell.outputs, cell.execution_count = [], None
        try:
            session = self._session_before(index)
            result = session.run_cell(cell.source, self._seconds())
            cell.outputs = [NotebookNode(output) for output in result["outputs"]]
            cell.execution_count = result["count"]
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = result["count"]
                elif output.output_type == "error":
                    self._name_versions(output)
            if kind_of(cell) == TEST:
                tidy_errors(cell)
        except Ended as ended:
            self._blame(index, ended)

    def _name_versions(self, output: NotebookNode) -> None:
        """Syntax that this Python does not know may be that of a newer one, in which the notebook was written."""
        here, there = sys.version_info[:2], tuple(map(int, self._version.split(".")[:2])) if self._version else (0, 0)
        if output.ename in ("SyntaxError", "IndentationError") and there > here:
            output.evalue += f" (written with Python {self._version}, graded with {here[0]}.{here[1]})"

    def _judge(self, index: int, cell: NotebookNode) -> None:
        marks = cell.metadata.nbgrader
        self._candidates = []
        verdict = Verdict()
        trouble: tuple[str, str] | None = None
        try:
            self._session_before(index)
            self._index = index
            verdict = self._trusted.judge(self._template.marked[marks["grade_id"]].source, float(marks["points"]))
            trouble = next((c.trouble for c in self._candidates if c.trouble), None)
            if isinstance(verdict.error, Ended):
                raise verdict.error
        except Ended as ended:
            trouble = ended.status, ended.reason
        finally:
            for candidate in self._candidates:
                candidate.close()
        if isinstance(verdict.error, NameError) or not verdict.outputs:
            trouble = trouble or self._who_broke(marks["grade_id"])
        if trouble is not None:
            self._leave()  # something may still be running in there
            if verdict.points is None:
                name = "CellTimeoutError" if trouble[0] == TIMED_OUT else "ProcessEnded"
                verdict.outputs = [_error(name, trouble[1])]
        cell.outputs = [NotebookNode(output) for output in verdict.outputs]
        cell.execution_count = None
        record: dict[str, Any] = {"laws": verdict.laws}
        if trouble is not None and (verdict.points is None or verdict.points < float(marks["points"])):
            record |= {"status": trouble[0], "trouble": trouble[1]}
        elif verdict.fault:
            record |= {"status": CRASHED, "fault": verdict.fault}
        cell.metadata[RECORD] = {**cell.metadata.get(RECORD, {}), **record}

    def _proxy(self, name: str) -> RemoteCandidate:
        session = self._session_before(self._index)
        if not session.knows(name):
            raise NotDefined(f"name '{name}' is not defined")
        candidate = RemoteCandidate(
            session,
            name,
            lambda: self._new_session(self._index),
            self._settings.grace,
            self._settings.call_limits,
            self._settings.seed,
            self._deadline,
            self._unjudged(),
        )
        self._candidates.append(candidate)
        return candidate

    def _unjudged(self) -> frozenset[str]:
        """The exercises whose tests are still to come, after the one that is being judged."""
        ids = (cell.metadata.nbgrader["grade_id"] for cell in self._cells[self._index + 1 :] if kind_of(cell) == TEST)
        return frozenset(map(exercise_name, ids))

    def _session_before(self, index: int) -> Session:
        """A session in which the cells before `index` have been run. Raises Ended when there is no time for it."""
        if self._session is None or self._session.ended is not None:
            self._leave()
            self._session = self._new_session(index)
        return self._session

    def _new_session(self, index: int) -> Session:
        while True:
            self._seconds()
            seed = derived(self._settings.seed, "session") if self._settings.seed else fresh()
            session = Session(self._address, self._settings.limits, self._files, self._settings.call_limits, seed)
            self.level = session.level
            for number, cell in enumerate(self._cells[:index]):
                if cell.cell_type != "code" or number in self._guilty or not is_run(cell):
                    continue
                try:
                    session.run_cell(cell.source, self._seconds())
                except Ended as ended:
                    self._blame(number, ended)
                    break
            else:
                return session

    def _blame(self, index: int, ended: Ended) -> None:
        self._guilty[index] = ended
        name = "CellTimeoutError" if ended.status == TIMED_OUT else "ProcessEnded"
        self._cells[index].outputs = [NotebookNode(_error(name, ended.reason))]
        self._leave()

    def _who_broke(self, grade_id: str) -> tuple[str, str] | None:
        """The cell that should have defined what this test is about, if it ended a sandbox."""
        wanted = grade_id.removeprefix("test_")
        for index, ended in self._guilty.items():
            cell = self._cells[index]
            if cell.metadata.get("nbgrader", {}).get("grade_id") == wanted or wanted in defined_names(cell.source):
                return ended.status, ended.reason
        return None

    def _seconds(self) -> float:
        """Seconds for the next cell. Raises Ended when the notebook's time is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Ended(TIMED_OUT, f"the notebook took longer than {self._settings.total_seconds:g} seconds")
        return min(self._settings.cell_seconds, left)

    def _leave(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def is_run(cell: NotebookNode) -> bool:
    """Is this code cell run inside? Experiments and predictions are not, and checks are judged outside; a plain test
    is run as nbgrader runs it, beside the student's code."""
    return not is_not_run(cell) and not (kind_of(cell) == TEST and is_check(cell.source))


def _error(name: str, message: str) -> dict[str, Any]:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": [f"{name}: {message}"]}
