"""Laws of `mmd_vae_loss(logits, x, z_posterior, z_prior, weight, bandwidths)`: distortion + weight * MMD^2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Probe
from ..engine.demand import gradients, plain64, same_number, same_tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.trusted import mmd, mmd_size, mmd_squared
from ..engine.verdict import Broken, blame
from ..shared.mmd_causes import CLAMPED, match_mmd
from ..shared.tables import causes
from ..shared.weighted_sum import Images, WeightedSum, inside, same_distortion, same_sure_distortion, sure

CHECK = Check(
    "mmd_vae_loss(logits, x, z_posterior, z_prior, weight, bandwidths)", "(loss, distortion, mmd)", lends=mmd_squared
)
_CARD = "the card of mmd_vae_loss: loss = distortion + weight * mmd"
_CLOSE = 2e-3


@CHECK.law("returns three scalars: loss, distortion, mmd")
def _three(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs. The first call must be right as well: a weight that grows from call to call would have
    grown by the time the later laws look."""
    inputs = _inputs(draw, 8, (7,), 4)
    first = _SUM.three(candidate(*inputs.copies(), 1.0, list(inputs.widths)))
    for weight in (0, 100):
        _call(candidate, _inputs(draw, 8, (7,), 4), weight)
    _SUM.same_loss(first, 1.0, " in the first call", _CLOSE)
    for n in (2, 3, 4, 5):  # an mmd that is drawn anew for the loss may be like the first once
        inputs = _inputs(draw, n, (7,), 4)
        inputs.z_posterior[:, 0] += 20  # so far off that the estimate is above 0, also for two codes
        _SUM.same_loss(_call(candidate, inputs, 1.0), 1.0, f" for {n} images", _CLOSE)


