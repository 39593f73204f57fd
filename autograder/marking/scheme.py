"""The items of a mark scheme. It stands in the question's cell, between BEGIN and END MARK SCHEME, in this form:

    1 point each:
    - what earns the point
    - [0.5] what earns half a point; ``- 0.5 points: ...`` says the same
    - [0] what earns nothing, and is worth telling the student

    No point for these, which are wrong: one; another.

Other lines are a note for markers. What a marker changes is written back in the second form.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import Any

from course_utils.system.errors import CourseError

_SCHEME = re.compile(r"### BEGIN MARK SCHEME\n(.*?)### END MARK SCHEME", re.S)
_EACH = re.compile(r"^\s*(\d+(?:\.\d+)?) points? each\b.*:\s*$", re.I)
_POINTS = re.compile(r"\[\s*([-−+]?\d+(?:\.\d+)?)\s*\]\s*|(\d+(?:\.\d+)?) points?:\s*")
_WRONG = re.compile(r"^(?:No points? for these, which are wrong|Wrong):\s*(.+)$", re.S)
LONGEST = 2000  # characters of an item


@dataclass(frozen=True)
class Item:
    """What points are given for, and how many."""

    points: float
    text: str


@dataclass(frozen=True)
class Scheme:
    """The items of a question, the note for markers, and the digestible text that both were read from."""

    items: tuple[Item, ...] = ()
    note: str = ""
    text: str = ""

    def with_items(self, items: list[Item]) -> str:
        """The text of the same scheme with other items, in the form ``- [points] text``."""
        lines = [
            textwrap.fill(f"- [{item.points:g}] {' '.join(item.text.split())}", 118, subsequent_indent="  ")
            for item in items
        ]
        return "\n".join(lines) + ("\n\n" + self.note if self.note else "") + "\n"


def read_scheme(source: str, points: float = 0) -> Scheme:
    """The mark scheme in the text of a question's cell; without items where it has no list.

    ``points`` is what the question is worth: shared among items that do not say theirs.
    """
    match = _SCHEME.search(source)
    if match is None:
        return Scheme()
    items: list[tuple[float | None, str]] = []
    notes: list[str] = []
    each: float | None = None
    for block in re.split(r"\n\s*\n", match[1].strip("\n")):
        rest: list[str] = []
        current: list[str] | None = None
        for line in block.splitlines():
            if found := _EACH.match(line):
                each, current = float(found[1]), None
            elif found := re.match(r"[-*] +(.*)", line):
                current = [found[1]]
                items.append((each, ""))
            elif current is None:
                rest.append(line)
            else:
                current.append(line.strip())
            if current is not None:
                items[-1] = (each, " ".join(current))
        text = " ".join(line.strip() for line in rest).strip()
        if wrong := _WRONG.match(text):
            items += [(0.0, each_wrong) for each_wrong in _split(wrong[1])]
        elif text:
            notes.append("\n".join(rest).strip())
    share = points / max(1, len(items))
    return Scheme(tuple(_item(said, text, share) for said, text in items), "\n\n".join(notes), match[1])


def _split(text: str) -> list[str]:
    """The parts between semicolons that stand in no bracket or quotation."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        quoted ^= letter == '"'
        if letter == ";" and depth <= 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += letter
    return [" ".join(part.split()).rstrip(".") for part in parts if part.strip()]


def _item(said: float | None, text: str, share: float) -> Item:
    found = _POINTS.match(text)
    if found:
        return Item(float((found[1] or found[2]).replace("−", "-")), text[found.end() :].strip())
    return Item(share if said is None else said, text.strip())


def replace_scheme(source: str, text: str) -> str:
    """The text of a question's cell with another mark scheme in it.

    Raises CourseError where the cell has none: nothing may come between what students see and what they do not.
    """
    if not _SCHEME.search(source):
        source = source.rstrip("\n") + "\n\n### BEGIN MARK SCHEME\n### END MARK SCHEME"
    return _SCHEME.sub(lambda _: f"### BEGIN MARK SCHEME\n{text}### END MARK SCHEME", source, count=1)


def items_from(content: Any) -> list[Item]:
    """Items as the page sends them. Raises CourseError that says what is wrong with one."""
    if not isinstance(content, list) or len(content) > 40:
        raise CourseError("the items are no list of at most 40: [{points, text}, ...].")
    items = []
    for number, each in enumerate(content, start=1):
        text = " ".join(str(each.get("text", "")).split()) if isinstance(each, dict) else ""
        try:
            points = float(each["points"])
        except (KeyError, TypeError, ValueError):
            raise CourseError(f"item {number}: {text[:40]!r} has no number of points.") from None
        if not text or len(text) > LONGEST:
            raise CourseError(f"item {number} has {len(text)} characters; expected 1 to {LONGEST}.")
        if "MARK SCHEME" in text or not -100 <= points <= 100:
            raise CourseError(f"item {number}: points from -100 to 100, and no words MARK SCHEME in its text.")
        items.append(Item(points, text))
    return items
