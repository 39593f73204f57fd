"""Runs of every model with three seeds at budget ``full`` on MNIST, made by ``benchmarks/reference_runs.py``.

Beside each table, ``<unit>.csv``, lies ``<unit>.json`` with the settings of every model and what it was run with. The
numbers are those of ``scorecard.measure``.
"""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from course_utils.system.errors import CourseError

FOLDER = Path(__file__).parent
_TWO_SIDED = 0.95


class Band(NamedTuple):
    """A mean over seeds and an interval around it."""

    mean: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies inside."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class ReferenceRuns:
    """The runs of one unit: ``rows`` have ``model``, ``seed``, ``seconds`` and the numbers of ``scorecard.COLUMNS``."""

    unit: str
    rows: list[dict]
    settings: dict[str, dict] = field(default_factory=dict)  # by model
    made_with: dict = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """Names, in the order in which they were run."""
        return list(dict.fromkeys(row["model"] for row in self.rows))

    @property
    def label(self) -> str:
        """For captions: on what, how long, how many seeds."""
        made = self.made_with
        return f"{made['dataset']}, {made['epochs']} epochs, {len({row['seed'] for row in self.rows})} seeds"

    def values(self, model: str, number: str) -> list[float]:
        """One value for each seed, in the order of the seeds; nan where it has no meaning for this model."""
        rows = sorted((row for row in self.rows if row["model"] == model), key=lambda row: row["seed"])
        if not rows:
            raise CourseError(f"no reference run of {model!r} in {self.unit}; there are {', '.join(self.models)}.")
        if number not in rows[0]:
            raise CourseError(f"no number {number!r} in the reference runs; there are {', '.join(rows[0])}.")
        return [row[number] for row in rows]

    def mean(self, model: str, number: str) -> float:
        """Mean over the seeds."""
        values = self.values(model, number)
        return sum(values) / len(values)

    def band(self, model: str, number: str) -> Band:
        """Mean over n seeds with the 95 % *prediction* interval for one more run of the same settings:
        mean +- t(n - 1) s sqrt(1 + 1/n), s the standard deviation over seeds, normal errors assumed.

        Such an interval misses one honest run in twenty. With three seeds t is 4.3, so it is wide.
        """
        return _interval(self.values(model, number), new_run=True)

    def difference(self, model: str, other: str, number: str) -> Band:
        """Mean over seeds of ``model`` minus ``other``, with its 95 % confidence interval (Student's t, runs paired by
        seed: the same order of the images). Where nothing differs it leaves out 0 once in twenty times: of many
        differences, some do."""
        pairs = zip(self.values(model, number), self.values(other, number), strict=True)
        return _interval([a - b for a, b in pairs], new_run=False)


def load(unit: str) -> ReferenceRuns:
    """The stored runs of a unit, named as its folder.

    Raises:
        CourseError: there are none for this unit.
    """
    path = FOLDER / f"{unit}.csv"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in FOLDER.glob("*.csv"))) or "none"
        raise CourseError(f"There are no reference runs of {unit!r}; stored are those of: {there}.")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            {
                key: value if key == "model" else int(value) if key == "seed" else float(value)
                for key, value in row.items()
            }
            for row in csv.DictReader(file)
        ]
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return ReferenceRuns(unit, rows, about["models"], about["made_with"])


def _interval(values: list[float], *, new_run: bool) -> Band:
    n, mean = len(values), sum(values) / len(values)
    if n < 2 or not math.isfinite(mean):
        return Band(mean, math.nan, math.nan)
    from scipy.special import stdtrit

    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stdtrit(n - 1, 0.5 + _TWO_SIDED / 2)) * deviation * math.sqrt((1 if new_run else 0) + 1 / n)
    return Band(mean, mean - half, mean + half)
