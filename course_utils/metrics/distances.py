"""Distances between two sets of points: codes (N, D), or the features of images (N, F). No models in here."""

from __future__ import annotations

from math import nan
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.system.contracts import Number, Rows, Whole, same_device, takes

BLOCK = 1000  # rows of a distance matrix held at a time


_CODES, _SEED = Rows(), Whole(0, 2**63 - 1)


@takes(x=_CODES, y=_CODES, order=Number(least=1), num_projections=Whole(1), seed=_SEED, broken=lambda: nan)
def sliced_wasserstein(x: Tensor, y: Tensor, *, order: float = 2, num_projections: int = 200, seed: int = 0) -> float:
    """Sliced Wasserstein distance of the given order, in the units of x.

    The order-th root of the mean, over random directions, of W_p^p between the projections, which in one dimension
    comes from sorting (Rabin et al. 2011; Bonneel et al. 2015). For N(0, I) against N(m, I) and order 2 it is
    |m| / sqrt(D). Finite samples give more than 0 for equal distributions: see ``aggregate.distance_to_prior``.

    Args:
        x: (N, D); y: (M, D). N and M may differ: the quantile functions are compared exactly.
        num_projections: directions; for order 2 the relative error from them is at most about 1 / sqrt(2 * number).
        seed: of the directions, so that two comparisons can share them.
    """
    _check_pair(x, y, "x", "y", least=1)
    dtype = torch.promote_types(x.dtype, y.dtype)
    x, y = x.to(dtype), y.to(dtype)
    directions = torch.randn(x.shape[1], num_projections, generator=torch.Generator().manual_seed(seed)).to(x)
    directions = directions / directions.norm(dim=0)
    along_x, along_y = (points.detach() @ directions for points in (x, y))
    return float(_one_dimensional(along_x, along_y, order).mean() ** (1 / order))


def _one_dimensional(x: Tensor, y: Tensor, order: float) -> Tensor:
    """W_p^p between the columns of x (N, P) and y (M, P): (P,)."""
    x, y = x.sort(0).values, y.sort(0).values
    if len(x) == len(y):
        return (x - y).abs().pow(order).mean(0)
    # both quantile functions are steps; between two neighbouring jumps of either, they differ by a constant
    n, m = len(x), len(y)
    jumps = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()  # in units of 1 / (n m)
    shares = torch.diff(jumps, prepend=torch.zeros(1, dtype=jumps.dtype)).to(x) / (n * m)
    at_x, at_y = ((jumps + step - 1) // step - 1 for step in (m, n))
    return ((x[at_x.to(x.device)] - y[at_y.to(y.device)]).abs().pow(order) * shares[:, None]).sum(0)


@takes(x=_CODES, y=_CODES, order=Number(least=1), broken=lambda: nan)
def wasserstein(x: Tensor, y: Tensor, *, order: float = 1) -> float:
    """Exact Wasserstein distance of the given order between two batches of equal size, in the units of x.

    The best pairing of the N rows of x (N, D) with those of y, by scipy's linear assignment: between point sets of
    equal size no other transport plan is better. Time grows as N^3 (about a second at N = 2000). Order 1 is what a
    1-Lipschitz critic estimates. Two batches of one distribution are some distance apart too; for D > 2 that shrinks
    only as N^(-1/D).
    """
    from scipy.optimize import linear_sum_assignment

    _check_pair(x, y, "x", "y", least=1)
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} rows and y has {len(y)}; expected as many. Leave some out at random.")
    apart = torch.cdist(x.detach().double(), y.detach().double(), compute_mode="donot_use_mm_for_euclid_dist")
    costs = apart.pow(order).cpu().numpy()
    return float(costs[linear_sum_assignment(costs)].mean() ** (1 / order))


class PrecisionRecall(NamedTuple):
    """Shares in [0, 1]: generated points inside the real manifold, and real points inside the generated one."""

    precision: float  # fidelity: low where samples look like nothing real
    recall: float  # coverage: low where kinds of real images are never generated


@takes(generated=_CODES, real=_CODES, neighbours=Whole(1), broken=lambda: PrecisionRecall(nan, nan))
def precision_recall(generated: Tensor, real: Tensor, *, neighbours: int = 3) -> PrecisionRecall:
    """Precision and recall of generated points (N, F) against real ones (M, F) (Kynkäänniemi et al. 2019).

    A set's manifold is the union of balls around its points, each reaching to the point's ``neighbours``-th nearest
    neighbour in the set. Both numbers are below 1 for equal distributions (a point is covered ``neighbours`` times on
    average, some never): compare with two halves of the real set. Use as many points of each kind; more raise recall.

    Args:
        generated, real: features, e.g. ``classifier.features(images)``.
    """
    _check_pair(generated, real, "generated", "real", least=neighbours + 1)
    dtype = torch.promote_types(generated.dtype, real.dtype)
    generated, real = generated.detach().to(dtype), real.detach().to(dtype)
    return PrecisionRecall(_share_inside(generated, real, neighbours), _share_inside(real, generated, neighbours))


def _share_inside(points: Tensor, manifold: Tensor, neighbours: int) -> float:
    # the nearest point of the set to one of its own is that point itself: one more neighbour
    within = (_distances(part, manifold) for part in manifold.split(BLOCK))
    radii = torch.cat([block.kthvalue(neighbours + 1, dim=1).values for block in within])
    inside = [(_distances(part, manifold) <= radii).any(1) for part in points.split(BLOCK)]
    return float(torch.cat(inside).double().mean())


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _check_pair(a: Tensor, b: Tensor, name_a: str, name_b: str, least: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < least:
        raise ValueError(
            f"{name_a} is {tuple(a.shape)} and {name_b} is {tuple(b.shape)}; expected two sets (N, D) and (M, D) of at "
            f"least {least} each."
        )
    same_device(a, b, name_a, name_b)
