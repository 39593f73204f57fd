"""Laws of `gradient_penalty(critic, z_prior, z_posterior)`: two-sided, at a random point of each pair's segment.

Three critics make the penalty an exact number in spite of its randomness: a linear one, whose gradient is the same
everywhere; any critic on pairs whose two ends coincide, so that the segment is a point; and one whose own gradient
tells where each pair was measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from ..engine.candidate import Candidate
from ..engine.causes import Formula, agrees, sole
from ..engine.demand import finite, gradients, plain64, real, same_number, same_tensor, scalar, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.randomness import T, cosine_bound, count_bounds, distance_bound, kolmogorov_distance
from ..engine.score import Cause
from ..engine.verdict import Broken, CallFailed, blame, counted
from ..shared.critics import (
    Belongings,
    IndexedQuadratic,
    critic_with_slopes,
    deep_critic,
    gradient_lengths,
    linear_critic,
)
from ..shared.tables import causes, holds

CHECK = Check("gradient_penalty(critic, z_prior, z_posterior)", "scalar, two-sided, at random points between the pairs")
_CARD = "the card of gradient_penalty: mean over the pairs of (|gradient| - 1)^2, each at a random point of its segment"
_CALLS = 15
_EXACT = 0.02  # places are read off with less error than this; shares of the way
_SAME = 4e-4  # shares nearer than this are taken for the same; torch.rand has steps of 5e-4 in float16


@CHECK.law("is (|w| - 1)^2 for a critic that is linear with slope w: above 1 and below", weight=3)
def _linear(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, dim, length in ((6, 3, 2.5), (9, 4, 0.3), (1, 2, 3.0), (5, 7, 1.6), (12, 2, 0.5)):
        direction = draw.normal(dim)
        critic = linear_critic(length * direction / direction.norm(), bias=2.0)
        came = _penalty(candidate, critic, draw.normal(n, dim), draw.normal(n, dim) + 3)
        same_number(
            came,
            (length - 1) ** 2,
            f"penalty of a linear critic of slope {length:g} on {counted(n, 'pair')} in {counted(dim, 'dimension')}",
            scale=length**2 + 1,
        )
    unit = linear_critic(torch.tensor([0.6, -0.8]))
    same_number(
        _penalty(candidate, unit, draw.normal(8, 2), draw.normal(8, 2)),
        0.0,
        "penalty of a linear critic of slope 1",
        floor=1e-4,
    )


@CHECK.law("averages (length of the gradient - 1)^2 over the pairs", weight=3)
def _average(candidate: Candidate, draw: Draw) -> None:
    """Random inputs on segments that are points, exact comparison: a correct function never fails."""
    for n, dim, length in ((7, 3, 1.0), (1, 4, 2.5), (20, 5, 0.7), (3, 1, 1.5), (30, 3, 1.0)):
        codes = draw.normal(n, dim)
        critic = critic_with_slopes(draw, codes, length)
        lengths = plain64(gradient_lengths(critic, codes))
        came = _penalty(candidate, critic, codes.clone(), codes.clone())
        same_number(
            came,
            float((lengths - 1).square().mean()),
            f"penalty of {n} pairs whose two ends coincide",
            scale=float((lengths.square() + 1).mean()),
            rounding=0.004,
        )


@CHECK.law(
    "has the right gradient in every weight of the critic (it needs a second derivative)", weight=3, essential=True
)
def _second_derivative(candidate: Candidate, draw: Draw) -> None:
    """Random inputs on segments that are points, exact comparison: a correct function never fails."""
    for n, dim in ((8, 3), (1, 2), (5, 6)):
        codes = draw.normal(n, dim)
        critic = critic_with_slopes(draw, codes, 1.5)
        parameters, names = list(critic.parameters()), [name for name, _ in critic.named_parameters()]
        trusted = (gradient_lengths(critic, codes, create_graph=True) - 1).square()
        each = [torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True) for term in trusted]
        came = _penalty(candidate, critic, codes.clone(), codes.clone())
        flat = [
            name for name, p, g in zip(names, parameters, each[0], strict=True) if g is None
        ]  # the last bias moves no gradient
        try:
            found = gradients(candidate, came, parameters, names, may_be_missing=flat)
        except Broken as broken:
            raise Broken(f"a {broken.expected.removeprefix('a ')} of the critic", broken.got, NO_GRAPH) from None
        if all(float(grad.abs().max()) == 0 for grad in found):
            cut_off = float(came) == 0  # a penalty that is cut off at 0 has no gradient there
            missing = "a gradient with respect to the critic's weights"
            raise Broken(missing, "no gradient at all", None if cut_off else NO_GRAPH)
        right = agrees(came, plain64(trusted).mean(), 1e-4)
        for index, (got, name) in enumerate(zip(found, names, strict=True)):
            terms = torch.stack([plain64(torch.zeros_like(got) if g[index] is None else g[index]) for g in each])
            what, size = f"gradient with respect to the critic's {name}", float(terms.abs().mean(0).max())
            with blame(LENGTHS_DETACHED if right else None):
                same_tensor(got, terms.mean(0), what, scale=size, rounding=0.05, floor=1e-5)


@CHECK.law("measures each pair at a point of its own segment", weight=2)
def _on_segment(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, places exact to rounding: a correct function never fails."""
    for pairs in (60, 1, 7):
        places = _places(candidate, draw, pairs)
        apart = (places[:, 0] - places[:, 1]).abs()
        if float(apart.max()) > _EXACT:
            raise Broken(
                "points on the segments: the same share of the way in every dimension",
                f"shares that differ by {show(apart.max())}",
                _cause_off_segment(candidate, draw, places),
            )
        if float(places.min()) < -_EXACT or float(places.max()) > 1 + _EXACT:
            raise Broken(
                "points between z_prior (0) and z_posterior (1)",
                f"points from {show(places.min())} to {show(places.max())}",
                _if_number_is_right(OUTSIDE, candidate, draw),
            )


