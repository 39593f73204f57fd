"""The explorer: its pictures follow its controls, its sliders follow the rates, and bad input is told in one line."""

from __future__ import annotations

import base64
import html
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

from course_utils import explore, latent, models
from course_utils.explore import LatentExplorer

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


def visible(explorer: LatentExplorer) -> list:
    return [slider for slider in explorer.sliders if slider.layout.display != "none"]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_slider_changes_the_picture_to_the_decoded_image_at_that_point(images):
    model = vae(3)
    explorer = LatentExplorer(model, images)
    before = explorer.picture.png
    explorer.sliders[0].value = 2.5
    assert explorer.picture.png != before, "the picture stayed the same when a slider moved"
    d = explorer.space.order[0]
    assert float(explorer.z[d]) == 2.5
    with torch.no_grad():
        expected = (torch.sigmoid(model.decode(explorer.z[None])).view(28, 28) * 255).round().to(torch.uint8).numpy()
    shown = pixels(explorer.picture.png)
    assert shown.shape == (28, 28)
    assert np.abs(shown.astype(int) - expected).max() <= 1
    assert f"z{d + 1} moved to 2.50" in explorer.picture.alt


def test_sliders_are_ordered_by_rate_and_labelled_with_it(images):
    model = vae(6)
    with torch.no_grad():  # dimension 4 gets by far the largest rate, then 2
        model.encoder[-1].bias[:6] = torch.tensor([0.0, 0.1, 2.0, 0.2, 5.0, 0.3])
    explorer = LatentExplorer(model, images, max_sliders=3)
    assert [explorer.shown[slider] + 1 for slider in explorer.sliders][:2] == [5, 3]
    with torch.no_grad():
        mu, logvar = model.encode(images.float() / 255)
    rate = float((0.5 * (mu**2 + logvar.exp() - 1 - logvar)).mean(0)[4])
    assert explorer.sliders[0].description == f"z5 · {rate:.2f} nats"
    assert len(explorer.sliders) == 3 and len(explorer.z) == 6


def test_an_autoencoders_sliders_show_the_spread_and_reach_its_codes(images):
    model = autoencoder(2)
    with torch.no_grad():
        model.encoder[-1].weight[1] *= 200
    explorer = LatentExplorer(model, images)
    codes = model.encode(images.float() / 255)[:, 1].detach()
    slider = explorer.sliders[0]
    assert slider.description == f"z2 · spread {float(codes.std(correction=0)):.2g}"
    assert slider.max >= float(codes.abs().max()) > 3, f"reach {slider.max}, codes up to {float(codes.abs().max()):.1f}"
    assert explorer.sliders[1].max >= 3


def test_the_browsers_rounding_of_a_slider_does_not_move_z(images):
    explorer = LatentExplorer(vae(3), images)
    z, picture = explorer.z.clone(), explorer.picture.png
    slider = explorer.sliders[0]
    slider.value += 0.4 * slider.step
    assert torch.equal(explorer.z, z) and explorer.picture.png == picture
    slider.value += slider.step
    assert not torch.equal(explorer.z, z), "a step of the slider must move z"


def test_a_slider_for_the_models_keeps_z_where_the_latent_dimensions_agree(images):
    explorer = LatentExplorer({"0": vae(3, 1), "1": vae(3, 2), "wide": vae(5, 3)}, images, name="beta")
    assert explorer.model_slider.description == "beta"
    explorer.sliders[0].value = -1.5
    z, picture = explorer.z.clone(), explorer.picture.png
    explorer.model_slider.index = 1
    assert torch.equal(explorer.z, z)
    assert explorer.picture.png != picture, "another model at the same z shows the same picture"
    values = {explorer.shown[slider]: slider.value for slider in visible(explorer)}
    assert values == pytest.approx(dict(enumerate(z.tolist()))), "sliders do not stand where z is"
    explorer.model_slider.index = 2
    assert len(explorer.z) == 5 and len(visible(explorer)) == 5
    explorer.model_slider.index = 0
    assert len(visible(explorer)) == 3


def test_every_picture_has_a_text_alternative_in_its_markup(images, labels):
    explorer = LatentExplorer({"<b>": vae(2)}, images, labels)
    for picture in (explorer.picture, explorer.original, explorer.reconstruction, explorer.bars, explorer.map):
        assert picture.alt and f'alt="{html.escape(picture.alt, quote=True)}"' in picture.value
        assert base64.b64encode(picture.png).decode() in picture.value


def test_one_model_shows_no_slider_over_models(images):
    assert LatentExplorer(vae(2), images).model_slider.layout.display == "none"


