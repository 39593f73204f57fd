"""Whether two markers agree, and whether one marks on Friday as on Monday."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .log import MARK, Entry

BLOCK = 20  # marks that are taken together to see drift
FEWEST = 10  # pairs below which no number is given


@dataclass(frozen=True)
class Agreement:
    """Weighted kappa of pairs of marks with its 95 % interval; None where it cannot be told, and why."""

    pairs: int
    exact: float
    kappa: float | None
    low: float | None
    high: float | None
    words: str


def agreement(first: list[float], second: list[float], resamples: int = 1000, seed: int = 0) -> Agreement:
    """Cohen's kappa with quadratic weights on marks in steps of half a point; the interval is a percentile
    bootstrap over answers."""
    pairs = len(first)
    if pairs == 0:
        return Agreement(0, 0.0, None, None, None, "no answer was marked by two")
    one, two = (np.rint(2 * np.asarray(marks)).astype(int) for marks in (first, second))
    exact = float(np.mean(one == two))
    if pairs < FEWEST:
        words = f"{pairs} answers were marked by two: too few for a number (at least {FEWEST})"
        return Agreement(pairs, exact, None, None, None, words)
    value = float(weighted_kappa(one, two))
    if np.isnan(value):
        words = "all marks are the same, so chance alone would agree as well: kappa is not defined"
        return Agreement(pairs, exact, None, None, None, words)
    draws = np.random.default_rng(seed).integers(0, pairs, (resamples, pairs))
    drawn = weighted_kappa(one[draws], two[draws])
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    words = f"weighted kappa {value:.2f} ({low:.2f} to {high:.2f}) on {pairs} answers, the same mark for {exact:.0%}"
    return Agreement(pairs, exact, value, float(low), float(high), words)


def weighted_kappa(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Kappa with quadratic weights over the last axis; NaN where only one mark occurs.

    With these weights it is 1 - E (a - b)² / (var a + var b + (E a - E b)²): what is found over what chance would give.
    """
    found = np.square(one - two).mean(-1)
    chance = one.var(-1) + two.var(-1) + np.square(one.mean(-1) - two.mean(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(chance > 0, 1 - found / chance, np.nan))


def drift(marks: list[float], resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """The means of each ``BLOCK`` marks in the order in which they were given, and how much the second half differs
    from the first, with a bootstrap interval. The order of answers is drawn, so that nothing else should differ."""
    blocks = [marks[start : start + BLOCK] for start in range(0, len(marks), BLOCK)]
    means = [{"mean": float(np.mean(block)), "marks": len(block)} for block in blocks]
    half = len(marks) // 2
    if half < FEWEST:
        return {"blocks": means, "words": f"{len(marks)} marks: too few to tell (at least {2 * FEWEST})"}
    one, two = np.asarray(marks[:half]), np.asarray(marks[half:])
    random = np.random.default_rng(seed)
    changes = [random.choice(two, len(two)).mean() - random.choice(one, len(one)).mean() for _ in range(resamples)]
    low, high = np.percentile(changes, [2.5, 97.5])
    change = two.mean() - one.mean()
    verdict = "no drift can be told" if low <= 0 <= high else "the marks drift"
    words = f"second half against first: {change:+.2f} points ({low:+.2f} to {high:+.2f}): {verdict}"
    return {"blocks": means, "words": words}


def statistics(
    entries: Mapping[str, Entry],
    history: Iterable[Any],
    seconds: Mapping[str, Any],
    token_of: Callable[[str], str],
    points: float,
) -> dict[str, Any]:
    """How well one question is marked, from the marks of its answers, their history and the second marks by student."""
    pairs = [
        (name, entries[name], row)
        for name, row in seconds.items()
        if name in entries and entries[name].state.score is not None
    ]
    others = [(e.state.score or 0.0, row.score) for _, e, row in pairs if e.marker != row.marker]
    oneself = [(e.state.score or 0.0, row.score) for _, e, row in pairs if e.marker == row.marker]
    first_marks: dict[str, dict[str, float]] = {}
    for row in history:
        if row.kind == MARK and row.score is not None:
            decision = json.loads(row.state).get("decision") or row.student  # alike answers count once
            first_marks.setdefault(row.marker, {}).setdefault(decision, row.score)
    scores = Counter(entry.manual_score for entry in entries.values() if entry.manual_score is not None)
    return {
        "agreement": vars(agreement(*_columns(others))),
        "oneself": vars(agreement(*_columns(oneself))),
        "pairs": [
            {
                "token": token_of(name),
                "first": entry.state.score,
                "by": entry.marker,
                "second": row.score,
                "second_by": row.marker,
            }
            for name, entry, row in pairs
            if entry.state.score != row.score
        ],
        "drift": [{"marker": marker, **drift([*marks.values()])} for marker, marks in sorted(first_marks.items())],
        "scores": [{"score": score, "answers": scores[score]} for score in sorted(scores)],
        "points": points,
    }


def _columns(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [one for one, _ in pairs], [two for _, two in pairs]
