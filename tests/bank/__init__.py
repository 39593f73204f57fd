"""A bank of wrong and right implementations of every exercise, to judge the checks by.

Each wrong one carries the misconception that it stands for and the id of the cause that the check should name, or None
where it should name none. `BANKS` maps the exercise to its `Bank`.
"""

from __future__ import annotations

from . import (
    attribute_scores,
    build_autoencoder,
    build_conv_autoencoder,
    critic_loss,
    elbo_beta,
    find_bug_1,
    find_bug_2,
    find_bug_3,
    gradient_penalty,
    interpolate,
    kl_divergence,
    median_bandwidth,
    mmd_squared,
    mmd_vae_loss,
    reconstruction_loss,
    reparameterize,
    sample_images,
    slerp,
    train_step,
    vae_loss,
    wasserstein_vae_loss,
)
from .entries import Bank, Entry

BANKS: dict[str, Bank] = {
    module.BANK.exercise: module.BANK
    for module in (
        reconstruction_loss,
        build_autoencoder,
        train_step,
        sample_images,
        reparameterize,
        kl_divergence,
        vae_loss,
        elbo_beta,
        interpolate,
        slerp,
        mmd_squared,
        median_bandwidth,
        mmd_vae_loss,
        critic_loss,
        gradient_penalty,
        wasserstein_vae_loss,
        find_bug_1,
        find_bug_2,
        find_bug_3,
        build_conv_autoencoder,
        attribute_scores,
    )
}

__all__ = ["BANKS", "Bank", "Entry"]
