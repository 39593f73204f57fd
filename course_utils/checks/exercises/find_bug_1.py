"""Laws of `find_bug_1`, `find_bug_2` and `find_bug_3`: a verdict on fresh records of buggy and of sound runs.

Every law shows both kinds, so that one answer for all earns nothing. The two kinds lie far apart: the docstrings say by
how much, and no test that looks at the right thing can be misled by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from course_utils.metrics import recorded_runs
from course_utils.metrics.recorded_runs import PLACES, SIDES, UNIFORM, Evidence

from ..engine.candidate import Candidate
from ..engine.demand import truth, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.verdict import Broken


@dataclass(frozen=True)
class Case:
    """One recorded run: whether it is buggy, and in words what is particular about it."""

    evidence: Evidence
    buggy: bool
    words: str

    def copy(self) -> Evidence:
        return {
            key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in self.evidence.items()
        }


def _verdict(candidate: Candidate, case: Case) -> bool:
    return truth(candidate(case.copy()), "a verdict")


def _judge(candidate: Candidate, cases: Sequence[Case]) -> None:
    """Every verdict is right."""
    for case in cases:
        came = _verdict(candidate, case)
        if came != case.buggy:
            kind = "buggy" if case.buggy else "sound"
            raise Broken(
                f"{case.buggy} for a {kind} run ({case.words})",
                f"{came}: {'the bug goes unseen' if case.buggy else 'a false alarm'}",
            )


Suspicion = tuple[Cause, Callable[[Evidence], bool]]
_EVIDENCE = "the list of what the evidence holds, on the exercise card"
ALWAYS = {
    answer: Cause(
        f"always_{str(answer).lower()}",
        f"Your function answers {answer} for every run, whatever the evidence.",
        "what your function compares, on a buggy and on a sound run",
    )
    for answer in (True, False)
}
INVERTED = Cause(
    "inverted", "Your verdicts are all upside down: True means that the run is buggy.", "the last line of your function"
)


def _suspect(candidate: Candidate, cases: Sequence[Case], suspicions: Sequence[Suspicion]) -> Cause | None:
    """The one habit that explains every verdict."""
    came = [_verdict(candidate, case) for case in cases]
    truths = [case.buggy for case in cases]
    if came == truths:
        return None
    if len(set(came)) == 1:
        return ALWAYS[came[0]]
    if came == [not buggy for buggy in truths]:
        return INVERTED
    hits = {cause.id: cause for cause, habit in suspicions if came == [bool(habit(case.evidence)) for case in cases]}
    return next(iter(hits.values())) if len(hits) == 1 else None


def _threshold(candidate: Candidate, cases: Sequence[Case], number: Callable[[Evidence], float]) -> bool:
    """Do the verdicts split the cases by whether `number` is small or large?"""
    came = [_verdict(candidate, case) for case in cases]
    alarmed = [number(case.evidence) for case, verdict in zip(cases, came) if verdict]
    calm = [number(case.evidence) for case, verdict in zip(cases, came) if not verdict]
    enough = min(len(alarmed), len(calm)) >= 4  # fewer may be split by any number, by chance
    return enough and (max(alarmed) < min(calm) or max(calm) < min(alarmed))


def _leaves_alone(candidate: Candidate, case: Case) -> None:
    given = case.copy()
    truth(candidate(given), "a verdict")
    names = [key for key, value in case.evidence.items() if isinstance(value, torch.Tensor)]
    if list(given) != list(case.evidence):
        raise Broken("the evidence as it was before the call", f"the keys {', '.join(map(str, given))}")
    untouched([case.evidence[name] for name in names], [given[name] for name in names], names)
    well_behaved(candidate)


# --------------------------------------------------------------------------------- 1: ten outputs, averaged and summed

COUNTS_OUTPUTS = Cause(
    "counts_outputs",
    "You call every critic with several outputs buggy. Ten outputs are sound where the "
    "penalty holds what the loss uses, their average: look at the slope of that average.",
    _EVIDENCE,
)
ABSOLUTE = Cause(
    "absolute_threshold",
    "You compare the estimate with a fixed number: whether it is too small depends on "
    "how far apart the two batches are, and that differs from run to run.",
    _EVIDENCE,
)
REPORTED = Cause(
    "reported_penalty",
    "You trust the penalty that the run reported: it is small in both kinds of run, because "
    "it measures what the run thought it should.",
    _EVIDENCE,
)
SUM_SLOPE = Cause(
    "slope_of_the_sum", "You look at the slope of the *sum* of the outputs; the loss uses their average.", _EVIDENCE
)
SINGLE_OUTPUTS = Cause(
    "single_outputs",
    "Outputs that differ from each other mislead you. The loss uses their average: "
    "average over the outputs first (dim=1), then take lengths, spreads or differences.",
    _EVIDENCE,
)


def _critic_case(
    draw: Draw, buggy: bool, outputs: int = 10, distance: float | None = None, unlike: bool = False
) -> Case:
    """`unlike`: slopes of the single outputs say nothing about that of their average, which is as ever."""
    evidence = recorded_runs.critic_run(
        draw.integer(0, 2**40), buggy=buggy, outputs=outputs, distance=distance, disagreement=40.0 if unlike else 0.0
    )
    far = f", {evidence['exact_distance']:.3g} apart" if distance else ""
    return Case(evidence, buggy, f"{outputs} output{'s' * (outputs > 1)}{far}{' unlike each other' if unlike else ''}")


def _sum_slope(evidence: Evidence) -> float:
    return float(evidence["gradients"].sum(1).norm(dim=1).mean())


def _diagnose_1(candidate: Candidate, draw: Draw) -> Cause | None:
    cases = [
        _critic_case(draw, True),
        _critic_case(draw, True, distance=60.0),
        _critic_case(draw, False),
        _critic_case(draw, False, 1),
        _critic_case(draw, False, 1, 3.0),
        _critic_case(draw, True),
        _critic_case(draw, False),
        _critic_case(draw, False),
    ]
    found = _suspect(
        candidate,
        cases,
        [
            (COUNTS_OUTPUTS, lambda e: e["values_prior"].shape[1] > 1),
            (COUNTS_OUTPUTS, lambda e: e["gradients"].shape[1] == 1),
            (SUM_SLOPE, lambda e: abs(_sum_slope(e) - 1) > 0.5),
            (SUM_SLOPE, lambda e: abs(_sum_slope(e) - 1) < 0.5),
        ],
    )
    if found is not None:
        return found
    alike = [
        *cases,
        *(_critic_case(draw, buggy, distance=far) for buggy in (True, False) for far in (3.0, 60.0, 200.0)),
    ]
    if all(_verdict(candidate, case) == case.buggy for case in alike):
        misled = [
            sum(_verdict(candidate, _critic_case(draw, buggy, unlike=True)) != buggy for _ in range(4))
            for buggy in (True, False)
        ]
        return SINGLE_OUTPUTS if max(misled) >= 3 else None
    more = [
        *cases,
        *(_critic_case(draw, buggy, distance=far) for buggy in (True, False) for far in (3.0, 8.0, 12.0, 25.0, 200.0)),
    ]
    by_estimate = _threshold(candidate, more, lambda e: e["estimate"])
    by_penalty = _threshold(candidate, more, lambda e: e["penalty"])
    return ABSOLUTE if by_estimate and not by_penalty else REPORTED if by_penalty and not by_estimate else None


FIND_BUG_1 = Check("find_bug_1(evidence)", "True for a run whose penalty constrains another number than its loss uses")
FIND_BUG_1.diagnosis(_diagnose_1)


@FIND_BUG_1.law("tells runs like the recorded one from sound runs with one output", weight=2)
def _one_or_ten(candidate: Candidate, draw: Draw) -> None:
    """The averaged output's slope is 0.09 to 0.11 in buggy runs and 0.9 to 1.1 in sound ones, the estimate below 0.12
    and above 0.7 times the exact distance (seen in 3000 runs): false alarm below 1e-6 for thresholds between."""
    _judge(candidate, [_critic_case(draw, True), _critic_case(draw, False, 1), _critic_case(draw, True)])


@FIND_BUG_1.law("clears a critic with ten outputs whose penalty holds their average", weight=2)
def _several_sound(candidate: Candidate, draw: Draw) -> None:
    """Margins as above, a factor of six, also where the outputs are unlike each other: only they change, not their
    average. Of 20 outputs, it is half as steep in a buggy run as of ten. False alarm below 1e-6 for thresholds
    between."""
    _judge(
        candidate,
        [
            _critic_case(draw, False),
            _critic_case(draw, True),
            _critic_case(draw, False),
            *(
                _critic_case(draw, buggy, outputs, unlike=True)
                for buggy, outputs in (
                    (True, 10),
                    (False, 10),
                    (True, 20),
                    (False, 20),
                    (False, 3),
                    (True, 10),
                    (True, 10),
                )
            ),
        ],
    )


@FIND_BUG_1.law("is not misled by how far apart the two batches are", weight=2)
def _any_distance(candidate: Candidate, draw: Draw) -> None:
    """Margins as above, a factor of six: false alarm below 1e-6 for thresholds between."""
    _judge(
        candidate,
        [
            _critic_case(draw, True, distance=draw.number(50, 200)),
            _critic_case(draw, False, 1, 3.0),
            _critic_case(draw, True, distance=3.0),
            _critic_case(draw, False, distance=draw.number(50, 200)),
        ],
    )


@FIND_BUG_1.law("leaves the evidence and the random generators alone", manners=True)
def _manners_1(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    _leaves_alone(candidate, _critic_case(draw, True))


# ---------------------------------------------------------------------------------- 2: two priors under the same name

_IN_WORDS = {
    "prior_in_critic_loss": "the critic's loss",
    "prior_in_penalty": "the penalty",
    "prior_in_samples": "the samples",
}
NOT_NORMAL = Cause(
    "not_normal",
    "You call every run with a uniform prior buggy. A run that draws from the same uniform "
    "distribution everywhere is sound: what counts is whether the places agree.",
    _EVIDENCE,
)
SPREAD_ONLY = Cause(
    "spread_only",
    "You compare means or spreads only: a uniform distribution on [-1.73, 1.73] has mean 0 and "
    "variance 1, as a normal one. Look at how far out the largest values lie.",
    _EVIDENCE,
)


def _one_place(place: str) -> Cause:
    return Cause(
        "one_place",
        f"You look at the draws of {_IN_WORDS[place]} alone: the bug is that places differ, so compare all of them.",
        _EVIDENCE,
    )


def _two_places(left_out: str) -> Cause:
    return Cause(
        "two_places",
        f"You never look at the draws of {_IN_WORDS[left_out]}: any of the three places may be the odd one out.",
        _EVIDENCE,
    )


def _prior_case(
    draw: Draw, buggy: bool, place: str | None = None, uniform: str = "from -1 to 1", mostly_uniform: bool = False
) -> Case:
    place = place or PLACES[draw.integer(0, 2)]
    evidence = recorded_runs.prior_run(
        draw.integer(0, 2**40), buggy=buggy, uniform=uniform, mostly_uniform=mostly_uniform, place=place
    )
    usual, odd = ("uniform " + uniform, "normal") if mostly_uniform else ("normal", "uniform " + uniform)
    return Case(evidence, buggy, f"{usual}, but {odd} in {_IN_WORDS[place]}" if buggy else f"{usual} everywhere")


def _is_uniform(evidence: Evidence, place: str) -> bool:
    return float(evidence[place].abs().max()) < 2


def _differ(evidence: Evidence, places: Sequence[str]) -> bool:
    return len({_is_uniform(evidence, place) for place in places}) > 1


def _diagnose_2(candidate: Candidate, draw: Draw) -> Cause | None:
    cases = []
    for _ in range(2):  # twice, so that a guess by chance is not taken for a habit
        cases += [
            _prior_case(draw, True, place, list(UNIFORM)[flip], bool(flip)) for place in PLACES for flip in (0, 1)
        ]
        cases += [_prior_case(draw, False), _prior_case(draw, False, mostly_uniform=True)]
    habits: list[Suspicion] = [(NOT_NORMAL, lambda e: any(_is_uniform(e, place) for place in PLACES))]
    habits += [(_one_place(place), lambda e, place=place: _is_uniform(e, place)) for place in PLACES]
    habits += [
        (_two_places(left_out), lambda e, left_out=left_out: _differ(e, [p for p in PLACES if p != left_out]))
        for left_out in PLACES
    ]
    found = _suspect(candidate, cases, habits)
    if found is not None or [_verdict(candidate, case) for case in cases] != [case.buggy for case in cases]:
        return found
    unseen = [_prior_case(draw, True, place, "of variance 1") for place in PLACES]
    return SPREAD_ONLY if not any(_verdict(candidate, case) for case in unseen) else None


FIND_BUG_2 = Check("find_bug_2(evidence)", "True for a run that does not draw from one prior everywhere")
FIND_BUG_2.diagnosis(_diagnose_2)


@FIND_BUG_2.law("tells runs like the recorded one from sound runs with a normal prior", weight=2)
def _usual_priors(candidate: Candidate, draw: Draw) -> None:
    """Of 20,000 normal numbers hundreds lie beyond 2 and none of the uniform ones; standard deviations 1 against 0.58 or
    0.29, each known within 0.03: false alarm below 1e-8 for tests between."""
    kinds = list(UNIFORM)[:2]
    _judge(
        candidate,
        [
            _prior_case(draw, True, PLACES[1], kinds[draw.integer(0, 1)]),
            _prior_case(draw, False),
            _prior_case(draw, True, PLACES[1], kinds[draw.integer(0, 1)]),
        ],
    )


@FIND_BUG_2.law("finds the odd place wherever it is", weight=2)
def _any_place(candidate: Candidate, draw: Draw) -> None:
    """Margins as above: false alarm below 1e-8 for tests between."""
    _judge(
        candidate,
        [
            _prior_case(draw, False),
            *(_prior_case(draw, True, place, list(UNIFORM)[draw.integer(0, 1)]) for place in PLACES),
        ],
    )


@FIND_BUG_2.law("clears a run that draws from one uniform distribution everywhere", weight=2)
def _uniform_everywhere(candidate: Candidate, draw: Draw) -> None:
    """Margins as above: false alarm below 1e-8 for tests between."""
    kinds = list(UNIFORM)
    _judge(
        candidate,
        [
            _prior_case(draw, False, uniform=kinds[draw.integer(0, 2)], mostly_uniform=True),
            _prior_case(draw, True, uniform=kinds[draw.integer(0, 1)], mostly_uniform=True),
            _prior_case(draw, False, uniform=kinds[draw.integer(0, 1)], mostly_uniform=True),
        ],
    )


@FIND_BUG_2.law("is not deceived by a uniform distribution with the mean and variance of the normal one")
def _same_moments(candidate: Candidate, draw: Draw) -> None:
    """The distribution functions differ by 0.057, known within 0.03; the largest of 20,000 normal numbers is above 3,
    all uniform ones below 1.74: false alarm below 1e-6 for tests between."""
    _judge(
        candidate,
        [
            _prior_case(draw, True, PLACES[0], "of variance 1"),
            _prior_case(draw, False),
            _prior_case(draw, True, PLACES[2], "of variance 1", mostly_uniform=True),
        ],
    )


@FIND_BUG_2.law("leaves the evidence and the random generators alone", manners=True)
def _manners_2(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    _leaves_alone(candidate, _prior_case(draw, True))


# --------------------------------------------------------------------------- 3: nine tenths of a distortion in one loss

EXACT = Cause(
    "exact_comparison",
    "You ask for equality to the last digit: losses are logged with five digits, so sound runs "
    "miss by a little. Allow for rounding.",
    _EVIDENCE,
)
FIXED_ERROR = Cause(
    "fixed_error",
    "You compare the difference in nats with a fixed number: a tenth of the distortion is "
    "another number in every run, and rounding too. Compare with the distortion itself.",
    _EVIDENCE,
)
COMPARES_MODELS = Cause(
    "compares_models",
    "You compare the two models' distortions with each other: they may differ in a "
    "sound run. Compare each loss with its own parts.",
    _EVIDENCE,
)


def _one_side(side: str) -> Cause:
    name = {"kl": "KL", "wasserstein": "Wasserstein"}[side]
    return Cause("one_loss", f"You look at the {name} loss alone: the bug may be in either of the two.", _EVIDENCE)


def _loss_case(draw: Draw, buggy: bool, side: str | None = None, distortion: float | None = None) -> Case:
    side = side or SIDES[draw.integer(0, 1)]
    evidence = recorded_runs.loss_run(draw.integer(0, 2**40), buggy=buggy, side=side, distortion=distortion)
    size = f", distortions near {distortion:.3g} nats" if distortion else ""
    return Case(evidence, buggy, (f"0.9 in the {side} loss" if buggy else "both losses whole") + size)


def _missing(evidence: Evidence, side: str) -> torch.Tensor:
    knob, part = ("beta", "rate") if side == "kl" else ("weight", "gap")
    whole = evidence[f"{side}_distortion"] + evidence[knob] * evidence[f"{side}_{part}"]
    return (whole - evidence[f"{side}_loss"]).abs().max()


def _diagnose_3(candidate: Candidate, draw: Draw) -> Cause | None:
    # many: a wrong rule may agree with another one by chance on a few
    cases = [_loss_case(draw, True, side) for side in SIDES for _ in range(8)] + [
        _loss_case(draw, False) for _ in range(8)
    ]
    found = _suspect(
        candidate,
        cases,
        [
            (_one_side(side), lambda e, side=side: _missing(e, side) > 0.02 * e[f"{side}_distortion"].max())
            for side in SIDES
        ],
    )
    verdicts = [_verdict(candidate, case) for case in cases]
    if found is not None and found.id.startswith("always_true"):
        exact = [
            _verdict(candidate, Case(_whole(case.evidence, knob), False, "exact"))
            for case in cases[-3:]
            for knob in (2.0, 9.0)
        ]
        return found if any(exact) else EXACT
    if found is not None or verdicts != [case.buggy for case in cases]:
        return found
    small, large = _loss_case(draw, True, distortion=4.0), _loss_case(draw, False, distortion=5e4)
    return FIXED_ERROR if not _verdict(candidate, small) or _verdict(candidate, large) else None


def _whole(evidence: Evidence, knob: float) -> Evidence:
    """A sound record whose sums are exact to the last digit: everything in whole numbers, beta and weight too."""
    exact = {key: value.round() if isinstance(value, torch.Tensor) else knob for key, value in evidence.items()}
    exact["kl_loss"] = exact["kl_distortion"] + knob * exact["kl_rate"]
    exact["wasserstein_loss"] = exact["wasserstein_distortion"] + knob * exact["wasserstein_gap"]
    return exact


FIND_BUG_3 = Check("find_bug_3(evidence)", "True for a run in which one of two losses counts 0.9 of its distortion")
FIND_BUG_3.diagnosis(_diagnose_3)


@FIND_BUG_3.law("tells runs like the recorded one from sound runs", weight=2)
def _usual_losses(candidate: Candidate, draw: Draw) -> None:
    """A tenth of the distortion is missing, against 2e-4 of it by rounding, always: a right test never fails."""
    _judge(
        candidate,
        [
            _loss_case(draw, True, "wasserstein"),
            _loss_case(draw, False),
            _loss_case(draw, True, "wasserstein"),
            _loss_case(draw, False),
        ],
    )


@FIND_BUG_3.law("finds the bug in either of the two losses", weight=2)
def _either_loss(candidate: Candidate, draw: Draw) -> None:
    """A tenth of the distortion is missing, against 2e-4 of it by rounding, always: a right test never fails."""
    _judge(
        candidate,
        [
            _loss_case(draw, True, "kl"),
            _loss_case(draw, False),
            _loss_case(draw, True, "wasserstein"),
            _loss_case(draw, True, "kl"),
        ],
    )


@FIND_BUG_3.law("is not misled by how large the distortions are", weight=2)
def _any_size(candidate: Candidate, draw: Draw) -> None:
    """A tenth of the distortion is missing, against 2e-4 of it by rounding, always: a right test never fails."""
    _judge(
        candidate,
        [
            case
            for side in SIDES
            for case in (
                _loss_case(draw, True, side, draw.number(3, 6)),
                _loss_case(draw, False, None, draw.number(2e4, 5e4)),
                _loss_case(draw, False, None, draw.number(3, 6)),
                _loss_case(draw, True, side, draw.number(2e4, 5e4)),
            )
        ],
    )


@FIND_BUG_3.law("leaves the evidence and the random generators alone", manners=True)
def _manners_3(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    _leaves_alone(candidate, _loss_case(draw, True))


CHECK = FIND_BUG_1
