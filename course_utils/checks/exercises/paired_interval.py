"""Laws of `paired_interval(a, b)`: the mean of a - b, pair by pair, with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole, table
from ..engine.demand import number, plain64, same_number, several, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check("paired_interval(a, b)", "(mean, low, high): the mean of a - b and its 95 % interval, three floats")
_WHERE = "the two recipes on the card of paired_interval"
Interval = tuple[float, float, float]
_HALF = 1.96  # standard errors


@CHECK.law("has the mean difference in the middle, low below it and high above", weight=2)
def _mean(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, the mean compared exactly, the order for intervals of many standard errors of a bootstrap, where a
    hundredth of one is asked for, so that no rounding error decides: false alarm below 1e-12."""
    for n, shift in ((150, 3.0), (400, -2.0)):
        a, b = draw.normal(n) + shift, draw.normal(n)
        mean, low, high = _interval(candidate, a, b)
        want = float((plain64(a) - plain64(b)).mean())
        same_number(mean, want, f"mean of a - b over {n} pairs", scale=1.0, rounding=1e-3)
        apart = 0.01 * _standard_error(a, b)
        if not (low + apart < mean < high - apart):
            raise Broken(f"low < {show(mean)} < high", f"low = {show(low)}, high = {show(high)}")


@CHECK.law("is a 95 % interval: 1.96 standard errors of the mean to either side", weight=3)
def _width(candidate: Candidate, draw: Draw) -> None:
    """Half-widths of 8 intervals are averaged. Each of their ends, by a bootstrap of 1000 resamples, has a standard
    deviation of 0.085 standard errors (of 0.12 with 500): that of the average is 0.021 (0.03), the bound 0.17, more
    than 5.5 of them: false alarm below 1e-7."""
    ratios = []
    for _ in range(8):
        a, b = draw.normal(300, scale=2.0), draw.normal(300, scale=2.0)  # that of a alone is 0.7 of it
        _, low, high = _interval(candidate, a, b)
        ratios.append((high - low) / 2 / _standard_error(a, b))
    same_number(sum(ratios) / 8, _HALF, "half the interval, in standard errors of the mean", scale=1.0, rounding=0.17)


@CHECK.law("uses the pairs: what is hard for both cancels", weight=3, essential=True)
def _paired(candidate: Candidate, draw: Draw) -> None:
    """Differences between a twentieth and twenty times as wide as the values, whose mean is far from 0 and from 1; a
    bootstrap of 500 resamples is off by 25 % in no run of 1e12 (nine standard deviations): false alarm below 1e-12."""
    common = draw.normal(400, scale=10.0) + 6
    for a, b, what in (
        (common + draw.normal(400, scale=0.5), common, "where a and b rise and fall together"),
        (common, draw.normal(400, scale=0.5) - common, "where a falls when b rises"),
    ):
        _, low, high = _interval(candidate, a, b)
        want = _HALF * _standard_error(a, b)
        same_number((high - low) / 2, want, f"half the interval {what}", rounding=0.3)


@CHECK.law("narrows with the root of the number of pairs, whatever the unit", weight=2)
def _narrows(candidate: Candidate, draw: Draw) -> None:
    """As above: false alarm below 1e-12. One falls when the other rises, with a correlation of -1/2: the spread of a is
    0.58 of that of the differences, those of two samples 0.82, the sum of two intervals 1.15."""
    for n, scale in ((100, 1.0), (1600, 1000.0), (400, 0.001)):
        a = draw.normal(n, scale=scale)
        b = draw.normal(n, scale=0.866 * scale) - a / 2
        _, low, high = _interval(candidate, a, b)
        want = _HALF * _standard_error(a, b)
        same_number((high - low) / 2, want, f"half the interval of {n} pairs", rounding=0.3, floor=0.0)


@CHECK.law("works for right and wrong, 1 and 0, and turns round when a and b change places", weight=2)
def _truths(candidate: Candidate, draw: Draw) -> None:
    """As above: false alarm below 1e-12."""
    a, b = (draw.uniform(600) < 0.8).float(), (draw.uniform(600) < 0.6).float()
    want = float((plain64(a) - plain64(b)).mean())
    spread = _HALF * _standard_error(a, b)
    for first, second, sign in ((a, b, 1.0), (b, a, -1.0)):
        came = _interval(candidate, first, second)
        names = ("mean", "low", "high")
        for name, value, expected in zip(names, came, (0.0, -spread, spread), strict=True):
            same_number(value, sign * want + expected, f"{name} for ones and zeros", scale=spread, rounding=0.3)


