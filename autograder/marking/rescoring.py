"""What becomes of marks when the items of a mark scheme change."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from .log import Entry, Given, State, score_of
from .scheme import Item


def stale_marks(entries: dict[str, Entry], items: tuple[Item, ...]) -> int:
    """How many marks were made with items that the scheme no longer has."""
    known = {(item.text, item.points) for item in items}
    return sum(any((item.text, item.points) not in known for item in entry.state.items) for entry in entries.values())


def successors(old: tuple[Item, ...], new: list[Item], content: Any) -> dict[Item, Item | None]:
    """What becomes of each item that is changed; None: it is taken out."""
    was = {}
    for item, each in zip(new, content, strict=True):
        if isinstance(each.get("was"), int) and 0 <= each["was"] < len(old):
            was[each["was"]] = item
    return {item: was.get(place) for place, item in enumerate(old) if was.get(place) != item}


def likest(item: Item, among: list[Item]) -> Item | None:
    """The item whose text is most like that of ``item``; None when none is half like it."""
    ratios = [(SequenceMatcher(None, item.text, other.text).ratio(), other) for other in among]
    best = max(ratios, key=lambda pair: pair[0], default=(0.0, None))
    return best[1] if best[0] >= 0.5 else None


def with_items(state: State, new_of: dict[Item, Item | None], most: float) -> State:
    """A mark with changed items. A score that was typed, and is not what the items give, stays."""
    items: list[Given] = []
    for given in state.items:
        item = Item(given.points, given.text)
        new = new_of.get(item, item)
        if new is not None:
            items.append(Given(new.text, new.points, given.half))
    if tuple(items) == state.items:
        return state
    computed = state.score is not None and state.score == score_of(state.items, most)
    return State(score_of(items, most) if computed else state.score, tuple(items), state.comment)
