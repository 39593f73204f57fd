"""What the losses of the form distortion + weight * regulariser have in common: how they are read and diagnosed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..engine.causes import Probe, agrees, both, sole
from ..engine.demand import ROUNDING, describe, number, plain64, same_number, scalar, several
from ..engine.score import Cause
from ..engine.trusted import bernoulli_size, bernoulli_terms, per_image
from ..engine.verdict import Broken, blame
from ..exercises.reconstruction_loss import LAST_AXIS, OVERFLOW, match_reconstruction

SURE_LOGITS, SURE_PIXELS = torch.tensor([1e4, -1e4, 1e4, -1e4]), torch.tensor([1.0, 0.0, 0.0, 0.5])


@dataclass(frozen=True)
class Images:
    """What every such loss takes first, with the distortion in nats per image; ``_size`` is that of the terms added."""

    logits: torch.Tensor
    x: torch.Tensor

    @property
    def distortion(self) -> float:
        return per_image(bernoulli_terms(plain64(self.logits), plain64(self.x)))

    @property
    def distortion_size(self) -> float:
        return per_image(bernoulli_size(plain64(self.logits), plain64(self.x)))


PART_IS_NUMBER = Cause(
    "part_is_number",
    "You return a part as a Python number: whoever calls you asks it for .item(), as the example in the docstring "
    "does. Leave it a tensor.",
    "the last line of your function",
)

NOT_ITS_PARTS = Cause(
    "not_its_parts",
    "Your loss is not made of the two numbers that you return beside it: compute each part once, and add these.",
    "the line that makes the loss",
    tentative=True,
)

Observed = tuple[Any, float, tuple]  # the inputs, the weight, the three values that came


@dataclass(frozen=True)
class WeightedSum:
    """One such loss.

    Args:
        part: the regulariser's name, which is that of the inputs' property as well: ``rate``, ``mmd``, ``gap``.
        swapped, order: distortion and regulariser in each other's place; any other order.
        part_weighted, distortion_weighted: a part comes back multiplied by its weight.
        losses: (cause, formula of distortion, regulariser and weight); the right one has the cause None.
        match_part: a mistake within the regulariser.
    """

    part: str
    swapped: Cause
    order: Cause
    part_weighted: Cause
    distortion_weighted: Cause
    losses: Sequence[tuple[Cause | None, Callable[[float, float, float], float]]]
    match_part: Callable[[list[Observed]], Cause | None]

    @property
    def names(self) -> tuple[str, str, str]:
        return "loss", "distortion", self.part

    def loss(self, came: Any) -> torch.Tensor:
        """The loss with its graph; nothing is said of the other two values but that they are there."""
        return scalar(several(came, self.names)[0], "the loss")

    def three(self, came: Any, *, tensors: bool = False) -> tuple[torch.Tensor, float, float]:
        """As `read`, none of them with an axis; with ``tensors``, Python's own numbers will not do for the parts."""
        for value, name in zip(several(came, self.names), self.names, strict=True):
            if name != "loss" and tensors and isinstance(value, (int, float)):
                raise Broken(f"the {name} as a scalar tensor", describe(value), PART_IS_NUMBER)
            if name == "loss" or isinstance(value, torch.Tensor):
                scalar(value, f"the {name}", exactly=True)
        return self.read(came)

    def read(self, came: Any) -> tuple[torch.Tensor, float, float]:
        """The loss with its graph, and both parts: these are to be looked at; a detached tensor or a number will do."""
        loss, distortion, part = several(came, self.names)
        return scalar(loss, "the loss"), _part(distortion, "the distortion"), _part(part, f"the {self.part}")

    def same_loss(
        self, came: tuple[torch.Tensor, float, float], weight: float, where: str = "", rounding: float = ROUNDING
    ) -> None:
        """Raises Broken where the loss is not the weighted sum of the parts that the same call returns (see `read`)."""
        loss, distortion, part = came
        if min(abs(distortion), abs(part)) < 1e-6:
            raise Broken(f"distortion and {self.part} other than 0{where}", f"{min(abs(distortion), abs(part)):.4g}")
        with blame(NOT_ITS_PARTS):
            same_number(
                loss,
                distortion + weight * part,
                f"loss at weight {weight:.4g}{where} (distortion + weight * {self.part})",
                scale=abs(distortion) + abs(weight * part),
                rounding=rounding,
            )

    def right_loss(self, came: Any, inputs: Any, weight: float, what: str) -> None:
        """Raises Broken where a loss is not that of these inputs."""
        part, size = self._of(inputs), getattr(inputs, f"{self.part}_size")
        same_number(came, inputs.distortion + weight * part, what, scale=inputs.distortion_size + weight * size)

    def diagnose(self, probes: list[Observed]) -> Cause | None:
        """The first cause that explains all probes."""
        if not all(isinstance(came, tuple) and len(came) == 3 for _, _, came in probes):
            return None
        return self._order(probes) or self._weighted(probes) or self._within(probes) or self._sum(probes)

    def changed_weight(
        self, call: Callable[[Any, float], Any], given: Sequence[Any], weights: Sequence[float]
    ) -> Cause | None:
        """The parts are right, and the loss has another weight than was asked for, the same for all inputs `given`."""
        for weight in weights:
            used = []
            for inputs in given:
                loss, distortion, part = self.read(call(inputs, weight))
                right = agrees(distortion, torch.tensor(inputs.distortion)) and agrees(
                    part, torch.tensor(self._of(inputs))
                )
                if not right:
                    return None
                used.append((float(loss.detach()) - distortion) / part)
            middle = sum(used) / len(used)
            if max(used) - min(used) <= 0.01 * abs(middle) + 1e-4 and abs(middle - weight) > 0.05 * weight + 2e-3:
                return Cause(
                    "changed_weight",
                    f"For the weight {weight:g} your loss is distortion + {middle:.4g} * {self.part}: min, max or `or` "
                    "makes another number of it.",
                    self.swapped.where,
                )
        return None

    def agree(self, probes: list[Observed], which: int, formula: Callable[[float, float, float], float]) -> bool:
        """Whether value ``which`` is, in every probe, this formula of distortion, regulariser and weight."""
        return all_agree(probes, which, lambda inputs, weight: formula(inputs.distortion, self._of(inputs), weight))

    def _of(self, inputs: Any) -> float:
        return getattr(inputs, self.part)

    def _order(self, probes: list[Observed]) -> Cause | None:
        d_in = [self.agree(probes, i, lambda d, part, weight: d) for i in range(3)]
        part_in = [self.agree(probes, i, lambda d, part, weight: part) for i in range(3)]
        if d_in[2] and part_in[1]:
            return self.swapped
        total = [self.agree(probes, i, lambda d, part, weight: d + weight * part) for i in range(3)]
        return self.order if any(total) and any(d_in) and any(part_in) and not total[0] else None

    def _weighted(self, probes: list[Observed]) -> Cause | None:
        if self.agree(probes, 2, lambda d, part, weight: weight * part):
            return self.part_weighted
        weighted = (lambda d, part, weight: weight * d), (lambda d, part, weight: (1 - weight) * d)
        return self.distortion_weighted if any(self.agree(probes, 1, formula) for formula in weighted) else None

    def _within(self, probes: list[Observed]) -> Cause | None:
        """A mistake inside one of the parts or in both, as public code has it: sums or means of everything."""
        as_distortion = [Probe((plain64(inputs.logits), plain64(inputs.x)), came[1]) for inputs, _, came in probes]
        distortion = inside("distortion", match_reconstruction(as_distortion))
        found = [cause for cause in (distortion, self.match_part(probes)) if cause]
        if len(found) == 2 and found[0].id == found[1].id:
            return replace(found[0], sentence=f"{found[0].sentence} {found[1].sentence}")
        return both(*found) if len(found) == 2 else found[0] if found else None

    def _sum(self, probes: list[Observed]) -> Cause | None:
        return sole(cause for cause, formula in self.losses if self.agree(probes, 0, formula))


