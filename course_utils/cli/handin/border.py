"""The border: texts, names and times that come from students and platforms are made safe here, once.

Behind it every text can be written to a file, a page and a database, and every time is one.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

_ODD = re.compile("[\ud800-\udfff\x00]")
_ESCAPED = re.compile("[\udc80-\udcff]")  # what Python makes of bytes of a file name that are not UTF-8
_OFFSET = re.compile(r"\d ?[+-]\d\d:\d\d$")


def safe_text(text: str) -> str:
    """Text that UTF-8 and databases can hold: half a character (a lone surrogate) is shown as such, NUL goes."""
    return _ODD.sub(lambda match: "" if match[0] == "\0" else "\ufffd", text)


def readable_name(name: str) -> str:
    """The name of a file or a person as text: one that is not in UTF-8 is read as Windows-1252, letter by letter."""
    if _ESCAPED.search(name):
        try:
            name = name.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
        except UnicodeEncodeError:  # other halves of characters, too
            pass
    return safe_text(name)


def shown(name: object) -> str:
    """A name or path as text on one line that every terminal takes."""
    return "".join(char if char.isprintable() else "?" for char in readable_name(str(name)))


def composed(name: str) -> str:
    """A person's name in one Unicode form, with single spaces: equal for the two ways of writing one name."""
    return " ".join(unicodedata.normalize("NFC", readable_name(name)).split())


def made_safe(value: Any) -> Any:
    """A copy of JSON data with `safe_text` in place of every text, keys included. Types of records are kept."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, dict):
        return type(value)({safe_text(str(key)): made_safe(item) for key, item in value.items()})
    return [made_safe(item) for item in value] if isinstance(value, (list, tuple)) else value


def safe_time(data: bytes) -> datetime | None:
    """The time in a ``timestamp.txt`` as nbgrader has it: in UTC, without a zone; None where it is no time."""
    import dateutil.parser
    from nbgrader.utils import parse_utc

    try:
        text = data[:200].decode("utf-8-sig", "replace").strip()
        if _OFFSET.search(text):  # which nbgrader would pass over
            return dateutil.parser.parse(text).astimezone(UTC).replace(tzinfo=None)
        return parse_utc(text) if text else None
    except (ValueError, OverflowError):
        return None
