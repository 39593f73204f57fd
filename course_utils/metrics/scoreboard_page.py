"""The scoreboard as HTML: one table, one figure, and what could not be compared. No script, nothing from elsewhere."""

from __future__ import annotations

import math
from html import escape

from .scoreboard import COLUMNS, UNITS, Board, Row, is_number
from .scorecard import COLUMNS as MEANING

STYLE = """
.scoreboard { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: #fff; }
.scoreboard .scroll { overflow-x: auto; border: 1px solid #ccc; }
.scoreboard table { border-collapse: collapse; font-size: .875rem; margin: 0; }
.scoreboard caption { text-align: left; padding: .5rem; font-weight: 600; }
.scoreboard th, .scoreboard td { text-align: right; padding: .3rem .6rem; border-top: 1px solid #ddd; background: #fff; }
.scoreboard thead th { vertical-align: bottom; min-width: 4rem; }
.scoreboard .scroll td { white-space: nowrap; }
.scoreboard tbody th { text-align: left; font-weight: 600; min-width: 8.5rem; max-width: 14rem; position: sticky; left: 0; }
.scoreboard small { display: block; font-weight: 400; color: #555; }
.scoreboard .stored th, .scoreboard .stored td { background: #eef6fb; }
.scoreboard .panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.5rem; align-items: start; }
.scoreboard .panel { width: 100%; table-layout: fixed; }
.scoreboard .panel th, .scoreboard .panel td { padding: .1rem .3rem; border: 0; font-size: .8125rem; }
.scoreboard .panel tbody th { width: 38%; max-width: none; font-weight: 400; position: static; overflow-wrap: anywhere; }
.scoreboard .panel .value { width: 8em; overflow-wrap: anywhere; }
.scoreboard .strip { position: relative; height: 1em; border-bottom: 1px solid #ccc; }
.scoreboard .band { position: absolute; top: .15em; height: .7em; min-width: 2px; background: #88ccee; }
.scoreboard .mean { position: absolute; top: 0; height: 1em; border-left: 2px solid #117733; }
.scoreboard .dot { position: absolute; top: .2em; width: .6em; height: .6em; margin-left: -.3em; border-radius: 50%; background: #332288; }
.scoreboard .key { display: inline-block; position: relative; width: 2em; height: 1em; vertical-align: middle; }
"""
SPOKEN = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "digits": "the digits"}
UNBOUNDED = ("distortion", "rate", "sliced_wasserstein", "frechet")  # may be drawn on a log scale
PAGE_STYLE = """
body { margin: 0; background: #fff; font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; }
main { max-width: 86rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.25; }
"""


