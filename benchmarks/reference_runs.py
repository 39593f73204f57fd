"""Make the stored reference runs of a unit: every model with three seeds, at budget full, on MNIST (unit 06: toys).

``06_factors`` is the table of 6.8: one toy animal, five seeds.

    python benchmarks/reference_runs.py 03_interpolation          # what is missing, or was made with other settings
    python benchmarks/reference_runs.py 05_wasserstein --fresh    # all anew

Writes course_utils/metrics/reference_runs/<unit>.csv and .json after every run, so that it can be stopped at any time.
Needs MNIST (``course data fetch mnist``).
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from course_utils import datasets, metrics, models, training
from course_utils.metrics import aggregate, paths, reference_runs, scorecard
from course_utils.models import classifier, closed_forms
from course_utils.system import device
from course_utils.system.whole_file import whole_file, write_whole
from course_utils.training import recipes
from course_utils.training.recipes import Recipe

sys.path.insert(0, str(Path(__file__).parent))
from animals_numbers import MODELS as ANIMALS
from animals_numbers import ONE_ANIMAL, PART, run_animals, run_factors
from beyond_numbers import Dictionary, Logistic, of_beyond
from beyond_numbers import prepare as prepare_beyond
from more_numbers import MORE, in_brief, of_codes
from uses_numbers import of_uses, without


class Part(NamedTuple):
    """A recipe trained on the first training images only, for a number of epochs of its own, and measured on less."""

    recipe: Recipe
    images: int
    epochs: int

    def settings(self) -> dict:
        return self.recipe.settings() | {"images": self.images, "epochs": self.epochs}


class Brief(NamedTuple):
    """A recipe measured by its distortion and its samples only; a critic's model may have some of ``BUGS``."""

    recipe: Recipe
    epochs: int
    batch_size: int
    bugs: tuple[str, ...] = ()

    def settings(self) -> dict:
        return self.recipe.settings() | {
            "images": 60_000,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "bugs": list(self.bugs),
        }


BUGS = ("0.9 of the distortion", "uniform prior", "ten outputs")  # in the order in which they are switched on
REPORTED = Recipe("wasserstein", 10, (256,), weight=1.0, critic_steps=3, critic_betas=(0.0, 0.9), start_at_mean=True)


