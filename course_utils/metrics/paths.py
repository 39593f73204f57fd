"""What is measured along a path of codes, such as an interpolation between two images. T points, both ends included."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_utils.models import samplers
from course_utils.models.classifier import Classifier
from course_utils.system.contracts import Images, Model, Rows, Vector, Whole, takes

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


@takes(codes=Rows(), num_components=Whole(1), seed=Whole(0, 2**32 - 1))
def fit_mixture(codes: Tensor, num_components: int = 10, *, seed: int = 0) -> GaussianMixture:
    """A Gaussian mixture with full covariances fitted to codes (N, D), at most 10,000 of them (scikit-learn)."""
    if len(codes) < num_components:
        raise ValueError(f"codes are {tuple(codes.shape)}; expected (N, D), N at least {num_components} components.")
    return samplers.Mixture(num_components, seed=seed).fit(codes).mixture


@takes(codes=Rows())
def log_density(mixture: GaussianMixture, codes: Tensor) -> Tensor:
    """(T,) log density, in nats, of codes (T, D) under the mixture; float64, on the CPU.

    Densities in latent spaces of different scale or dimension are not comparable: compare a path with the codes of
    real images in the same space (``density_rank``)."""
    if codes.shape[1] != mixture.means_.shape[1]:
        raise ValueError(f"codes are {tuple(codes.shape)}; the mixture is of (N, {mixture.means_.shape[1]}).")
    return torch.from_numpy(mixture.score_samples(codes.detach().double().cpu().numpy()))


@takes(log_densities=Vector(infinite=True), of_real=Vector(1, infinite=True))
def density_rank(log_densities: Tensor, of_real: Tensor) -> Tensor:
    """(T,) share in [0, 1] of real codes that are less likely than each point of the path: about 0 is a hole.

    Args:
        log_densities: (T,) along the path. of_real: (N,) of the codes of real images, under the same mixture.
    """
    ordered = np.sort(of_real.detach().cpu().numpy())
    return torch.from_numpy(np.searchsorted(ordered, log_densities.detach().cpu().numpy()) / len(ordered))


class Readings(NamedTuple):
    """What a classifier reads along a path."""

    confidence: Tensor  # (T,) probability of the predicted class
    predicted: Tensor  # (T,) the class
    passed: tuple[int, ...]  # the classes in the order in which the path passes through them


@takes(classifier=Model(("probabilities",)), images=Images())
def readings(classifier: Classifier, images: Tensor) -> Readings:
    """Read the images (T, ...) along a path, in [0, 1]."""
    probabilities = classifier.probabilities(images)
    confidence, predicted = probabilities.max(1)
    return Readings(confidence, predicted, tuple(torch.unique_consecutive(predicted).tolist()))


class Length(NamedTuple):
    """Length of a path through image space, in units of pixel intensity (Euclidean norm over the pixels)."""

    total: float  # sum of the steps
    direct: float  # between the two ends
    largest_step: float  # the largest step's share of the total: 1 / (T - 1) when all are alike, 1 for one jump

    @property
    def detour(self) -> float:
        """total / direct, at least 1: how much longer than the cross-fade between the ends; nan for equal ends."""
        return self.total / self.direct if self.direct > 0 else math.nan


@takes(images=Images(2, scaled=True, within=False))
def length(images: Tensor) -> Length:
    """Of the path through images (T, ...), T >= 2. Grows a little with T: compare paths of equal T. Bytes are scaled to
    [0, 1] first."""
    flat = images.detach().double().flatten(1)
    steps = (flat[1:] - flat[:-1]).norm(dim=1)
    total = float(steps.sum())
    largest = float(steps.max()) / total if total > 0 else math.nan
    return Length(total, float((flat[-1] - flat[0]).norm()), largest)
