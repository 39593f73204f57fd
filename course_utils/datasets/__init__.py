"""Data sets: `load()`, where their files are, and how they are fetched, decoded and drawn.

What is public is in `loading`; it is imported on first use, because processes that only decode photographs need no
torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loading import (
        ANIMALS,
        FALLBACK_MARKER,
        NAMES,
        Dataset,
        as_file_name,
        attributes,
        batches,
        best_animals,
        fetch,
        load,
        name_of,
        scale,
        status,
        validation,
    )
    from .own import Card, card, from_arrays, from_csv, from_folder


_OWN = ("Card", "card", "from_arrays", "from_csv", "from_folder")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = ".own" if name in _OWN else ".loading"
    return getattr(import_module(home, __name__), name)


__all__ = [
    "ANIMALS",
    "FALLBACK_MARKER",
    "NAMES",
    "Card",
    "Dataset",
    "as_file_name",
    "attributes",
    "batches",
    "best_animals",
    "card",
    "fetch",
    "from_arrays",
    "from_csv",
    "from_folder",
    "load",
    "name_of",
    "scale",
    "status",
    "validation",
]
