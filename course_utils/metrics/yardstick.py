"""How good are samples? One reader, one set of real images and one number of images, the same in every unit.

A Fréchet distance means something only beside another that was measured in the same way: with other weights of the
classifier, other real images or another number of samples it is another number. So all of it is fixed here, once.
"""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from course_utils.datasets import Dataset
from course_utils.models import classifier

from . import measures, scorecard


class Yardstick:
    """What images are held against: the course's reader of this data set, and all its test images.

    Attributes:
        reader: ``classifier.reader(data)``.
        count: how many images are compared with the test images, as in ``scorecard.measure``.
    """

    def __init__(self, data: Dataset) -> None:
        self.reader = classifier.reader(data)
        self.count = scorecard.NUM_SAMPLES
        self._data = data

    def quality(self, images: Tensor) -> measures.SampleQuality:
        """Fréchet distance to the test images, confidence and diversity of ``count`` images (N, ...) in [0, 1].

        Raises:
            ValueError: another number of images. Fewer give a larger distance, whatever made them.
        """
        if len(images) != self.count:
            raise ValueError(f"{len(images)} images are given; expected {self.count}: distances of fewer are larger.")
        return measures.sample_quality(self.reader, images, self._data.test_images)

    @cached_property
    def floor(self) -> measures.SampleQuality:
        """The same of real images that are none of the test images: the first ``count`` training images, or all there
        are. A distance near this one cannot be told from "real"."""
        return measures.sample_quality(self.reader, self._data.train_images[: self.count], self._data.test_images)
