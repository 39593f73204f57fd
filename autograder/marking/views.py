"""Marks, schemes and answers as the JSON that the page of marking reads."""

from __future__ import annotations

import json
from typing import Any

from course_utils.system.stubs import is_blank

from ..safe_html import markdown_to_html
from .answers import Answer, is_marked_twice, share_of
from .groups import is_short
from .log import Entry, State, digest
from .scheme import Item
from .shown import answer_html, differences


def scheme_view(items: tuple[Item, ...], note: str, text: str) -> dict[str, Any]:
    """A mark scheme: its items, its note, and the version that a change must name."""
    return {
        "items": [{"points": item.points, "text": item.text, "html": markdown_to_html(item.text)} for item in items],
        "note": note,
        "note_html": markdown_to_html(note),
        "version": digest(text),
    }


def answer_view(
    entry: Entry,
    answer: Answer,
    token: str,
    of: int,
    leader: Answer | None,
    share: int,
    shares: int,
    second: Any,
    names: bool,
    sample: bool,
) -> dict[str, Any]:
    """One answer with its mark, as the marker of this ``share`` of ``shares`` sees it: ``of`` is its group, ``leader``
    the answer that the group is compared with, ``second`` the row of this marker's second mark."""
    own = share_of(token, shares) == share
    beside = (share_of(token, shares) + 1) % shares == share
    twice = sample or (shares > 1 and is_marked_twice(token) and beside)
    shown = {
        "token": token,
        "group": of,
        "html": answer_html(answer.source, answer.attachments, answer.verbatim),
        "words": len(answer.source.split()),
        "blank": is_blank(answer.source),
        "short": is_short(answer.source),
        "digest": digest(answer.source),
        "own": own or sample,
        "second": twice,
        **mark_view(entry),
    }
    if twice:  # blind: the second marker sees an unmarked answer
        state = State.of(json.loads(second.state)) if second is not None else State()
        shown |= {"state": state_view(state), "by": "", "time": "", "settled": second is not None, "auto": None}
    if leader is not None and leader.source != answer.source:
        shown["against"] = differences(leader.source, answer.source)
    if entry.waits and entry.manual_score is not None and answer.marked_text is not None:
        shown["changed"] = differences(answer.marked_text, answer.source)
    if names:
        shown["name"] = entry.student
    return shown


def mark_view(entry: Entry) -> dict[str, Any]:
    """A mark as it stands, with the version that a save must name."""
    return {
        "version": entry.version,
        "state": state_view(entry.state),
        "settled": entry.settled,
        "waits": entry.waits,
        "auto": entry.auto_score,
        "by": entry.marker,
        "time": entry.time,
    }


def state_view(state: State) -> dict[str, Any]:
    """Score, items and comment, and the comment as the student will read it."""
    return {**state.to_dict(), "composed": markdown_to_html(state.composed) if state.composed else ""}
