"""Where toy animals live: sky, ground and what stands on it, one function a habitat.

A scene takes the grid, the height of its horizon (n, 1, 1) and random numbers, and gives three channels (n, S, S) in
[0, 1].
"""

from __future__ import annotations

import numpy as np

from .drawing import Array, Grid, clouds, column, mix, step, times, zigzag
from .random_bits import Uniform

Scene = list[Array]


class Painter:
    """Paints one scene for n pictures; ``bumps`` are two smooth random fields in [0, 1] that all scenes share."""

    def __init__(self, grid: Grid, horizon: Array, draw: Uniform) -> None:
        self.grid, self.horizon, self.draw = grid, horizon, draw
        self.n, self.size = len(horizon), grid.x.shape[2]
        self.coarse = clouds(draw((self.n, 5, 5)).astype(np.float32), self.size)
        self.fine = clouds(draw((self.n, 20, 20)).astype(np.float32), self.size)

    def two_halves(self, sky_top, sky_low, ground_far, ground_near, rough: float = 0.12) -> Scene:
        """Sky above the horizon, ground below, each shaded from far to near, with irregular texture."""
        height = np.clip((self.horizon - self.grid.y) / 1.2, 0, 1)
        depth = np.clip((self.grid.y - self.horizon) / 1.2, 0, 1)
        sky = mix(sky_low, sky_top, height)
        ground = mix(ground_far, ground_near, depth)
        texture = 1 + rough * (self.fine + self.coarse - 1)
        below = step((self.grid.y - self.horizon) + 0.05 * (self.coarse - 0.5), 0.06)
        puffs = 0.5 * step(self.coarse - 0.62, 0.3) * height
        return [s + puffs * (1 - s) + below * (g * texture - s) for s, g in zip(sky, ground, strict=True)]

    def lay(self, scene: Scene, cover: Array, colour) -> None:
        for channel, value in zip(scene, colour, strict=True):
            channel += cover * (value - channel)

    def numbers(self, low: float, high: float) -> Array:
        return column(self.draw(self.n, low, high))

    def ridge(self, steepness: float, period: float, height: float) -> Array:
        """y of a jagged line across the picture, (n, 1, S)."""
        waves = zigzag(self.grid.x / period + self.numbers(0, 1)) + 0.4 * zigzag(
            self.grid.x / (0.37 * period) + self.numbers(0, 1)
        )
        return self.horizon - height - steepness * waves

    def blades(self, scene: Scene, colour, cover: float, rows: float = 7) -> None:
        """Grass: short slanted strokes below the horizon."""
        wave = zigzag((self.grid.x + 0.2 * self.grid.y) * 9 + 2 * self.fine + self.numbers(0, 1))
        strokes = step(wave * zigzag(self.grid.y * rows + 2 * self.coarse) - 0.25, 0.5)
        self.lay(scene, cover * strokes * step(self.grid.y - self.horizon - 0.05, 0.1), colour)

    def trunks(self, scene: Scene, count: int, colour, width: float) -> None:
        """Trees that stand on the horizon."""
        for _ in range(count):
            x, w = self.numbers(-1, 1), self.numbers(0.6, 1.4) * width
            foot = self.horizon + self.numbers(0.0, 0.22)
            shade = self.numbers(0.75, 1.15)
            self.lay(
                scene,
                self.grid.cover(np.abs(self.grid.x - x) - w) * step(foot - self.grid.y, 0.04),
                times(colour, shade),
            )

    def crowns(self, scene: Scene, count: int, colour, radius: float, low: float = 0.05, high: float = 0.3) -> None:
        """Round bushes or tree tops around a height above the horizon."""
        for _ in range(count):
            x, y = self.numbers(-1.1, 1.1), self.horizon - self.numbers(low, high)
            r = radius * self.numbers(0.7, 1.4)
            leaf = self.grid.ellipse(x, y, r * 1.2, r) + 0.10 * (self.fine - 0.5)
            self.lay(scene, self.grid.cover(leaf), times(colour, 0.8 + 0.4 * self.fine * self.numbers(0.8, 1.2)))


def arctic(p: Painter) -> Scene:
    scene = p.two_halves((0.55, 0.70, 0.86), (0.84, 0.90, 0.95), (0.80, 0.87, 0.93), (0.94, 0.96, 0.98), 0.05)
    ice = step(p.grid.y - p.ridge(0.08, 1.1, 0.10), 0.03) * step(p.horizon - p.grid.y, 0.03)
    p.lay(scene, 0.8 * ice, (0.70, 0.82, 0.92))
    p.lay(scene, 0.35 * step(p.coarse - 0.62) * step(p.grid.y - p.horizon, 0.1), (0.68, 0.79, 0.90))
    return scene


def coastal(p: Painter) -> Scene:
    scene = p.two_halves((0.42, 0.66, 0.90), (0.78, 0.88, 0.94), (0.20, 0.46, 0.62), (0.30, 0.58, 0.68), 0.08)
    foam = step(zigzag(p.grid.y * 8 + 1.2 * p.coarse + p.numbers(0, 1)) - 0.72, 0.3)
    p.lay(scene, 0.5 * foam * step(p.grid.y - p.horizon, 0.05), (0.86, 0.93, 0.95))
    shore = p.grid.y - (p.horizon + p.numbers(0.28, 0.42)) + 0.16 * (p.coarse - 0.5)
    p.lay(scene, step(shore + 0.05, 0.04), (0.92, 0.93, 0.90))
    p.lay(scene, step(shore, 0.04), times((0.86, 0.77, 0.58), 0.94 + 0.12 * p.fine))
    return scene


