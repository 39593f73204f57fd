"""The classifier that judges generated images learns images of any shape."""

from __future__ import annotations

import pytest
import torch

from course_utils.datasets import Dataset
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
