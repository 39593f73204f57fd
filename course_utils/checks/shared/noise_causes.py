"""Tell what a wrong sampler does, from its draws: which noise, scaled how, centred where.

The family of the noise is read off at mu = 0, logvar = 0; then centre and spread at planted points are compared with
what each known confusion of mu, sigma and logvar would give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..engine.causes import sole, table
from ..engine.demand import plain64
from ..engine.law import Draw
from ..engine.randomness import distance_in_order, normal_cdf
from ..engine.score import Cause

_NOISE = "the line that makes eps: torch.randn_like"
_SIGMA = (
    "the maths hint under the card of reparameterize: sigma = exp(logvar / 2), because logvar is the log of sigma^2"
)
_ROWS = 8192


@dataclass(frozen=True)
class Noise:
    cause: Cause | None
    cdf: Callable[[torch.Tensor], torch.Tensor]
    mean: float
    std: float


def _uniform(low: float, high: float) -> Noise:
    words = f"Your noise is uniform on [{low:.3g}, {high:.3g}]; it must be normal (randn, not rand)."
    return Noise(
        Cause("uniform_noise", words, _NOISE),
        lambda e: ((e - low) / (high - low)).clamp(0, 1),
        (low + high) / 2,
        (high - low) / math.sqrt(12),
    )


def _laplace(scale: float) -> Noise:
    return Noise(
        Cause("laplace_noise", "Your noise has a Laplace distribution; it must be normal.", _NOISE),
        lambda e: 0.5 + 0.5 * e.sign() * (1 - (-e.abs() / scale).exp()),
        0.0,
        scale * math.sqrt(2),
    )


_FAMILIES = [
    Noise(None, normal_cdf, 0.0, 1.0),
    _uniform(0, 1),
    _uniform(-1, 1),
    _uniform(-0.5, 0.5),
    _uniform(-math.sqrt(3), math.sqrt(3)),
    _laplace(1.0),
    _laplace(1 / math.sqrt(2)),
    Noise(
        Cause("absolute_noise", "Your noise is never negative: the absolute value of eps is taken.", _NOISE),
        lambda e: (2 * normal_cdf(e) - 1).clamp_min(0),
        math.sqrt(2 / math.pi),
        math.sqrt(1 - 2 / math.pi),
    ),
]
_SIGNS = Noise(
    Cause("sign_noise", "Your noise takes two values only, plus and minus one; it must be normal.", _NOISE),
    normal_cdf,
    0.0,
    1.0,
)

# centre and standard deviation of z
_MODELS = table(
    _SIGMA,
    lambda m, v: (m, (v / 2).exp()),
    (
        "variance_for_sigma",
        "You scale the noise by exp(logvar), the variance: the factor one half is missing.",
        lambda m, v: (m, v.exp()),
    ),
    ("logvar_for_sigma", "You scale the noise by logvar itself; sigma is exp(logvar / 2).", lambda m, v: (m, v.abs())),
    (
        "half_logvar_for_sigma",
        "You scale the noise by logvar / 2; the exponential is missing.",
        lambda m, v: (m, v.abs() / 2),
    ),
    (
        "sqrt_logvar_for_sigma",
        "You scale the noise by the root of logvar; logvar is a logarithm: exponentiate it.",
        lambda m, v: (m, v.abs().sqrt()),
    ),
    ("quarter", "You take the half twice: the noise is scaled by exp(logvar / 4).", lambda m, v: (m, (v / 4).exp())),
    ("double", "You scale the noise by exp(2 logvar): the factor should be one half.", lambda m, v: (m, (2 * v).exp())),
    (
        "sign_of_logvar",
        "The exponent has the wrong sign: the noise is scaled by exp(-logvar / 2).",
        lambda m, v: (m, (-v / 2).exp()),
    ),
    (
        "half_outside",
        "The half belongs inside the exponential: exp(logvar / 2), not exp(logvar) / 2.",
        lambda m, v: (m, v.exp() / 2),
    ),
    ("half_sigma", "You divide sigma by two.", lambda m, v: (m, (v / 2).exp() / 2)),
    (
        "softplus",
        "You take softplus(logvar) for sigma; logvar is a logarithm: exponentiate half of it.",
        lambda m, v: (m, torch.nn.functional.softplus(v)),
    ),
    ("unscaled", "You do not scale the noise: sigma = exp(logvar / 2) is missing.", lambda m, v: (m, 0 * v + 1)),
    ("no_mu", "mu is missing: z must be centred on it.", lambda m, v: (0 * m, (v / 2).exp())),
    ("mu_subtracted", "mu has the wrong sign.", lambda m, v: (-m, (v / 2).exp())),
    ("arguments_swapped", "mu and logvar are in each other's place.", lambda m, v: (v, (m / 2).exp())),
    (
        "sigma_on_mu",
        "You scale mu by sigma and leave the noise unscaled: it is the noise that is scaled.",
        lambda m, v: (m * (v / 2).exp(), 0 * v + 1),
    ),
    (
        "sigma_on_both",
        "You scale mu as well: only the noise is multiplied by sigma.",
        lambda m, v: (m * (v / 2).exp(), (v / 2).exp()),
    ),
    ("multiplied", "You multiply mu by the noise: it must be added.", lambda m, v: (0 * m, (m * (v / 2).exp()).abs())),
    (
        "sigma_added",
        "You add sigma instead of multiplying the noise by it.",
        lambda m, v: (m + (v / 2).exp(), 0 * v + 1),
    ),
)


def name_the_noise(sample: Callable[[torch.Tensor, torch.Tensor], object], draw: Draw) -> Cause | None:
    """The one cause that explains centre, spread and family of what `sample(mu, logvar)` draws; None if none or
    several."""
    family = _family(_draws(sample, torch.zeros(8), torch.zeros(8))) or _FAMILIES[0]
    mu = torch.tensor([0.0, 1.5, -2.0, 0.8, 3.0, -1.2, 2.2, 0.0])
    logvar = torch.tensor([0.7, -1.5, 1.0, -0.6, 2.0, 0.4, -2.5, -1.0]) + draw.number(-0.1, 0.1)
    z = _draws(sample, mu, logvar)
    if z is None:
        return None
    std, mean = z.std(0), z.mean(0)
    return sole(
        cause or family.cause
        for cause, model in _MODELS
        if _explains(std, mean, *model(plain64(mu), plain64(logvar)), family, plain64(mu))
    )


def _explains(
    std: torch.Tensor, mean: torch.Tensor, centre: torch.Tensor, spread: torch.Tensor, noise: Noise, mu: torch.Tensor
) -> bool:
    right_std = (std - spread * noise.std).abs() <= 0.07 * spread * noise.std + 1e-9
    shift = (mean - centre - spread * noise.mean).abs()
    return bool(right_std.all()) and bool((shift <= 0.08 * std + 0.01 * mu.abs()).all())


def _draws(sample: Callable, mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor | None:
    z = sample(mu.repeat(_ROWS, 1), logvar.repeat(_ROWS, 1))
    if not isinstance(z, torch.Tensor) or z.shape != (_ROWS, len(mu)):
        return None
    z = plain64(z)
    return z if bool(torch.isfinite(z).all()) else None


def _family(z: torch.Tensor | None) -> Noise | None:
    """The only family whose distribution function fits the draws within twice the bound for genuine noise."""
    if z is None:
        return None
    if float((z.abs() - 1).abs().max()) < 1e-3:
        return _SIGNS
    ordered = z.flatten().sort().values
    fits = [noise for noise in _FAMILIES if distance_in_order(ordered, noise.cdf) < 0.025]
    return fits[0] if len(fits) == 1 else None
