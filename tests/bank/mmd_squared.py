"""Unbiased estimate of MMD^2 under the sum of Gaussian kernels."""

from __future__ import annotations

import math

import torch

from .entries import Bank

BANK = Bank("mmd_squared")


def squared(a, b):
    return (a[:, None] - b[None]).pow(2).sum(2)


def kernel(a, b, widths):
    return sum(torch.exp(-squared(a, b) / (2 * s**2)) for s in widths)


def refuse(x, y):
    if len(x) < 2 or len(y) < 2:
        raise ValueError(f"samples of {len(x)} and {len(y)} codes; expected at least 2 each")


def off(k):
    n = len(k)
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))


def unbiased(xx, yy, xy):
    return off(xx) + off(yy) - 2 * xy.mean()


def put_together(k, estimate, *, refusing=True):
    def function(x, y, bandwidths):
        if refusing:
            refuse(x, y)
        return estimate(k(x, x, bandwidths), k(y, y, bandwidths), k(x, y, bandwidths))

    return function


def each(function):
    """Kernel: the sum over s of a function of squared distance and s."""
    return lambda a, b, widths: sum(function(squared(a, b), s) for s in widths)


def safe_root(q):
    return (q + 1e-12).sqrt()


# wrong kernels, right estimate
for name, about, cause, k in (
    (
        "distance_not_squared",
        "exp(-|a-b| / (2 s^2))",
        "distance_not_squared",
        each(lambda q, s: torch.exp(-safe_root(q) / (2 * s**2))),
    ),
    ("laplace", "exp(-|a-b| / s)", "distance_not_squared", each(lambda q, s: torch.exp(-safe_root(q) / s))),
    (
        "cdist_not_squared",
        "torch.cdist is the distance",
        "distance_not_squared",
        lambda a, b, w: sum(torch.exp(-torch.cdist(a, b) / (2 * s**2)) for s in w),
    ),
    (
        "bandwidth_not_squared",
        "exp(-|a-b|^2 / (2 s))",
        "bandwidth_not_squared",
        each(lambda q, s: torch.exp(-q / (2 * s))),
    ),
    ("bandwidth_is_variance", "exp(-|a-b|^2 / s)", "bandwidth_not_squared", each(lambda q, s: torch.exp(-q / s))),
    ("no_two", "exp(-|a-b|^2 / s^2)", "factor_two", each(lambda q, s: torch.exp(-q / s**2))),
    ("two_squared", "exp(-|a-b|^2 / (2 s)^2)", "factor_two", each(lambda q, s: torch.exp(-q / (2 * s) ** 2))),
    ("gamma", "exp(-s |a-b|^2)", "bandwidth_inverted", each(lambda q, s: torch.exp(-q * s))),
    ("precedence", "/ 2 * s**2 without parentheses", "bandwidth_inverted", each(lambda q, s: torch.exp(-q / 2 * s**2))),
    ("mean_over_kernels", "average over bandwidths", "mean_over_kernels", lambda a, b, w: kernel(a, b, w) / len(w)),
    ("first_bandwidth", "only the first", "one_bandwidth", lambda a, b, w: kernel(a, b, w[:1])),
    ("last_bandwidth", "loop overwrites", "one_bandwidth", lambda a, b, w: [kernel(a, b, [s]) for s in w][-1]),
    (
        "mean_bandwidth",
        "one kernel at the mean bandwidth",
        "mean_bandwidth",
        lambda a, b, w: kernel(a, b, [sum(w) / len(w)]),
    ),
    ("product", "kernels multiplied", "product_of_kernels", lambda a, b, w: math.prod(kernel(a, b, [s]) for s in w)),
    (
        "mean_over_features",
        "mean over dimensions",
        "mean_over_features",
        lambda a, b, w: sum(torch.exp(-(a[:, None] - b[None]).pow(2).mean(2) / (2 * s**2)) for s in w),
    ),
    (
        "copied_kernel",
        "mean over dimensions, divided by their number",
        "mean_over_features",
        lambda a, b, w: sum(torch.exp(-(a[:, None] - b[None]).pow(2).mean(2) / a.shape[1] / (2 * s**2)) for s in w),
    ),
    (
        "absolute_sum",
        "L1 distance squared",
        "sum_not_squared_norm",
        lambda a, b, w: sum(torch.exp(-((a[:, None] - b[None]).abs().sum(2) ** 2) / (2 * s**2)) for s in w),
    ),
    (
        "summed_then_squared",
        "differences summed, then squared",
        "sum_not_squared_norm",
        lambda a, b, w: sum(torch.exp(-((a[:, None] - b[None]).sum(2) ** 2) / (2 * s**2)) for s in w),
    ),
    (
        "density",
        "Gaussian density",
        "normalised_density",
        each(lambda q, s: torch.exp(-q / (2 * s**2)) / (s * math.sqrt(2 * math.pi))),
    ),
    (
        "published_kernel",
        "exp(-mean of squares / D), without bandwidths",
        "bandwidths_ignored",
        lambda a, b, w: torch.exp(-(a[:, None] - b[None]).pow(2).mean(2) / a.shape[1]),
    ),
    ("no_bandwidth", "exp(-d^2)", "bandwidths_ignored", lambda a, b, w: torch.exp(-squared(a, b))),
    ("multiquadric", "inverse multiquadric", "another_kernel", each(lambda q, s: 1 / (1 + q / (2 * s**2)))),
    ("linear", "inner product", "another_kernel", lambda a, b, w: a @ b.T),
    ("minus_forgotten", "exp(+...)", "exponent_sign", each(lambda q, s: torch.exp((q / (2 * s**2)).clamp_max(80)))),
    ("first_dimension", "first dimension only", None, lambda a, b, w: kernel(a[:, :1], b[:, :1], w)),
    (
        "cosine",
        "codes normalised first",
        None,
        lambda a, b, w: kernel(a / (a.norm(dim=1, keepdim=True) + 1e-6), b / (b.norm(dim=1, keepdim=True) + 1e-6), w),
    ),
    ("kernel_floor", "kernel plus epsilon", None, lambda a, b, w: kernel(a, b, w).clamp_min(0.02)),
    (
        "distance_capped",
        "squared distance at most 100",
        None,
        each(lambda q, s: torch.exp(-q.clamp_max(100) / (2 * s**2))),
    ),
):
    BANK.formula(name, about, put_together(k, unbiased), cause)

