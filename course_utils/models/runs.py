"""What a student has trained, kept in ``runs/<unit>/``: weights as safetensors, settings and history as JSON beside."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from course_utils import datasets
from course_utils.system.errors import CourseError
from course_utils.system.tree import UNIT_NAME, find_tree
from course_utils.system.whole_file import whole_file, write_whole

from . import architecture


def folder(unit: str | None = None) -> Path:
    """The folder of a unit's runs. By default the unit is that of the notebook, told by its folder's name.

    ``$COURSE_RUNS`` names another place than ``runs/`` of the course folder.
    """
    if unit is None:
        unit = Path.cwd().name if UNIT_NAME.fullmatch(Path.cwd().name) else "scratch"
    if named := os.environ.get("COURSE_RUNS"):
        return Path(named).expanduser() / unit
    try:
        return find_tree().root / "runs" / unit
    except CourseError:
        return Path.cwd() / "runs" / unit


def check_name(name: str) -> None:
    """Raises ValueError where ``name`` could not be a file's name on every system."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(f"name is {name!r}; expected letters, digits and . _ + - only: it becomes a file's name.")


def save(name: str, model: nn.Module, record: dict, unit: str | None = None) -> Path | None:
    """Keep ``model`` and its ``record`` under ``name``. A disk that is full costs the file, not the trained model."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    check_name(name)
    path = folder(unit) / f"{name}.safetensors"
    # copies: weights that two layers share are kept twice, which safetensors would refuse
    weights = {key: value.detach().cpu().clone().contiguous() for key, value in model.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:
            save_file(weights, scratch)
        write_whole(path.with_suffix(".json"), json.dumps(record, indent=1))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        print(
            f"The model is trained, but could not be kept in {path} ({reason}). It is in memory only; to keep it, "
            "free some space or correct the place, then run the cell again."
        )
        return None
    return path


def about(model: nn.Module, images: Tensor, label: str | None, name: str) -> dict[str, Any]:
    """The part of a record that says what was trained, and on what: enough to rebuild the model and to compare it."""
    data = {"name": datasets.name_of(images), "images": len(images), "shape": list(images.shape[1:])}
    return {"label": label or name, "data": data, "architecture": architecture.describe(model)}


def load(name: str, model: nn.Module, unit: str | None = None) -> dict:
    """Fill ``model`` with the weights kept under ``name``, in evaluation mode; returns the record.

    Raises:
        CourseError: there is no such run, it is damaged, or its weights belong to a model of other shapes.
    """
    path = folder(unit) / f"{name}.safetensors"
    record, weights = _record(path), _weights(path)
    _same_shapes(path, weights, model)
    model.load_state_dict(weights)
    model.eval()
    return record


def _record(path: Path) -> dict[str, Any]:
    """The record beside the weights at ``path``."""
    if not path.is_file():
        raise CourseError(
            f"There is no run {path.stem!r} in {path.parent}. Train it first: the cell with name={path.stem!r}."
        )
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("its record is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise CourseError(f"The run {path} cannot be read ({error}). Train it again.") from None
    return record


def _weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CourseError(f"The run {path} cannot be read ({error}). Train it again.") from None


def _same_shapes(path: Path, weights: dict[str, Tensor], model: nn.Module) -> None:
    kept = {key: tuple(value.shape) for key, value in weights.items()}
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if kept != wanted:
        key = min(key for key in kept.keys() | wanted.keys() if kept.get(key) != wanted.get(key))
        raise CourseError(
            f"The run {path} belongs to another model: {key} is {kept.get(key, 'absent')} there and "
            f"{wanted.get(key, 'absent')} in the given one. Build the model as it was trained, or train it again."
        )


@dataclass(frozen=True)
class Kept:
    """A run as it was kept, its model rebuilt from the record."""

    unit: str
    name: str
    model: nn.Module  # in evaluation mode, on the CPU
    record: dict[str, Any]
    path: Path  # of the weights

    @property
    def label(self) -> str:
        """What the run is called where runs are compared."""
        return str(self.record["label"])

    @property
    def data(self) -> dict[str, Any]:
        """``name`` of the data set (None: not known), ``images`` it was trained on, ``shape`` of one."""
        return {"name": None} | self.record["data"]


def open(name: str, unit: str | None = None) -> Kept:
    """The run kept under ``name``, with its model rebuilt.

    Raises:
        CourseError: there is no such run, it is damaged, or its record does not say how to build the model.
    """
    path = folder(unit) / f"{name}.safetensors"
    record = _record(path)
    missing = [key for key in ("label", "data", "architecture") if key not in record]
    if missing:
        raise CourseError(f"its record does not say its {missing[0]}: it was kept by an older version. Train it again.")
    if record["architecture"] is None:
        raise CourseError("its model has layers of its own making, which cannot be rebuilt from a record.")
    data = record["data"]
    if not (
        isinstance(data, dict) and isinstance(data.get("images"), int) and isinstance(record.get("settings"), dict)
    ):
        raise CourseError("its record is damaged. Train it again.")
    model = architecture.build(record["architecture"])
    weights = _weights(path)
    _same_shapes(path, weights, model)
    model.load_state_dict(weights, assign=True)
    return Kept(path.parent.name, name, model.eval(), record, path)


def every() -> tuple[list[Kept], dict[str, str]]:
    """All runs of all units that can be rebuilt, and for the others ``unit/name`` -> why not."""
    found, skipped = [], {}
    everything = folder("any").parent.glob("*/*")
    for path in sorted({p.with_suffix(".safetensors") for p in everything if p.suffix in (".json", ".safetensors")}):
        try:
            found.append(open(path.stem, path.parent.name))
        except CourseError as error:
            skipped[f"{path.parent.name}/{path.stem}"] = str(error)
    return found, skipped
