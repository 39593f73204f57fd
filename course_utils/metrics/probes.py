"""How well simple classifiers read labels off the codes, with intervals from the bootstrap over test images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.system.contracts import Number, Rows, Vector, Whole, takes

RESAMPLES = 2000


@dataclass(frozen=True)
class Accuracy:
    """Share of test images that are read correctly, with a bootstrap interval.

    ``correct`` (M,) says which, so that two probes can be compared on the same images (``difference``).
    """

    value: float
    low: float
    high: float
    correct: Tensor

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


_LEVEL, _SEED = Number(above=0, below=1), Whole(0, 2**32 - 1)
_OF_CODES: dict[str, Any] = {
    "train_codes": Rows(),
    "train_labels": Vector(1, whole=True),
    "test_codes": Rows(2),
    "test_labels": Vector(2, whole=True),
    "level": _LEVEL,
    "seed": _SEED,
}


@takes(**_OF_CODES)
def linear_probe(
    train_codes: Tensor,
    train_labels: Tensor,
    test_codes: Tensor,
    test_labels: Tensor,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Accuracy:
    """Accuracy of a linear classifier on standardised codes: multinomial logistic regression (scikit-learn, C = 1).

    Args:
        train_codes: (N, D); test_codes: (M, D); labels (N,) and (M,).
        level: coverage of the interval, which is that of the choice of test images alone: neither of the training set
            nor of the model's seed.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
    return _judge(probe, train_codes, train_labels, test_codes, test_labels, level, seed)


@takes(**_OF_CODES, neighbours=Whole(1))
def nearest_neighbours(
    train_codes: Tensor,
    train_labels: Tensor,
    test_codes: Tensor,
    test_labels: Tensor,
    *,
    neighbours: int = 5,
    level: float = 0.95,
    seed: int = 0,
) -> Accuracy:
    """Accuracy of a vote among the nearest training codes in Euclidean distance (scikit-learn); as ``linear_probe``.

    Depends on the scale of each dimension: a dimension that carries only noise counts as much as one that does not.
    """
    from sklearn.neighbors import KNeighborsClassifier

    if neighbours > len(train_codes):
        raise ValueError(f"neighbours is {neighbours}, and there are {len(train_codes)} training codes to vote.")
    probe = KNeighborsClassifier(neighbours, algorithm="brute")
    return _judge(probe, train_codes, train_labels, test_codes, test_labels, level, seed)


@takes(level=_LEVEL, seed=_SEED)
def difference(a: Accuracy, b: Accuracy, *, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Accuracy of a minus that of b on the same test images, with its interval: (value, low, high).

    Paired: what is hard for both cancels, so this is sharper than two intervals that overlap.
    """
    for name, each in (("a", a), ("b", b)):
        if not isinstance(each, Accuracy):
            raise TypeError(
                f"{name} is a {type(each).__name__}; expected what linear_probe or nearest_neighbours gave."
            )
    if len(a.correct) != len(b.correct):
        raise ValueError(f"the probes read {len(a.correct)} and {len(b.correct)} images; expected the same ones.")
    return bootstrap_mean(a.correct.double() - b.correct.double(), level=level, seed=seed)


@takes(values=Vector(2), level=_LEVEL, seed=_SEED, broken=lambda: (math.nan, math.nan, math.nan))
def bootstrap_mean(values: Tensor, *, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Mean of values (M,) with its percentile bootstrap interval (Efron 1979): (mean, low, high).

    2000 resamples. Values that repeat (right, wrong) are resampled by their counts, which is the same and quicker.
    """
    array = values.detach().double().cpu().numpy()
    distinct, counts = np.unique(array, return_counts=True)
    generator, shares = np.random.default_rng(seed), counts / len(array)
    at_once = max(1, 1_000_000 // len(distinct))  # bounds the memory
    sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    drawn = [generator.multinomial(len(array), shares, size=size) @ distinct for size in sizes]
    means = np.concatenate(drawn) / len(array)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(array.mean()), float(low), float(high)


def _judge(probe, train_codes, train_labels, test_codes, test_labels, level: float, seed: int) -> Accuracy:
    for name, codes, labels in (("train", train_codes, train_labels), ("test", test_codes, test_labels)):
        if codes.ndim != 2 or labels.shape != codes.shape[:1]:
            raise ValueError(
                f"{name}_codes are {tuple(codes.shape)} and {name}_labels {tuple(labels.shape)}; "
                "expected (N, D) and (N,)."
            )
    if train_codes.shape[1] != test_codes.shape[1]:
        raise ValueError(
            f"train_codes are {tuple(train_codes.shape)} and test_codes {tuple(test_codes.shape)}; expected (N, D) "
            "and (M, D), codes of one model."
        )
    if len(train_labels.unique()) < 2:
        raise ValueError("train_labels hold one class alone; expected at least two to tell apart.")
    probe.fit(_array(train_codes), _array(train_labels))
    correct = torch.from_numpy(probe.predict(_array(test_codes)) == _array(test_labels))
    return Accuracy(*bootstrap_mean(correct, level=level, seed=seed), correct)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
