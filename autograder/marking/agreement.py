"""Whether two markers agree, and whether one marks on Friday as on Monday."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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
    """Cohen's kappa with quadratic weights on marks in steps of half a point, by scikit-learn; the interval is a
    percentile bootstrap over answers."""
    pairs = len(first)
    if pairs == 0:
        return Agreement(0, 0.0, None, None, None, "no answer was marked by two")
    one, two = (np.rint(2 * np.asarray(marks)).astype(int) for marks in (first, second))
    exact = float(np.mean(one == two))
    if pairs < FEWEST:
        words = f"{pairs} answers were marked by two: too few for a number (at least {FEWEST})"
        return Agreement(pairs, exact, None, None, None, words)
    value = weighted_kappa(one, two)
    if value is None:
        words = "all marks are the same, so chance alone would agree as well: kappa is not defined"
        return Agreement(pairs, exact, None, None, None, words)
    draws = np.random.default_rng(seed).integers(0, pairs, (resamples, pairs))
    drawn = [kappa for kappa in (weighted_kappa(one[draw], two[draw]) for draw in draws) if kappa is not None]
    low, high = np.percentile(drawn, [2.5, 97.5])
    words = f"weighted kappa {value:.2f} ({low:.2f} to {high:.2f}) on {pairs} answers, the same mark for {exact:.0%}"
    return Agreement(pairs, exact, value, float(low), float(high), words)


def weighted_kappa(one: np.ndarray, two: np.ndarray) -> float | None:
    """Kappa with quadratic weights of whole numbers; None where only one number occurs."""
    from sklearn.metrics import cohen_kappa_score

    labels = np.arange(min(one.min(), two.min()), max(one.max(), two.max()) + 1)
    if len(labels) < 2:
        return None
    return float(cohen_kappa_score(one, two, labels=labels, weights="quadratic"))


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
