"""Median distance between two different codes."""

from __future__ import annotations

import math
import statistics

import numpy as np
import torch

from .entries import Bank

BANK = Bank("median_bandwidth")


def pairs(z):
    i, j = torch.triu_indices(len(z), len(z), 1)
    return (z[i] - z[j]).norm(dim=1)


def every(step):
    """The median of each so manieth code, where there are many."""
    return lambda z: pairs(z[::step] if len(z) > 500 else z).median()


for name, about, cause, f in (
    ("self_pairs", "diagonal kept", "self_pairs", lambda z: torch.cdist(z, z).median()),
    (
        "self_pairs_once",
        "triangle with its diagonal",
        "self_pairs",
        lambda z: (z[:, None] - z[None]).norm(dim=2)[tuple(torch.triu_indices(len(z), len(z)))].median(),
    ),
    ("squared", "squared distance", "squared", lambda z: pairs(z).square().median()),
    ("mean", "mean of the distances", "mean_for_median", lambda z: pairs(z).mean()),
    ("root_mean_square", "root of the mean square", "mean_for_median", lambda z: pairs(z).square().mean().sqrt()),
    ("mean_with_self_pairs", "mean of the matrix", "mean_with_self_pairs", lambda z: torch.cdist(z, z).mean()),
    ("half_variance", "2 s^2 = median of the squares", "rescaled", lambda z: (pairs(z).square().median() / 2).sqrt()),
    ("halved", "half the median", "rescaled", lambda z: pairs(z).median() / 2),
    ("per_dimension", "divided by sqrt(D)", "rescaled", lambda z: pairs(z).median() / z.shape[1] ** 0.5),
    ("norms", "distance from the origin", "norms", lambda z: z.norm(dim=1).median()),
    ("from_mean", "distance from the mean", "distance_from_mean", lambda z: (z - z.mean(0)).norm(dim=1).median()),
    ("neighbours", "consecutive rows", "neighbours", lambda z: (z[1:] - z[:-1]).norm(dim=1).median()),
    ("manhattan", "absolute differences", "other_norm", lambda z: torch.pdist(z, p=1).median()),
    (
        "elements",
        "single differences",
        "per_element",
        lambda z: (z[:, None] - z[None]).abs()[tuple(torch.triu_indices(len(z), len(z), 1))].median(),
    ),
    ("largest", "largest distance", "largest", lambda z: pairs(z).max()),
    (
        "zeros_dropped",
        "distances above 0",
        "zeros_dropped",
        lambda z: (lambda d: d[d > 0].median())((z[:, None] - z[None]).norm(dim=2)),
    ),
    ("first_hundred", "a part of the codes", "part_of_the_codes", lambda z: pairs(z[:20]).median()),
    ("first_200", "the first 200 codes", "part_of_the_codes", lambda z: pairs(z[:200]).median()),
    *(
        (f"every_{step}", f"every {step} of many codes", "part_of_the_codes", every(number))
        for step, number in (("fifth", 5), ("second", 2), ("third", 3), ("tenth", 10))
    ),
    (
        "hundred_of_many",
        "the first hundred of many",
        "part_of_the_codes",
        lambda z: pairs(z[:100] if len(z) > 500 else z).median(),
    ),
    (
        "last_half",
        "the last half of many codes",
        "part_of_the_codes",
        lambda z: pairs(z[len(z) // 2 :] if len(z) > 500 else z).median(),
    ),
    (
        "random_half",
        "a random half of many codes",
        "random_part",
        lambda z: pairs(z[torch.randperm(len(z))[: len(z) // 2]] if len(z) > 500 else z).median(),
    ),
    (
        "thousand_at_most",
        "a random thousand of more codes",
        "random_part",
        lambda z: pairs(z[torch.randperm(len(z))[:1000]]).median(),
    ),
    (
        "random_pairs",
        "100,000 random pairs",
        "random_part",
        lambda z: (lambda d: d[torch.randint(len(d), (min(len(d), 100_000),))] if len(d) > 100_000 else d)(
            pairs(z)
        ).median(),
    ),
    ("vector", "median of each row", "not_a_float", lambda z: torch.cdist(z, z).median(1).values),
    (
        "with_index",
        "what median(dim) returns",
        "wrong_kind|wrong_number_of_values",
        lambda z: tuple(pairs(z).median(0)),
    ),
    ("nothing", "no return", "returns_none", lambda z: None),
    ("spread", "standard deviation", "spread", lambda z: z.std(0).norm()),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("centres its argument in place", "changes_arguments")
def in_place(z):
    z -= z.mean(0)
    return pairs(z).median()


@BANK.right("as in the text")
def plain(z):
    n = len(z)
    distances = torch.cdist(z, z)
    i, j = torch.triu_indices(n, n, offset=1)
    return distances[i, j].median()


@BANK.right("torch.pdist, a float")
def as_float(z):
    return torch.pdist(z).median().item()


@BANK.right("mean of the two middle values, NumPy")
def with_numpy(z):
    return float(np.median(torch.pdist(z).numpy()))


@BANK.right("quantile of both triangles")
def both_triangles(z):
    d = (z[:, None] - z[None]).pow(2).sum(2).sqrt()
    return torch.quantile(d[~torch.eye(len(z), dtype=torch.bool)][:16_000_000], 0.5)


@BANK.right("the larger of the middle values")
def upper(z):
    d = pairs(z).sort().values
    return d[len(d) // 2]


@BANK.right("loops and the standard library")
def loops(z):
    rows = z.double().tolist()
    return statistics.median(math.dist(a, b) for k, a in enumerate(rows) for b in rows[:k])


@BANK.right("root of the median of the squares")
def root_of_median(z):
    with torch.no_grad():
        return torch.pdist(z.double()).square().median().sqrt()
