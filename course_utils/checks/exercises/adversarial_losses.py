"""Laws of `adversarial_losses(critic, z_prior, z_codes)`: a classifier of codes, and what fools it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..engine.candidate import Candidate
from ..engine.causes import agrees, both, sole
from ..engine.demand import describe, finite, plain64, same_number, same_tensor, scalar, several, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import Broken
from ..shared.critics import Belongings, deep_critic, linear_critic, values
from ..shared.tables import causes

CHECK = Check("adversarial_losses(critic, z_prior, z_codes)", "(critic_loss, encoder_loss), two scalars")
_CARD = "the maths hint under the card of adversarial_losses: softplus(-T) on the prior, softplus(T) on the codes"
_NAMES = "critic_loss", "encoder_loss"


@CHECK.law("is log 2 for each coin where the critic knows nothing")
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: a critic that is 0 everywhere, then one that is the code."""
    blind = linear_critic(torch.zeros(2))
    critic_loss, encoder_loss = _losses(candidate, blind, torch.ones(3, 2), -torch.ones(5, 2))
    same_number(critic_loss, 1.386294, "critic_loss of a critic that is 0 everywhere")
    same_number(encoder_loss, 0.693147, "encoder_loss of a critic that is 0 everywhere")
    seeing = linear_critic(torch.tensor([1.0]))
    critic_loss, encoder_loss = _losses(candidate, seeing, torch.tensor([[2.0]]), torch.tensor([[-1.0]]))
    same_number(critic_loss, 0.126928 + 0.313262, "critic_loss of T(z) = z, prior 2, code -1")
    same_number(encoder_loss, 1.313262, "encoder_loss of T(z) = z, code -1")


