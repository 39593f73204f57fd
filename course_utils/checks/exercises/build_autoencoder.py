"""Laws of `build_autoencoder(num_pixels, hidden_dim, latent_dim)`: an encoder and a decoder, judged by what they
compute.

Nothing is said about how the modules are written. Parameters are set to random values of the law's own, so that
what is seen does not depend on how the student initialises.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch

from ..engine.candidate import Candidate
from ..engine.demand import finite, plain64, tensor, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.plain import ModuleHandle
from ..engine.score import Cause
from ..engine.verdict import Broken, CallFailed
from ..shared.networks import (
    FROZEN,
    LINEAR,
    Part,
    build,
    end_of,
    ends_linear,
    is_spectral,
    midpoint_error,
    must_agree,
    must_be_trainable,
    second_difference,
    shared_length,
    with_norms,
)

CHECK = Check("build_autoencoder(num_pixels, hidden_dim, latent_dim)", "(encoder, decoder)")

SIZES = ((37, 23, 5), (784, 64, 2), (20, 31, 12), (16, 9, 24))  # pixels, hidden units, latent dimensions


@CHECK.law("returns encoder and decoder with the widths that are asked for", weight=2)
def _widths(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs and in one of the sizes."""
    for sizes in _all_sizes(draw):
        pixels, _, latent = sizes
        encoder, decoder = build(candidate, *sizes)
        for n in (6, 1):
            try:
                codes = _output(encoder, draw.pixels(n, pixels), latent, "codes")
                _output(decoder, plain64(codes).float(), pixels, "logits")
            except Exception as error:
                raise _explain_widths(candidate, error, encoder, decoder, sizes, draw) from None


@CHECK.law("has a hidden layer of width hidden_dim in both", weight=2)
def _hidden(candidate: Candidate, draw: Draw) -> None:
    """Random only in one of the sizes: some weight has hidden_dim as one of its sides, for every hidden_dim that is
    asked for."""
    for sizes in _all_sizes(draw):
        for part in _parts(candidate, sizes):
            weights = [shape for shape in part.handle.shapes() if len(shape) >= 2]
            if not any(sizes[1] in shape for shape in weights):
                raise Broken(
                    f"a weight of the {part.name} with hidden_dim = {sizes[1]} as one of its sides",
                    f"weights of shape {', '.join(map(str, weights[:6])) or '(none)'}",
                    NO_HIDDEN,
                )


@CHECK.law("is not just a linear map: a nonlinearity between the layers", weight=2, essential=True)
def _nonlinear(candidate: Candidate, draw: Draw) -> None:
    """Random weights: eight networks in a row within 2 % of a linear map have probability below 1e-9. (One does with 1
    to 3 % where batch normalisation shrinks its input; soft units with normalised weights need the large scales.) Nor
    is it affine in each of its parameters, as it is where layers follow each other directly: eight in a row have
    probability below 1e-9 as well."""
    for part in _parts(candidate, SIZES[0]):
        scales = (0.5, 0.5, 2.0, 2.0, 2.0, 5.0, 20.0, 60.0)
        for scale in scales:
            _randomise(part.handle, draw, scale)
            images = part.name == "encoder" and scale < 5
            a, b = (draw.uniform(8, *part.shape_in) if images else part.inputs(draw, 8, 3.0) for _ in range(2))
            if midpoint_error(part, a, b) > 0.02:
                break
        else:
            raise Broken(
                f"a nonlinear {part.name}",
                "the image of a midpoint is the midpoint of the images: a linear map",
                replace(LINEAR, where=_CARD),
            )
        if all(_collapses(part, draw, scale) for scale in scales):
            raise Broken(
                f"a nonlinearity between the layers of the {part.name}",
                "layers that follow each other directly: the output is affine in each weight",
                MISPLACED,
            )


@CHECK.law("ends in linear layers: codes and logits of any size and both signs", weight=3)
def _unbounded(candidate: Candidate, draw: Draw) -> None:
    """An identity: where the last layer is linear, the output is affine in its weight. A correct network never fails;
    one that ends in something else passes only if nothing bends at 160 x 4 outputs of random weights, far below
    1e-9. In training mode a correct output grows tenfold with a hundredfold last weight, is exactly 0 nowhere and
    differs between images; all of a decoder's 23 hidden units are dead at 8 negative codes four times in a row with
    probability below 1e-9."""
    for name, sizes in (("encoder", (20, 31, 160)), ("decoder", (160, 31, 12))):
        part = next(part for part in _parts(candidate, sizes) if part.name == name)
        for scale in (2.0, 50.0):
            _randomise(part.handle, draw)
            x = part.inputs(draw, 4)
            finite(part(x), f"output of the {name}")
            values = part.handle.parameters()
            if not any(
                ends_linear(part, values, index, draw.normal(*p.shape, scale=scale, dtype=p.dtype), x)
                for index, p in reversed(list(enumerate(values)))
                if p.dim() >= 2
            ):
                raise _explain_end(part, draw)
        _ends_linear_in_training(part, draw)
    _tells_negative_codes_apart(_parts(candidate, SIZES[0])[1], draw)


