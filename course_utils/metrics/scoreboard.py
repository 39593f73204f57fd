"""Everything a student has trained, measured side by side: what ``runs/`` holds, with the numbers of the scorecard.

Only models of one data set are compared; the others are listed with the reason why they are not here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from course_utils import datasets, models
from course_utils.datasets import Dataset
from course_utils.models import classifier, runs
from course_utils.models.networks import LatentModel
from course_utils.system import device, notebook
from course_utils.system.errors import CourseError
from course_utils.system.tree import find_tree
from course_utils.system.whole_file import write_whole

from . import aggregate, distances, paths, reference_runs, scorecard
from . import measures as metrics
from .reference_runs import Band

UNITS = {
    "01_autoencoders": "autoencoders",
    "02_variational_autoencoders": "VAEs at each beta",
    "03_interpolation": "an autoencoder and a VAE of one shape",
    "04_mmd": "MMD-AE, MMD-VAE and InfoVAE",
    "05_wasserstein": "a critic instead of the KL",
}
COLUMNS = (
    "distortion",
    "frechet",
    "precision",
    "recall",
    "linear_probe",
    "path_detour",
    "sliced_wasserstein",
    "rate",
    "active_units",
)
SAMPLED = ("frechet", "precision", "recall")  # what a mixture changes
COLLAPSED_BELOW = 0.1  # nats of rate: such codes tell no image from another
FAMILIES = ("autoencoder", "VAE", "MMD", "critic")
CACHE, PAGE = "scoreboard.json", "scoreboard.html"


@dataclass(frozen=True)
class Row:
    """One line of the board: a model of the student's, or the stored runs of one."""

    unit: str
    label: str
    training: str  # on how much it was trained
    values: dict[str, float] = field(default_factory=dict)  # empty for stored runs
    bands: dict[str, Band] = field(default_factory=dict)  # of stored runs with the same settings
    family: str = FAMILIES[0]
    mixture: bool = False  # sampled from a mixture fitted to its codes instead of N(0, I)
    run: str = ""  # the name that it is kept under: labels may be alike

    @property
    def place(self) -> str:
        """``unit 02``; the folder's name for runs that belong to no unit."""
        return f"unit {self.unit[:2]}" if self.unit[:2].isdigit() else self.unit

    @property
    def model(self) -> tuple[str, str]:
        """What the two ways to sample one model have in common, and no other model has."""
        return self.unit, self.run or self.label

    @property
    def name(self) -> str:
        """The label, with the way it is sampled where that is not N(0, I)."""
        return self.label + (" + mixture" if self.mixture else "")

    @property
    def collapsed(self) -> bool:
        """Its codes tell no image from another, so whatever it decodes is one picture."""
        rate, units = (self.values.get(column, math.nan) for column in ("rate", "active_units"))
        return rate < COLLAPSED_BELOW or units == 0


@dataclass
class Board:
    """What is compared.

    Attributes:
        data_name: of the data set; None if it is not one of the course's.
        kept: the student's runs on it, not yet measured.
        skipped: ``unit/name`` -> why it is not compared.
        rows: what ``measure`` found, in the order of the units, a model's two ways of sampling one after the other;
            before, the stored runs alone.
        perfect: what each measure would be for a perfect copy, for codes that are draws of the prior, and for real
            images as samples: the floor, or the ceiling, of a measure.
        untaught: the same for a model that has learned nothing: it shows the mean image, and its codes are the pixels.
    """

    data_name: str | None
    test_images: int
    kept: list[runs.Kept]
    skipped: dict[str, str]
    rows: list[Row]
    perfect: dict[str, float] = field(default_factory=dict)
    untaught: dict[str, float] = field(default_factory=dict)

    @property
    def missing_units(self) -> list[str]:
        """Units of this course of which nothing is compared yet."""
        there = {run.unit for run in self.kept}
        try:
            taught = find_tree().units() or list(UNITS)
        except CourseError:
            taught = list(UNITS)
        return [unit for unit in UNITS if unit not in there and unit in taught]


