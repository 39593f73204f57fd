"""The four body plans of the toy animals: on four legs, on two, with flippers, with wings.

Each plan takes ``traits`` (how long-legged, bulbous, ... each of n animals is, from 0 to 1, as (n, 1, 1)) and a random
``pose``, and gives a ``Body`` of shapes that ``toy_animals`` colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .drawing import FAR, Array, Grid

Traits = dict[str, Array]


@dataclass
class Body:
    """Distances to the shapes of an animal, and where its parts are. ``None``: it has no such part."""

    coat: Array  # the near side, all in one colour and pattern
    belly: tuple  # an ellipse (x, y, across, down) that the second colour fills
    head: tuple  # (x, y): of its middle
    snout: tuple  # (x, y, radius): of its tip
    far: Array | None = None  # legs or wing on the far side, in shade
    dark: Array | None = None  # hooves
    light: Array | None = None  # tusks
    horns: Array | None = None


@dataclass(frozen=True)
class Reach:
    """How far an animal extends from its origin, in its own units."""

    up: Array
    down: Array
    back: Array
    front: Array | float


def union(*distances: Array) -> Array:
    result = distances[0]
    for distance in distances[1:]:
        result = np.minimum(result, distance)
    return result


def only(present: Array, distance: Array) -> Array:
    """The shape in the pictures that have it, nothing in the others."""
    return np.where(present > 0.5, distance, FAR)


def any_of(present: Array) -> bool:
    return bool((present > 0.5).any())


def plan_of(traits: Traits) -> Array:
    """(n,) the name of each animal's plan."""
    has = {name: traits[name].ravel() > 0.5 for name in ("flys", "bipedal", "flippers")}
    plans = np.full(len(has["flys"]), "four", dtype="<U8")
    plans[has["flippers"]] = "flippers"
    plans[has["bipedal"]] = "two"
    plans[has["flys"]] = "wings"
    return plans


def four_legs(grid: Grid, t: Traits, pose: dict[str, Array]) -> Body:
    thick = 0.20 + 0.09 * t["bulbous"] - 0.045 * t["lean"]
    foot = 0.05 + 0.02 * t["bulbous"] - 0.01 * t["lean"]
    hip, bottom = 0.5 * thick, thick + _leg(t)
    body = union(
        grid.limb(-0.30, 0.0, 0.30, -0.02, thick * 0.96, thick),
        grid.ellipse(0.0, 0.05, 0.42, thick * (1.04 + 0.14 * t["bulbous"])),
    )
    swing = pose["swing"]
    legs = [
        grid.limb(x, hip, x + 0.5 * s, bottom, 1.45 * foot, foot)
        for x, s in ((-0.34, swing), (0.31, -swing), (-0.22, -swing), (0.43, swing))
    ]
    head_x, head_y, neck = _head_on_neck(grid, t, pose, 0.36, -0.06, thick)
    skull, snout = _head(grid, t, head_x, head_y, long=0.15)
    tail = _tail(grid, t, pose, -0.30 - thick, -0.07)
    body_parts = Body(
        coat=union(
            body,
            only(t["quadrapedal"], union(legs[0], legs[1])),
            neck,
            skull,
            _ear(grid, t, head_x - 0.05, head_y, 0.0),
            tail,
        ),
        belly=(0.04, 0.75 * thick, 0.42, 0.55 * thick),
        head=(head_x, head_y),
        snout=snout,
        far=union(only(t["quadrapedal"], union(legs[2], legs[3])), _ear(grid, t, head_x + 0.05, head_y, 0.03)),
    )
    if any_of(t["hooves"]):
        ends = [
            grid.limb(x + 0.45 * s, bottom - 0.045, x + 0.5 * s, bottom, foot, foot * 1.15)
            for x, s in ((-0.34, swing), (0.31, -swing), (-0.22, -swing), (0.43, swing))
        ]
        body_parts.dark = only(t["hooves"] * t["quadrapedal"], union(*ends))
    if any_of(t["tusks"]):  # a trunk goes with them
        x, y, _ = snout
        nose = union(
            grid.limb(x - 0.03, y, x + 0.09, y + 0.26, 0.085, 0.06),
            grid.limb(x + 0.09, y + 0.26, x + 0.17, y + 0.36 - 0.1 * pose["tail"], 0.06, 0.045),
        )
        body_parts.coat = union(body_parts.coat, only(t["tusks"], nose))
    body_parts.light = _tusks(grid, t, snout)
    body_parts.horns = _horns(grid, t, head_x, head_y)
    return body_parts


