"""Laws of `vae_loss(logits, x, mu, logvar, beta)`: distortion + beta * rate, with both parts beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Probe, table
from ..engine.demand import gradients, plain64, same_number, same_tensor, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import kl_divergence, kl_size, kl_terms, per_image
from ..engine.verdict import Broken, blame, counted
from ..shared.batch_average import WARM_UP, grows
from ..shared.weighted_sum import Images, WeightedSum, inside, same_distortion, same_sure_distortion, sure
from .kl_divergence import CLAMPED, MONTE_CARLO, draw_codes, match_kl
from .reconstruction_loss import draw_images

CHECK = Check("vae_loss(logits, x, mu, logvar, beta)", "(loss, distortion, rate)", lends=kl_divergence)


@CHECK.law("returns three scalars: loss, distortion, rate")
def _three(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs. The first call must be right as well: a weight that grows from call to call would have
    grown by the time the later laws look."""
    first = LOSS.three(candidate(*_inputs(draw, 3, (7,), 4).copies(), 1.0), tensors=True)
    for beta in (0, 3):
        _call(candidate, _inputs(draw, 3, (7,), 4), beta)
    LOSS.same_loss(first, 1.0, " in the first call")


@CHECK.law("returns the distortion in nats per image, whatever the shape of the images", weight=2)
def _distortion(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, image in ((1, (9,)), (4, (784,)), (2, (3, 4, 5)), (3, (1, 8, 9)), (200, (5,))):
        inputs = _inputs(draw, n, image, 3)
        same_distortion(_call(candidate, inputs, draw.number(0.2, 3))[1], inputs)
    same_sure_distortion(lambda inputs: _call(candidate, inputs, 1.0), _inputs(draw, 1, (4,), 2))


@CHECK.law("returns the rate in nats per image", weight=2)
def _rate(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, d in ((1, 1), (4, 10), (3, 2), (200, 3), (4, 50)):
        inputs = _inputs(draw, n, (5,), d)
        came = _call(candidate, inputs, draw.number(0.2, 3))[2]
        same_number(
            came, inputs.rate, f"rate of {counted(n, 'code')} of {counted(d, 'dimension')}", scale=inputs.rate_size
        )
    near = [_everywhere(mu, logvar) for mu, logvar in ((0.0, 0.0), (20.0, 0.0), (0.0, -12.0), (0.0, 8.0))]
    with blame(CLAMPED):  # the random codes above were right
        for inputs, size in [(i, i.rate) for i in near] + [(i, i.rate_size) for i in _far(draw)]:
            what = f"rate where mu = {show(inputs.mu[0, 0])} and logvar = {show(inputs.logvar[0, 0])}"
            same_number(_call(candidate, inputs, 1.0)[2], inputs.rate, what, floor=1e-3, scale=size)


@CHECK.law("returns distortion and rate unweighted: they do not depend on beta")
def _unweighted(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    inputs = _inputs(draw, 4, (12,), 3)
    seen = [_call(candidate, inputs, beta)[1:] for beta in (1.0, 0.0, 0.001, 10.0, 0.4)]
    for name, values in zip(LOSS.names[1:], zip(*seen, strict=True), strict=True):
        if min(map(abs, values)) < 1e-6:
            raise Broken(f"a {name} above 0 whatever beta is", f"{min(values):.4g}")
        for value in values[1:]:
            same_number(value, values[0], f"{name}, the same for every beta", rounding=1e-3)


@CHECK.law("adds the rate to the distortion, weighted by beta", weight=3)
def _sum(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the parts that the same call returns: a correct function never fails."""
    usual = partial(_inputs, draw, 4, (12,), 3)
    for inputs in (usual(), _confident(draw)):
        for beta in (1.0, 0.0, 0.001, 10.0, 10, 1, draw.number(0.2, 0.8), draw.number(1.5, 3.5)):
            LOSS.same_loss(_call(candidate, inputs, beta), beta)
    for beta in (draw.number(15, 90), draw.number(150, 1000), 7840.0):  # beta = 10 per pixel on MNIST is 7840
        LOSS.same_loss(_call(candidate, usual(), beta), beta)
    for n, image, d in ((2, (3, 4, 5), 3), (3, (1, 8, 9), 2), (200, (5,), 3), (4, (6,), 50)):
        beta = draw.number(0.3, 3)
        where = f" for {n} images of shape {image}"
        LOSS.same_loss(_call(candidate, _unlike_one_another(_inputs(draw, n, image, d)), beta), beta, where)
    LOSS.same_loss(_call(candidate, sure(_inputs(draw, 2, (4,), 3)), 1.0), 1.0, ", logits of +-10000")
    for inputs in _far(draw):
        LOSS.same_loss(_call(candidate, inputs, 1.0), 1.0, ", far codes")


@CHECK.law("has the right gradient in logits, mu and logvar, for every beta", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, image, d, beta, spread in (
        (3, (8,), 4, 1.0, 1.0),
        (2, (6,), 3, 0.001, 1.0),
        (4, (5,), 2, 10.0, 1.0),
        (2, (3,), 6, 1.0, 0.1),
        (1, (5,), 3, draw.number(0.1, 5), 2.0),
        (3, (4,), 2, 0.0, 1.0),
        (60, (5,), 3, 1.0, 1.0),
        (2, (3, 4, 5), 3, 0.5, 1.0),
        (3, (5,), 40, draw.number(100, 7840), 1.0),
    ):
        inputs = _inputs(draw, n, image, d)
        inputs = replace(inputs, mu=inputs.mu * spread, logvar=inputs.logvar * spread)
        _has_gradient(candidate, inputs, beta)
    with blame(CLAMPED):
        for inputs in _far(draw):
            _has_gradient(candidate, inputs, 1.0)


@CHECK.law("works in double precision, for a batch of one, on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. The rate is well above the distortion."""
    beta = 2.6
    for n in (1, 5):
        inputs = _inputs(draw, n, (4,), 12, torch.float64)
        first, second, third = (float(_call(candidate, inputs, beta)[0].detach()) for _ in range(3))
        with blame(partial(_changing, candidate, inputs, beta)):
            for again in (second, third):
                same_number(again, first, "loss of the same arguments again", rounding=1e-5)
        LOSS.right_loss(first, inputs, beta, f"loss of {n} images in float64")
    for device in candidate.devices():
        inputs = _inputs(draw, 3, (6,), 2)
        there = Inputs(*(t.to(device) for t in inputs.copies()))
        LOSS.right_loss(_call(candidate, there, beta)[0], inputs, beta, f"loss on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    logits, x, mu, logvar = _inputs(draw, 20, (5,), 4).copies()
    logits[0], x[0] = 30.0, 0.0
    given = logits, x, 4 * mu, 4 * logvar
    kept = [t.clone() for t in given]
    LOSS.loss(candidate(*given, 0.5))
    untouched(kept, given, ("logits", "x", "mu", "logvar"))
    well_behaved(candidate)


@dataclass(frozen=True)
class Inputs(Images):
    mu: torch.Tensor
    logvar: torch.Tensor

    def copies(self) -> tuple[torch.Tensor, ...]:
        return tuple(t.clone() for t in (self.logits, self.x, self.mu, self.logvar))

    @property
    def rate(self) -> float:
        return per_image(kl_terms(plain64(self.mu), plain64(self.logvar)))

    @property
    def rate_size(self) -> float:
        return per_image(kl_size(plain64(self.mu), plain64(self.logvar)))


def _inputs(draw: Draw, n: int, image: tuple[int, ...], d: int, dtype: torch.dtype = torch.float32) -> Inputs:
    return Inputs(*draw_images(draw, n, *image, dtype=dtype), *draw_codes(draw, n, d, dtype=dtype))


def _unlike_one_another(inputs: Inputs) -> Inputs:
    """Each image costs more than the one before it: a loss of some of them is another."""
    grow = torch.linspace(0.3, 1.5, len(inputs.x))
    logits = inputs.logits * grow.view(-1, *[1] * (inputs.x.dim() - 1))
    return replace(inputs, logits=logits, mu=inputs.mu * grow[:, None])


def _confident(draw: Draw, n: int = 3) -> Inputs:
    """Nearly perfect pixels and expensive codes: here even a beta of 0.001 is clearly seen in the loss."""
    x = (draw.uniform(n, 6) > 0.5).float()
    return Inputs((2 * x - 1) * 6.0, x, draw.normal(n, 5) + 20.0 * draw.signs(n, 5), draw.normal(n, 5))


def _everywhere(mu: float, logvar: float) -> Inputs:
    return Inputs(torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 4), mu), torch.full((2, 4), logvar))


def _far(draw: Draw) -> list[Inputs]:
    """Codes far from the prior, each in its own way and further than a clamp would let them."""
    return [
        _everywhere(draw.number(31, 80), 0.0),
        _everywhere(0.0, -29.9),  # a clamp of logvar may begin at -30 and at 20, not nearer
        _everywhere(0.0, 19.9),
        _everywhere(-draw.number(15, 60), draw.number(-20, -13)),
    ]


def _call(candidate: Candidate, inputs: Inputs, beta: float) -> tuple[torch.Tensor, float, float]:
    return LOSS.read(candidate(*inputs.copies(), beta))


def _changing(candidate: Candidate, inputs: Inputs, beta: float) -> Cause:
    return WARM_UP if grows(lambda: float(_call(candidate, inputs, beta)[0].detach())) else MONTE_CARLO


def _has_gradient(candidate: Candidate, inputs: Inputs, beta: float) -> None:
    names = ("logits", "mu", "logvar")
    a, x, m, v = (plain64(t) for t in inputs.copies())
    logits, given, mu, logvar = inputs.copies()
    leaves = (logits.requires_grad_(), mu.requires_grad_(), logvar.requires_grad_())
    loss, n = LOSS.loss(candidate(logits, given, mu, logvar, beta)), len(x)
    wants = ((a.sigmoid() - x) / n, beta * m / n, beta * (v.exp() - 1) / (2 * n))
    sizes = (torch.ones_like(a) / n, beta * m.abs() / n, beta * (v.exp() * (1 + v.abs() / 2) + 1) / (2 * n))
    found = gradients(candidate, loss, leaves, names, may_be_missing=() if beta else names[1:])
    still = [float(got.abs().max()) == 0 for got in found]
    with blame(
        lambda: (
            DISTORTION_DETACHED
            if still[0]
            else RATE_DETACHED
            if beta and all(still[1:]) and _is_still(candidate)
            else None
        )
    ):
        for got, want, size, name in zip(found, wants, sizes, names, strict=True):
            what = f"dloss/d{name} at beta = {beta:.4g}"
            same_tensor(got, want, what, scale=size, floor=1e-5 * min(1.0, beta or 1.0))


def _is_still(candidate: Candidate) -> bool:
    """No gradient in mu and logvar near the prior either, where no clamp could have taken it."""
    logits, x, mu, logvar = _inputs(Draw(), 3, (4,), 1).copies()
    leaves = mu.requires_grad_(), logvar.requires_grad_()
    found = candidate.gradients(LOSS.loss(candidate(logits, x, *leaves, 1.0)), leaves)
    return all(got is None or float(got.abs().max()) == 0 for got in found)


_CARD = "the card of vae_loss: loss = distortion + beta * rate"
_wrong = partial(Cause, where=_CARD)

_detached = partial(Cause, where=_CARD, tentative=True)
DISTORTION_DETACHED = _detached(
    "distortion_detached", "The loss has no gradient in the logits: there the distortion is detached, or left out."
)
RATE_DETACHED = _detached(
    "rate_detached", "The loss has no gradient in mu and logvar: there the rate is detached, or left out."
)
_LOSSES = table(
    _CARD,
    lambda d, r, b: d + b * r,
    ("beta_ignored", "beta is ignored: the loss is distortion + rate.", lambda d, r, b: d + r),
    ("beta_on_distortion", "beta multiplies the distortion; it weighs the rate.", lambda d, r, b: b * d + r),
    ("beta_on_both", "beta multiplies both terms; it weighs the rate only.", lambda d, r, b: b * (d + r)),
    ("beta_squared", "beta enters squared; is the rate weighted twice?", lambda d, r, b: d + b * b * r),
    ("beta_divides", "The rate is divided by beta instead of multiplied.", lambda d, r, b: d + r / b),
    (
        "rate_subtracted",
        "The rate is subtracted: the ELBO is maximised, its negative, the loss, adds both.",
        lambda d, r, b: d - b * r,
    ),
    ("distortion_subtracted", "The distortion is subtracted; the loss adds both.", lambda d, r, b: b * r - d),
    (
        "negative_elbo",
        "The loss has the wrong sign: it is minimised, so it is minus the ELBO.",
        lambda d, r, b: -(d + b * r),
    ),
    (
        "mixture",
        "You weigh the terms (1 - beta) and beta; the distortion has weight 1.",
        lambda d, r, b: (1 - b) * d + b * r,
    ),
    ("rate_missing", "The rate is missing from the loss.", lambda d, r, b: d),
    ("distortion_missing", "The distortion is missing from the loss.", lambda d, r, b: b * r),
    ("beta_capped", "beta is cut off at 1: larger values are asked for as well.", lambda d, r, b: d + min(b, 1.0) * r),
    ("beta_rounded", "beta is rounded to a whole number.", lambda d, r, b: d + int(b) * r),
    ("product", "You multiply distortion and rate; the loss is their weighted sum.", lambda d, r, b: d * b * r),
    ("beta_added", "beta is added; it must multiply the rate.", lambda d, r, b: d + b + r),
    ("one_plus_beta", "The rate counts 1 + beta times: it is added twice.", lambda d, r, b: d + (1 + b) * r),
    (
        "averaged",
        "You take the average of the two terms; the loss is their weighted sum.",
        lambda d, r, b: (d + b * r) / 2,
    ),
    ("renormalised", "You divide by 1 + beta; the distortion has weight 1.", lambda d, r, b: (d + b * r) / (1 + b)),
    (
        "capacity",
        "You weigh the distance of the rate from 1; the rate itself is asked for.",
        lambda d, r, b: d + b * abs(r - 1),
    ),
)


def _match_rate(probes: list) -> Cause | None:
    as_rate = [Probe((plain64(inputs.mu), plain64(inputs.logvar)), came[2]) for inputs, _, came in probes]
    return inside("rate", match_kl(as_rate))


LOSS = WeightedSum(
    "rate",
    _wrong(
        "parts_swapped", "distortion and rate are returned in each other's place: the order is loss, distortion, rate."
    ),
    _wrong("wrong_order", "The three values come in another order: loss first, then distortion, then rate."),
    _wrong(
        "rate_weighted",
        "You return the rate already multiplied by beta: return it unweighted, so that curves of "
        "different beta can be compared.",
    ),
    _wrong("distortion_weighted", "You return the distortion already weighted by beta: return it unweighted."),
    _LOSSES,
    _match_rate,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = [(_inputs(draw, n, (p,), d), beta) for n, p, d, beta in ((7, 6, 4, 0.3), (9, 4, 2, 2.5), (6, 5, 3, 0.7))]
    if grows(lambda: float(_call(candidate, *probes[0])[0].detach())):
        return WARM_UP
    named = LOSS.diagnose([(inputs, beta, candidate(*inputs.copies(), beta)) for inputs, beta in probes])
    return named or LOSS.changed_weight(
        lambda inputs, beta: candidate(*inputs.copies(), beta),
        [inputs for inputs, _ in probes[:2]],
        (0.3, 2.5, 0.0, 0.001, 20.0, 200.0, 5000.0),
    )
