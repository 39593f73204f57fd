"""Laws of `reconstruction_loss(logits, x)`: Bernoulli negative log-likelihood, in nats per image."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.nn.functional import logsigmoid, softplus

from ..engine.candidate import Candidate
from ..engine.causes import Formula, Probe, agrees, match_loss, table
from ..engine.demand import gradients, plain64, same_number, same_tensor, scalar
from ..engine.law import Check, Draw
from ..engine.score import Cause
from ..engine.trusted import bernoulli_size, bernoulli_terms
from ..engine.verdict import Broken, CallFailed, blame
from ..shared.batch_average import BatchAverage, Pair

CHECK = Check("reconstruction_loss(logits, x)", "scalar, Bernoulli negative log-likelihood in nats per image")


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Six fixed points; on average over 60 draws see `not_biased`: its false alarm is below 1e-7."""
    for logit, x in ((0.0, 0.0), (0.0, 1.0), (2.0, 1.0), (2.0, 0.0), (-3.0, 0.0), (-1.0, 1.0)):
        LOSS.is_right(candidate, _pixel(logit, x), f"of one pixel x = {x:g} at logit {logit:g}")
    LOSS.is_right_on_average(candidate, draw)


@CHECK.law("is right for grey pixels, not only for black and white", weight=2)
def _grey(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for logit, x in ((2.0, 0.5), (-2.0, 0.25), (3.0, 0.7), (1.0, 0.1)):
        try:
            LOSS.is_right(candidate, _pixel(logit, x), f"of one pixel x = {x:g} at logit {logit:g}")
        except CallFailed as failed:
            if "within the support" in failed.message:
                failed.cause = GREY_REFUSED
            raise
    given = draw.normal(5, 30, scale=2.0), draw.uniform(5, 30)
    LOSS.settled(candidate, given)
    LOSS.is_right(candidate, given, "of 5 grey images of 30 pixels")


@CHECK.law("adds up over pixels", weight=2)
def _adds_up(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single pixels: a correct function never fails."""
    LOSS.adds_up(candidate, draw)


@CHECK.law("is the average over the images of the batch", weight=2)
def _average(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single images: a correct function never fails."""
    LOSS.averages(candidate, draw)
    spread = torch.linspace(0, 3, 1200)[:, None]  # images unlike one another: all of a large batch must count
    LOSS.halves(candidate, (draw.normal(1200, 2) * spread, draw.pixels(1200, 2)))


@CHECK.law("sums over every axis but the first, whatever the shape of the images", weight=2)
def _shapes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for shape in ((3, 784), (2, 1, 28, 28), (4, 3, 4, 5), (1, 6, 7), (2, 2, 3, 2, 2)):
        with blame(partial(_last_axis, candidate, draw) if len(shape) > 2 else None):
            LOSS.is_right(candidate, draw_images(draw, *shape), f"of images of shape {shape}")


def _last_axis(candidate: Candidate, draw: Draw) -> Cause | None:
    return LAST_AXIS if _sums_one_axis(candidate, draw) else None


@CHECK.law("stays finite and right for logits of +-10000, and so does its gradient", weight=2)
def _stable(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for size in (15.0, 30.0, 90.0, 200.0, 1e4):
        for logit in (size, -size):
            for x in (0.0, 1.0, 0.5):
                _is_stable_at(candidate, draw, logit, x)


@CHECK.law("has the gradient sigmoid(logits) - x, divided by the batch size", weight=3, essential=True)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for shape in ((1, 9), (4, 7), (100, 5), (3, 150), (3, 3, 5, 5)):
        _has_gradient(candidate, draw, *shape)
    _has_gradient(candidate, draw, 3, 6, dtype=torch.float64)


@CHECK.law("gives the same number when asked twice, in double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    LOSS.is_one_number(candidate, draw_images(draw, 3, 4))
    wide = [draw_images(draw, *shape, dtype=torch.float64) for shape in ((1, 1), (1, 7), (6, 3))]
    for given in (*wide, _pixel(3.0, 0.0, torch.float64)):
        LOSS.settled(candidate, given)
        LOSS.is_right(candidate, given, f"of {len(given[0])} x {len(given[0][0])} in float64")
    for device in candidate.devices():
        logits, x = draw_images(draw, 4, 3)
        LOSS.is_right(candidate, (logits.to(device), x.to(device)), f"on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Random only in its inputs."""
    LOSS.behaves(candidate, (draw.normal(20, 4, scale=4.0), draw.pixels(20, 4)))


def draw_images(draw: Draw, *shape: int, dtype: torch.dtype = torch.float32) -> Pair:
    """Logits and pixels, black, white and grey, most of them badly predicted: what a wrong formula gets wrong at one
    pixel is not made good at another."""
    kind = draw.permutation(math.prod(shape)) % 6
    darkest = torch.tensor([0.1, 0.0, 1.0, 0.6, 0.0, 1.0])[kind]
    brightest = torch.tensor([0.4, 0.0, 1.0, 0.9, 0.0, 1.0])[kind]
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0, 1.0])[kind]
    x = darkest + (brightest - darkest) * draw.uniform(len(kind))
    logits = sign * draw.uniform(len(kind), low=0.5, high=7.0)
    return logits.view(shape).to(dtype), x.view(shape).to(dtype)


def _pixel(logit: float, x: float, dtype: torch.dtype = torch.float32) -> Pair:
    return torch.tensor([[logit]], dtype=dtype), torch.tensor([[x]], dtype=dtype)


def _sums_one_axis(candidate: Candidate, draw: Draw) -> bool:
    logits, x = draw.normal(4, 3, 5, 2), draw.pixels(4, 3, 5, 2)
    came, terms = candidate(logits.clone(), x.clone()), bernoulli_terms(plain64(logits), plain64(x))
    return any(agrees(came, terms.sum(axis).mean()) for axis in (1, -1))


def _is_stable_at(candidate: Candidate, draw: Draw, logit: float, x: float) -> None:
    a, t = _pixel(logit, x)
    right = max(logit, 0.0) - x * logit + math.log1p(math.exp(-abs(logit)))
    slope = torch.tensor([[1 / (1 + math.exp(-max(logit, -700.0))) - x]], dtype=torch.float64)
    where = f"at logit {logit:g}, x = {x:g}"
    try:
        value = scalar(candidate(a.requires_grad_(), t), f"the loss {where}")
        same_number(value, right, f"loss {where}", scale=max(abs(right), 0.05))
        (grad,) = gradients(candidate, value, (a,), ("logits",))
        same_tensor(grad, slope, f"gradient {where}", scale=1.0)
    except Broken as broken:
        overflow = "inf" in broken.got or "nan" in broken.got
        broken.cause = broken.cause or (OVERFLOW if overflow else CLAMPED if _clamps(candidate, draw) else None)
        raise


def _clamps(candidate: Candidate, draw: Draw) -> bool:
    """Right for small logits, gradient included, and wrong for large ones: something clamps."""
    given = draw.normal(4, 5), draw.pixels(4, 5)
    if not all(LOSS.is_exact(LOSS.value(candidate, given, learning), given, 1e-4) for learning in (False, True)):
        return False
    try:
        _gradient(candidate, draw)
    except Broken:
        return False
    return True


def _has_gradient(candidate: Candidate, draw: Draw, *shape: int, dtype: torch.dtype = torch.float32) -> None:
    n, given = shape[0], (draw.normal(*shape, scale=2.5, dtype=dtype), draw.pixels(*shape, dtype=dtype))
    want = (plain64(given[0]).sigmoid() - plain64(given[1])) / n
    logits = given[0].clone().requires_grad_()
    value = scalar(candidate(logits, given[1]), "the loss")
    (by_logits,) = gradients(candidate, value, (logits,), ("logits",))
    with blame(lambda: PART_DETACHED if LOSS.is_exact(value, given) and _value_is_right(candidate, draw) else None):
        same_tensor(by_logits, want, f"dloss/dlogits for images of shape {shape}", scale=1 / n)


def _value_is_right(candidate: Candidate, draw: Draw) -> bool:
    """Three draws: on a single one a wrong formula may come out right by chance."""
    drawn = [(draw.normal(5, 7, scale=2.5), draw.pixels(5, 7)) for _ in range(3)]
    return all(LOSS.is_exact(candidate(*given), given) for given in drawn)


_FORMULA = (
    "the maths hint under the card of reconstruction_loss: -x log p - (1 - x) log(1 - p) with p = sigmoid(logits)"
)
_STABLE = "the first hint under the card of reconstruction_loss (work on logits, not on probabilities)"

OVERFLOW = Cause(
    "overflow",
    "You take the logarithm of a probability that has been rounded to 0 or 1, or the "
    "exponential of a large number. Stay with the logits: torch has a loss that does.",
    _STABLE,
)
CLAMPED = Cause(
    "clamped",
    "A clamp (yours, or the one at 100 nats inside binary_cross_entropy) hides how wrong a "
    "confident pixel is, and its gradient is lost.",
    _STABLE,
    tentative=True,
)
PART_DETACHED = Cause(
    "detached_part",
    "The value is right but its gradient is not: part of the formula is detached, "
    "rounded or computed without gradients.",
    "uses of .detach(), .data, torch.no_grad or .round()",
    tentative=True,
)
RANDOM = Cause(
    "random_loss",
    "Your loss changes from call to call: there is noise or dropout in it, which does not belong there.",
    "random functions in your code",
)
GREY_REFUSED = Cause(
    "grey_refused",
    "The distribution that you use accepts 0 and 1 only; grey pixels lie between. Use "
    "the cross-entropy itself, or switch the validation of arguments off.",
    _FORMULA,
)
LAST_AXIS = Cause(
    "sums_last_axis_only",
    "You sum over one axis only. Images may have channels, rows and columns: sum over everything but the first axis.",
    "'Shapes' on the exercise card; flatten(1) helps",
)

LOSS = BatchAverage("loss", "pixels", ("logits", "x"), 1, draw_images, bernoulli_terms, bernoulli_size, RANDOM)


def _nll_of(p: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return -(x * p.clamp_min(1e-300).log() + (1 - x) * (1 - p).clamp_min(1e-300).log())


def _log_constant(a: torch.Tensor) -> torch.Tensor:
    """log C of the continuous Bernoulli, C = a / tanh(a / 2) (Loaiza-Ganem and Cunningham 2019, by p = sigmoid(a))."""
    a = torch.where(a.abs() < 1e-6, 1e-6, a)
    return (a / (a / 2).tanh()).log()


_GAUSSIAN = ", a Gaussian likelihood; a Bernoulli likelihood is asked for."
FORMULAS: list[Formula] = table(
    _FORMULA,
    bernoulli_terms,
    (
        "sign",
        "The sign is the wrong way round: this is the log-likelihood, and a loss is its negative.",
        lambda a, x: -bernoulli_terms(a, x),
    ),
    (
        "entropy_subtracted",
        "You subtract the entropy of the pixels, as a KL divergence does; the cross-entropy alone is asked for.",
        lambda a, x: bernoulli_terms(a, x) + torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x),
    ),
    (
        "grey_left_out",
        "Grey pixels do not count; the formula holds for every x from 0 to 1.",
        lambda a, x: bernoulli_terms(a, x) * ((x == 0) | (x == 1)),
    ),
    (
        "squared_error",
        "This is the squared error of the probabilities" + _GAUSSIAN,
        lambda a, x: (a.sigmoid() - x) ** 2,
    ),
    (
        "squared_error",
        "This is half the squared error of the probabilities" + _GAUSSIAN,
        lambda a, x: (a.sigmoid() - x) ** 2 / 2,
    ),
    (
        "squared_error_on_logits",
        "This is the squared error between logits and x; a Bernoulli likelihood is asked for.",
        lambda a, x: (a - x) ** 2,
    ),
    (
        "absolute_error",
        "This is the absolute error; a Bernoulli likelihood is asked for.",
        lambda a, x: (a.sigmoid() - x).abs(),
    ),
    (
        "absolute_error",
        "This is the absolute error between logits and x; a Bernoulli likelihood is asked for.",
        lambda a, x: (a - x).abs(),
    ),
    ("arguments_swapped", "logits and x are in each other's place.", lambda a, x: bernoulli_terms(x, a)),
    (
        "sigmoid_twice",
        "The sigmoid is applied twice: a loss `with_logits` takes logits, not probabilities.",
        lambda a, x: bernoulli_terms(a.sigmoid(), x),
    ),
    (
        "first_term_only",
        "Only -x log p is counted; dark pixels, -(1 - x) log(1 - p), count as well.",
        lambda a, x: -x * logsigmoid(a),
    ),
    (
        "second_term_only",
        "Only -(1 - x) log(1 - p) is counted; bright pixels, -x log p, count as well.",
        lambda a, x: -(1 - x) * logsigmoid(-a),
    ),
    (
        "terms_subtracted",
        "The two terms of the cross-entropy are subtracted; they must be added.",
        lambda a, x: -x * logsigmoid(a) + (1 - x) * logsigmoid(-a),
    ),
    (
        "inverted",
        "Bright and dark are exchanged: x weighs log p, 1 - x weighs log(1 - p).",
        lambda a, x: bernoulli_terms(a, 1 - x),
    ),
    (
        "binarised",
        "You round x to 0 or 1: grey pixels keep their value.",
        lambda a, x: bernoulli_terms(a, (x > 0.5).double()),
    ),
    (
        "bits",
        "You measure in bits (log2); the course measures in nats (natural logarithm).",
        lambda a, x: bernoulli_terms(a, x) / math.log(2),
    ),
    ("factor_two", "The loss is twice too large.", lambda a, x: 2 * bernoulli_terms(a, x)),
    (
        "factor_half",
        "The loss is half of what it should be: a Bernoulli likelihood has no factor one half.",
        lambda a, x: bernoulli_terms(a, x) / 2,
    ),
    (
        "tanh_for_sigmoid",
        "Probabilities come from the sigmoid of the logits, not from tanh.",
        lambda a, x: _nll_of((a.tanh() + 1) / 2, x),
    ),
    ("softplus_only", "The term x * logits is missing.", lambda a, x: softplus(a)),
    (
        "continuous_bernoulli",
        "This is the continuous Bernoulli, which adds a normalising constant; the course uses the plain cross-entropy.",
        lambda a, x: bernoulli_terms(a, x) - _log_constant(a),
    ),
    (
        "clamped_logits",
        "Negative logits are cut off: a relu or clamp does not belong here.",
        lambda a, x: bernoulli_terms(a.clamp_min(0), x),
    ),
)


def match_reconstruction(probes: list[Probe]) -> Cause | None:
    return match_loss(probes, FORMULAS)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, p in ((7, 4), (9, 2), (6, 5)):
        logits, x = draw.normal(n, p, scale=2.0), draw.pixels(n, p)
        probes.append(Probe((plain64(logits), plain64(x)), candidate(logits.clone(), x.clone())))
    return match_reconstruction(probes) or LOSS.otherwise_wrong(candidate, draw)
