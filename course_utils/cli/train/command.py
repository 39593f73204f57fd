"""``course train``: any model of the course on any data set, from the command line.

What a run leaves in ``runs/train/<name>/``: ``run.json`` (exactly what was run), ``history.csv``, three grids of
pictures (originals, reconstructions, samples), and the checkpoint that an interrupted training goes on from. The model
itself is kept as every notebook keeps its own, in ``runs/train/<name>.safetensors``, where the scoreboard finds it.

Everything is checked before anything is written; ``run.json`` always says what the checkpoint beside it has had.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import platform
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils import datasets, metrics, training
from course_utils.datasets import Dataset
from course_utils.models import runs, samplers
from course_utils.models.networks import LatentModel
from course_utils.system import contracts, device, machine, settings
from course_utils.system.contracts import Number, OneOf, Whole
from course_utils.system.errors import CourseError
from course_utils.system.whole_file import write_whole
from course_utils.training import recipes
from course_utils.training.loop import OPTIMIZERS, SCHEDULES
from course_utils.training.recipes import Recipe

from . import loggers

UNIT = "train"
GRID = 64


SETTINGS = {**training.SETTINGS, "epochs": Whole(1)}
SETTINGS |= {"optimizer": OneOf(tuple(OPTIMIZERS)), "schedule": OneOf(tuple(SCHEDULES))}
SETTINGS |= {"sampler": OneOf(tuple(samplers.SAMPLERS)), "validation": Number(least=0, below=1), "size": Whole(8, 512)}
USUAL = {"hidden_dims": (400,), "epochs": 10, "batch_size": 128, "lr": 1e-3, "precision": "float32"}
HELD_OUT = 0.1  # of the training images, for early stopping, where nothing else is said


@dataclass(frozen=True)
class Request:
    """What the command line asked for.

    Raises:
        ValueError: a setting is out of its range.
    """

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
    optimizer: str = "adam"
    schedule: str = "constant"
    validation: float = 0.0  # share of the training images that is held out
    patience: int | None = None
    sampler: str = "prior"  # of the picture samples.png
    size: int | None = None  # of the pictures, where the data set has several

    def __post_init__(self) -> None:
        given = {key: getattr(self, key) for key in SETTINGS if getattr(self, key) is not None}
        for key, value in contracts.check(SETTINGS, given).items():
            object.__setattr__(self, key, value)
        if self.patience is not None and not self.validation:
            object.__setattr__(self, "validation", HELD_OUT)

    @property
    def run_name(self) -> str:
        """``--name``, else one that says all that distinguishes the run from one with the usual settings."""
        if self.name:
            return self.name
        recipe, used = self.recipe, self.recipe.settings()
        parts = [recipe.kind, datasets.as_file_name(self.dataset), f"z{recipe.latent_dim}"]
        parts += [f"{key}{_short(used[key])}" for key in ("beta", "weight") if key in used]
        if recipe.hidden_dims != USUAL["hidden_dims"]:
            parts.append("h" + "_".join(map(str, recipe.hidden_dims)))
        for key, letter in (("epochs", "e"), ("batch_size", "b"), ("lr", "lr")):
            if getattr(self, key) != USUAL[key]:
                parts.append(f"{letter}{_short(getattr(self, key))}")
        parts += [self.precision] if self.precision != USUAL["precision"] else []
        parts += [self.optimizer] if self.optimizer != "adam" else []
        parts += [self.schedule] if self.schedule != "constant" else []
        parts += [
            f"{letter}{_short(value)}" for letter, value in (("val", self.validation), ("p", self.patience)) if value
        ]
        parts += [f"s{self.size}"] if self.size else []
        parts += [recipe.likelihood] if recipe.likelihood != "bernoulli" else []
        if recipe.bandwidths is not None and "bandwidths" in used:
            parts.append("bw" + "_".join(map(_short, recipe.bandwidths)))
        parts += [word for word, there in (("biased", recipe.biased), ("pca", recipe.start_at_pca)) if there]
        unusual = Recipe(
            recipe.kind,
            recipe.latent_dim,
            recipe.hidden_dims,
            beta=recipe.beta,
            weight=recipe.weight,
            likelihood=recipe.likelihood,
            bandwidths=recipe.bandwidths,
            biased=recipe.biased,
            start_at_pca=recipe.start_at_pca,
        )
        if unusual != recipe:  # what the command line does not offer, and Python does
            parts.append(hashlib.sha256(repr(recipe).encode()).hexdigest()[:8])
        return "-".join([*parts, f"seed{self.seed}"])


def _short(value: float) -> str:
    """All digits of a number, and no more: 4, 0.1, 1e-05."""
    return repr(float(value)).removesuffix(".0")


def train(request: Request) -> Path:
    """Train, or go on with a training that was interrupted; returns the run's folder.

    Raises:
        CourseError: wrong settings, a run of this name with others, a damaged checkpoint, another training at work on
            it, a loss that left the finite numbers, or a file that could not be written.
        KeyboardInterrupt: stopped by the user, SIGTERM or SIGHUP; everything up to the last whole epoch is kept.
    """
    with _ended_like_ctrl_c():
        return _train(request)


def _train(request: Request) -> Path:
    settings.check()
    try:
        weights = runs.path_of(request.run_name, UNIT)
    except ValueError as error:
        raise CourseError(str(error)) from None
    if request.log is not None and request.log not in loggers.OPTIONAL:
        raise CourseError(f"There is no logger {request.log!r}; expected one of {', '.join(loggers.OPTIONAL)}.")
    if request.log is not None:
        loggers.OPTIONAL[request.log].look()
    target = device.get_device(request.device)
    if request.cuda_graph and target.type != "cuda":
        raise CourseError(f"--cuda-graph needs a CUDA device; this training is on {target}. Leave it out.")
    data = datasets.load(request.dataset, device=target, size=request.size)
    train_images, test_images = (_images(images) for images in (data.train_images, data.test_images))
    train_images, validation_images = _held_out(train_images, request.validation)
    device.seed_everything(request.seed)
    prepared = _prepared(request.recipe, train_images)
    if train_images.ndim == 4:
        prepared.model.to(memory_format=torch.channels_last)
    folder = weights.parent / request.run_name
    about = _about(request, prepared.model, data, target)
    _refuse_too_little_space(weights.parent, prepared.model)
    with training.only_one(folder, f"the run {folder}"):
        former = folder / "checkpoint.safetensors"  # of an earlier version: refused when read, never passed over
        checkpoint = former if former.exists() and not request.fresh else folder / "checkpoint.pt"
        if not request.fresh:
            _refuse_other_settings(folder, about, checkpoint, weights)
        _remove_scratch(folder, weights)
        return _train_in(folder, checkpoint, request, prepared, about, train_images, test_images, validation_images)


def _train_in(
    folder: Path,
    checkpoint: Path,
    request: Request,
    prepared: recipes.Prepared,
    about: dict,
    train_images: Tensor,
    test_images: Tensor,
    validation_images: Tensor | None,
) -> Path:
    logger: Any = None

    def log(run: training.Run) -> None:
        nonlocal logger
        _attempt(run, folder / "run.json", lambda: _write_about(folder, about, run, finished=False))
        _attempt(run, folder / "history.csv", lambda: loggers.write_csv(folder / "history.csv", run.history))
        if request.fresh:
            (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        try:
            if request.log and logger is None:
                logger = loggers.OPTIONAL[request.log](folder, request.run_name, about)
            if logger:
                logger.log(run.history[-1])
        except Exception as error:  # whatever is the matter with it: the training is worth more
            training.say(
                f"{request.log} does not take this epoch ({str(error).splitlines()[0] if str(error) else error!r})."
            )

    training.say(f"{request.run_name}: {recipes.KINDS[request.recipe.kind]}")
    try:
        run = training.fit(
            prepared.model,
            prepared.loss_function,
            train_images,
            epochs=request.epochs,
            test_images=test_images,
            batch_size=request.batch_size,
            lr=request.lr,
            seed=request.seed,
            name=request.run_name,
            unit=UNIT,
            critic=prepared.critic,
            precision=request.precision,
            cuda_graph=request.cuda_graph,
            checkpoint=checkpoint,
            fresh=request.fresh,
            about={"model": about["model"], "dataset": request.dataset},
            on_epoch=log,
            optimizer=request.optimizer,
            schedule=request.schedule,
            validation_images=validation_images,
            patience=request.patience,
        )
    finally:
        if logger:
            with contextlib.suppress(Exception):
                logger.close()
    if run.whole_epochs > request.epochs and (folder / "run.json").exists():
        return folder  # it was said, and nothing is changed
    if run.history:
        _attempt(run, folder, lambda: _draw(folder, run.model, train_images, test_images, request))
    _attempt(
        run,
        folder / "run.json",
        lambda: _write_about(folder, about, run, finished=run.stopped is None and run.path is not None),
    )
    if run.stopped == "interrupted":
        training.say(f"Kept in {folder}. Run the same command again to go on.")
        raise KeyboardInterrupt
    if run.stopped:
        raise CourseError(f"{request.run_name} was not trained to its end; what there is lies in {folder}.")
    if run.lost:
        kept = f"the model is kept in {run.path}" if run.path else "the model is not kept"
        raise CourseError(
            f"not everything could be written: {' '.join(run.lost)} Trained to its end: {kept}. Free some space, then "
            "run the same command again."
        )
    return folder


def _write_about(folder: Path, about: dict, run: training.Run, *, finished: bool) -> None:
    """``run.json``: ``epochs`` is what the weights have had, whatever was asked for."""
    last = {key: value for key, value in (run.history[-1] if run.history else {}).items() if key != "seconds"}
    found = about | {
        "epochs": run.whole_epochs,
        "epochs_asked": about["epochs"],
        "finished": finished,
        "stopped": run.stopped,
        "seconds": round(run.history[-1]["seconds"] if run.history else 0.0, 2),
        "last_epoch": last,
        "weights": str(runs.path_of(about["name"], UNIT)),
        "sittings": run.provenance.get("sittings", []),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "run.json", runs.strict_json(found) + "\n")


def _attempt(run: training.Run, path: Path, write: Callable[[], object]) -> None:
    """A file that cannot be written is said once, and costs nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    except OSError as error:
        sentence = f"{path} could not be written ({error.strerror or error})."
        if sentence not in run.lost:
            run.lost.append(sentence)
            training.say(sentence)


