"""How fast and how exact the course's MMD is: against the form that expands every pair, and against pythae's training.

    python benchmarks/mmd.py [--pythae FOLDER] [--quick]

One thread. The two sides of a comparison take turns, each call right after three untimed ones of its own kind, and the
medians are compared. Times are CPU times of this process: on a busy machine they tell more than the clock on the wall.
pythae is no dependency of the course. Put it elsewhere, leaving the course's own packages as they are:

    pip install --target FOLDER --no-deps pythae==0.1.2 pydantic pydantic-core annotated-types typing-inspection \
        cloudpickle imageio

Ends with status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import logging
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import machine
import torch
from torch import Tensor, nn

from course_utils import models, training
from course_utils.metrics import mmd
from course_utils.models import closed_forms as reference

KERNELS = 5
IMAGES, BATCH, LATENT = 2560, 128, 20
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # pythae's inverse multiquadric kernels: C = 2 D * scale


class Row(NamedTuple):
    what: str
    ours: str
    other: str
    result: str
    target: str
    met: bool | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythae", type=Path, help="the folder into which pythae was installed")
    parser.add_argument("--quick", action="store_true", help="a fifth of the repeats: a look, not a measurement")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    repeats = (lambda n: max(3, n // 5)) if arguments.quick else (lambda n: n)
    print(f"{machine.describe()}\nCPU times, medians of turns\n")
    rows = [
        *against_expansion(128, 20, least=4, repeats=repeats(300)),
        *against_expansion(512, 20, least=30, repeats=repeats(40)),
        *gradient_errors(),
        peak_memory(),
        cost_in_training(repeats(60)),
        *(against_pythae(arguments.pythae, latent_dim, repeats(15)) for latent_dim in (10, 20, 64, 128)),
    ]
    _print_table(rows)
    return 1 if any(row.met is False for row in rows) else 0


def expanded_mmd(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Unbiased MMD^2 with one kernel, from n x m x d differences, as in much published code."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a[:, None] - b[None]).pow(2).mean(2) / (2 * bandwidth**2))

    n, m = len(x), len(y)
    within_x, within_y = kernel(x, x).sum() - n, kernel(y, y).sum() - m
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * kernel(x, y).mean()


def against_expansion(n: int, d: int, least: float, repeats: int) -> list[Row]:
    rows = []
    for both, sides in ((False, "x"), (True, "x and y")):
        x, y = torch.randn(n, d, requires_grad=True), torch.randn(n, d, requires_grad=both)
        bandwidths = mmd.prior_bandwidths(d)
        ours, other = in_turns(
            lambda x=x, y=y: _backward(mmd.mmd_squared(x, y, bandwidths), x, y),
            lambda x=x, y=y: _backward(expanded_mmd(x, y, 1.0), x, y),
            repeats,
        )
        rows.append(
            Row(
                f"forward + backward, n = {n}, d = {d}, gradient in {sides}: {KERNELS} kernels against 1 expanded",
                f"{1e3 * ours:.2f} ms",
                f"{1e3 * other:.2f} ms",
                f"{other / ours:.1f} times",
                f">= {least:g} times",
                other / ours >= least,
            )
        )
    return rows


def gradient_errors() -> list[Row]:
    rows = []
    for shift in (0, 100):
        worst = 0.0
        for seed, (n, d) in enumerate(((128, 20), (512, 20), (256, 128))):
            generator = torch.Generator().manual_seed(seed)
            x = torch.randn(n, d, generator=generator) * 1.2 + shift
            y = torch.randn(n, d, generator=generator) + shift
            single, double = (_gradients(x.to(kind), y.to(kind)) for kind in (torch.float32, torch.float64))
            worst = max(worst, *(float((a - b).norm() / b.norm()) for a, b in zip(single, double, strict=True)))
        what = f"relative gradient error in float32, latents shifted by {shift}"
        rows.append(Row(what, f"{worst:.1e}", "float64", f"{worst:.1e}", "< 1e-4", worst < 1e-4))
    return rows


def _gradients(x: Tensor, y: Tensor) -> list[Tensor]:
    """float32: ours; float64: written out pair by pair."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    bandwidths = mmd.prior_bandwidths(x.shape[1])
    if x.dtype == torch.float32:
        mmd.mmd_squared(x, y, bandwidths).backward()
    else:
        per_dimension = [s / math.sqrt(x.shape[1]) for s in bandwidths]  # the expanded form averages over dimensions
        sum(expanded_mmd(x, y, s) for s in per_dimension).backward()
    return [x.grad.double(), y.grad.double()]


