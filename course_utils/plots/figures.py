"""Pictures: one geometry, one colour-blind-safe palette, a text alternative and a caption on every figure.

Every function draws and shows; none returns anything to keep. Images are tensors in [0, 1], (N, H, W), (N, C, H, W) or
flat (N, H*W).
"""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.system import notebook, unfinished

if TYPE_CHECKING:
    from PIL.Image import Image as PictureFile

WIDTH = 8.0  # inches, of every figure
DPI = 200  # of the picture file; the page shows it at half that, so that it is sharp on every screen and projector
SHOWN_DPI = 100
LONGEST_LABEL = 15  # letters in a line of a row's label; longer ones are broken
COLOURS, MOST_COLOURS = 128, 256  # of a picture file, and of one that shows coloured images
JPEG_QUALITY = 75  # with colours at half the resolution: two thirds of the bytes of 85 at the whole
# P. Tol, "Colour schemes" (2021): the muted scheme and grey, told apart with any kind of colour vision.
PALETTE = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#888888")
INK, ACCENT, OTHER = "#222222", "#cc6677", "#332288"
OWN_MARKERS = "*DPXsv"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "axes.titlelocation": "center",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.interpolation": "nearest",  # a pixel is a square: nothing is blurred that the model did not blur
}


def figure(height: float, rows: int = 1, columns: int = 1, **kwargs) -> tuple[Figure, np.ndarray]:
    """A figure of the course's width and a 2-D array of its axes; ``height`` in inches. Needs no display."""
    fig = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    return fig, fig.subplots(rows, columns, squeeze=False, **kwargs)


def show(fig: Figure, alt: str, caption: str = "") -> None:
    """Show a figure with its text alternative (what a reader who cannot see it needs) and, below it, a caption."""
    if not alt.strip():
        raise ValueError("alt is empty; expected a sentence that says what the figure shows.")
    alt, caption = (_with_note(text) for text in (alt, caption))
    notebook.show_html(markup(fig, alt, caption), plain=f"[figure] {alt}")


def _with_note(text: str) -> str:
    """A caption, and whether a training that may stand behind it ended early."""
    return f"{text} {unfinished.note()}".strip()


def table(rows: Sequence[Mapping[str, object]], caption: str = "") -> None:
    """A small table, one record a row; numbers that are not text are shown with three significant digits."""
    heads, caption = list(rows[0]), _with_note(caption)
    cells = [[_cell(row[head]) for head in heads] for row in rows]
    plain = "\n".join("\t".join(line) for line in [heads, *cells])
    notebook.show_html(table_markup(heads, cells, caption), plain=plain)


def table_markup(heads: Sequence[str], cells: Sequence[Sequence[str]], caption: str) -> str:
    """HTML of a table with its caption, as a figure has one. Notebooks put every cell to the right: columns of words
    go to the left. A number is not broken at its minus."""
    words = ["" if all(map(_NUMBER.match, column)) else "text-align:left" for column in zip(*cells, strict=True)]
    head = "".join(_part('th scope="col"', text, style) for text, style in zip(heads, words, strict=True))
    rows = [
        [_part("td", text, style or _unbroken(text)) for text, style in zip(line, words, strict=True)] for line in cells
    ]
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    if not caption:
        return table
    return f'<figure style="margin:0.5em 0">{table}<figcaption><em>{html.escape(caption)}</em></figcaption></figure>'


def _part(tag: str, text: str, style: str) -> str:
    opened = f'{tag} style="{style}"' if style else tag
    return f"<{opened}>{html.escape(text)}</{tag.split()[0]}>"


def _unbroken(text: str) -> str:
    return "white-space:nowrap" if "-" in text and " " not in text else ""


def to_numpy(values: Tensor | np.ndarray | Sequence[float]) -> np.ndarray:
    """A NumPy array of a tensor on any device, or of a sequence."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def markup(fig: Figure, alt: str, caption: str) -> str:
    """HTML of a figure with its text alternative and caption. Its white goes on around it: a frame on a dark page."""
    drawn, coloured = _drawn(fig)
    kind, picture = ("jpeg", _jpeg(drawn)) if coloured else ("png", _png(drawn, coloured))
    data = base64.b64encode(picture).decode("ascii")
    below = f"<figcaption><em>{html.escape(caption)}</em></figcaption>" if caption else ""
    width = int(fig.get_size_inches()[0] * SHOWN_DPI)
    return (
        f'<figure style="margin:0.5em 0"><div style="background-color:#fff;padding:6px;max-width:{width}px">'
        f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(alt, quote=True)}" '
        f'style="max-width:100%;width:{width}px"></div>{below}</figure>'
    )


def png(fig: Figure) -> bytes:
    """The figure as a PNG file of few colours."""
    return _png(*_drawn(fig))


def _drawn(fig: Figure) -> tuple[PictureFile, bool]:
    """The figure in pixels, and whether it shows coloured pictures: lines and grey pixels have fewer colours."""
    from PIL import Image

    canvas = FigureCanvasAgg(fig)
    canvas.draw()  # once; savefig goes through everything twice, to have a layout before it draws
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    return drawn, drawn.getcolors(maxcolors=4096) is None


def _png(drawn: PictureFile, coloured: bool) -> bytes:
    """In a few colours, thin lines in theirs: half the bytes, or fewer, and no difference to the eye. Notebooks are
    kept and sent."""
    from PIL import Image

    buffer = io.BytesIO()
    method = Image.Quantize.MEDIANCUT if coloured else Image.Quantize.MAXCOVERAGE  # the latter keeps thin lines
    drawn.quantize(MOST_COLOURS if coloured else COLOURS, method, dither=Image.Dither.NONE).save(
        buffer, format="png", optimize=True
    )
    return buffer.getvalue()


def _jpeg(drawn: PictureFile) -> bytes:
    """Half the bytes of a PNG of 256 colours, and all colours."""
    buffer = io.BytesIO()
    drawn.save(buffer, format="jpeg", quality=JPEG_QUALITY, subsampling="4:2:0", optimize=True)
    return buffer.getvalue()


def blank(ax) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


# A cell that is or begins with a number, or is empty; longer ones are sentences.
_NUMBER = re.compile(r"(?=.{0,24}$)(?:[-−+±(]?\d|–$|$|nan|inf)")


def _cell(value: object) -> str:
    if isinstance(value, (float, np.floating)) or (isinstance(value, Tensor) and value.is_floating_point()):
        value = float(value)
        return "–" if math.isnan(value) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