def prepare_bugged(given: Brief, images):
    """As ``recipes.prepare``: the loss counts 0.9 of the distortion; critic and penalty draw a prior uniform on [0, 1]
    (samples stay normal); the critic has ten outputs, their mean in the loss and their sum in the penalty."""
    recipe, bugs = given.recipe, given.bugs
    model, _, rival = recipes.prepare(recipe, images)
    assert rival is not None, f"{recipe.kind} has no critic"
    critic = models.mlp([recipe.latent_dim, *recipe.critic_dims, 10]) if "ten outputs" in bugs else rival.module
    share = 0.9 if BUGS[0] in bugs else 1.0
    draw = torch.rand_like if "uniform prior" in bugs else torch.randn_like

    def codes(model, x):
        mu, logvar = model.encode(x)
        return model.reparameterize(mu, logvar)

    def of_critic(model, critic, x):
        with torch.no_grad():
            z = codes(model, x)
        z_prior = draw(z)
        distance = critic(z_prior).mean() - critic(z).mean()
        t = torch.rand(len(z), 1)
        points = (t * z_prior + (1 - t) * z).requires_grad_()
        (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        penalty = (slopes.norm(dim=1) - 1).square().mean()
        return {"loss": recipe.penalty * penalty - distance, "distance": distance, "penalty": penalty}

    def of_model(model, x):
        z = codes(model, x)
        distortion = closed_forms.bernoulli_nll(model.decode(z), x).mean()
        gap = -critic(z).mean()
        return {"loss": share * distortion + recipe.weight * gap, "distortion": distortion, "gap": gap}

    return model, of_model, replace(rival, module=critic, loss_function=of_critic)


UNITS: dict[str, dict] = {
    "01_autoencoders": {
        "epochs": 15,
        "batch_size": 128,
        "lr": 1e-3,
        "models": {"ae": Recipe("ae", 64)},
    },
    "02_variational_autoencoders": {
        "epochs": 5,
        "batch_size": 128,
        "lr": 1e-3,
        "models": {"ae": Recipe("ae", 20, start_at_mean=True)}
        | {
            f"beta {beta:g}": Recipe("vae", 20, beta=beta, start_at_mean=True)
            for beta in (0, 0.784, 1, 2, 7.84, 30, 7840)
        }
        | {"latent 2": Recipe("vae", 2, start_at_mean=True)},
    },
    "03_interpolation": {
        "epochs": 12,
        "batch_size": 128,
        "lr": 1e-3,
        "models": {"ae": Recipe("ae", 10), "vae": Recipe("vae", 10)},
    },
    "04_mmd": {
        "epochs": 10,
        "batch_size": 128,
        "lr": 1e-3,
        "models": {
            "ae": Recipe("ae", 20),
            "mmd_ae": Recipe("mmd-ae", 20, weight=100.0),
            "vae": Recipe("vae", 20),
            "mmd_vae": Recipe("mmd-vae", 20, weight=100.0),
            "infovae": Recipe("infovae", 20, beta=0.5, weight=100.0),
        }
        | {
            f"{name}, 2 latents": Part(recipe, 60_000, 3)
            for name, recipe in {
                **{f"vae beta {beta:g}": Recipe("vae", 2, beta=beta) for beta in (0.5, 1, 2, 4)},
                "infovae": Recipe("infovae", 2, beta=0.5, weight=100.0),
                "mmd_vae": Recipe("mmd-vae", 2, weight=100.0),
            }.items()
        }
        | {
            f"{name}, {images} images": Part(recipe, images, epochs)
            for images, epochs in ((100, 1000), (500, 250), (5000, 25))  # about 1,000 steps each
            for name, recipe in {
                **{f"vae beta {beta:g}": Recipe("vae", 20, beta=beta) for beta in (1, 2)},
                **{f"mmd_vae weight {weight:g}": Recipe("mmd-vae", 20, weight=weight) for weight in (30.0, 100.0)},
            }.items()
        }
        | {f"vae beta {beta:g}": Recipe("vae", 20, beta=beta) for beta in (0.5, 2)}
        | {f"mmd_ae weight {weight:g}": Recipe("mmd-ae", 20, weight=weight) for weight in (10.0, 1000.0)},
    },
    "05_wasserstein": {
        "epochs": 12,
        "batch_size": 256,
        "lr": 1e-3,
        "models": {
            f"kl beta={beta:g}": Recipe("vae", 10, (256,), beta=beta, start_at_mean=True)
            for beta in (0.25, 0.5, 1, 2, 4)
        }
        | {
            f"wasserstein weight={weight:g}": Recipe(
                "wasserstein", 10, (256,), weight=weight, critic_steps=3, critic_betas=(0.0, 0.9), start_at_mean=True
            )
            for weight in (1, 3, 6, 10, 15)
        }
        | {  # one epoch takes about the time of twelve of a KL model
            "report, " + (BUGS[count - 1] if count else "sound"): Brief(REPORTED, 1, 128, BUGS[:count])
            for count in range(len(BUGS) + 1)
        },
    },
    "06_awa2": {
        "epochs": 5,
        "batch_size": 32,
        "lr": 2e-3,
        "dataset": "toy_animals",
        "images": 4824,
        "models": ANIMALS,
    },
    "06_factors": {
        "epochs": 20,
        "batch_size": 60,
        "lr": 1e-3,
        "dataset": "toy_animals",
        "images": PART,
        "models": ONE_ANIMAL,
        "seeds": (0, 1, 2, 3, 4),
    },
    "08_uses": {
        "epochs": 4,
        "batch_size": 128,
        "lr": 1e-3,
        "prepare": without,
        "images": 54_158,
        "models": {
            "ae": Recipe("ae", 20),
            "vae": Recipe("vae", 20),
            "mmd_ae": Recipe("mmd-ae", 20, weight=100.0),
            "wasserstein": Recipe(
                "wasserstein", 20, weight=3.0, critic_dims=(256, 128), critic_steps=2, critic_betas=(0.0, 0.9)
            ),
        },
    },
}
CRITIC = Recipe("wasserstein", 20, weight=3.0, critic_dims=(256, 128), critic_steps=1, critic_betas=(0.0, 0.9))
UNITS["09_beyond"] = {
    "epochs": 4,
    "batch_size": 128,
    "lr": 1e-3,
    "models": {
        "ae": Recipe("ae", 20),
        "vae": Recipe("vae", 20),
        "dictionary": Dictionary(),
        "critic": CRITIC,
        "adversarial": Logistic(CRITIC),
    },
}
SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("unit", choices=UNITS)
    parser.add_argument("--fresh", action="store_true", help="forget what is stored")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    make(options.unit, fresh=options.fresh)


def seeds_of(plan: dict) -> tuple[int, ...]:
    """The seeds that the models of this plan are trained with."""
    return plan.get("seeds", SEEDS)


def make(unit: str, *, fresh: bool) -> None:
    plan = UNITS[unit]
    data = datasets.load(plan.get("dataset", "mnist"))
    reader = classifier.reader(data) if "dataset" not in plan else classifier.train(data, epochs=1)
    print(f"classifier: {reader.accuracy:.2%} of the test images", flush=True)
    kept = {} if fresh else _kept(unit, plan)
    for seed in seeds_of(plan):
        for name, recipe in plan["models"].items():
            if (name, seed) not in kept:
                kept[name, seed] = {"model": name, "seed": seed} | _run(unit, recipe, seed, data, reader)
                print(unit, name, seed, f"{kept[name, seed]['seconds']:.0f} s", flush=True)
                _write(unit, plan, kept, reader)
    _write(unit, plan, kept, reader)


def _lengths(plan: dict) -> dict:
    return {key: plan[key] for key in ("epochs", "batch_size", "lr")}


def _run(unit: str, recipe: Recipe | Part | Brief, seed: int, data, reader) -> dict[str, float]:
    plan = UNITS[unit]
    if unit == "06_awa2":
        return run_animals(recipe, _lengths(plan), seed, data, reader)
    if unit == "06_factors":
        return run_factors(recipe, _lengths(plan), seed)
    part = brief = None
    if isinstance(recipe, Brief):
        brief, recipe = recipe, recipe.recipe
        plan = plan | {"epochs": brief.epochs, "batch_size": brief.batch_size}
    if isinstance(recipe, Part):
        part, recipe = recipe, recipe.recipe
        plan = plan | {"epochs": part.epochs}
        data = data._replace(
            train_images=data.train_images[: part.images], train_labels=data.train_labels[: part.images]
        )
    data = plan["prepare"](data) if "prepare" in plan else data
    device.seed_everything(seed)  # of the weights; fit seeds the order and the noise
    images = data.train_images.flatten(1)
    if unit == "09_beyond":
        model, loss_function, critic = prepare_beyond(recipe, images)
    else:
        model, loss_function, critic = (
            prepare_bugged(brief, images) if brief and brief.bugs else recipes.prepare(recipe, images)
        )
    began = time.process_time()  # of one thread, whatever else runs on the machine
    run = training.fit(model, loss_function, images, **_lengths(plan), seed=seed, critic=critic, progress=False)
    if run.stopped:
        raise SystemExit(f"{recipe} with seed {seed}: training stopped ({run.stopped}).")
    seconds = time.process_time() - began
    last = {f"train_{key}": value for key, value in run.history[-1].items() if key not in ("epoch", "seconds")}
    if isinstance(model, models.GaussianAutoencoder):
        logvar = metrics.posterior(model, data.test_images.flatten(1))[1]
        last["posterior_sigma"] = float(torch.exp(0.5 * logvar).mean())
    if unit == "08_uses":
        return {"seconds": seconds} | last | of_uses(model, critic.module if critic else None, data, reader)
    if unit == "09_beyond":
        return (
            {"seconds": seconds}
            | last
            | of_beyond(model, data, metrics.Yardstick(data), seed, second_stage=critic is None)
        )
    if unit in MORE:
        last |= MORE[unit](model, data, reader)
    if brief is not None:
        return {"seconds": seconds} | last | in_brief(model, data, reader, seed)
    if part is not None:
        return {"seconds": seconds} | last | of_codes(model, data, reader, seed)
    if unit == "01_autoencoders":  # whose numbers are its own
        return {"seconds": seconds} | last
    also = {}
    if plan is UNITS["02_variational_autoencoders"]:
        apart = recipe.kind == "ae" or (recipe.latent_dim == 20 and recipe.beta in (0, 1))
        also = _of_unit_02(model, data, reader, seed, apart)
    return {"seconds": seconds} | scorecard.measure(model, data, reader) | last | also


@torch.no_grad()
def _of_unit_02(model, data, reader, seed: int, apart: bool) -> dict[str, float]:
    """What unit 02 concludes from: the scale of the codes, digits read, and where samples are taken ``apart``, their
    distance by where the codes come from."""
    train, test = data.train_images[: scorecard.NUM_PROBED].flatten(1), data.test_images.flatten(1)
    values: dict[str, float] = {}
    if isinstance(model, models.GaussianAutoencoder):
        mu, logvar = metrics.posterior(model, test)
        moments = (mu.square() + logvar.exp()).mean(0)
        values["least_second_moment"], values["largest_second_moment"] = float(moments.min()), float(moments.max())
        values["rate_rescaled"] = _rate(mu, logvar) - float(0.5 * (moments - 1 - moments.log()).sum())
        values["codes_within_3"] = float((mu.norm(dim=1) < 3).float().mean())
        values["codes_within_3_rescaled"] = float(((mu / moments.sqrt()).norm(dim=1) < 3).float().mean())
        codes = aggregate.sample(*metrics.posterior(model, train), seed=seed)
        rebuilt = metrics.decoded(model, mu)
    else:
        codes = metrics.codes(model, train)
        rebuilt = metrics.reconstructions(model, test)
    values["length_of_codes"] = float(codes.square().sum(1).mean().sqrt())
    read = reader.predict(rebuilt) == data.test_labels
    values |= {f"read_{digit}": value for digit, value in enumerate(metrics.per_class(read, data.test_labels, 10))}
    values["read"] = float(read.float().mean())
    if not apart:
        return values
    for kind, z in _draws(codes, scorecard.NUM_SAMPLES, seed).items():
        images = metrics.decoded(model, z.float().to(codes.device))
        values[f"frechet_{kind}"] = metrics.sample_quality(reader, images, data.test_images).frechet
    return values


def _rate(mu: torch.Tensor, logvar: torch.Tensor) -> float:
    """The rate of these posteriors, in nats per image."""
    return float(metrics.rate_per_dimension(mu, logvar).sum())


def _draws(codes: torch.Tensor, count: int, seed: int) -> dict[str, torch.Tensor]:
    """Codes drawn from four descriptions of the given ones, from the coarsest to the codes themselves."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, codes.shape[1], generator=generator)
    cpu = codes.double().cpu()
    spread = torch.linalg.cholesky(torch.cov(cpu.T) + 1e-9 * torch.eye(cpu.shape[1])).float()
    mixture = paths.fit_mixture(codes, seed=seed)
    mean = cpu.mean(0).float()
    return {
        "scaled": mean + cpu.std(0).float() * noise,
        "gaussian": mean + noise @ spread.T,
        "mixture": torch.from_numpy(mixture.sample(count)[0]),
        "own": codes[torch.randperm(len(codes), generator=generator)[:count]],
    }


def _kept(unit: str, plan: dict) -> dict[tuple[str, int], dict]:
    """The stored rows whose model, settings and length of training are those of the plan."""
    try:
        stored = reference_runs.load(unit)
    except Exception:
        return {}
    same = {name for name, recipe in plan["models"].items() if stored.settings.get(name) == recipe.settings()}
    if any(stored.made_with[key] != plan[key] for key in ("epochs", "batch_size", "lr")):
        same = set()
    return {(row["model"], row["seed"]): row for row in stored.rows if row["model"] in same}


def _write(unit: str, plan: dict, kept: dict, reader) -> None:
    order = list(plan["models"])
    rows = sorted(kept.values(), key=lambda row: (order.index(row["model"]), row["seed"]))
    fixed = ["model", "seed", "seconds", *scorecard.COLUMNS]
    extra = sorted({key for row in rows for key in row} - set(fixed))
    path = reference_runs.FOLDER / f"{unit}.csv"
    with whole_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(fixed + extra)
        for row in rows:
            writer.writerow([_short(row.get(key, math.nan)) for key in fixed + extra])
    about = {
        "models": {name: plan["models"][name].settings() for name in order},
        "made_with": {
            "dataset": plan.get("dataset", "MNIST"),
            "images": plan.get("images", 60000),
            **_lengths(plan),
            "classifier_accuracy": round(reader.accuracy, 4),
            "torch": torch.__version__.split("+")[0],
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
            "device": "cpu",
        },
    }
    write_whole(path.with_suffix(".json"), json.dumps(about, indent=1) + "\n")


def _short(value) -> str:
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else f"{value:.6g}"


if __name__ == "__main__":
    main()
