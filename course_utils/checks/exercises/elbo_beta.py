"""Laws of `elbo_beta`."""

from .vae_loss import ELBO_BETA as CHECK

__all__ = ["CHECK"]
