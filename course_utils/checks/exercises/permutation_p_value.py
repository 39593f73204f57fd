"""Laws of `permutation_p_value(kernel, num_x, num_permutations)`: could one distribution have given such an MMD²?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@CHECK.law("is a share of the permutations and the given order together: never 0, at most 1", weight=2)
def _shares(candidate: Candidate, draw: Draw) -> None:
    """Two clumps of 20: another order comes as high with probability 1e-8; otherwise never fails."""
    cases = [(0.0, count) for count in (1, 4, 19)] + [(50.0, count) for count in (1, 4, 19, 250)]
    for which in draw.permutation(len(cases)).tolist():
        apart, count = cases[which]
        p = _value(candidate, _kernel(draw, 20, 20, apart), 20, count)
        times = p * (count + 1)
        if abs(times - round(times)) > 1e-3 or not 1 <= round(times) <= count + 1:
            raise Broken(f"one of 1/{count + 1}, ..., {count + 1}/{count + 1}", show(p))
        if apart and round(times) != 1:
            raise Broken(f"1/{count + 1} for two clumps that no other order tells apart as well", show(p))


@CHECK.law("is the share of orders with an MMD² at least as large, where all can be counted", weight=3)
def _counted(candidate: Candidate, draw: Draw) -> None:
    """Two clumps of four, mixed three to one: 34 of 70 orders come as high, 2 of them higher. Every statistic that is
    nearly MMD² ranks the orders alike; other ways to deal, to count ties or to look up a normal law are off by 0.2.
    Hoeffding's bound: false alarm below 1e-7."""
    _near(candidate, _of_clumps(draw, _THREE_TO_ONE), 4, 800)


@CHECK.law("uses the unbiased MMD², as the card says, also where the two sets differ in size", weight=2)
def _statistic(candidate: Candidate, draw: Draw) -> None:
    """Clumps, and places of five and two codes found by a search: for each of 14 other statistics (parts left out,
    other weights, self-pairs, no sign, a floor) one of them gives a share that differs by 0.3. Hoeffding's bound in
    three matrices: false alarm below 4e-7."""
    _near(candidate, _of_clumps(draw, _TELLING), 5, 400)
    for codes in _FIVE_AND_TWO:
        _near(candidate, _of_codes(torch.tensor(codes).double(), 6).float(), 5, 400)


@CHECK.law("counts orders that come exactly as high: of codes that are all equal it is 1", weight=2)
def _ties(candidate: Candidate, draw: Draw) -> None:
    """Whole numbers, whose sums are exact; Hoeffding's bound for the second matrix, three times: false alarm below
    3e-7."""
    p = _value(candidate, torch.ones(4, 4), 2, 50)
    if abs(p - 1) > 1e-6:
        raise Broken("1 where all codes are equal, and so all orders", show(p))
    kernel = torch.tensor([[4.0, 0, 2, 2], [0, 4, 2, 2], [2, 2, 4, 0], [2, 2, 0, 4]])
    orders = [[0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 2, 3], [0, 2, 1, 3]]
    for order in [orders[which] for which in draw.permutation(4).tolist()[:3]]:
        given = kernel[order][:, order]
        _near(candidate, given, 2, 150)


@CHECK.law("keeps its level: for two samples of one distribution it is spread evenly", weight=3)
def _level(candidate: Candidate, draw: Draw) -> None:
    """60 p-values, uniform on 1/10 ... 10/10, have a mean near 0.55: sub-Gaussian with the variance of a uniform
    number, false alarm below 1e-7."""
    values = [_value(candidate, _kernel(draw, 2, 14, 0.0), 2, 9) for _ in range(60)]
    mean = sum(values) / len(values)
    if abs(mean - 0.55) > 0.22:
        raise Broken(
            "p-values with a mean of 0.55 where nothing differs", f"a mean of {show(mean)} over {len(values)} tests"
        )


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
    return _of_codes(codes, 4).float()


def _near(candidate: Candidate, kernel: torch.Tensor, n: int, count: int) -> None:
    """Near the exact share, as Hoeffding's bound for as many permutations has it: further off in one run of 1e7."""
    want, came = _share(_unbiased(_sums(kernel, n))), _value(candidate, kernel, n, count)
    if abs(came - want) > math.sqrt(math.log(2e7) / (2 * count)):
        raise Broken(f"p-value of {n} and {len(kernel) - n} codes, near {show(want)}", show(came))


_TELLING = (0, 0, 0, 1, 2, 0, 0)
_FIVE_AND_TWO = (
    [[-3.0, -1.25], [0.25, 1.0], [1.75, -1.5], [-1.0, -2.25], [1.5, -4.5], [1.5, -2.0], [-0.25, -1.25]],
    [[-0.75, -0.5], [4.0, -3.25], [-1.5, 3.25], [-3.25, -3.25], [4.0, 2.0], [-1.25, 0.75], [-2.0, 3.0]],
)
_THREE_TO_ONE = (0, 0, 0, 1, 1, 1, 1, 0)
# Places of four and two codes, found by a search: on them six statistics give shares at least 0.13 apart.
_APART = (
    [[3.25, -3.75], [-1.25, 2.25], [3.0, 1.5], [-3.0, 1.75], [3.75, -3.25], [2.0, -3.25]],
    [[1.75, -1.5], [-1.75, 2.75], [-0.25, 1.5], [-2.0, 1.0], [3.0, -1.75], [0.0, 2.25]],
)


