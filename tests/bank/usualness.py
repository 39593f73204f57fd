"""How usual a density is among those of real codes, seen from both sides."""

from __future__ import annotations

import bisect

import numpy as np
import torch

from .entries import Bank

BANK = Bank("usualness")


def rank(path, real):
    """Share of real codes below, ties counted half."""
    path, real = path[:, None], real[None]
    return (real < path).double().mean(1) / 2 + (real <= path).double().mean(1) / 2


def below(path, real):
    return (real[None] < path[:, None]).double().mean(1)


def fold(r):
    return 2 * torch.minimum(r, 1 - r)


for name, about, cause, f in (
    ("rank", "the rank, one-sided", "one_sided", rank),
    ("rank_below", "the rank, ties not counted", "one_sided", below),
    ("rare_share", "share of real codes above", "upside_down", lambda p, r: 1 - rank(p, r)),
    ("unusual", "1 minus the usualness", "upside_down", lambda p, r: 1 - fold(rank(p, r))),
    ("half", "not doubled", "not_doubled", lambda p, r: fold(rank(p, r)) / 2),
    ("parabola", "4 r (1 - r)", "other_fold", lambda p, r: 4 * rank(p, r) * (1 - rank(p, r))),
    ("larger", "the larger share, doubled", "larger_side", lambda p, r: 2 * torch.maximum(rank(p, r), 1 - rank(p, r))),
    ("larger_once", "the larger share", "larger_side", lambda p, r: torch.maximum(rank(p, r), 1 - rank(p, r))),
    ("ties_below", "equal densities do not count", "ties", lambda p, r: fold(below(p, r))),
    (
        "ties_up_to",
        "equal densities count in full",
        "ties",
        lambda p, r: fold((r[None] <= p[:, None]).double().mean(1)),
    ),
    (
        "searchsorted_left",
        "searchsorted on one side",
        "ties",
        lambda p, r: fold(torch.searchsorted(r.sort().values, p).double() / len(r)),
    ),
    (
        "not_sorted",
        "searchsorted without sorting",
        "not_sorted",
        lambda p, r: fold((torch.searchsorted(r, p) + torch.searchsorted(r, p, right=True)).double() / 2 / len(r)),
    ),
    ("mean", "average over the path", "averaged", lambda p, r: fold(rank(p, r)).mean()),
    ("lowest", "the lowest of the path", "wrong_shape", lambda p, r: fold(rank(p, r)).min()),
    ("exchanged", "arguments exchanged", "exchanged|wrong_shape", lambda p, r: fold(rank(r, p))),
    ("among_path", "rank on the path", "among_the_path", lambda p, r: fold(rank(p, p))),
    ("n_plus_one", "divided by n + 1", "n_plus_one", lambda p, r: fold(rank(p, r) * len(r) / (len(r) + 1))),
    (
        "z_score",
        "distance from the mean in deviations",
        "by_deviations",
        lambda p, r: torch.erfc((p - r.mean()).abs() / r.std()),
    ),
    ("ratio", "density against the densest", "against_the_densest", lambda p, r: (p - r.max()).exp().clamp(max=1)),
    (
        "linear",
        "place between least and most",
        "by_place",
        lambda p, r: fold(((p - r.min()) / (r.max() - r.min())).clamp(0, 1)),
    ),
    ("column", "(T, 1)", "wrong_shape", lambda p, r: fold(rank(p, r))[:, None]),
    ("numpy", "a NumPy array", "numpy_result", lambda p, r: fold(rank(p, r)).numpy()),
    ("list", "a Python list", "wrong_number_of_values", lambda p, r: fold(rank(p, r)).tolist()),
    ("nothing", "nothing returned", "returns_none", lambda p, r: None),
    ("sign", "above the median negative", "signed", lambda p, r: fold(rank(p, r)) * torch.sign(0.5 - rank(p, r))),
    ("counts", "counts, not shares", "counts", lambda p, r: fold(rank(p, r)) * len(r)),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("sorts its argument in place", "changes_arguments")
def in_place(on_path, of_real):
    of_real.copy_(of_real.sort().values)
    return fold(rank(on_path, of_real))


@BANK.right("broadcasting")
def broadcast(on_path, of_real):
    return fold(rank(on_path, of_real))


@BANK.right("both sides of a binary search")
def search(on_path, of_real):
    ordered = of_real.sort().values
    low, high = (torch.searchsorted(ordered, on_path.contiguous(), right=right) for right in (False, True))
    r = (low + high) / (2 * len(ordered))
    return 1 - (2 * r - 1).abs()


@BANK.right("bisect in a loop")
def loop(on_path, of_real):
    ordered, found = sorted(of_real.tolist()), []
    for value in on_path.tolist():
        r = (bisect.bisect_left(ordered, value) + bisect.bisect_right(ordered, value)) / 2 / len(ordered)
        found.append(2 * min(r, 1 - r))
    return torch.tensor(found, device=on_path.device)


@BANK.right("NumPy inside")
def with_numpy(on_path, of_real):
    path, real = on_path.detach().cpu().double().numpy(), of_real.detach().cpu().double().numpy()
    lower, higher = (real[None] < path[:, None]).mean(1), (real[None] > path[:, None]).mean(1)
    ties = 1 - lower - higher
    return torch.as_tensor(2 * np.minimum(lower + ties / 2, higher + ties / 2), device=on_path.device)


@BANK.right("signs of the differences")
def signs(on_path, of_real):
    return 1 - torch.sign(on_path[:, None] - of_real[None]).mean(1).abs()


@BANK.right("scipy's percentile")
def percentile(on_path, of_real):
    from scipy.stats import percentileofscore

    r = percentileofscore(of_real.detach().cpu().numpy(), on_path.detach().cpu().numpy(), kind="mean") / 100
    return fold(torch.as_tensor(r, device=on_path.device))


def rank(on_path, of_real):
    below, equal = of_real[None] < on_path[:, None], of_real[None] == on_path[:, None]
    return (below.double() + 0.5 * equal).mean(1)


@BANK.wrong("a p-value of one side", "one_sided")
def rare_only(on_path, of_real):
    return (2 * rank(on_path, of_real)).clamp(max=1)


@BANK.wrong("sorts the path on the way", "path_sorted")
def path_sorted(on_path, of_real):
    return fold(rank(on_path.sort().values, of_real))
