"""Laws of `double_exposure(images)`: a number that tells two pictures on top of each other from one that moves.

How the number is found is left to whoever writes it. The laws draw paths of both kinds and compare the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import number, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check(
    "double_exposure(images)",
    "float: larger for a path that lays its two ends on top of each other than for one that moves",
)
Pace = Callable[[torch.Tensor], torch.Tensor]
Shape = tuple[int, ...]


def _unevenly(t: torch.Tensor) -> torch.Tensor:
    return t + 0.05 * torch.sin(2 * torch.pi * t)


@CHECK.law("tells a bump that moves from two bumps that fade", weight=2)
def _strips(candidate: Candidate, draw: Draw) -> None:
    """Random in where the bumps lie: of the energy half-way the two ends explain 0.56 at most in a morph of this check
    and 0.83 at least in a double exposure (seen in 2000 worlds), so that a design built on that never fails."""
    for pixels in (32, 48, 80):
        worlds = [_World(draw, (pixels,)) for _ in range(8)]
        _apart(candidate, [w.morph(_unevenly) for w in worlds], [w.fade() for w in worlds], "strips with a bump")


@CHECK.law("does not depend on the pace, nor on the number of steps", weight=2)
def _paces(candidate: Candidate, draw: Draw) -> None:
    """Random as above, with the same margin: never fails."""
    for num_steps in (9, 21, 40):
        morphs, fades = [], []
        for pace in (lambda t: t, lambda t: t**3, lambda t: 1 - (1 - t) ** 3, lambda t: t * t * (3 - 2 * t)):
            world = _World(draw, (32,), num_steps)
            morphs.append(world.morph(pace))
            fades.append(world.fade(pace))
        _apart(candidate, morphs, fades, f"paths of {num_steps} pictures at different paces", PACE)


@CHECK.law("is not misled by noise, or by ghosts that tremble", weight=2)
def _noise(candidate: Candidate, draw: Draw) -> None:
    """Random as above, with the same margin: never fails."""
    for _ in range(20):
        worlds = [_World(draw, (64,)) for _ in range(4)]
        morphs = [w.noisy(w.morph(), 0.1 * (i % 2)) for i, w in enumerate(worlds)]
        doubles = [w.noisy(w.fade(), 0.1) for w in worlds[:2]] + [w.trembling() for w in worlds[2:]]
        _apart(candidate, morphs, doubles, "paths with noise", NOISE)


@CHECK.law(
    "is not misled by brightness: bright double exposures, pale morphs, bumps that go dim on their way", weight=2
)
def _brightness(candidate: Candidate, draw: Draw) -> None:
    """Random as above, with the same margin: never fails."""
    for _ in range(12):
        worlds = [_World(draw, (32,)) for _ in range(4)]
        morphs = [worlds[0].morph(), worlds[1].dimmed(), 0.3 * worlds[2].dimmed(), 0.3 * worlds[3].morph()]
        doubles = [worlds[0].bright(), worlds[1].fade(), worlds[2].bright(), worlds[3].logits()]
        _apart(candidate, morphs, doubles, "paths of changing brightness", BRIGHTNESS)


@CHECK.law("works for pictures as for strips")
def _pictures(candidate: Candidate, draw: Draw) -> None:
    """Random as above, with the same margin: never fails."""
    for shape in ((20, 20), (1, 16, 16), (400,)):
        worlds = [_World(draw, shape) for _ in range(8)]
        doubles = [w.bright() if i % 2 else w.fade() for i, w in enumerate(worlds)]
        _apart(candidate, [w.morph() for w in worlds], doubles, f"paths of pictures {shape}")


@CHECK.law("gives the same for the path walked backwards, and the same again")
def _backwards(candidate: Candidate, draw: Draw) -> None:
    """A double exposure and a morph: what looks at the path from both ends alike never fails; what never tells the
    two apart has nothing to keep."""
    worlds = [_World(draw, (32,)) for _ in range(8)]
    morphs, fades = [w.morph() for w in worlds], [w.fade(lambda t: t**2) for w in worlds]
    _apart(candidate, morphs, fades, "strips of each kind")
    morph, fade = morphs[0], fades[0]
    far = _value(candidate, fade) - _value(candidate, morph)
    for what, path in (("morph", morph), ("double exposure", fade)):
        first = _value(candidate, path)
        for other, how in ((path.flip(0), "walked backwards"), (path.clone(), "again")):
            came = _value(candidate, other)
            if not abs(came - first) <= 0.05 * abs(far) + 1e-6 * abs(first):
                raise Broken(f"{show(first)} for a {what} {how}, as before", show(came))


@CHECK.law("leaves its argument and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its input."""
    path = _World(draw, (32,)).fade()
    kept = path.clone()
    candidate(path)
    untouched((kept,), (path,), ("images",))
    well_behaved(candidate)


