"""What a training has made: the run, what shaped its weights, and how it is kept; what is said of it at its end."""

from __future__ import annotations

import contextlib
import hashlib
import math
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.models import runs
from course_utils.system import device as device_module
from course_utils.system import machine
from course_utils.system.errors import CourseError

from . import checkpoint as checkpoints
from . import kept as kept_runs
from .live import duration
from .loop import Loop, LossFunction


@dataclass
class Run:
    """A trained model with what happened to it.

    ``history`` has one record per epoch: ``epoch``, ``seconds`` since the start, and the mean over the epoch of every
    number that the loss function returned; with a ``test_`` before the name, the same on the test images. If training
    was stopped within an epoch, the last record averages over the steps made; its test numbers are those of the model
    as it is, and missing where the loss was not finite or another interrupt came.
    """

    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    estimated_seconds: float = math.nan
    seconds: float = 0.0
    stopped: str | None = None  # why training ended early: "interrupted", "not finite"; None if it ran to its end
    provenance: dict = field(default_factory=dict)  # of a kept run: digest of the images, versions, machines, the loss
    lost: list[str] = field(default_factory=list)  # a sentence on each file that could not be written
    path: Path | None = None  # of the kept weights
    identity: dict = field(default_factory=dict)  # of a run that may be found again: all that shapes its weights
    best_epoch: int | None = None  # of which the weights are, where there were validation images

    @property
    def whole_epochs(self) -> int:
        """Epochs that the weights have had from beginning to end."""
        return len(self.history) - self._partial

    @property
    def never_began(self) -> bool:
        """Whether it was interrupted before its first step: there is no model and no number to show."""
        return self.stopped == "interrupted" and not self.history

    interrupted_again: bool = False  # by a second interrupt soon after another training's
    _partial: int = 0  # 1 where the last record is of an epoch that was not finished

    def curve(self, name: str) -> list[float]:
        """The values of one number over the epochs, e.g. ``run.curve("test_loss")``; nan where it was not measured."""
        if self.history and name not in self.history[0]:
            raise KeyError(f"no {name!r} in this history; there are {', '.join(self.history[0])}.")
        return [record.get(name, math.nan) for record in self.history]


def identity_of(run: Run, loss_function: LossFunction, test_images: Tensor | None, label: str | None) -> dict[str, Any]:
    """All that a run must have in common with one that was made before, to be that one."""
    return {
        "settings": dict(run.settings),
        "label": label,
        "source": kept_runs.source_digest(loss_function, run.model),
        "test_images_sha256": None if test_images is None else images_digest(test_images),
    } | {key: run.provenance[key] for key in ("images_sha256", "model", "versions", "about") if key in run.provenance}


def provenance_of(loop: Loop, settings: dict, about: Mapping[str, Any] | None) -> dict[str, Any]:
    """What decides about the weights apart from ``settings``, and which machine makes them."""
    function = loop.loss_function
    versions = machine.versions("torch", "latent-space-course")
    return {
        "images_sha256": images_digest(loop.images),
        "model": checkpoints.described(loop.model),
        "versions": versions,
        **({"about": dict(about)} if about else {}),
        "loss": f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}",
        "sittings": [
            {
                "device": device_module.describe(loop.images.device),
                "machine": platform.machine(),
                "system": platform.platform(),
                "threads": torch.get_num_threads(),
                "python": platform.python_version(),
            }
        ],
    }


def images_digest(images: Tensor) -> str:
    """SHA-256 of images (N, ...): shape, type and every number."""
    found = hashlib.sha256(f"{tuple(images.shape)} {images.dtype}".encode())
    for part in images.split(4096):
        found.update(part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


@contextlib.contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Inside, no other process writes to ``path``, if it asks here too. The lock goes with the process that holds it,
    however it ends; the empty file ``.<name>.lock`` beside ``path`` stays.

    Raises:
        CourseError: another one is inside.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(str(path.with_name(f".{path.name}.lock")), blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise CourseError(
            f"Another training is writing to {what} now. Wait until it has ended, or take another name."
        ) from None
    except NotImplementedError:  # a file system that has no locks
        yield
        return
    except OSError as error:
        raise CourseError(f"{path.parent} cannot be written to ({error.strerror or error}).") from None
    try:
        yield
    finally:
        lock.release()


def say(text: str) -> None:
    """Print where there is somebody to read: a terminal that has gone does not end a training."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def keep(run: Run, loop: Loop, name: str | None, unit: str | None, label: str | None) -> None:
    """The networks in evaluation mode, and the model under its name, if it has one."""
    run.model.eval()
    if loop.critic:
        loop.critic.module.eval()
    if name is not None:
        settings = run.settings | {"epochs": run.whole_epochs}
        if run.best_epoch is not None:
            settings["best_epoch"] = run.best_epoch
        record = {"settings": settings, "history": run.history, "seconds": run.seconds, "stopped": run.stopped}
        record |= {"epochs_asked": run.settings["epochs"], "provenance": run.provenance}
        if run.identity:
            record["identity"] = run.identity
        if run.stopped and kept_runs.is_finished(name, unit):
            say(f"{runs.path_of(name, unit)} stays what it was, a run made to its end: this one is in memory only.")
            return
        about = runs.about(run.model, loop.images, label, name)
        run.path = runs.save(name, run.model, about | record, unit)
        if run.path is None:
            run.lost.append(f"{runs.path_of(name, unit)} could not be written.")


def lose(run: Run, path: Path, error: OSError) -> None:
    """Say that a file could not be written, once for each file."""
    size = f" ({error.num_bytes / 1e6:.1f} MB)" if hasattr(error, "num_bytes") else ""
    sentence = f"{path}{size} could not be written ({error.strerror or error}). The training goes on without it."
    if not any(said.startswith(str(path)) for said in run.lost):
        run.lost.append(sentence)
        say(sentence)


def last_words(run: Run, epochs: int) -> str:
    if not run.stopped:
        made = run.whole_epochs
        early = f", {epochs} asked for: the validation loss fell no more" if made < epochs else ""
        return (
            f"{made} epoch{'s' * (made > 1)} in {duration(run.seconds)}{early}; loss {run.history[-1]['loss']:.4g}."
            if made
            else ""
        )
    if run.never_began:
        return "Interrupted before the first step: nothing was trained, and nothing is kept."
    place = where(run)
    if run.stopped == "interrupted":
        again = " Run the cell again to go on after the last whole epoch." if run.identity and run.whole_epochs else ""
        return (
            f"Interrupted {place}. The model is usable as it is, and its history is kept.{again} Where more trainings "
            "follow, interrupt again within two seconds to end them, too."
        )
    return (
        f"Stopped {place}: the loss is no longer a finite number. The weights are from before it was so. "
        "Likely causes: exp of a large logvar, log of 0 (work with logits), or a learning rate that is too high "
        f"(here {run.settings['lr']:g})."
    )


def where(run: Run) -> str:
    """Where a training stopped, in words."""
    return f"in epoch {run.history[-1]['epoch'] if run.history else 1} of {run.settings['epochs']}"
