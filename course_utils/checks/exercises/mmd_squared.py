"""Laws of `mmd_squared(x, y, bandwidths)`: the unbiased estimate of MMD^2 under a sum of Gaussian kernels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from ..engine.candidate import Candidate
from ..engine.demand import gradients, plain64, same_number, same_tensor, scalar, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import gaussian_kernels, mmd, mmd_parts, mmd_size, squared_distances
from ..engine.verdict import Broken, CallFailed, blame, counted
from ..shared.mmd_causes import (
    ABSOLUTE,
    BIASED,
    CLAMPED,
    PART_DETACHED,
    ROOT_OF_ZERO,
    UNEQUAL,
    is_right,
    name_the_misconception,
)

CHECK = Check("mmd_squared(x, y, bandwidths)", "scalar, the unbiased estimate under a sum of Gaussian kernels")
_CLOSE = 2e-3  # of the terms that are added up: float32 errs by far less, misconceptions by far more


@CHECK.law("returns one number, for samples of any size")
def _scalar(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs; a function that is the same everywhere does not pass."""
    sizes = ((2, 2, 1), (2, 5, 3), (6, 3, 2), (16, 16, 10))
    came = [candidate(*_two_samples(draw, *size), [1.0, 2.0]) for size in sizes]
    values = [float(scalar(value, "MMD^2", exactly=True).detach()) for value in came]
    if max(values) - min(values) < 1e-9:
        raise Broken("a value that depends on the samples", f"always {show(values[0])}")


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random. Two codes on each side, so that each mean within a sample is one kernel value."""
    for x, y, s in (((0.0, 1.0), (3.0, 5.0), 1.0), ((0.0, 2.0), (0.0, 2.0), 2.0), ((-1.0, 1.0), (4.0, 4.0), 0.5)):
        _same(
            candidate,
            torch.tensor(x)[:, None],
            torch.tensor(y)[:, None],
            [s],
            f"MMD^2 of x = {x[0]:g} and {x[1]:g}, y = {y[0]:g} and {y[1]:g} at bandwidth {s:g}",
        )
    origin, corner = torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [3.0, 4.0]])  # all distances are 0 or 5
    _same(candidate, origin, corner, [5.0], "MMD^2 of two codes at (0, 0) and two at (3, 4), at bandwidth 5")


@CHECK.law("equals three means of kernel values, for random codes", weight=2)
def _random(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, dim in ((2, 3), (5, 1), (8, 6), (14, 20)):
        x, y = _two_samples(draw, n, n, dim)
        scale = dim**0.5
        several = [0.4, 2.2, 1.0] if n < 14 else [0.25, 2.0, 0.5, 4.0, 1.0]
        for widths in ([draw.number(0.7, 1.4) * scale], [factor * scale for factor in several]):
            _same(candidate, x, y, widths, f"MMD^2 of {n} and {counted(n, 'code')} of {counted(dim, 'dimension')}")
    x = _far_codes(draw, 8, 3)
    _same(candidate, x, x, [1.1], "MMD^2 of 8 codes and the same codes (below 0)")
    _same(candidate, x[:1].expand(5, 3), x[1:2].expand(5, 3), [1.1], "MMD^2 of two clusters")
    n, part = 140, 46  # as in a training; a sample's last third is unlike its first
    x = torch.cat([draw.normal(n - part, 24, scale=0.3), draw.normal(part, 24) + 1.5])
    y = torch.cat([draw.normal(part, 24, scale=0.8) + 0.3, draw.normal(n - part, 24, scale=1.3) - 0.5])
    widths = [draw.number(0.8, 1.2) * 24**0.5 * factor for factor in (0.25, 1.0)]
    _same(candidate, x, y, widths, f"MMD^2 of {n} and {n} codes of 24 dimensions, with two bandwidths")


@CHECK.law("allows samples of different sizes", weight=2)
def _sizes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    right_when_equal = True
    pairs = [_two_samples(draw, n, m, dim) for n, m, dim in ((4, 4, 3), (2, 7, 3), (9, 3, 2), (24, 15, 5))]
    far = _far_codes(draw, 7, 3)
    for x, y in (*pairs, (far, far[:4])):
        n, m = len(x), len(y)
        try:
            _same(candidate, x, y, [1.3, 2.1], f"MMD^2 of {n} and {m} codes")
        except (Broken, CallFailed) as error:
            if n == m:
                right_when_equal = False
            elif right_when_equal and isinstance(error, CallFailed) and error.kind == "raised":
                raise Broken(f"a result for {n} and {m} codes", error.message, UNEQUAL) from None
            if n != m:
                raise


@CHECK.law("is unbiased: right on average over all samples that could be drawn", weight=2)
def _unbiased(candidate: Candidate, draw: Draw) -> None:
    """Every sample of 2 and of 3 from two populations of two codes, each once: not random but for the codes, and exact.

    Where both populations are one, the average must be 0.
    """
    widths = [1.0]
    for shift in (0.0, draw.number(0.6, 0.8), draw.number(2.2, 2.6)):
        p = torch.tensor([[0.0, 0.0], [draw.number(1.0, 1.6), 0.5]])
        q = p + shift
        values = [
            float(_value(candidate, p[list(i)], q[list(j)], widths).detach())
            for i in itertools.product((0, 1), repeat=2)
            for j in itertools.product((0, 1), repeat=3)
        ]
        truth = float(_population_mmd(plain64(p), plain64(q), widths))
        biased = truth + sum(
            (1 - float(gaussian_kernels(squared_distances(plain64(z), plain64(z)), widths).mean())) / count
            for z, count in ((p, 2), (q, 3))
        )
        mean = sum(values) / len(values)
        if max(values) - min(values) < 1e-6:
            raise Broken("a value that depends on the samples", f"always {show(mean)}")
        same = " (both are one: no distance)" if not shift else ""
        likely = abs(mean - biased) < 1e-3 * abs(biased - truth) and not shift
        what = f"average of MMD^2 over all samples of two small populations{same}"
        with blame(replace(BIASED, tentative=True) if likely else None):
            same_number(mean, truth, what, scale=2.0, rounding=_CLOSE)


def _population_mmd(p: torch.Tensor, q: torch.Tensor, widths: Sequence[float]) -> torch.Tensor:
    """MMD^2 of the uniform distributions over the rows of p and of q: there (i, i) is a possible pair."""
    of_p, of_q, across = (gaussian_kernels(squared_distances(a, b), widths).mean() for a, b in ((p, p), (q, q), (p, q)))
    return of_p + of_q - 2 * across


@CHECK.law("comes out negative where the estimate is")
def _negative(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. Of a sample and itself the estimate is
    (2 / n) (mean kernel of its pairs - 1), never above 0."""
    for x in (draw.normal(3, 2), draw.normal(6, 4), _far_codes(draw, 4, 2)):
        want = float(mmd(plain64(x), plain64(x), [1.0]))
        got = float(_value(candidate, x, x, [1.0]).detach())
        clamped, absolute = abs(got) < 1e-3 * abs(want), abs(got + want) < 1e-2 * abs(want)
        cause = CLAMPED if clamped else ABSOLUTE if absolute else None
        with blame(partial(_where_right_far_apart, candidate, draw, cause)):
            _same(candidate, x, x, [1.0], f"MMD^2 of a sample of {len(x)} and itself")


