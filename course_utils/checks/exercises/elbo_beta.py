"""Laws of `elbo_beta(beta_per_pixel, num_pixels)`: from a loss averaged over pixels to the ELBO."""

from __future__ import annotations

from ..engine.candidate import Candidate
from ..engine.causes import sole, table
from ..engine.demand import number, same_number
from ..engine.law import Check, Draw
from ..engine.score import Cause

CHECK = Check("elbo_beta(beta_per_pixel, num_pixels)", "float")


@CHECK.law("converts the homework's labels on MNIST", weight=2)
def _homework(candidate: Candidate, draw: Draw) -> None:
    """Not random."""
    for beta in (0.001, 0.01, 10.0, 1 / 784):
        _converts(candidate, beta, 784)


@CHECK.law("converts for images of every size", weight=2)
def _sizes(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for pixels in (1, 64, 64 * 64 * 3, draw.integer(2, 9999)):
        _converts(candidate, draw.number(0.001, 0.1), pixels)


@CHECK.law("converts every beta: none, whole numbers, tiny ones")
def _betas(candidate: Candidate, draw: Draw) -> None:
    """Random inputs, exact comparison: a correct function never fails."""
    for beta in (0.0, 0, 1.0, 3, 1e-6, draw.number(5, 50), draw.number(100, 1000)):
        _converts(candidate, beta, 784)


def _converts(candidate: Candidate, beta: float, pixels: int) -> None:
    came = number(candidate(beta, pixels), "beta on the scale of the ELBO", tensor_allowed=True)
    what = f"beta for {beta:.4g} per pixel and {pixels} pixels"
    same_number(came, beta * pixels, what, rounding=1e-5, floor=1e-9)


_CONVERSION = (
    "the paragraph above the card of elbo_beta: a loss averaged over pixels is the summed one divided by num_pixels"
)
_CONVERSIONS = table(
    _CONVERSION,
    lambda b, n: b * n,
    (
        "divided",
        "You divide by num_pixels; the summed distortion is num_pixels times larger, so beta must grow too.",
        lambda b, n: b / n,
    ),
    ("unconverted", "You return beta unchanged.", lambda b, n: b),
    ("inverse", "You return the inverse, num_pixels / beta.", lambda b, n: n / b),
    ("inverse", "You return the inverse, 1 / (beta * num_pixels).", lambda b, n: 1 / (b * n)),
    (
        "fixed_size",
        "784 is written into your function: images of another size have another number of pixels.",
        lambda b, n: b * 784,
    ),
    (
        "side_for_pixels",
        "You multiply by the side of the image instead of its number of pixels.",
        lambda b, n: b * n**0.5,
    ),
    ("squared", "You multiply by num_pixels twice.", lambda b, n: b * n * n),
    ("added", "You add num_pixels; the factor multiplies.", lambda b, n: b + n),
    ("factor_two", "There is a factor of two too much.", lambda b, n: 2 * b * n),
    ("factor_half", "There is a factor of one half too much.", lambda b, n: b * n / 2),
    ("rounded", "You round to a whole number: 0.001 * 784 is 0.784, not 0 or 1.", lambda b, n: float(int(b * n))),
    ("rounded", "You round to a whole number: 0.001 * 784 is 0.784, not 0 or 1.", lambda b, n: float(round(b * n))),
    ("capped", "You cut the result off at 1; beta = 10 per pixel is 7840 on MNIST.", lambda b, n: min(b * n, 1.0)),
    ("minus_one", "num_pixels itself is the factor, not num_pixels - 1.", lambda b, n: b * (n - 1)),
    ("wrong_sign", "The sign is wrong.", lambda b, n: -b * n),
)


@CHECK.diagnosis
def _diagnose(candidate: Candidate, draw: Draw) -> Cause | None:
    probes = [
        (beta, pixels, number(candidate(beta, pixels), "beta", tensor_allowed=True))
        for beta, pixels in ((0.0137, 900), (2.3, 192), (0.31, 12288))
    ]
    return sole(
        cause
        for cause, formula in _CONVERSIONS
        if all(abs(came - formula(beta, pixels)) <= 1e-5 * abs(formula(beta, pixels)) for beta, pixels, came in probes)
    )
