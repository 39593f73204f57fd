"""Laws of `copy_score(samples, held_out, train)`: are samples nearer to the training images than new images are?"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..engine.candidate import Candidate
from ..engine.causes import sole, table
from ..engine.demand import number, plain64, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.verdict import Broken

CHECK = Check("copy_score(samples, held_out, train)", "float from 0 to 1: near 1/2 for new images, near 1 for copies")
_WHERE = "the maths hint under the card of copy_score: a share of pairs (sample, new image), equal distances half"
_CLOSE = 0.004  # of all pairs, those that rounding may turn


@CHECK.law("is right where you can count", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: images of one and two pixels."""
    train = torch.tensor([[0.0], [10.0]])
    held_out = torch.tensor([[2.0], [13.0], [16.0], [-5.0]])  # 2, 3, 6 and 5 from the nearest
    for samples, want in (([[1.0]], 1.0), ([[14.0]], 0.5), ([[17.0], [11.0]], 0.5), ([[14.5], [6.0], [1.5]], 2 / 3)):
        _is(candidate, torch.tensor(samples), held_out, train, want, f"score of {len(samples)} samples of one pixel")
    square = torch.tensor([[0.0, 0.0], [6.0, 8.0]])
    _is(candidate, torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 6.0], [4.0, 0.0]]), square, 0.5, "score, two pixels")


