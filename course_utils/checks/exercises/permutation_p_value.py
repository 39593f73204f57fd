"""Laws of `permutation_p_value(kernel, num_x, num_permutations)`: could one distribution have given such an MMD²?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole
from ..engine.demand import number, plain64, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken
from ..shared.tables import causes

CHECK = Check("permutation_p_value(kernel, num_x, num_permutations)", "float in (0, 1]: the p-value of the test")
_HINT = "the three steps above the card of permutation_p_value"
_MANY = 800
_CLOSE = 0.11  # Hoeffding: of 800 permutations the share is further off in one run of 1e8


@CHECK.law("is a share of the permutations and the given order together: never 0, at most 1", weight=2)
def _shares(candidate: Candidate, draw: Draw) -> None:
    """Two clumps of 20: another order comes as high with probability 1e-10; otherwise never fails."""
    for count in (1, 4, 19):
        for apart in (0.0, 50.0):
            p = _value(candidate, _kernel(draw, 20, 20, apart), 20, count)
            times = p * (count + 1)
            if abs(times - round(times)) > 1e-4 or not 1 <= round(times) <= count + 1:
                raise Broken(f"one of 1/{count + 1}, ..., {count + 1}/{count + 1}", show(p))
            if apart and round(times) != 1:
                raise Broken(f"1/{count + 1} for two clumps that no other order tells apart as well", show(p))


@CHECK.law("is the share of orders with an MMD² at least as large, where all can be counted", weight=3)
def _counted(candidate: Candidate, draw: Draw) -> None:
    """Hoeffding's bound for 800 permutations, in six matrices: false alarm below 1e-7."""
    for n, m in ((3, 4), (4, 3), (2, 5), (3, 5), (5, 2), (5, 3)):
        kernel = _mixed(draw, n, m)
        want = _share(kernel, n, _unbiased)
        came = _value(candidate, kernel, n, _MANY)
        if abs(came - want) > _CLOSE:
            raise Broken(f"p-value of {n} and {m} codes, near {show(want)}", show(came))


@CHECK.law("uses the unbiased MMD², as the card says, also where the two sets differ in size", weight=2)
def _statistic(candidate: Candidate, draw: Draw) -> None:
    """Matrices where other statistics give shares that differ by 0.3; Hoeffding's bound: false alarm below 1e-7."""
    for _, other in _STATISTICS:
        kernel, n = _telling(draw, other)
        if kernel is None:
            continue
        want, came = _share(kernel, n, _unbiased), _value(candidate, kernel, n, _MANY)
        if abs(came - want) > _CLOSE:
            raise Broken(f"p-value of {n} and {len(kernel) - n} codes, near {show(want)}", show(came))


@CHECK.law("counts orders that come exactly as high: of codes that are all equal it is 1", weight=2)
def _ties(candidate: Candidate, draw: Draw) -> None:
    """Whole numbers, whose sums are exact; Hoeffding's bound for the second matrix: false alarm below 1e-8."""
    p = _value(candidate, torch.ones(4, 4), 2, 50)
    if abs(p - 1) > 1e-6:
        raise Broken("1 where all codes are equal, and so all orders", show(p))
    kernel = torch.tensor([[4.0, 0, 2, 2], [0, 4, 2, 2], [2, 2, 4, 0], [2, 2, 0, 4]])
    for order in ([0, 1, 2, 3], [0, 2, 1, 3]):
        given = kernel[order][:, order]
        want, came = _share(given, 2, _unbiased), _value(candidate, given, 2, _MANY)
        if abs(came - want) > _CLOSE:
            raise Broken(f"p-value of two and two codes, near {show(want)}", show(came))


@CHECK.law("keeps its level: for two samples of one distribution it is spread evenly", weight=3)
def _level(candidate: Candidate, draw: Draw) -> None:
    """300 p-values, uniform on 1/20 ... 20/20, have a mean near 0.525: Hoeffding's bound, false alarm below 1e-7."""
    values = [_value(candidate, _kernel(draw, 6, 9, 0.0), 6, 19) for _ in range(300)]
    mean = sum(values) / len(values)
    if abs(mean - 0.525) > 0.17:
        raise Broken("p-values with a mean of 0.525 where nothing differs", f"a mean of {show(mean)} over 300 tests")


