"""Every kind of model of the course, ready to be trained: for the reference runs and for the command line.

Notebooks train the same models with what the student wrote; here the losses are the course's own.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course_utils import models
from course_utils.datasets import scale
from course_utils.metrics import mmd
from course_utils.models import closed_forms as reference
from course_utils.models.networks import LatentModel
from course_utils.system.contracts import Number, OneOf, Whole

from .loop import Critic, LossFunction

KINDS = {
    "ae": "autoencoder: distortion alone",
    "vae": "distortion + beta * rate",
    "mmd-ae": "deterministic codes: distortion + weight * MMD²(codes, prior)",
    "mmd-vae": "codes drawn from the posterior: distortion + weight * MMD²(codes, prior)",
    "infovae": "distortion + beta * rate + weight * MMD²(codes, prior)",
    "wasserstein": "codes drawn from the posterior, matched to the prior by a critic: distortion + weight * gap",
}
WEIGHTS = {"mmd-ae": 100.0, "mmd-vae": 100.0, "infovae": 100.0, "wasserstein": 3.0}  # unless told otherwise
LIKELIHOODS = ("bernoulli", "gaussian")
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
SETTINGS: dict[str, Any] = {  # what each may be, here and on the command line
    "kind": OneOf(tuple(KINDS)),
    "latent_dim": Whole(1),
    "activation": OneOf(tuple(ACTIVATIONS)),
    "likelihood": OneOf(LIKELIHOODS),
    "beta": Number(least=0),
    "weight": Number(least=0),
    "critic_steps": Whole(1),
    "critic_lr": Number(above=0),
    "penalty": Number(least=0),
}


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
        likelihood: of a pixel given its code: ``bernoulli``, or ``gaussian`` around the sigmoid of what the decoder
            returns. Their nats cannot be compared.
        variance: of a Gaussian pixel; None: the best for each batch (see ``closed_forms.gaussian_nll``).
        biased: with the self-pairs in the MMD, as the copied code has it.
        start_at_pca: pictures (N, C, 64, 64): the networks begin as PCA and correct it (``models.corrected``).
        start_at_mean: the decoder's last bias begins where it shows the mean training image instead of grey.

    Raises:
        ValueError: a setting is out of its range (``SETTINGS``).

    >>> Recipe("vae", 20, beta=4.0).settings()["beta"]
    4.0
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
    start_at_pca: bool = False
    biased: bool = False
    likelihood: str = "bernoulli"
    variance: float | None = None

    def __post_init__(self) -> None:
        for key, kind in SETTINGS.items():
            object.__setattr__(self, key, kind.take(key, getattr(self, key)))
        for key in ("hidden_dims", "critic_dims"):
            widths = getattr(self, key)
            if isinstance(widths, (str, bytes)) or not isinstance(widths, Iterable):
                raise ValueError(f"{key} is {widths!r}; expected several whole numbers, such as (400,).")
            object.__setattr__(self, key, tuple(Whole(1).take(f"a width of {key}", width) for width in widths))
        if self.variance is not None:
            object.__setattr__(self, "variance", Number(above=0).take("variance", self.variance))
        if self.bandwidths is not None:
            object.__setattr__(self, "bandwidths", tuple(mmd.as_floats(self.bandwidths)))
        betas = tuple(Number(least=0, below=1).take("critic_betas", beta) for beta in self.critic_betas)
        if len(betas) != 2:
            raise ValueError(f"critic_betas is {self.critic_betas!r}; expected two numbers, such as (0, 0.9).")
        object.__setattr__(self, "critic_betas", betas)

    def settings(self) -> dict:
        """Those of the fields that this kind of model uses, as JSON has them; the default bandwidths as numbers."""
        unused = set()
        if self.kind not in ("vae", "infovae"):
            unused.add("beta")
        if self.kind in ("ae", "vae"):
            unused.add("weight")
        if "mmd" not in self.kind and self.kind != "infovae":
            unused |= {"bandwidths", "biased"}
        if self.kind != "wasserstein":
            unused |= {"critic_dims", "critic_steps", "critic_lr", "critic_betas", "penalty"}
        if self.likelihood == "bernoulli":  # what records of earlier trainings mean, which do not say it
            unused |= {"likelihood", "variance"}
        unused |= {key for key in ("start_at_pca", "biased") if not getattr(self, key)}
        fields = asdict(self) | {"bandwidths": self.bandwidths or mmd.prior_bandwidths(self.latent_dim)}
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in fields.items()
            if key not in unused
        }


class Prepared(NamedTuple):
    """What ``training.fit`` needs: ``fit(model, loss_function, images, critic=critic, ...)``."""

    model: nn.Module
    loss_function: LossFunction
    critic: Critic | None


def prepare(recipe: Recipe, images: Tensor) -> Prepared:
    """A fresh model of ``images`` with its loss and, where it has one, its critic.

    Flat images (N, pixels) get linear layers, pictures (N, C, 64, 64) the convolutions of ``models.conv_networks``.

    Raises:
        ValueError: images of another shape.
    """
    deterministic = recipe.kind in ("ae", "mmd-ae")
    encoder, decoder = _networks(recipe, images, recipe.latent_dim * (1 if deterministic else 2))
    model: LatentModel = (
        models.Autoencoder(encoder, decoder)
        if deterministic
        else models.GaussianAutoencoder(encoder, decoder, recipe.latent_dim)
    )
    if recipe.start_at_mean:
        with torch.no_grad():
            model.decoder[-1].bias.copy_(torch.logit(scale(images).mean(0).clamp(0.01, 0.99)))
    if recipe.kind == "wasserstein":
        critic = models.mlp([recipe.latent_dim, *recipe.critic_dims, 1])
        rival = Critic(critic, critic_loss_function(recipe), recipe.critic_steps, recipe.critic_lr, recipe.critic_betas)
        return Prepared(model, loss_function(recipe, critic), rival)
    return Prepared(model, loss_function(recipe), None)


def _networks(recipe: Recipe, images: Tensor, code_width: int) -> tuple[nn.Module, nn.Module]:
    if images.ndim == 4 and images.shape[2:] == (64, 64):
        if recipe.start_at_mean:
            raise ValueError("start_at_mean is for flat images; convolutions have no bias of their own for each pixel.")
        encoder, decoder = models.conv_networks(images.shape[1], code_width, recipe.latent_dim)
        if not recipe.start_at_pca:
            return encoder, decoder
        linear = models.pca(images, recipe.latent_dim, codes="scaled")
        return models.corrected(linear, encoder, decoder, more=code_width - recipe.latent_dim)
    if recipe.start_at_pca:
        raise ValueError(f"start_at_pca is for pictures (N, C, 64, 64); images are {tuple(images.shape)}.")
    if images.ndim != 2:
        raise ValueError(
            f"images are {tuple(images.shape)}; expected flat ones (N, pixels), or pictures (N, C, 64, 64)."
        )
    activation, num_pixels = ACTIVATIONS[recipe.activation], images.shape[1]
    return (
        models.mlp([num_pixels, *recipe.hidden_dims, code_width], activation),
        models.mlp([recipe.latent_dim, *reversed(recipe.hidden_dims), num_pixels], activation),
    )


def loss_function(recipe: Recipe, critic: nn.Module | None = None) -> LossFunction:
    """The loss of this kind of model, with its parts unweighted beside it; x (N, ...) in [0, 1]."""
    bandwidths = recipe.bandwidths or mmd.prior_bandwidths(recipe.latent_dim)
    nll = reference.bernoulli_nll
    if recipe.likelihood == "gaussian":
        nll = functools.partial(reference.gaussian_nll, variance=recipe.variance)

    def of_batch(model: LatentModel, x: Tensor) -> dict[str, Tensor]:
        z, mu, logvar = _codes(model, x)
        # under mixed precision the networks give bfloat16; sums over pixels need more digits
        distortion = nll(model.decode(z).float(), x).mean()
        values = {"loss": distortion, "distortion": distortion}
        if logvar is not None:
            values["rate"] = reference.gaussian_kl(mu, logvar).sum(1).mean()
        if recipe.kind in ("vae", "infovae"):
            values["loss"] = values["loss"] + recipe.beta * values["rate"]
        if recipe.kind in ("mmd-ae", "mmd-vae", "infovae"):
            values["mmd"] = mmd.mmd_squared(z, torch.randn_like(z), bandwidths, biased=recipe.biased)
            values["loss"] = values["loss"] + recipe.weight * values["mmd"]
        if critic is not None:
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


def _codes(model: LatentModel, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """(z, mu, logvar): z drawn from the posterior; for a deterministic encoder (z, z, None)."""
    encoded = model.encode(x)
    if isinstance(encoded, tuple):
        mu, logvar = (part.float() for part in encoded)
        return model.reparameterize(mu, logvar), mu, logvar
    return encoded.float(), encoded.float(), None
