"""What a right implementation answered in one run is worth nothing in the next: every call is worth a decision.

Whoever has seen a check's questions and the right answers (a classmate's printed results, a file kept from the last
submission) hands in a table. No exercise of any unit gives a table full marks.
"""

from __future__ import annotations

import bank
import lanes
import pytest
import torch
from recorder import Recorder

from course_utils.checks import CHECKS

SEEDS = (2, 3)[: lanes.amount(1, 2)]


class InOrder:
    """The recorded answers, one after the other."""

    def __init__(self, recorder):
        self.recorder, self.number = recorder, -1

    def __call__(self, *args):
        self.number += 1
        return _again(self.recorder.answers[self.number % len(self.recorder.answers)])


class ByQuestion(InOrder):
    """The answer to the same question; else the next one to a question that looked like it; else the next one."""

    def __call__(self, *args):
        self.number += 1
        asked = self.recorder.asked
        same = [i for i, question in enumerate(asked) if _same(question, args)]
        alike = [i for i, question in enumerate(asked) if _look(question) == _look(args)]
        later = [i for i in alike if i >= self.number] or alike or [self.number % len(asked)]
        return _again(self.recorder.answers[(same or later)[0]])


def _again(answer):
    """A fresh copy, as whoever reads it from a file has: with a gradient for whoever asks."""
    if isinstance(answer, torch.Tensor):
        return answer.detach().clone().requires_grad_(answer.requires_grad)
    return tuple(_again(part) for part in answer) if isinstance(answer, tuple) else answer


def _look(question):
    return [(tuple(arg.shape), arg.dtype) if isinstance(arg, torch.Tensor) else type(arg) for arg in question]


def _same(question, args):
    if _look(question) != _look(args):
        return False
    for one, other in zip(question, args, strict=True):
        if isinstance(one, torch.Tensor):
            if not torch.equal(one, other):
                return False
        elif isinstance(one, (int, float, str)) and one != other:
            return False
    return True


ATTACKS = {"InOrder": InOrder, "ByQuestion": ByQuestion}
A_TABLE_IS_RIGHT = {
    ("choose_bandwidths", "ByQuestion"): "bandwidths that do not depend on the codes' numbers are a right answer",
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("exercise", bank.exercises())
def test_a_table_of_right_answers_never_earns_full_marks(exercise, attack):
    """Fixed seeds, so that nothing here is left to chance: the class of the table and the class that uses it."""
    if (exercise, attack) in A_TABLE_IS_RIGHT:
        pytest.skip(A_TABLE_IS_RIGHT[exercise, attack])
    judge = CHECKS[exercise].judge
    recorder = Recorder(bank.load(exercise).right_ones[0].function)
    assert judge(recorder.recorded, 4, seed=1).earned == 4
    for seed in SEEDS:
        score = judge(ATTACKS[attack](recorder), 4, seed=seed)
        assert score.earned < 4, f"{attack}: {score}"


def test_the_same_seed_would_give_it_away():
    """What the attack is worth where the questions do come again: the recorder and the tables work."""
    judge = CHECKS["kl_divergence"].judge
    recorder = Recorder(bank.load("kl_divergence").right_ones[0].function)
    assert judge(recorder.recorded, 4, seed=1).earned == 4
    asked = len(recorder.asked)
    held = {law.id for law in judge(ByQuestion(recorder), 4, seed=1).laws if law.passed}
    assert asked > 20 and {"by_hand", "integral", "adds_up", "average"} <= held
