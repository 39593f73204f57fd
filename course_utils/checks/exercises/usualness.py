"""Laws of `usualness(on_path, of_real)`: how usual a density is among those of real codes, seen from both sides."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole, table
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check("usualness(on_path, of_real)", "(T,) numbers from 0 (a hole, or denser than anything real) to 1")
_WHERE = "the maths hint under the card of usualness: twice the smaller of r and 1 - r"


@CHECK.law("is right where you can count", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    real = torch.tensor([-8.0, -6.0, -4.0, -2.0, 0.0])
    for place, want in ((-9.0, 0.0), (-7.0, 0.4), (-5.0, 0.8), (-3.0, 0.8), (-1.0, 0.4), (1.0, 0.0)):
        came = _values(candidate, torch.tensor([place]), real)
        same_tensor(came, torch.tensor([want]).double(), f"usualness of {place:g} among -8, -6, -4, -2, 0", scale=0.1)


@CHECK.law("falls on either side of the middle: too rare is unusual, and so is too dense", weight=3)
def _both_sides(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. Neither list comes in order."""
    for length, number in ((21, 40), (5, 200), (33, 7), (1, 64), (12, 1)):
        path, real = 3 * draw.normal(length) - 20, 3 * draw.normal(number) - 20
        _same(candidate, path, real, f"usualness of {length} points among {number} real codes")


@CHECK.law("counts real codes of equal density half", weight=2)
def _ties(candidate: Candidate, draw: Draw) -> None:
    """Whole numbers, exact comparison: a correct function never fails."""
    for length, number in ((11, 30), (6, 9)):
        path, real = (draw.normal(n, scale=2.0).round() for n in (length, number))
        _same(candidate, path, real, "usualness where many densities are equal")
    real = draw.normal(40)
    _same(candidate, real, real, "usualness of the real codes themselves, whose mean is 0.5")


