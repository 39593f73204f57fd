"""Laws of `wasserstein_vae_loss(logits, x, critic, z_posterior, weight)`: (loss, distortion, gap)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import gradients, plain64, same_number, same_tensor, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import Broken, blame, counted
from ..shared.critics import Belongings, deep_critic, linear_critic, mean_value, values
from ..shared.tables import causes
from ..shared.weighted_sum import Images, WeightedSum, all_agree, same_distortion, same_sure_distortion, sure

CHECK = Check("wasserstein_vae_loss(logits, x, critic, z_posterior, weight)", "(loss, distortion, gap)")
_CARD = "the card of wasserstein_vae_loss: loss = distortion + weight * gap, gap = minus the mean critic on z_posterior"


@CHECK.law("returns three scalars: loss, distortion, gap")
def _three(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs. The first call must be right as well: a weight that grows from call to call would have
    grown by the time the later laws look."""
    first = _SUM.three(_inputs(draw, 3, (7,), 4, level=4.0).call(candidate, 1.0))
    for weight in (0, 3):
        _SUM.read(_inputs(draw, 3, (7,), 4).call(candidate, weight))
    _SUM.same_loss(first, 1.0, " in the first call")


@CHECK.law("returns the distortion in nats per image, whatever the shape of the images")
def _distortion(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, image in (
        (1, (9,)),
        (4, (784,)),
        (2, (3, 4, 5)),
        (3, (1, 8, 9)),
        (2, (3, 64, 64)),
        (draw.integer(150, 250), (5,)),
    ):
        inputs = _inputs(draw, n, image, 3)
        same_distortion(_SUM.read(inputs.call(candidate, draw.number(0.2, 3)))[1], inputs)
    same_sure_distortion(lambda inputs: _SUM.read(inputs.call(candidate, 1.0)), _inputs(draw, 1, (4,), 2))


@CHECK.law("returns as gap minus the mean of the critic on z_posterior, whatever its sign", weight=3)
def _gap(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, d, level in (
        (1, 3, 4.0),
        (5, 10, -4.0),
        (32, 2, 0.0),
        (4, 4, 50.0),
        (4, 4, -50.0),
        (draw.integer(150, 250), 4, draw.number(1100, 3000)),
        (4, 24, -draw.number(1100, 3000)),
    ):
        inputs = _inputs(draw, n, (5,), d, level=level)
        same_number(
            _SUM.read(inputs.call(candidate, draw.number(0.2, 3)))[2],
            inputs.gap,
            f"gap of {counted(n, 'code')} of {counted(d, 'dimension')}",
            scale=inputs.gap_size,
        )


@CHECK.law("returns distortion and gap unweighted: they do not depend on the weight")
def _unweighted(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    for level in (4.0, -4.0):
        inputs = _inputs(draw, 4, (12,), 3, level=level)
        seen = [_SUM.read(inputs.call(candidate, weight))[1:] for weight in (1.0, 0.0, 0.001, 10.0, 0.4)]
        for name, came in zip(_SUM.names[1:], zip(*seen, strict=True), strict=True):
            if min(map(abs, came)) < 1e-6:
                raise Broken(f"a {name} other than 0, whatever the weight is", f"{min(came, key=abs):.4g}")
            for value in came[1:]:
                same_number(value, came[0], f"{name}, the same for every weight", rounding=1e-3)


@CHECK.law("adds the gap to the distortion, weighted", weight=3)
def _sum(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the parts that the same call returns: a correct function never fails."""
    for inputs in (_inputs(draw, 4, (12,), 3, level=6.0), _inputs(draw, 4, (12,), 3, level=-6.0), _confident(draw)):
        for weight in (1.0, 0.0, 0.001, 10.0, 10, 1, draw.number(0.05, 0.95), draw.number(1.5, 4.0)):
            _SUM.same_loss(_SUM.read(inputs.call(candidate, weight)), weight)
    for weight in (draw.number(15, 90), draw.number(150, 1000), 1e4):
        _SUM.same_loss(_SUM.read(_inputs(draw, 4, (12,), 3).call(candidate, weight)), weight)
    for n, image, level in (
        (2, (3, 4, 5), 6.0),
        (2, (3, 64, 64), -1e4),
        (2, (3, 64, 64), 1e4),
        (3, (1, 8, 9), -6.0),
        (draw.integer(150, 250), (5,), 6.0),
    ):
        weight = draw.number(0.5, 3)
        _SUM.same_loss(
            _SUM.read(_inputs(draw, n, image, 3, level=level).call(candidate, weight)),
            weight,
            f" for {n} images of shape {image}",
        )
    _SUM.same_loss(_SUM.read(sure(_inputs(draw, 2, (4,), 3)).call(candidate, 1.0)), 1.0, ", logits of +-10000")


@CHECK.law("has the right gradient in the logits and in z_posterior, for every weight", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, image, d, weight, level in (
        (3, (8,), 4, 1.0, 4.0),
        (2, (6,), 3, 0.001, -4.0),
        (4, (5,), 2, 10.0, -4.0),
        (1, (5,), 3, draw.number(0.1, 5), 4.0),
        (3, (4,), 2, 0.0, 4.0),
        (60, (2, 3, 4), 4, draw.number(100, 1e4), 4.0),
    ):
        inputs = _inputs(draw, n, image, d, level=level)
        a, x = plain64(inputs.logits), plain64(inputs.x)
        known = inputs.z.clone().requires_grad_()
        (pull,) = torch.autograd.grad(-weight * inputs.critic(known).mean(), known)
        logits, z = inputs.logits.clone().requires_grad_(), inputs.z.clone().requires_grad_()
        loss = _SUM.loss(candidate(logits, inputs.x.clone(), inputs.critic, z * 1.0, weight))
        names = "logits", "z_posterior"
        try:
            by_logits, by_z = gradients(candidate, loss, (logits, z), names, may_be_missing=() if weight else names[1:])
        except Broken as broken:
            broken.cause = GAP_DETACHED if names[1] in broken.expected else broken.cause
            raise
        same_tensor(by_logits, (a.sigmoid() - x) / n, f"dloss/dlogits at weight {weight:.4g}", scale=1 / n)
        with blame(None if float(by_z.abs().max()) else GAP_DETACHED):
            what, size = f"dloss/dz_posterior at weight {weight:.4g}", float(pull.abs().max())
            same_tensor(by_z, plain64(pull), what, scale=size, floor=1e-7)


@CHECK.law("works in double precision, for a batch of one, on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, pixels, level in ((1, 6, 4.0), (5, 6, -4.0), (5, 40, 4.0), (5, 40, -4.0)):
        inputs = _inputs(draw, n, (pixels,), 2, torch.float64, level)
        first, second = (float(_SUM.read(inputs.call(candidate, 0.5))[0].detach()) for _ in range(2))
        with blame(RANDOM):
            same_number(second, first, "loss of the same arguments again", rounding=1e-5)
        want, size = inputs.distortion + 0.5 * inputs.gap, inputs.distortion_size + inputs.gap_size
        same_number(first, want, f"loss of {n} images in float64", scale=size)
    for device in candidate.devices():
        inputs = _inputs(draw, 3, (6,), 2)
        want, size = inputs.distortion + 0.5 * inputs.gap, inputs.distortion_size + inputs.gap_size
        there = Inputs(inputs.logits.to(device), inputs.x.to(device), inputs.critic.to(device), inputs.z.to(device))
        same_number(_SUM.read(there.call(candidate, 0.5))[0], want, f"loss on {device}", scale=size)


@CHECK.law("leaves its arguments, the critic and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for lively in (True, False):
        inputs = _inputs(draw, 20, (5,), 4)
        inputs.critic.train(lively)
        given = (inputs.logits.requires_grad_(), inputs.x, inputs.z.requires_grad_() * 1.0)  # as in a training step
        belongings = Belongings(inputs.critic, draw, dict(zip(("logits", "x", "z_posterior"), given, strict=True)))
        _SUM.loss(candidate(*given[:2], inputs.critic, given[2], 0.5))
        belongings.check()
    well_behaved(candidate)


@dataclass(frozen=True)
class Inputs(Images):
    critic: nn.Module
    z: torch.Tensor

    def call(self, candidate: Candidate, weight: float) -> Any:
        return candidate(self.logits.clone(), self.x.clone(), self.critic, self.z.clone(), weight)

    @property
    def gap(self) -> float:
        return -mean_value(self.critic, self.z)

    @property
    def gap_size(self) -> float:
        return float(values(self.critic, self.z).abs().mean()) + 0.1


def _inputs(
    draw: Draw, n: int, image: tuple[int, ...], d: int, dtype: torch.dtype = torch.float32, level: float | None = None
) -> Inputs:
    """A batch; the critic's values lie around `level`, by default 4 or -4, so that the gap has either sign."""
    critic = deep_critic(draw, d, dtype=dtype)
    z = draw.normal(n, d, dtype=dtype)
    with torch.no_grad():
        level = 4.0 * float(draw.signs(1)) if level is None else level
        list(critic.parameters())[-1].add_(level - critic(z).mean())
    return Inputs(draw.normal(n, *image, scale=2.0, dtype=dtype), draw.pixels(n, *image, dtype=dtype), critic, z)


def _confident(draw: Draw, n: int = 3) -> Inputs:
    """Nearly perfect pixels and a large gap: here even a weight of 0.001 is clearly seen in the loss."""
    x = (draw.uniform(n, 6) > 0.5).float()
    return Inputs((2 * x - 1) * 6.0, x, linear_critic(torch.tensor([1.0, 0.0]), bias=-900.0), draw.normal(n, 2))


def _gap_by(formula: Callable[[torch.Tensor], torch.Tensor], inputs: Inputs, _: float) -> float:
    return float(formula(values(inputs.critic, inputs.z)))


def _match_gap(probes: list) -> Cause | None:
    if all_agree(probes, 2, lambda inputs, weight: inputs.gap):
        return None
    return sole(cause for cause, formula in causes(_CARD, _GAPS) if all_agree(probes, 2, partial(_gap_by, formula)))


GAP_DETACHED = Cause(
    "gap_detached",
    "No gradient goes from the loss into z_posterior: the gap is detached, or the critic runs under no_grad. The "
    "encoder would not learn to match the prior.",
    _CARD,
    tentative=True,
)
RANDOM = Cause(
    "random", "The same arguments give another number the second time: there is no randomness in this loss.", _CARD
)
_CLIPPED = (
    "You cut negative gaps off or take their size: a critic's values have no zero of their own, so the gap may be "
    "negative."
)
_SQUARED = "You square the critic's values; the gap is minus their plain mean."
_SIGMOID = "You pass the critic's values through a sigmoid: they are not probabilities."
_GAPS: tuple[tuple[str, str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (
        "gap_sign",
        "The gap has the wrong sign: the critic is high where it sees the prior, so the encoder wants high values on "
        "its codes, and the gap, which is minimised, is minus their mean.",
        lambda c: c.mean(),
    ),
    ("gap_summed", "The gap sums over the batch; the average is asked for.", lambda c: -c.sum()),
    ("gap_clipped", _CLIPPED, lambda c: (-c.mean()).clamp_min(0)),
    ("gap_clipped", _CLIPPED, lambda c: c.mean().abs()),
    ("gap_clipped", _CLIPPED, lambda c: (-c).clamp_min(0).mean()),
    ("gap_squared", _SQUARED, lambda c: c.square().mean()),
    ("gap_squared", _SQUARED, lambda c: -c.square().mean()),
    ("gap_squared", _SQUARED, lambda c: (c - 1).square().mean()),
    ("gap_squared", _SQUARED, lambda c: c.mean().square()),
    ("gap_classifier", _SIGMOID, lambda c: -c.sigmoid().mean()),
    ("gap_classifier", _SIGMOID, lambda c: torch.nn.functional.softplus(-c).mean()),
)
_MISTAKES: tuple[tuple[str, str, Callable[[float, float, float], float]], ...] = (
    ("weight_ignored", "The weight is ignored: the loss is distortion + gap.", lambda d, g, w: d + g),
    (
        "weight_on_distortion",
        "The weight multiplies the distortion; it weighs the gap.",
        lambda d, g, w: w * d + g,
    ),
    (
        "weight_on_both",
        "The weight multiplies both terms; it weighs the gap only.",
        lambda d, g, w: w * (d + g),
    ),
    ("weight_squared", "The weight enters squared; is the gap weighted twice?", lambda d, g, w: d + w * w * g),
    ("weight_divides", "The gap is divided by the weight instead of multiplied.", lambda d, g, w: d + g / w),
    (
        "gap_subtracted",
        "The gap is subtracted: it already has the sign with which it is minimised. Add it.",
        lambda d, g, w: d - w * g,
    ),
    ("distortion_subtracted", "The distortion is subtracted; the loss adds both.", lambda d, g, w: w * g - d),
    ("negative", "The loss has the wrong sign: it is minimised.", lambda d, g, w: -(d + w * g)),
    (
        "mixture",
        "You weigh the terms (1 - weight) and weight; the distortion has weight 1.",
        lambda d, g, w: (1 - w) * d + w * g,
    ),
    ("gap_missing", "The gap is missing from the loss.", lambda d, g, w: d),
    ("distortion_missing", "The distortion is missing from the loss.", lambda d, g, w: w * g),
    (
        "weight_capped",
        "The weight is cut off at 1: larger values are asked for as well.",
        lambda d, g, w: d + min(w, 1.0) * g,
    ),
    ("product", "You multiply distortion and gap; the loss is their weighted sum.", lambda d, g, w: d * w * g),
    ("weight_added", "The weight is added; it must multiply the gap.", lambda d, g, w: d + w + g),
    ("one_plus_weight", "The gap counts 1 + weight times: it is added twice.", lambda d, g, w: d + (1 + w) * g),
    (
        "averaged",
        "You take the average of the two terms; the loss is their weighted sum.",
        lambda d, g, w: (d + w * g) / 2,
    ),
    (
        "scaled_reconstruction",
        "The distortion enters the loss with 0.9 instead of 1.",
        lambda d, g, w: 0.9 * d + w * g,
    ),
    (
        "absolute_gap",
        "The loss takes the gap without its sign; it may be negative.",
        lambda d, g, w: d + w * abs(g),
    ),
    (
        "absolute_gap",
        "The loss cuts a negative gap off; it may be negative.",
        lambda d, g, w: d + w * max(g, 0.0),
    ),
)
_SUM = WeightedSum(
    part="gap",
    swapped=Cause(
        "parts_swapped",
        "distortion and gap are returned in each other's place: the order is loss, distortion, gap.",
        _CARD,
    ),
    order=Cause("wrong_order", "The three values come in another order: loss first, then distortion, then gap.", _CARD),
    part_weighted=Cause(
        "gap_weighted",
        "You return the gap already multiplied by the weight: return it unweighted, so that runs of different weight "
        "can be compared.",
        _CARD,
    ),
    distortion_weighted=Cause(
        "distortion_weighted", "You return the distortion already weighted: return it unweighted.", _CARD
    ),
    losses=[(None, lambda d, g, w: d + w * g), *causes(_CARD, _MISTAKES)],
    match_part=_match_gap,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, p, d, weight, level in ((7, 6, 4, 0.3, 3.0), (9, 4, 2, 2.5, -2.0), (6, 5, 3, 0.7, 5.0)):
        inputs = _inputs(draw, n, (p,), d, level=level)
        probes.append((inputs, weight, inputs.call(candidate, weight)))
    return _SUM.diagnose(probes) or _SUM.changed_weight(
        lambda inputs, weight: inputs.call(candidate, weight),
        [inputs for inputs, _, _ in probes[:2]],
        (0.3, 2.5, 0.0, 20.0, 200.0, 5000.0),
    )
