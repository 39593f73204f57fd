"""The aggregate posterior against cases whose answer is known: Gaussian channels, two codes, shifted Gaussians.

Random tests compare averages over data sets with exact values at 5 standard errors (false alarm 6e-7 each for a normal
law, at most 5e-5 with the t distribution of 20 data sets); seeds are fixed.
"""

from __future__ import annotations

import math

import pytest
import torch

from course_utils import metrics
from course_utils.metrics import aggregate, mmd


def channel(n, gains, noise_variances, seed, mean=0.0):
    """mu and logvar of a Gaussian channel z = gain * x + noise with x ~ N(0, 1) in each dimension."""
    gains, noise_variances = torch.tensor(gains), torch.tensor(noise_variances)
    x = torch.randn(n, len(gains), generator=torch.Generator().manual_seed(seed))
    return gains * x + mean, noise_variances.log().expand(n, -1).clone()


def test_mutual_information_of_a_gaussian_channel_lies_in_the_bracket_and_the_rest_of_the_rate_is_the_kl():
    """I = sum of log(1 + gain^2 / noise) / 2, and q(z) = N(m, gain^2 + noise)."""
    gains, noise, mean = [1.0, 0.5], [0.3, 0.5], 0.4
    exact = sum(0.5 * math.log(1 + g * g / v) for g, v in zip(gains, noise, strict=True))
    total = [g * g + v for g, v in zip(gains, noise, strict=True)]
    exact_kl = sum(0.5 * (t + mean**2 - 1 - math.log(t)) for t in total)
    posteriors = [channel(400, gains, noise, seed, mean) for seed in range(20)]
    found = [aggregate.mutual_information(*posterior, num_draws=400) for posterior in posteriors]
    columns = torch.tensor(found, dtype=torch.float64)
    means, errors = columns.mean(0), columns.std(0) / math.sqrt(20)
    low, high, kl, rate = means[:4].tolist()
    assert low - 5 * errors[0] < exact < high + 5 * errors[1], f"[{low:.3f}, {high:.3f}], exactly {exact:.3f}"
    assert high - low < 0.1, f"a bracket of {high - low:.3f} nats from 400 images"
    assert kl > exact_kl - 5 * errors[2] and kl - exact_kl < 0.1, f"KL {kl:.3f}, exactly {exact_kl:.3f}"
    assert rate == pytest.approx(low + kl)


def test_mutual_information_of_codes_that_are_far_apart_is_log_n_without_error():
    mu = 100 * torch.arange(8.0)[:, None]
    found = aggregate.mutual_information(mu, torch.zeros(8, 1), num_draws=80)
    assert found.mutual_information == pytest.approx(math.log(8)) == found.ceiling
    assert found.standard_error < 1e-9 and found.ceiling < found.upper <= found.rate


def test_mutual_information_of_a_collapsed_posterior_is_zero():
    found = aggregate.mutual_information(torch.zeros(50, 3), torch.zeros(50, 3), num_draws=70)
    assert (found.mutual_information, found.upper, found.kl_to_prior) == pytest.approx((0, 0, 0), abs=1e-9)


def test_stated_standard_error_is_the_spread_over_draws():
    """Random: variance ratio of 60 repeats within [0.4, 2]; chi-squared with 59 degrees, false alarm about 1e-5."""
    mu, logvar = channel(300, [1.0], [0.5], 0)
    found = [aggregate.mutual_information(mu, logvar, num_draws=300, seed=seed) for seed in range(60)]
    spread = torch.tensor([f.mutual_information for f in found]).var()
    stated = torch.tensor([f.standard_error**2 for f in found]).mean()
    # draws are spread evenly over the images, so the spread may be smaller than stated, never larger
    assert 0.1 < spread / stated < 2, f"spread {spread.sqrt():.4f}, stated {stated.sqrt():.4f}"


def test_variance_of_the_aggregate_posterior_is_that_of_the_means_plus_the_mean_variance():
    mu = torch.tensor([[1.0, 0.0], [-1.0, 2.0]])
    logvar = torch.tensor([[0.5, 0.1], [1.5, 0.3]]).log()
    torch.testing.assert_close(aggregate.aggregate_variance(mu, logvar), torch.tensor([2.0, 1.2]))
    expected = torch.tensor([[2.0, -1.0], [-1.0, 1.2]])
    torch.testing.assert_close(aggregate.aggregate_covariance(mu, logvar), expected)


def test_draws_of_the_aggregate_posterior_have_its_covariance():
    """Random: 40,000 draws, each entry within 5 standard errors (about 0.05 for variances near 1.3)."""
    mu, logvar = channel(40_000, [1.0, 0.5], [0.3, 0.5], 1)
    z = aggregate.sample(mu, logvar)
    difference = (torch.cov(z.T) - aggregate.aggregate_covariance(mu, logvar)).abs().max()
    assert difference < 0.05, f"off by {difference:.3f}"


def test_codes_that_match_the_prior_are_as_far_as_matching_draws():
    """Random: 5 standard deviations, estimated from 20 matching sets (t distribution: 8e-5 for each of two)."""
    z = torch.randn(500, 4, generator=torch.Generator().manual_seed(2))
    found = aggregate.distance_to_prior(z, num_matching=20)
    for name, value, (mean, deviation) in (
        ("MMD", found.mmd, found.mmd_of_matching),
        ("sliced", found.sliced_wasserstein, found.sliced_wasserstein_of_matching),
    ):
        assert abs(value - mean) < 5 * deviation, f"{name}: {value:.4f}, matching {mean:.4f} +- {deviation:.4f}"


def test_distance_of_a_shifted_gaussian_has_its_closed_forms():
    """MMD^2 is 2 (u - E k) with E k = u exp(-|m|^2 / (2 (s^2 + 2))); sliced W_2 is |m| / sqrt(D). Random: tolerances of
    5 standard deviations or more, seen over 200 seeds: 0.007 and 0.037 (bias 0.006)."""
    mean = torch.tensor([1.0, -1.0, 0.5, 0.0])
    z = torch.randn(1000, 4, generator=torch.Generator().manual_seed(3)) + mean
    found = aggregate.distance_to_prior(z, bandwidths=[2.0], num_matching=2)
    within, squared = mmd.expected_kernel_within(4, 2.0), float(mean.square().sum())
    assert found.mmd == pytest.approx(2 * within * (1 - math.exp(-squared / 12)), abs=0.035)
    assert found.sliced_wasserstein == pytest.approx(math.sqrt(squared / 4), abs=0.2)
    assert found.bandwidths == (2.0,) and found.mmd > found.mmd_of_matching[0]


def test_distance_to_the_prior_says_which_bandwidths_it_used():
    assert metrics.distance_to_prior(torch.randn(20, 2), num_matching=2).bandwidths == mmd.prior_bandwidths(2)


def test_bad_posteriors_get_one_clear_error():
    with pytest.raises(ValueError, match=r"mu is \(3, 2\), logvar \(3, 1\)"):
        aggregate.mutual_information(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ValueError, match=r"z is \(3,\)"):
        aggregate.distance_to_prior(torch.zeros(3))
