"""Numbers that the stored runs of some units have beside the scorecard's, measured as their notebooks measure them.

``MORE[unit](model, data, reader)`` gives {name: value}. The path numbers hold an interpolation against two baselines:
in ``path_double_exposure`` the cross-fade of the decoded ends is 1, and some other decoded digit half-way is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils import metrics
from course_utils.datasets import scale
from course_utils.metrics import aggregate, paths, probes, scorecard
from course_utils.models import GaussianAutoencoder, samplers

MIDDLE = slice(5, 16)  # of 21 steps: t from 1/4 to 3/4
SURE = 0.8  # below this confidence the reader is undecided


def of_paths(model, data, reader) -> dict[str, float]:
    """Straight paths between the pairs of ``scorecard.measure``."""
    test, labels = data.test_images.flatten(1), data.test_labels
    z = metrics.codes(model, test)
    left, right = _pairs(labels, scorecard.NUM_PAIRS)
    t = torch.linspace(0, 1, scorecard.PATH_STEPS)[:, None, None]
    walks = (1 - t) * z[left] + t * z[right]  # (T, P, D)
    images = metrics.decoded(model, walks.flatten(0, 1)).unflatten(0, walks.shape[:2])
    confidence = reader.probabilities(images.flatten(0, 1)).max(1).values.unflatten(0, walks.shape[:2])
    steps = (images[1:] - images[:-1]).norm(dim=2)
    other = metrics.decoded(model, z[_others(labels, len(left))])
    floor, ours = explained(images[0], images[-1], other[None]), explained(images[0], images[-1], images[MIDDLE])
    mixture = paths.fit_mixture(metrics.codes(model, data.train_images.flatten(1)[: scorecard.NUM_PROBED]))
    real = paths.log_density(mixture, z)
    rank = paths.density_rank(paths.log_density(mixture, walks[MIDDLE].flatten(0, 1)), real)
    many_left, many_right = _pairs(labels, scorecard.NUM_SAMPLES)
    half_way = metrics.decoded(model, (z[many_left] + z[many_right]) / 2)
    whitened = whiten(metrics.codes(model, data.train_images.flatten(1)[: scorecard.NUM_PROBED]), z)
    return {
        "path_double_exposure": float(((ours - floor.mean()) / (1 - floor.mean())).mean()),
        "path_undecided": float((confidence < SURE).double().mean()),
        "path_usualness": float((2 * torch.minimum(rank, 1 - rank)).mean()),
        "path_largest_step": float((steps.amax(0) / steps.sum(0)).mean()),
        "middle_frechet": metrics.frechet_distance(reader.features(half_way), reader.features(data.test_images)),
        "neighbours_whitened": probes.nearest_neighbours(
            whitened[0], data.train_labels[: scorecard.NUM_PROBED], whitened[1], labels
        ).value,
    }


@torch.no_grad()
def of_samplers(model, data, reader) -> dict[str, float]:
    """The same decoder sampled in four ways, and how near its samples come to training images."""
    train, test = data.train_images.flatten(1), data.test_images.flatten(1)
    z, count = metrics.codes(model, train), scorecard.NUM_SAMPLES
    kinds = {
        "prior": samplers.Prior(),
        "diagonal": samplers.ScaledAxes(),
        "gaussian": samplers.Gaussian(),
        "mixture": samplers.Mixture(10),
    }
    ways = {name: kind.fit(z).sample(count) for name, kind in kinds.items()}
    images = {name: metrics.decoded(model, codes) for name, codes in ways.items()}
    real = reader.features(data.test_images)
    found = {f"frechet_{name}": metrics.frechet_distance(reader.features(x), real) for name, x in images.items()}
    rebuilt, x, codes = metrics.reconstructions(model, test), scale(test), metrics.codes(model, test)
    found["frechet"] = found.pop("frechet_prior")
    return found | {
        "code_length": float(codes.norm(dim=1).mean()),
        "distortion": float(binary_cross_entropy_with_logits(model.decode(codes), x, reduction="sum")) / len(x),
        "squared_error": float((rebuilt - x).square().sum(1).mean()),
        "read": float((reader.predict(rebuilt) == data.test_labels).double().mean()),
        "copy_score": nearer(images["mixture"][:1000], x[:1000], scale(train)),
    }


@torch.no_grad()
def of_codes(model, data, reader, seed: int) -> dict[str, float]:
    """Where the codes of few images, or of two numbers, lie: their variance, and the split of the rate. Test images
    but for ``variance``, that of the codes of the images trained on; ``distortion`` is of one draw of q(z | x)."""
    seen, test = data.train_images.flatten(1), data.test_images.flatten(1)
    mu, logvar = metrics.posterior(model, test)
    information = metrics.mutual_information(mu, logvar, num_draws=2000, seed=seed)
    z, x = aggregate.sample(mu, logvar, seed=seed), scale(test)
    images = metrics.samples(model, scorecard.NUM_SAMPLES, mu.shape[1], seed=seed)
    return {
        "distortion": float(binary_cross_entropy_with_logits(model.decode(z), x, reduction="sum")) / len(x),
        "variance": float(metrics.aggregate_variance(*metrics.posterior(model, seen)).mean()),
        "variance_test": float(metrics.aggregate_variance(mu, logvar).mean()),
        "rate": information.rate,
        "mutual_information": information.mutual_information,
        "mutual_information_upper": information.upper,
        "kl_to_prior": information.kl_to_prior,
        "split_error": information.standard_error,
        "frechet": metrics.sample_quality(reader, images, data.test_images).frechet,
    }


@torch.no_grad()
def in_brief(model, data, reader, seed: int) -> dict[str, float]:
    """Distortion of one draw of q(z | x) and of its mean; samples from the prior and from an ex-post mixture."""
    test, train = data.test_images.flatten(1), data.train_images.flatten(1)
    z, real = _drawn(model, test, seed), reader.features(data.test_images)
    draws = {
        "frechet": torch.randn(scorecard.NUM_SAMPLES, z.shape[1], generator=torch.Generator().manual_seed(seed)),
        "frechet_mixture": samplers.Mixture(10).fit(_drawn(model, train, seed)).sample(scorecard.NUM_SAMPLES),
    }
    return {
        "distortion": _distortion(model, test, z),
        "distortion_of_means": _distortion(model, test, metrics.codes(model, test)),
    } | {
        name: metrics.frechet_distance(reader.features(metrics.decoded(model, codes)), real)
        for name, codes in draws.items()
    }


def _drawn(model, images: Tensor, seed: int) -> Tensor:
    """One draw of z for each image; of an autoencoder its code."""
    noisy = isinstance(model, GaussianAutoencoder)
    return aggregate.sample(*metrics.posterior(model, images), seed=seed) if noisy else metrics.codes(model, images)


def _distortion(model, images: Tensor, z: Tensor) -> float:
    return float(binary_cross_entropy_with_logits(model.decode(z), scale(images), reduction="sum")) / len(images)


def explained(start: Tensor, end: Tensor, between: Tensor) -> Tensor:
    """(P,) share of the energy of the pictures ``between`` (M, P, pixels) that lies in the span of both ends."""
    basis = torch.linalg.qr(torch.stack([start, end], 2)).Q
    pictures = between.transpose(0, 1)
    return (pictures @ basis).square().sum((1, 2)) / pictures.square().sum((1, 2))


def whiten(seen: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Both in coordinates in which ``seen`` has the identity as covariance."""
    root = torch.linalg.cholesky(torch.cov(seen.T))
    return tuple(torch.linalg.solve_triangular(root, z.T, upper=False).T for z in (seen, codes))


def nearer(samples: Tensor, held_out: Tensor, train: Tensor) -> float:
    """Share of pairs in which the sample is nearer to its nearest training image (Meehan et al. 2020)."""
    a, b = (torch.cat([torch.cdist(part, train).amin(1) for part in x.split(250)]) for x in (samples, held_out))
    return float((torch.sign(b[None] - a[:, None]).double().mean() + 1) / 2)


def _pairs(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of test images of different classes, the same for the same count."""
    generator = torch.Generator().manual_seed(0)
    start, end = torch.randint(len(labels), (2, 4 * count), generator=generator)
    different = (labels[start] != labels[end]).nonzero()[:count, 0]
    return start[different], end[different]


def _others(labels: Tensor, count: int) -> Tensor:
    return torch.randint(len(labels), (count,), generator=torch.Generator().manual_seed(1))


MORE = {"01_autoencoders": of_samplers, "03_interpolation": of_paths}
