"""The scoreboard as HTML: one table, one figure, and what could not be compared. No script, nothing from elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from course_utils.system.templates import content_policy, render

from .scoreboard import COLUMNS, UNITS, Board, Row, is_number
from .scorecard import COLUMNS as MEANING

TEMPLATES = Path(__file__).parent / "templates"
SPOKEN = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "digits": "the digits"}
UNBOUNDED = ("distortion", "rate", "sliced_wasserstein", "frechet")  # may be drawn on a log scale


def page(board: Board, machine: str) -> str:
    """The whole page."""
    return render(TEMPLATES / "page.html.j2", machine=machine, policy=content_policy(), **_content(board))


def fragment(board: Board) -> str:
    """Table, figure and notes, to be put into a page or shown in a notebook."""
    return render(TEMPLATES / "board.html.j2", **_content(board))


def plain(board: Board) -> str:
    """The table as text."""
    lines = ["\t".join(["model", "unit", "training", *COLUMNS])]
    lines += ["\t".join([row.label, row.place, row.training, *(_text(row, c) for c in COLUMNS)]) for row in board.rows]
    return "\n".join(lines)


def _content(board: Board) -> dict[str, Any]:
    """What the templates show."""
    data = SPOKEN.get(str(board.data_name), "a data set that is not the course’s")
    return {
        "data": f"{board.test_images:,} test images of {data}",
        "spoken": SPOKEN.get(str(board.data_name), "this data set"),
        "missing": [(unit[:2], UNITS[unit]) for unit in board.missing_units],
        "begun": bool(board.kept),
        "columns": [{"heading": MEANING[c].heading, "about": _unit_and_better(c)} for c in COLUMNS],
        "rows": [
            {
                "label": row.label,
                "place": row.place,
                "training": row.training,
                "stored": not row.values,
                "texts": [_text(row, column) for column in COLUMNS],
            }
            for row in board.rows
        ],
        "banded": any(row.bands for row in board.rows),
        "panels": [_panel(board, column) for column in COLUMNS],
        "skipped": board.skipped,
        "percent": "{:.1f}%".format,
    }


def _text(row: Row, column: str) -> str:
    """A value; for stored runs the mean and half the width of the interval."""
    if row.values:
        return number(row.values.get(column))
    band = row.bands[column]
    half = f" ± {number((band.high - band.low) / 2)}" if is_number(band.high) else ""
    return number(band.mean) + half


def number(value: float | None) -> str:
    """Two or three significant digits, thousands grouped; a dash where there is no number."""
    if not is_number(value):
        return "–"
    if value == int(value):
        return f"{value:,.0f}"
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.2f}"
        if size >= 0.1
        else f"{value:.3f}"
    )


def _unit_and_better(column: str) -> str:
    meaning = MEANING[column]
    return ", ".join(filter(None, [meaning.unit, f"{meaning.better} is better" if meaning.better else ""]))


def _panel(board: Board, column: str) -> dict[str, Any]:
    """One measure: a row for each model, with its place on a common scale."""
    scale = _Scale(board.rows, column)
    return {
        "heading": MEANING[column].heading,
        "about": ", ".join(filter(None, [_unit_and_better(column), scale.note])),
        "rows": [
            {"label": row.label, "place": row.place, "text": _text(row, column)} | _marks(row, column, scale)
            for row in board.rows
        ],
    }


def _marks(row: Row, column: str, scale: _Scale) -> dict[str, Any]:
    """Where the marks of a row stand, in per cent; None for a mark that it does not have."""
    band, value = row.bands.get(column), row.values.get(column)
    return {
        "band": (scale.place(band.low), scale.place(band.high)) if band and is_number(band.low) else None,
        "mean": scale.place(band.mean) if band and is_number(band.mean) else None,
        "dot": scale.place(value) if is_number(value) else None,
    }


class _Scale:
    """From values to 2..98 % of a strip's width; logarithmic where unbounded ones span more than a
    factor of 30."""

    def __init__(self, rows: list[Row], column: str) -> None:
        values = [row.values.get(column, math.nan) for row in rows]
        values += [row.bands[column].mean for row in rows if row.bands]
        values = [value for value in values if is_number(value)] or [0.0, 1.0]
        positive = sorted(value for value in values if value > 0)
        self.log = (
            column in UNBOUNDED
            and bool(positive)
            and min(values) >= 0
            and positive[-1] > 30 * positive[len(positive) // 4]
        )
        if self.log:
            self.low, self.high = math.log(max(positive[0], positive[-1] / 1e5)), math.log(positive[-1])
        else:
            self.low, self.high = min(values), max(values)
        edge = "smaller values at the left edge" if self.log and min(values) < math.exp(self.low) else ""
        self.note = ", ".join(filter(None, ["log scale" if self.log else "", edge]))

    def place(self, value: float) -> float:
        """Per cent from the left; what lies beyond the scale is put at its end."""
        if self.log:
            value = math.log(value) if value > 0 else self.low
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return 2 + 96 * min(1.0, max(0.0, share))
