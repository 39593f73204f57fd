"""The kinds of question, which guesses answer them, and the record of a guess in a notebook.

Needs neither torch nor a kernel, and trusts nothing it reads: reports on submitted notebooks use it too.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, ClassVar, Literal, TypeAlias, TypeGuard

MIME = "application/vnd.course.guess+json"  # of a record, in a cell's output: see `record`
CLOSE = 0.1  # of the range: a number, or a curve on average, no further off counts as right
_LONGEST_CELL = 5_000  # characters
_LARGEST = 1e12
Answer: TypeAlias = Any  # what the question's `read` returns: a letter, a number or a tuple of heights


@dataclass(frozen=True)
class Choice:
    """Lettered answers, of which one is chosen."""

    text: str
    choices: dict[str, str]  # letter -> answer
    kind: ClassVar[Literal["choice"]] = "choice"

    def read(self, value: object) -> str | None:
        """The letter, or None where ``value`` is none of them."""
        letter = value.strip().lower() if isinstance(value, str) else None
        return letter if letter in self.choices else None

    read_truth = read

    def is_right(self, guess: str, truth: str) -> bool:
        return guess == truth

    def words(self, value: str) -> str:
        return f"{value}, {self.choices[value]}"

    @property
    def hint(self) -> str:
        """What to type."""
        return f"one of the letters {', '.join(self.choices)} between the quotes"


@dataclass(frozen=True)
class Number:
    """A number between ``low`` and ``high``, in ``unit``."""

    text: str
    low: float
    high: float
    unit: str = ""
    kind: ClassVar[Literal["number"]] = "number"

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; expected low < high.")

    def read(self, value: object) -> float | None:
        """The number, or None where ``value`` is none in the range."""
        return float(value) if _is_number(value) and self.low <= value <= self.high else None

    def read_truth(self, value: object) -> float | None:
        """A measured number, in the range or not; None where it is not finite."""
        return float(value) if _is_number(value) and abs(value) <= _LARGEST else None

    def away(self, guess: float, truth: float) -> float:
        return abs(guess - truth)

    def is_right(self, guess: float, truth: float) -> bool:
        return self.away(guess, truth) <= CLOSE * (self.high - self.low)

    def words(self, value: float) -> str:
        return f"{value:.3g} {self.unit}".strip()

    @property
    def step(self) -> float:
        """A power of ten, so that the range has 20 to 200 steps; 1 at least where things are counted."""
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 20))
        return max(step, 1.0) if self.counts else step

    @property
    def counts(self) -> bool:
        """Whether the question asks how many there are, so that the answer is a whole number."""
        return "how many" in self.text.lower()

    @property
    def hint(self) -> str:
        """What to type."""
        return f"a number from {self.low:g} to {self.high:g} in place of None"


@dataclass(frozen=True)
class Curve:
    """A number between ``low`` and ``high`` at every one of the places ``x``, which increase."""

    text: str
    x: tuple[float, ...]
    low: float
    high: float
    xlabel: str
    ylabel: str
    kind: ClassVar[Literal["curve"]] = "curve"

    def __post_init__(self) -> None:
        if len(self.x) < 2 or any(a >= b for a, b in pairwise(self.x)):
            raise ValueError(f"x is {self.x}; expected two or more increasing numbers.")

    @property
    def height(self) -> Number:
        """The question for one place."""
        return Number(self.ylabel, self.low, self.high)

    @property
    def xscale(self) -> str:
        """``log`` where x spans a factor of ten or more, else ``linear``."""
        return "log" if self.x[0] > 0 and self.x[-1] >= 10 * self.x[0] else "linear"

    @property
    def places(self) -> list[float]:
        """Where x stands on an axis from 0 to 1."""
        x = [math.log(v) for v in self.x] if self.xscale == "log" else self.x
        return [(v - x[0]) / (x[-1] - x[0]) for v in x]

    def read(self, value: object) -> tuple[float, ...] | None:
        """The heights, or None where ``value`` is not one in the range for each x."""
        return self._each(value, self.height.read)

    def read_truth(self, value: object) -> tuple[float, ...] | None:
        """The measured heights, in the range or not; None where one is not finite."""
        return self._each(value, self.height.read_truth)

    def _each(self, values: object, read: Callable[[object], float | None]) -> tuple[float, ...] | None:
        if not isinstance(values, (list, tuple)) or len(values) != len(self.x):
            return None
        heights = tuple(height for height in map(read, values) if height is not None)
        return heights if len(heights) == len(values) else None

    def away(self, guess: tuple[float, ...], truth: tuple[float, ...]) -> float:
        """On average over x."""
        return fmean(abs(a - b) for a, b in zip(guess, truth, strict=True))

    def is_right(self, guess: tuple[float, ...], truth: tuple[float, ...]) -> bool:
        return self.away(guess, truth) <= CLOSE * (self.high - self.low)

    def words(self, value: tuple[float, ...]) -> str:
        return ", ".join(f"{height:.3g} at {x:g}" for x, height in zip(self.x, value, strict=True))

    @property
    def hint(self) -> str:
        """What to type."""
        return f"a list of {len(self.x)} numbers from {self.low:g} to {self.high:g} in place of None"


Question = Choice | Number | Curve
ASKED_BY: dict[str, Callable[..., Question]] = {
    "choose": lambda text, **choices: Choice(text, choices),
    "number": Number,
    "curve": Curve,
}


def _is_number(value: object) -> TypeGuard[int | float]:
    """True and False are none."""
    return type(value) in (int, float)


def record(question: Question, guess: Answer, truth: Answer = None, after: bool = False) -> dict:
    """What a notebook keeps of a guess, under ``MIME``; None stands for what is not known. ``after`` is there where the
    answer had been shown before there was a guess."""
    return {"question": question.text, "guess": guess, "truth": truth} | ({"after": True} if after else {})


def asked_in(source: str) -> tuple[Question, object] | None:
    """The question that a cell asks with ``predict.choose``, ``number`` or ``curve``, and the guess typed in it; None
    where it asks none. The cell is read, not run; its arguments must be literals."""
    if len(source) > _LONGEST_CELL:
        return None
    try:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ASKED_BY:
                named: dict[Any, Any] = {each.arg: ast.literal_eval(each.value) for each in node.keywords}
                typed = named.pop("guess", None)
                question = ASKED_BY[node.func.attr](*map(ast.literal_eval, node.args), **named)
                return (question, typed) if isinstance(question.text, str) else None
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    return None