@CHECK.law("returns the distortion in nats per image, whatever the shape of the images", weight=2)
def _distortion(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, image in ((2, (9,)), (4, (784,)), (3, (2, 4, 5)), (2, (3, 64, 64)), (draw.integer(90, 130), (5,))):
        inputs = _inputs(draw, n, image, 3)
        same_distortion(_call(candidate, inputs, draw.number(0.2, 3))[1], inputs)
    same_sure_distortion(lambda inputs: _call(candidate, inputs, 1.0), _inputs(draw, 2, (4,), 2))


@CHECK.law("returns the unbiased MMD^2 of codes and prior draws at these bandwidths", weight=3)
def _mmd(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, m, d, widths in (
        (3, 3, 1, (1.0,)),
        (6, 6, 4, (0.7, 3.0)),
        (5, 8, 3, (2.0, 1.0, 4.0)),
        (9, 4, 2, (0.9, 1.8)),
    ):
        inputs = replace(_inputs(draw, n, (5,), d, m), widths=widths)
        _same_mmd(candidate, inputs, draw.number(0.2, 3), f"mmd of {n} codes and {m} prior draws")
    n = 128  # as in a training
    inputs = replace(_inputs(draw, n, (5,), 20), widths=(1.1, 9.0, 2.2, 18.0, draw.number(4, 5)))
    inputs.z_posterior[: n // 2] *= 2
    _same_mmd(candidate, inputs, 1.0, f"mmd of {n} codes and {n} prior draws of 20 dimensions")
    z = draw.normal(4, 2)
    inputs = Inputs(torch.zeros(4, 3), torch.ones(4, 3), z, z.clone())
    _same_mmd(candidate, inputs, 1.0, "mmd where the codes are the prior draws (below 0)")


@CHECK.law("returns distortion and mmd unweighted: they do not depend on the weight")
def _unweighted(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    inputs = _inputs(draw, 8, (12,), 3)
    seen = [_call(candidate, inputs, weight)[1:] for weight in (1.0, 0.0, 0.01, 100.0, 4)]
    for name, values in zip(_SUM.names[1:], zip(*seen, strict=True), strict=True):
        if max(map(abs, values)) < 1e-6:
            raise Broken(f"a {name} other than 0", "0")
        for value in values[1:]:
            same_number(value, values[0], f"{name}, the same for every weight", rounding=1e-3)


@CHECK.law("adds the mmd to the distortion, weighted", weight=3)
def _sum(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the parts that the same call returns: a correct function never fails."""
    inputs = _inputs(draw, 8, (2,), 3)
    for weight in (1.0, 0.0, 10, 100.0, 1000.0, draw.number(0.05, 0.95), draw.number(1.5, 40.0), draw.number(2e3, 1e5)):
        _SUM.same_loss(_call(candidate, inputs, weight), weight, rounding=_CLOSE)
    for n, image in ((8, (2, 4, 5)), (8, (3, 64, 64)), (draw.integer(40, 60), (5,))):
        weight = draw.number(50, 500)
        _SUM.same_loss(
            _call(candidate, _inputs(draw, n, image, 3), weight), weight, f" for {n} images of shape {image}", _CLOSE
        )
    _SUM.same_loss(_call(candidate, sure(_inputs(draw, 2, (4,), 3)), 10.0), 10.0, ", logits of +-10000", _CLOSE)
    z = draw.normal(5, 2)
    near = Inputs(inputs.logits[:1].repeat(5, 1), inputs.x[:1].repeat(5, 1), z, z.clone())
    _SUM.same_loss(_call(candidate, near, 50.0), 50.0, " where the mmd is negative", _CLOSE)


@CHECK.law("has the right gradient in the logits and in the codes, for every weight", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, image, d, weight in (
        (8, (8,), 4, 1.0),
        (9, (5,), 2, 100.0),
        (8, (4,), 3, draw.number(0.1, 5)),
        (8, (4,), 2, 0.0),
        (20, (2, 3, 4), 3, draw.number(2e3, 1e4)),
    ):
        inputs = _inputs(draw, n, image, d)
        a, x = plain64(inputs.logits), plain64(inputs.x)
        z = plain64(inputs.z_posterior).requires_grad_()
        (by_code,) = torch.autograd.grad(mmd(z, plain64(inputs.z_prior), inputs.widths), z)
        logits, given, z_posterior, z_prior = inputs.copies()
        leaves = logits.requires_grad_(), z_posterior.requires_grad_()
        names = ("logits", "z_posterior")
        loss = _SUM.loss(candidate(logits, given, z_posterior, z_prior, weight, list(inputs.widths)))
        found = gradients(candidate, loss, leaves, names, may_be_missing=() if weight else names[1:])
        same_tensor(found[0], (a.sigmoid() - x) / n, f"dloss/dlogits at weight {weight:.4g}", scale=1 / n)
        with blame(MMD_DETACHED if weight and float(found[1].abs().max()) == 0 else None):
            same_tensor(
                found[1],
                weight * by_code,
                f"dloss/dz_posterior at weight {weight:.4g}",
                scale=weight / n,
                rounding=_CLOSE,
                floor=1e-6,
            )


@CHECK.law("works in double precision and on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    inputs = _inputs(draw, 10, (40,), 2, dtype=torch.float64)  # of fewer, the MMD may come near 0 by chance
    for weight in (0.5, 200.0):  # one for the distortion to show, one for the mmd
        first, second = (float(_call(candidate, inputs, weight)[0].detach()) for _ in range(2))
        with blame(RANDOM):
            same_number(second, first, "loss of the same arguments again", rounding=1e-5)
        want = inputs.distortion + weight * inputs.mmd
        size = inputs.distortion_size + weight * inputs.mmd_size / 10
        same_number(first, want, f"loss of 10 images in float64, at weight {weight:g}", scale=size)
        for device in candidate.devices():
            logits, x, z_posterior, z_prior = (t.float().to(device) for t in inputs.copies())
            there = Inputs(logits, x, z_posterior, z_prior)
            same_number(_call(candidate, there, weight)[0], want, f"loss on {device}", scale=size)


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = _inputs(draw, 20, (5,), 4).copies()
    kept = [t.clone() for t in given]
    _SUM.loss(candidate(*given, 0.5, [1.0, 2.0]))
    untouched(kept, given, ("logits", "x", "z_posterior", "z_prior"))
    well_behaved(candidate)


@dataclass(frozen=True)
class Inputs(Images):
    z_posterior: torch.Tensor
    z_prior: torch.Tensor
    widths: tuple[float, ...] = (0.8, 2.0)

    def copies(self) -> tuple[torch.Tensor, ...]:
        return tuple(t.clone() for t in (self.logits, self.x, self.z_posterior, self.z_prior))

    @property
    def mmd(self) -> float:
        return float(mmd(plain64(self.z_posterior), plain64(self.z_prior), self.widths))

    @property
    def mmd_size(self) -> float:
        return mmd_size(plain64(self.z_posterior), plain64(self.z_prior), self.widths)


def _inputs(
    draw: Draw, n: int, image: tuple[int, ...], d: int, m: int | None = None, dtype: torch.dtype = torch.float32
) -> Inputs:
    """Codes that are shifted against the prior, so that their MMD is well above 0 where there are eight of them."""
    z = draw.normal(n, d, scale=0.7, dtype=dtype)
    z[:, 0] += 2.5
    return Inputs(
        draw.normal(n, *image, scale=2.0, dtype=dtype),
        draw.pixels(n, *image, dtype=dtype),
        z,
        draw.normal(m or n, d, dtype=dtype),
    )


def _call(candidate: Candidate, inputs: Inputs, weight: float) -> tuple[torch.Tensor, float, float]:
    return _SUM.read(candidate(*inputs.copies(), weight, list(inputs.widths)))


def _match_mmd(probes: list) -> Cause | None:
    as_mmd = [
        Probe(
            (plain64(inputs.z_posterior), plain64(inputs.z_prior), torch.tensor(inputs.widths, dtype=torch.float64)),
            came[2],
        )
        for inputs, _, came in probes
    ]
    return inside("mmd", match_mmd(as_mmd))


def _same_mmd(candidate: Candidate, inputs: Inputs, weight: float, what: str) -> None:
    got = _call(candidate, inputs, weight)[2]
    cut_off = inputs.mmd < 0 and abs(got) < 1e-3 * abs(inputs.mmd)
    with blame(replace(CLAMPED, tentative=True) if cut_off else None):
        same_number(got, inputs.mmd, what, scale=inputs.mmd_size, rounding=_CLOSE)


_MISTAKES: tuple[tuple[str, str, Callable[[float, float, float], float]], ...] = (
    ("weight_ignored", "The weight is ignored: the loss is distortion + mmd.", lambda d, q, w: d + q),
    (
        "weight_on_distortion",
        "The weight multiplies the distortion; it weighs the mmd.",
        lambda d, q, w: w * d + q,
    ),
    (
        "weight_on_both",
        "The weight multiplies both terms; it weighs the mmd only.",
        lambda d, q, w: w * (d + q),
    ),
    ("weight_squared", "The weight enters squared; is the mmd weighted twice?", lambda d, q, w: d + w * w * q),
    ("weight_divides", "The mmd is divided by the weight instead of multiplied.", lambda d, q, w: d + q / w),
    (
        "mmd_subtracted",
        "The mmd is subtracted: the loss falls as the codes leave the prior.",
        lambda d, q, w: d - w * q,
    ),
    ("wrong_sign", "The loss has the wrong sign.", lambda d, q, w: -(d + w * q)),
    (
        "mixture",
        "You weigh the terms (1 - weight) and weight; the distortion has weight 1.",
        lambda d, q, w: (1 - w) * d + w * q,
    ),
    ("mmd_missing", "The mmd is missing from the loss.", lambda d, q, w: d),
    ("distortion_missing", "The distortion is missing from the loss.", lambda d, q, w: w * q),
    (
        "weight_capped",
        "The weight is cut off at 1: larger values are asked for as well.",
        lambda d, q, w: d + min(w, 1.0) * q,
    ),
    (
        "weight_minus_one",
        "The weight is lowered by 1: InfoVAE's alpha + lambda - 1 is the weight itself here.",
        lambda d, q, w: d + (w - 1) * q,
    ),
    ("product", "You multiply distortion and mmd; the loss is their weighted sum.", lambda d, q, w: d * w * q),
    ("one_plus_weight", "The mmd counts 1 + weight times: it is added twice.", lambda d, q, w: d + (1 + w) * q),
    (
        "averaged",
        "You take the average of the two terms; the loss is their weighted sum.",
        lambda d, q, w: (d + w * q) / 2,
    ),
)
_ORDER = Cause("wrong_order", "The three values come in another order: loss first, then distortion, then mmd.", _CARD)
MMD_DETACHED = Cause(
    "mmd_detached",
    "The loss has no gradient in z_posterior: there the mmd is detached, or left out.",
    _CARD,
    tentative=True,
)
RANDOM = Cause(
    "random", "The same arguments give another number the second time: z_prior is given, nothing is drawn here.", _CARD
)
_SUM = WeightedSum(
    part="mmd",
    swapped=_ORDER,
    order=_ORDER,
    part_weighted=Cause(
        "mmd_weighted",
        "You return the mmd already multiplied by the weight: return it unweighted, so that curves of different "
        "weights can be compared.",
        _CARD,
    ),
    distortion_weighted=Cause(
        "distortion_weighted", "You return the distortion already weighted: return it unweighted.", _CARD
    ),
    losses=[(None, lambda d, q, w: d + w * q), *causes(_CARD, _MISTAKES)],
    match_part=_match_mmd,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, m, p, d, weight in ((7, 5, 6, 4, 0.3), (5, 9, 4, 2, 2.5), (6, 4, 5, 3, 20.7)):
        inputs = replace(_inputs(draw, n, (p,), d, m), widths=(draw.number(0.6, 0.9), draw.number(2.3, 2.9), 1.4))
        probes.append((inputs, weight, candidate(*inputs.copies(), weight, list(inputs.widths))))
    return _SUM.diagnose(probes) or _SUM.changed_weight(
        lambda inputs, weight: candidate(*inputs.copies(), weight, list(inputs.widths)),
        [inputs for inputs, _, _ in probes[:2]],
        (0.3, 2.5, 0.0, 20.0, 200.0, 5000.0),
    )
