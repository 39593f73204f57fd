"""Set distances against cases whose answer is known.

Random tests compare with a known value at a stated tolerance; seeds are fixed. Where standard errors are used it
is 5 of them (false alarm 6e-7 each under a normal law).
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from course_utils import metrics
from course_utils.metrics import distances


def gaussian_wasserstein(mean_a, variance_a, mean_b, variance_b) -> float:
    """Exact W_2 between Gaussians with diagonal covariances, all (D,): sqrt(|m_a - m_b|^2 + |sigma_a - sigma_b|^2)
    (Dowson and Landau 1982)."""
    means, deviations = mean_a - mean_b, variance_a.sqrt() - variance_b.sqrt()
    return math.sqrt(float(means.double().square().sum() + deviations.double().square().sum()))


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("order", [1, 2])
def test_sliced_wasserstein_of_a_shift_is_the_mean_projection_of_the_shift(order):
    """x against x + m differ by theta . m in every direction: no sampling of x matters, only that of directions.
    Random: E |theta . m|^p is known; 4000 directions, 5 standard errors."""
    x, m = normal(50, 3, 0), torch.tensor([2.0, 0.0, -1.0])
    got = distances.sliced_wasserstein(x, x + m, order=order, num_projections=4000)
    size = float(m.norm())
    expected = size / math.sqrt(3) if order == 2 else size / 2  # in 3-D a coordinate of a random direction is uniform
    relative_error = 5 * (1 / math.sqrt(3) if order == 1 else math.sqrt(4 / 5) / 2) / math.sqrt(4000)
    assert got == pytest.approx(expected, rel=relative_error)


def test_sliced_wasserstein_between_gaussians_has_its_closed_form():
    """N(0, 4 I) against N(0, I): |2 - 1| in every direction. Random: the sample standard deviation of 5000 draws is
    within 5 standard errors (0.05 each side) of the truth in nearly every direction, so the mean is within 0.05."""
    assert distances.sliced_wasserstein(2 * normal(5000, 4, 1), normal(5000, 4, 2)) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (5, 8), (12, 3), (1, 4)])
def test_sliced_wasserstein_in_one_dimension_is_scipys_for_any_two_sizes(n, m):
    x, y = normal(n, 1, n), normal(m, 1, 100 + m) + 0.3
    expected = stats.wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert distances.sliced_wasserstein(x, y, order=1, num_projections=3) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_batch_wasserstein_of_a_shift_is_its_length_whatever_the_order_of_the_rows(order):
    x, m = normal(60, 5, 3), torch.tensor([0.5, -2.0, 1.0, 0.0, 3.0])
    shuffled = (x + m)[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    assert distances.wasserstein(x, shuffled, order=order) == pytest.approx(float(m.norm()), rel=1e-5)


def test_batch_wasserstein_between_gaussians_is_the_closed_form_give_or_take_what_matching_batches_give():
    """Random: the triangle inequality bounds the difference by the two batches' distances from their own
    distributions, each of the size that two matching batches show (here twice that, with room)."""
    mean, scale = torch.tensor([1.5, -1.0]), torch.tensor([1.5, 0.5])
    exact = gaussian_wasserstein(torch.zeros(2), torch.ones(2), mean, scale.square())
    assert exact == pytest.approx(math.sqrt(1.5**2 + 1 + 0.5**2 + 0.5**2))
    got = distances.wasserstein(normal(800, 2, 4), normal(800, 2, 5) * scale + mean, order=2)
    matching = distances.wasserstein(normal(800, 2, 6), normal(800, 2, 7), order=2)
    assert abs(got - exact) < 2 * matching < 0.5, f"{got:.3f}, expected {exact:.3f} +- {2 * matching:.3f}"


def test_batches_of_unequal_size_are_refused_by_the_assignment():
    with pytest.raises(ValueError, match="x has 3 rows and y has 4"):
        distances.wasserstein(torch.zeros(3, 2), torch.zeros(4, 2))


def test_precision_and_recall_of_a_case_that_can_be_counted_by_hand():
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0]])  # to the nearest neighbour: 1 1 1 8, so [-1, 3] and [2, 18]
    generated = torch.tensor([[-0.5], [3.5], [19.0], [30.0]])  # reach 4 4 11 11: [-4.5, 7.5] and [8, 41]
    got = distances.precision_recall(generated, real, neighbours=1)
    assert got == distances.PrecisionRecall(precision=0.5, recall=1.0)


def test_equal_sets_have_precision_and_recall_1_and_distant_ones_0():
    x = normal(300, 8, 8)
    assert distances.precision_recall(x, x) == (1.0, 1.0)
    assert distances.precision_recall(x, x + 100) == (0.0, 0.0)


def test_a_dropped_mode_costs_recall_and_leaves_precision_and_noise_the_reverse():
    """Random: of two clusters one is generated; its real half is covered as matching samples are (seen: 0.93)."""
    clusters = torch.cat([normal(400, 2, 9), normal(400, 2, 10) + 50])
    matching = distances.precision_recall(normal(400, 2, 11), normal(400, 2, 12))
    dropped = distances.precision_recall(normal(800, 2, 13), clusters)
    assert dropped.recall == pytest.approx(0.5, abs=0.05) and dropped.precision > matching.precision - 0.1
    noise = 50 * normal(400, 2, 15) + 500
    noisy = distances.precision_recall(torch.cat([normal(400, 2, 14), noise]), normal(800, 2, 16))
    assert noisy.precision == pytest.approx(0.5 * matching.precision, abs=0.06) and noisy.recall > 0.85


def test_blocks_do_not_change_precision_and_recall(monkeypatch):
    x, y = normal(250, 3, 17), normal(260, 3, 18) * 1.2
    whole = distances.precision_recall(x, y)
    monkeypatch.setattr(distances, "BLOCK", 33)
    assert distances.precision_recall(x, y) == whole


def test_frechet_distance_between_gaussians_has_its_closed_form():
    """Random: 20,000 draws; mean and variances are within 5 standard errors, which moves the distance by below 0.2."""
    mean, scale = torch.tensor([1.0, 2.0, 0.0]), torch.tensor([1.0, 3.0, 0.5])
    got = metrics.frechet_distance(normal(20_000, 3, 19), normal(20_000, 3, 20) * scale + mean)
    exact = gaussian_wasserstein(torch.zeros(3), torch.ones(3), mean, scale.square()) ** 2
    assert got == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize("function", [distances.sliced_wasserstein, distances.wasserstein, distances.precision_recall])
def test_sets_of_different_dimension_get_one_clear_error(function):
    with pytest.raises(ValueError, match=r"\(5, 2\).*\(5, 3\)"):
        function(torch.zeros(5, 2), torch.zeros(5, 3))
