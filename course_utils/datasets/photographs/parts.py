"""Which part of the data a photograph belongs to, from its name alone.

The same name is in the same part on every machine, in every run, and whatever other photographs are there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

PARTS = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}


def place(name: str) -> float:
    """A number in [0, 1) that looks random: sorted by it, photographs are shuffled, and each part is one stretch.

    Args:
        name: ``<class>/<file>``, as below ``JPEGImages``.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=6, person=b"AwA2 parts").digest()
    return int.from_bytes(digest, "big") / 2**48


def shuffled(names: Iterable[str]) -> list[str]:
    """Names in the order of their places."""
    return sorted(names, key=lambda name: (place(name), name))


def stretch(names: list[str], part: str) -> slice:
    """The stretch of ``shuffled`` names that makes up ``train``, ``validation`` or ``test``."""
    first, last = PARTS[part]
    places = [place(name) for name in names]
    return slice(sum(p < first for p in places), sum(p < last for p in places))
