"""The latent space course: what the notebooks import, the checks, and the `course` command.

`from course_utils import check, metrics, training` works for every name in `HOMES` and for every room; a room is
loaded on first use, so that importing the package itself costs nothing beyond Python. docs/architecture.md shows the
rooms and which may import which.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

# Threads that wait for each other sleep, in this process and in kernels that it starts. Those that keep busy instead
# make a small training on a busy machine with two cores many times slower. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

HOMES = {
    "aggregate": "metrics",
    "attributes": "metrics",
    "autopsy": "metrics",
    "classifier": "models",
    "device": "system",
    "disentanglement": "metrics",
    "discrete": "models",
    "explore": "plots",
    "hand_in": "cli",
    "latent": "plots",
    "mmd": "metrics",
    "paths": "metrics",
    "predict": "plots",
    "probes": "metrics",
    "recorded_runs": "metrics",
    "reference_runs": "metrics",
    "runs": "models",
    "samplers": "models",
    "scoreboard": "metrics",
    "uses": "metrics",
}  # what notebooks import by its own name -> the room it is in

ROOMS = ("datasets", "models", "metrics", "plots", "training")  # notebooks also say course_utils.datasets.load(...)


def __getattr__(name: str) -> ModuleType:
    if name in HOMES:
        return import_module(f"{__name__}.{HOMES[name]}.{name}")
    if name in ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES, *ROOMS})
