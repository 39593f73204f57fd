"""What a student has trained, kept in ``runs/<unit>/``: weights as safetensors, settings and history as JSON beside."""

from __future__ import annotations

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


def save(name: str, model: nn.Module, record: dict, unit: str | None = None) -> Path | None:
    """Keep ``model`` and its ``record`` under ``name``. A disk that is full costs the file, not the trained model."""
    from safetensors.torch import save_file

    if not re.fullmatch(r"[\w.+-]+", name):
        raise ValueError(f"name is {name!r}; expected letters, digits and . _ + - only: it becomes a file's name.")
    path = folder(unit) / f"{name}.safetensors"
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous().cpu() for key, value in model.state_dict().items()}, scratch)
        scratch.replace(path)
        scratch.write_text(json.dumps(record, indent=1), encoding="utf-8")
        scratch.replace(path.with_suffix(".json"))
    except OSError as error:
        print(f"The model was trained but could not be kept in {path} ({error.strerror or error}).")
        return None
    finally:
        scratch.unlink(missing_ok=True)
    return path


def load(name: str, model: nn.Module, unit: str | None = None) -> dict:
    """Fill ``model`` with the weights kept under ``name``; returns the record. The model's shapes must agree.

    Raises:
        CourseError: there is no such run, or its weights belong to a model of other shapes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder(unit) / f"{name}.safetensors"
    if not path.is_file():
        raise CourseError(f"There is no run {name!r} in {path.parent}. Train it first: run the cell with name={name!r}.")
    try:
        model.load_state_dict(load_file(path))
        return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (RuntimeError, SafetensorError, OSError, ValueError) as error:
        raise CourseError(f"The run {path} cannot be used ({str(error).splitlines()[0]}). Train it again.") from None