class _World:
    """Two places in a strip or in a square, and paths of pictures from the one to the other."""

    def __init__(self, draw: Draw, shape: Shape, num_steps: int = 21) -> None:
        self._draw, self._shape = draw, shape
        self._flat = len(shape) == 1 and shape[0] < 400
        self._t = torch.linspace(0, 1, num_steps)[:, None]
        self._width = draw.number(0.05, 0.07)
        start, end = draw.number(0.15, 0.25), draw.number(0.75, 0.85)
        if self._flat:
            ends = torch.tensor([[start], [end]])
        else:
            ends = torch.tensor([[start, draw.number(0.2, 0.8)], [end, draw.number(0.2, 0.8)]])
        self._start, self._end = ends if draw.number(0, 1) < 0.5 else ends.flip(0)
        self._a, self._b = self._bump(self._start[None]), self._bump(self._end[None])

    def morph(self, pace: Pace = lambda t: t) -> torch.Tensor:
        s = pace(self._t)
        return self._shaped(self._bump((1 - s) * self._start + s * self._end))

    def dimmed(self) -> torch.Tensor:
        """Wider and darker half-way, as blurred pictures are."""
        s, sag = self._t, 4 * self._t * (1 - self._t)
        return self._shaped((1 - 0.5 * sag) * self._bump((1 - s) * self._start + s * self._end, 1 + 0.3 * sag))

    def fade(self, pace: Pace = lambda t: t) -> torch.Tensor:
        s = pace(self._t)
        return self._shaped((1 - s) * self._a + s * self._b)

    def bright(self) -> torch.Tensor:
        """Half-way both ends are as bright as alone."""
        s = self._t
        return self._shaped(torch.maximum((2 - 2 * s).clamp(max=1) * self._a, (2 * s).clamp(max=1) * self._b))

    def logits(self) -> torch.Tensor:
        """The fade of the logits, which is what averages the arguments of a sigmoid."""
        s, (a, b) = self._t, (8 * end - 4 for end in (self._a, self._b))
        return self._shaped(torch.sigmoid((1 - s) * a + s * b))

    def trembling(self) -> torch.Tensor:
        """A fade whose ghosts move a little from picture to picture."""
        s = self._t
        inner = torch.sin(torch.pi * s) > 1e-3
        first, last = (0.012 * inner * self._draw.signs(*s.shape) for _ in range(2))
        return self._shaped((1 - s) * self._bump(self._start + first) + s * self._bump(self._end + last))

    def noisy(self, path: torch.Tensor, size: float) -> torch.Tensor:
        return (path + self._draw.normal(*path.shape, scale=size)).clamp(0, 1) if size else path

    def _bump(self, places: torch.Tensor, wider: torch.Tensor | float = 1.0) -> torch.Tensor:
        """(T, pixels) of centres (T, 1) in a strip or (T, 2) in a square."""
        width = self._width * wider
        if self._flat:
            pixel = torch.linspace(0, 1, self._shape[0])
            return torch.exp(-((pixel - places) ** 2) / (2 * width**2))
        side = self._shape[-1] if len(self._shape) > 1 else 20
        y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
        squared = (x.flatten() - places[:, :1]) ** 2 + (y.flatten() - places[:, 1:]) ** 2
        return torch.exp(-squared / (2 * (1.3 * width) ** 2))

    def _shaped(self, path: torch.Tensor) -> torch.Tensor:
        return path.reshape(len(path), *self._shape)


def _value(candidate: Candidate, path: torch.Tensor) -> float:
    return number(candidate(path.clone()), "the number of a path", tensor_allowed=True)


def _apart(
    candidate: Candidate,
    morphs: Sequence[torch.Tensor],
    doubles: Sequence[torch.Tensor],
    what: str,
    cause: Cause | None = None,
) -> None:
    """Every double exposure above every morph, by more than rounding. Asked in an order of its own."""
    paths = [*morphs, *doubles]
    values = {number: _value(candidate, paths[number]) for number in Draw().permutation(len(paths)).tolist()}
    came = [values[number] for number in range(len(paths))]
    of_morphs, of_doubles = came[: len(morphs)], came[len(morphs) :]
    margin = 1e-4 * max(map(abs, of_morphs + of_doubles)) + 1e-9
    if min(of_doubles) > max(of_morphs) + margin:
        return
    if max(of_doubles + of_morphs) - min(of_doubles + of_morphs) <= margin:
        cause = CONSTANT
    elif min(of_morphs) > max(of_doubles) + margin:
        cause = UPSIDE_DOWN
    raise Broken(
        f"{what}: every double exposure above every morph",
        f"double exposures from {show(min(of_doubles))}, morphs up to {show(max(of_morphs))}",
        cause,
    )


_CARD = "the list of hidden paths on the card of double_exposure"
CONSTANT = Cause("constant", "Your number is the same for both kinds.", _CARD)
UPSIDE_DOWN = Cause("upside_down", "Your number is larger for the morph: turn its sign.", "the last line")
PACE = Cause(
    "pace",
    "Your number depends on when the pictures change: a double exposure at another pace is still one, so do not hold "
    "each picture against the fade at the same t.",
    _CARD,
    tentative=True,
)
NOISE = Cause(
    "noise",
    "Noise misleads your number. Whatever adds up steps or looks at single pixels grows with noise alone; compare the "
    "pictures in between with the two ends instead.",
    _CARD,
    tentative=True,
)
BRIGHTNESS = Cause(
    "brightness",
    "Brightness misleads your number: a double exposure need not be grey, a morph may go dim. Ask where the ink is.",
    _CARD,
    tentative=True,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """One sign for all paths of both kinds."""
    worlds = [_World(draw, (32,)) for _ in range(4)]
    of_morphs = [_value(candidate, w.morph()) for w in worlds]
    of_doubles = [_value(candidate, path) for w in worlds for path in (w.fade(), w.bright())]
    found = []
    if max(of_morphs + of_doubles) - min(of_morphs + of_doubles) <= 1e-9:
        found.append(CONSTANT)
    elif min(of_morphs) > max(of_doubles):
        found.append(UPSIDE_DOWN)
    return sole(found)