def collect(data: Dataset) -> Board:
    """What ``runs/`` holds on this data set. Reads and rebuilds; measures nothing."""
    name = datasets.name_of(data.train_images)
    kept, skipped = runs.every()
    mine = []
    for run in kept:
        if run.data["name"] == name and name is not None:
            mine.append(run)
        else:
            skipped[f"{run.unit}/{run.name}"] = (
                f"it was trained on {run.data['name'] or 'images that are not of a known set'}; "
                f"this board compares models of {name or 'another set'}."
            )
    return Board(name, len(data.test_images), mine, dict(sorted(skipped.items())), _stored_rows(name, []))


def measure(board: Board, data: Dataset, *, at_most: int = 100, progress: bool = True) -> None:
    """Fill ``board.rows``. A model that was measured before, with the same weights, is not measured again.

    Every model gets a second row: sampled from a Gaussian mixture fitted to its codes. Of more than ``at_most`` models
    those kept last are measured, the others are listed.
    """
    line, cache = notebook.Line(), _Cache(board.data_name)
    for run in sorted(board.kept, key=lambda run: run.path.stat().st_mtime)[: max(0, len(board.kept) - at_most)]:
        board.kept.remove(run)
        board.skipped[f"{run.unit}/{run.name}"] = f"only the {at_most} models kept last are measured in this budget."
    instruments = _Instruments(data)
    todo = sum(cache.get(run, with_mixture) is None for run in board.kept for with_mixture in (False, True))
    began, done = time.perf_counter(), 0
    rows: list[Row] = []
    for run in board.kept:
        for with_mixture in (False, True):
            values = cache.get(run, with_mixture)
            if values is None:
                if progress:
                    left = f", about {(time.perf_counter() - began) / done * (todo - done):.0f} s left" if done else ""
                    line.write(f"\rmeasuring {done + 1} of {todo}{left}: {run.unit} {run.label}")
                try:
                    known = cache.get(run, False) if with_mixture else None
                    values = _measured(run, known, instruments)
                except (ValueError, RuntimeError, CourseError) as error:
                    board.skipped[f"{run.unit}/{run.name}"] = f"it could not be measured ({error})."
                    rows = [row for row in rows if row.model != (run.unit, run.name)]
                    todo -= 2 - with_mixture
                    break
                cache.put(run, with_mixture, values)
                done += 1
            bands = {} if with_mixture else _bands_of(run)
            rows.append(Row(run.unit, run.label, _training(run), values, bands, _family(run), with_mixture, run.name))
    if progress and board.kept:
        line.finish(f"{len(rows)} rows of {len(board.kept)} models, {done} measured now.")
    if board.kept:
        board.perfect, board.untaught = cache.references(instruments)
    board.rows = rows + _stored_rows(board.data_name, [row for row in rows if row.bands])


