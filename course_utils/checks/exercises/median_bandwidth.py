"""Laws of `median_bandwidth(z)`: the median distance between two different codes."""

from __future__ import annotations

import numpy as np
import torch

from ..engine.candidate import Candidate
from ..engine.causes import Formula, Probe, match_loss
from ..engine.demand import number, plain64, same_number, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import squared_distances
from ..engine.verdict import Broken, blame, counted
from ..shared.tables import causes

CHECK = Check("median_bandwidth(z)", "the median distance between two different codes; float or 0-dim tensor")
_HINT = "the maths hint under the card of median_bandwidth: the middle one of the n (n - 1) / 2 distances of i < j"
_CLOSE = 2e-3


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: triangles with sides 3, 4, 5 and 5, 12, 13, and two codes alone."""
    for short, long in ((3.0, 4.0), (5.0, 12.0)):
        corners = torch.tensor([[0.0, 0.0], [short, 0.0], [0.0, long]])
        _same(candidate, corners, f"median distance of the corners of a triangle ({short:g}, {long:g})")
    _same(candidate, torch.tensor([[1.0, 1.0, 1.0], [3.0, 4.0, 7.0]]), "distance of the two codes there are")


@CHECK.law("is the median of the distances of all pairs, for random codes", weight=3)
def _random(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails. Of codes whose lengths are spread over
    six powers of ten, the median over any part is another: over 100,000 random pairs it is within the tolerance in one
    draw of eight, in all six in one run of 100,000; over a random thousand of 1100, in both in one of 1000."""
    for n, dim in ((3, 4), (4, 2), (5, 1), (6, 3), (30, 20), (150, 5)):
        z = draw.normal(n, dim, scale=draw.number(0.3, 3))
        _same(candidate, z, f"median distance of {counted(n, 'code')} of {counted(dim, 'dimension')}")
    for n, dim in ((1100, 2), (1100, 3), (520, 2), (520, 3), (520, 2), (520, 1)):  # as many as in the unit, and more
        _same(candidate, _unlike(draw, n, dim, 1e6), f"median distance of {n} codes")


