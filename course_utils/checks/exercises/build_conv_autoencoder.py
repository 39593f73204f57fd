"""Laws of `build_conv_autoencoder(channels, latent_dim)`: convolutional encoder and decoder of 64x64 pictures.

What the two compute is judged as for `build_autoencoder` (see `networks`); what convolutions add is that they see the
whole picture, reach all of it, and are affordable.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ..engine.candidate import Candidate
from ..engine.demand import finite, plain64, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken
from ..shared.networks import (
    LINEAR,
    Part,
    build,
    end_of,
    ends_linear,
    midpoint_error,
    must_agree,
    must_be_trainable,
)

CHECK = Check("build_conv_autoencoder(channels, latent_dim)", "(encoder, decoder) of 64x64 pictures")
_CARD = "the hints under the card of build_conv_autoencoder: halve the picture with strided convolutions, then linear"
SIDE = 64
MOST_PARAMETERS = 5_000_000
_MOST_AT_ONCE = 12_000_000  # of one half: its parameters must fit into one message of the sandbox
_FULL = (3, 128)  # colour, as in the unit
_SMALL = (3, 12)  # where no law is about size
SIZES = (_FULL, (1, 16), (4, 7))


@CHECK.law("encodes pictures to (N, latent_dim), and decodes those to logits of the pictures' shape", weight=2)
def _shapes(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for sizes in SIZES:
        channels, latent = sizes
        encoder, decoder = build(candidate, *sizes)
        parts = (
            Part("encoder", encoder, (channels, SIDE, SIDE), (latent,)),
            Part("decoder", decoder, (latent,), (channels, SIDE, SIDE)),
        )
        for part in parts:
            for n in (3, 1):
                try:
                    finite(part(part.inputs(draw, n)), f"output of the {part.name}")
                except Exception as error:
                    raise _explain_shape(candidate, parts, part, error, sizes) from None


@CHECK.law("has convolutions in both halves", essential=True)
def _convolutions(candidate: Candidate, draw: Draw) -> None:
    """Some parameter has the four sides of a convolution's weight, with a window larger than one pixel, and matters:
    in one of ten networks with random weights. Where the output is cut off from the convolutions in 1 of 9 (six hidden
    units that are all off), a false alarm has probability below 1e-9."""
    for part in _parts(candidate, _SMALL):
        shapes = part.handle.shapes()
        if not any(map(_is_window, shapes)):
            raise Broken(
                f"the weight of a convolution in the {part.name}: (channels, channels, height, width)",
                f"parameters of shape {', '.join(map(str, shapes[:6])) or '(none)'}",
                FLAT_INPUT,
            )
        if not any(_uses_windows(part, draw) for _ in range(10)):
            raise Broken(
                f"a {part.name} whose output depends on its convolutions", "the same output with others", UNUSED
            )


@CHECK.law("is affordable: at most 5 million parameters together, at 128 latent dimensions", weight=2)
def _affordable(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    counted = sum(map(_count, _parts(candidate, _FULL)))
    if counted > MOST_PARAMETERS:
        raise Broken(f"at most {MOST_PARAMETERS:,} parameters", f"{counted:,}", TOO_LARGE)
    if counted == 0:
        raise Broken("parameters to train", "none")


@CHECK.law("is not just a linear map: a nonlinearity between the layers", weight=2)
def _nonlinear(candidate: Candidate, draw: Draw) -> None:
    """Random weights: six networks in a row within 2 % of a linear map have probability below 1e-9."""
    for part in _parts(candidate, _SMALL):
        for gain in (2.0, 2.0, 5.0, 5.0, 10.0, 10.0):
            _randomise(part, draw, gain)
            if midpoint_error(part, part.inputs(draw, 2), part.inputs(draw, 2)) > 0.02:
                break
        else:
            raise Broken(
                f"a nonlinear {part.name}",
                "the image of a midpoint is the midpoint of the images: a linear map",
                replace(LINEAR, where=_CARD),
            )


@CHECK.law("ends in linear layers: codes and logits of any size and both signs", weight=2)
def _unbounded(candidate: Candidate, draw: Draw) -> None:
    """An identity: where the last layer is linear, the output is affine in its weight. A correct network never fails;
    one that ends in something else passes only if nothing bends at all its outputs for random weights, far below
    1e-9."""
    for part in _parts(candidate, (3, 24)):
        for gain in (2.0, 30.0):
            _randomise(part, draw)
            x = part.inputs(draw, 2)
            finite(part(x), f"output of the {part.name}")
            values = part.handle.parameters()
            if not any(_affine(part, values, index, draw, gain, x) for index in reversed(range(len(values)))):
                raise _explain_end(part, draw)


@CHECK.law("sees every part of the picture in every channel, and draws every part of it", weight=2)
def _everywhere(candidate: Candidate, draw: Draw) -> None:
    """Random weights and pictures, two networks taken together: a quarter of the pixels may be missing, where a
    sound network misses at most the rim; false alarm far below 1e-9."""
    encoder, decoder = _parts(candidate, _SMALL)
    seen = torch.zeros(encoder.shape_in, dtype=torch.bool)
    drawn, coloured, tells_colours = seen.clone(), False, False
    for _ in range(2):
        _randomise(encoder, draw)
        _randomise(decoder, draw)
        x = encoder.inputs(draw, 2).requires_grad_()
        codes = encoder(x)
        grad = candidate.gradients(codes, (x,), draw.normal(*codes.shape).to(codes.dtype))[0]
        seen |= False if grad is None else (plain64(grad).abs() > 0).any(0)
        tells_colours |= _change(codes, encoder(x.detach().roll(1, dims=1))) > 1e-5
        logits = plain64(decoder(decoder.inputs(draw, 4)))
        drawn |= (logits - logits[:1]).abs().amax(0) > 1e-6 * float(logits.abs().max())
        coloured |= float((logits - logits[:, :1]).abs().max()) > 1e-5 * float(logits.abs().max())
    shares = seen.double().mean((1, 2))
    if float(shares.max()) < 0.75 or float(shares.min()) < 0.75:
        raise Broken(
            "codes that depend on (nearly) every pixel of every channel",
            f"on {float(shares.min()):.0%} of the pixels of a channel",
            BLIND if float(shares.max()) < 0.75 else BLIND_CHANNEL,
        )
    if not tells_colours:
        raise Broken("codes that change when the channels of the picture change places", "the same codes", COLOUR_BLIND)
    if float(drawn.double().mean()) < 0.75:
        raise Broken(
            "logits that depend on the code (nearly) everywhere",
            f"in {float(drawn.double().mean()):.0%} of the places",
            HOLES,
        )
    if not coloured:
        raise Broken("logits that differ between the channels", "the same ones in all channels", GREY)


@CHECK.law("registers all its layers, and every call builds new ones", weight=2)
def _registered(candidate: Candidate, draw: Draw) -> None:
    """Two independent networks with the same parameters compute the same; random layers outside of the parameters
    would agree with probability 0."""
    must_agree(_parts(candidate, _SMALL), _parts(candidate, _SMALL), draw, _CARD)


@CHECK.law("treats every picture for itself, whatever else is in the batch")
def _one_by_one(candidate: Candidate, draw: Draw) -> None:
    """Evaluation mode, random weights: what a sound network computes for a picture changes by rounding alone, below
    1e-5, and 1e-3 is allowed: it never fails. Random outputs are another law's affair."""
    for part in _parts(candidate, _SMALL):
        _randomise(part, draw)
        x = part.inputs(draw, 4)
        x[1:] = 3 * x[1:] + 2  # the others are unlike the first
        together = part(x)
        if _change(together, part(x)) <= 1e-3 < _change(together[:1], part(x[:1])):
            raise Broken(
                f"the same output of the {part.name} for a picture alone and among others",
                "another one",
                OTHER_PICTURES,
            )


