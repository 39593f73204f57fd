"""What the cockpit is told about models and images, and that bad input is told in one line."""

from __future__ import annotations

import base64
import io
import json

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from torch import nn

from course_utils import models
from course_utils.plots import explore, latent
from course_utils.plots.cockpit import payload
from course_utils.system.errors import CourseError

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(0, 256, (40, 784), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    return torch.arange(40) % 4


def vae(latent_dim: int, seed: int = 0) -> models.VAE:
    torch.manual_seed(seed)
    return models.VAE(784, [32], latent_dim)


def autoencoder(latent_dim: int) -> models.Autoencoder:
    torch.manual_seed(0)
    return models.Autoencoder(models.mlp([784, 32, latent_dim]), models.mlp([latent_dim, 32, 784]))


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def packed(model, images, labels=None, **more) -> payload.Payload:
    named = model if isinstance(model, dict) else {"model": model}
    spaces = [latent.study(title, each, images) for title, each in named.items()]
    options = {"name": "model", "max_sliders": 10, "reader": None} | more
    return payload.pack(spaces, labels, None, **options)


def test_dimensions_are_ordered_by_rate_and_labelled_with_it(images):
    model = vae(5)
    with torch.no_grad():
        model.encoder[-1].weight[3].mul_(10)  # mu of the fourth dimension
    (about,) = packed(model, images).about["models"]
    space = latent.study("x", model, images)
    assert about["order"][0] == 3
    assert about["labels"][3] == f"z4 · {float(space.amounts[3]):.2f} nats"


def test_an_autoencoders_dimensions_show_the_spread_and_reach_its_codes(images):
    model = autoencoder(3)
    with torch.no_grad():
        model.encoder[-1].weight.mul_(30)
    (about,) = packed(model, images).about["models"]
    codes = model.encode(images.float() / 255).detach()
    for d in range(3):
        assert about["labels"][d].startswith(f"z{d + 1} · spread")
        assert about["reach"][d] >= max(3, float(codes[:, d].abs().max()))


def test_codes_weights_and_images_lie_where_the_description_says(images, labels):
    model = autoencoder(3)
    found = packed(model, images, labels)
    about, numbers = found.about, found.numbers
    (described,) = about["models"]
    codes = np.frombuffer(numbers, "<f2", 3 * described["codes"]["count"], described["codes"]["offset"])
    np.testing.assert_allclose(codes.reshape(-1, 3), model.encode(images.float() / 255).detach(), atol=1e-2)
    first = described["decoder"][0]
    weight = np.frombuffer(numbers, "<f2", first["weight"][1], first["weight"][0])
    np.testing.assert_allclose(weight.reshape(32, 3), model.decoder[0].weight.detach(), atol=1e-3)
    shown = np.frombuffer(numbers, np.uint8, 784, about["images"]["offset"])
    np.testing.assert_array_equal(shown, images[0].numpy())
    assert about["labels"][:5] == [0, 1, 2, 3, 0]


def test_what_adds_an_attribute_travels_with_each_model(images):
    model, striped = autoencoder(3), torch.arange(40) % 3 == 0
    found = packed(model, images, attributes={"stripes": striped, "spots": ~striped})
    assert found.about["attributes"] == ["stripes", "spots"]
    offset, count = found.about["models"][0]["directions"]
    codes = model.encode(images.float() / 255).detach()
    stripes = codes[striped].mean(0) - codes[~striped].mean(0)
    sent = np.frombuffer(found.numbers, "<f2", count, offset).reshape(2, 3)
    np.testing.assert_allclose(sent, torch.stack([stripes, -stripes]), atol=1e-3)


def test_the_still_picture_of_a_coloured_model_is_in_colour():
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(3, 3 * 64), nn.Unflatten(1, (3, 8, 8)))
    model = models.Autoencoder(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3)), decoder)
    space = latent.study("x", model, torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8))
    still = np.asarray(Image.open(io.BytesIO(latent.traversal_png({"x": space}, 0)[0])).convert("RGB")).astype(int)
    assert np.ptp(still, axis=2).max() > 20, "the picture is grey"


class Doubled(nn.Module):
    def forward(self, z):
        return 2 * z


@pytest.mark.parametrize(
    "decoder",
    [
        nn.Sequential(Doubled(), nn.Linear(3, 784)),
        nn.Sequential(nn.Linear(3, 784), nn.GroupNorm(1, 784)),
        nn.Sequential(nn.Linear(3, 784), nn.GELU()),
    ],
)
def test_a_decoder_with_unknown_layers_is_left_to_the_kernel_and_not_exported(images, tmp_path, decoder):
    model = models.Autoencoder(models.mlp([784, 3]), decoder)
    assert packed(model, images).about["models"][0]["decoder"] is None
    with pytest.raises(CourseError, match="cannot run in a page"):
        explore.export(tmp_path / "x.html", model, images)


def test_a_decoder_that_half_precision_would_change_is_left_to_the_kernel(images):
    model = autoencoder(3)
    with torch.no_grad():
        model.decoder[-1].weight.mul_(1e6)
    assert packed(model, images).about["models"][0]["decoder"] is None