@CHECK.law("is the cross-entropy of telling prior from codes, the prior being 1", weight=3)
def _of_critic(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, m, dim, level in ((8, 8, 3, 0.0), (33, 20, 10, 0.0), (2, 5, 4, 0.0), (1, 1, 2, 0.0), (9, 6, 3, 9.0)):
        critic, prior, codes = _probe(draw, n, m, dim, level)
        want = _right(values(critic, prior), values(critic, codes))[0]
        came = _losses(candidate, critic, prior, codes)[0]
        same_number(came, float(want), f"critic_loss of {n} draws and {m} codes of {dim} dimensions")


@CHECK.law("asks of the codes that the critic takes them for the prior", weight=3)
def _of_encoder(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, m, dim in ((8, 8, 3), (20, 33, 10), (5, 2, 4), (1, 1, 2)):
        critic, prior, codes = _probe(draw, n, m, dim)
        want = _right(values(critic, prior), values(critic, codes))[1]
        came = _losses(candidate, critic, prior, codes)[1]
        same_number(came, float(want), f"encoder_loss of {m} codes of {dim} dimensions")


@CHECK.law("trains the critic by critic_loss, whose gradient stays out of the codes", weight=3, essential=True)
def _stays(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, m, dim in ((6, 6, 3), (4, 9, 2)):
        critic, prior, codes = _probe(draw, n, m, dim)
        parameters = list(critic.parameters())
        right = F.softplus(-critic(prior)).mean() + F.softplus(critic(codes)).mean()
        wanted = torch.autograd.grad(right, parameters)
        codes = codes.requires_grad_()
        loss = _read(candidate(critic, prior, codes * 1.0))[0]
        found = candidate.gradients(loss, [*parameters, codes])
        if all(grad is None for grad in found[:-1]):
            raise Broken("a gradient of critic_loss in the critic's weights", "no gradient at all", CRITIC_CUT)
        for want, got, (name, _) in zip(wanted, found, critic.named_parameters(), strict=False):
            got = torch.zeros_like(want) if got is None else finite(got, f"the gradient of the critic's {name}")
            size = float(want.abs().max()) + 0.05
            same_tensor(got, plain64(want), f"gradient of critic_loss in the critic's {name}", scale=size)
        if found[-1] is not None and float(found[-1].abs().max()) > 1e-8:
            raise Broken("no gradient of critic_loss in z_codes", f"one of size {float(found[-1].norm()):.3g}", REACHES)


@CHECK.law("moves the codes by encoder_loss, most where the critic is surest", weight=3, essential=True)
def _moves(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, m, dim, level in ((6, 6, 3, 0.0), (4, 9, 2, 0.0), (5, 5, 3, -8.0), (5, 5, 3, 8.0)):
        critic, prior, codes = _probe(draw, n, m, dim, level)
        known = codes.clone().requires_grad_()
        (want,) = torch.autograd.grad(F.softplus(-critic(known)).mean(), known)
        codes = codes.requires_grad_()
        loss = _read(candidate(critic, prior, codes))[1]
        (got,) = candidate.gradients(loss, [codes])
        if got is None:
            raise Broken("a gradient of encoder_loss in z_codes", "no gradient at all", ENCODER_CUT)
        what = f"gradient of encoder_loss in z_codes, the critic's values about {level:g}"
        size = float(want.abs().max())
        same_tensor(finite(got, what), plain64(want), what, scale=size, floor=1e-7 + 1e-3 * size)


@CHECK.law("stays finite however sure the critic is", weight=2)
def _stable(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs: the critic's values are +-1000."""
    steep = linear_critic(torch.tensor([1.0]))
    for prior, code in ((1000.0, -1000.0), (-1000.0, 1000.0)):
        z_prior, z_codes = torch.full((4, 1), prior), torch.full((3, 1), code)
        for came, want, name in zip(
            _losses(candidate, steep, z_prior, z_codes), _right(plain64(z_prior), plain64(z_codes)), _NAMES, strict=True
        ):
            same_number(came, float(want), f"{name}, the critic's values {prior:g} on the prior, {code:g} on the codes")


@CHECK.law("takes double precision, one code of each, and your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, dtype in ((1, torch.float32), (5, torch.float64)):
        critic, prior, codes = _probe(draw, n, n, 3, dtype=dtype)
        first, second = (_losses(candidate, critic, prior, codes) for _ in range(2))
        for a, b, name in zip(first, second, _NAMES, strict=True):
            same_number(b, float(a.detach()), f"{name} of the same arguments again", rounding=1e-5)
    for device in candidate.devices():
        want = _right(values(critic, prior), values(critic, codes))
        came = _losses(candidate, critic.to(device), prior.to(device), codes.to(device))
        for got, right, name in zip(came, want, _NAMES, strict=True):
            same_number(got, float(right), f"{name} on {device}")


@CHECK.law("leaves the codes, the critic and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for lively in (True, False):
        critic, prior, codes = _probe(draw, 6, 6, 3)
        critic.train(lively)
        belongings = Belongings(critic, draw, {"z_prior": prior, "z_codes": codes})
        _read(candidate(critic, prior, codes))
        belongings.check()
    well_behaved(candidate)


def _probe(
    draw: Draw, n: int, m: int, dim: int, level: float = 0.0, dtype: torch.dtype = torch.float32
) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """A critic whose values on n draws and m codes differ by about 2, around `level`."""
    critic = deep_critic(draw, dim, dtype=dtype)
    prior, codes = draw.normal(n, dim, dtype=dtype), draw.normal(m, dim, scale=1.5, dtype=dtype) + 1.0
    both = values(critic, torch.cat([prior, codes]))
    weight, bias = list(critic.parameters())[-2:]  # of the last layer
    factor = 2.0 / float(both.std())
    with torch.no_grad():
        weight.mul_(factor), bias.mul_(factor)
        bias.add_(level + 0.7 - factor * float(both.mean()))
    return critic, prior, codes


def _right(p: torch.Tensor, q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both losses of the critic's values on the prior and on the codes."""
    return F.softplus(-p).mean() + F.softplus(q).mean(), F.softplus(-q).mean()


def _read(came: object) -> list[torch.Tensor]:
    pairs = zip(several(came, _NAMES), _NAMES, strict=True)
    found = []
    for value, name in pairs:
        if isinstance(value, torch.Tensor) and value.dim() == 0 and not bool(torch.isfinite(value.detach())):
            raise Broken(f"{name} as a finite number", describe(value) + " that is not finite", OVERFLOW)
        found.append(scalar(value, name))
    return found


def _losses(candidate: Candidate, critic: nn.Module, prior: torch.Tensor, codes: torch.Tensor) -> list[torch.Tensor]:
    return _read(candidate(critic, prior.clone(), codes.clone()))


CRITIC_CUT = Cause(
    "critic_detached", "critic_loss carries no gradient into the critic, which would never learn.", _CARD
)
REACHES = Cause(
    "reaches_encoder",
    "The gradient of critic_loss goes on into the codes, and so into the encoder: it would be trained to help its "
    "critic. Detach the codes there, and there only.",
    "how z_codes enters critic_loss",
)
ENCODER_CUT = Cause(
    "encoder_detached",
    "No gradient of encoder_loss reaches the codes: the encoder would never move. Detach them in critic_loss only.",
    "how z_codes enters encoder_loss",
)
OVERFLOW = Cause(
    "overflow",
    "The logarithm of a sigmoid overflows where the critic is sure: softplus, logsigmoid or a cross-entropy with logits"
    " does not.",
    "calls of sigmoid, log and exp in your function",
)
Values = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# p and q: the critic's values on prior and codes
_OF_CRITIC: tuple[tuple[str, str, Values], ...] = (
    (
        "labels_exchanged",
        "The labels of the critic are exchanged: the prior is 1, the codes are 0.",
        lambda p, q: F.softplus(p).mean() + F.softplus(-q).mean(),
    ),
    (
        "halved",
        "You average over both batches together, which is half of the sum of the two means.",
        lambda p, q: (F.softplus(-p).mean() + F.softplus(q).mean()) / 2,
    ),
    (
        "sum_over_batch",
        "You sum over the batch; means are asked for.",
        lambda p, q: F.softplus(-p).sum() + F.softplus(q).sum(),
    ),
    (
        "wasserstein",
        "This is still the critic's loss of unit 05: a difference of means, without a logarithm.",
        lambda p, q: q.mean() - p.mean(),
    ),
    (
        "sign",
        "The sign is wrong: log probabilities are at most 0, a loss is minus them.",
        lambda p, q: -F.softplus(-p).mean() - F.softplus(q).mean(),
    ),
    ("prior_missing", "The prior is missing from critic_loss.", lambda p, q: F.softplus(q).mean()),
    ("codes_missing", "The codes are missing from critic_loss.", lambda p, q: F.softplus(-p).mean()),
    (
        "subtracted",
        "The two terms of critic_loss are added, not subtracted.",
        lambda p, q: F.softplus(-p).mean() - F.softplus(q).mean(),
    ),
    (
        "same_label",
        "Prior and codes have the same label in critic_loss.",
        lambda p, q: F.softplus(-p).mean() + F.softplus(-q).mean(),
    ),
    (
        "least_squares",
        "This is a squared error of labels; the logistic loss is asked for.",
        lambda p, q: (p - 1).square().mean() + q.square().mean(),
    ),
    (
        "hinge",
        "This is a hinge loss; the logistic loss is asked for.",
        lambda p, q: F.relu(1 - p).mean() + F.relu(1 + q).mean(),
    ),
    (
        "without_logarithm",
        "You take probabilities where their logarithms are asked for.",
        lambda p, q: q.sigmoid().mean() - p.sigmoid().mean(),
    ),
    (
        "sigmoid_twice",
        "A sigmoid is taken twice: the loss with logits takes the critic's values as they are.",
        lambda p, q: F.softplus(-p.sigmoid()).mean() + F.softplus(q.sigmoid()).mean(),
    ),
    (
        "mean_inside",
        "You take the mean of the critic's values first; the mean of the losses is asked for.",
        lambda p, q: F.softplus(-p.mean()) + F.softplus(q.mean()),
    ),
)
_OF_ENCODER: tuple[tuple[str, str, Values], ...] = (
    (
        "saturating",
        "encoder_loss is minus the critic's own loss on the codes. Its gradient vanishes where the critic"
        " is sure, which is where codes have to move: ask for the label 1 instead.",
        lambda p, q: -F.softplus(q).mean(),
    ),
    (
        "helps_critic",
        "encoder_loss asks for the label 0: the encoder would help its critic.",
        lambda p, q: F.softplus(q).mean(),
    ),
    ("encoder_sum", "You sum encoder_loss over the batch; a mean is asked for.", lambda p, q: F.softplus(-q).sum()),
    (
        "encoder_wasserstein",
        "encoder_loss is still the gap of unit 05, minus the mean of the critic.",
        lambda p, q: -q.mean(),
    ),
    ("encoder_sign", "The sign of encoder_loss is wrong.", lambda p, q: -F.softplus(-q).mean()),
    (
        "encoder_of_prior",
        "encoder_loss looks at the prior, which the encoder cannot move.",
        lambda p, q: F.softplus(-p).mean(),
    ),
    (
        "encoder_has_prior",
        "encoder_loss has a term of the prior as well, which the encoder cannot move.",
        lambda p, q: F.softplus(-q).mean() + F.softplus(p).mean(),
    ),
    (
        "minus_critic_loss",
        "encoder_loss is minus critic_loss: its gradient vanishes where the critic is sure, and the "
        "prior has no place in it.",
        lambda p, q: -F.softplus(-p).mean() - F.softplus(q).mean(),
    ),
    (
        "minus_critic_loss",
        "encoder_loss is critic_loss once more.",
        lambda p, q: F.softplus(-p).mean() + F.softplus(q).mean(),
    ),
    (
        "encoder_squares",
        "encoder_loss is a squared error; the logistic loss is asked for.",
        lambda p, q: (q - 1).square().mean(),
    ),
    (
        "encoder_without_logarithm",
        "encoder_loss has probabilities where their logarithms are asked for.",
        lambda p, q: -q.sigmoid().mean(),
    ),
    ("encoder_halved", "encoder_loss comes with a factor of one half.", lambda p, q: F.softplus(-q).mean() / 2),
    (
        "encoder_sigmoid_twice",
        "In encoder_loss a sigmoid is taken twice.",
        lambda p, q: F.softplus(-q.sigmoid()).mean(),
    ),
)
_PAIR_SWAPPED = Cause("order", "The two losses are exchanged: critic_loss comes first.", "the return line")


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Batches of two sizes, so that sums and joint means differ from the sum of means."""
    probes = []
    for n, m, dim in ((7, 4, 3), (5, 9, 2)):
        critic, prior, codes = _probe(draw, n, m, dim)
        p, q = values(critic, prior), values(critic, codes)
        probes.append((p, q, several(candidate(critic, prior.clone(), codes.clone()), _NAMES)))
    if all(agrees(came[0], _right(p, q)[1]) and agrees(came[1], _right(p, q)[0]) for p, q, came in probes):
        return _PAIR_SWAPPED
    found = []
    for place, table in enumerate((_OF_CRITIC, _OF_ENCODER)):
        if all(agrees(came[place], _right(p, q)[place]) for p, q, came in probes):
            continue
        rows = [*causes(_CARD, table), *([(_JOINT, _joint_mean)] if place == 0 else [])]
        cause = sole(cause for cause, f in rows if all(agrees(came[place], f(p, q)) for p, q, came in probes))
        if cause is None:
            return None
        found.append(cause)
    return None if not found else found[0] if len(found) == 1 else both(*found)


_JOINT = Cause("halved", "You average over both batches together; the sum of the two means is asked for.", _CARD)


def _joint_mean(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return torch.cat([F.softplus(-p), F.softplus(q)]).mean()
