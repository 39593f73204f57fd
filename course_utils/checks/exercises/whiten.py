"""Laws of `whiten(seen, codes)`: coordinates in which the codes `seen` have mean 0 and the identity as covariance."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import counted
from ..shared.tables import causes

CHECK = Check("whiten(seen, codes)", "(M, D): the codes in coordinates in which `seen` has mean 0 and covariance I")
_WHERE = "the maths hint under the card of whiten: centre with the mean of seen, undo a root of its covariance"
Whiten = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@CHECK.law("gives the codes seen mean 0 and the identity as covariance", weight=3)
def _identity(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, an identity: a correct function never fails."""
    for n, dims in ((400, 3), (250, 6), (60, 2)):
        seen = _codes(draw, n, dims)
        came = plain64(_call(candidate, seen, seen))
        same_tensor(came.mean(0), torch.zeros(dims).double(), f"mean of {n} whitened codes", scale=1.0)
        covariance = torch.cov(came.T).reshape(dims, dims)
        what = f"covariance of {counted(n, 'whitened code')} of {counted(dims, 'dimension')}"
        same_tensor(covariance, torch.eye(dims).double(), what, scale=1.0)


@CHECK.law("measures distances between new codes as the covariance of `seen` does", weight=3)
def _distances(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison, whichever root of the covariance is used: a correct function never fails."""
    for n, dims in ((300, 4), (120, 2)):
        seen, codes = _codes(draw, n, dims), _codes(draw, 9, dims)
        came = plain64(_call(candidate, seen, codes))
        want = _exact(plain64(seen), plain64(codes))
        size = float(torch.cdist(want, want).max())
        what = "distance between two whitened codes"
        same_tensor(torch.cdist(came, came), torch.cdist(want, want), what, scale=size)
        same_tensor(came.norm(dim=1), want.norm(dim=1), "length of a whitened code", scale=size)


@CHECK.law("learns from `seen` alone: a code becomes the same whatever others come with it", weight=2)
def _seen_only(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    seen, codes = _codes(draw, 80, 3), _codes(draw, 60, 3) + 5
    together = plain64(_call(candidate, seen, codes))
    for part in (slice(0, 1), slice(3, 8)):
        alone = _call(candidate, seen, codes[part])
        same_tensor(alone, together[part], "code whitened without the others", scale=float(together.abs().max()))
    same_tensor(together.norm(dim=1), _exact(plain64(seen), plain64(codes)).norm(dim=1), "its length", scale=10.0)


@CHECK.law("makes distances the same for every invertible linear change of the codes", weight=2)
def _invariant(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    seen, codes = _codes(draw, 80, 3), _codes(draw, 30, 3)
    for stretch in (torch.tensor([1.0, 5.0, 0.2]), torch.tensor([-2.0, 0.5, 5.0])):
        mix = torch.linalg.qr(draw.normal(3, 3))[0] * stretch
        shift = 3 * draw.normal(3)
        came = plain64(_call(candidate, seen @ mix.T + shift, codes @ mix.T + shift))
        want = _exact(plain64(seen), plain64(codes))
        size = float(want.norm(dim=1).max())
        same_tensor(torch.cdist(came, came), torch.cdist(want, want), "distance after a change of axes", scale=size)


@CHECK.law("works in double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    seen, codes = _codes(draw, 90, 5).double(), _codes(draw, 40, 5).double()
    want = _exact(seen, codes)
    same_tensor(_call(candidate, seen, codes).norm(dim=1), want.norm(dim=1), "length in float64", scale=4.0)
    for device in candidate.devices():
        _call(candidate, seen.float().to(device), codes.float().to(device))


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = _codes(draw, 40, 3), _codes(draw, 5, 3)
    kept = tuple(value.clone() for value in given)
    candidate(*given)
    untouched(kept, given, ("seen", "codes"))
    well_behaved(candidate)


def _codes(draw: Draw, n: int, dims: int) -> torch.Tensor:
    """Correlated codes far from 0: widths from 0.5 to 4, mixed by a fixed matrix."""
    mix = torch.cos(torch.arange(1.0, dims * dims + 1) ** 2).view(dims, dims) + torch.eye(dims)
    widths = torch.linspace(0.5, 4, dims) if dims > 1 else torch.tensor([2.5])
    return 3 * torch.sin(torch.arange(1.0, dims + 1)) + 1 + (draw.normal(n, dims) * widths) @ torch.linalg.qr(mix)[0].T


def _call(candidate: Candidate, seen: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    return tensor(candidate(seen.clone(), codes.clone()), codes.shape, "whitened codes")


def _covariance(seen: torch.Tensor) -> torch.Tensor:
    return torch.cov(seen.T).reshape(seen.shape[1], seen.shape[1])


def _exact(seen: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    return _undone(_covariance(seen), codes - seen.mean(0))


def _undone(covariance: torch.Tensor, centred: torch.Tensor) -> torch.Tensor:
    return torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), centred.T, upper=False).T


_FROM_CODES = "You learn from codes; mean and covariance are those of seen."
MISTAKES: list[tuple[Cause, Whiten]] = causes(
    _WHERE,
    (
        (
            "each_axis_alone",
            "You scale each dimension by itself; correlations between dimensions remain.",
            lambda s, c: (c - s.mean(0)) / s.std(0),
        ),
        (
            "wrong_way",
            "You multiply by the root of the covariance; its inverse undoes it.",
            lambda s, c: (c - s.mean(0)) @ torch.linalg.cholesky(_covariance(s)),
        ),
        (
            "wrong_way",
            "You multiply by the root of the covariance; its inverse undoes it.",
            lambda s, c: (c - s.mean(0)) @ torch.linalg.cholesky(_covariance(s)).T,
        ),
        (
            "whole_covariance",
            "You divide by the covariance itself, which is a squared width: its root is what a width is.",
            lambda s, c: torch.linalg.solve(_covariance(s), (c - s.mean(0)).T).T,
        ),
        (
            "whole_covariance",
            "You multiply by the covariance; the inverse of its root is asked for.",
            lambda s, c: (c - s.mean(0)) @ _covariance(s),
        ),
        ("own_statistics", _FROM_CODES, lambda s, c: _exact(c, c)),
        ("own_statistics", _FROM_CODES, lambda s, c: _exact(s - s.mean(0), c - c.mean(0))),
        ("own_statistics", _FROM_CODES, lambda s, c: _exact(c - c.mean(0), c - s.mean(0))),
        *(
            (
                "smallest_to_largest",
                "You scale each dimension from its smallest value to its largest: that is no width, and correlations "
                "between dimensions remain.",
                lambda s, c, factor=factor: factor * (c - s.amin(0)) / (s.amax(0) - s.amin(0)) - (factor - 1),
            )
            for factor in (1, 2)
        ),
        *(
            (
                "ridge",
                "You add a number to the diagonal of the covariance, so that narrow directions stay narrower than 1: "
                "undo the covariance itself.",
                lambda s, c, added=added: _undone(
                    _covariance(s) + added * torch.eye(s.shape[1], dtype=s.dtype), c - s.mean(0)
                ),
            )
            for added in (1.0, 0.1, 0.01)
        ),
        (
            "one_scale",
            "You divide by one number; the widths differ from axis to axis.",
            lambda s, c: (c - s.mean(0)) / s.std(),
        ),
        (
            "one_scale",
            "You scale each code to length 1; it is the axes that are scaled.",
            lambda s, c: torch.nn.functional.normalize(c - s.mean(0)),
        ),
        (
            "root_of_the_root",
            "You divide by the fourth root of the variances; a width is their square root.",
            lambda s, c: (
                (c - s.mean(0)) @ torch.linalg.eigh(_covariance(s))[1] / torch.linalg.eigvalsh(_covariance(s)) ** 0.25
            ),
        ),
        (
            "uncentred_moment",
            "You take the second moment of seen as it is; its covariance is that of the centred codes.",
            lambda s, c: _undone(s.T @ s / len(s), c - s.mean(0)),
        ),
        (
            "not_averaged",
            "You sum the products of the centred codes; a covariance is their average.",
            lambda s, c: _exact(s, c) / (len(s) - 1) ** 0.5,
        ),
        (
            "correlation",
            "You take the correlations, which know nothing of the widths; undo the covariance.",
            lambda s, c: _undone(torch.corrcoef(s.T), c - s.mean(0)),
        ),
        ("untouched", "The codes come back as they are.", lambda s, c: c),
        ("mean_kept", "The mean is not subtracted.", lambda s, c: _exact(s - s.mean(0), c)),
        (
            "centred_only",
            "The mean is gone, but every direction keeps its width: each must get the width 1.",
            lambda s, c: c - s.mean(0),
        ),
        (
            "factor_transposed",
            "You apply the transpose of L's inverse: which side does L stand on, for codes in rows?",
            lambda s, c: (c - s.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(_covariance(s))),
        ),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """By lengths and distances, which no choice of a root changes."""
    seen, codes = _codes(draw, 150, 4), _codes(draw, 8, 4)
    came = plain64(_call(candidate, seen, codes))
    return sole(cause for cause, mistaken in MISTAKES if _like(came, mistaken(plain64(seen), plain64(codes))))


def _like(came: torch.Tensor, predicted: torch.Tensor) -> bool:
    pairs = (came.norm(dim=1), predicted.norm(dim=1)), (torch.pdist(came), torch.pdist(predicted))
    return all(float((one - other).abs().max()) <= 1e-3 * float(other.max()) for one, other in pairs)
