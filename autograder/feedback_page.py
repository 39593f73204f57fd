"""How a student's graded notebook becomes a page: nbconvert's HTML exporter with this course's own template."""

from __future__ import annotations

from pathlib import Path

from nbconvert.exporters import HTMLExporter
from traitlets.config import Config

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
        return config
