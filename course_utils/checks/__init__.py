"""Checks: the laws that each exercise must obey, and the misconceptions that break them.

`score` is what a check returns, `law` runs the laws, `candidate` is the seam to the student's code, `demand` and
`randomness` are what laws ask of values, `causes` and `noise_causes` name misconceptions. One module per exercise.
"""

from __future__ import annotations

from .exercises import (
    build_autoencoder as architecture,
    median_bandwidth as bandwidth,
    reconstruction_loss as bernoulli,
    build_conv_autoencoder as convolution,
    critic_loss as critic,
    find_bug_1 as diagnosis,
    mmd_squared as discrepancy,
    vae_loss as elbo,
    kl_divergence as gaussian_kl,
    interpolate as interpolation,
    mmd_vae_loss as matched_loss,
    wasserstein_vae_loss as matching,
    train_step as optimisation,
    gradient_penalty as penalty,
    attribute_scores as probing,
    reparameterize as reparameterization,
    sample_images as sampling,
)
from .engine.law import Check
from .engine.score import Cause, LawResult, Score

CHECKS: dict[str, Check] = {
    check.exercise: check
    for check in (bernoulli.CHECK, architecture.CHECK, optimisation.CHECK, sampling.CHECK,
                  reparameterization.CHECK, gaussian_kl.CHECK, elbo.VAE_LOSS, elbo.ELBO_BETA,
                  interpolation.INTERPOLATE, interpolation.SLERP, discrepancy.CHECK, bandwidth.CHECK,
                  matched_loss.CHECK, critic.CHECK, penalty.CHECK, matching.CHECK,
                  diagnosis.FIND_BUG_1, diagnosis.FIND_BUG_2, diagnosis.FIND_BUG_3,
                  convolution.CHECK, probing.CHECK)
}

__all__ = ["CHECKS", "Cause", "Check", "LawResult", "Score"]
