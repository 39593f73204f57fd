"""What a unit's notebook must contain, and which of its cells a grader does not run."""

from __future__ import annotations

from nbformat import NotebookNode

from course_utils.cli.handin.cells import (
    ANSWER,
    PROVIDED,
    SOLUTION,
    TASK,
    TEST,
    Template,
    TemplateCell,
    defined_names,
    is_check,
    kind_of,
)

__all__ = [
    "ANSWER",
    "EXPERIMENT",
    "NOT_RUN",
    "PREDICTION",
    "PROVIDED",
    "SOLUTION",
    "TASK",
    "TEST",
    "Template",
    "TemplateCell",
    "defined_names",
    "is_check",
    "is_not_run",
    "kind_of",
]

EXPERIMENT, PREDICTION = NOT_RUN = ("experiment", "predict")  # tags of cells that a grader does not run


def is_not_run(cell: NotebookNode) -> bool:
    """True for a cell that keeps its submitted outputs: an experiment or a prediction, never a graded one."""
    return not set(cell.metadata.get("tags", [])).isdisjoint(NOT_RUN) and kind_of(cell) == PROVIDED
