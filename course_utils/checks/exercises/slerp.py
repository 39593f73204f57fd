"""Laws of `slerp(z_start, z_end, num_steps)`: Shoemake's walk from code to code, round the origin."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees
from ..engine.demand import plain64, same_tensor
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import interpolate
from ..engine.verdict import Broken, CallFailed, blame
from ..shared import paths
from ..shared.tables import causes, holds

CHECK = Check(
    "slerp(z_start, z_end, num_steps)", "codes on Shoemake's spherical path, both ends included", lends=interpolate
)


@CHECK.law("begins at z_start and ends at z_end, for any number of steps", weight=2)
def _ends(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    paths.reaches_both_ends(candidate, draw)


@CHECK.law("is right on a quarter of a circle")
def _quarter(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    paths.compare(candidate, paths.arc, one, other, 5, "codes from (1, 0) to (0, 1) in 5 steps")


@CHECK.law("is Shoemake's formula at acute and obtuse angles, codes entering with their own lengths", weight=4)
def _formula(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for angle, dims, num_steps in ((0.2, 2, 5), (1.1, 7, 8), (2.1, 12, 4), (2.9, 4, 12)):
        a, b = paths.pair(draw, dims, angle)
        with blame(partial(_too_early, candidate, a, b)):
            paths.compare(candidate, paths.arc, a, b, num_steps, f"codes at an angle of {show(angle)}")
    for angle in (3.05, math.pi - 0.02):  # nearly opposite, but not yet straight: codes become long
        a, b = paths.pair(draw, 4, angle)
        want, came = paths.arc(a, b, 5), paths.walk(candidate, a, b, 5)
        # an angle from float32 codes is off by up to 4e-4 there, and 1 / sin w with it by 2 %
        with blame(partial(_too_early, candidate, a, b)):
            what, size = f"codes at an angle of {show(angle)}", float(want.abs().max())
            same_tensor(came, want, what, scale=size, rounding=0.03)


@CHECK.law("keeps the length between codes of equal length", weight=2)
def _keeps_length(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    # at the small angles, the chord sags by 0.0028, 0.011 and 0.025
    for length, angle, dims, num_steps, rounding in (
        (1.0, 1.2, 3, 9, 0.02),
        (draw.number(2, 9), 2.3, 12, 9, 0.02),
        (1.0, 0.15, 64, 41, 0.002),
        (1.0, 0.3, 64, 41, 0.006),
        (1.0, 0.45, 64, 41, 0.006),
    ):
        a, b = ((length * _unit(z)).float() for z in paths.pair(draw, dims, angle))
        lengths, want = paths.walk(candidate, a, b, num_steps).norm(dim=1), torch.full((num_steps,), length)
        with blame(partial(_too_early, candidate, a, b)):
            what = f"length of codes at an angle of {show(angle)}"
            same_tensor(lengths, plain64(want), what, scale=length, rounding=rounding)


@CHECK.law("is the straight line where the codes are parallel, opposite or zero", weight=2)
def _degenerate(candidate: Candidate, draw: Draw) -> None:
    """Random inputs for which sin w is far below 1e-4 in the precision used: a correct function never fails."""
    generic = draw.normal(6, dtype=torch.float64)
    axis = torch.tensor([0.0, 2.0, 0.0])
    zero = torch.zeros(3)
    broken: dict[str, Broken] = {}
    for kind, a, b, what in (
        ("parallel", axis, 1.5 * axis, "parallel codes"),
        ("opposite", axis, -1.5 * axis, "opposite codes"),
        ("parallel", 0.2 * axis, 0.3 * axis, "short parallel codes"),
        ("opposite", 0.2 * axis, -0.3 * axis, "short opposite codes"),
        ("parallel", axis, axis, "equal codes"),
        ("zero", zero, axis, "zero and a code"),
        ("zero", axis, zero, "a code and zero"),
        ("zero", zero, zero, "zero and zero"),
        ("opposite", generic, -0.5 * generic, "opposite codes"),
        ("parallel", generic, 3 * generic, "parallel codes"),
    ):
        try:
            paths.compare(candidate, paths.straight, a, b, 5, f"codes between {what}")
        except Broken as error:
            broken.setdefault(kind, error)
        except CallFailed as failed:
            if failed.kind != "raised":
                raise
            broken.setdefault(kind, Broken(f"codes between {what}", failed.message))
    if broken:
        first = next(iter(broken.values()))
        right = holds(_right_in_general, candidate, draw)
        raise Broken(first.expected, first.got, _edge_cases(tuple(broken)) if right else first.cause)


@CHECK.law("works for one dimension and many, in double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    paths.works_anywhere(candidate, draw, paths.arc)


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    paths.leaves_alone(candidate, draw)


def _right_in_general(candidate: Candidate, draw: Draw) -> None:
    for angle, dims in ((0.7, 3), (1.3, 7), (2.1, 5)):
        paths.compare(candidate, paths.arc, *paths.pair(draw, dims, angle), 5, "codes at an angle")


def _too_early(candidate: Candidate, a: torch.Tensor, b: torch.Tensor) -> Cause | None:
    """Where the walk between these two is the straight line, exactly."""
    return TOO_EARLY if agrees(candidate(a.clone(), b.clone(), 5), paths.straight(a, b, 5), 1e-5) else None


def _edge_cases(kinds: tuple[str, ...]) -> Cause:
    """Which of the three edge cases the function does not take care of."""
    words = {"parallel": "parallel (or equal) codes", "opposite": "opposite codes", "zero": "a code that is zero"}
    names = " and ".join(words[kind] for kind in kinds)
    return Cause(
        "+".join(f"{kind}_codes" for kind in kinds),
        f"The straight line is missing for {names}: sin w is 0 there, or the angle is not defined, and dividing by it "
        "gives no code.",
        _ARC,
        tentative=True,
    )


def _unit(z: torch.Tensor) -> torch.Tensor:
    return plain64(z) / plain64(z).norm()


def _with(
    wave: Callable[[torch.Tensor], torch.Tensor], angle: Callable[[float], float], scale: bool = True
) -> paths.Walk:
    """The formula with another wave than the sine, of another angle, or without its denominator."""

    def mistaken(a: torch.Tensor, b: torch.Tensor, n: int) -> torch.Tensor:
        t, w = paths.weights(n), angle(paths.angle_between(a, b))
        codes = wave((1 - t) * w) * plain64(a) + wave(t * w) * plain64(b)
        return codes / math.sin(w) if scale else codes

    return mistaken


def _raw_angle(a: torch.Tensor, b: torch.Tensor, n: int) -> torch.Tensor:
    w = math.acos(max(-1.0, min(1.0, float(plain64(a) @ plain64(b)))))
    return _with(torch.sin, lambda _: w)(a, b, n)


def _shortest(a: torch.Tensor, b: torch.Tensor, n: int) -> torch.Tensor:
    return paths.arc(a, -b if float(a @ b) < 0 else b, n)


def _length_interpolated(a: torch.Tensor, b: torch.Tensor, n: int) -> torch.Tensor:
    lengths = (1 - paths.weights(n)) * plain64(a).norm() + paths.weights(n) * plain64(b).norm()
    return lengths * paths.arc(_unit(a), _unit(b), n)


_ARC = "the formula of spherical interpolation and its hint"
TOO_EARLY = Cause(
    "straight_too_early",
    "You take the straight line where the codes are not yet parallel or opposite: the limit is sin w < 1e-4. A limit "
    "such as |cos w| > 0.9995, as in code for diffusion models, comes far too early.",
    _ARC,
    tentative=True,
)
MISTAKES: list[tuple[Cause, paths.Walk]] = paths.mistakes_in_t(paths.arc, _ARC) + causes(
    _ARC,
    (
        ("straight", "This is the straight line; going round is asked for.", paths.straight),
        (
            "unit_vectors",
            "You return unit vectors: lengths are not rescaled, only the angle is taken from the directions.",
            lambda a, b, n: paths.arc(_unit(a), _unit(b), n),
        ),
        (
            "length_interpolated",
            "You go round with unit vectors and put interpolated lengths back: the codes enter as they are.",
            _length_interpolated,
        ),
        (
            "angle_not_normalized",
            "The angle is taken from the scalar product of the codes themselves; divide by both lengths first.",
            _raw_angle,
        ),
        ("not_divided_by_sine", "The division by sin w is missing.", _with(torch.sin, lambda w: w, scale=False)),
        (
            "shortest_way",
            "You turn z_end round when the angle is obtuse, as for quaternions: a code and its negative are two "
            "different codes.",
            _shortest,
        ),
        ("degrees", "The angle is in degrees; sin wants radians.", _with(torch.sin, math.degrees)),
        ("half_angle", "You use half the angle.", _with(torch.sin, lambda w: w / 2)),
        ("cosine_for_sine", "You use cosines where sines belong.", _with(torch.cos, lambda w: w)),
        (
            "weights_exchanged",
            "The two sine weights are exchanged: your walk goes from z_end to z_start.",
            lambda a, b, n: paths.arc(b, a, n),
        ),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    return paths.diagnose(candidate, draw, MISTAKES)
