"""Everything that training goes on from after an interruption, in one file of ``torch.save``: weights, optimisers,
random generators, settings, history. It is read with ``weights_only``: reading a checkpoint runs nothing."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from course_utils.system.errors import CourseError
from course_utils.system.whole_file import whole_file

from .loop import Loop

_MAY_DIFFER = ("epochs", "device", "budget", "cuda_graph")  # settings that may change from one sitting to the next
_PARTS = {"settings", "history", "random", "loop"}


def save(path: Path, loop: Loop, settings: dict, history: list[dict], device: torch.device) -> None:
    """Write the state at the end of an epoch; the file is either the old one or the new one, never half of one.

    Raises:
        OSError, RuntimeError: it cannot be written.
    """
    state = {"settings": settings, "history": history, "random": _random_state(device), "loop": loop.state()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as scratch, scratch.open("wb") as file:
        torch.save(state, file)


def load(path: Path, loop: Loop, settings: dict, device: torch.device) -> list[dict]:
    """Put loop and random generators into the state that ``save`` wrote, and return the history so far.

    Raises:
        CourseError: the file is damaged, was written by an earlier version of the course, or belongs to a training with
            other settings or another model.
    """
    state = _read(path)
    kept, history, random = state["settings"], state["history"], state["random"]
    differing = [
        key for key in kept.keys() | settings.keys() if key not in _MAY_DIFFER and kept.get(key) != settings.get(key)
    ]
    if differing:
        key = min(differing)
        raise CourseError(
            f"The checkpoint {path} is of a training with {key} = {kept.get(key)!r}, now it is "
            f"{settings.get(key)!r}. Give the settings of then, or another place, or delete it."
        )
    try:
        loop.load_state(state["loop"])
    except (RuntimeError, KeyError, ValueError) as error:
        raise CourseError(
            f"The checkpoint {path} belongs to another model ({str(error).splitlines()[0]}). "
            "Train under another name, or delete it."
        ) from None
    torch.set_rng_state(random["cpu"])
    if device.type == "cuda" and "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"], device)
    if device.type == "mps" and "mps" in random:
        torch.mps.set_rng_state(random["mps"])
    return history


def _read(path: Path) -> dict:
    """What ``save`` put together, on the CPU."""
    try:
        with path.open("rb") as file:
            beginning = file.read(10)
        if beginning[8:] == b'{"':  # safetensors: the length of its header in eight bytes, then the header
            raise CourseError(
                f"The checkpoint {path} was written by an earlier version of the course, which kept it otherwise. "
                "Delete it to start again."
            )
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= _PARTS:
            raise ValueError("it holds something else")
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CourseError(f"The checkpoint {path} cannot be read ({why}). Delete it to start again.") from None
    return state


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states
