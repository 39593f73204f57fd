"""The VAE of the importance-weighted autoencoder paper, trained by its own schedule, and its likelihood on MNIST.

    python benchmarks/iwae.py [--share 1.0] [--device cuda] [--state FILE]

Burda, Grosse and Salakhutdinov 2015 (arXiv 1509.00519), section 5 and table 1, one stochastic layer, k = 1: 50 latents,
two hidden layers of 200 tanh units on either side, batches of 20, every picture binarised anew each time it is seen,
Adam with epsilon 1e-4, learning rate 0.001 * 10^(-i/7) for 3^i passes, i = 0 to 7: 3280 passes. Published: 86.76 nats
from 5000 samples. ``--share 0.01`` makes every stage a hundredth as long; the result is then no more than an upper
bound of what the whole schedule gives. With ``--state`` every stage is kept, and the same command goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import machine
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_utils import datasets, metrics, models
from course_utils.models import closed_forms as reference
from course_utils.system import device
from course_utils.training.cuda_graph import RecordedStep

BATCH, LATENT, HIDDEN, STAGES = 20, 50, [200, 200], 8
PUBLISHED, LOW, HIGH = 86.76, 86.3, 87.8


def main() -> int:
    """Train, measure, print; exit status 1 where the whole schedule ends outside the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the schedule's 3280 passes (default 1)")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--samples", type=int, default=5000, help="of z for each test image (default 5000)")
    parser.add_argument("--test-images", type=int, default=10_000, help="how many (default 10000, all)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep every finished stage here, and go on from it")
    options = parser.parse_args()
    if options.device == "cpu":
        torch.set_num_threads(1)
    device.seed_everything(0)
    target = device.get_device(options.device)
    data = datasets.load("mnist", device=target)
    images = data.train_images.flatten(1).float() / 255
    model = models.VAE(784, HIDDEN, LATENT, activation=nn.Tanh).to(target)
    with torch.no_grad():
        model.decoder[-1].bias.copy_(torch.logit(images.mean(0).clamp(0.001, 0.999)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-4, fused=True, capturable=target.type == "cuda")
    first, passes, began = 0, 0, time.perf_counter()
    if options.state and options.state.exists():
        kept = load_file(options.state, device=str(target))
        first = int(kept.pop("stage")) + 1
        model.load_state_dict({key[6:]: value for key, value in kept.items() if key.startswith("model.")})
        print(f"Going on with stage {first}; Adam's averages begin anew.", flush=True)
    for stage in range(STAGES):
        epochs, lr = max(1, round(options.share * 3**stage)), 1e-3 * 10 ** (-stage / 7)
        passes += epochs
        if stage < first:
            continue
        for group in optimizer.param_groups:
            group["lr"] = lr
        bound = train(model, optimizer, images, epochs)
        print(
            f"stage {stage}: {epochs} passes at {lr:.2g}, -ELBO in the last {bound:.2f} nats, "
            f"{time.perf_counter() - began:,.0f} s",
            flush=True,
        )
        if options.state:
            save_file(
                {f"model.{key}": value for key, value in model.state_dict().items()} | {"stage": torch.tensor(stage)},
                options.state,
            )
    test = metrics.binarize(data.test_images[: options.test_images].flatten(1))
    found = metrics.importance_weighted_nll(model.eval(), test, options.samples)
    print(machine.describe())
    print(
        f"{passes} passes: NLL {found.mean:.2f} +- {found.standard_error:.2f} nats (test images), "
        f"Monte Carlo error {found.monte_carlo_error:.3f}, bias {found.bias:.3f}; {options.samples} samples, "
        f"{len(test):,} test images. Published after 3280 passes: {PUBLISHED}"
    )
    return int(options.share >= 1 and not LOW <= found.mean <= HIGH)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, epochs: int) -> float:
    """``epochs`` passes; the mean bound of the last one, in nats."""

    def step(batches) -> dict[str, Tensor]:
        x = torch.bernoulli(batches[0])
        logits, mu, logvar = model(x)
        loss = (reference.bernoulli_nll(logits, x) + reference.gaussian_kl(mu, logvar).sum(1)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    act = RecordedStep(step) if images.device.type == "cuda" else step
    total, steps = torch.zeros((), device=images.device), 0
    for _ in range(epochs):
        total.zero_()
        steps = 0
        for x in datasets.batches(images, BATCH):
            total += act([x])["loss"]
            steps += 1
    mean = total.item() / steps
    if not math.isfinite(mean):
        raise SystemExit("the loss is no longer finite")
    return mean


if __name__ == "__main__":
    sys.exit(main())
