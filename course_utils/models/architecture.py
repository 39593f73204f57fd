"""A model's layers as plain data, so that a kept run can be rebuilt without the code that made it.

Only layers from a fixed list are described and built: nothing is imported by name, unpickled or evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from course_utils.system.errors import CourseError

from . import networks as models
from .pca import Corrected, PixelLogits, Scale

# kind of layer -> the arguments of its constructor that are also its attributes
_LAYERS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    kind.__name__: (kind, arguments)
    for kind, arguments in (
        (nn.Linear, ("in_features", "out_features")),
        (nn.Conv2d, ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")),
        (
            nn.ConvTranspose2d,
            ("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "dilation"),
        ),
        (nn.BatchNorm1d, ("num_features", "eps", "momentum", "affine", "track_running_stats")),
        (nn.BatchNorm2d, ("num_features", "eps", "momentum", "affine", "track_running_stats")),
        (nn.LayerNorm, ("normalized_shape", "eps", "elementwise_affine")),
        (nn.GroupNorm, ("num_groups", "num_channels", "eps", "affine")),
        (nn.MaxPool2d, ("kernel_size", "stride", "padding")),
        (nn.AvgPool2d, ("kernel_size", "stride", "padding")),
        (nn.AdaptiveAvgPool2d, ("output_size",)),
        (nn.Upsample, ("size", "scale_factor", "mode", "align_corners")),
        (nn.Flatten, ("start_dim", "end_dim")),
        (nn.Unflatten, ("dim", "unflattened_size")),
        (nn.Dropout, ("p",)),
        (nn.LeakyReLU, ("negative_slope",)),
        (nn.ELU, ("alpha",)),
        (nn.GELU, ("approximate",)),
        (nn.ReLU, ()),
        (nn.Tanh, ()),
        (nn.Sigmoid, ()),
        (nn.SiLU, ()),
        (nn.Softplus, ("beta", "threshold")),
        (nn.Identity, ()),
        (nn.PixelShuffle, ("upscale_factor",)),
        (nn.PixelUnshuffle, ("downscale_factor",)),
        (Scale, ("dim",)),
        (PixelLogits, ()),
    )
}
_WITH_BIAS = ("Linear", "Conv2d", "ConvTranspose2d")


def describe(model: models.LatentModel) -> dict[str, Any] | None:
    """What ``build`` needs to make the same function again, as JSON has it; None where it cannot be described.

    Described are the classes of ``models`` whose encoder and decoder are ``nn.Sequential`` of torch's common layers,
    or such ones that correct PCA (``models.corrected``).
    """
    if type(model) not in (models.Autoencoder, models.GaussianAutoencoder, models.VAE):
        return None
    try:
        parts = {"encoder": _layer(model.encoder), "decoder": _layer(model.decoder)}
    except _Unknown:
        return None
    if isinstance(model, models.GaussianAutoencoder):
        return {"kind": "GaussianAutoencoder", "latent_dim": model.latent_dim, **parts}
    return {"kind": "Autoencoder", **parts}


def build(description: Mapping[str, Any]) -> nn.Module:
    """The described model on torch's meta device: shapes without memory. Give it weights with
    ``load_state_dict(weights, assign=True)``.

    Raises:
        CourseError: the description is not one that ``describe`` writes.
    """
    try:
        with torch.device("meta"):
            encoder, decoder = _module(description["encoder"]), _module(description["decoder"])
            if description["kind"] == "Autoencoder":
                return models.Autoencoder(encoder, decoder)
            if description["kind"] == "GaussianAutoencoder":
                return models.GaussianAutoencoder(encoder, decoder, int(description["latent_dim"]))
        raise _Unknown(description["kind"])
    except (_Unknown, KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}" if not isinstance(error, _Unknown) else f"unknown {error}"
        raise CourseError(f"the description of the model cannot be followed ({reason})") from None


class _Unknown(Exception):
    """A layer that is not in the list."""


def _layer(module: nn.Module) -> dict[str, Any]:
    name = type(module).__name__
    if type(module) is nn.Sequential:
        return {"layer": "Sequential", "layers": [_layer(part) for part in module]}
    if type(module) is Corrected:
        parts = {"linear": _layer(module.linear), "network": _layer(module.network)}
        return {"layer": "Corrected", "more": module.more, **parts}
    if (
        name not in _LAYERS
        or type(module) is not _LAYERS[name][0]
        or module._forward_hooks
        or module._forward_pre_hooks
    ):
        raise _Unknown(name)
    if getattr(module, "padding_mode", "zeros") != "zeros" or getattr(module, "return_indices", False):
        raise _Unknown(f"{name} with settings that are not kept")
    described = {"layer": name} | {key: _plain(getattr(module, key)) for key in _LAYERS[name][1]}
    return described | ({"bias": module.bias is not None} if name in _WITH_BIAS else {})


def _module(described: Mapping[str, Any]) -> nn.Module:
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in described.items()}
    name = arguments.pop("layer")
    if name == "Sequential":
        return nn.Sequential(*(_module(part) for part in arguments["layers"]))
    if name == "Corrected":
        return Corrected(_module(described["linear"]), _module(described["network"]), int(described["more"]))
    if name not in _LAYERS:
        raise _Unknown(f"layer {name!r}")
    kind, known = _LAYERS[name]
    if not arguments.keys() <= {*known, "bias"}:
        raise _Unknown(f"settings of {name}: {', '.join(arguments.keys() - {*known})}")
    return kind(**arguments)


def _plain(value: Any) -> Any:
    """A setting as JSON has it: numbers, text, None and lists of them."""
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise _Unknown(type(value).__name__)
