"""What the page script needs to know of models and images: a description in JSON, and the numbers it points to.

Weights and codes travel as half-precision numbers, images as bytes; places are (offset in bytes, count).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.datasets import scale
from course_utils.metrics.attributes import attribute_direction
from course_utils.models.classifier import Classifier

from ..latent import LatentSpace

NUM_CODES = 1200
NUM_IMAGES = 200
MOST_IMAGE_BYTES = 1_000_000
LARGEST_ERROR = 0.02  # of a pixel, in [0, 1], that half precision may cost


@dataclass(frozen=True)
class Payload:
    """``about`` as ``cockpit.js`` takes it, and the ``numbers`` that it points to."""

    about: dict
    numbers: bytes


def pack(
    spaces: Sequence[LatentSpace],
    labels: Tensor | None,
    class_names: Sequence[str] | None,
    *,
    name: str,
    max_sliders: int,
    reader: Classifier | None,
    attributes: Mapping[str, Tensor] | None = None,
) -> Payload:
    """Describe trained models with the images whose codes they were studied by.

    Args:
        spaces: models of the same images; of each the first ``NUM_CODES`` codes travel.
        labels: (N,) classes of the images, or None; class_names: their names.
        name: what distinguishes the models, e.g. ``"beta"``.
        reader: a classifier of the images, or None.
        attributes: name -> (N,) whether each image has it; what adds one to a code travels with each model.
    """
    numbers = _Numbers()
    pictures = _bytes_of(spaces[0].images)
    count = min(NUM_IMAGES, len(pictures), max(2, MOST_IMAGE_BYTES // pictures[0].numel()))
    places = {"offset": numbers.add(pictures[:count].numpy().tobytes()), "count": count}
    names = list(class_names or ([] if labels is None else [str(c) for c in range(int(labels.max()) + 1)]))
    about = {
        "name": name,
        "shape": list(pictures.shape[1:]),
        "images": places,
        "max_sliders": max_sliders,
        "labels": None if labels is None else labels[:count].tolist(),
        "labels_of_codes": None if labels is None else labels[:NUM_CODES].tolist(),
        "class_names": names,
        "attributes": list(attributes or ()),
        "models": [_model(space, attributes or {}, numbers) for space in spaces],
        "reader": None if reader is None else layers(reader.network, numbers),
    }
    return Payload(about, bytes(numbers.content))


def layers(network: nn.Module, numbers: _Numbers) -> list[dict] | None:
    """The layers of a sequential network, in evaluation mode; None where the page script would not know one."""
    described: list[dict] = []
    for module in _flat(network):
        describe = _KNOWN.get(type(module))
        layer = describe(module, numbers) if describe else None
        if layer is None:
            return None
        described += [layer] if layer else []
    return described


def _model(space: LatentSpace, attributes: Mapping[str, Tensor], numbers: _Numbers) -> dict:
    codes, studied = space.codes[:NUM_CODES], len(space.codes)
    directions = [attribute_direction(space.codes, has[:studied].cpu()) for has in attributes.values()]
    return {
        "title": space.title,
        "dim": space.dim,
        "order": space.order,
        "labels": [space.label(d) for d in range(space.dim)],
        "reach": [space.reach(d) for d in range(space.dim)],
        "codes": {"offset": numbers.halves(codes), "count": len(codes)},
        "decoder": _decoder(space, numbers),
        "directions": numbers.place(torch.stack(directions)) if directions else None,
    }


@torch.no_grad()
def _decoder(space: LatentSpace, numbers: _Numbers) -> list[dict] | None:
    """The decoder's layers, if they are all that ``decode`` does and half precision does not show."""
    decoder, codes = getattr(space.model, "decoder", None), space.codes[:32]
    if not isinstance(decoder, nn.Module):
        return None
    rounded = _with_half_weights(decoder)
    if rounded is None:
        return None
    shown = torch.sigmoid(rounded(codes)).flatten(1)
    wanted = torch.from_numpy(space.decode(codes)).float().div(255)
    if wanted.ndim == 4:
        wanted = wanted.permute(0, 3, 1, 2)
    if shown.shape != wanted.flatten(1).shape or float((shown - wanted.flatten(1)).abs().max()) > LARGEST_ERROR:
        return None
    return layers(rounded, numbers)


