"""What a model is worth on images, and what training it will cost here."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from course_utils import models
from course_utils.datasets import scale
from course_utils.system import device as device_module
from course_utils.system.contracts import Images, OneOf, Whole, takes

from .loop import Critic, Loop, LossFunction, checked

PRECISIONS = ("float32", "bfloat16")
PROBE_SECONDS = 0.4  # spent on steps of a throw-away copy before training, to say what training will cost
PROBE_SHARE = 0.02  # of the steps of the training, but for the first few


@takes(images=Images(), batch_size=Whole(1))
def evaluate(model: nn.Module, loss_function: LossFunction, images: Tensor, batch_size: int = 1000) -> dict[str, float]:
    """Means over ``images`` of what ``loss_function`` returns, with the model in evaluation mode (restored after).

    Random numbers that it draws are not taken from those of a training: the generators are afterwards as before. A last
    batch of one image is measured together with the batch before it, as some losses (MMD) need two.
    """
    with device_module.random_state_kept():
        return evaluated(model, loss_function, as_weights(model, images), batch_size)


def evaluated(model: nn.Module, loss_function: LossFunction, images: Tensor, batch_size: int) -> dict[str, float]:
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
    images, test_images = as_weights(model, images), None if test_images is None else as_weights(model, test_images)
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
    return estimated(loop, epochs, test_images)


def estimated(loop: Loop, epochs: int, test_images: Tensor | None) -> float:
    """Seconds that so many epochs of ``loop`` will take."""
    with device_module.random_state_kept():
        trial, device = loop.on_copies(), loop.images.device

        def endless():
            while True:  # epoch after epoch, so that drawing the order of the images is counted too
                yield from trial.batches()

        supply = endless()
        most = min(50, PROBE_SHARE * epochs * loop.steps)
        try:
            for _ in range(trial.settling):
                trial.step(next(supply))
            done, began = 0, _clock(device)
            while done < 3 or (done < most and time.perf_counter() - began < PROBE_SECONDS):
                trial.step(next(supply))
                done += 1
        finally:
            trial.rest()
        step_seconds = (_clock(device) - began) / done
        test_seconds = 0.0
        if test_images is not None:
            began = _clock(device)
            evaluated(trial.model, trial.loss_function, test_images[:1000], 1000)
            test_seconds = (_clock(device) - began) * len(test_images) / min(len(test_images), 1000)
    return epochs * (loop.steps * step_seconds + test_seconds)


def _clock(device: torch.device) -> float:
    device_module.synchronize(device)
    return time.perf_counter()


def as_weights(model: nn.Module, images: Tensor) -> Tensor:
    """Float images in the precision of the model's weights; bytes as they are."""
    return images.to(models.weights_dtype(model, images.dtype)) if images.is_floating_point() else images