def peak_memory() -> Row:
    """What a process of its own holds at most during forward and backward at n = 8192, d = 128, above what it held
    before, watched every 5 ms."""
    code = (
        "import psutil, threading, time, torch; torch.set_num_threads(1); from course_utils import mmd\n"
        "x, y = torch.randn(8192, 128, requires_grad=True), torch.randn(8192, 128)\n"
        "mmd.mmd_squared(x[:300], y[:300], 1.0).backward()\n"
        "held = psutil.Process().memory_info; seen = [held().rss]; done = threading.Event()\n"
        "def watch():\n"
        "    while not done.wait(0.005): seen.append(held().rss)\n"
        "watcher = threading.Thread(target=watch); watcher.start(); start = time.process_time()\n"
        "mmd.mmd_squared(x, y, mmd.prior_bandwidths(128)).backward()\n"
        "seconds = time.process_time() - start; done.set(); watcher.join()\n"
        "print(max(seen) - seen[0], len(seen), seconds)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, looks, seconds = run.stdout.split()
    megabytes = int(grown) / 1024**2
    return Row(
        "memory of forward + backward, n = 8192, d = 128",
        f"{megabytes:.0f} MB",
        "-",
        f"{float(seconds):.1f} s, {looks} looks",
        "< 300 MB",
        megabytes < 300,
    )


def cost_in_training(repeats: int) -> Row:
    """An epoch of ``training.fit`` on a 784-400-20 autoencoder with and without the MMD term, float images."""
    images = torch.rand(IMAGES, 784)
    bandwidths = mmd.prior_bandwidths(LATENT)

    def plain(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        logits, _ = model(x)
        return {"loss": reference.bernoulli_nll(logits, x).mean()}

    def with_mmd(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        logits, z = model(x)
        distortion = reference.bernoulli_nll(logits, x).mean()
        penalty = mmd.mmd_squared(z, torch.randn_like(z), bandwidths)
        return {"loss": distortion + 10 * penalty, "mmd": penalty}

    model = models.Autoencoder(models.mlp([784, 400, LATENT]), models.mlp([LATENT, 400, 784]))
    ours, other = in_turns(*(lambda loss=loss: _epoch(model, loss, images) for loss in (with_mmd, plain)), repeats)
    extra = ours / other - 1
    return Row(
        f"an epoch of {IMAGES // BATCH} steps, batch {BATCH}, 784-400-{LATENT}: with MMD against without",
        f"{1e3 * ours:.0f} ms",
        f"{1e3 * other:.0f} ms",
        f"{extra:+.1%}",
        "<= +15 %",
        extra <= 0.15,
    )


def against_pythae(folder: Path | None, latent_dim: int, repeats: int) -> Row:
    """An epoch of the same WAE-MMD: same layers, loss, seven kernels, optimiser and batch, on the same images."""
    what = f"WAE-MMD, {IMAGES // BATCH} steps, batch {BATCH}, 784-512-{latent_dim}: ours against pythae"
    target = ">= 3.5 times"
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import WAE_MMD, WAE_MMD_Config
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError as error:
        return Row(what, "-", "-", f"skipped: {error}; see --help", target, None)
    logging.disable(logging.INFO)
    images = torch.rand(IMAGES, 784)
    # its default networks: one hidden layer of 512, a sigmoid at the end
    theirs = WAE_MMD(WAE_MMD_Config(input_dim=(784,), latent_dim=latent_dim))
    weight = theirs.model_config.reg_weight
    bandwidths = [math.sqrt(latent_dim * scale) for scale in SCALES]

    def loss(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        logits, z = model(x)
        distortion = (torch.sigmoid(logits) - x).square().sum(1).mean()
        penalty = mmd.mmd_squared(z, torch.randn_like(z), bandwidths, kernel="inverse_multiquadric")
        return {"loss": distortion + weight * penalty, "distortion": distortion, "mmd": penalty}

    _check_same_penalty(theirs, latent_dim, bandwidths)
    model = models.Autoencoder(models.mlp([784, 512, latent_dim]), models.mlp([latent_dim, 512, 784]))
    with tempfile.TemporaryDirectory() as scratch:
        config = BaseTrainerConfig(
            output_dir=scratch, per_device_train_batch_size=BATCH, learning_rate=1e-3, no_cuda=True
        )
        trainer = BaseTrainer(theirs, BaseDataset(images, torch.zeros(IMAGES)), training_config=config)
        trainer.prepare_training()
        trainer.callback_handler.callbacks.clear()  # no progress bars
        ours, other = in_turns(lambda: _epoch(model, loss, images), lambda: trainer.train_step(1), repeats)
    return Row(
        f"{what} {importlib.metadata.version('pythae')}",
        f"{1e3 * ours:.0f} ms",
        f"{1e3 * other:.0f} ms",
        f"{other / ours:.1f} times",
        target,
        other / ours >= 3.5,
    )


def _check_same_penalty(theirs, latent_dim: int, bandwidths: list[float]) -> None:
    z, prior, x = torch.randn(50, latent_dim), torch.randn(50, latent_dim), torch.rand(50, 784)
    expected = float(theirs.loss_function(x, x, z, prior)[2])
    got = float(mmd.mmd_squared(z, prior, bandwidths, kernel="inverse_multiquadric"))
    if abs(got - expected) > 1e-4:
        raise SystemExit(f"the two penalties differ: ours {got:.6f}, pythae's {expected:.6f}")


def in_turns(ours: Callable[[], object], other: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median CPU seconds of each, one call of each in turn, right after three untimed calls of the same: calls that
    come after the other kind pay for what that did to the caches and the heap, two of ours up to four times the usual
    after the expanded form's 100 MB are given back."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, record in zip((ours, other), seconds, strict=True):
            for _ in range(3):
                function()
            start = time.process_time()
            function()
            record.append(time.process_time() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _epoch(model: nn.Module, loss, images: Tensor) -> None:
    training.fit(model, loss, images, epochs=1, batch_size=BATCH, progress=False, live=False)


def _backward(value: Tensor, *inputs: Tensor) -> None:
    for tensor in inputs:
        tensor.grad = None
    value.backward()


def _print_table(rows: list[Row]) -> None:
    table = [("what", "ours", "other", "result", "target", "met")]
    table += [(*row[:5], {True: "yes", False: "NO", None: "-"}[row.met]) for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(6)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
