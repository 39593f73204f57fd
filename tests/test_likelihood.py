"""ELBO and importance-weighted likelihood against models whose likelihood is known: probabilistic PCA.

A linear decoder with Gaussian noise has a Gaussian posterior; where the decoder's columns are orthogonal, as in the
maximum-likelihood solution (Tipping and Bishop 1999), its covariance is diagonal, so that a linear VAE can hold it.
Random tests use 5 stated standard errors (6e-7 each); seeds are fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from course_utils import metrics
from course_utils.metrics import measures


class LinearVAE(nn.Module):
    """The maximum-likelihood probabilistic PCA of scikit-learn's fit, with a posterior that may be made worse."""

    def __init__(self, pca: PCA, *, widen: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.variance = float(pca.noise_variance_)
        scale = np.sqrt(pca.explained_variance_ - self.variance)
        self.register_buffer("weight", torch.tensor(pca.components_.T * scale, dtype=torch.float64))  # (pixels, D)
        self.register_buffer("mean", torch.tensor(pca.mean_, dtype=torch.float64))
        self.widen, self.shift = widen, shift

    def encode(self, x):
        inverse = 1 / (self.weight.square().sum(0) + self.variance)
        mu = (x - self.mean) @ self.weight * inverse
        variance = (self.variance * inverse).expand_as(mu)
        return mu + self.shift * variance.sqrt(), (self.widen * variance).log()

    def decode(self, z):
        return z @ self.weight.T + self.mean

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decode(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)), mu, logvar

    def nll(self, x_mean, x):
        residual = (x - x_mean).square().sum(1) / self.variance
        return 0.5 * (residual + x.shape[1] * math.log(2 * math.pi * self.variance))


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(3, 12, generator=generator, dtype=torch.float64)
    latent = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    return latent @ basis + 0.7 * torch.randn(200, 12, generator=generator, dtype=torch.float64) + 1


@pytest.fixture(scope="module")
def pca(data):
    return PCA(3).fit(data.numpy())


@pytest.fixture(scope="module")
def exact(data, pca):
    """Mean negative log-likelihood, from scikit-learn's own formula."""
    return -pca.score(data.numpy())


def test_with_the_exact_posterior_every_weight_is_the_likelihood(data, pca, exact):
    model = LinearVAE(pca)
    for count in (1, 7):
        found = metrics.importance_weighted_nll(model, data, count, nll=model.nll)
        assert found.mean == pytest.approx(exact, abs=1e-5)
    assert found.monte_carlo_error < 1e-4 and found.bias < 1e-6


def test_elbo_of_a_linear_vae_at_the_optimum_is_the_likelihood_of_probabilistic_pca(data, pca, exact):
    """Random: mean of 25 evaluations within 5 standard errors (t distribution: 4e-5)."""
    model = LinearVAE(pca)
    torch.manual_seed(0)
    bounds = [metrics.bound(model, data, nll=model.nll) for _ in range(25)]
    values = torch.tensor([b.negative_elbo for b in bounds], dtype=torch.float64)
    error = float(values.std() / 5)
    assert abs(float(values.mean()) - exact) < 5 * error, f"{values.mean():.4f} +- {error:.4f}, expected {exact:.4f}"


@pytest.mark.parametrize(("widen", "shift", "count"), [(1.6, 0.0, 30), (1.3, 0.3, 100), (1.6, 0.5, 500)])
def test_importance_weighting_agrees_with_the_likelihood_within_its_stated_error(data, pca, exact, widen, shift, count):
    torch.manual_seed(1)
    model = LinearVAE(pca, widen=widen, shift=shift)
    found = metrics.importance_weighted_nll(model, data, count, nll=model.nll)
    told = f"{found.mean:.4f} - {found.bias:.4f} +- {found.monte_carlo_error:.4f}, exactly {exact:.4f}"
    assert abs(found.mean - found.bias - exact) < 5 * found.monte_carlo_error, told
    gap = metrics.bound(model, data, nll=model.nll).negative_elbo - exact
    assert found.bias + 5 * found.monte_carlo_error < gap, f"{told}; no sharper than the ELBO, {gap:.4f} above"


