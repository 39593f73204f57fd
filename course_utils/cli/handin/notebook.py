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
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.S)


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
        content = made_safe(json.loads(_shallow(_decoded(data))))
    except (ValueError, RecursionError):
        raise CourseError(f"{name} is not a notebook: it does not contain valid JSON, so it is damaged.") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbformat warns of what it mends: cells without an id, or with another's
            notebook = nbformat.reads(json.dumps(_cleaned(content)), as_version=4)
            nbformat.validate(notebook)
    except Exception as error:
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CourseError(f"{name} is not a valid Jupyter notebook ({detail}).") from None
    for cell in notebook.cells:
        drop_bad_metadata(cell)
    return notebook


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
    if "tags" in metadata and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        del metadata["tags"]


def _cleaned(content: Any) -> Any:
    """Cells whose damage can be mended without guessing: what other programs leave out or write in another way."""
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        return content
    content.setdefault("metadata", {})
    content.setdefault("nbformat", 4)
    content.setdefault("nbformat_minor", 5)
    for cell in content["cells"]:
        if not isinstance(cell, dict):
            continue
        if not isinstance(cell.get("metadata"), dict):
            cell["metadata"] = {}
        drop_bad_metadata(cell)
        if cell.get("cell_type") == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
        else:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    return content
