"""Toy animals: 6,000 small pictures of 40 kinds of animals, drawn by a program. They are synthetic: no photograph, no
real animal. Their use is that the truth is known: each picture follows from its class's attributes and chance alone.

Colours, patterns, fur, build, limbs, tail, horns, tusks, habitat, company and night are drawn; the attributes in
``NOT_DRAWN`` are not. Names and files are like those of Animals with Attributes 2 (``write`` puts them on disk so).
"""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from course_utils.system.contracts import Whole
from course_utils.system.errors import CourseError
from course_utils.system.whole_file import whole_file

from . import animals, places
from .animals import Attributes, Pictures
from .photographs import parts
from .toy.bodies import PLANS, Body, plan_of, reach_of
from .toy.classes import CLASS_NAMES, COLOURS, HABITATS, NAMES, NOT_DRAWN, PATTERNS, attributes
from .toy.drawing import Array, Grid, Layer, clouds, column, mix, step, times, zigzag
from .toy.random_bits import Uniform
from .toy.scenes import SCENES, Painter

__all__ = ["CLASS_NAMES", "NAMES", "NOT_DRAWN", "Attributes", "attributes", "draw", "factors", "read", "write"]

VERSION = 1  # goes up when the same seed gives other pictures
PER_CLASS = 150
CHUNK = 30  # pictures drawn together: their arrays fit into a processor's cache
FIRST_NUMBER = 10001  # as AwA2 numbers its files
SIZES = (32, 64, 128)

RGB = {
    "black": (0.11, 0.10, 0.11),
    "white": (0.93, 0.92, 0.88),
    "blue": (0.20, 0.38, 0.70),
    "brown": (0.46, 0.29, 0.16),
    "gray": (0.53, 0.54, 0.56),
    "orange": (0.90, 0.47, 0.11),
    "red": (0.84, 0.38, 0.37),
    "yellow": (0.87, 0.69, 0.30),
}
CHANCES = (
    "habitat",
    "size",
    "x",
    "y",
    "facing",
    "horizon",
    "swing",
    "nod",
    "tail",
    "night",
    "company",
    "bath",
    "light",
    "warmth",
    "shade",
    "coat",
)
NIGHT = (0.52, 0.58, 0.82)
_INDEX = {name: i for i, name in enumerate(NAMES)}


def read(size: int = 64, *, per_class: int = PER_CLASS, seed: int = 0) -> Pictures:
    """The data set. Drawn once (some seconds) and kept in the user's cache, if that can be written to."""
    _check(size, per_class)
    names = [f"{name}/{name}_{FIRST_NUMBER + i}.jpg" for name in CLASS_NAMES for i in range(per_class)]
    images = _kept(
        places.user_cache() / f"toy_animals_v{VERSION}" / f"{size}_{per_class}_{seed}.npy", size, per_class, seed
    )
    row = {name: i for i, name in enumerate(names)}
    ordered = parts.shuffled(names)
    order = torch.tensor([row[name] for name in ordered])
    return Pictures(
        torch.from_numpy(images)[order],
        order // per_class,
        {part: parts.stretch(ordered, part) for part in parts.PARTS},
        CLASS_NAMES,
        attributes(),
        {},
    )


