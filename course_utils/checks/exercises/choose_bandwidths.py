"""Laws of `choose_bandwidths(z_prior)`: bandwidths are judged by what their MMD² tells apart. Any that do will do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ..engine.candidate import Candidate
from ..engine.demand import untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check("choose_bandwidths(z_prior)", "a list of positive numbers, in the units of the codes")
_HINT = "the maths hint under the card of choose_bandwidths: several, from below the median distance to well above it"
_CODES, _TIMES = 64, 6


@CHECK.law("returns from one to twenty positive numbers, floats or a tensor of them")
def _numbers(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for n, d in ((50, 2), (200, 20), (30, 128)):
        _widths(candidate, draw.normal(n, d))


@CHECK.law("tells codes that have collapsed to one point from codes that match, in 20 and 128 dimensions", weight=3)
def _collapsed(candidate: Candidate, draw: Draw) -> None:
    """Asked is 11 standard deviations where lists with one bandwidth of half the median have 57 and more, and the
    median alone 19, each measured to a tenth: false alarm below 1e-12."""
    for d, unit in ((20, 1.0), (128, 0.1), (128, 10.0)):
        _power(
            candidate, draw, d, unit, 11.0, "codes that have collapsed", lambda n, d: torch.zeros(n, d).double(), WIDE
        )


@CHECK.law("tells codes spread 1.5 times as wide as the prior from codes that match", weight=2)
def _spread(candidate: Candidate, draw: Draw) -> None:
    """Asked is 14 standard deviations where lists with one bandwidth of half the median have 35 and more, each measured
    to a tenth: false alarm below 1e-12."""
    for unit in (1.0, 0.1, 10.0):
        _power(
            candidate, draw, 128, unit, 14.0, "codes 1.5 times as wide", lambda n, d: 1.5 * _normal(draw, n, d), None
        )


@CHECK.law("tells eight clumps, which have the prior's mean and variance, from codes that match", weight=3)
def _clumps(candidate: Candidate, draw: Draw) -> None:
    """Asked is 7 standard deviations where lists from half the median have 20 and more, from 0.8 of it 9, and the
    median alone 4.7, each measured to a tenth: false alarm below 1e-12."""

    def clumped(n: int, d: int) -> torch.Tensor:
        centres = _normal(draw, 8, d)
        return (centres - centres.mean(0))[torch.arange(n) % 8] + 0.1 * _normal(draw, n, d)

    for unit in (1.0, 10.0):
        _power(candidate, draw, 128, unit, 7.0, "eight clumps of codes", clumped, WIDE)


@CHECK.law("still pulls home what lies eight times as far out as the prior", weight=3)
def _far(candidate: Candidate, draw: Draw) -> None:
    """The pull at radius 8 must be 0.02 of that at radius 2, where lists up to twice the median have 0.05 and five
    scales 0.3, each with an error below a tenth: false alarm below 1e-12. Kernels that are parabolas pull at means
    alone, which are the same here: what is left of their pull grows with the radius."""
    for d, unit in ((20, 1.0), (128, 0.1), (128, 10.0)):
        widths = _widths(candidate, (unit * _normal(draw, 300, d)).float())
        near, far = (_pull(draw, d, unit, widths, radius) for radius in (2.0, 8.0))
        if not far > 0.02 * max(near, 0.0):
            raise Broken(
                f"a pull at radius 8 of at least 0.02 of that at radius 2, in {d} dimensions (unit {unit:g})",
                f"{show(far)} against {show(near)} with bandwidths {_shown(widths)}",
                NARROW if max(widths) < 2 * _typical(d, unit) else None,
            )


@CHECK.law("leaves its argument and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    z = draw.normal(40, 5)
    kept = z.clone()
    candidate(z)
    untouched([kept], [z], ["z_prior"])
    well_behaved(candidate)


NARROW = Cause(
    "all_too_narrow",
    "Your widest kernel is 0 where far codes are: it neither sees nor pulls them. Add a bandwidth of several times the "
    "median distance.",
    _HINT,
)
WIDE = Cause(
    "all_too_wide",
    "Your narrowest kernel is nearly a parabola at these distances: it compares means. Add one below the median "
    "distance.",
    _HINT,
)
ZERO = Cause(
    "zero_bandwidth",
    "A bandwidth is 0, as the distance of a code from itself is: the kernel divides by it.",
    _HINT,
)
NEGATIVE = Cause("negative_bandwidth", "A bandwidth is negative; distances never are.", _HINT)
UNITS = Cause(
    "fixed_numbers",
    "Your bandwidths do not grow with the codes: in other units the same codes are judged otherwise. Measure a "
    "distance of z_prior first.",
    _HINT,
)


def _widths(candidate: Candidate, z: torch.Tensor) -> list[float]:
    came = candidate(z.clone())
    if isinstance(came, torch.Tensor) and came.dim() == 1:
        came = came.detach().cpu().tolist()
    if not isinstance(came, (list, tuple)):
        cause = None
        if came is None:
            cause = Cause("returns_none", "Your function ends without returning its result.", "its last line")
        elif isinstance(came, (int, float, torch.Tensor)):
            cause = Cause("one_number", "You return one number; a list is asked for.", "the last line")
        raise Broken("a list of bandwidths", type(came).__name__, cause)
    values = [float(s) if isinstance(s, (int, float, torch.Tensor)) else math.nan for s in came]
    if not 1 <= len(values) <= 20:
        cause = Cause("how_many", f"You return {len(values)} bandwidths; from one to twenty are asked for.", _HINT)
        raise Broken("from 1 to 20 bandwidths", f"{len(values)}", cause)
    if not all(0 < s < math.inf for s in values):
        cause = ZERO if 0.0 in values else NEGATIVE if min(values) < 0 else None
        raise Broken("positive, finite bandwidths", _shown(values), cause)
    return values


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _normal(draw: Draw, n: int, d: int) -> torch.Tensor:
    return draw.normal(n, d, dtype=torch.float64)


def _typical(d: int, unit: float) -> float:
    """Distance of two draws of the prior."""
    return unit * (2 * d) ** 0.5


def _kernel(a: torch.Tensor, b: torch.Tensor, widths: Sequence[float]) -> torch.Tensor:
    """(..., N, D), (..., M, D) -> (..., N, M)."""
    squared = (a.square().sum(-1)[..., None] + b.square().sum(-1)[..., None, :] - 2 * a @ b.mT).clamp_min(0)
    total = torch.zeros_like(squared)
    for s in widths:
        total += torch.exp(squared / (-2 * s**2))
    return total


def _mmd(x: torch.Tensor, y: torch.Tensor, widths: Sequence[float]) -> torch.Tensor:
    """(..., N, D), (..., N, D) -> (...)."""
    n = x.shape[-2]

    def within(z: torch.Tensor) -> torch.Tensor:
        return (_kernel(z, z, widths).sum((-1, -2)) - n * len(widths)) / (n * (n - 1))

    return within(x) + within(y) - 2 * _kernel(x, y, widths).mean((-1, -2))


def _power(
    candidate: Candidate,
    draw: Draw,
    d: int,
    unit: float,
    asked: float,
    what: str,
    bad: Callable[[int, int], torch.Tensor],
    cause: Cause | None,
) -> None:
    """Mean MMD² of bad codes, in standard deviations of that of matching ones (Gretton et al. 2012, section 6.1)."""
    widths = _widths(candidate, (unit * _normal(draw, 300, d)).float())
    worse = [(unit * bad(_CODES, d), unit * _normal(draw, _CODES, d)) for _ in range(_TIMES)]
    alike = [(unit * _normal(draw, _CODES, d), unit * _normal(draw, _CODES, d)) for _ in range(_TIMES)]
    squares = _pairs(torch.stack([x for x, _ in alike]), torch.stack([y for _, y in alike]), widths)
    deviation = (2 * squares.mean() / (_CODES * (_CODES - 1))).sqrt()
    apart = _mmd(torch.stack([x for x, _ in worse]), torch.stack([y for _, y in worse]), widths)
    power = float(apart.mean() / deviation.clamp_min(1e-300))
    if not power > asked:
        where = f"in {d} dimensions" + ("" if unit == 1 else f", in units of {unit:g}")
        raise Broken(
            f"{what} at least {asked:g} standard deviations apart {where}",
            show(power),
            cause if min(widths) > 0.7 * _typical(d, unit) else None,
        )


def _pairs(x: torch.Tensor, y: torch.Tensor, widths: Sequence[float]) -> torch.Tensor:
    """Mean square, over pairs, of what a pair of codes and a pair of prior draws add to MMD²."""
    across, n = _kernel(x, y, widths), x.shape[-2]
    h = _kernel(x, x, widths) + _kernel(y, y, widths) - across - across.mT
    h.diagonal(dim1=-1, dim2=-2).zero_()
    return h.square().sum((-1, -2)) / (n * (n - 1))


def _slopes(a: torch.Tensor, b: torch.Tensor, widths: Sequence[float]) -> torch.Tensor:
    """What the kernels between a code and all of ``b`` add up to, differentiated by the code: (N, D), (M, D) -> (N, D).
    By differences, so that a code and itself add 0 and not a rounding error."""
    apart = b - a[:, None]
    squared = apart.square().sum(2)
    weights = torch.stack([torch.exp(-squared / (2 * s**2)) / s**2 for s in widths]).sum(0)
    return (weights[..., None] * apart).sum(1)


def _pull(draw: Draw, d: int, unit: float, widths: Sequence[float], radius: float) -> float:
    """Mean inward gradient of MMD² at 3 of 64 codes that lie at this radius, at right angles. The others are the prior
    draws but for three, all with the same mean: what pulls at these codes is their being far alone, without luck."""
    total = 0.0
    for _ in range(_TIMES):
        outward = torch.linalg.qr(_normal(draw, d, 3))[0].T
        others, last = _normal(draw, _CODES - 3, d), _normal(draw, 3, d)
        others, last = others - others.mean(0), last - last @ outward.T @ outward
        codes = torch.cat([radius * d**0.5 * outward, others]).mul(unit)
        prior = unit * torch.cat([others, last])
        slope = 2 * (_slopes(codes[:3], codes, widths) / (_CODES - 1) - _slopes(codes[:3], prior, widths) / _CODES)
        total += float((slope * outward).sum(1).mean()) / _CODES
    return total / _TIMES


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Bandwidths that stay as they are when the codes are ten times as large."""
    z = draw.normal(200, 20)
    small, large = _widths(candidate, z), _widths(candidate, 10 * z)
    same = len(small) == len(large) and all(abs(a - b) < 1e-3 * a for a, b in zip(small, large, strict=True))
    return UNITS if same else None
