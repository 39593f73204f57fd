"""One training loop for every unit."""

from __future__ import annotations

import copy
import math
import sys
import time
from dataclasses import dataclass, field
from typing import Callable, Mapping

import torch
from torch import Tensor, nn

from course_utils import device as device_module
from course_utils import notebook, runs
from course_utils.datasets import batches
from course_utils.errors import CourseError

LossFunction = Callable[[nn.Module, Tensor], Mapping[str, Tensor]]

PROBE_SECONDS = 0.4  # spent on steps of a throw-away copy before training, to say what training will cost
CHECK_EVERY_ON_GPU = 20  # steps; looking at a loss makes the host wait for the device


@dataclass
class Run:
    """A trained model with what happened to it.

    ``history`` has one record per epoch: ``epoch``, ``seconds`` since the start, and the mean over the epoch of every
    number that the loss function returned; with a ``test_`` before the name, the same on the test images.
    """

    model: nn.Module
    history: list[dict[str, float]] = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    estimated_seconds: float = math.nan
    seconds: float = 0.0
    stopped: str | None = None  # why training ended early: "interrupted", "not finite"; None if it ran to its end

    def curve(self, name: str) -> list[float]:
        """The values of one number over the epochs, e.g. ``run.curve("test_loss")``."""
        if self.history and name not in self.history[-1]:
            raise KeyError(f"no {name!r} in this history; there are {', '.join(self.history[-1])}.")
        return [record[name] for record in self.history]


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
    progress: bool = True,
    live: bool = True,
) -> Run:
    """Train ``model`` with Adam on batches of ``images``.

    Args:
        model: what is trained, in place; it is moved to the images' device.
        loss_function: called as ``loss_function(model, x)`` with x (B, ...) in [0, 1]; returns a dict of scalars of
            which ``"loss"`` is minimised and all are recorded.
        images: (N, ...) uint8 on the device (see ``datasets``), or floats.
        epochs: passes over the images.
        test_images: measured after each epoch, in evaluation mode.
        seed: of the order of the images and of all noise; default: whatever state the generators are in.
        name: keep the model under ``runs/<unit>/<name>``, where later units and the scoreboard find it.
        progress: say the cost beforehand and show a progress bar.
        live: in a notebook, draw the loss curves while they grow.

    An interrupt (the stop button, Ctrl-C) ends training early and returns the usable model and its history so far.
    A loss that is not finite ends it too, with an explanation, before the step that would have spoilt the weights.

    Returns:
        Run: ``.model`` in evaluation mode, ``.history``, ``.seconds``.
    """
    _check_arguments(images, epochs, batch_size, lr)
    if seed is not None:
        device_module.seed_everything(seed)
    device = images.device
    model.to(device).train()
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "images": len(images),
                "device": str(device), "budget": device_module.budget_name()}  # fmt: skip
    run = Run(model, settings=settings)
    steps = max(1, len(images) // batch_size)
    if epochs and progress:
        run.estimated_seconds = estimate_seconds(model, loss_function, images, epochs, batch_size, test_images)
        print(f"{epochs} epochs of {steps} steps: about {_duration(run.estimated_seconds)} "
              f"on {device_module.describe(device)}.", flush=True)  # fmt: skip
    line = notebook.Line()
    _train(run, loss_function, images, test_images, steps, line, progress, live)
    model.eval()
    if run.stopped:
        line.finish(_stop_message(run, epochs))
    elif epochs and progress:
        line.finish(f"{epochs} epochs in {_duration(run.seconds)}; loss {run.history[-1]['loss']:.4g}.")
    if name is not None:
        runs.save(name, model, {"settings": settings, "history": run.history, "seconds": run.seconds,
                                "stopped": run.stopped})  # fmt: skip
    return run


@torch.no_grad()
def evaluate(model: nn.Module, loss_function: LossFunction, images: Tensor, batch_size: int = 1000) -> dict[str, float]:
    """Means over ``images`` of what ``loss_function`` returns, with the model in evaluation mode (restored after)."""
    was_training = model.training
    model.eval()
    totals: dict[str, float] = {}
    for x in batches(images, batch_size, shuffle=False):
        for key, value in loss_function(model, x).items():
            totals[key] = totals.get(key, 0.0) + float(value) * len(x) / len(images)
    model.train(was_training)
    return totals


def estimate_seconds(
    model: nn.Module, loss_function: LossFunction, images: Tensor, epochs: int, batch_size: int = 128,
    test_images: Tensor | None = None,
) -> float:  # fmt: skip
    """Seconds that ``fit`` will take here, from a few steps of a copy; model and random state stay as they are."""
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        twin = copy.deepcopy(model).train()
        optimizer = make_optimizer(twin, 1e-3)
        durations: list[float] = []
        began = time.perf_counter()
        while len(durations) < 4 or (time.perf_counter() - began < PROBE_SECONDS and len(durations) < 50):
            start = time.perf_counter()
            x = next(batches(images, batch_size))
            _step(twin, loss_function, x, optimizer)
            device_module.synchronize(images.device)
            durations.append(time.perf_counter() - start)
        # the copy's batch also draws a whole epoch's order; that is paid once an epoch, not once a step
        order_start = time.perf_counter()
        torch.randperm(len(images), device=images.device)
        order_seconds = time.perf_counter() - order_start
        step_seconds = max(sorted(durations[1:])[len(durations[1:]) // 2] - order_seconds, 1e-6)
        test_seconds = 0.0
        if test_images is not None:
            start = time.perf_counter()
            evaluate(twin, loss_function, test_images[:1000])
            device_module.synchronize(images.device)
            test_seconds = (time.perf_counter() - start) * len(test_images) / min(len(test_images), 1000)
    return epochs * (max(1, len(images) // batch_size) * step_seconds + order_seconds + test_seconds)


def make_optimizer(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), all parameters in one fused kernel where the device has one."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise CourseError("The model has no parameters to train. Are its layers attributes of the module?")
    fused = all(p.device.type in ("cpu", "cuda", "mps") and p.is_floating_point() for p in parameters)
    return torch.optim.Adam(parameters, lr=lr, fused=fused)


def _train(run: Run, loss_function, images, test_images, steps: int, line, progress: bool, live: bool) -> None:
    from tqdm import tqdm

    model, settings = run.model, run.settings
    optimizer = make_optimizer(model, settings["lr"])
    on_cpu = images.device.type == "cpu"
    curves = _live_curves(settings["epochs"]) if live and progress else None
    interactive = sys.stdout.isatty() or curves is not None
    began = time.perf_counter()
    bar = tqdm(total=settings["epochs"] * steps, disable=not progress, file=line, leave=False,
               mininterval=0.3 if interactive else 30, unit="step", dynamic_ncols=sys.stdout.isatty())  # fmt: skip
    totals: dict[str, Tensor] = {}
    done = 0
    try:
        for epoch in range(1, settings["epochs"] + 1):
            model.train()
            totals, done = {}, 0
            for x in batches(images, settings["batch_size"]):
                watch = on_cpu or done % CHECK_EVERY_ON_GPU == 0
                values = _step(model, loss_function, x, optimizer, watch=watch)
                for key, value in values.items():
                    totals[key] = totals[key] + value if key in totals else value
                done += 1
                bar.update()
            _record(run, epoch, totals, done, began)
            if test_images is not None:
                test = evaluate(model, loss_function, test_images)
                run.history[-1].update({f"test_{key}": value for key, value in test.items()})
            bar.set_postfix_str(f"epoch {epoch}, loss {run.history[-1]['loss']:.4g}", refresh=False)
            if curves:
                curves.update(run.history)
    except KeyboardInterrupt:
        run.stopped = "interrupted"
        if done:
            _record(run, len(run.history) + 1, totals, done, began)
    except _NotFinite:
        run.stopped = "not finite"
    finally:
        bar.close()
        run.seconds = time.perf_counter() - began
    if curves:
        curves.finish(run.history)


def _step(model: nn.Module, loss_function, x: Tensor, optimizer, *, watch: bool = False) -> dict[str, Tensor]:
    """One optimisation step; the numbers of the loss function, detached."""
    values = loss_function(model, x)
    if not isinstance(values, Mapping) or "loss" not in values:
        raise CourseError(f"The loss function returned {type(values).__name__}; expected a dict with the key 'loss'.")
    loss = values["loss"]
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
        raise CourseError(
            "values['loss'] cannot be minimised: expected a scalar tensor that depends on the model's parameters "
            "(was it computed under no_grad, detached, or turned into a float?)."
        )
    if watch and not math.isfinite(loss.detach().item()):
        raise _NotFinite
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return {key: value.detach() if isinstance(value, Tensor) else torch.tensor(float(value)) for key, value in values.items()}


class _NotFinite(Exception):
    """The loss became infinite or not a number."""


def _record(run: Run, epoch: int, totals: dict[str, Tensor], steps: int, began: float) -> None:
    means = {key: float(value) / steps for key, value in totals.items()}
    run.history.append({"epoch": epoch, "seconds": time.perf_counter() - began, **means})


def _stop_message(run: Run, epochs: int) -> str:
    where = f"in epoch {min(len(run.history) + (run.stopped == 'not finite'), epochs)} of {epochs}"
    if run.stopped == "interrupted":
        return f"Interrupted {where}. The model is usable as it is, and its history is kept."
    return (
        f"Stopped {where}: the loss is no longer a finite number. The weights are from before that step. "
        "Likely causes: exp of a large logvar, log of 0 (work with logits), or a learning rate that is too high "
        f"(here {run.settings['lr']:g})."
    )


def _live_curves(epochs: int):
    if not notebook.in_notebook():
        return None
    from course_utils.plots import LiveCurves

    return LiveCurves(epochs)


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    return f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.1f} minutes"


def _check_arguments(images: Tensor, epochs: int, batch_size: int, lr: float) -> None:
    if not isinstance(images, Tensor) or images.ndim < 2:
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images is {given}; expected a tensor (N, ...) of images, e.g. data.train_images.flatten(1).")
    for label, value, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{label} is {value!r}; expected a whole number from {least} up.")
    if not lr > 0:
        raise ValueError(f"lr is {lr!r}; expected a number above 0.")
