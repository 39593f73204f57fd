"""``course train``: any model of the course on any data set, from the command line.

What a run leaves in ``runs/train/<name>/``: ``run.json`` (exactly what was run), ``history.csv``, three grids of
pictures (originals, reconstructions, samples), and the checkpoint that an interrupted training goes on from. The model
itself is kept as every notebook keeps its own, in ``runs/train/<name>.safetensors``, where the scoreboard finds it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils import datasets, metrics, training
from course_utils.datasets import Dataset
from course_utils.models import runs
from course_utils.system import device
from course_utils.system.errors import CourseError
from course_utils.system.whole_file import write_whole
from course_utils.training import recipes
from course_utils.training.recipes import Recipe

from . import loggers

UNIT = "train"
GRID = 64


@dataclass(frozen=True)
class Request:
    """What the command line asked for."""

    recipe: Recipe
    dataset: str
    epochs: int
    batch_size: int
    lr: float
    seed: int
    device: str | None = None
    precision: str = "float32"
    cuda_graph: bool = False
    name: str | None = None
    log: str | None = None
    fresh: bool = False

    @property
    def run_name(self) -> str:
        """``--name``, else one that says what distinguishes the run."""
        if self.name:
            return self.name
        recipe = self.recipe
        parts = [recipe.kind, datasets.as_file_name(self.dataset), f"z{recipe.latent_dim}"]
        used = recipe.settings()
        parts += [f"{key}{used[key]:g}" for key in ("beta", "weight") if key in used]
        return "-".join([*parts, f"seed{self.seed}"])


def train(request: Request) -> Path:
    """Train, or go on with a training that was interrupted; returns the run's folder.

    Raises:
        CourseError: wrong settings, a run of this name with others, a damaged checkpoint, or a loss that left the
            finite numbers.
        KeyboardInterrupt: stopped by the user; everything up to the last whole epoch is kept.
    """
    try:
        runs.check_name(request.run_name)
    except ValueError as error:
        raise CourseError(str(error)) from None
    if request.log is not None and request.log not in loggers.OPTIONAL:
        raise CourseError(f"There is no logger {request.log!r}; expected one of {', '.join(loggers.OPTIONAL)}.")
    target = device.get_device(request.device)
    if request.cuda_graph and target.type != "cuda":
        raise CourseError(f"--cuda-graph needs a CUDA device; this training is on {target}. Leave it out.")
    data = datasets.load(request.dataset, device=target)
    train_images, test_images = (_images(images) for images in (data.train_images, data.test_images))
    device.seed_everything(request.seed)
    model, loss_function, critic = _prepared(request.recipe, train_images)
    if train_images.ndim == 4:
        model.to(memory_format=torch.channels_last)
    folder = runs.folder(UNIT) / request.run_name
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, former = folder / "checkpoint.pt", folder / "checkpoint.safetensors"
    if request.fresh:
        checkpoint.unlink(missing_ok=True)
        former.unlink(missing_ok=True)
    if former.exists():  # of an earlier version: refused when it is read, never passed over
        checkpoint = former
    about = _about(request, model, data, target)
    _refuse_other_settings(folder, about, checkpoint)
    write_whole(folder / "run.json", json.dumps(about | {"finished": False}, indent=1) + "\n")
    print(f"{request.run_name}: {recipes.KINDS[request.recipe.kind]}", flush=True)
    logger: Any = loggers.OPTIONAL[request.log](folder, request.run_name, about) if request.log else None

    def log(run: training.Run) -> None:
        loggers.write_csv(folder / "history.csv", run.history)
        if logger:
            logger.log(run.history[-1])

    try:
        run = training.fit(
            model,
            loss_function,
            train_images,
            epochs=request.epochs,
            test_images=test_images,
            batch_size=request.batch_size,
            lr=request.lr,
            seed=request.seed,
            name=request.run_name,
            unit=UNIT,
            critic=critic,
            precision=request.precision,
            cuda_graph=request.cuda_graph,
            checkpoint=checkpoint,
            on_epoch=log,
        )
    finally:
        if logger:
            logger.close()
    if run.history:
        _draw(folder, model, test_images, request.recipe.latent_dim)
    last = {key: value for key, value in (run.history[-1] if run.history else {}).items() if key != "seconds"}
    about |= {
        "finished": run.stopped is None,
        "stopped": run.stopped,
        "seconds": round(run.seconds, 2),
        "last_epoch": last,
    }
    write_whole(folder / "run.json", json.dumps(about, indent=1) + "\n")
    if run.stopped == "interrupted":
        print(f"Kept in {folder}. Run the same command again to go on.", flush=True)
        raise KeyboardInterrupt
    if run.stopped:
        raise CourseError(f"{request.run_name} was not trained to its end; what there is lies in {folder}.")
    return folder


def recipe(kind: str, latent_dim: int, hidden_dim: int, beta: float, weight: float | None) -> Recipe:
    """The recipe that the options describe, with a weight that suits the kind where none is given."""
    if kind not in recipes.KINDS:
        raise CourseError(f"There is no model {kind!r}; expected one of {', '.join(recipes.KINDS)}.")
    if weight is None:
        weight = recipes.WEIGHTS.get(kind, 1.0)
    return Recipe(kind, latent_dim, (hidden_dim,), beta=beta, weight=weight)


def _images(images: Tensor) -> Tensor:
    """Pictures of 64x64 stay pictures; smaller ones are flat, for linear layers."""
    return images if images.shape[2:] == (64, 64) else images.flatten(1)


def _prepared(recipe: Recipe, images: Tensor) -> recipes.Prepared:
    try:
        return recipes.prepare(recipe, images)
    except ValueError as error:
        raise CourseError(str(error)) from None


def _about(request: Request, model, data: Dataset, target: torch.device) -> dict:
    """Everything that decides about the result, and where it was computed."""
    return {
        "name": request.run_name,
        "model": request.recipe.settings(),
        "dataset": request.dataset,
        "data_sha256": _digest(data),
        "training_images": len(data.train_images),
        **{key: getattr(request, key) for key in ("epochs", "batch_size", "lr", "seed", "precision", "cuda_graph")},
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": _versions("latent-space-course", "torch", "torchvision", "numpy", "safetensors"),
        "hardware": {
            "device": device.describe(target),
            "machine": platform.machine(),
            "system": platform.platform(),
            "threads": torch.get_num_threads(),
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _versions(*packages: str) -> dict[str, str]:
    """Of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


