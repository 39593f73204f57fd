"""The formulas that laws measure against, element by element and in float64.

They are a copy of their own, so that a mistake in the course's formulas cannot pass for right on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F


def bernoulli_terms(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """-log p(x | logits) of every pixel: softplus(logits) - x * logits, without overflow."""
    return logits.clamp_min(0) + torch.log1p(torch.exp(-logits.abs())) - x * logits


def bernoulli_size(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Size of the terms that an implementation adds up; rounding errors are measured against it."""
    return F.softplus(logits.abs()) + (x * logits).abs()


def kl_terms(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)) of every dimension (Kingma and Welling 2013, appendix B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar)


def kl_size(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """Size of the terms that are added up; a rounded logvar costs exp(logvar) in proportion to |logvar|."""
    return 0.5 * (mu.square() + logvar.exp() * (1 + logvar.abs() / 2) + 1 + logvar.abs())


def per_image(terms: torch.Tensor) -> float:
    """Sum over everything but the first axis, then average over the batch."""
    return float(terms.flatten(1).sum(1).mean())


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """|a_i - b_j|^2 of every pair: (N, D), (M, D) -> (N, M)."""
    return (a[:, None] - b[None]).square().sum(2)


def gaussian_kernels(squared: torch.Tensor, bandwidths: Sequence[float]) -> torch.Tensor:
    """Sum over s of exp(-squared / (2 s^2)), element by element."""
    return torch.stack([torch.exp(-squared / (2 * s**2)) for s in bandwidths]).sum(0)


def mean_off_diagonal(k: torch.Tensor) -> torch.Tensor:
    """Mean of a square matrix without its diagonal."""
    n = len(k)
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))


def mmd_parts(x: torch.Tensor, y: torch.Tensor, bandwidths: Sequence[float]) -> tuple[torch.Tensor, ...]:
    """Mean kernel within x, within y (self-pairs left out) and across (Gretton et al. 2012, equation 3)."""
    within = [mean_off_diagonal(gaussian_kernels(squared_distances(z, z), bandwidths)) for z in (x, y)]
    return *within, gaussian_kernels(squared_distances(x, y), bandwidths).mean()


def mmd(x: torch.Tensor, y: torch.Tensor, bandwidths: Sequence[float]) -> torch.Tensor:
    """The unbiased estimate of MMD^2, differentiable."""
    of_x, of_y, across = mmd_parts(x, y, bandwidths)
    return of_x + of_y - 2 * across


def mmd_size(x: torch.Tensor, y: torch.Tensor, bandwidths: Sequence[float]) -> float:
    """Size of the three terms that are added up."""
    of_x, of_y, across = mmd_parts(x, y, bandwidths)
    return float(of_x + of_y + 2 * across)


def reconstruction_loss(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A correct `reconstruction_loss`, lent to `train_step`."""
    if not isinstance(logits, torch.Tensor) or not isinstance(x, torch.Tensor) or logits.shape != x.shape:
        given = [tuple(v.shape) if isinstance(v, torch.Tensor) else type(v).__name__ for v in (logits, x)]
        raise ValueError(f"reconstruction_loss was given logits {given[0]} and x {given[1]}; expected the same shape")
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


def kl_divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """A correct `kl_divergence`, lent to `vae_loss`."""
    return 0.5 * (mu**2 + torch.exp(logvar) - 1 - logvar).flatten(1).sum(1).mean()


def interpolate(z_start: torch.Tensor, z_end: torch.Tensor, num_steps: int) -> torch.Tensor:
    """A correct `interpolate`, lent to `slerp`."""
    t = torch.linspace(0, 1, num_steps, dtype=z_start.dtype, device=z_start.device)[:, None]
    return (1 - t) * z_start + t * z_end


def mmd_squared(x: torch.Tensor, y: torch.Tensor, bandwidths: Sequence[float]) -> torch.Tensor:
    """A correct `mmd_squared`, lent to `mmd_vae_loss`."""
    if min(len(x), len(y)) < 2:
        raise ValueError(f"mmd_squared was given {len(x)} and {len(y)} codes; expected at least 2 each")
    means = []
    for a, b, within in ((x, x, 1), (y, y, 1), (x, y, 0)):
        squared = (a[:, None] - b[None]).pow(2).sum(2)
        kernel = torch.stack([torch.exp(-squared / (2 * s**2)) for s in bandwidths]).sum(0)
        means.append((kernel.sum() - within * kernel.diagonal().sum()) / (kernel.numel() - within * len(a)))
    return means[0] + means[1] - 2 * means[2]


def critic_loss(critic: torch.nn.Module, z_prior: torch.Tensor, z_posterior: torch.Tensor) -> torch.Tensor:
    """A correct `critic_loss`, lent to `critic_step`."""
    loss: torch.Tensor = critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()
    return loss


def gradient_penalty(critic: torch.nn.Module, z_prior: torch.Tensor, z_posterior: torch.Tensor) -> torch.Tensor:
    """A correct `gradient_penalty`, lent to `critic_step`."""
    t = torch.rand(len(z_prior), 1, dtype=z_prior.dtype, device=z_prior.device)
    points = (t * z_prior + (1 - t) * z_posterior).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    penalty: torch.Tensor = (slopes.norm(dim=1) - 1).square().mean()
    return penalty
