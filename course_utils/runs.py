"""What a student has trained, kept in ``runs/<unit>/``: weights as safetensors, settings and history as JSON beside."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

from torch import nn

from course_utils.errors import CourseError
from course_utils.tree import UNIT_NAME, find_tree


def folder(unit: str | None = None) -> Path:
    """The folder of a unit's runs. By default the unit is that of the notebook, told by its folder's name.

    ``$COURSE_RUNS`` names another place than ``runs/`` of the course folder.
    """
    if unit is None:
        unit = Path.cwd().name if UNIT_NAME.fullmatch(Path.cwd().name) else "scratch"
    if named := os.environ.get("COURSE_RUNS"):
        return Path(named) / unit
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
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    # copies: weights that two layers share are kept twice, which safetensors would refuse
    weights = {key: value.detach().cpu().clone().contiguous() for key, value in model.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(weights, scratch)
        scratch.replace(path)
        scratch.write_text(json.dumps(record, indent=1), encoding="utf-8")
        scratch.replace(path.with_suffix(".json"))
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        reason = getattr(error, "strerror", None) or error
        print(f"The model is trained, but could not be kept in {path} ({reason}). It is in memory only; to keep it, "
              "free some space or correct the place, then run the cell again.")  # fmt: skip
        return None
    return path


def load(name: str, model: nn.Module, unit: str | None = None) -> dict:
    """Fill ``model`` with the weights kept under ``name``, in evaluation mode; returns the record.

    Raises:
        CourseError: there is no such run, it is damaged, or its weights belong to a model of other shapes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder(unit) / f"{name}.safetensors"
    if not path.is_file():
        raise CourseError(f"There is no run {name!r} in {path.parent}. Train it first: the cell with name={name!r}.")
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CourseError(f"The run {path} cannot be read ({error}). Train it again.") from None
    kept = {key: tuple(value.shape) for key, value in weights.items()}
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    if kept != wanted:
        key = min(key for key in kept.keys() | wanted.keys() if kept.get(key) != wanted.get(key))
        raise CourseError(
            f"The run {path} belongs to another model: {key} is {kept.get(key, 'absent')} there and "
            f"{wanted.get(key, 'absent')} in the given one. Build the model as it was trained, or train it again."
        )
    model.load_state_dict(weights)
    model.eval()
    return record
