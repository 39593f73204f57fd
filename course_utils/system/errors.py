"""The one kind of error that the course raises on purpose: a line for a person, never a traceback."""

from __future__ import annotations


class CourseError(Exception):
    """Something a user can act on. The message says what was given, what was expected, and what to do.

    The ``course`` command prints it as one line on stderr and exits with ``exit_code``; a notebook shows it alone,
    without the calls that led to it.
    """

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython and Jupyter show in place of a traceback."""
        return [str(self)]


class WrongUsage(CourseError):
    """The command line itself was wrong: an unknown unit, student or data set."""

    exit_code = 2
