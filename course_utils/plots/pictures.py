"""Images as rows, grids and mosaics, and the manifold that a decoder draws."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib import rc_context
from torch import Tensor

from .figures import (
    LONGEST_LABEL,
    STYLE,
    WIDTH,
    blank,
    figure,
    show,
    to_numpy,
)


@rc_context(STYLE)
def image_rows(
    rows: Mapping[str, Tensor],
    alt: str,
    caption: str = "",
    *,
    titles: Sequence[str] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Rows of images under each other, each row with its label at the left; ``titles`` stand above the columns, the
    ``notes`` of a row under its images."""
    pictures = {label: to_pictures(images) for label, images in rows.items()}
    columns = max(len(p) for p in pictures.values())
    labels = {label: "\n".join(textwrap.wrap(label, LONGEST_LABEL)) for label in pictures}
    longest = max(len(line) for label in labels.values() for line in label.splitlines() or [""])
    side = (WIDTH - 0.11 * longest - 0.35) / max(columns, 8)
    under = {label: 0.2 / side if label in (notes or {}) else 0.0 for label in pictures}  # in sides of an image
    tall = len(pictures) + sum(under.values())
    fig, axes = figure(side * tall + (0.35 if titles else 0.08))
    ax, top, gap = axes[0, 0], 0.0, 0.02 / side
    for label, images in pictures.items():  # all in one axes: an axes for each image takes ten times as long to lay out
        for index, image in enumerate(images):
            box = (index + gap, index + 1 - gap, top + 1 - gap, top + gap)
            ax.imshow(image, cmap="gray", vmin=0, vmax=1, extent=box)
        for index, note in enumerate((notes or {}).get(label, ())):
            ax.text(index + 0.5, top + 1 + gap, note, fontsize=9, ha="center", va="top")
        ax.text(-0.12, top + 0.5, labels[label], ha="right", va="center")
        top += 1 + under[label]
    for index, title in enumerate(titles or ()):
        ax.text(index + 0.5, -0.05, title, fontsize=STYLE["axes.titlesize"], ha="center", va="bottom")
    ax.set(xlim=(0, columns), ylim=(tall, 0), aspect="equal", anchor="W")
    blank(ax)
    fig.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    show(fig, alt, caption)


@rc_context(STYLE)
def image_grid(images: Tensor, alt: str, caption: str = "", *, columns: int = 16) -> None:
    """Images side by side in one mosaic, row by row."""
    fig, axes = figure(WIDTH * math.ceil(len(images) / columns) / columns)
    blank(axes[0, 0])
    axes[0, 0].imshow(mosaic(images, columns), cmap="gray", vmin=0, vmax=1)
    show(fig, alt, caption)


@rc_context(STYLE)
def mosaics(groups: Mapping[str, Tensor], alt: str, caption: str = "", *, columns: int = 8) -> None:
    """Several mosaics beside each other, each under its title: for comparing models sample by sample."""
    count = len(groups)
    tallest = max(math.ceil(len(images) / columns) for images in groups.values())
    fig, axes = figure(WIDTH / count * tallest / columns + 0.3, 1, count)
    for ax, (title, images) in zip(axes[0], groups.items(), strict=True):
        blank(ax)
        ax.imshow(mosaic(images, columns), cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
    show(fig, alt, caption)


@torch.no_grad()
@rc_context(STYLE)
def manifold(
    decoders: Mapping[str, Callable[[Tensor], Tensor]],
    alt: str,
    caption: str = "",
    *,
    steps: int = 20,
    limit: float = 3.0,
    quantiles: bool = False,
    device: torch.device | str = "cpu",
) -> None:
    """What a decoder makes of a 2-D latent space: a steps x steps mosaic per decoder, z_1 to the right, z_2 upwards.

    Args:
        decoders: title -> function from z (N, 2) to logits.
        limit: z runs from -limit to limit, evenly.
        quantiles: instead, let z run over the prior's quantiles, so that every picture has the same prior probability.
    """
    axis = latent_axis(steps, limit, quantiles)
    z2, z1 = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    z = torch.stack([z1.flatten(), z2.flatten()], 1).to(device)
    fig, axes = figure(WIDTH / max(len(decoders), 1) * (0.98 if len(decoders) > 1 else 0.85) + 0.4, 1, len(decoders))
    for ax, (title, decode) in zip(axes[0], decoders.items(), strict=True):
        ax.imshow(mosaic(torch.sigmoid(decode(z)), steps), cmap="gray", vmin=0, vmax=1, extent=(0, steps, 0, steps))
        marks = [0.5, steps / 2, steps - 0.5]  # the middle lies between two pictures where their number is even
        labels = [f"{at.item():z.1f}" for at in (axis[0], (axis[(steps - 1) // 2] + axis[steps // 2]) / 2, axis[-1])]
        ax.set_xticks(marks, labels)
        ax.set_yticks(marks, labels)
        ax.set(title=title, xlabel="$z_1$", ylabel="$z_2$")
    show(fig, alt, caption)


def latent_axis(steps: int, limit: float = 3.0, quantiles: bool = False) -> Tensor:
    """``steps`` coordinates from -limit to limit, or the prior's quantiles (i + 1/2) / steps."""
    if quantiles:
        return torch.special.ndtri((torch.arange(steps, dtype=torch.float64) + 0.5) / steps).float()
    return torch.linspace(-limit, limit, steps)


def to_pictures(images: Tensor) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3) float array for drawing, from flat, grey or colour images; uint8 is scaled."""
    array = to_numpy(images.float() / 255 if images.dtype == torch.uint8 else images.float())
    if array.ndim == 2:
        side = math.isqrt(array.shape[1])
        if side * side != array.shape[1]:
            raise ValueError(
                f"flat images have {array.shape[1]} pixels, which is no square; expected e.g. 784 = 28 * 28."
            )
        return array.reshape(-1, side, side)
    if array.ndim == 4:
        array = array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)
    if array.ndim not in (3, 4):
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, H*W), (N, H, W) or (N, C, H, W).")
    return array


def mosaic(images: Tensor, columns: int) -> np.ndarray:
    """Images as one large picture, row by row; missing ones at the end are black.

    >>> mosaic(torch.zeros(5, 784), columns=3).shape
    (56, 84)
    """
    pictures = to_pictures(images)
    rows = math.ceil(len(pictures) / columns)
    height, width, *rest = pictures.shape[1:]
    canvas = np.zeros((rows * columns, height, width, *rest), dtype=pictures.dtype)
    canvas[: len(pictures)] = pictures
    canvas = canvas.reshape(rows, columns, height, width, *rest).swapaxes(1, 2)
    return canvas.reshape(rows * height, columns * width, *rest)
