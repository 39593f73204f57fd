"""A bank of wrong and right implementations of every exercise, to judge the checks by.

Each wrong one carries the misconception that it stands for and the id of the cause that the check should name, or None
where it should name none. `BANKS` maps the exercise to its `Bank`.
"""

from __future__ import annotations

from . import (build_autoencoder, elbo_beta, kl_divergence, median_bandwidth, mmd_squared, mmd_vae_loss,
               reconstruction_loss, reparameterize, sample_images, train_step, vae_loss)
from .entries import Bank, Entry

BANKS: dict[str, Bank] = {
    module.BANK.exercise: module.BANK
    for module in (reconstruction_loss, build_autoencoder, train_step, sample_images, reparameterize, kl_divergence,
                   vae_loss, elbo_beta, mmd_squared, median_bandwidth, mmd_vae_loss)
}

__all__ = ["BANKS", "Bank", "Entry"]
