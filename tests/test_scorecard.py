"""The scorecard on models of which the numbers are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from course_utils import datasets, models
from course_utils.metrics import scorecard
from course_utils.models import classifier
from course_utils.models.classifier import Classifier

DIM = 3


@pytest.fixture(scope="module")
def data():
    whole = datasets.load("digits")
    return whole._replace(
        train_images=whole.train_images[:400],
        train_labels=whole.train_labels[:400],
        test_images=whole.test_images[:200],
        test_labels=whole.test_labels[:200],
    )


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return Classifier(classifier._network(10).eval().requires_grad_(False), accuracy=0.1)


@pytest.fixture(scope="module", autouse=True)
def smaller():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("NUM_SAMPLES", 500), ("NUM_NEAREST", 100), ("NUM_PAIRS", 20)):
            patch.setattr(scorecard, name, value)
        yield


def vae(seed: int = 0) -> models.VAE:
    torch.manual_seed(seed)
    return models.VAE(784, (16,), DIM)


def collapsed() -> models.VAE:
    """Its posterior is the prior, whatever the image."""
    model = vae()
    nn.init.zeros_(model.encoder[-1].weight)
    nn.init.zeros_(model.encoder[-1].bias)
    return model


def autoencoder() -> models.Autoencoder:
    torch.manual_seed(0)
    model = models.Autoencoder(models.mlp([784, 16, DIM]), models.mlp([DIM, 16, 784]))
    with torch.no_grad():
        model.encoder[-1].weight.mul_(20)  # codes that move with the image
    return model


def test_a_collapsed_vae_has_no_rate_no_active_unit_and_the_prior_as_its_codes(data, reader):
    card = scorecard.measure(collapsed(), data, reader)
    assert card["rate"] == pytest.approx(0, abs=1e-6) and card["active_units"] == 0
    assert card["mutual_information"] == pytest.approx(0, abs=1e-6)
    assert card["log_det_covariance"] == pytest.approx(0, abs=1e-6)
    assert card["sliced_wasserstein"] < 0.3 and abs(card["mmd"]) < 0.1  # 200 codes; both are about 0.1 and 0.01
    assert card["linear_probe"] < 0.3  # one class is a tenth of the images
    assert math.isnan(card["path_detour"])


def test_distortion_of_a_decoder_that_says_nothing_is_log_2_a_pixel(data, reader):
    model = vae()
    nn.init.zeros_(model.decoder[-1].weight)
    nn.init.zeros_(model.decoder[-1].bias)
    card = scorecard.measure(model, data, reader)
    assert card["distortion"] == pytest.approx(784 * math.log(2), rel=1e-5)
    assert card["diversity"] == pytest.approx(0, abs=1e-6)  # all samples are one picture


def test_a_point_has_no_finite_rate(data, reader):
    card = scorecard.measure(autoencoder(), data, reader)
    missing = {name for name, value in card.items() if math.isnan(value)}
    assert missing == {"rate", "mutual_information", "mutual_information_upper"}
    assert card.keys() == scorecard.COLUMNS.keys()


def test_codes_of_a_known_covariance_have_its_log_determinant(data, reader):
    """Codes stretched by 2 in every dimension: log det grows by D log 4."""
    model, twice = autoencoder(), autoencoder()
    with torch.no_grad():
        twice.encoder[-1].weight.mul_(2)
        twice.encoder[-1].bias.mul_(2)
    one, other = (scorecard.measure(m, data, reader)["log_det_covariance"] for m in (model, twice))
    assert other - one == pytest.approx(DIM * math.log(4), abs=1e-4)


def test_samples_can_come_from_elsewhere_than_the_prior(data, reader):
    asked = []

    def draw(count: int) -> torch.Tensor:
        asked.append(count)
        return torch.zeros(count, DIM)

    card = scorecard.measure(autoencoder(), data, reader, draw=draw)
    assert asked == [scorecard.NUM_SAMPLES]
    assert math.isnan(card["mmd"]) and math.isnan(card["sliced_wasserstein"])
    assert card["diversity"] == pytest.approx(0, abs=1e-6)


def test_the_same_seed_gives_the_same_card_and_leaves_mode_and_random_state(data, reader):
    model = vae().train()
    before = torch.random.get_rng_state()
    cards = [scorecard.measure(model, data, reader, seed=4) for _ in range(2)]
    assert cards[0] == cards[1]
    assert torch.equal(before, torch.random.get_rng_state())
    assert model.training


def test_a_convolutional_model_gets_pictures(data, reader):
    torch.manual_seed(0)
    card = scorecard.measure(models.conv_autoencoder(DIM, width=2), data, reader)
    assert math.isfinite(card["distortion"])
