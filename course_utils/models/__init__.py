"""Networks, the closed forms of their losses, the reader of digits, and models kept as runs."""

from .networks import Autoencoder, GaussianAutoencoder, VAE, conv_autoencoder, conv_networks, evaluating, mlp

__all__ = ["Autoencoder", "GaussianAutoencoder", "VAE", "conv_autoencoder", "conv_networks", "evaluating", "mlp"]