@CHECK.law("draws that point uniformly, anew for every pair and every call", weight=3)
def _uniform(candidate: Candidate, draw: Draw) -> None:
    """3000 points: Dvoretzky-Kiefer-Wolfowitz bound (distribution), Hoeffding as for sub-Gaussian numbers (mean, cosine
    between calls), Bernstein (spread), (1 - T/n)^n (ends), Chernoff (coincidences): false alarm below 1e-8."""
    both = _places_of_calls(candidate, draw)
    if float((both[..., 0] - both[..., 1]).abs().max()) > _EXACT:
        raise Broken(
            "points on the segments, to begin with", "points off them", _cause_off_segment(candidate, draw, both[0])
        )
    calls = both.mean(2)
    if float((calls[0] - calls[1]).abs().max()) < 1e-3:
        still = float(calls[0].std()) < 1e-3
        raise Broken(
            "other points at the second call",
            "the same points again",
            _if_number_is_right(_which_point(calls) if still else FROZEN, candidate, draw),
        )
    if float(calls.std(1).max()) < 1e-3:
        raise Broken(
            "another place for every pair",
            f"all pairs at {show(calls[0, 0])} of the way",
            _if_number_is_right(SHARED, candidate, draw),
        )
    distance = kolmogorov_distance(calls, lambda t: t.clamp(0, 1))
    if not distance <= distance_bound(calls.numel()) + 0.01:
        at_ends = bool(((calls < _EXACT) | (calls > 1 - _EXACT)).all())
        inside = bool(((calls > -_EXACT) & (calls < 1 + _EXACT)).all())
        raise Broken(
            "points uniform on [0, 1]: largest difference of distribution functions at most "
            f"{show(distance_bound(calls.numel()))}",
            show(distance),
            _if_number_is_right(AT_ENDS if at_ends else NOT_UNIFORM if inside else OUTSIDE, candidate, draw),
        )
    with blame(lambda: _if_number_is_right(NOT_UNIFORM, candidate, draw)):
        _moments_and_ends(calls)
    _coincidences(calls)
    unit = (calls - 0.5) / (calls - 0.5).norm(dim=1, keepdim=True)
    cosines = (unit @ unit.T).fill_diagonal_(0).abs()
    if float(cosines.max()) > cosine_bound(calls.shape[1], len(calls) * (len(calls) - 1)) * 1.2:
        raise Broken("unrelated points at different calls", f"correlation {show(cosines.max())}")


