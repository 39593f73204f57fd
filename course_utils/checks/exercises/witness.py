"""Laws of `witness(points, x, y, bandwidths)`: where x has more mass than y, seen through a kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole
from ..engine.demand import plain64, same_number, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.trusted import gaussian_kernels, squared_distances
from ..shared.tables import causes

CHECK = Check("witness(points, x, y, bandwidths)", "one number for each of the points, (P,)")
_HINT = "the formula above the card of witness: a mean over x minus a mean over y, for each point"
_WIDTHS = [0.8, 1.9]
Given = tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[float]]


@CHECK.law("returns one number for each point, however many codes there are", weight=2)
def _shapes(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for p, n, m, d in ((5, 3, 4, 2), (1, 2, 7, 3), (9, 9, 9, 1), (4, 1, 1, 2)):
        _call(candidate, *_inputs(draw, p, n, m, d))


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: codes on a line, one bandwidth."""
    points, x, y = torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[0.0], [1.0]]), torch.tensor([[4.0]])
    _same(candidate, (points, x, y, [1.0]), "witness at 0, 2 and 4 of codes 0 and 1 against 4")
    _same(candidate, (points, x, y, [3.0]), "the same with bandwidth 3")


@CHECK.law("is the mean kernel to x minus the mean kernel to y, at every point", weight=3)
def _random(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for p, n, m, d in ((6, 10, 25, 2), (30, 40, 15, 1), (7, 7, 7, 5)):
        _same(candidate, _inputs(draw, p, n, m, d), f"witness at {p} points of {n} codes against {m}")


@CHECK.law("adds up the kernels of all bandwidths", weight=2)
def _sum(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    x, y = draw.normal(12, 2) - 1, draw.normal(9, 2) + 1.5
    points = torch.cat([x[:9], y[:3]]) + draw.normal(12, 2, scale=0.2)  # more where x is, fewer where y is
    for bandwidths in ([0.7], [0.7, 1.5], [0.5, 1.0, 2.0, 4.0, 8.0]):
        _same(candidate, (points, x, y, bandwidths), f"witness with {len(bandwidths)} bandwidths")


@CHECK.law("averages over x minus over y to the biased MMD²", weight=2)
def _mean(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. Codes of y lie close together and far from x, or
    spread over it: what makes up for a mistake in one case adds to it in the other."""
    for n, m, d, spread, apart in ((5, 9, 2, 0.3, 2.0), (9, 4, 1, 2.5, 0.0), (4, 8, 3, 0.3, 3.0), (7, 3, 2, 2.0, 0.5)):
        x, y = draw.normal(n, d) - 0.8, draw.normal(m, d, scale=spread) + apart
        of_x, of_y = (plain64(_call(candidate, z, x, y, _WIDTHS)).mean() for z in (x, y))
        want_x, want_y = (_right(z.double(), x.double(), y.double(), _WIDTHS).mean() for z in (x, y))
        same_number(
            of_x - of_y,
            float(want_x - want_y),
            "mean witness on x minus mean witness on y",
            scale=2.0 * len(_WIDTHS),
            rounding=0.003,
        )


@CHECK.law("works in double precision and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for p, n, m, d in ((16, 8, 5, 3), (20, 3, 6, 1), (12, 6, 4, 2)):
        points, x, y, bandwidths = _inputs(draw, p, n, m, d)
        _same(candidate, (points.double(), x.double(), y.double(), bandwidths), "witness in float64")
        for device in candidate.devices():
            given = tuple(t.to(device) for t in (points, x, y))
            _same(candidate, (given[0], given[1], given[2], bandwidths), f"witness on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    points, x, y, bandwidths = _inputs(draw, 6, 8, 5, 3)
    kept = [t.clone() for t in (points, x, y)]
    candidate(points, x, y, list(bandwidths))
    untouched(kept, [points, x, y], ("points", "x", "y"))
    well_behaved(candidate)


def _inputs(draw: Draw, p: int, n: int, m: int, d: int) -> Given:
    """Points among the codes of x, where it has more mass, and out where only those of the wider y are, two to one."""
    points = draw.normal(p, d, scale=0.7)
    points[2::3] = points[2::3].abs() + 1.7
    return points, draw.normal(n, d), draw.normal(m, d, scale=1.6) + 0.7, _WIDTHS


def _call(candidate: Candidate, points: torch.Tensor, x: torch.Tensor, y: torch.Tensor, bandwidths: list[float]):
    came = candidate(points.clone(), x.clone(), y.clone(), list(bandwidths))
    return tensor(came, (len(points),), "the witness")


def _same(candidate: Candidate, given: Given, what: str) -> None:
    points, x, y, bandwidths = given
    want = _right(plain64(points), plain64(x), plain64(y), bandwidths)
    same_tensor(_call(candidate, *given), want, what, scale=float(len(bandwidths)), rounding=0.01)


def _k(a: torch.Tensor, b: torch.Tensor, bandwidths: list[float]) -> torch.Tensor:
    return gaussian_kernels(squared_distances(a, b), bandwidths)


Witness = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, list[float]], torch.Tensor]


def _from(kernel: Callable[[torch.Tensor, torch.Tensor, list[float]], torch.Tensor]) -> Witness:
    """The right means of another kernel."""
    return lambda points, x, y, w: kernel(points, x, w).mean(1) - kernel(points, y, w).mean(1)


_right = _from(_k)


def _of(shape: Callable[[torch.Tensor, float], torch.Tensor]) -> Witness:
    """A sum over bandwidths of a function of squared distance and bandwidth."""
    return _from(lambda a, b, w: torch.stack([shape(squared_distances(a, b), s) for s in w]).sum(0))


_REACH = "The kernel is exp(-|a - b|² / (2 s²)): "
_MEANS = "Take the mean over the codes, so that the number of codes in x or y does not count."
_ROWS = causes(
    _HINT,
    (
        (
            "sign_turned",
            "You take y minus x: the witness is positive where x has more mass.",
            lambda p, x, y, w: -_right(p, x, y, w),
        ),
        ("sums_not_means", _MEANS, lambda p, x, y, w: _k(p, x, w).sum(1) - _k(p, y, w).sum(1)),
        ("sums_not_means", _MEANS, lambda p, x, y, w: (_k(p, x, w).sum(1) - _k(p, y, w).sum(1)) / len(x)),
        ("sums_not_means", _MEANS, lambda p, x, y, w: (_k(p, x, w).sum(1) - _k(p, y, w).sum(1)) / (len(x) + len(y))),
        ("one_side", "The other set of codes is missing.", lambda p, x, y, w: _k(p, x, w).mean(1)),
        ("one_side", "The other set of codes is missing.", lambda p, x, y, w: -_k(p, y, w).mean(1)),
        ("one_side", "The other set of codes is missing.", lambda p, x, y, w: _k(p, y, w).mean(1)),
        (
            "added",
            "You add the two means; their difference is asked for.",
            lambda p, x, y, w: _k(p, x, w).mean(1) + _k(p, y, w).mean(1),
        ),
        (
            "kernel_of_means",
            "You compare points with the mean code. Average the kernel, not the codes.",
            lambda p, x, y, w: (_k(p, x.mean(0, keepdim=True), w) - _k(p, y.mean(0, keepdim=True), w))[:, 0],
        ),
        (
            "mean_over_bandwidths",
            "You average over the bandwidths; the kernel is their sum.",
            lambda p, x, y, w: _right(p, x, y, w) / len(w),
        ),
        ("one_bandwidth", "Only one of the bandwidths counts.", lambda p, x, y, w: _right(p, x, y, w[:1])),
        ("one_bandwidth", "Only one of the bandwidths counts.", lambda p, x, y, w: _right(p, x, y, w[-1:])),
        ("size_only", "You take the size without its sign.", lambda p, x, y, w: _right(p, x, y, w).abs()),
        ("size_only", "You take the square; the witness has a sign.", lambda p, x, y, w: _right(p, x, y, w).square()),
        ("doubled", "Your number is twice the witness.", lambda p, x, y, w: 2 * _right(p, x, y, w)),
        ("doubled", "Your number is half the witness.", lambda p, x, y, w: _right(p, x, y, w) / 2),
        ("no_factor_two", _REACH + "the 2 is missing.", _of(lambda q, s: torch.exp(-q / s**2))),
        ("bandwidth_not_squared", _REACH + "the bandwidth is squared.", _of(lambda q, s: torch.exp(-q / (2 * s)))),
        (
            "distance_not_squared",
            _REACH + "the distance is squared.",
            _of(lambda q, s: torch.exp(-q.sqrt() / (2 * s**2))),
        ),
        (
            "another_kernel",
            "Your kernel is 1 / (1 + |a - b|² / (2 s²)); the Gaussian one is asked for.",
            _of(lambda q, s: 1 / (1 + q / (2 * s**2))),
        ),
        (
            "logarithm",
            "You take the logarithm of a ratio; the difference of the two means is asked for.",
            lambda p, x, y, w: (_k(p, x, w).mean(1) / _k(p, y, w).mean(1)).log(),
        ),
        (
            "mean_over_dimensions",
            _REACH + "the squares are summed over the dimensions, not averaged.",
            lambda p, x, y, w: _from(lambda a, b, w: gaussian_kernels((a[:, None] - b[None]).square().mean(2), w))(
                p, x, y, w
            ),
        ),
        (
            "normalised",
            "You divide by the largest value.",
            lambda p, x, y, w: _right(p, x, y, w) / _right(p, x, y, w).abs().max(),
        ),
        (
            "centred",
            "You subtract the mean over the points: each point's number is its own.",
            lambda p, x, y, w: _right(p, x, y, w) - _right(p, x, y, w).mean(),
        ),
    ),
)


def _made(mistake: Witness, given: Given) -> torch.Tensor:
    points, x, y, bandwidths = given
    return mistake(plain64(points), plain64(x), plain64(y), bandwidths)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The mistake that gives all numbers of two probes."""
    probes: list[Given] = [_inputs(draw, 7, 11, 6, 3), (*_inputs(draw, 5, 4, 9, 2)[:3], [0.6, 1.4, 3.0])]
    came = [candidate(*(t.clone() for t in given[:3]), list(given[3])) for given in probes]
    return sole(
        cause
        for cause, mistake in _ROWS
        if all(agrees(got, _made(mistake, given)) for got, given in zip(came, probes, strict=True))
    )