_DECISIVE = ("model", "dataset", "data_sha256", "batch_size", "lr", "seed", "precision")


def _refuse_other_settings(folder: Path, about: dict, checkpoint: Path) -> None:
    """A run of the same name that was asked for otherwise is not gone on with, and not overwritten."""
    if not checkpoint.exists():
        return
    try:
        before = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # the checkpoint holds the settings too and is asked next
    for key in _DECISIVE:
        if before.get(key) != about[key]:
            raise CourseError(
                f"{folder} holds a run with {key} = {before.get(key)!r}, now it is {about[key]!r}. "
                "Give the new one another --name, or replace the old one with --fresh."
            )


def _digest(data: Dataset) -> str:
    """SHA-256 of all images and labels, in order."""
    digest = hashlib.sha256()
    for tensor in data[:4]:
        digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def _draw(folder: Path, model, test_images: Tensor, latent_dim: int) -> None:
    """The three grids: originals, their reconstructions, and samples from the standard normal."""
    shown = datasets.scale(test_images[:GRID])
    grids = {
        "originals": shown,
        "reconstructions": metrics.reconstructions(model, shown),
        "samples": metrics.samples(model, GRID, latent_dim),
    }
    from PIL import Image

    from course_utils import plots

    for name, images in grids.items():
        mosaic = plots.mosaic(images, columns=8)
        Image.fromarray((mosaic * 255).round().astype("uint8")).save(folder / f"{name}.png")


def describe(folder: Path) -> str:
    """What the command says at the end."""
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    numbers = ", ".join(f"{key} {value:.4g}" for key, value in about["last_epoch"].items() if key.startswith("test_"))
    return f"{numbers}\n{folder}: run.json, history.csv, originals.png, reconstructions.png, samples.png"