def two_legs(grid: Grid, t: Traits, pose: dict[str, Array]) -> Body:
    thick = 0.17 + 0.09 * t["bulbous"] - 0.03 * t["lean"]
    leg, foot = 0.08 + 1.1 * _leg(t), 0.06 + 0.02 * t["bulbous"] - 0.03 * t["longleg"]
    body = union(
        grid.limb(-0.03, 0.12, 0.06, -0.26, thick, 0.82 * thick), grid.ellipse(-0.03, 0.10, thick * 1.14, thick * 1.25)
    )
    bottom = 0.22 + leg
    swing = 0.5 * pose["swing"]
    legs = [
        union(
            grid.limb(x, 0.2, x + s, bottom, 1.3 * foot, foot),
            grid.limb(x + s, bottom, x + s + 0.11, bottom, foot, foot),
        )
        for x, s in ((-0.08, swing), (0.06, -swing))
    ]
    wide = 0.05 + 0.035 * t["flippers"]
    reach = 0.30 + 0.1 * t["bulbous"]
    arms = [
        grid.limb(x, -0.24, x + reach * a, -0.24 + reach, wide, wide * (0.85 - 0.4 * t["flippers"]))
        for x, a in ((-0.06 - 0.4 * thick, -0.45 - 0.5 * pose["tail"]), (0.10 + 0.4 * thick, 0.5 + 0.4 * pose["tail"]))
    ]
    head_x, head_y, neck = _head_on_neck(grid, t, pose, 0.07, -0.24 - 0.55 * thick, 0.65 * thick)
    skull, snout = _head(grid, t, head_x, head_y, long=0.11)
    tail = only(t["tail"], grid.limb(-0.12, 0.18, -0.52, 0.30 + 0.14 * pose["tail"], 0.10, 0.035))
    return Body(
        coat=union(body, legs[1], arms[0], arms[1], neck, skull, tail, _ear(grid, t, head_x - 0.04, head_y, 0.0)),
        belly=(0.06 + 0.35 * thick, 0.0, 0.62 * thick, 0.32),
        head=(head_x, head_y),
        snout=snout,
        far=legs[0],
        light=_tusks(grid, t, snout),
        horns=_horns(grid, t, head_x, head_y),
    )


def flippers(grid: Grid, t: Traits, pose: dict[str, Array]) -> Body:
    thick = 0.20 + 0.07 * t["bulbous"] - 0.03 * t["lean"]
    bend = 0.10 * pose["swing"] * 2
    lift = pose["on_land"]  # lying ashore, the head is raised
    body = union(
        grid.limb(0.22, 0.0, -0.42, 0.02 + bend, thick, 0.085),
        grid.ellipse(0.06, 0.0, 0.42, thick * 1.02),
    )
    head_x, head_y = 0.36 + 0.03 * lift, -0.02 - 0.27 * lift
    neck = grid.limb(0.24, 0.0, head_x, head_y, thick, 0.15 + 0.03 * t["bulbous"])
    skull, snout = _head(grid, t, head_x + 0.02, head_y + 0.02, long=0.15 - 0.05 * t["bulbous"])
    tail_y = 0.02 + bend
    spread = 0.16 + 0.05 * t["tail"]
    tail = union(
        grid.limb(-0.44, tail_y, -0.66, tail_y - spread, 0.075, 0.028),
        grid.limb(-0.44, tail_y, -0.66, tail_y + spread * (1 - 0.6 * lift), 0.075, 0.028),
    )
    fin = only(t["tail"], grid.limb(-0.02, -0.8 * thick, -0.16, -thick - 0.15, 0.10, 0.02))
    aside, below = 0.22 * lift - 0.1 * pose["tail"], 0.17 - 0.15 * lift
    paddle = grid.limb(0.10, 0.7 * thick, -0.04 - aside, thick + below, 0.075, 0.035)
    other = grid.limb(0.24, 0.6 * thick, 0.16 + 0.5 * aside, thick + 0.8 * below, 0.06, 0.03)
    return Body(
        coat=union(body, neck, skull, tail, fin, paddle),
        belly=(0.12, 0.68 * thick, 0.46, 0.52 * thick),
        head=(head_x + 0.02, head_y),
        snout=snout,
        far=other,
        light=_tusks(grid, t, snout),
        horns=_horns(grid, t, head_x, head_y),
    )


def wings(grid: Grid, t: Traits, pose: dict[str, Array]) -> Body:
    thick = 0.15 + 0.05 * t["bulbous"]
    body = grid.limb(0.16, -0.02, -0.22, 0.06, thick, 0.08)
    head_x, head_y = 0.26, -0.10 - 0.3 * t["longneck"]
    neck = grid.limb(0.16, -0.02, head_x, head_y, thick, 0.1)
    skull, snout = _head(grid, t, head_x, head_y, long=0.12)
    flap = 1.6 * pose["swing"]  # up to down
    tip_y = -0.46 + 1.2 * flap
    near = union(
        grid.limb(0.04, -0.03, -0.20, 0.75 * tip_y, 0.13, 0.13),
        grid.limb(-0.20, 0.75 * tip_y, -0.46, tip_y, 0.13, 0.03),
    )
    back = union(
        grid.limb(0.08, -0.04, 0.05, 0.8 * tip_y - 0.08, 0.11, 0.11),
        grid.limb(0.05, 0.8 * tip_y - 0.08, -0.12, 1.05 * tip_y - 0.12, 0.11, 0.03),
    )
    tail = only(
        t["tail"],
        union(grid.limb(-0.20, 0.06, -0.52, 0.06, 0.05, 0.07), grid.limb(-0.2, 0.06, -0.48, 0.18, 0.05, 0.05)),
    )
    furry_ears = np.where(t["furry"] > 0.5, _ear(grid, t, head_x - 0.04, head_y, 0.0), FAR)
    feet = grid.limb(-0.02, 0.08 + 0.5 * thick, -0.08, 0.18 + thick, 0.035, 0.03)
    return Body(
        coat=union(body, near, neck, skull, tail, furry_ears),
        belly=(0.05, 0.07, 0.24, 0.5 * thick),
        head=(head_x, head_y),
        snout=snout,
        far=union(back, feet),
        horns=_horns(grid, t, head_x, head_y),
        light=_tusks(grid, t, snout),
    )


