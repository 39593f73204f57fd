"""A unit's source notebook as tests look at it: its cells by role, its exercises run without its experiments."""

from __future__ import annotations

import ast
import doctest
import functools
import re
from pathlib import Path
from typing import Any

import nbformat

CHECKOUT = Path(__file__).resolve().parent.parent
MOST_SOLUTION_LINES = 10
SPACING = re.compile(r"\s|\\[,;:! ]|\\q?quad\b|\\[bB]igg?[lr]?\b")
EXPERIMENTS = re.compile(r"training\.fit\(|datasets\.load\(|plots\.\w+\(")


class NotebookSource:
    """``notebooks/<unit>/<unit>.ipynb``.

    Attributes:
        cells: all cells, in order.
        exercises: grade_id -> source of each cell that students fill with code.
        checks: name of the exercise -> (points, source) of each graded check cell.
        questions: topic (``q_...``) -> points of each written answer.
        text: all markdown, joined, with runs of white space made one space.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.cells = nbformat.read(CHECKOUT / "notebooks" / unit / f"{unit}.ipynb", as_version=4).cells
        self.exercises: dict[str, str] = {}
        self.checks: dict[str, tuple[float, str]] = {}
        self.questions: dict[str, float] = {}
        for cell in self.cells:
            role = cell.metadata.get("nbgrader", {})
            if role.get("solution") and cell.cell_type == "code":
                self.exercises[role["grade_id"]] = cell.source
            elif role.get("grade") and not role.get("solution"):
                self.checks[role["grade_id"].removeprefix("test_")] = (role["points"], cell.source)
            elif role.get("grade"):
                self.questions[role["grade_id"]] = role["points"]
        self.text = " ".join(" ".join(c.source for c in self.cells if c.cell_type == "markdown").split())

    def prints(self, formula: str) -> bool:
        """True if the formula stands in the text, however it is spaced and however large its brackets are."""
        return SPACING.sub("", formula) in SPACING.sub("", self.text)

    @functools.cached_property
    def space(self) -> dict[str, Any]:
        """The namespace after every code cell that is neither an experiment nor a check, as at grading."""
        space: dict[str, Any] = {"__name__": "__main__"}
        for number, cell in enumerate(self.cells):
            if cell.cell_type != "code" or "experiment" in cell.metadata.get("tags", []) or is_check(cell):
                continue
            exec(compile(cell.source, f"{self.unit}, cell {number}", "exec"), space)
        return space

    def scores(self) -> dict[str, str]:
        """Text form of what each check cell returns."""
        return {name: repr(_value_of(source, self.space)) for name, (_, source) in self.checks.items()}

    def failing_examples(self) -> dict[str, str]:
        """For each exercise whose docstring's worked example does not hold, what doctest says."""
        reports = {}
        for name in self.exercises:
            said: list[str] = []
            test = doctest.DocTestParser().get_doctest(self.space[name].__doc__, dict(self.space), name, self.unit, 0)
            doctest.DocTestRunner(verbose=False).run(test, out=said.append)
            if said:
                reports[name] = "".join(said)
        return reports

    def faults(self) -> list[str]:
        """What would be wrong with any unit's source, one line each."""
        found = []
        for number, cell in enumerate(self.cells):
            where = f"cell {number} ({cell.source.splitlines()[0][:50] if cell.source else 'empty'})"
            role, tags = cell.metadata.get("nbgrader"), cell.metadata.get("tags", [])
            if cell.get("outputs") or cell.get("execution_count"):
                found.append(f"{where} has outputs")
            if role and role.get("schema_version") != 3:
                found.append(f"{where}: nbgrader schema {role.get('schema_version')}, expected 3")
            if role and "experiment" in tags:
                found.append(f"{where} is graded and an experiment: it would not be run")
            if is_check(cell) and "nbval-check-output" not in tags:
                found.append(f"{where} is a check without the tag nbval-check-output")
            if cell.cell_type == "code" and not role and "experiment" not in tags and EXPERIMENTS.search(cell.source):
                found.append(f"{where} trains, loads or draws without the tag experiment")
            if role and role.get("task") and "### BEGIN MARK SCHEME" not in cell.source:
                found.append(f"{where} is a question without a mark scheme")
        return found + self._exercise_faults()

    def _exercise_faults(self) -> list[str]:
        found = []
        for name, source in self.exercises.items():
            solution = source.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0].strip("\n ").splitlines()
            if len(solution) > MOST_SOLUTION_LINES:
                found.append(f"{name}: the solution has {len(solution)} lines, expected at most {MOST_SOLUTION_LINES}")
            points = self.checks.get(name, (None, ""))[0]
            if not re.search(rf"### Exercise [\d.]+ · `{name}` · {points} points?\b", self.text):
                found.append(f"{name}: no card '### Exercise ... · `{name}` · {points} points'")
            if not self.checks.get(name, (0, ""))[1].endswith(f"check.{name}({name}, points={points})"):
                found.append(f"{name}: no check cell that ends with check.{name}({name}, points={points})")
        return found


@functools.cache
def read(unit: str) -> NotebookSource:
    """The source of a unit, read once."""
    return NotebookSource(unit)


def is_check(cell: nbformat.NotebookNode) -> bool:
    """True for the graded cell below an exercise."""
    role = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and bool(role.get("grade")) and not role.get("solution")


def _value_of(source: str, space: dict[str, Any]) -> Any:
    """The value of a cell's last expression, as a notebook shows it."""
    tree = ast.parse(source)
    last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "check", "exec"), space)
    return eval(compile(last, "check", "eval"), space)


@functools.cache
def graded_units() -> list[str]:
    """The units with something graded in them, in order."""
    units = sorted(path.parent.name for path in (CHECKOUT / "notebooks").glob("*/*.ipynb"))
    return [unit for unit in units if read(unit).checks or read(unit).questions]
