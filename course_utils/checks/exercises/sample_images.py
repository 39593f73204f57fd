"""Laws of `sample_images(decoder, num_images, latent_dim)`: images decoded from z ~ N(0, I)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import nn

from ..engine.candidate import Candidate
from ..engine.causes import sole, table
from ..engine.demand import describe, plain64, same_tensor, tensor, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.randomness import (
    cosine_bound,
    count_bounds,
    distance_bound,
    is_clipped,
    kolmogorov_distance,
    largest_cosine,
    mean_bound,
    mean_square_bounds,
    tail_probability,
)
from ..engine.score import Cause
from ..engine.verdict import Broken, CallFailed, blame
from ..shared.noise_causes import name_the_noise

CHECK = Check("sample_images(decoder, num_images, latent_dim)", "images in [0, 1] decoded from z ~ N(0, I)")


@CHECK.law("returns num_images images in [0, 1] in the shape the decoder gives them")
def _shape(candidate: Candidate, draw: Draw) -> None:
    """Random only in the decoder's weights."""
    for n, image, d in ((5, (784,), 3), (1, (7,), 1), (4, (1, 8, 8), 2), (3, (3, 4, 5), 10)):
        _in_range(_images(candidate, _Shaped(draw, d, image), (n, *image), d))


@CHECK.law("applies the sigmoid to the decoder's logits", weight=2)
def _sigmoid(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. Flat images and images of several channels."""
    logits = torch.cat([torch.tensor([-4.0, -1.0, 0.0, 0.3, 1.0, 2.5, 4.0]), draw.normal(5, scale=2.0)])
    images = _images(candidate, _constant(logits), (3, len(logits)), 4)
    a = plain64(logits).expand(3, -1)
    same_tensor(images, a.sigmoid(), "pixel", scale=0.5)
    for shape in ((12,), (draw.integer(1, 3), draw.integer(2, 4), draw.integer(2, 4))):
        _same_pixels(candidate, draw, shape)


@CHECK.law("draws z from N(0, I)", weight=3, essential=True)
def _prior(candidate: Candidate, draw: Draw) -> None:
    """32768 draws: Chernoff (mean), Laurent-Massart (variance), Dvoretzky-Kiefer-Wolfowitz (distribution function) and
    Chernoff (tails) bounds: false alarm below 1e-8."""
    z = _codes(candidate, 512, 64)
    n = z.numel()
    if abs(float(z.mean())) > mean_bound(n):
        raise Broken("mean of z = 0", show(z.mean()))
    low, high = mean_square_bounds(n)
    if not low <= float(z.square().mean()) <= high:
        raise Broken("standard deviation of z = 1", show(z.square().mean().sqrt()))
    low, high = mean_square_bounds(len(z))
    common = float(z.mean(1).square().mean() * z.shape[1])
    if not 0.9 * low <= common <= 1.1 * high:
        raise Broken(
            "dimensions of z unrelated", f"their average varies {show(common)} times as much as that of unrelated ones"
        )
    distance = kolmogorov_distance(z)
    if distance > distance_bound(n) + 0.003:  # images in bfloat16 have steps of that size
        raise Broken(
            f"z distributed as N(0, 1): largest difference of distribution functions at most {show(distance_bound(n))}",
            show(distance),
        )
    for limit in (2.03, 3.03):  # not whole numbers, where noise might be clipped and rounded
        expected = 2 * tail_probability(limit) * n
        fewest, most = count_bounds(expected)
        came = int((z.abs() > limit).sum())
        if not 0.93 * fewest <= came <= 1.07 * most:
            raise Broken(f"about {expected:.0f} of {n} numbers beyond {limit:g}", str(came))


@CHECK.law("draws its own z for every image, every dimension and every call", weight=2)
def _independent(candidate: Candidate, draw: Draw) -> None:
    """Cosines between all rows and all columns (concentration on the sphere), spread of their average
    (Laurent-Massart): false alarm below 1e-8."""
    n, d = draw.integer(100, 109), draw.integer(111, 120)
    first, second = _codes(candidate, n, d), _codes(candidate, n, d)
    if float((first - second).abs().max()) < 1e-6:
        raise Broken("other images at the second call", "the same images again", FROZEN)
    for rows, things, cause in ((first, "images", SHARED), (first.T, "dimensions", SHARED_DIMS)):
        if bool((rows - rows[0]).abs().max() < 1e-6):
            raise Broken(f"another z for every one of the {things}", f"all {things} have the same", cause)
    normal = kolmogorov_distance(first / first.std()) < 0.05
    calls = torch.stack([first.flatten(), second.flatten()])
    for rows, things in ((first, "images"), (first.T, "dimensions"), (calls, "calls")):
        cosine, i, j = largest_cosine(rows - rows.mean())
        if abs(cosine) > cosine_bound(rows.shape[1], len(rows) ** 2) + 0.02:
            raise Broken(
                f"z of different {things} unrelated",
                f"correlation {show(cosine)} between {things} {i} and {j}",
                DEPENDENT if things == "images" and abs(cosine) > 0.9 and normal else None,
            )
    common = float(first.mean(0).square().mean() * n / first.square().mean())
    low, high = mean_square_bounds(d)
    if not 0.9 * max(low, 0.05) <= common <= 1.1 * high:
        raise Broken(
            "z of different images unrelated", f"their average varies {show(common)} times as much as it should"
        )


@CHECK.law("decodes in evaluation mode", weight=2)
def _evaluates(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails; with dropout half of 400 pixels would differ."""
    for training in (True, False):
        logits = draw.signs(50) * draw.uniform(50, low=0.5, high=2.0)
        logits[:2] = torch.tensor([-12.0, 12.0])
        norm = nn.BatchNorm1d(50)
        running_mean, running_var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        with torch.no_grad():
            running_mean.copy_(draw.normal(50)), running_var.copy_(draw.uniform(50, low=0.5, high=2.0))
        decoder = _constant(logits, norm, nn.Dropout(0.5)).train(training)
        mean, var = plain64(running_mean), plain64(running_var)
        want = ((plain64(logits) - mean) / (var + norm.eps).sqrt()).sigmoid()
        images = _images(candidate, decoder, (8, 50), 4)
        with blame(partial(_training_mode, candidate) if training else None):
            what = "pixel of a decoder with dropout and batch normalisation"
            same_tensor(images, want.expand(8, -1), what, scale=0.5)
            same_tensor(running_mean, mean, "running mean of batch normalisation", scale=0.0)


def _training_mode(candidate: Candidate) -> Cause | None:
    return TRAINING_MODE if _drops_out(candidate) else None


@CHECK.law("leaves the decoder in the mode in which it found it", weight=2)
def _restores(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for training in (True, False, True):
        decoder = nn.Sequential(nn.Linear(3, 8), nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.3)), nn.Linear(8, 5))
        decoder.train(training)
        _images(candidate, decoder, (4, 5), 3)
        modes = {module.training for module in decoder.modules()}
        if modes != {training}:
            names = {True: "training", False: "evaluation"}
            came = f"{names[decoder.training]} mode" if len(modes) == 1 else "some layers in one mode, some in another"
            raise Broken(
                f"{names[training]} mode after the call, as before it",
                came,
                LEFT_IN_EVAL if training else LEFT_IN_TRAIN,
            )


