"""Laws of `water_filling(eigenvalues, noise_variance, beta)`: the rate of each dimension of a linear VAE."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..shared.tables import causes

CHECK = Check("water_filling(eigenvalues, noise_variance, beta)", "(D,) nats, 0 for a dimension that has collapsed")


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    eigenvalues = torch.tensor([math.e**4, math.e**2, 1.0])
    _compare(candidate, eigenvalues, 1.0, 1.0, "of variances e^4, e^2 and 1 at beta = 1")
    _compare(candidate, eigenvalues, 1.0, math.e, "of variances e^4, e^2 and 1 at beta = e")
    _compare(candidate, eigenvalues, 0.5, 2.0, "of variances e^4, e^2 and 1, noise 1/2, at beta = 2")


@CHECK.law("is 0, not less, for a dimension that does not repay its price", weight=3)
def _collapsed(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for noise in (0.1, 1.0, 3.0):
        eigenvalues = noise * draw.uniform(6, low=0.2, high=5.0)
        _compare(candidate, eigenvalues, noise, draw.number(6, 60), f"with noise {noise:g}, all collapsed")
    _compare(candidate, torch.tensor([9.0, 1e-6, 0.3]), 0.5, 1.0, "with a variance of a millionth")


@CHECK.law("is right for any noise and any price", weight=3)
def _values(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for d in (2, 5, 40):
        for noise, beta in ((0.05, 3.0), (draw.number(0.3, 0.8), draw.number(2, 6)), (2.5, 0.2), (1.7, 1.0)):
            eigenvalues = _both_sides(draw, noise * beta, d)
            _compare(candidate, eigenvalues, noise, beta, f"of {d} dimensions, noise {noise:.3g}, beta {beta:.3g}")


@CHECK.law("works in double precision and on your accelerator, whatever the order")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    eigenvalues = _both_sides(draw, 1.4, 6)
    _compare(candidate, eigenvalues[1:2], 0.7, 2.0, "of one dimension")
    _compare(candidate, eigenvalues.double(), 0.7, 2.0, "in float64")
    for device in candidate.devices():
        _compare(candidate, eigenvalues.to(device), 0.7, 2.0, f"on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = draw.uniform(6, low=-2.0, high=4.0).exp()
    kept = given.clone()
    candidate(given, 0.5, 3.0)
    untouched((kept,), (given,), ("eigenvalues",))
    well_behaved(candidate)


def _both_sides(draw: Draw, level: float, d: int) -> torch.Tensor:
    """Variances: the first well below the water level, the second well above it, the next two a little below and a
    little above."""
    logarithms = draw.uniform(d, low=-3.0, high=5.0)
    placed = ((-3.0, -2.0), (3.0, 5.0), (-0.3, -0.15), (0.3, 0.6))
    for i, (low, high) in enumerate(placed[:d]):
        logarithms[i] = draw.number(low, high)
    return level * logarithms.exp()


def _right(eigenvalues: torch.Tensor, noise: float, beta: float) -> torch.Tensor:
    return 0.5 * (eigenvalues / (beta * noise)).log().clamp_min(0)


def _compare(candidate: Candidate, eigenvalues: torch.Tensor, noise: float, beta: float, what: str) -> None:
    came = tensor(candidate(eigenvalues.clone(), noise, beta), eigenvalues.shape, "the rates")
    want = _right(plain64(eigenvalues), noise, beta)
    same_tensor(came, want, f"rates {what}", scale=0.5 + want, rounding=0.02)


Rates = Callable[[torch.Tensor, float, float], torch.Tensor]
_FORMULA = "the formula above the card of water_filling: half the log of eigenvalue / (beta noise_variance), at least 0"
_ORDER = "The rates come in another order than the variances: each belongs to its dimension."
_MISTAKES: list[tuple[Cause, Rates]] = causes(
    _FORMULA,
    (
        (
            "negative",
            "Collapsed dimensions get a negative rate: a rate is never below 0.",
            lambda e, n, b: 0.5 * (e / (b * n)).log(),
        ),
        ("half_missing", "The factor 1/2 is missing.", lambda e, n, b: 2 * _right(e, n, b)),
        (
            "bits",
            "You count bits; nats are asked for: the natural logarithm.",
            lambda e, n, b: _right(e, n, b) / math.log(2),
        ),
        ("beta_ignored", "beta has no effect.", lambda e, n, b: _right(e, n, 1.0)),
        ("noise_ignored", "The noise has no effect.", lambda e, n, b: _right(e, 1.0, b)),
        (
            "noise_squared",
            "You square the noise variance: it is a variance already.",
            lambda e, n, b: _right(e, n * n, b),
        ),
        (
            "noise_rooted",
            "You take the root of the noise variance: the formula asks for the variance.",
            lambda e, n, b: _right(e, n**0.5, b),
        ),
        (
            "beta_divides",
            "beta and the noise stand on different sides of the fraction.",
            lambda e, n, b: _right(e, n, 1 / b),
        ),
        ("inverted", "The fraction is upside down.", lambda e, n, b: 0.5 * (b * n / e).log().clamp_min(0)),
        (
            "absolute",
            "You drop the sign where a collapsed dimension has rate 0.",
            lambda e, n, b: 0.5 * (e / (b * n)).log().abs(),
        ),
        (
            "plus_one",
            "1 + eigenvalue / noise is the rate of a channel without a price: here nothing is added.",
            lambda e, n, b: 0.5 * (1 + e / (b * n)).log(),
        ),
        (
            "total",
            "You return the total; one rate for each dimension is asked for.",
            lambda e, n, b: _right(e, n, b).sum(),
        ),
        (
            "eigenvalue_rooted",
            "You take the root of the eigenvalue: it is a variance.",
            lambda e, n, b: _right(e**0.5, n, b),
        ),
        (
            "noise_subtracted",
            "You subtract the noise from the variance; the formula divides.",
            lambda e, n, b: 0.5 * ((e - n) / (b * n)).clamp_min(1e-30).log().clamp_min(0),
        ),
        (
            "surviving_only",
            "Collapsed dimensions are left out: they have a rate, 0.",
            lambda e, n, b: 0.5 * (e[e > b * n] / (b * n)).log(),
        ),
        (
            "one_for_price",
            "A dimension survives where its variance is above beta times the noise, not above 1.",
            lambda e, n, b: torch.where(e > 1, 0.5 * (e / (b * n)).log(), 0.0),
        ),
        (
            "half_inside",
            "The factor 1/2 stands inside the logarithm; it belongs before it.",
            lambda e, n, b: (0.5 * e / (b * n)).log().clamp_min(0),
        ),
        (
            "price_added",
            "beta and the noise are added below the line; the formula multiplies them.",
            lambda e, n, b: _right(e, b + n, 1.0),
        ),
        ("beta_squared", "beta enters squared.", lambda e, n, b: _right(e, n, b * b)),
        (
            "shares",
            "You return shares of the total; nats are asked for.",
            lambda e, n, b: _right(e, n, b) / _right(e, n, b).sum(),
        ),
        ("other_order", _ORDER, lambda e, n, b: _right(e, n, b).sort().values),
        ("other_order", _ORDER, lambda e, n, b: _right(e, n, b).sort(descending=True).values),
        (
            "beta_outside",
            "You divide the rates by beta; beta multiplies the noise inside the logarithm.",
            lambda e, n, b: _right(e, n, 1.0) / b,
        ),
        (
            "difference",
            "You subtract the level from the variance; a rate is the logarithm of their ratio.",
            lambda e, n, b: (e - b * n).clamp_min(0),
        ),
        ("no_logarithm", "The logarithm is missing.", lambda e, n, b: 0.5 * (e / (b * n))),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The mistake that predicts what came, for two sets of variances."""
    sets = [(draw.uniform(8, low=-2.0, high=4.0).exp() + 1e-3, n, b) for n, b in ((0.4, 3.0), (2.3, 1.7))]
    came = [candidate(e.clone(), n, b) for e, n, b in sets]
    named = sole(
        cause
        for cause, mistake in _MISTAKES
        if all(agrees(got, mistake(plain64(e), n, b)) for got, (e, n, b) in zip(came, sets, strict=True))
    )
    return named or _cut_off([(plain64(e), n, b) for e, n, b in sets], came)


def _cut_off(sets: list[tuple[torch.Tensor, float, float]], came: list[object]) -> Cause | None:
    """Right but for a floor above 0 or a ceiling, wherever that is."""
    found = set()
    for got, (e, n, b) in zip(came, sets, strict=True):
        if not isinstance(got, torch.Tensor) or got.shape != e.shape:
            return None
        want, low, high = _right(e, n, b), float(got.min()), float(got.max())
        found.add("floor" if low > 0.01 and agrees(got, want.clamp_min(low)) else "")
        found.add("ceiling" if high < 0.99 * float(want.max()) and agrees(got, want.clamp_max(high)) else "")
    found.discard("")
    return _CUT_OFF[found.pop()] if len(found) == 1 else None


_CUT_OFF = {
    "floor": Cause("floor", "Your rates have a floor above 0: a collapsed dimension has rate 0.", _FORMULA),
    "ceiling": Cause("ceiling", "Your rates are cut off above: a rate may be as large as it comes.", _FORMULA),
}
