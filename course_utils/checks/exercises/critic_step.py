"""Laws of `critic_step(critic, optimizer, z_prior, z_posterior, coefficient)`: one step of a critic."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import number, plain64, same_number, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import critic_loss, gradient_penalty
from ..engine.verdict import Broken, CallFailed, blame
from ..shared.critics import deep_critic, linear_critic

CHECK = Check(
    "critic_step(critic, optimizer, z_prior, z_posterior, coefficient)",
    "one step of the critic; its estimate of the distance before it, a float",
    lends=(critic_loss, gradient_penalty),
)
_HINT = "the order in the hints under the card of critic_step"


@CHECK.law("takes the optimiser's step down the critic's loss", weight=2)
def _loss(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. Without a coefficient no chance is left."""
    for n in (1, 8, 100):
        _compare(candidate, _deep(draw, n), 0.0, f"batch of {n}, coefficient 0")


@CHECK.law("adds the penalty, multiplied by the coefficient", weight=3, essential=True)
def _penalty(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. The penalty does not depend on where on their
    segments points are drawn: the critic is linear, or both ends of each pair are one point."""
    for coefficient in (0.5, 10.0, draw.number(20, 40)):
        _compare(candidate, _linear(draw, 12), coefficient, f"linear critic, coefficient {show(coefficient)}")
    bench = _deep(draw, 10)
    bench.z_posterior = bench.z_prior.clone()
    _compare(candidate, bench, 10.0, "pairs of one and the same point, coefficient 10")


@CHECK.law("clears gradients that an earlier step has left behind", weight=2)
def _clears(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    _compare(candidate, _linear(draw, 9, stale=True), 10.0, "old gradients")
    _compare(candidate, _linear(draw, 9), 3.0, "three steps", steps=3)


@CHECK.law("works with the optimiser that it is given")
def _optimisers(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for kind in ("momentum", "Adam"):
        with blame(lambda: OWN_STEP if _is_right_for_sgd(candidate, draw) else None):
            _compare(candidate, _linear(draw, 9, kind), 10.0, f"two steps of {kind}", steps=2)


def _is_right_for_sgd(candidate: Candidate, draw: Draw) -> bool:
    try:
        _compare(candidate, _linear(draw, 9, stale=True), 10.0, "three steps of SGD", steps=3)
    except Broken:
        return False
    return True


@CHECK.law("returns the estimate of the distance before the step, a float: prior minus posterior, no penalty", weight=2)
def _returns(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, coefficient in ((1, 10.0), (6, 10.0), (40, 0.0)):
        for make in (_linear, _deep):
            bench = make(draw, n)
            want = bench.estimate()
            came = number(_take(candidate, bench, coefficient), "the estimate", tensor_allowed=False)
            same_number(came, want, f"estimate of a batch of {n}", scale=max(1.0, abs(want)))


@CHECK.law("leaves the encoder alone that the codes come from", weight=2, manners=True)
def _encoder(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    bench, source = _linear(draw, 7), draw.normal(7, 4).requires_grad_()
    bench.z_posterior = 2.0 * source
    _take(candidate, bench, 10.0)
    if source.grad is not None and bool(source.grad.abs().max() > 0):
        raise Broken(
            "no gradient in what the codes were made from",
            f"a gradient of up to {show(source.grad.abs().max())}",
            ATTACHED,
        )


@CHECK.law("leaves codes, random generators and torch's settings alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    bench = _deep(draw, 6)
    kept = bench.z_prior.clone(), bench.z_posterior.clone()
    _take(candidate, bench, 10.0)
    untouched(kept, (bench.z_prior, bench.z_posterior), ("z_prior", "z_posterior"))
    well_behaved(candidate)


@dataclass
class Bench:
    """A critic, its optimiser and two batches of codes, on the law's side."""

    critic: nn.Sequential
    optimizer: torch.optim.Optimizer
    z_prior: torch.Tensor
    z_posterior: torch.Tensor

    def copy(self) -> Bench:
        twin = Bench(*copy.deepcopy((self.critic, self.optimizer)), self.z_prior.clone(), self.z_posterior.clone())
        for mine, its in zip(self.critic.parameters(), twin.critic.parameters(), strict=True):
            its.grad = None if mine.grad is None else mine.grad.clone()
        return twin

    def values(self) -> torch.Tensor:
        return torch.cat([plain64(p).flatten() for p in self.critic.parameters()])

    def estimate(self) -> float:
        return -float(critic_loss(self.critic, self.z_prior, self.z_posterior).detach())


_MAKERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.01),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.0, 0.9)),
}


def _linear(draw: Draw, n: int, kind: str = "SGD", *, stale: bool = False) -> Bench:
    """A linear critic with a slope of 2 to 3, against codes that are moved by 3: loss and penalty both pull."""
    direction = draw.normal(4)
    critic = linear_critic(draw.number(2, 3) * direction / direction.norm(), draw.number(-1, 1))
    bench = Bench(critic, _MAKERS[kind](critic.parameters()), draw.normal(n, 4), draw.normal(n, 4) + 3 * draw.signs(4))
    if stale:
        for p in critic.parameters():
            p.grad = draw.normal(*p.shape, scale=30.0)
    return bench


