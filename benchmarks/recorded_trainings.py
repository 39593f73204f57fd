"""Train the models whose logs the second and the third find-the-bug exercise are judged on, and store these logs.

    python benchmarks/recorded_trainings.py

Writes course_utils/metrics/recorded_trainings.json. The bugs are switched on in the training itself. Takes about a
minute; needs no data but the embedded digits.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits, interpolate

from course_utils import models
from course_utils.metrics import recorded_runs
from course_utils.metrics.recorded_runs import SIDES, SIZES, UNIFORM
from course_utils.system.whole_file import write_whole

KNOBS = {"kl": (0.04, 0.08, 0.15, 0.3), "wasserstein": (0.2, 0.4, 0.7, 1.0)}  # for 8x8 pixels


def gradient_penalty(critic: Callable[[Tensor], Tensor], z_prior: Tensor, z_posterior: Tensor) -> Tensor:
    t = torch.rand(len(z_prior), 1)
    points = (t * z_prior + (1 - t) * z_posterior).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (slopes.norm(dim=1) - 1).square().mean()


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def digits() -> Tensor:
    from sklearn.datasets import load_digits

    return torch.from_numpy(load_digits().images).float() / 16


def resized(size: str) -> Tensor:
    """(N, pixels): the embedded digits, 8x8, averaged or enlarged."""
    side = SIZES[size]
    images = digits()[: 100 if side > 100 else 300, None]
    return (avg_pool2d(images, 8 // side) if side < 8 else interpolate(images, scale_factor=side / 8)).flatten(1)


def draw(prior: str, count: int, dim: int) -> Tensor:
    if prior == "normal":
        return torch.randn(count, dim)
    low, high = UNIFORM[prior]
    return low + (high - low) * torch.rand(count, dim)


def train(
    seed: int,
    x: Tensor,
    side: str,
    knob: float,
    *,
    dim: int,
    epochs: int,
    share: float = 1.0,
    priors: tuple[str, str] = ("normal", "normal"),
) -> Iterator[dict[str, float]]:
    """Means of each epoch of a model on ``x``: ``side`` says what matches its codes. ``share`` of the distortion
    enters the loss (bug: 0.9); ``priors`` of the critic's loss and of its penalty (bug: two different ones)."""
    torch.manual_seed(seed)
    encoder, decoder = models.mlp([x.shape[1], 32, 2 * dim]), models.mlp([dim, 32, x.shape[1]])
    with torch.no_grad():
        decoder[-1].get_parameter("bias").copy_(torch.logit(x.mean(0).clamp(0.02, 0.98)))
    critic = models.mlp([dim, 64, 64, 1])
    model_step = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-2)
    critic_step = torch.optim.Adam(critic.parameters(), lr=5e-3, betas=(0.0, 0.9))

    def encode(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = encoder(images).chunk(2, dim=1)
        logvar = logvar.clamp(-12, 6)
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu), mu, logvar

    for _ in range(epochs):
        logged: list[dict[str, float]] = []
        for batch in x[torch.randperm(len(x))].split(25):
            estimate = 0.0
            for _ in range(3 if side == "wasserstein" else 0):
                with torch.no_grad():
                    z = encode(batch)[0]
                loss = critic(z).mean() - critic(draw(priors[0], len(z), dim)).mean()
                estimate = -loss.item()
                descend(critic_step, loss + 10 * gradient_penalty(critic, draw(priors[1], len(z), dim), z))
            z, mu, logvar = encode(batch)
            distortion = binary_cross_entropy_with_logits(decoder(z), batch, reduction="sum") / len(batch)
            part = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean() if side == "kl" else -critic(z).mean()
            loss = share * distortion + knob * part
            descend(model_step, loss)
            logged.append(
                {"loss": loss.item(), "distortion": distortion.item(), "part": part.item(), "estimate": estimate}
            )
        yield {key: sum(row[key] for row in logged) / len(logged) for key in logged[0]}


def main() -> None:
    torch.set_num_threads(1)
    began, seed, x = time.process_time(), 0, resized("small")
    estimates: dict[str, list] = {}
    for first in ("normal", *UNIFORM):
        for second in ("normal", *UNIFORM):
            if "normal" in (first, second) or first == second:
                curves = estimates[f"{first}, {second}"] = []
                for _ in range(recorded_runs.NUM_CURVES):
                    seed += 1
                    rows_of_run = train(seed, x, "wasserstein", 3.0, dim=10, epochs=20, priors=(first, second))
                    curves.append([float(f"{row['estimate']:.4g}") for row in rows_of_run])
    print(f"estimates: {time.process_time() - began:.0f} s", flush=True)
    losses: dict[str, list] = {}
    for size in SIZES:
        x = resized(size)
        for side in SIDES:
            for place, knob in enumerate(KNOBS[side]):
                seed += 1
                level = None
                knob = float(f"{knob * x.shape[1] / 64:.3g}")  # grows with the images, or large ones would not feel it
                for kind, share in (("sound", 1.0), ("buggy", 0.9)):  # the same seed: with the bug and without
                    rows = list(train(seed, x, side, knob, dim=4, epochs=12, share=share))
                    if side == "wasserstein":
                        # A critic's last bias gets no gradient. With another one the same training would have logged
                        # another gap, of either sign: choose it here, one for the training with the bug and without.
                        if level is None:
                            level = (-1) ** place * (2.0 + place) - rows[-1]["part"]
                        for row in rows:
                            row["part"], row["loss"] = row["part"] + level, row["loss"] + knob * level
                    log = {key: [float(f"{row[key]:.5g}") for row in rows] for key in ("loss", "distortion", "part")}
                    assert all(math.isfinite(value) for curve in log.values() for value in curve), (size, side, knob)
                    losses.setdefault(f"{size}, {side}, {kind}", []).append({"knob": knob} | log)
        print(f"logs, {size}: {time.process_time() - began:.0f} s", flush=True)
    write_whole(recorded_runs.FILE, json.dumps({"estimates": estimates, "losses": losses}) + "\n")


if __name__ == "__main__":
    main()
