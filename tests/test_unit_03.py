"""Unit 03: what its notebook prints is true."""

from __future__ import annotations

import math

import pytest
import torch

UNIT = "03_interpolation"


def test_given_answers_of_earlier_units_are_right(space):
    mu, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]])
    assert space["kl_divergence"](mu, logvar).item() == pytest.approx(0.5 + (3 - math.log(4)) / 2)
    assert space["reconstruction_loss"](torch.zeros(1, 2), torch.ones(1, 2)).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 1.0])
def test_printed_length_half_way_is_the_expectation(notebook, t):
    """Five standard errors of the mean of 40,000 draws: false alarm below 1e-6 for each t."""
    assert notebook.prints(r"\mathbb{E}\lVert z(t) \rVert^2 = ((1 - t)^2 + t^2) D")
    dims = 7
    a, b = torch.randn(2, 40_000, dims, dtype=torch.float64)
    squared = ((1 - t) * a + t * b).square().sum(1)
    expected = ((1 - t) ** 2 + t**2) * dims
    assert abs(squared.mean().item() - expected) <= 5 * squared.std().item() / 200


def test_printed_slerp_is_the_code(notebook, space):
    assert notebook.prints(r"z(t) = \frac{\sin((1 - t) \omega)}{\sin \omega} a + \frac{\sin(t \omega)}{\sin \omega} b")
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([-1.0, 1.0])
    angle = 3 * math.pi / 4
    for row, t in zip(space["slerp"](a, b, 5), (0, 0.25, 0.5, 0.75, 1), strict=True):
        expected = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
        assert torch.allclose(row, expected, atol=1e-5)


def test_the_normal_density_grows_towards_the_origin_as_printed(notebook):
    assert notebook.prints(r"\log p(z) = -\tfrac{1}{2} \lVert z \rVert^2 + \text{const}")
    z = torch.randn(9, 4, dtype=torch.float64)
    log_density = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    rest = log_density + 0.5 * z.square().sum(1)
    assert torch.allclose(rest, rest[0].expand(9))
