"""What the `find_bug` exercises have in common: verdicts on fresh records of buggy and of sound runs.

Every law shows both kinds, so that one answer for all earns nothing. The two kinds lie far apart: the docstrings say by
how much, and no test that looks at the right thing can be misled by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from course_utils.metrics.recorded_runs import Evidence

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import truth, untouched, well_behaved
from ..engine.law import Draw
from ..engine.score import Cause
from ..engine.verdict import Broken

Suspicion = tuple[Cause, Callable[[Evidence], bool]]
EVIDENCE = "the list of what the evidence holds, on the exercise card"
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


def verdict(candidate: Candidate, case: Case) -> bool:
    return truth(candidate(case.copy()), "a verdict")


def judge(candidate: Candidate, cases: Iterable[Case]) -> None:
    """Asks in an order of its own. Raises Broken at the first verdict that is wrong."""
    cases = list(cases)
    for number in Draw().permutation(len(cases)).tolist():
        case = cases[number]
        came = verdict(candidate, case)
        if came != case.buggy:
            kind = "buggy" if case.buggy else "sound"
            raise Broken(
                f"{case.buggy} for a {kind} run ({case.words})",
                f"{came}: {'the bug goes unseen' if case.buggy else 'a false alarm'}",
            )


def all_right(candidate: Candidate, cases: Iterable[Case]) -> bool:
    return all(verdict(candidate, case) == case.buggy for case in cases)


TAKES_KEYS = Cause(
    "changes_arguments",
    "You take entries out of the evidence, or put some in: whoever called you goes on with another record.",
    "pop, del and [...] = in your code",
)


def leaves_alone(candidate: Candidate, case: Case) -> None:
    """Raises Broken where the evidence or something global is changed."""
    given = case.copy()
    truth(candidate(given), "a verdict")
    names = [key for key, value in case.evidence.items() if isinstance(value, torch.Tensor)]
    if list(given) != list(case.evidence):
        raise Broken("the evidence as it was before the call", f"the keys {', '.join(map(str, given))}", TAKES_KEYS)
    untouched([case.evidence[name] for name in names], [given[name] for name in names], names)
    well_behaved(candidate)


def suspect(candidate: Candidate, cases: Sequence[Case], suspicions: Iterable[Suspicion]) -> Cause | None:
    """The one habit that explains every verdict."""
    came, truths = [verdict(candidate, case) for case in cases], [case.buggy for case in cases]
    if came == truths:
        return None
    if len(set(came)) == 1:
        return ALWAYS[came[0]]
    if came == [not buggy for buggy in truths]:
        return INVERTED
    return sole(cause for cause, habit in suspicions if came == [bool(habit(case.evidence)) for case in cases])


def threshold(
    candidate: Candidate, cases: Sequence[Case], number: Callable[[Evidence], float], *, large_alarms: bool = False
) -> bool:
    """Do the verdicts split the cases by whether `number` is small or large? With `large_alarms`, only where large ones
    are called buggy."""
    came = [verdict(candidate, case) for case in cases]
    alarmed = [number(case.evidence) for case, alarm in zip(cases, came, strict=True) if alarm]
    calm = [number(case.evidence) for case, alarm in zip(cases, came, strict=True) if not alarm]
    enough = min(len(alarmed), len(calm)) >= 4  # fewer may be split by any number, by chance
    return enough and (max(calm) < min(alarmed) or (not large_alarms and max(alarmed) < min(calm)))
