"""Laws of `build_autoencoder(num_pixels, hidden_dim, latent_dim)`: an encoder and a decoder, judged by what they
compute.

Nothing is said about how the modules are written. Parameters are set to random values of the law's own, so that
what is seen does not depend on how the student initialises.
"""

from __future__ import annotations

import torch

from .candidate import Candidate
from .demand import describe, finite, plain64, several, tensor, well_behaved
from .law import Check, Draw, show
from .plain import ModuleHandle
from .score import Cause
from .verdict import Broken

_CARD = "the hints under the card of build_autoencoder: linear, nonlinearity, linear, in encoder and decoder"


def _wrong(id: str, sentence: str) -> Cause:
    return Cause(id, sentence, _CARD)


SWAPPED = _wrong("order_swapped", "Encoder and decoder are returned in each other's place.")
SIZES_FIXED = _wrong("sizes_fixed", "A size is written into your function as a number: use num_pixels, hidden_dim and "
                     "latent_dim.")
NO_HIDDEN = _wrong("no_hidden_layer", "There is no hidden layer of width hidden_dim: the network is a single linear "
                   "map or uses another width.")
LINEAR = _wrong("no_nonlinearity", "There is no nonlinearity between the layers, so that they collapse into one linear "
                "map: the result is no better than PCA.")
SQUASHED = _wrong("bounded_output", "The last layer is followed by a function that bounds its result (sigmoid, tanh, "
                  "softmax): end with the linear layer.")
ONE_SIDED = _wrong("one_sided_output", "The last layer is followed by a relu or something like it, so that one sign is "
                   "lost: end with the linear layer.")
UNREGISTERED = _wrong("unregistered_layers", "Some layers are not parameters of the module (a plain Python list hides "
                      "them; they may also be made anew at each call): an optimiser cannot train them. Use "
                      "nn.Sequential or nn.ModuleList.")
FROZEN = _wrong("frozen_parameters", "Some parameters get no gradient: requires_grad is off, or the forward pass is "
                "detached.")
RANDOM = _wrong("random_output", "The same input gives another output at every call, even in evaluation mode: there is "
                "noise in it, or a layer made anew at each call.")
SHARED = _wrong("shared_modules", "Two calls return the same layers: build new ones inside the function.")

SIZES = ((37, 23, 5), (784, 64, 2), (20, 31, 12), (16, 9, 24))

CHECK = Check("build_autoencoder", "build_autoencoder(num_pixels, hidden_dim, latent_dim)")


def _build(candidate: Candidate, sizes: tuple[int, int, int]) -> tuple[ModuleHandle, ModuleHandle]:
    """Encoder and decoder, called once (lazy modules make their parameters then), in evaluation mode."""
    pair = several(candidate(*sizes), ("encoder", "decoder"))
    for value, name in zip(pair, ("encoder", "decoder")):
        if not isinstance(value, ModuleHandle):
            raise Broken(f"{name}, an instance of nn.Module", describe(value))
    encoder, decoder = pair
    for handle in pair:
        handle.train(False)
    return encoder, decoder


def _output(handle: ModuleHandle, x: torch.Tensor, width: int, what: str) -> torch.Tensor:
    return tensor(handle(x), (x.shape[0], width), what)


def _parts(candidate: Candidate, sizes: tuple[int, int, int]) -> list[tuple[str, ModuleHandle, int, int]]:
    """(name, handle, width of the input, width of the output) of both halves, ready for use."""
    encoder, decoder = _build(candidate, sizes)
    pixels, _, latent = sizes
    parts = [("encoder", encoder, pixels, latent), ("decoder", decoder, latent, pixels)]
    for name, handle, width_in, width_out in parts:
        _output(handle, torch.zeros(2, width_in), width_out, f"output of the {name}")
    return parts


def _randomise(handle: ModuleHandle, draw: Draw, scale: float = 0.5) -> None:
    handle.load([draw.normal(*p.shape, scale=scale, dtype=p.dtype).to(p.device) for p in handle.parameters()])


