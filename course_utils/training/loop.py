"""Steps and epochs: a model and, where it has one, its critic, each with its optimiser. ``training.fit`` runs it."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.datasets import batches
from course_utils.system.errors import CourseError

from .cuda_graph import WARM_UP, RecordedStep, Values

LossFunction = Callable[[nn.Module, Tensor], Mapping[str, Tensor]]
CriticLossFunction = Callable[[nn.Module, nn.Module, Tensor], Mapping[str, Tensor]]

MakeOptimizer = Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr),  # Kingma and Ba 2015
    "adamw": lambda parameters, lr: torch.optim.AdamW(parameters, lr=lr),  # Loshchilov and Hutter 2019
    "radam": lambda parameters, lr: torch.optim.RAdam(parameters, lr=lr),  # Liu et al. 2020
    "rmsprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr=lr),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True),
}
Schedule = Callable[[int, int], float]
SCHEDULES: dict[str, Schedule] = {  # (epoch from 0, epochs) -> factor of the learning rate in that epoch
    "constant": lambda epoch, epochs: 1.0,
    "cosine": lambda epoch, epochs: 0.5 * (1 + math.cos(math.pi * epoch / epochs)),  # Loshchilov and Hutter 2017
    "linear": lambda epoch, epochs: 1 - epoch / epochs,
}


@dataclass(frozen=True)
class Critic:
    """A second network that is trained beside the model, as in Gulrajani et al. (2017), algorithm 1.

    Before each step of the model it makes ``steps`` steps of its own, each on fresh images. While the model makes its
    step, the critic's parameters collect no gradient.

    Args:
        module: the critic.
        loss_function: called as ``loss_function(model, module, x)`` with x (B, ...) in [0, 1]; returns a dict of
            scalars of which ``"loss"`` is minimised over the critic's parameters. Encode under ``torch.no_grad()``:
            nothing here reaches the model. The numbers are recorded with ``critic_`` before their name.
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
            given = type(self.module).__name__
            raise TypeError(f"the critic is a {given}; expected a module, such as models.mlp(...).")
        if not callable(self.loss_function):
            raise TypeError(
                f"the critic's loss_function is {self.loss_function!r}; expected a function of model, "
                "critic and x that returns a dict."
            )
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"the critic's steps is {self.steps!r}; expected a whole number from 1 up (an int).")


class NotFinite(Exception):
    """The loss or a weight became infinite or not a number."""


