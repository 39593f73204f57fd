"""One set of numbers for every kind of model, so that they can be held side by side.

The scoreboard and the stored reference runs measure with this; two rows that it made on the same images compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_utils.datasets import Dataset, batches, scale
from course_utils.models import closed_forms as reference
from course_utils.models.classifier import Classifier
from course_utils.models.networks import LatentModel

from . import aggregate
from . import measures as metrics
from .distances import precision_recall

NUM_SAMPLES = 5000  # decoded from the prior, for the Fréchet distance
NUM_NEAREST = 2000  # of them and of test images, for precision and recall
NUM_PROBED = 10_000  # training codes that a probe or a mixture is fitted to
NUM_PAIRS = 300  # pairs of test images of different classes, for the paths
PATH_STEPS = 21


class Column(NamedTuple):
    """A number of the scorecard: what it is called, its unit, and which way is better (None: neither)."""

    heading: str
    unit: str
    better: str | None


COLUMNS: dict[str, Column] = {
    "distortion": Column("distortion", "nats", "lower"),
    "rate": Column("rate", "nats", None),
    "active_units": Column("active units", "", None),
    "mutual_information": Column("mutual information, at least", "nats", None),
    "mutual_information_upper": Column("mutual information, at most", "nats", None),
    "log_det_covariance": Column("log det of the codes' covariance", "nats", None),
    "sliced_wasserstein": Column("sliced Wasserstein to the prior", "", "lower"),
    "mmd": Column("MMD² to the prior", "", "lower"),
    "frechet": Column("Fréchet distance of samples", "", "lower"),
    "confidence": Column("classifier's confidence in samples", "", "higher"),
    "diversity": Column("diversity of samples", "nats", "higher"),
    "precision": Column("precision of samples", "", "higher"),
    "recall": Column("recall of samples", "", "higher"),
    "linear_probe": Column("linear probe", "", "higher"),
    "nearest_neighbours": Column("5 nearest neighbours", "", "higher"),
    "path_detour": Column("detour of paths", "", "lower"),
    "path_third_class": Column("paths through a third class", "share", "lower"),
}
_PROBES = ("linear_probe", "nearest_neighbours")
SAMPLED = ("frechet", "confidence", "diversity", "precision", "recall")  # what hangs on where codes are drawn
_PATHS = ("path_detour", "path_third_class")
_INFORMATION = ("rate", "active_units", "mutual_information", "mutual_information_upper", "log_det_covariance")


@torch.no_grad()
def measure(
    model: LatentModel,
    data: Dataset,
    reader: Classifier,
    *,
    draw: Callable[[int], Tensor] | None = None,
    seed: int = 0,
    only: Collection[str] = tuple(COLUMNS),
    real_features: Tensor | None = None,
) -> dict[str, float]:
    """The numbers of ``COLUMNS`` for a model with ``encode`` and ``decode``, on test images.

    Without an active unit all codes are one, and the numbers of paths are nan. Where all images are of one class, as
    without labels, there is nothing to tell apart: the numbers of probes and paths are nan. For a deterministic encoder
    ``rate`` and
    both bounds of the mutual information are nan: a point has no finite rate. The state of torch's random generators is
    left as it was.

    Args:
        model: an autoencoder, or a VAE, whose ``encode`` gives (mu, logvar). It takes flat images where its first
            layer is linear, (N, C, H, W) otherwise.
        data: what it was trained on.
        reader: a classifier of these images.
        draw: (n) -> codes (n, D) to sample from instead of N(0, I), such as an ex-post mixture. The distances of the
            codes from the prior are nan then: there is no prior to be near to.
        seed: of all draws. The same z, pairs and projections for the same seed and D, whatever the model.
        only: names of ``COLUMNS``; what no other of them needs is not computed.
        real_features: (N, F) of the test images, ``reader.features``; where they are known, they are not read again.

    Returns:
        {name: value}, all floats; counts too.
    """
    wanted = set(only)
    was_training = model.training
    model.eval()
    try:
        train, test = (images_for(model, images) for images in (data.train_images, data.test_images))
        card: dict[str, float] = {}
        if wanted.intersection(SAMPLED):
            card |= _sample_quality(model, test, reader, draw, seed, wanted, real_features)
        if not wanted <= card.keys():
            mu, logvar = _posterior(model, test)
            z = mu if logvar is None else aggregate.sample(mu, logvar, seed=seed)
            card |= _information(mu, logvar, seed, wanted)
            if "distortion" in wanted:
                card["distortion"] = _distortion(model, test, z)
            if wanted & {"sliced_wasserstein", "mmd"}:
                card |= _distance(z, draw, seed)
            labelled = len(data.train_labels[:NUM_PROBED].unique()) > 1 and len(data.test_labels.unique()) > 1
            if labelled:
                card |= _probes(model, train[:NUM_PROBED], data.train_labels[:NUM_PROBED], mu, data.test_labels, wanted)
            else:
                card |= dict.fromkeys(_PROBES, math.nan)
            if wanted.intersection(_PATHS):
                moving = labelled and bool(card["active_units"])
                paths = _paths(model, train, mu, data.test_labels, reader, seed, wanted) if moving else {}
                card |= dict.fromkeys(_PATHS, math.nan) | paths
    finally:
        model.train(was_training)
    return {name: float(card[name]) for name in COLUMNS if name in wanted}


def images_for(model: LatentModel, images: Tensor) -> Tensor:
    """``images`` flat, (N, pixels), where the model's first layer with weights is linear; as they are otherwise."""
    for module in model.encoder.modules():
        if isinstance(module, nn.Linear):
            return images.flatten(1)
        if isinstance(module, nn.modules.conv._ConvNd):
            return images
    raise ValueError("the encoder has neither a linear nor a convolutional layer; expected a model of the course.")