class _Instruments:
    """What every model is measured with: made once, and only when the first model asks."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    @cached_property
    def reader(self) -> classifier.Classifier:
        return classifier.reader(self.data)

    @cached_property
    def real(self) -> Tensor:
        """(N, F) features of the test images."""
        return self.reader.features(datasets.scale(self.data.test_images))

    def references(self) -> tuple[dict[str, float], dict[str, float]]:
        """``Board.perfect`` and ``Board.untaught``."""
        train, test = (datasets.scale(images) for images in (self.data.train_images, self.data.test_images))
        x, mean = test.flatten(1), train.mean(0, keepdim=True)
        count = min(scorecard.NUM_SAMPLES, len(train))
        pixels = [images.flatten(1) for images in (train[: scorecard.NUM_PROBED], test)]
        labels = self.data.train_labels[: scorecard.NUM_PROBED]
        real = scorecard.quality_of(train[:count], self.reader, self.real, SAMPLED)
        one = scorecard.quality_of(mean.expand(count, *mean.shape[1:]), self.reader, self.real, SAMPLED)
        generator = torch.Generator().manual_seed(0)
        prior, *matching = (torch.randn(5000, 10, generator=generator) for _ in range(9))
        probed = metrics.linear_probe(pixels[0], labels, pixels[1], self.data.test_labels).value
        own, shown = (
            -torch.xlogy(x, p) - torch.xlogy(1 - x, 1 - p) for p in (x, mean.flatten(1).clamp(1e-4, 1 - 1e-4))
        )
        perfect = {"distortion": float(own.double().sum(1).mean()), "path_detour": 1.0, **real}
        perfect["sliced_wasserstein"] = fmean(distances.sliced_wasserstein(codes, prior, seed=0) for codes in matching)
        untaught = {"distortion": float(shown.double().sum(1).mean()), "linear_probe": probed, "rate": 0.0, **one}
        return perfect, untaught


def _measured(run: runs.Kept, known: dict[str, float] | None, instruments: _Instruments) -> dict[str, float]:
    """All ``COLUMNS``; of a model that is ``known`` already, those that a mixture changes are new."""
    data = instruments.data
    model = run.model.to(data.train_images.device)
    if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
        raise ValueError("its weights are not finite numbers: its training has failed")
    if known is None:
        return scorecard.measure(model, data, instruments.reader, only=COLUMNS, real_features=instruments.real)
    draw = _mixture_draw(model, data)
    sampled = scorecard.measure(
        model, data, instruments.reader, draw=draw, only=SAMPLED, real_features=instruments.real
    )
    return known | sampled | {"sliced_wasserstein": math.nan}  # there is no prior to be near to


def _mixture_draw(model: LatentModel, data: Dataset) -> Callable[[int], Tensor]:
    images = scorecard.images_for(model, data.train_images[: scorecard.NUM_PROBED])
    found = model.encode(datasets.scale(images[:2]))
    if isinstance(found, tuple):  # what the decoder has seen: draws of q(z | x), not their means
        z = aggregate.sample(*metrics.posterior(model, images))
    else:
        z = metrics.codes(model, images)
    mixture = paths.fit_mixture(z)

    def draw(count: int) -> Tensor:
        codes = torch.from_numpy(mixture.sample(count)[0])  # component after component
        return codes[torch.randperm(count, generator=torch.Generator().manual_seed(0))]

    return draw


def _training(run: runs.Kept) -> str:
    epochs = run.record["settings"].get("epochs", "?")
    linear = (layer for layer in run.model.get_submodule("decoder").modules() if isinstance(layer, nn.Linear))
    dims = next(linear).in_features  # the decoder begins with the code
    stopped = f", stopped: {run.record['stopped']}" if run.record.get("stopped") else ""
    return f"{dims} latents, {run.data['images']:,} images, {epochs} epoch{'' if epochs == 1 else 's'}{stopped}"


def _family(run: runs.Kept) -> str:
    """One of ``FAMILIES``: by the record where it says the kind, else by what was trained beside it and by its name."""
    kind: Any = run.record  # of a run of `course train`
    for key in ("provenance", "about", "model", "kind"):
        kind = kind.get(key) if isinstance(kind, dict) else None
    history = run.record.get("history")
    measured = history[-1] if isinstance(history, list) and history and isinstance(history[-1], dict) else {}
    if "critic_loss" in measured or kind == "wasserstein":
        return "critic"
    return _family_of_kind(str(kind or run.name), deterministic=isinstance(run.model, models.Autoencoder))


def _family_of_kind(kind: str, *, deterministic: bool) -> str:
    if re.search("mmd|infovae", kind.lower()):
        return "MMD"
    if kind == "wasserstein":
        return "critic"
    return "autoencoder" if deterministic else "VAE"


def _bands_of(run: runs.Kept) -> dict[str, Band]:
    """Prediction intervals of the stored runs of this model, where the settings of training agree."""
    try:
        stored = reference_runs.load(run.unit)
    except CourseError:
        return {}
    settings = run.record["settings"] | {"images": run.data["images"]}
    alike = run.data["name"] == "mnist" and all(
        settings.get(key) == stored.made_with[key] for key in ("images", "epochs", "batch_size", "lr")
    )
    match = [model for model in stored.models if _same_model(run.name, model)]
    return {column: stored.band(match[0], column) for column in COLUMNS} if alike and match else {}


def _same_model(name: str, model: str) -> bool:
    """A run ``vae_beta_0.001`` is of the stored model ``beta_0.001``, and ``kl_beta_0.5`` of ``kl beta=0.5``."""
    name, model = (re.sub(r"[^a-z0-9.]+", "_", text.lower()) for text in (name, model))
    return name in (model, f"vae_{model}")


def _stored_rows(data_name: str | None, shown: list[Row]) -> list[Row]:
    """Rows of the stored runs, except those that already stand behind a row of the student's."""
    if data_name != "mnist":
        return []
    rows, behind = [], [(row.unit, row.bands) for row in shown]
    for path in sorted(reference_runs.FOLDER.glob("*.csv")):
        stored = reference_runs.load(path.stem)
        for model in stored.models:
            if "epochs" in stored.settings[model] or not is_number(stored.mean(model, "frechet")):
                continue  # a training of its own on part of the images, or one without all numbers
            bands = {column: stored.band(model, column) for column in COLUMNS}
            if not any(unit == stored.unit and repr(other) == repr(bands) for unit, other in behind):
                dims = stored.settings[model]["latent_dim"]
                kind = str(stored.settings[model].get("kind", model))
                family = _family_of_kind(kind, deterministic=kind == "ae")
                about = f"stored: {dims} latents, {stored.label}"
                rows.append(Row(stored.unit, model, about, bands=bands, family=family))
    return rows


