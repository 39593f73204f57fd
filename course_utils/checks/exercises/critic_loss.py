"""Laws of `critic_loss(critic, z_prior, z_posterior)`: what the critic minimises."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole
from ..engine.demand import ROUNDING, gradients, plain64, same_number, same_tensor, scalar, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import Broken, blame, counted
from ..shared.critics import Belongings, deep_critic, linear_critic, mean_value, no_gradient_into, values
from ..shared.tables import causes

CHECK = Check("critic_loss(critic, z_prior, z_posterior)", "scalar to minimise, gradients in the critic only")
_CARD = "the card of critic_loss: mean critic on z_posterior minus mean critic on z_prior"


@CHECK.law("is the mean of the critic on the posterior minus its mean on the prior", weight=4)
def _value(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for shift in (3.0, -3.0):  # a linear critic along the shift: the difference is known without a network
        critic = linear_critic(torch.tensor([1.0, 0.0]), bias=0.5)
        prior = torch.stack([torch.zeros(6), draw.normal(6)], 1)
        _same(candidate, critic, prior, prior + torch.tensor([shift, 0.0]), f"loss of a shift by {shift:g}")
        bias = draw.number(70, 200) * float(draw.signs(1))
        critic = linear_critic(torch.tensor([1.0, 0.0]), bias=bias)
        _same(
            candidate,
            critic,
            prior,
            prior + torch.tensor([shift, 0.0]),
            f"loss of a shift by {shift:g}, the critic's values all about {bias:.3g}",
            rounding=0.004,
        )
    n = draw.integer(130, 300)  # a batch whose first codes are not like its last
    prior = draw.normal(n, 2)
    _same(
        candidate,
        linear_critic(torch.tensor([1.0, 0.0])),
        prior,
        draw.normal(n, 2) + torch.linspace(0, 8, n)[:, None],
        f"loss of {counted(n, 'code')} of 2 dimensions",
    )
    for n, dim in ((8, 3), (33, 10), (2, 5)):
        _same(candidate, *_probe(draw, n, dim), f"loss of {counted(n, 'code')} of {counted(dim, 'dimension')}")
    critic, prior, posterior = _probe(draw, 16, 4)
    _same(candidate, critic, prior, prior, "loss where both batches are the same codes")
    _same(candidate, critic, posterior, prior, "loss with the two batches exchanged")


@CHECK.law("does not depend on the order or the number of the codes", weight=1)
def _invariant(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    critic, prior, posterior = _probe(draw, 12, 3)
    size = float(values(critic, posterior).abs().mean() + values(critic, prior).abs().mean())
    first = float(_loss(candidate, critic, prior, posterior).detach())
    if abs(first) < 1e-5 * size:  # a critic whose weights are clipped in between still gives more
        raise Broken("a loss that differs from 0", f"{first:.4g}")
    for _ in range(4):
        shuffled = _loss(candidate, critic, prior[draw.permutation(12)], posterior[draw.permutation(12)])
        same_number(shuffled, first, "loss of the same codes in another order", scale=size)
    same_number(
        _loss(candidate, critic, prior.repeat(3, 1), posterior.repeat(3, 1)),
        first,
        "loss of every code three times",
        scale=size,
    )


@CHECK.law("has the right gradient in every weight of the critic", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, dim, level in ((6, 3, 1.0), (1, 2, 1.0), (17, 5, 100.0)):
        critic, *codes = _probe(draw, n, dim, level=level)
        for prior, posterior in (codes, codes[::-1]):
            _same_gradients(candidate, critic, prior, posterior)


@CHECK.law("sends no gradient into the codes", weight=2)
def _detached(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs: a correct function never fails."""
    critic, prior, posterior = _probe(draw, 6, 3)
    leaf, encoded = prior.requires_grad_(), (posterior.requires_grad_() * 1.0)  # as they come out of an encoder
    belongings = Belongings(critic, draw, {"z_prior": leaf, "z_posterior": encoded})
    loss = scalar(candidate(critic, leaf, encoded), "the loss")
    belongings.check()  # of codes that were cut off nothing more can be told
    no_gradient_into(candidate, loss, critic, {"z_posterior": encoded, "z_prior": leaf})


