"""Critics for laws: small networks with outputs (N, 1) whose values, gradients and penalties are known."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..engine.candidate import Candidate
from ..engine.demand import plain64, untouched
from ..engine.law import Draw
from ..engine.score import Cause
from ..engine.verdict import Broken


def linear_critic(weight: torch.Tensor, bias: float = 0.0) -> nn.Sequential:
    """w . z + b: its gradient is w everywhere, so that its penalty is (|w| - 1)^2 wherever it is measured."""
    layer = nn.Linear(len(weight), 1, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight[None]), layer.bias.fill_(bias)
    return nn.Sequential(layer)


def deep_critic(draw: Draw, dim: int, *, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> nn.Sequential:
    """A smooth network whose gradient has another length at every point."""
    critic = nn.Sequential(nn.Linear(dim, 9), nn.Tanh(), nn.Linear(9, 6), nn.Softplus(), nn.Linear(6, 1)).to(dtype)
    with torch.no_grad():
        for p in critic.parameters():
            p.copy_(draw.normal(*p.shape, scale=scale * (1.4 if p.dim() > 1 else 0.5), dtype=dtype))
    return critic


def critic_with_slopes(draw: Draw, codes: torch.Tensor, length: float) -> nn.Sequential:
    """A deep critic whose gradient at the codes has this length on average, so that some are shorter, some longer."""
    critic = deep_critic(draw, codes.shape[1], dtype=codes.dtype)
    weight = list(critic.parameters())[-2]  # of the last layer
    with torch.no_grad():
        weight.mul_(length / float(gradient_lengths(critic, codes).mean()))
    return critic


class IndexedQuadratic(nn.Module):
    """sum_k w[i, k] z_k^2 / 2, where the last coordinate of z is the number i of the pair that z belongs to.

    Both ends of a pair carry the same number, hence every point of its segment does. The derivative of a penalty with
    respect to row i of w tells where on its segment pair i was measured.
    """

    def __init__(self, pairs: int, dim: int = 2) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(pairs, dim))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        rows = z[..., -1].detach().round().long().clamp(0, self.w.shape[0] - 1)
        return 0.5 * (z[..., :-1].square() * F.embedding(rows, self.w)).sum(-1, keepdim=True)


def mean_value(critic: nn.Module, z: torch.Tensor) -> float:
    """The critic's mean on z, by float64 arithmetic."""
    return float(values(critic, z).mean())


def values(critic: nn.Module, z: torch.Tensor) -> torch.Tensor:
    """The critic's values (N,) as plain float64 numbers."""
    with torch.no_grad():
        return plain64(critic(z.detach()).squeeze(-1))


def gradient_lengths(critic: nn.Module, points: torch.Tensor, create_graph: bool = False) -> torch.Tensor:
    """|d critic / d point| of every point, (N,)."""
    with torch.enable_grad():
        points = points.detach().clone().requires_grad_()
        (grad,) = torch.autograd.grad(critic(points).sum(), points, create_graph=create_graph)
        return grad.square().sum(1).sqrt()


class Belongings:
    """What must be after a call as before: a critic's weights, their gradients, their flags and its mode; the codes,
    their place in a graph, and whether they require a gradient."""

    def __init__(self, critic: nn.Module, draw: Draw, codes: dict[str, torch.Tensor]) -> None:
        self._critic, self._codes = critic, codes
        self._before: list[tuple[torch.Tensor, torch.Tensor, bool]] = []
        for p in critic.parameters():
            p.grad = draw.normal(*p.shape, dtype=p.dtype)  # as left by an earlier step
            self._before.append((p.detach().clone(), p.grad.clone(), p.requires_grad))
        self._training = [module.training for module in critic.modules()]
        self._numbers = [code.detach().clone() for code in codes.values()]
        self._flags = [(code.requires_grad, code.grad_fn is not None) for code in codes.values()]

    def check(self) -> None:
        """Raises Broken where something has changed."""
        untouched(self._numbers, list(self._codes.values()), list(self._codes))
        self._check_flags()
        for p, (value, grad, flag) in zip(self._critic.parameters(), self._before, strict=True):
            if not torch.equal(p.detach(), value):
                raise Broken("the critic's weights as before the call", "other weights", CHANGES_CRITIC)
            if p.grad is None or not torch.equal(p.grad, grad):
                raise Broken("the .grad of the critic's weights as before the call", "other gradients", OWN_BACKWARD)
            if p.requires_grad != flag:
                raise Broken(
                    f"requires_grad = {flag} for the critic's weights, as before the call",
                    f"{not flag}",
                    CHANGES_CRITIC,
                )
        for module, training in zip(self._critic.modules(), self._training, strict=True):
            if module.training != training:
                raise Broken(f"critic.training = {training}, as before the call", f"{not training}", CHANGES_CRITIC)

    def _check_flags(self) -> None:
        for (name, code), (flag, in_graph) in zip(self._codes.items(), self._flags, strict=True):
            if (code.grad_fn is not None) != in_graph:
                raise Broken(f"{name} in its graph, as before the call", "cut off from it", _CHANGES_FLAGS)
            if code.requires_grad != flag:
                raise Broken(f"requires_grad = {flag} for {name}, as before the call", f"{not flag}", _CHANGES_FLAGS)
            if code.is_leaf and code.grad is not None:
                raise Broken(f"{name} without a .grad, as before the call", "one with a .grad", OWN_BACKWARD)


_CHANGES_FLAGS = Cause(
    "changes_arguments",
    "You call requires_grad_() or detach_() on an argument itself: whoever called you goes on with it. Use detach(), "
    "or do so on a tensor of your own.",
    "what your code does to z_prior and z_posterior",
)
CHANGES_CRITIC = Cause(
    "changes_critic",
    "You change the critic (its weights, its mode, or whether it can be trained): the function computes a number, the "
    "caller trains.",
    "what your code does to critic",
)
OWN_BACKWARD = Cause(
    "own_backward",
    "You call backward() or zero_grad() inside: the function returns a loss, the caller decides when gradients are "
    "computed and cleared.",
    "calls such as backward in your code",
)
REACHES_ENCODER = Cause(
    "reaches_encoder",
    "The gradient goes on into the codes, and so into the encoder: it would be trained to help its critic. Detach the "
    "codes.",
    "how z_prior and z_posterior enter the critic",
)


def no_gradient_into(
    candidate: Candidate, loss: torch.Tensor, critic: nn.Module, codes: dict[str, torch.Tensor]
) -> None:
    """The loss has a gradient in the critic's weights and none in the codes."""
    parameters = list(critic.parameters())
    found = candidate.gradients(loss, [*parameters, *codes.values()])
    if all(grad is None for grad in found[: len(parameters)]):
        raise Broken("a gradient that stays within the critic", "no gradient at all")
    for name, grad in zip(codes, found[len(parameters) :], strict=True):
        if grad is not None and float(grad.abs().max()) > 1e-8:
            raise Broken(
                f"no gradient with respect to {name}", f"one of size {float(grad.norm()):.3g}", REACHES_ENCODER
            )
