"""Name the likely misconception: compare what came with what known misconceptions would have given.

A loss is a formula for each element followed by a reduction. Both have a table of known mistakes, and every pair of
rows predicts a number for each probe. A cause is named only when its prediction agrees with what came on all probes
and no other cause does: unknown is better than wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from .score import Cause

Behaviour = TypeVar("Behaviour")
Formula = tuple["Cause | None", Callable[..., Any]]
Reduction = tuple["Cause | None", Callable[[Any], torch.Tensor]]  # of a tensor, or of what a formula makes
_AGREEMENT = 1e-3  # float32 agrees with float64 far better than this; misconceptions differ by far more

_SHAPES = "'Shapes' on the exercise card: sum over everything but the first axis, then average over the batch"

MEAN_OF_ALL = Cause(
    "mean_over_everything",
    "You average over pixels or dimensions as well as over the batch: the "
    "terms within one image must be summed, or the weight of the two losses depends on the image size.",
    _SHAPES,
)
SUM_OF_ALL = Cause(
    "sum_over_batch",
    "You sum over the batch as well: the loss of one image must not depend on how many others are in its batch.",
    _SHAPES,
)
PER_IMAGE = Cause("per_image", "You return one number per image; the average over the batch is missing.", _SHAPES)
UNREDUCED = Cause("unreduced", "You return one number per element; neither the sum nor the average is taken.", _SHAPES)
BATCH_SUMMED = Cause(
    "axes_swapped", "You average within an image and sum over the batch: it is the other way round.", _SHAPES
)
FIRST_AXIS = Cause("averages_first_axis_only", "You average over the batch, but never sum over the rest.", _SHAPES)
DIVIDED_TWICE = Cause("divided_by_batch_twice", "You divide by the batch size twice.", _SHAPES)
FIXED_SIZE = Cause(
    "fixed_size", "784 is written into your function: other images have another number of pixels. Sum instead.", _SHAPES
)
UNBIASED = Cause(
    "divides_by_n_minus_one", "You divide by the batch size minus one: the average divides by the batch size.", _SHAPES
)
FIRST_IMAGE = Cause("first_image_only", "Only the first image of the batch counts.", _SHAPES)
WORST_IMAGE = Cause("worst_image_only", "You take the largest loss of the batch; the average is asked for.", _SHAPES)


def _dims(terms: torch.Tensor) -> torch.Tensor:
    return terms.flatten(1)


REDUCTIONS: list[Reduction] = [
    (None, lambda t: _dims(t).sum(1).mean()),
    (MEAN_OF_ALL, lambda t: t.mean()),
    (SUM_OF_ALL, lambda t: t.sum()),
    (PER_IMAGE, lambda t: _dims(t).sum(1)),
    (PER_IMAGE, lambda t: _dims(t).sum(1, keepdim=True)),
    (MEAN_OF_ALL, lambda t: _dims(t).mean(1)),
    (UNREDUCED, lambda t: t),
    (BATCH_SUMMED, lambda t: _dims(t).mean(1).sum()),
    (FIRST_AXIS, lambda t: t.mean(0)),
    (SUM_OF_ALL, lambda t: t.sum(0)),
    (FIXED_SIZE, lambda t: t.mean() * 784),
    (UNBIASED, lambda t: t.sum() / max(t.shape[0] - 1, 1)),
    (FIRST_IMAGE, lambda t: t[0].sum()),
    (WORST_IMAGE, lambda t: _dims(t).sum(1).max()),
    (DIVIDED_TWICE, lambda t: _dims(t).sum(1).mean() / t.shape[0]),
]


def table(where: str, right: Behaviour, *wrong: tuple[str, str, Behaviour]) -> list[tuple[Cause | None, Behaviour]]:
    """What is right, under no cause, and what each misconception makes of it: rows of id, sentence and behaviour."""
    return [(None, right), *((Cause(id, sentence, where), behaviour) for id, sentence, behaviour in wrong)]


@dataclass(frozen=True)
class Probe:
    """Arguments for one call, as float64 tensors, and what came back (a plain tensor, a number, or anything else)."""

    arguments: tuple[torch.Tensor, ...]
    came: object


def match_loss(
    probes: Sequence[Probe], formulas: Sequence[Formula], reductions: Sequence[Reduction] = REDUCTIONS
) -> Cause | None:
    """The one cause, or pair of causes, that predicts every probe; None when the truth or nothing or too much does."""
    hits: dict[str, tuple[int, Cause]] = {}
    came = [_numbers(probe.came) for probe in probes]
    if any(numbers is None for numbers in came):
        return None
    for wrong_formula, formula in formulas:
        left: Sequence[Reduction] = reductions
        for probe, numbers in zip(probes, came, strict=True):  # most formulas are out after the first
            terms = formula(*probe.arguments)
            left = [row for row in left if _is_close(numbers, row[1](terms), _AGREEMENT)]
            if not left:
                break
        for wrong_reduction, _ in left:
            causes = [cause for cause in (wrong_formula, wrong_reduction) if cause]
            if not causes:
                return None
            cause = causes[0] if len(causes) == 1 else both(*causes)
            hits.setdefault(cause.id, (len(causes), cause))
    return simplest(hits.values())


def simplest(hits: Iterable[tuple[int, Cause]]) -> Cause | None:
    """The hit with the fewest mistakes, if it is the only one with so few."""
    found = sorted(hits, key=lambda hit: hit[0])
    if not found or (len(found) > 1 and found[0][0] == found[1][0]):
        return None
    return found[0][1]


def sole(hits: Iterable[Cause | None]) -> Cause | None:
    """The one cause among what explains all that came; None when nothing does, several do, or the truth (None) does."""
    found = {cause.id if cause else "": cause for cause in hits}
    return next(iter(found.values())) if len(found) == 1 else None


def both(first: Cause, second: Cause) -> Cause:
    return Cause(f"{first.id}+{second.id}", f"Two things at once. {first.sentence} {second.sentence}", second.where)


def agrees(came: object, predicted: torch.Tensor, agreement: float = _AGREEMENT) -> bool:
    """Does a returned value have the predicted shape and numbers?"""
    return _is_close(_numbers(came), predicted, agreement)


def _numbers(came: object) -> torch.Tensor | None:
    """A returned value in float64; None for what no prediction agrees with."""
    if isinstance(came, (int, float)):
        came = torch.tensor(float(came), dtype=torch.float64)
    if not isinstance(came, torch.Tensor) or came.is_complex():
        return None
    came = came.detach().cpu().to(torch.float64)
    return came if bool(torch.isfinite(came).all()) else None


def _is_close(came: torch.Tensor | None, predicted: torch.Tensor, agreement: float) -> bool:
    if came is None or came.shape != predicted.shape:
        return False
    size = float(predicted.abs().max())
    return math.isfinite(size) and float((came - predicted).abs().max()) <= agreement * size + 1e-7
