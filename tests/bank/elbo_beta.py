"""beta on the ELBO scale: beta_per_pixel * num_pixels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch

from .entries import Bank

BANK = Bank("elbo_beta")

for name, about, cause, f in (
    ("divided", "division for multiplication", "divided", lambda b, n: b / n),
    ("unchanged", "no conversion", "unconverted", lambda b, n: b),
    ("inverse", "n / beta", "inverse", lambda b, n: n / b if b else 0.0),
    ("reciprocal", "1 / (beta n)", "inverse", lambda b, n: 1 / (b * n) if b else 0.0),
    ("fixed", "784 written in", "fixed_size", lambda b, n: b * 784),
    ("side", "side of the image", "side_for_pixels", lambda b, n: b * math.sqrt(n)),
    ("squared", "twice", "squared", lambda b, n: b * n * n),
    ("added", "sum", "added", lambda b, n: b + n),
    ("whole", "int()", "rounded", lambda b, n: int(b * n)),
    ("rounded", "round()", "rounded", lambda b, n: round(b * n)),
    ("minus_one", "n - 1", "minus_one", lambda b, n: b * (n - 1)),
    ("doubled", "factor two", "factor_two", lambda b, n: 2 * b * n),
    ("halved", "factor one half", "factor_half", lambda b, n: b * n / 2),
    ("negative", "sign", "wrong_sign", lambda b, n: -b * n),
    ("rounded_digits", "rounded to two digits", None, lambda b, n: round(b * n, 2)),
    ("at_most_one", "clamped to 1", "capped", lambda b, n: min(b * n, 1.0)),
    ("text", "a string", "wrong_kind", lambda b, n: f"{b * n}"),
    ("nothing", "nothing returned", "returns_none", lambda b, n: None),
    ("truthy", "a truth value", "wrong_kind", lambda b, n: b * n > 0),
    ("vector", "a vector", "numpy_result", lambda b, n: np.array([b * n])),
    ("zero", "constant", None, lambda b, n: 0.0),
    ("lookup", "the homework's three values only", None, lambda b, n: {0: 0.0, 0.001: 0.784, 10: 7840.0}[b]),
    ("integer_division", "uses //", "rounded", lambda b, n: b * n // 1),
):
    BANK.formula(name, about, f, cause)


@BANK.right("product")
def product(beta_per_pixel, num_pixels):
    return beta_per_pixel * num_pixels


@BANK.right("float()")
def as_float(beta_per_pixel, num_pixels):
    return float(num_pixels) * float(beta_per_pixel)


@BANK.right("division by the inverse")
def by_inverse(beta_per_pixel, num_pixels):
    return beta_per_pixel / (1 / num_pixels)


@BANK.right("NumPy scalar")
def numpy_scalar(beta_per_pixel, num_pixels):
    return np.float64(beta_per_pixel) * num_pixels


@BANK.right("0-dimensional tensor")
def tensor(beta_per_pixel, num_pixels):
    return torch.tensor(beta_per_pixel, dtype=torch.float32) * num_pixels


@BANK.right("math.prod")
def prod(beta_per_pixel, num_pixels):
    return math.prod((beta_per_pixel, num_pixels))


@BANK.right("fractions")
def fraction(beta_per_pixel, num_pixels):
    return float(Fraction(beta_per_pixel) * num_pixels)
