"""One training loop for every unit."""

from __future__ import annotations

import contextlib
import hashlib
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import models
from course_utils.datasets import scale
from course_utils.models import runs
from course_utils.system import device as device_module
from course_utils.system import machine, unfinished
from course_utils.system.contracts import Images, Number, OneOf, Whole, takes
from course_utils.system.errors import CourseError

from . import checkpoint as checkpoints
from . import kept as kept_runs
from .live import View, duration, open_view
from .loop import (
    OPTIMIZERS,
    SCHEDULES,
    Critic,
    Loop,
    LossFunction,
    MakeOptimizer,
    NotFinite,
    Schedule,
    checked,
    weights_are_finite,
)

__all__ = ["Critic", "LossFunction", "Run", "estimate_seconds", "evaluate", "fit"]

PRECISIONS = ("float32", "bfloat16")
_TWICE = 2.0  # seconds within which another interrupt ends more than one training
_interrupts = [-math.inf]  # when the last one came
PROBE_SECONDS = 0.4  # spent on steps of a throw-away copy before training, to say what training will cost
CHECK_EVERY_ON_GPU = 20  # steps; looking at a loss makes the host wait for the device


@dataclass
class Run:
    """A trained model with what happened to it.

    ``history`` has one record per epoch: ``epoch``, ``seconds`` since the start, and the mean over the epoch of every
    number that the loss function returned; with a ``test_`` before the name, the same on the test images. If training
    stopped within an epoch, the last record averages over the steps made, and has no test numbers.
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

    interrupted_again: bool = False  # by a second interrupt soon after another training's
    _partial: int = 0  # 1 where the last record is of an epoch that was not finished

    def curve(self, name: str) -> list[float]:
        """The values of one number over the epochs, e.g. ``run.curve("test_loss")``; nan where it was not measured."""
        if self.history and name not in self.history[0]:
            raise KeyError(f"no {name!r} in this history; there are {', '.join(self.history[0])}.")
        return [record.get(name, math.nan) for record in self.history]


SETTINGS: dict[str, Any] = {
    "epochs": Whole(0),
    "batch_size": Whole(1),
    "lr": Number(above=0),
    "seed": Whole(0, 2**32 - 1),
    "precision": OneOf(PRECISIONS),
    "patience": Whole(1),
}


@takes(images=Images(), test_images=Images(), validation_images=Images(), **SETTINGS)
def fit(
    model: nn.Module,
    loss_function: LossFunction,
    images: Tensor,
    *,
    epochs: int,
    test_images: Tensor | None = None,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int | None = None,
    name: str | None = None,
    unit: str | None = None,
    label: str | None = None,
    critic: Critic | None = None,
    precision: str = "float32",
    cuda_graph: bool = False,
    checkpoint: Path | None = None,
    fresh: bool = False,
    about: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Run], None] | None = None,
    on_batch: Callable[[Run, int, Mapping[str, Tensor | float]], None] | None = None,
    optimizer: str | MakeOptimizer = "adam",
    schedule: str | Schedule = "constant",
    validation_images: Tensor | None = None,
    patience: int | None = None,
    progress: bool = True,
    live: bool = True,
) -> Run:
    """Train ``model`` on batches of ``images``, with Adam unless told otherwise.

    Args:
        model: what is trained, in place; it is moved to the images' device.
        loss_function: called as ``loss_function(model, x)`` with x (B, ...) in [0, 1]; returns a dict of scalars of
            which ``"loss"`` is minimised and all are recorded.
        images: (N, ...) uint8 on the device (see ``datasets``), or floats.
        epochs: passes over the images.
        test_images: measured after each epoch, in evaluation mode.
        seed: of the order of the images and of all noise; default: whatever state the generators are in.
        name: keep the model under ``runs/<unit>/<name>``, where later units and the scoreboard find it. Where it is
            kept there already by a training of the same images, model, settings, seed, versions and source of the loss,
            made to its end, it is loaded and not trained again: the generators are then as ``seed`` sets them. (Not
            with a critic, which is not kept, nor with ``on_epoch`` or ``on_batch``.)
        unit: by default that of the notebook, told by its folder's name.
        label: what the scoreboard calls the model, e.g. ``"MMD-VAE, weight 100"``; default: its name.
        critic: a network trained beside the model; ``loss_function`` reaches its module by itself.
        precision: ``float32``, or ``bfloat16`` for mixed precision (torch.autocast); weights stay float32.
        cuda_graph: on a CUDA device, record the step once and replay it. What the loss function does besides computing
            tensors (counting, printing, looking at a number) then happens in the first steps alone.
        checkpoint: a file that is written after every epoch and gone on from if it is there. On a CPU with the same
            number of threads, a training that was interrupted ends with the very weights of one that was not. It is
            refused for other images, another model, loss, settings or versions. To tell another loss, the loss
            function is called after each epoch once more, on a few images in evaluation mode.
        fresh: train again where the run is kept already; start anew where the checkpoint is there already, which is
            replaced at the end of the first epoch.
        about: what else decides about the weights, such as the parameters of the loss, as JSON has it: it is kept with
            them, and a checkpoint with others is refused.
        on_epoch: called with the run after every epoch, with the model in training mode.
        on_batch: called with the run, the number of the step in its epoch from 1 up, and what the loss functions
            returned, after every step.
        optimizer: ``adam``, ``adamw``, ``radam``, ``rmsprop`` or ``sgd`` (with Nesterov's momentum 0.9); or a function
            of the model's parameters and ``lr`` that returns a torch.optim.Optimizer.
        schedule: ``constant``, ``cosine`` or ``linear`` (both fall to 0 at the end of the last epoch); or a function of
            (epoch from 0, epochs) that returns what ``lr`` is multiplied by in that epoch.
        validation_images: measured after each epoch as the test images are (``validation_loss``, ...); in the end the
            model has the weights of the epoch that was best on them (``run.best_epoch``). They are for choosing:
            report numbers on test images.
        patience: stop after so many epochs without a lower ``validation_loss``.
        progress: say the cost beforehand and show how far it is.
        live: in a notebook, draw curves, reconstructions and samples too while they change. Samples are drawn of a
            model whose loss has a part ``rate``, ``mmd`` or ``gap``: it is pulled towards a prior.

    An interrupt (the stop button, Ctrl-C) ends training early and returns the usable model and its history so far. It
    does not take the place of a run under its name that was made to its end. The same training under the same name goes
    on after the last whole epoch; until it is made to its end, what is shown in this kernel says that it was not.
    Another interrupt within two seconds is passed on: it ends a loop of trainings, too.
    A loss or a weight that is not finite ends it too, with an explanation, and the weights are the last good ones.
    A disk that is full costs the file that did not fit, and a sentence; the training goes on.

    Test images, ``on_epoch`` and ``on_batch`` change nothing about the weights by what they draw: it is not taken from
    the training's random numbers.

    Returns:
        Run: ``.model`` in evaluation mode, ``.history``, ``.seconds``.

    Raises:
        ValueError, TypeError: an argument is out of its range; images outside [0, 1]. Nothing is trained or written.
        CourseError: the checkpoint is damaged, of something else, or being written to by another training; the loss
            function returns something else than it should.
    """
    _check_arguments(model, loss_function, images, test_images)
    _check_options(images.device, cuda_graph, name)
    images, test_images = _as_weights(model, images), None if test_images is None else _as_weights(model, test_images)
    if validation_images is not None:
        validation_images = _as_weights(model, validation_images)
    elif patience is not None:
        raise ValueError("patience needs validation_images: on what else should it be seen that nothing improves?")
    how = _How(optimizer, schedule, validation_images, patience, on_batch)
    if cuda_graph and how.unusual:
        raise ValueError(
            "cuda_graph replays steps of Adam at one learning rate; leave out cuda_graph, or optimizer and schedule."
        )
    run, loop = _prepare(model, loss_function, images, epochs, batch_size, lr, seed, critic, precision, cuda_graph, how)
    if name is not None or checkpoint is not None:
        run.provenance = _provenance(loop, run.settings, about)
    if name is not None and critic is None:
        run.identity = _identity(run, loss_function, test_images, label)
        if checkpoint is None and not fresh and on_epoch is None and on_batch is None and _is_kept(run, name, unit):
            return run
    identity = {key: value for key, value in run.provenance.items() if key not in ("sittings", "loss")}
    if checkpoint is None:
        begun = None
        if run.identity and on_epoch is None and on_batch is None:
            begun = kept_runs.unfinished(str(name), unit, identity | {"identity": run.identity}, run.provenance)
            if not fresh and (history := kept_runs.go_on(begun, loop, run.settings)):
                run.history = history
                say(f"Going on after epoch {len(history)} of {epochs}, where it was stopped. `fresh=True` begins anew.")
        _fit(run, loop, how, begun, test_images, name, unit, label, on_epoch, progress, live)
        if begun is not None and run.stopped != "interrupted":
            begun.path.unlink(missing_ok=True)  # nothing is left to go on with
        return run
    kept = checkpoints.Checkpoint(Path(checkpoint), identity, run.provenance["sittings"])
    with only_one(kept.path, f"the checkpoint {kept.path}"):
        if kept.path.exists() and not fresh:
            run.history = kept.load(loop, run.settings)
            made = len(run.history)
            if progress and made <= epochs:
                say(f"Going on after epoch {made}, from {kept.path}.")
            if made > epochs:
                say(
                    f"{kept.path} has {made} epochs already, {epochs} were asked for: nothing is trained, and "
                    "nothing is changed."
                )
                run.settings["epochs"], run.seconds = made, run.history[-1]["seconds"]
                if name is not None and runs.path_of(name, unit).exists():
                    run.path, name = runs.path_of(name, unit), None
                progress = False
        return _fit(run, loop, how, kept, test_images, name, unit, label, on_epoch, progress, live)


def _identity(run: Run, loss_function: LossFunction, test_images: Tensor | None, label: str | None) -> dict[str, Any]:
    """All that a run must have in common with one that was made before, to be that one."""
    return {
        "settings": dict(run.settings),
        "label": label,
        "source": kept_runs.source_digest(loss_function, run.model),
        "test_images_sha256": None if test_images is None else images_digest(test_images),
    } | {key: run.provenance[key] for key in ("images_sha256", "model", "versions", "about") if key in run.provenance}


def _is_kept(run: Run, name: str, unit: str | None) -> bool:
    """Load the run that was made before, if there is one."""
    found = kept_runs.find(name, unit, run.identity)
    if found is None:
        return False
    record, weights = found
    try:
        run.model.load_state_dict(weights)
    except RuntimeError:  # of other shapes than the text of the model says
        return False
    run.model.eval()
    run.history, run.seconds, run.provenance = record["history"], record["seconds"], record["provenance"]
    run.best_epoch, run.path = record["settings"].get("best_epoch"), runs.path_of(name, unit)
    unfinished.clear((str(run.path),))
    words = _last_words(run, run.settings["epochs"])
    say(f"Kept from {kept_runs.when(run.path)}: {words} `fresh=True` trains it again.")
    return True


@dataclass(frozen=True)
class _How:
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


def _fit(
    run: Run, loop: Loop, how: _How, kept, test_images, name, unit, label, on_epoch, progress: bool, live: bool
) -> Run:
    def at_epoch() -> None:
        run.provenance.get("sittings", [{}])[-1]["last_epoch"] = len(run.history)
        if kept is not None:
            try:
                kept.save(loop, run.settings, run.history)
            except OSError as error:
                _lose(run, kept.path, error)
        if on_epoch is not None:
            with device_module.random_state_kept():
                on_epoch(run)

    if (
        (len(run.history) >= run.settings["epochs"] or how.enough(run.history))
        and "sittings" in run.provenance
        and run.history
    ):
        run.provenance["sittings"].pop()  # nothing is left to train
    elif "sittings" in run.provenance:
        run.provenance["sittings"][-1]["first_epoch"] = len(run.history) + 1
    with models.explaining(run.model, loop.images):
        if test_images is not None and len(test_images) == 1 and len(run.history) < run.settings["epochs"]:
            _rehearse(run.model, loop.loss_function, test_images)
        _run(run, loop, how, test_images, at_epoch, progress, live)
    if loop.best is not None:
        run.model.load_state_dict(loop.best)
        run.best_epoch = how.best_epoch(run.history)
    _keep(run, loop, name, unit, label)
    key = (str(runs.path_of(name, unit)),) if name else (run.provenance.get("loss"), str(run.settings))
    if run.stopped:
        unfinished.mark(key, f"{label or name or 'a training without a name'}, {_where(run)}")
    else:
        unfinished.clear(key)
    if run.interrupted_again:
        raise KeyboardInterrupt
    return run


def _rehearse(model: nn.Module, loss_function: LossFunction, test_images: Tensor) -> None:
    """Evaluate once before an epoch is spent: a loss that one image is too few for (MMD) would end the training."""
    with device_module.random_state_kept():
        _evaluate(model, loss_function, test_images, 1000)


def _lose(run: Run, path: Path, error: OSError) -> None:
    """Say that a file could not be written, once for each file."""
    size = f" ({error.num_bytes / 1e6:.1f} MB)" if hasattr(error, "num_bytes") else ""
    sentence = f"{path}{size} could not be written ({error.strerror or error}). The training goes on without it."
    if not any(said.startswith(str(path)) for said in run.lost):
        run.lost.append(sentence)
        say(sentence)


def _as_weights(model: nn.Module, images: Tensor) -> Tensor:
    """Float images in the precision of the model's weights; bytes as they are."""
    return images.to(models.weights_dtype(model, images.dtype)) if images.is_floating_point() else images


def _provenance(loop: Loop, settings: dict, about: Mapping[str, Any] | None) -> dict[str, Any]:
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


def _prepare(
    model: nn.Module,
    loss_function: LossFunction,
    images: Tensor,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int | None,
    critic: Critic | None,
    precision: str,
    cuda_graph: bool,
    how: _How,
) -> tuple[Run, Loop]:
    """Networks on the images' device, seeds set, settings written down: ready for the first step."""
    if seed is not None:
        device_module.seed_everything(seed)
    model.to(images.device).train()
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
        "images": len(images),
        "device": str(images.device),
        "budget": device_module.budget_name(),
    }
    if critic:
        critic.module.to(images.device).train()
        settings |= {"critic_steps": critic.steps, "critic_lr": critic.lr, "critic_betas": list(critic.betas)}
    if precision != "float32":
        settings["precision"] = precision
    if cuda_graph:
        settings["cuda_graph"] = True
    settings |= how.settings()
    if "schedule" in settings:
        settings["schedule_epochs"] = epochs  # another end is another schedule
    loop = Loop(
        model,
        loss_function,
        images,
        batch_size=batch_size,
        lr=lr,
        critic=critic,
        precision=precision,
        cuda_graph=cuda_graph,
        optimizer=how.optimizer,
    )
    return Run(model, settings=settings), loop