@CHECK.law("looks at the order alone: another unit, another offset, the densities' other scale change nothing")
def _order(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    path, real = draw.normal(9), draw.normal(31)
    for what, change in _CHANGES:  # which may make two densities equal, by rounding
        _same(candidate, change(path), change(real), f"usualness {what}")
    want = _exact(plain64(path), plain64(real))
    turned = _values(candidate, path.flip(0), real[draw.permutation(31)])
    same_tensor(turned, want.flip(0), "usualness of the path walked backwards", scale=0.1)


@CHECK.law("works in single and double precision, for thousands of codes, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for dtype in (torch.float32, torch.float64):
        path, real = draw.normal(21, dtype=dtype), draw.normal(5000, dtype=dtype)
        _same(candidate, path, real, f"usualness in {dtype}")
    for device in candidate.devices():
        _same(candidate, path.to(device), real.to(device), f"usualness on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = draw.normal(7), draw.normal(12)
    kept = tuple(value.clone() for value in given)
    candidate(*given)
    untouched(kept, given, ("on_path", "of_real"))
    well_behaved(candidate)


_CHANGES: tuple[tuple[str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    ("100 nats lower", lambda v: v - 100),
    ("in bits", lambda v: v / 0.6931),
    ("of the densities in place of their logarithms", torch.exp),
)


def _values(candidate: Candidate, path: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    came = tensor(candidate(path.clone(), real.clone()), path.shape, "usualness")
    if not bool(((came >= -1e-6) & (came <= 1 + 1e-6)).all()):
        raise Broken("numbers from 0 to 1", f"from {float(came.min()):.3g} to {float(came.max()):.3g}")
    return came


def _same(candidate: Candidate, path: torch.Tensor, real: torch.Tensor, what: str) -> None:
    same_tensor(_values(candidate, path, real), _exact(plain64(path), plain64(real)), what, scale=0.1)


def _below(path: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return (real < path[:, None]).double().mean(1)


def _up_to(path: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return (real <= path[:, None]).double().mean(1)


def _rank(path: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return (_below(path, real) + _up_to(path, real)) / 2


def _folded(rank: torch.Tensor) -> torch.Tensor:
    return 2 * torch.minimum(rank, 1 - rank)


def _exact(path: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    return _folded(_rank(path, real))


_ONE_SIDED = (
    "You return the rank itself: a code that is denser than anything real then counts as the most usual of all."
)
_TIES = "Real codes of equal density count half: half below, half above."
_SCALE = "Twice the smaller of r and 1 - r is asked for, which is 1 in the middle and 0 at either end."
MISTAKES = table(
    _WHERE,
    _exact,
    ("one_sided", _ONE_SIDED, _rank),
    ("one_sided", _ONE_SIDED, _below),
    ("one_sided", _ONE_SIDED, _up_to),
    ("upside_down", "It is upside down: 1 must be the most usual.", lambda p, r: 1 - _exact(p, r)),
    ("upside_down", "It is upside down: 1 must be the most usual.", lambda p, r: 1 - _rank(p, r)),
    ("not_doubled", _SCALE, lambda p, r: _exact(p, r) / 2),
    ("other_fold", _SCALE, lambda p, r: 4 * _rank(p, r) * (1 - _rank(p, r))),
    ("larger_side", "You take the larger of the two shares; take the smaller.", lambda p, r: 2 - _exact(p, r)),
    ("larger_side", "You take the larger of the two shares; take the smaller.", lambda p, r: 1 - _exact(p, r) / 2),
    ("ties", _TIES, lambda p, r: _folded(_below(p, r))),
    ("ties", _TIES, lambda p, r: _folded(_up_to(p, r))),
    ("averaged", "You average over the path; a number for each point is asked for.", lambda p, r: _exact(p, r).mean()),
    (
        "exchanged",
        "The two arguments are exchanged: each point of the path is held against the real codes.",
        lambda p, r: _exact(r, p),
    ),
    (
        "among_the_path",
        "You rank the points among each other: rank them among the real codes.",
        lambda p, r: _exact(p, p),
    ),
    ("counts", "You return counts; shares of the real codes are asked for.", lambda p, r: _exact(p, r) * len(r)),
    (
        "signed",
        "You give one side a sign; usual is usual on either side.",
        lambda p, r: _exact(p, r) * torch.sign(0.5 - _rank(p, r)),
    ),
    (
        "by_deviations",
        "You measure in standard deviations from the mean, as if the densities were normal; count real codes instead.",
        lambda p, r: torch.erfc((p - r.mean()).abs() / r.std()),
    ),
    (
        "against_the_densest",
        "You compare with the densest real code; the densest is not the most usual.",
        lambda p, r: (p - r.max()).exp().clamp(max=1),
    ),
    (
        "by_place",
        "You take the place between the least and the largest density; count real codes instead.",
        lambda p, r: _folded(((p - r.min()) / (r.max() - r.min())).clamp(0, 1)),
    ),
    (
        "not_sorted",
        "searchsorted asks for sorted values: sort the real codes first.",
        lambda p, r: _folded((torch.searchsorted(r, p) + torch.searchsorted(r, p, right=True)).double() / 2 / len(r)),
    ),
    (
        "one_sided",
        "Only what is rarer than real codes counts: a code that is denser than all of them is as unusual.",
        lambda p, r: (2 * _rank(p, r)).clamp_max(1),
    ),
    (
        "path_sorted",
        "The numbers come in another order than the points: each belongs to its point.",
        lambda p, r: _exact(p.sort().values, r),
    ),
    (
        "n_plus_one",
        "You divide by another number than that of the real codes.",
        lambda p, r: _folded((_rank(p, r) * len(r) + 1) / (len(r) + 1)),
    ),
    (
        "n_plus_one",
        "You divide by another number than that of the real codes.",
        lambda p, r: _folded(_rank(p, r) * len(r) / (len(r) + 1)),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for length, number in ((6, 11), (9, 14)):
        path, real = (draw.normal(n, scale=2.0).round() for n in (length, number))
        probes.append((plain64(path), plain64(real), candidate(path, real)))
    return sole(
        cause for cause, mistaken in MISTAKES if all(agrees(came, mistaken(path, real)) for path, real, came in probes)
    )
