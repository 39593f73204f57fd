"""The models with the face of scikit-learn: its own checks of an estimator, and numbers from independent code."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from course_utils.training.estimator import AutoencoderTransformer
from course_utils.training.recipes import KINDS

X = load_digits().data / 16


@parametrize_with_checks(
    [AutoencoderTransformer(kind=kind, hidden_dims=(8,), epochs=1, random_state=0) for kind in ("ae", "vae")]
)
def test_scikit_learn_finds_nothing_to_complain_about(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_codes_decodes_samples_and_scores(kind):
    model = AutoencoderTransformer(kind, 3, hidden_dims=(16,), epochs=1, random_state=0).fit(X[:300])
    assert model.transform(X[:7]).shape == (7, 3)
    assert model.inverse_transform(model.transform(X[:7])).shape == (7, 64)
    assert model.sample(5).shape == (5, 64) and math.isfinite(model.score(X[:50]))


def test_it_learns_what_pca_learns_and_more():
    """Distortion per pixel after 60 epochs, 8 latents. Fixed seed, so no false alarm."""
    model = AutoencoderTransformer("ae", 8, hidden_dims=(128,), epochs=60, batch_size=32, lr=3e-3, random_state=0)
    error = np.mean((model.fit(X[:1400]).inverse_transform(model.transform(X[1400:])) - X[1400:]) ** 2)
    pca = PCA(8).fit(X[:1400])
    assert error < np.mean((pca.inverse_transform(pca.transform(X[1400:])) - X[1400:]) ** 2)


def test_codes_work_in_a_pipeline_and_a_grid_search():
    pipeline = make_pipeline(
        AutoencoderTransformer("ae", 8, hidden_dims=(64,), epochs=10, batch_size=32, random_state=0),
        LogisticRegression(max_iter=500),
    )
    labels = load_digits().target
    search = GridSearchCV(pipeline, {"autoencodertransformer__latent_dim": [1, 8]}, cv=2).fit(X[:600], labels[:600])
    assert search.best_params_ == {"autoencodertransformer__latent_dim": 8}
    assert search.best_estimator_.score(X[600:], labels[600:]) > 0.5  # chance is 0.1


def test_the_score_is_the_elbo_in_the_unit_of_the_data():
    model = AutoencoderTransformer("vae", 2, hidden_dims=(16,), epochs=3, random_state=0).fit(255 * X[:300])
    mu, logvar = (t.numpy() for t in model._encoded(255 * X[:50]))
    noise = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    decoded = model.inverse_transform(mu + np.exp(logvar / 2) * noise)
    variance = model.variance_ * model.scale_**2
    squared = ((decoded - 255 * X[:50]) ** 2).sum(1)
    nll = squared / (2 * variance) + 32 * np.log(2 * np.pi * variance)
    rate = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
    assert model.score(255 * X[:50]) == pytest.approx(-np.mean(nll + rate), rel=1e-9)
    shifted = AutoencoderTransformer("vae", 2, hidden_dims=(16,), epochs=3, random_state=0).fit(X[:300])
    assert model.score(255 * X[:50]) == pytest.approx(shifted.score(X[:50]) - 64 * math.log(255), rel=1e-3)


def test_the_random_state_of_others_is_untouched_and_its_own_decides():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = AutoencoderTransformer(hidden_dims=(8,), epochs=1, random_state=1).fit(X[:100])
    assert torch.equal(torch.rand(3), expected)
    again = AutoencoderTransformer(hidden_dims=(8,), epochs=1, random_state=1).fit(X[:100])
    assert np.array_equal(first.transform(X), again.transform(X))
    assert np.array_equal(pickle.loads(pickle.dumps(first)).transform(X), first.transform(X))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "gan"}, "kind is 'gan'"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'"),
        ({"likelihood": "bernoulli"}, r"X lies in \[0, 255\]"),
        ({"sampler": "flow"}, "no sampler 'flow'"),
        ({"latent_dim": 0}, "0"),
        ({"epochs": -1}, "epochs is -1"),
    ],
)
def test_wrong_settings_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        AutoencoderTransformer(**{"hidden_dims": (8,), "epochs": 1} | settings).fit(255 * X[:50])


def test_codes_of_another_width_are_refused():
    model = AutoencoderTransformer(hidden_dims=(8,), epochs=1, random_state=0).fit(X[:50])
    with pytest.raises(ValueError, match="3 columns; expected codes of latent_dim=2"):
        model.inverse_transform(np.zeros((4, 3)))
