"""Laws and checks: a check is a list of laws that every correct implementation of one exercise obeys.

A law is a function `law(candidate, draw)`. It returns when it holds and raises `Broken` when it does not. It may only
call the candidate (see `candidate`), so that the same text judges code at home and code in another process. All
laws of a check run, whatever the first ones say. A law about side effects is marked `manners=True`: it earns nothing
as long as no law about the result holds, so that a function that does nothing earns nothing.
"""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .candidate import Candidate, as_candidate
from .score import Cause, LawResult, Score, validate_points
from .verdict import Broken, CallFailed

NOT_WRITTEN = "not written yet"


class Draw:
    """Fresh random inputs from a generator of its own, so that the notebook's global randomness is left alone."""

    def __init__(self) -> None:
        self._generator = torch.Generator().manual_seed(secrets.randbits(62))

    def normal(self, *shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(*shape, generator=self._generator, dtype=torch.float64).mul_(scale).to(dtype)

    def uniform(
        self, *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        unit = torch.rand(*shape, generator=self._generator, dtype=torch.float64)
        return (low + (high - low) * unit).to(dtype)

    def signs(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randint(0, 2, shape, generator=self._generator).mul_(2).sub_(1).to(dtype)

    def pixels(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Images in [0, 1]: black, white and grey pixels, a third each."""
        grey, kind = self.uniform(*shape, low=0.05, high=0.95), self.uniform(*shape)
        return torch.where(kind < 1 / 3, 0.0, torch.where(kind < 2 / 3, 1.0, grey)).to(dtype)

    def integer(self, low: int, high: int) -> int:
        """A whole number, low <= n <= high."""
        return int(torch.randint(low, high + 1, (), generator=self._generator))

    def number(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def permutation(self, n: int) -> torch.Tensor:
        return torch.randperm(n, generator=self._generator)


LawTest = Callable[[Candidate, Draw], None]
Diagnose = Callable[[Candidate, Draw], "Cause | None"]


@dataclass(frozen=True)
class Law:
    """One law: its id (the name of its function), the sentence that students read, its weight, and the test."""

    id: str
    name: str
    weight: int
    manners: bool
    test: LawTest


class Check:
    """All laws of one exercise.

    ``signature`` is the exercise's, ``returns`` says in a line what it gives: both stand in front of the student, and
    in the documentation of ``check.<exercise>``. ``note`` is what else a student should know about how it is judged.
    """

    def __init__(self, signature: str, returns: str, *, note: str = "") -> None:
        self.exercise = signature.partition("(")[0]
        self.signature, self.returns, self.note = signature, returns, note
        self.laws: list[Law] = []
        self.diagnose: Diagnose | None = None

    def diagnosis(self, diagnose: Diagnose) -> Diagnose:
        """Register what names the misconception behind broken laws that do not name one themselves."""
        self.diagnose = diagnose
        return diagnose

    def law(self, name: str, *, weight: int = 1, manners: bool = False) -> Callable[[LawTest], LawTest]:
        """Register a law under a sentence that students read."""
        if not isinstance(weight, int) or weight < 1:
            raise ValueError(f"law {name!r} has weight {weight!r}; expected a positive integer")

        def register(test: LawTest) -> LawTest:
            id = test.__name__.lstrip("_")
            if any(id == other.id for other in self.laws):
                raise ValueError(f"{self.exercise} has two laws {id!r}; the function of a law names it")
            self.laws.append(Law(id, name, weight, manners, test))
            return test

        return register

    def judge(self, function: Any, points: float | int = 1) -> Score:
        """Run every law on `function` and return the Score out of `points`. Never raises because of `function`."""
        points = validate_points(points)
        candidate, draw = as_candidate(function), Draw()
        grad_mode = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        candidate.open()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a line on stderr costs the cell in nbgrader, whoever caused it
                outcomes = [_try(law, candidate, draw) for law in self.laws]
                cause = self._cause(outcomes, candidate, draw)
        finally:
            candidate.close()
            torch.set_grad_enabled(grad_mode)
        return self._score(points, outcomes, cause, candidate.printed)

    def _cause(self, outcomes: Sequence[Exception | None], candidate: Candidate, draw: Draw) -> Cause | None:
        broken = [error for error in outcomes if error is not None]
        unexplained = [error for error in broken if isinstance(error, Broken) and not _is_certain(error.cause)]
        if not unexplained or self.diagnose is None:
            return None
        try:
            return self.diagnose(candidate, draw)
        except Exception:  # a guess that cannot be made is no guess
            return None

    def _score(
        self, points: float | int, outcomes: Sequence[Exception | None], cause: Cause | None, printed: str
    ) -> Score:
        if all(isinstance(error, CallFailed) and error.kind == "stub" for error in outcomes):
            results = [
                LawResult(
                    law.name,
                    law.weight,
                    False,
                    "a function that returns a result",
                    NOT_WRITTEN,
                    Cause("not_written", f"{self.exercise} is {NOT_WRITTEN}."),
                )
                for law in self.laws
            ]
            return Score(self.exercise, points, tuple(results), note=NOT_WRITTEN, printed=printed)
        substance = any(error is None and not law.manners for law, error in zip(self.laws, outcomes))
        results = []
        for law, error in zip(self.laws, outcomes):
            if error is None and law.manners and not substance:
                error = Broken(
                    "a function that obeys at least one law about its result",
                    "not counted: no law about the result holds yet",
                )
            results.append(_result(law, error, cause, self.signature))
        return Score(self.exercise, points, tuple(results), printed=printed)


def _try(law: Law, candidate: Candidate, draw: Draw) -> Exception | None:
    try:
        law.test(candidate, draw)
    except Exception as error:
        return error
    return None


def _result(law: Law, error: Exception | None, cause: Cause | None, signature: str) -> LawResult:
    if error is None:
        return LawResult(law.name, law.weight, True)
    if isinstance(error, Broken):
        named = error.cause if _is_certain(error.cause) else cause or error.cause
        return LawResult(law.name, law.weight, False, error.expected, error.got, named)
    if isinstance(error, CallFailed):
        got = NOT_WRITTEN if error.kind == "stub" else error.message
        return LawResult(law.name, law.weight, False, f"{signature} returns a result", got, error.cause)
    message = f"a result that cannot be judged ({type(error).__name__}: {str(error)[:200]})"
    return LawResult(law.name, law.weight, False, f"{signature} returns plain tensors or numbers", message)


def _is_certain(cause: Cause | None) -> bool:
    return cause is not None and not cause.tentative


def show(number: Any) -> str:
    """A number for students: four significant digits."""
    number = float(number)
    return f"{number:.4g}" if math.isfinite(number) else str(number)
