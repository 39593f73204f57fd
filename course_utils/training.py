"""One training loop for every unit."""

from __future__ import annotations

import copy
import itertools
import math
import sys
import time
from dataclasses import dataclass, field
from typing import Callable, Mapping

import torch
from torch import Tensor, nn

from course_utils import device as device_module
from course_utils import notebook, runs
from course_utils.datasets import batches, scale
from course_utils.errors import CourseError

LossFunction = Callable[[nn.Module, Tensor], Mapping[str, Tensor]]
CriticLossFunction = Callable[[nn.Module, nn.Module, Tensor], Mapping[str, Tensor]]

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

    def curve(self, name: str) -> list[float]:
        """The values of one number over the epochs, e.g. ``run.curve("test_loss")``; nan where it was not measured."""
        if self.history and name not in self.history[0]:
            raise KeyError(f"no {name!r} in this history; there are {', '.join(self.history[0])}.")
        return [record.get(name, math.nan) for record in self.history]


@dataclass(frozen=True)
class Critic:
    """A second network that is trained beside the model, as in Gulrajani et al. (2017), algorithm 1.

    Before each step of the model it makes ``steps`` steps of its own, each on fresh images. While the model makes its
    step, the critic's parameters collect no gradient.

    Args:
        module: the critic.
        loss_function: called as ``loss_function(model, module, x)`` with x (B, ...) in [0, 1]; returns a dict of scalars
            of which ``"loss"`` is minimised over the critic's parameters. Encode under ``torch.no_grad()``: nothing here
            reaches the model. The numbers are recorded with ``critic_`` before their name.
        steps: critic steps for each step of the model.
        lr: Adam's learning rate.
        betas: Adam's; Gulrajani et al. take (0, 0.9).
    """

    module: nn.Module
    loss_function: CriticLossFunction
    steps: int = 5
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise TypeError(f"the critic is a {type(self.module).__name__}; expected a module, such as models.mlp(...).")
        if not callable(self.loss_function):
            raise TypeError(f"the critic's loss_function is {self.loss_function!r}; expected a function of model, "
                            "critic and x that returns a dict.")  # fmt: skip
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"the critic's steps is {self.steps!r}; expected a whole number from 1 up (an int).")


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
    critic: Critic | None = None,
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
        unit: by default that of the notebook, told by its folder's name.
        critic: a network trained beside the model; ``loss_function`` reaches its module by itself.
        progress: say the cost beforehand and show a progress bar.
        live: in a notebook, draw the loss curves while they grow.

    An interrupt (the stop button, Ctrl-C) ends training early and returns the usable model and its history so far.
    A loss or a weight that is not finite ends it too, with an explanation, and the weights are the last good ones.

    Returns:
        Run: ``.model`` in evaluation mode, ``.history``, ``.seconds``.
    """
    _check_arguments(model, loss_function, images, test_images, epochs, batch_size, lr)
    if name is not None:
        runs.check_name(name)  # now, not when the training is done
    if seed is not None:
        device_module.seed_everything(seed)
    device = images.device
    model.to(device).train()
    settings = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "images": len(images),
                "device": str(device), "budget": device_module.budget_name()}  # fmt: skip
    if critic:
        critic.module.to(device).train()
        settings |= {"critic_steps": critic.steps, "critic_lr": critic.lr}
    run = Run(model, settings=settings)
    steps = max(1, len(images) // batch_size)
    if epochs and progress:
        run.estimated_seconds = estimate_seconds(model, loss_function, images, epochs, batch_size, test_images, critic)
        print(f"{epochs} epochs of {steps} steps: about {_duration(run.estimated_seconds)} "
              f"on {device_module.describe(device)}.", flush=True)  # fmt: skip
    line = notebook.Line()
    _train(run, loss_function, images, test_images, critic, steps, line, progress, live)
    model.eval()
    if critic:
        critic.module.eval()
    if run.stopped:
        line.finish(_stop_message(run, epochs))
    elif epochs and progress:
        line.finish(f"{epochs} epochs in {_duration(run.seconds)}; loss {run.history[-1]['loss']:.4g}.")
    if name is not None:
        record = {"settings": settings, "history": run.history, "seconds": run.seconds, "stopped": run.stopped}
        runs.save(name, model, record, unit)
    return run


@torch.no_grad()
def evaluate(model: nn.Module, loss_function: LossFunction, images: Tensor, batch_size: int = 1000) -> dict[str, float]:
    """Means over ``images`` of what ``loss_function`` returns, with the model in evaluation mode (restored after)."""
    was_training = model.training
    model.eval()
    totals: dict[str, float] = {}
    for x in batches(images, batch_size, shuffle=False):
        for key, value in _checked(loss_function(model, x)).items():
            totals[key] = totals.get(key, 0.0) + float(value) * len(x) / len(images)
    model.train(was_training)
    return totals


def estimate_seconds(
    model: nn.Module, loss_function: LossFunction, images: Tensor, epochs: int, batch_size: int = 128,
    test_images: Tensor | None = None, critic: Critic | None = None,
) -> float:  # fmt: skip
    """Seconds that ``fit`` will take here, from a few steps of copies; model, critic and random state stay as they are."""
    with device_module.random_state_kept():
        twin = copy.deepcopy(model).train()
        optimizer = make_optimizer(twin, 1e-3)
        rival = _Rival(critic, images, batch_size, of_copy=True)

        def step() -> None:
            rival.train_against(twin)
            _step(twin, loss_function, next(supply), optimizer)

        # epoch after epoch, so that drawing the order of the images is counted as often as it will happen
        supply = itertools.chain.from_iterable(batches(images, batch_size) for _ in itertools.count())
        try:
            step()  # the first one also allocates memory
            done, began = 0, _clock(images.device)
            while done < 3 or (done < 50 and time.perf_counter() - began < PROBE_SECONDS):
                step()
                done += 1
        finally:
            rival.rest()
        step_seconds = (_clock(images.device) - began) / done
        test_seconds = 0.0
        if test_images is not None:
            began = _clock(images.device)
            evaluate(twin, loss_function, test_images[:1000])
            test_seconds = (_clock(images.device) - began) * len(test_images) / min(len(test_images), 1000)
    return epochs * (max(1, len(images) // batch_size) * step_seconds + test_seconds)


def _clock(device: torch.device) -> float:
    device_module.synchronize(device)
    return time.perf_counter()


def make_optimizer(
    model: nn.Module, lr: float, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), all parameters in one fused kernel where the device has one."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise CourseError("The model has no parameters to train. Are its layers attributes of the module?")
    fused = all(p.device.type in ("cpu", "cuda", "mps") and p.is_floating_point() for p in parameters)
    return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=fused)


class _Rival:
    """The critic at work: trained before each step of the model, frozen during it. Without a critic it does nothing."""

    def __init__(self, critic: Critic | None, images: Tensor, batch_size: int, *, of_copy: bool = False) -> None:
        self.critic = critic
        if critic is None:
            return
        self.module = copy.deepcopy(critic.module).train() if of_copy else critic.module
        self.optimizer = make_optimizer(self.module, critic.lr, critic.betas)
        self._supply = itertools.chain.from_iterable(batches(images, batch_size) for _ in itertools.count())
        # in the model's step the loss function uses critic.module, also where a copy is trained
        self._frozen = [p for p in critic.module.parameters() if p.requires_grad]

    def train_against(self, model: nn.Module, watch: bool = False) -> dict[str, Tensor | float]:
        """The critic's steps; the means of its numbers over them."""
        if self.critic is None:
            return {}
        self.rest()

        def loss_function(module: nn.Module, x: Tensor) -> Mapping[str, Tensor]:
            return self.critic.loss_function(model, module, x)

        totals: dict[str, Tensor | float] = {}
        for step in range(self.critic.steps):
            values = _step(self.module, loss_function, next(self._supply), self.optimizer, watch=watch and step == 0)
            for key, value in values.items():
                totals[f"critic_{key}"] = totals.get(f"critic_{key}", 0.0) + value / self.critic.steps
        for p in self._frozen:
            p.requires_grad_(False)
        return totals

    def rest(self) -> None:
        """Let the critic's parameters take gradients again."""
        if self.critic is not None:
            for p in self._frozen:
                p.requires_grad_(True)


