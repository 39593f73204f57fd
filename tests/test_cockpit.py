"""The exported cockpit in a real Chromium: what it draws is what torch computes, and hands can move it."""

from __future__ import annotations

import base64
import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from lab_in_chromium import (
    chromium,
    find_chromium,
    hides_the_picture,
    keep_screenshot,
    serious_faults,
    unseen_in_forced_colours,
    wait_until,
)
from PIL import Image
from torch import nn

from course_utils import models
from course_utils.models import classifier
from course_utils.models.classifier import Classifier
from course_utils.plots import explore

TITLE = 'Digits </script><script>alert("no")</script>'
READ_CANVAS = "selector => document.querySelector(selector).toDataURL()"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]


def lively(module: nn.Module) -> nn.Module:
    """With larger weights, so that codes and pictures differ visibly."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2.5)
    return module


def vae(latent_dim: int, seed: int) -> models.VAE:
    torch.manual_seed(seed)
    return lively(models.VAE(784, [32], latent_dim))


@pytest.fixture(scope="module")
def trained() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"VAE": vae(4, 0), "other": vae(4, 1), "conv": lively(models.conv_autoencoder(4)), "flat": vae(2, 2)}


@pytest.fixture(scope="module")
def reader() -> Classifier:
    """A classifier whose normalisation is not the identity."""
    torch.manual_seed(0)
    network = lively(classifier._network(10))
    network.train()
    network(torch.rand(64, 1, 28, 28))
    return Classifier(network.eval().requires_grad_(False), accuracy=0.1)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    blobs = torch.rand(60, 1, 7, 7, generator=generator)
    return (nn.functional.interpolate(blobs, 28, mode="bilinear") * 255).to(torch.uint8).flatten(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory, trained, reader, images) -> Path:
    path = tmp_path_factory.mktemp("cockpit") / "page.html"
    return explore.export(
        path,
        trained,
        images,
        torch.arange(60) % 10,
        title=TITLE,
        reader=reader,
        attributes={"odd": torch.arange(60) % 2, "large": torch.arange(60) % 10 > 4},
    )


@pytest.fixture(scope="module")
def browser():
    with chromium(1000, 1200) as page:
        yield page


@pytest.fixture
def page(browser, place):
    """The page freshly opened, without network; its own errors fail the test."""
    errors, asked = [], []
    note = lambda error: errors.append(str(error))  # noqa: E731
    hear = lambda message: errors.append(message.text) if message.type == "error" else None  # noqa: E731
    seen = lambda request: asked.append(request.url)  # noqa: E731
    for event, listener in (("pageerror", note), ("console", hear), ("request", seen)):
        browser.on(event, listener)
    browser.goto(place.as_uri())
    browser.wait_for_selector("#cockpit[data-ready=true]")
    wait_until(browser, "document.querySelector('.cockpit-caption').textContent.length > 0")
    yield browser
    for event, listener in (("pageerror", note), ("console", hear), ("request", seen)):
        browser.remove_listener(event, listener)
    assert not errors, f"the browser's console shows errors: {errors}"
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_the_page_runs_its_own_script_and_no_other(place):
    head = place.read_text(encoding="utf-8").partition("<body>")[0]
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in head and "unsafe-eval" not in head


def canvas(page, selector: str = ".cockpit-large") -> np.ndarray:
    """Grey values (H, W) of a canvas in the page."""
    picture = Image.open(io.BytesIO(base64.b64decode(page.evaluate(READ_CANVAS, selector).split(",")[1])))
    return np.asarray(picture.convert("RGB"))[:, :, 0].astype(int)


def state(page) -> list[float]:
    return page.evaluate("window.cockpit.z")


def choose_model(page, index: int) -> None:
    page.locator("label", has_text="model").locator("xpath=..").locator("input").fill(str(index))


@pytest.mark.parametrize(("index", "title"), list(enumerate(["VAE", "other", "conv", "flat"])))
def test_the_picture_is_what_torch_decodes(page, trained, index, title):
    """Within two grey levels: the weights travel in half precision."""
    choose_model(page, index)
    z = [0.7, -1.1, 0.4, 1.3][: 2 if title == "flat" else 4]
    page.evaluate("z => { window.cockpit.moveTo(z, 'here'); }", z)
    wait_until(page, "document.querySelector('.cockpit-caption').textContent === 'here'")
    with torch.no_grad():
        wanted = torch.sigmoid(trained[title].eval().decode(torch.tensor([z]))).view(28, 28) * 255
    off = np.abs(canvas(page) - wanted.numpy())
    assert off.max() <= 2, f"{title}: a pixel is {off.max():.1f} grey levels off"
    assert wanted.std() > 5, "the picture shows nothing"


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(
            nn.Linear(3, 16 * 4),
            nn.LeakyReLU(0.1),
            nn.Unflatten(1, (16, 2, 2)),
            nn.ConvTranspose2d(16, 8, 4, 2, 1),
            nn.ELU(),
            nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1),
            nn.SiLU(),
            nn.PixelShuffle(2),
        ),
        nn.Sequential(
            nn.Linear(3, 64),
            nn.Softplus(),
            nn.Unflatten(1, (1, 8, 8)),
            nn.PixelUnshuffle(2),
            nn.BatchNorm2d(4).eval(),
            nn.Conv2d(4, 3, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Sigmoid(),
        ),
    ],
)
def test_every_layer_that_is_known_computes_what_torch_computes(page, network):
    from course_utils.plots.cockpit import payload

    numbers = payload._Numbers()
    rounded = payload._with_half_weights(network)
    layers = payload.layers(rounded, numbers)
    z = [0.3, -0.8, 1.2]
    content = base64.b64encode(bytes(numbers.content)).decode()
    found = page.evaluate(
        """([layers, content, z]) => {
        const buffer = Uint8Array.from(atob(content), c => c.charCodeAt(0)).buffer;
        const cockpit = window.cockpit.constructor;
        const out = cockpit.compute(layers, buffer, z);
        return [Array.from(out.data), out.shape];
    }""",
        [layers, content, z],
    )
    with torch.no_grad():
        wanted = rounded(torch.tensor([z]))[0]
    assert found[1] == list(wanted.shape)
    np.testing.assert_allclose(found[0], wanted.flatten(), rtol=1e-4, atol=1e-4)


def test_the_classifier_reads_what_torch_reads(page, trained, reader):
    page.evaluate("window.cockpit.moveTo([0.7, -1.1, 0.4, 1.3], 'here')")
    wait_until(page, "document.querySelector('.cockpit-caption').textContent === 'here'")
    with torch.no_grad():
        picture = torch.sigmoid(trained["VAE"].decode(torch.tensor([[0.7, -1.1, 0.4, 1.3]])))
    share, label = reader.probabilities(picture).max(1)
    label_read, share_read = page.evaluate(
        "window.cockpit.probability(window.cockpit.decode(window.cockpit.current, window.cockpit.z))"
    )
    assert label_read == label.item() and share_read == pytest.approx(share.item(), abs=0.02)


@pytest.mark.parametrize("kind", ["straight", "spherical"])
@pytest.mark.parametrize(("a", "b"), [([1.0, 0.0], [0.0, 2.0]), ([1.0, 1.0], [2.0, 2.0]), ([1.0, 0.0], [-1.0, 0.0])])
def test_the_walks_are_the_course_s_own(page, kind, a, b):
    """Shoemake's formula, lengths not rescaled; the straight line where sin w < 1e-4."""
    found = page.evaluate("([a, b, kind]) => window.cockpit.constructor.walk(a, b, 0.25, kind)", [a, b, kind])
    angle = math.acos(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))
    if kind == "straight" or math.sin(angle) < 1e-4:
        wanted = 0.75 * np.array(a) + 0.25 * np.array(b)
    else:
        wanted = (math.sin(0.75 * angle) * np.array(a) + math.sin(0.25 * angle) * np.array(b)) / math.sin(angle)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_dragging_on_the_map_moves_the_point_and_the_picture_follows(page):
    before, z = canvas(page), state(page)
    box = page.locator(".cockpit-map").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 60, steps=4)
    page.mouse.up()
    wait_until(page, "document.querySelector('.cockpit-caption').textContent.includes('moved on the map')")
    keep_screenshot(page, "cockpit", full_page=True)
    assert not np.array_equal(before, canvas(page)), "the picture did not follow the pointer"
    moved = [d for d, (p, q) in enumerate(zip(z, state(page), strict=True)) if p != q]
    assert sorted(moved) == sorted(page.evaluate("window.cockpit.axes"))