def desert(p: Painter) -> Scene:
    scene = p.two_halves((0.38, 0.62, 0.90), (0.90, 0.86, 0.74), (0.90, 0.74, 0.46), (0.84, 0.62, 0.34), 0.08)
    dune = p.grid.y - p.ridge(0.10, 1.7, 0.06)
    p.lay(scene, step(dune, 0.03), times((0.90, 0.72, 0.43), 0.95 + 0.1 * p.fine))
    p.lay(
        scene,
        step(dune - 0.34 + 0.2 * p.grid.x * p.numbers(-1, 1), 0.06),
        times((0.82, 0.60, 0.33), 0.95 + 0.1 * p.fine),
    )
    return scene


def plains(p: Painter) -> Scene:
    scene = p.two_halves((0.50, 0.70, 0.90), (0.93, 0.88, 0.74), (0.80, 0.72, 0.40), (0.66, 0.58, 0.26), 0.18)
    for _ in range(2):  # acacias: flat crowns
        x, top, r = p.numbers(-1.1, 1.1), p.horizon - p.numbers(0.25, 0.45), p.numbers(0.12, 0.24)
        p.lay(scene, p.grid.cover(p.grid.limb(x, top, x, p.horizon + 0.05, 0.02, 0.03)), (0.36, 0.27, 0.17))
        crown = p.grid.ellipse(x, top, 1.7 * r, 0.6 * r) + 0.08 * (p.fine - 0.5)
        p.lay(scene, p.grid.cover(crown), times((0.42, 0.46, 0.20), 0.8 + 0.4 * p.fine))
    p.blades(scene, (0.90, 0.82, 0.50), 0.55)
    return scene


def forest(p: Painter) -> Scene:
    scene = p.two_halves((0.30, 0.45, 0.33), (0.46, 0.58, 0.42), (0.26, 0.38, 0.20), (0.34, 0.30, 0.17), 0.35)
    p.trunks(scene, 5, (0.26, 0.19, 0.13), 0.055)
    p.crowns(scene, 5, (0.20, 0.36, 0.18), 0.24, 0.55, 1.0)
    p.lay(scene, 0.5 * step(p.fine - 0.66) * step(p.grid.y - p.horizon, 0.1), (0.52, 0.40, 0.18))
    return scene


def fields(p: Painter) -> Scene:
    scene = p.two_halves((0.36, 0.62, 0.92), (0.80, 0.90, 0.97), (0.47, 0.68, 0.30), (0.36, 0.58, 0.20), 0.12)
    p.lay(scene, step(p.grid.y - p.ridge(0.05, 2.3, 0.08), 0.04) * step(p.horizon - p.grid.y, 0.04), (0.42, 0.60, 0.40))
    p.blades(scene, (0.55, 0.76, 0.32), 0.6)
    for rail in (0.10, 0.19):
        p.lay(scene, p.grid.cover(np.abs(p.grid.y - p.horizon + rail - 0.22) - 0.016), (0.62, 0.48, 0.33))
    posts = np.abs(zigzag(p.grid.x * 1.25 + p.numbers(0, 1)) - 1) * 0.2 - 0.018
    p.lay(scene, p.grid.cover(posts) * step(0.17 - np.abs(p.grid.y - p.horizon - 0.09), 0.04), (0.56, 0.43, 0.29))
    return scene


def jungle(p: Painter) -> Scene:
    scene = p.two_halves((0.16, 0.38, 0.16), (0.34, 0.58, 0.24), (0.20, 0.40, 0.14), (0.16, 0.30, 0.12), 0.4)
    p.crowns(scene, 6, (0.16, 0.46, 0.16), 0.26, 0.1, 1.1)
    p.crowns(scene, 3, (0.36, 0.62, 0.20), 0.18, -0.1, 0.9)
    vines = step(np.abs(zigzag(p.grid.x * 1.6 + 0.25 * p.coarse + p.numbers(0, 1))) * -1 + 0.10, 0.1)
    p.lay(scene, 0.7 * vines * step(p.horizon + 0.1 - p.grid.y, 0.2), (0.12, 0.26, 0.10))
    return scene


def mountains(p: Painter) -> Scene:
    scene = p.two_halves((0.40, 0.60, 0.86), (0.82, 0.88, 0.95), (0.52, 0.52, 0.48), (0.44, 0.43, 0.38), 0.22)
    back, front = p.grid.y - p.ridge(0.30, 1.15, 0.50), p.grid.y - p.ridge(0.22, 0.8, 0.14)
    above = step(p.horizon + 0.04 - p.grid.y, 0.06)
    p.lay(scene, step(back, 0.06) * above, times((0.50, 0.54, 0.62), 0.9 + 0.2 * p.fine))
    p.lay(scene, step(back, 0.06) * step(0.20 - back + 0.2 * (p.fine - 0.5), 0.10) * above, (0.94, 0.95, 0.97))
    p.lay(scene, step(front, 0.06) * above, times((0.40, 0.42, 0.42), 0.85 + 0.3 * p.fine))
    return scene


def ocean(p: Painter) -> Scene:
    """Under water: lighter towards the surface, with slanting rays."""
    depth = 0.5 * (p.grid.y + 1) + 0 * p.coarse
    scene = [np.array(c) for c in mix((0.36, 0.72, 0.84), (0.03, 0.18, 0.36), depth)]
    rays = step(zigzag((p.grid.x + 0.5 * p.grid.y) * 1.1 + 0.2 * p.coarse + p.numbers(0, 1)) - 0.2, 0.8)
    p.lay(scene, 0.20 * rays * (1 - depth), (0.80, 0.95, 0.98))
    p.lay(scene, 0.25 * step(p.fine - 0.72) * (1 - depth), (0.62, 0.86, 0.92))
    return scene


SCENES = {f.__name__: f for f in (arctic, coastal, desert, plains, forest, fields, jungle, mountains, ocean)}
