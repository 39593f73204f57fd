"""The mutual information gap, and the factors that the toy animals' program knows. Fixed seeds: no chance."""

from __future__ import annotations

import pytest
import torch

from course_utils.datasets import toy_animals
from course_utils.metrics.disentanglement import mutual_information_gap


@pytest.fixture
def factors():
    return torch.rand(2000, 3, generator=torch.Generator().manual_seed(0))


def test_one_dimension_for_each_factor_is_1_whatever_its_scale_and_sign(factors):
    found = mutual_information_gap(torch.stack([-5 * factors[:, 2], factors[:, 0] ** 3, factors[:, 1]], 1), factors)
    assert found.mean > 0.9 and 0 <= found.mean_floor < 0.01


def test_two_dimensions_that_say_the_same_have_no_gap_and_a_mixture_a_small_one(factors):
    twice = mutual_information_gap(torch.cat([factors, factors], 1), factors)
    assert twice.values.abs().max() < 1e-9
    turned = mutual_information_gap(factors @ torch.linalg.qr(torch.randn(3, 3))[0], factors)
    assert turned.mean < 0.5


def test_noise_is_at_the_floor(factors):
    noise = torch.randn(2000, 4, generator=torch.Generator().manual_seed(1))
    found = mutual_information_gap(noise, factors)
    assert found.mean < 3 * found.mean_floor < 0.02


def test_what_cannot_be_asked_is_refused(factors):
    with pytest.raises(ValueError, match="D at least 2"):
        mutual_information_gap(factors[:, :1], factors)
    with pytest.raises(ValueError, match="constant"):
        mutual_information_gap(factors, torch.ones(2000, 1))


def test_factors_are_those_of_the_pictures_drawn():
    """The light makes a picture brighter; the same rows in another seed have other factors."""
    rhinoceros = toy_animals.attributes().continuous[toy_animals.CLASS_NAMES.index("rhinoceros")]
    pictures = toy_animals.draw(rhinoceros.expand(70, -1), size=32, seed=3).float().mean((1, 2, 3)).double()
    factors = toy_animals.factors(70, seed=3)
    assert set(factors) == set(toy_animals.CHANCES) and factors["x"].shape == (70,)
    both = torch.stack([pictures, factors["light"], toy_animals.factors(70, seed=4)["light"]])
    right, wrong = torch.corrcoef(both)[0, 1:].tolist()
    assert right > 0.7 > 0.4 > abs(wrong), (right, wrong)
    with pytest.raises(ValueError, match="from 1 up"):
        toy_animals.factors(0)
