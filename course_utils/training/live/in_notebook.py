"""The view of a training in a notebook: one output, which moves while it runs and is a still picture afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from ipykernel.connect import get_connection_file
from IPython.display import display
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_utils import metrics, models, plots
from course_utils.datasets import scale
from course_utils.system import device

from .. import live

SHARE = 0.02  # of the time goes into pictures; what is left of 5 % is for the line and the last picture
FIRST_SECONDS = 0.1  # that a picture is expected to take before one was drawn
NUM_IMAGES = 10
_SAVED = (
    "This training was under way when the notebook was saved. Run the cell again: what was trained by then is kept."
)
SAVED_MEANWHILE = {"text/plain": _SAVED, "text/html": f"<p>{_SAVED}</p>"}  # what a saved notebook has of it
MATCHED = ("rate", "mmd", "gap")  # a loss with one of these pulls the codes towards the prior: samples have a meaning


class LiveWidget(anywidget.AnyWidget):
    """A bar with its line, the latest picture, and a button that interrupts the kernel ``kernel``.

    While a cell runs, its kernel reads no messages of widgets: the button asks the Jupyter server.
    """

    _esm = Path(__file__).parent / "widget.js"
    kernel = traitlets.Unicode().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)  # line, alt, and made, the share of the steps
    picture = traitlets.Bytes().tag(sync=True)  # PNG


class NotebookView(live.View):
    """The line, an interrupt button and, where ``images`` are given, curves, reconstructions and samples.

    Pictures take at most ``SHARE`` of the time since the training began, apart from the last one.
    """

    pause = live.WATCHED_PAUSE

    def __init__(
        self, history: Sequence[Mapping[str, float]], epochs: int, steps: int, model: nn.Module, images: Tensor | None
    ) -> None:
        super().__init__(history, epochs, steps)
        self._model, self._images = model, None if images is None else images[:NUM_IMAGES]
        self._spent, self._cost = 0.0, FIRST_SECONDS  # of pictures so far, and of the next
        self._widget = LiveWidget(kernel=Path(get_connection_file()).stem.removeprefix("kernel-"))
        bundle: Any = self._widget._repr_mimebundle_()
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle
        self._handle = display(bundle | SAVED_MEANWHILE, raw=True, display_id=True)

    def show(self, epoch: int, done: int, means: Mapping[str, float]) -> None:
        """The line, and a picture if there is time for one."""
        about: dict[str, Any] = {
            "line": self.line(epoch, done, means),
            "made": self.made(epoch, done) / (self.epochs * self.steps),
        }
        began = live.clock()
        if self._images is not None and self._spent + self._cost <= SHARE * (began - self.began):
            figure, about["alt"] = self._drawn([*self.history, {"epoch": epoch - 1 + done / self.steps, **means}])
            self._widget.picture = plots.png(figure)
            seconds = live.clock() - began
            self._spent, self._cost = self._spent + seconds, min(self._cost, seconds)
        self._widget.about = self._widget.about | about

    def finish(self, text: str) -> None:
        """In place of the widget: the last picture with ``text`` under it, or the text alone."""
        bundle = {"text/plain": text}
        if self._images is not None and self.history:
            try:
                figure, alt = self._drawn(self.history)
                bundle = {"text/html": plots.markup(figure, alt, text), "text/plain": f"{text}\n[figure] {alt}"}
            except (Exception, KeyboardInterrupt) as error:  # the model is trained, and waits to be returned
                bundle["text/plain"] += f"\nThe training could not be drawn ({error!r})."
        self._handle.update(bundle, raw=True)
        self._widget.close()

    def _drawn(self, records: Sequence[Mapping[str, float]]) -> tuple[Figure, str]:
        return plots.training_figure(records, self.epochs, self._strips(records[0]))

    def _strips(self, record: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Rows of images by name; none of a model without ``encode`` and ``decode`` as the course's own have them."""
        if self._images is None:
            return {}
        try:
            with device.random_state_kept(), models.evaluating(self._model):
                z = metrics.codes(self._model, self._images)
                rows = {"images": scale(self._images), "reconstructions": metrics.decoded(self._model, z)}
                if any(name in record for name in MATCHED):
                    rows["samples"] = metrics.samples(self._model, NUM_IMAGES, z.shape[1])
                return {label: plots.mosaic(images, NUM_IMAGES) for label, images in rows.items()}
        except Exception:
            return {}