def inside(part: str, cause: Cause | None) -> Cause | None:
    """A cause of an earlier exercise, said of a part."""
    return cause and replace(cause, sentence=f"In the {part}: {cause.sentence}")


def all_agree(probes: list[Observed], which: int, predict: Callable[[Any, float], float]) -> bool:
    """Whether value ``which`` is, in every probe, what ``predict`` makes of inputs and weight."""
    return all(
        agrees(came[which], torch.tensor(predict(inputs, weight), dtype=torch.float64))
        for inputs, weight, came in probes
    )


def same_distortion(came: float, inputs: Images) -> None:
    """Raises Broken where it is another; the cause is named where only one axis was summed."""
    n, *image = inputs.x.shape
    terms = bernoulli_terms(plain64(inputs.logits), plain64(inputs.x))
    one_axis = len(image) > 2 and image[0] > 1 and any(agrees(came, terms.sum(axis).mean()) for axis in (1, -1))
    with blame(LAST_AXIS if one_axis else None):
        what = f"distortion of {n} images of shape {tuple(image)}"
        same_number(came, inputs.distortion, what, scale=inputs.distortion_size)


def sure(inputs: Images) -> Any:
    """The same with four pixels in each image, whose logits are +-10000."""
    n = len(inputs.x)
    return replace(inputs, logits=SURE_LOGITS.repeat(n, 1), x=SURE_PIXELS.repeat(n, 1))


def same_sure_distortion(call: Callable[[Any], tuple[Any, ...]], inputs: Images) -> None:
    """Raises Broken where the distortion is another for four pixels whose logits are +-10000: there a formula with
    exponentials overflows, which is then the cause.

    Args:
        call: from inputs to what ``WeightedSum.read`` gives.
        inputs: of whatever images; they are replaced.
    """
    inputs = sure(inputs)
    try:
        same_number(call(inputs)[1], inputs.distortion, "distortion at logits of +-10000")
    except Broken as broken:
        if "inf" in broken.got or "nan" in broken.got:
            broken.cause = broken.cause or OVERFLOW
        raise


def _part(value: Any, what: str) -> float:
    if isinstance(value, (int, float)):
        return number(value, what, tensor_allowed=True)
    return float(scalar(value, what).detach())
