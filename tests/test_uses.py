"""Finding what is odd, cleaning and filling in: the course's helpers against independent code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from course_utils import models
from course_utils.metrics import uses
from course_utils.models import samplers


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_auc_is_scikit_learns_with_ties():
    usual, odd = normal(80).round(), (normal(50, seed=1) + 0.7).round()
    labels = [0] * 80 + [1] * 50
    assert uses.auc(usual, odd).value == pytest.approx(roc_auc_score(labels, torch.cat([usual, odd])))


def test_auc_has_the_interval_of_its_spread_over_samples():
    """Random with a fixed seed: 400 samples; the half width is 1.96 standard deviations within a tenth."""
    found = [uses.auc(normal(60, seed=s), normal(40, seed=1000 + s) + 1) for s in range(400)]
    spread = np.std([each.value for each in found])
    half = np.mean([(each.high - each.low) / 2 for each in found])
    assert half == pytest.approx(1.96 * spread, rel=0.1)


def test_auc_of_one_list_on_both_sides_is_a_half_and_of_sure_scores_1_without_width():
    assert uses.auc(normal(30), normal(30)).value == pytest.approx(0.5)
    assert uses.auc(torch.zeros(5), torch.ones(4)) == (1.0, 1.0, 1.0)


def test_nearest_looks_at_known_pixels_alone():
    train = torch.tensor([[0.0, 0.0, 9.0], [5.0, 5.0, 0.0]])
    squared, index = uses.nearest(torch.tensor([[1.0, 0.0, 0.0]]), train)
    assert (squared.item(), index.item()) == (pytest.approx(41.0), 1)
    squared, index = uses.nearest(torch.tensor([[1.0, 0.0, 0.0]]), train, torch.tensor([1.0, 1.0, 0.0]))
    assert (squared.item(), index.item()) == (pytest.approx(1.0), 0)


@pytest.mark.parametrize(
    ("mask", "said"), [(torch.ones(2), r"mask is \(2,\); expected \(3,\)"), (torch.ones(1, 3), "expected")]
)
def test_nearest_refuses_a_mask_of_another_shape(mask, said):
    with pytest.raises(ValueError, match=said):
        uses.nearest(torch.zeros(1, 3), torch.zeros(4, 3), mask)


def test_nearest_refuses_images_of_another_size():
    with pytest.raises(ValueError, match="as many pixels"):
        uses.nearest(torch.zeros(1, 3), torch.zeros(4, 5))


def linear_world(n: int, seed: int = 0) -> torch.Tensor:
    mixing = torch.tensor([[1.0, 0.5, 0.2, 0.0], [0.0, 1.0, -0.5, 0.3], [0.0, 0.0, 0.4, 0.1], [0.0, 0.0, 0.0, 0.2]])
    return normal(n, 4, seed=seed) @ mixing + torch.tensor([0.5, 0.2, 0.8, 0.4])


def test_projection_is_pca():
    train, images = linear_world(500), linear_world(20, seed=1)
    from sklearn.decomposition import PCA

    pca = PCA(2).fit(train.numpy())
    want = pca.inverse_transform(pca.transform(images.numpy()))
    assert np.allclose(uses.GaussianImages(train).project(images, 2).numpy(), want, atol=1e-5)


def test_linear_filter_is_the_posterior_mean_and_beats_noise_and_projection():
    train, images = linear_world(5000), linear_world(4000, seed=1)
    gauss, std = uses.GaussianImages(train), 0.5
    noisy = images + std * normal(4000, 4, seed=2)
    gain = gauss.covariance @ torch.linalg.inv(gauss.covariance + std**2 * torch.eye(4).double())
    want = gauss.mean + (noisy.double() - gauss.mean) @ gain.T
    cleaned = gauss.clean(noisy, std)
    assert torch.allclose(cleaned.double(), want, atol=1e-4)
    errors = [(each - images).square().sum(1).mean() for each in (cleaned, noisy, gauss.project(noisy, 2))]
    assert errors[0] < min(errors[1:])


def test_filling_is_the_conditional_mean_and_leaves_known_pixels():
    train, images = 0.1 * linear_world(3000) + 0.4, 0.1 * linear_world(5, seed=1) + 0.4
    gauss, mask = uses.GaussianImages(train), torch.tensor([1.0, 0.0, 1.0, 1.0])
    filled = gauss.fill(images, mask, ridge=1e-9)
    assert torch.equal(filled[:, [0, 2, 3]], images[:, [0, 2, 3]])
    known, c = [0, 2, 3], gauss.covariance
    weights = torch.linalg.solve(c[known][:, known], c[known][:, 1])
    want = gauss.mean[1] + (images.double() - gauss.mean)[:, known] @ weights
    assert torch.allclose(filled[:, 1].double(), want.clamp(0, 1), atol=1e-4)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_surprise_is_minus_the_log_density_and_has_its_gradient(name):
    codes = normal(400, 3) @ torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.2]])
    sampler = samplers.make(name).fit(codes)
    z = normal(7, 3, seed=1).requires_grad_()
    surprise = sampler.surprise()(z)
    assert torch.allclose(surprise.double(), -sampler.log_density(z.detach()), rtol=1e-3, atol=1e-3)
    slope = torch.autograd.grad(surprise.sum(), z)[0]
    step = 1e-3 * torch.eye(3)[0]
    numeric = (sampler.log_density(z.detach() - step) - sampler.log_density(z.detach() + step)) / 2e-3
    assert torch.allclose(slope[:, 0].double(), numeric, rtol=0.02, atol=0.02)


def test_scores_are_those_of_the_mean_code():
    torch.manual_seed(0)
    model, images = models.VAE(12, [8], 3), torch.rand(9, 12)
    mixture = samplers.Mixture(2).fit(normal(50, 3))
    critic = nn.Linear(3, 1)
    found = uses.scores(model, images, lambda logits, x: (logits - x).sum(1), mixture, critic)
    mu, logvar = model.encode(images)
    logits = model.decode(mu)
    assert torch.allclose(found["above a copy"], (logits - images).sum(1))
    assert torch.allclose(found["prior"], 0.5 * mu.square().sum(1))
    assert torch.allclose(found["rate"], 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1), atol=1e-5)
    assert torch.allclose(found["critic"], -critic(mu).flatten())
    assert torch.allclose(found["mixture"], -mixture.log_density(mu.detach()))
    want = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="none").sum(1)
    assert torch.allclose(found["distortion"], want)
    assert model.training, "the mode that it was in"
    plain = models.Autoencoder(models.mlp([12, 3]), models.mlp([3, 12]))
    assert set(uses.scores(plain, images, lambda a, b: a.sum(1), mixture)) == {
        "distortion",
        "above a copy",
        "prior",
        "mixture",
    }
    assert torch.allclose(uses.projected(plain, images), plain(images)[0].sigmoid())