def _deep(draw: Draw, n: int) -> Bench:
    critic = deep_critic(draw, 4)
    return Bench(critic, _MAKERS["SGD"](critic.parameters()), draw.normal(n, 4), draw.normal(n, 4) + draw.signs(4))


def _take(candidate: Candidate, bench: Bench, coefficient: float) -> object:
    try:
        return candidate(bench.critic, bench.optimizer, bench.z_prior, bench.z_posterior, coefficient)
    except CallFailed as failed:
        if "modified by an inplace operation" in failed.message:
            failed.cause = EARLY
        raise


def _compare(candidate: Candidate, bench: Bench, coefficient: float, what: str, steps: int = 1) -> None:
    start, trusted = bench.values(), bench.copy()
    for _ in range(steps):
        _trusted(trusted, coefficient)
        _take(candidate, bench, coefficient)
    want, came = trusted.values() - start, bench.values() - start
    if not float((came - want).norm()) <= 0.05 * float(want.norm()) + 1e-6:
        got = "they did not move at all"
        if float(came.norm()) > 0:
            along = show(came @ want / (came.norm() * want.norm()).clamp_min(1e-30))
            got = f"they moved by {show(came.norm())}, in a direction with cosine {along} to that"
        raise Broken(f"{what}: the critic's parameters move by {show(want.norm())} along the optimiser's step", got)


def _objective(bench: Bench, coefficient: float) -> torch.Tensor:
    given = bench.critic, bench.z_prior, bench.z_posterior
    return critic_loss(*given) + coefficient * gradient_penalty(*given)


def _trusted(
    bench: Bench,
    coefficient: float,
    objective: Callable[[Bench, float], torch.Tensor] = _objective,
    clear: bool = True,
    after: Callable[[Bench], object] = lambda bench: None,
    steps: int = 1,
) -> None:
    for _ in range(steps):
        if clear:
            bench.optimizer.zero_grad()
        objective(bench, coefficient).backward()
        after(bench)
        bench.optimizer.step()


