"""Laws of `find_bug_3(evidence)`: nine tenths of the distortion in one of two losses."""

from __future__ import annotations

import torch

from course_utils.metrics.recorded_runs import SIDES, Evidence, loss_run

from ..engine.candidate import Candidate
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..shared.verdicts import EVIDENCE, Case, all_right, judge, leaves_alone, suspect, verdict

CHECK = Check("find_bug_3(evidence)", "True for a run in which one of two losses counts 0.9 of its distortion")


@CHECK.law("tells runs like the recorded one from sound runs", weight=2)
def _usual_losses(candidate: Candidate, draw: Draw) -> None:
    """A tenth of the distortion is missing, against 2e-4 of it by rounding, always: a right test never fails."""
    judge(candidate, [case for falls in (True, False) for case in _both_kinds(draw, "wasserstein", falls)])


@CHECK.law("finds the bug in either of the two losses", weight=2)
def _either_loss(candidate: Candidate, draw: Draw) -> None:
    """A tenth of the distortion is missing, against 2e-4 of it by rounding, always: a right test never fails."""
    pairs = [_both_kinds(draw, side, falls) for side in ("kl", "wasserstein") for falls in (False, True)]
    judge(candidate, [case for pair in pairs for case in pair])


@CHECK.law("is not misled by how large the distortions are", weight=2)
def _any_size(candidate: Candidate, draw: Draw) -> None:
    """A tenth of the distortion is missing, against 2e-4 of it by rounding, always: a right test never fails."""
    for side in SIDES:
        for size in ("tiny", "huge"):
            judge(candidate, _both_kinds(draw, side, True, size) + _both_kinds(draw, side, False, size))


@CHECK.law("leaves the evidence and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    leaves_alone(candidate, _case(draw, True))


def _both_kinds(draw: Draw, side: str, gap_below: bool, size: str | None = None) -> tuple[Case, Case]:
    """A training with the bug and the same without, from one start. The gap is below 0 at the end, or above; beta is
    not near 1."""
    while True:  # one seed in four will do
        seed = draw.integer(0, 2**40)
        sound = _case(draw, False, side, size, seed)
        knob, gap = float(sound.evidence["beta"]), float(sound.evidence["wasserstein_gap"][-1])
        if not 0.5 < knob < 2 and (gap < 0) == gap_below:
            return _case(draw, True, side, size, seed), sound


def _case(draw: Draw, buggy: bool, side: str | None = None, size: str | None = None, seed: int | None = None) -> Case:
    side = side or SIDES[draw.integer(0, 1)]
    seed = draw.integer(0, 2**40) if seed is None else seed
    evidence = loss_run(seed, buggy=buggy, side=side, size=size or "medium")
    near = f", distortions near {float(evidence['kl_distortion'][-1]):.2g} nats" if size else ""
    return Case(evidence, buggy, (f"0.9 in the {side} loss" if buggy else "both losses whole") + near)


EXACT = Cause(
    "exact_comparison",
    "You ask for equality to the last digit: losses are logged with five digits, so sound runs miss by a little. "
    "Allow for rounding.",
    EVIDENCE,
)
FIXED_ERROR = Cause(
    "fixed_error",
    "You compare the difference in nats with a fixed number: a tenth of the distortion is another number in every "
    "run, and rounding too. Compare with the distortion itself.",
    EVIDENCE,
)


def _one_side(side: str) -> Cause:
    name = {"kl": "KL", "wasserstein": "Wasserstein"}[side]
    return Cause("one_loss", f"You look at the {name} loss alone: the bug may be in either of the two.", EVIDENCE)


def _missing(evidence: Evidence, side: str) -> torch.Tensor:
    knob, part = ("beta", "rate") if side == "kl" else ("weight", "gap")
    whole = evidence[f"{side}_distortion"] + evidence[knob] * evidence[f"{side}_{part}"]
    return (whole - evidence[f"{side}_loss"]).abs().max()


def _whole(evidence: Evidence, knob: float) -> Evidence:
    """A sound record whose sums are exact to the last digit: everything in whole numbers, beta and weight too."""
    exact = {key: value.round() if isinstance(value, torch.Tensor) else knob for key, value in evidence.items()}
    exact["kl_loss"] = exact["kl_distortion"] + knob * exact["kl_rate"]
    exact["wasserstein_loss"] = exact["wasserstein_distortion"] + knob * exact["wasserstein_gap"]
    return exact


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    # many: a wrong rule may agree with another one by chance on a few
    cases = [_case(draw, True, side) for side in SIDES for _ in range(8)] + [_case(draw, False) for _ in range(8)]
    habits = [
        (_one_side(side), lambda e, side=side: bool(_missing(e, side) > 0.02 * e[f"{side}_distortion"].max()))
        for side in SIDES
    ]
    found = suspect(candidate, cases, habits)
    if found is not None and found.id == "always_true":
        whole = [_whole(case.evidence, knob) for case in cases[-3:] for knob in (2.0, 9.0)]
        return found if any(verdict(candidate, Case(exact, False, "exact")) for exact in whole) else EXACT
    if found is not None or not all_right(candidate, cases):
        return found
    small, large = _case(draw, True, size="tiny"), _case(draw, False, size="huge")
    return FIXED_ERROR if not all_right(candidate, (small, large)) else None