@CHECK.law("works with codes that carry a graph and codes that do not, in double precision, on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    critic = linear_critic(torch.tensor([2.0, -1.0, 2.0]))
    scalar(candidate(critic, draw.normal(4, 3), draw.normal(4, 3)), "the penalty", exactly=True)
    for dtype in (torch.float32, torch.float64):
        for attached in (True, False):
            critic = linear_critic(torch.tensor([2.0, -1.0, 2.0], dtype=dtype))
            prior, posterior = draw.normal(5, 3, dtype=dtype), draw.normal(5, 3, dtype=dtype)
            if attached:
                posterior = posterior.requires_grad_() * 1.0
            came = _penalty(candidate, critic, prior, posterior)
            same_number(
                came,
                4.0,
                f"penalty of a linear critic of slope 3, {'codes with' if attached else 'no'} graph, "
                f"{str(dtype).removeprefix('torch.')}",
            )
    for device in candidate.devices():
        critic, codes = deep_critic(draw, 3), draw.normal(6, 3)
        want = float((plain64(gradient_lengths(critic, codes)) - 1).square().mean())
        came = _penalty(candidate, critic.to(device), codes.to(device), codes.to(device))
        same_number(came, want, f"penalty on {device}", scale=want + 2)


@CHECK.law("leaves the codes, the critic and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    prior, posterior = draw.normal(6, 3), draw.normal(6, 3)
    encoded = draw.normal(6, 3).requires_grad_() * 1.0  # as it comes out of an encoder
    for lively, codes in ((True, posterior), (False, posterior), (True, encoded)):
        critic = deep_critic(draw, 3).train(lively)
        belongings = Belongings(critic, draw, {"z_prior": prior, "z_posterior": codes})
        _penalty(candidate, critic, prior, codes)
        belongings.check()
    well_behaved(candidate)


def _penalty(candidate: Candidate, critic: nn.Module, prior: torch.Tensor, posterior: torch.Tensor) -> torch.Tensor:
    try:
        value = candidate(critic, prior, posterior)
    except CallFailed as failed:
        lost = "does not require grad" in failed.message or "not to require grad" in failed.message
        raise CallFailed(failed.kind, failed.message, NO_REQUIRES_GRAD if lost else failed.cause) from None
    return scalar(value, "the penalty")


def _places(candidate: Candidate, draw: Draw, pairs: int) -> torch.Tensor:
    """Where each pair was measured: 0 at z_prior, 1 at z_posterior, one column for each of two dimensions; (pairs, 2).

    With p the point and w = 1, the length is n = |p| and d penalty / d w_k = 2 / N * (n - 1) / n * p_k^2. Summed over k
    this is 2 / N * (n - 1) n, which gives n and then every p_k. Both ends lie beyond length 1, in one quadrant.
    """
    critic, index = IndexedQuadratic(pairs), torch.arange(pairs, dtype=torch.float32)[:, None]
    start = draw.uniform(pairs, 2, low=1.0, high=1.5)
    end = start + draw.uniform(pairs, 2, low=2.0, high=4.0)
    if draw.integer(0, 1):
        start, end = end, start
    prior, posterior = torch.cat([start, index], 1), torch.cat([end, index], 1)
    came = scalar(_penalty(candidate, critic, prior, posterior), "the penalty")
    (slope,) = candidate.gradients(came, [critic.w])
    if slope is None:
        raise Broken("a penalty with a gradient, which tells where it was measured", "no gradient at all", NO_GRAPH)
    finite(real(slope, "the gradient"), "the gradient with respect to the critic's weights")
    share = pairs * plain64(slope)
    length = (1 + (1 + 2 * share.sum(1, keepdim=True)).clamp_min(0).sqrt()) / 2
    point = (share * length / (2 * (length - 1).clamp_min(1e-6))).clamp_min(0).sqrt()
    return (point - plain64(start)) / (plain64(end) - plain64(start))


def _places_of_calls(candidate: Candidate, draw: Draw) -> torch.Tensor:
    """Calls with 200 pairs each, (calls, 200, 2)."""
    return torch.stack([_places(candidate, draw, 200) for _ in range(_CALLS)])


def _moments_and_ends(calls: torch.Tensor) -> None:
    """A uniform u is strictly sub-Gaussian: P(|mean - 1/2| > e) <= 2 exp(-6 n e^2). And 12 (u - 1/2)^2 lies in [0, 3]
    and has mean 1 and variance 4/5."""
    n = calls.numel()
    middle, off = float(calls.mean()), math.sqrt(T / (6 * n))
    if not abs(middle - 0.5) <= off:
        raise Broken(f"points half-way on average, from {show(0.5 - off)} to {show(0.5 + off)}", show(middle))
    spread = float(12 * (calls - 0.5).square().mean())
    off = T / 1.5 / n + math.sqrt((T / 1.5 / n) ** 2 + 1.6 * T / n)  # where n off^2 / 2 = T (4/5 + 2/3 off)
    if not abs(spread - 1) <= off + 0.01:
        raise Broken(
            f"points with the spread of uniform ones: 12 times the mean square distance from the middle in "
            f"{show(1 - off)} to {show(1 + off)}",
            show(spread),
        )
    near = T / n + 0.002
    for end, nearest in (("z_prior", float(calls.min())), ("z_posterior", float((1 - calls).min()))):
        if nearest > near:
            raise Broken(
                f"of {n} points some nearer to {end} than {show(near)} of the way", f"none nearer than {show(nearest)}"
            )


def _coincidences(calls: torch.Tensor) -> None:
    """Gaps between ordered uniform numbers are negatively associated: Chernoff's bound holds for their count."""
    gaps = calls.sort(1).values.diff(dim=1)
    expected, found = gaps.numel() * (1 - (1 - _SAME) ** calls.shape[1]), int((gaps < _SAME).sum())
    if found > count_bounds(expected)[1]:
        raise Broken(
            "a random number of its own for every pair",
            f"{found} of {gaps.numel()} points that share theirs "
            f"with another pair; by chance about {expected:.0f} would",
        )


def _lengths(grad: torch.Tensor) -> torch.Tensor:
    return grad.square().sum(1).sqrt()


def _flat(value: object) -> object:
    return value.flatten() if isinstance(value, torch.Tensor) else value


def _if_number_is_right(cause: Cause, candidate: Candidate, draw: Draw) -> Cause | None:
    """Where the penalty itself is wrong, its derivative says nothing about where it was measured."""
    return cause if holds(_average, candidate, draw) and holds(_second_derivative, candidate, draw) else None


def _which_point(calls: torch.Tensor) -> Cause:
    place = float(calls[0].mean())
    return AT_END if min(abs(place), abs(place - 1)) < _EXACT else FIXED_POINT


def _cause_off_segment(candidate: Candidate, draw: Draw, places: torch.Tensor) -> Cause | None:
    columns = places - places.mean(0)
    related = float((columns[:, 0] * columns[:, 1]).mean() / (columns.square().mean(0).prod().sqrt() + 1e-12))
    inside = bool(((places > -_EXACT) & (places < 1 + _EXACT)).all())
    if (
        inside
        and len(places) > 50
        and abs(related) < 0.8
        and kolmogorov_distance(places, lambda t: t.clamp(0, 1)) < 0.25
    ):
        return _if_number_is_right(PER_DIMENSION, candidate, draw)
    # a single pair can only be mixed with itself
    alone = torch.cat([_places(candidate, draw, 1) for _ in range(30)])
    agree, beyond = (alone[:, 0] - alone[:, 1]).abs() < _EXACT, ((alone < -_EXACT) | (alone > 1 + _EXACT)).any(1)
    if bool((agree & ~beyond).all()):
        return OTHER_PAIR
    return _if_number_is_right(OUTSIDE, candidate, draw) if bool((agree & beyond).any()) else None


NO_GRAPH = Cause(
    "no_create_graph",
    "The penalty carries no gradient into the critic's weights, so that it would change nothing. Ask for it: "
    "torch.autograd.grad(..., create_graph=True), and detach nothing on the way.",
    _CARD,
)
NO_REQUIRES_GRAD = Cause(
    "no_requires_grad",
    "autograd has nothing to differentiate by: the mixed points must require a gradient, which they do not by "
    "themselves when the codes do not.",
    _CARD,
)
UNBATCHED = Cause("not_reduced", "You return one number per pair; the average over the batch is missing.", _CARD)
SHARED = Cause("one_number_for_all", "One random number serves all pairs: draw one for each, shape (N, 1).", _CARD)
PER_DIMENSION = Cause(
    "one_number_per_dimension",
    "Every dimension has a random number of its own: the point then leaves the segment and lies anywhere in a box. "
    "Draw one for each pair, shape (N, 1).",
    _CARD,
)
OUTSIDE = Cause(
    "outside",
    "The points lie beyond the ends of the segment: mix with a uniform number from [0, 1], not a normal one.",
    _CARD,
)
AT_END = Cause(
    "at_one_end",
    "You measure at one end of the segment only; what lies between is where the critic has to be held.",
    _CARD,
)
AT_ENDS = Cause(
    "at_the_ends", "You measure at the two ends only; what lies between is where the critic has to be held.", _CARD
)
FIXED_POINT = Cause(
    "fixed_point", "You measure at the same point of every segment at every call; it must be random.", _CARD
)
FROZEN = Cause("frozen_noise", "The same random points come at every call: draw them anew, without a seed.", _CARD)
NOT_UNIFORM = Cause("not_uniform", "The points are on their segments, but not uniformly: mix with torch.rand.", _CARD)
OTHER_PAIR = Cause(
    "mixes_pairs", "The points lie between codes of different pairs: row i belongs to row i.", _CARD, tentative=True
)
LENGTHS_DETACHED = Cause(
    "part_detached",
    "The penalty is right, but its gradient in the critic's weights is not: part of it was detached or computed "
    "without a graph.",
    _CARD,
)
# n: the gradient's length at every point, m: the batch size
_MISTAKES: tuple[tuple[str, str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (
        "sum_over_batch",
        "You sum over the batch; the average is asked for, or the penalty's weight depends on the batch size.",
        lambda n: (n - 1).square().sum(),
    ),
    (
        "towards_zero",
        "You pull the gradient's length towards 0; towards 1 is asked for: subtract 1 before squaring.",
        lambda n: n.square().mean(),
    ),
    (
        "one_sided",
        "You punish only lengths above 1: the two-sided penalty also punishes those below.",
        lambda n: (n - 1).clamp_min(0).square().mean(),
    ),
    (
        "one_sided",
        "You punish only lengths below 1: the two-sided penalty also punishes those above.",
        lambda n: (1 - n).clamp_min(0).square().mean(),
    ),
    (
        "squared_norm",
        "You compare the *squared* length with 1; a square root is missing.",
        lambda n: (n.square() - 1).square().mean(),
    ),
    ("not_squared", "The distance from 1 is not squared.", lambda n: (n - 1).abs().mean()),
    (
        "not_squared",
        "The difference from 1 is not squared: lengths above and below 1 would cancel.",
        lambda n: (n - 1).mean(),
    ),
    (
        "mean_length",
        "You average the lengths first and compare their mean with 1: some may be long where others are short. "
        "Compare each length with 1, then average.",
        lambda n: (n.mean() - 1).square(),
    ),
    (
        "mean_before_gradient",
        "You differentiate the *mean* of the critic's values: every gradient is divided by the batch size. "
        "Differentiate their sum (or pass ones as grad_outputs).",
        lambda n: (n / len(n) - 1).square().mean(),
    ),
    (
        "norm_over_everything",
        "You take one norm of the whole batch of gradients; each pair has a length of its own (dim=1). Mixing weights "
        "of shape (N, 1, 1, 1), which are for images, come to the same with codes (N, D): draw them of shape (N, 1).",
        lambda n: (n.square().sum().sqrt() - 1).square(),
    ),
    (
        "mean_before_gradient_and_norm_over_everything",
        "You take one norm of the whole batch of gradients of a mean; each pair has a length of its own (dim=1), and "
        "the sum is what to differentiate.",
        lambda n: ((n / len(n)).square().sum().sqrt() - 1).square(),
    ),
    (
        "largest",
        "Only the steepest point counts; the average over the pairs is asked for.",
        lambda n: (n - 1).square().max(),
    ),
    (
        "coefficient_included",
        "The coefficient 10 is included; it is left to the caller.",
        lambda n: 10 * (n - 1).square().mean(),
    ),
    (
        "wrong_sign",
        "The sign is wrong: a penalty is added to a loss and is never negative.",
        lambda n: -(n - 1).square().mean(),
    ),
    (
        "root",
        "You take the square root at the end; the mean of the squares is asked for.",
        lambda n: (n - 1).square().mean().sqrt(),
    ),
    (
        "divided_by_dimensions",
        "You divide by two; the definition has no one half.",
        lambda n: (n - 1).square().mean() / 2,
    ),
)
_FORMULAS: list[tuple[Cause | None, Callable[[torch.Tensor], torch.Tensor]]] = [
    (None, lambda n: (n - 1).square().mean()),
    *causes(_CARD, _MISTAKES),
]
_MISTAKES_BY_COMPONENT: tuple[tuple[str, str, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (
        "norm_over_batch",
        "You take the norm over the batch (dim=0); each pair's gradient has a length of its own: the norm runs over "
        "the dimensions (dim=1).",
        lambda g: (g.square().sum(0).sqrt() - 1).square().mean(),
    ),
    (
        "no_norm",
        "You compare every component of the gradient with 1; its *length* is asked for.",
        lambda g: (g - 1).square().mean(),
    ),
    (
        "no_norm",
        "You compare every component of the gradient with 1; its *length* is asked for.",
        lambda g: (g - 1).square().sum(1).mean(),
    ),
    (
        "mixing_weights_shape",
        "The norm runs over an axis of length 1, so that every component is compared with 1. Mixing weights of shape "
        "(N, 1, 1, 1), which are for images, make such an axis: for codes (N, D) draw them of shape (N, 1).",
        lambda g: (g.abs() - 1).square().mean(),
    ),
    (
        "other_norm",
        "This is the sum of absolute components; the Euclidean length is asked for.",
        lambda g: (g.abs().sum(1) - 1).square().mean(),
    ),
    (
        "other_norm",
        "This is the largest component; the Euclidean length is asked for.",
        lambda g: (g.abs().max(1).values - 1).square().mean(),
    ),
    (
        "mean_over_dimensions",
        "You average the squared components instead of summing them: the length then shrinks with the number of "
        "dimensions.",
        lambda g: (g.square().mean(1).sqrt() - 1).square().mean(),
    ),
)


def _of_lengths(formula: Callable[[torch.Tensor], torch.Tensor], gradients: torch.Tensor) -> torch.Tensor:
    return formula(_lengths(gradients))


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, dim in ((6, 3), (4, 5), (9, 4)):
        codes = draw.normal(n, dim)
        critic, points = critic_with_slopes(draw, codes, 1.3), codes.clone().requires_grad_()
        (grad,) = torch.autograd.grad(critic(points).sum(), points)
        probes.append((plain64(grad), candidate(critic, codes.clone(), codes.clone())))
    formulas: list[Formula] = [(cause, partial(_of_lengths, formula)) for cause, formula in _FORMULAS]
    formulas += causes(_CARD, _MISTAKES_BY_COMPONENT)
    hits = [cause for cause, formula in formulas if all(agrees(came, formula(grad), 3e-3) for grad, came in probes)]
    per_pair = [agrees(_flat(came), (_lengths(grad) - 1).square()) for grad, came in probes]
    return UNBATCHED if not hits and all(per_pair) else sole(hits)
