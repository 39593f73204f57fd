"""The result of a check: points earned, and for every law whether it holds, and if not why."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from numbers import Real
from typing import Any

MIME = "application/vnd.latent-space-course.score+json"  # of a Score as data, beside its number and its table
_CENT = Decimal("0.01")
_MOST = 1e300


@dataclass(frozen=True)
class Cause:
    """A misconception: a stable id, one sentence for the student, and where in the notebook to look."""

    id: str
    sentence: str
    where: str = ""
    # a law's guess from what it alone sees; gives way to one that explains the function as a whole
    tentative: bool = False

    def __str__(self) -> str:
        return f"{self.sentence} Look at {self.where}." if self.where else self.sentence


@dataclass(frozen=True)
class LawResult:
    """One law: its name in words and its weight; where it is broken also what was expected, what came, and why.

    `check.<exercise>(f, points=P, law=id, seed=seed)` runs it again as it was run here.
    """

    name: str
    weight: int
    passed: bool
    expected: str = ""
    got: str = ""
    cause: Cause | None = None
    id: str = ""
    seed: int | None = None
    essential: bool = False  # what the exercise is for: where it is broken, the others earn at most half

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data (JSON)."""
        return {
            "id": self.id,
            "seed": self.seed,
            "name": self.name,
            "weight": self.weight,
            "passed": self.passed,
            "expected": self.expected,
            "got": self.got,
            "cause": str(self.cause) if self.cause else "",
            "cause_id": self.cause.id if self.cause else "",
        }


def validate_points(points: Any) -> float | int:
    """Return `points` when it is a finite number of at least 0; otherwise raise ValueError saying so."""
    numeric = isinstance(points, Real) and not isinstance(points, bool)
    if not numeric or not 0 <= points <= _MOST:  # false for nan as well
        raise ValueError(f"points is {points!r}; expected a finite number of at least 0, such as points=3")
    return points if type(points) in (int, float) else float(points)


def share_of(points: float | int, kept: int, total: int) -> Decimal:
    """Points for `kept` of `total` weight: all of them only when nothing is missing, else at most points - 0.01."""
    whole = Decimal(repr(points))
    if total > 0 and kept == total:
        return whole
    part = whole * kept / total if total > 0 else Decimal(0)
    cents = min(part, whole - _CENT).quantize(_CENT, ROUND_FLOOR) if whole < Decimal(10) ** 20 else Decimal(0)
    return max(cents, Decimal(0))


class Score:
    """Points earned in one exercise.

    `repr` is the bare number, because nbgrader reads the text form of a test cell as its points and takes anything
    that is not a number for full marks. `str` is a report in plain text; notebooks show `_repr_html_`.
    """

    __slots__ = ("_capped", "_earned", "_exercise", "_laws", "_note", "_points", "_printed", "_remark", "_weight")

    def __init__(
        self,
        exercise: str,
        points: float | int,
        laws: tuple[LawResult, ...],
        note: str = "",
        printed: str = "",
        weight: int | None = None,
        remark: str = "",
    ) -> None:
        """`weight` is that of all laws of the exercise, where `laws` are not all of them. `remark` is a sentence about
        what was judged, for whoever reads the table; it is no part of the result."""
        self._exercise = exercise
        self._points = validate_points(points)
        self._laws = tuple(laws)
        self._note = note
        self._printed = printed
        self._remark = remark
        kept = sum(law.weight for law in self._laws if law.passed)
        self._weight = sum(law.weight for law in self._laws) if weight is None else weight
        self._earned = share_of(self._points, kept, self._weight)
        half = share_of(self._points, 1, 2)
        self._capped = any(law.essential and not law.passed for law in self._laws) and self._earned > half
        if self._capped:
            self._earned = half

    exercise = property(lambda self: self._exercise, doc="name of the exercise")
    points = property(lambda self: self._points, doc="the most that can be earned")
    earned = property(lambda self: float(self._earned), doc="points earned, 0 <= earned <= points")
    laws = property(lambda self: self._laws, doc="one LawResult per law, in the order they are taught")
    note = property(lambda self: self._note, doc="one line about the whole, such as 'not written yet'")
    printed = property(lambda self: self._printed, doc="the first lines that the student's code printed")
    remark = property(lambda self: self._remark, doc="one sentence about what was judged, such as an older version")
    whole = property(
        lambda self: self._weight == sum(law.weight for law in self._laws), doc="True when every law was run"
    )
    capped = property(lambda self: self._capped, doc="True when a broken essential law left half of the points")
    complete = property(
        lambda self: self.whole and all(law.passed for law in self._laws), doc="True when every law holds"
    )

    def __repr__(self) -> str:
        text = format(self._earned, "f")
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text

    def __float__(self) -> float:
        return float(self._earned)

    def __str__(self) -> str:
        from .render import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from .render import as_html

        return as_html(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The number, the table and the data. A law that holds shows no seed: the stored output of a solved exercise
        stays comparable."""
        data = self.to_dict()
        for law in data["laws"]:
            if law["passed"]:
                del law["seed"]
        return {"text/plain": repr(self), "text/html": self._repr_html_(), MIME: data}

    def remarked(self, remark: str) -> Score:
        """The same score with a remark."""
        return Score(self._exercise, self._points, self._laws, self._note, self._printed, self._weight, remark)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data (JSON)."""
        return {
            "exercise": self._exercise,
            "points": self._points,
            "earned": self.earned,
            "note": self._note,
            "printed": self._printed,
            "laws": [law.to_dict() for law in self._laws],
        }
