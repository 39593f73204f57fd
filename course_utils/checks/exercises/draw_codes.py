"""Laws of `draw_codes(codes, num_codes, kind)`: new codes from the prior, or from what is known of given ones."""

from __future__ import annotations

import math

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import plain64, tensor, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.randomness import T, distance_bound, kolmogorov_distance, mean_bound, mean_square_bounds, product_bound
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check("draw_codes(codes, num_codes, kind)", "(num_codes, D) codes, drawn afresh at every call")
KINDS = ("prior", "axes", "gaussian", "own")
_DRAWS = 8000


@CHECK.law("returns num_codes finite codes of every kind, more or fewer than it was given")
def _shape(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for given, count, d in ((30, 5, 3), (12, 40, 2), (60, 60, 7), (9, 1, 2)):
        codes = _codes(draw, given, d)
        for kind in KINDS:
            _call(candidate, codes, count, kind)


@CHECK.law("'prior': N(0, I), whatever the codes are", weight=2)
def _prior(candidate: Candidate, draw: Draw) -> None:
    """Explicit bounds for 32000 normals (see there): false alarm below 1e-8."""
    _is_noise(plain64(_call(candidate, _codes(draw, 200, 4), _DRAWS, "prior")), "prior")


@CHECK.law("'axes': mean and spread of each dimension, dimensions independent", weight=3)
def _axes(candidate: Candidate, draw: Draw) -> None:
    """Explicit bounds for 32000 normals (see there): false alarm below 1e-8."""
    codes = _codes(draw, 2000, 4)
    known = plain64(codes)
    drawn = plain64(_call(candidate, codes, _DRAWS, "axes"))
    _is_noise((drawn - known.mean(0)) / known.std(0), "axes")


@CHECK.law("'gaussian': mean and full covariance of the codes", weight=3)
def _gaussian(candidate: Candidate, draw: Draw) -> None:
    """Explicit bounds for 32000 normals (see there): false alarm below 1e-8."""
    for d in (4, 2):
        codes = _codes(draw, 2000, d)
        known = plain64(codes)
        root = torch.linalg.cholesky(torch.cov(known.T).reshape(d, d))
        drawn = plain64(_call(candidate, codes, _DRAWS, "gaussian"))
        _is_noise(torch.linalg.solve_triangular(root, (drawn - known.mean(0)).T, upper=False).T, "gaussian")


@CHECK.law("'own': rows of the codes, each as likely as any other, drawn independently", weight=2)
def _own(candidate: Candidate, draw: Draw) -> None:
    """2000 draws of 40 rows: a row comes less than 8 or more than 120 times, or one of 1999 neighbours repeats more
    than 150 times, with a probability below 1e-8 (Chernoff bounds with mean 50)."""
    codes = _codes(draw, 40, 3)
    drawn = plain64(_call(candidate, codes, 2000, "own"))
    distances = torch.cdist(drawn, plain64(codes))
    nearest = distances.argmin(1)
    worst = float(distances.min(1).values.max())
    if worst > 0.02 * float(plain64(codes).abs().max()):
        raise Broken(
            "rows that are codes of the given ones", f"a row that is {show(worst)} away from the nearest", MIXED
        )
    times = torch.bincount(nearest, minlength=40)
    if int(times.min()) < 8 or int(times.max()) > 120:
        raise Broken("each of 40 codes about 50 times in 2000", f"from {int(times.min())} to {int(times.max())} times")
    repeats = int((nearest[1:] == nearest[:-1]).sum())
    ordered = int((nearest[1:] == (nearest[:-1] + 1) % 40).sum())
    if max(repeats, ordered) > 150 or int((times - 50).abs().max()) == 0:
        raise Broken("rows that are drawn independently", "rows in an order, or every code equally often", ORDERED)


@CHECK.law("draws afresh at every call, and every row for itself", weight=2)
def _fresh(candidate: Candidate, draw: Draw) -> None:
    """Products of 16000 pairs of normals, the explicit bound: false alarm below 1e-8."""
    codes = _codes(draw, 500, 4)
    for kind in KINDS:
        first, second = (plain64(_call(candidate, codes, 300, kind)) for _ in range(2))
        if torch.equal(first, second):
            raise Broken(f"other codes at the second call of kind {kind!r}", "the same codes", FROZEN)
    e = plain64(_call(candidate, codes, 4000, "prior"))
    product = float((e[1::2] * e[::2]).mean())
    if not abs(product) <= product_bound(e.numel() // 2):
        raise Broken("rows that are independent", f"neighbours with a mean product of {show(product)}")


@CHECK.law("takes few codes, and codes on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    codes = _codes(draw, 50, 3)
    for kind in KINDS:
        _call(candidate, codes[:10], 7, kind)
        for device in candidate.devices():
            came = _call(candidate, codes.to(device), 7, kind)
            if came.device.type != device.type:
                raise Broken(f"codes of kind {kind!r} on {device}", f"on {came.device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    codes = _codes(draw, 30, 3)
    kept = codes.clone()
    for kind in KINDS:
        candidate(codes, 5, kind)
    untouched((kept,), (codes,), ("codes",))
    well_behaved(candidate)


def _codes(draw: Draw, n: int, d: int) -> torch.Tensor:
    """Correlated codes with means and spreads of their own, all far from the prior, and with heavier tails."""
    mixing = torch.eye(d) + 0.7 * torch.tril(torch.ones(d, d), -1)
    raw = draw.normal(n, d) * torch.where(draw.uniform(n, 1) < 0.1, 3.0, 0.5)
    spread = torch.linspace(2.0, 5.0, d) * torch.tensor([1.0, 0.1])[torch.arange(d) % 2]
    return (raw @ mixing.T) * spread + draw.signs(d) * draw.uniform(d, low=3.0, high=6.0)


def _call(candidate: Candidate, codes: torch.Tensor, count: int, kind: str) -> torch.Tensor:
    return tensor(candidate(codes.clone(), count, kind), (count, codes.shape[1]), f"codes of kind {kind!r}")


def _is_noise(e: torch.Tensor, kind: str) -> None:
    """What is left after centring and whitening is standard normal, dimension by dimension and between them."""
    n, d = e.shape
    slack = 0.02
    mean = float(e.mean(0).abs().max())
    if not mean <= mean_bound(n) + slack:
        raise Broken(f"codes of kind {kind!r} around the right mean", f"{show(mean)} standard deviations off")
    squares = e.square().mean(0)
    low, high = mean_square_bounds(n)
    for value in (float(squares.min()), float(squares.max())):
        if not low - 2 * slack <= value <= high + 2 * slack:
            raise Broken(
                f"codes of kind {kind!r} with the right spread", f"one of {show(math.sqrt(value))} times the right one"
            )
    products = (e.T @ e / n - torch.diag(squares)).abs()
    if d > 1 and not float(products.max()) <= math.sqrt(2 * T / n) + 2 * T / n + slack:
        raise Broken(f"codes of kind {kind!r} with the right correlation", f"off by {show(products.max())}")
    distance = max(kolmogorov_distance(column) for column in e.T)
    if not distance <= distance_bound(n) + slack:
        raise Broken(f"codes of kind {kind!r} that are normally distributed", f"a distance of {show(distance)} from it")


_CARD = "the table on the card of draw_codes: what each kind takes from the codes"
FROZEN = Cause("frozen", "The same codes come at every call: draw anew inside the function.", _CARD)
MIXED = Cause("own_changed", "'own' asks for codes as they are: whole rows, nothing added, no row mixed.", _CARD)
ORDERED = Cause("own_in_order", "'own' asks for rows drawn at random, with replacement.", _CARD)


# What the codes of one kind are like under a misconception: (mean, covariance) of what is drawn.
_MISTAKES = [
    (Cause(id, sentence, _CARD), mistake)
    for id, sentence, mistake in (
        (
            "axes_without_mean",
            "'axes' leaves the mean out: the codes do not lie around 0.",
            ("axes", lambda m, c: (0 * m, torch.diag(c.diagonal()))),
        ),
        (
            "axes_by_variance",
            "'axes' multiplies by the variance; the standard deviation is asked for.",
            ("axes", lambda m, c: (m, torch.diag(c.diagonal().square()))),
        ),
        (
            "axes_is_gaussian",
            "'axes' keeps the correlation: its dimensions are independent.",
            ("axes", lambda m, c: (m, c)),
        ),
        (
            "axes_one_spread",
            "'axes' has one spread for all dimensions: each has its own.",
            ("axes", lambda m, c: (m, c.diagonal().mean() * torch.eye(len(m), dtype=m.dtype))),
        ),
        (
            "axes_is_prior",
            "'axes' draws from the prior: mean and spread of the codes are missing.",
            ("axes", lambda m, c: (0 * m, torch.eye(len(m), dtype=m.dtype))),
        ),
        (
            "axes_without_spread",
            "'axes' leaves the spread out.",
            ("axes", lambda m, c: (m, torch.eye(len(m), dtype=m.dtype))),
        ),
        (
            "gaussian_is_axes",
            "'gaussian' forgets the correlation between dimensions.",
            ("gaussian", lambda m, c: (m, torch.diag(c.diagonal()))),
        ),
        ("gaussian_without_mean", "'gaussian' leaves the mean out.", ("gaussian", lambda m, c: (0 * m, c))),
        (
            "gaussian_unrooted",
            "'gaussian' multiplies noise by the covariance itself: it needs a root of it, L L^T.",
            ("gaussian", lambda m, c: (m, c @ c)),
        ),
        (
            "gaussian_transposed",
            "'gaussian' multiplies by L where its transpose is needed: rows of noise times L^T.",
            ("gaussian", lambda m, c: (m, torch.linalg.cholesky(c).T @ torch.linalg.cholesky(c))),
        ),
        (
            "gaussian_second_moment",
            "'gaussian' takes the second moment about 0; the covariance is about the mean.",
            ("gaussian", lambda m, c: (m, c + torch.outer(m, m))),
        ),
        (
            "prior_uses_codes",
            "'prior' looks at the codes: it is N(0, I), whatever they are.",
            ("prior", lambda m, c: (m, c)),
        ),
        (
            "prior_uses_codes",
            "'prior' looks at the codes: it is N(0, I), whatever they are.",
            ("prior", lambda m, c: (m, torch.diag(c.diagonal()))),
        ),
        (
            "uniform_prior",
            "'prior' is uniform on [0, 1]: it must be normal (randn, not rand).",
            ("prior", lambda m, c: (0 * m + 0.5, torch.eye(len(m), dtype=m.dtype) / 12)),
        ),
    )
]


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The one misconception whose mean and covariance are those of what came. Random: a name may be missing, and is
    wrong only where two covariances lie within 6 % of each other."""
    codes = _codes(draw, 1000, 3)
    known = plain64(codes)
    mean, covariance = known.mean(0), torch.cov(known.T)
    right = {
        "prior": (0 * mean, torch.eye(3, dtype=mean.dtype)),
        "axes": (mean, torch.diag(covariance.diagonal())),
        "gaussian": (mean, covariance),
    }
    found = []
    for kind, truth in right.items():
        came = plain64(_call(candidate, codes, 20_000, kind))
        if not _alike(came, *truth):
            found += [cause for cause, (of, made) in _MISTAKES if of == kind and _alike(came, *made(mean, covariance))]
            if not any(cause for cause in found):
                return None
    return sole(found)


def _alike(drawn: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor) -> bool:
    spread = covariance.diagonal().sqrt()
    if float(((drawn.mean(0) - mean) / spread).abs().max()) > 0.06:
        return False
    size = torch.outer(spread, spread)
    return float(((torch.cov(drawn.T) - covariance) / size).abs().max()) < 0.08