@CHECK.law("works in double precision, for a batch of one, on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    scalar(candidate(*_probe(draw, 4, 3)), "the loss", exactly=True)
    for n, level in ((1, 1.0), (5, 1.0), (7, -50.0), (9, 1.0), (11, 1.0)):
        critic, *codes = _probe(draw, n, 3, torch.float64, level)
        for prior, posterior in (codes, codes[::-1]):
            first, second = (float(_loss(candidate, critic, prior, posterior).detach()) for _ in range(2))
            with blame(RANDOM):
                same_number(second, first, "loss of the same arguments again", rounding=1e-5)
            _same(candidate, critic, prior, posterior, f"loss of {n} codes in float64")
    for device in candidate.devices():
        critic, prior, posterior = _probe(draw, 4, 3)
        _same(candidate, critic.to(device), prior.to(device), posterior.to(device), f"loss on {device}")


@CHECK.law("leaves the codes, the critic and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for lively in (True, False):
        critic, prior, posterior = _probe(draw, 6, 3)
        critic.train(lively)
        belongings = Belongings(critic, draw, {"z_prior": prior, "z_posterior": posterior})
        scalar(candidate(critic, prior, posterior), "the loss")
        belongings.check()
    well_behaved(candidate)


def _probe(
    draw: Draw, n: int, dim: int, dtype: torch.dtype = torch.float32, level: float = 1.0
) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """A deep critic with z_prior and z_posterior on which its means are 4 apart, around `level`, in either direction,
    and its values differ within each of the two."""
    while True:
        critic = deep_critic(draw, dim, dtype=dtype)
        prior, posterior = draw.normal(n, dim, dtype=dtype), draw.normal(n, dim, scale=1.5, dtype=dtype) + 1.0
        both = values(critic, torch.cat([prior, posterior]))
        apart = abs(float(both[n:].mean() - both[:n].mean()))
        within = min(float(both[n:].std()), float(both[:n].std())) if n > 1 else apart
        if apart > 0.5 * float(both.std()) and within > 0.25 * apart:
            weight, bias = list(critic.parameters())[-2:]  # of the last layer
            with torch.no_grad():
                weight.mul_(4 / apart), bias.mul_(4 / apart)
                bias.add_(level - 4 / apart * float(both.mean()))
            return critic, prior, posterior


def _same_gradients(candidate: Candidate, critic: nn.Module, prior: torch.Tensor, posterior: torch.Tensor) -> None:
    parameters = list(critic.parameters())
    on_prior, on_posterior = critic(prior).mean(), critic(posterior).mean()
    up = torch.autograd.grad(on_posterior, parameters, retain_graph=True)
    down = torch.autograd.grad(on_prior, parameters)
    names = [f"the critic's {name}" for name, _ in critic.named_parameters()]
    loss = _loss(candidate, critic, prior, posterior)
    found = gradients(candidate, loss, parameters, names, may_be_missing=names[-1:])  # the last bias cancels
    right = agrees(loss, plain64(on_posterior - on_prior))
    for got, above, below, name in zip(found, up, down, names, strict=True):
        # a pull that reaches a weight in opposite ways is as exact as its two parts
        size = float(above.abs().max() + below.abs().max())
        one_side = any(
            float((plain64(got) - side).abs().max()) <= 1e-4 * size for side in (plain64(above), -plain64(below))
        )
        with blame(ONE_END if right and one_side else None):
            same_tensor(got, plain64(above) - plain64(below), f"gradient with respect to {name}", scale=size)


def _formula_cause(probes: list) -> Cause | None:
    return sole(cause for cause, formula in _FORMULAS if all(agrees(came, formula(p, q)) for p, q, came in probes))


def _unreduced_cause(probes: list) -> Cause | None:
    several = all(isinstance(came, torch.Tensor) and came.dim() > 0 for *_, came in probes)
    return PER_CODE if several and all(agrees(came.flatten(), q - p) for p, q, came in probes) else None


def _factor_cause(probes: list) -> Cause | None:
    if not all(isinstance(came, torch.Tensor) and came.dim() == 0 for *_, came in probes):
        return None
    ratios = [float(came.detach()) / float(q.mean() - p.mean()) for p, q, came in probes]
    if ratios[0] > 0 and max(ratios) - min(ratios) < 1e-3 * abs(ratios[0]) and abs(ratios[0] - 1) > 1e-2:
        return CONSTANT_FACTOR
    return None


def _loss(candidate: Candidate, critic: nn.Module, prior: torch.Tensor, posterior: torch.Tensor) -> torch.Tensor:
    return scalar(candidate(critic, prior.clone(), posterior.clone()), "the loss")


def _same(
    candidate: Candidate,
    critic: nn.Module,
    prior: torch.Tensor,
    posterior: torch.Tensor,
    what: str,
    rounding: float = ROUNDING,
) -> None:
    want = mean_value(critic, posterior) - mean_value(critic, prior)
    size = float(values(critic, posterior).abs().mean() + values(critic, prior).abs().mean())
    same_number(_loss(candidate, critic, prior, posterior), want, what, scale=size, rounding=rounding)


PER_CODE = Cause("per_code", "You return one number per code; the average over the batch is missing.", _CARD)
CONSTANT_FACTOR = Cause(
    "scaled", "The loss comes with a constant factor; the difference of the two means has none.", _CARD
)
RANDOM = Cause(
    "random", "The same arguments give another number the second time: there is no randomness in this loss.", _CARD
)
ONE_END = Cause(
    "one_end_detached",
    "Only one of the two means carries a gradient into the critic: it would learn from one batch and ignore the "
    "other. Detach the codes, not the critic's values.",
    _CARD,
)
# p and q: the critic's values on prior and posterior
_MISTAKES: tuple[tuple[str, str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]], ...] = (
    (
        "sign",
        "The sign is wrong: this is the estimate of the distance itself. The critic maximises it, so its loss is "
        "minus that: posterior minus prior.",
        lambda p, q: p.mean() - q.mean(),
    ),
    (
        "sum_over_batch",
        "You sum over the batch; the average is asked for, or the weight of the penalty beside it depends on the "
        "batch size.",
        lambda p, q: q.sum() - p.sum(),
    ),
    (
        "sign_and_sum",
        "You sum over the batch instead of averaging, and the sign is wrong as well.",
        lambda p, q: p.sum() - q.sum(),
    ),
    (
        "prior_missing",
        "The prior is missing: a critic that is low on the codes alone, and low everywhere, would do.",
        lambda p, q: q.mean(),
    ),
    ("posterior_missing", "The posterior is missing: both means are needed.", lambda p, q: -p.mean()),
    (
        "added",
        "You add the two means; the critic tells the two apart by their difference.",
        lambda p, q: q.mean() + p.mean(),
    ),
    (
        "absolute",
        "You take the absolute value: then the critic would make the difference small. It has a sign.",
        lambda p, q: (q.mean() - p.mean()).abs(),
    ),
    (
        "absolute",
        "You take minus the absolute value: leave the sign to the critic, or its gradient flips.",
        lambda p, q: -(q.mean() - p.mean()).abs(),
    ),
    (
        "squared",
        "You square the difference: then the critic would make it small. It has a sign.",
        lambda p, q: (q.mean() - p.mean()).square(),
    ),
    (
        "squared",
        "You square the differences; the plain difference is asked for.",
        lambda p, q: (q - p).square().mean(),
    ),
    (
        "least_squares",
        "This is the least-squares loss of another kind of critic: here no target values are given.",
        lambda p, q: (p - 1).square().mean() + q.square().mean(),
    ),
    (
        "classifier",
        "This is the loss of a classifier (a GAN's discriminator): a critic's values are not probabilities, and no "
        "logarithm is taken.",
        lambda p, q: F.softplus(-p).mean() + F.softplus(q).mean(),
    ),
    (
        "classifier",
        "You pass the critic's values through a sigmoid: they are not probabilities.",
        lambda p, q: q.sigmoid().mean() - p.sigmoid().mean(),
    ),
    (
        "hinge",
        "You cut the values off (a hinge loss): what keeps a critic in bounds here is the penalty.",
        lambda p, q: F.relu(1 + q).mean() + F.relu(1 - p).mean(),
    ),
    (
        "clipped",
        "You clip the critic's values: what keeps it in bounds here is the penalty.",
        lambda p, q: q.clamp(-1, 1).mean() - p.clamp(-1, 1).mean(),
    ),
    ("median", "You take medians; means are asked for.", lambda p, q: q.median() - p.median()),
    ("one_code", "Only the first code of each batch counts.", lambda p, q: q[0] - p[0]),
    (
        "largest",
        "You take the largest value of each batch; means are asked for.",
        lambda p, q: q.max() - p.max(),
    ),
)
_FORMULAS: list[tuple[Cause | None, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]] = [
    (None, lambda p, q: q.mean() - p.mean()),
    *causes(_CARD, _MISTAKES),
]


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, dim in ((7, 3), (4, 2), (9, 4)):
        critic, prior, posterior = _probe(draw, n, dim)
        for first, second in ((prior, posterior), (posterior, prior)):  # differences of either sign
            came = candidate(critic, first.clone(), second.clone())
            probes.append((values(critic, first), values(critic, second), came))
    return _formula_cause(probes) or _unreduced_cause(probes) or _factor_cause(probes)
