"""Laws of `vae_loss(logits, x, mu, logvar, beta)` and of `elbo_beta(beta_per_pixel, num_pixels)`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Probe
from ..engine.demand import gradients, number, plain64, same_number, same_tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.trusted import kl_size, kl_terms, per_image
from ..engine.verdict import Broken
from ..shared.weighted_sum import Images, WeightedSum, inside, same_distortion, same_sure_distortion, sure
from .kl_divergence import CLAMPED, MONTE_CARLO, match_kl

_CARD = "the card of vae_loss: loss = distortion + beta * rate"


def _wrong(id: str, sentence: str) -> Cause:
    return Cause(id, sentence, _CARD)


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
    return Inputs(
        draw.normal(n, *image, scale=2.0, dtype=dtype),
        draw.pixels(n, *image, dtype=dtype),
        draw.normal(n, d, dtype=dtype),
        draw.normal(n, d, dtype=dtype),
    )


def _confident(draw: Draw, n: int = 3) -> Inputs:
    """Nearly perfect pixels and expensive codes: here even a beta of 0.001 is clearly seen in the loss."""
    x = (draw.uniform(n, 6) > 0.5).float()
    return Inputs((2 * x - 1) * 6.0, x, draw.normal(n, 5) + 20.0 * draw.signs(n, 5), draw.normal(n, 5))


def _far(draw: Draw) -> list[Inputs]:
    """Codes far from the prior, each in its own way and further than a clamp would let them."""
    places = (
        (draw.number(31, 80), 0.0),
        (0.0, draw.number(-30, -21)),
        (0.0, draw.number(11.2, 13)),
        (-draw.number(15, 60), draw.number(-20, -13)),
    )
    return [
        Inputs(torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 4), mu), torch.full((2, 4), logvar))
        for mu, logvar in places
    ]


def _call(candidate: Candidate, inputs: Inputs, beta: float) -> tuple[torch.Tensor, float, float]:
    return _SUM.read(candidate(*inputs.copies(), beta))


def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = [(_inputs(draw, n, (p,), d), beta) for n, p, d, beta in ((7, 6, 4, 0.3), (9, 4, 2, 2.5), (6, 5, 3, 0.7))]
    return _SUM.diagnose([(inputs, beta, candidate(*inputs.copies(), beta)) for inputs, beta in probes])


def _match_rate(probes: list) -> Cause | None:
    as_rate = [Probe((plain64(inputs.mu), plain64(inputs.logvar)), came[2]) for inputs, _, came in probes]
    return inside("rate", "kl_divergence", match_kl(as_rate))


_LOSSES = [
    (None, lambda d, r, b: d + b * r),
    (_wrong("beta_ignored", "beta is ignored: the loss is distortion + rate."), lambda d, r, b: d + r),
    (_wrong("beta_on_distortion", "beta multiplies the distortion; it weighs the rate."), lambda d, r, b: b * d + r),
    (_wrong("beta_on_both", "beta multiplies both terms; it weighs the rate only."), lambda d, r, b: b * (d + r)),
    (_wrong("beta_squared", "beta enters squared; is the rate weighted twice?"), lambda d, r, b: d + b * b * r),
    (_wrong("beta_divides", "The rate is divided by beta instead of multiplied."), lambda d, r, b: d + r / b),
    (
        _wrong("rate_subtracted", "The rate is subtracted: the ELBO is maximised, its negative, the loss, adds both."),
        lambda d, r, b: d - b * r,
    ),
    (_wrong("distortion_subtracted", "The distortion is subtracted; the loss adds both."), lambda d, r, b: b * r - d),
    (
        _wrong("negative_elbo", "The loss has the wrong sign: it is minimised, so it is minus the ELBO."),
        lambda d, r, b: -(d + b * r),
    ),
    (
        _wrong("mixture", "You weigh the terms (1 - beta) and beta; the distortion has weight 1."),
        lambda d, r, b: (1 - b) * d + b * r,
    ),
    (_wrong("rate_missing", "The rate is missing from the loss."), lambda d, r, b: d),
    (_wrong("distortion_missing", "The distortion is missing from the loss."), lambda d, r, b: b * r),
    (
        _wrong("beta_capped", "beta is cut off at 1: larger values are asked for as well."),
        lambda d, r, b: d + min(b, 1.0) * r,
    ),
    (_wrong("beta_rounded", "beta is rounded to a whole number."), lambda d, r, b: d + int(b) * r),
    (_wrong("product", "You multiply distortion and rate; the loss is their weighted sum."), lambda d, r, b: d * b * r),
    (_wrong("beta_added", "beta is added; it must multiply the rate."), lambda d, r, b: d + b + r),
    (_wrong("one_plus_beta", "The rate counts 1 + beta times: it is added twice."), lambda d, r, b: d + (1 + b) * r),
    (
        _wrong("averaged", "You take the average of the two terms; the loss is their weighted sum."),
        lambda d, r, b: (d + b * r) / 2,
    ),
]


_SUM = WeightedSum(
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
VAE_LOSS = Check("vae_loss(logits, x, mu, logvar, beta)", "(loss, distortion, rate)")
VAE_LOSS.diagnosis(_diagnose)


@VAE_LOSS.law("returns three scalars: loss, distortion, rate")
def _three(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs. The first call must be right as well: a weight that grows from call to call would have
    grown by the time the later laws look."""
    first = _call(candidate, _inputs(draw, 3, (7,), 4), 1.0)
    for beta in (0, 3):
        _call(candidate, _inputs(draw, 3, (7,), 4), beta)
    _SUM.same_loss(first, 1.0, " in the first call")