@CHECK.law("leaves its argument and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    kernel = _kernel(draw, 5, 6, 0.0)
    kept = kernel.clone()
    candidate(kernel, 5, 10)
    untouched([kept], [kernel], ["kernel"])
    well_behaved(candidate)


def _value(candidate: Candidate, kernel: torch.Tensor, n: int, count: int) -> float:
    p = number(candidate(kernel.clone(), n, count), "the p-value", tensor_allowed=True)
    if not 0 <= p <= 1 + 1e-6:
        raise Broken("a p-value from 0 to 1", show(p), COUNT if p > 1 else None)
    return p


def _kernel(draw: Draw, n: int, m: int, apart: float) -> torch.Tensor:
    codes = draw.normal(n + m, 3, dtype=torch.float64)
    codes[:n, 0] += apart
    return _exact(torch.exp(-torch.cdist(codes, codes).square() / 4)).float()


def _mixed(draw: Draw, n: int, m: int) -> torch.Tensor:
    """A kernel matrix of codes of three clumps, so that orders differ."""
    codes = draw.normal(n + m, 2, dtype=torch.float64) + 2 * draw.signs(n + m, 2)
    return _exact(torch.exp(-torch.cdist(codes, codes).square() / 6))


def _exact(kernel: torch.Tensor) -> torch.Tensor:
    """Rounded, so that sums are exact whatever their order, and the same deal gives the same value again."""
    return (kernel * 4096).round() / 4096


Statistic = Callable[[torch.Tensor, list[int], list[int]], float]


def _within(k: torch.Tensor, a: list[int]) -> float:
    block = k[a][:, a]
    return float(block.sum() - block.diagonal().sum()) / (len(a) * (len(a) - 1))


def _unbiased(k: torch.Tensor, a: list[int], b: list[int]) -> float:
    return _within(k, a) + _within(k, b) - 2 * float(k[a][:, b].mean())


def _share(kernel: torch.Tensor, n: int, statistic: Statistic, at_least: bool = True) -> float:
    """Of all ways to choose which n codes are x, those with a statistic at least as large as the given one."""
    k, everything = plain64(kernel), range(len(kernel))
    values = [
        statistic(k, list(a), [i for i in everything if i not in a]) for a in combinations(everything, n)
    ]  # the first choice is the given order
    slack = 1e-9 if at_least else -1e-9
    return sum(value >= values[0] - slack for value in values) / len(values)


def _telling(draw: Draw, other: Statistic) -> tuple[torch.Tensor | None, int]:
    """A matrix for which the other statistic gives another share; None where 300 draws have none."""
    for _ in range(300):
        n = 2 + draw.integer(0, 1) * 2
        kernel = _mixed(draw, n, 6 - n if n == 4 else 5)
        if abs(_share(kernel, n, other) - _share(kernel, n, _unbiased)) > 0.3:
            return kernel, n
    return None, 0


COUNT = Cause("count_not_share", "You return how many permutations there are; divide by their number.", _HINT)
_STATISTICS: list[tuple[Cause, Statistic]] = causes(
    _HINT,
    (
        (
            "biased",
            "Self-pairs are among your kernel values: the unbiased MMD² leaves the diagonal out.",
            lambda k, a, b: float(k[a][:, a].mean() + k[b][:, b].mean() - 2 * k[a][:, b].mean()),
        ),
        (
            "cross_alone",
            "You compare only the kernel between the two sets; those within them belong to MMD².",
            lambda k, a, b: -float(k[a][:, b].mean()),
        ),
        ("within_x_alone", "You compare only the kernel within x.", lambda k, a, b: _within(k, a)),
        (
            "size_only",
            "MMD² may be negative; you compare its size without the sign.",
            lambda k, a, b: abs(_unbiased(k, a, b)),
        ),
        (
            "lower_tail",
            "You count the orders with a smaller MMD²; evidence is a large one.",
            lambda k, a, b: -_unbiased(k, a, b),
        ),
    ),
)
_NO_ONE = Cause(
    "zero_possible",
    "Count the given order as one of the orders: (1 + count) / (1 + permutations). Otherwise p can be 0, which no "
    "finite number of permutations can show.",
    _HINT,
)
_STRICT = Cause("ties_dropped", "An order that comes exactly as high counts too: at least, not more than.", _HINT)
_ROWS_ONLY = Cause(
    "rows_only", "You permute rows but not columns: one order must serve both axes of the kernel matrix.", _HINT
)
_FLIPPED = Cause("one_minus", "You return 1 minus the p-value.", _HINT)
_STILL = Cause("never_permuted", "Your p does not depend on any permutation.", _HINT)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """What the p-values of clear cases say; a name may be missing."""
    apart = _kernel(draw, 20, 20, 50.0)
    clear = [_plain(candidate(apart.clone(), 20, count)) for count in (9, 19)]
    if any(p is None for p in clear):
        return None
    if clear == [0.0, 0.0]:
        return _NO_ONE
    equal = _plain(candidate(torch.ones(4, 4), 2, 50))
    found: list[Cause | None] = []
    if equal is not None and abs(equal - 1 / 51) < 1e-4:
        found.append(_STRICT)
    if all(abs(p - count / (count + 1)) < 1e-4 for p, count in zip(clear, (9, 19), strict=True) if p is not None):
        found.append(_FLIPPED)
    if all(_plain(candidate(_kernel(draw, 6, 9, 0.0), 6, 19)) == 1.0 for _ in range(3)):
        found.append(_STILL)
    if not found:
        probes = [
            (kernel, n) for _, other in 2 * _STATISTICS for kernel, n in [_telling(draw, other)] if kernel is not None
        ]
        came = [_plain(candidate(kernel.clone(), n, 1000)) for kernel, n in probes]
        for cause, other in _STATISTICS:
            shares = [_share(kernel, n, other) for kernel, n in probes]
            if all(p is not None and abs(p - share) < 0.08 for p, share in zip(came, shares, strict=True)):
                found.append(cause)
    return sole(found)


def _plain(value: object) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = float(value)
    return float(value) if isinstance(value, (int, float)) else None
