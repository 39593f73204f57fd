"""Every kind of model of the course, ready to be trained: for the reference runs and for the command line.

Notebooks train the same models with what the student wrote; here the losses are the course's own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_utils import mmd, models, reference
from course_utils.datasets import scale
from course_utils.training import Critic, LossFunction

KINDS = {
    "ae": "autoencoder: distortion alone",
    "vae": "distortion + beta * rate",
    "mmd-ae": "deterministic codes: distortion + weight * MMD²(codes, prior)",
    "mmd-vae": "codes drawn from the posterior: distortion + weight * MMD²(codes, prior)",
    "infovae": "distortion + beta * rate + weight * MMD²(codes, prior)",
    "wasserstein": "codes drawn from the posterior, matched to the prior by a critic: distortion + weight * gap",
}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class Recipe:
    """What distinguishes one model from another, apart from the images and the length of training.

    Args:
        kind: one of ``KINDS``.
        latent_dim: D.
        hidden_dims: widths of the encoder's hidden layers; the decoder has them in reverse.
        activation: one of ``ACTIVATIONS``.
        beta: weight of the rate (vae, infovae), on the ELBO scale.
        weight: of the MMD or of the critic's gap.
        bandwidths: of the MMD's Gaussian kernels; None: ``mmd.prior_bandwidths(latent_dim)``.
        critic_dims, critic_steps, critic_lr, critic_betas, penalty: the critic's hidden widths, its steps for each step
            of the model, Adam's settings, and the coefficient of the gradient penalty.
        start_at_mean: the decoder's last bias begins where it shows the mean training image instead of grey.
    """

    kind: str
    latent_dim: int
    hidden_dims: tuple[int, ...] = (400,)
    activation: str = "relu"
    beta: float = 1.0
    weight: float = 1.0
    bandwidths: tuple[float, ...] | None = None
    critic_dims: tuple[int, ...] = (512, 256)
    critic_steps: int = 5
    critic_lr: float = 1e-3
    critic_betas: tuple[float, float] = (0.9, 0.999)
    penalty: float = 10.0
    start_at_mean: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; expected one of {', '.join(KINDS)}.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}.")

    def settings(self) -> dict:
        """Those of the fields that this kind of model uses, as JSON has them."""
        unused = set()
        if self.kind not in ("vae", "infovae"):
            unused.add("beta")
        if self.kind in ("ae", "vae"):
            unused.add("weight")
        if "mmd" not in self.kind and self.kind != "infovae":
            unused.add("bandwidths")
        if self.kind != "wasserstein":
            unused |= {"critic_dims", "critic_steps", "critic_lr", "critic_betas", "penalty"}
        return {key: list(value) if isinstance(value, tuple) else value
                for key, value in asdict(self).items() if key not in unused}


class Prepared(NamedTuple):
    """What ``training.fit`` needs: ``fit(model, loss_function, images, critic=critic, ...)``."""

    model: nn.Module
    loss_function: LossFunction
    critic: Critic | None


def prepare(recipe: Recipe, images: Tensor) -> Prepared:
    """A fresh model of flat images (N, pixels) with its loss and, where it has one, its critic."""
    num_pixels = images.shape[1]
    activation = ACTIVATIONS[recipe.activation]
    if recipe.kind in ("ae", "mmd-ae"):
        model: nn.Module = models.Autoencoder(
            models.mlp([num_pixels, *recipe.hidden_dims, recipe.latent_dim], activation),
            models.mlp([recipe.latent_dim, *reversed(recipe.hidden_dims), num_pixels], activation),
        )
    else:
        model = models.VAE(num_pixels, recipe.hidden_dims, recipe.latent_dim, activation=activation)
    if recipe.start_at_mean:
        with torch.no_grad():
            model.decoder[-1].bias.copy_(torch.logit(scale(images).mean(0).clamp(0.01, 0.99)))
    if recipe.kind == "wasserstein":
        critic = models.mlp([recipe.latent_dim, *recipe.critic_dims, 1])
        rival = Critic(critic, critic_loss_function(recipe), recipe.critic_steps, recipe.critic_lr, recipe.critic_betas)
        return Prepared(model, loss_function(recipe, critic), rival)
    return Prepared(model, loss_function(recipe), None)


def loss_function(recipe: Recipe, critic: nn.Module | None = None) -> LossFunction:
    """The loss of this kind of model, with its parts unweighted beside it; x (N, ...) in [0, 1]."""
    bandwidths = recipe.bandwidths or mmd.prior_bandwidths(recipe.latent_dim)

    def of_batch(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
        z, mu, logvar = _codes(model, x)
        distortion = reference.bernoulli_nll(model.decode(z), x).mean()
        values = {"loss": distortion, "distortion": distortion}
        if logvar is not None:
            values["rate"] = reference.gaussian_kl(mu, logvar).sum(1).mean()
        if recipe.kind in ("vae", "infovae"):
            values["loss"] = values["loss"] + recipe.beta * values["rate"]
        if recipe.kind in ("mmd-ae", "mmd-vae", "infovae"):
            values["mmd"] = mmd.mmd_squared(z, torch.randn_like(z), bandwidths)
            values["loss"] = values["loss"] + recipe.weight * values["mmd"]
        if recipe.kind == "wasserstein":
            values["gap"] = -critic(z).mean()
            values["loss"] = values["loss"] + recipe.weight * values["gap"]
        return values

    return of_batch


def critic_loss_function(recipe: Recipe):
    """What the critic minimises: minus its estimate of the distance, plus the gradient penalty."""

    def of_batch(model: nn.Module, critic: nn.Module, x: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            z_posterior = _codes(model, x)[0]
        z_prior = torch.randn_like(z_posterior)
        distance = -reference.critic_loss(critic, z_prior, z_posterior)
        penalty = reference.gradient_penalty(critic, z_prior, z_posterior)
        return {"loss": recipe.penalty * penalty - distance, "distance": distance, "penalty": penalty}

    return of_batch


def _codes(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """(z, mu, logvar): z drawn from the posterior; for a deterministic encoder (z, z, None)."""
    encoded = model.encode(x)
    if isinstance(encoded, tuple):
        return model.reparameterize(*encoded), *encoded
    return encoded, encoded, None
