"""Losses of two tensors that add up the terms of an image and average over the batch, compared with themselves.

What the laws of `reconstruction_loss` and `kl_divergence` have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees
from ..engine.demand import not_biased, plain64, same_number, scalar, untouched, well_behaved
from ..engine.law import Draw, show
from ..engine.score import Cause
from ..engine.trusted import per_image
from ..engine.verdict import Broken

WARM_UP = Cause(
    "warm_up",
    "Your result grows from call to call: a weight that is warmed up is kept in the function. Whoever calls you "
    "decides about weights; the same arguments must give the same number.",
    "a counter or a global variable that your function changes",
)
OTHER_IN_TRAINING = Cause(
    "other_in_training",
    "Where the arguments require gradients, as in training, you return another number than otherwise.",
    "uses of requires_grad or torch.is_grad_enabled",
)
Pair = tuple[torch.Tensor, torch.Tensor]


def grows(call: Callable[[], float]) -> bool:
    """Whether the number changes in even steps from call to call, as no random one does."""
    numbers = [call() for _ in range(8)]
    steps = [after - before for before, after in pairwise(numbers)]
    return 0 < max(map(abs, steps)) < 2 * min(map(abs, steps)) and min(steps) * max(steps) > 0


@dataclass(frozen=True)
class BatchAverage:
    """One such loss.

    Args:
        name, items: what the number is called (``loss``, ``KL``) and what is added up for it (``pixels``).
        arguments: what the two tensors are called; the first ``trained`` of them come from a model.
        draw: draws both, for any shape, such that what a wrong formula changes does not average out.
        terms, size: the loss of each element, and the size of the numbers that are added up for it, in float64.
        random: the cause where the same arguments give another number.
    """

    name: str
    items: str
    arguments: tuple[str, str]
    trained: int
    draw: Callable[..., Pair]
    terms: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    size: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    random: Cause

    def right(self, given: Pair) -> float:
        return per_image(self.terms(*map(plain64, given)))

    def size_of(self, given: Pair) -> float:
        return per_image(self.size(*map(plain64, given)))

    def value(self, candidate: Candidate, given: Pair, learning: bool = False) -> torch.Tensor:
        """What comes for these numbers, with its graph if it is ``learning``: requiring gradients, as in training."""
        copies = [argument.clone() for argument in given]
        for argument in copies[: self.trained]:
            argument.requires_grad_(learning)
        return scalar(candidate(*copies), f"the {self.name}")

    def settled(self, candidate: Candidate, given: Pair) -> float:
        """What comes for these numbers, twice the same."""
        first, second = (float(self.value(candidate, given).detach()) for _ in range(2))
        if abs(first - second) > 1e-5 * abs(first):
            cause = self.random if not grows(lambda: float(self.value(candidate, given).detach())) else WARM_UP
            raise Broken(f"the same number again, {show(first)}", show(second), cause)
        return first

    def is_exact(self, came: object, given: Pair, agreement: float = 1e-5) -> bool:
        return agrees(came, torch.tensor(self.right(given), dtype=torch.float64), agreement)

    def is_right(self, candidate: Candidate, given: Pair, what: str) -> None:
        """Of numbers alone and, as in training, of tensors that require gradients."""
        for learning, when in ((False, ""), (True, f", {' and '.join(self.arguments[: self.trained])} learning")):
            value = self.value(candidate, given, learning)
            same_number(value, self.right(given), f"{self.name} {what}{when}", scale=self.size_of(given))

    def is_right_on_average(self, candidate: Candidate, draw: Draw) -> None:
        """For images unlike one another, and over 60 draws: see `not_biased`."""
        unlike = self._unlike(draw)
        self.settled(candidate, unlike)
        self.is_right(candidate, unlike, "of 4 images unlike one another")
        drawn = [self.draw(draw, 4, 10) for _ in range(60)]
        not_biased([float(self.value(candidate, g).detach()) / self.right(g) - 1 for g in drawn], self.name)

    def adds_up(self, candidate: Candidate, draw: Draw) -> None:
        """The loss of an image is the sum of that of its pixels or dimensions, whatever that is."""
        a, b = given = self.draw(draw, 1, 9)
        singles = [float(self.value(candidate, (a[:, i : i + 1], b[:, i : i + 1])).detach()) for i in range(9)]
        self._whole(candidate, given, sum(singles), singles, f"of 9 {self.items} (sum of its {self.items})")

    def averages(self, candidate: Candidate, draw: Draw) -> None:
        """The loss of a batch is the average of that of its images, whatever that is: images unlike one another, a
        small batch and a large one."""
        for items in (6, 1):
            self._averages(candidate, draw, self._unlike(draw, items))

    def _averages(self, candidate: Candidate, draw: Draw, given: Pair) -> None:
        a, b = given
        singles = [float(self.value(candidate, (a[i : i + 1], b[i : i + 1])).detach()) for i in range(4)]
        mean = sum(singles) / 4
        self._whole(candidate, given, mean, singles, "of a batch of 4 (average of its images)")
        order = draw.permutation(4)
        self._whole(candidate, (a[order], b[order]), mean, singles, "of the same batch in another order")
        many = a.repeat(40, 1), b.repeat(40, 1)
        self._whole(candidate, many, mean, singles, "of the same batch 40 times over")

    def _unlike(self, draw: Draw, items: int = 6) -> Pair:
        """Two images that cost next to nothing and two that cost much: none stands for the others."""
        a, b = self.draw(draw, 4, items)
        much = torch.tensor([[0.05], [0.05], [1.0], [1.5]])
        return a * much, b * much if self.trained == 2 else b

    def _whole(self, candidate: Candidate, given: Pair, want: float, singles: list[float], what: str) -> None:
        if sum(map(abs, singles)) < 1e-6:
            raise Broken(f"a {self.name} above 0", "0")
        came = self.settled(candidate, given)
        same_number(came, want, f"{self.name} {what}", scale=max(self.size_of(given), abs(want)))

    def halves(self, candidate: Candidate, given: Pair) -> None:
        """The loss of a large batch is the average of that of its halves."""
        half = len(given[0]) // 2
        a, b = given
        first, second = (float(self.value(candidate, p).detach()) for p in ((a[:half], b[:half]), (a[half:], b[half:])))
        what = f"{self.name} of a batch of {2 * half} (average of its halves)"
        same_number(self.value(candidate, given), (first + second) / 2, what, scale=(abs(first) + abs(second)) / 2)

    def repeats(self, candidate: Candidate, given: Pair) -> None:
        """Twice the same number, without axes, and not 0."""
        self.is_one_number(candidate, given)
        if abs(self.settled(candidate, given)) < 1e-6:
            raise Broken(f"a {self.name} above 0", "0")

    def is_one_number(self, candidate: Candidate, given: Pair) -> None:
        scalar(candidate(*(argument.clone() for argument in given)), f"the {self.name}", exactly=True)

    def otherwise_wrong(self, candidate: Candidate, draw: Draw) -> Cause | None:
        """What no formula of one term has: a factor, a part of a large batch that does not count, another number where
        gradients are asked for. For a function whose value no known mistake explains."""
        batches = [self.draw(draw, n, d) for n, d in ((7, 4), (9, 2), (6, 5))]
        plain = [float(self.value(candidate, given).detach()) for given in batches]
        learning = [float(self.value(candidate, given, learning=True).detach()) for given in batches]
        factors = [value / self.right(given) for value, given in zip(plain, batches, strict=True)]
        if max(factors) - min(factors) < 1e-4 * abs(factors[0]) and abs(factors[0] - 1) > 2e-3:
            factor = f"Your number is {factors[0]:.4g} times the right one, whatever the arguments are."
            return Cause("scaled", factor, "factors in your formula")
        if all(abs(f - 1) < 1e-4 for f in factors) and all(
            abs(value - other) > 1e-3 * abs(value) for value, other in zip(plain, learning, strict=True)
        ):
            return OTHER_IN_TRAINING
        for n, d, axis, what in ((1200, 1, 0, "images"), (2, 1100, 1, self.items)):
            if self._leaves_out(candidate, self.draw(draw, n, d), axis):
                sentence = f"Of many {what} only the first count: when the others change, your number stays."
                return Cause("part_left_out", sentence, "slices such as [:64] in your formula")
        return None

    def _leaves_out(self, candidate: Candidate, given: Pair, axis: int) -> bool:
        half = torch.arange(given[0].shape[axis]) < given[0].shape[axis] // 2
        first = half[:, None] if axis == 0 else half
        as_it_is, *moved = (
            float(self.value(candidate, (torch.where(part, given[0] / 2, given[0]), given[1])).detach())
            for part in (torch.zeros_like(first), ~first, first)
        )
        return moved[0] == as_it_is != moved[1]

    def behaves(self, candidate: Candidate, given: Pair) -> None:
        """Arguments, generators and switches are as they were before."""
        kept = [argument.clone() for argument in given]
        scalar(candidate(*given), f"the {self.name}")
        untouched(kept, given, self.arguments)
        well_behaved(candidate)
