"""Draws toy animals from their attributes: shapes given by their distance functions, many pictures at a time.

The pictures are square, x to the right and y downwards, both from -1 to 1. An animal has coordinates of its own: its
body lies around (0, 0) and looks along +x; each picture places, scales and mirrors it. Only additions, products,
divisions and square roots touch the pixels, so that every machine draws the same bytes.

Arrays are float32 and broadcast to (n, S, S): a number per picture is (n, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = np.ndarray
FAR = np.float32(9)  # a distance that is nowhere near


def column(values: npt.ArrayLike) -> Array:
    """(n,) numbers as float32 (n, 1, 1)."""
    return np.asarray(values, np.float32).reshape(-1, 1, 1)


@dataclass
class Grid:
    """Coordinates of the pixels of n pictures; ``pixel`` is the size of one in the same units."""

    x: Array  # (n or 1, 1, S)
    y: Array  # (n or 1, S, 1)
    pixel: Array  # (n or 1, 1, 1)

    @classmethod
    def whole(cls, size: int) -> Grid:
        middle = ((np.arange(size) + 0.5) * 2 / size - 1).astype(np.float32)
        return cls(middle.reshape(1, 1, -1), middle.reshape(1, -1, 1), column([2 / size]))

    def seen_from(self, x: Array, y: Array, scale: Array, facing: Array) -> Grid:
        """The same pixels in coordinates with origin (x, y) and unit ``scale`` that look along ``facing``."""
        return Grid((self.x - x) * (facing / scale), (self.y - y) / scale, self.pixel / scale)

    def ellipse(self, x, y, across, down, cos=1.0, sin=0.0) -> Array:
        """Distance to an ellipse, negative inside; exact for circles, and near the edge of the others."""
        dx, dy = self.x - x, self.y - y
        u = dx * (cos / across) + dy * (sin / across)
        v = dy * (cos / down) - dx * (sin / down)
        radius = np.sqrt(u * u + v * v)
        return (radius - 1) * np.sqrt(across * down)

    def limb(self, x0, y0, x1, y1, r0, r1) -> Array:
        """Distance to a rod with round ends, from radius r0 at (x0, y0) to r1 at (x1, y1)."""
        dx, dy, along, down = self.x - x0, self.y - y0, x1 - x0, y1 - y0
        length = along * along + down * down + np.float32(1e-6)
        t = dx * (along / length) + dy * (down / length)
        np.clip(t, 0, 1, out=t)
        ex, ey = dx - t * along, dy - t * down
        ex *= ex
        ey *= ey
        ex += ey
        np.sqrt(ex, out=ex)
        t *= r1 - r0
        ex -= t
        return ex - r0

    def cover(self, distance: Array) -> Array:
        """The share of each pixel that lies inside, from the distance to the edge: smooth without oversampling."""
        return np.clip(np.float32(0.5) - distance / self.pixel, 0, 1)


@dataclass
class Layer:
    """Colour with coverage, both premultiplied: what has been drawn so far, to be laid over something else."""

    size: int
    count: int
    rgb: list[Array] = field(init=False)
    alpha: Array = field(init=False)

    def __post_init__(self) -> None:
        shape = (self.count, self.size, self.size)
        self.rgb = [np.zeros(shape, np.float32) for _ in range(3)]
        self.alpha = np.zeros(shape, np.float32)

    def paint(self, cover: Array, colour) -> None:
        """Lay a colour, three numbers or arrays (n, 1, 1) or (n, S, S), over what is there."""
        for channel, value in zip(self.rgb, colour, strict=True):
            channel += cover * (value - channel)
        self.alpha += cover * (1 - self.alpha)

    def tint(self, cover: Array, colour) -> None:
        """Colour what is there already, and nothing beside it."""
        for channel, value in zip(self.rgb, colour, strict=True):
            channel += cover * (value * self.alpha - channel)

    def over(self, ground: list[Array]) -> None:
        clear = 1 - self.alpha
        for below, channel in zip(ground, self.rgb, strict=True):
            below *= clear
            below += channel


def zigzag(values: Array) -> Array:
    """A triangle wave of period 1 between -1 and 1: a sine without its libraries' last digits."""
    part = values - np.floor(values)
    return 4 * np.abs(part - np.float32(0.5)) - 1


def step(values: Array, width: float = 0.2) -> Array:
    """0 below 0, 1 above, over ``width``."""
    return np.clip(values / np.float32(width) + np.float32(0.5), 0, 1)


def clouds(values: Array, size: int) -> Array:
    """Random numbers (n, rows, columns) as a smooth field (n, size, size)."""
    for axis in (1, 2):
        count = values.shape[axis]
        place = (np.arange(size) + 0.5) / size * (count - 1)
        low = np.minimum(place.astype(int), count - 2)
        t = (place - low).astype(np.float32)
        t = (t * t * (3 - 2 * t)).reshape((1, -1, 1) if axis == 1 else (1, 1, -1))
        first = np.take(values, low, axis)
        values = first + t * (np.take(values, low + 1, axis) - first)
    return values


def mix(first, second, share):
    """Between two colours."""
    return tuple(a + share * (b - a) for a, b in zip(first, second, strict=True))


def times(colour, factor):
    return tuple(channel * factor for channel in colour)