PLANS = {"four": four_legs, "two": two_legs, "flippers": flippers, "wings": wings}


def reach_of(plan: str, t: Traits, pose: dict[str, Array]) -> Reach:
    """For placing: the extent of an animal of this plan, generously."""
    thick = 0.20 + 0.09 * t["bulbous"]
    neck = 0.25 + 0.50 * t["longneck"]
    horn = 0.16 * t["horns"]
    if plan == "four":
        return Reach(
            0.22 + neck + horn,
            thick + _leg(t) * t["quadrapedal"] + 0.04,
            0.60 + 0.15 * t["tail"],
            0.80 + 0.2 * t["longneck"],
        )
    if plan == "two":
        return Reach(0.58 + neck + horn, 0.34 + 1.1 * _leg(t), 0.38 + 0.2 * t["tail"], 0.42)
    if plan == "flippers":
        return Reach(0.45 + 0 * thick, thick + 0.15 - 0.11 * pose["on_land"], 0.70 + 0 * thick, 0.66 + 0 * thick)
    return Reach(0.55 + 0 * thick, 0.5 + 0 * thick, 0.55 + 0 * thick, 0.5 + 0 * thick)


# --- parts that several plans have --------------------------------------------------------------------------------


def _leg(t: Traits) -> Array:
    """What shows of a leg below the body."""
    return 0.15 + 0.27 * t["longleg"]


def _head_on_neck(grid: Grid, t: Traits, pose: dict[str, Array], x: float, y, thick) -> tuple[Array, Array, Array]:
    """Where the head is, and the neck that leads there; ``pose["nod"]`` from 0 (held up) to 1 (forward)."""
    length = 0.20 + 0.46 * t["longneck"]
    forward = 0.62 + 0.30 * pose["nod"]
    up = np.sqrt(1 - forward * forward)
    head_x, head_y = x + length * forward, y - length * up - 0.05 * t["longneck"]
    return head_x, head_y, grid.limb(x - 0.08, y, head_x, head_y, 0.72 * thick, 0.08 + 0.03 * t["bulbous"])


def _head(grid: Grid, t: Traits, x, y, long: Array | float) -> tuple[Array, tuple]:
    """Skull and snout; small animals have large heads."""
    size = 0.125 + 0.045 * t["small"] + 0.03 * t["bulbous"] - 0.012 * t["longneck"]
    tip_x, tip_y, tip = x + 0.5 * size + long, y + 0.07, 0.062 + 0.02 * t["bulbous"]
    return union(grid.ellipse(x, y, size * 1.1, size), grid.limb(x + 0.03, y + 0.03, tip_x, tip_y, 0.085, tip)), (
        tip_x,
        tip_y,
        tip,
    )


def _ear(grid: Grid, t: Traits, x, y, aside: float) -> Array:
    size = 0.125 + 0.045 * t["small"] + 0.03 * t["bulbous"]
    height = 0.09 + 0.13 * t["small"] + 0.03 * t["furry"]
    return grid.limb(x - 0.02, y - 0.7 * size, x - 0.05 + aside, y - 0.8 * size - height, 0.055, 0.03)


def _tail(grid: Grid, t: Traits, pose: dict[str, Array], x, y) -> Array:
    """Long and, on furry animals, bushy; without the attribute, a stub."""
    long = 0.06 + 0.28 * t["tail"]
    bushy = 0.035 + 0.045 * t["furry"] * t["tail"]
    return grid.limb(x + 0.05, y, x - 0.7 * long, y + long * (pose["tail"] - 0.1), 0.04, bushy)


def _horns(grid: Grid, t: Traits, x, y) -> Array | None:
    if not any_of(t["horns"]):
        return None
    size = 0.11 + 0.03 * t["bulbous"]
    return only(
        t["horns"],
        union(
            grid.limb(x + 0.02, y - size, x - 0.06, y - size - 0.21, 0.045, 0.014),
            grid.limb(x + 0.09, y - 0.85 * size, x + 0.13, y - size - 0.20, 0.045, 0.014),
        ),
    )


def _tusks(grid: Grid, t: Traits, snout: tuple) -> Array | None:
    if not any_of(t["tusks"]):
        return None
    x, y, r = snout
    return only(
        t["tusks"],
        union(
            grid.limb(x - 0.05, y + 0.7 * r, x + 0.07, y + r + 0.17, 0.038, 0.012),
            grid.limb(x - 0.11, y + 0.7 * r, x - 0.05, y + r + 0.17, 0.038, 0.012),
        ),
    )
