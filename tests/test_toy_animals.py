"""Toy animals: drawn the same everywhere, and from their attributes alone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from course_utils import datasets
from course_utils.datasets import animals, places, toy_animals
from course_utils.datasets.toy import classes as toy_classes
from course_utils.system.errors import CourseError

DRAWN = [name for name in toy_animals.NAMES if name not in toy_animals.NOT_DRAWN]


@pytest.fixture(scope="module")
def continuous() -> np.ndarray:
    return toy_animals.attributes().continuous.numpy()


def with_attribute(values: np.ndarray, name: str, percent: float) -> np.ndarray:
    changed = values.copy()
    changed[:, toy_animals.NAMES.index(name)] = percent
    return changed


def test_the_same_bytes_are_drawn_on_every_machine(continuous):
    digest = hashlib.sha256(toy_animals.draw(continuous, seed=3).numpy().tobytes()).hexdigest()
    assert digest == "745cf40661a096eb1bd3f5c24328096f1e585b6ee601cdd292ac7b6d0ed34847", (
        f"the pictures have changed (SHA-256 {digest}): raise toy_animals.VERSION and correct this test"
    )


def test_a_picture_depends_on_seed_kind_and_number_alone():
    few, many = toy_animals._draw_all(32, 2, 0), toy_animals._draw_all(32, 32, 0)
    many = many.reshape(40, 32, 3, 32, 32)  # 32 are drawn in two goes
    assert np.array_equal(few.reshape(40, 2, 3, 32, 32), many[:, :2])
    other = toy_animals._draw_all(32, 2, 1)
    assert (few != other).mean() > 0.5, "another seed gives much the same pictures"
    assert len({picture.tobytes() for picture in many.reshape(-1, 3, 32, 32)}) == 40 * 32, "two pictures are the same"


@pytest.mark.parametrize("name", toy_animals.NAMES)
def test_what_is_drawn_follows_from_the_attributes_that_are_drawn(name, continuous):
    values = continuous[::3]
    off, on = (toy_animals.draw(with_attribute(values, name, percent), size=32) for percent in (0, 100))
    changed = float((off != on).float().mean())
    if name in toy_animals.NOT_DRAWN:
        assert changed == 0, f"{name} is not drawn, and yet changes {changed:.1%} of all values"
    else:
        assert changed > 0.001, f"{name} is drawn, and yet changes {changed:.3%} of all values"


def test_stripes_change_the_animal_and_not_what_is_around_it(continuous):
    row = toy_animals.CLASS_NAMES.index("elephant")
    values = np.repeat(with_attribute(continuous[row : row + 1], "group", 0), 8, 0)
    difference = (toy_animals.draw(with_attribute(values, "stripes", 100)).int() - toy_animals.draw(values).int()).abs()
    changed = (difference > 8).any(1).float()
    assert 0.02 < changed.mean() < 0.45, f"{changed.mean():.0%} of the picture changed"
    assert changed[:, :6].sum() == 0, "the sky changed"


@pytest.mark.parametrize("name", toy_classes.COLOURS)
def test_an_animal_has_its_colour(name, continuous):
    bare = np.zeros_like(continuous[:10])
    for present in ("fields", "quadrapedal", "big", "bulbous"):
        bare = with_attribute(bare, present, 90)
    animal = toy_animals.draw(with_attribute(bare, name, 90)).float() / 255
    for other in set(toy_classes.COLOURS) - {name}:
        changed = toy_animals.draw(with_attribute(bare, other, 90)).float() / 255
        here = (animal - changed).abs().amax(1) > 0.08
        direction = (torch.tensor(toy_animals.RGB[name]) - torch.tensor(toy_animals.RGB[other])).view(1, 3, 1, 1)
        right = (((animal - changed) * direction).sum(1) > 0)[here].float().mean()
        assert right > 0.95, f"from {other} to {name}, {right:.0%} of the pixels that change do so towards {name}"


def test_larger_pictures_show_the_same_scene(continuous):
    small, large = toy_animals.draw(continuous).float(), toy_animals.draw(continuous, size=128).float()
    halved = torch.nn.functional.avg_pool2d(large, 2)
    same, different = (halved - small).abs().mean(), (halved.roll(1, 0) - small).abs().mean()
    assert same < 0.35 * different, (
        f"mean difference {same:.1f} grey levels, from another animal's picture {different:.1f}"
    )


def test_attributes_are_spread_over_the_kinds():
    found = toy_animals.attributes()
    binary = found.binary
    assert binary.shape == found.continuous.shape == (40, len(found.names))
    assert torch.equal(binary, (found.continuous > found.continuous.mean()).to(torch.uint8)), "AwA2's rule"
    assert len({tuple(row) for row in binary.tolist()}) == 40, "two kinds have the same attributes"
    counts = dict(zip(found.names, binary.sum(0).tolist(), strict=True))
    assert all(2 <= count <= 38 for count in counts.values()), counts
    assert sorted(found.train_classes + found.test_classes) == list(range(40))
    unseen = [n for n, c in zip(found.names, binary[list(found.train_classes)].sum(0).tolist(), strict=True) if c == 0]
    assert not unseen, f"no kind to learn from has {unseen}"
    assert tuple(sorted(toy_animals.CLASS_NAMES)) != toy_animals.CLASS_NAMES, "the order is that of classes.txt"


def test_the_table_names_only_attributes_that_exist():
    words = {word for row in toy_classes._ROWS.values() for word in row}
    assert words == set(toy_animals.NAMES), words ^ set(toy_animals.NAMES)


def test_the_text_files_say_the_same():
    found = toy_animals.attributes()
    class_names, again = animals.parse(animals.texts(toy_animals.CLASS_NAMES, found))
    assert class_names == toy_animals.CLASS_NAMES and again.names == found.names
    assert torch.equal(again.binary, found.binary) and torch.allclose(again.continuous, found.continuous, atol=0.006)
    assert again[3:] == found[3:]


# --- as a data set -----------------------------------------------------------------------------------------------


@pytest.fixture
def few(tmp_path, monkeypatch):
    """Reads two pictures of each kind, kept in a cache of their own; ``few.drawn`` counts how often they were drawn."""
    pictures = toy_animals.draw(np.repeat(toy_animals.attributes().continuous.numpy(), 2, 0), size=32).numpy()

    def draw_all(*_: int) -> np.ndarray:
        read.drawn += 1
        return pictures

    def read() -> torch.Tensor:
        return toy_animals.read(32, per_class=2).images

    read.drawn = 0
    monkeypatch.setattr(places, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(toy_animals, "_draw_all", draw_all)
    return read


def test_they_are_drawn_once_and_then_kept(few, tmp_path):
    first = few()
    (kept,) = (tmp_path / "cache").rglob("*.npy")
    assert torch.equal(few(), first) and few.drawn == 1, f"drawn {few.drawn} times"
    assert [path.name for path in kept.parent.iterdir()] == [kept.name], "something is left beside the cache"


@pytest.mark.parametrize("damage", [b"", b"not an array", None], ids=["empty", "text", "cut short"])
def test_a_damaged_cache_is_drawn_again(few, tmp_path, damage):
    first = few()
    (kept,) = (tmp_path / "cache").rglob("*.npy")
    kept.write_bytes(kept.read_bytes()[:-100] if damage is None else damage)
    assert torch.equal(few(), first) and torch.equal(few(), first)
    assert few.drawn == 2, f"drawn {few.drawn} times, expected once more after the damage"


def test_a_cache_that_cannot_be_written_is_no_error(few, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert few().shape == (80, 3, 32, 32)


def test_load_gives_three_parts_that_share_no_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "user_cache", lambda: tmp_path)
    monkeypatch.setattr(toy_animals, "PER_CLASS", 30)
    monkeypatch.setattr(toy_animals.read, "__kwdefaults__", {"per_class": 30, "seed": 0})
    data = datasets.load("toy_animals", device="cpu", size=32)
    images, labels = datasets.validation("toy_animals", device="cpu", size=32)
    parts = (data.train_images, images, data.test_images)
    assert sum(map(len, parts)) == 1200 and images.shape[1:] == (3, 32, 32) and images.dtype == torch.uint8
    assert len({picture.numpy().tobytes() for part in parts for picture in part}) == 1200, "parts overlap"
    # each picture falls into a tenth with probability 0.1: outside these bounds with probability below 1e-6
    assert 65 < len(images) < 180 and 65 < len(data.test_images) < 180, [len(part) for part in parts]
    assert len(set(data.train_labels[:100].tolist())) > 25, "the first training images are of few kinds: not shuffled"
    assert data.class_names[data.train_labels[0]] in toy_animals.CLASS_NAMES and labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: datasets.load("toy_animals", size=65), "size is 65; toy animals are drawn in 32, 64, 128 pixels"),
        (lambda: datasets.load("toy_animals", fit="pad"), "toy_animals are drawn square"),
        (lambda: datasets.load("digits", size=64), "size and fit are for awa2 and toy_animals; 'digits' comes in"),
        (lambda: datasets.validation("mnist"), "'mnist' has no validation part"),
        (lambda: datasets.attributes("mnist"), "'mnist' has no attributes; awa2 and toy_animals have"),
        (lambda: datasets.fetch("toy_animals"), "toy_animals are drawn by a program: there is nothing to download"),
    ],
)
def test_bad_input_is_told(call, message):
    with pytest.raises(CourseError, match=message):
        call()


def test_attributes_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"continuous is \(2, 85\); expected \(N, 48\)"):
        toy_animals.draw(np.zeros((2, 85)))