# right kernel, wrong estimates
for name, about, cause, estimate in (
    ("biased", "diagonals kept", "biased", lambda xx, yy, xy: xx.mean() + yy.mean() - 2 * xy.mean()),
    ("biased_in_x", "diagonal kept in x", "biased_one_side", lambda xx, yy, xy: xx.mean() + off(yy) - 2 * xy.mean()),
    ("biased_in_y", "diagonal kept in y", "biased_one_side", lambda xx, yy, xy: off(xx) + yy.mean() - 2 * xy.mean()),
    (
        "self_pairs",
        "n (n-1) below a sum with the diagonal",
        "self_pairs",
        lambda xx, yy, xy: xx.sum() / (len(xx) * (len(xx) - 1)) + yy.sum() / (len(yy) * (len(yy) - 1)) - 2 * xy.mean(),
    ),
    (
        "n_squared",
        "n^2 below a sum without the diagonal",
        "divides_by_n_squared",
        lambda xx, yy, xy: (xx - xx.diag().diag()).mean() + (yy - yy.diag().diag()).mean() - 2 * xy.mean(),
    ),
    ("cross_once", "cross term once", "cross_once", lambda xx, yy, xy: off(xx) + off(yy) - xy.mean()),
    ("cross_added", "cross term added", "cross_added", lambda xx, yy, xy: off(xx) + off(yy) + 2 * xy.mean()),
    (
        "cross_off_diagonal",
        "diagonal left out of the cross term",
        "cross_diagonal",
        lambda xx, yy, xy: off(xx) + off(yy) - 2 * (xy.sum() - xy.diagonal().sum()) / (xy.numel() - min(xy.shape)),
    ),
    (
        "cross_off_diagonal_square",
        "the same, for equal sizes only",
        "cross_diagonal",
        lambda xx, yy, xy: off(xx) + off(yy) - 2 * off(xy) if len(xx) == len(yy) else xy.diagonal() + xx[0],
    ),
    ("no_y", "constant of the prior dropped", "within_missing", lambda xx, yy, xy: off(xx) - 2 * xy.mean()),
    ("cross_only", "cross term alone", "within_missing", lambda xx, yy, xy: -2 * xy.mean()),
    ("x_twice", "copied line", "within_missing", lambda xx, yy, xy: off(xx) + off(xx) - 2 * xy.mean()),
    ("sums", "sums for means", "sums_not_means", lambda xx, yy, xy: xx.sum() + yy.sum() - 2 * xy.sum()),
    (
        "upper_triangle",
        "each pair once over n (n-1)",
        "half_of_pairs",
        lambda xx, yy, xy: off(xx) / 2 + off(yy) / 2 - 2 * xy.mean(),
    ),
    ("root", "square root", "square_root", lambda xx, yy, xy: unbiased(xx, yy, xy).clamp_min(1e-12).sqrt()),
    ("clamped", "relu at the end", "clamped", lambda xx, yy, xy: unbiased(xx, yy, xy).clamp_min(0)),
    ("absolute", "abs at the end", "absolute", lambda xx, yy, xy: unbiased(xx, yy, xy).abs()),
    ("negative", "sign turned", "wrong_sign", lambda xx, yy, xy: -unbiased(xx, yy, xy)),
    ("halved", "half", "halved", lambda xx, yy, xy: unbiased(xx, yy, xy) / 2),
    ("number", "loss.item()", "python_number", lambda xx, yy, xy: unbiased(xx, yy, xy).item()),
    ("detached", "detached at the end", "detached", lambda xx, yy, xy: unbiased(xx, yy, xy).detach()),
    ("matrix", "not averaged", "not_scalar", lambda xx, yy, xy: xx[:2, :2] + yy[:2, :2] - 2 * xy[:2, :2]),
    ("median_of_cross", "median of the cross term", None, lambda xx, yy, xy: off(xx) + off(yy) - 2 * xy.median()),
    (
        "equal_sizes",
        "one mean of xx + yy - 2 xy",
        "unequal_sizes",
        lambda xx, yy, xy: off(xx) + off(yy) - 2 * xy.sum() / (len(xx) * len(xx)),
    ),
    (
        "equal_sizes_raises",
        "adds matrices of different sizes",
        "unequal_sizes",
        lambda xx, yy, xy: (xx + yy).mul(1 - torch.eye(len(xx))).sum() / (len(xx) * (len(xx) - 1)) - 2 * xy.mean(),
    ),
):
    varies = "rounding decides which of several nearly equal values is the median" if name == "median_of_cross" else ""
    BANK.formula(name, about, put_together(kernel, estimate), cause, varies)

