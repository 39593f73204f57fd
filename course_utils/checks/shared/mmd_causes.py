"""What MMD^2 would be under known misconceptions: three kernel matrices, and how they are put together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Formula, Probe, Reduction, agrees, match_loss
from ..engine.demand import plain64
from ..engine.law import Draw
from ..engine.score import Cause
from ..engine.trusted import gaussian_kernels, mean_off_diagonal, squared_distances
from .tables import causes

_KERNEL = "the maths hint under the card of mmd_squared: the kernel is the sum over s of exp(-|a - b|^2 / (2 s^2))"
_ESTIMATE = "the maths hint under the card of mmd_squared: three means, of which two leave self-pairs out"

BIASED = Cause(
    "biased",
    "Your estimate is the biased one: the means within x and within y include the pairs of a code with itself, whose "
    "kernel is always largest. Leave the diagonal out and divide by n (n - 1).",
    _ESTIMATE,
)
UNEQUAL = Cause(
    "unequal_sizes",
    "Your estimate is right where x and y have the same number of codes and wrong where they have not: each mean "
    "divides by its own number of pairs.",
    _ESTIMATE,
)
CLAMPED = Cause(
    "clamped",
    "You cut the estimate off at 0. Unbiased means right on average, so it must be able to come out negative; where a "
    "clamp acts the gradient is lost as well.",
    _ESTIMATE,
)
ABSOLUTE = Cause(
    "absolute",
    "You take the absolute value. Unbiased means right on average, so the estimate must be able to come out negative.",
    _ESTIMATE,
)
PART_DETACHED = Cause(
    "detached_part",
    "The value is right but its gradient is not: part of the formula is detached or computed without gradients.",
    "uses of .detach(), .data, torch.no_grad or torch.tensor(...)",
    tentative=True,
)
ROOT_OF_ZERO = Cause(
    "square_root_of_zero",
    "Your gradient is not a number: a square root of the squared distance has no derivative at 0, which is the "
    "distance of a code from itself. The kernel needs the squared distance, so no root at all.",
    "the line that computes distances",
    tentative=True,
)


class Matrices(NamedTuple):
    """Kernel values within x, within y and across, self-pairs included: (N, N), (M, M), (N, M)."""

    xx: torch.Tensor
    yy: torch.Tensor
    xy: torch.Tensor


Kernel = Callable[[torch.Tensor, torch.Tensor, Sequence[float]], torch.Tensor]


def _of_squared(function: Callable[[torch.Tensor, Sequence[float]], torch.Tensor]) -> Kernel:
    """A kernel of the squared distance."""
    return lambda a, b, widths: function(squared_distances(a, b), widths)


def _summed(function: Callable[[torch.Tensor, float], torch.Tensor]) -> Kernel:
    """The sum over s of a kernel of the squared distance and s."""
    return _of_squared(lambda q, widths: torch.stack([function(q, s) for s in widths]).sum(0))


def _over_features(reduce: Callable[[torch.Tensor], torch.Tensor]) -> Kernel:
    """The right kernel of something else than the squared distance: `reduce` maps differences (N, M, D) to (N, M)."""
    return lambda a, b, widths: gaussian_kernels(reduce(a[:, None] - b[None]), widths)


_RIGHT: Kernel = _of_squared(gaussian_kernels)
_NO_SQUARE = "The kernel takes the distance where it needs the squared distance."
_NO_SQUARED_WIDTH = "The bandwidth is not squared: s has the unit of a distance, and |a - b|^2 / s^2 must have none."
_TWO = "The factor 2 in 2 s^2 is missing or in another place."
_GAMMA = "You multiply by the bandwidth where you should divide: a wider kernel falls off more slowly."
_ONE_WIDTH = "Only one of the bandwidths counts: the kernel is the sum over all of them."
_DENSITY = (
    "You use the density of a Gaussian; the kernel has no factor in front, so that a code is 1 similar to itself."
)
_IGNORED = "Your kernel takes no bandwidth: it is the sum of one kernel for each of them."
_COPIED = (
    "Your kernel is exp(-mean of the squared differences / D), or one like it, as many published MMD-VAEs copy it: no "
    "bandwidth enters it. Sum the squared differences, and add one kernel for each bandwidth."
)
_NORM = "You take another norm: |a - b|^2 is the sum of the squared differences."
_KERNELS: tuple[tuple[str, str, Kernel], ...] = (
    ("distance_not_squared", _NO_SQUARE, _summed(lambda q, s: torch.exp(-q.sqrt() / (2 * s**2)))),
    ("distance_not_squared", _NO_SQUARE, _summed(lambda q, s: torch.exp(-q.sqrt() / (2 * s)))),
    ("distance_not_squared", _NO_SQUARE, _summed(lambda q, s: torch.exp(-q.sqrt() / s))),
    ("bandwidth_not_squared", _NO_SQUARED_WIDTH, _summed(lambda q, s: torch.exp(-q / (2 * s)))),
    ("bandwidth_not_squared", _NO_SQUARED_WIDTH, _summed(lambda q, s: torch.exp(-q / s))),
    ("factor_two", _TWO, _summed(lambda q, s: torch.exp(-q / s**2))),
    ("factor_two", _TWO, _summed(lambda q, s: torch.exp(-q / (2 * s) ** 2))),
    ("bandwidth_inverted", _GAMMA, _summed(lambda q, s: torch.exp(-q * s))),
    ("bandwidth_inverted", _GAMMA, _summed(lambda q, s: torch.exp(-q * s**2 / 2))),
    ("bandwidth_inverted", _GAMMA, _summed(lambda q, s: torch.exp(-q * s / 2))),
    (
        "mean_over_kernels",
        "You average over the bandwidths; the kernel is their sum.",
        _of_squared(lambda q, widths: gaussian_kernels(q, widths) / len(widths)),
    ),
    ("one_bandwidth", _ONE_WIDTH, _of_squared(lambda q, widths: gaussian_kernels(q, widths[:1]))),
    ("one_bandwidth", _ONE_WIDTH, _of_squared(lambda q, widths: gaussian_kernels(q, widths[-1:]))),
    ("one_bandwidth", _ONE_WIDTH, _of_squared(lambda q, widths: gaussian_kernels(q, [max(widths)]))),
    ("one_bandwidth", _ONE_WIDTH, _of_squared(lambda q, widths: gaussian_kernels(q, [min(widths)]))),
    (
        "mean_bandwidth",
        "You average the bandwidths into one; each has a kernel of its own, and these add up.",
        _of_squared(lambda q, widths: gaussian_kernels(q, [sum(widths) / len(widths)])),
    ),
    (
        "product_of_kernels",
        "The bandwidths meet inside the exponential, which multiplies the kernels; they are added.",
        _of_squared(lambda q, widths: torch.exp(-q * sum(1 / (2 * s**2) for s in widths))),
    ),
    (
        "mean_over_features",
        "You average the squared differences over the dimensions: that is the kernel with a bandwidth sqrt(D) times "
        "as wide. Sum them.",
        _over_features(lambda d: d.square().mean(2)),
    ),
    (
        "mean_over_features",
        "You average the squared differences over the dimensions and divide by their number again. Sum them.",
        _over_features(lambda d: d.square().mean(2) / d.shape[2]),
    ),
    (
        "bandwidths_ignored",
        _COPIED,
        lambda a, b, widths: torch.exp(-(a[:, None] - b[None]).square().mean(2) / a.shape[1]),
    ),
    ("bandwidths_ignored", _COPIED, lambda a, b, widths: torch.exp(-(a[:, None] - b[None]).square().mean(2))),
    ("bandwidths_ignored", _COPIED, lambda a, b, widths: torch.exp(-squared_distances(a, b) / (2 * a.shape[1]))),
    ("bandwidths_ignored", _IGNORED, lambda a, b, widths: torch.exp(-squared_distances(a, b))),
    ("bandwidths_ignored", _IGNORED, lambda a, b, widths: torch.exp(-squared_distances(a, b) / 2)),
    ("sum_not_squared_norm", _NORM, _over_features(lambda d: d.abs().sum(2))),
    ("sum_not_squared_norm", _NORM, _over_features(lambda d: d.abs().sum(2).square())),
    ("sum_not_squared_norm", _NORM, _over_features(lambda d: d.sum(2).square())),
    ("normalised_density", _DENSITY, _summed(lambda q, s: torch.exp(-q / (2 * s**2)) / (s * (2 * torch.pi) ** 0.5))),
    (
        "normalised_density",
        _DENSITY,
        lambda a, b, widths: sum(
            gaussian_kernels(squared_distances(a, b), [s]) / (2 * torch.pi * s**2) ** (a.shape[1] / 2) for s in widths
        ),
    ),
    (
        "another_kernel",
        "Your kernel is the inverse multiquadric; the Gaussian one is asked for.",
        _summed(lambda q, s: 1 / (1 + q / (2 * s**2))),
    ),
    (
        "another_kernel",
        "Your kernel is an inverse multiquadric; the Gaussian one is asked for.",
        _summed(lambda q, s: s**2 / (s**2 + q)),
    ),
    (
        "another_kernel",
        "Your kernel is the inner product, which compares means only; the Gaussian one is asked for.",
        lambda a, b, widths: a @ b.T,
    ),
    (
        "exponent_sign",
        "The sign in the exponential is wrong: far codes are less similar, not more.",
        _summed(lambda q, s: torch.exp(q / (2 * s**2))),
    ),
)
KERNELS: list[tuple[Cause | None, Kernel]] = [(None, _RIGHT), *causes(_KERNEL, _KERNELS)]


def _off(k: torch.Tensor) -> torch.Tensor:
    return mean_off_diagonal(k)


def _right(k: Matrices) -> torch.Tensor:
    return _off(k.xx) + _off(k.yy) - 2 * k.xy.mean()


def _biased(k: Matrices) -> torch.Tensor:
    return k.xx.mean() + k.yy.mean() - 2 * k.xy.mean()


def _pairs(k: torch.Tensor) -> int:
    return len(k) * (len(k) - 1)


def _cross_off(k: torch.Tensor) -> torch.Tensor:
    """Mean of the cross term without the pairs (i, i)."""
    same = min(k.shape)
    return (k.sum() - k.diagonal().sum()) / (k.numel() - same)


_ONE_SIDE = (
    "One of the two means within a sample includes the pairs of a code with itself: leave the diagonal out in both."
)
_WITHIN = "A mean within one of the samples is missing: without it nothing keeps the codes apart from one another."
_SUMS = "You add up kernels where you should average them: the value then depends on how many codes there are."
_ESTIMATES: tuple[tuple[str, str, Callable[[Matrices], torch.Tensor]], ...] = (
    ("biased_one_side", _ONE_SIDE, lambda k: k.xx.mean() + _off(k.yy) - 2 * k.xy.mean()),
    ("biased_one_side", _ONE_SIDE, lambda k: _off(k.xx) + k.yy.mean() - 2 * k.xy.mean()),
    (
        "self_pairs",
        "You divide by n (n - 1) but sum over n^2 pairs: those of a code with itself must be left out of the sum as "
        "well.",
        lambda k: k.xx.sum() / _pairs(k.xx) + k.yy.sum() / _pairs(k.yy) - 2 * k.xy.mean(),
    ),
    (
        "divides_by_n_squared",
        "You leave the self-pairs out of the sum but still divide by n^2; n (n - 1) pairs are left.",
        lambda k: _off(k.xx) * (1 - 1 / len(k.xx)) + _off(k.yy) * (1 - 1 / len(k.yy)) - 2 * k.xy.mean(),
    ),
    (
        "cross_once",
        "The cross term counts once; it counts twice.",
        lambda k: _off(k.xx) + _off(k.yy) - k.xy.mean(),
    ),
    (
        "cross_diagonal",
        "You leave the pairs (i, i) out of the cross term too. x_i and y_i are different codes: only within a sample "
        "is (i, i) a self-pair.",
        lambda k: _off(k.xx) + _off(k.yy) - 2 * _cross_off(k.xy),
    ),
    (
        "cross_added",
        "The cross term is added; it is subtracted: alike samples must give 0.",
        lambda k: _off(k.xx) + _off(k.yy) + 2 * k.xy.mean(),
    ),
    ("within_missing", _WITHIN, lambda k: _off(k.xx) - 2 * k.xy.mean()),
    ("within_missing", _WITHIN, lambda k: _off(k.yy) - 2 * k.xy.mean()),
    ("within_missing", _WITHIN, lambda k: -2 * k.xy.mean()),
    ("within_missing", _WITHIN, lambda k: 2 * _off(k.xx) - 2 * k.xy.mean()),
    ("sums_not_means", _SUMS, lambda k: k.xx.sum() + k.yy.sum() - 2 * k.xy.sum()),
    (
        "sums_not_means",
        _SUMS,
        lambda k: _off(k.xx) * _pairs(k.xx) + _off(k.yy) * _pairs(k.yy) - 2 * k.xy.sum(),
    ),
    (
        "half_of_pairs",
        "You sum each pair once but divide by the number of ordered pairs, n (n - 1): the means within the samples "
        "come out half as large as they are.",
        lambda k: _off(k.xx) / 2 + _off(k.yy) / 2 - 2 * k.xy.mean(),
    ),
    (
        "square_root",
        "You take the square root: MMD^2 itself is asked for. The root has no finite gradient at 0, and is not "
        "unbiased.",
        lambda k: _right(k).clamp_min(0).sqrt(),
    ),
    (
        "square_root",
        "You take the square root, and of the biased estimate: MMD^2 itself is asked for.",
        lambda k: _biased(k).clamp_min(0).sqrt(),
    ),
    ("wrong_sign", "The sign is wrong: MMD^2 grows as the samples move apart.", lambda k: -_right(k)),
    ("halved", "There is a factor of one half too much.", lambda k: _right(k) / 2),
    ("doubled", "There is a factor of two too much.", lambda k: 2 * _right(k)),
)
ESTIMATES: list[Reduction] = [(None, _right), (BIASED, _biased), *causes(_ESTIMATE, _ESTIMATES)]


def _formula(kernel: Kernel) -> Callable[..., Matrices]:
    def matrices(x: torch.Tensor, y: torch.Tensor, widths: torch.Tensor) -> Matrices:
        numbers = widths.tolist()
        return Matrices(kernel(x, x, numbers), kernel(y, y, numbers), kernel(x, y, numbers))

    return matrices


FORMULAS: list[Formula] = [(cause, _formula(kernel)) for cause, kernel in KERNELS]


def match_mmd(probes: Sequence[Probe]) -> Cause | None:
    """The misconception that explains all probes. Arguments of a probe: x, y and the bandwidths as a tensor."""
    return match_loss(probes, FORMULAS, ESTIMATES)


def is_right(came: object, x: torch.Tensor, y: torch.Tensor, widths: Sequence[float]) -> bool:
    """Does `came` agree with the unbiased estimate?"""
    x, y = plain64(x), plain64(y)
    return agrees(came, _right(Matrices(*(_RIGHT(a, b, widths) for a, b in ((x, x), (y, y), (x, y))))))


def name_the_misconception(candidate: Candidate, draw: Draw) -> Cause | None:
    """Samples of different sizes tell most from one another; what is wrong for those alone is named by equal ones."""
    cause = match_mmd(probes_of(candidate, draw, ((5, 3, 2), (4, 7, 3), (3, 6, 4))))
    if cause is not None:
        return cause
    same = probes_of(candidate, draw, ((4, 4, 2), (6, 6, 3), (3, 3, 4)))
    if all(agrees(probe.came, _right(_formula(_RIGHT)(*probe.arguments))) for probe in same):
        unequal = probes_of(candidate, draw, ((5, 3, 2), (3, 6, 4)))
        return None if all(agrees(p.came, _right(_formula(_RIGHT)(*p.arguments))) for p in unequal) else UNEQUAL
    return match_mmd(same)


def probes_of(candidate: Candidate, draw: Draw, sizes: Sequence[tuple[int, int, int]]) -> list[Probe]:
    """Calls with codes far enough apart for a positive value, and bandwidths that no formula confuses."""
    probes = []
    for n, m, dim in sizes:
        x, y = draw.normal(n, dim, scale=0.7), draw.normal(m, dim, scale=0.7)
        y[:, 0] += 3.0
        widths = [draw.number(0.6, 0.9), draw.number(2.3, 2.9), draw.number(1.2, 1.6)]
        try:
            came = candidate(x.clone(), y.clone(), list(widths))
        except Exception:  # what fails on these sizes is no formula of theirs
            came = None
        probes.append(Probe((plain64(x), plain64(y), torch.tensor(widths, dtype=torch.float64)), came))
    return probes
