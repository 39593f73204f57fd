"""What codes know about attributes. Seeds are fixed: nothing here fails by chance."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from course_utils.metrics.attributes import (
    attribute_direction,
    attribute_intervals,
    auc_over_classes,
    held_out_scores,
    nearest,
    permuted_chance,
    roc_auc,
    zero_shot,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def classes(generator, n_classes=20, each=15, dim=30):
    """Codes around a random centre for each class, whose attributes have nothing to do with the centre."""
    labels = torch.arange(n_classes).repeat_interleave(each)
    centres = 3 * torch.randn(n_classes, dim, generator=generator)
    codes = centres[labels] + torch.randn(len(labels), dim, generator=generator)
    signatures = (torch.arange(n_classes) % 2)[torch.randperm(n_classes, generator=generator)][:, None]
    return codes, labels, signatures[labels]


def test_roc_auc_agrees_with_scikit_learn_with_ties(generator):
    scores = torch.randint(0, 6, (200,), generator=generator).float()
    positive = torch.rand(200, generator=generator) < 0.3
    assert roc_auc(scores, positive) == pytest.approx(roc_auc_score(positive.numpy(), scores.numpy()), abs=1e-12)
    assert math.isnan(roc_auc(scores, torch.ones(200)))


def test_an_attribute_in_the_codes_is_found_and_a_constant_one_is_nan(generator):
    z = torch.randn(300, 5, generator=generator)
    attributes = torch.stack([(z[:, 0] > 0).long(), torch.zeros(300, dtype=torch.long)], 1)
    scores = held_out_scores(z, attributes)
    found, constant = attribute_intervals(scores, attributes)
    assert found.value > 0.95 and found.low <= found.value <= found.high
    assert math.isnan(constant.value) and scores[:, 1].isnan().all()


def test_noise_on_more_dimensions_than_pictures_is_not_found(generator):
    z, attributes = torch.randn(200, 300, generator=generator), torch.randint(0, 2, (200, 8), generator=generator)
    values = [score.value for score in attribute_intervals(held_out_scores(z, attributes), attributes)]
    assert abs(sum(values) / 8 - 0.5) < 0.08, values


def test_a_split_by_picture_leaks_the_class_and_a_split_by_class_does_not(generator):
    z, labels, attributes = classes(generator)
    leaking = roc_auc(held_out_scores(z, attributes)[:, 0], attributes[:, 0])
    honest = roc_auc(held_out_scores(z, attributes, labels)[:, 0], attributes[:, 0])
    assert leaking > 0.95 and honest < 0.75, f"by picture {leaking:.2f}, by class {honest:.2f}"


def test_an_interval_over_classes_is_wider_than_one_over_pictures(generator):
    z, labels, attributes = classes(generator)
    scores = held_out_scores(z, attributes, labels)
    (by_picture,) = attribute_intervals(scores, attributes)
    (by_class,) = attribute_intervals(scores, attributes, labels)
    assert by_class.high - by_class.low > 1.5 * (by_picture.high - by_picture.low)


def test_direction_leads_from_pictures_without_to_pictures_with():
    z = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 4.0], [1.0, 6.0]])
    assert attribute_direction(z, torch.tensor([0, 0, 1, 1])).tolist() == [0.0, 5.0]
    with pytest.raises(ValueError, match="both kinds"):
        attribute_direction(z, torch.ones(4))


def test_nearest_codes_come_in_order():
    z = torch.tensor([[0.0], [5.0], [1.0], [9.0]])
    assert nearest(z, torch.tensor([[0.4], [8.0]]), 2).tolist() == [[0, 2], [3, 1]]


def test_zero_shot_picks_the_class_with_the_same_attributes_and_ignores_nan():
    signatures = torch.tensor([[1, 0, 1], [0, 1, 1], [0, 0, 1]])
    scores = torch.tensor([[0.9, 0.1, float("nan")], [0.2, 0.6, float("nan")], [0.1, 0.2, float("nan")]])
    assert zero_shot(scores, signatures).tolist() == [0, 1, 2]


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"\(N, A\)"):
        held_out_scores(torch.zeros(4, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match="3 classes for 5 folds"):
        held_out_scores(torch.zeros(6, 2), torch.zeros(6, 1), torch.tensor([0, 0, 1, 1, 2, 2]))


def test_auc_over_classes_agrees_with_roc_auc_and_with_classes_drawn_anew(generator):
    codes, labels, has = classes(generator)
    scores = held_out_scores(codes, has, labels)
    found = auc_over_classes(scores, has, labels, draws=400)
    assert found[0, 0] == pytest.approx(roc_auc(scores[:, 0], has[:, 0]), abs=1e-12)
    (other,) = attribute_intervals(scores, has, labels)
    low, high = found[1:, 0].quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    assert low == pytest.approx(other.low, abs=0.05) and high == pytest.approx(other.high, abs=0.05)
    again = auc_over_classes(-scores, has, labels, draws=400)
    assert torch.allclose(found + again, torch.ones_like(found), equal_nan=True)  # the same classes: paired


def test_guessing_scores_below_one_half_where_whole_classes_are_held_out(generator):
    """Codes of pure noise; 4 of 20 classes have the attribute."""
    labels = torch.arange(20).repeat_interleave(15)
    binary = (torch.arange(20) < 4).long()[:, None]
    chance = permuted_chance(torch.randn(300, 5, generator=generator), binary, labels, permutations=40)
    assert chance.shape == (40, 1)
    assert chance.mean() < 0.47 and chance.std() > 0.03
