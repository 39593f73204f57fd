"""Images per second of ``training.fit`` beside two other ways to train the same VAE, and the share of its floor.

    python benchmarks/train.py [--rounds 7] [--batches 150]

All train a 784-400-20 VAE with ReLU on batches of 128 with Adam, on one thread, in interleaved rounds; medians count.

- plain: the way most tutorials do it: a map-style data set of PIL pictures, ``ToTensor`` for each item, a
  ``DataLoader`` without workers, binary cross-entropy after the sigmoid, default Adam.
- pythae (if installed, see ``--pythae``): ``BaseTrainer``'s loop over an epoch, with encoder and decoder of that size.
- floor: the step's matrix products and the fused Adam step, on tensors of the same shapes, and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import machine
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils import datasets, models, training
from course_utils.models import closed_forms as reference

BATCH, PIXELS, HIDDEN, LATENT, LR = 128, 784, 400, 20, 1e-3
TARGETS = {"plain": 2.3, "pythae": 1.35, "floor": 0.75}


def vae_loss(model: models.VAE, x: Tensor) -> dict[str, Tensor]:
    """The negative ELBO with its two parts, by the formulas that ``course_utils`` itself trains with."""
    logits, mu, logvar = model(x)
    distortion = reference.bernoulli_nll(logits, x).mean()
    rate = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum() / len(x)
    return {"loss": distortion + rate, "distortion": distortion, "rate": rate}


def ours(images: Tensor) -> Callable[[], object]:
    """The course: its own loop, called as a notebook calls it."""
    model = models.VAE(PIXELS, [HIDDEN], LATENT, activation=nn.ReLU)
    flat = images.flatten(1)
    return lambda: training.fit(model, vae_loss, flat, epochs=1, batch_size=BATCH, lr=LR, progress=False)


class _PlainVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(PIXELS, HIDDEN)
        self.mu, self.logvar = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.decode_hidden, self.out = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, PIXELS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.relu(self.hidden(x.view(-1, PIXELS)))
        mu, logvar = self.mu(h), self.logvar(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.out(torch.relu(self.decode_hidden(z)))), mu, logvar


class _Pictures(torch.utils.data.Dataset):
    """As torchvision's MNIST gives them: a PIL picture made and transformed when it is asked for."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        from torchvision.transforms import ToTensor

        self.images, self.labels, self.transform = images[:, 0], labels, ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index].numpy())), int(self.labels[index])


def plain(images: Tensor, labels: Tensor, device: str = "cpu") -> Callable[[], object]:
    """A DataLoader loop as tutorials write it."""
    model = _PlainVAE().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    loader = torch.utils.data.DataLoader(_Pictures(images, labels), batch_size=BATCH, shuffle=True)

    def epoch() -> float:
        model.train()
        total = 0.0
        for x, _ in loader:
            x = x.to(device)
            optimizer.zero_grad()
            x_hat, mu, logvar = model(x)
            cross_entropy = F.binary_cross_entropy(x_hat, x.view(-1, PIXELS), reduction="sum")
            loss = cross_entropy - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss.backward()
            total += loss.item()
            optimizer.step()
        return total

    return epoch


