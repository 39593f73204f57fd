"""How a student's graded notebook becomes a page: nbconvert's HTML exporter with this course's own template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert.exporters import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from course_utils.system.templates import content_policy

from .reasons import explain_cell
from .safe_html import FILTERS, FORMGRADER, finished

TEMPLATES = Path(__file__).parent / "feedback_template"


class FeedbackExporter(HTMLExporter):
    """Its template stays, whatever nbgrader, which has one of its own, configures for all HTML. A widget, whose kernel
    is gone, shows its still picture."""

    @property
    def default_config(self) -> Config:
        config = super().default_config
        config.FeedbackExporter.template_name = "course_feedback"
        config.FeedbackExporter.extra_template_basedirs = [str(TEMPLATES)]
        config.NbConvertBase.display_data_priority = [
            "text/html",
            "text/markdown",
            "image/svg+xml",
            "text/latex",
            "image/png",
            "image/jpeg",
            "text/plain",
        ]
        config.FeedbackExporter.sanitize_html = True
        config.FeedbackExporter.filters = FILTERS
        return config

    def from_notebook_node(self, nb: NotebookNode, resources: dict[str, Any] | None = None, **others: Any) -> Any:
        """The page, cleaned once more when it is put together."""
        page, resources = super().from_notebook_node(nb, {**(resources or {}), "policy": content_policy()}, **others)
        return finished(page), resources

    def _preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Any:
        """nbgrader's step puts the points into the cells; what the page begins with is made from them."""
        nb, resources = super()._preprocess(nb, resources)
        resources["reasons"] = {m.grade_id: _reason(cell) for cell in nb.cells if (m := cell.metadata.get("nbgrader"))}
        resources["next_step"] = _next_step(nb)
        return nb, resources


def _reason(cell: NotebookNode) -> str:
    """Why points are missing: the likely cause, where the check named one."""
    marks = cell.metadata.nbgrader
    if not marks.get("grade") or marks.get("score") is None or marks.get("points") is None:
        return ""
    _, reason = explain_cell(cell, float(marks.score), float(marks.points))
    return reason.partition("Likely cause: ")[2] or reason


def _next_step(nb: NotebookNode) -> str:
    """Where most points are left."""
    marked = [cell.metadata.nbgrader for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    left = {m.grade_id: float(m.points) - float(m.score) for m in marked if m.get("score") is not None}
    most = max(left, key=lambda name: left[name], default="")
    if not most or left[most] <= 0:
        return "Nothing is missing in what is marked. Go on with the next unit."
    name = most.removeprefix("test_")
    return f"Look at {name} first: {left[most]:g} points are left there. Correct it, and run its check again."


def configure_formgrader(config: Config) -> None:
    """Formgrader's page of a submission, which nbgrader makes by nbconvert's exporter: our template around its own."""
    config.HTMLExporter.template_name = "course_marking"
    config.HTMLExporter.extra_template_basedirs = [str(TEMPLATES), str(FORMGRADER)]
    config.HTMLExporter.extra_template_paths = [str(FORMGRADER)]
    config.HTMLExporter.sanitize_html = True
    config.HTMLExporter.filters = FILTERS
