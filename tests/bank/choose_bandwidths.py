"""Implementations of `choose_bandwidths(z_prior)`: there are many good ones."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("choose_bandwidths")


def median(z):
    return float(torch.pdist(z).median())


def times(*factors):
    return lambda z: [factor * median(z) for factor in factors]


def in_place(z):
    z -= z.mean(0)
    return times(0.25, 0.5, 1, 2, 4)(z)


def seeded(z):
    torch.manual_seed(0)
    return times(0.25, 0.5, 1, 2, 4)(z[torch.randperm(len(z))[:100]])


NARROW, WIDE, UNITS = "all_too_narrow", "all_too_wide", "fixed_numbers"
EITHER = f"{NARROW}|{WIDE}"
ANY = f"{NARROW}|{WIDE}|{UNITS}"
for name, about, cause, f in (
    ("median_alone", "the median heuristic", EITHER, times(1)),
    ("half_median", "half of it", NARROW, times(0.5)),
    ("tenth", "a tenth of it", NARROW, times(0.1)),
    ("ten_times", "ten times", WIDE, times(10)),
    ("hundred_times", "a hundred times", WIDE, times(100)),
    ("copied", "d / sqrt(2)", ANY, lambda z: [z.shape[1] / 2**0.5]),
    ("copied_unit", "d / sqrt(2) times the spread", WIDE, lambda z: [z.shape[1] / 2**0.5 * float(z.std())]),
    ("root_d", "sqrt(d)", ANY, lambda z: [z.shape[1] ** 0.5]),
    ("root_d_unit", "sqrt(d) times the spread", EITHER, lambda z: [z.shape[1] ** 0.5 * float(z.std())]),
    ("one", "1", ANY, lambda z: [1.0]),
    ("fixed_five", "0.5 to 8", ANY, lambda z: [0.5, 1, 2, 4, 8]),
    (
        "five_of_d",
        "five scales of sqrt(2 d), whatever the unit",
        ANY,
        lambda z: [k * (2 * z.shape[1]) ** 0.5 for k in (0.25, 0.5, 1, 2, 4)],
    ),
    ("narrow_ones", "below the median only", NARROW, times(0.125, 0.25, 0.5)),
    ("wide_ones", "well above the median only", WIDE, times(8, 16, 32)),
    ("spread", "one dimension's standard deviation", EITHER, lambda z: [float(z.std())]),
    (
        "spreads",
        "multiples of one dimension's standard deviation",
        EITHER,
        lambda z: [k * float(z.std()) for k in (0.25, 0.5, 1, 2)],
    ),
    ("squared", "squared distances", ANY, lambda z: [k * median(z) ** 2 for k in (0.25, 0.5, 1, 2, 4)]),
    ("largest", "the largest distance, ten times", WIDE, lambda z: [10 * float(torch.pdist(z).max())]),
    (
        "quantiles",
        "quantiles of the distances, which lie together",
        EITHER,
        lambda z: torch.pdist(z).quantile(torch.tensor([0.1, 0.5, 0.9])).tolist(),
    ),
    ("none", "an empty list", "how_many", lambda z: []),
    ("negative", "one is negative", "negative_bandwidth", lambda z: [-median(z), median(z)]),
    ("zero", "with self-pairs: 0 is among them", "zero_bandwidth", lambda z: [0.0, median(z)]),
    ("number", "one number", "one_number", median),
    ("nothing", "nothing returned", "returns_none", lambda z: None),
    ("in_place", "centred in place", "changes_arguments", in_place),
    ("seeded", "seeds the generator", "reseeds", seeded),
    ("hundred_widths", "a hundred bandwidths", "how_many", lambda z: [median(z) * 1.1 ** (i - 50) for i in range(100)]),
):
    BANK.formula(name, about, f, cause)


@BANK.right("five scales about the median")
def five(z_prior):
    return times(0.25, 0.5, 1, 2, 4)(z_prior)


@BANK.right("powers of 2 from a quarter to eight times the median")
def seven(z_prior):
    m = median(z_prior)
    return [m * 2.0**k for k in range(-2, 4)]


@BANK.right("a tensor of three")
def three(z_prior):
    return torch.tensor([0.3, 1.0, 3.0]) * torch.pdist(z_prior).median()


@BANK.right("from the spread: sqrt(2 d) times it")
def from_spread(z_prior):
    typical = float(z_prior.std()) * (2 * z_prior.shape[1]) ** 0.5
    return [typical / 4, typical / 2, typical, 2 * typical, 4 * typical]


@BANK.right("mean distance, two scales")
def two(z_prior):
    mean = torch.cdist(z_prior, z_prior).sum() / (len(z_prior) * (len(z_prior) - 1))
    return [float(mean) * 0.4, float(mean) * 3]


@BANK.right("logspace")
def logspace(z_prior):
    return (torch.logspace(-0.6, 0.6, 6) * median(z_prior)).tolist()


@BANK.right("a tuple, median of distances to the first codes")
def tuple_of(z_prior):
    m = torch.cdist(z_prior[:20], z_prior[20:]).median()
    return tuple(float(m * f) for f in (0.25, 0.7, 1.5, 4))