def _train(run: Run, loss_function, images, test_images, critic, steps: int, line, progress: bool, live: bool) -> None:
    from tqdm import tqdm

    model, settings = run.model, run.settings
    optimizer = make_optimizer(model, settings["lr"])
    rival = _Rival(critic, images, settings["batch_size"])
    check_every = 1 if images.device.type == "cpu" else CHECK_EVERY_ON_GPU
    curves = _live_curves(settings["epochs"]) if live and progress else None
    watched = sys.stdout.isatty() or notebook.in_notebook()
    pause = 0.3 if watched else 30  # a log gets a line every half minute, and none from a short training
    bar = tqdm(total=settings["epochs"] * steps, disable=not progress, file=line, leave=False, unit="step",
               mininterval=pause, maxinterval=max(pause, 10), delay=0 if watched else pause,
               dynamic_ncols=sys.stdout.isatty())  # fmt: skip
    began = time.perf_counter()
    epoch, done, totals = 0, 0, {}
    try:
        for epoch in range(1, settings["epochs"] + 1):
            model.train()
            last_good = {key: value.clone() for key, value in model.state_dict().items()}
            done, totals = 0, {}
            for x in batches(images, settings["batch_size"]):
                watch = done % check_every == 0
                values = rival.train_against(model, watch)
                values |= _step(model, loss_function, x, optimizer, watch=watch)
                for key, value in values.items():
                    totals[key] = totals[key] + value if key in totals else value
                done += 1
                bar.update()
            if not _weights_are_finite(model):
                raise _NotFinite
            record = _record(epoch, totals, done, began)
            if test_images is not None:
                test = evaluate(model, loss_function, test_images)
                record.update({f"test_{key}": value for key, value in test.items()})
            run.history.append(record)
            done = 0
            bar.set_postfix_str(f"epoch {epoch}, loss {record['loss']:.4g}", refresh=False)
            if curves:
                curves.update(run.history)
    except KeyboardInterrupt:
        run.stopped = "interrupted"
    except _NotFinite:
        run.stopped = "not finite"
        if not _weights_are_finite(model):
            model.load_state_dict(last_good)
    finally:
        rival.rest()
        bar.close()
        run.seconds = time.perf_counter() - began
    if run.stopped and done:
        run.history.append(_record(epoch, totals, done, began))
    if curves:
        curves.finish(run.history)


