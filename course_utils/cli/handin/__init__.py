"""Notebooks that somebody hands in. Handing in and grading go by the same modules, so that they agree:

border     texts, names and times from outside, made safe
notebook   from a file's bytes to a notebook, or why it is none
cells      what each cell is for, and whether a notebook is of a unit
names      which names the code of cells makes and needs
units      what the units of this course have in them
"""

from .border import composed, made_safe, readable_name, safe_text, safe_time, shown
from .cells import exercise_name, graded_cells
from .notebook import MAX_MEGABYTES, MOST_BYTES, names_file, parse_notebook, read_notebook
from .units import (
    course_cells,
    is_graded,
    notebooks_of,
    read_source,
    require_graded,
    stubs_of,
    template_of,
    templates_of,
)

__all__ = [
    "MAX_MEGABYTES",
    "MOST_BYTES",
    "composed",
    "course_cells",
    "exercise_name",
    "graded_cells",
    "is_graded",
    "made_safe",
    "names_file",
    "notebooks_of",
    "parse_notebook",
    "read_notebook",
    "read_source",
    "readable_name",
    "require_graded",
    "safe_text",
    "safe_time",
    "shown",
    "stubs_of",
    "template_of",
    "templates_of",
]
