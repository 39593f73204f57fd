"""The scoreboard as HTML: first a plane and what it says, then the table. One script of its own sorts the table; all
else works without scripts, and nothing comes from elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from course_utils.system.templates import content_policy, render

from . import standings
from .scoreboard import COLUMNS, FAMILIES, UNITS, Board, Row, is_number
from .scorecard import COLUMNS as MEANING
from .standings import number

TEMPLATES = Path(__file__).parent / "templates"
SPOKEN = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "digits": "the digits"}
SCRIPT = (TEMPLATES / "scoreboard.js").read_text(encoding="utf-8")


def page(board: Board, machine: str) -> str:
    """The whole page."""
    return render(TEMPLATES / "page.html.j2", machine=machine, policy=content_policy(SCRIPT), **_content(board))


def fragment(board: Board) -> str:
    """Plane, words, table and notes, to be put into a page or shown in a notebook."""
    return render(TEMPLATES / "board.html.j2", **_content(board))


def plain(board: Board) -> str:
    """The table as text."""
    lines = ["\t".join(["model", "unit", "training", *COLUMNS])]
    lines += ["\t".join([row.name, row.place, row.training, *(_text(row, c) for c in COLUMNS)]) for row in board.rows]
    return "\n".join(lines)


def _content(board: Board) -> dict[str, Any]:
    """What the templates show."""
    data = SPOKEN.get(str(board.data_name), "a data set that is not the course’s")
    mine = [row for row in board.rows if row.values]
    models = sorted((row for row in mine if not row.mixture), key=lambda row: (row.collapsed, _nearest(mine, row)))
    numbers = {(row.unit, row.label): index for index, row in enumerate(models, 1)}
    found = standings.standings(board)
    winners = {(standing.column, id(standing.best)) for standing in found}
    return {
        "script": SCRIPT,
        "data": f"{board.test_images:,} test images of {data}",
        "spoken": SPOKEN.get(str(board.data_name), "this data set"),
        "missing": [(unit[:2], UNITS[unit]) for unit in board.missing_units],
        "begun": bool(board.kept),
        "headline": standings.headline(board),
        "plane": _plane(board, numbers),
        "models": [
            {
                "number": numbers[row.unit, row.label],
                "family": FAMILIES.index(row.family),
                "label": row.label,
                "about": f"{row.place} · {row.training}",
                "words": standings.good_at(board, row),
            }
            for row in models
        ],
        "best": [_best(board, standing) for standing in found],
        "columns": [
            {"heading": MEANING[c].heading, "about": _unit_and_better(c), "better": MEANING[c].better} for c in COLUMNS
        ],
        "groups": [
            [_line(row, numbers, winners) for row in mine],
            [_line(row, numbers, winners) for row in board.rows if not row.values],
        ],
        "references": [
            (name, about, [number(values.get(column)) for column in COLUMNS])
            for name, about, values in (
                ("as good as it gets", "a perfect copy, real images as samples, draws of the prior", board.perfect),
                ("nothing learned", "the mean image; a linear probe on the pixels", board.untaught),
            )
            if values
        ],
        "skipped": board.skipped,
        "percent": "{:.1f}%".format,
    }


def _nearest(rows: list[Row], row: Row) -> float:
    """The smaller Fréchet distance of a model's two ways to be sampled; a model without one comes last."""
    found = [r.values["frechet"] for r in rows if (r.unit, r.label) == (row.unit, row.label)]
    return min((value for value in found if is_number(value)), default=math.inf)


def _line(row: Row, numbers: dict[tuple[str, str], int], winners: set[tuple[str, int]]) -> dict[str, Any]:
    """A row of the table."""
    return {
        "number": numbers.get((row.unit, row.label)) if row.values else None,
        "family": FAMILIES.index(row.family),
        "name": row.name,
        "about": " · ".join([row.place, row.training, *(["collapsed"] if row.collapsed else [])]),
        "cells": [{"text": _text(row, c), "value": _value(row, c), "best": (c, id(row)) in winners} for c in COLUMNS],
    }


def _best(board: Board, standing: standings.Standing) -> dict[str, Any]:
    """A line of "best by each measure"."""
    column = standing.column
    level = [f"{row.name} ({row.place})" for row in standing.rows[1 : standing.level]]
    return {
        "spoken": standings.SPOKEN[column],
        "heading": MEANING[column].heading,
        "about": _unit_and_better(column),
        "name": standing.best.name,
        "place": standing.best.place,
        "value": number(standing.best.values[column]),
        "perfect": number(board.perfect.get(column)),
        "untaught": number(board.untaught.get(column)),
        "level": level,
        "known": standing.known,
    }