def _right_far_apart(candidate: Candidate, draw: Draw) -> bool:
    """Is the value right where the estimate is far from 0? Asked three times: a wrong one may be right by chance."""
    for n, m in ((6, 8), (9, 5), (12, 11)):
        x, y = _two_samples(draw, n, m, 3)
        y = y + 4
        if not is_right(candidate(x.clone(), y.clone(), [1.0, 2.0]), x, y, [1.0, 2.0]):
            return False
    return True


def _where_right_far_apart(candidate: Candidate, draw: Draw, cause: Cause | None) -> Cause | None:
    return replace(cause, tentative=True) if cause and _right_far_apart(candidate, draw) else None


@CHECK.law("adds one kernel for each bandwidth, in any order", weight=2)
def _bandwidths(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function at single bandwidths: a correct function never fails."""
    near = _two_samples(draw, 5, 7, 3)
    far = _far_codes(draw, 8, 3)  # the estimate is below 0 at small bandwidths, above 0 at large ones
    cases: list[tuple[torch.Tensor, torch.Tensor, list[float]]] = [
        (*near, [draw.number(0.5, 0.8), draw.number(1.4, 1.9), draw.number(3.0, 4.0), draw.number(7.0, 9.0)]),
        (far[:5], torch.cat([far[:3], far[5:] + 60]), [0.7, draw.number(30.0, 40.0), 1.6, draw.number(60.0, 70.0)]),
        (near[0] / 9, near[1] / 9 + 40, [0.7, draw.number(30.0, 40.0), 1.6, draw.number(60.0, 70.0)]),  # two clusters
    ]
    for x, y, widths in cases:
        singles = [float(_value(candidate, x, y, [s]).detach()) for s in widths]
        if max(map(abs, singles)) < 1e-6:  # one of them may come out near 0 by chance, all four cannot
            raise Broken("MMD^2 that differs from 0", show(max(singles, key=abs)))
        size = max(mmd_size(plain64(x), plain64(y), widths), sum(map(abs, singles)))
        for chosen in ((0, 1, 2, 3), (2, 0, 3, 1), (1, 3), (1, 1)):
            what = f"MMD^2 with {len(chosen)} bandwidths (sum of {len(chosen)} with one each)"
            together = _value(candidate, x, y, [widths[i] for i in chosen])
            same_number(together, sum(singles[i] for i in chosen), what, scale=size, rounding=_CLOSE)
        as_tuple = _value(candidate, x, y, tuple(widths))
        same_number(as_tuple, sum(singles), "MMD^2 with the bandwidths as a tuple", scale=size, rounding=_CLOSE)


@CHECK.law("depends neither on the order of the codes nor on which sample comes first")
def _order(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    far = _far_codes(draw, 6, 3)
    for x, y in (_two_samples(draw, 6, 6, 3), _two_samples(draw, 4, 7, 3), (far, far)):
        like = _like(candidate, (x, y, [1.0, 2.0]))
        for _ in range(3):
            shuffled = (x[draw.permutation(len(x))], y[draw.permutation(len(y))], [1.0, 2.0])
            like(shuffled, "MMD^2 of the same codes in another order")
        like((y, x, [1.0, 2.0]), "MMD^2 with x and y exchanged")


@CHECK.law("measures distances: the same after a common shift or turn, and in other units", weight=2)
def _geometry(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    far = _far_codes(draw, 5, 4)
    for x, y in (_two_samples(draw, 6, 5, 4), (far, far)):
        like = _like(candidate, (x, y, [0.9, 1.8]))
        shift = draw.normal(4, scale=2.0)
        like((x + shift, y + shift, [0.9, 1.8]), "MMD^2 after both samples are shifted")
        for _ in range(6):
            turn = torch.linalg.qr(draw.normal(4, 4, dtype=torch.float64)).Q.float()
            like((x @ turn, y @ turn, [0.9, 1.8]), "MMD^2 after both samples are turned")
        for unit in (0.2, 7.0, 30.0):
            scaled = (x * unit, y * unit, [0.9 * unit, 1.8 * unit])
            like(scaled, f"MMD^2 with codes and bandwidths both {unit:g} times as large")


@CHECK.law("is not changed by a dimension in which all codes agree")
def _idle_dimension(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    far = _far_codes(draw, 5, 2)
    for x, y in (*(_two_samples(draw, 5, 6, 2) for _ in range(4)), (far, far)):
        idle = draw.number(1.0, 2.0) * draw.signs(1, 3)
        wide = (torch.cat([z, idle.expand(len(z), 3)], 1) for z in (x, y))
        _like(candidate, (x, y, [0.8, 1.5]))((*wide, [0.8, 1.5]), "MMD^2 with three idle dimensions added")


@CHECK.law("sees far codes and near ones: no clamp, no floor")
def _extremes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    x, y = _two_samples(draw, 4, 5, 3)
    _same(candidate, x, y + 40, [1.0, 3.0], "MMD^2 of two samples far apart")
    _same(candidate, x / 100, y / 100, [0.01, 0.02], "MMD^2 of two tight clusters, at bandwidths that fit them")
    _same(candidate, 50 * x, 50 * y, [60.0], "MMD^2 of two wide clouds, at a bandwidth that fits them")
    _same(candidate, x + 40, torch.cat([x, x + 40]), [1.0, 3.0], "MMD^2 of a cluster and two, far apart")
    spread = 40 * torch.arange(12, dtype=torch.float32)[:, None]
    far = _far_codes(draw, 12, 3)
    _same(candidate, far, far[:5], [1.0], "MMD^2 of codes far from one another and five of the same codes")
    _same(candidate, spread, spread[:5] + 20, [1.0], "MMD^2 of codes that are all far from one another")


@CHECK.law("has the right gradient in x and in y", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    samples = [_two_samples(draw, n, m, dim) for n, m, dim in ((5, 5, 3), (4, 7, 2), (6, 3, 4), (5, 5, 2), (40, 6, 2))]
    spread = (1.0, 0.3, 1.5, 0.0, 1.0)  # 0: all at one place; the start from collapsed codes must have a gradient too
    samples = [(x * factor, y) for (x, y), factor in zip(samples, spread, strict=True)]
    few, shift = draw.normal(4, 2), torch.tensor([3.2, 0.0])
    for x, y, widths in (
        *((x, y, [draw.number(0.6, 1.0), draw.number(1.5, 2.5)]) for x, y in samples),
        (few, few.flip(0), [1.0, 2.0]),  # the estimate is below 0
        (0.05 * few, 0.05 * few + shift, [1.0]),  # small kernel values have a gradient as well
    ):
        a, b = plain64(x).requires_grad_(), plain64(y).requires_grad_()
        wants = torch.autograd.grad(mmd(a, b, widths), (a, b))
        leaves = x.clone().requires_grad_(), y.clone().requires_grad_()
        value = scalar(candidate(*leaves, list(widths)), "MMD^2")
        right = is_right(value, x, y, widths)
        try:
            found = gradients(candidate, value, leaves, ("x", "y"))
            for got, want, name in zip(found, wants, "xy", strict=True):
                same_tensor(got, want, f"dMMD^2/d{name}", scale=1 / len(got), rounding=_CLOSE, floor=1e-6)
        except Broken as broken:
            lost = "not finite" in broken.got
            again = (scalar(candidate(*leaves, list(widths)), "MMD^2") for _ in range(3))  # not right by chance
            detached = not lost and right and all(is_right(each, x, y, widths) for each in again)
            detached = detached and _right_far_apart(candidate, draw)
            broken.cause = broken.cause or (ROOT_OF_ZERO if lost else PART_DETACHED if detached else None)
            raise


@CHECK.law("refuses samples of fewer than two codes with a ValueError", manners=True)
def _too_small(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs. A sample of one has no pairs, and so no mean over them."""
    for n, m in ((1, 5), (5, 1), (1, 1)):
        x, y = draw.normal(n, 3), draw.normal(m, 3)
        try:
            value = candidate(x, y, [1.0, 2.0])
        except CallFailed as failed:
            if failed.kind != "raised":
                raise
            if failed.message.startswith("ValueError"):
                continue
            raise Broken(f"a ValueError for {n} and {m} codes", failed.message, _OTHER_EXCEPTION) from None
        number = isinstance(value, torch.Tensor) and value.dim() == 0
        got = f"a result, {show(value.detach())}" if number else "no error"
        raise Broken(f"a ValueError for {n} and {m} codes", got, _NO_REFUSAL)


@CHECK.law("works in double precision and on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    far = _far_codes(draw, 4, 3, torch.float64)
    for x, y in (*(_two_samples(draw, 6, 4, 3, torch.float64) for _ in range(6)), (far, far)):
        first, second = (float(_value(candidate, x, y, [1.0, 3.0]).detach()) for _ in range(2))
        same_number(second, first, "MMD^2 of the same codes again", rounding=1e-5, floor=1e-7)
        want, size = float(mmd(x, y, [1.0, 3.0])), mmd_size(x, y, [1.0, 3.0])
        same_number(first, want, "MMD^2 in float64", scale=size, rounding=_CLOSE)
    for device in candidate.devices():
        _same(candidate, x.float().to(device), y.float().to(device), [1.0, 3.0], f"MMD^2 on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    x, y = draw.normal(20, 4, scale=3.0), draw.normal(12, 4, scale=2.0) + 1
    kept = x.clone(), y.clone()
    scalar(candidate(x, y, [1.0, 4.0]), "MMD^2")
    untouched(kept, (x, y), ("x", "y"))
    well_behaved(candidate)


def _value(candidate: Candidate, x: torch.Tensor, y: torch.Tensor, widths: Sequence[float]) -> torch.Tensor:
    return scalar(candidate(x.clone(), y.clone(), widths), "MMD^2")


def _same(candidate: Candidate, x: torch.Tensor, y: torch.Tensor, widths: Sequence[float], what: str) -> None:
    of_x, of_y, across = mmd_parts(plain64(x), plain64(y), widths)
    want, size = float(of_x + of_y - 2 * across), float(of_x + of_y + 2 * across)
    same_number(_value(candidate, x, y, widths), want, what, scale=size, rounding=_CLOSE)


def _like(candidate: Candidate, given: tuple) -> Callable[[tuple, str], None]:
    """Asks whether other arguments give what these do; where the function is 0, there is nothing to agree on."""
    first = float(_value(candidate, *given).detach())
    size = max(abs(first), mmd_size(plain64(given[0]), plain64(given[1]), given[2]))

    def like(other: tuple, what: str) -> None:
        if abs(first) < 1e-6:
            raise Broken(f"an estimate other than 0 ({what})", show(first))
        second = float(_value(candidate, *other).detach())
        same_number(second, first, what, scale=size, rounding=_CLOSE)

    return like


def _two_samples(
    draw: Draw, n: int, m: int, dim: int, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of two distributions that differ in mean and in spread."""
    x, y = draw.normal(n, dim, dtype=dtype), draw.normal(m, dim, scale=0.6, dtype=dtype)
    y[:, 0] += 1.5
    return x, y


def _far_codes(draw: Draw, n: int, dim: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Codes at least 6 apart, around 0. The estimate between them and some of the same codes is surely below 0."""
    z = draw.uniform(n, dim, dtype=dtype)
    z[:, 0] += 7.0 * (torch.arange(n) - n / 2)
    return z


_OTHER_EXCEPTION = Cause(
    "other_exception",
    "A sample of fewer than two codes ends in another exception than ValueError, which is what a caller would catch: "
    "raise ValueError (an assert raises AssertionError).",
    "the docstring of mmd_squared, 'Raises'",
)
_NO_REFUSAL = Cause(
    "no_refusal",
    "You do not refuse a sample of fewer than two codes: dividing by n (n - 1) = 0 gives nan, which a training "
    "carries into every weight. Raise ValueError first.",
    "the docstring of mmd_squared, 'Raises'",
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    return name_the_misconception(candidate, draw) or _left_out(candidate, draw)


def _left_out(candidate: Candidate, draw: Draw) -> Cause | None:
    """Of many codes or bandwidths, the same number when some are changed; or another at the second call."""
    x, y, widths = draw.normal(150, 3), draw.normal(150, 3) + 1, [0.7, 1.1, 1.6, 2.3, 3.1, 4.2]

    def value(x: torch.Tensor, y: torch.Tensor, widths: Sequence[float]) -> float:
        return float(_value(candidate, x, y, widths).detach())

    first = value(x, y, widths)
    if abs(value(x, y, widths) - first) > 1e-4 * abs(first):
        return RANDOM
    if value(x, y, [*widths[:-1], 9.0]) == first != value(x, y, [9.0, *widths[1:]]):
        return FEW_BANDWIDTHS
    moved, other = x.clone(), x.clone()
    moved[110:] += 2
    other[:40] += 2
    return FEW_CODES if value(moved, y, widths) == first != value(other, y, widths) else None


_CARD = "the card of mmd_squared: all codes, all bandwidths"
RANDOM = Cause("random", "The same codes give another number the second time: nothing is drawn here.", _CARD)
FEW_BANDWIDTHS = Cause("few_bandwidths", "Only the first bandwidths count: when the last changes, nothing does.", _CARD)
FEW_CODES = Cause("few_codes", "Only the first codes count: when the others move, your number stays.", _CARD)
