"""Where everything random in a check comes from: one number, and one-way functions of it.

A check has a seed. The seed of each law derives from it, so that a law can be run again alone; a law about manners
looks back at all calls of the check, and its seed is the check's own. What a law draws, and what every call of the
student's code finds in the global generators, derives from the law's seed.
"""

from __future__ import annotations

import hashlib
import secrets

_BITS = 48  # short enough to be typed, long enough that nobody finds it by trying


def fresh() -> int:
    """A seed that nobody can foresee."""
    return secrets.randbits(_BITS)


def derived(*parts: object) -> int:
    """A seed that follows from these parts and does not give them away."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[: _BITS // 8], "big")


class CallSeeds:
    """One seed for each call within a law. Gradients count apart: how many steps they take depends on the process."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = {"call": 0, "gradients": 0}

    def next(self, kind: str = "call") -> int:
        self._count[kind] += 1
        return derived(self._seed, kind, self._count[kind])
