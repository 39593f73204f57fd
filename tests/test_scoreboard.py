"""The scoreboard: what it compares, what it leaves out, and that the page says so."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import torch
from lab_in_chromium import chromium, find_chromium
from safetensors.torch import load_file, save_file
from torch import nn

from course_utils import datasets, models, training
from course_utils.metrics import reference_runs, scoreboard, scoreboard_page, scorecard
from course_utils.models import classifier, runs
from course_utils.models.classifier import Classifier
from course_utils.system.errors import CourseError


@pytest.fixture(scope="module")
def data():
    whole = datasets.load("digits")
    return whole._replace(
        train_images=whole.train_images[:300],
        train_labels=whole.train_labels[:300],
        test_images=whole.test_images[:150],
        test_labels=whole.test_labels[:150],
    )


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Runs of the test's own; small measurements; a reader that needs no training and counts how often it is asked."""
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    for name, value in (("NUM_SAMPLES", 200), ("NUM_NEAREST", 100), ("NUM_PAIRS", 10)):
        monkeypatch.setattr(scorecard, name, value)
    torch.manual_seed(0)
    reader = Classifier(classifier._network(10).eval().requires_grad_(False), accuracy=0.1)
    monkeypatch.setattr(scoreboard.classifier, "train", lambda *_, **__: reader)
    return tmp_path / "runs"


def loss(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"loss": nn.functional.binary_cross_entropy_with_logits(model(x)[0], x, reduction="sum") / len(x)}


def autoencoder() -> models.Autoencoder:
    return models.Autoencoder(models.mlp([784, 16, 3]), models.mlp([3, 16, 784]))


def fit(data, model, name, unit="01_autoencoders", images=None, **settings):
    images = data.train_images.flatten(1) if images is None else images
    return training.fit(model, loss, images, epochs=1, seed=0, name=name, unit=unit, progress=False, **settings)


@pytest.fixture
def filled(data, place):
    """A plain autoencoder, a convolutional one and a VAE on the digits."""
    fit(data, autoencoder(), "ae", label="Autoencoder <plain>")
    fit(data, models.conv_autoencoder(3, width=2), "conv", images=data.train_images)
    fit(data, models.VAE(784, (16,), 3), "vae_0.001", "02_variational_autoencoders")
    return place


