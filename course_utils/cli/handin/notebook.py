"""From a file's bytes to a notebook: what other programs leave out is put back, the rest must be valid.

Every text in it has passed the border.
"""

from __future__ import annotations

import codecs
import json
import re
import warnings
from pathlib import Path
from typing import Any

from course_utils.system.errors import CourseError

from .border import made_safe

MAX_MEGABYTES = 20
MOST_BYTES = MAX_MEGABYTES * 1_000_000
_DEEPEST = 60  # lists and records within each other; the deepest that a notebook needs are some outputs with about 20
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_BEFORE_4 = {  # how outputs of older notebooks name what they show
    "text": "text/plain",
    "html": "text/html",
    "svg": "image/svg+xml",
    "png": "image/png",
    "jpeg": "image/jpeg",
    "latex": "text/latex",
    "json": "application/json",
    "javascript": "application/javascript",
}
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)|[\[\]{}]', re.S)  # a text that nobody closes ends with the file


def read_notebook(path: Path) -> Any:
    """The notebook at ``path``, as `parse_notebook` gives it. Raises CourseError, also when there is no such file."""
    if not path.is_file():
        raise CourseError(f"{path.name} is missing; expected it in {path.parent}.")
    try:
        with path.open("rb") as file:  # no more than is needed to see that it is too much
            return parse_notebook(file.read(MOST_BYTES + 1), path.name, path.stat().st_size)
    except OSError as error:
        raise CourseError(f"{path.name} cannot be read ({error.strerror}).") from None


