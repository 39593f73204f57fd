"""On a GPU: training a small VAE with whole steps replayed from a CUDA graph, step by step, and as tutorials do it.

    python benchmarks/cuda_graph.py [--rounds 5] [--epochs 10]

784-400-20 VAE with ReLU on MNIST (on the digits where it is not here), batch 128, Adam. Interleaved rounds; medians
count; ratios are taken within a round. An epoch of the tutorials' loop (a map-style data set of PIL pictures,
``ToTensor``, a ``DataLoader`` without workers, default Adam, ``loss.item()`` at every step) stands for ten.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import machine
import torch
import train

from course_utils import datasets, models, training
from course_utils.system import device

TARGETS = {"step by step": 1.5, "tutorial": 10.0}


def main() -> int:
    """Run the rounds and print the table; exit status 1 where a target is missed, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds; the median counts (default 5)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs in a round (default 10)")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("This benchmark needs a CUDA device; none is here.", file=sys.stderr)
        return 2
    data = datasets.load("auto", device="cuda")
    ways = {
        "CUDA graph": (ours(data.train_images, options.epochs, cuda_graph=True), options.epochs),
        "step by step": (ours(data.train_images, options.epochs, cuda_graph=False), options.epochs),
        "tutorial": (train.plain(data.train_images.cpu(), data.train_labels.cpu(), device="cuda"), 1),
    }
    taken = machine.interleaved({name: run for name, (run, _) in ways.items()}, options.rounds, _clock)
    seconds = {name: [spent / ways[name][1] for spent in times] for name, times in taken.items()}
    print(machine.describe())
    print(f"{torch.cuda.get_device_name()}, {len(data.train_images):,} images, {options.epochs} epochs a round")
    missed = False
    for name, times in seconds.items():
        median = statistics.median(times)
        line = f"{name:14}{len(data.train_images) / median:12,.0f} images/s   {median:.3f} s an epoch"
        if name in TARGETS:
            ratio = statistics.median(b / a for a, b in zip(seconds["CUDA graph"], times, strict=True))
            missed |= ratio < TARGETS[name]
            line += f"   the graph is {ratio:.2f} times as fast (asked: {TARGETS[name]:g})"
        print(line)
    return int(missed)


def ours(images: torch.Tensor, epochs: int, cuda_graph: bool) -> Callable[[], object]:
    """The course's own loop, from a fresh model."""
    flat = images.flatten(1)

    def run() -> None:
        model = models.VAE(train.PIXELS, [train.HIDDEN], train.LATENT, activation=torch.nn.ReLU)
        training.fit(
            model,
            train.vae_loss,
            flat,
            epochs=epochs,
            batch_size=train.BATCH,
            lr=train.LR,
            cuda_graph=cuda_graph,
            progress=False,
        )

    return run


def _clock() -> float:
    """The clock on the wall, once the GPU has done what it was given."""
    device.synchronize(torch.device("cuda"))
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main())
