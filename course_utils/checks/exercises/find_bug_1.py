"""Laws of `find_bug_1(evidence)`: ten outputs of a critic, averaged in the loss and summed in its penalty."""

from __future__ import annotations

from course_utils.metrics.recorded_runs import Evidence, critic_run

from ..engine.candidate import Candidate
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..shared.verdicts import EVIDENCE, Case, all_right, judge, leaves_alone, suspect, threshold, verdict

CHECK = Check("find_bug_1(evidence)", "True for a run whose penalty constrains another number than its loss uses")


@CHECK.law("tells runs like the recorded one from sound runs with one output", weight=2)
def _one_or_ten(candidate: Candidate, draw: Draw) -> None:
    """The averaged output's slope is at most 0.11 in buggy runs and 0.9 to 1.15 in sound ones, the estimate below 0.13
    and above 0.65 times the exact distance (seen in 3000 runs): false alarm below 1e-6 for thresholds between."""
    judge(candidate, [_case(draw, True, far=11.0), _case(draw, False, 1, far=7.0), _case(draw, True, far=4.2)])


@CHECK.law("clears a critic with ten outputs whose penalty holds their average", weight=2)
def _several_sound(candidate: Candidate, draw: Draw) -> None:
    """Margins as above, a factor of five, also where the outputs are unlike each other: only they change, not their
    average, for training moves all alike. Of 20 outputs, it is half as steep in a buggy run as of ten. False alarm
    below 1e-6 for thresholds between."""
    judge(candidate, [_case(draw, False, far=6.0), _case(draw, True, far=4.2), _case(draw, False, far=11.0)])
    outputs = ((True, 10), (False, 10), (True, 20), (False, 20), (False, 3), (True, 10), (True, 10))
    judge(candidate, [_case(draw, buggy, number, unlike=True) for buggy, number in outputs])


@CHECK.law("is not misled by how far apart the two batches are", weight=2)
def _any_distance(candidate: Candidate, draw: Draw) -> None:
    """Margins as above, a factor of five: false alarm below 1e-6 for thresholds between."""
    judge(
        candidate,
        [
            _case(draw, True, far=draw.number(50, 200)),
            _case(draw, False, 1, 3.0),
            _case(draw, True, far=3.0),
            _case(draw, False, far=draw.number(50, 200)),
        ],
    )


@CHECK.law("leaves the evidence and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    leaves_alone(candidate, _case(draw, True))


def _case(draw: Draw, buggy: bool, outputs: int = 10, far: float | None = None, unlike: bool = False) -> Case:
    """`far`: how far apart the two batches are, drawn from 4 to 12 if not given. `unlike`: slopes of the single outputs
    say nothing about that of their average, which is as ever."""
    seed, disagreement = draw.integer(0, 2**40), 40.0 if unlike else 0.0
    evidence = critic_run(seed, buggy=buggy, outputs=outputs, distance=far, disagreement=disagreement)
    distance = f", {evidence['exact_distance']:.3g} apart" if far else ""
    words = f"{outputs} output{'s' * (outputs > 1)}{distance}{' unlike each other' if unlike else ''}"
    return Case(evidence, buggy, words)


COUNTS_OUTPUTS = Cause(
    "counts_outputs",
    "You call every critic with several outputs buggy. Ten outputs are sound where the penalty holds what the loss "
    "uses, their average: look at the slope of that average.",
    EVIDENCE,
)
ABSOLUTE = Cause(
    "absolute_threshold",
    "You compare the estimate with a fixed number: whether it is too small depends on how far apart the two batches "
    "are, and that differs from run to run.",
    EVIDENCE,
)
REPORTED = Cause(
    "reported_penalty",
    "You trust the penalty that the run reported: it is small in both kinds of run, because it measures what the run "
    "thought it should.",
    EVIDENCE,
)
SUM_SLOPE = Cause(
    "slope_of_the_sum", "You look at the slope of the *sum* of the outputs; the loss uses their average.", EVIDENCE
)
SINGLE_OUTPUTS = Cause(
    "single_outputs",
    "Outputs that differ from each other mislead you. The loss uses their average: average over the outputs first "
    "(dim=1), then take lengths, spreads or differences.",
    EVIDENCE,
)


def _sum_slope(evidence: Evidence) -> float:
    return float(evidence["gradients"].sum(1).norm(dim=1).mean())


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    cases = [
        _case(draw, True),
        _case(draw, True, far=60.0),
        _case(draw, False),
        _case(draw, False, 1),
        _case(draw, False, 1, 3.0),
        _case(draw, True),
        _case(draw, False),
        _case(draw, False),
    ]
    found = suspect(
        candidate,
        cases,
        (
            (COUNTS_OUTPUTS, lambda e: e["values_prior"].shape[1] > 1),
            (COUNTS_OUTPUTS, lambda e: e["gradients"].shape[1] == 1),
            (SUM_SLOPE, lambda e: abs(_sum_slope(e) - 1) > 0.5),
            (SUM_SLOPE, lambda e: abs(_sum_slope(e) - 1) < 0.5),
        ),
    )
    if found is not None:
        return found
    if all_right(
        candidate, cases + [_case(draw, buggy, far=far) for buggy in (True, False) for far in (3.0, 60.0, 200.0)]
    ):
        misled = [
            sum(verdict(candidate, _case(draw, buggy, unlike=True)) != buggy for _ in range(4))
            for buggy in (True, False)
        ]
        return SINGLE_OUTPUTS if max(misled) >= 3 else None
    more = cases + [_case(draw, buggy, far=far) for buggy in (True, False) for far in (3.0, 8.0, 12.0, 25.0, 200.0)]
    by_estimate = threshold(candidate, more, lambda e: e["estimate"])
    by_penalty = threshold(candidate, more, lambda e: e["penalty"], large_alarms=True)
    return ABSOLUTE if by_estimate and not by_penalty else REPORTED if by_penalty and not by_estimate else None
