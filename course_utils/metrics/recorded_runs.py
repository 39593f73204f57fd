"""Short records of training runs, sound ones and ones with a planted bug, for practising diagnosis.

Each function makes the record of one run from a seed in a few milliseconds: the networks are built as training would
leave them rather than trained, so that a hundred runs can be had. A record is a dict of tensors and numbers. Nothing
in it says whether the run is buggy except what the bug itself does to the numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from . import distances

Evidence = dict[str, Any]  # tensors and numbers, by the names on the exercise card

PLACES = ("prior_in_critic_loss", "prior_in_penalty", "prior_in_samples")
SIDES = ("kl", "wasserstein")
UNIFORM = {"from 0 to 1": (0.0, 1.0), "from -1 to 1": (-1.0, 1.0), "of variance 1": (-math.sqrt(3), math.sqrt(3))}


def critic_run(
    seed: int,
    *,
    buggy: bool,
    outputs: int = 10,
    distance: float | None = None,
    dim: int | None = None,
    num_codes: int = 64,
    disagreement: float = 0.0,
) -> Evidence:
    """A critic between N(0, I) and a shifted Gaussian. Bug: its outputs are averaged, their sum is penalised.

    Args:
        buggy: the penalty holds the gradient of the *sum* of the outputs near length 1; in a sound run, that of their
            average, which is what the loss uses. With one output there is no difference.
        outputs: K, the critic's outputs.
        distance: how far apart the two Gaussians are; drawn from 4 to 12 if not given.
        dim: D; 2 to 4 if not given.
        disagreement: how far apart the slopes of several outputs are before they are scaled, in units of the slope of
            their average, which stays the same; 0 for outputs that resemble each other.

    Returns:
        z_prior, z_posterior, points (N, D); values_prior, values_posterior (N, K), the critic's outputs; gradients
        (N, K, D), of every output at each of the points between the pairs; the numbers estimate (mean of all
        values_prior minus mean of all values_posterior) and penalty as the run reported them; exact_distance, of the
        two batches by linear assignment.
    """
    g = torch.Generator().manual_seed(seed)
    dim = dim or int(_uniform(g, 2, 5))
    distance = distance or _uniform(g, 4, 12)
    direction = torch.randn(dim, generator=g)
    direction = direction / direction.norm()
    z_prior = torch.randn(num_codes, dim, generator=g)
    z_posterior = torch.randn(num_codes, dim, generator=g) + distance * direction
    mix = torch.rand(num_codes, 1, generator=g)
    points = mix * z_prior + (1 - mix) * z_posterior
    # the best critic falls at slope 1 along the shift; every output has its own small error, partly bent
    noise = torch.randn(outputs, dim, generator=g) / math.sqrt(dim)
    slopes = -direction + (disagreement * (noise - noise.mean(0)) if disagreement else 0.25 * noise)
    bend, weights = 0.5 * torch.randn(8, dim, generator=g), 0.1 * torch.randn(outputs, 8, generator=g)
    offsets = torch.randn(outputs, generator=g)

    def values(z: Tensor) -> Tensor:
        return z @ slopes.T + torch.tanh(z @ bend.T) @ weights.T + offsets

    gradients = slopes + ((1 - torch.tanh(points @ bend.T) ** 2)[:, None, :] * weights) @ bend
    constrained = gradients.sum(1) if buggy else gradients.mean(1)
    scale = _uniform(g, 0.9, 1.1) / float(constrained.norm(dim=1).mean())
    on_prior, on_posterior, gradients, constrained = (
        scale * t for t in (values(z_prior), values(z_posterior), gradients, constrained)
    )
    return {
        "z_prior": z_prior,
        "z_posterior": z_posterior,
        "values_prior": on_prior,
        "values_posterior": on_posterior,
        "points": points,
        "gradients": gradients,
        "estimate": float(on_prior.mean() - on_posterior.mean()),
        "penalty": float((constrained.norm(dim=1) - 1).square().mean()),
        "exact_distance": distances.wasserstein(z_prior, z_posterior),
    }


def prior_run(
    seed: int,
    *,
    buggy: bool,
    uniform: str = "from -1 to 1",
    mostly_uniform: bool = False,
    place: str | None = None,
    num_codes: int = 2000,
    dim: int = 10,
) -> Evidence:
    """What a run drew as prior codes in three places. Bug: uniform in one place, normal in another.

    Args:
        buggy: one of the places draws from the other distribution than the rest.
        uniform: which uniform distribution, a key of ``UNIFORM``.
        mostly_uniform: the uniform prior is the one used everywhere (except in the odd place of a buggy run).
        place: the odd place of a buggy run, one of ``PLACES``; drawn if not given.

    Returns:
        prior_in_critic_loss, prior_in_penalty, prior_in_samples: (N, D) each; estimates: (20,), the reported estimate
        of the distance at 20 times during training.
    """
    g = torch.Generator().manual_seed(seed)
    low, high = UNIFORM[uniform]
    place = place or PLACES[int(_uniform(g, 0, len(PLACES)))]
    evidence: Evidence = {}
    for name in PLACES:
        if mostly_uniform != (buggy and name == place):
            evidence[name] = low + (high - low) * torch.rand(num_codes, dim, generator=g)
        else:
            evidence[name] = torch.randn(num_codes, dim, generator=g)
    level, fall = _uniform(g, 0.2, 0.6), torch.linspace(0, 5, 20)
    evidence["estimates"] = level * (1 + 4 * torch.exp(-fall) + 0.1 * torch.randn(20, generator=g))
    return evidence


def loss_run(
    seed: int, *, buggy: bool, side: str | None = None, distortion: float | None = None, epochs: int = 12
) -> Evidence:
    """The logs of two trainings, a KL-VAE and one matched by a critic. Bug: one loss counts 0.9 of its distortion.

    Args:
        buggy: the loss of one of the two was formed with 0.9 * distortion.
        side: which of the two, ``"kl"`` or ``"wasserstein"``; drawn if not given.
        distortion: where the distortions end, roughly; drawn from 70 to 140 if not given.

    Returns:
        kl_loss, kl_distortion, kl_rate and wasserstein_loss, wasserstein_distortion, wasserstein_gap: (epochs,), means
        over an epoch, logged with five digits; the numbers beta and weight. In a sound run kl_loss = kl_distortion +
        beta * kl_rate, and wasserstein_loss = wasserstein_distortion + weight * wasserstein_gap, up to the rounding.
    """
    g = torch.Generator().manual_seed(seed)
    side = side or SIDES[int(_uniform(g, 0, len(SIDES)))]
    level = distortion or _uniform(g, 70, 140)
    time = torch.arange(epochs, dtype=torch.float64)

    def falling() -> Tensor:
        wobble = 1 + 0.01 * torch.randn(epochs, generator=g, dtype=torch.float64)
        return level * _uniform(g, 0.85, 1.15) * (1 + _uniform(g, 0.5, 1.0) * torch.exp(-time / 3)) * wobble

    kl_distortion, wasserstein_distortion = falling(), falling()
    share = torch.full((epochs,), _uniform(g, 0.05, 0.5)) * (1 - 0.5 * torch.exp(-time / 3))
    beta, weight = math.exp(_uniform(g, math.log(0.1), math.log(4))), math.exp(_uniform(g, 0, math.log(15)))
    kl_rate = share * level / beta
    wasserstein_gap = level * _uniform(g, -0.4, 1.0) * (1 + 0.2 * torch.randn(epochs, generator=g)) / weight
    counted = {name: 0.9 if buggy and name == side else 1.0 for name in SIDES}
    beta, weight = float(f"{beta:.3g}"), float(f"{weight:.3g}")
    return {
        "kl_loss": _logged(counted["kl"] * kl_distortion + beta * kl_rate),
        "kl_distortion": _logged(kl_distortion),
        "kl_rate": _logged(kl_rate),
        "beta": beta,
        "wasserstein_loss": _logged(counted["wasserstein"] * wasserstein_distortion + weight * wasserstein_gap),
        "wasserstein_distortion": _logged(wasserstein_distortion),
        "wasserstein_gap": _logged(wasserstein_gap),
        "weight": weight,
    }


def _uniform(g: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=g))


def _logged(values: Tensor) -> Tensor:
    return torch.tensor([float(f"{value:.5g}") for value in values.tolist()])
