"""Tables that people have opened in between: whichever encoding and separator a spreadsheet program saves them in."""

from __future__ import annotations

import codecs
import csv
import io
import re


def rows_of(data: bytes) -> list[list[str]]:
    """The lines of a table that hold anything, the first included. Raises ValueError for an empty one and csv.Error."""
    text = re.sub(r"\Asep=.\r?\n", "", _decoded(data))
    first = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    if not (lines := [line for line in rows if any(map(str.strip, line))]):
        raise ValueError("it is empty")
    return lines


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
