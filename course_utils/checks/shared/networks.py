"""Laws about encoders and decoders of any shape: what they compute with parameters of the law's own.

Nothing is said about how the modules are written, and what is seen does not depend on how the student initialises.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import torch

from ..engine.candidate import Candidate
from ..engine.demand import describe, plain64, several, tensor
from ..engine.law import Draw
from ..engine.plain import ModuleHandle
from ..engine.score import Cause
from ..engine.verdict import Broken

LINEAR = Cause(
    "no_nonlinearity",
    "There is no nonlinearity between the layers, so that they collapse into one linear "
    "map: the result is no better than PCA.",
)
SQUASHED = Cause(
    "bounded_output",
    "The last layer is followed by a function that bounds its result (sigmoid, tanh, "
    "softmax): end with the linear layer.",
)
ONE_SIDED = Cause(
    "one_sided_output",
    "The last layer is followed by a relu or something like it, so that one sign is lost: end with the linear layer.",
)
UNREGISTERED = Cause(
    "unregistered_layers",
    "Some layers are not parameters of the module (a plain Python list hides "
    "them; they may also be made anew at each call): an optimiser cannot train them. Use "
    "nn.Sequential or nn.ModuleList.",
)
FROZEN = Cause(
    "frozen_parameters", "Some parameters get no gradient: requires_grad is off, or the forward pass is detached."
)
RANDOM = Cause(
    "random_output",
    "The same input gives another output at every call, even in evaluation mode: there is "
    "noise in it, or a layer made anew at each call.",
)
SHARED = Cause("shared_modules", "Two calls return the same layers: build new ones inside the function.")


class Part(NamedTuple):
    """Encoder or decoder, with the shapes of one input and of what it makes of it."""

    name: str
    handle: ModuleHandle
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return tensor(self.handle(x), (x.shape[0], *self.shape_out), f"output of the {self.name}")

    def inputs(self, draw: Draw, n: int, scale: float = 1.0) -> torch.Tensor:
        return draw.normal(n, *self.shape_in, scale=scale)


def build(candidate: Candidate, *sizes: int) -> tuple[ModuleHandle, ModuleHandle]:
    """Encoder and decoder of these sizes, in evaluation mode."""
    pair = several(candidate(*sizes), ("encoder", "decoder"))
    for value, name in zip(pair, ("encoder", "decoder"), strict=True):
        if not isinstance(value, ModuleHandle):
            raise Broken(f"{name}, an instance of nn.Module", describe(value))
    encoder, decoder = pair
    for handle in pair:
        handle.train(False)
    return encoder, decoder


def must_agree(first: list[Part], second: list[Part], draw: Draw, card: str) -> None:
    """Two independent networks share no layer, and compute the same with the same parameters and buffers."""
    for one, two in zip(first, second, strict=True):
        if set(one.handle.identity()) & set(two.handle.identity()):
            raise Broken(
                "new layers at every call",
                f"the {one.name} shares layers with that of an earlier call",
                replace(SHARED, where=card),
            )
        values = one.handle.parameters()
        if not values:
            raise Broken(f"parameters in the {one.name}", "none", replace(UNREGISTERED, where=card))
        if [v.shape for v in values] != two.handle.shapes():
            raise Broken(f"the same layers in the {one.name} at every call", "layers of other shapes")
        two.handle.load(values)
        if buffers := one.handle.buffers():
            two.handle.load_buffers(buffers)
        x = one.inputs(draw, 5)
        a, again = plain64(one(x)), plain64(one(x))
        allowed = 1e-4 * float(a.abs().max()) + 1e-6
        if float((again - a).abs().max()) > allowed:
            raise Broken(
                f"the same output of the {one.name} for the same input in evaluation mode",
                "another one",
                replace(RANDOM, where=card),
            )
        if float((a - plain64(two(x))).abs().max()) > allowed:
            raise Broken(
                f"two {one.name}s with the same parameters that compute the same",
                "they differ",
                replace(UNREGISTERED, where=card),
            )


def must_be_trainable(candidate: Candidate, parts: list[Part], draw: Draw, card: str, images: int) -> None:
    """Gradients reach every parameter on which the output depends, and pass through to the input."""
    for part in parts:
        x, cotangent = part.inputs(draw, images), draw.normal(images, *part.shape_out)
        before = part(x)
        grads = part.handle.gradients(x, cotangent.to(before.dtype))
        values = part.handle.parameters()
        for index, grad in enumerate(grads):
            if grad is not None and float(grad.abs().max()) > 0:
                continue
            changed = list(values)
            changed[index] = values[index] + draw.normal(*values[index].shape, dtype=values[index].dtype)
            part.handle.load(changed)
            if float((plain64(part(x)) - plain64(before)).abs().max()) > 1e-6:
                raise Broken(
                    f"a gradient for every parameter of the {part.name}",
                    f"none for parameter {index} of shape {tuple(values[index].shape)}",
                    replace(FROZEN, where=card),
                )
        x.requires_grad_()
        out = part(x)
        if candidate.gradients(out, (x,), cotangent.to(out.dtype))[0] is None:
            raise Broken(f"a gradient that passes through the {part.name}", "none", replace(FROZEN, where=card))


def midpoint_error(part: Part, a: torch.Tensor, b: torch.Tensor) -> float:
    """How far the image of a midpoint is from the midpoint of the images, relative to these; 0 for a linear map."""
    ends, middle = plain64(part(a)) + plain64(part(b)), plain64(part((a + b) / 2))
    return float((ends / 2 - middle).norm() / (ends.norm() / 2 + 1e-12))


def second_difference(
    part: Part, values: list[torch.Tensor], index: int, direction: torch.Tensor, x: torch.Tensor
) -> float:
    """How far from affine the output is along a line of parameter `index`, relative to how it changes; the parameters
    end as `values`."""
    outputs = []
    for step in (-1.0, 0.0, 1.0):
        moved = list(values)
        moved[index] = values[index] + step * direction
        if shared_length(values, index):  # the weight g v / |v| moves straight on
            moved[index - 1] = values[index - 1] * moved[index].norm() / values[index].norm()
        part.handle.load(moved)
        outputs.append(plain64(part(x)))
    part.handle.load(values)
    change = float((outputs[2] - outputs[0]).norm())
    return float((outputs[0] + outputs[2] - 2 * outputs[1]).norm()) / change if change > 1e-9 else float("inf")


def shared_length(values: list[torch.Tensor], index: int) -> bool:
    """Is the parameter before this weight one number, as its length is in weight normalisation with dim=None?"""
    return index > 0 and values[index].dim() >= 2 and values[index - 1].dim() == 0


def ends_linear(part: Part, values: list[torch.Tensor], index: int, direction: torch.Tensor, x: torch.Tensor) -> bool:
    """Is the output affine along this line of parameter `index`, or along one that leaves a normalised layer's norm
    alone? A linear layer is linear with spectral normalisation as well, whose norm is u^T W v for two buffers."""
    lines = [direction, *_at_constant_norm(part, direction)]
    return any(second_difference(part, values, index, line, x) <= 0.04 for line in lines)


def is_spectral(part: Part, weight: torch.Tensor) -> bool:
    """Has this weight two buffers of the sizes that spectral normalisation keeps for it?"""
    return bool(_norms(part.handle.buffers(), weight))


def _at_constant_norm(part: Part, direction: torch.Tensor) -> list[torch.Tensor]:
    """For each two buffers u and v that fit: the part of a change of W in which u^T W v stays the same."""
    return [_with_norm(direction, u, v, axis, 0.0) for u, v, axis in _norms(part.handle.buffers(), direction)]


def with_norms(handle: ModuleHandle, values: list[torch.Tensor], norm: float) -> list[torch.Tensor]:
    """The same weights, those with spectral normalisation with this norm: a random u^T W v may be near 0. A length that
    weight normalisation keeps as one number is its weight's."""
    settled, buffers = [], handle.buffers()
    values = [v.norm() if shared_length([p, v], 1) else p for p, v in pairwise(values)] + values[-1:]
    for value in values:
        for u, v, axis in _norms(buffers, value):
            value = _with_norm(value, u, v, axis, norm)
        settled.append(value)
    return settled


def _norms(buffers: list[torch.Tensor], weight: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
    """Each two buffers u and v that fit a weight, and its axis along which the outputs of the layer lie."""
    found = []
    for u, v in pairwise(buffers) if weight.dim() > 1 else ():
        for axis in (0, 1):
            sides = weight.movedim(axis, 0).flatten(1).shape
            if u.dim() == v.dim() == 1 and sides == (len(u), len(v)) and bool(u.any()) and bool(v.any()):
                found.append((u.to(weight), v.to(weight), axis))
    return found


def _with_norm(weight: torch.Tensor, u: torch.Tensor, v: torch.Tensor, axis: int, norm: float) -> torch.Tensor:
    turned = weight.movedim(axis, 0)
    matrix = turned.flatten(1)
    missing = (norm - u @ matrix @ v) / (u @ u * (v @ v))
    return (matrix + missing * torch.outer(u, v)).view(turned.shape).movedim(0, axis).contiguous()


def end_of(low: float, high: float, card: str) -> Cause | None:
    """What follows the last layer, from the range of the output under large random weights."""
    if max(high, -low) <= 1.05:
        return replace(SQUASHED, where=card)
    if min(high, -low) < 0.4 * max(high, -low):
        return replace(ONE_SIDED, where=card)
    return None
