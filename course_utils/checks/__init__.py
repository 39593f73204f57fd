"""Checks: the laws that each exercise must obey, and the misconceptions that break them.

`score` is what a check returns, `law` runs the laws, `candidate` is the seam to the student's code, `demand` and
`randomness` are what laws ask of values, `causes` and `noise_causes` name misconceptions. One module per exercise.
"""

from __future__ import annotations

from .engine.law import Check
from .engine.score import Cause, LawResult, Score
from .exercises import (
    attribute_scores as probing,
)
from .exercises import (
    build_autoencoder as architecture,
)
from .exercises import (
    build_conv_autoencoder as convolution,
)
from .exercises import (
    critic_loss as critic,
)
from .exercises import (
    find_bug_1 as diagnosis,
)
from .exercises import (
    gradient_penalty as penalty,
)
from .exercises import (
    interpolate as interpolation,
)
from .exercises import (
    kl_divergence as gaussian_kl,
)
from .exercises import (
    median_bandwidth as bandwidth,
)
from .exercises import (
    mmd_squared as discrepancy,
)
from .exercises import (
    mmd_vae_loss as matched_loss,
)
from .exercises import (
    reconstruction_loss as bernoulli,
)
from .exercises import (
    reparameterize as reparameterization,
)
from .exercises import (
    sample_images as sampling,
)
from .exercises import (
    train_step as optimisation,
)
from .exercises import (
    vae_loss as elbo,
)
from .exercises import (
    wasserstein_vae_loss as matching,
)

CHECKS: dict[str, Check] = {
    check.exercise: check
    for check in (
        bernoulli.CHECK,
        architecture.CHECK,
        optimisation.CHECK,
        sampling.CHECK,
        reparameterization.CHECK,
        gaussian_kl.CHECK,
        elbo.VAE_LOSS,
        elbo.ELBO_BETA,
        interpolation.INTERPOLATE,
        interpolation.SLERP,
        discrepancy.CHECK,
        bandwidth.CHECK,
        matched_loss.CHECK,
        critic.CHECK,
        penalty.CHECK,
        matching.CHECK,
        diagnosis.FIND_BUG_1,
        diagnosis.FIND_BUG_2,
        diagnosis.FIND_BUG_3,
        convolution.CHECK,
        probing.CHECK,
    )
}

__all__ = ["CHECKS", "Cause", "Check", "LawResult", "Score"]
