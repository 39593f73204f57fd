"""What a student has trained, kept in ``runs/<unit>/``: weights as safetensors, settings and history as JSON beside."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import datasets
from course_utils.system import settings, unfinished
from course_utils.system.errors import CourseError
from course_utils.system.tree import UNIT_NAME, find_tree
from course_utils.system.whole_file import whole_file, write_whole

from . import architecture

FORMAT, VERSION = "latent-space-course run", 1  # in the metadata of kept weights


def folder(unit: str | None = None) -> Path:
    """The folder of a unit's runs. By default the unit is that of the notebook, told by its folder's name.

    ``$COURSE_RUNS`` names another place than ``runs/`` of the course folder.
    """
    if unit is None:
        unit = Path.cwd().name if UNIT_NAME.fullmatch(Path.cwd().name) else "scratch"
    else:
        check_name(unit)
    if (named := settings.folder("COURSE_RUNS")) is not None:
        return named / unit
    try:
        return find_tree().root / "runs" / unit
    except CourseError:
        return Path.cwd() / "runs" / unit


_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3])(\..*)?")  # devices, on Windows
_LONGEST = 150  # bytes; what is added to it stays below the 255 that file systems take


def check_name(name: str) -> None:
    """Raises ValueError where ``name`` could not be a file's name on every system, or would lead out of its folder."""
    if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(f"name is {name!r}; expected letters, digits and . _ + - only: it becomes a file's name.")
    for wrong, why in (
        (name.startswith((".", "-")), "it begins with . or -"),
        (name.endswith("."), "it ends with a point"),
        (_RESERVED.fullmatch(name), "Windows keeps this name for a device"),
        (name.lower().endswith((".json", ".safetensors")), "the files of another run could be called so"),
        (len(name.encode("utf-8", "surrogatepass")) > _LONGEST, f"it is longer than {_LONGEST} bytes"),
        (not name.isprintable(), "it holds characters that cannot be printed"),
    ):
        if wrong:
            raise ValueError(f"name is {name!r}, but {why}; expected another one: it becomes a file's name.")


def path_of(name: str, unit: str | None = None) -> Path:
    """Where the weights of a run are, or would be.

    Raises:
        ValueError: name or unit could not be a file's name.
    """
    check_name(name)
    return folder(unit) / f"{name}.safetensors"


def save(name: str, model: nn.Module, record: dict, unit: str | None = None) -> Path | None:
    """Keep ``model`` and its ``record`` under ``name``. A disk that is full costs the file, not the trained model."""
    from safetensors import SafetensorError

    path = path_of(name, unit)
    weights = state(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, weights, record)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        size = sum(value.nbytes for value in weights.values()) / 1e6
        print(
            f"The model is trained, but could not be kept in {path} of {size:.1f} MB ({reason}). It is in memory only; "
            "to keep it, free some space or correct the place, then run the cell again."
        )
        return None
    return path


def state(model: nn.Module) -> dict[str, Tensor]:
    """The weights as they are kept: on the CPU, under the names that they have in plain PyTorch."""
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    # copies: weights that two layers share are kept twice, which safetensors would refuse
    return {key: value.detach().cpu().clone().contiguous() for key, value in model.state_dict().items()}


