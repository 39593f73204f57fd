"""Images of one's own: arrays of every common layout, folders as people have them, and what is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils import datasets
from course_utils.system.errors import CourseError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)


def picture(path, *, mode="L", size=(40, 30), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 10, 20)).save(path)


@pytest.fixture
def shapes(tmp_path):
    """Two classes of 30 grey pictures each."""
    for name, value in (("disc", 50), ("ring", 200)):
        for number in range(30):
            picture(tmp_path / name / f"{number:02}.png", value=value)
    return tmp_path


def test_layouts_and_types_of_arrays_give_the_same_set():
    expected = datasets.from_arrays(PIXELS)
    assert expected.train_images.shape == (36, 1, 28, 28) and expected.test_images.shape == (4, 1, 28, 28)
    assert torch.equal(expected.test_images[0, 0], torch.from_numpy(PIXELS[9]))
    for other in (
        PIXELS[:, None],
        PIXELS[..., None],
        PIXELS / 255,
        (PIXELS / 255).astype("f4"),
        torch.from_numpy(PIXELS),
    ):
        assert torch.equal(datasets.from_arrays(other).train_images, expected.train_images)
    colour = datasets.from_arrays(np.stack([PIXELS] * 3, -1))
    assert colour.train_images.shape == (36, 3, 28, 28)


def test_labels_names_and_parts_of_ones_own():
    labels = np.arange(40) % 3
    data = datasets.from_arrays(PIXELS, labels, class_names=("a", "b", "c"), name="mine")
    assert (
        data.class_names == ("a", "b", "c")
        and data.train_labels.tolist() == np.delete(labels, range(9, 40, 10)).tolist()
    )
    assert datasets.name_of(data.train_images) == "mine"
    whole = datasets.from_arrays(PIXELS[:30], test_images=PIXELS[30:])
    assert len(whole.train_images) == 30 and len(whole.test_images) == 10


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((PIXELS.astype("i4"),), "images are int32; expected uint8"),
        ((PIXELS.astype("f4"),), r"floats in \[0, 255\]; expected \[0, 1\]. Divide"),
        ((PIXELS / 127.5 - 1,), r"floats in \[-1, 1\]"),
        ((np.full((20, 28, 28), np.nan),), "not finite"),
        ((PIXELS[0],), r"\(28, 28\); expected \(N, H, W\)"),
        ((PIXELS.reshape(40, -1),), r"\(40, 784\)"),
        ((PIXELS, np.zeros(3, int)), r"int64 \(3,\); expected a whole number from 0 up for each of 40"),
        ((PIXELS, np.zeros(40)), "float64"),
        ((PIXELS[:5],), "5 images are too few"),
        ((PIXELS // 128,), "uint8 of 0 and 1; expected 0..255. Multiply by 255, or give bool"),
    ],
)
def test_other_arrays_are_refused(given, said):
    with pytest.raises(CourseError, match=said):
        datasets.from_arrays(*given)


def test_a_folder_of_classes_is_split_by_name_and_stays_so(shapes):
    data = datasets.load(f"folder:{shapes}")
    assert data.class_names == ("disc", "ring") and data.train_images.shape[1:] == (1, 28, 28)
    assert len(data.train_images) + len(data.test_images) == 60 and 1 <= len(data.test_images) <= 15
    assert set(data.train_images[data.train_labels == 1].unique().tolist()) == {200}
    assert datasets.name_of(data.train_images) == f"folder:{shapes.name}"
    before = len(data.test_images)
    picture(shapes / "disc" / "new.png", value=51)
    assert len(datasets.load(f"folder:{shapes}").test_images) in (before, before + 1)


def test_parts_colour_size_and_a_folder_without_classes(tmp_path, shapes):
    for part in ("train", "test"):
        for number in range(3):
            picture(tmp_path / "split" / part / "x" / f"{number}.JPG", mode="RGB")
    data = datasets.from_folder(tmp_path / "split")
    assert data.train_images.shape == (3, 3, 64, 64) and len(data.test_images) == 3
    assert datasets.from_folder(tmp_path / "split", grey=True, size=32).train_images.shape == (3, 1, 32, 32)
    flat = datasets.from_folder(shapes / "disc")
    assert flat.class_names == ("disc",) and len(flat.train_images) + len(flat.test_images) == 30
    assert len(datasets.load(f"folder:{shapes}", size=16, train_limit=7).train_images) == 7


def test_deep_pictures_are_brought_to_eight_bits(tmp_path):
    for number in range(2):
        Image.fromarray(np.full((20, 20), 65535, np.uint16)).save(tmp_path / f"{number}.png")
    assert datasets.from_folder(tmp_path).train_images.unique().tolist() == [255]


def test_what_is_transparent_is_white_and_floats_are_brought_to_eight_bits(tmp_path):
    """Black strokes on a transparent ground, which is black, too, where the alpha is dropped."""
    strokes = np.zeros((20, 20, 4), np.uint8)
    strokes[8:12, :, 3] = 255
    for number in range(2):
        Image.fromarray(strokes).save(tmp_path / f"{number}.png")
    found = datasets.from_folder(tmp_path, size=20).train_images[0]
    assert found[:, 0].unique().tolist() == [255] and found[:, 10].unique().tolist() == [0]
    for file in list(tmp_path.glob("*.png")):
        Image.fromarray(np.full((20, 20), 0.5, np.float32)).save(file.with_suffix(".tif"))
        file.unlink()
    assert datasets.from_folder(tmp_path).train_images.unique().tolist() == [128]
    Image.fromarray(np.full((20, 20), -3, np.float32)).save(tmp_path / "0.tif")
    with pytest.raises(CourseError, match="0.tif cannot be read as a picture .its values go from -3 to -3"):
        datasets.from_folder(tmp_path)


def test_hidden_folders_are_no_classes(shapes):
    (shapes / ".thumbnails").mkdir()
    Image.new("L", (9, 9)).save(shapes / ".thumbnails" / "a.png")
    assert ".thumbnails" not in datasets.from_folder(shapes).class_names


def test_folders_that_cannot_be_used_are_refused(tmp_path, shapes):
    with pytest.raises(CourseError, match="is not a folder"):
        datasets.load(f"folder:{tmp_path}/nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CourseError, match="no pictures to train on"):
        datasets.from_folder(tmp_path / "empty")
    (shapes / "disc" / "torn.png").write_bytes(b"\x89PNG torn")
    with pytest.raises(CourseError, match="torn.png cannot be read as a picture"):
        datasets.from_folder(shapes)
    with pytest.raises(CourseError, match="size is 4"):
        datasets.from_folder(shapes, size=4)


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16")])
def test_a_table_of_pixels_with_words_for_labels_and_a_name(tmp_path, monkeypatch, capsys, separator, encoding):
    (tmp_path / "nbgrader_config.py").touch()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    lines = ["label," + ",".join(f"p{i}" for i in range(64))]
    lines += [f"{'ab'[row % 2]}," + ",".join(str((row + i) % 256) for i in range(64)) for row in range(40)]
    (tmp_path / "data" / "mine.csv").write_text("\n".join(lines).replace(",", separator), encoding=encoding)
    data = datasets.load("mine", device="cpu")
    assert data.class_names == ("a", "b") and data.train_images.shape == (36, 1, 8, 8)
    assert data.train_images[1, 0, 0, :3].tolist() == [1, 2, 3] and datasets.name_of(data.train_images) == "mine"
    assert ("mine", tmp_path / "data", "your own") in datasets.status()
    assert datasets.load("mine", size=16, device="cpu").test_images.shape == (4, 1, 16, 16)
    assert "resized from 8x8 to 16x16" in capsys.readouterr().out
    colour = "\n".join(",".join(["7"] * 64 + ["8"] * 64 + ["9"] * 64) for _ in range(10))
    (tmp_path / "colour.csv").write_text(colour)
    parts = datasets.from_csv(tmp_path / "colour.csv", device="cpu")
    assert parts.train_images[0, :, 0, 0].tolist() == [7, 8, 9] and len(parts.class_names) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2,3\n", "3 pixels in a line; expected those of a square"),
        ("", "it is empty"),
        ("0,0,0,0\n" * 12 + "0,0,0\n", "picture 13: expected 4 numbers"),
        ("0,0,0,0\n" * 12 + "0,0,0,256\n", "picture 13: expected 4 numbers in 0..255"),
        ("0,0,0,nan\n" * 12, "picture 1: expected 4 numbers"),
    ],
)
def test_tables_that_hold_no_pictures_are_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(CourseError, match=said):
        datasets.from_csv(tmp_path / "t.csv")


@pytest.mark.parametrize("heads", [True, False])
@pytest.mark.parametrize("numbers", [True, False])
def test_a_table_that_pandas_wrote_of_pixels_from_0_to_1(tmp_path, capsys, heads, numbers):
    lines = [",".join(map(str, range(4)))] * heads + ["0,0.5,1,1"] * 12
    if numbers:
        lines = [f"{'' if heads and not row else row},{line}" for row, line in enumerate(lines)]
        lines[0] = "," + lines[0].partition(",")[2]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = datasets.from_csv(tmp_path / "t.csv", device="cpu")
    assert len(data.train_images) + len(data.test_images) == 12
    assert data.train_images[0].flatten().tolist() == [0, 128, 255, 255]
    assert "pixels from 0 to 1, taken to be in [0, 1]" in capsys.readouterr().out


def test_a_name_that_cannot_be_one_is_told_how_it_can():
    with pytest.raises(CourseError, match="'my pictures' cannot be the name .* use folder:PATH"):
        datasets.load("my pictures")


def test_the_course_names_its_pictures_and_every_notebook_loads_them(tmp_path, shapes, monkeypatch):
    root = tmp_path / "course"
    shutil.copytree(shapes, root / "data" / "shapes")
    (root / "nbgrader_config.py").touch()
    (root / "course.toml").write_text('[dataset]\nname = "shapes"\nsize = 32\ngrey = true\n')
    monkeypatch.chdir(root)
    monkeypatch.delenv("COURSE_DATASET", raising=False)
    data = datasets.load(train_limit=20, device="cpu")
    assert data.train_images.shape == (20, 1, 32, 32) and set(data.train_labels.tolist()) == {0, 1}, "classes are mixed"
    assert datasets.name_of(data.train_images) == "shapes"
    monkeypatch.setenv("COURSE_DATASET", "digits")
    assert len(datasets.load(device="cpu").class_names) == 10
    with pytest.raises(CourseError, match="There is no data set 'flowers'.*data/flowers/ or data/flowers.csv"):
        datasets.load("flowers")


def test_the_card_of_a_set(shapes):
    data = datasets.load(f"folder:{shapes}", device="cpu")
    card = datasets.card(data)
    assert (card.num_train + card.num_test, card.channels, card.size) == (60, 1, (28, 28))
    assert (card.low, card.high) == (50, 200) and card.classes == {"disc": 30, "ring": 30}
    assert card.mean_picture.shape == (1, 28, 28) and 50 < card.mean_picture.mean() < 200
    assert card.checksum == datasets.card(datasets.load(f"folder:{shapes}", device="cpu")).checksum
    changed = data._replace(train_images=data.train_images + 1)
    assert datasets.card(changed).checksum != card.checksum
    assert "2 classes: disc 30, ring 30" in str(card) and "data:image/png;base64," in card._repr_html_()


def test_without_labels_what_needs_them_is_left_out_and_the_rest_is_measured():
    from course_utils import models
    from course_utils.metrics import scorecard
    from course_utils.models import classifier

    data = datasets.from_arrays(np.random.default_rng(1).integers(0, 256, (400, 28, 28), np.uint8), device="cpu")
    model = models.VAE(784, [8], 2)
    card = scorecard.measure(model, data, classifier.train(data, epochs=1))
    assert all(np.isnan(card[name]) for name in ("linear_probe", "nearest_neighbours", "path_detour"))
    assert np.isfinite(card["distortion"]) and np.isfinite(card["rate"])
