"""The scoreboard: what it compares, what it leaves out, and that the page says so."""

from __future__ import annotations

import html
import json
import math
import re
from html.parser import HTMLParser

import pytest
import torch
from lab_in_chromium import chromium_without_errors, find_chromium, serious_faults
from safetensors.torch import load_file, save_file
from torch import nn

from course_utils import datasets, models, training
from course_utils.metrics import reference_runs, scoreboard, scoreboard_page, scorecard, standings
from course_utils.models import classifier, runs
from course_utils.models.classifier import Classifier
from course_utils.system.errors import CourseError
from course_utils.system.templates import digest


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


def test_every_model_gets_a_row_with_the_scorecards_numbers_and_one_from_a_mixture(data, filled):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    names = ["Autoencoder <plain>", "conv", "vae_0.001"]
    assert [row.name for row in board.rows] == [name + way for name in names for way in ("", " + mixture")]
    assert [row.family for row in board.rows] == ["autoencoder"] * 4 + ["VAE"] * 2
    kept = runs.open("ae", "01_autoencoders")
    expected = scorecard.measure(kept.model, data, scoreboard.classifier.train(data))
    expected = {key: expected[key] for key in scoreboard.COLUMNS}
    assert board.rows[0].values == pytest.approx(expected, rel=1e-5, nan_ok=True)
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
    assert len(calls) == 2, f"measured {len(calls)} times, expected both ways of the model that was trained anew"
    assert repr(again.rows[0].values) == repr(board.rows[0].values)
    assert again.rows[-1].values["distortion"] != board.rows[-1].values["distortion"]


def test_a_damaged_memory_of_measurements_costs_only_time(data, filled):
    (filled / scoreboard.CACHE).write_text('{"x": [1, 2')
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    assert len(board.rows) == 6


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
    assert len(board.rows) == 6
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
    assert len(board.rows) == 6 and "could not be measured" in board.skipped["01_autoencoders/nan"]


def test_of_too_many_models_the_last_are_measured_and_the_others_named(data, filled):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, at_most=1, progress=False)
    assert [row.unit for row in board.rows] == ["02_variational_autoencoders"] * 2
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
    bands = {row.name: row.bands for row in board.rows if row.values}
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
    assert not {"img", "iframe", "link", "plain"} & tags.count.keys()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert digest(script) in html.unescape(policy) and policy.startswith("default-src &#39;none&#39;")
    assert 'lang="en"' in text and 'name="viewport"' in text and "://" not in text and "url(" not in text
    assert "Autoencoder &lt;plain&gt;" in text and "04_mmd/evil" in text


def test_every_number_of_the_plane_is_also_in_the_table(data, filled):
    board = scoreboard.collect(data)
    scoreboard.measure(board, data, progress=False)
    text = scoreboard_page.fragment(board)
    for row in board.rows:
        frechet = row.values["frechet"]
        assert re.search(rf'<td data-value="{frechet}">(<strong>)?{re.escape(scoreboard_page.number(frechet))}<', text)
        assert f"Fréchet distance {scoreboard_page.number(frechet)}, distortion" in text
    assert "nan" not in re.sub(r"<style.*?</style>|<script.*?</script>|<[^>]*>", " ", text, flags=re.DOTALL)


def mine(label, mixture=False, bands=None, **values) -> scoreboard.Row:
    usual = {
        "distortion": 90.0,
        "frechet": 50.0,
        "precision": 0.6,
        "recall": 0.3,
        "linear_probe": 0.9,
        "path_detour": 1.3,
    }
    usual |= {"sliced_wasserstein": math.nan if mixture else 0.1, "rate": 20.0, "active_units": 10.0}
    return scoreboard.Row("02_variational_autoencoders", label, "", usual | values, bands or {}, "VAE", mixture)


def board_of(*rows: scoreboard.Row) -> scoreboard.Board:
    perfect = {"distortion": 45.0, "frechet": 0.7, "precision": 0.84}
    return scoreboard.Board("digits", 100, [], {}, list(rows), perfect, {"distortion": 206.0, "frechet": 300.0})


PERFECT_LOOKS = {"precision": 1.0, "sliced_wasserstein": 0.01, "distortion": 1.0, "frechet": 1.0}


