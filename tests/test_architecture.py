"""A model is rebuilt from plain data, and from nothing else."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from course_utils import models
from course_utils.models import architecture
from course_utils.system.errors import CourseError


def autoencoder(encoder: nn.Module, decoder: nn.Module) -> models.Autoencoder:
    return models.Autoencoder(encoder, decoder)


def everything() -> models.Autoencoder:
    """Layers that students may use, each with settings that are not the defaults."""
    encoder = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4, eps=1e-3),
        nn.LeakyReLU(0.2),
        nn.Sequential(nn.Conv2d(4, 4, (3, 1), padding="same", groups=2), nn.GELU("tanh"), nn.AvgPool2d(2)),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.LayerNorm(6),
        nn.Dropout(0.3),
        nn.Linear(6, 2, bias=False),
    )
    decoder = nn.Sequential(
        nn.Linear(2, 16),
        nn.BatchNorm1d(16, affine=False),
        nn.ELU(0.5),
        nn.Unflatten(1, (4, 2, 2)),
        nn.ConvTranspose2d(4, 3, 3, stride=2, output_padding=1, padding=1),
        nn.Upsample(scale_factor=2, mode="nearest"),
    )
    return autoencoder(encoder, decoder)


MODELS = {
    "autoencoder": (lambda: autoencoder(models.mlp([64, 9, 3]), models.mlp([3, 9, 64])), (5, 64)),
    "tanh VAE": (lambda: models.VAE(64, (9, 7), 3), (5, 64)),
    "ReLU VAE": (lambda: models.VAE(64, (9,), 3, activation=nn.ReLU), (5, 64)),
    "convolutional": (lambda: models.conv_autoencoder(3, width=2), (5, 1, 28, 28)),
    "64x64 colour": (lambda: models.GaussianAutoencoder(*models.conv_networks(3, 4, 2), 2), (2, 3, 64, 64)),
    "many layers": (everything, (5, 3, 8, 8)),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_rebuilt_model_with_the_same_weights_is_the_same_function(kind):
    make, shape = MODELS[kind]
    model, x = make(), torch.rand(shape)
    model(x)  # so that running statistics are not at their start
    model.eval()
    described = json.loads(json.dumps(architecture.describe(model)))
    rebuilt = architecture.build(described)
    assert all(p.device.type == "meta" for p in rebuilt.parameters()), "building took memory"
    rebuilt.load_state_dict(model.state_dict(), assign=True)
    rebuilt.eval()
    code = model.encode(x)
    z = code[0] if isinstance(code, tuple) else code
    twin = rebuilt.encode(x)
    torch.testing.assert_close(twin[0] if isinstance(twin, tuple) else twin, z, rtol=0, atol=0)
    torch.testing.assert_close(rebuilt.decode(z), model.decode(z), rtol=0, atol=0)
    assert isinstance(model, type(rebuilt))


class Own(nn.Linear):
    """A layer that only its author's code knows."""


def hooked() -> nn.Module:
    layer = nn.Linear(4, 2)
    layer.register_forward_hook(lambda module, given, out: 2 * out)
    return layer


@pytest.mark.parametrize(
    "encoder",
    [
        lambda: Own(4, 2),
        hooked,
        lambda: nn.LSTM(4, 2),
        lambda: nn.Conv2d(1, 2, 3, padding_mode="circular"),
        lambda: nn.MaxPool2d(2, return_indices=True),
    ],
)
def test_what_the_description_would_get_wrong_is_not_described(encoder):
    assert architecture.describe(autoencoder(encoder(), nn.Linear(2, 4))) is None
    assert architecture.describe(encoder()) is None, "not one of the course's models"


class MyVAE(models.VAE):
    """Encodes in its own way."""


def test_a_subclass_is_not_described():
    assert architecture.describe(MyVAE(4, (3,), 2)) is None


@pytest.mark.parametrize(
    "description",
    [
        {},
        None,
        [],
        {"kind": "Autoencoder"},
        {"kind": "os.system", "encoder": {"layer": "ReLU"}, "decoder": {"layer": "ReLU"}},
        {"kind": "Autoencoder", "encoder": {"layer": "__import__"}, "decoder": {"layer": "ReLU"}},
        {"kind": "Autoencoder", "encoder": {"layer": "Linear", "in_features": 4}, "decoder": {"layer": "ReLU"}},
        {
            "kind": "Autoencoder",
            "encoder": {"layer": "Linear", "in_features": -4, "out_features": 2},
            "decoder": {"layer": "ReLU"},
        },
        {
            "kind": "Autoencoder",
            "encoder": {"layer": "Linear", "in_features": 4, "out_features": 2, "device": "cpu"},
            "decoder": {"layer": "ReLU"},
        },
        {"kind": "Autoencoder", "encoder": {"layer": "Sequential", "layers": 3}, "decoder": {"layer": "ReLU"}},
        {
            "kind": "GaussianAutoencoder",
            "latent_dim": "many",
            "encoder": {"layer": "ReLU"},
            "decoder": {"layer": "ReLU"},
        },
    ],
)
def test_a_foreign_description_is_one_clear_error(description):
    with pytest.raises(CourseError, match="cannot be followed") as caught:
        architecture.build(description)
    assert "\n" not in str(caught.value)


def test_a_description_of_a_giant_takes_no_memory():
    huge = {"layer": "Linear", "in_features": 10**7, "out_features": 10**6}
    model = architecture.build({"kind": "Autoencoder", "encoder": huge, "decoder": huge})
    assert model.encoder.weight.device.type == "meta"
