"""Laws of `rescale(mu, logvar, decoder_weight)`: another scale of the codes, the same images, the least rate."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole
from ..engine.demand import plain64, same_tensor, several, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..shared.tables import causes

CHECK = Check("rescale(mu, logvar, decoder_weight)", "(mu, logvar, decoder_weight)")
NAMES = ("mu", "logvar", "decoder_weight")


@CHECK.law("returns three tensors, shaped as they were given")
def _shapes(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for n, d, width in ((5, 2, 7), (1, 4, 4), (9, 1, 3)):
        _call(candidate, *_inputs(draw, n, d, width))


@CHECK.law("gives every dimension the second moment 1 over the batch", weight=3)
def _second_moment(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, d, width in ((40, 3, 5), (200, 20, 8), (6, 1, 4), (30, 4, 4)):
        mu, logvar, _ = _call(candidate, *_inputs(draw, n, d, width))
        moment = (plain64(mu).square() + plain64(logvar).exp()).mean(0)
        same_tensor(moment, torch.ones_like(moment), "mean of mu² + sigma² over the batch", scale=1.0, rounding=0.05)


@CHECK.law("leaves what the decoder's first layer makes of a code as it was, noise included", weight=3)
def _same_images(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, d, width in ((40, 3, 5), (200, 20, 8), (6, 1, 4), (30, 4, 4)):
        given = _inputs(draw, n, d, width)
        came = _call(candidate, *given)
        eps = plain64(draw.normal(n, d))
        want, got = (_hidden(eps, *map(plain64, each)) for each in (given, came))
        size = float(_hidden(eps.abs(), *(plain64(given[0]).abs(), plain64(given[1]), plain64(given[2]).abs())).max())
        same_tensor(got, want, "input of the decoder's first nonlinearity", scale=size, rounding=0.03)


@CHECK.law("is right element by element, in double precision and on your accelerator", weight=2)
def _exact(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for device in (torch.device("cpu"), *candidate.devices()):
        for dtype in (torch.float32, torch.float64):
            given = tuple(t.to(device) for t in _inputs(draw, 20, 3, 5, dtype))
            came, want = _call(candidate, *given), _right(*map(plain64, given))
            for name, got, right in zip(NAMES, came, want, strict=True):
                same_tensor(got, right, f"{name} on {device}", scale=1 + right.abs(), rounding=0.03)


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = _inputs(draw, 8, 3, 4)
    kept = [t.clone() for t in given]
    candidate(*given)
    untouched(kept, given, NAMES)
    well_behaved(candidate)


def _inputs(draw: Draw, n: int, d: int, width: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    """Codes whose dimensions have scales and means of their own, none near the right one."""
    large, small = draw.uniform(d, low=1.6, high=4.0), draw.uniform(d, low=0.2, high=0.5)
    spread = torch.where(torch.arange(d) % 2 == 1, large, small)
    mu = spread * (draw.normal(n, d) + draw.signs(d) * draw.uniform(d, low=0.5, high=1.0))
    logvar = draw.uniform(n, d, low=-2.0, high=0.0) + 2 * spread.log()
    return mu.to(dtype), logvar.to(dtype), draw.normal(width, d, dtype=dtype)


def _call(candidate: Candidate, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
    came = several(candidate(*(t.clone() for t in given)), NAMES)
    return tuple(tensor(value, t.shape, name) for value, t, name in zip(came, given, NAMES, strict=True))


def _hidden(eps: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (mu + (logvar / 2).exp() * eps) @ weight.T


def _moment(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return (mu.square() + logvar.exp()).mean(0)


def _right(mu: torch.Tensor, logvar: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    c = _moment(mu, logvar).rsqrt()
    return c * mu, logvar + 2 * c.log(), weight / c


Rescaling = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]


def _by(factor: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Rescaling:
    def rescaled(mu, logvar, weight):
        c = factor(mu, logvar)
        return c * mu, logvar + 2 * c.log(), weight / c

    return rescaled


def _with(parts: Callable[..., tuple[torch.Tensor, ...]]) -> Rescaling:
    return lambda mu, logvar, weight: parts(mu, logvar, weight, _moment(mu, logvar).rsqrt())


def _length(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Of each image's code, a column."""
    return (mu.square() + logvar.exp()).mean(1, keepdim=True).sqrt()


