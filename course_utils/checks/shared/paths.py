"""What `interpolate` and `slerp` have in common: the exact walks, the laws that both obey, mistakes in the times t."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, simplest
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Draw
from ..engine.score import Cause
from ..engine.verdict import Broken, counted
from .tables import causes

Walk = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
_SHAPES = "'Shapes' on the exercise card"


def weights(num_steps: int) -> torch.Tensor:
    """t from 0 to 1, both included, as a column."""
    return torch.linspace(0, 1, num_steps, dtype=torch.float64)[:, None]


def straight(a: torch.Tensor, b: torch.Tensor, num_steps: int, t: torch.Tensor | None = None) -> torch.Tensor:
    """(1 - t) a + t b in float64."""
    t = weights(num_steps) if t is None else t
    return (1 - t) * plain64(a) + t * plain64(b)


def arc(a: torch.Tensor, b: torch.Tensor, num_steps: int, t: torch.Tensor | None = None) -> torch.Tensor:
    """Shoemake's slerp (SIGGRAPH 1985) in float64; the straight line where sin w < 1e-4."""
    t = weights(num_steps) if t is None else t
    angle = angle_between(a, b)
    if math.sin(angle) < 1e-4:
        return straight(a, b, num_steps, t)
    return (torch.sin((1 - t) * angle) * plain64(a) + torch.sin(t * angle) * plain64(b)) / math.sin(angle)


def angle_between(a: torch.Tensor, b: torch.Tensor) -> float:
    """Angle between the directions, in radians; 0 for a zero code."""
    a, b = plain64(a), plain64(b)
    lengths = float(a.norm() * b.norm())
    return math.acos(max(-1.0, min(1.0, float(a @ b) / lengths))) if lengths else 0.0