BANK.formula("no_refusal", "nan for one code", put_together(kernel, unbiased, refusing=False), "no_refusal")


@BANK.wrong("assert for a ValueError", "other_exception")
def asserts(x, y, bandwidths):
    assert len(x) > 1 and len(y) > 1
    return put_together(kernel, unbiased)(x, y, bandwidths)


@BANK.wrong("refuses a small x only", "no_refusal")
def refuses_x_only(x, y, bandwidths):
    refuse(x, x)
    return put_together(kernel, unbiased, refusing=False)(x, y, bandwidths)


@BANK.wrong("0 for samples that are too small", "no_refusal")
def zero_if_small(x, y, bandwidths):
    if len(x) < 2 or len(y) < 2:
        return x.sum() * 0
    return put_together(kernel, unbiased)(x, y, bandwidths)


@BANK.wrong("x detached", "detached_x")
def x_detached(x, y, bandwidths):
    return put_together(kernel, unbiased)(x.detach(), y, bandwidths)


@BANK.wrong("y detached", "detached_y")
def y_detached(x, y, bandwidths):
    return put_together(kernel, unbiased)(x, y.detach(), bandwidths)


@BANK.wrong("x detached in the cross term", "detached_part")
def cross_detached(x, y, bandwidths):
    refuse(x, y)
    across = kernel(x.detach(), y, bandwidths).mean()
    return off(kernel(x, x, bandwidths)) + off(kernel(y, y, bandwidths)) - 2 * across


@BANK.wrong("one side of each pair detached", "detached_part")
def half_detached(x, y, bandwidths):
    refuse(x, y)
    return unbiased(kernel(x, x.detach(), bandwidths), kernel(y, y.detach(), bandwidths), kernel(x, y, bandwidths))


@BANK.wrong("root of zero squared again", "square_root_of_zero")
def root_then_square(x, y, bandwidths):
    refuse(x, y)

    def k(a, b):
        return sum(torch.exp(-(squared(a, b).sqrt() ** 2) / (2 * s**2)) for s in bandwidths)

    return unbiased(k(x, x), k(y, y), k(x, y))


@BANK.wrong("each sample centred on its own mean")
def centred_apart(x, y, bandwidths):
    return put_together(kernel, unbiased)(x - x.mean(0), y - y.mean(0), bandwidths)


@BANK.wrong("both standardised by x")
def standardised(x, y, bandwidths):
    centre, scale = x.mean(0), x.std(0) + 1e-3
    return put_together(kernel, unbiased)((x - centre) / scale, (y - centre) / scale, bandwidths)


