"""Laws of `exchange_rates(rates, distortions)`: what a nat of rate buys, between neighbours on the curve."""

from __future__ import annotations

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..shared.tables import causes

CHECK = Check("exchange_rates(rates, distortions)", "(n - 1,) nats of distortion for a nat of rate, least rate first")


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    _compare(candidate, torch.tensor([0.0, 2.0, 10.0]), torch.tensor([200.0, 160.0, 120.0]), "by hand")
    _compare(candidate, torch.tensor([1.0, 5.0]), torch.tensor([90.0, 70.0]), "of two points")


@CHECK.law("takes the points in any order", weight=3)
def _any_order(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n in (3, 7, 30):
        rates, distortions = _curve(draw, n)
        order = draw.permutation(n)
        _compare(candidate, rates[order], distortions[order], f"of {n} points, shuffled")
    rates, distortions = _curve(draw, 6)
    _compare(candidate, rates.flip(0), distortions.flip(0), "of 6 points, from the largest rate down")


@CHECK.law("is right for every curve, also where a point lies off it", weight=2)
def _values(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n in (2, 5, 12):
        rates, distortions = _curve(draw, n)
        _compare(candidate, rates, distortions, f"of {n} points")
    rates, distortions = _curve(draw, 6)
    distortions[3] = distortions[2] + 4.0  # more rate and more distortion: a negative price
    _compare(candidate, rates, distortions, "with a point that is worse in both")


@CHECK.law("works in double precision and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    rates, distortions = (t.double() for t in _curve(draw, 5))
    _compare(candidate, rates, distortions, "in float64")
    for device in candidate.devices():
        _compare(candidate, rates.float().to(device), distortions.float().to(device), f"on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = [t.flip(0) for t in _curve(draw, 5)]
    kept = [t.clone() for t in given]
    candidate(*given)
    untouched(kept, given, ("rates", "distortions"))
    well_behaved(candidate)


def _curve(draw: Draw, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rates that rise by steps of their own, distortions that fall by more per nat at the beginning."""
    steps = draw.uniform(n - 1, low=1.0, high=4.0)
    prices = torch.linspace(8.0, 0.5, n - 1) * draw.uniform(n - 1, low=0.9, high=1.1)
    start = torch.tensor([draw.number(0.5, 3.0)])
    rates = torch.cat([start, start + steps.cumsum(0)])
    return rates, draw.number(230, 300) - torch.cat([torch.zeros(1), (prices * steps).cumsum(0)])


def _right(rates: torch.Tensor, distortions: torch.Tensor) -> torch.Tensor:
    order = rates.argsort()
    return -distortions[order].diff() / rates[order].diff()


def _compare(candidate: Candidate, rates: torch.Tensor, distortions: torch.Tensor, what: str) -> None:
    came = tensor(candidate(rates.clone(), distortions.clone()), (len(rates) - 1,), "exchange rates")
    want = _right(plain64(rates), plain64(distortions))
    same_tensor(came, want, f"exchange rates {what}", scale=1 + want.abs(), rounding=0.02)


_CARD = "the card of exchange_rates: distortion saved, divided by rate spent, between neighbours in rate"
_MISTAKES = causes(
    _CARD,
    (
        (
            "not_sorted",
            "You take the points in the order in which they come: sort by rate first.",
            lambda r, d: -d.diff() / r.diff(),
        ),
        (
            "sorted_apart",
            "You sort the rates alone: each distortion must stay with its rate.",
            lambda r, d: -d.diff() / r.sort().values.diff(),
        ),
        (
            "sorted_by_distortion",
            "You sort by distortion; a curve is walked along the rate.",
            lambda r, d: -d.sort().values.diff() / r[d.argsort()].diff(),
        ),
        (
            "prices_sorted",
            "You sort the prices: each belongs to its place on the curve.",
            lambda r, d: _right(r, d).sort(descending=True).values,
        ),
        (
            "sorted_apart",
            "You sort rates and distortions each by themselves: the pairs must stay together.",
            lambda r, d: -d.sort().values.diff() / r.sort().values.diff(),
        ),
        (
            "sorted_apart",
            "You sort rates and distortions each by themselves: the pairs must stay together.",
            lambda r, d: -d.sort(descending=True).values.diff() / r.sort().values.diff(),
        ),
        (
            "sign",
            "The sign is wrong: a price is what is saved, and the slope is its negative.",
            lambda r, d: -_right(r, d),
        ),
        (
            "inverted",
            "You divide rate by distortion: that is what a nat of distortion costs.",
            lambda r, d: 1 / _right(r, d),
        ),
        (
            "largest_first",
            "The prices come from the largest rate down; begin at the least.",
            lambda r, d: _right(r, d).flip(0),
        ),
        (
            "no_division",
            "You return the distortion saved, not divided by the rate spent.",
            lambda r, d: -d[r.argsort()].diff(),
        ),
        (
            "no_division",
            "You return the rate spent; the distortion that it saves is missing.",
            lambda r, d: r.sort().values.diff(),
        ),
        (
            "ratios",
            "You divide distortion by rate point by point: a price is between two points.",
            lambda r, d: (d / r)[1:],
        ),
        (
            "ratios",
            "You divide distortion by rate point by point: a price is between two points.",
            lambda r, d: (d / r)[r.argsort()][1:],
        ),
        (
            "from_first",
            "You compare every point with the first; neighbours are asked for.",
            lambda r, d: -(d[r.argsort()][1:] - d[r.argsort()][0]) / (r.sort().values[1:] - r.sort().values[0]),
        ),
        (
            "logarithms",
            "You compare logarithms; plain nats are asked for.",
            lambda r, d: -d[r.argsort()].log().diff() / r.sort().values.log().diff(),
        ),
        (
            "absolute",
            "You drop the sign: a point that is worse in both has a negative price.",
            lambda r, d: _right(r, d).abs(),
        ),
        ("absolute", "You cut negative prices off.", lambda r, d: _right(r, d).clamp_min(0)),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The mistake that predicts what came, for shuffled points one of which is worse in both."""
    rates, distortions = _curve(draw, 7)
    distortions[4] = distortions[3] + 4.0
    order = torch.tensor([3, 0, 5, 1, 6, 2, 4])
    rates, distortions = rates[order], distortions[order]
    came = candidate(rates.clone(), distortions.clone())
    return sole(cause for cause, mistake in _MISTAKES if agrees(came, mistake(plain64(rates), plain64(distortions))))