def write(path: Path, weights: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
    """Weights and record, together or not at all: both are written whole before either takes its name.

    The record is in the weights' own metadata, which counts, and once more beside them, for people.

    Raises:
        OSError, SafetensorError: one of them could not be written; what was there before is there still.
    """
    from safetensors.torch import save_file

    text = strict_json(record)
    metadata = {"format": FORMAT, "version": str(VERSION), "digest": digest(weights), "record": text}
    with whole_file(path) as scratch:
        save_file(dict(weights), scratch, metadata)
        write_whole(path.with_suffix(".json"), text)


def strict_json(record: Mapping[str, Any]) -> str:
    """As JSON, in which nan and infinite numbers are null, and those of NumPy are numbers."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        if isinstance(value, numbers.Integral) and not isinstance(value, bool):
            return int(value)
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            return float(value) if math.isfinite(value) else None
        return value

    return json.dumps(plain(record), indent=1, allow_nan=False, default=str)


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes, types and numbers."""
    found = hashlib.sha256()
    for key, value in sorted(weights.items()):
        found.update(f"{key} {tuple(value.shape)} {value.dtype}\n".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def about(model: nn.Module, images: Tensor, label: str | None, name: str) -> dict[str, Any]:
    """The part of a record that says what was trained, and on what: enough to rebuild the model and to compare it."""
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    data = {"name": datasets.name_of(images), "images": len(images), "shape": list(images.shape[1:])}
    return {"label": label or name, "data": data, "architecture": architecture.describe(model)}


def load(name: str, model: nn.Module, unit: str | None = None) -> dict:
    """Fill ``model`` with the weights kept under ``name``, in evaluation mode; returns the record.

    Raises:
        ValueError: name or unit could not be a file's name.
        CourseError: there is no such run, it is damaged, or its weights belong to a model of other shapes.
    """
    path = path_of(name, unit)
    record, weights = read(path)
    _same_shapes(path, weights, model)
    model.load_state_dict(weights)
    model.eval()
    if record.get("stopped"):
        unfinished.mark((str(path),), f"{record.get('label') or name}, stopped early when it was made")
    else:
        unfinished.clear((str(path),))
    return record


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The record and the weights at ``path``.

    The record is that in the weights' metadata, which were written with them; of a run that an older version of the
    course kept, it is the file beside.

    Raises:
        CourseError: there is no such run, it is damaged, foreign, or kept by a newer version of the course.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    if not path.is_file():
        raise CourseError(
            f"There is no run {path.stem!r} in {path.parent}. Train it first: the cell with name={path.stem!r}."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CourseError(f"The run {path} cannot be read ({error}). Train it again.") from None
    if metadata.get("format") != FORMAT:  # "pt" of other programs, or none of an older version
        return _record(path, path.with_suffix(".json")), weights
    if metadata.get("version", "") != str(VERSION):
        raise CourseError(
            f"The run {path} was kept in format {metadata.get('version')} by another version of the course; this one "
            f"reads {VERSION}. Update the course, or train it again."
        )
    if metadata.get("digest") != digest(weights):
        raise CourseError(f"The run {path} is damaged: its weights are not those that were kept. Train it again.")
    return _record(path, metadata.get("record", "")), weights


def _record(path: Path, source: Path | str) -> dict[str, Any]:
    """The record of the weights at ``path``: a file, or the text itself."""
    try:
        record = json.loads(source.read_text(encoding="utf-8") if isinstance(source, Path) else source)
        if not isinstance(record, dict):
            raise ValueError("its record is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise CourseError(f"The run {path} cannot be read ({error}). Train it again.") from None
    history = record.get("history")
    if isinstance(history, list):  # null stands for a number that JSON does not have
        record["history"] = [_with_nan(epoch) if isinstance(epoch, dict) else epoch for epoch in history]
    return record


def _with_nan(epoch: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in epoch.items()}


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
    path = path_of(name, unit)
    record, weights = read(path)
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
    _same_shapes(path, weights, model)
    model.load_state_dict(weights, assign=True)
    return Kept(path.parent.name, name, model.eval(), record, path)


def every() -> tuple[list[Kept], dict[str, str]]:
    """All runs of all units that can be rebuilt, and for the others ``unit/name`` -> why not."""
    found, skipped = [], {}
    everything = [path for path in folder("any").parent.glob("*/*") if not path.name.startswith(".")]
    for path in sorted({p.with_suffix(".safetensors") for p in everything if p.suffix in (".json", ".safetensors")}):
        try:
            found.append(open(path.stem, path.parent.name))
        except (CourseError, ValueError) as error:
            skipped[f"{path.parent.name}/{path.stem}"] = str(error)
    return found, skipped