def pair(draw: Draw, dims: int, angle: float, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Two codes of unlike lengths with this angle between them; in one dimension, of the same sign or not."""
    first, other = draw.normal(dims, dtype=torch.float64), draw.normal(dims, dtype=torch.float64)
    first = first / first.norm()
    if dims == 1:
        second = first if angle < math.pi / 2 else -first
    else:
        other = other - (other @ first) * first
        second = math.cos(angle) * first + math.sin(angle) * other / other.norm()
    return (draw.number(0.7, 1.4) * first).to(dtype), (draw.number(1.8, 3.0) * second).to(dtype)


def walk(candidate: Candidate, a: torch.Tensor, b: torch.Tensor, num_steps: int) -> torch.Tensor:
    """What comes, of the right shape."""
    return tensor(candidate(a.clone(), b.clone(), num_steps), (num_steps, a.shape[0]), f"{num_steps} codes")


def compare(candidate: Candidate, exact: Walk, a: torch.Tensor, b: torch.Tensor, num_steps: int, what: str) -> None:
    """Raises Broken where the walk is not the exact one."""
    want = exact(a, b, num_steps)
    size = max(float(codes.abs().max()) for codes in (a, b, want))
    same_tensor(walk(candidate, a, b, num_steps), want, what, scale=size)


def reaches_both_ends(candidate: Candidate, draw: Draw) -> None:
    """The first law of both: at acute angles and obtuse ones, and for 1 / (num_steps - 1) round or not."""
    for num_steps, dims, angle in ((2, 2, 0.5), (3, 4, 2.5), (4, 3, 1.0), (8, 8, 2.0), (21, 5, 1.4), (32, 2, 2.2)):
        a, b = pair(draw, dims, angle)
        came = walk(candidate, a, b, num_steps)
        size = float(torch.cat([a, b]).abs().max())
        same_tensor(came[0], plain64(a), f"first of {num_steps} codes (z_start)", scale=size)
        same_tensor(came[-1], plain64(b), f"last of {num_steps} codes (z_end)", scale=size)


def works_anywhere(candidate: Candidate, draw: Draw, exact: Walk) -> None:
    """A law of both: in one dimension and many, at small angles and large ones, in float64 and on other devices."""
    sizes = ((1, 3, 0.0), (1, 3, math.pi), (2, 2, 1.0), (2, 4, 0.35), (200, 8, 1.6), (24, 33, 2.0), (3, 101, 2.7))
    for dims, steps, angle in sizes:
        a, b = pair(draw, dims, angle, torch.float64)
        compare(candidate, exact, a, b, steps, f"{counted(steps, 'code')} of {counted(dims, 'dimension')} in float64")
    for device in candidate.devices():
        a, b = pair(draw, 5, 1.5)
        got = tensor(candidate(a.to(device), b.to(device), 4), (4, 5), f"codes on {device}")
        if got.device.type != device.type:
            raise Broken(f"codes on {device}, where z_start is", f"codes on {got.device}")
        same_tensor(got, exact(a, b, 4), f"codes on {device}", scale=3.0)


def leaves_alone(candidate: Candidate, draw: Draw) -> None:
    """The last law of both."""
    a, b = pair(draw, 4, 1.0)
    kept = a.clone(), b.clone()
    candidate(a, b, 4)
    untouched(kept, (a, b), ("z_start", "z_end"))
    well_behaved(candidate)


def mistakes_in_t(exact: Callable[..., torch.Tensor], where: str) -> list[tuple[Cause, Walk]]:
    """What mistakes in the values of t, and in the shape, give for either walk."""
    uneven = "The ends are right, but the steps are not evenly spaced."
    times: tuple[tuple[str, str, Callable[[int], torch.Tensor]], ...] = (
        (
            "end_missing",
            "The end is missing: your last code is one step short of z_end. There are num_steps - 1 gaps between "
            "num_steps codes.",
            lambda n: _count(n) / n,
        ),
        (
            "start_missing",
            "The start is missing: your first code is already one step away from z_start.",
            lambda n: (_count(n) + 1) / n,
        ),
        (
            "ends_missing",
            "Both ends are missing: only codes in between come back.",
            lambda n: (_count(n) + 1) / (n + 1),
        ),
        ("reversed", "Your walk goes from z_end to z_start.", lambda n: weights(n).flip(0)),
        ("uneven", uneven, lambda n: weights(n) ** 2 * (3 - 2 * weights(n))),
        ("uneven", uneven, lambda n: weights(n) ** 2),
        ("uneven", uneven, lambda n: (1 - torch.cos(torch.pi * weights(n))) / 2),
        ("t_not_scaled", "t runs from 0 to num_steps - 1; it must run from 0 to 1.", _count),
        (
            "one_step_too_many",
            "You return one code too many: num_steps counts codes, not gaps.",
            lambda n: weights(n + 1),
        ),
        ("one_step_too_few", "You return one code too few.", lambda n: weights(max(n - 1, 1))),
    )
    shapes: tuple[tuple[str, str, Walk], ...] = (
        ("transposed", "Rows and columns are exchanged: one code a row.", lambda a, b, n: exact(a, b, n).T),
        ("extra_axis", "Your result has one axis too many.", lambda a, b, n: exact(a, b, n)[:, None, :]),
    )
    return [
        *((cause, lambda a, b, n, t=t: exact(a, b, n, t(n))) for cause, t in causes(where, times)),
        *causes(_SHAPES, shapes),
    ]


def _count(n: int) -> torch.Tensor:
    return torch.arange(n, dtype=torch.float64)[:, None]


RANDOM = Cause(
    "random",
    "Two calls with the same codes give two paths: nothing about a path is random.",
    "random functions in your code",
)


def diagnose(candidate: Candidate, draw: Draw, mistakes: Sequence[tuple[Cause, Walk]]) -> Cause | None:
    """The one mistake that explains three walks. Codes are short, so that their scalar product is a cosine."""
    probes = []
    for dims, steps, angle in ((4, 5, 1.1), (3, 6, 1.9), (6, 4, 1.1)):
        a, b = (0.4 * z for z in pair(draw, dims, angle))
        probes.append((a, b, steps, candidate(a.clone(), b.clone(), steps)))
    a, b, steps, came = probes[0]
    if isinstance(came, torch.Tensor) and not agrees(candidate(a.clone(), b.clone(), steps), plain64(came)):
        return RANDOM
    hits = {
        cause.id: (1, cause)
        for cause, mistaken in mistakes
        if all(agrees(came, mistaken(a, b, steps)) for a, b, steps, came in probes)
    }
    if set(hits) == {"reversed", "weights_exchanged"}:
        return hits["reversed"][1]
    return simplest(list(hits.values()))