def _run(run: Run, loop: Loop, how: _How, test_images: Tensor | None, at_epoch, progress: bool, live: bool) -> None:
    """The epochs that are left, in view of the reader if there is ``progress``; the cost is said first."""
    epochs, last_words = run.settings["epochs"], ""
    ahead = 0 if how.enough(run.history) else epochs - len(run.history)
    if ahead > 0 and progress:
        run.estimated_seconds = _estimate(loop, ahead, test_images)
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
        last_words = _last_words(run, epochs) if progress or run.stopped else ""
    finally:
        with contextlib.suppress(OSError, ValueError):  # a terminal that has gone
            view.finish(last_words)


def _keep(run: Run, loop: Loop, name: str | None, unit: str | None, label: str | None) -> None:
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


@takes(images=Images(), batch_size=Whole(1))
def evaluate(model: nn.Module, loss_function: LossFunction, images: Tensor, batch_size: int = 1000) -> dict[str, float]:
    """Means over ``images`` of what ``loss_function`` returns, with the model in evaluation mode (restored after).

    Random numbers that it draws are not taken from those of a training: the generators are afterwards as before. A last
    batch of one image is measured together with the batch before it, as some losses (MMD) need two.
    """
    with device_module.random_state_kept():
        return _evaluate(model, loss_function, _as_weights(model, images), batch_size)