@pytest.mark.parametrize(
    "collapsed", [{"rate": 0.02}, {"rate": math.nan, "active_units": 0.0}, {"rate": 0.0, "active_units": 1.0}]
)
def test_a_collapsed_model_wins_nothing_and_is_named_as_such(collapsed):
    board = board_of(mine("honest"), mine("one picture", **PERFECT_LOOKS | {"recall": 0.5} | collapsed))
    found = standings.standings(board)
    assert {standing.column for standing in found} == set(standings.SPOKEN)
    assert all([row.label for row in standing.rows] == ["honest"] for standing in found)
    assert standings.good_at(board, board.rows[1]).startswith("Collapsed")
    assert "<strong>1</strong>" not in scoreboard_page.fragment(board), "its numbers are not marked as the best"


def test_precision_is_not_won_without_recall():
    board = board_of(mine("honest"), mine("a few pictures", precision=1.0, recall=0.004))
    found = {standing.column: standing.best.label for standing in standings.standings(board)}
    assert found["precision"] == "honest"


def test_a_model_competes_once_by_its_better_way_and_directions_are_kept():
    rows = [mine("a", frechet=160.0), mine("a", True, frechet=16.0), mine("b", recall=0.5, distortion=80.0)]
    found = {standing.column: standing for standing in standings.standings(board_of(*rows))}
    assert [row.name for row in found["frechet"].rows] == ["a + mixture", "b"]
    assert found["recall"].best.label == found["distortion"].best.label == "b"
    words = standings.good_at(board_of(*rows), rows[0])
    assert "from 160 to 16" in words and "Best in samples (Fréchet distance 16, from the mixture)" in words
    assert "does not help: it takes its Fréchet distance from 20 to 30" in standings.good_at(
        board_of(mine("c", frechet=20.0), mine("c", True, frechet=30.0)), mine("c", frechet=20.0)
    )
    assert "real images have 0.70" in standings.headline(board_of(*rows)) and "80 nats" in standings.headline(
        board_of(*rows)
    )


def test_who_differs_by_less_than_other_seeds_would_is_level_with_the_best():
    bands = dict.fromkeys(scoreboard.COLUMNS, reference_runs.Band(50.0, 46.0, 54.0))
    rows = [mine("best", bands=bands, frechet=48.0), mine("near", frechet=51.0), mine("far", frechet=60.0)]
    board = board_of(*rows)
    found = {standing.column: standing for standing in standings.standings(board)}["frechet"]
    assert (found.level, found.known) == (2, True)
    words = standings.good_at(board, rows[1])
    assert "Level with the best in" in words and "samples (Fréchet distance 51)" in words
    assert "not told apart from it: near" in scoreboard_page.fragment(board)


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


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.0, 0.0], [0.0, 1e-3, 5e3], [-1.0, 4.0], [7.0]])
def test_places_on_an_axis_keep_the_order_and_stay_inside(values):
    scale = scoreboard_page._Scale(values)
    places = [scale.place(value) for value in sorted(values)]
    assert places == sorted(places) and all(0 <= place <= 100 for place in places)
    assert all(0 <= scale.place(tick) <= 100 for tick in scale.ticks) and len(scale.ticks) < 12


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)")
@pytest.mark.parametrize("width", [390, 1024])
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
    with chromium_without_errors(width=width, height=900) as page:
        page.goto(path.as_uri())
        page.emulate_media(color_scheme="dark" if width == 390 else "light")
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
        smallest = page.evaluate(
            "Math.min(...[...document.querySelectorAll('th, td, small, span, p, li')]"
            ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
        )
        assert smallest >= 10.5, f"text of {smallest} px"
        assert serious_faults(page) == []
        # with the keyboard: a mark says its name, inside the window, and a heading sorts
        for mark in page.locator(".point").all():
            mark.focus()
            box = mark.locator(".name").bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= width, f"a name is cut off: {box}"
        heading = page.locator(".numbers thead button", has_text="distortion")
        read = (
            "[...document.querySelectorAll('.sorted:not(.stored) td:nth-child(2)')].map(e => Number(e.dataset.value))"
        )
        for sign in (1, -1):
            heading.press("Enter")
            found = page.evaluate(read)
            assert found == sorted(found, key=lambda value: sign * value) and len(set(found)) > 1
        page.emulate_media(media="print")
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = false)")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".numbers tbody").last.is_visible(), "what is folded is printed"


def test_open_refuses_in_one_line_what_is_not_there():
    with pytest.raises(CourseError, match="There is no run 'vae'"):
        runs.open("vae", "02_variational_autoencoders")