@CHECK.law("has no width where all pairs differ by the same")
def _constant(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its values, which are whole numbers."""
    b = draw.normal(60, scale=5.0).round() + 20
    came = _interval(candidate, b + 2, b)
    for value, name in zip(came, ("mean", "low", "high"), strict=True):
        same_number(value, 2.0, f"{name} where every difference is 2", scale=1.0, rounding=1e-4)


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = draw.normal(50), draw.normal(50)
    kept = tuple(value.clone() for value in given)
    candidate(*given)
    untouched(kept, given, ("a", "b"))
    well_behaved(candidate)


def _interval(candidate: Candidate, a: torch.Tensor, b: torch.Tensor) -> Interval:
    names = ("mean", "low", "high")
    came = several(candidate(a.clone(), b.clone()), names)
    mean, low, high = (number(value, name, tensor_allowed=True) for value, name in zip(came, names, strict=True))
    return mean, low, high


def _standard_error(a: torch.Tensor, b: torch.Tensor) -> float:
    difference = plain64(a) - plain64(b)
    return float(difference.std()) / math.sqrt(len(difference))


def _spread(of: Callable[[torch.Tensor, torch.Tensor], float]) -> Callable[[torch.Tensor, torch.Tensor], Interval]:
    """The right mean with another half-width."""

    def made(a: torch.Tensor, b: torch.Tensor) -> Interval:
        mean, half = float((a - b).mean()), of(a, b)
        return mean, mean - half, mean + half

    return made


def _unpaired(a: torch.Tensor, b: torch.Tensor) -> float:
    return _HALF * math.sqrt(float(a.var() + b.var()) / len(a))


def _right(a: torch.Tensor, b: torch.Tensor) -> Interval:
    return _spread(lambda a, b: _HALF * _standard_error(a, b))(a, b)


def _scaled(factor: float) -> Callable[[torch.Tensor, torch.Tensor], Interval]:
    return _spread(lambda a, b: factor * _HALF * _standard_error(a, b))


def _about_median(a: torch.Tensor, b: torch.Tensor) -> Interval:
    middle, half = float((a - b).median()), _HALF * _standard_error(a, b)
    return middle, middle - half, middle + half


_SD = (
    "Your interval holds 95 % of the *pairs*, not of what their mean could have been: a mean of n pairs is the root of "
    "n times as sure as one of them."
)
_LEVEL = "The interval is of another level than 95 %: 1.96 standard errors to either side, or the 2.5 % and 97.5 % "
_LEVEL += "quantiles of the resampled means."
MISTAKES = table(
    _WHERE,
    _right,
    (
        "unpaired",
        "You treat a and b as two unrelated samples. They are pairs: take the differences first, then their spread.",
        _spread(_unpaired),
    ),
    ("spread_of_the_pairs", _SD, lambda a, b: _scaled(math.sqrt(len(a)))(a, b)),
    ("spread_of_the_pairs", _SD, lambda a, b: _scaled(math.sqrt(len(a)) / _HALF)(a, b)),
    ("divided_by_n", "You divide by n; divide by its root.", lambda a, b: _scaled(1 / math.sqrt(len(a)))(a, b)),
    ("another_level", _LEVEL, _scaled(1 / _HALF)),
    ("another_level", _LEVEL, _scaled(1.645 / _HALF)),
    ("another_level", _LEVEL, _scaled(2.576 / _HALF)),
    ("another_level", _LEVEL, _scaled(0.6745 / _HALF)),
    ("exchanged", "It is the interval of b - a.", lambda a, b: _right(b, a)),
    (
        "sizes_only",
        "You take the sizes of the differences without their signs.",
        lambda a, b: _right((a - b).abs(), 0 * b),
    ),
    (
        "half_for_end",
        "low and high are distances from the mean; the ends of the interval are asked for.",
        lambda a, b: (_right(a, b)[0], _right(a, b)[0] - _right(a, b)[1], _right(a, b)[2] - _right(a, b)[0]),
    ),
    (
        "no_width",
        "Your interval has no width: all pairs, drawn without replacement, are the same pairs every time.",
        _scaled(0.0),
    ),
    (
        "order",
        "The mean comes first: (mean, low, high).",
        lambda a, b: (_right(a, b)[1], _right(a, b)[0], _right(a, b)[2]),
    ),
    ("ends_exchanged", "low and high are exchanged.", lambda a, b: (_right(a, b)[0], _right(a, b)[2], _right(a, b)[1])),
    (
        "two_intervals",
        "You add up the widths of two intervals, of a and of b; the differences have one of their own.",
        _spread(lambda a, b: _HALF * (_standard_error(a, 0 * a) + _standard_error(b, 0 * b))),
    ),
    (
        "variance_for_deviation",
        "You use the variance where the standard deviation belongs, its root.",
        _spread(lambda a, b: _HALF * _standard_error(a, b) * float((a - b).std())),
    ),
    (
        "a_for_spread",
        "The middle is right, the width is that of a alone: take the spread of the differences.",
        _spread(lambda a, b: _HALF * _standard_error(a, 0 * a)),
    ),
    ("median_for_mean", "The middle is the median of the differences; the mean is asked for.", _about_median),
    (
        "shares_of_b",
        "You divide by the mean of b; the difference itself is asked for.",
        lambda a, b: _right(a / b.mean(), b / b.mean()),
    ),
    ("a_alone", "The interval is that of a alone; b is not in it.", lambda a, b: _right(a, 0 * b)),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The one row that explains two intervals, up to what a bootstrap adds."""
    probes = []
    for n, together in ((150, 1.5), (300, -0.8)):
        common = draw.normal(n)
        a, b = draw.normal(n) + together * common + 1.0, common + 0.3
        mean, low, high = (
            sum(values) / 8 for values in zip(*(_interval(candidate, a, b) for _ in range(8)), strict=True)
        )
        probes.append((plain64(a), plain64(b), (mean, low, high)))
    return sole(cause for cause, mistaken in MISTAKES if all(_like(came, mistaken(a, b)) for a, b, came in probes))


def _like(came: Interval, predicted: Interval) -> bool:
    width = max(abs(predicted[2] - predicted[1]), abs(predicted[2] - predicted[0]))
    return all(abs(one - other) <= 0.06 * width + 1e-5 for one, other in zip(came, predicted, strict=True))