@CHECK.law("registers all its layers, and every call builds new ones", weight=2)
def _registered(candidate: Candidate, draw: Draw) -> None:
    """Two independent networks with the same parameters compute the same; random layers outside of the parameters
    would agree with probability 0."""
    must_agree(_parts(candidate, SIZES[0]), _parts(candidate, SIZES[0]), draw, _CARD)


@CHECK.law("can be trained: gradients reach every parameter that matters", weight=2, essential=True)
def _trainable(candidate: Candidate, draw: Draw) -> None:
    """Random weights: a parameter on which the output depends has a vanishing gradient at 16 inputs in fewer than one
    of ten networks (spectral normalisation may make weights so large that all units are full), eight times in a row
    with probability below 1e-8; drawn weights are all equal with probability 0."""
    parts = _parts(candidate, SIZES[0])
    for part in parts:
        _starts_to_learn(part, draw)
        for attempts_left in reversed(range(8)):
            _randomise(part.handle, draw)
            try:
                must_be_trainable(candidate, [part], draw, _CARD, images=16)
                break
            except Broken:
                if not attempts_left:
                    raise
    for part in parts:
        _randomise(part.handle, draw)
        _learns_in_training_mode(part, draw)


@CHECK.law("leaves the random generators and torch's settings alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    _parts(candidate, SIZES[0])
    well_behaved(candidate)


def _output(handle: ModuleHandle, x: torch.Tensor, width: int, what: str) -> torch.Tensor:
    return tensor(handle(x), (x.shape[0], width), what)


def _parts(candidate: Candidate, sizes: tuple[int, int, int]) -> list[Part]:
    """Both halves, called once: lazy modules make their parameters then."""
    encoder, decoder = build(candidate, *sizes)
    pixels, _, latent = sizes
    parts = [Part("encoder", encoder, (pixels,), (latent,)), Part("decoder", decoder, (latent,), (pixels,))]
    for part in parts:
        part(torch.zeros(2, *part.shape_in))
    return parts


def _randomise(handle: ModuleHandle, draw: Draw, scale: float = 0.5) -> None:
    values = [draw.normal(*p.shape, scale=scale, dtype=p.dtype).to(p.device) for p in handle.parameters()]
    for value in values:
        if value.dim() == 2:  # torch's orthogonal parametrisation keeps signs there and rounds them towards 0
            value.diagonal().add_(value.diagonal().sign())
    handle.load(with_norms(handle, values, 3 * scale))


def _all_sizes(draw: Draw) -> tuple[tuple[int, int, int], ...]:
    return *SIZES, (draw.integer(800, 1000), draw.integer(65, 200), draw.integer(30, 60))


def _explain_widths(
    candidate: Candidate,
    error: Exception,
    encoder: ModuleHandle,
    decoder: ModuleHandle,
    sizes: tuple[int, int, int],
    draw: Draw,
) -> Exception:
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
        try:
            weights = [shape for shape in build(candidate, *asked)[half].shapes() if len(shape) >= 2]
        except CallFailed:  # lazy layers, which have none before the first call
            return False
        shapes.append((weights[0][1], weights[-1][0]) if weights else ())
    wanted = [(s[0], s[2]) if half == 0 else (s[2], s[0]) for s in (sizes, other)]
    return any(a == b and w[0] != w[1] for a, b, w in zip(*shapes, zip(*wanted, strict=True), strict=True))


def _collapses(part: Part, draw: Draw, scale: float) -> bool:
    """Is the output affine in every parameter, two or more of which are weights on which it depends?"""
    _randomise(part.handle, draw, scale)
    values, x = part.handle.parameters(), part.inputs(draw, 8)
    weights = 0
    for index, p in enumerate(values):
        bend = second_difference(part, values, index, draw.normal(*p.shape, scale=scale, dtype=p.dtype), x)
        if 0.02 < bend < math.inf:
            return False
        weights += p.dim() >= 2 and bend < math.inf
    return weights > 1


def _ends_linear_in_training(part: Part, draw: Draw) -> None:
    expected = f"output of the {part.name} in training mode straight from a linear layer"
    _randomise(part.handle, draw)
    part.handle.train(True)
    x = part.inputs(draw, 32)
    out, values, growth = plain64(part(x)), part.handle.parameters(), 0.0
    zeros = float((out == 0).double().mean())
    if zeros > 0.01:
        raise Broken(expected, f"{zeros:.0%} of the numbers are exactly 0", DROPS_OUTPUT)
    if float((out - out[0]).abs().max()) <= 1e-6 * float(out.abs().max()):
        raise Broken(f"output of the {part.name} that depends on the input in training mode", "the same for all inputs")
    for index, p in enumerate(values):
        if p.dim() >= 2 and part.shape_out[0] in p.shape:
            first = index - shared_length(values, index)
            part.handle.load([100 * v if first <= number <= index else v for number, v in enumerate(values)])
            growth = max(growth, float(plain64(part(x)).norm() / out.norm()))
    if growth < 10 and any(p.dim() == 2 and is_spectral(part, p) for p in values):  # its size is always the same
        spread = float(out.std())
        if float((plain64(part(part.inputs(draw, 32) + 1)).mean(0) - out.mean(0)).abs().max()) > 1e-3 * spread:
            return
    if growth < 10:
        raise Broken(
            expected, f"a last weight 100 times as large makes it {show(growth)} times as large", TRAINED_BOUNDED
        )


def _tells_negative_codes_apart(decoder: Part, draw: Draw) -> None:
    for _ in range(4):
        _randomise(decoder.handle, draw)
        out = plain64(decoder(-decoder.inputs(draw, 8).abs()))
        if float((out - out[0]).abs().max()) > 1e-5:
            return
    raise Broken(
        "different images from different codes, negative ones too",
        "the same image from all negative codes",
        NEGATIVE_LOST,
    )


def _explain_end(part: Part, draw: Draw) -> Broken:
    _randomise(part.handle, draw, scale=3.0)
    out = plain64(part(part.inputs(draw, 40, 3.0)))
    low, high = float(out.min()), float(out.max())
    cause = end_of(low, high, _CARD)
    return Broken(
        f"output of the {part.name} straight from a linear layer",
        f"numbers from {show(low)} to {show(high)}" if cause else "something nonlinear comes after the last layer",
        cause,
    )


def _starts_to_learn(part: Part, draw: Draw) -> None:
    """From the student's own initialisation: some weight has a gradient, and some weight tells its units apart."""
    grads = part.handle.gradients(part.inputs(draw, 16), draw.normal(16, *part.shape_out))
    weights = [(p, g) for p, g in zip(part.handle.parameters(), grads, strict=True) if p.dim() >= 2 and g is not None]
    if not weights:
        return  # detached or frozen, which is told apart elsewhere
    if all(float(g.abs().max()) == 0 for _, g in weights):
        raise Broken(f"a gradient for some weight of the {part.name} as you initialise it", "all are 0", CANNOT_START)
    if all(_equal(p) and (_equal(g) or _equal(g.transpose(0, 1))) for p, g in weights):
        raise Broken(f"units of the {part.name} that differ", "all have the same weights and gradients", CANNOT_START)


def _equal(rows: torch.Tensor) -> bool:
    return float((rows - rows[:1]).abs().max()) <= 1e-6 * float(rows.abs().max())


def _learns_in_training_mode(part: Part, draw: Draw) -> None:
    """What has a gradient in evaluation mode has one in training mode, at least once in three passes."""
    x, cotangent = part.inputs(draw, 16), draw.normal(16, *part.shape_out)
    missing = {index for index, grad in enumerate(part.handle.gradients(x, cotangent)) if grad is not None}
    part.handle.train(True)
    for _ in range(3):
        try:
            grads = part.handle.gradients(x, cotangent)
        except CallFailed as failed:
            if "modified by an inplace operation" in failed.message:
                failed.cause = INPLACE
            raise
        missing -= {index for index, grad in enumerate(grads) if grad is not None}
        if not missing:
            return
    raise Broken(
        f"a gradient for every parameter of the {part.name} in training mode",
        f"none for {len(missing)} of them",
        replace(FROZEN, where=_CARD),
    )


_CARD = "the hints under the card of build_autoencoder: linear, nonlinearity, linear, in encoder and decoder"
_wrong = partial(Cause, where=_CARD)

SWAPPED = _wrong("order_swapped", "Encoder and decoder are returned in each other's place.")
SIZES_FIXED = _wrong(
    "sizes_fixed", "A size is written into your function as a number: use num_pixels, hidden_dim and latent_dim."
)
NO_HIDDEN = _wrong(
    "no_hidden_layer",
    "There is no hidden layer of width hidden_dim: the network is a single linear map or uses another width.",
)
MISPLACED = _wrong(
    "misplaced_nonlinearity",
    "The nonlinearity does not stand between the layers, so that they "
    "collapse into one linear map: move it behind the hidden layer.",
)
NEGATIVE_LOST = _wrong(
    "negative_codes_lost", "The decoder begins with a relu or something like it: all negative codes are the same to it."
)
DROPS_OUTPUT = _wrong(
    "dropout_on_output", "In training mode dropout sets codes or logits to 0: use it on hidden layers only."
)
TRAINED_BOUNDED = _wrong(
    "bounded_in_training",
    "In training mode something bounds the output of the last layer, such "
    "as batch normalisation: end with the linear layer.",
)
INPLACE = _wrong(
    "inplace_in_training",
    "In training mode the backward pass fails, because an operation in place "
    "(inplace=True) overwrites numbers that it needs.",
)
CANNOT_START = _wrong(
    "initialisation",
    "From your initial weights nothing is learnt: all are zero, or all are equal "
    "so that hidden units stay copies of one another. Leave PyTorch's initialisation alone.",
)