@BANK.wrong("arguments centred in place", "changes_arguments")
def centred_in_place(x, y, bandwidths):
    refuse(x, y)
    with torch.no_grad():
        centre = y.mean(0)
        x.sub_(centre)
        y.sub_(centre)
    return put_together(kernel, unbiased)(x, y, bandwidths)


@BANK.wrong("linear-time estimate: neighbouring rows only")
def linear_time(x, y, bandwidths):
    refuse(x, y)
    n = min(len(x), len(y)) // 2 * 2
    a, b, c, d = x[0:n:2], x[1:n:2], y[0:n:2], y[1:n:2]

    def k(p, q):
        return sum(torch.exp(-(p - q).pow(2).sum(1) / (2 * s**2)) for s in bandwidths)

    return (k(a, b) + k(c, d) - k(a, d) - k(b, c)).mean()


@BANK.wrong("a random subset of 32 codes", "random")
def subsampled(x, y, bandwidths):
    refuse(x, y)
    return put_together(kernel, unbiased)(x[torch.randperm(len(x))[:32]], y[torch.randperm(len(y))[:32]], bandwidths)


@BANK.wrong("the first 100 codes", "few_codes")
def first_hundred(x, y, bandwidths):
    refuse(x, y)
    return put_together(kernel, unbiased)(x[:100], y[:100], bandwidths)


@BANK.wrong("at most four bandwidths", "few_bandwidths")
def four_bandwidths(x, y, bandwidths):
    refuse(x, y)
    return put_together(kernel, unbiased)(x, y, bandwidths[:4])


@BANK.wrong("bandwidths scaled for codes of many dimensions")
def scaled_in_many_dimensions(x, y, bandwidths):
    refuse(x, y)
    factor = x.shape[1] ** 0.5 if x.shape[1] > 20 else 1.0
    return put_together(kernel, unbiased)(x, y, [factor * s for s in bandwidths])


@BANK.right("as in the text")
def plain(x, y, bandwidths):
    if len(x) < 2 or len(y) < 2:
        raise ValueError("expected at least two codes in each sample")
    total = 0.0
    for a, b in ((x, x), (y, y)):
        k = kernel(a, b, bandwidths)
        total = total + (k.sum() - k.trace()) / (len(a) * (len(a) - 1))
    return total - 2 * kernel(x, y, bandwidths).mean()


@BANK.right("Gram form, centred, bandwidths as a tensor")
def gram(x, y, bandwidths):
    refuse(x, y)
    centre = y.mean(0).detach()
    x, y = x - centre, y - centre
    s = torch.as_tensor(bandwidths, dtype=x.dtype, device=x.device)[:, None, None]

    def k(a, b):
        q = a.pow(2).sum(1)[:, None] + b.pow(2).sum(1)[None] - 2 * a @ b.T
        return torch.exp(-q / (2 * s**2)).sum(0)

    n, m = len(x), len(y)
    within = k(x, x).fill_diagonal_(0).sum() / (n * (n - 1)) + k(y, y).fill_diagonal_(0).sum() / (m * (m - 1))
    return within - 2 * k(x, y).mean()


@BANK.right("torch.cdist, squared")
def cdist(x, y, bandwidths):
    refuse(x, y)

    def k(a, b):
        q = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
        return torch.stack([(-q / (2 * s * s)).exp() for s in bandwidths]).sum(0)

    xx, yy, xy = k(x, x), k(y, y), k(x, y)
    off_x, off_y = (~torch.eye(len(z), dtype=torch.bool, device=z.device) for z in (x, y))
    return xx[off_x].mean() + yy[off_y].mean() - 2 * xy.mean()


@BANK.right("torch.cdist as it comes, one column for the result")
def cdist_default(x, y, bandwidths):
    refuse(x, y)

    def mean(q, count):
        return sum(torch.exp(-q / (2 * s**2)).sum() for s in bandwidths) / count

    n, m = x.size(0), y.size(0)
    own = mean(torch.cdist(x, x) ** 2, 1) - n * len(bandwidths), mean(torch.cdist(y, y) ** 2, 1) - m * len(bandwidths)
    return own[0] / (n * (n - 1)) + own[1] / (m * (m - 1)) - 2 * mean(torch.cdist(x, y) ** 2, n * m)