@CHECK.law("is the share of pairs in which the sample is nearer to its nearest training image", weight=3)
def _shares(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to one pair in 250, of which rounding turns fewer: a correct function never fails."""
    for pixels, sizes, closer in ((5, (40, 60, 80), 1.0), (30, (70, 30, 50), 0.8), (3, (25, 25, 25), 1.3)):
        samples = draw.normal(sizes[0], pixels, scale=closer)
        held_out, train = (draw.normal(n, pixels) for n in sizes[1:])
        _same(candidate, samples, held_out, train, f"score of {sizes[0]} samples beside {sizes[1]} new images")


@CHECK.law("counts equal distances half", weight=2)
def _ties(candidate: Candidate, draw: Draw) -> None:
    """Black and white pixels, whose distances are exact: a correct function never fails."""
    for pixels, sizes in 2 * ((9, (30, 40, 12)), (12, (50, 20, 30))):
        samples, held_out, train = ((draw.uniform(n, pixels) < 0.5).float() for n in sizes)
        _same(candidate, samples, held_out, train, "score of pictures of few pixels, where many distances are equal")


@CHECK.law("is 1 for copies, 0 for what is far away, and 1/2 for the new images themselves", weight=2)
def _ends(candidate: Candidate, draw: Draw) -> None:
    """Random inputs with distances far apart, or equal ones of whole numbers: a correct function never fails."""
    for _ in range(3):
        train, held_out = draw.normal(60, 20), draw.normal(30, 20)
        _is(candidate, train[draw.permutation(60)[:25]], held_out, train, 1.0, "score of 25 training images")
        far = 30 * (torch.arange(20) >= 10)  # in half of the pixels
        _is(candidate, far + draw.normal(20, 20), held_out, train, 0.0, "score of images far away")
        new, train = ((3 * draw.normal(n, 6)).round() for n in (31, 40))
        _is(candidate, new[draw.permutation(31)], new, train, 0.5, "score of the new images")


@CHECK.law("does not depend on the order of the images or on the unit of a pixel")
def _unit(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for factor in 2 * (1.0, 255.0, 0.01):
        sets = draw.normal(30, 8, scale=0.9), draw.normal(40, 8), draw.normal(50, 8)
        s, h, t = (images[draw.permutation(len(images))] * factor for images in sets)
        _same(candidate, s, h, t, f"score with pixels {factor:g} times as large")


@CHECK.law("takes images of any shape, many of them, in single and double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to one pair in 250: a correct function never fails."""
    for dtype, shape in ((torch.float32, (1, 5, 6)), (torch.float64, (4, 4))):
        s, h, t = (draw.normal(n, *shape, dtype=dtype) for n in (20, 35, 45))
        _same(candidate, s, h, t, f"score of images {shape} in {dtype}")
    s, h, t = (draw.normal(n, 16) for n in (600, 700, 30))  # more rows than a batch has; loops can bear them
    _same(candidate, s, h, t, "score of 600 samples beside 700 new images")
    for device in candidate.devices():
        _same(candidate, s.to(device), h.to(device), t.to(device), f"score on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = tuple(draw.normal(n, 4) for n in (5, 6, 7))
    kept = tuple(images.clone() for images in given)
    candidate(*given)
    untouched(kept, given, ("samples", "held_out", "train"))
    well_behaved(candidate)


def _value(candidate: Candidate, *images: torch.Tensor) -> float:
    return number(candidate(*(part.clone() for part in images)), "the score", tensor_allowed=True)


def _is(
    candidate: Candidate,
    samples: torch.Tensor,
    held_out: torch.Tensor,
    train: torch.Tensor,
    want: float,
    what: str,
) -> None:
    came = _value(candidate, samples, held_out, train)
    if not abs(came - want) <= _CLOSE:
        raise Broken(f"{what}: {show(want)}", show(came))


def _same(candidate: Candidate, samples: torch.Tensor, held_out: torch.Tensor, train: torch.Tensor, what: str) -> None:
    _is(candidate, samples, held_out, train, _exact(samples, held_out, train), what)


def _distances(images: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    mode = "donot_use_mm_for_euclid_dist"  # exact for whole numbers
    return torch.cdist(_flat(images), _flat(train), compute_mode=mode)


def _flat(images: torch.Tensor) -> torch.Tensor:
    return plain64(images).flatten(1)


def _nearest(images: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    return _distances(images, train).amin(1)


def _score(of_samples: torch.Tensor, of_new: torch.Tensor, ties: float = 0.5) -> float:
    a, b = of_samples[:, None], of_new[None]
    return float((a < b).double().mean() + ties * (a == b).double().mean())


def _exact(s: torch.Tensor, h: torch.Tensor, t: torch.Tensor) -> float:
    return _score(_nearest(s, t), _nearest(h, t))


def _other_distance(s: torch.Tensor, h: torch.Tensor, t: torch.Tensor, power: float) -> float:
    of_samples, of_new = (torch.cdist(_flat(images), _flat(t), p=power).amin(1) for images in (s, h))
    return _score(of_samples, of_new)


def _second(images: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    return _distances(images, train).sort(1).values[:, 1]


def _paired(of_samples: torch.Tensor, of_new: torch.Tensor, ties: float) -> float:
    pairs = min(len(of_samples), len(of_new))
    a, b = of_samples[:pairs], of_new[:pairs]
    return float((a < b).double().mean() + ties * (a == b).double().mean())


_TIES = "Pairs with equal distances count half: left out or counted in full, the score of the new images is not 1/2."
_NEAREST = "The *nearest* training image counts, however many others are far: take the smallest distance."
_SHARE = "You compare two averages; a share of pairs is asked for, which a few far samples cannot move."
_PAIRED = "You compare sample i with new image i alone; every sample is compared with every new image."
Formula = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], float]
MISTAKES: list[tuple[Cause | None, Formula]] = table(
    _WHERE,
    _exact,
    ("upside_down", "It is upside down: copies must come near 1.", lambda s, h, t: 1 - _exact(s, h, t)),
    ("ties", _TIES, lambda s, h, t: _score(_nearest(s, t), _nearest(h, t), 0.0)),
    ("ties", _TIES, lambda s, h, t: _score(_nearest(s, t), _nearest(h, t), 1.0)),
    ("not_the_nearest", _NEAREST, lambda s, h, t: _score(_distances(s, t).mean(1), _distances(h, t).mean(1))),
    ("not_the_nearest", _NEAREST, lambda s, h, t: _score(_distances(s, t).amax(1), _distances(h, t).amax(1))),
    ("not_the_nearest", _NEAREST, lambda s, h, t: _score(_distances(s, t)[:, 0], _distances(h, t)[:, 0])),
    ("not_the_nearest", _NEAREST, lambda s, h, t: _score(_second(s, t), _second(h, t))),
    (
        "absolute_differences",
        "You add up absolute differences; the Euclidean distance is asked for.",
        lambda s, h, t: _other_distance(s, h, t, 1.0),
    ),
    ("averages", _SHARE, lambda s, h, t: float(_nearest(s, t).mean() / _nearest(h, t).mean())),
    ("averages", _SHARE, lambda s, h, t: float(_nearest(h, t).mean() - _nearest(s, t).mean())),
    ("averages", _SHARE, lambda s, h, t: float(_nearest(s, t).mean())),
    ("averages", _SHARE, lambda s, h, t: float((_nearest(s, t) < _nearest(h, t).median()).double().mean())),
    ("averages", _SHARE, lambda s, h, t: float((_nearest(s, t) < _nearest(h, t).mean()).double().mean())),
    (
        "largest_difference",
        "You take the pixel that differs most; the Euclidean distance adds up the squares of all.",
        lambda s, h, t: _other_distance(s, h, t, torch.inf),
    ),
    (
        "first_pixel",
        "Only the first pixel counts.",
        lambda s, h, t: _exact(_flat(s)[:, :1], _flat(h)[:, :1], _flat(t)[:, :1]),
    ),
    ("percent", "You return per cent: the share lies between 0 and 1.", lambda s, h, t: 100 * _exact(s, h, t)),
    (
        "exact_copies",
        "You count samples that are exact copies; a sample that is only nearer than new images counts as well.",
        lambda s, h, t: float((_nearest(s, t) < 1e-3).double().mean()),
    ),
    (
        "from_the_training_images",
        "You look for the nearest sample of each training image: it is the nearest training image of each sample.",
        lambda s, h, t: _score(_nearest(t, s), _nearest(t, h)),
    ),
    ("in_pairs", _PAIRED, lambda s, h, t: _paired(_nearest(s, t), _nearest(h, t), 0.0)),
    ("in_pairs", _PAIRED, lambda s, h, t: _paired(_nearest(s, t), _nearest(h, t), 0.5)),
    (
        "to_the_mean_image",
        "You take distances from the mean image; from the nearest training image.",
        lambda s, h, t: _exact(s, h, plain64(t).mean(0, keepdim=True)),
    ),
    (
        "to_the_held_out",
        "You look for the samples' nearest image among the new ones: both are held against train.",
        lambda s, h, t: _score(_nearest(s, h), _nearest(h, t)),
    ),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Small pictures of whole numbers, some of them equal, whose mean is exact: every row gives another number."""
    probes = []
    for pixels, sizes in ((4, (17, 23, 8)), (6, (21, 15, 16))):
        images = tuple((2 * draw.normal(n, pixels)).round() for n in sizes)
        probes.append((images, _value(candidate, *images)))
    return sole(
        cause
        for cause, mistaken in MISTAKES
        if all(abs(came - mistaken(*images)) <= 1e-4 * max(1.0, abs(came)) for images, came in probes)
    )
