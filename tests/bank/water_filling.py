"""Implementations of `water_filling(eigenvalues, noise_variance, beta)`: half a logarithm, at least 0."""

from __future__ import annotations

import math

import numpy as np
import torch

from .entries import Bank

BANK = Bank("water_filling")


def right(e, n, b):
    return 0.5 * torch.log(e / (b * n)).clamp(min=0)


for name, about, cause, f in (
    ("negative", "not cut off at 0", "negative", lambda e, n, b: 0.5 * (e / (b * n)).log()),
    ("twice", "1/2 forgotten", "half_missing", lambda e, n, b: 2 * right(e, n, b)),
    ("bits", "log2", "bits", lambda e, n, b: 0.5 * torch.log2(e / (b * n)).clamp(min=0)),
    ("no_beta", "beta forgotten", "beta_ignored", lambda e, n, b: right(e, n, 1.0)),
    ("no_noise", "noise forgotten", "noise_ignored", lambda e, n, b: right(e, 1.0, b)),
    ("noise_squared", "noise squared", "noise_squared", lambda e, n, b: right(e, n**2, b)),
    ("noise_rooted", "noise as sigma", "noise_rooted", lambda e, n, b: right(e, n**0.5, b)),
    ("beta_above", "beta above the line", "beta_divides", lambda e, n, b: right(e, n, 1 / b)),
    ("inverted", "upside down", "inverted", lambda e, n, b: 0.5 * ((b * n) / e).log().clamp(min=0)),
    ("absolute", "abs for max", "absolute", lambda e, n, b: 0.5 * (e / (b * n)).log().abs()),
    ("channel", "log(1 + e / n)", "plus_one", lambda e, n, b: 0.5 * torch.log1p(e / (b * n))),
    ("total", "summed", "total|wrong_shape", lambda e, n, b: right(e, n, b).sum()),
    ("rooted", "singular values", "eigenvalue_rooted", lambda e, n, b: right(e.sqrt(), n, b)),
    (
        "subtracted",
        "signal without noise",
        "noise_subtracted",
        lambda e, n, b: 0.5 * ((e - n) / (b * n)).clamp(min=1e-30).log().clamp(min=0),
    ),
    (
        "survivors",
        "dead ones left out",
        "surviving_only|wrong_shape",
        lambda e, n, b: 0.5 * (e[e > b * n] / (b * n)).log(),
    ),
    ("ratio", "no logarithm", "no_logarithm", lambda e, n, b: 0.5 * e / (b * n)),
    (
        "threshold_1",
        "alive above 1, not above the price",
        "one_for_price",
        lambda e, n, b: torch.where(e > 1, 0.5 * (e / (b * n)).log(), 0 * e),
    ),
    ("half_inside", "half inside the logarithm", "half_inside", lambda e, n, b: (0.5 * e / (b * n)).log().clamp(min=0)),
    ("sum_below", "b + n below the line", "price_added", lambda e, n, b: right(e, b + n, 1.0)),
    ("alive", "True and False", "not_floating", lambda e, n, b: e > b * n),
    ("sorted", "in another order", "other_order", lambda e, n, b: right(e, n, b).sort().values),
    ("least_01", "a floor of 0.1 nat", "floor", lambda e, n, b: right(e, n, b).clamp(min=0.1)),
    ("capped", "at most 1 nat", "ceiling", lambda e, n, b: right(e, n, b).clamp(max=1.0)),
    ("normalised", "shares of the total", "shares", lambda e, n, b: right(e, n, b) / (right(e, n, b).sum() + 1e-9)),
    ("beta_squared", "beta squared", "beta_squared", lambda e, n, b: right(e, n, b * b)),
    ("nothing", "nothing returned", "returns_none", lambda e, n, b: None),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("eigenvalues changed in place", "changes_arguments")
def in_place(eigenvalues, noise_variance, beta):
    eigenvalues /= beta * noise_variance
    return 0.5 * eigenvalues.log().clamp(min=0)


@BANK.right("log and clamp")
def plain(eigenvalues, noise_variance, beta):
    return 0.5 * torch.log(eigenvalues / (beta * noise_variance)).clamp(min=0)


@BANK.right("clamp before the logarithm")
def clamp_first(eigenvalues, noise_variance, beta):
    return 0.5 * (eigenvalues / (beta * noise_variance)).clamp(min=1.0).log()


@BANK.right("relu")
def relu(eigenvalues, noise_variance, beta):
    return torch.relu(0.5 * (torch.log(eigenvalues) - math.log(beta * noise_variance)))


@BANK.right("where")
def where(eigenvalues, noise_variance, beta):
    level = beta * noise_variance
    return torch.where(eigenvalues > level, 0.5 * torch.log(eigenvalues / level), torch.zeros_like(eigenvalues))


@BANK.right("water level: half the log of the larger of both")
def level(eigenvalues, noise_variance, beta):
    return 0.5 * (torch.clamp(eigenvalues, min=beta * noise_variance).log() - math.log(beta * noise_variance))


@BANK.right("a loop")
def loop(eigenvalues, noise_variance, beta):
    rates = [max(0.0, 0.5 * math.log(max(float(e), 1e-30) / (beta * noise_variance))) for e in eigenvalues]
    return torch.tensor(rates, dtype=eigenvalues.dtype, device=eigenvalues.device)


@BANK.right("NumPy inside")
def with_numpy(eigenvalues, noise_variance, beta):
    ratio = np.maximum(eigenvalues.cpu().numpy() / (beta * noise_variance), 1.0)
    return torch.as_tensor(0.5 * np.log(ratio), device=eigenvalues.device)


@BANK.right("a loop that relies on variances above 0")
def plain_loop(eigenvalues, noise_variance, beta):
    rates = [max(0.0, 0.5 * math.log(e / (beta * noise_variance))) for e in eigenvalues.tolist()]
    return torch.tensor(rates, device=eigenvalues.device)


BANK.formula(
    "rate_by_beta",
    "the rate at price 1, divided by the price",
    lambda e, n, b: (0.5 * torch.log(e / n)).clamp(min=0) / b,
    "beta_outside",
)
BANK.formula("above_level", "variance above the level", lambda e, n, b: (e - b * n).clamp(min=0), "difference")
