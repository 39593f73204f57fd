"""Laws of `find_bug_2(evidence)`: the prior drawn uniform in one place and normal in another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from course_utils.metrics.recorded_runs import PLACES, UNIFORM, Evidence, prior_run

from ..engine.candidate import Candidate
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..shared.verdicts import EVIDENCE, Case, Suspicion, all_right, judge, leaves_alone, suspect, verdict

CHECK = Check("find_bug_2(evidence)", "True for a run that does not draw from one prior everywhere")
_KINDS = list(UNIFORM)
_PLAIN = _KINDS[:2]  # the third resembles the normal distribution: it is another law's affair


@CHECK.law("tells runs like the recorded one from sound runs with a normal prior", weight=2)
def _usual_priors(candidate: Candidate, draw: Draw) -> None:
    """Of 20,000 normal numbers hundreds lie beyond 2 and none of the uniform ones; standard deviations 1 against 0.58
    or 0.29, each known within 0.03: false alarm below 1e-8 for tests between."""
    judge(candidate, [_case(draw, False), *(_case(draw, True, PLACES[1], kind) for kind in _PLAIN)])


@CHECK.law("finds the odd place wherever it is", weight=2)
def _any_place(candidate: Candidate, draw: Draw) -> None:
    """Margins as above: false alarm below 1e-8 for tests between."""
    judge(candidate, [_case(draw, False), *(_case(draw, True, place, kind) for place in PLACES for kind in _PLAIN)])


@CHECK.law("clears a run that draws from one uniform distribution everywhere", weight=2)
def _uniform_everywhere(candidate: Candidate, draw: Draw) -> None:
    """Margins as above: false alarm below 1e-8 for tests between."""
    sound = [_case(draw, False, kind=kind, mostly_uniform=True) for kind in _KINDS]
    judge(candidate, sound + [_case(draw, True, place, kind, True) for place in PLACES for kind in _PLAIN])


@CHECK.law("is not deceived by a uniform distribution with the mean and variance of the normal one")
def _same_moments(candidate: Candidate, draw: Draw) -> None:
    """The distribution functions differ by 0.057, known within 0.03; the largest of 20,000 normal numbers is above 3,
    all uniform ones below 1.74: false alarm below 1e-6 for tests between."""
    buggy = _case(draw, True, PLACES[0], "of variance 1"), _case(draw, True, PLACES[2], "of variance 1", True)
    judge(candidate, [_case(draw, False), *buggy])


@CHECK.law("leaves the evidence and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    leaves_alone(candidate, _case(draw, True))


def _case(
    draw: Draw, buggy: bool, place: str | None = None, kind: str = "from -1 to 1", mostly_uniform: bool = False
) -> Case:
    place = place or PLACES[draw.integer(0, 2)]
    seed = draw.integer(0, 2**40)
    evidence = prior_run(seed, buggy=buggy, uniform=kind, mostly_uniform=mostly_uniform, place=place)
    usual, odd = ("uniform " + kind, "normal") if mostly_uniform else ("normal", "uniform " + kind)
    return Case(evidence, buggy, f"{usual}, but {odd} in {_IN_WORDS[place]}" if buggy else f"{usual} everywhere")


_IN_WORDS = {
    "prior_in_critic_loss": "the critic's loss",
    "prior_in_penalty": "the penalty",
    "prior_in_samples": "the samples",
}
NOT_NORMAL = Cause(
    "not_normal",
    "You call every run with a uniform prior buggy. A run that draws from the same uniform distribution everywhere is "
    "sound: what counts is whether the places agree.",
    EVIDENCE,
)
SPREAD_ONLY = Cause(
    "spread_only",
    "You compare means or spreads only: a uniform distribution on [-1.73, 1.73] has mean 0 and variance 1, as a "
    "normal one. Look at how far out the largest values lie.",
    EVIDENCE,
)


def _one_place(place: str) -> Cause:
    return Cause(
        "one_place",
        f"You look at the draws of {_IN_WORDS[place]} alone: the bug is that places differ, so compare all of them.",
        EVIDENCE,
    )


def _two_places(left_out: str) -> Cause:
    return Cause(
        "two_places",
        f"You never look at the draws of {_IN_WORDS[left_out]}: any of the three places may be the odd one out.",
        EVIDENCE,
    )


def _is_uniform(evidence: Evidence, place: str) -> bool:
    return float(evidence[place].abs().max()) < 2


def _differ(evidence: Evidence, places: Sequence[str]) -> bool:
    return len({_is_uniform(evidence, place) for place in places}) > 1


def _habits() -> list[Suspicion]:
    habits: list[Suspicion] = [(NOT_NORMAL, lambda e: any(_is_uniform(e, place) for place in PLACES))]
    for place in PLACES:
        others = [other for other in PLACES if other != place]
        habits.append((_one_place(place), partial(_is_uniform, place=place)))
        habits.append((_two_places(place), partial(_differ, places=others)))
    return habits


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    cases = []
    for _ in range(2):  # twice, so that a guess by chance is not taken for a habit
        cases += [_case(draw, True, place, _KINDS[flip], bool(flip)) for place in PLACES for flip in (0, 1)]
        cases += [_case(draw, False), _case(draw, False, mostly_uniform=True)]
    found = suspect(candidate, cases, _habits())
    if found is not None or not all_right(candidate, cases):
        return found
    unseen = [_case(draw, True, place, "of variance 1") for place in PLACES]
    return SPREAD_ONLY if not any(verdict(candidate, case) for case in unseen) else None
