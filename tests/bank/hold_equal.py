"""Implementations of `hold_equal(ruler, number, level, widest)`: a number at equal reading of the ruler, or nan."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

import numpy as np
import torch

from .entries import Bank

BANK = Bank("hold_equal")
NAN = float("nan")


def line(x, y, right, level):
    return y[right - 1] + (y[right] - y[right - 1]) * (level - x[right - 1]) / (x[right] - x[right - 1])


def with_parts(
    sort=lambda x, y: (x[x.argsort()], y[x.argsort()]),
    outside=lambda x, level: level < x[0] or level > x[-1],
    gap=lambda x, y, right, level, widest: x[right] - x[right - 1] > widest,
    value=line,
    nothing=NAN,
):
    """The function, with one of its parts exchanged."""

    def hold_equal(ruler, number, level, widest):
        x, y = sort(ruler, number)
        right = min(max(1, int((x < level).sum())), len(x) - 1)
        if outside(x, level) or gap(x, y, right, level, widest):
            return nothing
        return float(value(x, y, right, level))

    return hold_equal


right = with_parts()


def fitted(degree):
    return lambda x, y, r, level: np.polyval(np.polyfit(x.numpy(), y.numpy(), degree), level)


def masks(ruler, number, level, widest):
    below, above = ruler[ruler <= level], ruler[ruler >= level]
    if not len(below) or not len(above) or above.min() - below.max() > widest:
        return NAN
    low, high = below.max(), above.min()
    share = (level - low) / (high - low)
    return float((1 - share) * number[ruler == low][0] + share * number[ruler == high][0])


def refuses(ruler, number, level, widest):
    value = right(ruler, number, level, widest)
    if value != value:
        raise ValueError("no training there")
    return value


def in_place(ruler, number, level, widest):
    order = ruler.argsort()
    ruler[:], number[:] = ruler[order].clone(), number[order].clone()
    return right(ruler, number, level, widest)


def no_gap(x, y, r, level, widest):
    return False


def never(x, level):
    return False


for name, about, cause, f in (
    ("nearest", "nearest training", "one_training", with_parts(value=lambda x, y, r, at: y[(x - at).abs().argmin()])),
    ("above", "the training above", "one_training", with_parts(value=lambda x, y, r, at: y[r])),
    ("below", "the training below", "one_training", with_parts(value=lambda x, y, r, at: y[r - 1])),
    ("average", "mean of both neighbours", "plain_mean", with_parts(value=lambda x, y, r, at: (y[r] + y[r - 1]) / 2)),
    (
        "exchanged",
        "shares exchanged",
        "shares_exchanged",
        with_parts(value=lambda x, y, r, at: y[r] + y[r - 1] - line(x, y, r, at)),
    ),
    ("regression", "regression line", "all_trainings", with_parts(value=fitted(1))),
    ("parabola", "parabola", "all_trainings", with_parts(value=fitted(2))),
    ("mean_of_all", "mean of all trainings", "all_trainings", with_parts(value=lambda x, y, r, at: y.mean())),
    ("better", "the better neighbour", "best_neighbour", with_parts(value=lambda x, y, r, at: min(y[r], y[r - 1]))),
    (
        "ends",
        "from the first to the last",
        "ends_only",
        with_parts(value=lambda x, y, r, at: line(x[[0, -1]], y[[0, -1]], 1, at)),
    ),
    ("sorted_apart", "both sorted alone", "sorted_apart", with_parts(sort=lambda x, y: (x.sort()[0], y.sort()[0]))),
    ("ruler", "returns the level", "ruler_for_number", with_parts(value=lambda x, y, r, at: at)),
    (
        "clamped",
        "numpy.interp beyond the ends",
        "goes_on_beyond",
        with_parts(outside=never, value=lambda x, y, r, at: np.interp(at, x, y)),
    ),
    ("extrapolated", "line goes on", "goes_on_beyond", with_parts(outside=never)),
    ("only_above_checked", "beyond the first end only", "goes_on_beyond", with_parts(outside=lambda x, at: at > x[-1])),
    ("over_gaps", "widest ignored", "line_over_gap", with_parts(gap=no_gap)),
    (
        "half_gap",
        "distance to the nearer neighbour",
        "line_over_gap",
        with_parts(gap=lambda x, y, r, at, w: min(at - x[r - 1], x[r] - at) > w),
    ),
    (
        "one_side",
        "distance to the one below",
        "line_over_gap",
        with_parts(gap=lambda x, y, r, at, w: at - x[r - 1] > w),
    ),
    ("numbers_gap", "gap of the numbers", None, with_parts(gap=lambda x, y, r, at, w: abs(y[r] - y[r - 1]) > w)),
    ("whole_range", "the whole range against widest", None, with_parts(gap=lambda x, y, r, at, w: x[-1] - x[0] > w)),
    ("widest_step", "no gap allowed anywhere", None, with_parts(gap=lambda x, y, r, at, w: (x[1:] - x[:-1]).max() > w)),
    ("inverted", "wide gaps only", "gap_inverted", with_parts(gap=lambda x, y, r, at, w: x[r] - x[r - 1] <= w)),
    ("zero", "0 for nan", "goes_on_beyond|line_over_gap", with_parts(nothing=0.0)),
    ("none", "None for nan", "none_for_nan", with_parts(nothing=None)),
    ("always_nan", "nan", "always_nan", lambda x, y, level, widest: NAN),
    ("by_zero", "0 / 0 at a training", "nan_at_a_training", masks),
    ("raises", "an error for nan", None, refuses),
    (
        "logarithm",
        "line in the logarithm",
        None,
        with_parts(value=lambda x, y, r, at: line(x.log(), y.log(), r, np.log(at)).exp()),
    ),
    ("given_order", "neighbours in the given order", "not_sorted", None),
    (
        "column",
        "a tensor (1,)",
        "not_a_float|one_axis_too_many",
        lambda x, y, at, w: torch.tensor([right(x, y, at, w)]),
    ),
    ("in_place", "sorts in place", "changes_arguments", in_place),
    ("nothing", "nothing returned", "returns_none|none_for_nan", lambda x, y, level, widest: None),
):
    if f is not None:
        BANK.formula(name, about, f, cause)


@BANK.wrong("neighbours in the given order", "not_sorted", "now and then the order that comes is a good one")
def given_order(ruler, number, level, widest):
    for i in range(len(ruler) - 1):
        low, high = sorted((float(ruler[i]), float(ruler[i + 1])))
        if low <= level <= high:
            return NAN if high - low > widest else float(line(ruler, number, i + 1, level))
    return NAN


@BANK.right("as in the solution")
def plain(ruler, number, level, widest):
    order = ruler.argsort()
    x, y = ruler[order], number[order]
    if not x[0] <= level <= x[-1]:
        return NAN
    above = max(1, int((x < level).sum()))
    share = (level - x[above - 1]) / (x[above] - x[above - 1])
    return NAN if x[above] - x[above - 1] > widest else float(y[above - 1] + share * (y[above] - y[above - 1]))


@BANK.right("numpy.interp, and two refusals")
def interp(ruler, number, level, widest):
    x, y = ruler.double().numpy(), number.double().numpy()
    order = np.argsort(x)
    x, y = x[order], y[order]
    place = np.clip(np.searchsorted(x, level), 1, len(x) - 1)
    if level < x[0] or level > x[-1] or x[place] - x[place - 1] > widest:
        return NAN
    return float(np.interp(level, x, y))


@BANK.right("pairs in Python")
def pairs(ruler, number, level, widest):
    points = sorted(zip(ruler.tolist(), number.tolist(), strict=True))
    level = float(torch.tensor(level, dtype=ruler.dtype))
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= level <= x1 and x1 - x0 <= widest:
            return y0 + (y1 - y0) * (level - x0) / (x1 - x0)
    return NAN


@BANK.right("bisection")
def bisection(ruler, number, level, widest):
    points = sorted(zip(ruler.tolist(), number.tolist(), strict=True))
    x = [point[0] for point in points]
    if not x[0] <= level <= x[-1]:
        return NAN
    place = max(1, bisect_left(x, level))
    (x0, y0), (x1, y1) = points[place - 1 : place + 1]
    return NAN if x1 - x0 > widest else y0 + (level - x0) / (x1 - x0) * (y1 - y0)


@BANK.right("torch.lerp and searchsorted, a tensor")
def lerp(ruler, number, level, widest):
    x, order = ruler.sort()
    y = number[order]
    place = torch.searchsorted(x, torch.tensor(level, dtype=x.dtype)).clamp(1, len(x) - 1)
    low, high = x[place - 1], x[place]
    if level < x[0] or level > x[-1] or high - low > widest:
        return torch.tensor(NAN)
    return torch.lerp(y[place - 1], y[place], (level - low) / (high - low))


@BANK.right("nearest below and nearest above, the training itself first")
def nearest(ruler, number, level, widest):
    level = torch.tensor(level, dtype=ruler.dtype)
    if (ruler == level).any():
        return float(number[ruler == level][0])
    below, above = ruler < level, ruler > level
    if not below.any() or not above.any():
        return NAN
    i = torch.where(below, ruler, -torch.inf).argmax()
    j = torch.where(above, ruler, torch.inf).argmin()
    if ruler[j] - ruler[i] > widest:
        return NAN
    return float((number[i] * (ruler[j] - level) + number[j] * (level - ruler[i])) / (ruler[j] - ruler[i]))


@BANK.right("weights over all trainings, most of them 0")
def weights(ruler, number, level, widest):
    x, order = ruler.double().sort()
    weight = torch.zeros_like(x)
    for i in range(len(x) - 1):
        if x[i] <= level <= x[i + 1] and not weight.any() and x[i + 1] - x[i] <= widest:
            weight[i + 1] = (level - x[i]) / (x[i + 1] - x[i])
            weight[i] = 1 - weight[i + 1]
    return (weight @ number.double()[order]).item() if weight.any() else NAN
