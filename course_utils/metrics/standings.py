"""What the numbers of a scoreboard say, in words: which model is best by each measure, and what each is good at."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .scoreboard import Board, Row, is_number
from .scorecard import COLUMNS

LEAST_RECALL = (
    0.01  # one picture, repeated, may have a precision of 1: with a recall below this, precision wins nothing
)
SPOKEN = {  # what has a better and a worse, in the order in which it is told
    "distortion": "reconstructions",
    "frechet": "samples",
    "precision": "samples that look real",
    "recall": "samples of every kind",
    "linear_probe": "classes that a line can read off the codes",
    "path_detour": "straight paths",
    "sliced_wasserstein": "codes spread as the prior is",
}


@dataclass(frozen=True)
class Standing:
    """Who leads by one measure.

    Attributes:
        column: the measure.
        rows: the student's models that may win it, the best first; each once, by its better way to be sampled.
        level: how many of them, the best among them, differ by less than one more training of the best might.
        known: whether that is known: the best has stored runs with other seeds behind it.
    """

    column: str
    rows: list[Row]
    level: int
    known: bool

    @property
    def best(self) -> Row:
        return self.rows[0]


def standings(board: Board) -> list[Standing]:
    """One for each measure that has a better and a worse and any model that has it."""
    found = []
    for column in SPOKEN:
        sign = 1 if COLUMNS[column].better == "lower" else -1
        rows = [row for row in board.rows if may_win(row, column)]
        rows.sort(key=lambda row: sign * row.values[column])
        once: dict[tuple[str, str], Row] = {}
        for row in rows:
            once.setdefault((row.unit, row.label), row)
        rows = list(once.values())
        if not rows:
            continue
        band = rows[0].bands.get(column)
        half = (band.high - band.low) / 2 if band and is_number(band.high) else math.nan
        level = sum(abs(row.values[column] - rows[0].values[column]) <= half for row in rows) or 1
        found.append(Standing(column, rows, level, is_number(half)))
    return found


def may_win(row: Row, column: str) -> bool:
    """A collapsed model's codes lie where the prior does and its one picture looks real: it wins nothing."""
    return (
        is_number(row.values.get(column))
        and not row.collapsed
        and not (column == "precision" and row.values.get("recall", math.nan) < LEAST_RECALL)
    )


def headline(board: Board) -> str:
    """Who samples and who reconstructs best, beside what is possible and what costs no learning; "" without models."""
    found = {standing.column: standing for standing in standings(board)}
    if not {"frechet", "distortion"} <= found.keys():
        return ""
    samples, copies = found["frechet"].best, found["distortion"].best
    text = (
        f"The best samples of yours are those of {samples.name} ({samples.place}), with a Fréchet distance of "
        f"{number(samples.values['frechet'])}{_beside(board, 'frechet', 'real images have', 'the mean image')}. "
    )
    text += (
        "The same model has"
        if (copies.unit, copies.label) == (samples.unit, samples.label)
        else (f"{copies.name} ({copies.place}) has")
    )
    return text + (
        f" the best reconstructions: {number(copies.values['distortion'])} nats"
        f"{_beside(board, 'distortion', 'a perfect copy has', 'the mean image')}."
    )


def _beside(board: Board, column: str, perfect: str, untaught: str) -> str:
    parts = [
        f"{words} {number(values[column])}"
        for words, values in ((perfect, board.perfect), (untaught, board.untaught))
        if is_number(values.get(column))
    ]
    return f" ({', '.join(parts)})" if parts else ""


def good_at(board: Board, row: Row) -> str:
    """What a model is good at, in a sentence or two made of the numbers of both ways to sample it."""
    if row.collapsed:
        rate = row.values.get("rate")
        tells = f"say {number(rate)} nats about an image" if is_number(rate) else "are the same for every image"
        return f"Collapsed: its codes {tells}, so all it decodes is one picture. It can win nothing here."
    twin = next((r for r in board.rows if r.mixture and (r.unit, r.label) == (row.unit, row.label)), None)
    own = [row, twin] if twin else [row]
    places: dict[str, tuple[int, int, Row]] = {}  # measure -> its best place, how many compete, with which row
    level: list[str] = []
    for standing in standings(board):
        there = [(place, r) for place, r in enumerate(standing.rows) if any(r is one for one in own)]
        if there and len(standing.rows) > 1:
            place, r = there[0]
            places[standing.column] = (place, len(standing.rows), r)
            if 0 < place < standing.level:
                level.append(standing.column)
    text = []
    for words, columns in (("Best in", [c for c in places if places[c][0] == 0]), ("Level with the best in", level)):
        if columns:
            text.append(f"{words} {_and([_with_value(c, places[c][2]) for c in columns])}.")
    if text:
        pass
    elif places:
        column = min(places, key=lambda c: places[c][0] / places[c][1])
        place, count, r = places[column]
        text.append(f"Best in nothing; its best place is {place + 1} of {count}, in {_with_value(column, r)}.")
    else:
        text.append(f"Nothing to compare it with: {_with_value('distortion', row)}, {_with_value('frechet', row)}.")
    if twin and is_number(row.values.get("frechet")) and is_number(twin.values.get("frechet")):
        before, after = row.values["frechet"], twin.values["frechet"]
        how = "takes" if after < before else "does not help: it takes"
        text.append(f"A mixture {how} its Fréchet distance from {number(before)} to {number(after)}.")
    last = [c for c, (place, count, r) in places.items() if place == count - 1 and not r.mixture]
    if last:
        text.append("Last in " + _and([_with_value(c, places[c][2]) for c in last]) + ".")
    return " ".join(text)


def _with_value(column: str, row: Row) -> str:
    unit = COLUMNS[column].unit
    via = ", from the mixture" if row.mixture else ""
    heading = COLUMNS[column].heading.removesuffix(" of samples").removesuffix(" of paths")
    heading = heading.removesuffix(" to the prior")
    return f"{SPOKEN[column]} ({heading} {number(row.values[column])}{f' {unit}' if unit else ''}{via})"


def _and(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def number(value: float | None) -> str:
    """Two or three significant digits, thousands grouped; a dash where there is no number."""
    if not is_number(value):
        return "–"
    size = abs(value)
    if value == int(value) or size < 5e-4:
        return f"{value:,.0f}".replace("-0", "0")
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:,.{digits}f}"
