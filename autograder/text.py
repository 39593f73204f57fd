"""A unit's notebook as text to read, to edit and to compare: jupytext's py:percent, with the ids of the cells.

The .ipynb stays the one source; the text is made from it, and `apply_text` puts an edited text back. Cells are told
apart by their ids: one whose text is as it was stays as it is, byte for byte; one without an id is new.

``python -m autograder.text NOTEBOOK`` prints the text, for ``git diff`` (see .gitattributes and docs/instructors.md).
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree
from course_utils.system.whole_file import write_whole

_FORMAT = {"extension": ".py", "format_name": "percent"}
_FIRST_LINE = "# {unit}: text {text} of notebook {notebook}; `course text {unit} --apply` puts an edit back\n"
_READ_FIRST_LINE = re.compile(r"# \w+: text (\w+) of notebook (\w+);.*\n")
_NEW = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
_JUPYTEXTS_OWN = "lines_to_next_cell"  # what jupytext notes in a cell that it has read


def text_path(tree: Tree, unit: str) -> Path:
    """Where the text of a unit lies."""
    return tree.root / "build" / "text" / f"{unit}.py"


def write_text(tree: Tree, unit: str) -> Path:
    """Write the text of a unit's notebook and return its path.

    Raises:
        CourseError: a text lies there that was edited and not put back.
    """
    path, notebook = text_path(tree, unit), _notebook_path(tree, unit)
    raw = notebook.read_bytes()
    if path.is_file() and path.read_text(encoding="utf-8") != _with_first_line(unit, raw):
        found, text, _ = _parts(path)
        if found != _digest(text.encode()):
            raise CourseError(
                f"{path} was edited. Put it back with `course text {unit[:2]} --apply`, or delete it, then run this "
                "again."
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, _with_first_line(unit, raw))
    return path


def apply_text(tree: Tree, unit: str) -> list[str]:
    """Put the edited text of a unit back into its notebook.

    Returns:
        the cells that changed, in words; none when the text says what the notebook says.

    Raises:
        CourseError: there is no text; the notebook was changed after the text was written; the text is no notebook.
    """
    path, notebook = text_path(tree, unit), _notebook_path(tree, unit)
    if not path.is_file():
        raise CourseError(f"{path} is missing. Run `course text {unit[:2]}` first, then edit that file.")
    raw = notebook.read_bytes()
    _, text, basis = _parts(path)
    if basis != _digest(raw):
        raise CourseError(
            f"{notebook} was changed after {path.name} was written from it. Keep your edit elsewhere, delete {path}, "
            f"run `course text {unit[:2]}` and edit again."
        )
    edited, changes = merged(_read(raw, notebook), text)
    if changes:
        try:
            nbformat.validate(edited)
        except nbformat.ValidationError as error:
            raise CourseError(f"{path} does not give a valid notebook ({str(error).splitlines()[0]}).") from None
        write_whole(notebook, nbformat.writes(edited) + "\n")
        write_whole(path, _with_first_line(unit, notebook.read_bytes()))
    return changes


def as_text(notebook: NotebookNode) -> str:
    """The notebook as py:percent: a heading line for each cell with its metadata and id; no outputs."""
    shown = deepcopy(notebook)
    for cell in shown.cells:
        cell.metadata["id"] = cell.get("id", "")
        cell.metadata.pop(_JUPYTEXTS_OWN, None)
    shown.metadata = {"jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "all"}}
    text: str = _jupytext().writes(shown, fmt=_FORMAT)
    return text


def merged(notebook: NotebookNode, text: str) -> tuple[NotebookNode, list[str]]:
    """The notebook as an edited ``text`` of it wants it, and what changed, in words."""
    before = {given: cell for given, cell in _cells_of(as_text(notebook)) if given}
    kept = {cell.id: cell for cell in notebook.cells}
    cells, used, changes = [], set(), []
    for given, wanted in _cells_of(text):
        known = given if given in kept and given not in used else ""
        used.add(known)
        if known and wanted == before.get(known):
            cells.append(kept[known])
            continue
        cell = _NEW[wanted.cell_type](wanted.source, metadata=wanted.metadata)
        if known:
            cell = NotebookNode({**cell, "id": known})
            if cell.cell_type == kept[known].cell_type:
                cell = NotebookNode({**kept[known], "source": cell.source, "metadata": cell.metadata})
        cells.append(cell)
        changes.append(f"{'changed' if known else 'new'}: {_name(cell)}")
    changes += [f"deleted: {_name(cell)}" for given, cell in kept.items() if given not in used]
    order = [cell.id for cell in cells]
    if not changes and order != list(kept):
        changes.append("another order of the cells")
    return NotebookNode({**notebook, "cells": cells}), changes


def _cells_of(text: str) -> Iterator[tuple[str, NotebookNode]]:
    """The cells that a text describes, each with the id that is written in it ("" for none)."""
    try:
        parsed = _jupytext().reads(text, fmt=_FORMAT)
    except Exception as error:
        raise CourseError(f"the text cannot be read as py:percent ({type(error).__name__}: {error}).") from None
    for cell in parsed.cells:
        cell.pop("id", None)  # a random one
        cell.metadata.pop(_JUPYTEXTS_OWN, None)
        yield str(cell.metadata.pop("id", "")), cell


def _name(cell: NotebookNode) -> str:
    marked = cell.metadata.get("nbgrader", {}).get("grade_id")
    first = next((line.strip() for line in cell.source.splitlines() if line.strip()), "empty")
    return str(marked or first[:60])


def _notebook_path(tree: Tree, unit: str) -> Path:
    from course_utils.system.tree import notebook_path

    return notebook_path(tree.source, unit)


def _read(raw: bytes, path: Path) -> NotebookNode:
    try:
        return nbformat.reads(raw.decode(), as_version=4)
    except Exception as error:
        raise CourseError(f"{path} is not a readable notebook ({type(error).__name__}). Restore it from git.") from None


def _with_first_line(unit: str, raw: bytes) -> str:
    text = as_text(_read(raw, Path(unit)))
    return _FIRST_LINE.format(unit=unit, text=_digest(text.encode()), notebook=_digest(raw)) + text


def _parts(path: Path) -> tuple[str, str, str]:
    """Of a written text: the digest of what was written, what is there now, the digest of its notebook."""
    content = path.read_text(encoding="utf-8")
    first = _READ_FIRST_LINE.match(content)
    if first is None:
        raise CourseError(f"{path} has lost its first line, which names its notebook. Delete it and write it again.")
    return first[1], content[first.end() :], first[2]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _jupytext() -> Any:
    try:
        import jupytext
    except ModuleNotFoundError:
        raise CourseError("jupytext is not installed. Run: pip install -c constraints.txt -e '.[text]'") from None
    return jupytext


def main(path: str) -> None:
    """Print a notebook as text; what is none, as it is: a diff must not stop at a damaged file."""
    raw = Path(path).read_bytes()
    try:
        shown = as_text(_read(raw, Path(path))).encode()
    except CourseError:
        shown = raw
    sys.stdout.buffer.write(shown)


if __name__ == "__main__":
    main(sys.argv[1])
