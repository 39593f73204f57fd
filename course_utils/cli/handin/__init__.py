"""Notebooks that somebody hands in. Handing in and grading go by the same three modules, so that they agree:

notebook   from a file's bytes to a notebook, or why it is none
cells      what each cell is for, and whether a notebook is of a unit
units      what the units of this course have in them
"""

from .cells import exercise_name, graded_cells
from .notebook import MAX_MEGABYTES, MOST_BYTES, made_safe, parse_notebook, read_notebook, safe_text
from .units import course_cells, is_graded, read_source, require_graded, template_of

__all__ = [
    "MAX_MEGABYTES",
    "MOST_BYTES",
    "course_cells",
    "exercise_name",
    "graded_cells",
    "is_graded",
    "made_safe",
    "parse_notebook",
    "read_notebook",
    "read_source",
    "require_graded",
    "safe_text",
    "template_of",
]