def _centred(mu: torch.Tensor, logvar: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    c = _moment(mu - mu.mean(0), logvar).rsqrt()
    return c * (mu - mu.mean(0)), logvar + 2 * c.log(), weight / c


_SHIFTED = "You subtract the mean of the codes: the decoder would show other images."
_EACH_IMAGE = "You scale each image's code by its own length: c belongs to a dimension, and is the same for all images."
_CARD = "the three lines above the card of rescale: mu by c, sigma by c, the decoder's weight by 1 / c"
_MISTAKES = causes(
    _CARD,
    (
        (
            "moment_not_rooted",
            "c is 1 / m; codes of second moment m shrink by its root.",
            _by(lambda m, v: 1 / _moment(m, v)),
        ),
        ("scale_inverted", "c is the root of m instead of 1 over it.", _by(lambda m, v: _moment(m, v).sqrt())),
        (
            "sigma_left_out",
            "The noise is missing from the second moment: E[z²] = mu² + sigma².",
            _by(lambda m, v: m.square().mean(0).rsqrt()),
        ),
        (
            "means_left_out",
            "The means are missing from the second moment: E[z²] = mu² + sigma².",
            _by(lambda m, v: v.exp().mean(0).rsqrt()),
        ),
        (
            "variance",
            "You take the variance, about the mean; the rate asks for the second moment, about 0.",
            _by(lambda m, v: (m.var(0) + v.exp().mean(0)).rsqrt()),
        ),
        (
            "variance",
            "You take the variance, about the mean; the rate asks for the second moment, about 0.",
            _by(lambda m, v: (m.var(0, correction=0) + v.exp().mean(0)).rsqrt()),
        ),
        (
            "summed_over_batch",
            "You sum over the batch where the mean is asked for.",
            _by(lambda m, v: (m.square() + v.exp()).sum(0).rsqrt()),
        ),
        (
            "one_scale",
            "One scale serves all dimensions: each has its own.",
            _by(lambda m, v: (m.square() + v.exp()).mean().rsqrt().expand(m.shape[1])),
        ),
        (
            "logvar_by_log_c",
            "logvar is the log of a variance, which grows with c squared: add 2 log c.",
            _with(lambda m, v, w, c: (c * m, v + c.log(), w / c)),
        ),
        (
            "logvar_multiplied",
            "You multiply logvar; sigma is multiplied, so something is added to its log.",
            _with(lambda m, v, w, c: (c * m, c * v, w / c)),
        ),
        (
            "logvar_multiplied",
            "You multiply logvar; sigma is multiplied, so something is added to its log.",
            _with(lambda m, v, w, c: (c * m, c.square() * v, w / c)),
        ),
        (
            "logvar_kept",
            "logvar is as it was: the noise must shrink with the means.",
            _with(lambda m, v, w, c: (c * m, v, w / c)),
        ),
        (
            "weight_multiplied",
            "The weight must undo what is done to the codes: divide it by c.",
            _with(lambda m, v, w, c: (c * m, v + 2 * c.log(), w * c)),
        ),
        (
            "weight_kept",
            "The decoder is as it was: it would show other images.",
            _with(lambda m, v, w, c: (c * m, v + 2 * c.log(), w)),
        ),
        (
            "logvar_read_as_log_sigma",
            "You read logvar as the log of sigma.",
            _by(lambda m, v: (m.square() + (2 * v).exp()).mean(0).rsqrt()),
        ),
        (
            "variance",
            "You divide by the spread of the means; the second moment has their mean and the noise in it as well.",
            _by(lambda m, v: 1 / m.std(0)),
        ),
        (
            "logvar_sign",
            "You subtract 2 log c from logvar: codes times c have a noise times c.",
            _with(lambda m, v, w, c: (c * m, v - 2 * c.log(), w / c)),
        ),
        (
            "scaled_image_by_image",
            _EACH_IMAGE,
            lambda m, v, w: (m / m.norm(dim=1, keepdim=True), v, w),
        ),
        (
            "scaled_image_by_image",
            _EACH_IMAGE,
            lambda m, v, w: (m / _length(m, v), v - 2 * _length(m, v).log(), w),
        ),
        (
            "sigma_not_squared",
            "exp(logvar / 2) is sigma; the second moment has its square, exp(logvar).",
            _by(lambda m, v: (m.square() + (v / 2).exp()).mean(0).rsqrt()),
        ),
        (
            "noise_replaced",
            "You give every code a noise of variance 1: the noise is scaled with the means, by the same c.",
            lambda m, v, w: (m / m.std(0), 0 * v, w * m.std(0)),
        ),
        (
            "never_larger",
            "c is cut off at 1: codes whose second moment is below 1 must grow.",
            _by(lambda m, v: _moment(m, v).rsqrt().clamp_max(1)),
        ),
        ("nothing_changes", "Everything comes back as it was.", lambda m, v, w: (m, v, w)),
        ("centred", _SHIFTED, _centred),
        (
            "centred",
            _SHIFTED,
            _with(lambda m, v, w, c: (c * (m - m.mean(0)), v + 2 * c.log(), w / c)),
        ),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The mistake that gives all three of what came."""
    given = _inputs(draw, 12, 3, 5)
    came = candidate(*(t.clone() for t in given))
    if not isinstance(came, tuple) or len(came) != 3:
        return None
    return sole(
        cause
        for cause, mistake in _MISTAKES
        if all(agrees(got, want) for got, want in zip(came, mistake(*map(plain64, given)), strict=True))
    )
