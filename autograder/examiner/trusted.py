"""Runs a graded test cell outside, in the instructor's own words, on proxies for what the student wrote."""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from autograder.template import NOT_RUN, PROVIDED, SOLUTION, Template, defined_names
from course_utils.checks.engine.score import Score
from course_utils.checks.engine.verdict import CallFailed

from .session import Ended

_MOST_PRINTED = 10_000
_TEST_CELL = "<test cell>"


class NotDefined(NameError):
    """The notebook has nothing by the name of an exercise."""


@dataclass
class Verdict:
    """What a test cell gave: outputs as nbformat has them, the points if there are any, and the laws behind them."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    points: float | None = None
    laws: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None
    fault: str = ""  # of the course itself: then there is no score


class TrustedCells:
    """The namespace outside. Names of exercises mean proxies; other names come from the unit's provided cells."""

    def __init__(self, template: Template, proxy: Callable[[str], Any]) -> None:
        self._proxy = proxy
        self._exercises = {
            name for cell in template.cells if cell.kind == SOLUTION for name in [cell.grade_id, *cell.defines]
        }
        self._provided = {
            name: cell.source
            for cell in template.cells
            if cell.kind == PROVIDED and cell.cell_type == "code" and set(cell.tags).isdisjoint(NOT_RUN)
            for name in cell.defines
        }
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def judge(self, source: str, points: float) -> Verdict:
        """Run a test cell; its last expression is the verdict. Never raises because of the student."""
        printed, verdict = io.StringIO(), Verdict()
        value = None
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                names = dict(self._names)
                for name in needed_names(source):
                    self._provide(name, names)
                value = _run(source, names)
        except Exception as error:
            verdict.error = error
        if printed.getvalue():
            verdict.outputs.append(
                {"output_type": "stream", "name": "stdout", "text": printed.getvalue()[:_MOST_PRINTED]}
            )
        if verdict.error is not None and _is_courses_own(verdict.error):
            verdict.fault = f"the check itself failed ({type(verdict.error).__name__}: {verdict.error})"
            verdict.outputs.append(_error_output(ValueError(verdict.fault), "CourseFault"))
        elif verdict.error is not None:
            verdict.outputs.append(_error_output(verdict.error))
        else:
            self._settle(verdict, value, points)
        return verdict

    def _settle(self, verdict: Verdict, value: Any, most: float) -> None:
        try:
            points = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            points = math.nan
        if not 0 <= points <= most:
            verdict.error = ValueError("the check did not return a score")
            verdict.outputs.append(_error_output(verdict.error, "NoVerdict"))
            return
        verdict.points = points
        data: dict[str, Any] = {"text/plain": repr(value)}
        if isinstance(value, Score):
            data = value._repr_mimebundle_()
            verdict.laws = value.to_dict()["laws"]
        verdict.outputs.append({"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": None})

    def _provide(self, name: str, names: dict[str, Any]) -> None:
        if name in names or hasattr(builtins, name):
            return
        if name in self._exercises or name not in self._provided:
            names[name] = self._proxy(name)
            return
        cell = self._provided[name]
        for other in needed_names(cell):
            self._provide(other, self._names)
        exec(compile(cell, "<provided>", "exec"), self._names)
        names.update({key: value for key, value in self._names.items() if key not in names})


def _is_courses_own(error: BaseException) -> bool:
    """Whether a check or a cell of the course failed, rather than what it was about.

    What a student's function is blamed for comes as an error of the proxies or as an assertion, or fails in the words
    of the test cell, which use its result.
    """
    if isinstance(error, ImportError):
        return True
    if isinstance(error, (CallFailed, Ended, NotDefined, AssertionError)):
        return False
    frames = list(traceback.walk_tb(error.__traceback__))
    return not frames or frames[-1][0].f_code.co_filename != _TEST_CELL


def needed_names(source: str) -> list[str]:
    """Names that a cell reads and does not bind itself."""
    tree = ast.parse(source)
    bound = (
        set(defined_names(source))
        | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    )
    return list(
        dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id not in bound)
    )


def _run(source: str, names: dict[str, Any]) -> Any:
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        exec(compile(tree, _TEST_CELL, "exec"), names)
        return None
    tree.body.pop()
    exec(compile(tree, _TEST_CELL, "exec"), names)
    return eval(compile(ast.Expression(last.value), _TEST_CELL, "eval"), names)


def _error_output(error: BaseException, name: str = "") -> dict[str, Any]:
    message = str(error)
    if isinstance(error, NotImplementedError):
        name = "NotImplementedError"
    elif isinstance(error, NameError):
        name = name or "NameError"
    elif isinstance(error, CallFailed):
        head, _, rest = message.partition(": ")  # the student's own exception, where there was one
        name, message = (head, rest) if head.isidentifier() and rest else ("CallFailed", message)
    name = name or type(error).__name__
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": [f"{name}: {message}"]}