@VAE_LOSS.law("returns the distortion in nats per image, whatever the shape of the images", weight=2)
def _distortion(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, image in ((1, (9,)), (4, (784,)), (2, (3, 4, 5)), (3, (1, 8, 9)), (draw.integer(150, 250), (5,))):
        inputs = _inputs(draw, n, image, 3)
        same_distortion(_call(candidate, inputs, draw.number(0.2, 3))[1], inputs)
    same_sure_distortion(lambda inputs: _call(candidate, inputs, 1.0), _inputs(draw, 1, (4,), 2))


@VAE_LOSS.law("returns the rate in nats per image", weight=2)
def _rate(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, d in ((1, 1), (4, 10), (3, 2), (draw.integer(150, 250), 3), (4, draw.integer(40, 60))):
        inputs = _inputs(draw, n, (5,), d)
        same_number(
            _call(candidate, inputs, draw.number(0.2, 3))[2],
            inputs.rate,
            f"rate of {n} codes of {d} dimensions",
            scale=inputs.rate_size,
        )
    places = [
        Inputs(torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 4), mu), torch.full((2, 4), logvar))
        for mu, logvar in ((0.0, 0.0), (20.0, 0.0), (0.0, -12.0), (0.0, 8.0))
    ]
    for index, inputs in enumerate(places + _far(draw)):
        what = f"rate where mu = {float(inputs.mu[0, 0]):.4g} and logvar = {float(inputs.logvar[0, 0]):.4g}"
        try:
            same_number(
                _call(candidate, inputs, 1.0)[2],
                inputs.rate,
                what,
                floor=1e-3,
                scale=None if index < len(places) else inputs.rate_size,
            )
        except Broken as broken:  # the random codes above were right
            raise Broken(broken.expected, broken.got, broken.cause or CLAMPED) from None


