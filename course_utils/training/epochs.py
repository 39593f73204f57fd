"""The way through the epochs: what is shown, when it ends, and which weights stay."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils.system import device as device_module
from course_utils.system.contracts import OneOf

from . import measuring
from .live import View, duration, open_view
from .loop import OPTIMIZERS, SCHEDULES, Loop, MakeOptimizer, NotFinite, Schedule, weights_are_finite
from .record import Run, images_digest, last_words, say

_TWICE = 2.0  # seconds within which another interrupt ends more than one training
_interrupts = [-math.inf]  # when the last one came
CHECK_EVERY_ON_GPU = 20  # steps; looking at a loss makes the host wait for the device


@dataclass(frozen=True)
class How:
    """The ways of training that most trainings leave as they are."""

    optimizer: str | MakeOptimizer
    schedule: str | Schedule
    validation_images: Tensor | None
    patience: int | None
    on_batch: Callable[[Run, int, Mapping[str, Tensor | float]], None] | None

    def __post_init__(self) -> None:
        for what, value, known in (("optimizer", self.optimizer, OPTIMIZERS), ("schedule", self.schedule, SCHEDULES)):
            if isinstance(value, str):
                OneOf(tuple(known)).take(what, value)
            elif not callable(value):
                raise ValueError(f"{what} is {value!r}; expected one of {', '.join(known)}, or a function.")

    @property
    def unusual(self) -> bool:
        return self.optimizer != "adam" or self.schedule != "constant"

    def settings(self) -> dict[str, Any]:
        """What decides about the weights, as the record has it; nothing of what is as usual."""
        said: dict[str, Any] = {}
        if self.optimizer != "adam":
            said["optimizer"] = _named(self.optimizer)
        if self.schedule != "constant":
            said["schedule"] = _named(self.schedule)
        if self.validation_images is not None:
            said |= {"validation_images_sha256": images_digest(self.validation_images), "patience": self.patience}
        return said

    def lr_factor(self, epoch: int, epochs: int) -> float:
        """In the epoch of this number, from 1 up."""
        schedule = SCHEDULES[self.schedule] if isinstance(self.schedule, str) else self.schedule
        factor = float(schedule(epoch - 1, epochs))
        if not math.isfinite(factor) or factor < 0:
            raise ValueError(
                f"schedule gave {factor} for epoch {epoch} of {epochs}; expected a finite number from 0 up."
            )
        return factor

    def best_epoch(self, history: list[dict[str, float]]) -> int | None:
        """The epoch with the lowest validation loss so far."""
        losses = [record["validation_loss"] for record in history if "validation_loss" in record]
        return 1 + min(range(len(losses)), key=losses.__getitem__) if losses else None

    def enough(self, history: list[dict[str, float]]) -> bool:
        """Nothing has improved for too long."""
        best = self.best_epoch(history)
        return self.patience is not None and best is not None and len(history) - best >= self.patience


def _named(value: str | Callable) -> str:
    return value if isinstance(value, str) else f"{value.__module__}.{getattr(value, '__qualname__', value)}"


def run_epochs(
    run: Run, loop: Loop, how: How, test_images: Tensor | None, at_epoch, progress: bool, live: bool
) -> None:
    """The epochs that are left, in view of the reader if there is ``progress``; the cost is said first."""
    epochs, words = run.settings["epochs"], ""
    ahead = 0 if how.enough(run.history) else epochs - len(run.history)
    if ahead > 0 and progress:
        run.estimated_seconds = measuring.estimated(loop, ahead, test_images)
        say(
            f"{ahead} epoch{'s' if ahead > 1 else ''} of {loop.steps} steps: {_roughly(run.estimated_seconds)} "
            f"on {device_module.describe(loop.images.device)}."
        )
    view = View(run.history, epochs, loop.steps)
    if progress:
        shown = loop.images if test_images is None else test_images
        view = open_view(run.history, epochs, loop.steps, model=run.model, images=shown, pictures=live)
    try:
        _train(run, loop, how, test_images, view, at_epoch)
        words = last_words(run, epochs) if progress or run.stopped else ""
    finally:
        with contextlib.suppress(OSError, ValueError):  # a terminal that has gone
            view.finish(words)


def _train(run: Run, loop: Loop, how: How, test_images: Tensor | None, view: View, at_epoch) -> None:
    model, epochs, past = loop.model, run.settings["epochs"], len(run.history)
    before = run.history[-1]["seconds"] if past else 0.0
    check_every = 1 if torch.device(run.settings["device"]).type == "cpu" else CHECK_EVERY_ON_GPU
    began = time.perf_counter() - before
    epoch, done = past, 0
    totals: dict[str, Tensor | float] = {}
    try:
        for epoch in range(past + 1, epochs + 1):
            if how.enough(run.history):
                break
            loop.scale_lr(how.lr_factor(epoch, epochs))
            model.train()
            last_good = {key: value.clone() for key, value in model.state_dict().items()}
            done, totals = 0, {}
            for x in loop.batches():
                values = loop.step(x, watch=done % check_every == 0)
                for key, value in values.items():
                    totals[key] = totals[key] + value if key in totals else value
                done += 1
                if how.on_batch is not None:
                    with device_module.random_state_kept():
                        how.on_batch(run, done, values)
                view.step(epoch, done, totals)
            if not weights_are_finite(model):
                raise NotFinite
            record = _record(epoch, totals, done, began)
            for part, held_out in (("test", test_images), ("validation", how.validation_images)):
                if held_out is not None:
                    record |= _measured(part, loop, held_out)
            run.history.append(record)
            if how.best_epoch(run.history) == epoch:
                loop.best = {key: value.clone() for key, value in model.state_dict().items()}
            done = 0
            at_epoch()
    except KeyboardInterrupt:
        run.stopped = "interrupted"
        run.interrupted_again, _interrupts[0] = time.monotonic() - _interrupts[0] < _TWICE, time.monotonic()
    except NotFinite:
        run.stopped = "not finite"
        if not weights_are_finite(model):
            model.load_state_dict(last_good)
    finally:
        loop.rest()
        run.seconds = time.perf_counter() - began
    if run.stopped and done:
        run._partial = 1
        run.history.append(_record(epoch, totals, done, began))
        if run.stopped == "interrupted" and test_images is not None:
            try:  # of the model as it is: what shows a finished run shows this one, too
                run.history[-1] |= _measured("test", loop, test_images)
            except KeyboardInterrupt:  # nobody wants to wait for that
                run.interrupted_again, _interrupts[0] = True, time.monotonic()


def _measured(part: str, loop: Loop, images: Tensor) -> dict[str, float]:
    """What the loss function returns on held-out images, each number under the name of this ``part``."""
    with device_module.random_state_kept():
        found = measuring.evaluated(loop.model, loop.loss_function, images, 1000)
    return {f"{part}_{key}": value for key, value in found.items()}


def _record(epoch: int, totals: Mapping[str, Tensor | float], steps: int, began: float) -> dict[str, float]:
    means = {key: float(value) / steps for key, value in totals.items()}
    return {"epoch": epoch, "seconds": time.perf_counter() - began, **means}


def _roughly(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"about {duration(seconds)}"
