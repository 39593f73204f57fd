"""Squared maximum mean discrepancy between two sets of codes, for the course's own training and metrics.

MMD^2(p, q) = E k(x, x') + E k(y, y') - 2 E k(x, y) (Gretton et al. 2012, lemma 6). Several bandwidths cost little more
than one: distances are computed once, as a matrix product of centred codes, and the gradient is formed in the same
pass. Rows of the kernel matrix are formed some at a time, so that memory is that of the codes and of these rows.

While a submission is graded nothing here serves the submission (see ``models.closed_forms``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from course_utils.models.closed_forms import not_for_submissions

AT_ONCE_ON_CPU = 2**16  # entries of a kernel matrix formed together: 256 KB in float32 stay in a core's cache
AT_ONCE_ON_GPU = 2**24

Bandwidths = Sequence[float] | Tensor | float


@not_for_submissions
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
    _check_codes(x, 1 if biased else 2, "x")
    _check_codes(y, 1 if biased else 2, "y")
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x is {tuple(x.shape)} and y is {tuple(y.shape)}; expected the same number of columns.")
    if kernel not in KERNELS:
        raise ValueError(f"kernel is {kernel!r}; expected one of {', '.join(KERNELS)}.")
    x, y, widths = _full_precision(x), _full_precision(y), as_floats(bandwidths)
    with _all_digits(x):
        within = _mean_within(x, kernel, widths, biased) + _mean_within(y, kernel, widths, biased)
        centre = y.detach().mean(0)
        across = _kernel_sum(x - centre, y - centre, kernel, widths)
    return (within - (2 / (len(x) * len(y))) * across).to(x.dtype)


@not_for_submissions
def mmd_squared_to_standard_normal(z: Tensor, bandwidths: Bandwidths, *, biased: bool = False) -> Tensor:
    """MMD^2 between codes z (N, D) and N(0, I) itself, Gaussian kernels: no prior sample, so less noise.

    The prior's two terms are ``expected_kernel`` and ``expected_kernel_within``. Otherwise as ``mmd_squared``.
    """
    _check_codes(z, 1 if biased else 2, "z")
    z, widths = _full_precision(z), as_floats(bandwidths)
    with _all_digits(z):
        within, across = _mean_within(z, "gaussian", widths, biased), expected_kernel(z, widths).mean()
    return (within - 2 * across + expected_kernel_within(z.shape[1], widths)).to(z.dtype)


@not_for_submissions
def median_bandwidth(z: Tensor) -> Tensor:
    """Median distance between two different rows of z (N, D), N >= 2, as a 0-dim tensor without a graph.

    The median heuristic (Gretton et al. 2012, section 8) sets the bandwidth there. Holds N (N - 1) / 2 distances.
    """
    _check_codes(z, 2, "z")
    return torch.pdist(_full_precision(z.detach())).median()


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


def expected_kernel_within(dim: int, bandwidths: Bandwidths) -> float:
    """E k(p, p') over independent p, p' ~ N(0, I) in ``dim`` dimensions: the sum of (s^2 / (s^2 + 2))^(dim/2)."""
    return sum(math.exp(-0.5 * dim * math.log1p(2 / s**2)) for s in as_floats(bandwidths))


def prior_bandwidths(dim: int) -> tuple[float, ...]:
    """Five scales for comparing codes with N(0, I): 1/4, 1/2, 1, 2 and 4 times sqrt(2 dim), the typical distance of
    two draws. Narrow enough to see clumps, wide enough to see far outliers, at any dimension."""
    return tuple(math.sqrt(2 * dim) * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0))


def as_floats(bandwidths: Bandwidths) -> list[float]:
    """One or several bandwidths as a list of positive numbers; ValueError for anything else."""
    several = bandwidths.reshape(-1) if isinstance(bandwidths, Tensor) else bandwidths
    try:
        values = [float(s) for s in several]
    except TypeError:
        values = [float(bandwidths)]
    if not values or any(not 0 < s < math.inf for s in values):
        raise ValueError(f"bandwidths is {bandwidths}; expected one or more positive numbers.")
    return values


# A kernel takes q = |a - b|^2 / 2 of many pairs and gives the sum of k over the bandwidths and the pairs and, if it is
# wanted, -dk/dq of each pair. inf stands for a pair that does not count.


def _gaussian(q: Tensor, bandwidths: list[float], want_slope: bool) -> tuple[Tensor, Tensor | None]:
    """exp(-q / s^2), as powers of 2: torch.exp2 is faster than torch.exp, by far so where the result is denormal."""
    total, slope = _zero(q), torch.zeros_like(q) if want_slope else None
    k, wider = torch.empty_like(q), math.inf
    for s in sorted(bandwidths, reverse=True):
        if wider == 2 * s:
            k.square_().square_()
        else:
            torch.mul(q, -math.log2(math.e) / s**2, out=k).exp2_()
        wider = s
        total += k.sum()
        if slope is not None:
            slope.add_(k, alpha=1 / s**2)
    return total, slope


def _inverse_multiquadric(q: Tensor, bandwidths: list[float], want_slope: bool) -> tuple[Tensor, Tensor | None]:
    """1 / (1 + q / s^2)."""
    total, slope = _zero(q), torch.zeros_like(q) if want_slope else None
    k = torch.empty_like(q)
    for s in bandwidths:
        torch.mul(q, 1 / s**2, out=k).add_(1).reciprocal_()
        total += k.sum()
        if slope is not None:
            slope.addcmul_(k, k, value=1 / s**2)
    return total, slope


def _zero(q: Tensor) -> Tensor:
    """Where sums are added up: in double precision, where the device has it."""
    return torch.zeros((), dtype=torch.float32 if q.device.type == "mps" else torch.float64, device=q.device)


KERNELS = {"gaussian": _gaussian, "inverse_multiquadric": _inverse_multiquadric}


class _KernelSum(torch.autograd.Function):
    """Sum of k(a_i, b_j) over all pairs of centred codes a (N, D) and b (M, D); for b None over the pairs i < j of a.
    A scalar in double precision, where the device has it.

    The gradients, in a sum_j slope_ij (b_j - a_i), are there before backward asks for them.
    """

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor | None, kernel, widths: list[float], want_a: bool, want_b: bool) -> Tensor:
        one_sample = b is None
        half_norms_a = torch.linalg.vecdot(a, a).mul_(0.5)
        b, half_norms_b = (a, half_norms_a) if one_sample else (b, torch.linalg.vecdot(b, b).mul_(0.5))
        gradient_a = torch.zeros_like(a) if want_a else None
        gradient_b = gradient_a if one_sample else torch.zeros_like(b) if want_b else None
        count = max(1, (AT_ONCE_ON_CPU if a.device.type == "cpu" else AT_ONCE_ON_GPU) // len(b))
        total = 0.0
        for start in range(0, len(a), count):
            rows, columns = slice(start, start + count), slice(start if one_sample else 0, None)
            some_a, some_b = a[rows], b[columns]
            q = torch.add(half_norms_a[rows, None], half_norms_b[columns]).addmm_(some_a, some_b.T, alpha=-1)
            q.clamp_(min=0)  # rounding must not lift a kernel above its maximum
            if one_sample:
                q[:, : len(some_a)].masked_fill_(q.new_ones(len(q), len(q), dtype=torch.bool).tril_(), math.inf)
            value, slope = kernel(q, widths, want_a or want_b)
            total = total + value
            if gradient_a is not None:
                gradient_a[rows].addmm_(slope, some_b).addcmul_(slope.sum(1)[:, None], some_a, value=-1)
            if gradient_b is not None:
                gradient_b[columns].addmm_(slope.T, some_a).addcmul_(slope.sum(0)[:, None], some_b, value=-1)
        ctx.save_for_backward(gradient_a, None if one_sample else gradient_b)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream: Tensor):
        return *(None if gradient is None else gradient * upstream for gradient in ctx.saved_tensors), *[None] * 4


def _kernel_sum(a: Tensor, b: Tensor | None, kernel: str, widths: list[float]) -> Tensor:
    graph = torch.is_grad_enabled()
    want_a, want_b = graph and a.requires_grad, graph and b is not None and b.requires_grad
    return _KernelSum.apply(a, b, KERNELS[kernel], widths, want_a, want_b)


def _mean_within(codes: Tensor, kernel: str, widths: list[float], biased: bool) -> Tensor:
    """Mean of k over the pairs of one sample, centred on its own mean: so a gap between two samples costs no digits."""
    n = len(codes)
    half = _kernel_sum(codes - codes.detach().mean(0), None, kernel, widths)
    return half * (2 / n**2) + len(widths) / n if biased else half * (2 / (n * (n - 1)))


def _all_digits(codes: Tensor) -> torch.autocast:
    """No mixed precision in here: differences of kernels need all digits."""
    return torch.autocast(codes.device.type, enabled=False)


def _full_precision(codes: Tensor) -> Tensor:
    return codes.float() if codes.dtype in (torch.float16, torch.bfloat16) else codes


def _check_codes(codes: Tensor, least: int, name: str) -> None:
    if not isinstance(codes, Tensor) or codes.ndim != 2 or not codes.is_floating_point():
        given = f"{codes.dtype} {tuple(codes.shape)}" if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(f"{name} is {given}; expected a floating-point tensor (N, D).")
    if len(codes) < least:
        raise ValueError(f"{name} has {len(codes)} row{'s' * (len(codes) != 1)}; expected at least {least}.")
