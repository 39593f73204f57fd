"""Laws of `interpolate(z_start, z_end, num_steps)` and `slerp(z_start, z_end, num_steps)`: walks from code to code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, simplest
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken

Walk = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
_LINE = "the formula of the straight line, (1 - t) a + t b, and the values that t takes"
_ARC = "the formula of spherical interpolation and its hint"


def weights(num_steps: int) -> torch.Tensor:
    """t from 0 to 1, both included, as a column."""
    return torch.linspace(0, 1, num_steps, dtype=torch.float64)[:, None]


def straight(a: torch.Tensor, b: torch.Tensor, num_steps: int, t: torch.Tensor | None = None) -> torch.Tensor:
    """(1 - t) a + t b in float64."""
    t = weights(num_steps) if t is None else t
    return (1 - t) * plain64(a) + t * plain64(b)


def arc(a: torch.Tensor, b: torch.Tensor, num_steps: int, t: torch.Tensor | None = None) -> torch.Tensor:
    """Shoemake's slerp (SIGGRAPH 1985) in float64; the straight line where sin w < 1e-4."""
    t, (a, b) = weights(num_steps) if t is None else t, (plain64(a), plain64(b))
    angle = angle_between(a, b)
    if math.sin(angle) < 1e-4:
        return straight(a, b, num_steps, t)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / math.sin(angle)


def angle_between(a: torch.Tensor, b: torch.Tensor) -> float:
    """Angle between the directions, in radians; 0 for a zero code."""
    lengths = float(a.norm() * b.norm())
    return math.acos(max(-1.0, min(1.0, float(a @ b) / lengths))) if lengths else 0.0


def _without_end(n: int) -> torch.Tensor:
    return torch.arange(n, dtype=torch.float64)[:, None] / n


def _without_start(n: int) -> torch.Tensor:
    return torch.arange(1, n + 1, dtype=torch.float64)[:, None] / n


def _inside(n: int) -> torch.Tensor:
    return torch.arange(1, n + 1, dtype=torch.float64)[:, None] / (n + 1)


def _eased(n: int) -> torch.Tensor:
    t = weights(n)
    return t * t * (3 - 2 * t)


def _times(walk: Callable[..., torch.Tensor], where: str) -> list[tuple[Cause, Walk]]:
    """What mistakes in the values of t give, for either walk."""

    def at(t: Callable[[int], torch.Tensor]) -> Walk:
        return lambda a, b, n: walk(a, b, n, t(n))

    return [
        (
            Cause(
                "end_missing",
                "The end is missing: your last code is one step short of z_end. There are num_steps - 1 gaps "
                "between num_steps codes.",
                where,
            ),
            at(_without_end),
        ),
        (
            Cause(
                "start_missing", "The start is missing: your first code is already one step away from z_start.", where
            ),
            at(_without_start),
        ),
        (Cause("ends_missing", "Both ends are missing: only codes in between come back.", where), at(_inside)),
        (Cause("reversed", "Your walk goes from z_end to z_start.", where), at(lambda n: weights(n).flip(0))),
        (Cause("uneven", "The ends are right, but the steps are not evenly spaced.", where), at(_eased)),
        (
            Cause("uneven", "The ends are right, but the steps are not evenly spaced.", where),
            at(lambda n: weights(n) ** 2),
        ),
        (
            Cause("uneven", "The ends are right, but the steps are not evenly spaced.", where),
            at(lambda n: (1 - torch.cos(torch.pi * weights(n))) / 2),
        ),
        (
            Cause("t_not_scaled", "t runs from 0 to num_steps - 1; it must run from 0 to 1.", where),
            at(lambda n: weights(n) * (n - 1)),
        ),
        (
            Cause("one_step_too_many", "You return one code too many: num_steps counts codes, not gaps.", where),
            at(lambda n: weights(n + 1)),
        ),
        (Cause("one_step_too_few", "You return one code too few.", where), at(lambda n: weights(max(n - 1, 1)))),
        (
            Cause("transposed", "Rows and columns are exchanged: one code a row.", "'Shapes' on the exercise card"),
            lambda a, b, n: walk(a, b, n).T,
        ),
        (
            Cause("extra_axis", "Your result has one axis too many.", "'Shapes' on the exercise card"),
            lambda a, b, n: walk(a, b, n)[:, None, :],
        ),
    ]