@contextlib.contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP interrupt as Ctrl-C does, unless they are ignored (nohup) or handled by others."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    taken = [number for number in signals if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _refuse_too_little_space(folder: Path, model: torch.nn.Module) -> None:
    """Where not even the model would fit, nothing is begun."""
    needed = sum(value.nbytes for value in model.state_dict().values()) + 100_000
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise CourseError(
            f"The disk is full: the model takes {needed / 1e6:.1f} MB in {folder}, {free / 1e6:.1f} MB are free. Free "
            "some space, or name a folder on a larger disk: set COURSE_RUNS to it."
        )


def _remove_scratch(folder: Path, weights: Path) -> None:
    """Half files that a training left here which was killed while it wrote."""
    for place, stems in ((folder, ("checkpoint", "run", "history")), (weights.parent, (weights.stem,))):
        for path in place.glob(".*"):
            if any(re.fullmatch(rf"\.{re.escape(stem)}-[a-z0-9_]{{8}}\.\w+", path.name) for stem in stems):
                path.unlink(missing_ok=True)


def recipe(
    kind: str,
    latent_dim: int,
    hidden_dim: int,
    beta: float,
    weight: float | None,
    likelihood: str = "bernoulli",
    bandwidths: str | None = None,
    biased: bool = False,
    start_at_pca: bool = False,
) -> Recipe:
    """The recipe that the options describe, with a weight that suits the kind where none is given.

    Raises:
        CourseError: no such model; ``bandwidths`` that are not numbers; options of an MMD for a model without one.
    """
    if kind not in recipes.KINDS:
        raise CourseError(f"There is no model {kind!r}; expected one of {', '.join(recipes.KINDS)}.")
    if weight is None:
        weight = recipes.WEIGHTS.get(kind, 1.0)
    if (bandwidths is not None or biased) and "mmd" not in kind and kind != "infovae":
        raise CourseError(
            f"--bandwidths and --biased are of an MMD, which {kind} has not; mmd-ae, mmd-vae, infovae do."
        )
    try:
        widths = None if bandwidths is None else tuple(float(each) for each in bandwidths.split(","))
    except ValueError:
        raise CourseError(f"--bandwidths is {bandwidths!r}; expected numbers with commas between, as 4,8,16.") from None
    return Recipe(
        kind,
        latent_dim,
        (hidden_dim,),
        beta=beta,
        weight=weight,
        likelihood=likelihood,
        bandwidths=widths,
        biased=biased,
        start_at_pca=start_at_pca,
    )


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
        **{
            key: getattr(request, key) for key in ("optimizer", "schedule", "validation", "patience", "size", "sampler")
        },
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {"python": platform.python_version()}
        | machine.versions("latent-space-course", "torch", "torchvision", "numpy", "safetensors"),
        "hardware": {
            "device": device.describe(target),
            "machine": platform.machine(),
            "system": platform.platform(),
            "threads": torch.get_num_threads(),
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


_DECISIVE = (
    "model",
    "dataset",
    "data_sha256",
    "batch_size",
    "lr",
    "seed",
    "precision",
    "optimizer",
    "schedule",
    "validation",
    "patience",
    "size",
)


def _refuse_other_settings(folder: Path, about: dict, checkpoint: Path, weights: Path) -> None:
    """A run of the same name that was asked for otherwise is not gone on with, and not overwritten.

    ``run.json`` is asked first, as it names every setting; the checkpoint, when it is read, and the weights, where
    there is no checkpoint, are asked whatever it says.
    """
    advice = "Give the new one another --name, or replace the old one with --fresh."
    try:
        before = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        before = {}
    if checkpoint.exists() and isinstance(before, dict):
        for key in _DECISIVE:
            if key in before and before[key] != json.loads(runs.strict_json({"": about[key]}))[""]:
                raise CourseError(
                    f"{folder} holds a run with {key} = {before[key]!r}, now it is {about[key]!r}. {advice}"
                )
    if checkpoint.exists() or not weights.exists():
        return
    try:
        kept, _ = runs.read(weights)
    except CourseError as error:
        raise CourseError(f"{error} {advice}") from None
    settings, provenance = kept.get("settings", {}), kept.get("provenance", {})
    was = {key: settings.get(key) for key in ("batch_size", "lr", "seed")} | {
        "model": provenance.get("about", {}).get("model"),
        "dataset": provenance.get("about", {}).get("dataset"),
        "precision": settings.get("precision", "float32"),
        "optimizer": settings.get("optimizer", "adam"),
        "schedule": settings.get("schedule", "constant"),
        "patience": settings.get("patience"),
    }
    for key, value in was.items():
        if value != json.loads(runs.strict_json({"": about[key]}))[""]:
            raise CourseError(f"{weights} is a model with {key} = {value!r}, now it is {about[key]!r}. {advice}")
    if kept.get("stopped") is None and settings.get("epochs", 0) > about["epochs"]:
        raise CourseError(
            f"{weights} has {settings['epochs']} epochs already, {about['epochs']} were asked for, and its checkpoint "
            f"is gone. {advice}"
        )


def _digest(data: Dataset) -> str:
    """SHA-256 of all images and labels, in order."""
    digest = hashlib.sha256()
    for tensor in data[:4]:
        digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _held_out(images: Tensor, share: float) -> tuple[Tensor, Tensor | None]:
    """Training images without a part for validation, and that part: the same one whatever the seed of the training."""
    if not share:
        return images, None
    count = round(len(images) * share)
    if not 0 < count < len(images):
        raise CourseError(f"--validation {share:g} of {len(images)} images is {count}; expected some on either side.")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).to(images.device)
    return images[order[count:].sort().values], images[order[:count].sort().values]