def test_every_control_works_from_the_keyboard(page):
    """Arrow keys on the map and on sliders, a button, the choice of images and of the walk."""
    seen = [state(page)]
    page.locator(".cockpit-map").focus()
    page.keyboard.press("ArrowUp")
    seen.append(state(page))
    page.keyboard.press("Shift+ArrowRight")
    seen.append(state(page))
    page.locator(".cockpit-right .cockpit-range input").nth(1).focus()
    page.keyboard.press("ArrowRight")
    seen.append(state(page))
    page.get_by_role("button", name="Reset to 0").press("Enter")
    seen.append(state(page))
    page.get_by_label("position t").focus()
    page.keyboard.press("End")
    seen.append(state(page))
    page.get_by_label("walk:").select_option("spherical")
    page.get_by_label("to", exact=True).select_option("9")
    seen.append(state(page))
    for before, after in itertools.pairwise(seen):
        assert before != after, f"a key changed nothing: {before}"
    assert seen[4] == [0, 0, 0, 0]


def test_an_attribute_is_added_to_the_code_and_taken_back(page):
    page.get_by_label("add", exact=True).select_option("large")
    z, slider = state(page), page.get_by_label("how much")
    direction = page.evaluate("[...window.cockpit.current.directions.slice(4, 8)]")
    slider.fill("1.5")
    np.testing.assert_allclose(state(page), np.array(z) + 1.5 * np.array(direction), atol=1e-5)
    slider.fill("0")
    np.testing.assert_allclose(state(page), z, atol=1e-5)
    slider.fill("2")
    page.get_by_role("button", name="Sample from N(0, I)").click()
    assert slider.input_value() == "0", "a new place has nothing added"