@BANK.right("torch.pdist: each pair once")
def pdist(x, y, bandwidths):
    if min(x.shape[0], y.shape[0]) < 2:
        raise ValueError("too few codes")
    total = 0
    for s in bandwidths:
        g = 1 / (2 * s**2)
        within = [torch.exp(-g * torch.pdist(z).pow(2)).mean() for z in (x, y)]
        total = total + sum(within) - 2 * torch.exp(-g * squared(x, y)).mean()
    return total


@BANK.right("broadcast expand with three axes")
def expand(x, y, bandwidths):
    refuse(x, y)

    def k(a, b):
        n, m, d = a.size(0), b.size(0), a.size(1)
        difference = a.view(n, 1, d).expand(n, m, d) - b.view(1, m, d).expand(n, m, d)
        q = torch.einsum("nmd,nmd->nm", difference, difference)
        return sum(torch.exp(-q / 2 / s**2) for s in bandwidths)

    xx, yy = k(x, x).tril(-1), k(y, y).triu(1)
    return 2 * xx.sum() / len(x) / (len(x) - 1) + 2 * yy.sum() / len(y) / (len(y) - 1) - 2 * k(x, y).mean()


@BANK.right("loops over bandwidths and rows")
def loops(x, y, bandwidths):
    refuse(x, y)
    total = x.new_zeros(())
    for s in bandwidths:
        for z in (x, y):
            for i in range(len(z)):
                others = torch.cat([z[:i], z[i + 1 :]])
                total = total + torch.exp(-(others - z[i]).pow(2).sum(1) / (2 * s**2)).sum() / (len(z) * (len(z) - 1))
        for row in x:
            total = total - 2 * torch.exp(-(y - row).pow(2).sum(1) / (2 * s**2)).sum() / (len(x) * len(y))
    return total


@BANK.right("a loop over every pair")
def pair_loops(x, y, bandwidths):
    refuse(x, y)

    def k(a, b):
        q = (a - b) @ (a - b)
        return sum((-q / (2 * s**2)).exp() for s in bandwidths)

    total = 0
    for z in (x, y):
        n = len(z)
        total = total + 2 * sum(k(z[i], z[j]) for i in range(n) for j in range(i)) / (n * (n - 1))
    return total - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


@BANK.right("one kernel matrix of both samples together")
def joined(x, y, bandwidths):
    n, m = len(x), len(y)
    if n < 2 or m < 2:
        raise ValueError
    both = torch.cat([x, y])
    k = kernel(both, both, bandwidths)
    weight = torch.cat([torch.full((n,), 1 / n), torch.full((m,), -1 / m)]).to(k)
    outer = weight[:, None] * weight[None]
    outer[:n, :n] = 1 / (n * (n - 1))
    outer[n:, n:] = 1 / (m * (m - 1))
    outer.fill_diagonal_(0)
    return (outer * k).sum()


@BANK.right("float64 inside")
def double(x, y, bandwidths):
    return put_together(kernel, unbiased)(x.double(), y.double(), [float(s) for s in bandwidths]).to(x.dtype)


@BANK.right("NumPy numbers for the bandwidths, log-sum-exp for the means")
def logsumexp(x, y, bandwidths):
    refuse(x, y)
    s = torch.tensor(list(bandwidths), dtype=torch.float64).to(x)

    def log_sum(q, skip):
        exponents = -q[None] / (2 * s.view(-1, 1, 1) ** 2)
        if skip:
            exponents = exponents.masked_fill(torch.eye(len(q), dtype=torch.bool, device=q.device), -float("inf"))
        return exponents.flatten().logsumexp(0).exp()

    n, m = len(x), len(y)
    return (
        log_sum(squared(x, x), True) / (n * (n - 1))
        + log_sum(squared(y, y), True) / (m * (m - 1))
        - 2 * log_sum(squared(x, y), False) / (n * m)
    )


@BANK.wrong("the published MMD-VAE loss: exp(-mean of squares / D), biased", "bandwidths_ignored+biased")
def published(x, y, bandwidths):
    refuse(x, y)
    k = [torch.exp(-(a[:, None] - b[None]).pow(2).mean(2) / x.shape[1]) for a, b in ((x, x), (y, y), (x, y))]
    return k[0].mean() + k[1].mean() - 2 * k[2].mean()


@BANK.wrong("of shape (1,)", "one_axis_too_many")
def one_axis_too_many(x, y, bandwidths):
    return put_together(kernel, unbiased)(x, y, bandwidths).reshape(1)


@BANK.wrong("IndexError for a single code", "other_exception")
def other_exception(x, y, bandwidths):
    if min(len(x), len(y)) < 2:
        raise IndexError("too few codes")
    return put_together(kernel, unbiased)(x, y, bandwidths)