@CHECK.law("can be trained: gradients reach every parameter that matters", weight=2, essential=True)
def _trainable(candidate: Candidate, draw: Draw) -> None:
    """Random weights: in a small branch (squeeze and excitation) all units are off for all 4 inputs in 7 % of networks,
    so that up to eight are tried; false alarm below 1e-9."""
    for part in _parts(candidate, _SMALL):
        for attempts_left in reversed(range(8)):
            _randomise(part, draw)
            try:
                must_be_trainable(candidate, [part], draw, _CARD, images=4)
                break
            except Broken:
                if not attempts_left:
                    raise


@CHECK.law("leaves the random generators and torch's settings alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    _parts(candidate, _SMALL)
    well_behaved(candidate)


def _parts(candidate: Candidate, sizes: tuple[int, int]) -> list[Part]:
    """Both halves, called once: lazy modules make their parameters then."""
    encoder, decoder = build(candidate, *sizes)
    channels, latent = sizes
    picture = (channels, SIDE, SIDE)
    parts = [Part("encoder", encoder, picture, (latent,)), Part("decoder", decoder, (latent,), picture)]
    for part in parts:
        part(torch.zeros(2, *part.shape_in))
        counted = _count(part)
        if counted > _MOST_AT_ONCE and sizes != _FULL:
            raise Broken(f"at most {MOST_PARAMETERS:,} parameters", f"{counted:,} in the {part.name} alone", TOO_LARGE)
    return parts


def _count(part: Part) -> int:
    return sum(math.prod(shape) for shape in part.handle.shapes())


def _randomise(part: Part, draw: Draw, gain: float = 2.0) -> None:
    """Weights that keep the size of what passes, whatever the number of layers."""
    part.handle.load(
        [
            draw.normal(*shape, scale=gain / math.sqrt(math.prod(shape[1:])) if len(shape) >= 2 else 0.5)
            for shape in part.handle.shapes()
        ]
    )


def _explain_shape(
    candidate: Candidate, parts: tuple[Part, Part], part: Part, error: Exception, sizes: tuple[int, int]
) -> Broken:
    channels, latent = sizes
    picture = f"(N, {channels}, {SIDE}, {SIDE})"
    expected = (
        f"pictures {picture} -> codes (N, {latent}) -> logits {picture}"
        f" for channels = {channels}, latent_dim = {latent}"
    )
    got = f"{part.name}: {error.got if isinstance(error, Broken) else error}"
    encoder, decoder = parts
    came = _came(part, part.shape_in)
    if _came(encoder, decoder.shape_in) == decoder.shape_out and _came(decoder, encoder.shape_in) == encoder.shape_out:
        return Broken(expected, got, SWAPPED)
    cause = None
    if came is None and part.name == "encoder":
        others = [(other, SIDE, SIDE) for other in (3, 1) if other != channels]
        cause = CHANNELS_FIXED if any(_came(part, shape) for shape in others) else None
    elif came is None:
        widths = [(other,) for other in (128, 16, 64, 32, 256) if other != latent]
        cause = LATENT_FIXED if any(_came(part, shape) for shape in widths) else None
    elif part.name == "encoder":
        cause = NOT_FLAT if len(came) == 3 else LATENT_FIXED if len(came) == 1 else None
    elif len(came) == 1:
        cause = FLAT_LOGITS
    elif len(came) == 3:
        cause = WRONG_SIDE if came[1:] != (SIDE, SIDE) else CHANNELS_FIXED
    return Broken(expected, got, cause)


def _came(part: Part, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of what comes of one input, without the first axis; None where the module raises."""
    try:
        came = part.handle(torch.zeros(2, *shape))
        return tuple(came.shape[1:]) if isinstance(came, torch.Tensor) else None
    except Exception:
        return None


def _is_window(shape: tuple[int, ...]) -> bool:
    """Of a convolution that looks at more than one pixel?"""
    return len(shape) == 4 and shape[2] * shape[3] > 1


def _uses_windows(part: Part, draw: Draw) -> bool:
    _randomise(part, draw)
    x = part.inputs(draw, 4)
    before, values = part(x), part.handle.parameters()
    part.handle.load(
        [
            value + draw.normal(*value.shape, scale=1 / math.sqrt(math.prod(value.shape[1:])), dtype=value.dtype)
            if _is_window(value.shape)
            else value
            for value in values
        ]
    )
    return _change(before, part(x)) > 1e-5


def _change(before: torch.Tensor, after: torch.Tensor) -> float:
    """The largest difference, relative to the largest number."""
    before, after = plain64(before), plain64(after)
    return float((before - after).abs().max() / (before.abs().max() + 1e-12))


def _affine(part: Part, values: list[torch.Tensor], index: int, draw: Draw, gain: float, x: torch.Tensor) -> bool:
    shape = values[index].shape
    if len(shape) < 2:
        return False
    direction = draw.normal(*shape, scale=gain / math.sqrt(math.prod(shape[1:])), dtype=values[index].dtype)
    return ends_linear(part, values, index, direction, x)


def _explain_end(part: Part, draw: Draw) -> Broken:
    _randomise(part, draw, gain=6.0)
    out = plain64(part(part.inputs(draw, 8, 3.0)))
    low, high = float(out.min()), float(out.max())
    cause = end_of(low, high, _CARD)
    return Broken(
        f"output of the {part.name} straight from a linear layer or convolution",
        f"numbers from {show(low)} to {show(high)}" if cause else "something nonlinear comes after the last layer",
        cause,
    )


SWAPPED = Cause("order_swapped", "Encoder and decoder are returned in each other's place.", _CARD)
CHANNELS_FIXED = Cause("channels_fixed", "The number of channels is written into your function: use channels.", _CARD)
LATENT_FIXED = Cause("latent_fixed", "The width of the code is written into your function: use latent_dim.", _CARD)
NOT_FLAT = Cause(
    "code_not_flat",
    "The codes still have height and width: flatten them and end in a linear layer, so that each picture has "
    "latent_dim numbers.",
    _CARD,
)
FLAT_LOGITS = Cause(
    "flat_logits", "The decoder returns rows of pixels: give them the shape of pictures, (N, channels, 64, 64).", _CARD
)
WRONG_SIDE = Cause(
    "wrong_side",
    "The decoder returns pictures of another height or width than 64: every strided transposed convolution doubles "
    "them only if kernel, stride and padding fit (4, 2 and 1).",
    _CARD,
)
FLAT_INPUT = Cause(
    "no_convolutions",
    "There are no convolutions: linear layers on all pixels know nothing of neighbours, and cost many more parameters.",
    _CARD,
)
TOO_LARGE = Cause(
    "too_many_parameters",
    "There are more than 5 million parameters. Most of them are in the linear layers: halve the picture once more "
    "before flattening, or use fewer channels.",
    _CARD,
)
UNUSED = Cause(
    "unused_convolutions",
    "The convolutions have no influence on the result: they are made, but forward does not call them.",
    _CARD,
)
OTHER_PICTURES = Cause(
    "other_pictures",
    "In evaluation mode, the result for one picture depends on the others of the batch: average over axes of the "
    "picture, never over the batch (axis 0).",
    _CARD,
)
COLOUR_BLIND = Cause(
    "colour_blind",
    "The codes stay the same when the channels of the picture change places: the encoder does not tell colours apart. "
    "Take channels as the first convolution's input channels.",
    _CARD,
)
BLIND = Cause(
    "skips_pixels",
    "Many pixels never reach the code: the windows leave gaps (a stride larger than the kernel), or part of the "
    "picture is cut away.",
    _CARD,
)
BLIND_CHANNEL = Cause("skips_channels", "Some channels of the picture never reach the code.", _CARD)
HOLES = Cause(
    "pixels_never_drawn",
    "Many logits are the same whatever the code: the windows of the transposed convolutions leave gaps (a stride "
    "larger than the kernel), or the picture is padded.",
    _CARD,
)
GREY = Cause("same_channels", "All channels of the logits are equal: the decoder can only draw grey pictures.", _CARD)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """What is wrong with the shapes explains every law that meets them."""
    try:
        _shapes(candidate, draw)
    except Broken as broken:
        return broken.cause
    return None
