"""Path measures against paths whose density, length and classes are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from course_utils.metrics import paths
from course_utils.models.classifier import Classifier


def test_density_under_one_component_is_the_gaussian_that_was_fitted():
    draws = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    codes = draws * torch.tensor([1, 2, 0.5])
    path = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None].expand(-1, 3)
    mixture = paths.fit_mixture(codes, 1)
    covariance = torch.cov(codes.T, correction=0) + 1e-4 * torch.eye(3)
    expected = torch.distributions.MultivariateNormal(codes.mean(0), covariance).log_prob(path)
    torch.testing.assert_close(paths.log_density(mixture, path), expected)


def test_a_path_between_two_clusters_passes_through_a_hole_and_its_ends_do_not():
    codes = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    codes[200:] += 20
    mixture = paths.fit_mixture(codes, 2)
    path = torch.linspace(0, 20, 5)[:, None].expand(-1, 2)
    rank = paths.density_rank(paths.log_density(mixture, path), paths.log_density(mixture, codes))
    assert rank[2] == 0 and rank[0] > 0.5 and rank[4] > 0.5, f"ranks {rank.tolist()}"


def test_density_rank_is_the_share_of_real_codes_below():
    rank = paths.density_rank(torch.tensor([0.0, 2.5, 9.0]), torch.tensor([3.0, 1.0, 2.0, 4.0]))
    assert rank.tolist() == [0.0, 0.5, 1.0]


def test_readings_follow_the_classes_that_a_path_passes_through():
    """A classifier that reads the brightness of one pixel: class 0 below 0.25, class 1 to 0.75, class 2 above."""

    class Brightness(nn.Module):
        def forward(self, features):
            level = features[:, :1]
            return torch.cat([0.25 - level, 0 * level, level - 0.75], 1) * 40

    reader = Classifier(nn.Sequential(nn.Flatten(), Brightness()), accuracy=1.0)
    images = torch.linspace(0, 1, 9)[:, None, None, None].expand(-1, 1, 28, 28)
    got = paths.readings(reader, images)
    assert got.passed == (0, 1, 2)
    assert got.predicted[[0, 4, 8]].tolist() == [0, 1, 2]
    assert got.confidence[0] == pytest.approx(1 / (1 + math.exp(-10) + math.exp(-40)), abs=1e-4)


def test_a_cross_fade_is_as_long_as_the_distance_of_its_ends_and_even():
    a, b = torch.rand(2, 1, 28, 28)
    fade = torch.stack([(1 - t) * a + t * b for t in torch.linspace(0, 1, 11)])
    got = paths.length(fade)
    assert got.detour == pytest.approx(1, abs=1e-5) and got.total == pytest.approx(float((a - b).norm()), rel=1e-5)
    assert got.largest_step == pytest.approx(0.1, abs=1e-5)


def test_a_quarter_of_a_circle_is_pi_over_two_radii_long():
    angle = torch.linspace(0, math.pi / 2, 1001, dtype=torch.float64)
    got = paths.length(torch.stack([angle.cos(), angle.sin()], 1))
    assert got.total == pytest.approx(math.pi / 2, rel=1e-6)
    assert got.detour == pytest.approx(math.pi / 2 / math.sqrt(2), rel=1e-6)


def test_a_jump_takes_the_whole_length():
    assert paths.length(torch.tensor([[0.0], [0.0], [5.0], [5.0]])).largest_step == 1.0


def test_too_little_for_a_mixture_or_a_path_gets_one_clear_error():
    with pytest.raises(ValueError, match="at least 10 components"):
        paths.fit_mixture(torch.zeros(5, 2))
    with pytest.raises(ValueError, match="at least 2 images"):
        paths.length(torch.zeros(1, 4))
