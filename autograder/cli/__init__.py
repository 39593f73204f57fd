"""The instructor's commands, added to ``course`` through the entry-point group ``course.commands``."""

from __future__ import annotations

from pathlib import Path

import typer

from course_utils.cli.lab import MORE_CONFIG

from . import courses, grading, marking, publishing

LAB_CONFIG = Path(__file__).parents[1] / "lab_config"  # what an instructor's JupyterLab has more: the page of marking


def register(app: typer.Typer) -> None:
    """Add the instructor's commands to the ``course`` application."""
    if LAB_CONFIG not in MORE_CONFIG:
        MORE_CONFIG.append(LAB_CONFIG)
    for command in (
        publishing.release,
        publishing.solutions,
        publishing.text,
        grading.collect,
        grading.grade,
        grading.check,
        marking.mark,
        marking.viva,
        grading.feedback,
        grading.report,
        grading.withdraw,
        grading.points,
        publishing.demo,
        publishing.hub,
    ):
        app.command()(command)
    app.command(name="new-exercise")(courses.new_exercise)
    app.command(name="new")(courses.new_course)
    app.command(name="new-unit")(courses.new_unit)
    app.command(name="check-course")(courses.check_course)
    app.command()(courses.term)
    app.command(name="test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(courses.test)