@CHECK.law("keeps no graph")
def _no_graph(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    images = _images(candidate, _Shaped(draw, 3, (6,)), (2, 6), 3)
    if images.requires_grad:
        raise Broken("images without a graph", "images that require gradients", KEEPS_GRAPH)


@CHECK.law("draws z where the decoder is")
def _device(candidate: Candidate, draw: Draw) -> None:
    """Not random. Says nothing where there is no accelerator, beyond that the images are on the CPU then."""
    for device in [torch.device("cpu"), *candidate.devices()]:
        images = _images(candidate, _Shaped(draw, 3, (6,)).to(device), (2, 6), 3)
        if images.device.type != device.type:
            raise Broken(f"images on {device}", f"images on {images.device}")


@CHECK.law("leaves the decoder's weights, the random generators and torch's settings alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    decoder = _Shaped(draw, 3, (6,))
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    kept_trainable = [p.requires_grad for p in decoder.parameters()]
    _images(candidate, decoder, (2, 6), 3)
    _unchanged(before, decoder.state_dict())
    if [p.requires_grad for p in decoder.parameters()] != kept_trainable:
        raise Broken("parameters that can still be trained", "parameters with requires_grad = False", FREEZES)
    well_behaved(candidate)


class _Shaped(nn.Module):
    """A decoder with a hidden layer and an output of any shape."""

    def __init__(self, draw: Draw, latent_dim: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        last = nn.Linear(6, math.prod(shape))
        self.net = nn.Sequential(nn.Linear(latent_dim, 6), nn.Tanh(), last, nn.Unflatten(1, shape))
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(draw.normal(*p.shape))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.net(z)


def _revealing(latent_dim: int) -> nn.Sequential:
    """A decoder whose logits are z itself."""
    layer = nn.Linear(latent_dim, latent_dim, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(latent_dim))
    return nn.Sequential(layer)


def _constant(logits: torch.Tensor, *after: nn.Module) -> nn.Sequential:
    """A decoder that answers with these logits whatever z is."""
    layer = nn.Linear(4, len(logits))
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(logits)
    return nn.Sequential(layer, *after)


def _images(candidate: Candidate, decoder: nn.Module, shape: tuple[int, ...], latent_dim: int) -> torch.Tensor:
    try:
        return tensor(candidate(decoder, shape[0], latent_dim), shape, "the images")
    except CallFailed as failed:
        if "shapes cannot be multiplied" in failed.message:
            failed.cause = SHAPE_OF_Z
        raise


def _in_range(images: torch.Tensor) -> torch.Tensor:
    low, high = float(images.detach().min()), float(images.detach().max())
    if low < 0 or high > 1:
        raise Broken("pixels in [0, 1]", f"pixels from {show(low)} to {show(high)}")
    return images


def _codes(candidate: Candidate, n: int, d: int) -> torch.Tensor:
    """The z that were drawn, read off the images of the revealing decoder."""
    images = _in_range(_images(candidate, _revealing(d), (n, d), d))
    if float(images.detach().min()) == 0:
        raise Broken("pixels above 0 where the decoder's logits are a few units below it", "pixels of 0")
    return plain64(images).clamp(1e-9, 1 - 1e-9).logit()


def _as_sample(z: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    return mu + (logvar / 2).exp() * z.flatten()[torch.randint(z.numel(), mu.shape)]


def _same_pixels(candidate: Candidate, draw: Draw, shape: tuple[int, ...]) -> None:
    """Logits of both signs, small and large."""
    logits = draw.signs(*shape) * draw.uniform(*shape, low=0.5, high=12.0)
    logits.view(-1)[:4] = torch.tensor([-12.0, 12.0, -draw.number(0.2, 0.8), draw.number(0.2, 0.8)])
    images = _images(candidate, _constant(logits.flatten(), nn.Unflatten(1, shape)), (3, *shape), 4)
    a = plain64(logits).expand(3, *shape)
    with blame(lambda: _transform_cause(images, a)):
        same_tensor(images, a.sigmoid(), f"pixel of an image of shape {shape}", scale=0.5)
        dark = a < -6
        same_tensor(images[dark], a[dark].sigmoid(), "dark pixel", scale=a[dark].sigmoid(), rounding=0.3, floor=2e-4)


def _drops_out(candidate: Candidate) -> bool:
    """Does dropout hide about half of the pixels of a training decoder (a logit of 0 is a pixel of 0.5)?"""
    images = _images(candidate, _constant(torch.full((100,), 2.0), nn.Dropout(0.5)), (4, 100), 4)
    return 0.25 < float(((plain64(images) - 0.5).abs() < 1e-6).double().mean()) < 0.75


def _unchanged(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name, value in before.items():
        if not torch.equal(value, after[name]):
            raise Broken(f"decoder weights as before the call ({name})", describe(after[name]) + " with other numbers")


_CARD = (
    "the hints under the card of sample_images: draw z with randn, decode in evaluation mode without a graph, "
    "apply the sigmoid"
)
_wrong = partial(Cause, where=_CARD)
SHAPE_OF_Z = _wrong("shape_of_z", "The decoder cannot take your z: it needs the shape (num_images, latent_dim).")
FREEZES = _wrong("freezes", "You switch the decoder's gradients off for good; take torch.no_grad() around your lines.")

BINARY = _wrong("samples_pixels", "You round the pixels or draw them at random; the image is the probability itself.")
SHIFTED = _wrong("wrong_prior_mean", "z is not centred on 0: the prior N(0, I) is.")
CLIPPED = _wrong("clipped_noise", "Large values of z never come: the noise is clipped or truncated.")
DEPENDENT = _wrong(
    "dependent_rows",
    "The z of one image determines that of another (repeated, mirrored or centred "
    "copies): draw all of them independently.",
)
TRAINING_MODE = _wrong(
    "training_mode",
    "The decoder runs in training mode, so that dropout and batch normalisation are active: call decoder.eval() first.",
)
LEFT_IN_EVAL = _wrong(
    "left_in_eval",
    "The decoder was training and is left in evaluation mode: whoever trains on has "
    "no dropout and no batch statistics any more. Remember decoder.training and restore it.",
)
LEFT_IN_TRAIN = _wrong(
    "left_in_train", "The decoder was in evaluation mode and is left in training mode: restore the mode you found."
)
KEEPS_GRAPH = _wrong("keeps_graph", "The images still carry their graph: sample under torch.no_grad.")
SCALED = _wrong("wrong_prior_scale", "z has another spread than the prior: N(0, I) has standard deviation 1.")
SHARED = _wrong("same_image", "All images come from the same z: draw num_images of them.")
SHARED_DIMS = _wrong(
    "noise_shared_over_dimensions", "All dimensions of a z are the same number: draw num_images x latent_dim."
)
FROZEN = _wrong("frozen_noise", "The same images come at every call: draw z anew, without a seed.")

_TANH = ("tanh_for_sigmoid", "Pixels are the sigmoid of the logits, not their tanh.")
_TRANSFORMS = table(
    _CARD,
    lambda a: a.sigmoid(),
    ("no_sigmoid", "You return the decoder's logits; the sigmoid turns them into images.", lambda a: a),
    ("sigmoid_twice", "The sigmoid is applied twice.", lambda a: a.sigmoid().sigmoid()),
    (
        "clamped_logits",
        "You clamp logits to [0, 1]; the sigmoid is what turns them into probabilities.",
        lambda a: a.clamp(0, 1),
    ),
    (*_TANH, lambda a: a.tanh()),
    (*_TANH, lambda a: (a.tanh() + 1) / 2),
    ("inverted", "The images are negatives: 1 - sigmoid.", lambda a: (-a).sigmoid()),
    ("softmax", "A softmax makes pixels compete; each pixel has a sigmoid of its own.", lambda a: a.softmax(1)),
)


def _transform_cause(images: torch.Tensor, a: torch.Tensor) -> Cause | None:
    """What was made of the logits `a`."""
    images = plain64(images)
    cause = sole(cause for cause, transform in _TRANSFORMS if float((images - transform(a)).abs().max()) < 1e-3)
    return cause or (BINARY if bool(((images == 0) | (images == 1)).all()) else None)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """What is done to known logits; if nothing is wrong with that, a wrong prior, named through the revealing
    decoder."""
    logits = torch.tensor([-3.0, -0.5, 0.2, 1.0, 4.0])
    images = plain64(_images(candidate, _constant(logits), (3, 5), 4))
    if float((images - plain64(logits).sigmoid()).abs().max()) > 0.02:
        return _transform_cause(images, plain64(logits).expand(3, -1))
    z = _codes(candidate, 1024, 8)
    if float((z - z[0]).abs().max()) < 1e-6:
        return None  # eight numbers tell nothing of a distribution
    cause = name_the_noise(lambda mu, logvar: _as_sample(z, mu, logvar), draw)
    if (
        cause is None
        and abs(float(z.mean())) < 0.05
        and abs(float(z.std()) - 1) > 0.1
        and kolmogorov_distance(z / z.std()) < 0.03
    ):
        return SCALED
    centred = z - z.mean()
    if cause is None and abs(float(z.mean())) > 0.1 and kolmogorov_distance(centred) < 0.03:
        return SHIFTED
    if cause is None and not bool((z == z[:, :1]).all()) and is_clipped(_codes(candidate, 512, 64).flatten()):
        return CLIPPED
    return cause
