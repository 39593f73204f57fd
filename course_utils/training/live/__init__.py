"""What a training shows while it runs: numbers, pictures and a button in a notebook, a moving line in a terminal, a
line now and then in a log.

A view is asked after every step, and shows something when it is time to. It changes nothing about the training.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from course_utils.system import notebook

PARTS = ("loss", "distortion", "rate", "mmd", "gap")  # of what loss functions return: these stand in the line
WATCHED_PAUSE = 0.5  # seconds between two states of a line that somebody watches
LOG_PAUSE = 30.0  # and between two lines of a log; a short training leaves none
clock = time.perf_counter


class View:
    """Shows nothing but the end; the views of each place build on it.

    Args:
        history: the records of the training, which grow while it runs.
        epochs, steps: how many, and how many steps in each.
    """

    pause = math.inf  # seconds from one ``show`` to the next

    def __init__(self, history: Sequence[Mapping[str, float]], epochs: int, steps: int) -> None:
        self.history, self.epochs, self.steps = history, epochs, steps
        self.began, self._past = clock(), len(history) * steps
        self._due = self.began + self.pause

    def step(self, epoch: int, done: int, totals: Mapping[str, Tensor | float]) -> None:
        """After the step number ``done`` of an epoch, with the sums over its steps of what the loss functions gave."""
        if clock() < self._due:
            return
        means = {key: float(value) / done for key, value in totals.items()}
        try:
            self.show(epoch, done, means)
            self._due = clock() + self.pause
        except Exception:  # whatever is the matter with the display: the training is worth more
            self._due = math.inf

    def show(self, epoch: int, done: int, means: Mapping[str, float]) -> None:
        """Show a training after step ``done`` of ``epoch``; ``means`` over the epoch so far."""

    def finish(self, text: str) -> None:
        """Show what stays."""
        if text:
            print(text, flush=True)

    def line(self, epoch: int, done: int, means: Mapping[str, float]) -> str:
        """``epoch 2 of 5 · 41 seconds left · 96.3 steps/s · loss 104.2 · distortion 88.1 · rate 16.1``."""
        numbers = [f"{name} {means[name]:.4g}" for name in PARTS if name in means]
        pace = (self.made(epoch, done) - self._past) / max(clock() - self.began, 1e-9)
        left = duration((self.epochs * self.steps - self.made(epoch, done)) / pace)
        return " · ".join([f"epoch {epoch} of {self.epochs}", f"{left} left", f"{pace:.3g} steps/s", *numbers])

    def made(self, epoch: int, done: int) -> int:
        """Steps since the beginning of the first epoch."""
        return (epoch - 1) * self.steps + done


class Log(View):
    """A line every half minute."""

    pause = LOG_PAUSE

    def show(self, epoch: int, done: int, means: Mapping[str, float]) -> None:
        print(self.line(epoch, done, means), flush=True)


class Terminal(View):
    """A bar and a line that move, and are gone at the end."""

    pause = WATCHED_PAUSE

    def __init__(self, history: Sequence[Mapping[str, float]], epochs: int, steps: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        super().__init__(history, epochs, steps)
        line = TextColumn("{task.description}", markup=False, table_column=Column())  # a narrow terminal wraps it
        self._bar = Progress(BarColumn(bar_width=10), line, auto_refresh=False, transient=True)
        self._task = self._bar.add_task("", total=epochs * steps)
        self._bar.start()

    def show(self, epoch: int, done: int, means: Mapping[str, float]) -> None:
        text = self.line(epoch, done, means)
        self._bar.update(self._task, completed=self.made(epoch, done), description=text, refresh=True)

    def finish(self, text: str) -> None:
        self._bar.stop()
        super().finish(text)


def open_view(
    history: Sequence[Mapping[str, float]], epochs: int, steps: int, *, model: nn.Module, images: Tensor, pictures: bool
) -> View:
    """The view that suits the place.

    Args:
        images: (N, ...) to reconstruct before the reader's eyes, in a notebook.
        pictures: in a notebook, show curves and images too.
    """
    if notebook.in_notebook():
        from .in_notebook import NotebookView

        return NotebookView(history, epochs, steps, model, images if pictures else None)
    return (Terminal if sys.stdout.isatty() else Log)(history, epochs, steps)


def duration(seconds: float) -> str:
    """``less than a second``, ``4.2 seconds``, ``42 seconds``, ``4.2 minutes``, ``30.0 hours`` or ``5.0 days``; of what
    is no number ``some time``."""
    if not math.isfinite(seconds):
        return "some time"
    if seconds < 1:
        return "less than a second"
    if seconds < 100:
        return f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    for unit, size, most in (("minutes", 60, 100), ("hours", 3600, 48)):
        if seconds / size < most:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"