def _with_half_weights(network: nn.Module) -> nn.Module | None:
    """A copy on the CPU in evaluation mode whose weights went through half precision; None where that is not finite."""
    import copy

    twin = copy.deepcopy(network).cpu().float().eval()
    for tensor in [*twin.parameters(), *twin.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.half().float()
            if not bool(tensor.isfinite().all()):
                return None
    return twin


def _bytes_of(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) of images in any shape that the course knows."""
    part = images[:NUM_IMAGES]
    part = part if part.dtype == torch.uint8 else (scale(part) * 255).round().to(torch.uint8)
    if part.ndim == 2:
        side = round(part.shape[1] ** 0.5)
        part = part.reshape(-1, 1, side, side)
    return (part[:, None] if part.ndim == 3 else part).cpu().contiguous()


def _flat(network: nn.Module) -> list[nn.Module]:
    if isinstance(network, nn.Sequential):
        return [module for child in network for module in _flat(child)]
    return [network]


class _Numbers:
    """Bytes that grow; every part starts at an even place, as arrays of two-byte numbers must."""

    def __init__(self) -> None:
        self.content = bytearray()

    def add(self, part: bytes) -> int:
        """Append, and return the place."""
        self.content += b"\0" * (len(self.content) % 2)
        offset = len(self.content)
        self.content += part
        return offset

    def halves(self, tensor: Tensor) -> int:
        """Append as half-precision numbers, little-endian, and return the place."""
        limit = torch.finfo(torch.float16).max
        array = tensor.detach().float().cpu().clamp(-limit, limit).numpy().astype("<f2")
        return self.add(array.tobytes())

    def place(self, tensor: Tensor | None) -> list[int] | None:
        """[offset, count] of an appended tensor."""
        return None if tensor is None else [self.halves(tensor), tensor.numel()]


def _square(value: int | str | Sequence[int]) -> int | None:
    """A size that is the same in both directions; None where it is not a number, or not the same."""
    pair = (value, value) if isinstance(value, int) else tuple(value) if not isinstance(value, str) else ()
    return pair[0] if len(pair) == 2 and pair[0] == pair[1] else None


def _linear(m: nn.Linear, numbers: _Numbers) -> dict:
    return {
        "kind": "linear",
        "in": m.in_features,
        "out": m.out_features,
        "weight": numbers.place(m.weight),
        "bias": numbers.place(m.bias),
    }


def _convolution(kind: str) -> Callable:
    def describe(m: nn.Conv2d | nn.ConvTranspose2d, numbers: _Numbers) -> dict | None:
        sizes = {
            "k": _square(m.kernel_size),
            "stride": _square(m.stride),
            "padding": _square(m.padding),
            "extra": _square(m.output_padding),
        }
        if None in sizes.values() or m.groups != 1 or _square(m.dilation) != 1 or m.padding_mode != "zeros":
            return None
        return {
            "kind": kind,
            "out": m.out_channels,
            **sizes,
            "weight": numbers.place(m.weight),
            "bias": numbers.place(m.bias),
        }

    return describe


def _norm(m: nn.BatchNorm2d | nn.BatchNorm1d, numbers: _Numbers) -> dict | None:
    """In evaluation mode it scales and shifts each channel."""
    if m.running_mean is None or m.running_var is None:
        return None
    scale_ = torch.rsqrt(m.running_var + m.eps) * (m.weight if m.affine else 1)
    shift = (m.bias if m.affine else 0) - m.running_mean * scale_
    return {"kind": "affine", "scale": numbers.place(scale_), "shift": numbers.place(shift)}


def _pool(m: nn.MaxPool2d, numbers: _Numbers) -> dict | None:
    k = _square(m.kernel_size)
    plain = _square(m.stride) == k and _square(m.padding) == 0 and _square(m.dilation) == 1 and not m.ceil_mode
    return {"kind": "max_pool", "k": k} if k and plain else None


_KNOWN: dict[type, Callable[[Any, _Numbers], dict | None]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution("conv"),
    nn.ConvTranspose2d: _convolution("conv_transpose"),
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.MaxPool2d: _pool,
    nn.PixelShuffle: lambda m, _: {"kind": "pixel_shuffle", "r": m.upscale_factor},
    nn.PixelUnshuffle: lambda m, _: {"kind": "pixel_unshuffle", "r": m.downscale_factor},
    nn.Flatten: lambda m, _: {"kind": "flatten"} if (m.start_dim, m.end_dim) == (1, -1) else None,
    nn.Unflatten: lambda m, _: {"kind": "unflatten", "shape": list(m.unflattened_size)} if m.dim == 1 else None,
    nn.ReLU: lambda m, _: {"kind": "relu"},
    nn.LeakyReLU: lambda m, _: {"kind": "leaky_relu", "slope": m.negative_slope},
    nn.ELU: lambda m, _: {"kind": "elu"} if m.alpha == 1 else None,
    nn.SiLU: lambda m, _: {"kind": "silu"},
    nn.Softplus: lambda m, _: {"kind": "softplus"} if m.beta == 1 else None,
    nn.Tanh: lambda m, _: {"kind": "tanh"},
    nn.Sigmoid: lambda m, _: {"kind": "sigmoid"},
    nn.Identity: lambda m, _: {},
    nn.Dropout: lambda m, _: {},
    nn.Dropout2d: lambda m, _: {},
}