class _Cache:
    """Numbers of models measured before, in ``runs/scoreboard.json``, by their weights and what was measured."""

    def __init__(self, data_name: str | None) -> None:
        self.path = runs.folder("any").parent / CACHE
        constants = [getattr(scorecard, name) for name in dir(scorecard) if name.startswith(("NUM_", "PATH_"))]
        self.basis = json.dumps([data_name, COLUMNS, constants])
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            self.entries: dict[str, Any] = stored if isinstance(stored, dict) else {}
        except (OSError, ValueError):
            self.entries = {}
        self.keys: dict[Path, str] = {}

    def get(self, run: runs.Kept, with_mixture: bool) -> dict[str, float] | None:
        found = self.entries.get(self._key(run, with_mixture))
        return found if _are_numbers(found, COLUMNS) else None

    def references(self, instruments: _Instruments) -> tuple[dict[str, float], dict[str, float]]:
        """``instruments.references()``, kept as the models' numbers are."""
        images = instruments.data.train_images, instruments.data.test_images
        key = "references " + self.basis + "".join(runs.digest({"": part[:1000]}) + str(len(part)) for part in images)
        found = self.entries.get(key)
        if not (isinstance(found, list) and len(found) == 2 and all(_are_numbers(part, ()) for part in found)):
            found = self.entries[key] = list(instruments.references())
            self._write()
        return found[0], found[1]

    def put(self, run: runs.Kept, with_mixture: bool, values: dict[str, float]) -> None:
        """Keep, at once: an interrupted measurement goes on where it stopped."""
        self.entries[self._key(run, with_mixture)] = values
        self._write()

    def _write(self) -> None:
        try:
            write_whole(self.path, json.dumps(self.entries, indent=1))
        except OSError:
            pass  # measured again the next time

    def _key(self, run: runs.Kept, with_mixture: bool) -> str:
        if run.path not in self.keys:
            weights = run.path.read_bytes() + json.dumps(run.record["architecture"], sort_keys=True).encode()
            self.keys[run.path] = hashlib.sha256(self.basis.encode() + weights).hexdigest()
        return self.keys[run.path] + ("+mixture" if with_mixture else "")


def _are_numbers(found: Any, names: Iterable[str]) -> TypeGuard[dict[str, float]]:
    """Whether it is a dictionary of floats that has these names."""
    return isinstance(found, dict) and all(isinstance(found.get(name), float) for name in {*names, *found})


def is_number(value: float | None) -> TypeGuard[float]:
    """Whether a cell has something to show."""
    return value is not None and math.isfinite(value)


def save(board: Board) -> Path:
    """Write the board as one page, ``runs/scoreboard.html``, that needs nothing else; returns its path."""
    from . import scoreboard_page

    path = runs.folder("any").parent / PAGE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, scoreboard_page.page(board, device.describe(device.get_device())))
    return path


def show(board: Board) -> None:
    """The table and the figure, in a notebook."""
    from . import scoreboard_page

    notebook.show_html(scoreboard_page.fragment(board), plain=scoreboard_page.plain(board))