def test_stated_monte_carlo_error_and_bias_are_what_repeats_show(data, pca, exact):
    """Random: 100 repeats of 50 images. Spread: ratio of variances within [0.55, 1.6] (chi-squared, false alarm below
    1e-3 each side; seed fixed). Bias: within 5 standard errors of the mean."""
    torch.manual_seed(2)
    model = LinearVAE(pca, widen=1.5, shift=0.3)
    few = data[:50]
    truth = -float(np.mean(pca.score_samples(few.numpy())))
    repeats = [metrics.importance_weighted_nll(model, few, 25, nll=model.nll) for _ in range(100)]
    found = torch.tensor(repeats, dtype=torch.float64)
    ratio = float(found[:, 0].var() / found[:, 2].square().mean())
    assert 0.55 < ratio < 1.6, f"variance over repeats is {ratio:.2f} times the stated one"
    error = float(found[:, 0].std() / 10)
    assert abs(float((found[:, 0] - found[:, 3]).mean()) - truth) < 5 * error
    assert float(found[:, 0].mean()) > truth, "an upper bound on average"


def test_more_samples_tighten_the_bound(data, pca, exact):
    torch.manual_seed(3)
    model = LinearVAE(pca, widen=2.0, shift=0.7)
    values = [metrics.importance_weighted_nll(model, data, k, nll=model.nll).mean for k in (1, 10, 200)]
    assert values[0] > values[1] > values[2] > exact - 0.05


def test_one_sample_says_nothing_about_its_monte_carlo_error(data, pca):
    found = metrics.importance_weighted_nll(LinearVAE(pca), data, 1, nll=LinearVAE(pca).nll)
    assert math.isnan(found.monte_carlo_error) and math.isnan(found.bias) and found.standard_error > 0


@pytest.mark.parametrize("k", [-0.2, 0.3, 0.7, 1.0])
def test_the_tail_of_weights_is_read_as_scipy_draws_it(k):
    """Mean over 50 sets of 4000 weights, whose standard error is about 0.02; the prior pulls it by 0.05 at most."""
    from scipy.stats import genpareto

    weights = torch.from_numpy(genpareto.rvs(k, size=(4000, 50), random_state=0)).log()
    assert measures.pareto_k(weights).mean().item() == pytest.approx(k, abs=0.1)
    assert torch.isnan(measures.pareto_k(weights[:20])).all(), "too few to have a tail"


def test_a_posterior_that_fits_is_trusted_and_one_that_is_too_narrow_is_doubtful(data, pca):
    """With a posterior of half the width weights have no variance: whatever error and bias say, they are too small."""
    for widen, trusted in ((1.0, True), (1.3, True), (0.25, False)):
        model = LinearVAE(pca, widen=widen)
        torch.manual_seed(0)
        found = metrics.importance_weighted_nll(model, data, 200, nll=model.nll)
        assert found.trusted is trusted, found
        assert 1 <= found.effective_samples <= 200 + 1e-6 and (found.pareto_k > 0.5) is (not trusted)
    few = metrics.importance_weighted_nll(model, data, 10, nll=model.nll)
    assert few.doubtful == 1, "ten draws have no tail to look at"


def test_active_units_of_probabilistic_pca_are_the_directions_above_the_noise(data):
    """With more latents than directions, the spare ones have posterior means that hardly move."""
    pca = PCA(6).fit(data.numpy())
    mu, logvar = LinearVAE(pca).encode(data)
    variances = 1 - pca.noise_variance_ / pca.explained_variance_  # of the posterior mean, by Tipping and Bishop
    torch.testing.assert_close(mu.var(0), torch.tensor(variances))
    assert metrics.active_units(mu, threshold=0.5) == 3
