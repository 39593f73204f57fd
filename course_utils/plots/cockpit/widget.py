"""The cockpit in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anywidget
import torch
import traitlets

from ..latent import LatentSpace
from .payload import Payload

FOLDER = Path(__file__).parent


class CockpitWidget(anywidget.AnyWidget):
    """Shows a payload; answers for decoders whose layers the page script does not know."""

    _esm = FOLDER / "cockpit.js"
    _css = FOLDER / "cockpit.css"
    about = traitlets.Dict().tag(sync=True)
    numbers = traitlets.Bytes().tag(sync=True)

    def __init__(self, spaces: Sequence[LatentSpace], payload: Payload) -> None:
        super().__init__(about=payload.about, numbers=payload.numbers)
        self._spaces = list(spaces)
        self.on_msg(self._answer)

    def _answer(self, _: object, question: dict, __: list) -> None:
        """Pixels of z, uint8 (C, H, W), as the page asked for them."""
        picture = self._spaces[question["index"]].decode(torch.tensor(question["z"], dtype=torch.float32)[None])[0]
        if picture.ndim == 3:
            picture = picture.transpose(2, 0, 1)
        self.send({"id": question["id"]}, buffers=[picture.tobytes()])
