"""Laws of `reconstruction_loss(logits, x)`: Bernoulli negative log-likelihood, in nats per image."""

from __future__ import annotations

import math

import torch

from ..engine.candidate import Candidate
from ..engine.causes import Formula, Probe, agrees, match_loss
from ..engine.demand import gradients, not_biased, plain64, same_number, same_tensor, scalar, untouched, well_behaved
from ..engine.law import Check, Draw, show
from ..engine.score import Cause
from ..engine.trusted import bernoulli_size, bernoulli_terms, per_image
from ..engine.verdict import Broken, CallFailed

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


def _wrong(id: str, sentence: str) -> Cause:
    return Cause(id, sentence, _FORMULA)


def _nll_of(p: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return -(x * p.clamp_min(1e-300).log() + (1 - x) * (1 - p).clamp_min(1e-300).log())


FORMULAS: list[Formula] = [
    (None, bernoulli_terms),
    (
        _wrong("sign", "The sign is the wrong way round: this is the log-likelihood, and a loss is its negative."),
        lambda a, x: -bernoulli_terms(a, x),
    ),
    (
        _wrong(
            "squared_error",
            "This is the squared error of the probabilities, a Gaussian likelihood; a Bernoulli "
            "likelihood is asked for.",
        ),
        lambda a, x: (a.sigmoid() - x) ** 2,
    ),
    (
        _wrong(
            "squared_error",
            "This is half the squared error of the probabilities, a Gaussian likelihood; a Bernoulli "
            "likelihood is asked for.",
        ),
        lambda a, x: (a.sigmoid() - x) ** 2 / 2,
    ),
    (
        _wrong(
            "squared_error_on_logits",
            "This is the squared error between logits and x; a Bernoulli likelihood is asked for.",
        ),
        lambda a, x: (a - x) ** 2,
    ),
    (
        _wrong("absolute_error", "This is the absolute error; a Bernoulli likelihood is asked for."),
        lambda a, x: (a.sigmoid() - x).abs(),
    ),
    (
        _wrong(
            "absolute_error", "This is the absolute error between logits and x; a Bernoulli likelihood is asked for."
        ),
        lambda a, x: (a - x).abs(),
    ),
    (_wrong("arguments_swapped", "logits and x are in each other's place."), lambda a, x: bernoulli_terms(x, a)),
    (
        _wrong("sigmoid_twice", "The sigmoid is applied twice: a loss `with_logits` takes logits, not probabilities."),
        lambda a, x: bernoulli_terms(a.sigmoid(), x),
    ),
    (
        _wrong("first_term_only", "Only -x log p is counted; dark pixels, -(1 - x) log(1 - p), count as well."),
        lambda a, x: -x * torch.nn.functional.logsigmoid(a),
    ),
    (
        _wrong("second_term_only", "Only -(1 - x) log(1 - p) is counted; bright pixels, -x log p, count as well."),
        lambda a, x: -(1 - x) * torch.nn.functional.logsigmoid(-a),
    ),
    (
        _wrong("terms_subtracted", "The two terms of the cross-entropy are subtracted; they must be added."),
        lambda a, x: -x * torch.nn.functional.logsigmoid(a) + (1 - x) * torch.nn.functional.logsigmoid(-a),
    ),
    (
        _wrong("inverted", "Bright and dark are exchanged: x weighs log p, 1 - x weighs log(1 - p)."),
        lambda a, x: bernoulli_terms(a, 1 - x),
    ),
    (
        _wrong("binarised", "You round x to 0 or 1: grey pixels keep their value."),
        lambda a, x: bernoulli_terms(a, (x > 0.5).double()),
    ),
    (
        _wrong("bits", "You measure in bits (log2); the course measures in nats (natural logarithm)."),
        lambda a, x: bernoulli_terms(a, x) / math.log(2),
    ),
    (_wrong("factor_two", "The loss is twice too large."), lambda a, x: 2 * bernoulli_terms(a, x)),
    (
        _wrong("factor_half", "The loss is half of what it should be: a Bernoulli likelihood has no factor one half."),
        lambda a, x: bernoulli_terms(a, x) / 2,
    ),
    (
        _wrong("tanh_for_sigmoid", "Probabilities come from the sigmoid of the logits, not from tanh."),
        lambda a, x: _nll_of((a.tanh() + 1) / 2, x),
    ),
    (_wrong("softplus_only", "The term x * logits is missing."), lambda a, x: torch.nn.functional.softplus(a)),
    (
        _wrong(
            "continuous_bernoulli",
            "This is the continuous Bernoulli, which adds a normalising constant; the course "
            "uses the plain cross-entropy.",
        ),
        lambda a, x: bernoulli_terms(a, x) - _log_constant(a),
    ),
    (
        _wrong("clamped_logits", "Negative logits are cut off: a relu or clamp does not belong here."),
        lambda a, x: bernoulli_terms(a.clamp_min(0), x),
    ),
]


def _log_constant(a: torch.Tensor) -> torch.Tensor:
    return torch.distributions.ContinuousBernoulli(logits=a)._cont_bern_log_norm()


def match_reconstruction(probes: list[Probe]) -> Cause | None:
    return match_loss(probes, FORMULAS)


def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = []
    for n, p in ((7, 4), (9, 2), (6, 5)):
        logits, x = draw.normal(n, p, scale=2.0), draw.pixels(n, p)
        probes.append(Probe((plain64(logits), plain64(x)), candidate(logits.clone(), x.clone())))
    return match_reconstruction(probes)


CHECK = Check("reconstruction_loss(logits, x)", "scalar, Bernoulli negative log-likelihood in nats per image")
CHECK.diagnosis(_diagnose)


def _value(candidate: Candidate, logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return scalar(candidate(logits.clone(), x.clone()), "the loss")


def _same(candidate: Candidate, logits: torch.Tensor, x: torch.Tensor, what: str) -> None:
    """The value, of plain logits and, as in training, of logits that require a gradient."""
    a, t = plain64(logits), plain64(x)
    for learning, when in ((False, ""), (True, ", logits requiring a gradient")):
        value = scalar(candidate(logits.clone().requires_grad_(learning), x.clone()), "the loss")
        same_number(value, per_image(bernoulli_terms(a, t)), what + when, scale=per_image(bernoulli_size(a, t)))


@CHECK.law("is right where you can work it out by hand", weight=2)
def _by_hand(candidate: Candidate, draw: Draw) -> None:
    """Six fixed points; on average over 60 draws see `not_biased`: its false alarm is below 1e-7."""
    for logit, x in ((0.0, 0.0), (0.0, 1.0), (2.0, 1.0), (2.0, 0.0), (-3.0, 0.0), (-1.0, 1.0)):
        _same(
            candidate, torch.tensor([[logit]]), torch.tensor([[x]]), f"loss of one pixel x = {x:g} at logit {logit:g}"
        )
    errors = []
    for _ in range(60):
        logits, x = draw.normal(4, 10, scale=2.0), draw.pixels(4, 10)
        right = per_image(bernoulli_terms(plain64(logits), plain64(x)))
        errors.append(float(_value(candidate, logits, x).detach()) / right - 1)
    not_biased(errors, "loss")


@CHECK.law("is right for grey pixels, not only for black and white", weight=2)
def _grey(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for logit, x in ((2.0, 0.5), (-2.0, 0.25), (3.0, 0.7), (1.0, 0.1)):
        try:
            _same(
                candidate,
                torch.tensor([[logit]]),
                torch.tensor([[x]]),
                f"loss of one pixel x = {x:g} at logit {logit:g}",
            )
        except CallFailed as failed:
            refused = "within the support" in failed.message
            raise CallFailed(failed.kind, failed.message, GREY_REFUSED if refused else failed.cause) from None
    n, p = draw.integer(3, 6), draw.integer(20, 40)
    _same(candidate, draw.normal(n, p, scale=2.0), draw.uniform(n, p), f"loss of {n} grey images of {p} pixels")


@CHECK.law("adds up over pixels", weight=2)
def _adds_up(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single pixels: a correct function never fails."""
    p = draw.integer(5, 9)
    logits, x = draw.normal(1, p, scale=2.0), draw.pixels(1, p)
    singles = [float(_value(candidate, logits[:, i : i + 1], x[:, i : i + 1]).detach()) for i in range(p)]
    size = max(per_image(bernoulli_size(plain64(logits), plain64(x))), sum(map(abs, singles)))
    if sum(map(abs, singles)) < 1e-6:
        raise Broken("a loss above 0", "0")
    same_number(_value(candidate, logits, x), sum(singles), f"loss of {p} pixels (sum of its pixels)", scale=size)


@CHECK.law("is the average over the images of the batch", weight=2)
def _average(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, compared with the same function on single images: a correct function never fails."""
    n, p = draw.integer(3, 6), draw.integer(3, 8)
    logits, x = draw.normal(n, p, scale=2.0), draw.pixels(n, p)
    singles = [float(_value(candidate, logits[i : i + 1], x[i : i + 1]).detach()) for i in range(n)]
    size = max(per_image(bernoulli_size(plain64(logits), plain64(x))), max(map(abs, singles)))
    if sum(map(abs, singles)) < 1e-6:
        raise Broken("a loss above 0", "0")
    whole = _value(candidate, logits, x)
    same_number(whole, sum(singles) / n, f"loss of a batch of {n} (average of its images)", scale=size)
    order = draw.permutation(n)
    same_number(
        _value(candidate, logits[order], x[order]),
        float(whole.detach()),
        "loss of the same batch in another order",
        scale=size,
    )
    same_number(
        _value(candidate, logits.repeat(40, 1), x.repeat(40, 1)),
        float(whole.detach()),
        "loss of the same batch 40 times over",
        scale=size,
    )
    n = 2 * draw.integer(450, 550)
    spread = torch.linspace(0, 3, n)[:, None]  # images unlike one another: all of a large batch must count
    _proportional(candidate, draw.normal(n, 2) * spread, draw.pixels(n, 2))


def _proportional(candidate: Candidate, logits: torch.Tensor, x: torch.Tensor) -> None:
    """The batch is the average of its halves."""
    half = len(x) // 2
    halves = [float(_value(candidate, logits[part], x[part]).detach()) for part in (slice(half), slice(half, None))]
    same_number(
        _value(candidate, logits, x),
        sum(halves) / 2,
        f"loss of a batch of {len(x)} (average of its halves)",
        scale=sum(map(abs, halves)) / 2,
    )


@CHECK.law("sums over every axis but the first, whatever the shape of the images", weight=2)
def _shapes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for shape in ((3, 784), (2, 1, 28, 28), (4, 3, 4, 5), (1, 6, 7), (2, 2, 3, 2, 2)):
        logits, x = draw.normal(*shape, scale=2.0), draw.pixels(*shape)
        try:
            _same(candidate, logits, x, f"loss of images of shape {shape}")
        except Broken as broken:
            one_axis = len(shape) > 2 and _sums_one_axis(candidate, draw)
            raise Broken(broken.expected, broken.got, LAST_AXIS if one_axis else broken.cause) from None


def _sums_one_axis(candidate: Candidate, draw: Draw) -> bool:
    logits, x = draw.normal(4, 3, 5, 2), draw.pixels(4, 3, 5, 2)
    came, terms = candidate(logits.clone(), x.clone()), bernoulli_terms(plain64(logits), plain64(x))
    return any(agrees(came, terms.sum(axis).mean()) for axis in (1, -1))


@CHECK.law("stays finite and right for logits of +-10000, and so does its gradient", weight=2)
def _stable(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for size in (15.0, 30.0, 90.0, 200.0, 1e4):
        for sign in (1.0, -1.0):
            for x in (0.0, 1.0, 0.5):
                _stable_at(candidate, sign * size, x)


def _stable_at(candidate: Candidate, logit: float, x: float) -> None:
    a = torch.tensor([[logit]], requires_grad=True)
    right = max(logit, 0.0) - x * logit + math.log1p(math.exp(-abs(logit)))
    where = f"at logit {logit:g}, x = {x:g}"
    try:
        value = scalar(candidate(a, torch.tensor([[x]])), f"the loss {where}")
        same_number(value, right, f"loss {where}", scale=max(abs(right), 0.05))
    except Broken as broken:
        raise Broken(broken.expected, broken.got, broken.cause or _range_cause(broken, candidate)) from None
    want = torch.tensor([[1 / (1 + math.exp(-max(logit, -700.0))) - x]], dtype=torch.float64)
    try:
        (grad,) = gradients(candidate, value, (a,), ("logits",))
        same_tensor(grad, want, f"gradient {where}", scale=1.0)
    except Broken as broken:
        raise Broken(broken.expected, broken.got, broken.cause or _range_cause(broken, candidate)) from None


def _is_not_finite(broken: Broken) -> bool:
    return "inf" in broken.got or "nan" in broken.got


def _range_cause(broken: Broken, candidate: Candidate) -> Cause | None:
    return OVERFLOW if _is_not_finite(broken) else _clamp_cause(candidate)


def _clamp_cause(candidate: Candidate) -> Cause | None:
    """Right for small logits, gradient included, and wrong for large ones: something clamps."""
    draw = Draw()
    logits, x = draw.normal(4, 5), draw.pixels(4, 5)
    right = torch.tensor(per_image(bernoulli_terms(plain64(logits), plain64(x))), dtype=torch.float64)
    if not all(
        agrees(candidate(logits.clone().requires_grad_(learning), x), right, 1e-4) for learning in (False, True)
    ):
        return None
    try:
        _gradient(candidate, draw)
    except Broken:
        return None
    return CLAMPED


@CHECK.law("has the gradient sigmoid(logits) - x, divided by the batch size", weight=3)
def _gradient(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    size = draw.integer
    for shape, dtype in (
        ((1, 9), torch.float32),
        ((4, 7), torch.float32),
        ((size(60, 120), size(3, 6)), torch.float32),
        ((size(2, 4), size(100, 150)), torch.float32),
        ((3, 6), torch.float64),
        ((size(2, 4), size(2, 3), size(4, 6), size(4, 6)), torch.float32),
    ):
        n, logits, x = shape[0], draw.normal(*shape, scale=2.5, dtype=dtype), draw.pixels(*shape, dtype=dtype)
        a, t = plain64(logits), plain64(x)
        logits.requires_grad_()
        value = scalar(candidate(logits, x), "the loss")
        (by_logits,) = gradients(candidate, value, (logits,), ("logits",))
        try:
            same_tensor(by_logits, (a.sigmoid() - t) / n, f"dloss/dlogits for images of shape {shape}", scale=1 / n)
        except Broken as broken:
            right = torch.tensor(per_image(bernoulli_terms(a, t)), dtype=torch.float64)
            cause = PART_DETACHED if agrees(value, right, 1e-5) and _value_is_right(candidate, draw) else None
            raise Broken(broken.expected, broken.got, cause) from None


def _value_is_right(candidate: Candidate, draw: Draw) -> bool:
    """Three draws: on a single one a wrong formula may come out right by chance."""
    for _ in range(3):
        logits, x = draw.normal(5, 7, scale=2.5), draw.pixels(5, 7)
        right = torch.tensor(per_image(bernoulli_terms(plain64(logits), plain64(x))), dtype=torch.float64)
        if not agrees(candidate(logits, x), right, 1e-5):
            return False
    return True


@CHECK.law("gives the same number when asked twice, in double precision, and on your accelerator")
def _anywhere(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for n, p in ((1, 1), (1, 7), (6, 3)):
        logits, x = draw.normal(n, p, dtype=torch.float64), draw.pixels(n, p, dtype=torch.float64)
        first, second = (float(_value(candidate, logits, x).detach()) for _ in range(2))
        if abs(first - second) > 1e-5 * abs(first):
            raise Broken(f"the same number again, {show(first)}", show(second), RANDOM)
        _same(candidate, logits, x, f"loss of {n} x {p} in float64")
    for device in candidate.devices():
        _same(candidate, draw.normal(4, 3).to(device), draw.pixels(4, 3).to(device), f"loss on {device}")


@CHECK.law("leaves its arguments and the random generators alone", manners=True)
def _manners(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    logits, x = draw.normal(20, 4, scale=4.0), draw.pixels(20, 4)
    kept = logits.clone(), x.clone()
    scalar(candidate(logits, x), "the loss")
    untouched(kept, (logits, x), ("logits", "x"))
    well_behaved(candidate)
