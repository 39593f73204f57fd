"""What a unit's notebook must contain: its graded cells, as the instructor wrote them, as plain data."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict, dataclass, field

from nbformat import NotebookNode
from nbgrader import utils

EXPERIMENT, PREDICTION = NOT_RUN = ("experiment", "predict")  # tags of cells that a grader does not run
TEST, SOLUTION, ANSWER, TASK, PROVIDED = "test", "solution", "answer", "task", "provided"


@dataclass(frozen=True)
class TemplateCell:
    """One cell of the source. Solutions and model answers are not kept: `source` is empty there."""

    kind: str
    grade_id: str  # empty for provided cells
    cell_type: str
    source: str
    points: float
    tags: list[str]
    defines: list[str]  # names bound at top level


@dataclass(frozen=True)
class Template:
    """A unit's cells in order."""

    unit: str
    cells: list[TemplateCell]
    others: dict[str, list[str]] = field(default_factory=dict)  # grade ids of the other units

    @classmethod
    def of(cls, unit: str, source: NotebookNode, others: dict[str, list[str]] | None = None) -> Template:
        return cls(unit, [_template_cell(cell) for cell in source.cells], others or {})

    @property
    def marked(self) -> dict[str, TemplateCell]:
        """The cells that nbgrader knows, by grade id."""
        return {cell.grade_id: cell for cell in self.cells if cell.grade_id}

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Template:
        content = json.loads(text)
        return cls(content["unit"], [TemplateCell(**cell) for cell in content["cells"]], content["others"])

    def digest(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _template_cell(cell: NotebookNode) -> TemplateCell:
    kind = kind_of(cell)
    marks = cell.metadata.get("nbgrader", {})
    return TemplateCell(
        kind=kind,
        grade_id=str(marks.get("grade_id", "")) if kind != PROVIDED else "",
        cell_type=cell.cell_type,
        source="" if kind in (SOLUTION, ANSWER) else cell.source,
        points=float(marks.get("points") or 0),
        tags=list(cell.metadata.get("tags", [])),
        defines=defined_names(cell.source) if cell.cell_type == "code" else [],
    )


def is_not_run(cell: NotebookNode) -> bool:
    """True for a cell that keeps its submitted outputs: an experiment or a prediction, never a graded one."""
    return not set(cell.metadata.get("tags", [])).isdisjoint(NOT_RUN) and "nbgrader" not in cell.metadata


def kind_of(cell: NotebookNode) -> str:
    """What a cell is for, by nbgrader's metadata."""
    if utils.is_task(cell):
        return TASK
    if utils.is_grade(cell):
        return ANSWER if utils.is_solution(cell) else TEST
    return SOLUTION if utils.is_solution(cell) else PROVIDED


def defined_names(source: str) -> list[str]:
    """Names that a cell binds at top level: functions, classes, imports, assignments. Empty when it does not parse."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names: list[str] = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [(alias.asname or alias.name).split(".")[0] for alias in node.names]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    return names
