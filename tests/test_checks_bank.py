"""The checks against the bank: every wrong implementation is caught, every right one passes, and the page says so.

Every judgement here has a seed of its own that stays the same, so that this file says the same of the same code every
time: a failure is a change of ours. How often fresh draws go wrong is another question. The laws' docstrings state it
for right implementations, and docs/kill-matrix.md has it measured for all, in up to 200 fresh runs each.
"""

from __future__ import annotations

import re

import pytest
from bank import exercises, load
from kill_matrix import PAGE, blocks_of, counts_of, render

from course_utils import check
from course_utils.checks import CHECKS
from course_utils.checks.engine.render import causes
from course_utils.checks.engine.seeds import derived

BANKS = {name: load(name) for name in exercises()}
WRONG = [(name, entry) for name, bank in BANKS.items() for entry in bank.wrong_ones]
RIGHT = [(name, entry) for name, bank in BANKS.items() for entry in bank.right_ones]
# How often this file judges each right one. docs/kill-matrix.md has many more; these would find nothing that those have
# not.
RUNS_RIGHT = 2
# How often the other tests and the executed notebooks judge a right answer to an exercise, at most.
ELSEWHERE = 100
LONGEST_CAUSE = 520  # letters: five lines of 640 pixels, of which the deepest ended at 194 pixels
STATED = re.compile(r"(?:[Ff]alse alarm|probability)[^;:]*?(\d+(?:e-\d+))")


def label(case):
    return case.name if hasattr(case, "name") else case


def cases(entries):
    """One parameter each; the quick lane judges the first of each exercise, the others bear the mark `bank`."""
    first = dict(reversed(entries))
    return [
        pytest.param(exercise, entry, marks=[] if entry is first[exercise] else [pytest.mark.bank])
        for exercise, entry in entries
    ]


def judged(exercise, entry, run=0):
    """The score of an implementation out of 3; the same one every time, unless it finds randomness of its own."""
    return getattr(check, exercise)(entry.function, points=3, seed=derived("bank", exercise, entry.name, run))


@pytest.mark.parametrize(("exercise", "entry"), cases(WRONG), ids=label)
def test_wrong_implementation_is_below_full_marks_with_a_reason(exercise, entry):
    score = judged(exercise, entry)
    assert 0 <= score.earned < 3, f"{exercise}.{entry.name} ({entry.about}) gets full marks"
    broken = [law for law in score.laws if not law.passed]
    assert all(law.expected and law.got for law in broken)
    assert not any("cannot be judged" in law.got for law in broken), str(score)
    # in a window of 1024 by 768 the cause stands at the top of the box without scrolling
    assert all(len(str(cause)) <= LONGEST_CAUSE for cause in causes(score)[:1])
    named = {law.cause.id for law in broken if law.cause}
    allowed = set((entry.cause or "").split("|"))
    assert named <= allowed, f"{exercise}.{entry.name}: expected cause {entry.cause}, named {named}"


@pytest.mark.parametrize(("exercise", "entry"), cases(RIGHT), ids=label)
def test_right_implementation_gets_full_marks(exercise, entry):
    for run in range(RUNS_RIGHT):
        score = judged(exercise, entry, run)
        assert score.earned == 3, f"{exercise}.{entry.name} ({entry.about}) is refused:\n{score}"


@pytest.mark.parametrize("exercise", CHECKS)
def test_bank_is_large_enough_and_names_are_unique(exercise):
    bank = BANKS[exercise]
    assert len(bank.wrong_ones) >= 10 and len(bank.right_ones) >= 5
    for entries in (bank.wrong_ones, bank.right_ones):
        names = [entry.name for entry in entries]
        assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


def test_every_exercise_has_a_check_a_bank_and_a_public_function():
    assert set(CHECKS) == set(BANKS)
    assert all(callable(getattr(check, name)) and getattr(check, name).__doc__ for name in CHECKS)


def false_alarms(law):
    """How often a law refuses a right implementation, as its docstring states; None if that says nothing of it.

    What is not random, or compares exactly, never does; otherwise the probabilities stated are added up.
    """
    said = " ".join(law.test.__doc__.split())
    rates = [float(number) for number in STATED.findall(said)]
    if rates or re.search(r"[Nn]ot random|never fails|[Rr]andom only|An identity|probability 0\b", said):
        return sum(rates)
    return None


@pytest.mark.parametrize("exercise", CHECKS)
def test_every_law_says_how_often_it_is_wrong_by_chance(exercise):
    for law in CHECKS[exercise].laws:
        assert law.test.__doc__, f"{exercise}: {law.name}"
        assert false_alarms(law) is not None, f"{exercise}: {law.name}: {law.test.__doc__}"


def test_a_run_of_the_whole_suite_fails_by_chance_less_than_once_in_1000():
    expected = {exercise: ELSEWHERE * sum(map(false_alarms, judge.laws)) for exercise, judge in CHECKS.items()}
    assert sum(expected.values()) < 1e-3, {name: f"{rate:.1e}" for name, rate in expected.items() if rate}


def test_likely_cause_is_expected_for_nine_tenths_of_the_wrong_ones():
    told = [entry for _, entry in WRONG if entry.cause]
    assert len(told) >= 0.9 * len(WRONG)


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    return blocks_of(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("exercise", CHECKS)
def test_kill_matrix_block_belongs_to_todays_laws_and_bank(exercise, blocks):
    again = f"run `course test --kill-matrix --only {exercise}`"
    assert exercise in blocks, again
    laws = re.findall(r"^\d+\. (.*) \((\d+)(, essential)?\)$", blocks[exercise], re.MULTILINE)
    essential = {True: ", essential", False: ""}
    assert laws == [(law.name, str(law.weight), essential[law.essential]) for law in CHECKS[exercise].laws], again
    wrong, right = blocks[exercise].split("| right implementation |")
    bank = BANKS[exercise]
    for table, entries in ((wrong.split("| wrong implementation |")[1], bank.wrong_ones), (right, bank.right_ones)):
        rows = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
        assert [row for row in rows if row != "---"] == [entry.name for entry in entries], again


@pytest.mark.parametrize("exercise", CHECKS)
def test_kill_matrix_block_reports_no_survivor_and_no_refusal(exercise, blocks):
    counts = counts_of(blocks[exercise])
    assert counts.caught == counts.wrong and counts.accepted == counts.right and counts.false_causes == 0
    assert counts.runs_wrong >= 10 and counts.runs_right >= 20


def test_kill_matrix_page_is_what_its_blocks_add_up_to(blocks):
    assert set(blocks) == set(CHECKS)
    assert PAGE.read_text(encoding="utf-8") == render(blocks)
