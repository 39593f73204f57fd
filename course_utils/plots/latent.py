"""A trained model seen from its latent space: codes, rates, decoded images, and a still picture of them.

What ``explore`` tells the cockpit is found out here, without any widget.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from course_utils import metrics, models
from course_utils.datasets import scale
from course_utils.models.networks import LatentModel

from . import figures, pictures

STRIP_HEIGHT = 64  # pixels at most of a row of the still picture, unless one image is taller
STUDIED = 2000  # images from which rates, spreads and ranges are told
LEAST_REACH = 3.0  # a slider goes at least this far: 99.7 % of N(0, 1)


@dataclass(frozen=True, eq=False)
class LatentSpace:
    """A model with what its codes of some images tell. Codes are on the CPU whatever the model's device.

    Attributes:
        images: (N, ...) in the shape that the model's encoder takes.
        codes: (M, D) of the first M images: the encoder's output, for a VAE the posterior means.
        amounts: (D,) how much each dimension carries: for a VAE its rate in nats, else the spread of its codes.
        is_rate: which of the two ``amounts`` are.
    """

    title: str
    model: nn.Module
    images: Tensor
    codes: Tensor
    amounts: Tensor
    is_rate: bool

    @property
    def dim(self) -> int:
        """D."""
        return self.codes.shape[1]

    @property
    def order(self) -> list[int]:
        """The dimensions, the one that carries most first."""
        return self.amounts.argsort(descending=True, stable=True).tolist()

    def label(self, d: int) -> str:
        """``z7 · 2.31 nats`` for a VAE, ``z7 · spread 4.1`` for an autoencoder; counted from 1 as in the figures."""
        amount = float(self.amounts[d])
        return f"z{d + 1} · {amount:.2f} nats" if self.is_rate else f"z{d + 1} · spread {amount:.2g}"

    def reach(self, d: int) -> float:
        """How far from 0 a slider for dimension d goes: as far as the codes, at least 3."""
        return max(LEAST_REACH, math.ceil(10 * float(self.codes[:, d].abs().max())) / 10)

    def code(self, index: int) -> Tensor:
        """(D,) code of one image."""
        return _encode(self.model, self.images[index : index + 1])[0][0]

    def decode(self, z: Tensor) -> np.ndarray:
        """uint8 pictures (N, H, W), or (N, H, W, 3) in colour, of codes (N, D)."""
        with models.evaluating(self.model):
            return _pictures(metrics.decoded(self.model, z.to(_device(self.model))))

    def original(self, index: int) -> np.ndarray:
        """uint8 picture of one image as it is."""
        return _pictures(scale(self.images[index : index + 1]))[0]


def study(title: str, model: nn.Module, images: Tensor) -> LatentSpace:
    """Look at a trained model through its codes of ``images``.

    Raises:
        TypeError: ``model`` is not a module with ``encode`` and ``decode``.
        ValueError: the model was made for other images, or its codes are not finite.
    """
    _check_model(title, model)
    images = _as_the_model_takes_them(title, model, images)
    mu, logvar = _encode(model, images[:STUDIED])
    if not bool(mu.isfinite().all()):
        raise ValueError(f"The codes of {title!r} are not finite numbers: its training has failed. Train it again.")
    if logvar is None:
        amounts = mu.std(0, correction=0)
    else:
        amounts = metrics.rate_per_dimension(mu, logvar)
    space = LatentSpace(title, model, images, mu, amounts, is_rate=logvar is not None)
    decoded, given = space.decode(mu[:1])[0], space.original(0)
    if decoded.shape != given.shape:
        raise ValueError(f"{title!r} decodes to images {decoded.shape}, but the images given are {given.shape}.")
    return space


def traversal_png(
    spaces: Mapping[str, LatentSpace], index: int, steps: int = 9, rows: int = 6, note: str = ""
) -> tuple[bytes, str]:
    """The picture that stands in for the explorer where no kernel is alive, and its text alternative.

    Each row starts from the code of image ``index`` and moves one dimension from end to end of its slider; of each
    space (under its name) come the dimensions that carry most. ``note`` is written below.
    """
    shown = list(spaces.items())[:rows]
    lines = [(name, space, d) for name, space in shown for d in space.order[: max(1, rows // len(shown))]]
    names = [f"{name}: {space.label(d)}" if len(shown) > 1 else space.label(d) for name, space, d in lines]
    paths = [space.decode(_path(space, d, index, steps)) for _, space, d in lines]
    times = max(1, STRIP_HEIGHT // paths[0].shape[1])
    strips = [np.concatenate(list(pictures), axis=1).repeat(times, axis=0).repeat(times, axis=1) for pictures in paths]
    margin = 12 + max(int(_font(11).getlength(name)) for name in names)
    tall, wide = strips[0].shape[:2]
    canvas = Image.new(
        "RGB" if strips[0].ndim == 3 else "L", (margin + wide, (tall + 4) * len(strips) + 20 * bool(note)), "white"
    )
    draw = ImageDraw.Draw(canvas)
    for row, (name, strip) in enumerate(zip(names, strips, strict=True)):
        canvas.paste(Image.fromarray(strip), (margin, row * (tall + 4)))
        draw.text((4, row * (tall + 4) + tall / 2), name, fill="black", font=_font(11), anchor="lm")
    if note:
        draw.text((4, canvas.height - 10), note, fill="black", font=_font(12), anchor="lm")
    alt = (
        f"Still picture of the latent space explorer: each row starts from image {index} and shows what is decoded "
        f"while one dimension moves from one end of its range to the other. Rows: {'; '.join(names)}."
    )
    if canvas.mode == "RGB":
        canvas = canvas.quantize(figures.MOST_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return _encoded(canvas, level=9), alt


def _path(space: LatentSpace, d: int, index: int, steps: int) -> Tensor:
    path = space.code(index).repeat(steps, 1)
    path[:, d] = torch.linspace(-space.reach(d), space.reach(d), steps)
    return path


def _encode(model: LatentModel, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """Codes (N, D), and their log-variances where the encoder gives some; on the CPU."""
    with models.evaluating(model):
        parts = [model.encode(scale(part).to(_device(model))) for part in images.split(STUDIED // 4)]
    if isinstance(parts[0], tuple):
        mu, logvar = zip(*parts, strict=True)
        return torch.cat(mu).float().cpu(), torch.cat(logvar).float().cpu()
    return torch.cat(parts).float().cpu(), None


def _as_the_model_takes_them(title: str, model: nn.Module, images: Tensor) -> Tensor:
    """Images flat or as pictures, whichever this model's encoder takes."""
    side = math.isqrt(images[0].numel())
    shapes = [images.shape[1:], (images[0].numel(),)] + ([(1, side, side)] if side * side == images[0].numel() else [])
    reasons = []
    for shape in dict.fromkeys(map(tuple, shapes)):
        candidate = images.reshape(len(images), *shape)
        try:
            codes = _encode(model, candidate[[0, 0]])[0]
        except (RuntimeError, ValueError) as error:
            reasons.append(str(error).splitlines()[0])
            continue
        if codes.ndim == 2 and len(codes) == 2:
            return candidate
        reasons.append(f"its codes are {tuple(codes.shape)} for 2 images, not (2, D)")
    raise ValueError(
        f"The model {title!r} cannot encode images of shape {tuple(images.shape[1:])} ({reasons[0]}). "
        "Give it images of the kind that it was trained on."
    )


def _check_model(title: str, model: object) -> None:
    if isinstance(getattr(model, "model", None), nn.Module):
        raise TypeError(f"{title!r} is a {type(model).__name__}; expected the model in it: write .model behind it.")
    if isinstance(model, type):
        raise TypeError(f"{title!r} is the class {model.__name__}; expected a model made from it and trained.")
    has_both = all(callable(getattr(model, part, None)) for part in ("encode", "decode"))
    if not isinstance(model, nn.Module) or not has_both:
        raise TypeError(
            f"{title!r} is a {type(model).__name__}; expected a trained module with encode(x) and decode(z), such as "
            "models.VAE, or models.Autoencoder(encoder, decoder)."
        )


def _device(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return parameter.device if parameter is not None else torch.device("cpu")


def _pictures(images: Tensor) -> np.ndarray:
    return (pictures.to_pictures(images) * 255).round().clip(0, 255).astype(np.uint8)


def _encoded(picture: Image.Image, level: int = 1) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="png", compress_level=level)
    return buffer.getvalue()


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    from pathlib import Path

    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
