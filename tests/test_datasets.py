"""Data sets: what is read, from where, how batches are made, and what damaged files say."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest
import torch
from idx import STEMS, family, idx_bytes, md5, packed, write

from course_utils import datasets
from course_utils.datasets import mnist, places
from course_utils.system.errors import CourseError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of a few MNIST-like images that ``$COURSE_DATA`` points to, and nothing anywhere else."""
    monkeypatch.setattr(mnist, "FILES", tuple((stem, 40 if "train" in stem else 10) for stem, _ in mnist.FILES))
    monkeypatch.setattr(places, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(places, "find_tree", lambda: (_ for _ in ()).throw(CourseError("no course here")))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.delenv("COURSE_DATASET", raising=False)
    return write(tmp_path / "MNIST" / "raw", family())


# --- reading -----------------------------------------------------------------------------------------------------


def test_genuine_mnist_is_read_as_it_is(shared_data, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(shared_data))
    data = datasets.load("mnist", device="cpu")
    assert data.train_images.shape == (60000, 1, 28, 28) and data.test_images.shape == (10000, 1, 28, 28)
    assert data.train_images.dtype == torch.uint8 and data.train_labels.dtype == torch.int64
    # published facts: the first training labels, and mean and spread of the training pixels
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    pixels = data.train_images.float() / 255
    assert abs(pixels.mean().item() - 0.1307) < 1e-4 and abs(pixels.std().item() - 0.3081) < 1e-4
    assert torch.bincount(data.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_genuine_fashion_mnist_names_its_classes(shared_data, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(shared_data))
    data = datasets.load("fashion_mnist", device="cpu", train_limit=100)
    assert data.class_names[data.train_labels[0]] == "Ankle boot"
    assert len(data.train_images) == len(data.train_labels) == 100 and len(data.test_images) == 10000


def test_digits_are_embedded_balanced_and_the_same_every_time():
    first, again = datasets.load("digits", device="cpu"), datasets.load("digits", device="cpu")
    assert first.train_images.shape == (1500, 1, 28, 28) and first.test_images.shape == (297, 1, 28, 28)
    assert first.train_images.dtype == torch.uint8 and first.train_images.max() > 240
    assert torch.equal(first.train_images, again.train_images) and torch.equal(first.test_labels, again.test_labels)
    assert torch.bincount(first.train_labels).min() > 130, "a digit is rare in the training images"
    assert first.train_images[:, :, :3].sum() == 0, "digits stand in a frame of black, as MNIST's do"


def test_unpacked_files_are_read_like_packed_ones(folder):
    packed_data = datasets.load("mnist", device="cpu")
    for stem in STEMS:
        source = folder / f"{stem}.gz"
        (folder / stem).write_bytes(gzip.decompress(source.read_bytes()))
        source.unlink()
    unpacked = datasets.load("mnist", device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(packed_data[:4], unpacked[:4], strict=True))


def test_the_first_folder_with_all_four_files_is_used(folder, tmp_path):
    write(tmp_path / "cache" / "MNIST" / "raw", family())
    assert mnist.find("mnist") == folder
    (folder / f"{STEMS[2]}.gz").unlink()
    assert mnist.find("mnist") == tmp_path / "cache" / "MNIST" / "raw", "the user's cache is searched last"


def test_status_tells_what_is_here_and_how_to_get_the_rest(folder):
    rows = {name: (where, line) for name, where, line in datasets.status()}
    assert rows["mnist"] == (folder, "present")
    assert rows["fashion_mnist"] == (None, "not here; get it with: course data fetch fashion_mnist")
    assert rows["digits"][0] is None and "always there" in rows["digits"][1]


# --- damaged files -----------------------------------------------------------------------------------------------

IMAGES = np.zeros((40, 28, 28), dtype=np.uint8)


def _flipped(whole: bytes) -> bytes:
    return whole[:30] + bytes(255 - byte for byte in whole[30:60]) + whole[60:]


DAMAGES = {
    "not gzip": b"<html>404</html>",
    "empty": b"",
    "half a gzip": packed(idx_bytes(IMAGES + 7))[:60],
    "flipped bits": _flipped(packed(idx_bytes(IMAGES))),
    "wrong magic": packed(b"\x89PNG" + bytes(100)),
    "header only": packed(idx_bytes(IMAGES)[:16]),
    "three bytes": packed(b"\0\0\x08"),
    "absurd header": packed(b"\0\0\x08\xff" + b"\xff" * 80),
    "absurd empty header": packed(b"\0\0\x08\xff" + bytes(1020)),
    "half the images": packed(idx_bytes(IMAGES)[:-5000]),
    "too few images": packed(idx_bytes(IMAGES[:39])),
    "other size": packed(idx_bytes(np.zeros((40, 27, 28), dtype=np.uint8))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_clear_error_that_names_it_and_the_cure(folder, damage):
    path = folder / f"{STEMS[0]}.gz"
    path.write_bytes(DAMAGES[damage])
    with pytest.raises(CourseError) as caught:
        datasets.load("mnist", device="cpu")
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged: "), message
    assert message.endswith("Delete it, then get it again with: course data fetch mnist"), message
    assert "\n" not in message


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_not_present_and_a_whole_copy_beside_it_or_elsewhere_is_used(folder, tmp_path, damage):
    path = folder / f"{STEMS[0]}.gz"
    whole = path.read_bytes()
    wanted = datasets.load("mnist", device="cpu").train_images
    path.write_bytes(DAMAGES[damage])
    (row,) = (row for row in datasets.status() if row[0] == "mnist")
    assert row[1] is None and "is damaged" in row[2] and "present" not in row[2]
    (folder / STEMS[0]).write_bytes(gzip.decompress(whole))
    assert torch.equal(datasets.load("mnist", device="cpu").train_images, wanted), "unpacked, in the same folder"
    (folder / STEMS[0]).write_bytes(DAMAGES[damage])
    write(tmp_path / "cache" / "MNIST" / "raw", family())
    assert torch.equal(datasets.load("mnist", device="cpu").train_images, wanted), "in the user's cache"
    assert mnist.find("mnist") == tmp_path / "cache" / "MNIST" / "raw"


def test_bytes_changed_in_an_unpacked_file_of_the_published_size_are_a_damaged_file(folder, monkeypatch):
    array = np.zeros((40, 28, 28), dtype=np.uint8)
    monkeypatch.setattr(mnist, "COUNTS", (40, 40, 10, 10))
    sums = [zlib.crc32(gzip.decompress((folder / f"{stem}.gz").read_bytes())) for stem in STEMS]
    monkeypatch.setattr(mnist, "CHECKSUMS", {"MNIST": sums, "FashionMNIST": sums})
    datasets.load("mnist", device="cpu")
    (folder / f"{STEMS[0]}.gz").write_bytes(packed(idx_bytes(array)))
    with pytest.raises(CourseError, match="is damaged: its content has the checksum"):
        datasets.load("mnist", device="cpu")


def test_a_damaged_file_makes_way_for_the_download_and_is_kept(folder, monkeypatch):
    path, whole = folder / f"{STEMS[0]}.gz", (folder / f"{STEMS[0]}.gz").read_bytes()
    path.write_bytes(b"half")
    monkeypatch.setattr(
        mnist,
        "_addresses",
        lambda family: (
            ["x:"],
            [(p.name, md5(p.read_bytes() if p != path else whole)) for p in sorted(folder.glob("*.gz"))],
        ),
    )
    monkeypatch.setattr(mnist, "download_file", lambda urls, where, *_, **__: where.write_bytes(whole))
    assert datasets.fetch("mnist", progress=False) == folder
    assert path.read_bytes() == whole and path.with_name(f"{path.name}.damaged").read_bytes() == b"half"


def test_labels_that_are_no_class_are_a_damaged_file(folder):
    labels = np.arange(40, dtype=np.uint8)
    (folder / f"{STEMS[1]}.gz").write_bytes(packed(idx_bytes(labels)))
    with pytest.raises(CourseError, match=r"labels-idx1-ubyte\.gz is damaged: it holds the label 39, expected 0 to 9"):
        datasets.load("mnist", device="cpu")


def test_auto_goes_on_with_digits_when_a_file_is_damaged_and_names_it(folder, capsys):
    (folder / f"{STEMS[0]}.gz").write_bytes(b"")
    data = datasets.load(device="cpu")
    assert len(data.train_images) == 1500
    assert str(folder) in datasets.last_fallback and "is damaged" in datasets.last_fallback
    assert datasets.FALLBACK_MARKER in capsys.readouterr().out


def test_a_file_that_cannot_be_opened_is_one_clear_error(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mnist.gzip, "open", refuse)
    with pytest.raises(CourseError, match=r"\.gz cannot be read \(Permission denied\)"):
        datasets.load("mnist", device="cpu")


# --- names and settings ------------------------------------------------------------------------------------------


def test_an_unknown_name_is_one_clear_error(monkeypatch):
    with pytest.raises(CourseError, match="There is no data set 'cifar'. Known: digits, mnist, fashion_mnist"):
        datasets.load("cifar")
    monkeypatch.setenv("COURSE_DATASET", "imagenet")
    with pytest.raises(CourseError, match="There is no data set 'imagenet'"):
        datasets.load()
    with pytest.raises(CourseError, match="There is no data set '../mnist'"):
        datasets.fetch("../mnist")
    with pytest.raises(CourseError, match="nothing to download"):
        datasets.fetch("digits")


def test_course_data_must_be_a_folder(folder, tmp_path, monkeypatch):
    for wrong in (tmp_path / "nowhere", folder / f"{STEMS[0]}.gz"):
        monkeypatch.setenv("COURSE_DATA", str(wrong))
        with pytest.raises(CourseError, match="COURSE_DATA is .* which is not a folder. Correct it, or unset it."):
            datasets.load("mnist", device="cpu")


def test_a_device_that_is_not_there_is_one_clear_error():
    with pytest.raises(CourseError, match="'cuda:99' cannot be used here"):
        datasets.load("digits", device="cuda:99")


def test_at_least_one_image_is_kept():
    with pytest.raises(ValueError, match="train_limit is 0; expected at least 1"):
        datasets.load("digits", device="cpu", train_limit=0)


# --- batches -----------------------------------------------------------------------------------------------------


def numbered(count: int) -> torch.Tensor:
    return torch.arange(count, dtype=torch.uint8).reshape(count, 1)


def test_an_epoch_holds_every_image_once_in_a_fresh_order():
    """False alarm: two orders of 200 images agree with probability 1 / 200!."""
    generator = torch.Generator().manual_seed(0)
    epochs = [torch.cat(list(datasets.batches(numbered(200), 50, generator))) for _ in range(2)]
    orders = [epoch.mul(255).round().flatten().tolist() for epoch in epochs]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(200))
    assert orders[0] != orders[1]


def test_the_last_smaller_batch_is_dropped_when_shuffled_and_kept_in_order():
    assert [len(x) for x in datasets.batches(numbered(103), 50)] == [50, 50]
    in_order = list(datasets.batches(numbered(103), 50, shuffle=False))
    assert [len(x) for x in in_order] == [50, 50, 3]
    assert torch.cat(in_order).mul(255).round().flatten().tolist() == list(range(103))


def test_fewer_images_than_a_batch_make_one_batch():
    assert [len(x) for x in datasets.batches(numbered(7), 50)] == [7]


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="images is empty"):
        next(datasets.batches(numbered(0), 5))
    with pytest.raises(ValueError, match="batch_size is 0; expected at least 1"):
        next(datasets.batches(numbered(5), 0))


def test_bytes_are_scaled_to_the_float_nearest_to_a_255th():
    values = torch.arange(256, dtype=torch.uint8)
    scaled = datasets.scale(values)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, (values.double() / 255).float())


def test_scaling_leaves_the_resident_images_alone():
    images = numbered(10)
    list(datasets.batches(images, 5))
    assert torch.equal(images, numbered(10))


def test_float_images_are_passed_on_unscaled():
    images = torch.rand(6, 3, dtype=torch.float64)
    (x,) = datasets.batches(images, 6, shuffle=False)
    assert torch.equal(x, images) and x.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.int8, torch.complex64])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="expected uint8 in 0..255, or floats"):
        datasets.scale(torch.zeros(2, 3, dtype=dtype))