class Tags(HTMLParser):
    """Counts tags, and remembers attributes that fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.open: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1
        self.sources += [value for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"


def test_a_record_says_what_the_model_was_and_what_it_saw(filled):
    record = json.loads((filled / "01_autoencoders" / "ae.json").read_text())
    assert record["label"] == "Autoencoder <plain>"
    assert record["data"] == {"name": "digits", "images": 300, "shape": [784]}
    assert record["architecture"]["kind"] == "Autoencoder"
    assert json.loads((filled / "01_autoencoders" / "conv.json").read_text())["label"] == "conv", "by default its name"


def test_an_opened_run_is_the_model_that_was_trained(data, place):
    run = fit(data, models.VAE(784, (16,), 3), "vae", "02_variational_autoencoders")
    kept = runs.open("vae", "02_variational_autoencoders")
    x = datasets.scale(data.test_images.flatten(1))
    assert torch.equal(kept.model.encode(x)[0], run.model.encode(x)[0])
    assert not kept.model.training and kept.unit == "02_variational_autoencoders"


def test_images_are_known_by_their_beginning_flat_or_not(data):
    assert datasets.name_of(data.train_images[:5]) == datasets.name_of(data.train_images.flatten(1)) == "digits"
    assert datasets.name_of(data.train_images[1:]) is None
    assert datasets.name_of(torch.zeros(3, 784)) is None


def test_every_model_gets_a_row_with_the_scorecards_numbers_and_autoencoders_a_second(data, filled):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    assert [row.label for row in board.rows] == [
        "Autoencoder <plain>",
        "Autoencoder <plain> + mixture",
        "conv",
        "conv + mixture",
        "vae_0.001",
    ]
    kept = runs.open("ae", "01_autoencoders")
    expected = scorecard.measure(kept.model, data, scoreboard.classifier.train(data))
    assert {key: repr(value) for key, value in board.rows[0].values.items()} == {
        key: repr(value) for key, value in expected.items()
    }
    assert (
        board.rows[1].values["frechet"] != expected["frechet"]
        and board.rows[1].values["distortion"] == expected["distortion"]
    )
    assert board.rows[0].training == "3 latents, 300 images, 1 epoch"


def test_what_was_measured_is_not_measured_again_unless_its_weights_changed(data, filled, monkeypatch):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    fit(data, models.VAE(784, (8,), 3), "vae_0.001", "02_variational_autoencoders")
    calls, real = [], scorecard.measure
    monkeypatch.setattr(scorecard, "measure", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs))
    again = scoreboard.collect(data)
    scoreboard.measure(again, data, progress=False)
    assert len(calls) == 1, f"measured {len(calls)} times, expected only the model that was trained anew"
    assert repr(again.rows[0].values) == repr(board.rows[0].values)
    assert again.rows[-1].values["distortion"] != board.rows[-1].values["distortion"]


def test_a_damaged_memory_of_measurements_costs_only_time(data, filled):
    (filled / scoreboard.CACHE).write_text('{"x": [1, 2')
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    assert len(board.rows) == 5


def damage(filled) -> None:
    (filled / "04_mmd").mkdir()
    (filled / "04_mmd" / "cut.json").write_text("{")
    (filled / "04_mmd" / "cut.safetensors").write_bytes(b"\xff" * 50)
    (filled / "04_mmd" / "orphan.safetensors").write_bytes(b"")
    (filled / "04_mmd" / "list.json").write_text("[]")
    vae = filled / "02_variational_autoencoders" / "vae_0.001"
    record = json.loads(vae.with_name("vae_0.001.json").read_text())
    weights = load_file(vae.with_name("vae_0.001.safetensors"))
    save_file(weights, filled / "04_mmd" / "list.safetensors")  # as older versions did, with the record beside
    for name, change in (
        ("old", {"architecture": ...}),
        (
            "evil",
            {
                "architecture": {
                    "kind": "GaussianAutoencoder",
                    "latent_dim": 3,
                    "encoder": {"layer": "eval"},
                    "decoder": {},
                }
            },
        ),
        ("swapped", {"architecture": json.loads((filled / "01_autoencoders" / "ae.json").read_text())["architecture"]}),
        ("no_data", {"data": 3}),
        ("deep", {"architecture": None}),
        ("other_set", {"data": {"name": "mnist", "images": 60000, "shape": [784]}}),
        ("unknown_set", {"data": {"name": None, "images": 10, "shape": [784]}}),
        ("lying", {"data": {"name": "digits", "images": "<b>many</b>", "shape": [784]}, "settings": None}),
    ):
        changed = {key: value for key, value in (record | change).items() if value is not ...}
        runs.write(filled / "04_mmd" / f"{name}.safetensors", weights, changed)


def test_damaged_and_foreign_runs_are_listed_and_the_others_compared(data, filled):
    damage(filled)
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    assert len(board.rows) == 5
    expected = {
        "cut": "cannot be read",
        "orphan": "cannot be read",
        "list": "not a JSON object",
        "old": "older version",
        "evil": "cannot be followed",
        "swapped": "another model",
        "no_data": "damaged",
        "deep": "of its own making",
        "other_set": "trained on mnist; this board compares models of digits",
        "unknown_set": "not of a known set",
        "lying": "damaged",
    }
    assert set(board.skipped) == {f"04_mmd/{name}" for name in expected}
    for name, reason in expected.items():
        assert reason in board.skipped[f"04_mmd/{name}"]
        assert "\n" not in board.skipped[f"04_mmd/{name}"]


def test_a_model_without_finite_codes_is_listed_and_stops_nobody(data, filled):
    broken = autoencoder()
    nn.init.constant_(broken.encoder[0].weight, float("nan"))
    runs.save(
        "nan",
        broken,
        runs.about(broken, data.train_images.flatten(1), None, "nan") | {"settings": {}},
        "01_autoencoders",
    )
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    assert len(board.rows) == 5 and "could not be measured" in board.skipped["01_autoencoders/nan"]


def test_of_too_many_models_the_last_are_measured_and_the_others_named(data, filled):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, at_most=1, progress=False)
    assert [row.unit for row in board.rows] == ["02_variational_autoencoders"]
    assert len(board.skipped) == 2 and "kept last" in board.skipped["01_autoencoders/ae"]


def test_a_run_without_a_folder_of_runs_gives_an_empty_board_that_says_what_to_do(data):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    text = scoreboard.save(board).read_text(encoding="utf-8")
    assert board.rows == [] and "Begin with units 01 and 02" in text and "<table" not in text


def test_stored_runs_stand_alone_or_behind_the_same_model_with_the_same_settings(data, place, monkeypatch):
    monkeypatch.setattr(scoreboard.datasets, "name_of", lambda images: "mnist")
    stored = reference_runs.load("03_interpolation")
    alone = scoreboard.collect(data)
    assert {(row.unit, row.label) for row in alone.rows} >= {("03_interpolation", model) for model in stored.models}
    assert all(not row.values for row in alone.rows)
    for name, lr in (("ae", 1e-3), ("vae", 1e-2)):
        fit(data, autoencoder(), name, "03_interpolation", lr=lr)
        path = place / "03_interpolation" / f"{name}.safetensors"
        record, weights = runs.read(path)
        record["data"]["images"], record["settings"]["epochs"] = stored.made_with["images"], stored.made_with["epochs"]
        runs.write(path, weights, record)
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    bands = {row.label: row.bands for row in board.rows if row.values}
    assert bands["ae"]["distortion"] == stored.band("ae", "distortion")
    assert bands["vae"] == {}, "trained with another learning rate"
    alone = [row.label for row in board.rows if not row.values and row.unit == "03_interpolation"]
    assert alone == ["vae"], "the stored ae stands behind the student's, the stored vae by itself"


@pytest.mark.parametrize(
    "name, model, same",
    [
        ("ae", "ae", True),
        ("vae_beta_0.001", "beta_0.001", True),
        ("mmd_ae", "mmd-ae", True),
        ("KL-beta-0.5", "kl beta=0.5", True),
        ("vae_beta_0.01", "beta_0.001", False),
        ("ae_again", "ae", False),
        ("vae", "ae", False),
    ],
)
def test_a_run_is_matched_with_the_stored_model_of_its_name(name, model, same):
    assert scoreboard._same_model(name, model) is same


def test_the_page_is_self_contained_well_formed_and_escapes_what_students_wrote(data, filled):
    damage(filled)
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    text = scoreboard.save(board).read_text(encoding="utf-8")
    tags = Tags(text)
    assert tags.open == [] and tags.sources == []
    assert not {"script", "img", "iframe", "link", "plain", "b"} & tags.count.keys()
    assert 'lang="en"' in text and 'name="viewport"' in text and "://" not in text and "url(" not in text
    assert "Autoencoder &lt;plain&gt;" in text and "04_mmd/evil" in text
    assert tags.count["table"] == 1 + len(scoreboard.COLUMNS) == tags.count["caption"]


def test_every_number_of_the_figure_is_also_text(data, filled):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    text = scoreboard_page.fragment(board)
    for row in board.rows:
        assert text.count(f"<td>{scoreboard_page.number(row.values['frechet'])}</td>") >= 1
        assert text.count(f'<td class="value">{scoreboard_page.number(row.values["frechet"])}</td>') >= 1
    assert "nan" not in re.sub(r"<[^>]*>", " ", text)


@pytest.mark.parametrize(
    "value, expected",
    [
        (float("nan"), "–"),
        (None, "–"),
        (0.0, "0"),
        (10.0, "10"),
        (12345.6, "12,346"),
        (208.4, "208"),
        (18.46, "18.5"),
        (0.8517, "0.85"),
        (0.00672, "0.007"),
        (-0.25, "-0.25"),
    ],
)
def test_numbers_have_the_digits_that_they_deserve(value, expected):
    assert scoreboard_page.number(value) == expected


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.0, 0.0], [0.0, 1e-3, 5e3], [-1.0, 4.0], [7.0], [float("nan")]])
def test_places_on_a_strip_keep_the_order_and_stay_inside(values):
    rows = [scoreboard.Row("01_a", "x", "", {"rate": value}) for value in values]
    scale = scoreboard_page._Scale(rows, "rate")
    places = [scale.place(value) for value in sorted(v for v in values if v == v)]
    assert places == sorted(places) and all(2 <= place <= 98 for place in places)


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)")
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_fits_a_telephone_and_a_screen(data, filled, width):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    wide = dict.fromkeys(scoreboard.COLUMNS, reference_runs.Band(12345.6, 0.0123, 98765.4))
    board.rows.append(
        scoreboard.Row(
            "02_variational_autoencoders", "a_name_without_any_place_to_break_it_in_two", "stored", bands=wide
        )
    )
    path = scoreboard.save(board)
    with chromium(width=width, height=900) as page:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('th, td, small')]"
            ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
        )
        assert smallest >= 10.5, f"text of {smallest} px"
        outside = page.evaluate(
            "[...document.querySelectorAll('.panel .dot')].map(dot => dot.getBoundingClientRect())"
            ".filter(box => box.left < 0 || box.right > innerWidth).length"
        )
        assert outside == 0, f"{outside} dots lie outside the window"


def test_open_refuses_in_one_line_what_is_not_there():
    with pytest.raises(CourseError, match="There is no run 'vae'"):
        runs.open("vae", "02_variational_autoencoders")