LINE_MISTAKES: list[tuple[Cause, Walk]] = _times(straight, _LINE) + [
    (
        Cause(
            "adds_whole_end",
            "You add t times z_end to the whole of z_start: the weight of z_start must fall as that of z_end rises.",
            _LINE,
        ),
        lambda a, b, n: plain64(a) + weights(n) * plain64(b),
    ),
    (
        Cause("weights_not_complementary", "The weights do not add up to 1.", _LINE),
        lambda a, b, n: weights(n) * plain64(a) + weights(n) * plain64(b),
    ),
    (
        Cause("direction_reversed", "You walk away from z_end: the direction is z_end - z_start.", _LINE),
        lambda a, b, n: plain64(a) + weights(n) * (plain64(a) - plain64(b)),
    ),
    (
        Cause("stays_at_start", "Every code is z_start: t has no effect.", _LINE),
        lambda a, b, n: straight(a, b, n, 0 * weights(n)),
    ),
    (
        Cause("normalized", "You scale the codes on the way: a straight line leaves their lengths alone.", _LINE),
        lambda a, b, n: torch.nn.functional.normalize(straight(a, b, n), dim=1),
    ),
    (Cause("spherical", "This is the spherical walk; the straight line is asked for.", _LINE), arc),
]


def _from_angle(
    a: torch.Tensor, b: torch.Tensor, n: int, change: Callable[[float], float], *, scale: bool = True
) -> torch.Tensor:
    t, (a, b) = weights(n), (plain64(a), plain64(b))
    angle = change(angle_between(a, b))
    walk = torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b
    return walk / math.sin(angle) if scale else walk


def _unit(z: torch.Tensor) -> torch.Tensor:
    z = plain64(z)
    return z / z.norm()


def _unnormalized_angle(a: torch.Tensor, b: torch.Tensor, n: int) -> torch.Tensor:
    t, (a, b) = weights(n), (plain64(a), plain64(b))
    angle = math.acos(max(-1.0, min(1.0, float(a @ b))))
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / math.sin(angle)


def _shortest(a: torch.Tensor, b: torch.Tensor, n: int) -> torch.Tensor:
    return arc(a, -plain64(b), n) if float(plain64(a) @ plain64(b)) < 0 else arc(a, b, n)


def _length_interpolated(a: torch.Tensor, b: torch.Tensor, n: int) -> torch.Tensor:
    lengths = (1 - weights(n)) * plain64(a).norm() + weights(n) * plain64(b).norm()
    return lengths * arc(_unit(a), _unit(b), n)


ARC_MISTAKES: list[tuple[Cause, Walk]] = _times(arc, _ARC) + [
    (Cause("straight", "This is the straight line; going round is asked for.", _ARC), straight),
    (
        Cause(
            "unit_vectors",
            "You return unit vectors: lengths are not rescaled, only the angle is taken from the directions.",
            _ARC,
        ),
        lambda a, b, n: arc(_unit(a), _unit(b), n),
    ),
    (
        Cause(
            "length_interpolated",
            "You go round with unit vectors and put interpolated lengths back: the codes enter as they are.",
            _ARC,
        ),
        _length_interpolated,
    ),
    (
        Cause(
            "angle_not_normalized",
            "The angle is taken from the scalar product of the codes themselves; divide by both lengths first.",
            _ARC,
        ),
        _unnormalized_angle,
    ),
    (
        Cause("not_divided_by_sine", "The division by sin w is missing.", _ARC),
        lambda a, b, n: _from_angle(a, b, n, lambda w: w, scale=False),
    ),
    (
        Cause(
            "shortest_way",
            "You turn z_end round when the angle is obtuse, as for quaternions: a code and its negative are "
            "two different codes.",
            _ARC,
        ),
        _shortest,
    ),
    (
        Cause("degrees", "The angle is in degrees; sin wants radians.", _ARC),
        lambda a, b, n: _from_angle(a, b, n, math.degrees),
    ),
    (Cause("half_angle", "You use half the angle.", _ARC), lambda a, b, n: _from_angle(a, b, n, lambda w: w / 2)),
    (
        Cause("cosine_for_sine", "You use cosines where sines belong.", _ARC),
        lambda a, b, n: (
            (
                torch.cos((1 - weights(n)) * angle_between(plain64(a), plain64(b))) * plain64(a)
                + torch.cos(weights(n) * angle_between(plain64(a), plain64(b))) * plain64(b)
            )
            / math.sin(angle_between(plain64(a), plain64(b)))
        ),
    ),
    (
        Cause("weights_exchanged", "The two sine weights are exchanged: your walk goes from z_end to z_start.", _ARC),
        lambda a, b, n: arc(b, a, n),
    ),
]


