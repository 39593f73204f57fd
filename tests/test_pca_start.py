"""PCA as an autoencoder, and networks that start as PCA. Seeds are fixed: nothing here fails by chance."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from course_utils import models
from course_utils.models import architecture
from course_utils.training import recipes
from course_utils.training.recipes import Recipe


@pytest.fixture(scope="module")
def pictures():
    """60 pictures of 3x8x8 that a few directions and a little noise make."""
    generator = torch.Generator().manual_seed(0)
    inner = torch.randn(60, 6, generator=generator) @ torch.randn(6, 192, generator=generator)
    noise = 0.01 * torch.randn(60, 192, generator=generator)
    return (0.5 + 0.04 * inner + noise).clamp(0.05, 0.95).unflatten(1, (3, 8, 8))


@pytest.mark.parametrize("codes", ["whitened", "scaled"])
def test_it_draws_what_scikit_learn_draws(pictures, codes):
    model = models.pca(pictures, 5, codes=codes)
    theirs = PCA(5).fit(pictures.flatten(1).numpy())
    drawn = theirs.inverse_transform(theirs.transform(pictures.flatten(1).numpy()))
    ours = torch.sigmoid(model.decode(model.encode(pictures))).flatten(1).detach()
    assert torch.allclose(ours, torch.from_numpy(drawn).float(), atol=2e-3)


def test_whitened_codes_have_variance_1_and_scaled_ones_on_average(pictures):
    whitened = models.pca(pictures, 5).encode(pictures).detach().var(0, correction=0)
    scaled = models.pca(pictures, 5, codes="scaled").encode(pictures).detach().var(0, correction=0)
    assert torch.allclose(whitened, torch.ones(5), atol=0.02)
    assert scaled.mean() == pytest.approx(1, abs=0.02) and scaled[0] > 1.2 > 0.8 > scaled[-1]


def test_more_dimensions_than_pictures_are_refused(pictures):
    with pytest.raises(ValueError, match="60 pictures of 192 numbers allow 60"):
        models.pca(pictures, 61)


@pytest.mark.parametrize("more", [0, 5])
def test_a_corrected_model_begins_as_pca_and_can_be_rebuilt(pictures, more):
    linear = models.pca(pictures, 5)
    networks = (
        nn.Sequential(nn.Flatten(), nn.Linear(192, 5 + more)),
        nn.Sequential(nn.Linear(5, 192), nn.Unflatten(1, (3, 8, 8))),
    )
    parts = models.corrected(linear, *networks, more=more)
    model = models.GaussianAutoencoder(*parts, 5) if more else models.Autoencoder(*parts)
    code = model.encode(pictures)
    mu = code[0] if more else code
    assert torch.equal(mu, linear.encode(pictures)) and torch.equal(model.decode(mu), linear.decode(mu))
    assert not more or torch.equal(code[1], torch.full_like(mu, -4.0))
    rebuilt = architecture.build(architecture.describe(model))
    rebuilt.load_state_dict(model.state_dict(), assign=True)
    assert torch.equal(rebuilt.decode(mu), model.decode(mu))
    model.decode(mu).square().mean().backward()
    assert parts[1].gate.grad is not None and linear.decoder[0].log_factor.grad is None


def test_a_recipe_that_starts_at_pca_says_so_and_needs_pictures(pictures):
    recipe = Recipe("mmd-ae", 4, start_at_pca=True, biased=True, bandwidths=(3.0,))
    assert recipe.settings() | {"start_at_pca": True, "biased": True, "bandwidths": [3.0]} == recipe.settings()
    assert {"start_at_pca", "biased"}.isdisjoint(Recipe("mmd-ae", 4).settings())
    with pytest.raises(ValueError, match="start_at_pca is for pictures"):
        recipes.prepare(recipe, pictures.flatten(1))


@pytest.mark.parametrize("kind", ["mmd-vae", "vae"])
def test_a_pull_however_strong_does_not_blow_it_up(kind):
    """Noise that costs nothing and a learning rate of 2e-3: from a random start some seeds left the finite numbers."""
    torch.manual_seed(1)
    images = torch.randint(0, 255, (64, 3, 64, 64), dtype=torch.uint8)
    recipe = Recipe(kind, 8, weight=2000.0, start_at_pca=True)
    model, loss_function, _ = recipes.prepare(recipe, images)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=2e-3)
    losses = []
    for _ in range(8):
        loss = loss_function(model, images[:16] / 255)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1.05 * losses[0], losses
