"""PCA as an autoencoder, and networks that start as PCA and correct it.

A network that begins at random needs tens of thousands of steps to draw what the leading principal components draw
without any. One that begins *as* PCA is never worse than it for long, whatever its layers are.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from course_utils.datasets import scale
from course_utils.system.contracts import Images, Model, OneOf, Whole, takes

from .closed_forms import not_for_submissions
from .networks import Autoencoder

LEAST = 0.02  # what PCA draws is kept this far from black and white: their logits are infinite
FIRST_LOGVAR = -4.0
WHITENED, SCALED = "whitened", "scaled"


class Scale(nn.Module):
    """z (N, D) with each dimension times its own factor, which is learned and stays positive."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.log_factor = dim, nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor) -> Tensor:
        return z * self.log_factor.exp()


class PixelLogits(nn.Module):
    """Pixels, which a linear map draws above 1 and below 0 too, as logits of what lies between ``LEAST`` and 1 - it."""

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.logit(pixels.clamp(LEAST, 1 - LEAST))


class Corrected(nn.Module):
    """``linear(x) + gate * network(x)`` with one number ``gate`` that is learned from 0 on.

    Where the network gives more columns than the linear map, as for mu and logvar, the further ones begin at
    ``FIRST_LOGVAR``. The gate opens by about the learning rate a step, which is a warm-up: networks of any layers
    start as the linear map, not as noise (ReZero, Bachlechner et al. 2020).
    """

    def __init__(self, linear: nn.Module, network: nn.Module, more: int = 0) -> None:
        super().__init__()
        self.linear, self.network, self.more = linear, network, more
        self.gate = nn.Parameter(torch.zeros(()))
        self.further = nn.Parameter(torch.full((more,), FIRST_LOGVAR))

    def forward(self, x: Tensor) -> Tensor:
        base = self.linear(x)
        if self.more:
            base = torch.cat([base, self.further.expand(len(base), -1)], 1)
        correction = self.network(x)
        if correction.shape != base.shape:
            raise ValueError(
                f"the network gives {tuple(correction.shape)}; expected {tuple(base.shape)}, to correct it."
            )
        return base + self.gate * correction


@not_for_submissions
@takes(images=Images(), latent_dim=Whole(1), codes=OneOf((WHITENED, SCALED)))
@torch.no_grad()
def pca(images: Tensor, latent_dim: int, *, codes: str = WHITENED) -> Autoencoder:
    """The linear autoencoder of least squared error, with orthonormal directions; nothing is trained.

    The directions are frozen; a factor for each dimension, in the encoder and in the decoder, can be learned
    further. Randomised SVD (Halko, Martinsson and Tropp 2011), with a seed of its own.

    Args:
        images: training pictures (N, C, H, W) or flat ones (N, P), uint8 or in [0, 1].
        latent_dim: D, at most N and P.
        codes: ``whitened``: variance 1 in every dimension over the training pictures; ``scaled``: as PCA gives them,
            times one number that makes the mean variance 1: wide in the first dimensions, narrow in the last.

    Raises:
        ValueError: D is larger than what the pictures allow.
    """
    x = scale(images).flatten(1)
    if latent_dim > min(x.shape):
        raise ValueError(
            f"latent_dim is {latent_dim}; {x.shape[0]} pictures of {x.shape[1]} numbers allow {min(x.shape)}."
        )
    mean = x.mean(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _, values, directions = torch.svd_lowrank(x - mean, q=min(latent_dim + 32, *x.shape), niter=3)
    directions = directions[:, :latent_dim]
    deviations = (values[:latent_dim] / len(x) ** 0.5).clamp_min(1e-6)
    widths = deviations if codes == WHITENED else deviations.square().mean().sqrt().expand(latent_dim)
    encode, decode = nn.Linear(x.shape[1], latent_dim), nn.Linear(latent_dim, x.shape[1])
    encode.weight.copy_((directions / widths).T)
    encode.bias.copy_(-mean @ directions / widths)
    decode.weight.copy_(directions * widths)
    decode.bias.copy_(mean)
    for layer in (encode, decode):
        layer.requires_grad_(False)
    encoder = nn.Sequential(nn.Flatten(), encode, Scale(latent_dim))
    decoder = nn.Sequential(Scale(latent_dim), decode, nn.Unflatten(1, images.shape[1:]), PixelLogits())
    return Autoencoder(encoder, decoder).to(images.device)


@not_for_submissions
@takes(linear=Model(("encode", "decode")), encoder=Model(("forward",)), decoder=Model(("forward",)), more=Whole(0))
def corrected(
    linear: Autoencoder, encoder: nn.Module, decoder: nn.Module, *, more: int = 0
) -> tuple[nn.Module, nn.Module]:
    """(encoder, decoder) that begin as those of ``linear`` (see ``pca``) and learn to correct it with these networks.

    Args:
        more: columns that the encoder has beyond the codes: ``latent_dim`` for mu and logvar, 0 for a point.
    """
    start = copy.deepcopy(linear)
    return Corrected(start.encoder, encoder, more), Corrected(start.decoder, decoder)