@torch.no_grad()
def _draw(folder: Path, model: LatentModel, train_images: Tensor, test_images: Tensor, request: Request) -> None:
    """The three grids: originals, their reconstructions, and samples."""
    shown = datasets.scale(test_images[:GRID])
    codes = torch.zeros(1, request.recipe.latent_dim)  # the prior looks at their width alone
    if request.sampler != "prior":
        codes = samplers.aggregate_codes(model, train_images[:10_000], seed=0)
    drawn = samplers.make(request.sampler).fit(codes).sample(GRID, seed=0).to(shown.device)
    grids = {
        "originals": shown,
        "reconstructions": metrics.reconstructions(model, shown),
        "samples": metrics.decoded(model, drawn),
    }
    from PIL import Image

    from course_utils import plots

    for name, images in grids.items():
        mosaic = plots.mosaic(images, columns=8)
        Image.fromarray((mosaic * 255).round().astype("uint8")).save(folder / f"{name}.png")


def describe(folder: Path) -> str:
    """What the command says at the end."""
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    numbers = ", ".join(
        f"{key} {math.nan if value is None else value:.4g}"
        for key, value in about["last_epoch"].items()
        if key.startswith("test_")
    )
    files = f"{folder}: run.json, history.csv, originals.png, reconstructions.png, samples.png"
    return f"{numbers}\n{about['weights']}: the model\n{files}"
