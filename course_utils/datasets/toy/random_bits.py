"""Random numbers that are the same everywhere: NumPy promises that the bits of a bit generator never change, but not
what its distributions make of them."""

from __future__ import annotations

import numpy as np


class Uniform:
    """``draw(shape, low, high)``: uniform float64, from PCG64 seeded with a few whole numbers."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed))

    def __call__(self, shape: int | tuple[int, ...], low: float = 0.0, high: float = 1.0) -> np.ndarray:
        raw = self._bits.random_raw(int(np.prod(shape))).reshape(shape)
        return low + (high - low) * ((raw >> np.uint64(11)) * 2.0**-53)

    def grain(self, shape: tuple[int, ...]) -> np.ndarray:
        """float32 noise between -1 and 1 with a triangular distribution (variance 1/6): film grain."""
        count = int(np.prod(shape))
        first, second = self._bits.random_raw(-(-count // 4)).astype("<u8").view(np.uint8).reshape(2, -1)[:, :count]
        return ((first.astype(np.float32) + second - 255) / 255).reshape(shape)