def _diagnose_with(mistakes: Sequence[tuple[Cause, Walk]]) -> Callable[[Candidate, Draw], Cause | None]:
    def diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
        probes = []
        for dims, steps, obtuse in ((4, 5, False), (3, 6, True), (6, 4, False)):
            a, b = (
                0.4 * z for z in _pair(draw, dims, 1.9 if obtuse else 1.1)
            )  # short: their scalar product is a cosine
            probes.append((a, b, steps, candidate(a.clone(), b.clone(), steps)))
        hits = {
            cause.id: (1, cause)
            for cause, walk in mistakes
            if all(agrees(came, walk(a, b, steps)) for a, b, steps, came in probes)
        }
        if set(hits) == {"reversed", "weights_exchanged"}:
            return hits["reversed"][1]
        return simplest(hits.values())

    return diagnose


def _pair(draw: Draw, dims: int, angle: float, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Two codes of unlike lengths with this angle between them."""
    first, other = draw.normal(dims, dtype=torch.float64), draw.normal(dims, dtype=torch.float64)
    first = first / first.norm()
    other = other - (other @ first) * first
    other = other / other.norm()
    a, b = draw.number(0.7, 1.4) * first, draw.number(1.8, 3.0) * (math.cos(angle) * first + math.sin(angle) * other)
    return a.to(dtype), b.to(dtype)


def _walk(candidate: Candidate, a: torch.Tensor, b: torch.Tensor, num_steps: int) -> torch.Tensor:
    return tensor(candidate(a.clone(), b.clone(), num_steps), (num_steps, a.shape[0]), f"{num_steps} codes")


def _compare(candidate: Candidate, exact: Walk, a: torch.Tensor, b: torch.Tensor, num_steps: int, what: str) -> None:
    size = max(float(a.abs().max()), float(b.abs().max()), float(exact(a, b, num_steps).abs().max()))
    same_tensor(_walk(candidate, a, b, num_steps), exact(a, b, num_steps), what, scale=size)


def _ends(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for num_steps in (2, 3, draw.integer(4, 9), 21):
        a, b = _pair(draw, draw.integer(2, 8), draw.number(0.5, 2.5))
        walk = _walk(candidate, a, b, num_steps)
        size = float(torch.cat([a, b]).abs().max())
        same_tensor(walk[0], plain64(a), f"first of {num_steps} codes (z_start)", scale=size)
        same_tensor(walk[-1], plain64(b), f"last of {num_steps} codes (z_end)", scale=size)


def _anywhere(exact: Walk) -> Callable[[Candidate, Draw], None]:
    def law(candidate: Candidate, draw: Draw) -> None:
        """Random inputs, exact comparison: a correct function never fails."""
        for dims, steps in ((1, 3), (2, 2), (200, 8), (24, 33), (3, 101)):
            a, b = draw.normal(dims, dtype=torch.float64), draw.normal(dims, dtype=torch.float64)
            _compare(candidate, exact, a, b, steps, f"{steps} codes of {dims} dimensions in float64")
        for device in candidate.devices():
            a, b = draw.normal(5), draw.normal(5)
            got = tensor(candidate(a.to(device), b.to(device), 4), (4, 5), f"codes on {device}")
            if got.device.type != device.type:
                raise Broken(f"codes on {device}, where z_start is", f"codes on {got.device}")
            same_tensor(got, exact(a, b, 4), f"codes on {device}", scale=3.0)

    return law


def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    a, b = _pair(draw, 4, 1.0)
    kept = a.clone(), b.clone()
    candidate(a, b, 4)
    untouched(kept, (a, b), ("z_start", "z_end"))
    well_behaved(candidate)


INTERPOLATE = Check("interpolate(z_start, z_end, num_steps)", "codes on the straight line, both ends included")
INTERPOLATE.diagnosis(_diagnose_with(LINE_MISTAKES))
INTERPOLATE.law("begins at z_start and ends at z_end, for any number of steps", weight=2)(_ends)


@INTERPOLATE.law("is right where you can work it out by hand", weight=2)
def _line_by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    a, b = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([4.0, 0.0, -1.0])
    _compare(candidate, straight, a, b, 5, "codes from (0, 2, -1) to (4, 0, -1) in 5 steps")
    _compare(candidate, straight, a, a, 3, "codes from (0, 2, -1) to the same code")
    _compare(candidate, straight, 0 * a, 0 * a, 3, "codes from zero to zero")
    _compare(candidate, straight, 30 * a, -20 * b, 4, "codes from (0, 60, -30) to (-80, 0, 20) in 4 steps")


@INTERPOLATE.law("goes in a straight line, in even steps", weight=3)
def _even(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for num_steps in (4, draw.integer(5, 12), 30, draw.integer(40, 120)):
        a, b = _pair(draw, draw.integer(2, 12), draw.number(0.3, 2.8))
        walk = plain64(_walk(candidate, a, b, num_steps))
        want = straight(a, b, num_steps)
        same_tensor(walk, want, f"{num_steps} codes", scale=float(torch.cat([a, b]).abs().max()))
        longest, mean = (
            float((walk[1:] - walk[:-1]).norm(dim=1).max()),
            float((plain64(b) - plain64(a)).norm()) / (num_steps - 1),
        )
        if num_steps < 10 and not longest <= 1.2 * mean + 1e-5:
            raise Broken(f"steps of length {show(mean)}", f"a step of length {show(longest)}")


INTERPOLATE.law("works for one dimension and many, in double precision, and on your accelerator")(_anywhere(straight))
INTERPOLATE.law("leaves its arguments and the random generators alone", manners=True)(_manners)

SLERP = Check("slerp(z_start, z_end, num_steps)", "codes on Shoemake's spherical path, both ends included")
SLERP.diagnosis(_diagnose_with(ARC_MISTAKES))
SLERP.law("begins at z_start and ends at z_end, for any number of steps", weight=2)(_ends)


@SLERP.law("is right on a quarter of a circle")
def _quarter(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    _compare(
        candidate, arc, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 5, "codes from (1, 0) to (0, 1) in 5 steps"
    )


@SLERP.law("is Shoemake's formula at acute and obtuse angles, codes entering with their own lengths", weight=4)
def _formula(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for angle in (0.2, draw.number(0.5, 1.4), draw.number(1.7, 2.6), 2.9):
        a, b = _pair(draw, draw.integer(2, 12), angle)
        _compare(candidate, arc, a, b, draw.integer(4, 12), f"codes at an angle of {show(angle)}")
    for angle in (draw.number(3.0, 3.1), math.pi - 0.02):  # nearly opposite, but not yet straight: codes become long
        a, b = _pair(draw, 4, angle)
        want = arc(a, b, 5)
        # an angle from float32 codes is off by up to 4e-4 there, and 1 / sin w with it by 2 %
        same_tensor(
            _walk(candidate, a, b, 5),
            want,
            f"codes at an angle of {show(angle)}",
            scale=float(want.abs().max()),
            rounding=0.03,
        )


@SLERP.law("keeps the length between codes of equal length", weight=2)
def _keeps_length(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for length in (1.0, draw.number(2, 9)):
        a, b = (length * _unit(z) for z in _pair(draw, draw.integer(3, 12), draw.number(0.6, 2.5)))
        walk = _walk(candidate, a.float(), b.float(), 9)
        same_tensor(
            walk.norm(dim=1), torch.full((9,), length, dtype=torch.float64), "length of the codes", scale=length
        )
    for angle, share in ((0.15, 0.002), (0.3, 0.006), (0.45, 0.006)):  # the chord sags by 0.0028, 0.011 and 0.025
        a, b = (_unit(z).float() for z in _pair(draw, 64, angle))
        walk = _walk(candidate, a, b, 41)
        same_tensor(
            walk.norm(dim=1),
            torch.ones(41, dtype=torch.float64),
            f"length of codes at an angle of {show(angle)}",
            scale=1.0,
            rounding=share,
        )


@SLERP.law("is the straight line where the codes are parallel, opposite or zero", weight=2)
def _degenerate(candidate: Candidate, draw: Draw) -> None:
    """Random inputs for which sin w is far below 1e-4 in the precision used: a correct function never fails."""
    generic = draw.normal(6, dtype=torch.float64)
    axis = torch.tensor([0.0, 2.0, 0.0])
    zero = torch.zeros(3)
    for a, b, what in (
        (axis, 1.5 * axis, "parallel"),
        (axis, -1.5 * axis, "opposite"),
        (axis, axis, "equal"),
        (zero, axis, "zero start"),
        (axis, zero, "zero end"),
        (zero, zero, "two zero"),
        (generic, -0.5 * generic, "opposite"),
        (generic, 3 * generic, "parallel"),
    ):
        _compare(candidate, straight, a, b, 5, f"codes between {what} codes")


SLERP.law("works for one dimension and many, in double precision, and on your accelerator")(_anywhere(arc))
SLERP.law("leaves its arguments and the random generators alone", manners=True)(_manners)

CHECK = INTERPOLATE
