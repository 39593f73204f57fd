"""Laws of `combine_scores(seen, new)`: any score that finds what is odd in either direction will do."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.demand import plain64, tensor, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check("combine_scores(seen, new)", "(M,) numbers, the larger the odder; each new picture judged for itself")
_HINT = "the maths hint under the card of combine_scores: distances from what is usual among `seen`, either side"
_SEEN, _ODD = 300, 300
Change = Callable[[torch.Tensor], torch.Tensor]


@CHECK.law("returns one finite number for each new picture")
def _numbers(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for n, m, columns in ((50, 3, 2), (200, 40, 5), (30, 1, 1)):
        _scores(candidate, _usual(draw, n, columns), _usual(draw, m, columns) * 3)
    _scores(candidate, _usual(draw, 100, 3), 1000 * _usual(draw, 20, 3))


@CHECK.law("finds what is much too high in one number, whichever it is", weight=2)
def _high(candidate: Candidate, draw: Draw) -> None:
    """A sound score tells 0.99 of the pairs apart; below 0.8 in 300 and 300 with a probability below 1e-9
    (Hoeffding's bound for two samples)."""
    for columns in (4, 2):
        for column in range(columns):
            _finds(candidate, draw, columns, _moved(column, 6.0), f"number {column + 1} of {columns} much too high")


@CHECK.law("finds what is much too low in one number: too good to be true is odd as well", weight=3)
def _low(candidate: Candidate, draw: Draw) -> None:
    """As above: false alarm below 1e-9."""
    for columns in (4, 2):
        for column in range(columns):
            what = f"number {column + 1} of {columns} much too low"
            _finds(candidate, draw, columns, _moved(column, -6.0), what)


@CHECK.law("finds what is off in several numbers, one too high and another too low", weight=2)
def _several(candidate: Candidate, draw: Draw) -> None:
    """As above: false alarm below 1e-9."""
    for signs in ((1.0, -1.0, 1.0, -1.0), (-1.0, -1.0, 1.0, 1.0)):
        shift = 4.5 * torch.tensor(signs, dtype=torch.float64)
        _finds(candidate, draw, 4, functools.partial(torch.add, shift), "some numbers too high and some too low")


@CHECK.law("works in any unit and with any offset, each number having its own", weight=3)
def _units(candidate: Candidate, draw: Draw) -> None:
    """As above: false alarm below 1e-9."""
    scale = torch.tensor([1e-3, 1.0, 50.0, 1e3], dtype=torch.float64)
    offset = torch.tensor([5.0, -300.0, 70.0, -4e4], dtype=torch.float64)
    for column in range(4):
        for shift in (6.0, -6.0):
            what = f"number {column + 1} of 4 odd, in units of 0.001, 1, 50 and 1000"
            _finds(candidate, draw, 4, _moved(column, shift), what, lambda x: x * scale + offset)


@CHECK.law("goes on growing: what is twice as far out is odder", weight=2)
def _grows(candidate: Candidate, draw: Draw) -> None:
    """A sound score tells 0.99 of the pairs apart: false alarm below 1e-9, as above."""
    for column, far in ((0, 10.0), (2, -10.0)):
        seen = _usual(draw, _SEEN, 3)
        near, odd = _moved(column, far)(_usual(draw, _ODD, 3)), _moved(column, 2 * far)(_usual(draw, _ODD, 3))
        share = _share(*_of_both(candidate, seen, near, odd))
        if not share > 0.8:
            raise Broken("pictures 20 spreads out above those 10 out, in 0.8 of the pairs", show(share))


@CHECK.law("judges each picture by `seen` alone, whatever others come with it", weight=2)
def _alone(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    seen, new = _usual(draw, 200, 3), 3 * _usual(draw, 12, 3)
    new[-1] *= 20  # one that is far out moves what is learned from the others
    together = plain64(_scores(candidate, seen, new))
    for part in (slice(0, 2), slice(4, 9)):
        alone = plain64(_scores(candidate, seen, new[part]))
        apart, size = float((alone - together[part]).abs().max()), float(together[part].abs().max())
        if not apart <= 0.01 * size + 1e-9:
            raise Broken("the same score with and without the others", f"{show(apart)} apart", BY_OTHERS)


@CHECK.law("takes single and double precision, and your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    for dtype in (torch.float32, torch.float64):
        _scores(candidate, _usual(draw, 60, 3).to(dtype), _usual(draw, 9, 3).to(dtype))
    for device in candidate.devices():
        _scores(candidate, _usual(draw, 60, 3).float().to(device), _usual(draw, 9, 3).float().to(device))


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = _usual(draw, 60, 3).float(), _usual(draw, 8, 3).float()
    kept = tuple(value.clone() for value in given)
    candidate(*given)
    untouched(kept, given, ("seen", "new"))
    well_behaved(candidate)


ONE_SIDED = Cause(
    "one_sided",
    "Your score looks to one side only: a picture far off on the other side, such as a black one whose distortion is "
    "too good to be true, passes for normal.",
    _HINT,
)
UPSIDE_DOWN = Cause("upside_down", "It is upside down: the odder, the larger.", "the last line of your function")
IGNORES = Cause(
    "ignores_numbers",
    "Your score does not look at all of the numbers: what is odd in another one passes for normal.",
    _HINT,
)
CANCELS = Cause(
    "cancels",
    "What is too high in one number and too low in another cancels: take sizes before you add up.",
    _HINT,
)
UNITS = Cause(
    "units",
    "Your score depends on the units or offsets of the numbers: take off the mean of `seen` and divide by its spread, "
    "each number for itself.",
    _HINT,
)
SATURATES = Cause(
    "saturates",
    "All that lies far enough outside of what was seen gets one and the same score: a rank, a verdict or a density "
    "cannot tell odd from odder.",
    _HINT,
)
BY_OTHERS = Cause(
    "judged_by_the_others",
    "The score of a picture changes with the others in `new`: learn means and spreads from `seen`.",
    _HINT,
)


def _same(x: torch.Tensor) -> torch.Tensor:
    return x


def _usual(draw: Draw, n: int, columns: int) -> torch.Tensor:
    """Standard normal numbers, neighbours correlated by a half, as distortion and rate are."""
    raw, shared = draw.normal(n, columns, dtype=torch.float64), draw.normal(n, 1, dtype=torch.float64)
    return (raw + 0.6 * shared) / 1.36**0.5


def _moved(column: int, shift: float) -> Change:
    def move(x: torch.Tensor) -> torch.Tensor:
        return x + shift * (torch.arange(x.shape[1]) == column)

    return move


def _scores(candidate: Candidate, seen: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    return tensor(candidate(seen.clone(), new.clone()), (len(new),), f"scores of {len(new)} pictures")


def _share(usual: torch.Tensor, odd: torch.Tensor) -> float:
    """Share of pairs in which the odd one scores higher, equal scores half."""
    ordered, values = plain64(usual).sort().values, plain64(odd)
    below, up_to = (torch.searchsorted(ordered, values, right=right).double().mean() for right in (False, True))
    return float(below + up_to) / 2 / len(ordered)


def _found(candidate: Candidate, draw: Draw, columns: int, change: Change, unit: Change = _same) -> float:
    seen, usual = _usual(draw, _SEEN, columns), _usual(draw, _ODD, columns)
    odd = change(_usual(draw, _ODD, columns))
    return _share(*_of_both(candidate, unit(seen), unit(usual), unit(odd)))


def _of_both(candidate: Candidate, seen: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> list[torch.Tensor]:
    """The scores of two kinds of pictures, which come mixed: their places tell nothing."""
    order = Draw().permutation(len(first) + len(second))
    came = _scores(candidate, seen.float(), torch.cat([first, second])[order].float())
    return list(came[order.argsort()].split([len(first), len(second)]))


def _finds(
    candidate: Candidate,
    draw: Draw,
    columns: int,
    change: Change,
    what: str,
    unit: Change = _same,
) -> None:
    share = _found(candidate, draw, columns, change, unit)
    if not share > 0.8:
        raise Broken(f"{what}: above the usual in 0.8 of the pairs", show(share))


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Which sides of which of three numbers are found, what becomes of them together, in other units, and far out."""

    def sides(unit: Change = _same) -> list[list[float]]:
        moves = ([_moved(column, shift) for column in range(3)] for shift in (6.0, -6.0))
        return [[_found(candidate, draw, 3, move, unit) for move in moved] for moved in moves]

    high, low = sides()
    together = [_found(candidate, draw, 3, functools.partial(torch.add, torch.tensor(sign))) for sign in (8.0, -8.0)]
    if max(together) < 0.12 and max(high + low) < 0.5:
        return UPSIDE_DOWN
    in_size = [max(pair) for pair in zip(high, low, strict=True)]
    if max(in_size) > 0.9 and min(in_size) < 0.7:
        return IGNORES
    if min(max(high, low)) > 0.65 and max(min(high, low)) < 0.5:
        return ONE_SIDED
    mixed = 4.5 * torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
    if min(high + low) > 0.75:
        if _found(candidate, draw, 3, lambda x: x + mixed) < 0.7:
            return CANCELS
        scale = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)
        offset = torch.tensor([5.0, -300.0, -4e4], dtype=torch.float64)
        if min(min(row) for row in sides(lambda x: x * scale + offset)) < 0.8:
            return UNITS
    if min(high + low) < 0.75:
        return None
    seen, usual = _usual(draw, _SEEN, 3), _usual(draw, _ODD, 3)
    far = torch.cat([_moved(0, 10.0)(usual), _moved(0, 20.0)(usual)])
    came = _scores(candidate, seen.float(), far.float())
    return SATURATES if _share(came[:_ODD], came[_ODD:]) < 0.8 else None