def _step(model: nn.Module, loss_function, x: Tensor, optimizer, *, watch: bool = False) -> dict[str, Tensor | float]:
    """One optimisation step; the numbers of the loss function, detached."""
    values = _checked(loss_function(model, x))
    loss = values["loss"]
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise CourseError(
            "values['loss'] cannot be minimised: expected a scalar tensor that depends on the model's parameters "
            "(was it computed under no_grad, detached, or turned into a float?)."
        )
    if watch and not math.isfinite(loss.item()):
        raise _NotFinite
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return {key: value.detach() if isinstance(value, Tensor) else value for key, value in values.items()}


def _checked(values: object) -> Mapping[str, Tensor | float]:
    """What a loss function returned, if it is as promised."""
    if not isinstance(values, Mapping) or "loss" not in values:
        given = f"a dict with the keys {list(values)}" if isinstance(values, Mapping) else f"a {type(values).__name__}"
        raise CourseError(f"The loss function returned {given}; expected a dict with the key 'loss'.")
    for key, value in values.items():
        if not isinstance(key, str):
            raise CourseError(f"The loss function returned a number under {key!r}; expected a name, such as 'loss'.")
        if isinstance(value, Tensor) and value.numel() != 1 or not isinstance(value, (Tensor, int, float)):
            given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r:.40}"
            raise CourseError(f"The loss function returned {given} under {key!r}; expected one number: take its mean.")
    return values


def _weights_are_finite(model: nn.Module) -> bool:
    return all(bool(p.detach().isfinite().all()) for p in model.parameters())


class _NotFinite(Exception):
    """The loss or a weight became infinite or not a number."""


def _record(epoch: int, totals: Mapping[str, Tensor | float], steps: int, began: float) -> dict[str, float]:
    means = {key: float(value) / steps for key, value in totals.items()}
    return {"epoch": epoch, "seconds": time.perf_counter() - began, **means}


def _stop_message(run: Run, epochs: int) -> str:
    where = f"in epoch {run.history[-1]['epoch'] if run.history else 1} of {epochs}"
    if run.stopped == "interrupted":
        return f"Interrupted {where}. The model is usable as it is, and its history is kept."
    return (
        f"Stopped {where}: the loss is no longer a finite number. The weights are from before it was so. "
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
    if seconds < 100:
        return f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes"


def _check_arguments(model, loss_function, images, test_images, epochs: int, batch_size: int, lr: float) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected a module, such as models.Autoencoder(...).")
    if not callable(loss_function):
        raise TypeError(f"loss_function is {loss_function!r}; expected a function of model and x that returns a dict.")
    for label, given in (("images", images), ("test_images", test_images)):
        if given is None and label == "test_images":
            continue
        if not isinstance(given, Tensor) or given.ndim < 2:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(
                f"{label} is {what}; expected a tensor (N, ...) of images, e.g. data.train_images.flatten(1)."
            )
        if len(given) == 0:
            raise ValueError(f"{label} is empty; expected at least one image.")
        scale(given[:1])  # raises TypeError for what is neither bytes nor floats
    if test_images is not None and test_images.shape[1:] != images.shape[1:]:
        raise ValueError(
            f"test_images is {tuple(test_images.shape)} and images is {tuple(images.shape)}; expected one shape of image."
        )
    for label, value, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{label} is {value!r}; expected a whole number from {least} up (an int).")
    if not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
        raise ValueError(f"lr is {lr!r}; expected a number above 0.")
