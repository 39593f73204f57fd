"""Photographs: what is decoded from a JPEG, what a damaged archive says, and a cache that is whole or not there."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import zoo
from full_disk import fills_up
from PIL import Image

from course_utils.datasets.photographs import cache, parts
from course_utils.datasets.photographs.decode import Undecodable, decode
from course_utils.datasets.photographs.source import open_source
from course_utils.system.errors import CourseError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return zoo.make(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="module")
def archive(folder, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "zoo.zip"
    path.write_bytes(zoo.packed(zoo.files(folder)))
    return path


def jpeg(array: np.ndarray, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=98, **options)
    return stream.getvalue()


def area_average(picture: Image.Image, size: int) -> np.ndarray:
    """The central square, each new pixel the exact mean of the area that it covers (3, size, size)."""
    pixels = np.asarray(picture.convert("RGB"), np.float64)
    for axis, length in enumerate(pixels.shape[:2]):
        side = min(picture.size)
        edges = (length - side) / 2 + np.arange(size + 1) * side / size
        whole = np.insert(np.cumsum(pixels, axis), 0, 0, axis)
        low = np.minimum(edges.astype(int), length - 1)
        part = (edges - low).reshape([-1 if k == axis else 1 for k in range(3)])
        at_edges = whole.take(low, axis) * (1 - part) + whole.take(low + 1, axis) * part
        pixels = np.diff(at_edges, axis=axis) * size / side
    return pixels.transpose(2, 0, 1)


# --- decoding ----------------------------------------------------------------------------------------------------


@pytest.fixture
def standin(shared_data) -> list[Path]:
    return sorted((shared_data / "AwA2" / "standin").rglob("*.jpg"))


@pytest.fixture
def difficult(shared_data) -> Path:
    return shared_data / "AwA2" / "loader-edge-cases"


def test_pictures_are_averages_and_differ_from_the_full_quality_ones_by_less_than_2_grey_levels(standin, difficult):
    large = difficult / "african_elephants.jpg"
    for paths, size in ((standin[::12], 64), ([large], 64), ([large], 128)):
        against_box, against_area = [], []
        for path in paths:
            found = decode(path.read_bytes(), size).astype(float)
            with Image.open(path) as picture:
                side = min(picture.size)
                left, top = (picture.width - side) / 2, (picture.height - side) / 2
                box = (left, top, left + side, top + side)
                full = picture.convert("RGB").resize((size, size), Image.Resampling.BOX, box=box)
                against_box.append(np.abs(found - np.asarray(full).transpose(2, 0, 1)).mean())
                against_area.append(np.abs(found - area_average(picture, size)).mean())
        for what, errors in (("a box filter", against_box), ("the mean over each area", against_area)):
            assert np.mean(errors) < 2.0, f"{size} pixels: {np.mean(errors):.2f} grey levels from {what}, on average"
        assert max(against_box) < 4.0, f"{size} pixels: one picture is {max(against_box):.2f} grey levels off"


def test_fine_stripes_become_grey_and_not_coarse_stripes():
    stripes = np.zeros((600, 600, 3), np.uint8)
    stripes[:, ::2] = 255
    found = decode(jpeg(stripes), 64)
    left = 127.5 / 9  # of the contrast: a window of 9 pixels holds 5 of one colour and 4 of the other
    assert abs(found.mean() - 127.5) < 3 and found.std() <= left + 1, (
        f"mean {found.mean():.0f}, spread {found.std():.1f}"
    )


def test_crop_keeps_the_central_square_and_pad_the_whole_picture():
    wide = np.full((200, 400, 3), 200, np.uint8)
    wide[:, :90], wide[:, -90:] = (250, 0, 0), (0, 0, 250)
    cropped, padded = decode(jpeg(wide), 40, "crop"), decode(jpeg(wide), 40, "pad")
    assert cropped.shape == padded.shape == (3, 40, 40) and cropped.dtype == np.uint8
    assert np.abs(cropped.astype(int) - 200).max() < 12, "the sides of the picture are in the central square"
    assert padded[:, :10].max() == padded[:, 30:].max() == 0, "above and below is no black"
    middle = padded[:, 20].astype(int)
    assert middle[0, 2] > 230 > 20 > middle[2, 2] and middle[2, 37] > 230 > 20 > middle[0, 37], middle[:, [2, 37]]
    assert np.abs(middle[:, 12:28] - 200).max() < 12


def test_a_small_picture_is_enlarged():
    found = decode(jpeg(np.full((10, 14, 3), 90, np.uint8)), 64)
    assert found.shape == (3, 64, 64) and np.abs(found.astype(int) - 90).max() < 4


def test_grey_and_cmyk_pictures_look_like_the_coloured_one(difficult):
    colour = decode((difficult / "african_elephants.jpg").read_bytes(), 64).astype(float)
    grey = decode((difficult / "african_elephants_bw.jpg").read_bytes(), 64).astype(float)
    assert (grey[0] == grey[1]).all() and (grey[1] == grey[2]).all(), "a grey picture has colours"
    luma = np.tensordot([0.299, 0.587, 0.114], colour, 1)
    assert np.abs(grey[0] - luma).mean() < 3, f"{np.abs(grey[0] - luma).mean():.1f} grey levels from the coloured one"
    cmyk = decode((difficult / "african_elephants_cmyk.jpg").read_bytes(), 64).astype(float)
    distance, negative = np.abs(cmyk - colour).mean(), np.abs(255 - cmyk - colour).mean()
    assert distance < 25 < negative, (
        f"CMYK: {distance:.1f} grey levels from the RGB picture, its negative {negative:.1f}"
    )


def test_a_picture_that_is_rotated_by_its_exif_stands_upright(difficult):
    upright = decode((difficult / "african_elephants.jpg").read_bytes(), 64).astype(float)
    rotated = decode((difficult / "african_elephants_with_exif_orientation.jpg").read_bytes(), 64).astype(float)
    errors = {turns: np.abs(np.rot90(rotated, turns, (1, 2)) - upright).mean() for turns in range(4)}
    assert errors[0] == min(errors.values()) and errors[0] < 12, f"grey levels by quarter turns: {errors}"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation):
    picture = np.zeros((60, 90, 3), np.uint8)
    picture[:30, :45], picture[:30, 45:], picture[30:, :45] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = jpeg(np.ascontiguousarray(undo[orientation](picture)), exif=exif)
    found, wanted = decode(stored, 32, "pad").astype(int), decode(jpeg(picture), 32, "pad").astype(int)
    assert np.abs(found - wanted).mean() < 4, (
        f"orientation {orientation}: {np.abs(found - wanted).mean():.0f} grey levels"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is a text", r"not a picture: its 14 bytes begin with b'this is a te'"),
        (b"", "not a picture: its 0 bytes"),
    ],
)
def test_what_is_no_picture_says_what_it_is(content, message):
    with pytest.raises(Undecodable, match=message):
        decode(content, 64)


def test_a_picture_that_is_cut_short_is_refused(difficult):
    with pytest.raises(Undecodable, match="truncated"):
        decode((difficult / "african_elephants_truncated_file.jpg").read_bytes(), 64)


# --- archives and folders ----------------------------------------------------------------------------------------


def test_an_archive_and_the_folder_it_unpacks_to_are_the_same_source(folder, archive):
    packed = open_source(archive)
    for path in (folder, folder.parent, folder / "JPEGImages"):
        unpacked = open_source(path)
        assert unpacked.photos == packed.photos and len(packed.photos) == 80
        assert unpacked.text("classes.txt") == packed.text("classes.txt") != None  # noqa: E711
        assert unpacked.read("polar+bear/polar+bear_10002.jpg") == packed.read("polar+bear/polar+bear_10002.jpg")
        assert cache.source_hash(unpacked) == cache.source_hash(packed)
    assert packed.text("no such file") is None and len(packed.folders) == 40


def test_what_other_programs_add_to_an_archive_is_left_out(folder, tmp_path):
    contents = {name.removeprefix(f"{zoo.TOP}/"): content for name, content in zoo.files(folder).items()}
    for name in (
        "__MACOSX/JPEGImages/cow/._cow_10001.jpg",
        "JPEGImages/.DS_Store",
        "JPEGImages/cow/notes.txt",
        "JPEGImages/cow/.hidden.jpg",
    ):
        contents[name] = b"x"
    (tmp_path / "zoo.zip").write_bytes(zoo.packed(contents))
    source = open_source(tmp_path / "zoo.zip")
    assert len(source.photos) == 80 and len(source.folders) == 40
    assert "cow" in source.text("classes.txt")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_an_archive_cut_short_says_so(archive, tmp_path, share):
    content = archive.read_bytes()
    (tmp_path / "AwA2-data.zip").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CourseError, match=r"AwA2-data\.zip is cut short.* get it again with: course data fetch awa2"):
        open_source(tmp_path / "AwA2-data.zip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>log in</html>", r"is not a zip archive: its 19 bytes begin with b'<html>log in</ht'"),
        (b"", "its 0 bytes begin with b'', which is an empty file"),
        (b"Rar!\x1a\x07\x01\x00", "which is a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "which is a 7-Zip archive"),
        (b"\x1f\x8b\x08", "which is a gzip file"),
        (b"BZh9", "which is a bzip2 file"),
        (b"\xfd7zXZ\x00", "which is an xz file"),
        (b"\x28\xb5\x2f\xfd", "which is a zstandard file"),
        (bytes(257).replace(b"\0", b"n") + b"ustar", "which is a tar archive"),
        (bytes(600), "which is nothing but zeros"),
        (b"\n<!DOCTYPE html>", "which is a web page"),
        (b'{"error": 404}', "which is JSON"),
    ],
)
def test_another_file_says_what_it_is(tmp_path, content, message):
    (tmp_path / "AwA2-data.zip").write_bytes(content)
    with pytest.raises(CourseError, match=message):
        open_source(tmp_path / "AwA2-data.zip")


def test_nothing_there_and_a_folder_without_photographs_say_so(tmp_path):
    with pytest.raises(CourseError, match="There is no archive or folder .*absent"):
        open_source(tmp_path / "absent")
    with pytest.raises(CourseError, match="holds no folder JPEGImages"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../../outside.jpg",
        "/etc/outside",
        f"{zoo.TOP}/JPEGImages/../../../x/x.jpg",
        "C:\\outside.jpg",
        "\\\\server\\share",
        "a\\..\\b",
    ],
)
def test_a_name_that_leads_outside_is_refused(tmp_path, name):
    (tmp_path / "evil.zip").write_bytes(zoo.packed({f"{zoo.TOP}/JPEGImages/cow/cow_10001.jpg": b"x", name: b"x"}))
    with pytest.raises(CourseError, match="leads outside"):
        open_source(tmp_path / "evil.zip")


# --- parts -------------------------------------------------------------------------------------------------------


def test_a_photograph_is_always_in_the_same_part():
    known = {"zebra/zebra_10001.jpg": 0.458447103665, "polar+bear/polar+bear_10872.jpg": 0.171128728755}
    for name, place in known.items():
        assert parts.place(name) == pytest.approx(place, abs=1e-9), "the split has changed: every result would too"


def test_parts_cover_everything_once_and_have_their_shares():
    names = parts.shuffled(f"{kind}/{kind}_{10001 + i}.jpg" for kind in ("cow", "zebra") for i in range(5000))
    stretches = [parts.stretch(names, part) for part in ("train", "validation", "test")]
    assert [s.start for s in stretches] + [10000] == [0] + [s.stop for s in stretches]
    for part, stretch in zip(("train", "validation", "test"), stretches, strict=True):
        low, high = parts.PARTS[part]
        count, spread = stretch.stop - stretch.start, (10000 * (high - low) * (1 - high + low)) ** 0.5
        assert abs(count - 10000 * (high - low)) < 6 * spread, f"{part}: {count}"
    assert 350 < sum(name.startswith("cow") for name in names[:1000]) < 650, "not shuffled"
    few = names[::7]
    assert set(few[parts.stretch(few, "test")]) <= set(names[stretches[2]]), "other photographs changed a part"


# --- the cache ---------------------------------------------------------------------------------------------------


def build(path: Path, target: Path, **options) -> Path:
    return cache.build(open_source(path), target, {}, size=16, progress=False, **options)


def test_a_cache_holds_every_picture_in_the_order_of_the_parts(archive, tmp_path):
    images, manifest = cache.read(build(archive, tmp_path / "made"))
    source = open_source(archive)
    assert images.shape == (80, 3, 16, 16) and manifest.names == parts.shuffled(photo.name for photo in source.photos)
    for row in (0, 41, 79):
        assert np.array_equal(images[row], decode(source.read(manifest.names[row]), 16)), manifest.names[row]
    assert manifest.skipped == {} and manifest.source == str(archive)
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == ["images.npy", "manifest.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made", "made.lock"]


def test_processes_and_one_process_make_the_same_cache(archive, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 16)
    alone, together = (
        build(archive, tmp_path / "alone", num_processes=0),
        build(folder, tmp_path / "two", num_processes=2),
    )
    assert (alone / "images.npy").read_bytes() == (together / "images.npy").read_bytes()


def test_writing_to_the_pictures_changes_no_file(archive, tmp_path):
    target = build(archive, tmp_path / "made")
    before = (target / "images.npy").read_bytes()
    images, _ = cache.read(target)
    images[:] = 0
    del images
    assert (target / "images.npy").read_bytes() == before


def test_damaged_photographs_are_left_out_and_listed(folder, tmp_path):
    contents = zoo.files(folder)
    text, short = "cow/cow_10001.jpg", "polar+bear/polar+bear_10002.jpg"
    contents[f"{zoo.TOP}/JPEGImages/{text}"] = b"this is a text"
    contents[f"{zoo.TOP}/JPEGImages/{short}"] = contents[f"{zoo.TOP}/JPEGImages/{short}"][:-300]
    packed = bytearray(zoo.packed(contents))
    flipped = "zebra/zebra_10001.jpg"  # bytes that changed on the way: the archive's checksum tells
    position = packed.index(contents[f"{zoo.TOP}/JPEGImages/{flipped}"])
    packed[position + 200] ^= 0xFF
    (tmp_path / "zoo.zip").write_bytes(packed)
    images, manifest = cache.read(build(tmp_path / "zoo.zip", tmp_path / "made"))
    assert set(manifest.skipped) == {text, short, flipped}, manifest.skipped
    assert "not a picture" in manifest.skipped[text] and "truncated" in manifest.skipped[short]
    assert "Bad CRC-32" in manifest.skipped[flipped]
    assert len(images) == len(manifest.names) == 77 and not set(manifest.names) & set(manifest.skipped)
    good = open_source(folder)
    assert all(
        np.array_equal(image, decode(good.read(name), 16)) for image, name in zip(images, manifest.names, strict=True)
    )


def test_so_many_damaged_photographs_are_a_damaged_archive(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "ALWAYS_FORGIVEN", 3)
    contents = {
        name: content[:40] if "/co" in name or "/c" in name else content for name, content in zoo.files(folder).items()
    }
    contents |= {name: c for name, c in zoo.files(folder).items() if name.endswith(".txt")}
    (tmp_path / "zoo.zip").write_bytes(zoo.packed(contents))
    with pytest.raises(CourseError, match=r"\d+ of 80 photographs in .*zoo\.zip are damaged, such as .*: .*delete it"):
        build(tmp_path / "zoo.zip", tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("made")] == ["made.lock"]


def interrupted(monkeypatch, archive: Path, target: Path, after: int) -> None:
    """A build that is stopped after so many blocks of 16."""
    monkeypatch.setattr(cache, "BLOCK", 16)
    real, count = cache.decode_block, iter(range(100))

    def stopping(*arguments):
        if next(count) == after:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode_block", stopping)
        with pytest.raises(KeyboardInterrupt):
            build(archive, target)


def test_an_interrupted_build_is_no_cache_and_goes_on_where_it_stopped(archive, tmp_path, monkeypatch):
    interrupted(monkeypatch, archive, tmp_path / "made", after=3)
    assert cache.read(tmp_path / "made") is None
    decoded: list[str] = []
    real = cache.decode_block
    monkeypatch.setattr(
        cache, "decode_block", lambda s, names, *rest: (decoded.extend(names), real(s, names, *rest))[1]
    )
    again = build(archive, tmp_path / "made")
    assert len(decoded) == 32, f"{len(decoded)} photographs were decoded again, 32 were left"
    whole = build(archive, tmp_path / "whole")
    assert (again / "images.npy").read_bytes() == (whole / "images.npy").read_bytes()


@pytest.mark.parametrize("damage", ["rows", "ledger", "plan"])
def test_what_an_interrupted_build_left_is_believed_only_where_it_is_proved(archive, tmp_path, monkeypatch, damage):
    interrupted(monkeypatch, archive, tmp_path / "made", after=3)
    work = tmp_path / "made.unfinished"
    if damage == "rows":  # the machine went down before the disk had everything
        content = bytearray((work / "rows.bin").read_bytes())
        content[1000:5000] = bytes(4000)
        (work / "rows.bin").write_bytes(content)
    elif damage == "ledger":
        (work / "done.jsonl").write_text((work / "done.jsonl").read_text()[:-20])
    else:
        (work / "plan.json").write_text((work / "plan.json").read_text().replace('"crop"', '"pad"'))
    images = build(archive, tmp_path / "made") / "images.npy"
    assert images.read_bytes() == (build(archive, tmp_path / "whole") / "images.npy").read_bytes()


def test_a_disk_that_fills_up_half_way_is_told_and_what_is_decoded_is_kept(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "BLOCK", 16)
    with monkeypatch.context() as patch:
        fills_up(patch, 40_000, lambda path, mode: path.name == "rows.bin" and "+" in mode)
        with pytest.raises(CourseError, match=r"The disk is full: 0\.00 GB are needed in .*What is decoded is kept"):
            build(archive, tmp_path / "made")
    assert cache.read(tmp_path / "made") is None
    ledger = (tmp_path / "made.unfinished" / "done.jsonl").read_text().splitlines()
    assert len(ledger) == 3, f"{len(ledger)} blocks of 12,288 bytes are noted on a disk of 40,000"
    assert len(cache.read(build(archive, tmp_path / "made"))[0]) == 80


def test_too_little_space_is_told_before_anything_is_decoded(archive, tmp_path, monkeypatch):
    usage = cache.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    monkeypatch.setattr(cache, "decode_block", lambda *_: pytest.fail("decoded"))
    with pytest.raises(CourseError, match="The disk is full"):
        build(archive, tmp_path / "made")


def test_a_place_that_cannot_be_written_to_is_one_clear_error(archive, tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(CourseError, match=r"file.made cannot be written \("):
        build(archive, tmp_path / "file" / "made")


def test_a_read_only_folder_is_one_clear_error(archive, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.access(tmp_path / "locked", os.W_OK):  # the superuser may write everywhere: refuse in the system's name

        def refuse(path, *_: object, **__: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CourseError, match=r"locked.made cannot be written \(Permission denied\)"):
        build(archive, tmp_path / "locked" / "made")


def test_two_builds_at_once_make_it_once(archive, tmp_path, monkeypatch, capsys):
    real, blocks, errors = cache.decode_block, [], []

    def slow(*arguments):
        blocks.append(1)
        threading.Event().wait(1.3)
        return real(*arguments)

    monkeypatch.setattr(cache, "decode_block", slow)

    def work() -> None:
        try:
            assert len(cache.read(build(archive, tmp_path / "made"))[0]) == 80
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(blocks) == 2, f"{len(blocks)} blocks were decoded, 2 make up the data"
    assert "is being made by another process: waiting for it" in capsys.readouterr().out


def test_a_build_that_is_killed_does_not_stop_the_next(archive, tmp_path):
    """The lock goes with the process that held it."""
    code = (
        "import os; from pathlib import Path; from course_utils.datasets.photographs import cache, source\n"
        "cache.decode_block = lambda *_: os._exit(9)\n"
        f"cache.build(source.open_source(Path({str(archive)!r})), Path({str(tmp_path / 'made')!r}), {{}}, size=16)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 9
    assert cache.read(tmp_path / "made") is None
    assert len(cache.read(build(archive, tmp_path / "made"))[0]) == 80


def test_the_same_photographs_are_not_decoded_again_and_others_are(archive, folder, tmp_path, monkeypatch):
    target = build(archive, tmp_path / "made")
    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode_block", lambda *_: pytest.fail("decoded again"))
        build(folder, target)
    contents = {name: content for name, content in zoo.files(folder).items() if "/cow_" not in name}
    (tmp_path / "fewer.zip").write_bytes(zoo.packed(contents))
    assert len(cache.read(build(tmp_path / "fewer.zip", target))[0]) == 78
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fewer.zip", "made", "made.lock"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "images.npy").unlink(), "a file is missing"),
        (lambda f: (f / "manifest.json").write_text("{"), "Expecting"),
        (lambda f: (f / "manifest.json").write_text("{}"), "missing"),
        (lambda f: (f / "images.npy").write_bytes((f / "images.npy").read_bytes()[:-5000]), "greater than file size"),
        (
            lambda f: np.save(f / "images.npy", np.zeros((80, 3, 8, 8), np.uint8)),
            r"it holds uint8 \(80, 3, 8, 8\), its",
        ),
    ],
)
def test_a_cache_that_was_damaged_later_is_refused_and_can_be_made_again(archive, tmp_path, damage, message):
    target = build(archive, tmp_path / "made")
    damage(target)
    with pytest.raises(CourseError, match=f"made is damaged: .*{message}.*Delete that folder, then run"):
        cache.read(target)
    assert len(cache.read(build(archive, target))[0]) == 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 4}, "size is 4 pixels; expected 8 to 512"),
        ({"fit": "squash"}, "fit is 'squash'; expected one of crop"),
    ],
)
def test_settings_that_make_no_sense_are_told(archive, tmp_path, options, message):
    with pytest.raises(CourseError, match=message):
        cache.build(open_source(archive), tmp_path / "made", {}, **options)


def test_decoding_needs_no_torch():
    module = "course_utils.datasets.photographs.cache"
    code = f"import sys; import {module}; print('torch' in sys.modules, 'PIL' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["False", "False"], f"torch, PIL imported: {found}"
