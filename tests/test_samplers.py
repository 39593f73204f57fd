"""Samplers against independent code, and the moments of what they draw.

Random tests have fixed seeds; a bound of five standard errors would fail in less than 1 of a million other seeds for
each of the 30 numbers looked at.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from course_utils import models
from course_utils.models import samplers

CODES = torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
    [[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 0.2]]
) + torch.tensor([1.0, -2.0, 0.0])


def test_log_densities_agree_with_scipy():
    x, codes = CODES[:20].double().numpy(), CODES.double().numpy()
    mean, covariance = codes.mean(0), np.cov(codes.T, bias=True)
    for name, expected in {
        "prior": multivariate_normal(np.zeros(3), np.eye(3)),
        "axes": multivariate_normal(mean, np.diag(np.diag(covariance))),
        "gaussian": multivariate_normal(mean, covariance),
    }.items():
        found = samplers.make(name).fit(CODES).log_density(CODES[:20])
        assert np.allclose(found.numpy(), expected.logpdf(x), rtol=1e-6), name


@pytest.mark.parametrize(("name", "full"), [("axes", False), ("gaussian", True), ("mixture", True)])
def test_draws_have_the_moments_of_the_codes(name, full):
    drawn = samplers.make(name).fit(CODES).sample(20_000, seed=1).double()
    scale = CODES.std(0).double()
    assert ((drawn.mean(0) - CODES.mean(0)).abs() / scale < 5 * (1 / 20_000 + 1 / 3000) ** 0.5).all()
    wanted = torch.cov(CODES.T.double()) if full else torch.diag(CODES.var(0).double())
    error = (torch.cov(drawn.T) - wanted).abs() / (scale[:, None] * scale)
    assert (error < 5 * (2 / 20_000 + 2 / 3000) ** 0.5).all()


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_a_seed_repeats_the_draw_and_another_does_not(name):
    sampler = samplers.make(name).fit(CODES[:200])
    assert torch.equal(sampler.sample(5, seed=3), sampler.sample(5, seed=3))
    assert not torch.equal(sampler.sample(5, seed=3), sampler.sample(5, seed=4))
    assert sampler.sample(5).dtype == torch.float32 and sampler.sample(5).shape == (5, 3)


def test_codes_that_no_dimension_uses_are_drawn_where_they_are():
    flat = torch.cat([CODES[:, :1], torch.zeros(3000, 1)], 1)
    for name in ("axes", "gaussian", "mixture"):
        drawn = samplers.make(name).fit(flat).sample(100)
        assert torch.isfinite(drawn).all() and drawn[:, 1].abs().max() < 0.1


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (CODES.numpy(), "codes is a NumPy array"),
        (CODES[0], r"\(3,\) of torch.float32; expected a floating-point tensor \(N, D\)"),
        (CODES[:5].int(), "torch.int32"),
        (CODES[:5], "5 codes of 3 dimensions; expected at least 10"),
        (torch.full((20, 2), float("nan")), "codes has 40 values of 40 that are nan or inf"),
    ],
)
def test_other_codes_are_refused(codes, said):
    with pytest.raises(ValueError, match=said):
        samplers.Mixture().fit(codes)


def test_names_and_order_of_use():
    with pytest.raises(ValueError, match="no sampler 'flow'; expected one of prior, axes, gaussian, mixture"):
        samplers.make("flow")
    with pytest.raises(ValueError, match="Gaussian is not fitted yet"):
        samplers.Gaussian().sample(3)
    with pytest.raises(ValueError, match=r"\(2, 4\); expected \(N, 3\)"):
        samplers.Gaussian().fit(CODES).log_density(torch.zeros(2, 4))


def test_aggregate_codes_are_draws_from_the_posterior_or_the_codes_themselves():
    images = torch.rand(500, 6, generator=torch.Generator().manual_seed(0))
    vae = models.VAE(6, (8,), 2)
    mu, logvar = vae.encode(images)
    drawn = samplers.aggregate_codes(vae, images, seed=2)
    noise = ((drawn - mu) / torch.exp(0.5 * logvar)).detach()
    assert abs(float(noise.mean())) < 0.16 and abs(float(noise.std()) - 1) < 0.12  # five standard errors of 1,000
    plain = models.Autoencoder(models.mlp([6, 2]), models.mlp([2, 6]))
    assert torch.equal(samplers.aggregate_codes(plain, images), plain.encode(images))