def _of_clumps(draw: Draw, labels: Sequence[int]) -> torch.Tensor:
    """A kernel matrix of codes in clumps, two of which are nearer to each other than to the first."""
    far, near = draw.integer(2, 6) / 64, draw.integer(26, 30) / 64
    between = torch.tensor([[1.0, far, far], [far, 1.0, near], [far, near, 1.0]])
    clump = torch.tensor(labels)
    return between[clump][:, clump]


def _of_codes(codes: torch.Tensor, width: float) -> torch.Tensor:
    """Rounded, so that sums are exact whatever their order, and the same deal gives the same value again."""
    return (torch.exp(-torch.cdist(codes, codes).square() / width) * 4096).round() / 4096


@dataclass(frozen=True)
class _Sums:
    """Mean kernel within x, within y and across, for every way to choose which n codes are x: the given one first.
    ``own_x`` and ``own_y`` have self-pairs among them."""

    x: torch.Tensor
    y: torch.Tensor
    across: torch.Tensor
    own_x: torch.Tensor
    own_y: torch.Tensor


def _sums(kernel: torch.Tensor, n: int) -> _Sums:
    k, size = plain64(kernel), len(kernel)
    chosen = torch.zeros(math.comb(size, n), size, dtype=torch.float64)
    for row, codes in zip(chosen, combinations(range(size), n), strict=True):
        row[list(codes)] = 1
    rest, m = 1 - chosen, size - n
    x, y, across = ((a @ k * b).sum(1) for a, b in ((chosen, chosen), (rest, rest), (chosen, rest)))
    self_x, self_y = chosen @ k.diagonal(), rest @ k.diagonal()
    within = (x - self_x) / (n * (n - 1)), (y - self_y) / (m * (m - 1))
    return _Sums(*within, across / (n * m), x / n**2, y / m**2)


Statistic = Callable[[_Sums], torch.Tensor]


def _unbiased(sums: _Sums) -> torch.Tensor:
    return sums.x + sums.y - 2 * sums.across


def _share(values: torch.Tensor) -> float:
    """How many are at least as large as the first."""
    return float((values >= values[0] - 1e-9).double().mean())


COUNT = Cause("count_not_share", "You return how many permutations there are; divide by their number.", _HINT)
_STATISTICS: list[tuple[Cause, Statistic]] = causes(
    _HINT,
    (
        (
            "biased",
            "Self-pairs are among your kernel values: the unbiased MMD² leaves the diagonal out.",
            lambda s: s.own_x + s.own_y - 2 * s.across,
        ),
        (
            "cross_alone",
            "You rank the orders by the kernel between the two sets alone: the means within them, each over the pairs "
            "of its own set, belong to MMD².",
            lambda s: -s.across,
        ),
        ("within_x_alone", "You compare only the kernel within x.", lambda s: s.x),
        (
            "size_only",
            "MMD² may be negative; you compare its size without the sign.",
            lambda s: _unbiased(s).abs(),
        ),
        (
            "lower_tail",
            "You count the orders with a smaller MMD²; evidence is a large one.",
            lambda s: -_unbiased(s),
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
_REPLACED = Cause(
    "with_replacement",
    "You draw codes with replacement, so that some are there twice and others not at all: an order has each code once "
    "(torch.randperm).",
    _HINT,
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
        # Four codes, each like itself alone: all orders come as high, of 24 orders of the rows 16, of 256 draws with
        # replacement 136; the share of 800 has a standard deviation below 0.018.
        p = _plain(candidate(8 * torch.eye(4), 2, 800))
        shares = ((_ROWS_ONLY, 16 / 24), (_REPLACED, 136 / 256))
        found += [cause for cause, share in shares if p is not None and abs(p - share) < 0.067]
    if not found:
        probes = [(_of_codes(torch.tensor(codes).double(), 6), 4) for codes in _APART]
        probes.append((_of_clumps(draw, _THREE_TO_ONE), 4))  # what deals otherwise is like none of them here
        came = [_plain(candidate(kernel.clone(), n, 300)) for kernel, n in probes]
        sums = [_sums(kernel, n) for kernel, n in probes]
        for cause, other in _STATISTICS:
            expected = [_share(other(each)) for each in sums]
            if all(p is not None and abs(p - share) < 0.09 for p, share in zip(came, expected, strict=True)):
                found.append(cause)
    return sole(found)


def _plain(value: object) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = float(value)
    return float(value) if isinstance(value, (int, float)) else None
