"""Keeps what a right implementation was asked by its check, and what it answered."""

from __future__ import annotations

import functools

import bank
import torch

from course_utils.checks import CHECKS

_PLAIN = (bool, int, float, str, torch.Tensor)


class Recorder:
    """Keeps what a right implementation was asked, and what it answered."""

    def __init__(self, function):
        self.asked, self.answers = [], []

        @functools.wraps(function)
        def recorded(*args):
            asked = [_kept(arg) for arg in args]
            answer = function(*args)
            self.asked.append(asked)
            self.answers.append(answer)
            return answer

        self.recorded = recorded


def _kept(value):
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def probes(exercise: str, count: int = 6) -> list[tuple[list, object]]:
    """Some of the questions of a whole check, from its beginning to its end, with right answers: those that a file can
    hold, so none about modules."""
    recorder = Recorder(bank.load(exercise).right_ones[0].function)
    assert CHECKS[exercise].judge(recorder.recorded, 1, seed=1).earned == 1
    pairs = [
        (question, answer)
        for question, answer in zip(recorder.asked, recorder.answers, strict=True)
        if all(map(_is_plain, [*question, answer]))
    ]
    return [pairs[number * len(pairs) // count] for number in range(count)] if pairs else []


def _is_plain(value) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, _PLAIN) or (isinstance(value, (tuple, list)) and all(map(_is_plain, value)))
