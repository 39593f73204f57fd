"""The mean of a - b, pair by pair, with its 95 % interval."""

from __future__ import annotations

import math

import numpy as np
import torch

from .entries import Bank

BANK = Bank("paired_interval")


def around(mean, half):
    return float(mean), float(mean - half), float(mean + half)


def error(d):
    return d.std() / len(d) ** 0.5


def resampled(d, count=1000):
    return d[torch.randint(len(d), (count, len(d)))].mean(1)


def quantiles(d, low=0.025, count=1000):
    ends = torch.quantile(resampled(d, count), torch.tensor([low, 1 - low], dtype=d.dtype))
    return float(d.mean()), float(ends[0]), float(ends[1])


def two_bootstraps(a, b):
    means = resampled(a) - resampled(b)
    ends = torch.quantile(means, torch.tensor([0.025, 0.975]))
    return float((a - b).mean()), float(ends[0]), float(ends[1])


for name, about, cause, f in (
    (
        "unpaired",
        "standard errors of two samples",
        "unpaired",
        lambda a, b: around((a - b).mean(), 1.96 * (error(a) ** 2 + error(b) ** 2) ** 0.5),
    ),
    ("two_bootstraps", "a and b resampled apart", "unpaired", two_bootstraps),
    (
        "two_ends",
        "low of a minus high of b",
        "two_intervals",
        lambda a, b: around((a - b).mean(), 1.96 * (error(a) + error(b))),
    ),
    (
        "deviation",
        "1.96 standard deviations",
        "spread_of_the_pairs",
        lambda a, b: around((a - b).mean(), 1.96 * (a - b).std()),
    ),
    (
        "one_deviation",
        "one standard deviation",
        "spread_of_the_pairs",
        lambda a, b: around((a - b).mean(), (a - b).std()),
    ),
    (
        "quantiles_of_pairs",
        "quantiles of the differences",
        "spread_of_the_pairs",
        lambda a, b: (float((a - b).mean()), float((a - b).quantile(0.025)), float((a - b).quantile(0.975))),
    ),
    ("by_n", "divided by n", "divided_by_n", lambda a, b: around((a - b).mean(), 1.96 * (a - b).std() / len(a))),
    ("one_error", "one standard error", "another_level", lambda a, b: around((a - b).mean(), error(a - b))),
    ("ninety", "90 %", "another_level", lambda a, b: around((a - b).mean(), 1.645 * error(a - b))),
    ("ninety_nine", "99 %", "another_level", lambda a, b: around((a - b).mean(), 2.576 * error(a - b))),
    ("half", "50 %", "another_level", lambda a, b: around((a - b).mean(), 0.6745 * error(a - b))),
    ("quantiles_of_90", "bootstrap, 5 % and 95 %", "another_level", lambda a, b: quantiles(a - b, 0.05)),
    (
        "whole_width",
        "1.96 standard errors in all",
        "another_level",
        lambda a, b: around((a - b).mean(), 0.98 * error(a - b)),
    ),
    (
        "variance",
        "the variance for the deviation",
        "variance_for_deviation",
        lambda a, b: around((a - b).mean(), 1.96 * (a - b).var() / len(a) ** 0.5),
    ),
    ("exchanged", "b - a", "exchanged", lambda a, b: around((b - a).mean(), 1.96 * error(b - a))),
    (
        "sizes",
        "absolute differences",
        "sizes_only",
        lambda a, b: around((a - b).abs().mean(), 1.96 * error((a - b).abs())),
    ),
    (
        "lengths",
        "distances from the mean",
        "half_for_end",
        lambda a, b: (float((a - b).mean()), float(1.96 * error(a - b)), float(1.96 * error(a - b))),
    ),
    (
        "high_first",
        "high before low",
        "ends_exchanged",
        lambda a, b: (lambda m, l, h: (m, h, l))(*around((a - b).mean(), 1.96 * error(a - b))),
    ),
    ("a_alone", "interval of a", "a_alone", lambda a, b: around(a.mean(), 1.96 * error(a))),
    (
        "a_for_spread",
        "mean of a - b, spread of a",
        "a_for_spread",
        lambda a, b: around((a - b).mean(), 1.96 * error(a)),
    ),
    ("median", "the median's place", "median_for_mean", lambda a, b: around((a - b).median(), 1.96 * error(a - b))),
    (
        "relative",
        "in shares of b",
        "shares_of_b",
        lambda a, b: around(((a - b) / b.mean()).mean(), 1.96 * error((a - b) / b.mean())),
    ),
    (
        "forty",
        "a bootstrap without replacement",
        "no_width",
        lambda a, b: (
            lambda d: around(d.mean(), 1.96 * torch.stack([d[torch.randperm(len(d))].mean() for _ in range(20)]).std())
        )(a - b),
    ),
    (
        "fixed_size",
        "300 pairs taken for granted",
        None,
        lambda a, b: around((a - b).mean(), 1.96 * (a - b).std() / 300**0.5),
    ),
    ("mean_only", "the mean alone", "wrong_number_of_values", lambda a, b: float((a - b).mean())),
    (
        "ends_only",
        "(low, high)",
        "wrong_number_of_values",
        lambda a, b: around((a - b).mean(), 1.96 * error(a - b))[1:],
    ),
    ("nothing", "nothing returned", "returns_none", lambda a, b: None),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("seeds the global generator", "reseeds")
def seeded(a, b):
    torch.manual_seed(0)
    return quantiles(a - b)


@BANK.wrong("subtracts in place", "changes_arguments")
def in_place(a, b):
    a -= b
    return around(a.mean(), 1.96 * error(a))


@BANK.right("standard error of the differences")
def normal(a, b):
    return around((a - b).mean(), 1.96 * error(a - b))


@BANK.right("bootstrap of the differences")
def bootstrap(a, b):
    return quantiles(a - b)


@BANK.right("bootstrap of the pairs, in a loop")
def loop(a, b):
    means = []
    for _ in range(1000):
        chosen = torch.randint(len(a), (len(a),))
        means.append(float(a[chosen].mean() - b[chosen].mean()))
    means.sort()
    return float(a.mean() - b.mean()), means[25], means[974]


@BANK.right("Student's t")
def student(a, b):
    from scipy import stats

    d = (a - b).double()
    return around(d.mean(), stats.t.ppf(0.975, len(d) - 1) * error(d))


@BANK.right("NumPy with a generator of its own")
def with_numpy(a, b):
    d = a.double().cpu().numpy() - b.double().cpu().numpy()
    means = np.random.default_rng(0).choice(d, (2000, len(d))).mean(1)
    return float(d.mean()), *np.quantile(means, [0.025, 0.975]).tolist()


@BANK.right("variance of a difference, by hand")
def covariance(a, b):
    both = torch.cov(torch.stack([a.double(), b.double()]))
    variance = max(float(both[0, 0] + both[1, 1] - 2 * both[0, 1]), 0.0)
    return around((a.double() - b.double()).mean(), 1.96 * math.sqrt(variance / len(a)))
