"""Everything a student has trained, measured side by side: what ``runs/`` holds, with the numbers of the scorecard.

Only models of one data set are compared; the others are listed with the reason why they are not here.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
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

from . import measures as metrics
from . import paths, reference_runs, scorecard
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
    "rate",
    "active_units",
    "sliced_wasserstein",
    "frechet",
    "precision",
    "recall",
    "linear_probe",
    "path_detour",
)
CACHE, PAGE = "scoreboard.json", "scoreboard.html"


@dataclass(frozen=True)
class Row:
    """One line of the board: a model of the student's, or the stored runs of one."""

    unit: str
    label: str
    training: str  # on how much it was trained
    values: dict[str, float] = field(default_factory=dict)  # empty for stored runs
    bands: dict[str, Band] = field(default_factory=dict)  # of stored runs with the same settings

    @property
    def place(self) -> str:
        """``unit 02``; the folder's name for runs that belong to no unit."""
        return f"unit {self.unit[:2]}" if self.unit[:2].isdigit() else self.unit


@dataclass
class Board:
    """What is compared.

    Attributes:
        data_name: of the data set; None if it is not one of the course's.
        kept: the student's runs on it, not yet measured.
        skipped: ``unit/name`` -> why it is not compared.
        rows: what ``measure`` found, in the order of the units; before, the stored runs alone.
    """

    data_name: str | None
    test_images: int
    kept: list[runs.Kept]
    skipped: dict[str, str]
    rows: list[Row]

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

    An autoencoder without noise gets a second row: sampled from a Gaussian mixture fitted to its codes. Of more than
    ``at_most`` models those kept last are measured, the others are listed.
    """
    line, cache = notebook.Line(), _Cache(board.data_name)
    for run in sorted(board.kept, key=lambda run: run.path.stat().st_mtime)[: max(0, len(board.kept) - at_most)]:
        board.kept.remove(run)
        board.skipped[f"{run.unit}/{run.name}"] = f"only the {at_most} models kept last are measured in this budget."
    jobs = [(run, with_mixture) for run in board.kept for with_mixture in _ways_to_sample(run)]
    todo = sum(cache.get(run, with_mixture) is None for run, with_mixture in jobs)
    reader = classifier.train(data, epochs=2) if todo else None
    began, done, rows = time.perf_counter(), 0, []
    for run, with_mixture in jobs:
        values = cache.get(run, with_mixture)
        if values is None:
            if progress:
                left = f", about {(time.perf_counter() - began) / done * (todo - done):.0f} s left" if done else ""
                line.write(f"\rmeasuring {done + 1} of {todo}{left}: {run.unit} {run.label}")
            try:
                values = _measured(run, with_mixture, data, reader)
            except (ValueError, RuntimeError, CourseError) as error:
                board.skipped[f"{run.unit}/{run.name}"] = f"it could not be measured ({error})."
                todo -= 1
                continue
            cache.put(run, with_mixture, values)
            done += 1
        bands = {} if with_mixture else _bands_of(run)
        rows.append(Row(run.unit, run.label + (" + mixture" if with_mixture else ""), _training(run), values, bands))
    if progress and jobs:
        line.finish(f"{len(rows)} rows of {len(board.kept)} models, {done} measured now.")
    board.rows = rows + _stored_rows(board.data_name, [row for row in rows if row.bands])


def _ways_to_sample(run: runs.Kept) -> tuple[bool, ...]:
    return (False, True) if isinstance(run.model, models.Autoencoder) else (False,)


def _measured(run: runs.Kept, with_mixture: bool, data: Dataset, reader) -> dict[str, float]:
    model = run.model.to(data.train_images.device)
    if not all(bool(weights.isfinite().all()) for weights in model.parameters()):
        raise ValueError("its weights are not finite numbers: its training has failed")
    draw = _mixture_draw(model, data) if with_mixture else None
    return scorecard.measure(model, data, reader, draw=draw)


def _mixture_draw(model: LatentModel, data: Dataset) -> Callable[[int], Tensor]:
    images = scorecard.images_for(model, data.train_images[: scorecard.NUM_PROBED])
    mixture = paths.fit_mixture(metrics.codes(model, images))

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
            if (
                "epochs" in stored.settings[model]
            ):  # a training of its own, on part of the images, and without all numbers
                continue
            bands = {column: stored.band(model, column) for column in COLUMNS}
            if not any(unit == stored.unit and repr(other) == repr(bands) for unit, other in behind):
                dims = stored.settings[model]["latent_dim"]
                rows.append(Row(stored.unit, model, f"stored: {dims} latents, {stored.label}", bands=bands))
    return rows


class _Cache:
    """Numbers of models measured before, in ``runs/scoreboard.json``, by their weights and what was measured."""

    def __init__(self, data_name: str | None) -> None:
        self.path = runs.folder("any").parent / CACHE
        constants = [getattr(scorecard, name) for name in dir(scorecard) if name.startswith(("NUM_", "PATH_"))]
        self.basis = json.dumps([data_name, list(scorecard.COLUMNS), constants])
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            self.entries: dict[str, Any] = stored if isinstance(stored, dict) else {}
        except (OSError, ValueError):
            self.entries = {}
        self.keys: dict[Path, str] = {}

    def get(self, run: runs.Kept, with_mixture: bool) -> dict[str, float] | None:
        found = self.entries.get(self._key(run, with_mixture))
        usable = isinstance(found, dict) and all(isinstance(found.get(name), float) for name in scorecard.COLUMNS)
        return found if usable else None

    def put(self, run: runs.Kept, with_mixture: bool, values: dict[str, float]) -> None:
        """Keep, at once: an interrupted measurement goes on where it stopped."""
        self.entries[self._key(run, with_mixture)] = values
        try:
            write_whole(self.path, json.dumps(self.entries, indent=1))
        except OSError:
            pass  # measured again the next time

    def _key(self, run: runs.Kept, with_mixture: bool) -> str:
        if run.path not in self.keys:
            weights = run.path.read_bytes() + json.dumps(run.record["architecture"], sort_keys=True).encode()
            self.keys[run.path] = hashlib.sha256(self.basis.encode() + weights).hexdigest()
        return self.keys[run.path] + ("+mixture" if with_mixture else "")


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