def _evaluate(model: nn.Module, loss_function: LossFunction, images: Tensor, batch_size: int) -> dict[str, float]:
    totals: dict[str, float] = {}
    with models.evaluating(model):
        for part in _in_parts(images, batch_size):
            for key, value in checked(loss_function(model, scale(part))).items():
                totals[key] = totals.get(key, 0.0) + float(value) * len(part) / len(images)
    return totals


def _in_parts(images: Tensor, batch_size: int) -> list[Tensor]:
    """``images`` in order, so many at a time, and never a single one at the end."""
    ends = list(range(batch_size, len(images), batch_size))
    if ends and len(images) - ends[-1] == 1 and batch_size > 1:
        ends.pop()
    return list(images.tensor_split(ends))


@takes(images=Images(), test_images=Images(), epochs=Whole(0), batch_size=Whole(1), precision=OneOf(PRECISIONS))
def estimate_seconds(
    model: nn.Module,
    loss_function: LossFunction,
    images: Tensor,
    epochs: int,
    batch_size: int = 128,
    test_images: Tensor | None = None,
    critic: Critic | None = None,
    precision: str = "float32",
    cuda_graph: bool = False,
) -> float:
    """Seconds that ``fit`` will take here, from a few steps of copies. Nothing that is given is changed, nor the
    random state."""
    images, test_images = _as_weights(model, images), None if test_images is None else _as_weights(model, test_images)
    loop = Loop(
        model,
        loss_function,
        images,
        batch_size=batch_size,
        lr=1e-3,
        critic=critic,
        precision=precision,
        cuda_graph=cuda_graph,
    )
    return _estimate(loop, epochs, test_images)