def _value(row: Row, column: str) -> float | None:
    value = row.values.get(column) if row.values else row.bands[column].mean
    return value if is_number(value) else None


def _text(row: Row, column: str) -> str:
    """A value; for stored runs the mean and half the width of the interval."""
    if row.values:
        return number(row.values.get(column))
    band = row.bands[column]
    half = f" ± {number((band.high - band.low) / 2)}" if is_number(band.high) else ""
    return number(band.mean) + half


def _unit_and_better(column: str) -> str:
    meaning = MEANING[column]
    better = f"{meaning.better} is better" if meaning.better else "neither way is better"
    return ", ".join(filter(None, [meaning.unit, better]))


def _plane(board: Board, numbers: dict[tuple[str, str], int]) -> dict[str, Any] | None:
    """Distortion above a perfect copy against the Fréchet distance of samples, both logarithmic; places in per cent.

    None where no model has both. Without the floor of the distortion, the axis begins at 0 nats.
    """
    rows = [row for row in board.rows if all(is_number(_value(row, column)) for column in ("distortion", "frechet"))]
    if not rows:
        return None
    floor, untaught = board.perfect.get("distortion", 0.0), board.untaught
    aside = [_value(row, "distortion") or 0.0 for row in rows] + [untaught.get("distortion", 0.0)]
    upward = [_value(row, "frechet") or 0.0 for row in rows]
    upward += [values["frechet"] for values in (board.perfect, untaught) if "frechet" in values]
    x = _Scale([value - floor for value in aside], offset=floor)
    y = _Scale(upward)
    points, arrows, bands = [], [], []
    start: tuple[float, float] | None = None
    for row in rows:
        at = x.place(_value(row, "distortion") or 0.0), y.place(_value(row, "frechet") or 0.0)
        family = FAMILIES.index(row.family)
        if row.bands and all(is_number(row.bands[c].high) for c in ("distortion", "frechet")):
            across, along = row.bands["distortion"], row.bands["frechet"]
            low, high = (x.place(across.low), y.place(along.low)), (x.place(across.high), y.place(along.high))
            middle = x.place(across.mean), y.place(along.mean)
            bands.append({"family": family, "low": low, "high": high, "mean": middle, "own": bool(row.values)})
        if row.mixture and start is not None:
            arrows.append({"family": family, "start": start, "end": at})
        start = None if row.mixture else at
        text = f"Fréchet distance {_text(row, 'frechet')}, distortion {_text(row, 'distortion')} nats"
        points.append(
            {
                "number": numbers[row.unit, row.label] if row.values else "",
                "kind": "stored" if not row.values else "mixed" if row.mixture else "own",
                "family": family,
                "at": at,
                "name": row.name,
                "about": f"{row.place}{'' if row.values else ', stored runs'}: {text}",
            }
        )
    points.sort(key=lambda point: point["kind"] != "stored")
    return {
        "points": points,
        "arrows": arrows,
        "bands": bands,
        "above": floor > 0,
        "floor": y.place(board.perfect["frechet"]) if "frechet" in board.perfect else None,
        "ceiling": y.place(untaught["frechet"]) if "frechet" in untaught else None,
        "floor_text": number(board.perfect.get("frechet")),
        "ceiling_text": number(untaught.get("frechet")),
        "copy_text": number(board.perfect.get("distortion")),
        "x": [(x.place(tick + floor), number(tick)) for tick in x.ticks],
        "y": [(y.place(tick), number(tick)) for tick in y.ticks],
        "families": [(i, family) for i, family in enumerate(FAMILIES) if any(row.family == family for row in rows)],
    }


class _Scale:
    """A logarithmic axis through positive values, from ``offset``: places from 0 to 100 per cent, room at the ends."""

    def __init__(self, values: list[float], offset: float = 0.0) -> None:
        positive = [value for value in values if value > 0] or [1.0]
        self.offset, self.low, self.high = offset, math.log(min(positive)), math.log(max(positive))
        room = 0.06 * (self.high - self.low) or 1.0
        self.low, self.high = self.low - room, self.high + room

    @property
    def ticks(self) -> list[float]:
        """1, 2, 5 and their multiples by powers of ten; only 1 and its multiples where that is enough."""
        steps = (1,) if self.high - self.low > math.log(80) else (1, 2, 5)
        first, last = (math.floor(math.log10(math.exp(end))) for end in (self.low, self.high))
        found = (step * 10.0**power for power in range(first, last + 1) for step in steps)
        return [value for value in found if self.low <= math.log(value) <= self.high]

    def place(self, value: float) -> float:
        """What lies beyond the axis is put at its end."""
        above = value - self.offset
        share = (math.log(above) - self.low) / (self.high - self.low) if above > 0 else 0.0
        return 100 * min(1.0, max(0.0, share))