@VAE_LOSS.law("returns distortion and rate unweighted: they do not depend on beta")
def _unweighted(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    inputs = _inputs(draw, 4, (12,), 3)
    seen = [_call(candidate, inputs, beta)[1:] for beta in (1.0, 0.0, 0.001, 10.0, 0.4)]
    for name, values in zip(_SUM.names[1:], zip(*seen)):
        if min(map(abs, values)) < 1e-6 < max(map(abs, values)) or max(map(abs, values)) < 1e-6:
            raise Broken(f"a {name} above 0 whatever beta is", f"{min(values):.4g}")
        for value in values[1:]:
            same_number(value, values[0], f"{name}, the same for every beta", rounding=1e-3)


@VAE_LOSS.law("adds the rate to the distortion, weighted by beta", weight=3)
def _sum(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the parts that the same call returns: a correct function never fails."""
    for inputs in (_inputs(draw, 4, (12,), 3), _confident(draw)):
        for beta in (1.0, 0.0, 0.001, 10.0, 10, 1, draw.number(0.05, 0.95), draw.number(1.5, 4.0)):
            _SUM.same_loss(_call(candidate, inputs, beta), beta)
    for beta in (draw.number(15, 90), draw.number(150, 1000), 7840.0):  # beta = 10 per pixel on MNIST is 7840
        _SUM.same_loss(_call(candidate, _inputs(draw, 4, (12,), 3), beta), beta)
    for n, image, d in (
        (2, (3, 4, 5), 3),
        (3, (1, 8, 9), 2),
        (draw.integer(150, 250), (5,), 3),
        (4, (6,), draw.integer(40, 60)),
    ):
        beta = draw.number(0.3, 3)
        _SUM.same_loss(_call(candidate, _inputs(draw, n, image, d), beta), beta, f" for {n} images of shape {image}")
    _SUM.same_loss(_call(candidate, sure(_inputs(draw, 2, (4,), 3)), 1.0), 1.0, ", logits of +-10000")
    for inputs in _far(draw):
        _SUM.same_loss(_call(candidate, inputs, 1.0), 1.0, ", far codes")


@VAE_LOSS.law("has the right gradient in logits, mu and logvar, for every beta", weight=3)
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
        a, x, m, v = (plain64(t) for t in inputs.copies())
        logits, given, mu, logvar = inputs.copies()
        leaves = (logits.requires_grad_(), mu.requires_grad_(), logvar.requires_grad_())
        loss = _SUM.loss(candidate(logits, given, mu, logvar, beta))
        wants = ((a.sigmoid() - x) / n, beta * m / n, beta * (v.exp() - 1) / (2 * n))
        sizes = (torch.ones_like(a) / n, beta * m.abs() / n, beta * (v.exp() * (1 + v.abs() / 2) + 1) / (2 * n))
        found = gradients(
            candidate, loss, leaves, ("logits", "mu", "logvar"), may_be_missing=() if beta else ("mu", "logvar")
        )
        for got, want, size, name in zip(found, wants, sizes, ("logits", "mu", "logvar")):
            same_tensor(
                got, want, f"dloss/d{name} at beta = {beta:.4g}", scale=size, floor=1e-5 * min(1.0, beta or 1.0)
            )


@VAE_LOSS.law("works in double precision, for a batch of one, on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n in (1, 5):
        inputs = _inputs(draw, n, (6,), 2, torch.float64)
        first, second = (float(_call(candidate, inputs, 0.5)[0].detach()) for _ in range(2))
        try:
            same_number(second, first, "loss of the same arguments again", rounding=1e-5)
        except Broken as broken:
            raise Broken(broken.expected, broken.got, MONTE_CARLO) from None
        same_number(
            first,
            inputs.distortion + 0.5 * inputs.rate,
            f"loss of {n} images in float64",
            scale=inputs.distortion_size + inputs.rate_size,
        )
    for device in candidate.devices():
        inputs = _inputs(draw, 3, (6,), 2)
        there = Inputs(*(t.to(device) for t in inputs.copies()))
        same_number(
            _call(candidate, there, 0.5)[0],
            inputs.distortion + 0.5 * inputs.rate,
            f"loss on {device}",
            scale=inputs.distortion_size + inputs.rate_size,
        )


@VAE_LOSS.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = tuple(4 * t if index != 1 else t for index, t in enumerate(_inputs(draw, 20, (5,), 4).copies()))
    kept = [t.clone() for t in given]
    _SUM.loss(candidate(*given, 0.5))
    untouched(kept, given, ("logits", "x", "mu", "logvar"))
    well_behaved(candidate)


# ---------------------------------------------------------------------------------------------------------------------

_CONVERSION = (
    "the paragraph above the card of elbo_beta: a loss averaged over pixels is the summed one divided by num_pixels"
)


def _elbo_wrong(id: str, sentence: str) -> Cause:
    return Cause(id, sentence, _CONVERSION)


_CONVERSIONS = [
    (None, lambda b, n: b * n),
    (
        _elbo_wrong(
            "divided",
            "You divide by num_pixels; the summed distortion is num_pixels times larger, so beta must grow too.",
        ),
        lambda b, n: b / n,
    ),
    (_elbo_wrong("unconverted", "You return beta unchanged."), lambda b, n: b),
    (_elbo_wrong("inverse", "You return the inverse, num_pixels / beta."), lambda b, n: n / b),
    (_elbo_wrong("inverse", "You return the inverse, 1 / (beta * num_pixels)."), lambda b, n: 1 / (b * n)),
    (
        _elbo_wrong(
            "fixed_size", "784 is written into your function: images of another size have another number of pixels."
        ),
        lambda b, n: b * 784,
    ),
    (
        _elbo_wrong("side_for_pixels", "You multiply by the side of the image instead of its number of pixels."),
        lambda b, n: b * n**0.5,
    ),
    (_elbo_wrong("squared", "You multiply by num_pixels twice."), lambda b, n: b * n * n),
    (_elbo_wrong("added", "You add num_pixels; the factor multiplies."), lambda b, n: b + n),
    (_elbo_wrong("factor_two", "There is a factor of two too much."), lambda b, n: 2 * b * n),
    (_elbo_wrong("factor_half", "There is a factor of one half too much."), lambda b, n: b * n / 2),
    (
        _elbo_wrong("rounded", "You round to a whole number: 0.001 * 784 is 0.784, not 0 or 1."),
        lambda b, n: float(int(b * n)),
    ),
    (
        _elbo_wrong("rounded", "You round to a whole number: 0.001 * 784 is 0.784, not 0 or 1."),
        lambda b, n: float(round(b * n)),
    ),
    (
        _elbo_wrong("capped", "You cut the result off at 1; beta = 10 per pixel is 7840 on MNIST."),
        lambda b, n: min(b * n, 1.0),
    ),
    (_elbo_wrong("minus_one", "num_pixels itself is the factor, not num_pixels - 1."), lambda b, n: b * (n - 1)),
    (_elbo_wrong("wrong_sign", "The sign is wrong."), lambda b, n: -b * n),
]


def _diagnose_beta(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = [
        (beta, pixels, number(candidate(beta, pixels), "beta", tensor_allowed=True))
        for beta, pixels in ((0.0137, 900), (2.3, 192), (0.31, 12288))
    ]
    hits = {}
    for cause, formula in _CONVERSIONS:
        if all(abs(came - formula(beta, pixels)) <= 1e-5 * abs(formula(beta, pixels)) for beta, pixels, came in probes):
            if cause is None:
                return None
            hits[cause.id] = cause
    return next(iter(hits.values())) if len(hits) == 1 else None


ELBO_BETA = Check("elbo_beta(beta_per_pixel, num_pixels)", "float")
ELBO_BETA.diagnosis(_diagnose_beta)


def _converted(candidate: Candidate, beta: float, pixels: int) -> None:
    same_number(
        number(candidate(beta, pixels), "beta on the scale of the ELBO", tensor_allowed=True),
        beta * pixels,
        f"beta for {beta:.4g} per pixel and {pixels} pixels",
        rounding=1e-5,
        floor=1e-9,
    )


@ELBO_BETA.law("converts the homework's labels on MNIST", weight=2)
def _homework(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for beta in (0.001, 0.01, 10.0, 1 / 784):
        _converted(candidate, beta, 784)


@ELBO_BETA.law("converts for images of every size", weight=2)
def _sizes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for pixels in (1, 64, 64 * 64 * 3, draw.integer(2, 9999)):
        _converted(candidate, draw.number(0.001, 0.1), pixels)


@ELBO_BETA.law("converts every beta: none, whole numbers, tiny ones")
def _betas(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for beta in (0.0, 0, 3, 1e-6, draw.number(5, 50), draw.number(100, 1000)):
        _converted(candidate, beta, 784)
    _converted(candidate, 1.0, 784)


CHECK = VAE_LOSS
