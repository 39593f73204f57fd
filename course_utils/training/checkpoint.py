"""Everything that training goes on from after an interruption, in one safetensors file: weights, optimisers, random
generators, history. No pickle: reading a checkpoint runs nothing."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from course_utils.system.errors import CourseError
from course_utils.system.whole_file import whole_file

from .loop import Loop

_MAY_DIFFER = ("epochs", "device", "budget", "cuda_graph")  # settings that may change from one sitting to the next


def save(path: Path, loop: Loop, settings: dict, history: list[dict], device: torch.device) -> None:
    """Write the state at the end of an epoch; the file is either the old one or the new one, never half of one.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {f"random.{name}": state for name, state in _random_state(device).items()}
    for part, state in loop.state().items():
        tensors |= {f"{part}.{key}": value.detach().cpu().clone().contiguous() for key, value in _flat(state).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as scratch:
        save_file(tensors, scratch, {"settings": json.dumps(settings), "history": json.dumps(history)})


def load(path: Path, loop: Loop, settings: dict, device: torch.device) -> list[dict]:
    """Put loop and random generators into the state that ``save`` wrote, and return the history so far.

    Raises:
        CourseError: the file is damaged, or belongs to a training with other settings or another model.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        kept, history = json.loads(about["settings"]), json.loads(about["history"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CourseError(f"The checkpoint {path} cannot be read ({error}). Delete it to start again.") from None
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
        loop.load_state(_nested(tensors, loop.state()))
    except (RuntimeError, KeyError, ValueError) as error:
        raise CourseError(
            f"The checkpoint {path} belongs to another model ({str(error).splitlines()[0]}). "
            "Train under another name, or delete it."
        ) from None
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
    if device.type == "mps" and "random.mps" in tensors:
        torch.mps.set_rng_state(tensors["random.mps"])
    return history


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def _flat(state: dict) -> dict[str, Tensor]:
    """Tensors of a module's or an optimiser's state dict under dotted names."""
    if "param_groups" not in state:
        return state
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, of_parameter in state["state"].items()
        for key, value in of_parameter.items()
    }


def _nested(tensors: dict[str, Tensor], like: dict[str, dict]) -> dict[str, dict]:
    """The inverse of ``_flat`` for every part of ``like``; an optimiser's settings are those of ``like``."""
    parts = {}
    for part, state in like.items():
        mine = {key[len(part) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{part}.")}
        if "param_groups" in state:
            of_parameter: dict[int, dict] = {}
            for key, value in mine.items():
                index, _, name = key.partition(".")
                of_parameter.setdefault(int(index), {})[name] = value
            mine = {"state": of_parameter, "param_groups": state["param_groups"]}
        parts[part] = mine
    return parts