def _of_parts(combined: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """An objective of other form: ``combined`` of the loss, the penalty and the coefficient."""

    def objective(bench: Bench, c: float) -> torch.Tensor:
        given = bench.critic, bench.z_prior, bench.z_posterior
        return combined(critic_loss(*given), gradient_penalty(*given), c)

    return objective


def _weighted(of_loss: Callable[[float], float], of_penalty: Callable[[float], float]) -> Callable[..., torch.Tensor]:
    """The objective with other factors before its two parts."""
    return _of_parts(lambda loss, penalty, c: of_loss(c) * loss + of_penalty(c) * penalty)


_wrong = partial(Cause, where=_HINT)
EARLY = _wrong(
    "step_before_backward", "optimizer.step() comes before backward(): it uses the gradients of the batch before."
)
ATTACHED = _wrong(
    "codes_attached", "The critic's loss reaches the encoder: detach both batches of codes before the critic sees them."
)
OWN_STEP = _wrong(
    "another_optimiser",
    "With plain descent your step is right, with momentum it is not: take optimizer.step().",
)
CLIPPED = _wrong("gradients_clipped", "You clip the gradients: the step is shorter than the optimiser's.")
WEIGHTS_CLIPPED = _wrong(
    "weights_clipped", "You cut the critic's weights off at a largest number; its slope is the penalty's affair alone."
)
_NOT_MULTIPLIED = _wrong("coefficient_unused", "The penalty must be multiplied by the coefficient that you are given.")
_MISTAKES: list[tuple[Cause, Callable[[Bench, float], None]]] = [
    (
        _wrong("penalty_left_out", "The penalty is missing: nothing holds the critic's slope."),
        partial(_trusted, objective=_weighted(lambda c: 1, lambda c: 0)),
    ),
    (_NOT_MULTIPLIED, partial(_trusted, objective=_weighted(lambda c: 1, lambda c: 1))),
    (_NOT_MULTIPLIED, partial(_trusted, objective=_weighted(lambda c: 1, lambda c: 10))),
    (
        _wrong("sign_turned", "The critic climbs the wrong way: minimise critic_loss, do not maximise it."),
        partial(_trusted, objective=_weighted(lambda c: -1, lambda c: c)),
    ),
    (
        _wrong("everything_turned", "You descend on minus the objective."),
        partial(_trusted, objective=_weighted(lambda c: -1, lambda c: -c)),
    ),
    (
        _wrong("penalty_rewarded", "You subtract the penalty: a critic that breaks the condition is rewarded."),
        partial(_trusted, objective=_weighted(lambda c: 1, lambda c: -c)),
    ),
    (
        _wrong("loss_multiplied", "The coefficient belongs to the penalty alone."),
        partial(_trusted, objective=_weighted(lambda c: c, lambda c: 1)),
    ),
    (
        _wrong("loss_multiplied", "The coefficient belongs to the penalty alone."),
        partial(_trusted, objective=_weighted(lambda c: c, lambda c: c)),
    ),
    (
        _wrong("parts_multiplied", "You multiply loss and penalty; they are added."),
        partial(_trusted, objective=_of_parts(lambda loss, penalty, c: loss * c * penalty)),
    ),
    (
        _wrong("root_of_penalty", "You take the root of the penalty; it is added as gradient_penalty returns it."),
        partial(_trusted, objective=_of_parts(lambda loss, penalty, c: loss + c * penalty.sqrt())),
    ),
    (
        _wrong("loss_left_out", "Only the penalty is minimised; the critic learns nothing about the codes."),
        partial(_trusted, objective=_weighted(lambda c: 0, lambda c: c)),
    ),
    (
        _wrong("gradients_not_cleared", "Old gradients are still there: clear them before backward()."),
        partial(_trusted, clear=False),
    ),
    (
        CLIPPED,
        partial(_trusted, after=lambda b: nn.utils.clip_grad_norm_(b.critic.parameters(), 1.0)),
    ),
    (_wrong("several_steps", "You take more than one step."), partial(_trusted, steps=2)),
    (
        _wrong(
            "nothing_moves",
            "Nothing moves: optimizer.step() is missing, or the gradients are cleared between backward() and step().",
        ),
        lambda b, c: None,
    ),
]
_RETURNS = (
    (
        _wrong("returns_loss", "You return critic_loss; the estimate of the distance is minus that."),
        lambda b, c, after: -b.estimate(),
    ),
    (
        _wrong(
            "returns_objective", "You return what is minimised, penalty included; the estimate is minus critic_loss."
        ),
        lambda b, c, after: float(_objective(b, c).detach()),
    ),
    (
        _wrong(
            "returns_objective",
            "You return minus what is minimised, penalty included; the penalty does not belong to it.",
        ),
        lambda b, c, after: -float(_objective(b, c).detach()),
    ),
    (
        _wrong("returns_penalty", "You return the penalty; the estimate of the distance is minus critic_loss."),
        lambda b, c, after: float(gradient_penalty(b.critic, b.z_prior, b.z_posterior).detach()),
    ),
    (
        _wrong("estimate_after_step", "You return the estimate after the step; the one before is asked for."),
        lambda b, c, after: after,
    ),
)


def _clipped(starts: Sequence[Bench], benches: Sequence[Bench], coefficient: float) -> Cause | None:
    """Weights that are the right ones, cut off at the largest; or steps that are the right ones, but shorter and of one
    length, or cut off at one number."""
    ends, lengths, most = [], [], []
    for start, bench in zip(starts, benches, strict=True):
        other, end = start.copy(), bench.values()
        _trusted(other, coefficient)
        limit = float(end.abs().max())
        cut = other.values().clamp(-limit, limit)
        ends.append(bool((cut != other.values()).any()) and float((end - cut).abs().max()) < 1e-3 * limit)
        want, came = other.values() - start.values(), end - start.values()
        short, top = float(came.norm()) < 0.9 * float(want.norm()), float(came.abs().max())
        parallel = float(came @ want) > 0.9999 * float(came.norm() * want.norm()) > 0
        lengths.append(float(came.norm()) if short and parallel else None)
        most.append(top if short and float((came - want.clamp(-top, top)).norm()) < 1e-2 * float(came.norm()) else None)
    if all(ends):
        return WEIGHTS_CLIPPED
    for numbers in (lengths, most):
        known = [number for number in numbers if number is not None]
        if len(known) == len(numbers) and max(known) - min(known) < 1e-2 * max(known):
            return CLIPPED
    return None


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """The mistaken step that moves the critic alike, with old gradients left behind; else the mistaken number."""
    coefficient = 3.0
    benches = [_linear(draw, 9, stale=True) for _ in range(2)]
    starts = [bench.copy() for bench in benches]
    came = [_take(candidate, bench, coefficient) for bench in benches]

    def moves(run: Callable[[Bench, float], None]) -> bool:
        for start, bench in zip(starts, benches, strict=True):
            other = start.copy()
            run(other, coefficient)
            want = other.values() - start.values()
            if float((bench.values() - other.values()).norm()) > 1e-3 * float(want.norm()) + 1e-9:
                return False
        return True

    if not moves(_trusted):
        cause = sole(cause for cause, run in _MISTAKES if moves(run))
        return cause or _clipped(starts, benches, coefficient)
    numbers = [float(value) for value in came if isinstance(value, (int, float))]
    if len(numbers) < len(came):
        return None
    return sole(
        cause
        for cause, value in _RETURNS
        if all(
            abs(got - value(start, coefficient, bench.estimate())) <= 1e-3 * (1 + abs(got))
            for got, start, bench in zip(numbers, starts, benches, strict=True)
        )
    )