def test_the_buttons_sample_reset_and_go_back_to_the_image(images):
    explorer = LatentExplorer(vae(4), images)
    start = explorer.z.clone()
    explorer.reset_button.click()
    assert not explorer.z.any() and all(slider.value == 0 for slider in explorer.sliders)
    explorer.sample_button.click()
    first = explorer.z.clone()
    explorer.sample_button.click()
    assert not torch.equal(explorer.z, first), "two samples are the same point"
    explorer.back_button.click()
    assert torch.equal(explorer.z, start)


def test_exploring_leaves_the_notebooks_random_state_alone(images):
    torch.manual_seed(3)
    expected = torch.randn(3)
    model = vae(4)
    torch.manual_seed(3)
    LatentExplorer(model, images).sample_button.click()
    assert torch.equal(torch.randn(3), expected)


def test_choosing_a_digit_shows_its_image_reconstruction_and_code(images, labels):
    model = vae(4)
    explorer = LatentExplorer(model, images, labels)
    explorer.digit.value = 2
    explorer.number.value = 5
    assert explorer.index == 22 and explorer.number.max == 9
    assert torch.allclose(explorer.z, model.encode(images[22:23].float() / 255)[0][0], atol=1e-6)
    assert np.array_equal(pixels(explorer.original.png), images[22].view(28, 28).numpy())
    assert explorer.original.alt == "Original: image 22, a 2"
    assert np.array_equal(pixels(explorer.reconstruction.png), explorer.space.decode(explorer.z[None])[0])
    explorer.digit.value = 3
    assert explorer.index == 3 and explorer.number.value == 0


def test_a_two_dimensional_model_has_a_map_whose_mark_follows(images, labels):
    explorer = LatentExplorer({"flat": vae(2), "deep": vae(3)}, images, labels)
    before = explorer.map.png
    explorer.sliders[0].value = 2.0
    assert explorer.map.png != before and explorer.map.layout.display != "none"
    explorer.model_slider.index = 1
    assert explorer.map.layout.display == "none"


def test_pictures_for_flat_and_convolutional_models_come_from_the_same_images(images):
    explorer = LatentExplorer({"conv": models.conv_autoencoder(4), "mlp": autoencoder(4)}, images)
    assert pixels(explorer.picture.png).shape == (28, 28)
    LatentExplorer(models.conv_autoencoder(2), images.view(-1, 1, 28, 28).float() / 255)


def test_exploring_leaves_a_model_in_the_mode_it_was_in(images):
    model = vae(2).train()
    LatentExplorer(model, images).sliders[0].value = 1.0
    assert model.training


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_model_on_the_gpu_can_be_explored(images):
    explorer = LatentExplorer(vae(2).cuda(), images)
    before = explorer.picture.png
    explorer.sliders[0].value = 2.0
    assert explorer.picture.png != before and explorer.z.device.type == "cpu"


def test_one_bundle_holds_the_widget_and_a_still_picture_with_its_text(images):
    explorer = LatentExplorer({"0": vae(3, 1), "10": vae(3, 2)}, images, name="beta")
    bundle = explorer.mime_bundle()
    assert bundle[WIDGET]["model_id"] == explorer.box.model_id
    picture = pixels(base64.b64decode(bundle["image/png"]))
    assert picture.shape[0] == 6 * 60, "expected six rows: three dimensions of each of two models"
    assert "beta 0: z" in bundle["text/plain"] and "beta 10: z" in bundle["text/plain"]


def test_without_a_notebook_the_text_alternative_is_printed(images, capsys):
    explore.latent_space(vae(2), images)
    assert capsys.readouterr().out.startswith("Still picture of the latent space explorer")


def test_an_executed_notebook_keeps_the_bundle_and_stays_small():
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
    size = len(json.dumps(notebook))
    assert size < 300_000, f"the executed notebook has {size} bytes, widget state included"
    nbformat.validate(notebook)


def test_an_update_takes_less_than_fifteen_milliseconds(images, labels):
    import time

    explorer = LatentExplorer(models.VAE(784, [400], 2), images, labels)
    durations = []
    for step in range(30):
        began = time.perf_counter()
        explorer.sliders[0].value = -1.5 + step / 10
        durations.append(time.perf_counter() - began)
    median = sorted(durations)[15]
    assert median < 0.015, f"median {1000 * median:.1f} ms from slider to picture"


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
    ],
)
def test_images_labels_and_sliders_are_checked(keywords, error, words):
    with pytest.raises(error, match=words):
        explore.latent_space(vae(2), **keywords)


def test_the_bars_name_the_sum_of_the_rates(images):
    space = latent.study("x", vae(4), images)
    assert f"all {float(space.amounts.sum()):.1f}" in latent.bars_title(space)
    assert pixels(latent.bars_png(space, 2)).shape == (90, 300, 3)
