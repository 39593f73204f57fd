"""Scores of several numbers at once: there are many good ones."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("combine_scores")


def z(seen, new):
    return (new - seen.mean(0)) / seen.std(0)


def mahalanobis(seen, new):
    centred = (new - seen.mean(0)).double()
    covariance = torch.cov(seen.double().T).reshape(seen.shape[1], -1)
    return (centred * torch.linalg.solve(covariance, centred.T).T).sum(1).to(new.dtype)


def rank(seen, new):
    return (seen[None] < new[:, None]).double().mean(1)


def in_place(seen, new):
    new -= seen.mean(0)
    return (new / seen.std(0)).square().sum(1)


def seeded(seen, new):
    torch.manual_seed(0)
    return z(seen, new).square().sum(1)


def by_noise(seen, new):
    return z(seen, new).square().sum(1) * (1 + 0.5 * torch.rand(len(new)))


for name, about, cause, f in (
    ("sum", "sum of the raw numbers", "one_sided", lambda s, n: n.sum(1)),
    ("sum_z", "sum of standardised numbers", "one_sided", lambda s, n: z(s, n).sum(1)),
    ("size_of_sum", "size of the sum", "cancels", lambda s, n: z(s, n).sum(1).abs()),
    ("max_z", "largest standardised number", "one_sided", lambda s, n: z(s, n).amax(1)),
    ("min_z", "minus the smallest standardised number", "one_sided", lambda s, n: -z(s, n).amin(1)),
    ("first", "the first number", "ignores_numbers", lambda s, n: z(s, n)[:, 0]),
    ("first_size", "size of the first number", "ignores_numbers", lambda s, n: z(s, n)[:, 0].abs()),
    ("last_size", "size of the last number", "ignores_numbers", lambda s, n: z(s, n)[:, -1].abs()),
    ("least", "the least odd of the numbers", None, lambda s, n: z(s, n).abs().amin(1)),
    ("product", "product of the numbers", None, lambda s, n: z(s, n).prod(1)),
    ("raw_distance", "distance from the mean, unscaled", "units", lambda s, n: (n - s.mean(0)).norm(dim=1)),
    ("uncentred", "over the spread, without the mean", "units", lambda s, n: (n / s.std(0)).square().sum(1)),
    ("by_variance", "over the variance", "units", lambda s, n: ((n - s.mean(0)) / s.var(0)).square().sum(1)),
    ("times_spread", "times the spread", "units", lambda s, n: ((n - s.mean(0)) * s.std(0)).square().sum(1)),
    ("by_largest", "over the largest seen", "units", lambda s, n: (n / s.abs().amax(0)).square().sum(1)),
    ("upside_down", "minus the distance", "upside_down", lambda s, n: -z(s, n).square().sum(1)),
    ("likelihood", "the Gaussian density itself", "upside_down", lambda s, n: torch.exp(-mahalanobis(s, n))),
    ("log_density", "the log density", "upside_down", lambda s, n: -0.5 * mahalanobis(s, n)),
    ("flags", "1 where a number is beyond 3", "saturates", lambda s, n: (z(s, n).abs().amax(1) > 3).float()),
    ("count", "how many numbers are beyond 3", "saturates", lambda s, n: (z(s, n).abs() > 3).float().sum(1)),
    (
        "ranks",
        "how far the ranks are from the middle",
        "saturates",
        lambda s, n: (rank(s, n) - 0.5).abs().amax(1).to(n.dtype),
    ),
    ("high_ranks", "the mean rank", "one_sided", lambda s, n: rank(s, n).mean(1).to(n.dtype)),
    ("clamped", "standardised, cut at 5", "saturates", lambda s, n: z(s, n).clamp(-5, 5).square().sum(1)),
    ("by_new", "standardised by the new ones", "judged_by_the_others", lambda s, n: z(n, n).square().sum(1)),
    (
        "by_new_max",
        "distances relative to the largest",
        "judged_by_the_others",
        lambda s, n: z(s, n).norm(dim=1) / z(s, n).norm(dim=1).max(),
    ),
    (
        "rank_among_new",
        "order among the new ones",
        "judged_by_the_others",
        lambda s, n: z(s, n).norm(dim=1).argsort().argsort().to(n.dtype),
    ),
    ("one_number", "the mean over all", "wrong_shape", lambda s, n: z(s, n).square().mean()),
    ("table", "a number for each number", "wrong_shape", lambda s, n: z(s, n).abs()),
    ("verdict", "true or false", "not_floating", lambda s, n: z(s, n).abs().amax(1) > 3),
    ("none", "nothing returned", "returns_none", lambda s, n: None),
    ("in_place", "works in new", "changes_arguments", in_place),
    ("seeded", "seeds the generator", "reseeds", seeded),
    ("random", "a random factor", "judged_by_the_others", by_noise),
):
    BANK.formula(name, about, f, cause)


BANK.right("Mahalanobis distance")(mahalanobis)


@BANK.right("sum of squared standardised numbers")
def squares(seen, new):
    return z(seen, new).square().sum(1)


@BANK.right("the largest size")
def largest(seen, new):
    return z(seen, new).abs().amax(1)


@BANK.right("sum of sizes")
def sizes(seen, new):
    return z(seen, new).abs().sum(1)


@BANK.right("median and quartiles")
def robust(seen, new):
    low, middle, high = (seen.quantile(q, dim=0) for q in (0.25, 0.5, 0.75))
    return ((new - middle) / (high - low)).norm(dim=1)


@BANK.right("five nearest of those seen, standardised")
def neighbours(seen, new):
    k = min(5, len(seen))
    return torch.cdist(z(seen, new), z(seen, seen)).topk(k, largest=False).values.mean(1)


@BANK.right("coordinates in which those seen are white")
def whitened(seen, new):
    values, axes = torch.linalg.eigh(torch.cov(z(seen, seen).double().T).reshape(seen.shape[1], -1))
    return ((z(seen, new).double() @ axes) / values.sqrt()).norm(dim=1).to(new.dtype)


@BANK.right("minus the log of a kernel density, standardised")
def kernels(seen, new):
    squared = torch.cdist(z(seen, new), z(seen, seen)).square()
    return -torch.logsumexp(-squared / (2 * 0.5**2), 1)
