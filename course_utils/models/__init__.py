"""Networks, the closed forms of their losses, the reader of digits, and models kept as runs."""

from .networks import (
    VAE,
    Autoencoder,
    GaussianAutoencoder,
    conv_autoencoder,
    conv_networks,
    evaluating,
    explaining,
    mlp,
    weights_dtype,
)
from .pca import corrected, pca

__all__ = [
    "VAE",
    "Autoencoder",
    "GaussianAutoencoder",
    "conv_autoencoder",
    "conv_networks",
    "corrected",
    "evaluating",
    "explaining",
    "mlp",
    "pca",
    "weights_dtype",
]