def draw(continuous: Array | torch.Tensor, *, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures, uint8 (N, 3, size, size), of animals with attributes ``continuous`` (N, A), in per cent.

    Chance (pose, place, light) is the same for the same seed and row: change one attribute, and see what it does.
    """
    values = np.asarray(continuous, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] != len(NAMES):
        raise ValueError(
            f"continuous is {values.shape}; expected (N, {len(NAMES)}), a column for each of toy_animals.NAMES."
        )
    if not np.isfinite(values).all():
        raise ValueError("continuous holds nan or inf; expected attributes in per cent.")
    _check(size, 1)
    chunks = [_draw(values[i : i + CHUNK], Uniform(seed, i), size) for i in range(0, len(values), CHUNK)]
    return torch.from_numpy(np.concatenate(chunks) if chunks else np.zeros((0, 3, size, size), np.uint8))


def factors(number: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """What chance gives to the pictures that ``draw`` makes of ``number`` rows with this seed: name -> (N,) in [0, 1].

    Place (``x``, ``y``), ``size``, ``facing`` (below 1/2: to the left), ``horizon``, ``light``, ``warmth``, ``coat``
    and the others of ``CHANCES``: independent, each uniform, and the same whatever the attributes are.
    """
    number, seed = Whole(1).take("number", number), Whole().take("seed", seed)
    found: dict[str, list[Array]] = {name: [] for name in CHANCES}
    for start in range(0, number, CHUNK):
        uniform = Uniform(seed, start)
        for name in CHANCES:  # in the order in which a picture takes them
            found[name].append(uniform(CHUNK))
    return {name: torch.from_numpy(np.concatenate(drawn)[:number]) for name, drawn in found.items()}


def write(folder: Path, *, size: int = 64, per_class: int = 4, seed: int = 0) -> Path:
    """Write pictures and attributes as AwA2 keeps its own, below ``folder``. Returns ``Animals_with_Attributes2``.

    JPEG at the best quality still changes a picture by a grey level or so."""
    from PIL import Image

    _check(size, per_class)
    root = folder / "Animals_with_Attributes2"
    for name, text in animals.texts(CLASS_NAMES, attributes()).items():
        root.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8", newline="\n")
    images = _draw_all(size, per_class, seed)
    for i, image in enumerate(images.transpose(0, 2, 3, 1)):
        name = CLASS_NAMES[i // per_class]
        path = root / "JPEGImages" / name / f"{name}_{FIRST_NUMBER + i % per_class}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=95, subsampling=0)
    return root


def _check(size: int, per_class: int) -> None:
    if size not in SIZES:
        raise CourseError(f"size is {size}; toy animals are drawn in {', '.join(map(str, SIZES))} pixels.")
    if per_class < 1:
        raise CourseError(f"per_class is {per_class}; expected at least 1.")


def _kept(path: Path, size: int, per_class: int, seed: int) -> Array:
    """The pictures at ``path``, or new ones, which are kept there; a cache that cannot be written to is no error."""
    shape = (len(CLASS_NAMES) * per_class, 3, size, size)
    try:
        found = np.load(path)
        if found.shape == shape and found.dtype == np.uint8:
            return found
    except (OSError, ValueError, EOFError):
        pass
    images = _draw_all(size, per_class, seed)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as scratch:
            np.save(scratch, images)
    return images


def _draw_all(size: int, per_class: int, seed: int) -> Array:
    """(C * per_class, 3, size, size), class by class. A picture depends on seed, class and number alone."""
    continuous = attributes().continuous.numpy()
    jobs = [(label, start) for label in range(len(CLASS_NAMES)) for start in range(0, per_class, CHUNK)]

    def work(job: tuple[int, int]) -> Array:
        label, start = job
        pictures = _draw(np.repeat(continuous[label : label + 1], CHUNK, 0), Uniform(seed, label, start), size)
        return pictures[: per_class - start]

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # NumPy lets threads run side by side
        return np.concatenate(list(pool.map(work, jobs)))


# --- one picture from chance and attributes ----------------------------------------------------------------------


def _draw(values: Array, draw: Uniform, size: int) -> Array:
    """uint8 (n, 3, size, size) of animals with attributes ``values`` (n, A); n at most CHUNK.

    The same chance is drawn for every row whatever its attributes, so that attributes alone make the difference."""
    n = len(values)
    traits = {name: column(np.clip((values[:, i] - 30) / 40, 0, 1)) for name, i in _INDEX.items()}
    chance = {name: draw(CHUNK)[:n] for name in CHANCES}
    patchy = clouds(draw((CHUNK, 9, 9)).astype(np.float32)[:n], size)
    grain = draw.grain((CHUNK, 3, size, size))[:n]
    scene_seed = [int(bits * 2**31) for bits in draw(len(HABITATS))]
    habitat = _choose_habitats(values, chance["habitat"])
    grid, horizon = Grid.whole(size), column(-0.35 + 0.45 * chance["horizon"])
    pictures = [np.empty((n, size, size), np.float32) for _ in range(3)]
    for i, name in enumerate(HABITATS):
        rows = np.flatnonzero(habitat == i)
        if len(rows):
            scene = SCENES[name](Painter(grid, horizon[rows], Uniform(scene_seed[i])))
            for channel, part in zip(pictures, scene, strict=True):
                channel[rows] = part
    plans = plan_of(traits)
    wet = habitat == HABITATS.index("ocean")
    for plan in dict.fromkeys(plans.tolist()):
        rows = np.flatnonzero(plans == plan)
        some = {name: t[rows] for name, t in traits.items()}
        luck = {name: c[rows] for name, c in chance.items()}
        parts_of = [channel[rows] for channel in pictures]
        _put_animal(
            parts_of, plan, some, values[rows], luck, patchy[rows], grain[rows, 0], horizon[rows], wet[rows], grid
        )
        for channel, part in zip(pictures, parts_of, strict=True):
            channel[rows] = part
    return _developed(pictures, traits, chance, grain)


def _choose_habitats(values: Array, chance: Array) -> Array:
    """(n,) an index into HABITATS: one of those that the animal has, each as likely as it is strong."""
    strength = values[:, [_INDEX[name] for name in HABITATS]].astype(np.float64)
    strength = np.where(strength > 50, strength, 0) + 1e-6 * (strength == strength.max(1, keepdims=True))
    heaped = np.cumsum(strength, 1)
    return (heaped < chance[:, None] * heaped[:, -1:]).sum(1)


def _put_animal(
    picture: list[Array],
    plan: str,
    t: dict[str, Array],
    values: Array,
    chance: dict[str, Array],
    patchy: Array,
    hair: Array,
    horizon: Array,
    wet: Array,
    whole: Grid,
) -> None:
    """Paint the animals, their company, shadow and water over their scenes."""
    c = {name: column(numbers) for name, numbers in chance.items()}
    wet_row = column(wet)
    pose = {"swing": 0.36 * c["swing"] - 0.18, "nod": c["nod"], "tail": 1.5 * c["tail"] - 0.5, "on_land": 1 - wet_row}
    reach = reach_of(plan, t, pose)
    scale = (0.76 + 0.20 * t["big"] - 0.20 * t["small"]) * (0.90 + 0.20 * c["size"])
    scale = np.minimum(scale, np.minimum(1.80 / (reach.up + reach.down), 1.90 / (reach.back + reach.front)))
    facing = np.where(c["facing"] < 0.5, np.float32(-1), np.float32(1))
    left = scale * np.where(facing > 0, reach.back, reach.front)
    right = scale * np.where(facing > 0, reach.front, reach.back)
    x = -0.95 + left + c["x"] * np.maximum(1.9 - left - right, 0)
    foot = np.maximum(horizon + 0.25, 0.45) + 0.40 * c["y"]
    aloft = wet_row if plan == "flippers" else np.ones_like(x) if plan == "wings" else np.zeros_like(x)
    y_aloft = (-0.30 if plan == "flippers" else -0.38) + 0.6 * c["y"]
    y = np.where(aloft > 0.5, y_aloft, np.maximum(foot - scale * reach.down, -0.95 + scale * reach.up))
    foot = y + scale * reach.down
    grid = whole.seen_from(x, y, scale, facing)
    layer = Layer(picture[0].shape[1], len(x))
    _paint(layer, grid, PLANS[plan](grid, t, pose), t, values, c, patchy, hair)
    _paint_company(picture, layer, t, chance, aloft.ravel() > 0.5, horizon.ravel(), foot.ravel())
    shadow = np.clip(1 - np.maximum(whole.ellipse(x, foot, 0.55 * scale, 0.09 * scale) / 0.12 + 0.5, 0), 0, 1)
    for channel in picture:
        channel *= 1 - 0.38 * shadow * (1 - aloft)
    layer.over(picture)
    bath = (t["swims"] > 0.5) & (c["bath"] < 0.6) & (aloft < 0.5)
    if bath.any():
        line = foot - 0.22 * scale + 0.02 * zigzag(whole.x * 3 + c["x"])
        cover = bath * step(whole.y - line, 0.03) * 0.85
        foam = bath * np.clip(1 - np.abs(whole.y - line) / 0.035, 0, 1) * 0.5
        for channel, water, white in zip(picture, (0.20, 0.44, 0.60), (0.85, 0.93, 0.96), strict=True):
            channel += cover * (water * (0.9 + 0.3 * patchy) - channel)
            channel += foam * (white - channel)


def _paint(layer: Layer, grid: Grid, body: Body, t, values: Array, c, patchy: Array, hair: Array) -> None:
    """The animal itself: far side, coat with its pattern, light and shade, then what is small."""
    main, second = _coat_colours(values, c)
    fur = t["furry"]
    coat_edge = body.coat + fur * 0.02 * (hair - 0.3)
    if body.far is not None:
        layer.paint(grid.cover(body.far), times(main, 0.62))
    shade = 1.06 - 0.42 * np.clip(grid.y + 0.1, -0.3, 0.6) + (c["shade"] - 0.5) * 0.35 * grid.x
    shade = shade + 0.09 * fur * hair + 0.16 * t["toughskin"] * (patchy - 0.5) * hair * 2
    gloss = (
        np.clip(1 - np.abs(grid.y + 0.10 + 0.05 * patchy) / 0.07, 0, 1) * t["hairless"] * 0.22 * (1 - t["toughskin"])
    )
    colour = mix(main, second, _pattern(grid, body, t, values, patchy, c))
    layer.paint(grid.cover(coat_edge), [np.clip(channel * shade + gloss, 0, 1) for channel in colour])
    rim = grid.cover(coat_edge) * np.clip(1 + coat_edge / 0.05, 0, 1) * (0.40 - 0.15 * fur)
    layer.tint(rim, times(main, 0.35))
    if body.dark is not None:
        layer.paint(grid.cover(body.dark), (0.13, 0.11, 0.10))
    if body.horns is not None:
        layer.paint(grid.cover(body.horns), (0.80, 0.74, 0.60))
        layer.tint(grid.cover(np.abs(body.horns) - 0.012) * 0.6, (0.25, 0.20, 0.15))
    if body.light is not None:
        layer.paint(grid.cover(body.light), (0.97, 0.95, 0.86))
    (head_x, head_y), (tip_x, tip_y, tip) = body.head, body.snout
    dark_face = values[:, _INDEX["black"]] >= values[:, [_INDEX[name] for name in COLOURS]].max(1)
    around = grid.ellipse(head_x + 0.05, head_y - 0.02, 0.075, 0.07)
    layer.paint(grid.cover(around) * column(dark_face) * 0.8, (0.80, 0.78, 0.70))
    layer.paint(grid.cover(grid.ellipse(head_x + 0.05, head_y - 0.02, 0.045, 0.045)), (0.05, 0.04, 0.05))
    layer.paint(grid.cover(grid.ellipse(head_x + 0.065, head_y - 0.035, 0.018, 0.018)), (0.95, 0.95, 0.95))
    layer.paint(grid.cover(grid.ellipse(tip_x + 0.5 * tip, tip_y - 0.25 * tip, 0.042, 0.036)) * 0.9, (0.10, 0.07, 0.07))


def _coat_colours(values: Array, c) -> tuple[tuple, tuple]:
    """The strongest colour, and the next where the animal has two; else a darker shade of the first."""
    strength = values[:, [_INDEX[name] for name in COLOURS]]
    palette = np.array([RGB[name] for name in COLOURS], np.float32)
    order = np.argsort(-strength, axis=1, kind="stable")
    rows = np.arange(len(values))
    main, second = palette[order[:, 0]], palette[order[:, 1]]
    second = np.where((strength[rows, order[:, 1]] > 50)[:, None], second, 0.5 * main)
    vary = 0.88 + 0.24 * c["coat"]
    return tuple(column(main[:, k]) * vary for k in range(3)), tuple(
        column(second[:, k]) * (0.94 + 0.06 * vary) for k in range(3)
    )


def _pattern(grid: Grid, body: Body, t, values: Array, patchy: Array, c) -> Array:
    """The share of the second colour, (n, S, S): stripes, spots, patches; without any, a belly and a muzzle."""
    share = np.zeros_like(patchy)
    if any_pattern := [name for name in PATTERNS if (t[name] > 0.5).any()]:
        warp = patchy - 0.5
        if "stripes" in any_pattern:
            waves = zigzag(grid.x * 4.2 + 0.30 * zigzag(grid.y * 1.5 + c["coat"]) + 0.5 * warp + c["shade"])
            share = np.maximum(share, t["stripes"] * step(waves + 0.02, 0.45))
        if "spots" in any_pattern:
            v = grid.y * 4.6 + 0.9 * warp
            u = grid.x * 4.6 + 0.5 * np.floor(v) + 0.9 * warp + c["shade"]
            du, dv = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
            share = np.maximum(share, t["spots"] * step(0.30 - np.sqrt(du * du + dv * dv), 0.16))
        if "patches" in any_pattern:
            share = np.maximum(share, t["patches"] * step(patchy - 0.54, 0.10))
    plain = 1 - np.maximum(np.maximum(t["stripes"], t["spots"]), t["patches"])
    strength = np.sort(values[:, [_INDEX[name] for name in COLOURS]], axis=1)
    two = column(np.where(strength[:, -2] > 50, 1, 0.35))  # with one colour alone, the belly is a little darker
    x, y, across, down = body.belly
    pale = np.clip(0.5 - grid.ellipse(x, y, across, down) / 0.08, 0, 1)
    pale = np.maximum(pale, np.clip(0.5 - grid.ellipse(body.snout[0], body.snout[1] + 0.02, 0.10, 0.08) / 0.05, 0, 1))
    return np.maximum(share, two * plain * pale * 0.9)


def _paint_company(
    picture: list[Array], layer: Layer, t, chance: dict[str, Array], aloft: Array, horizon: Array, foot: Array
) -> None:
    """Others of its kind: the animal once or twice more, at half the size, further back."""
    size = layer.size
    half = size // 2
    small = [_halved(channel) for channel in (*layer.rgb, layer.alpha)]
    for i in np.flatnonzero(t["group"].ravel() > 0.5):
        for k in range(1 + (chance["company"][i] > 0.45)):
            place = (chance["company"][i] * 7.3 + 0.55 * k + chance["x"][i]) % 1
            if aloft[i]:
                top = (0.05 + 0.45 * place) * size
            else:  # its feet between the horizon and those of the first
                on = horizon[i] + (0.25 + 0.45 * place) * (foot[i] - horizon[i])
                top = (on + 1) / 2 * size - (foot[i] + 1) / 2 * half
            top = int(min(max(top, 0), size - half))
            left = int(place * (size - half))
            window = (slice(top, top + half), slice(left, left + half))
            for channel, own in zip(picture, small[:3], strict=True):
                below = channel[i][window]
                below *= 1 - small[3][i]
                below += own[i] * 0.9 + 0.06 * small[3][i]  # a little haze


def _halved(image: Array) -> Array:
    return (image[:, ::2, ::2] + image[:, 1::2, ::2] + image[:, ::2, 1::2] + image[:, 1::2, 1::2]) / 4


def _developed(picture: list[Array], t, chance: dict[str, Array], grain: Array) -> Array:
    """Light of the day or the night, film grain, and bytes."""
    gain = column(0.84 + 0.28 * chance["light"])
    warmth = column(0.12 * chance["warmth"] - 0.06)
    night = column(chance["night"] < 0.03) + (t["nocturnal"] > 0.5) * column(
        (chance["night"] >= 0.03) & (chance["night"] < 0.75)
    )
    out = np.empty((len(grain), 3, *grain.shape[2:]), np.uint8)
    for k, channel in enumerate(picture):
        balance = gain * (1 + warmth * (1 - k)) * (1 + night * np.float32(NIGHT[k] - 1))
        out[:, k] = np.clip(channel * balance * 255 + 6 * grain[:, k] + np.float32(0.5), 0, 255)
    return out