def _posterior(model: LatentModel, images: Tensor) -> tuple[Tensor, Tensor | None]:
    """mu and logvar, (N, D); for a deterministic encoder the codes and None."""
    if isinstance(model.encode(next(iter(batches(images[:2], 2, shuffle=False)))), tuple):
        return metrics.posterior(model, images)
    return metrics.codes(model, images), None


def _distortion(model: LatentModel, images: Tensor, z: Tensor) -> float:
    total = 0.0
    for x, part in zip(batches(images, 1000, shuffle=False), z.split(1000), strict=True):
        total += float(reference.bernoulli_nll(model.decode(part), x).double().sum())
    return total / len(images)


def _information(mu: Tensor, logvar: Tensor | None, seed: int, wanted: Collection[str]) -> dict[str, float]:
    covariance = aggregate.aggregate_covariance(mu, torch.full_like(mu, -math.inf) if logvar is None else logvar)
    values = {
        "active_units": metrics.active_units(mu),
        "log_det_covariance": float(torch.linalg.slogdet(covariance.double()).logabsdet),
    }
    if logvar is None:
        return values | {"rate": math.nan, "mutual_information": math.nan, "mutual_information_upper": math.nan}
    if not {"mutual_information", "mutual_information_upper"} & set(wanted):
        return values | {"rate": float(reference.gaussian_kl(mu, logvar).double().sum(1).mean())}
    found = aggregate.mutual_information(mu, logvar, num_draws=1000, seed=seed)
    return values | {
        "rate": found.rate,
        "mutual_information": found.mutual_information,
        "mutual_information_upper": found.upper,
    }


def _distance(z: Tensor, draw: Callable | None, seed: int) -> dict[str, float]:
    if draw is not None:
        return {"sliced_wasserstein": math.nan, "mmd": math.nan}
    found = aggregate.distance_to_prior(z, num_codes=5000, num_matching=2, seed=seed)
    return {"sliced_wasserstein": found.sliced_wasserstein, "mmd": found.mmd}


def _sample_quality(
    model: LatentModel,
    test: Tensor,
    reader: Classifier,
    draw: Callable | None,
    seed: int,
    wanted: Collection[str],
    real: Tensor | None,
) -> dict[str, float]:
    drawn = (
        draw(NUM_SAMPLES)
        if draw
        else torch.randn(
            NUM_SAMPLES, metrics.codes(model, test[:2]).shape[1], generator=torch.Generator().manual_seed(seed)
        )
    )
    generated = metrics.decoded(model, drawn.to(test.device, torch.float32))
    return quality_of(generated, reader, reader.features(scale(test)) if real is None else real, wanted)


def quality_of(
    generated: Tensor, reader: Classifier, real: Tensor, wanted: Collection[str] = SAMPLED
) -> dict[str, float]:
    """The wanted numbers of ``SAMPLED``, of images (N, ...) in [0, 1] beside the features (M, F) of real ones."""
    card: dict[str, float] = {}
    features = reader.features(generated)
    if {"confidence", "diversity"} & set(wanted):
        card |= metrics.quality_by_features(reader, features, real)._asdict()
    else:
        card["frechet"] = metrics.frechet_distance(features, real)
    if {"precision", "recall"} & set(wanted):
        card |= precision_recall(features[:NUM_NEAREST], real[:NUM_NEAREST])._asdict()
    return card


def _probes(
    model, train: Tensor, train_labels: Tensor, mu: Tensor, test_labels: Tensor, wanted: Collection[str]
) -> dict[str, float]:
    probes = {"linear_probe": metrics.linear_probe, "nearest_neighbours": metrics.nearest_neighbours}
    if not probes.keys() & set(wanted):
        return {}
    seen = metrics.codes(model, train), train_labels, mu, test_labels
    return {name: probe(*seen).value for name, probe in probes.items() if name in wanted}


def _paths(
    model, train: Tensor, mu: Tensor, labels: Tensor, reader: Classifier, seed: int, wanted: Collection[str]
) -> dict[str, float]:
    """Straight paths between the codes of random test images of different classes."""
    generator = torch.Generator().manual_seed(seed)
    start, end = torch.randint(len(mu), (2, 4 * NUM_PAIRS), generator=generator).to(labels.device)
    different = labels[start] != labels[end]
    start, end = start[different][:NUM_PAIRS], end[different][:NUM_PAIRS]
    t = torch.linspace(0, 1, PATH_STEPS, device=mu.device)[:, None, None]
    walks = ((1 - t) * mu[start] + t * mu[end]).transpose(0, 1)  # (P, T, D)
    images = metrics.decoded(model, walks.flatten(0, 1)).unflatten(0, walks.shape[:2])
    flat = images.flatten(2)
    direct = (flat[:, -1] - flat[:, 0]).norm(dim=1)
    total = (flat[:, 1:] - flat[:, :-1]).norm(dim=2).sum(1)
    moved = direct > 1e-6 * total.clamp_min(1e-12)
    card = {"path_detour": float((total / direct)[moved].mean())}
    if "path_third_class" in wanted:
        seen = reader.probabilities(images.flatten(0, 1)).argmax(1).unflatten(0, walks.shape[:2])
        third = ((seen != labels[start, None]) & (seen != labels[end, None])).any(1)
        card["path_third_class"] = float(third.double().mean())
    return card
