"""Test -ELBO of the course's VAE on genuine MNIST after ten epochs, beside published figures.

    python benchmarks/elbo.py [--seeds 3] [--epochs 10]

784-400-20, Adam 1e-3, batch 128, grey pixels, one sample of each code; in nats per image, over the 10,000 test images.
Published with the same settings and ReLU: 106.7 after 7 epochs (pytorch/examples PR 1416), 107.05 +- 0.25 (flax's).
"""

from __future__ import annotations

import argparse
import statistics
import sys

import machine
from torch import nn
from train import vae_loss

from course_utils import datasets, models, training
from course_utils.system import device

# name, latent dimensions, activation, what the median may be at most
MODELS = (
    ("20 latents, ReLU", 20, nn.ReLU, 106.2),
    ("2 latents, ReLU", 2, nn.ReLU, 157.0),
    ("20 latents, tanh", 20, nn.Tanh, None),
)


def main() -> int:
    """Train every model with every seed; exit status 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many; the median counts (default 3)")
    parser.add_argument("--epochs", type=int, default=10, help="default 10")
    options = parser.parse_args()
    data = datasets.load("mnist")
    train_images, test_images = data.train_images.flatten(1), data.test_images.flatten(1)
    print(machine.describe())
    print(f"{options.epochs} epochs of MNIST, {options.seeds} seeds; -ELBO on the test images in nats", flush=True)
    missed = False
    for name, latent_dim, activation, target in MODELS:
        bounds, seconds = [], []
        for seed in range(1, options.seeds + 1):
            device.seed_everything(seed)  # of the weights as well
            model = models.VAE(784, [400], latent_dim, activation=activation)
            run = training.fit(model, vae_loss, train_images, epochs=options.epochs, seed=seed, progress=False)
            bounds.append(training.evaluate(run.model, vae_loss, test_images)["loss"])
            seconds.append(run.seconds)
        median = statistics.median(bounds)
        missed |= target is not None and median > target
        print(
            f"{name:18}median {median:7.2f}   ({', '.join(f'{bound:.2f}' for bound in bounds)})   "
            f"{f'target <= {target}' if target else 'no target':16}   {statistics.median(seconds):.0f} s a run",
            flush=True,
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
