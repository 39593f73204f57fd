"""Checks: the laws that each exercise must obey, and the misconceptions that break them.

`score` is what a check returns, `law` runs the laws, `candidate` is the seam to the student's code, `demand` and
`randomness` are what laws ask of values, `causes` and `noise_causes` name misconceptions. One module per exercise.
"""

from __future__ import annotations

from . import (architecture, bandwidth, bernoulli, convolution, critic, diagnosis, discrepancy, elbo, gaussian_kl, interpolation,
               matched_loss, matching, optimisation, penalty, probing, reparameterization, sampling)
from .law import Check
from .score import Cause, LawResult, Score

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