def _estimate(loop: Loop, epochs: int, test_images: Tensor | None) -> float:
    """Seconds that so many epochs of ``loop`` will take."""
    with device_module.random_state_kept():
        trial, device = loop.on_copies(), loop.images.device

        def endless():
            while True:  # epoch after epoch, so that drawing the order of the images is counted too
                yield from trial.batches()

        supply = endless()
        try:
            for _ in range(trial.settling):
                trial.step(next(supply))
            done, began = 0, _clock(device)
            while done < 3 or (done < 50 and time.perf_counter() - began < PROBE_SECONDS):
                trial.step(next(supply))
                done += 1
        finally:
            trial.rest()
        step_seconds = (_clock(device) - began) / done
        test_seconds = 0.0
        if test_images is not None:
            began = _clock(device)
            _evaluate(trial.model, trial.loss_function, test_images[:1000], 1000)
            test_seconds = (_clock(device) - began) * len(test_images) / min(len(test_images), 1000)
    return epochs * (loop.steps * step_seconds + test_seconds)


def _clock(device: torch.device) -> float:
    device_module.synchronize(device)
    return time.perf_counter()


def _train(run: Run, loop: Loop, how: _How, test_images: Tensor | None, view: View, at_epoch) -> None:
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
                    with device_module.random_state_kept():
                        found = _evaluate(model, loop.loss_function, held_out, 1000)
                    record.update({f"{part}_{key}": value for key, value in found.items()})
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