@CHECK.law("has the unit of a distance: unmoved by a shift, scaled with the codes")
def _geometry(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with itself: a correct function never fails."""
    z = _unlike(draw, 7, 3, 100.0)
    base = _value(candidate, z)
    if abs(base) < 1e-6:
        raise Broken("a bandwidth above 0 for codes that differ", show(base))
    for what, codes, want in (
        ("after a shift of all codes", z + draw.normal(3, scale=3.0), base),
        ("of codes 100 times as small", z / 100, base / 100),
        ("of codes 20 times as large", z * 20, base * 20),
        *[("of the codes in another order", z[draw.permutation(7)], base) for _ in range(8)],
    ):
        same_number(_value(candidate, codes), want, f"bandwidth {what}", rounding=_CLOSE)


@CHECK.law("is not moved by a few far codes")
def _robust(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for _ in range(3):
        z = _unlike(draw, 24, 3, 1000.0)
        z[:3] += 1000 * draw.signs(3, 1)
        _same(candidate, z, "median distance where 3 of 24 codes are far away")


@CHECK.law("counts two codes that are equal: their distance is 0")
def _equal_codes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    z = draw.normal(6, 2)
    right_otherwise = _between_middles(_value(candidate, z), _distances(plain64(z)))
    for _ in range(3):
        several = _unlike(draw, 8, 2, 1000.0)
        z = torch.cat([several[:1].expand(4, 2), several[1:4]])  # 6 of 21 pairs are equal codes
        with blame(_zeros_dropped(candidate, z) if right_otherwise else None):
            _same(candidate, z, "median distance where 4 of 7 codes are equal")
            _same(candidate, torch.full((5, 3), 0.7), "median distance of collapsed codes")
            pairs = torch.cat([several, several[:3]])
            _same(candidate, pairs, "median distance of 11 codes, of which three are there twice")


@CHECK.law("works in double precision and on your accelerator, and gives the same again")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for _ in range(3):
        z = _unlike(draw, 9, 4, 1000.0).double()
        _same(candidate, z, "median distance in float64")
    same_number(_value(candidate, z), _value(candidate, z), "median distance of the same codes again", rounding=1e-5)
    for device in candidate.devices():
        _same(candidate, z.float().to(device), f"median distance on {device}")


@CHECK.law("leaves its argument and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    z = draw.normal(12, 4, scale=3.0)
    kept = z.clone()
    number(candidate(z), "the median distance", tensor_allowed=True)
    untouched([kept], [z], ["z"])
    well_behaved(candidate)


def _unlike(draw: Draw, n: int, dim: int, ratio: float) -> torch.Tensor:
    """Codes in random directions and order, whose lengths lie `ratio` apart: as unlike as n numbers can be, so that
    mean, median, neighbours and parts of the codes give different numbers. The median distance is near 10."""
    powers = (draw.permutation(n) + draw.uniform(n, low=0.2, high=0.8)) / n - 0.7
    directions = draw.normal(n, dim, dtype=torch.float64)
    return (10 * ratio ** powers[:, None] * directions / directions.norm(dim=1, keepdim=True)).float()


def _value(candidate: Candidate, z: torch.Tensor) -> float:
    return number(candidate(z.clone()), "the median distance", tensor_allowed=True)


def _same(candidate: Candidate, z: torch.Tensor, what: str) -> None:
    """Of an even number of distances either middle one will do, and everything between."""
    low, high = _middles(_distances(plain64(z)))
    got = _value(candidate, z)
    if not low * (1 - _CLOSE) - 1e-4 <= got <= high * (1 + _CLOSE) + 1e-4:
        raise Broken(f"{what}: {show(low)}" + (f" to {show(high)}" if high > low else ""), show(got))


def _between_middles(got: float, distances: torch.Tensor) -> bool:
    """Is the number the median of these distances?"""
    low, high = _middles(distances)
    return low * 0.999 <= got <= high * 1.001


def _middles(distances: torch.Tensor) -> tuple[float, float]:
    """Of many numbers at once what `_lower` and `_upper` find one after the other."""
    places = [(distances.numel() - 1) // 2, distances.numel() // 2]
    low, high = np.partition(distances.numpy(), places)[places]
    return float(low), float(high)


def _distances(z: torch.Tensor) -> torch.Tensor:
    """Of i < j."""
    return torch.pdist(z)


def _matrix(z: torch.Tensor) -> torch.Tensor:
    return squared_distances(z, z).sqrt()


def _pairs(z: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(torch.triu_indices(len(z), len(z), 1))


def _lower(values: torch.Tensor) -> torch.Tensor:
    return values.flatten().kthvalue((values.numel() + 1) // 2).values


def _upper(values: torch.Tensor) -> torch.Tensor:
    return values.flatten().kthvalue(values.numel() // 2 + 1).values


def _middle(values: torch.Tensor) -> torch.Tensor:
    return (_lower(values) + _upper(values)) / 2


ZEROS_DROPPED = Cause(
    "zeros_dropped",
    "You drop the distances that are 0. Of a code and itself, rightly; but two different codes may be equal too, and "
    "when codes collapse they are. Select the pairs i < j by their indices.",
    _HINT,
)
PART_ONLY = Cause(
    "part_of_the_codes",
    "Of many codes some do not count: moved far away, they change nothing. The median is over all pairs.",
    _HINT,
)
RANDOM_PART = Cause(
    "random_part",
    "The same codes give another number the second time: nothing is drawn here, the median is over all pairs.",
    _HINT,
)
_SPREAD = "You take the spread about the mean; distances between two codes are asked for."
_SELF_PAIRS = (
    "The distances of each code from itself, all 0, are among those you take the median of: it comes out too small."
)
_RESCALED = "here the bandwidth is the median itself."
_MEAN = "the median is asked for, which a few far codes cannot move."
_OF_WHAT = (  # what the median is taken of
    ("self_pairs", _SELF_PAIRS, _matrix),
    ("self_pairs", _SELF_PAIRS, lambda z: torch.cat([_distances(z), torch.zeros(len(z), dtype=z.dtype)])),
    (
        "squared",
        "You return the squared distance: a bandwidth has the unit of a distance.",
        lambda z: _distances(z).square(),
    ),
    ("rescaled", f"You divide by the square root of 2; {_RESCALED}", lambda z: _distances(z) / 2**0.5),
    ("rescaled", f"You halve the median; {_RESCALED}", lambda z: _distances(z) / 2),
    (
        "rescaled",
        f"You divide by the square root of the number of dimensions; {_RESCALED}",
        lambda z: _distances(z) / z.shape[1] ** 0.5,
    ),
    (
        "norms",
        "You take the distances from the origin; those between two codes are asked for.",
        lambda z: z.norm(dim=1),
    ),
    (
        "distance_from_mean",
        "You take the distances from the mean; those between two codes are asked for.",
        lambda z: (z - z.mean(0)).norm(dim=1),
    ),
    (
        "neighbours",
        "You take the distances between neighbouring rows; those between all pairs are asked for.",
        lambda z: (z[1:] - z[:-1]).norm(dim=1),
    ),
    (
        "other_norm",
        "You add up absolute differences: the Euclidean distance is asked for.",
        lambda z: (z[:, None] - z[None]).abs().sum(2)[_pairs(z)],
    ),
    (
        "per_element",
        "You take the median of all single differences: first sum the squared differences over the dimensions.",
        lambda z: (z[:, None] - z[None]).abs()[_pairs(z)],
    ),
)
FORMULAS: list[Formula] = [
    (None, lambda z: _middle(_distances(z))),  # of an odd number of pairs, where there is one middle
    *causes(
        _HINT,
        (
            ("mean_for_median", f"You take the mean; {_MEAN}", lambda z: _distances(z).mean()),
            (
                "mean_for_median",
                f"You take the root of the mean squared distance; {_MEAN}",
                lambda z: _distances(z).square().mean().sqrt(),
            ),
            (
                "mean_with_self_pairs",
                "You take the mean, and self-pairs are in it: the median of the other pairs is asked for.",
                lambda z: _matrix(z).mean(),
            ),
            ("spread", _SPREAD, lambda z: z.std(0).norm()),
            (
                "largest",
                "You take the largest distance; the middle one is asked for.",
                lambda z: _distances(z).max(),
            ),
            (
                "smallest",
                "You take the smallest distance; the middle one is asked for.",
                lambda z: _distances(z).min(),
            ),
        ),
    ),
    *[
        (cause, lambda z, of=of, which=which: which(of(z)))
        for cause, of in causes(_HINT, _OF_WHAT)
        for which in (_lower, _middle, _upper)
    ],
]


def _zeros_dropped(candidate: Candidate, z: torch.Tensor) -> Cause | None:
    """Where the median is over the distances above 0, or nan where there are none."""
    distances = _distances(plain64(z))
    got = candidate(z.clone())
    among_others = isinstance(got, (float, torch.Tensor)) and _between_middles(float(got), distances[distances > 0])
    return ZEROS_DROPPED if among_others else None


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, dim in ((6, 3), (7, 5), (10, 4)):  # 15, 21 and 45 pairs
        z = draw.normal(n, dim) + 1
        probes.append(Probe((plain64(z),), candidate(z.clone())))
    return match_loss(probes, FORMULAS, [(None, lambda value: value)]) or _part_only(candidate, draw)


def _part_only(candidate: Candidate, draw: Draw) -> Cause | None:
    """Of many codes, the same number when some of them are moved far away, or another number at a second call."""
    z = draw.normal(1100, 2)
    first, again = (candidate(z.clone()) for _ in range(2))
    if not all(isinstance(value, (float, torch.Tensor)) for value in (first, again)):
        return None
    if float(first) != float(again):
        return RANDOM_PART
    row = torch.arange(len(z))[:, None]
    for others in (row % 2 == 1, row % 3 > 0, row >= 550, row < 550, row % 5 > 0, row % 10 > 0):
        if float(candidate(torch.where(others, 1000 * z, z))) == float(first):
            return PART_ONLY
    return None
