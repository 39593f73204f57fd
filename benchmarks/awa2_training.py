"""Training on pictures of 64x64: images per second beside a plain loop, and what each choice of ``course train`` gives.

    python benchmarks/awa2_training.py [--rounds 7] [--batches 20] [--device cuda]

The course's convolutional MMD-autoencoder with 128 latent dimensions on toy animals, batches of 64, one thread.
Interleaved rounds; medians count; ratios are taken within a round. On a processor times are this process's own.

- ours: ``training.fit``, channels last in memory, fused Adam, bytes that stay on the device.
- channels first: the same without ``channels_last``.
- bfloat16: the same in mixed precision.
- CUDA graph (with ``--device cuda``): its steps replayed; give it many ``--batches``, for each round records anew.
- plain: a ``DataLoader`` over the same pictures as floats, default Adam, ``loss.item()`` at every step.
- common layout: ``ours`` with four convolutions of 32, 64, 128 and 256 channels, as much published code has them.

The last lines give the arithmetic of a step as a share of what matrix products of 2048x2048 reach on this device.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import machine
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from course_utils import datasets, models, training
from course_utils.system import device
from course_utils.training import recipes
from course_utils.training.recipes import Recipe

BATCH, LATENT, LR, SIDE = 64, 128, 1e-4, 2048
RECIPE = Recipe("mmd-ae", LATENT, weight=100.0)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--batches", type=int, default=20, help="batches of 64 in a round (default 20)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or mps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    target = device.get_device(options.device)
    images = datasets.load("toy_animals", device=target).train_images
    images = images.repeat(-(-options.batches * BATCH // len(images)), 1, 1, 1)[: options.batches * BATCH]
    ways = {
        "ours": ours(images),
        "channels first": ours(images, channels_last=False),
        "bfloat16": ours(images, precision="bfloat16"),
        "plain": plain(images),
        "common layout": ours(images, common_networks()),
    }
    if target.type == "cuda":
        ways["CUDA graph"] = ours(images, cuda_graph=True)
    seconds = machine.interleaved(ways, options.rounds, lambda: _clock(target))
    print(machine.describe())
    print(f"{options.device}, {options.batches} batches of {BATCH} a round, {options.rounds} rounds")
    for name, times in seconds.items():
        ratio = statistics.median(b / a for a, b in zip(seconds["ours"], times, strict=True))
        print(f"{name:15}{len(images) / statistics.median(times):10,.0f} images/s   ours is {ratio:.2f} times as fast")
    for name, networks in (("course", None), ("common layout", common_networks())):
        number = sum(p.numel() for p in model_and_loss(images, networks)[0].parameters())
        print(f"{name}: {number / 1e6:.2f} M parameters, {flops(images[:2], networks) / 1e6:.0f} MFLOP an image")
    speed = len(images) / statistics.median(seconds["ours"])
    arithmetic = flops(images[:2]) * speed
    print(f"50 epochs of 37,322 images: {50 * 37_322 / speed:,.0f} s")
    print(f"{arithmetic / 1e9:.1f} GFLOP/s: {arithmetic / matmul_rate(target):.0%} of a matrix product's rate here")


Networks = tuple[nn.Module, nn.Module]


def model_and_loss(images: Tensor, networks: Networks | None = None) -> tuple[nn.Module, training.LossFunction]:
    """The recipe's, or the recipe's loss with other networks."""
    model, loss_function, _ = recipes.prepare(RECIPE, images)
    return (models.Autoencoder(*networks) if networks else model).to(images.device), loss_function


def ours(
    images: Tensor,
    networks: Networks | None = None,
    *,
    channels_last: bool = True,
    precision: str = "float32",
    cuda_graph: bool = False,
) -> Callable[[], object]:
    """An epoch of the course's own loop."""
    model, loss_function = model_and_loss(images, networks)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    return lambda: training.fit(
        model,
        loss_function,
        images,
        epochs=1,
        batch_size=BATCH,
        lr=LR,
        precision=precision,
        cuda_graph=cuda_graph,
        progress=False,
    )


def plain(images: Tensor) -> Callable[[], object]:
    """The same model and loss, trained as tutorials do it."""
    model, loss_function = model_and_loss(images)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    pictures = torch.utils.data.TensorDataset(images.cpu().float() / 255)
    loader = torch.utils.data.DataLoader(pictures, batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        model.train()
        for (x,) in loader:
            optimizer.zero_grad()
            loss = loss_function(model, x.to(images.device))["loss"]
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def common_networks() -> tuple[nn.Module, nn.Module]:
    """Four convolutions of 32, 64, 128 and 256 channels and their mirror, linear layers between 4096 and the code."""
    widths = (3, 32, 64, 128, 256)
    down, up = [], []
    for narrow, wide in pairwise(widths):
        down += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.ReLU()]
        up = [nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), *up]
    size = widths[-1] * 4 * 4
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(size, LATENT))
    return encoder, nn.Sequential(nn.Linear(LATENT, size), nn.Unflatten(1, (widths[-1], 4, 4)), *up)


def flops(images: Tensor, networks: Networks | None = None) -> float:
    """Of matrix products and convolutions an image, forward and backward, a multiply-add counted as 2."""
    model, loss_function = model_and_loss(images, networks)
    with FlopCounterMode(display=False) as counter:
        loss_function(model, datasets.scale(images))["loss"].backward()
    return counter.get_total_flops() / len(images)


def matmul_rate(target: torch.device) -> float:
    """FLOP/s of a float32 matrix product as PyTorch multiplies it by default."""
    a, b = torch.randn(2, SIDE, SIDE, device=target)
    times = []
    for _ in range(6):
        began = _clock(target)
        a @ b
        times.append(_clock(target) - began)
    return 2 * SIDE**3 / min(times)


def _clock(target: torch.device) -> float:
    """Processor time; on another device, which the host waits for, the clock on the wall."""
    if target.type == "cpu":
        return time.process_time()
    device.synchronize(target)
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main())
