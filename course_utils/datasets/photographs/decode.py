"""One photograph as a small square picture: upright, in colour, averaged over the pixels that each new pixel covers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

FITS = ("crop", "pad")
# The JPEG decoder can halve a picture, repeatedly, while it decodes, which saves half of the time or more. Down to six
# times the final size that costs at most 0.9 grey levels on average against averaging the full picture; down to three
# times, 1.9 (the windows of a box filter are whole pixels: few and large ones fit worse); down to the final size, 5.
SPARE = 6
ORIENTATION = 0x0112


class Undecodable(Exception):
    """These bytes are not a whole JPEG picture; the message says what they are."""


def decode(content: bytes, size: int, fit: str = "crop") -> np.ndarray:
    """A JPEG file as uint8 (3, size, size).

    The aspect ratio is kept: ``crop`` keeps the central square, ``pad`` keeps everything and fills the rest with
    black. Grey and CMYK pictures become RGB, a rotation noted in EXIF is carried out. Smaller pictures are enlarged.

    Raises:
        Undecodable: damaged, cut short, or no picture at all.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            picture.draft(None, _enough(picture.size, size, fit))
            upright = _rgb(_upright(picture))
    except Image.UnidentifiedImageError:
        raise Undecodable(f"not a picture: its {len(content):,} bytes begin with {content[:12]!r}") from None
    except MemoryError:  # says nothing about the file
        raise
    except Exception as error:  # a damaged file raises whatever the part of the decoder that stumbles over it raises
        raise Undecodable(f"{type(error).__name__}: {error}") from None
    return np.ascontiguousarray(np.asarray(_square(upright, size, fit)).transpose(2, 0, 1))


def _enough(shape: tuple[int, int], size: int, fit: str) -> tuple[int, int]:
    """The (width, height) that decoding must not go below."""
    side = min(shape) if fit == "crop" else max(shape)
    width, height = (-(-length * SPARE * size // side) for length in shape)
    return width, height


def _upright(picture: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(picture) if picture.getexif().get(ORIENTATION, 1) != 1 else picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        picture.load()
        return picture
    if picture.mode in ("I;16", "I"):  # 16 bits of grey, which convert() would cut off at 255
        picture = picture.point(lambda value: value / 256).convert("L")
    return picture.convert("RGB")


def _square(picture: Image.Image, size: int, fit: str) -> Image.Image:
    from PIL import Image

    width, height = picture.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return picture.resize((size, size), _filter(side, size), box=(left, top, left + side, top + side))
    if fit != "pad":
        raise ValueError(f"fit is {fit!r}; expected one of {', '.join(FITS)}.")
    side = max(width, height)
    inner = max(1, round(width * size / side)), max(1, round(height * size / side))
    canvas = Image.new("RGB", (size, size))
    canvas.paste(picture.resize(inner, _filter(side, size)), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    return canvas


def _filter(side: int, size: int) -> int:
    """Averaging when a picture gets smaller; between pixels when it gets larger."""
    from PIL import Image

    return Image.Resampling.BOX if side >= size else Image.Resampling.BILINEAR
