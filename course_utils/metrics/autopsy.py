"""The bandwidth autopsy: what a kernel's MMD says of collapsed codes and of perfect ones, on average over draws.

A kernel is blind where it scores collapsed codes (all at the origin) no worse than codes that match the prior. Both
scores are averages of the biased estimate over draws of the prior sample (and of the codes), as in the course work that
the unit retells; both also have a closed form, which shows where the floor of the biased estimate comes from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.system.contracts import Whole, takes

from . import mmd


class Average(NamedTuple):
    """A mean over draws with its standard error."""

    mean: float
    standard_error: float


class Autopsy(NamedTuple):
    """Biased MMD^2 against N(0, I) under one kernel: simulated averages, and their exact values."""

    dim: int
    bandwidths: tuple[float, ...]
    collapsed: Average
    matching: Average
    exact_collapsed: float
    exact_matching: float

    @property
    def blind(self) -> bool:
        """True when, on average, collapsed codes score no worse than codes that match the prior."""
        return self.exact_collapsed <= self.exact_matching


@takes(dim=Whole(1))
def copied_bandwidth(dim: int) -> float:
    """d / sqrt(2): the bandwidth s of the widely copied kernel exp(-mean_d(delta^2) / d) = exp(-|a - b|^2 / d^2)."""
    return dim / math.sqrt(2)


@takes(dim=Whole(1), num_codes=Whole(1), num_prior=Whole(1), num_draws=Whole(1), seed=Whole(0, 2**63 - 1))
def examine(
    dim: int,
    bandwidths: mmd.Bandwidths,
    *,
    num_codes: int = 128,
    num_prior: int = 200,
    num_draws: int = 400,
    seed: int = 0,
) -> Autopsy:
    """Score collapsed and matching codes under a sum of Gaussian kernels, with ``num_draws`` fresh draws of each.

    Args:
        dim: D, of codes and prior.
        bandwidths: s, one or several.
        num_codes, num_prior: sizes of the two samples that the biased estimate compares.
    """
    widths = mmd.as_floats(bandwidths)
    generator = torch.Generator().manual_seed(seed)
    precise = torch.float64  # a blind kernel leaves differences of 1e-4 between means near 1
    collapsed_codes = torch.zeros(num_codes, dim, dtype=precise)
    collapsed, matching = [], []
    for _ in range(num_draws):
        prior = torch.randn(num_prior, dim, generator=generator, dtype=precise)
        codes = torch.randn(num_codes, dim, generator=generator, dtype=precise)
        collapsed.append(mmd.mmd_squared(collapsed_codes, prior, widths, biased=True))
        matching.append(mmd.mmd_squared(codes, prior, widths, biased=True))
    exact_collapsed, exact_matching = expectations(dim, widths, num_codes, num_prior)
    return Autopsy(dim, tuple(widths), _average(collapsed), _average(matching), exact_collapsed, exact_matching)


@takes(dim=Whole(1), num_codes=Whole(1), num_prior=Whole(1))
def expectations(dim: int, bandwidths: mmd.Bandwidths, num_codes: int, num_prior: int) -> tuple[float, float]:
    """Exact expectations (collapsed, matching) of the biased estimate under a sum of Gaussian kernels.

    With K kernels, u = E k(p, p') and v = E k(0, p): a sample of m has K / m + (1 - 1/m) u as its own mean (the
    diagonal is K), hence K + K / m + (1 - 1/m) u - 2 v for collapsed codes and (1/n + 1/m) (K - u), the floor, for
    matching ones.
    """
    widths = mmd.as_floats(bandwidths)
    count = len(widths)
    within = mmd.expected_kernel_within(dim, widths)
    at_origin = float(mmd.expected_kernel(torch.zeros(1, dim, dtype=torch.float64), widths))
    collapsed = count + count / num_prior + (1 - 1 / num_prior) * within - 2 * at_origin
    return collapsed, (1 / num_codes + 1 / num_prior) * (count - within)


def _average(values: Sequence[Tensor]) -> Average:
    stacked = torch.stack(list(values)).double()
    error = float(stacked.std() / math.sqrt(len(stacked))) if len(stacked) > 1 else math.nan
    return Average(float(stacked.mean()), error)
