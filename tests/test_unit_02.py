"""Unit 02: what its notebook prints is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

UNIT = "02_variational_autoencoders"
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
EPS = torch.from_numpy(NODES)  # quadrature over N(0, 1): exact for polynomials, no random numbers
SHARE = torch.from_numpy(WEIGHTS / WEIGHTS.sum())
X, S2 = torch.tensor(2.0, dtype=torch.float64), 0.25  # the toy of section 2.2


def expectation(values: torch.Tensor) -> float:
    """Mean over eps ~ N(0, 1) of values at the nodes EPS."""
    return float((values * SHARE).sum())


def double(value: float) -> torch.Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


@pytest.mark.parametrize("mu, variance", [(0.0, 1.0), (1.0, 1.0), (0.0, 4.0), (-1.7, 0.09), (3.0, 2.5)])
def test_printed_kl_is_the_expectation_and_the_closed_form_and_the_code(notebook, space, mu, variance):
    assert notebook.prints(r"= \tfrac{1}{2} (\mu^2 + \sigma^2 - 1 - \log \sigma^2)")
    assert notebook.prints(
        r"\mathbb{E}_{q}[\tfrac{1}{2} z^2 - \tfrac{1}{2} \tfrac{(z - \mu)^2}{\sigma^2} - \tfrac{1}{2} \log \sigma^2]"
    )
    z = mu + math.sqrt(variance) * EPS
    integral = expectation(0.5 * z**2 - 0.5 * (z - mu) ** 2 / variance - 0.5 * math.log(variance))
    closed = 0.5 * (mu**2 + variance - 1 - math.log(variance))
    code = space["kl_divergence"](double(mu), double(math.log(variance))).item()
    torch_says = kl_divergence(Normal(mu, variance**0.5), Normal(0.0, 1.0)).item()
    assert integral == pytest.approx(closed, abs=1e-9)
    assert code == pytest.approx(closed, abs=1e-9)
    assert torch_says == pytest.approx(closed, abs=1e-5)


def test_printed_derivatives_of_the_sample_are_those_of_the_code(notebook, space):
    assert notebook.prints(r"\partial z / \partial \mu = 1")
    assert notebook.prints(r"\partial z / \partial \log \sigma^2 = \frac{1}{2} \sigma \varepsilon")
    mu, logvar = double(0.7).requires_grad_(), double(-0.9).requires_grad_()
    z = space["reparameterize"](mu, logvar)
    d_mu, d_logvar = torch.autograd.grad(z, (mu, logvar))
    noise_part = (z - mu).item()  # sigma * eps
    assert d_mu.item() == pytest.approx(1.0)
    assert d_logvar.item() == pytest.approx(0.5 * noise_part)


@pytest.mark.parametrize("mu, variance", [(1.6, 0.2), (0.0, 1.0), (2.0, 0.01)])
def test_log_evidence_is_elbo_plus_gap_and_the_gap_closes_at_the_posterior(notebook, space, mu, variance):
    assert notebook.prints(r"+ \mathrm{KL}(q(z \mid x) \| p(z \mid x))")
    assert notebook.prints(r"p(z \mid x) = \mathcal{N}(\frac{x}{1 + s^2}, \frac{s^2}{1 + s^2})")
    assert notebook.prints(r"p(x) = \mathcal{N}(0, 1 + s^2)")
    distortion = expectation(-Normal(mu + variance**0.5 * EPS, S2**0.5).log_prob(X))
    elbo = -distortion - space["kl_divergence"](double(mu), double(math.log(variance))).item()
    posterior = Normal(X / (1 + S2), (S2 / (1 + S2)) ** 0.5)
    gap = kl_divergence(Normal(double(mu), variance**0.5), posterior).item()
    evidence = Normal(0.0, (1 + S2) ** 0.5).log_prob(X).item()
    assert elbo + gap == pytest.approx(evidence, abs=1e-6)
    assert gap >= 0 and (gap < 1e-9) == (mu == 1.6 and variance == 0.2)


@pytest.mark.parametrize("beta", [0.01, 1.0, 100.0])
def test_toy_minimum_is_where_the_table_says(notebook, space, beta):
    assert any("mean x / (1 + beta s²) and variance beta s² / (1 + beta s²)" in c.source for c in notebook.cells)
    mu = double(2.0 / (1 + beta * S2)).requires_grad_()
    logvar = torch.log(double(beta * S2 / (1 + beta * S2))).requires_grad_()
    z = mu[0, 0] + torch.exp(0.5 * logvar[0, 0]) * EPS
    loss = ((X - z) ** 2 / (2 * S2) * SHARE).sum() + beta * space["kl_divergence"](mu, logvar)
    for name, gradient in zip(("mu", "logvar"), torch.autograd.grad(loss, (mu, logvar)), strict=True):
        assert gradient.item() == pytest.approx(0, abs=1e-8), f"the loss still slopes along {name} at beta = {beta}"


def test_gradients_called_exact_are_exact_for_both_estimators(notebook):
    assert any("exact = (-x_seen / noise_variance, 1 / (2 * noise_variance))" in c.source for c in notebook.cells)
    distortion = (X - EPS) ** 2 / (2 * S2)  # at q = N(0, 1), where z is eps
    through_sample = expectation(-(X - EPS) / S2), expectation(-(X - EPS) / S2 * 0.5 * EPS)
    score_function = expectation(distortion * EPS), expectation(distortion * (EPS**2 - 1) / 2)
    exact = (-2.0 / S2, 1 / (2 * S2))
    assert through_sample == pytest.approx(exact)
    assert score_function == pytest.approx(exact)


@pytest.mark.parametrize("per_pixel", [0.0, 0.001, 0.01, 10.0])
def test_averaging_over_pixels_only_rescales_the_loss(notebook, space, per_pixel):
    assert notebook.prints(r"\tfrac{1}{P} D + b R = \tfrac{1}{P} (D + b P R)")
    pixels = 49
    logits, x = torch.randn(3, pixels), torch.rand(3, pixels)
    mu, logvar = torch.randn(3, 4), torch.randn(3, 4)
    loss, distortion, rate = space["vae_loss"](logits, x, mu, logvar, space["elbo_beta"](per_pixel, pixels))
    averaged = torch.nn.functional.binary_cross_entropy_with_logits(logits, x) + per_pixel * rate
    assert (loss / pixels).item() == pytest.approx(averaged.item(), rel=1e-4)
    assert loss.item() == pytest.approx((distortion + per_pixel * pixels * rate).item(), rel=1e-4)


def test_squared_error_is_twice_the_gaussian_likelihood_up_to_a_constant():
    x, x_hat = torch.rand(2, 50, dtype=torch.float64)
    nll = -Normal(x_hat, 1.0).log_prob(x).sum() - 50 * 0.5 * math.log(2 * math.pi)
    assert 2 * nll.item() == pytest.approx(((x - x_hat) ** 2).sum().item())


def test_importance_weighting_tightens_the_bound_as_printed(notebook):
    assert notebook.prints(
        r"-\log p(x) \le \mathbb{E}[-\log \frac{1}{K} \sum_{k=1}^{K} \frac{p(x \mid z_k) p(z_k)}{q(z_k \mid x)}]"
    )
    proposal = Normal(torch.tensor(1.2, dtype=torch.float64), 0.6)
    z = proposal.mean + proposal.stddev * EPS
    log_weight = Normal(z, S2**0.5).log_prob(X) + Normal(0.0, 1.0).log_prob(z) - proposal.log_prob(z)
    one = -expectation(log_weight)
    pairs = torch.logaddexp(log_weight[:, None], log_weight[None, :]) - math.log(2)
    two = -float((pairs * SHARE[:, None] * SHARE[None, :]).sum())
    elbo = expectation(Normal(z, S2**0.5).log_prob(X)) - kl_divergence(proposal, Normal(0.0, 1.0)).item()
    truth = -Normal(0.0, (1 + S2) ** 0.5).log_prob(X).item()
    assert one == pytest.approx(-elbo, abs=1e-6), "at K = 1 the bound is the negative ELBO"
    assert truth < two < one
