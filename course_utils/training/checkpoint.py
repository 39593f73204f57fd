"""Everything that training goes on from after an interruption, in one file of ``torch.save``: weights, optimisers,
random generators, history, and all that decides about the weights. It is read with ``weights_only``: reading a
checkpoint runs nothing. A checkpoint of anything that differs is refused, and the difference named."""

from __future__ import annotations

import io
import math
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils import models
from course_utils.datasets import scale
from course_utils.system import device as device_module
from course_utils.system.errors import CourseError
from course_utils.system.whole_file import whole_file

from .loop import Loop, checked

VERSION = 2  # of the format; 1 held no version
_MAY_DIFFER = ("epochs", "device", "budget", "cuda_graph")  # settings that may change from one sitting to the next
_PARTS = {"settings", "history", "random", "loop"}
_LOOKED_AT = 16  # images on which the loss is compared


@dataclass
class Checkpoint:
    """A file that a training is kept in.

    Args:
        identity: what decides about the weights apart from ``settings``, as JSON has it: digest of the images, the
            model as text, versions, and what the caller adds.
    """

    path: Path
    identity: dict[str, Any]
    sittings: list[dict[str, Any]] = field(default_factory=list)  # by which machine which epochs were made

    def save(self, loop: Loop, settings: dict, history: list[dict]) -> None:
        """Write the state at the end of an epoch; the file is either the old one or the new one, never half of one.

        Raises:
            OSError: it cannot be written.
        """
        state = {
            "version": VERSION,
            "settings": settings,
            "identity": self.identity,
            "sittings": self.sittings,
            "loss": loss_values(loop),
            "history": history,
            "random": _random_state(loop.images.device),
            "loop": loop.state(),
        }
        packed = io.BytesIO()  # written at once, so that a full disk is the system's error and nothing else
        torch.save(state, packed)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with whole_file(self.path) as scratch, scratch.open("wb") as file:
                file.write(packed.getbuffer())
        except OSError as error:
            error.num_bytes = packed.getbuffer().nbytes  # type: ignore[attr-defined]
            raise

    def load(self, loop: Loop, settings: dict) -> list[dict]:
        """Put loop and random generators into the state that ``save`` wrote, and return the history so far.

        Raises:
            CourseError: the file is damaged, was written by another version of the course, or belongs to a training
                with other settings, images, another model or loss.
        """
        state, device = read(self.path), loop.images.device
        self._refuse_others(state, settings)
        try:
            loop.load_state(state["loop"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise self._another_model(str(error).splitlines()[0]) from None
        if settings.get("device") == state["settings"].get("device"):
            self._refuse_another_loss(state["loss"], loss_values(loop))
        self.sittings[:0] = state["sittings"]
        random = state["random"]
        torch.set_rng_state(random["cpu"])
        if device.type == "cuda" and "cuda" in random:
            torch.cuda.set_rng_state(random["cuda"], device)
        if device.type == "mps" and "mps" in random:
            torch.mps.set_rng_state(random["mps"])
        return state["history"]

    def _refuse_others(self, state: dict, settings: dict) -> None:
        kept, now = state["identity"], self.identity
        if kept.get("model") != now.get("model"):
            raise self._another_model(_first_line_that_differs(kept.get("model", ""), now.get("model", "")))
        before = {key: value for key, value in state["settings"].items() if key not in _MAY_DIFFER}
        wanted = {key: value for key, value in settings.items() if key not in _MAY_DIFFER}
        refuse_difference(f"The checkpoint {self.path} is", before, wanted)
        refuse_difference(f"The checkpoint {self.path} is", kept, now)

    def _refuse_another_loss(self, before: dict | None, now: dict | None) -> None:
        if before is None or now is None:
            return
        for key in before.keys() | now.keys():
            then, found = before.get(key, "nothing"), now.get(key, "nothing")
            if not _close(then, found):
                raise CourseError(
                    f"The checkpoint {self.path} is of a training with another loss function: on the same weights and "
                    f"images {key!r} was {_said(then)}, now it is {_said(found)}. Give the loss of then, or another "
                    "place, or delete it."
                )

    def _another_model(self, how: str) -> CourseError:
        return CourseError(
            f"The checkpoint {self.path} belongs to another model ({how}). Train under another name, or delete it."
        )


def refuse_difference(what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises CourseError naming the first setting of ``before`` that is another in ``now``; ``what`` begins it."""
    then, found = _flat(before), _flat(now)
    differing = [key for key in then.keys() | found.keys() if then.get(key) != found.get(key)]
    if not differing:
        return
    key = min(differing, key=lambda key: (key.startswith("versions."), "sha256" in key, key))
    if "sha256" in key:
        raise CourseError(
            f"{what} of a training on other images (digest {str(then.get(key))[:12]}..., now {str(found.get(key))[:12]}"
            "...). Give the images of then, or another place, or delete it."
        )
    if key.startswith("versions."):
        raise CourseError(
            f"{what} of a training with {key.removeprefix('versions.')} {then.get(key)}, here is {found.get(key)}: its "
            "weights would not be those of one training. Install the version of then, or take another place, or "
            "delete it."
        )
    raise CourseError(
        f"{what} of a training with {key} = {then.get(key)!r}, now it is {found.get(key)!r}. "
        "Give the settings of then, or another place, or delete it."
    )


def read(path: Path) -> dict:
    """What ``Checkpoint.save`` put together, on the CPU.

    Raises:
        CourseError: the file is damaged, foreign, or of another version.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(10)
        if beginning[8:] == b'{"':  # safetensors: the length of its header in eight bytes, then the header
            raise _other_version(path, "an earlier")
        with zipfile.ZipFile(path) as packed:  # every part has its checksum
            damaged = packed.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} in it is damaged")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not state.keys() >= _PARTS:
            raise ValueError("it holds something else")
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
    ) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CourseError(f"The checkpoint {path} cannot be read ({why}). Delete it to start again.") from None
    version = state.get("version", 1)
    if version != VERSION:
        raise _other_version(path, "an earlier" if isinstance(version, int) and version < VERSION else "a newer")
    return state


def loss_values(loop: Loop) -> dict[str, float] | None:
    """What the loss functions give for the weights as they are, on the first images with a fixed seed, in evaluation
    mode: the same again only for the same loss. None where they cannot be called so. Nothing is changed by it."""
    try:
        with device_module.random_state_kept(), models.evaluating(loop.model):
            torch.manual_seed(0)
            x = scale(loop.images[:_LOOKED_AT])
            values = dict(checked(loop.loss_function(loop.model, x)))
            if loop.critic:
                found = checked(loop.critic.loss_function(loop.model, loop.rival, x))
                values |= {f"critic_{key}": value for key, value in found.items()}
            return {key: float(value) for key, value in values.items()}
    except Exception:  # a loss that needs the training mode, or more images: it will say so when it trains
        return None


def described(model: torch.nn.Module) -> str:
    """The model as text, without the addresses that some layers print."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(getattr(model, "_orig_mod", model)))


def _other_version(path: Path, which: str) -> CourseError:
    return CourseError(
        f"The checkpoint {path} was written by {which} version of the course, which kept it otherwise. "
        "Delete it to start again."
    )


def _close(a: Any, b: Any) -> bool:
    if not isinstance(a, float) or not isinstance(b, float):
        return a == b
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-7) or (math.isnan(a) and math.isnan(b))


def _said(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """``{"model": {"beta": 1}}`` as ``{"model.beta": 1}``."""
    found: dict[str, Any] = {}
    for key, value in nested.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def _first_line_that_differs(before: str, now: str) -> str:
    then, found = before.splitlines(), now.splitlines()
    for a, b in zip(then, found, strict=False):
        if a != b:
            return f"{a.strip()} there, {b.strip()} here"
    return f"{len(then)} layers and parts there, {len(found)} here"


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states
