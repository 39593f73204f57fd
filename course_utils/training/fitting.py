"""One training loop for every unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import models
from course_utils.models import runs
from course_utils.system import device as device_module
from course_utils.system import unfinished
from course_utils.system.contracts import Images, Number, OneOf, Whole, takes

from . import checkpoint as checkpoints
from . import kept as kept_runs
from .epochs import How, run_epochs
from .loop import Critic, Loop, LossFunction, MakeOptimizer, Schedule
from .measuring import PRECISIONS, as_weights, estimate_seconds, evaluate, evaluated
from .record import Run, identity_of, keep, last_words, lose, only_one, provenance_of, say, where

__all__ = ["Critic", "LossFunction", "Run", "estimate_seconds", "evaluate", "fit"]

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
    Another interrupt within two seconds is passed on: it ends a loop of trainings, too; so is one before the first
    step, as there is no model yet that cells below could show.
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
    images, test_images = as_weights(model, images), None if test_images is None else as_weights(model, test_images)
    if validation_images is not None:
        validation_images = as_weights(model, validation_images)
    elif patience is not None:
        raise ValueError("patience needs validation_images: on what else should it be seen that nothing improves?")
    how = How(optimizer, schedule, validation_images, patience, on_batch)
    if cuda_graph and how.unusual:
        raise ValueError(
            "cuda_graph replays steps of Adam at one learning rate; leave out cuda_graph, or optimizer and schedule."
        )
    run, loop = _prepare(model, loss_function, images, epochs, batch_size, lr, seed, critic, precision, cuda_graph, how)
    if name is not None or checkpoint is not None:
        run.provenance = provenance_of(loop, run.settings, about)
    if name is not None and critic is None:
        run.identity = identity_of(run, loss_function, test_images, label)
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
    words = last_words(run, run.settings["epochs"])
    say(f"Kept from {kept_runs.when(run.path)}: {words} `fresh=True` trains it again.")
    return True


def _fit(
    run: Run, loop: Loop, how: How, kept, test_images, name, unit, label, on_epoch, progress: bool, live: bool
) -> Run:
    def at_epoch() -> None:
        run.provenance.get("sittings", [{}])[-1]["last_epoch"] = len(run.history)
        if kept is not None:
            try:
                kept.save(loop, run.settings, run.history)
            except OSError as error:
                lose(run, kept.path, error)
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
        run_epochs(run, loop, how, test_images, at_epoch, progress, live)
    if run.never_began:
        raise KeyboardInterrupt
    if loop.best is not None:
        run.model.load_state_dict(loop.best)
        run.best_epoch = how.best_epoch(run.history)
    keep(run, loop, name, unit, label)
    key = (str(runs.path_of(name, unit)),) if name else (run.provenance.get("loss"), str(run.settings))
    if run.stopped:
        unfinished.mark(key, f"{label or name or 'a training without a name'}, {where(run)}")
    else:
        unfinished.clear(key)
    if run.interrupted_again:
        raise KeyboardInterrupt
    return run


def _rehearse(model: nn.Module, loss_function: LossFunction, test_images: Tensor) -> None:
    """Evaluate once before an epoch is spent: a loss that one image is too few for (MMD) would end the training."""
    with device_module.random_state_kept():
        evaluated(model, loss_function, test_images, 1000)


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
    how: How,
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
