"""Laws of `anomaly_score(logits, x)`: distortion of each image above that of a perfect copy."""

from __future__ import annotations

import torch

from ..engine.candidate import Candidate
from ..engine.causes import agrees, sole, table
from ..engine.demand import plain64, same_tensor, tensor, untouched, well_behaved
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.trusted import bernoulli_size, bernoulli_terms

CHECK = Check("anomaly_score(logits, x)", "(N,) nats, one number an image, 0 for a perfect copy")
_WHERE = "the maths hint under the card of anomaly_score: distortion minus the floor, summed over the pixels"


@CHECK.law("is right where you can count", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Not random: undecided pixels that are white, black, grey; a pixel of 1/4."""
    x = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.25, 0.25]])
    _same(candidate, torch.zeros(3, 2), x, "scores of pictures of two undecided pixels")
    _same(candidate, torch.tensor([[2.0], [-2.0]]), torch.tensor([[1.0], [1.0]]), "scores of one white pixel")


@CHECK.law("is the distortion above the floor, summed over the pixels of each image", weight=3)
def _values(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for n, pixels in ((4, 9), (1, 30), (12, 3), (7, 1)):
        logits, x = draw.normal(n, pixels, scale=1.5), _light_and_grey(draw, n, pixels)
        _same(candidate, logits, x, f"scores of {n} grey pictures of {pixels} pixels")


@CHECK.law("is 0 for a perfect copy, however grey the picture", weight=2)
def _copies(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for low, high in ((0.02, 0.98), (0.4, 0.6), (0.9, 0.99)):
        x = draw.uniform(5, 8, low=low, high=high)
        x[::2] = draw.uniform(3, 8, low=0.02, high=0.05)  # another floor than the others
        _same(candidate, torch.logit(x), x, "scores of pictures that are copied perfectly")


@CHECK.law("stays finite and right for black and white pixels, and for logits of ±10000", weight=2)
def _extremes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    x = draw.pixels(6, 12)
    x[:2], x[2:4] = x[:2].round(), draw.uniform(2, 12, low=0.4, high=0.6)  # floors far apart
    _same(candidate, draw.normal(6, 12, scale=2.0), x, "scores of pictures with black and white pixels")
    whole = torch.cat([torch.zeros(3, 4), torch.ones(3, 4)])
    _same(candidate, torch.zeros(6, 4), whole, "scores of pictures of black or white pixels, logits 0")
    for sign in (1.0, -1.0):
        _same(candidate, sign * (2e4 * whole - 1e4), whole, "scores of pictures of black or white pixels, logits 10000")
    _same(candidate, 200 * draw.normal(5, 7), draw.pixels(5, 7), "scores for large logits")


@CHECK.law("judges each image for itself")
def _alone(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    logits = draw.normal(5, 6).clamp(-2, 2) * torch.tensor([[0.1], [0.5], [1.0], [1.5], [2.0]])
    x = _light_and_grey(draw, 5, 6)
    _same(candidate, logits, x, "scores of a batch")
    for i in (0, 3, 4):
        _same(candidate, logits[i : i + 1], x[i : i + 1], f"score of image {i} alone")


@CHECK.law("takes images of any shape, in single and double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared up to rounding: a correct function never fails."""
    for dtype, shape in ((torch.float32, (3, 1, 5, 6)), (torch.float64, (2, 4, 4)), (torch.float32, (2, 784))):
        logits, x = draw.normal(*shape, scale=0.3, dtype=dtype), _light_and_grey(draw, *shape, dtype=dtype)
        _same(candidate, logits, x, f"scores of images {shape} in {dtype}")
    for device in candidate.devices():
        x = _light_and_grey(draw, 3, 9).to(device)
        _same(candidate, draw.normal(3, 9).to(device), x, f"scores on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    given = draw.normal(4, 5), draw.pixels(4, 5)
    kept = tuple(value.clone() for value in given)
    candidate(*given)
    untouched(kept, given, ("logits", "x"))
    well_behaved(candidate)


def _light_and_grey(draw: Draw, n: int, *image: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Pictures that are nearly white and grey ones in turn, so that each has another floor than the next."""
    grey = draw.uniform(n, *image, low=0.3, high=0.7, dtype=dtype)
    grey[::2] = draw.uniform(len(grey[::2]), *image, low=0.9, high=0.96, dtype=dtype)
    return grey


def _same(candidate: Candidate, logits: torch.Tensor, x: torch.Tensor, what: str) -> None:
    came = tensor(candidate(logits.clone(), x.clone()), (len(x),), what)
    of_logits, of_x = plain64(logits), plain64(x)
    size = bernoulli_size(of_logits, of_x).flatten(1).sum(1)
    same_tensor(came, _exact(of_logits, of_x), what, scale=size, floor=1e-4)


def _entropy(x: torch.Tensor) -> torch.Tensor:
    return torch.special.entr(x) + torch.special.entr(1 - x)


def _terms(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (bernoulli_terms(logits, x) - _entropy(x)).flatten(1)


def _exact(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return _terms(logits, x).sum(1)


def _plain(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return bernoulli_terms(logits, x).flatten(1).sum(1)


def _floor(x: torch.Tensor) -> torch.Tensor:
    return _entropy(x).flatten(1).sum(1)


def _reversed(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    p = torch.sigmoid(logits)
    return (p * (p / x).log() + (1 - p) * ((1 - p) / (1 - x)).log()).flatten(1).sum(1)


def _errors(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (torch.sigmoid(logits) - x).flatten(1)


_NO_FLOOR = "The floor is missing: a grey picture has a high distortion even where it is copied perfectly."
_ONE_NUMBER = "You average over the batch; each image needs a score of its own."
_PER_PIXEL = "You average over the pixels of an image; the sum is asked for."
_SQUARES = "You measure squared errors; nats are asked for, the distortion of unit 01."
MISTAKES = table(
    _WHERE,
    _exact,
    ("no_floor", _NO_FLOOR, _plain),
    ("no_floor", _NO_FLOOR, lambda z, x: bernoulli_terms(z, x).flatten(1).mean(1)),
    ("no_floor", _NO_FLOOR, lambda z, x: _plain(z, x).mean()),
    ("one_number", _ONE_NUMBER, lambda z, x: _exact(z, x).mean()),
    ("one_number", _ONE_NUMBER, lambda z, x: _exact(z, x).sum()),
    ("one_number", _ONE_NUMBER, lambda z, x: _terms(z, x).mean()),
    ("mean_over_pixels", _PER_PIXEL, lambda z, x: _terms(z, x).mean(1)),
    (
        "unreduced",
        "You return a number for each pixel; add them up within each image.",
        lambda z, x: bernoulli_terms(z, x) - _entropy(x),
    ),
    (
        "over_the_batch",
        "You sum over the images of the batch; sum over everything but the first axis.",
        lambda z, x: _terms(z, x).sum(0),
    ),
    ("floor_added", "The floor is to be taken off; you add it.", lambda z, x: _plain(z, x) + _floor(x)),
    ("floor_alone", "You return the floor itself: the decoder's picture does not enter.", lambda z, x: _floor(x)),
    ("upside_down", "It is upside down: the odder the picture, the larger its score.", lambda z, x: -_exact(z, x)),
    (
        "common_floor",
        "You take off the mean floor of the batch; each image has its own.",
        lambda z, x: _plain(z, x) - _floor(x).mean(),
    ),
    (
        "half_a_floor",
        "Half of the floor is missing: x log x is one term, (1 - x) log(1 - x) the other.",
        lambda z, x: _plain(z, x) - torch.special.entr(x).flatten(1).sum(1),
    ),
    (
        "floor_of_the_decoder",
        "You take off the entropy of the decoder's picture; the floor is that of the image x.",
        lambda z, x: _plain(z, x) - _floor(torch.sigmoid(z)),
    ),
    (
        "exchanged",
        "The two distributions are exchanged: the image gives the weights, the decoder the logarithms.",
        _reversed,
    ),
    ("bits", "You count in bits: take the natural logarithm.", lambda z, x: _exact(z, x) / 0.6931471805599453),
    (
        "ratio",
        "You divide by the floor; take it off. A black picture has a floor of 0.",
        lambda z, x: _plain(z, x) / _floor(x),
    ),
    (
        "worst_pixel",
        "You take the pixel that costs most; the sum over all pixels is asked for.",
        lambda z, x: _terms(z, x).amax(1),
    ),
    ("squared", _SQUARES, lambda z, x: _errors(z, x).square().sum(1)),
    ("squared", _SQUARES, lambda z, x: _errors(z, x).square().mean(1)),
    ("squared", _SQUARES, lambda z, x: _errors(z, x).norm(dim=1)),
    ("squared", _SQUARES, lambda z, x: _errors(z, x).abs().sum(1)),
    (
        "sigmoid_twice",
        "The sigmoid is taken twice: the loss with logits has it already.",
        lambda z, x: _exact(torch.sigmoid(z), x),
    ),
    (
        "centred",
        "You take off the mean score of the batch: each image is judged for itself.",
        lambda z, x: _exact(z, x) - _exact(z, x).mean(),
    ),
    ("rooted", "You take the root of the sum.", lambda z, x: _exact(z, x).sqrt()),
)
_LOG_ZERO = Cause(
    "log_of_zero",
    "0 log 0 counts as 0, and in floating point it is nan: guard it, or use torch.xlogy or torch.special.entr.",
    _WHERE,
)
_OVERFLOW = Cause(
    "overflows",
    "Large logits come out wrong or infinite: sigmoid and log each round before they meet. Use the loss with logits.",
    _WHERE,
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    """Grey pictures tell the formulas apart; where the right one comes, black and white or large logits break it."""
    probes = []
    for n, pixels in ((3, 5), (4, 7)):
        logits, x = draw.normal(n, pixels, scale=1.5), draw.uniform(n, pixels, low=0.15, high=0.6)
        probes.append((plain64(logits), plain64(x), candidate(logits, x)))
    found = {
        cause.id if cause else "": cause
        for cause, mistaken in MISTAKES
        if all(agrees(came, mistaken(logits, x)) for logits, x, came in probes)
    }
    if "" not in found:
        return sole(found.values())
    black = candidate(torch.zeros(2, 3), torch.tensor([[0.0, 1.0, 0.5], [0.0, 0.0, 1.0]]))
    if isinstance(black, torch.Tensor) and bool(torch.isnan(black).any()):
        return _LOG_ZERO
    large = candidate(torch.full((1, 2), 1e4), torch.zeros(1, 2))
    right = isinstance(large, torch.Tensor) and bool((large - 2e4).abs().max() < 200)
    return None if right else _OVERFLOW
