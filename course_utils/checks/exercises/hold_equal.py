"""Laws of `hold_equal(ruler, number, level, widest)`: what a kind of model has where its ruler reads `level`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import number, plain64, same_number, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken
from ..shared.tables import causes

CHECK = Check("hold_equal(ruler, number, level, widest)", "a number, or nan where none can be said")
_HINT = "the four conditions on the card of hold_equal"
Curve = tuple[torch.Tensor, torch.Tensor]


@CHECK.law("gives a training's own number where it lies at the level, at the ends of the curve too", weight=2)
def _at_a_training(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    ruler, values = _curve(draw, 5)
    for place in range(5):
        _same(candidate, ruler, values, float(ruler[place]), 50.0, "the number of a training at the level")


@CHECK.law("goes along the straight line between the training below and the one above", weight=3)
def _between(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for count in (2, 3, 6):
        ruler, values = _curve(draw, count)
        for place in range(count - 1):
            share = draw.number(0.15, 0.35) + 0.5 * draw.integer(0, 1)
            level = float(ruler[place] + share * (ruler[place + 1] - ruler[place]))
            _same(candidate, ruler, values, level, 50.0, f"between two of {count} trainings")


@CHECK.law("does not care in which order the trainings come, nor which numbers are high", weight=2)
def _any_order(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for _ in range(6):
        ruler, values = _curve(draw, 5)
        level = float(0.3 * ruler[2] + 0.7 * ruler[3])
        order = draw.permutation(5)
        _same(candidate, ruler[order], values[order], level, 50.0, "trainings in another order")
        _same(candidate, ruler.flip(0), values.flip(0), level, 50.0, "trainings in falling order")


@CHECK.law("says nan where no training lies below or none above: it does not go on beyond the curve", weight=2)
def _beyond(candidate: Candidate, draw: Draw) -> None:
    """Not random but in its inputs."""
    for count in (2, 5):
        ruler, values = _curve(draw, count)
        for level in (float(ruler[0]) - draw.number(0.2, 9), float(ruler[-1]) + draw.number(0.2, 9)):
            _nothing(candidate, ruler, values, level, 50.0, "beyond the trainings", BEYOND)


@CHECK.law("says nan where the two neighbours lie further apart than widest, and only there", weight=3)
def _gap(candidate: Candidate, draw: Draw) -> None:
    """Gaps are 0.6 or 1.5 times widest: nothing is near the edge, and a correct function never fails."""
    for _ in range(3):
        widest = draw.number(3, 6)
        steps = widest * torch.tensor([0.0, 0.6, 1.5, 0.6, 0.6], dtype=torch.float64)
        ruler, values = draw.number(60, 90) + steps.cumsum(0), _numbers(draw, 5)
        share = draw.number(0.1, 0.3)
        for place in range(4):
            for part in (share, 1 - share, 0.5):
                level = float(ruler[place] + part * (ruler[place + 1] - ruler[place]))
                if place == 1:
                    _nothing(candidate, ruler, values, level, widest, "in a gap of 1.5 times widest", OVER_GAP)
                else:
                    _same(candidate, ruler, values, level, widest, "between neighbours 0.6 times widest apart")


@CHECK.law("works in single precision")
def _single(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    ruler, values = _curve(draw, 4)
    level = float(0.4 * ruler[0] + 0.6 * ruler[1])  # the two lowest numbers are never next to each other
    _same(candidate, ruler.float(), values.float(), level, 50.0, "in float32")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    ruler, values = (t.flip(0) for t in _curve(draw, 5))
    kept = ruler.clone(), values.clone()
    candidate(ruler, values, float(ruler.mean()), 50.0)
    untouched(kept, (ruler, values), ("ruler", "number"))
    well_behaved(candidate)


def _curve(draw: Draw, count: int) -> Curve:
    """Trainings 2 to 6 apart on the ruler, in rising order."""
    steps = draw.uniform(count, low=2.0, high=6.0, dtype=torch.float64)
    return draw.number(60, 90) + steps.cumsum(0), _numbers(draw, count)


def _numbers(draw: Draw, count: int) -> torch.Tensor:
    """Any two next to each other are at least 10 apart, now up, now down."""
    values = draw.uniform(count, low=5.0, high=20.0, dtype=torch.float64)
    values[draw.integer(0, 1) :: 2] += 30.0
    return values


def _call(candidate: Candidate, ruler: torch.Tensor, values: torch.Tensor, level: float, widest: float) -> object:
    return candidate(ruler.clone(), values.clone(), level, widest)


def _same(
    candidate: Candidate, ruler: torch.Tensor, values: torch.Tensor, level: float, widest: float, what: str
) -> None:
    came = _call(candidate, ruler, values, level, widest)
    want = _right(plain64(ruler), plain64(values), level, widest)
    if _is_nan(came):
        raise Broken(f"{what}: {show(want)}", "nan")
    same_number(number(came, "a number", tensor_allowed=True), want, what, scale=1.0, rounding=1e-3)


def _nothing(
    candidate: Candidate,
    ruler: torch.Tensor,
    values: torch.Tensor,
    level: float,
    widest: float,
    what: str,
    cause: Cause,
) -> None:
    came = _call(candidate, ruler, values, level, widest)
    if came is None:
        raise Broken(f"nan {what}", "None", NONE)
    if not _is_nan(came):
        raise Broken(f"nan {what}", show(number(came, "a number or nan", tensor_allowed=True)), cause)


def _is_nan(came: object) -> bool:
    if isinstance(came, torch.Tensor):
        return came.dim() == 0 and bool(torch.isnan(came))
    return isinstance(came, float) and math.isnan(came)


def _neighbours(ruler: torch.Tensor, level: float) -> tuple[torch.Tensor, int]:
    order = ruler.argsort()
    return order, min(max(1, int((ruler < level).sum())), len(ruler) - 1)


def _line(x: torch.Tensor, y: torch.Tensor, right: int, level: float) -> float:
    share = (level - x[right - 1]) / (x[right] - x[right - 1])
    return float(y[right - 1] + share * (y[right] - y[right - 1]))


def _right(ruler: torch.Tensor, values: torch.Tensor, level: float, widest: float) -> float:
    order, right = _neighbours(ruler, level)
    x, y = ruler[order], values[order]
    if not x[0] <= level <= x[-1] or x[right] - x[right - 1] > widest:
        return math.nan
    return _line(x, y, right, level)


BEYOND = Cause(
    "goes_on_beyond",
    "You give a number beyond the trainings: nobody has trained there. The answer is nan.",
    _HINT,
)
OVER_GAP = Cause(
    "line_over_gap",
    "You draw a line over a gap wider than `widest`: what lies in it, no training has shown. The answer is nan.",
    _HINT,
)
NONE = Cause("none_for_nan", "You return None where nothing can be said; return float('nan').", _HINT)
AT_LEVEL = Cause(
    "nan_at_a_training",
    "Where a training lies exactly at the level, your function has no number: neighbours below and above are then one "
    "and the same, and you divide by 0.",
    _HINT,
)
ALWAYS_NAN = Cause("always_nan", "Your function says nan for every level.", _HINT)
INVERTED = Cause(
    "gap_inverted", "You draw the line over wide gaps and refuse narrow ones.", "your comparison with widest"
)
Formula = Callable[[torch.Tensor, torch.Tensor, float], float]


def _unsorted(x: torch.Tensor, y: torch.Tensor, level: float) -> float:
    """The first two that lie next to each other in the given order and on either side of the level."""
    for i in range(len(x) - 1):
        if min(x[i], x[i + 1]) <= level <= max(x[i], x[i + 1]):
            return _line(x[i : i + 2], y[i : i + 2], 1, level)
    return math.nan


def _sorted(formula: Callable[[torch.Tensor, torch.Tensor, int, float], float]) -> Formula:
    def of(x: torch.Tensor, y: torch.Tensor, level: float) -> float:
        order, right = _neighbours(x, level)
        return float(formula(x[order], y[order], right, level))

    return of


def _polynomial(degree: int) -> Formula:
    def of(x: torch.Tensor, y: torch.Tensor, level: float) -> float:
        powers = torch.stack([(x - x.mean()) ** k for k in range(degree + 1)], 1)
        factors = torch.linalg.lstsq(powers, y[:, None]).solution[:, 0]
        return float(sum(factor * (level - x.mean()) ** k for k, factor in enumerate(factors)))

    return of


_NEAREST = "You take the number of one training; its ruler does not read the level. Go along the line between the two."
_FIT = "You fit one curve to all trainings. Only the two next to the level say what lies between them."
_ROWS: list[tuple[Cause, Formula]] = causes(
    _HINT,
    (
        ("one_training", _NEAREST, _sorted(lambda x, y, r, at: float(y[(x - at).abs().argmin()]))),
        ("one_training", _NEAREST, _sorted(lambda x, y, r, at: float(y[r]))),
        ("one_training", _NEAREST, _sorted(lambda x, y, r, at: float(y[r - 1]))),
        (
            "plain_mean",
            "You average the two neighbours, wherever between them the level lies.",
            _sorted(lambda x, y, r, at: float(y[r - 1] + y[r]) / 2),
        ),
        (
            "shares_exchanged",
            "The nearer neighbour must count more; with you it counts less.",
            _sorted(lambda x, y, r, at: float(y[r - 1] + y[r]) - _line(x, y, r, at)),
        ),
        ("all_trainings", _FIT, _polynomial(1)),
        ("all_trainings", _FIT, _polynomial(2)),
        ("all_trainings", _FIT, lambda x, y, at: float(y.mean())),
        (
            "best_neighbour",
            "You take the lower number of the two neighbours.",
            _sorted(lambda x, y, r, at: float(torch.minimum(y[r - 1], y[r]))),
        ),
        (
            "ends_only",
            "You draw one line from the first training to the last and leave out those between.",
            _sorted(lambda x, y, r, at: _line(x[[0, -1]], y[[0, -1]], 1, at)),
        ),
        (
            "sorted_apart",
            "You sort rulers and numbers each by itself: a training's two numbers must stay together.",
            lambda x, y, at: _line(x.sort().values, y.sort().values, _neighbours(x, at)[1], at),
        ),
        (
            "ruler_for_number",
            "You return a value of the ruler; the number that is compared is asked for.",
            lambda x, y, at: at,
        ),
        (
            "not_sorted",
            "You take neighbours in the order in which trainings come; neighbours are those on the ruler.",
            _unsorted,
        ),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """What came at levels within the curve, no gap being wide; then what came where nan was asked for."""
    given = []
    for _ in range(4):
        ruler, values = _curve(draw, 6)
        order = draw.permutation(6)
        given.append((ruler[order], values[order], float(0.35 * ruler[3] + 0.65 * ruler[4])))
    came = [_value(_call(candidate, *probe, 50.0)) for probe in given]
    right = [_right(*probe, 50.0) for probe in given]
    narrow = [_value(_call(candidate, *probe, 0.1)) for probe in given]
    if all(map(math.isnan, came)):
        return ALWAYS_NAN if all(map(math.isnan, narrow)) else INVERTED
    if _agree(came, right):
        ruler, values = _curve(draw, 4)
        return AT_LEVEL if math.isnan(_value(_call(candidate, ruler, values, float(ruler[1]), 50.0))) else None
    return sole(cause for cause, formula in _ROWS if _agree(came, [formula(*probe) for probe in given]))


def _value(came: object) -> float:
    """nan for nan and for what is no number."""
    if isinstance(came, torch.Tensor) and came.numel() == 1:
        return float(came)
    return float(came) if isinstance(came, (int, float)) else math.nan


def _agree(came: list[float], predicted: list[float]) -> bool:
    pairs = list(zip(came, predicted, strict=True))
    both = [(a, b) for a, b in pairs if not math.isnan(a) and not math.isnan(b)]
    return (
        len(both) >= 2
        and all(math.isnan(a) == math.isnan(b) for a, b in pairs)
        and all(abs(a - b) <= 1e-3 * (1 + abs(b)) for a, b in both)
    )
