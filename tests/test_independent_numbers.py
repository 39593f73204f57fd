"""What the course measures of a trained model, computed once more by other code: NumPy in float64 from the weights' file,
SciPy and scikit-learn. Nothing of the course computes the numbers on the right.

Random numbers are compared within five of their own standard errors (6e-7 each), with fixed seeds.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from safetensors.numpy import load_file
from scipy.special import expit, logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_utils import attributes, datasets, metrics, mmd, models, probes, training
from course_utils.training import recipes

DIM = 6


@pytest.fixture(scope="module")
def data():
    whole = datasets.load("digits")
    return whole._replace(train_images=whole.train_images.flatten(1), test_images=whole.test_images.flatten(1))


@pytest.fixture(scope="module")
def model(data):
    """A VAE after six epochs."""
    torch.manual_seed(0)
    model = models.VAE(784, (64,), DIM)
    training.fit(
        model,
        recipes.loss_function(recipes.Recipe("vae", DIM)),
        data.train_images,
        epochs=6,
        batch_size=64,
        seed=0,
        progress=False,
    )
    return model


@pytest.fixture(scope="module")
def weights(model, tmp_path_factory):
    """Its parameters, read from their file by NumPy, in float64."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "vae.safetensors"
    save_file(model.state_dict(), path)
    return {name: value.astype(np.float64) for name, value in load_file(path).items()}


def layers(weights, part, x):
    hidden = np.tanh(x @ weights[f"{part}.0.weight"].T + weights[f"{part}.0.bias"])
    return hidden @ weights[f"{part}.2.weight"].T + weights[f"{part}.2.bias"]


@pytest.fixture(scope="module")
def seen(weights, data):
    """Pixels of the test images and their posterior: x, mu, logvar."""
    x = data.test_images.numpy() / 255
    return x, *np.split(layers(weights, "encoder", x), 2, axis=1)


def distortion_of(weights, x, z):
    """-log p(x | z), (N,): the sum over pixels of log(1 + e^l) - x l."""
    logits = layers(weights, "decoder", z)
    return (np.logaddexp(0, logits) - x * logits).sum(1)


def test_rate_distortion_and_bound(model, data, weights, seen):
    x, mu, logvar = seen
    draw = np.random.default_rng(0)
    draws = np.stack(
        [distortion_of(weights, x, mu + np.exp(logvar / 2) * draw.standard_normal(mu.shape)) for _ in range(40)]
    )
    torch.manual_seed(0)
    bound = metrics.bound(model, data.test_images)
    assert bound.rate == pytest.approx((0.5 * (mu**2 + np.exp(logvar) - logvar - 1)).sum(1).mean(), rel=1e-6)
    error = math.hypot(1, 1 / math.sqrt(40)) * draws.mean(1).std(ddof=1)
    assert abs(bound.distortion - draws.mean()) < 5 * error < 0.01 * draws.mean()


def test_importance_weighted_bound(model, data, weights, seen):
    x, mu, logvar = (part[:60] for part in seen)
    draw, count = np.random.default_rng(1), 100

    def once():
        logs = []
        for _ in range(count):
            noise = draw.standard_normal(mu.shape)
            z = mu + np.exp(logvar / 2) * noise
            logs.append(-distortion_of(weights, x, z) - 0.5 * (z**2 - noise**2 - logvar).sum(1))
        return (math.log(count) - logsumexp(logs, axis=0)).mean()

    own = [once() for _ in range(12)]
    torch.manual_seed(1)
    mean = metrics.importance_weighted_nll(model, data.test_images[:60], count).mean
    assert abs(mean - np.mean(own)) < 5 * math.hypot(1, 1 / math.sqrt(12)) * np.std(own, ddof=1)


def test_active_units_and_codes(model, data, seen):
    _, mu, _ = seen
    assert metrics.active_units(metrics.codes(model, data.test_images)) == (mu.var(0, ddof=1) > 0.01).sum()
    np.testing.assert_allclose(metrics.codes(model, data.test_images), mu, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        metrics.reconstructions(model, data.test_images[:9]),
        expit(layers({k: v.double().numpy() for k, v in model.state_dict().items()}, "decoder", mu[:9])),
        atol=1e-5,
    )


def test_squared_mmd(seen):
    _, mu, _ = seen
    x, y = mu[:200], np.random.default_rng(2).standard_normal((150, DIM))
    bandwidths = (0.5, 2.0, 4.0)
    value = 0.0
    for s in bandwidths:
        xx, yy, xy = (rbf_kernel(a, b, gamma=1 / (2 * s**2)) for a, b in ((x, x), (y, y), (x, y)))
        value += (xx.sum() - len(x)) / (len(x) * (len(x) - 1)) + (yy.sum() - len(y)) / (len(y) * (len(y) - 1))
        value -= 2 * xy.mean()
    given = (torch.tensor(x), torch.tensor(y))
    assert float(mmd.mmd_squared(*given, bandwidths)) == pytest.approx(value, abs=1e-13)
    assert float(mmd.mmd_squared(*(z.float() for z in given), bandwidths)) == pytest.approx(value, abs=1e-6)


def test_frechet_distance(seen):
    _, mu, logvar = seen
    a, b = np.concatenate([mu, logvar], axis=1), np.random.default_rng(3).standard_normal((300, 2 * DIM))
    cov = [np.cov(part, rowvar=False) for part in (a, b)]
    cross = np.trace(scipy.linalg.sqrtm(cov[0] @ cov[1]).real)
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov[0]) + np.trace(cov[1]) - 2 * cross
    assert metrics.frechet_distance(torch.tensor(a), torch.tensor(b)) == pytest.approx(wanted, rel=1e-6)


def test_probes(model, data, seen):
    _, mu, _ = seen
    train = metrics.codes(model, data.train_images)
    given = (train, data.train_labels, torch.tensor(mu, dtype=torch.float32), data.test_labels)
    arrays = [each.numpy() for each in given]
    near = KNeighborsClassifier(5).fit(*arrays[:2]).score(*arrays[2:])
    assert probes.nearest_neighbours(*given, neighbours=5).value == pytest.approx(near, abs=1e-12)
    # The course's stops at a tolerance of 1e-3, which costs or gains a handful of the 297 images.
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, tol=1e-6)).fit(*arrays[:2])
    assert probes.linear_probe(*given).value == pytest.approx(linear.score(*arrays[2:]), abs=6 / 297)


def test_area_under_the_curve_with_ties(seen):
    _, mu, _ = seen
    scores, has = np.round(mu[:, 0], 1), mu[:, 1] > np.median(mu[:, 1])
    assert len(np.unique(scores)) < len(scores)
    wanted = roc_auc_score(has, scores)
    assert attributes.roc_auc(torch.tensor(scores), torch.tensor(has)) == pytest.approx(wanted, abs=1e-12)
