"""Laws of `second_stage_loss(decoded, codes, mu, logvar, log_std)`: a VAE's loss of codes, whose width is learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from ..engine.candidate import Candidate
from ..engine.causes import REDUCTIONS, Formula, Probe, agrees, match_loss, sole
from ..engine.demand import (
    describe,
    gradients,
    number,
    plain64,
    same_number,
    same_tensor,
    scalar,
    several,
    untouched,
    well_behaved,
)
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.trusted import kl_size, kl_terms, per_image
from ..engine.verdict import Broken, blame

CHECK = Check("second_stage_loss(decoded, codes, mu, logvar, log_std)", "(loss, distortion, rate), three scalars")
_CARD = "the maths hint under the card of second_stage_loss: minus the log density of N(decoded, std²), plus the rate"
_NAMES = "loss", "distortion", "rate"
_HALF_LOG = 0.5 * math.log(2 * math.pi)


class Inputs(NamedTuple):
    """What one call takes."""

    decoded: torch.Tensor
    codes: torch.Tensor
    mu: torch.Tensor
    logvar: torch.Tensor
    log_std: torch.Tensor

    @property
    def distortion(self) -> float:
        return per_image(_nll(*map(plain64, (self.decoded, self.codes, self.log_std))))

    @property
    def distortion_size(self) -> float:
        apart, log_std = plain64(self.decoded) - plain64(self.codes), float(self.log_std)
        size = plain64(self.decoded).abs() + plain64(self.codes).abs()
        terms = apart.abs() * size * math.exp(-2 * log_std) * (1 + abs(log_std)) + abs(log_std) + _HALF_LOG
        return per_image(terms)

    @property
    def rate(self) -> float:
        return per_image(kl_terms(plain64(self.mu), plain64(self.logvar)))

    @property
    def rate_size(self) -> float:
        return per_image(kl_size(plain64(self.mu), plain64(self.logvar)))

    def call(self, candidate: Candidate) -> tuple[torch.Tensor, float, float]:
        return _read(candidate(*(value.clone() for value in self)))


@CHECK.law("is right where you can count", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: one code of two dimensions, off by 1 and 0, three widths, then copied; a posterior that is the prior,
    then not."""
    decoded, codes = torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2)
    zero = torch.zeros(1, 1)
    for std, want in ((1.0, 2.337877), (2.0, 3.349171), (0.5, 2.451583)):
        given = Inputs(decoded, codes, zero, zero, torch.tensor(math.log(std)))
        loss, distortion, rate = given.call(candidate)
        same_number(distortion, want, f"distortion of one code, std {std:g}")
        same_number(rate, 0.0, "rate where the posterior is the prior")
        same_number(loss, want, f"loss of one code, std {std:g}")
    loss, distortion, _ = Inputs(codes, codes, zero, zero, torch.tensor(math.log(0.1))).call(candidate)
    with blame(lambda: CUT_OFF if distortion == 0 else None):
        same_number(distortion, -2.767293, "distortion of a perfect copy, std 0.1")
        same_number(loss, -2.767293, "loss of a perfect copy, std 0.1")
    given = Inputs(decoded, codes, torch.tensor([[2.0]]), zero, torch.tensor(0.0))
    same_number(given.call(candidate)[2], 2.0, "rate of mu = 2, logvar = 0")


