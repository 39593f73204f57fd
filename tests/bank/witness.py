"""Implementations of `witness(points, x, y, bandwidths)`: mean kernel to x minus mean kernel to y."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("witness")


def squared(a, b):
    return (a[:, None] - b[None]).pow(2).sum(2)


def kernel(a, b, bandwidths):
    return sum(torch.exp(-squared(a, b) / (2 * s**2)) for s in bandwidths)


def right(p, x, y, w):
    return kernel(p, x, w).mean(1) - kernel(p, y, w).mean(1)


def with_kernel(k):
    return lambda p, x, y, w: sum(k(squared(p, x), s) for s in w).mean(1) - sum(k(squared(p, y), s) for s in w).mean(1)


def seeded(p, x, y, w):
    torch.manual_seed(0)
    return right(p, x, y, w)


def in_place(p, x, y, w):
    x -= x.mean(0)
    return right(p, x, y, w)


for name, about, cause, f in (
    ("y_minus_x", "sign turned", "sign_turned", lambda p, x, y, w: right(p, y, x, w)),
    ("sums", "sums for means", "sums_not_means", lambda p, x, y, w: kernel(p, x, w).sum(1) - kernel(p, y, w).sum(1)),
    (
        "by_n",
        "both divided by len(x)",
        "sums_not_means",
        lambda p, x, y, w: (kernel(p, x, w).sum(1) - kernel(p, y, w).sum(1)) / len(x),
    ),
    (
        "by_both",
        "divided by n + m",
        "sums_not_means",
        lambda p, x, y, w: (kernel(p, x, w).sum(1) - kernel(p, y, w).sum(1)) / (len(x) + len(y)),
    ),
    ("x_alone", "y forgotten", "one_side", lambda p, x, y, w: kernel(p, x, w).mean(1)),
    ("y_alone", "x forgotten", "one_side", lambda p, x, y, w: -kernel(p, y, w).mean(1)),
    ("y_density", "mean kernel to y", "one_side", lambda p, x, y, w: kernel(p, y, w).mean(1)),
    ("added", "plus for minus", "added", lambda p, x, y, w: kernel(p, x, w).mean(1) + kernel(p, y, w).mean(1)),
    (
        "of_means",
        "kernel of the mean codes",
        "kernel_of_means",
        lambda p, x, y, w: right(p, x.mean(0, keepdim=True), y.mean(0, keepdim=True), w),
    ),
    ("mean_of_kernels", "mean over bandwidths", "mean_over_bandwidths", lambda p, x, y, w: right(p, x, y, w) / len(w)),
    ("first", "first bandwidth only", "one_bandwidth", lambda p, x, y, w: right(p, x, y, w[:1])),
    ("last", "last bandwidth only", "one_bandwidth", lambda p, x, y, w: right(p, x, y, w[-1:])),
    ("absolute", "sign dropped", "size_only", lambda p, x, y, w: right(p, x, y, w).abs()),
    ("square", "squared", "size_only", lambda p, x, y, w: right(p, x, y, w) ** 2),
    ("twice", "times 2", "doubled", lambda p, x, y, w: 2 * right(p, x, y, w)),
    ("half", "divided by 2", "doubled", lambda p, x, y, w: right(p, x, y, w) / 2),
    ("no_two", "factor 2 missing", "no_factor_two", with_kernel(lambda q, s: torch.exp(-q / s**2))),
    (
        "not_squared",
        "bandwidth not squared",
        "bandwidth_not_squared",
        with_kernel(lambda q, s: torch.exp(-q / (2 * s))),
    ),
    (
        "root",
        "distance for its square",
        "distance_not_squared",
        with_kernel(lambda q, s: torch.exp(-q.sqrt() / (2 * s**2))),
    ),
    ("multiquadric", "another kernel", "another_kernel", with_kernel(lambda q, s: 1 / (1 + q / (2 * s**2)))),
    (
        "normalised",
        "divided by the largest",
        "normalised",
        lambda p, x, y, w: right(p, x, y, w) / right(p, x, y, w).abs().max(),
    ),
    (
        "centred",
        "mean over points subtracted",
        "centred",
        lambda p, x, y, w: right(p, x, y, w) - right(p, x, y, w).mean(),
    ),
    ("one_number", "averaged over the points", "not_scalar|wrong_shape", lambda p, x, y, w: right(p, x, y, w).mean()),
    ("column", "(P, 1)", "wrong_shape", lambda p, x, y, w: right(p, x, y, w)[:, None]),
    ("matrix", "not averaged", "wrong_shape", lambda p, x, y, w: kernel(p, x, w) - kernel(p, x, w).mean()),
    (
        "log_ratio",
        "log of the ratio",
        "logarithm",
        lambda p, x, y, w: torch.log(kernel(p, x, w).mean(1) / kernel(p, y, w).mean(1)),
    ),
    ("seeded", "seeds the generator", "reseeds", seeded),
    ("in_place", "x centred in place", "changes_arguments", in_place),
    ("nothing", "nothing returned", "returns_none", lambda p, x, y, w: None),
):
    BANK.formula(name, about, f, cause)


@BANK.right("as in the text")
def plain(points, x, y, bandwidths):
    return right(points, x, y, bandwidths)


@BANK.right("torch.cdist")
def cdist(points, x, y, bandwidths):
    def mean(codes):
        q = torch.cdist(points, codes, compute_mode="donot_use_mm_for_euclid_dist") ** 2
        return torch.stack([(-q / 2 / s**2).exp() for s in bandwidths]).sum(0).mean(1)

    return mean(x) - mean(y)


@BANK.right("loops over points and codes")
def loops(points, x, y, bandwidths):
    def k(a, b):
        return sum(torch.exp(-((a - b) ** 2).sum() / (2 * s**2)) for s in bandwidths)

    return torch.stack([sum(k(p, a) for a in x) / len(x) - sum(k(p, b) for b in y) / len(y) for p in points])


@BANK.right("one matrix with weights")
def weights(points, x, y, bandwidths):
    weight = torch.cat([torch.full((len(x),), 1 / len(x)), torch.full((len(y),), -1 / len(y))]).to(points)
    return kernel(points, torch.cat([x, y]), bandwidths) @ weight


@BANK.right("a loop over bandwidths")
def by_bandwidth(points, x, y, bandwidths):
    total = torch.zeros(len(points), dtype=points.dtype, device=points.device)
    for s in bandwidths:
        for codes, sign in ((x, 1), (y, -1)):
            total = total + sign * torch.exp(-squared(points, codes) / (2 * s * s)).mean(dim=1)
    return total


@BANK.right("Gram form in float64")
def gram(points, x, y, bandwidths):
    p, x, y = points.double(), x.double(), y.double()

    def mean(codes):
        q = (p * p).sum(1)[:, None] + (codes * codes).sum(1) - 2 * p @ codes.T
        return sum(torch.exp(-q / (2 * s**2)) for s in bandwidths).mean(1)

    return (mean(x) - mean(y)).to(points.dtype)
