"""A training that was made already is not made again: which kept run is the one that is asked for.

A run is the same when everything that shapes its weights is: the images, the model, the settings, the versions, and the
source of the loss with all that it calls of the notebook's own and the course's functions.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.models import runs
from course_utils.system.errors import CourseError

from . import checkpoint
from .loop import Loop

_FUNCTIONS = (FunctionType, MethodType, functools.partial)
_FOREIGN = ("site-packages", "dist-packages")  # of what is installed the version stands for the source


def find(name: str, unit: str | None, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """The record and the weights kept under ``name`` where they are of the very training that is ``wanted`` (see
    ``fitting``), made to its end; None where there is none."""
    path = runs.path_of(name, unit)
    if not path.exists():
        return None
    try:
        record, weights = runs.read(path)
    except CourseError:  # damaged, or kept by another version: it is made anew
        return None
    same = record.get("stopped") is None and record.get("identity") == json.loads(runs.strict_json(wanted))
    return (record, weights) if same and record.get("history") else None


def is_finished(name: str, unit: str | None) -> bool:
    """Whether a run that was trained to its end is kept under ``name``."""
    try:
        record, _ = runs.read(runs.path_of(name, unit))
    except CourseError:
        return False
    return record.get("stopped") is None


def unfinished(
    name: str, unit: str | None, identity: dict[str, Any], provenance: Mapping[str, Any]
) -> checkpoint.Checkpoint:
    """Where a training is kept, epoch by epoch, until it is made to its end."""
    path = runs.path_of(name, unit)
    plain = json.loads(runs.strict_json(identity))
    return checkpoint.Checkpoint(path.with_name(f".{name}.unfinished"), plain, provenance["sittings"])


def go_on(kept: checkpoint.Checkpoint, loop: Loop, settings: dict[str, Any]) -> list[dict[str, float]]:
    """Put ``loop`` where the same training was stopped, and return the history so far; empty where there is none, it is
    of another training, or cannot be read: then nothing is changed."""
    try:
        if not kept.path.exists() or checkpoint.read(kept.path)["identity"] != kept.identity:
            return []
    except CourseError:
        return []
    before = copy.deepcopy(loop.state())
    try:
        return kept.load(loop, settings)
    except CourseError:  # the loss gives other numbers than then
        loop.load_state(before)
        return []


def when(path: Path) -> str:
    """In words, when the file at ``path`` was written."""
    written = datetime.fromtimestamp(path.stat().st_mtime)
    days = (date.today() - written.date()).days
    if days == 0:
        return "today" if time.time() - written.timestamp() > 120 else "just now"
    return "yesterday" if days == 1 else f"{written:%d %B %Y}"


def source_digest(*functions: Any) -> str:
    """SHA-256 of what functions do, as far as it can be seen: their code, defaults and closures, the numbers and
    tensors that they name, and the same of every function of the notebook and of the course that they call."""
    found, seen = hashlib.sha256(), dict[int, Any]()
    for function in functions:
        _feed(found.update, function, seen)
    return found.hexdigest()


def _feed(update: Callable[[bytes], None], thing: Any, seen: dict[int, Any]) -> None:
    if isinstance(thing, (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)):
        update(f"{type(thing).__name__} {thing!r}\n".encode())
        return
    if id(thing) in seen:
        return
    seen[id(thing)] = thing  # held, so that no other takes its id
    update(f"{type(thing).__module__}.{type(thing).__qualname__}\n".encode())
    if isinstance(thing, Tensor):
        update(f"{tuple(thing.shape)} {thing.dtype} {runs.digest({'': thing})}\n".encode())
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            _feed(update, key, seen)
            _feed(update, value, seen)
    elif isinstance(thing, (tuple, list, set, frozenset)):
        for part in sorted(thing, key=repr) if isinstance(thing, (set, frozenset)) else thing:
            _feed(update, part, seen)
    elif isinstance(thing, functools.partial):
        _feed(update, (thing.func, thing.args, thing.keywords), seen)
    elif isinstance(thing, MethodType):
        _feed(update, (thing.__func__, thing.__self__), seen)
    elif isinstance(thing, FunctionType):
        _feed_function(update, thing, seen)
    elif isinstance(thing, CodeType):
        _feed_code(update, thing, seen)
    elif isinstance(thing, type):
        if not _is_foreign(sys.modules.get(thing.__module__)):
            methods = {key: value for key, value in vars(thing).items() if isinstance(value, FunctionType)}
            _feed(update, methods, seen)
    elif isinstance(thing, nn.Module):  # its weights are what is trained; its text says what it is
        update(checkpoint.described(thing).encode())
        for module in thing.modules():
            _feed(update, type(module), seen)
            own = (value for value in vars(module).values() if isinstance(value, _FUNCTIONS))
            _feed(update, list(own), seen)  # such as the student's reparameterize
    elif callable(thing):
        update(str(getattr(thing, "__qualname__", "")).encode())


def _feed_function(update: Callable[[bytes], None], function: FunctionType, seen: dict[int, Any]) -> None:
    update(f"{function.__module__}.{function.__qualname__}\n".encode())
    if _is_foreign(sys.modules.get(function.__module__)):
        return
    _feed_code(update, function.__code__, seen)
    _feed(update, (function.__defaults__, function.__kwdefaults__), seen)
    for cell in function.__closure__ or ():
        try:
            _feed(update, cell.cell_contents, seen)
        except ValueError:  # an empty cell
            update(b"empty\n")
    for name in _names(function.__code__):
        if name in function.__globals__ and not isinstance(value := function.__globals__[name], ModuleType):
            update(f"{name}\n".encode())
            _feed(update, value, seen)
    if (wrapped := function.__dict__.get("__wrapped__")) is not None:
        _feed(update, wrapped, seen)


def _feed_code(update: Callable[[bytes], None], code: CodeType, seen: dict[int, Any]) -> None:
    """What it does; not where it stands, so that a cell may move."""
    update(code.co_code)
    update(" ".join((*code.co_names, *code.co_varnames, *code.co_freevars)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _feed_code(update, constant, seen)
        else:
            _feed(update, constant, seen)


def _names(code: CodeType) -> list[str]:
    """The names that code and what is nested in it look up, in order."""
    nested = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return list(dict.fromkeys([*code.co_names, *nested]))


def _is_foreign(module: ModuleType | None) -> bool:
    """Of Python itself, or installed, but for the course."""
    if module is None or module.__name__ == "__main__":
        return False
    root = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None)
    if root == "course_utils":
        return False
    return root in sys.stdlib_module_names or file is None or any(part in file for part in _FOREIGN)