def pythae(images: Tensor, folder: str) -> Callable[[], object]:
    """Pythae's trainer on a model of the same size; raises ImportError where it is not installed."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU())
            self.mu, self.logvar = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.hidden(x.reshape(-1, PIXELS))
            return ModelOutput(embedding=self.mu(h), log_covariance=self.logvar(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            layers = (nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())
            self.layers = nn.Sequential(*layers)

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))

    logging.disable(logging.WARNING)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    settings = BaseTrainerConfig(output_dir=folder, per_device_train_batch_size=BATCH, learning_rate=LR, no_cuda=True)
    with contextlib.redirect_stderr(io.StringIO()):  # it tells of its settings
        trainer = BaseTrainer(
            model=VAE(config, encoder=Encoder(), decoder=Decoder()),
            train_dataset=BaseDataset(images.float() / 255, torch.zeros(len(images))),
            training_config=settings,
        )
        trainer.prepare_training()

    def epoch() -> float:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            return trainer.train_step(1)

    return epoch


def floor(batches: int) -> Callable[[], object]:
    """The arithmetic that no loop can do without: matrix products forward, for the weights' gradients and for the
    inputs' gradients (not the pictures'), written into memory that is there, and one fused Adam step."""
    widths = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS)]
    weights = [nn.Parameter(torch.randn(n_out, n_in) * 0.01) for n_in, n_out in widths]
    biases = [nn.Parameter(torch.zeros(n_out)) for _, n_out in widths]
    for parameter in (*weights, *biases):
        parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer = torch.optim.Adam([*weights, *biases], lr=LR, fused=True)
    inputs = [torch.rand(BATCH, n_in) for n_in, _ in widths]
    outputs = [torch.empty(BATCH, n_out) for _, n_out in widths]
    upstream = [torch.rand(BATCH, n_out) for _, n_out in widths]
    downstream = [torch.empty(BATCH, n_in) for n_in, _ in widths]
    gradients = [torch.empty(n_out, n_in) for n_in, n_out in widths]

    @torch.no_grad()
    def epoch() -> None:
        for _ in range(batches):
            for i in range(4):
                torch.mm(inputs[i], weights[i].t(), out=outputs[i])
            for i in reversed(range(4)):
                torch.mm(upstream[i].t(), inputs[i], out=gradients[i])
                if i:
                    torch.mm(upstream[i], weights[i], out=downstream[i])
            optimizer.step()

    return epoch


def main() -> int:
    """Run the rounds and print the table; exit status 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds; the median counts (default 7)")
    parser.add_argument("--batches", type=int, default=150, help="batches of 128 in a round (default 150)")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: processor time, which other work disturbs less"
    )
    parser.add_argument("--pythae", metavar="FOLDER", help="folder that pythae was installed to with pip --target")
    options = parser.parse_args()
    if options.rounds < 1 or options.batches < 1:
        parser.error("--rounds and --batches are at least 1")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.pythae:
        sys.path.append(options.pythae)

    data = datasets.load("auto", device="cpu")
    batches = min(options.batches, len(data.train_images) // BATCH)
    images, labels = data.train_images[: batches * BATCH], data.train_labels[: batches * BATCH]
    with tempfile.TemporaryDirectory() as folder:
        ways = {"ours": ours(images), "plain": plain(images, labels), "floor": floor(batches)}
        try:
            ways["pythae"] = pythae(images, folder)
        except ImportError as error:
            print(f"pythae left out: {error}")
        clock = time.perf_counter if options.clock == "wall" else time.process_time
        seconds = machine.interleaved(ways, options.rounds, clock)
    print(machine.describe("torchvision", *(["pythae"] if "pythae" in ways else [])))
    print(
        f"VAE {PIXELS}-{HIDDEN}-{LATENT}, batch {BATCH}, {batches} batches a round, {options.clock} time, "
        f"median (least to most) of {options.rounds} rounds"
    )
    return _report(seconds, batches)


def _report(seconds: dict[str, list[float]], batches: int) -> int:
    print(f"{'':8}{'images/s':>10}{'ms a step':>26}{'ours':>10}{'target':>9}")
    missed = False
    for name, times in seconds.items():
        median, low, high = (1000 * f(times) / batches for f in (statistics.median, min, max))
        line = f"{name:8}{BATCH * 1000 / median:10,.0f}{f'{median:.2f} ({low:.2f} to {high:.2f})':>26}"
        if name in TARGETS:
            # the ratio within each round: what else the machine did then slowed both
            ratio = statistics.median(b / a for a, b in zip(seconds["ours"], times, strict=True))
            missed |= ratio < TARGETS[name]
            line += f"{f'{ratio:.2f} x':>10}{f'>= {TARGETS[name]:.2f}':>9}"
        print(line)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
