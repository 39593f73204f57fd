"""Laws of `interpolate(z_start, z_end, num_steps)`: a walk from code to code in a straight line."""

from __future__ import annotations

import torch

from ..engine.candidate import Candidate
from ..engine.demand import plain64, same_tensor
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken
from ..shared import paths
from ..shared.tables import causes

CHECK = Check("interpolate(z_start, z_end, num_steps)", "codes on the straight line, both ends included")


@CHECK.law("begins at z_start and ends at z_end, for any number of steps", weight=2)
def _ends(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    paths.reaches_both_ends(candidate, draw)


@CHECK.law("is right where you can work it out by hand", weight=2)
def _line_by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    a, b = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([4.0, 0.0, -1.0])
    paths.compare(candidate, paths.straight, a, b, 5, "codes from (0, 2, -1) to (4, 0, -1) in 5 steps")
    paths.compare(candidate, paths.straight, a, a, 3, "codes from (0, 2, -1) to the same code")
    paths.compare(candidate, paths.straight, 0 * a, 0 * a, 3, "codes from zero to zero")
    paths.compare(candidate, paths.straight, 30 * a, -20 * b, 4, "codes from (0, 60, -30) to (-80, 0, 20) in 4 steps")


@CHECK.law("goes in a straight line, in even steps", weight=3)
def _even(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for num_steps, dims, angle in ((4, 2, 0.3), (8, 12, 2.8), (30, 5, 1.2), (90, 7, 2.0)):
        a, b = paths.pair(draw, dims, angle)
        came = plain64(paths.walk(candidate, a, b, num_steps))
        same_tensor(
            came, paths.straight(a, b, num_steps), f"{num_steps} codes", scale=float(torch.cat([a, b]).abs().max())
        )
        longest = float(came.diff(dim=0).norm(dim=1).max())
        mean = float((plain64(b) - plain64(a)).norm()) / (num_steps - 1)
        if num_steps < 10 and not longest <= 1.2 * mean + 1e-5:
            raise Broken(f"steps of length {show(mean)}", f"a step of length {show(longest)}")


@CHECK.law("works for one dimension and many, in double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    paths.works_anywhere(candidate, draw, paths.straight)


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    paths.leaves_alone(candidate, draw)


_LINE = "the formula of the straight line, (1 - t) a + t b, and the values that t takes"
MISTAKES: list[tuple[Cause, paths.Walk]] = paths.mistakes_in_t(paths.straight, _LINE) + causes(
    _LINE,
    (
        (
            "adds_whole_end",
            "You add t times z_end to the whole of z_start: the weight of z_start must fall as that of z_end rises.",
            lambda a, b, n: plain64(a) + paths.weights(n) * plain64(b),
        ),
        (
            "weights_not_complementary",
            "The weights do not add up to 1.",
            lambda a, b, n: paths.weights(n) * plain64(a) + paths.weights(n) * plain64(b),
        ),
        (
            "direction_reversed",
            "You walk away from z_end: the direction is z_end - z_start.",
            lambda a, b, n: plain64(a) + paths.weights(n) * (plain64(a) - plain64(b)),
        ),
        (
            "stays_at_start",
            "Every code is z_start: t has no effect.",
            lambda a, b, n: paths.straight(a, b, n, 0 * paths.weights(n)),
        ),
        (
            "normalized",
            "You scale the codes on the way: a straight line leaves their lengths alone.",
            lambda a, b, n: torch.nn.functional.normalize(paths.straight(a, b, n), dim=1),
        ),
        ("spherical", "This is the spherical walk; the straight line is asked for.", paths.arc),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    return paths.diagnose(candidate, draw, MISTAKES)