def page(board: Board, machine: str) -> str:
    """The whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Scoreboard</title>'
        f"<style>{PAGE_STYLE}</style></head><body><main>\n<h1>Scoreboard</h1>\n"
        f"<p>Models of latent spaces, measured side by side on {escape(_data(board))}. Measured on {escape(machine)}.</p>\n"
        f"{fragment(board)}\n</main></body></html>\n"
    )


def fragment(board: Board) -> str:
    """Table, figure and notes, to be put into a page or shown in a notebook."""
    parts = [f'<style>{STYLE}</style><div class="scoreboard">', _first_steps(board)]
    if board.rows:
        parts += ["<h2>Table</h2>", _table(board), "<h2>Figure</h2>", _legend(board), _panels(board)]
        parts += ["<h2>How to read it</h2>", _reading()]
    parts += [_skipped(board), "</div>"]
    return "\n".join(filter(None, parts))


def plain(board: Board) -> str:
    """The table as text."""
    lines = ["\t".join(["model", "unit", "training", *COLUMNS])]
    lines += ["\t".join([row.label, row.place, row.training, *(_text(row, c) for c in COLUMNS)]) for row in board.rows]
    return "\n".join(lines)


def _data(board: Board) -> str:
    return f"{board.test_images:,} test images of {SPOKEN.get(board.data_name, 'a data set that is not the course’s')}"


def _first_steps(board: Board) -> str:
    """Which units to do first, or next."""
    missing = board.missing_units
    if not missing:
        return ""
    units = "".join(f"<li>unit {unit[:2]}: {escape(UNITS[unit])}</li>" for unit in missing)
    if board.kept:
        return f"<p>Not on this board yet:</p><ul>{units}</ul>"
    return (
        f"<p><strong>Nothing of yours to compare yet:</strong> no run on {SPOKEN.get(board.data_name, 'this data set')} is kept "
        "in <code>runs/</code>. Each unit keeps there what you train. Begin with units 01 and 02; then this page compares an "
        f"autoencoder with VAEs.</p><ul>{units}</ul>"
        + ("<p>Until then, here are the stored runs of the course.</p>" if board.rows else "")
    )


def _table(board: Board) -> str:
    heads = "".join(
        f'<th scope="col">{escape(MEANING[c].heading)}<small>{_unit_and_better(c)}</small></th>' for c in COLUMNS
    )
    body = ""
    for row in board.rows:
        stored = ' class="stored"' if not row.values else ""
        cells = "".join(f"<td>{_text(row, c)}</td>" for c in COLUMNS)
        about = f"<small>{escape(row.place)} · {escape(row.training)}</small>"
        body += f'<tr{stored}><th scope="row" style="text-align:left">{escape(row.label)}{about}</th>{cells}</tr>\n'
    return (
        '<div class="scroll" role="region" tabindex="0" aria-label="Table of all models; scrolls sideways"><table>'
        f'<caption>All models on {escape(_data(board))}</caption><thead><tr><th scope="col" style="text-align:left">model</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


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
    return escape(", ".join(filter(None, [meaning.unit, f"{meaning.better} is better" if meaning.better else ""])))


def _legend(board: Board) -> str:
    mine = '<span class="key" aria-hidden="true"><span class="dot" style="left:50%"></span></span> your model'
    if not any(row.bands for row in board.rows):
        return f"<p>{mine}.</p>"
    band = (
        '<span class="key" aria-hidden="true"><span class="band" style="left:0;width:100%"></span>'
        '<span class="mean" style="left:50%"></span></span> stored runs with other seeds: mean, and where one more '
        "training with the same settings should fall 19 times in 20 (in the table: ±)"
    )
    return f"<p>{mine}; {band}. A band behind a dot belongs to the same model with the same settings.</p>"


def _panels(board: Board) -> str:
    return '<div class="panels">' + "\n".join(_panel(board, column) for column in COLUMNS) + "</div>"


def _panel(board: Board, column: str) -> str:
    """One measure: a row for each model, with its place on a common scale."""
    scale = _Scale(board.rows, column)
    rows = ""
    for row in board.rows:
        marks = _marks(row, column, scale)
        rows += (
            f'<tr><th scope="row" style="text-align:left">{escape(row.label)} <span style="color:#555">{escape(row.place)}</span></th>'
            f'<td><div class="strip" aria-hidden="true">{marks}</div></td>'
            f'<td class="value">{_text(row, column)}</td></tr>\n'
        )
    about = ", ".join(filter(None, [_unit_and_better(column), scale.note]))
    return (
        f'<table class="panel"><caption>{escape(MEANING[column].heading)}<small>{about}</small></caption>'
        f"<tbody>{rows}</tbody></table>"
    )


def _marks(row: Row, column: str, scale: _Scale) -> str:
    marks, band = "", row.bands.get(column)
    if band and is_number(band.low):
        left, right = scale.place(band.low), scale.place(band.high)
        marks += f'<span class="band" style="left:{left:.1f}%;width:{right - left:.1f}%"></span>'
    if band and is_number(band.mean):
        marks += f'<span class="mean" style="left:{scale.place(band.mean):.1f}%"></span>'
    if is_number(row.values.get(column)):
        marks += f'<span class="dot" style="left:{scale.place(row.values[column]):.1f}%"></span>'
    return marks


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


def _reading() -> str:
    return (
        "<ul><li>Compare at equal distortion, or along the curve of rate and distortion: a model that is regularised less "
        "reconstructs better, whatever the regulariser.</li>"
        "<li>Compare models with equally many images, epochs and latent dimensions; the row says what it was trained on.</li>"
        "<li>Bernoulli distortion of grey images never reaches 0. It compares models, and is no likelihood.</li>"
        "<li>A model without noise in its encoder has no finite rate; one that is sampled from a mixture has no prior to be "
        "near to. These cells have a dash.</li>"
        "<li>Precision, recall and the Fréchet distance are those of a small classifier's features, trained on the spot: they "
        "do not compare with published values. One picture, repeated, can have a precision of 1: read it together with "
        "recall.</li>"
        "<li>A single run says little. Where there is no band, another seed might order two close models differently.</li></ul>"
    )


def _skipped(board: Board) -> str:
    if not board.skipped:
        return ""
    items = "".join(f"<li><code>{escape(name)}</code>: {escape(why)}</li>" for name, why in board.skipped.items())
    return f"<h2>Not compared</h2><ul>{items}</ul>"