@CHECK.law("returns as distortion minus the log density of the codes, in nats per code", weight=3)
def _distortion(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for given in _several(draw):
        n, dim = given.codes.shape
        what = f"distortion of {n} codes of {dim} dimensions, log_std {float(given.log_std):.3g}"
        same_number(given.call(candidate)[1], given.distortion, what, scale=given.distortion_size)


@CHECK.law("returns as rate the KL divergence from N(0, I), in nats per code", weight=2)
def _rate(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for given in _several(draw):
        what = f"rate of {len(given.mu)} posteriors of {given.mu.shape[1]} dimensions"
        same_number(given.call(candidate)[2], given.rate, what, scale=given.rate_size)


@CHECK.law("adds the two, each with weight 1", weight=2)
def _sum(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the parts that the same call returns: a correct function never fails."""
    for given in _several(draw):
        loss, distortion, rate = given.call(candidate)
        same_number(loss, distortion + rate, "loss, the sum of its parts", scale=abs(distortion) + abs(rate))


@CHECK.law("has the right gradient in what the decoder returned, in mu and in logvar", weight=2)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for given in _several(draw):
        ends = [
            given.decoded.clone().requires_grad_(),
            given.mu.clone().requires_grad_(),
            given.logvar.clone().requires_grad_(),
        ]
        came = several(candidate(ends[0], given.codes.clone(), *ends[1:], given.log_std.clone()), _NAMES)
        loss, n = scalar(came[0], "the loss"), len(given.codes)
        found = gradients(candidate, loss, ends, ("decoded", "mu", "logvar"))
        apart, width = plain64(given.decoded) - plain64(given.codes), math.exp(-2 * float(given.log_std))
        wanted = (width * apart / n, plain64(given.mu) / n, 0.5 * (plain64(given.logvar).exp() - 1) / n)
        sizes = (
            width * (plain64(given.decoded).abs() + plain64(given.codes).abs()) / n,
            wanted[1].abs(),
            (plain64(given.logvar).exp() + 1) / n,
        )
        for got, want, size, name in zip(found, wanted, sizes, ("decoded", "mu", "logvar"), strict=True):
            same_tensor(got, want, f"dloss/d{name}", scale=size)


@CHECK.law(
    "teaches log_std the width that fits: wider while errors are larger than std, else narrower",
    weight=3,
    essential=True,
)
def _width(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for log_std in (-0.7, 0.0, 0.6):
        given = _inputs(draw, 6, 4, 3, log_std)
        width = given.log_std.clone().requires_grad_()
        loss = scalar(several(candidate(*(value.clone() for value in given[:4]), width), _NAMES)[0], "the loss")
        (found,) = candidate.gradients(loss, [width])
        if found is None:
            raise Broken("a gradient with respect to log_std", "no gradient at all", WIDTH_CUT)
        dim = given.codes.shape[1]
        pull = per_image((plain64(given.decoded) - plain64(given.codes)).square()) * math.exp(-2 * log_std)
        same_number(float(found), dim - pull, f"dloss/dlog_std at std {math.exp(log_std):.3g}", scale=3 * (dim + pull))


@CHECK.law("takes one code, one dimension, double precision, and your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, dim, latent in ((1, 1, 1), (1, 6, 2), (3, 1, 4)):
        given = _inputs(draw, n, dim, latent, 0.3)
        for each in (given, Inputs(*(value.double() for value in given))):
            size = each.distortion_size + each.rate_size
            what = f"loss of {n} codes of {dim} dimensions, {each.codes.dtype}"
            same_number(each.call(candidate)[0], each.distortion + each.rate, what, scale=size)
    for device in candidate.devices():
        there = Inputs(*(value.to(device) for value in given))
        size = given.distortion_size + given.rate_size
        same_number(there.call(candidate)[0], given.distortion + given.rate, f"loss on {device}", scale=size)


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = _inputs(draw, 4, 3, 2, 0.2)
    kept = tuple(value.clone() for value in given)
    candidate(*given)
    untouched(kept, given, Inputs._fields)
    well_behaved(candidate)


def _inputs(draw: Draw, n: int, dim: int, latent: int, log_std: float) -> Inputs:
    """Errors of about 0.8 to 1.6 in every dimension, so that no term can be left out unseen."""
    codes = draw.normal(n, dim)
    apart = (0.8 + 0.8 * draw.uniform(n, dim)) * torch.where(draw.normal(n, dim) > 0, 1.0, -1.0)
    mu, logvar = draw.normal(n, latent, scale=1.5), draw.normal(n, latent) - 0.5
    return Inputs(codes + apart, codes, mu, logvar, torch.tensor(log_std))


def _several(draw: Draw) -> list[Inputs]:
    shapes = ((5, 3, 2, 0.5), (7, 20, 20, -0.8), (2, 6, 9, 0.0), (40, 4, 3, draw.number(0.8, 1.4)))
    return [_inputs(draw, *shape) for shape in shapes]


def _read(came: object) -> tuple[torch.Tensor, float, float]:
    loss, *parts = several(came, _NAMES)
    for value, name in zip(parts, _NAMES[1:], strict=True):
        if isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape != (1,):
            scalar(value, f"the {name}")
        if not isinstance(value, (torch.Tensor, int, float)):
            raise Broken(f"the {name} as a scalar tensor", describe(value))
    first, second = (
        number(value.reshape(()) if isinstance(value, torch.Tensor) else value, f"the {name}", tensor_allowed=True)
        for value, name in zip(parts, _NAMES[1:], strict=True)
    )
    return scalar(loss, "the loss"), first, second


def _nll(decoded: torch.Tensor, codes: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    return 0.5 * ((codes - decoded) * torch.exp(-log_std)).square() + log_std + _HALF_LOG


WIDTH_CUT = Cause(
    "width_detached",
    "No gradient reaches log_std: the width would never be learned.",
    "how log_std enters your formula",
)


CUT_OFF = Cause("cut_off", "You cut the distortion off at 0: minus the log of a density may be negative.", _CARD)


def _mistake(id: str, sentence: str) -> Cause:
    return Cause(id, sentence, _CARD)


_DISTORTIONS: list[Formula] = [
    (None, _nll),
    (
        _mistake(
            "squared_error",
            "The distortion is a squared error: divide by twice the variance, and add the log of"
            " the width, or a wide one costs nothing.",
        ),
        lambda d, c, s: (c - d).square(),
    ),
    (
        _mistake("squared_error", "The distortion is half a squared error; the width is missing."),
        lambda d, c, s: 0.5 * (c - d).square(),
    ),
    (
        _mistake("without_log_std", "log_std is missing from the density: the width would grow without end."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square() + _HALF_LOG,
    ),
    (
        _mistake("without_log_std", "Only the square is there; the density has a log_std and half of log 2π as well."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square(),
    ),
    (
        _mistake("without_constant", "Half of log 2π is missing: without it these are no nats."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square() + s,
    ),
    (
        _mistake("without_half", "The one half before the square is missing."),
        lambda d, c, s: ((c - d) * torch.exp(-s)).square() + s + _HALF_LOG,
    ),
    (
        _mistake("whole_log", "log 2π has a half before it."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square() + s + 2 * _HALF_LOG,
    ),
    (
        _mistake("std_for_variance", "You divide by the standard deviation where the variance stands."),
        lambda d, c, s: 0.5 * (c - d).square() * torch.exp(-s) + s + _HALF_LOG,
    ),
    (
        _mistake("logvar_for_log_std", "You take log_std for a log variance."),
        lambda d, c, s: 0.5 * (c - d).square() * torch.exp(-s) + 0.5 * s + _HALF_LOG,
    ),
    (
        _mistake(
            "once_a_code",
            "log_std and half of log 2π are counted once for a code; each of its dimensions has them.",
        ),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square() + (s + _HALF_LOG) / d.shape[1],
    ),
    (
        _mistake("doubled_log_std", "log_std is the log of the width itself: it counts once."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square() + 2 * s + _HALF_LOG,
    ),
    (
        _mistake("half_log_std", "log_std is the log of the width itself: no half before it."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square() + 0.5 * s + _HALF_LOG,
    ),
    (
        _mistake("precision", "You multiply by the variance where you divide by it."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(s)).square() + s + _HALF_LOG,
    ),
    (
        _mistake("sign_of_log_std", "The sign of log_std is wrong: a narrow density is high, which costs less."),
        lambda d, c, s: 0.5 * ((c - d) * torch.exp(-s)).square() - s + _HALF_LOG,
    ),
    (_mistake("sign", "This is the log density; a loss is minus it."), lambda d, c, s: -_nll(d, c, s)),
    (
        _mistake("log_of_log_std", "You take log_std for the width itself."),
        lambda d, c, s: 0.5 * ((c - d) / s).square() + s.abs().log() + _HALF_LOG,
    ),
    (
        _mistake("not_squared", "You take the absolute error: that is a Laplace density."),
        lambda d, c, s: (c - d).abs() * torch.exp(-s) + s + math.log(2),
    ),
    (
        _mistake("bernoulli", "This is the cross-entropy of pixels: codes are no probabilities."),
        lambda d, c, s: torch.nn.functional.softplus(d) - c * d,
    ),
]
_RATES: list[Formula] = [
    (None, kl_terms),
    (_mistake("rate_sign", "The sign of the rate is wrong."), lambda m, v: -kl_terms(m, v)),
    (_mistake("rate_without_half", "The one half of the rate is missing."), lambda m, v: 2 * kl_terms(m, v)),
    (
        _mistake("rate_logvar_as_log_std", "You take logvar for log sigma in the rate."),
        lambda m, v: 0.5 * (m.square() + torch.exp(2 * v) - 1 - 2 * v),
    ),
    (_mistake("rate_without_mu", "mu is missing from the rate."), lambda m, v: 0.5 * (v.exp() - 1 - v)),
    (
        _mistake("rate_of_mu", "Only mu is in the rate; the width of the posterior costs as well."),
        lambda m, v: 0.5 * m.square(),
    ),
    (_mistake("rate_without_one", "The 1 of the rate is missing."), lambda m, v: 0.5 * (m.square() + v.exp() - v)),
]
_SUMS: tuple[tuple[str, str, Callable[[float, float], float]], ...] = (
    ("rate_missing", "The rate is missing from the loss.", lambda d, r: d),
    ("distortion_missing", "The distortion is missing from the loss.", lambda d, r: r),
    ("rate_subtracted", "The rate is subtracted: both are costs.", lambda d, r: d - r),
    ("negative", "The sign of the loss is wrong.", lambda d, r: -d - r),
    ("halved", "The loss is the mean of its parts; their sum is asked for.", lambda d, r: (d + r) / 2),
)
_SWAPPED = Cause("parts_swapped", "Distortion and rate are exchanged: (loss, distortion, rate).", "the return line")
_LAST = Cause("wrong_order", "The loss comes first: (loss, distortion, rate).", "the return line")


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """What the parts are, one after the other; then how they are put together."""
    seen = []
    for shape in ((7, 3, 5, 0.4), (4, 5, 2, -0.6)):
        given = _inputs(draw, *shape)
        seen.append((given, several(candidate(*(value.clone() for value in given)), _NAMES)))
    rights = [(given.distortion + given.rate, given.distortion, given.rate) for given, _ in seen]
    for cause, order in (
        (_SWAPPED, (0, 2, 1)),
        (_LAST, (1, 2, 0)),
        (_LAST, (2, 1, 0)),
        (_LAST, (1, 0, 2)),
        (_LAST, (2, 0, 1)),
    ):
        if all(
            agrees(came[place], torch.tensor(right[which], dtype=torch.float64))
            for (_, came), right in zip(seen, rights, strict=True)
            for place, which in enumerate(order)
        ):
            return cause
    found = []
    for place, formulas, fields in ((1, _DISTORTIONS, (0, 1, 4)), (2, _RATES, (2, 3))):
        probes = [Probe(tuple(plain64(given[field]) for field in fields), came[place]) for given, came in seen]
        right = 1 if place == 1 else 2
        if all(
            agrees(p.came, torch.tensor(r[right], dtype=torch.float64)) for p, r in zip(probes, rights, strict=True)
        ):
            continue
        mistake = match_loss(probes, formulas, REDUCTIONS)
        if mistake is None:
            return None
        found.append(mistake)
    if found:
        return found[0] if len(found) == 1 else None
    losses = [
        float(came[0].detach()) if isinstance(came[0], torch.Tensor) and came[0].dim() == 0 else math.nan
        for _, came in seen
    ]
    return sole(
        Cause(id, sentence, _CARD)
        for id, sentence, formula in _SUMS
        if all(
            abs(loss - formula(d, r)) <= 1e-3 * (abs(d) + abs(r))
            for loss, (_, d, r) in zip(losses, rights, strict=True)
        )
    )