def _record(epoch: int, totals: Mapping[str, Tensor | float], steps: int, began: float) -> dict[str, float]:
    means = {key: float(value) / steps for key, value in totals.items()}
    return {"epoch": epoch, "seconds": time.perf_counter() - began, **means}


def _last_words(run: Run, epochs: int) -> str:
    if not run.stopped:
        made = run.whole_epochs
        early = f", {epochs} asked for: the validation loss fell no more" if made < epochs else ""
        return (
            f"{made} epoch{'s' * (made > 1)} in {duration(run.seconds)}{early}; loss {run.history[-1]['loss']:.4g}."
            if made
            else ""
        )
    where = _where(run)
    if run.stopped == "interrupted":
        again = " Run the cell again to go on after the last whole epoch." if run.identity and run.whole_epochs else ""
        return (
            f"Interrupted {where}. The model is usable as it is, and its history is kept.{again} Where more trainings "
            "follow, interrupt again within two seconds to end them, too."
        )
    return (
        f"Stopped {where}: the loss is no longer a finite number. The weights are from before it was so. "
        "Likely causes: exp of a large logvar, log of 0 (work with logits), or a learning rate that is too high "
        f"(here {run.settings['lr']:g})."
    )


def _where(run: Run) -> str:
    """Where a training stopped, in words."""
    return f"in epoch {run.history[-1]['epoch'] if run.history else 1} of {run.settings['epochs']}"


def _roughly(seconds: float) -> str:
    return "less than a second" if seconds < 1 else f"about {duration(seconds)}"


def _check_options(device: torch.device, cuda_graph: bool, name: str | None) -> None:
    if name is not None:
        runs.check_name(name)  # now, not when the training is done
    if cuda_graph and device.type != "cuda":
        raise ValueError(f"cuda_graph needs images on a CUDA device; these are on {device}. Leave it out here.")


def _check_arguments(model, loss_function, images, test_images) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected a module, such as models.Autoencoder(...).")
    if not callable(loss_function):
        raise TypeError(f"loss_function is {loss_function!r}; expected a function of model and x that returns a dict.")
    if test_images is not None and test_images.shape[1:] != images.shape[1:]:
        raise ValueError(
            f"test_images is {tuple(test_images.shape)} and images is {tuple(images.shape)}; "
            "expected one shape of image."
        )