def test_a_model_whose_decode_does_more_than_its_decoder_is_left_to_the_kernel(images):
    class Twice(models.Autoencoder):
        def decode(self, z):
            return 3 + super().decode(z)

    model = Twice(models.mlp([784, 3]), models.mlp([3, 784]))
    assert packed(model, images).about["models"][0]["decoder"] is None


def test_the_kernel_answers_with_the_pixels_of_z(images):
    from course_utils.plots.cockpit.widget import CockpitWidget

    model, sent = autoencoder(3), []
    widget = CockpitWidget([latent.study("x", model, images)], packed(model, images))
    widget.send = lambda content, buffers: sent.append((content, buffers))
    widget._answer(widget, {"id": 7, "index": 0, "z": [0.5, -1.0, 2.0]}, [])
    ((content, (answer,)),) = sent
    wanted = torch.sigmoid(model.decode(torch.tensor([[0.5, -1.0, 2.0]]))).detach()[0] * 255
    assert content == {"id": 7}
    np.testing.assert_allclose(np.frombuffer(answer, np.uint8), wanted, atol=0.51)


def test_flat_and_convolutional_models_come_from_the_same_images(images):
    about = packed({"conv": models.conv_autoencoder(4), "mlp": autoencoder(4)}, images).about
    assert about["shape"] == [1, 28, 28] and all(model["decoder"] for model in about["models"])


def test_exploring_leaves_the_notebooks_random_state_alone(images):
    model, before = vae(3), torch.random.get_rng_state()
    packed(model, images)
    assert torch.equal(before, torch.random.get_rng_state())


def test_exploring_leaves_a_model_in_the_mode_it_was_in(images):
    model = vae(2).train()
    packed(model, images)
    assert model.training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_model_on_the_gpu_can_be_explored(images):
    assert packed(vae(2).cuda(), images).about["models"][0]["decoder"]


def test_without_a_notebook_the_text_alternative_is_printed(images, capsys):
    explore.latent_space(vae(2), images)
    assert capsys.readouterr().out.startswith("Still picture of the latent space")


def test_an_executed_notebook_keeps_the_widget_beside_a_still_picture_with_its_text():
    source = """
import torch; torch.set_num_threads(1)
from course_utils import explore, models
images, labels = torch.rand(50, 784), torch.arange(50) % 10
explore.latent_space({str(beta): models.VAE(784, [32], 20) for beta in (0, 0.001, 10)}, images, labels, name="beta")
"""
    notebook = new_notebook(cells=[new_code_cell(source)])
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    (output,) = [output for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert set(output.data) == {WIDGET, "image/png", "text/plain"}
    assert pixels(base64.b64decode(output.data["image/png"])).shape[0] == 6 * 60 + 20, (
        "expected two rows of each of three models, and a line that says how to move"
    )
    assert "beta 0: z" in output.data["text/plain"] and "beta 10: z" in output.data["text/plain"]
    size = len(json.dumps(notebook.cells))
    assert size < 100_000, f"the output has {size} bytes"
    nbformat.validate(notebook)


class Run:
    """Like training.Run: holds a model and is none."""

    model = vae(2)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, ValueError, "models is empty"),
        ({"a": models.VAE}, TypeError, "is the class VAE"),
        ({"a": Run()}, TypeError, r"write \.model behind it"),
        ({"a": nn.Linear(784, 2)}, TypeError, "expected a trained module with encode"),
        ({"a": "0.001.safetensors"}, TypeError, "is a str"),
        ({"a": models.VAE(100, [8], 2)}, ValueError, r"cannot encode images of shape \(784,\)"),
        ({"a": models.Autoencoder(models.mlp([784, 2]), models.mlp([2, 100]))}, ValueError, "decodes to images"),
    ],
)
def test_models_that_cannot_be_explored_are_told_in_one_line(images, given, error, words):
    with pytest.raises(error, match=words) as caught:
        explore.latent_space(given, images)
    assert "\n" not in str(caught.value)


def test_a_model_whose_training_failed_is_told_apart(images):
    model = vae(2)
    with torch.no_grad():
        model.encoder[0].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite numbers: its training has failed"):
        explore.latent_space({"10": model}, images)


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"images": [1, 2]}, TypeError, "images is a list"),
        ({"images": torch.zeros(0, 784)}, ValueError, r"shape \(0, 784\)"),
        ({"images": torch.zeros(3, 784), "labels": torch.zeros(2)}, ValueError, "2 labels for 3 images"),
        ({"images": torch.zeros(3, 784), "max_sliders": 0}, ValueError, "max_sliders is 0"),
        (
            {"images": torch.zeros(3, 784), "labels": torch.tensor([0, 1, 2]), "class_names": ["a", "b"]},
            ValueError,
            "2 class_names and a label 2",
        ),
    ],
)
def test_images_labels_and_sliders_are_checked(keywords, error, words):
    with pytest.raises(error, match=words):
        explore.latent_space(vae(2), **keywords)