def test_playing_a_path_ends_at_its_end(page):
    page.get_by_role("button", name="Play").click()
    wait_until(page, "document.querySelector('.cockpit-path output').textContent === '1.00'")
    page.get_by_role("button", name="Play").wait_for()
    end = page.evaluate("window.cockpit.code(window.cockpit.current, window.cockpit.ends[1])")
    np.testing.assert_allclose(state(page), end, atol=1e-6)


def test_whoever_asked_for_less_motion_sees_a_few_still_pictures_of_the_path(page):
    page.emulate_media(reduced_motion="reduce")
    page.evaluate(
        "window.seen = new Set(); const own = cockpit.along; cockpit.along = t => { seen.add(t); own.call(cockpit, t); }"
    )
    page.get_by_role("button", name="Play").click()
    wait_until(page, "document.querySelector('.cockpit-path output').textContent === '1.00'")
    assert 2 <= page.evaluate("seen.size") <= 7
    page.emulate_media(reduced_motion="no-preference")


def test_every_model_shows_its_own_code_of_an_image_and_a_place_that_was_moved_to_is_kept_and_said_to_be(page):
    assert page.locator(".cockpit-others figcaption").all_inner_texts() == ["VAE", "other", "conv"]
    choose_model(page, 1)
    own = page.evaluate("window.cockpit.code(window.cockpit.models[1], 0)")
    np.testing.assert_allclose(state(page), own, atol=1e-6)
    page.get_by_role("button", name="Reset to 0").click()
    choose_model(page, 0)
    assert state(page) == [0] * len(own)
    wait_until(page, "document.querySelector('.cockpit-caption').textContent.endsWith('(the z of other)')")
    choose_model(page, 3)  # another size: the code of the image instead
    assert len(state(page)) == 2
    page.wait_for_selector(".cockpit-others", state="hidden")


def test_a_title_is_text_and_the_page_stays_small(page, place):
    assert page.get_by_role("heading", level=1).inner_text() == TITLE
    assert place.stat().st_size < 5_000_000


def test_the_chart_of_a_path_is_seen_in_colours_of_the_reader_s_own(page):
    assert unseen_in_forced_colours(page, ".cockpit-chart text", "fill") == []
    assert unseen_in_forced_colours(page, ".cockpit-mark", "stroke") == []


def test_no_serious_accessibility_fault_at_any_width(page):
    for width, colours in itertools.product((1400, 1024, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 1200})
        page.emulate_media(color_scheme=colours)
        faults = serious_faults(page)
        assert not faults, faults
        wide = page.evaluate("document.documentElement.scrollWidth")
        keep_screenshot(page, f"cockpit-{colours}-{width}", full_page=True)
        assert wide <= width, f"the page is {wide} pixels wide in a window of {width}"
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1000, "height": 1200})


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (700, 500), (390, 844)])  # 700: 1400 at 200 %
def test_the_picture_stays_in_sight_at_every_control_beside_it(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    assert hides_the_picture(page) == []
    page.set_viewport_size({"width": 1000, "height": 1200})
