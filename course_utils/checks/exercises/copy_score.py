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
    for pixels, sizes in ((9, (30, 40, 12)), (12, (50, 20, 30))):
        samples, held_out, train = ((draw.uniform(n, pixels) < 0.5).float() for n in sizes)
        _same(candidate, samples, held_out, train, "score of pictures of few pixels, where many distances are equal")


@CHECK.law("is 1 for copies, 0 for what is far away, and 1/2 for the new images themselves", weight=2)
def _ends(candidate: Candidate, draw: Draw) -> None:
    """Random inputs with distances far apart, or equal ones of whole numbers: a correct function never fails."""
    train, held_out = draw.normal(60, 20), draw.normal(30, 20)
    _is(candidate, train[draw.permutation(60)[:25]], held_out, train, 1.0, "score of 25 training images")
    _is(candidate, 30 + draw.normal(20, 20), held_out, train, 0.0, "score of images far away")
    whole = (3 * draw.normal(31, 6)).round()
    _is(candidate, whole[draw.permutation(31)], whole, (3 * draw.normal(40, 6)).round(), 0.5, "score of the new images")


@CHECK.law("does not depend on the order of the images or on the unit of a pixel")
def _unit(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    samples, held_out, train = draw.normal(30, 8, scale=0.9), draw.normal(40, 8), draw.normal(50, 8)
    for factor in (1.0, 255.0, 0.01):
        s, h, t = (images[draw.permutation(len(images))] * factor for images in (samples, held_out, train))
        _same(candidate, s, h, t, f"score with pixels {factor:g} times as large")


@CHECK.law("takes images of any shape, many of them, in single and double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to one pair in 250: a correct function never fails."""
    for dtype, shape in ((torch.float32, (1, 5, 6)), (torch.float64, (4, 4))):
        s, h, t = (draw.normal(n, *shape, dtype=dtype) for n in (20, 35, 45))
        _same(candidate, s, h, t, f"score of images {shape} in {dtype}")
    s, h, t = (draw.normal(n, 16) for n in (600, 700, 1500))
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
    return torch.cdist(plain64(images).flatten(1), plain64(train).flatten(1), compute_mode=mode)


def _nearest(images: torch.Tensor, train: torch.Tensor) -> torch.Tensor:
    return _distances(images, train).amin(1)


def _score(of_samples: torch.Tensor, of_new: torch.Tensor, ties: float = 0.5) -> float:
    a, b = of_samples[:, None], of_new[None]
    return float((a < b).double().mean() + ties * (a == b).double().mean())


def _exact(s: torch.Tensor, h: torch.Tensor, t: torch.Tensor) -> float:
    return _score(_nearest(s, t), _nearest(h, t))


def _from_pixels(s: torch.Tensor, h: torch.Tensor, t: torch.Tensor) -> float:
    near = [torch.cdist(plain64(x).flatten(1), plain64(t).flatten(1), p=1).amin(1) for x in (s, h)]
    return _score(near[0], near[1])


_TIES = "Pairs with equal distances count half: left out or counted in full, the score of the new images is not 1/2."
_NEAREST = "The *nearest* training image counts, however many others are far: take the smallest distance."
_SHARE = "You compare two averages; a share of pairs is asked for, which a few far samples cannot move."
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
    ("absolute_differences", "You add up absolute differences; the Euclidean distance is asked for.", _from_pixels),
    ("averages", _SHARE, lambda s, h, t: float(_nearest(s, t).mean() / _nearest(h, t).mean())),
    ("averages", _SHARE, lambda s, h, t: float(_nearest(h, t).mean() - _nearest(s, t).mean())),
    ("averages", _SHARE, lambda s, h, t: float(_nearest(s, t).mean())),
    ("averages", _SHARE, lambda s, h, t: float((_nearest(s, t) < _nearest(h, t).median()).double().mean())),
    ("averages", _SHARE, lambda s, h, t: float((_nearest(s, t) < _nearest(h, t).mean()).double().mean())),
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
    """Small pictures of whole numbers, some of them equal: every row gives another number."""
    probes = []
    for pixels, sizes in ((4, (17, 23, 9)), (6, (21, 15, 11))):
        images = tuple((2 * draw.normal(n, pixels)).round() for n in sizes)
        probes.append((images, _value(candidate, *images)))
    return sole(
        cause
        for cause, mistaken in MISTAKES
        if all(abs(came - mistaken(*images)) <= 1e-4 * max(1.0, abs(came)) for images, came in probes)
    )
