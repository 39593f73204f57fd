"""Encoders and decoders that are given to students.

Everywhere: ``x`` images in [0, 1]; ``logits`` decoder output before the sigmoid, same shape as ``x``; codes (N, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from course_utils.system.contracts import Whole, takes

from . import closed_forms as reference

# A trained model as measures and pictures take it: a module with ``encode`` (images -> codes, or mu and logvar) and
# ``decode`` (codes -> logits). It need inherit from nothing here, and torch types what a module holds as "tensor or
# module", so a type checker is told no more than this.
LatentModel: TypeAlias = Any

# Where noise costs nothing and codes far away are not pulled back, logvar doubles from step to step until exp
# overflows. Trainings of the course's models on MNIST stay between -55 and 3.4.
LOGVAR_RANGE = (-80.0, 8.0)


def mlp(sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given sizes with ``activation`` between them; the last layer stays linear.

    >>> encoder = mlp([784, 400, 20])
    >>> encoder(torch.zeros(5, 784)).shape
    torch.Size([5, 20])
    """
    try:
        whole = [Whole(1).take("size", size) for size in sizes]
    except (ValueError, TypeError):
        whole = []
    if len(whole) < 2:
        given = list(sizes) if isinstance(sizes, Iterable) else sizes
        raise ValueError(f"sizes is {given}; expected at least two whole numbers from 1 up: input, ..., output.")
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(whole):
        layers += [nn.Linear(width_in, width_out), activation()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """An encoder and a decoder as one model: ``logits, z = model(x)``.

    Args:
        encoder: x (N, ...) -> codes (N, D).
        decoder: codes (N, D) -> logits, shaped like x.

    >>> model = Autoencoder(mlp([784, 20]), mlp([20, 784]))
    >>> logits, z = model(torch.zeros(5, 784))
    >>> logits.shape, z.shape
    (torch.Size([5, 784]), torch.Size([5, 20]))
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, x: Tensor) -> Tensor:
        """Codes (N, D)."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Logits of the images that the codes stand for."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.encode(x)
        return self.decode(z), z


class GaussianAutoencoder(nn.Module):
    """An encoder that gives mu and logvar of q(z | x) = N(mu, exp(logvar)), and a decoder.

    ``logvar`` is kept in ``LOGVAR_RANGE``, far outside of which sound models never go; there its gradient passes as if
    it were not, so that a loss can pull it back.

    Args:
        encoder: x (N, ...) -> (N, 2 D), mu and logvar side by side.
        decoder: codes (N, D) -> logits, shaped like x.
        latent_dim: D.
        reparameterize: (mu, logvar) -> z; the course's own if none is given.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        reparameterize: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = Whole(1).take("latent_dim", latent_dim)
        self.encoder, self.decoder = encoder, decoder
        self.reparameterize = reparameterize or reference.reparameterize

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(mu, logvar) of q(z | x), each (N, D)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar + (logvar.clamp(*LOGVAR_RANGE) - logvar).detach()

    def decode(self, z: Tensor) -> Tensor:
        """Logits of the images that the codes stand for."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits, mu, logvar), logits decoded from one sample of q(z | x) for each image."""
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


class VAE(GaussianAutoencoder):
    """Variational autoencoder with a Gaussian encoder and a Bernoulli decoder (Kingma and Welling 2013, appendix C):
    h = tanh(W x + b), mu and logvar linear in h; the decoder mirrors it and returns logits.

    Args:
        num_pixels: pixels of an image; x is (N, num_pixels).
        hidden_dims: widths of the encoder's hidden layers; the decoder has them in reverse.
        latent_dim: D.
        activation: ``nn.Tanh`` as in the paper, or ``nn.ReLU``.
        reparameterize: (mu, logvar) -> z; the course's own if none is given.

    >>> logits, mu, logvar = VAE(784, [400], 20)(torch.zeros(5, 784))
    >>> logits.shape, mu.shape, logvar.shape
    (torch.Size([5, 784]), torch.Size([5, 20]), torch.Size([5, 20]))
    """

    def __init__(
        self,
        num_pixels: int,
        hidden_dims: Sequence[int],
        latent_dim: int,
        *,
        activation: Callable[[], nn.Module] = nn.Tanh,
        reparameterize: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        latent_dim = Whole(1).take("latent_dim", latent_dim)
        super().__init__(
            mlp([num_pixels, *hidden_dims, 2 * latent_dim], activation),
            mlp([latent_dim, *reversed(hidden_dims), num_pixels], activation),
            latent_dim,
            reparameterize,
        )


@takes(latent_dim=Whole(1), width=Whole(1))
def conv_autoencoder(latent_dim: int, width: int = 16) -> Autoencoder:
    """A convolutional autoencoder for 28x28 grey images: (N, 1, 28, 28) -> codes (N, latent_dim) -> logits.

    Two strided convolutions halve the picture twice; the decoder mirrors them.

    Raises:
        ValueError: latent_dim or width is not a whole number from 1 up.

    >>> conv_autoencoder(2).encode(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 2])
    """
    encoder = nn.Sequential(
        nn.Conv2d(1, width, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 7 * 7, latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 2 * width * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (2 * width, 7, 7)),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 1, 4, stride=2, padding=1),
    )
    return Autoencoder(encoder, decoder)


@reference.not_for_submissions
@takes(channels=Whole(1), code_width=Whole(1), latent_dim=Whole(1))
def conv_networks(channels: int, code_width: int, latent_dim: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder (N, channels, 64, 64) -> (N, code_width) and decoder (N, latent_dim) -> logits (N, channels, 64, 64).

    Affordable on a processor: pixels are first folded into channels (space to depth, Shi et al. 2016), so that no
    convolution runs on the full 64x64 grid. About 1 M parameters and 55 MFLOP an image, forward and backward, for
    colour and 128 latent dimensions, a multiply-add counted as 2.

    Args:
        code_width: ``latent_dim`` for a deterministic encoder, twice that for mu and logvar.
    """
    folded, first, second, third = 4 * channels, 24, 56, 128
    encoder = nn.Sequential(
        nn.PixelUnshuffle(2),
        nn.Conv2d(folded, first, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(first, second, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(second, third, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(third * 4 * 4, code_width),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, third * 4 * 4),
        nn.ReLU(),
        nn.Unflatten(1, (third, 4, 4)),
        nn.ConvTranspose2d(third, second, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(second, first, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(first, folded, 4, stride=2, padding=1),
        nn.PixelShuffle(2),
    )
    return encoder, decoder


@contextmanager
def explaining(model: LatentModel, given: Tensor, name: str = "images") -> Iterator[None]:
    """Inside, torch's error about shapes, types or devices becomes one about ``given``, with the call that mends it.

    Raises:
        ValueError: in place of the RuntimeError, where the first layer of ``model`` does not fit ``given``.
    """
    try:
        yield
    except RuntimeError as error:
        if why := _misfit(model, given, name):
            raise ValueError(why) from error
        raise


def _misfit(model: LatentModel, given: Tensor, name: str) -> str | None:
    module = getattr(model, "encoder", model)
    if not isinstance(module, nn.Module):
        return None
    weights = next(module.parameters(), None)
    if weights is not None and weights.device != given.device:
        return f"{name} are on {given.device} and the model on {weights.device}: {name}.to({str(weights.device)!r})."
    first = next((layer for layer in module.modules() if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Flatten))), None)
    shape, pixels = tuple(given.shape), given[0].numel()
    if isinstance(first, nn.Linear) and given.shape[-1] != first.in_features:
        cure = f": {name}.flatten(1)" if pixels == first.in_features else ""
        return f"{name} are {shape}; the model's first layer takes (N, {first.in_features}){cure}."
    if isinstance(first, nn.Conv2d) and (given.ndim != 4 or given.shape[1] != first.in_channels):
        side = math.isqrt(pixels // first.in_channels)
        square = given.ndim == 2 and first.in_channels * side * side == pixels
        cure = f": {name}.unflatten(1, ({first.in_channels}, {side}, {side}))" if square else ""
        return f"{name} are {shape}; the model's first layer takes (N, {first.in_channels}, H, W){cure}."
    return None


def weights_dtype(model: LatentModel, default: torch.dtype) -> torch.dtype:
    """Floating-point type of the model's weights, in which it takes images and codes; ``default`` where it has none."""
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    return next((p.dtype for p in parameters if p.is_floating_point()), default)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode and no gradients are recorded; then each module's mode is as before."""
    if not isinstance(model, nn.Module):
        with torch.no_grad():
            yield
        return
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