def parse_notebook(data: bytes, name: str, size: int = 0) -> Any:
    """The notebook in ``data`` as nbformat's node, in the present format (version 4).

    Raises CourseError that says what is wrong with it: too large (``size`` counts where not all of it was read), not
    JSON, or no valid notebook.
    """
    import nbformat

    size = max(size, len(data))
    if size > MOST_BYTES:
        raise CourseError(
            f"{name} has {size / 1e6:.0f} MB, more than {MAX_MEGABYTES}. In JupyterLab: Kernel > Restart Kernel "
            "and Clear Outputs of All Cells, then save."
        )
    if not data.strip():
        raise CourseError(f"{name} is not a notebook: it does not contain valid JSON, because it is empty.")
    try:
        text = _shallow(_decoded(data)).strip("\0 \t\r\n")
        content = made_safe(json.loads(text, strict=False))  # with line ends and tabs within texts
    except (ValueError, RecursionError):
        raise CourseError(f"{name} is not a notebook: it does not contain valid JSON, so it is damaged.") from None
    version = content.get("nbformat") if isinstance(content, dict) else None
    if isinstance(version, int) and version > 4 and not _has_cells_of_4(content):
        raise CourseError(
            f"{name} is not a valid Jupyter notebook of a known format: it says that it is of format {version}, and "
            "its cells are not where formats up to 4 have them. Save it as a notebook of format 4 and hand that in."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbformat warns of what it mends: cells without an id, or with another's
            cleaned = _cleaned(content)
            notebook = nbformat.from_dict(cleaned) if cleaned else nbformat.reads(json.dumps(content), as_version=4)
            _, notebook = nbformat.validator.normalize(notebook, strip_invalid_metadata=True)
            nbformat.validate(notebook)
    except Exception as error:
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CourseError(f"{name} is not a valid Jupyter notebook ({detail}).") from None
    for cell in notebook.cells:
        drop_bad_metadata(cell)
    return notebook


def names_file(notebook: Any, name: str) -> bool:
    """Whether the code of a notebook names a file, as ``%run name`` does."""
    return any(cell.cell_type == "code" and name in cell.source for cell in notebook.cells)


def _decoded(data: bytes) -> str:
    """The text of a file that should be UTF-8: as editors save it otherwise, and with odd bytes shown as such."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8-sig", "replace")
        utf8 = any(char > "\x7f" and char != "\ufffd" for char in text)
        return text if utf8 else data.decode("cp1252", "replace")


def _shallow(text: str) -> str:
    """JSON without what lies deeper than any notebook's contents do: reading and copying that would fail."""
    depth, cut, kept, start = 0, 0, [], 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth == _DEEPEST:
                cut = token.start()
        elif token[0] in "]}":
            if depth == _DEEPEST:
                kept += [text[start:cut], "null"]
                start = token.end()
            depth -= 1
    return "".join([*kept, text[start:]]) if kept else text


def drop_bad_metadata(cell: Any) -> None:
    """Take out of a cell the names and tags that are none: whoever reads on may rely on their types."""
    metadata = cell["metadata"]
    marks, tags = metadata.get("nbgrader"), metadata.get("tags")
    if "nbgrader" in metadata and not (isinstance(marks, dict) and isinstance(marks.get("grade_id"), str)):
        del metadata["nbgrader"]
    if "tags" in metadata:
        several = tags if isinstance(tags, list) else []
        metadata["tags"] = [tag for tag in several if isinstance(tag, str) and re.fullmatch("[^,]+", tag)]
        metadata["tags"] = list(dict.fromkeys(metadata["tags"]))


def _cleaned(content: Any) -> dict[str, Any] | None:
    """What other programs leave out, add or write in another way is put as the format has it; no text is lost.

    Of whichever version of the format it says that it is: the cells are what counts. None for what has no cells.
    """
    if not isinstance(content, dict):
        return None
    cells = content.get("cells")
    if not isinstance(cells, list):
        given = content.get("worksheets")  # before version 4
        found = [of.get("cells") for of in given if isinstance(of, dict)] if isinstance(given, list) else []
        sheets = [sheet for sheet in found if isinstance(sheet, list)]
        if not sheets:
            return None
        cells = [cell for sheet in sheets for cell in sheet]
    cells = [_cell(cell, index) for index, cell in enumerate(cells) if isinstance(cell, dict | str)]
    return {"metadata": _record(content.get("metadata")), "nbformat": 4, "nbformat_minor": 5, "cells": cells}


def _has_cells_of_4(content: dict[str, Any]) -> bool:
    """Whether a notebook of a format that nobody knows yet has its texts where they are looked for."""
    cells = content.get("cells")
    return (
        bool(cells)
        and isinstance(cells, list)
        and all(
            isinstance(cell, dict) and "cell_type" in cell and isinstance(cell.get("source"), str | list)
            for cell in cells
        )
    )


def _cell(given: dict[str, Any] | str, index: int) -> dict[str, Any]:
    """A cell with what its kind has, and nothing else; of a kind that there is not, as text."""
    given = {"cell_type": "markdown", "source": given} if isinstance(given, str) else given
    text = next((given[key] for key in ("source", "input", "code", "text") if given.get(key) is not None), None)
    kind, source = given.get("cell_type"), _text(text)
    if kind == "heading":
        level = _count(given.get("level")) or 1
        kind, source = "markdown", f"{'#' * min(level, 6)} {source}"
    kind = "markdown" if kind in ("text", "html") else kind
    number = given.get("id")
    cell: dict[str, Any] = {
        "id": number if isinstance(number, str) and _ID.fullmatch(number) else f"n{index}",
        "cell_type": kind if kind in ("code", "markdown") else "raw",
        "metadata": _record(given.get("metadata")),
        "source": source,
    }
    drop_bad_metadata(cell)
    if kind == "code":
        outputs = given.get("outputs")
        cell["outputs"] = [done for one in (outputs if isinstance(outputs, list) else []) if (done := _output(one))]
        cell["execution_count"] = _count(given.get("execution_count", given.get("prompt_number")))
    elif isinstance(given.get("attachments"), dict):
        cell["attachments"] = {name: _bundle(of) for name, of in given["attachments"].items() if isinstance(of, dict)}
    return cell


def _output(given: Any) -> dict[str, Any] | None:
    kind = given.get("output_type") if isinstance(given, dict) else None
    kind = {"pyout": "execute_result", "pyerr": "error"}.get(kind, kind) if isinstance(kind, str) else None
    if kind == "stream":
        name = given.get("name") or given.get("stream") or "stdout"
        return {"output_type": kind, "name": str(name), "text": _text(given.get("text"))}
    if kind == "error":
        lines = given.get("traceback")
        lines = [_text(line) for line in lines] if isinstance(lines, list) else []
        return {
            "output_type": kind,
            "ename": _text(given.get("ename")),
            "evalue": _text(given.get("evalue")),
            "traceback": lines,
        }
    if kind not in ("display_data", "execute_result", "update_display_data"):
        return None
    data = _record(given.get("data")) or {mime: given[key] for key, mime in _BEFORE_4.items() if key in given}
    shown = {"data": _bundle(data), "metadata": _record(given.get("metadata"))}
    if kind == "execute_result":
        number = given.get("execution_count", given.get("prompt_number"))
        return {"output_type": kind, "execution_count": _count(number), **shown}
    return {"output_type": "display_data", **shown}


def _bundle(given: dict[str, Any]) -> dict[str, Any]:
    """Contents by their kind: of those of JSON anything, else text."""
    return {kind: of if kind.endswith("json") else _text(of) for kind, of in given.items()}


def _record(given: Any) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


def _count(given: Any) -> int | None:
    return given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else None


def _text(given: Any) -> str:
    if isinstance(given, list):
        return "".join(map(_text, given))
    return "" if given is None else str(given)
