"""Tests of noise against N(0, I), each with a bound on how often genuine noise fails it.

All bounds are explicit inequalities, not approximations: with T = 22 each one-sided event has a probability of at
most exp(-22) = 2.8e-10 for genuine noise, so that the dozens of events in a check stay far below 1e-6 together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch

T = 22.0
_SQRT2 = math.sqrt(2.0)


def mean_bound(n: int) -> float:
    """|mean of n standard normals| exceeds this with probability <= 2 exp(-T) (Chernoff)."""
    return math.sqrt(2 * T / n)


def mean_square_bounds(n: int) -> tuple[float, float]:
    """The mean of n squared standard normals leaves this interval with probability <= 2 exp(-T) (Laurent, Massart
    2000)."""
    return max(0.0, 1 - 2 * math.sqrt(T / n)), 1 + 2 * math.sqrt(T / n) + 2 * T / n


def distance_bound(n: int) -> float:
    """The Kolmogorov distance exceeds this with probability <= 2 exp(-T) (Dvoretzky-Kiefer-Wolfowitz, Massart's
    constant)."""
    return math.sqrt(T / (2 * n))


@functools.cache
def count_bounds(expected: float) -> tuple[int, int]:
    """A count of independent events leaves this closed interval with probability <= 2 exp(-T) (Chernoff)."""

    def exponent(count: int) -> float:
        return expected - count + (count * math.log(count / expected) if count else 0.0)

    low = 0
    while low < expected and exponent(low) >= T:
        low += 1
    high = math.ceil(expected)
    while exponent(high) < T:
        high += 1
    return low, high


def cosine_bound(n: int, pairs: int) -> float:
    """Of `pairs` pairs of independent standard normal vectors of length n, one has an absolute cosine above this with
    probability <= 2 exp(-T) (concentration on the sphere, union over pairs)."""
    return math.sqrt(2 * (T + math.log(pairs)) / n)


def product_bound(pairs: int) -> float:
    """The mean of `pairs` products of neighbours in chains of independent standard normals exceeds this in absolute
    value with probability <= 2 exp(-T) (Laurent, Massart 2000: the products' sum is a quadratic form with Frobenius
    norm sqrt(pairs / 2) and no eigenvalue above 1)."""
    return math.sqrt(2 * T / pairs) + 2 * T / pairs


def tail_probability(limit: float) -> float:
    """Probability that a standard normal number is above `limit`."""
    return 0.5 * math.erfc(limit / _SQRT2)


def normal_cdf(e: torch.Tensor) -> torch.Tensor:
    return 0.5 * (1 + torch.erf(e / _SQRT2))


def kolmogorov_distance(e: torch.Tensor, cdf: Callable[[torch.Tensor], torch.Tensor] = normal_cdf) -> float:
    """Largest difference between the empirical distribution of `e` and `cdf`."""
    return distance_in_order(torch.sort(e.flatten()).values, cdf)


def distance_in_order(ordered: torch.Tensor, cdf: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """The same of numbers in ascending order, for who asks about several distributions."""
    n = ordered.numel()
    expected = cdf(ordered)
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    return float(torch.maximum((steps - expected).max(), (expected - steps + 1 / n).max()))


def largest_cosine(rows: torch.Tensor) -> tuple[float, int, int]:
    """The largest absolute cosine between two rows, and which rows."""
    unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-30)
    gram = unit @ unit.T
    gram.fill_diagonal_(0)
    index = int(gram.abs().argmax())
    i, j = divmod(index, rows.shape[0])
    return float(gram[i, j]), i, j


def is_clipped(e: torch.Tensor) -> bool:
    """Nothing far out, but inside its range the noise is distributed as a normal one."""
    limit = 0.99 * float(e.abs().max())
    inside = e[e.abs() < limit]
    if limit > 3.3 or len(inside) < 10_000:
        return False
    edge = normal_cdf(torch.tensor(-limit, dtype=torch.float64))
    return kolmogorov_distance(inside, lambda t: (normal_cdf(t) - edge) / (1 - 2 * edge)) < distance_bound(len(inside))
