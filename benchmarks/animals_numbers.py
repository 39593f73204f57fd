"""The stored runs of unit 06: the networks of its model answer, started at PCA, on toy animals; PCA itself beside them.

``run_animals(recipe, settings, seed, data, reader)`` gives {name: value} on test pictures: distortion in nats above a
perfect copy of the mean code (``above``) and of a draw (``above_draw``), spread of the codes, MMD² by both kernels,
Fréchet distances by the reader from reconstructions, N(0, I), a mixture fitted afterwards, and half-way codes.

``run_factors(recipe, settings, seed)`` is of 6.8, where one animal is drawn 3,000 times, differently for each seed: the
mean mutual information gap (``gap``) of codes of 10 numbers, on the last 600 drawings, and its floor (``gap_floor``).
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from course_utils import datasets, metrics, models, training
from course_utils.datasets import toy_animals
from course_utils.metrics import aggregate, autopsy, disentanglement, mmd, paths
from course_utils.system import device
from course_utils.training import recipes
from course_utils.training.recipes import Recipe

DIM, WEIGHT, SAME_FORCE = 128, 2000.0, 2_000_000.0
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "06_awa2" / "06_awa2.ipynb"


class Linear(NamedTuple):
    """PCA, with nothing trained."""

    codes: str
    latent_dim: int = DIM

    def settings(self) -> dict:
        return {"kind": "pca", **self._asdict()}


COPIED = (autopsy.copied_bandwidth(DIM),)
MODELS = {
    "pca": Linear("whitened"),
    "ae": Recipe("ae", DIM, start_at_pca=True),
    "blind": Recipe("mmd-ae", DIM, weight=WEIGHT, bandwidths=COPIED, biased=True, start_at_pca=True),
    "blind_hard": Recipe("mmd-ae", DIM, weight=SAME_FORCE, bandwidths=COPIED, biased=True, start_at_pca=True),
    "mmd_ae": Recipe("mmd-ae", DIM, weight=WEIGHT, start_at_pca=True),
    "mmd_vae": Recipe("mmd-vae", DIM, weight=WEIGHT, start_at_pca=True),
    "vae": Recipe("vae", DIM, start_at_pca=True),
}

FACTORS = ("x", "y", "facing", "horizon", "light", "warmth")
DRAWN, PART = 3000, 2400
ONE_ANIMAL = {"pca": Linear("whitened", 10)} | {
    f"beta_{beta:g}": Recipe("vae", 10, (256,), beta=beta) for beta in (0.25, 1.0, 4.0)
}


def build_conv_autoencoder():
    """The unit's model answer."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    source = next(
        "".join(cell["source"])
        for cell in cells
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "build_conv_autoencoder"
    )
    names: dict = {"nn": nn, "torch": torch}
    exec(source, names)
    return names["build_conv_autoencoder"]


def run_animals(recipe: Recipe | Linear, settings: dict, seed: int, data, reader) -> dict[str, float]:
    images = data.train_images
    device.seed_everything(seed)
    began = time.process_time()
    if isinstance(recipe, Linear):
        model = models.pca(images, DIM, codes=recipe.codes)
    else:
        more = DIM if recipe.kind in ("mmd-vae", "vae") else 0
        build = build_conv_autoencoder()
        linear = models.pca(images, DIM, codes="scaled")
        encoder, decoder = models.corrected(linear, build(3, DIM + more)[0], build(3, DIM)[1], more=more)
        model = models.GaussianAutoencoder(encoder, decoder, DIM) if more else models.Autoencoder(encoder, decoder)
        model.to(memory_format=torch.channels_last)
        loss = recipes.loss_function(recipe)
        run = training.fit(model, loss, images, **settings, schedule="cosine", seed=seed, progress=False)
        if run.stopped:
            raise SystemExit(f"{recipe} with seed {seed}: training stopped ({run.stopped}).")
    seconds = time.process_time() - began
    return {"seconds": seconds} | measured(model, data, reader, seed)


def run_factors(recipe: Recipe | Linear, settings: dict, seed: int) -> dict[str, float]:
    kinds = datasets.attributes("toy_animals").continuous[toy_animals.CLASS_NAMES.index("rhinoceros")]
    drawn = toy_animals.draw(kinds.expand(DRAWN, -1), size=32, seed=7 + seed).flatten(1)
    known = toy_animals.factors(DRAWN, seed=7 + seed)
    factors = torch.stack([(known[n] < 0.5).double() if n == "facing" else known[n] for n in FACTORS], 1)
    began = time.process_time()
    device.seed_everything(seed)
    if isinstance(recipe, Linear):
        model = models.pca(drawn[:PART], recipe.latent_dim, codes=recipe.codes)
    else:
        model, loss, _ = recipes.prepare(recipe, drawn[:PART])
        run = training.fit(model, loss, drawn[:PART], **settings, seed=seed, progress=False)
        if run.stopped:
            raise SystemExit(f"{recipe} with seed {seed}: training stopped ({run.stopped}).")
    seconds = time.process_time() - began
    gap = disentanglement.mutual_information_gap(metrics.codes(model, drawn[PART:]), factors[PART:])
    with torch.no_grad():
        logits, x = model.decode(metrics.codes(model, drawn[PART:])), datasets.scale(drawn[PART:])
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum").item() / len(x)
    return {"seconds": seconds, "distortion": distortion, "gap": gap.mean, "gap_floor": gap.mean_floor}


@torch.no_grad()
def measured(model, data, reader, seed: int) -> dict[str, float]:
    model.eval()
    x, train = datasets.scale(data.test_images), data.train_images
    floor = F.binary_cross_entropy(x, x, reduction="sum").item() / len(x)
    real = reader.features(x)

    def nats(z) -> float:
        return F.binary_cross_entropy_with_logits(model.decode(z), x, reduction="sum").item() / len(x)

    def frechet(z) -> float:
        return metrics.frechet_distance(reader.features(metrics.decoded(model, z)), real)

    code = model.encode(x)
    mu, logvar = code if isinstance(code, tuple) else (code, torch.full_like(code, -math.inf))
    z = aggregate.sample(mu, logvar, seed=seed)
    widths = torch.linalg.eigvalsh(metrics.aggregate_covariance(mu, logvar).double()).clamp_min(0).sqrt()
    generator = torch.Generator().manual_seed(seed)
    mixture = paths.fit_mixture(metrics.codes(model, train), 10, seed=seed)
    return {
        "distortion": nats(z),
        "above": nats(mu) - floor,
        "above_draw": nats(z) - floor,
        "sigma": logvar.mul(0.5).exp().mean().item(),
        "narrowest": widths[0].item(),
        "median": widths.median().item(),
        "widest": widths[-1].item(),
        "mmd_copied": mmd.mmd_squared_to_standard_normal(z, COPIED, biased=True).item(),
        "mmd_five": mmd.mmd_squared_to_standard_normal(z, mmd.prior_bandwidths(DIM)).item(),
        "frechet_reconstructions": frechet(mu),
        "frechet_prior": frechet(torch.randn(1000, DIM, generator=generator)),
        "frechet_mixture": frechet(torch.from_numpy(mixture.sample(1000)[0]).float()),
        "frechet_half_way": frechet(0.5 * (mu + mu.roll(1, 0))),
    }
