"""What the stored runs of unit 09 are and measure: a second stage, a dictionary of codes, a logistic critic.

``prepare(plan, images)`` makes the models that ``recipes`` does not know. ``of_beyond(model, data, seed)`` gives
{name: value}, distortions in nats of test images decoded from their mean codes, Fréchet distances of 5,000 samples:

- ``frechet_reconstructions``; ``distortion``, ``seconds`` as everywhere; ``frechet``: of the density trained for.
- of codes that are numbers: ``frechet_prior``, ``frechet_mixture``, ``frechet_second``, ``seconds_mixture``,
  ``seconds_second``; ``second_std``, the learned width in standard deviations of a code, ``second_nats``, the loss of
  the second stage on codes of test images; ``sliced_wasserstein`` of codes (a draw for each image) to the prior;
  ``rate`` of a VAE, ``bound``: distortion of a draw plus rate.
  ``mixture_nats`` the same of the mixture's density, in the same unit, standard deviations of a code.
- of a dictionary: ``frechet_uniform``, ``frechet_independent``, ``frechet_learned``; the same of ``nats_``, what the
  index of a test image costs; ``perplexity`` and ``entries_used`` over test images; ``seconds_learned``.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils import datasets, metrics, models, training
from course_utils.metrics import aggregate
from course_utils.metrics.yardstick import Yardstick
from course_utils.models import closed_forms, samplers
from course_utils.models.discrete import IndexPrior, VectorQuantised, perplexity
from course_utils.training import recipes
from course_utils.training.recipes import Recipe

SECOND_STEPS, PRIOR_STEPS, FREQUENCY_STEPS = 2000, 1500, 300


@dataclass(frozen=True)
class Dictionary:
    """A vector-quantised autoencoder, whose codebook begins with codes of images."""

    num_codes: int = 16
    num_entries: int = 32
    entry_dim: int = 4
    weight: float = 10.0
    commitment: float = 0.25

    def settings(self) -> dict:
        return {"kind": "dictionary", "latent_dim": self.num_codes * self.entry_dim, "hidden_dims": [400]} | vars(self)


class Logistic(NamedTuple):
    """An adversarial autoencoder: the recipe is that of the critic whose loss is replaced."""

    recipe: Recipe

    def settings(self) -> dict:
        return self.recipe.settings() | {"kind": "logistic", "penalty": 0.0}


def quantize(codes: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        index = (codebook.square().sum(1) - 2 * codes @ codebook.T).argmin(-1)
    return codes + (codebook[index] - codes).detach(), index


def vq_loss(codes: Tensor, codebook: Tensor, index: Tensor, commitment: float) -> Tensor:
    entries = codebook[index]
    squares = (codes.detach() - entries).square() + commitment * (codes - entries.detach()).square()
    return squares.flatten(1).sum(1).mean()


def adversarial_losses(critic: nn.Module, z_prior: Tensor, z_codes: Tensor) -> tuple[Tensor, Tensor]:
    of_critic = F.softplus(-critic(z_prior)).mean() + F.softplus(critic(z_codes.detach())).mean()
    return of_critic, F.softplus(-critic(z_codes)).mean()


def second_stage_loss(decoded: Tensor, codes: Tensor, mu: Tensor, logvar: Tensor, log_std: Tensor) -> Tensor:
    squares = 0.5 * ((codes - decoded) * torch.exp(-log_std)).square() + log_std + 0.5 * math.log(2 * math.pi)
    return squares.sum(1).mean() + closed_forms.gaussian_kl(mu, logvar).sum(1).mean()


def prepare(plan: Dictionary | Logistic | Recipe, images: Tensor):
    """As ``recipes.prepare``: (model, loss function, critic or None)."""
    if isinstance(plan, Recipe):
        return recipes.prepare(plan, images)
    if isinstance(plan, Dictionary):
        return _dictionary(plan, images), _loss_of_dictionary(plan), None
    recipe = plan.recipe
    model, _, rival = recipes.prepare(recipe, images)  # networks and settings of the critic; its losses are replaced
    critic = rival.module

    def drawn(model, x):
        mu, logvar = model.encode(x)
        return model.reparameterize(mu, logvar)

    def of_critic(model, critic, x):
        with torch.no_grad():
            z = drawn(model, x)
        return {"loss": adversarial_losses(critic, torch.randn_like(z), z)[0]}

    def of_model(model, x):
        z = drawn(model, x)
        distortion = closed_forms.bernoulli_nll(model.decode(z), x).mean()
        fooled = F.softplus(-critic(z)).mean()
        return {"loss": distortion + recipe.weight * fooled, "distortion": distortion, "fooled": fooled}

    return model, of_model, replace(rival, loss_function=of_critic)


def _dictionary(plan: Dictionary, images: Tensor) -> VectorQuantised:
    model = VectorQuantised(images.shape[1], plan.num_codes, plan.num_entries, plan.entry_dim, quantize)
    model.start_from(datasets.scale(images[:1000]))
    return model


def _loss_of_dictionary(plan: Dictionary):
    def of_model(model, x):
        codes = model.codes(x)
        z, index = quantize(codes, model.codebook)
        distortion = closed_forms.bernoulli_nll(model.decode(z.flatten(1)), x).mean()
        apart = vq_loss(codes, model.codebook, index, plan.commitment)
        return {"loss": distortion + plan.weight * apart, "distortion": distortion, "apart": apart}

    return of_model


class SecondStage:
    """A VAE on codes (N, D), which it standardises first."""

    def __init__(self, codes: Tensor, seed: int, steps: int = SECOND_STEPS) -> None:
        dim = codes.shape[1]
        self.centre, self.scale = codes.mean(0), codes.std(0).clamp_min(1e-6)
        torch.manual_seed(seed)
        self.model = models.GaussianAutoencoder(
            models.mlp([dim, 256, 256, 2 * dim]), models.mlp([dim, 256, 256, dim]), dim
        )
        self.log_std = nn.Parameter(torch.tensor(-1.0))  # where it begins as wide as the codes, no rate is worth paying
        self.losses = training.descend(
            self.loss,
            [*self.model.parameters(), self.log_std],
            (codes - self.centre) / self.scale,
            steps=steps,
            lr=3e-3,
            seed=seed,
        )

    def loss(self, codes: Tensor) -> Tensor:
        decoded, mu, logvar = self.model(codes)
        return second_stage_loss(decoded, codes, mu, logvar, self.log_std)

    @torch.no_grad()
    def sample(self, count: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        u = torch.randn(count, self.model.latent_dim, generator=generator)
        noise = torch.randn(count, len(self.scale), generator=generator)
        return self.centre + self.scale * (self.model.decode(u) + self.log_std.exp() * noise)


def of_beyond(model, data, yardstick: Yardstick, seed: int, *, second_stage: bool) -> dict[str, float]:
    model.requires_grad_(False)
    test = datasets.scale(data.test_images.flatten(1))
    if isinstance(model, VectorQuantised):
        return _of_dictionary(model, data, test, yardstick, seed)
    train, mean = data.train_images.flatten(1), metrics.codes(model, data.test_images.flatten(1))
    found = {"distortion": _distortion(model, test, mean)} | _of_reconstructions(model, mean, yardstick)
    codes, z = samplers.aggregate_codes(model, train, seed=seed), mean
    if isinstance(model, models.GaussianAutoencoder):
        mu, logvar = metrics.posterior(model, data.test_images.flatten(1))
        z = aggregate.sample(mu, logvar, seed=seed)
        found["rate"] = float(metrics.rate_per_dimension(mu, logvar).sum())
        found["bound"] = _distortion(model, test, z) + found["rate"]
        found["posterior_sigma"] = float(torch.exp(0.5 * logvar).mean())
    found["sliced_wasserstein"] = aggregate.distance_to_prior(z, num_codes=5000, num_matching=2).sliced_wasserstein
    prior = samplers.Prior().fit(codes).sample(yardstick.count, seed=seed)
    began = time.process_time()
    mixture = samplers.Mixture(10, seed=seed).fit(codes)
    found["seconds_mixture"] = time.process_time() - began
    draws = {"prior": prior, "mixture": mixture.sample(yardstick.count, seed=seed)}
    if second_stage:
        began = time.process_time()
        second = SecondStage(codes, seed)
        found["seconds_second"] = time.process_time() - began
        found["second_std"] = float(second.log_std.detach().exp())
        with torch.no_grad():
            found["second_nats"] = float(second.loss((z - second.centre) / second.scale))
        found["mixture_nats"] = -float(mixture.log_density(z).mean() + second.scale.double().log().sum())
        draws["second"] = second.sample(yardstick.count, seed)
    for name, drawn in draws.items():
        found[f"frechet_{name}"] = yardstick.quality(metrics.decoded(model, drawn)).frechet
    return found | {"frechet": found["frechet_prior"]}


@torch.no_grad()
def _of_dictionary(model: VectorQuantised, data, test: Tensor, yardstick: Yardstick, seed: int) -> dict[str, float]:
    places, entries = model.shape[0], len(model.codebook)
    index = torch.cat([model.index(datasets.scale(part)) for part in data.train_images.flatten(1).split(2000)])
    of_test, z = model.index(test), model.encode(test)
    found = {"distortion": _distortion(model, test, z)} | _of_reconstructions(model, z, yardstick)
    found["perplexity"], found["entries_used"] = perplexity(of_test, entries), float(len(of_test.unique()))
    generator = torch.Generator().manual_seed(seed)
    drawn = {"uniform": torch.randint(entries, (yardstick.count, places), generator=generator)}
    found["nats_uniform"] = places * math.log(entries)
    for name, hidden, steps, lr in (("independent", 0, FREQUENCY_STEPS, 0.03), ("learned", 128, PRIOR_STEPS, 0.003)):
        torch.manual_seed(seed)
        prior, began = IndexPrior(places, entries, hidden), time.process_time()
        with torch.enable_grad():
            training.descend(
                lambda rows, prior=prior: prior.nats(rows).mean(),
                prior.parameters(),
                index,
                steps=steps,
                lr=lr,
                seed=seed,
            )
        found[f"seconds_{name}"] = time.process_time() - began
        found[f"nats_{name}"] = float(prior.nats(of_test).mean())
        drawn[name] = prior.sample(yardstick.count, seed=seed)
    for name, indices in drawn.items():
        images = metrics.decoded(model, model.entries(indices))
        found[f"frechet_{name}"] = yardstick.quality(images).frechet
    return found | {"frechet": found["frechet_learned"], "rate": found["nats_learned"]}


@torch.no_grad()
def _distortion(model, test: Tensor, z: Tensor) -> float:
    parts = zip(test.split(1000), z.split(1000), strict=True)
    return float(sum(closed_forms.bernoulli_nll(model.decode(part), x).double().sum() for x, part in parts)) / len(test)


def _of_reconstructions(model, z: Tensor, yardstick: Yardstick) -> dict[str, float]:
    return {"frechet_reconstructions": yardstick.quality(metrics.decoded(model, z[: yardstick.count])).frechet}
