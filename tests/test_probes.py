"""Probes on classes whose best accuracy is known, and the bootstrap's coverage.

Random tests state their tolerance; seeds are fixed.
"""

from __future__ import annotations

import math

import pytest
import torch

from course_utils.metrics import probes


def two_gaussians(n, gap, seed, dim=4):
    """Two classes of N(0, I), a distance ``gap`` apart: no classifier reads more than Phi(gap / 2) correctly."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    codes = torch.randn(n, dim, generator=generator)
    codes[:, 0] += gap * labels
    return codes, labels


def best_accuracy(gap):
    return 0.5 * (1 + math.erf(gap / 2 / math.sqrt(2)))


@pytest.mark.parametrize("gap", [0.0, 2.0])
def test_a_linear_probe_reads_shifted_gaussians_as_well_as_can_be(gap):
    """Random: 5 standard errors of 4000 test images (0.04 at most), and 0.01 for a probe fitted to 4000."""
    got = probes.linear_probe(*two_gaussians(4000, gap, 0), *two_gaussians(4000, gap, 1))
    assert got.value == pytest.approx(best_accuracy(gap), abs=0.05)
    assert got.low < got.value < got.high and got.high - got.low == pytest.approx(
        2 * 1.96 * math.sqrt(got.value * (1 - got.value) / 4000), rel=0.15
    )


def test_smooth_rings_defeat_the_linear_probe_and_not_the_neighbours():
    """Separable is not linearly separable: a ring around a disc, with a gap between."""
    generator = torch.Generator().manual_seed(2)
    angle, noise = 6.283 * torch.rand(1200, generator=generator), torch.rand(1200, generator=generator)
    labels = torch.arange(1200) % 2
    radius = torch.where(labels == 1, 2 + noise, noise)
    codes = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    parts = codes[:800], labels[:800], codes[800:], labels[800:]
    assert probes.nearest_neighbours(*parts).value > 0.99
    assert probes.linear_probe(*parts).value < 0.75


def test_bootstrap_intervals_cover_the_truth_as_often_as_they_say():
    """Random: 300 samples of 100 at 90 %: coverage between 0.8 and 0.97 (binomial, false alarm below 1e-5)."""
    generator = torch.Generator().manual_seed(3)
    covered = 0
    for seed in range(300):
        correct = (torch.rand(100, generator=generator) < 0.7).double()
        _, low, high = probes.bootstrap_mean(correct, level=0.9, seed=seed)
        covered += low <= 0.7 <= high
    assert 0.8 < covered / 300 < 0.97, f"{covered} of 300 intervals hold the truth, expected about 270"


def test_bootstrap_of_values_that_never_repeat_has_the_width_of_the_normal_interval():
    values = torch.randn(400, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    mean, low, high = probes.bootstrap_mean(values)
    assert mean == pytest.approx(float(values.mean()))
    assert high - low == pytest.approx(2 * 1.96 * float(values.std()) / 20, rel=0.1)


def test_a_paired_difference_is_sharper_than_two_intervals():
    correct = torch.rand(1000, generator=torch.Generator().manual_seed(5)) < 0.9
    better = correct.clone()
    better[:20] = True  # differs in a few images only
    a, b = (probes.Accuracy(*probes.bootstrap_mean(c), c) for c in (better, correct))
    value, low, high = probes.difference(a, b)
    assert value == pytest.approx(a.value - b.value)
    assert high - low < 0.5 * (a.high - a.low)


def test_mismatched_codes_and_labels_get_one_clear_error():
    with pytest.raises(ValueError, match=r"train_codes are \(4, 2\) and train_labels \(3,\)"):
        probes.linear_probe(torch.zeros(4, 2), torch.zeros(3), torch.zeros(4, 2), torch.zeros(4))
