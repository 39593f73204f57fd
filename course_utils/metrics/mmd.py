"""Squared maximum mean discrepancy between two sets of codes, for the course's own training and metrics.

MMD^2(p, q) = E k(x, x') + E k(y, y') - 2 E k(x, y) (Gretton et al. 2012, lemma 6). Several bandwidths cost little more
than one: distances are computed once, as a matrix product of centred codes; where one kernel is a power of another it
is squared rather than exponentiated anew; and the gradient is formed in the same pass, while a tile of the kernel
matrix is still in the cache. Memory is that of the codes and of a few tiles.

While a submission is graded nothing here serves the submission (see ``reference``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils.models.closed_forms import not_for_submissions
from course_utils.system.contracts import OneOf, Rows, Whole, same_device, takes

TILE_ON_CPU = 256  # rows and columns: two float32 tiles are 512 KB, which stays in a core's cache
TILE_ON_GPU = 4096
STACKED_ON_CPU = 128  # up to so many codes a side the three kernel matrices are formed at once
STACKED_ON_GPU = 1024
MOST_SQUARINGS = 4  # beyond that a fresh exponential is as cheap

KERNELS = ("gaussian", "inverse_multiquadric")
Bandwidths = Sequence[float] | Tensor | float


_CODES = Rows(finite=False)  # nan gives nan by itself, and to look would make a GPU wait


@not_for_submissions
@takes(x=_CODES, y=_CODES, kernel=OneOf(KERNELS))
def mmd_squared(
    x: Tensor, y: Tensor, bandwidths: Bandwidths, *, biased: bool = False, kernel: str = "gaussian"
) -> Tensor:
    """MMD^2 between x and y under the sum of one kernel per bandwidth.

    Args:
        x: (N, D) codes.
        y: (M, D) codes; N and M may differ.
        bandwidths: s, in the units of the codes; one number or several.
        biased: False leaves i = j out of both within-sample means (Gretton et al. 2012, equation 3): right on average,
            and so sometimes negative. True keeps them (equation 5): never negative beyond rounding, and too large by
            about (1/N + 1/M) times the mean of 1 - k.
        kernel: ``gaussian``, exp(-|a - b|^2 / (2 s^2)), or ``inverse_multiquadric``, 1 / (1 + |a - b|^2 / (2 s^2)),
            which has heavy tails. Tolstikhin et al. 2018 write the latter C / (C + |a - b|^2): C = 2 s^2.

    Returns:
        Scalar of x's dtype (float32 for half precision), differentiable once in x and in y.

    Raises:
        ValueError: x or y is not (N, D) with the same D, has fewer than two rows (one, if biased), or is not floating
            point; a bandwidth is not a positive number; the kernel is unknown.
    """
    for name, codes in (("x", x), ("y", y)):
        Rows(1 if biased else 2, finite=False).take(name, codes)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x is {tuple(x.shape)} and y is {tuple(y.shape)}; expected the same number of columns.")
    same_device(x, y, "x", "y")
    dtype = torch.promote_types(x.dtype, y.dtype)
    return _discrepancy(x.to(dtype), y.to(dtype), _make_kernel(kernel, bandwidths), biased)


@not_for_submissions
@takes(z=_CODES)
def mmd_squared_to_standard_normal(z: Tensor, bandwidths: Bandwidths, *, biased: bool = False) -> Tensor:
    """MMD^2 between codes z (N, D) and N(0, I) itself, Gaussian kernels: no prior sample, so less noise.

    The prior's two terms are ``expected_kernel`` and ``expected_kernel_within``. Otherwise as ``mmd_squared``.
    """
    Rows(1 if biased else 2, finite=False).take("z", z)
    within = _discrepancy(z, None, _make_kernel("gaussian", bandwidths), biased)
    across = expected_kernel(z, bandwidths).mean()
    return within - 2 * across + expected_kernel_within(z.shape[1], bandwidths)


@not_for_submissions
@takes(z=Rows(2, finite=False))
def median_bandwidth(z: Tensor) -> Tensor:
    """Median distance between two different rows of z (N, D), N >= 2, as a 0-dim tensor without a graph.

    The median heuristic (Gretton et al. 2012, section 8) sets the bandwidth there. Holds N (N - 1) / 2 distances.
    """
    return torch.pdist(_full_precision(z.detach())).median()


@takes(z=_CODES)
def expected_kernel(z: Tensor, bandwidths: Bandwidths) -> Tensor:
    """E k(z_i, p) over p ~ N(0, I) for the sum of Gaussian kernels: (N, D) -> (N,).

    A Gaussian integral: (s^2 / (s^2 + 1))^(D/2) exp(-|z|^2 / (2 (s^2 + 1))) for each s.
    """
    squared_norm = _full_precision(z).square().sum(1)
    terms = [
        math.exp(-0.5 * z.shape[1] * math.log1p(1 / s**2)) * torch.exp(squared_norm / (-2 * (s**2 + 1)))
        for s in as_floats(bandwidths)
    ]
    return torch.stack(terms).sum(0)


@takes(dim=Whole(1))
def expected_kernel_within(dim: int, bandwidths: Bandwidths) -> float:
    """E k(p, p') over independent p, p' ~ N(0, I) in ``dim`` dimensions: the sum of (s^2 / (s^2 + 2))^(dim/2)."""
    return sum(math.exp(-0.5 * dim * math.log1p(2 / s**2)) for s in as_floats(bandwidths))


@takes(dim=Whole(1))
def prior_bandwidths(dim: int) -> tuple[float, ...]:
    """Five scales for comparing codes with N(0, I): 1/4, 1/2, 1, 2 and 4 times sqrt(2 dim), the typical distance of
    two draws. Narrow enough to see clumps, wide enough to see far outliers, at any dimension."""
    return tuple(math.sqrt(2 * dim) * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0))


# A kernel is a function of q = |a - b|^2 / 2. Called on a tile (or a stack of them) that holds -q * rate, which it may
# overwrite, it returns each tile's sum and, if wanted, slope = -dk/dq, so that the gradient of k(a, b) in a is
# -slope * (a - b).


class _Scratch:
    """Memory that one tile after another is written to: fresh pages for each would cost more than the arithmetic."""

    def __init__(self) -> None:
        self._memory: Tensor | None = None

    def shaped(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """A contiguous tensor of this shape, with anything in it; it takes the place of the one given before."""
        count = math.prod(shape)
        if self._memory is None or len(self._memory) < count:
            self._memory = like.new_empty(count)
        return self._memory[:count].view(shape)


class _Gaussian:
    """Sum of exp(-q / s^2), by way of powers of 2: torch.exp2 is four times as fast as torch.exp, and where the result
    is a denormal number thirty times."""

    def __init__(self, bandwidths: list[float]) -> None:
        widest_first = sorted(bandwidths, reverse=True)
        self.size = len(widest_first)
        self.rate = math.log2(math.e) / widest_first[0] ** 2
        self.inverse = [1 / s**2 for s in widest_first]
        self.squarings = [_squarings(wide, s) for wide, s in pairwise(widest_first)]
        self.keep_tile = None in self.squarings
        self.tiles, self.slopes = _Scratch(), _Scratch()

    def __call__(self, tile: Tensor, want_slope: bool) -> tuple[Tensor, Tensor | None]:
        k = tile.exp2() if self.keep_tile else tile.exp2_()
        total = k.sum((-2, -1))
        slope = torch.mul(k, self.inverse[0], out=self.slopes.shaped(k.shape, k)) if want_slope else None
        for squarings, inverse in zip(self.squarings, self.inverse[1:], strict=True):
            if squarings is None:
                k = torch.mul(tile, inverse / self.inverse[0], out=k).exp2_()
            else:
                for _ in range(squarings):
                    k.mul_(k)
            total += k.sum((-2, -1))
            if slope is not None:
                slope.add_(k, alpha=inverse)
        return total, slope


class _InverseMultiquadric:
    """Sum of 1 / (1 + q / s^2)."""

    def __init__(self, bandwidths: list[float]) -> None:
        self.size = len(bandwidths)
        self.rate = 1.0
        self.inverse = [1 / s**2 for s in bandwidths]
        self.tiles, self.kernels, self.slopes = _Scratch(), _Scratch(), _Scratch()

    def __call__(self, tile: Tensor, want_slope: bool) -> tuple[Tensor, Tensor | None]:
        k, total = self.kernels.shaped(tile.shape, tile), tile.new_zeros(tile.shape[:-2])
        slope = self.slopes.shaped(tile.shape, tile).zero_() if want_slope else None
        for inverse in self.inverse:
            total += torch.mul(tile, -inverse, out=k).add_(1).reciprocal_().sum((-2, -1))
            if slope is not None:
                slope.addcmul_(k, k, value=inverse)
        return total, slope


class _Part(NamedTuple):
    """As many centred codes as a tile has rows, one a column: so the products with a slope are fastest."""

    with_ones: Tensor  # (D + 1, N): the last row is 1, so that a product with a slope sums the weights as well
    codes: Tensor  # (D, N): the other rows
    offsets: Tensor  # (N,): -|code|^2 / 2 * rate


def _parts(codes: Tensor, centre: Tensor, rate: float) -> list[_Part]:
    count, dim = codes.shape
    with_ones = codes.new_ones(dim + 1, count)
    centred = torch.sub(codes.T, centre[:, None], out=with_ones[:-1])
    offsets = torch.linalg.vecdot(centred, centred, dim=0).mul_(-0.5 * rate)
    size = TILE_ON_CPU if codes.device.type == "cpu" else TILE_ON_GPU
    pieces = zip(with_ones.split(size, 1), centred.split(size, 1), offsets.split(size), strict=True)
    return [_Part(*piece) for piece in pieces]


def _tile(a: _Part, b: _Part, kernel) -> Tensor:
    """-|a_i - b_j|^2 / 2 * rate, as (a_i . b_j) * rate plus both offsets; never above 0, whatever rounding does."""
    tile = kernel.tiles.shaped((len(a.offsets), len(b.offsets)), a.offsets)
    return (
        torch.add(a.offsets[:, None], b.offsets, out=tile).addmm_(a.codes.T, b.codes, alpha=kernel.rate).clamp_max_(0)
    )


def _within(parts: list[_Part], kernel, want_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Sum of k(a_i, a_j) over i != j, and its gradient in a, (D, N). Half of the tiles suffice: they are symmetric."""
    total = _accumulator(parts)
    pulls = _empty_pulls(parts) if want_gradient else None
    for i, a in enumerate(parts):
        tile = _tile(a, a, kernel).fill_diagonal_(-math.inf)
        value, slope = kernel(tile, want_gradient)
        total += value
        if pulls is not None:
            pulls[i].addmm_(a.with_ones, slope)
        for j, b in enumerate(parts[i + 1 :], i + 1):
            value, slope = kernel(_tile(a, b, kernel), want_gradient)
            total += value.mul_(2)
            if pulls is not None:
                pulls[j].addmm_(a.with_ones, slope)
                pulls[i].addmm_(b.with_ones, slope.T)
    return total, _gradient(pulls, parts).mul_(2) if pulls is not None else None


def _across(a: list[_Part], b: list[_Part], kernel, want_a: bool, want_b: bool):
    """Sum of k(a_i, b_j) over all pairs, and its gradients in a and in b, (D, N) and (D, M)."""
    total = _accumulator(a)
    pulls_a = _empty_pulls(a) if want_a else None
    pulls_b = _empty_pulls(b) if want_b else None
    for i, row in enumerate(b):
        for j, column in enumerate(a):
            value, slope = kernel(_tile(row, column, kernel), want_a or want_b)
            total += value
            if pulls_a is not None:
                pulls_a[j].addmm_(row.with_ones, slope)
            if pulls_b is not None:
                pulls_b[i].addmm_(column.with_ones, slope.T)
    return total, _gradient(pulls_a, a) if pulls_a else None, _gradient(pulls_b, b) if pulls_b else None


def _empty_pulls(parts: list[_Part]) -> list[Tensor]:
    return [torch.zeros_like(part.with_ones, memory_format=torch.contiguous_format) for part in parts]


def _gradient(pulls: list[Tensor], parts: list[_Part]) -> Tensor:
    """sum_j slope_ij (b_j - a_i), (D, N), from pulls = [b, 1] @ slope, which are spent."""
    pieces = [pull[:-1].addcmul_(pull[-1], part.codes, value=-1) for pull, part in zip(pulls, parts, strict=True)]
    return torch.cat(pieces, 1)


def _value_and_gradients(x: Tensor, y: Tensor | None, kernel, biased: bool, want_x: bool, want_y: bool):
    """MMD^2 (for y None its first term alone) with the gradients wanted, (N, D) and (M, D).

    Both terms within a sample are centred on that sample's own mean, so that neither a common shift nor a gap between
    the samples costs them digits.
    """
    n, m = len(x), 0 if y is None else len(y)
    if y is not None and n == m <= (STACKED_ON_CPU if x.device.type == "cpu" else STACKED_ON_GPU):
        return _stacked(x, y, kernel, biased, want_x, want_y)
    value, gradient_x = _mean_within(_parts(x, x.mean(0), kernel.rate), n, kernel, biased, want_x)
    if y is None:
        return value, gradient_x.T if want_x else None, None
    centre = y.mean(0)
    a, b = _parts(x, centre, kernel.rate), _parts(y, centre, kernel.rate)
    within_y, gradient_y = _mean_within(b, m, kernel, biased, want_y)
    total, across_x, across_y = _across(a, b, kernel, want_x, want_y)
    weight = -2 / (n * m)
    if want_x:
        gradient_x.add_(across_x, alpha=weight)
    if want_y:
        gradient_y.add_(across_y, alpha=weight)
    value = value + within_y + weight * total
    return value, gradient_x.T if want_x else None, gradient_y.T if want_y else None


def _stacked(x: Tensor, y: Tensor, kernel, biased: bool, want_x: bool, want_y: bool):
    """The same for two small samples of one size, the usual case in training: a third of the calls."""
    n = len(x)
    centre_y = y.mean(0)
    own_x, own_y, across_x = x - x.mean(0), y - centre_y, x - centre_y
    a, b = torch.stack([own_x, own_y, own_y]), torch.stack([own_x, across_x, own_y])  # x with x, y with x, y with y
    offsets_a, offsets_b = (torch.linalg.vecdot(codes, codes).mul_(-0.5 * kernel.rate) for codes in (a, b))
    tiles = torch.add(offsets_a[:, :, None], offsets_b[:, None]).baddbmm_(a, b.mT, alpha=kernel.rate).clamp_max_(0)
    tiles[::2].diagonal(dim1=1, dim2=2).fill_(-math.inf)
    totals, slopes = kernel(tiles, want_x or want_y)
    within, across = 1 / (n * n if biased else n * (n - 1)), -2 / (n * n)
    value = (totals[0] + totals[2] + (2 * n * kernel.size if biased else 0)) * within + totals[1] * across
    gradient_x = gradient_y = None
    if want_x:
        pulls = torch.bmm(slopes[:2].mT, a[:2]).addcmul_(slopes[:2].sum(1)[..., None], b[:2], value=-1)
        gradient_x = pulls[0].mul_(2 * within).add_(pulls[1], alpha=across)
    if want_y:
        pulls = torch.bmm(slopes[1:], b[1:]).addcmul_(slopes[1:].sum(2)[..., None], a[1:], value=-1)
        gradient_y = pulls[1].mul_(2 * within).add_(pulls[0], alpha=across)
    return value, gradient_x, gradient_y


def _mean_within(parts: list[_Part], n: int, kernel, biased: bool, want_gradient: bool):
    total, gradient = _within(parts, kernel, want_gradient)
    weight = 1 / (n * n) if biased else 1 / (n * (n - 1))
    if biased:
        total += n * kernel.size
    return total * weight, gradient.mul_(weight) if gradient is not None else None


class _MMD(torch.autograd.Function):
    """The value, with gradients that are already there when backward asks for them."""

    @staticmethod
    def forward(ctx, x: Tensor, y: Tensor | None, kernel, biased: bool, want_x: bool, want_y: bool) -> Tensor:
        value, gradient_x, gradient_y = _value_and_gradients(x, y, kernel, biased, want_x, want_y)
        ctx.save_for_backward(gradient_x, gradient_y)
        return value.to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor):
        gradient_x, gradient_y = (None if g is None else g * upstream for g in ctx.saved_tensors)
        return gradient_x, gradient_y, None, None, None, None