@CHECK.law("returns encoder and decoder with the widths that are asked for", weight=2)
def _widths(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for sizes in SIZES:
        pixels, _, latent = sizes
        encoder, decoder = _build(candidate, sizes)
        for n in (6, 1):
            try:
                codes = _output(encoder, draw.pixels(n, pixels), latent, "codes")
                _output(decoder, plain64(codes).float(), pixels, "logits")
            except Exception as error:
                raise _explain_widths(candidate, error, encoder, decoder, sizes, draw) from None


def _explain_widths(candidate: Candidate, error: Exception, encoder: ModuleHandle, decoder: ModuleHandle,
                    sizes: tuple[int, int, int], draw: Draw) -> Exception:
    pixels, _, latent = sizes
    expected = f"images (N, {pixels}) -> codes (N, {latent}) -> logits (N, {pixels})"
    got = error.got if isinstance(error, Broken) else str(error)
    try:
        codes = _output(decoder, draw.pixels(3, pixels), latent, "codes")
        _output(encoder, plain64(codes).float(), pixels, "logits")
        return Broken(expected, got, SWAPPED)
    except Exception:
        pass
    other = SIZES[1] if sizes != SIZES[1] else SIZES[2]
    fixed = SIZES_FIXED if any(_same_widths(candidate, half, sizes, other) for half in (0, 1)) else None
    return Broken(expected, got, fixed or getattr(error, "cause", None))


def _same_widths(candidate: Candidate, half: int, sizes: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Have the weights at the outer end of the encoder or decoder the same shape although other sizes are asked for?"""
    shapes = []
    for asked in (sizes, other):
        weights = [tuple(p.shape) for p in _build(candidate, asked)[half].parameters() if p.dim() >= 2]
        shapes.append((weights[0][1], weights[-1][0]) if weights else ())
    wanted = [(s[0], s[2]) if half == 0 else (s[2], s[0]) for s in (sizes, other)]
    return any(a == b and w[0] != w[1] for a, b, w in zip(*shapes, zip(*wanted)))


@CHECK.law("has a hidden layer of width hidden_dim in both", weight=2)
def _hidden(candidate: Candidate, draw: Draw) -> None:
    """Not random: some weight has hidden_dim as one of its sides, for every hidden_dim that is asked for."""
    for sizes in SIZES:
        for name, handle, _, _ in _parts(candidate, sizes):
            weights = [tuple(p.shape) for p in handle.parameters() if p.dim() >= 2]
            if not any(sizes[1] in shape for shape in weights):
                raise Broken(f"a weight of the {name} with hidden_dim = {sizes[1]} as one of its sides",
                             f"weights of shape {', '.join(map(str, weights[:6])) or '(none)'}", NO_HIDDEN)


@CHECK.law("is not just a linear map: a nonlinearity between the layers", weight=2)
def _nonlinear(candidate: Candidate, draw: Draw) -> None:
    """Random weights: six networks in a row within 2 % of a linear map have probability below 1e-9. (One does with 1 to
    3 % where batch normalisation shrinks its input, and hardly ever otherwise.)"""
    for name, handle, width_in, _ in _parts(candidate, SIZES[0]):
        for scale in (0.5, 0.5, 2.0, 2.0, 2.0, 5.0):
            _randomise(handle, draw, scale)
            pixels = name == "encoder"
            a, b = (draw.uniform(8, width_in) if pixels else draw.normal(8, width_in, scale=3.0) for _ in range(2))
            ends, middle = plain64(handle(a)) + plain64(handle(b)), plain64(handle((a + b) / 2))
            if float((ends / 2 - middle).norm() / (ends.norm() / 2 + 1e-12)) > 0.02:
                break
        else:
            raise Broken(f"a nonlinear {name}", "the image of a midpoint is the midpoint of the images: a linear map",
                         LINEAR)


@CHECK.law("ends in linear layers: codes and logits of any size and both signs", weight=3)
def _unbounded(candidate: Candidate, draw: Draw) -> None:
    """An identity: where the last layer is linear, the output is affine in its weight. A correct network never fails;
    one that ends in something else passes only if nothing bends at 160 x 4 outputs of random weights, far below
    1e-9."""
    for name, sizes in (("encoder", (20, 31, 160)), ("decoder", (160, 31, 12))):
        _, handle, width_in, width_out = next(part for part in _parts(candidate, sizes) if part[0] == name)
        for scale in (2.0, 50.0):
            _randomise(handle, draw)
            x = draw.normal(4, width_in)
            finite(_output(handle, x, width_out, f"output of the {name}"), f"output of the {name}")
            bends = [_second_difference(handle, index, x, draw, scale) for index, p in enumerate(handle.parameters())
                     if p.dim() >= 2 and width_out in p.shape]
            if not bends or min(bends) > 0.04:
                raise _explain_end(name, handle, width_in, draw)


def _second_difference(handle: ModuleHandle, index: int, x: torch.Tensor, draw: Draw, scale: float) -> float:
    """How far from affine the output is along a random line of one parameter, relative to how it changes; leaves the
    parameters as they were."""
    values = handle.parameters()
    direction = draw.normal(*values[index].shape, scale=scale, dtype=values[index].dtype)
    outputs = []
    for step in (-1.0, 0.0, 1.0):
        moved = list(values)
        moved[index] = values[index] + step * direction
        handle.load(moved)
        outputs.append(plain64(handle(x)))
    handle.load(values)
    change = float((outputs[2] - outputs[0]).norm())
    return float((outputs[0] + outputs[2] - 2 * outputs[1]).norm()) / change if change > 1e-9 else float("inf")


def _explain_end(name: str, handle: ModuleHandle, width_in: int, draw: Draw) -> Broken:
    _randomise(handle, draw, scale=3.0)
    out = plain64(handle(draw.normal(40, width_in, scale=3.0)))
    low, high = float(out.min()), float(out.max())
    expected = f"output of the {name} straight from a linear layer"
    if max(high, -low) <= 1.05:
        return Broken(expected, f"numbers from {show(low)} to {show(high)}, whatever the weights", SQUASHED)
    if min(high, -low) < 0.4 * max(high, -low):
        return Broken(expected, f"numbers from {show(low)} to {show(high)}: one sign is cut or shrunk", ONE_SIDED)
    return Broken(expected, "something nonlinear comes after the last layer")


@CHECK.law("registers all its layers, and every call builds new ones", weight=2)
def _registered(candidate: Candidate, draw: Draw) -> None:
    """Two independent networks with the same parameters compute the same; random layers outside of the parameters
    would agree with probability 0."""
    first, second = _parts(candidate, SIZES[0]), _parts(candidate, SIZES[0])
    for (name, one, width_in, width_out), (_, two, _, _) in zip(first, second):
        if set(one.identity()) & set(two.identity()):
            raise Broken("new layers at every call", f"the {name} shares layers with that of an earlier call", SHARED)
        values = one.parameters()
        if not values:
            raise Broken(f"parameters in the {name}", "none", UNREGISTERED)
        if [v.shape for v in values] != [v.shape for v in two.parameters()]:
            raise Broken(f"the same layers in the {name} at every call", "layers of other shapes")
        two.load(values)
        x = draw.normal(5, width_in)
        a = plain64(_output(one, x, width_out, f"output of the {name}"))
        again = plain64(_output(one, x, width_out, f"output of the {name}"))
        if float((again - a).abs().max()) > 1e-4 * float(a.abs().max()) + 1e-6:
            raise Broken(f"the same output of the {name} for the same input in evaluation mode", "another one", RANDOM)
        b = plain64(_output(two, x, width_out, f"output of the {name}"))
        if float((a - b).abs().max()) > 1e-4 * float(a.abs().max()) + 1e-6:
            raise Broken(f"two {name}s with the same parameters that compute the same", "they differ", UNREGISTERED)


@CHECK.law("can be trained: gradients reach every parameter that matters", weight=2)
def _trainable(candidate: Candidate, draw: Draw) -> None:
    """Random weights: a parameter on which the output depends has a vanishing gradient at 16 inputs with probability
    below 1e-9."""
    for name, handle, width_in, width_out in _parts(candidate, SIZES[0]):
        _randomise(handle, draw)
        x, cotangent = draw.normal(16, width_in), draw.normal(16, width_out)
        before = _output(handle, x, width_out, f"output of the {name}")
        grads = handle.gradients(x, cotangent.to(before.dtype))
        values = handle.parameters()
        for index, grad in enumerate(grads):
            if grad is not None and float(grad.abs().max()) > 0:
                continue
            changed = list(values)
            changed[index] = values[index] + draw.normal(*values[index].shape, dtype=values[index].dtype)
            handle.load(changed)
            after = _output(handle, x, width_out, f"output of the {name}")
            if float((plain64(after) - plain64(before)).abs().max()) > 1e-6:
                raise Broken(f"a gradient for every parameter of the {name}",
                             f"none for parameter {index} of shape {tuple(values[index].shape)}", FROZEN)
        x.requires_grad_()
        out = _output(handle, x, width_out, f"output of the {name}")
        if candidate.gradients(out, (x,), cotangent.to(out.dtype))[0] is None:
            raise Broken(f"a gradient that passes through the {name}", "none", FROZEN)


@CHECK.law("leaves the random generators and torch's settings alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    _parts(candidate, SIZES[0])
    well_behaved(candidate)
