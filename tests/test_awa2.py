"""AwA2: fetched from a server on the loopback address or from the user's own files, checked, decoded, split."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import zoo
from file_server import FileServer

from course_utils import datasets
from course_utils.cli import app as cli
from course_utils.datasets import animals, awa2, download, places, toy_animals
from course_utils.datasets.photographs import cache
from course_utils.system.errors import CourseError

TEXTS = {
    f"{zoo.TOP}/{name}": text.encode()
    for name, text in animals.texts(toy_animals.CLASS_NAMES, toy_animals.attributes()).items()
}


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> dict[str, bytes]:
    """The files of a whole data set: 40 classes of 2 photographs."""
    return zoo.files(zoo.make(tmp_path_factory.mktemp("zoo")))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty place for data; the data set that the official site has is one of 80 photographs of 40 classes."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.delenv("COURSE_DATASET", raising=False)
    monkeypatch.setattr(places, "user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(places, "find_tree", lambda: (_ for _ in ()).throw(CourseError("no course here")))
    monkeypatch.setattr(awa2, "NUM_CLASSES", 40)
    monkeypatch.setattr(awa2, "NUM_PHOTOS", 80)
    monkeypatch.setattr(awa2, "DATA_BYTES", 1_000_000)
    monkeypatch.setattr(awa2, "LEAST_BYTES", 50_000)
    monkeypatch.setattr(awa2, "SITE", "http://127.0.0.1:9/")  # nobody answers there
    monkeypatch.setattr(download, "WAIT_S", 0)
    return folder


@pytest.fixture
def site(place, contents, monkeypatch):
    """The official site, with both archives."""
    photographs = {name: content for name, content in contents.items() if name.endswith(".jpg")}
    with FileServer({awa2.BASE: zoo.packed(TEXTS), awa2.DATA: zoo.packed(photographs)}) as server:
        monkeypatch.setattr(awa2, "SITE", server.url)
        yield server


def fetch(**options) -> Path:
    return datasets.fetch("awa2", progress=False, **options)


def unpack(contents: dict[str, bytes], folder: Path) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / zoo.TOP


# --- what it gives -----------------------------------------------------------------------------------------------


def test_the_genuine_text_files_are_read(shared_data):
    folder = shared_data / "AwA2" / "base" / zoo.TOP
    class_names, found = animals.parse({name: (folder / name).read_text() for name in animals.FILES})
    assert len(class_names) == awa2.NUM_CLASSES and class_names[:2] == ("antelope", "grizzly+bear")
    assert found.binary.shape == found.continuous.shape == (50, 85)
    assert len(found.train_classes) == 40 and len(found.test_classes) == 10
    assert sorted(found.train_classes + found.test_classes) == list(range(50))
    value = {name: int(found.binary[class_names.index("zebra"), i]) for i, name in enumerate(found.names)}
    assert (value["stripes"], value["hooves"], value["flippers"], value["ocean"]) == (1, 1, 0, 0)
    assert found.continuous.isnan().sum() == 4, "-1 is written where nobody was asked"
    as_written = found.continuous.nan_to_num(nan=-1)
    assert torch.equal(found.binary, (as_written > as_written.mean()).to(torch.uint8)), "rows or columns are mixed up"
    assert "walrus" not in [class_names[i] for i in found.test_classes]
    assert "seal" in [class_names[i] for i in found.test_classes]


def test_the_standin_photographs_are_read_with_labels_in_the_order_of_classes_txt(shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    folder = fetch(source=shared_data / "AwA2" / "standin", partial=True, size=32)
    found = awa2.pictures(folder)
    counts = torch.bincount(found.labels, minlength=50)
    by_name = {found.class_names[i]: int(count) for i, count in enumerate(counts) if count}
    assert by_name == {
        "antelope": 34,
        "beaver": 46,
        "dalmatian": 67,
        "dolphin": 65,
        "elephant": 64,
        "giant+panda": 38,
        "rhinoceros": 59,
        "persian+cat": 10,
        "siamese+cat": 10,
        "chihuahua": 10,
    }
    dolphins, pandas = (
        found.images[found.labels == found.class_names.index(name)].float().mean((0, 2, 3)) / 255
        for name in ("dolphin", "giant+panda")
    )
    assert dolphins[2] - dolphins[0] > 0.05 > pandas[2] - pandas[0], f"dolphins are bluer: {dolphins}, {pandas}"
    data = datasets.load("awa2", device="cpu", size=32)
    assert data.train_images.shape == (314, 3, 32, 32) and len(data.class_names) == 50
    assert datasets.attributes("awa2").binary.shape == (50, 85)


def test_load_gives_the_parts_that_file_names_decide(site):
    fetch(size=16)
    data = datasets.load("awa2", device="cpu", size=16)
    images, labels = datasets.validation("awa2", device="cpu", size=16)
    drawn = toy_animals.read(32, per_class=zoo.PER_CLASS)
    assert [len(data.train_images), len(images), len(data.test_images)] == [
        s.stop - s.start for s in drawn.part.values()
    ]
    assert torch.equal(torch.cat([data.train_labels, labels, data.test_labels]), drawn.labels), (
        "another order than the toys'"
    )
    assert data.class_names == toy_animals.CLASS_NAMES
    halved = torch.nn.functional.avg_pool2d(drawn.images[drawn.part["train"]].float(), 2)
    difference = (halved - data.train_images.float()).abs().mean()
    assert difference < 2, (
        f"{difference:.2f} grey levels between what was drawn, and drawn, packed, fetched and decoded"
    )
    found = datasets.attributes("awa2")
    assert (
        torch.equal(found.binary, toy_animals.attributes().binary) and found.test_classes == toy_animals.attributes()[4]
    )


def test_so_few_photographs_that_none_is_left_to_train_on_are_told(place, contents, tmp_path):
    test_part = {f"{zoo.TOP}/JPEGImages/{name}" for name in ("eagle/eagle_10002.jpg", "dolphin/dolphin_10001.jpg")}
    few = {name: content for name, content in contents.items() if name.endswith(".txt") or name in test_part}
    (tmp_path / "mine.zip").write_bytes(zoo.packed(few))
    fetch(source=tmp_path / "mine.zip", size=16, partial=True)
    with pytest.raises(CourseError, match="awa2 has 2 pictures here, and none to train on"):
        datasets.load("awa2", device="cpu", size=16)


def test_pictures_are_mapped_and_not_copied(site):
    fetch(size=16)
    found = awa2.read(16)
    train = datasets.load("awa2", device="cpu", size=16).train_images
    assert train.is_contiguous() and found.images.untyped_storage().nbytes() >= found.images.numel()
    assert train.untyped_storage().nbytes() >= found.images.numel(), "the training images are a copy"


# --- fetching ----------------------------------------------------------------------------------------------------


def test_both_archives_are_fetched_and_decoded_once(site, place):
    assert datasets.best_animals(size=16) == "toy_animals"
    folder = fetch(size=16)
    assert folder == place / "AwA2" / "decoded" / cache.folder_name(16, "crop")
    assert [path for path, _ in site.requests] == ["/AwA2-base.zip", "/AwA2-data.zip"]
    assert fetch(size=16) == folder and len(site.requests) == 2, "fetched again"
    fetch(size=16, fit="pad")
    assert len(site.requests) == 2, "another fit is made from the archive that is here"
    assert datasets.best_animals(size=16) == "awa2"
    rows = {name: (where, line) for name, where, line in datasets.status()}
    assert rows["awa2"] == (folder, "decoded to 16x16 (crop), 16x16 (pad)")


def test_after_decoding_the_archives_are_no_longer_needed(site, place):
    fetch(size=16)
    (place / "AwA2" / awa2.DATA).unlink()
    (place / "AwA2" / awa2.BASE).unlink()
    assert len(datasets.load("awa2", device="cpu", size=16).train_images) > 50
    assert datasets.attributes("awa2").binary.shape == (40, 48)
    with pytest.raises(
        CourseError, match=r"AwA2 in size 64, fit 'crop' is not here \(here: size 16, fit 'crop'\)\. Get it"
    ):
        datasets.load("awa2", device="cpu")


def test_a_download_that_breaks_all_the_time_arrives(site, place):
    size = len(site.files[awa2.DATA])
    site.break_after = [10_000, *[size // 20] * 30]
    fetch(size=16)
    assert len(site.requests) > 15
    assert (place / "AwA2" / awa2.DATA).read_bytes() == site.files[awa2.DATA]


def test_a_download_that_stops_is_taken_up_by_the_next_call(site, place):
    site.break_after = [10**6, 40_000, *[0] * 20]
    with pytest.raises(CourseError, match="Could not download AwA2-data.zip .* 40,000 bytes are kept for the next try"):
        fetch(size=16)
    (name, folder, line) = next(row for row in datasets.status() if row[0] == "awa2")
    assert folder is None and "0.0 of about 0 GB are here; go on with: course data fetch awa2" in line
    site.break_after = []
    site.requests.clear()
    fetch(size=16)
    assert site.requests == [("/AwA2-data.zip", "bytes=40000-")]


def test_a_server_that_ignores_range_is_read_from_the_start(site, place):
    (place / "AwA2").mkdir()
    (place / "AwA2" / f"{awa2.DATA}.part").write_bytes(site.files[awa2.DATA][:20_000])
    site.ranges = False
    fetch(size=16)
    assert (place / "AwA2" / awa2.DATA).read_bytes() == site.files[awa2.DATA]


def test_a_missing_file_on_the_site_is_told(site):
    del site.files[awa2.DATA]
    with pytest.raises(CourseError, match=r"Could not download AwA2-data\.zip .*HTTP 404 Not Found"):
        fetch(size=16)


def test_a_page_in_place_of_the_archive_is_told_and_nothing_is_kept(site, place):
    site.files[awa2.BASE] = b"<html>please log in</html>"
    with pytest.raises(CourseError, match=r"AwA2-base\.zip .*thrown away: .*is not a zip archive"):
        fetch(size=16)
    site.files[awa2.BASE] = zoo.packed(TEXTS)
    site.files[awa2.DATA] = b"<html>please log in</html>"
    with pytest.raises(CourseError, match="the server offers 26 bytes, the file has at least 50,000"):
        fetch(size=16)
    assert [path.name for path in (place / "AwA2").iterdir() if "data" in path.name and "lock" not in path.name] == []


def test_too_little_space_is_told_before_the_download(site, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(awa2.shutil, "disk_usage", lambda path: usage._replace(free=500_000_000 // 1000))
    with pytest.raises(
        CourseError, match=r"AwA2 needs 0\.0 GB more in .*, 0\.0 GB are free\. Free some space, or .*COURSE_DATA"
    ):
        fetch(size=16)
    assert site.requests == []


def test_a_site_with_fewer_photographs_is_not_taken_for_whole(site):
    photographs = {f"{zoo.TOP}/JPEGImages/cow/cow_{i}.jpg": b"x" * 30_000 for i in range(2)}
    site.files[awa2.DATA] = zoo.packed(photographs)
    with pytest.raises(CourseError, match=r"39 of 40 classes have no photographs .*2 photographs, expected 80"):
        fetch(size=16)
    assert awa2.find(16) is None


# --- files that are already here ---------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
def test_own_files_are_used_where_they_are(place, contents, tmp_path, packed):
    if packed:
        own = tmp_path / "mine.zip"
        own.write_bytes(zoo.packed(contents))
    else:
        own = unpack(contents, tmp_path / "mine")
    before = sorted(tmp_path.rglob("*.jpg"))
    fetch(source=own, size=16)
    assert len(datasets.load("awa2", device="cpu", size=16).train_images) > 50
    assert sorted(tmp_path.rglob("*.jpg")) == before
    assert len(awa2.read(24).images) == 80, "another size is made from the files that the first was made from"


@pytest.mark.parametrize("form", ["unpacked", "packed"])
def test_photographs_in_the_usual_place_are_found_and_decoded_by_load(place, contents, form):
    if form == "unpacked":
        unpack(contents, place / "AwA2")
    else:
        (place / "AwA2").mkdir()
        (place / "AwA2" / awa2.DATA).write_bytes(zoo.packed(contents))
    assert "photographs are here, not yet decoded" in awa2.status()[1]
    assert datasets.attributes("awa2").binary.shape == (40, 48)
    assert len(awa2.read(16, progress=False).images) == 80


def test_an_archive_without_text_files_gets_them_from_the_small_one(site, contents, tmp_path):
    photographs = {name: content for name, content in contents.items() if name.endswith(".jpg")}
    (tmp_path / "mine.zip").write_bytes(zoo.packed(photographs))
    fetch(source=tmp_path / "mine.zip", size=16)
    assert [path for path, _ in site.requests] == ["/AwA2-base.zip"]


def test_without_text_files_and_network_it_says_what_to_do(place, contents, tmp_path):
    photographs = {name: content for name, content in contents.items() if name.endswith(".jpg")}
    (tmp_path / "mine.zip").write_bytes(zoo.packed(photographs))
    with pytest.raises(
        CourseError, match=r"mine\.zip lacks classes\.txt, .* Or put AwA2-base\.zip from .* beside it by hand"
    ):
        fetch(source=tmp_path / "mine.zip", size=16)


def _without_class(contents):
    return {name: content for name, content in contents.items() if "/polar+bear/" not in name}


def _with_class(contents):
    return contents | {
        f"{zoo.TOP}/JPEGImages/unicorn/unicorn_10001.jpg": contents[f"{zoo.TOP}/JPEGImages/cow/cow_10001.jpg"]
    }


def _with_fewer(contents):
    return {name: content for name, content in contents.items() if not name.endswith("cow_10002.jpg")}


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
@pytest.mark.parametrize(
    ("change", "message", "left"),
    [
        (_without_class, r"1 of 40 classes have no photographs \(polar\+bear\); 78 photographs, expected 80", 78),
        (_with_class, r"unicorn not in classes\.txt", 80),
        (_with_fewer, r"79 photographs, expected 80", 79),
    ],
    ids=["missing class", "extra class", "missing photograph"],
)
def test_what_is_not_whole_is_refused_unless_told(place, contents, tmp_path, change, message, left, packed):
    own = tmp_path / "mine.zip"
    if packed:
        own.write_bytes(zoo.packed(change(contents)))
    else:
        own = unpack(change(contents), tmp_path / "mine")
    with pytest.raises(CourseError, match=f"is not the whole of AwA2: .*{message}.*--partial"):
        fetch(source=own, size=16)
    assert awa2.find(16) is None
    fetch(source=own, size=16, partial=True)
    assert len(awa2.read(16).images) == left


def test_a_folder_of_other_things_is_refused_even_if_told(place, tmp_path):
    unpack(TEXTS | {f"{zoo.TOP}/JPEGImages/holidays/beach.jpg": b"x"}, tmp_path)
    with pytest.raises(CourseError, match=r"holds no photographs JPEGImages/<class>/\*\.jpg"):
        fetch(source=tmp_path, size=16, partial=True)


@pytest.mark.parametrize(
    ("file_name", "change", "message"),
    [
        ("classes.txt", lambda text: text.replace("     2\t", "     3\t", 1), r"classes\.txt is damaged: expected"),
        ("predicates.txt", lambda text: "", r"predicates\.txt is damaged"),
        ("predicate-matrix-binary.txt", lambda text: text.replace("1", "2", 1), "other numbers than 0 and 1"),
        ("predicate-matrix-binary.txt", lambda text: text[:500], r"predicate-matrix-binary\.txt"),
        ("predicate-matrix-continuous.txt", lambda text: text.replace(".", "x", 1), r"continuous\.txt is damaged"),
        ("testclasses.txt", lambda text: text + "unicorn\n", r"testclasses\.txt names unicorn, which"),
    ],
)
def test_damaged_text_files_are_told(file_name, change, message):
    texts = animals.texts(toy_animals.CLASS_NAMES, toy_animals.attributes())
    with pytest.raises(CourseError, match=message):
        animals.parse(texts | {file_name: change(texts[file_name])})


# --- the command -------------------------------------------------------------------------------------------------


def run(*arguments: str) -> int:
    return cli.run(["data", *arguments])


def test_the_command_fetches_reports_and_lists(place, contents, tmp_path, capsys):
    contents = contents | {f"{zoo.TOP}/JPEGImages/cow/cow_10001.jpg": b"a text"}
    (tmp_path / "mine.zip").write_bytes(zoo.packed(contents))
    assert run("fetch", "awa2", "--from", str(tmp_path / "mine.zip"), "--size", "16", "--fit", "pad") == 0
    shown = capsys.readouterr().out
    assert "79 pictures of 40 classes: " in shown and " train, " in shown and " validation, " in shown
    assert (
        "damaged and left out: 1" in shown
        and "cow/cow_10001.jpg: not a picture: its 6 bytes begin with b'a text'" in shown
    )
    assert run("list") == 0
    shown = capsys.readouterr().out
    assert (
        "awa2           decoded to 16x16 (pad) in " in shown and "toy_animals    embedded (drawn by a program" in shown
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch", "awa2", "--from", "no/such/place"), "There is no archive or folder no/such/place"),
        (("fetch", "mnist", "--from", "x"), "--from and --partial are for awa2"),
        (("fetch", "awa2", "--from", "DATA", "--size", "7"), "size is 7 pixels; expected 8 to 512"),
        (("fetch", "awa2", "--from", "DATA", "--fit", "stretch"), "fit is 'stretch'; expected one of crop, pad"),
        (("fetch", "awa2"), "Could not download AwA2-base.zip"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(place, contents, tmp_path, capsys, arguments, message):
    (tmp_path / "mine.zip").write_bytes(zoo.packed(contents))
    assert run(*(str(tmp_path / "mine.zip") if a == "DATA" else a for a in arguments)) == 1
    error = capsys.readouterr().err
    assert message.replace("/", "") in error.replace("/", "").replace("\\", "") and error.count("\n") == 1, error