def _discrepancy(x: Tensor, y: Tensor | None, kernel, biased: bool) -> Tensor:
    x, y = _full_precision(x), None if y is None else _full_precision(y)
    graph = torch.is_grad_enabled()
    with torch.autocast(x.device.type, enabled=False):  # differences of kernels need all digits
        return _MMD.apply(x, y, kernel, biased, graph and x.requires_grad, graph and y is not None and y.requires_grad)


def _make_kernel(name: str, bandwidths: Bandwidths):
    return (_Gaussian if name == "gaussian" else _InverseMultiquadric)(as_floats(bandwidths))


def as_floats(bandwidths: Bandwidths) -> list[float]:
    """One or several bandwidths as a list of positive numbers; ValueError for anything else."""
    several: Any = bandwidths.reshape(-1) if isinstance(bandwidths, Tensor) else bandwidths
    try:
        values = [float(s) for s in (several if isinstance(several, Iterable) else [several])]
    except (TypeError, ValueError):
        values = []
    if not values or any(not 0 < s < math.inf for s in values):
        raise ValueError(f"bandwidths is {bandwidths!r}; expected one or more positive numbers.")
    return values


def _squarings(wide: float, narrow: float) -> int | None:
    """How often the wider Gaussian kernel must be squared to give the narrower one; None if that does not do it."""
    times = math.log2(wide / narrow) * 2
    return round(times) if abs(times - round(times)) < 1e-9 and times < MOST_SQUARINGS + 0.5 else None


def _accumulator(parts: list[_Part]) -> Tensor:
    """A 0 to which the sums of many tiles are added; double precision where the device has it."""
    device = parts[0].offsets.device
    return torch.zeros((), dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


def _full_precision(codes: Tensor) -> Tensor:
    return codes.float() if codes.dtype in (torch.float16, torch.bfloat16) else codes