class Loop:
    """What happens at every step.

    Args:
        model, loss_function, critic: as ``training.fit`` takes them.
        images: (N, ...) on the device.
        precision: ``float32``, or ``bfloat16`` for mixed precision (torch.autocast): weights stay float32.
        cuda_graph: replay the whole step, the critic's steps included, from a CUDA graph.
        rival: trained in the place of ``critic.module``.
        optimizer: of the model, one of ``OPTIMIZERS`` or a function of its parameters and lr; the critic has Adam.

    ``best`` is the model's state after its best epoch so far, where somebody keeps it there; it is part of ``state``.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_function: LossFunction,
        images: Tensor,
        *,
        batch_size: int,
        lr: float,
        critic: Critic | None = None,
        precision: str = "float32",
        cuda_graph: bool = False,
        rival: nn.Module | None = None,
        optimizer: str | MakeOptimizer = "adam",
    ) -> None:
        self.model = model
        self.lr = lr
        self.best: dict[str, Tensor] | None = None
        self.optimizer = make_optimizer(self.model, lr, capturable=cuda_graph, kind=optimizer)
        self.steps = max(1, len(images) // batch_size)  # in an epoch
        self.critic, self.loss_function, self.images = critic, loss_function, images
        self._options: dict[str, Any] = {
            "batch_size": batch_size,
            "critic": critic,
            "precision": precision,
            "cuda_graph": cuda_graph,
            "optimizer": optimizer,
        }
        self._batch_size = batch_size
        self._autocast = torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16")
        self._supply: Iterator[Tensor] = iter(())
        self._recorded = RecordedStep(lambda drawn: self._step(drawn[0], iter(drawn[1:]))) if cuda_graph else None
        self.settling = 1 + (WARM_UP if cuda_graph else 0)  # first steps, which cost more than the others
        if critic:
            self.rival = critic.module if rival is None else rival
            self.rival_optimizer = make_optimizer(self.rival, critic.lr, critic.betas, capturable=cuda_graph)
            # while the model makes its step; its loss function uses critic.module, also where copies are trained
            self._frozen = [p for p in critic.module.parameters() if p.requires_grad]

    def on_copies(self) -> Loop:
        """A loop like this one that trains copies, with fresh optimisers: model and critic stay as they are."""
        rival = copy.deepcopy(self.critic.module).train() if self.critic else None
        model = copy.deepcopy(self.model).train()
        return Loop(model, self.loss_function, self.images, lr=1e-3, rival=rival, **self._options)

    def batches(self) -> Iterator[Tensor]:
        """The batches of one epoch. The critic's images are drawn anew too, so that an epoch depends on nothing but the
        weights, the optimisers and the state of the random generators at its start."""
        self._supply = itertools.chain.from_iterable(batches(self.images, self._batch_size) for _ in itertools.count())
        return batches(self.images, self._batch_size)

    def step(self, x: Tensor, watch: bool = False) -> Values:
        """The critic's steps, then one of the model on x (B, ...); all numbers of the loss functions, detached.

        Args:
            watch: raise NotFinite where a loss is not finite, before the weights are touched; from a CUDA graph, after.
        """
        if self._recorded is None:
            return self._step(x, self._supply, watch)
        values = self._recorded([x, *itertools.islice(self._supply, self.critic.steps if self.critic else 0)])
        if watch and not all(math.isfinite(value) for key, value in values.items() if key in ("loss", "critic_loss")):
            raise NotFinite
        return values

    def scale_lr(self, factor: float) -> None:
        """From now on the model's learning rate is ``factor`` times the first one."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * factor

    def rest(self) -> None:
        """Let the critic's parameters take gradients again."""
        if self.critic:
            for p in self._frozen:
                p.requires_grad_(True)

    def state(self) -> dict[str, dict]:
        """State dicts of the model, the critic and their optimisers."""
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer}
        if self.critic:
            parts |= {"critic": self.rival, "critic_optimizer": self.rival_optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        return state if self.best is None else state | {"best": self.best}

    def load_state(self, state: Mapping[str, dict]) -> None:
        """Go on from what ``state`` gave."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if (best := state.get("best")) is not None:
            self.best = {key: value.to(self.images.device) for key, value in best.items()}
        if self.critic:
            self.rival.load_state_dict(state["critic"])
            self.rival_optimizer.load_state_dict(state["critic_optimizer"])

    def _step(self, x: Tensor, supply: Iterator[Tensor], watch: bool = False) -> Values:
        values = self._train_critic(self.critic, supply, watch) if self.critic else {}
        with self._autocast:
            found = checked(self.loss_function(self.model, x))
        return values | _descend(found, self.optimizer, watch)

    def _train_critic(self, critic: Critic, supply: Iterator[Tensor], watch: bool) -> Values:
        """The means of the critic's numbers over its steps."""
        self.rest()
        totals: Values = {}
        for step in range(critic.steps):
            with self._autocast:
                found = checked(critic.loss_function(self.model, self.rival, next(supply)))
            for key, value in _descend(found, self.rival_optimizer, watch and step == 0).items():
                totals[f"critic_{key}"] = totals.get(f"critic_{key}", 0.0) + value / critic.steps
        for p in self._frozen:
            p.requires_grad_(False)
        return totals


def make_optimizer(
    model: nn.Module,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    *,
    capturable: bool = False,
    kind: str | MakeOptimizer = "adam",
) -> torch.optim.Optimizer:
    """The optimiser of a model, all parameters in one fused kernel where it and the device have one; ``capturable`` in
    a CUDA graph (Adam and AdamW alone)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise CourseError("The model has no parameters to train. Are its layers attributes of the module?")
    if not isinstance(kind, str):
        made = kind(parameters, lr)
        if not isinstance(made, torch.optim.Optimizer):
            given = type(made).__name__
            raise CourseError(f"The function given as optimizer returned a {given}; expected a torch.optim.Optimizer.")
        return made
    fused = all(p.device.type in ("cpu", "cuda", "mps") and p.is_floating_point() for p in parameters)
    if kind in ("adam", "adamw"):
        of_kind = torch.optim.Adam if kind == "adam" else torch.optim.AdamW
        return of_kind(parameters, lr=lr, betas=betas, fused=fused, capturable=capturable)
    return OPTIMIZERS[kind](parameters, lr)


def _descend(values: Mapping[str, Tensor | float], optimizer: torch.optim.Optimizer, watch: bool) -> Values:
    """One step down values["loss"]."""
    loss = values["loss"]
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        raise CourseError(
            "values['loss'] cannot be minimised: expected a scalar tensor that depends on the model's parameters "
            "(was it computed under no_grad, detached, or turned into a float?)."
        )
    if watch and not math.isfinite(loss.item()):
        raise NotFinite
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return {key: value.detach() if isinstance(value, Tensor) else value for key, value in values.items()}


def checked(values: object) -> Mapping[str, Tensor | float]:
    """What a loss function returned, if it is as promised."""
    if not isinstance(values, Mapping) or "loss" not in values:
        given = f"a dict with the keys {list(values)}" if isinstance(values, Mapping) else f"a {type(values).__name__}"
        raise CourseError(f"The loss function returned {given}; expected a dict with the key 'loss'.")
    for key, value in values.items():
        if not isinstance(key, str):
            raise CourseError(f"The loss function returned a number under {key!r}; expected a name, such as 'loss'.")
        if (isinstance(value, Tensor) and value.numel() != 1) or not isinstance(value, (Tensor, int, float)):
            given = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{value!r:.40}"
            raise CourseError(f"The loss function returned {given} under {key!r}; expected one number: take its mean.")
    return values


def weights_are_finite(model: nn.Module) -> bool:
    return all(bool(p.detach().isfinite().all()) for p in model.parameters())
