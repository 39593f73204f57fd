"""Check your answer to an exercise: `from course_utils import check`, then `check.kl_divergence(kl_divergence,
points=4)`.

Each function takes what you wrote and the points it is worth and returns a Score: its value in a notebook is the number
of points earned, with a table of the laws your function must obey, and where one is broken what was expected, what
came, and the likely cause. It never raises because of your function, repeats with fresh random inputs at every
call, and leaves the random generators of the notebook as they were.
"""

from __future__ import annotations

from typing import Any

from course_utils.checks import CHECKS, Score


def reconstruction_loss(candidate: Any, points: float = 1) -> Score:
    """Judge `reconstruction_loss(logits, x)`: scalar, Bernoulli negative log-likelihood in nats per image."""
    return CHECKS["reconstruction_loss"].judge(candidate, points)


def build_autoencoder(candidate: Any, points: float = 1) -> Score:
    """Judge `build_autoencoder(num_pixels, hidden_dim, latent_dim)`: (encoder, decoder)."""
    return CHECKS["build_autoencoder"].judge(candidate, points)


def train_step(candidate: Any, points: float = 1) -> Score:
    """Judge `train_step(autoencoder, x, optimizer)`: one step; the loss before it, a float.

    While it is judged, the name reconstruction_loss means a correct one, so that a mistake there costs nothing here.
    """
    return CHECKS["train_step"].judge(candidate, points)


def sample_images(candidate: Any, points: float = 1) -> Score:
    """Judge `sample_images(decoder, num_images, latent_dim)`: images in [0, 1] decoded from z ~ N(0, I)."""
    return CHECKS["sample_images"].judge(candidate, points)


def reparameterize(candidate: Any, points: float = 1) -> Score:
    """Judge `reparameterize(mu, logvar)`: z, differentiable in both, with fresh noise at every call."""
    return CHECKS["reparameterize"].judge(candidate, points)


def kl_divergence(candidate: Any, points: float = 1) -> Score:
    """Judge `kl_divergence(mu, logvar)`: scalar, in closed form, in nats per image."""
    return CHECKS["kl_divergence"].judge(candidate, points)


def vae_loss(candidate: Any, points: float = 1) -> Score:
    """Judge `vae_loss(logits, x, mu, logvar, beta)`: (loss, distortion, rate)."""
    return CHECKS["vae_loss"].judge(candidate, points)


def elbo_beta(candidate: Any, points: float = 1) -> Score:
    """Judge `elbo_beta(beta_per_pixel, num_pixels)`: float."""
    return CHECKS["elbo_beta"].judge(candidate, points)


def interpolate(candidate: Any, points: float = 1) -> Score:
    """Judge `interpolate(z_start, z_end, num_steps)`: codes on the straight line, both ends included."""
    return CHECKS["interpolate"].judge(candidate, points)


def slerp(candidate: Any, points: float = 1) -> Score:
    """Judge `slerp(z_start, z_end, num_steps)`: codes on Shoemake's spherical path, both ends included."""
    return CHECKS["slerp"].judge(candidate, points)


def critic_loss(candidate: Any, points: float = 1) -> Score:
    """Judge `critic_loss(critic, z_prior, z_posterior)`: scalar to minimise, gradients in the critic only."""
    return CHECKS["critic_loss"].judge(candidate, points)


def gradient_penalty(candidate: Any, points: float = 1) -> Score:
    """Judge `gradient_penalty(critic, z_prior, z_posterior)`: scalar, two-sided, at random points between the pairs."""
    return CHECKS["gradient_penalty"].judge(candidate, points)


def wasserstein_vae_loss(candidate: Any, points: float = 1) -> Score:
    """Judge `wasserstein_vae_loss(logits, x, critic, z_posterior, weight)`: (loss, distortion, gap)."""
    return CHECKS["wasserstein_vae_loss"].judge(candidate, points)


def find_bug_1(candidate: Any, points: float = 1) -> Score:
    """Judge `find_bug_1(evidence)`: True for a run whose penalty constrains another number than its loss uses."""
    return CHECKS["find_bug_1"].judge(candidate, points)


def find_bug_2(candidate: Any, points: float = 1) -> Score:
    """Judge `find_bug_2(evidence)`: True for a run that does not draw from one prior everywhere."""
    return CHECKS["find_bug_2"].judge(candidate, points)


def find_bug_3(candidate: Any, points: float = 1) -> Score:
    """Judge `find_bug_3(evidence)`: True for a run in which one of two losses counts 0.9 of its distortion."""
    return CHECKS["find_bug_3"].judge(candidate, points)


def mmd_squared(candidate: Any, points: float = 1) -> Score:
    """Judge `mmd_squared(x, y, bandwidths)`: scalar, the unbiased estimate under a sum of Gaussian kernels."""
    return CHECKS["mmd_squared"].judge(candidate, points)


def median_bandwidth(candidate: Any, points: float = 1) -> Score:
    """Judge `median_bandwidth(z)`: the median distance between two different codes; float or 0-dim tensor."""
    return CHECKS["median_bandwidth"].judge(candidate, points)


def mmd_vae_loss(candidate: Any, points: float = 1) -> Score:
    """Judge `mmd_vae_loss(logits, x, z_posterior, z_prior, weight, bandwidths)`: (loss, distortion, mmd)."""
    return CHECKS["mmd_vae_loss"].judge(candidate, points)


def build_conv_autoencoder(candidate: Any, points: float = 1) -> Score:
    """Judge `build_conv_autoencoder(channels, latent_dim)`: (encoder, decoder) of 64x64 pictures."""
    return CHECKS["build_conv_autoencoder"].judge(candidate, points)


def attribute_scores(candidate: Any, points: float = 1) -> Score:
    """Judge `attribute_scores(z, attributes)`: (A,) held-out ROC AUC of a linear probe for each attribute."""
    return CHECKS["attribute_scores"].judge(candidate, points)
