"""A small descent for what are no images: codes and indices, of which the second networks of unit 09 learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from course_utils.system.contracts import Number, Whole


def descend(
    loss_of_batch: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    rows: Tensor,
    *,
    steps: int,
    batch_size: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
) -> list[float]:
    """Adam on random rows, its learning rate falling to 0 along a cosine; returns the loss of every step.

    Unlike ``fit`` it takes rows of any kind, keeps no model and shows nothing.

    Args:
        loss_of_batch: rows (B, ...) -> a scalar tensor.
        parameters: what is changed; several modules may share a descent.
        rows: (N, ...), of which each step takes ``batch_size``, drawn with replacement.
        seed: of the rows' order.

    Raises:
        ValueError: an argument is out of its range, there are no rows, or the loss became infinite or not a number.
    """
    if not len(rows):
        raise ValueError("rows is empty; expected at least one row to learn from.")
    steps, batch_size = Whole(1).take("steps", steps), Whole(1).take("batch_size", batch_size)
    optimizer = torch.optim.Adam(list(parameters), lr=Number(above=0).take("lr", lr))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator, losses = torch.Generator().manual_seed(seed), []
    for step in range(steps):
        loss = loss_of_batch(rows[torch.randint(len(rows), (batch_size,), generator=generator).to(rows.device)])
        if not torch.isfinite(loss):
            raise ValueError(f"the loss is {loss.item()} at step {step + 1}: take a smaller lr (it is {lr:g}).")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses
