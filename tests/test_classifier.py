"""The classifier that judges generated images learns images of any shape."""

from __future__ import annotations

import pytest
import torch

from course_utils.datasets import Dataset
from course_utils.metrics import Yardstick
from course_utils.models import classifier


def test_it_learns_colour_pictures_and_takes_them_flat_too():
    """Not random: red against blue pictures, 16x16."""
    labels = torch.arange(200) % 2
    images = torch.zeros(200, 3, 16, 16, dtype=torch.uint8)
    images[torch.arange(200), 2 * labels] = 200
    reader = classifier.train(Dataset(images, labels, images[:20], labels[:20], ("red", "blue")), batch_size=20)
    assert reader.accuracy == 1.0
    assert reader.features(images[:5]).shape == (5, classifier.FEATURES)
    assert torch.equal(reader.probabilities(images[:5]), reader.probabilities(images[:5].flatten(1)))
    with pytest.raises(ValueError, match="3, 16, 16"):
        reader.predict(torch.zeros(2, 1, 28, 28))


@pytest.fixture
def two_colours():
    labels = torch.arange(200) % 2
    images = torch.zeros(200, 1, 28, 28, dtype=torch.uint8)
    images[torch.arange(200), :, : 14 * 2, 14 * labels] = 200
    return Dataset(images, labels, images[:20], labels[:20], ("left", "middle"))


def test_the_reader_is_trained_once_and_then_read_from_runs(two_colours, tmp_path, monkeypatch):
    """Not random: what is kept is what was trained; other images, or a damaged file, are trained anew."""
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))
    trained = []
    train = classifier.train
    monkeypatch.setattr(classifier, "train", lambda data: trained.append(1) or train(data, batch_size=50))
    first, again = classifier.reader(two_colours), classifier.reader(two_colours)
    assert len(trained) == 1 and again.accuracy == first.accuracy
    pictures = two_colours.test_images / 255
    assert torch.equal(first.features(pictures), again.features(pictures))
    classifier.reader(two_colours._replace(train_images=255 - two_colours.train_images))
    assert len(trained) == 2
    for kept in (tmp_path / ".readers").iterdir():
        kept.write_bytes(b"damaged")
    classifier.reader(two_colours)
    assert len(trained) == 3


def test_a_distance_is_of_one_number_of_images(two_colours, tmp_path, monkeypatch):
    """Not random: another number of images is refused; real images stand at the floor."""
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))
    train = classifier.train
    monkeypatch.setattr(classifier, "train", lambda data: train(data, batch_size=50))
    yardstick = Yardstick(two_colours)
    with pytest.raises(ValueError, match="expected 5000"):
        yardstick.quality(two_colours.test_images)
    real = two_colours.train_images.repeat(yardstick.count // 200, 1, 1, 1) / 255
    assert yardstick.quality(real).frechet == pytest.approx(yardstick.floor.frechet, rel=0.2, abs=0.1)
