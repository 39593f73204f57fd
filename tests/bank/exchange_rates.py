"""Implementations of `exchange_rates(rates, distortions)`: distortion saved for a nat of rate, point by point."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from .entries import Bank

BANK = Bank("exchange_rates")


def right(r, d):
    order = r.argsort()
    return -d[order].diff() / r[order].diff()


def in_place(rates, distortions):
    order = rates.argsort()
    rates[:], distortions[:] = rates[order].clone(), distortions[order].clone()
    return -distortions.diff() / rates.diff()


for name, about, cause, f in (
    ("not_sorted", "in the order given", "not_sorted", lambda r, d: -d.diff() / r.diff()),
    ("sorted_apart", "each sorted", "sorted_apart", lambda r, d: -d.sort().values.diff() / r.sort().values.diff()),
    (
        "sorted_apart_down",
        "distortions sorted down",
        "sorted_apart",
        lambda r, d: -d.sort(descending=True).values.diff() / r.sort().values.diff(),
    ),
    ("slope", "the slope itself", "sign", lambda r, d: -right(r, d)),
    ("inverted", "rate per distortion", "inverted", lambda r, d: 1 / right(r, d)),
    ("largest_first", "from the right end", "largest_first", lambda r, d: right(r, d).flip(0)),
    ("no_division", "distortion saved", "no_division", lambda r, d: -d[r.argsort()].diff()),
    ("rate_only", "rate spent", "no_division", lambda r, d: r.sort().values.diff()),
    ("ratios", "distortion by rate", "ratios", lambda r, d: (d / r)[1:]),
    (
        "from_first",
        "all against the first",
        "from_first",
        lambda r, d: -(d[r.argsort()][1:] - d[r.argsort()][0]) / (r.sort().values[1:] - r.min()),
    ),
    (
        "logarithms",
        "elasticity",
        "logarithms",
        lambda r, d: -d[r.argsort()].log().diff() / r.sort().values.log().diff(),
    ),
    ("absolute", "without sign", "absolute", lambda r, d: right(r, d).abs()),
    ("clamped", "negative prices cut", "absolute", lambda r, d: right(r, d).clamp_min(0)),
    (
        "sorted_by_distortion",
        "sorted by distortion",
        "sorted_by_distortion",
        lambda r, d: -d.sort().values.diff() / r[d.argsort()].diff(),
    ),
    (
        "descending",
        "sorted down: prices from the right",
        "largest_first",
        lambda r, d: -d[r.argsort().flip(0)].diff() / r[r.argsort().flip(0)].diff(),
    ),
    ("one_more", "0 in front", "wrong_shape", lambda r, d: torch.cat([torch.zeros(1), right(r, d)])),
    ("one_fewer", "the last left out", "wrong_shape", lambda r, d: right(r, d)[:-1]),
    ("mean", "the mean price", "wrong_shape", lambda r, d: right(r, d).mean()),
    ("central", "two steps apart", "wrong_shape", lambda r, d: -(d[2:] - d[:-2]) / (r[2:] - r[:-2])),
    ("monotone", "prices sorted", "prices_sorted", lambda r, d: right(r, d).sort(descending=True).values),
    ("list", "a list", "wrong_number_of_values", lambda r, d: right(r, d).tolist()),
    ("numpy", "an array", "numpy_result", lambda r, d: right(r, d).numpy()),
    ("nothing", "nothing returned", "returns_none", lambda r, d: None),
    ("epsilon", "1 added below the line", None, lambda r, d: -d[r.argsort()].diff() / (r.sort().values.diff() + 1)),
    ("rounded", "rates rounded to whole nats", None, lambda r, d: right(r.round() + torch.arange(len(r)) * 1e-3, d)),
    ("in_place", "sorted in place", "changes_arguments", in_place),
):
    BANK.formula(name, about, f, cause)


@BANK.right("argsort and diff")
def plain(rates, distortions):
    order = torch.argsort(rates)
    return -torch.diff(distortions[order]) / torch.diff(rates[order])


@BANK.right("slices")
def slices(rates, distortions):
    rates, order = rates.sort()
    distortions = distortions[order]
    return (distortions[:-1] - distortions[1:]) / (rates[1:] - rates[:-1])


@BANK.right("a loop over sorted pairs")
def loop(rates, distortions):
    pairs = sorted(zip(rates.tolist(), distortions.tolist(), strict=True))
    prices = [(b[1] - a[1]) / (a[0] - b[0]) for a, b in pairwise(pairs)]
    return torch.tensor(prices, dtype=rates.dtype, device=rates.device)


@BANK.right("NumPy inside")
def with_numpy(rates, distortions):
    r, d = rates.cpu().numpy(), distortions.cpu().numpy()
    order = np.argsort(r)
    return torch.as_tensor(-np.diff(d[order]) / np.diff(r[order]), device=rates.device)


@BANK.right("sorted down, turned round")
def turned(rates, distortions):
    order = rates.argsort(descending=True)
    return (distortions[order].diff() / -rates[order].diff()).flip(0)


@BANK.right("stacked")
def stacked(rates, distortions):
    points = torch.stack([rates, distortions])[:, rates.argsort()]
    run, rise = points[:, 1:] - points[:, :-1]
    return -rise / run


@BANK.right("float64 inside")
def precise(rates, distortions):
    order = rates.argsort()
    return (-distortions.double()[order].diff() / rates.double()[order].diff()).to(rates.dtype)


BANK.formula(
    "rates_alone_sorted", "only the rates sorted", lambda r, d: -d.diff() / r.sort().values.diff(), "sorted_apart"
)
