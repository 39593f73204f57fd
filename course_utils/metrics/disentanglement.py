"""Whether single latent dimensions stand for single factors of variation, where a generator knows the factors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.system.contracts import Rows, Whole, takes


class Gap(NamedTuple):
    """The mutual information gap of each factor, and what the same codes give for factors that are shuffled."""

    values: Tensor  # (K,)
    floor: Tensor  # (K,)

    @property
    def mean(self) -> float:
        """Over the factors."""
        return float(self.values.mean())

    @property
    def mean_floor(self) -> float:
        """Over the factors: what nothing but chance gives."""
        return float(self.floor.mean())


@takes(codes=Rows(2), factors=Rows(2), bins=Whole(2), shuffles=Whole(1), seed=Whole(0))
@torch.no_grad()
def mutual_information_gap(codes: Tensor, factors: Tensor, *, bins: int = 20, shuffles: int = 10, seed: int = 0) -> Gap:
    """How much more the best dimension says about a factor than the second best, as a share of all there is to say.

    MIG_k = (I(z_best; v_k) - I(z_second; v_k)) / H(v_k) (Chen et al. 2018, "Isolating sources of disentanglement"),
    here of codes and factors sorted into ``bins`` of equally many pictures. 0: two dimensions say the same, or all say
    nothing; 1: one dimension says all, no other anything. Finite samples give a little more than 0 to pure chance:
    ``floor`` is the mean over ``shuffles`` random orders of the pictures.

    Args:
        codes: (N, D), D >= 2: mean codes. factors: (N, K); a column with at most ``bins`` values keeps them.

    Raises:
        ValueError: one dimension alone, numbers of pictures that differ, or a factor that is constant.
    """
    if codes.shape[1] < 2 or len(codes) != len(factors):
        raise ValueError(
            f"codes are {tuple(codes.shape)}, factors {tuple(factors.shape)}; expected (N, D) and (N, K), D at least 2."
        )
    if constant := [k for k in range(factors.shape[1]) if factors[:, k].unique().numel() < 2]:
        raise ValueError(f"factors {constant} are constant: there is nothing to know of them.")
    z, v = _binned(codes.cpu(), bins), _binned(factors.cpu(), bins)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(codes), generator=generator) for _ in range(shuffles)]
    return Gap(_gap(z, v), torch.stack([_gap(z, v[order]) for order in orders]).mean(0))


def _binned(values: Tensor, bins: int) -> Tensor:
    """(N, columns, bins) one-hot, in bins of equally many rows."""
    columns = []
    for column in values.T:
        distinct, which = column.unique(return_inverse=True)
        if len(distinct) > bins:
            which = column.argsort().argsort() * bins // len(column)
        columns.append(torch.nn.functional.one_hot(which, bins))
    return torch.stack(columns, 1).double()


def _gap(z: Tensor, v: Tensor) -> Tensor:
    joint = torch.einsum("ndb,nkc->dkbc", z, v) / len(z)
    apart = joint.sum(3, keepdim=True) * joint.sum(2, keepdim=True)
    information = (joint * (joint.clamp_min(1e-300) / apart.clamp_min(1e-300)).log()).sum((2, 3))
    share = v.mean(0)
    entropy = torch.special.entr(share).sum(1)
    best = information.topk(2, dim=0).values
    return (best[0] - best[1]) / entropy
