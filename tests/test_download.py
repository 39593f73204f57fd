"""Downloads against a server on the loopback address that breaks in all the usual ways."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from file_server import FileServer
from full_disk import fills_up
from idx import family, md5, write

from course_utils import datasets
from course_utils.datasets import download, mnist, places
from course_utils.datasets.download import download_file
from course_utils.system.errors import CourseError

CONTENT = bytes(range(256)) * 4000  # a megabyte: several chunks
MD5 = md5(CONTENT)


@pytest.fixture
def server():
    with FileServer({"file": CONTENT}) as running:
        yield running


def fetch(server: FileServer, path: Path, **kwargs) -> Path:
    return download_file([server.url + "file"], path, MD5, progress=False, **kwargs)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_arrives_whole_and_leaves_nothing_beside_it(server, tmp_path):
    path = fetch(server, tmp_path / "new" / "folder" / "file")
    assert path.read_bytes() == CONTENT
    assert leftovers(path.parent) == ["file"]


def test_a_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    assert fetch(server, tmp_path / "file").read_bytes() == b"mine"
    assert server.requests == []


def test_resume_asks_for_the_rest_only(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:900_000])
    fetch(server, tmp_path / "file")
    assert server.requests == [("/file", "bytes=900000-")]
    assert server.sent == len(CONTENT) - 900_000, f"the server sent {server.sent} bytes"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_ignores_range_is_read_from_the_start(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT[:900_000])
    fetch(server, tmp_path / "file")
    assert server.sent == len(CONTENT)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_that_is_already_whole_needs_no_more_bytes(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(server, tmp_path / "file")  # the server answers 416
    assert server.sent == 0 and (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("reset", [False, True], ids=["ended early", "connection reset"])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path, reset):
    server.break_after, server.reset = [300_000, 300_000], reset
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [asked is not None for _, asked in server.requests] == [False, True, True]
    assert server.sent <= len(CONTENT) + 2 * 300_000


def test_a_connection_that_breaks_often_is_taken_up_as_long_as_something_comes(server, tmp_path):
    server.break_after = [40_000] * 50
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.requests) == -(-len(CONTENT) // 40_000) and server.sent == len(CONTENT)


def test_a_connection_that_brings_nothing_new_is_given_up_and_what_came_is_kept(server, tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    server.break_after = [300_000] + [0] * 50
    with pytest.raises(
        CourseError,
        match=r"Could not download file .*ended after 300,000 of 1,024,000 bytes.* 300,000 "
        r"bytes are kept for the next try\. Check the network",
    ):
        fetch(server, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    waited = [seconds for seconds in waits if seconds]  # the server sleeps too, for 0 s
    assert waited == [1, 2], f"waited {waited} seconds between three tries in vain"
    server.break_after = []
    fetch(server, tmp_path / "file")
    assert server.requests[-1] == ("/file", "bytes=300000-")


def test_a_server_that_always_starts_again_and_breaks_at_the_same_place_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "WAIT_S", 0)
    server.ranges, server.break_after = False, [300_000] * 50
    with pytest.raises(CourseError, match="ended after 300,000 of 1,024,000 bytes"):
        fetch(server, tmp_path / "file")
    assert len(server.requests) == 1 + download.TRIES


def test_a_server_that_goes_away_after_a_while_is_tried_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "WAIT_S", 0)
    server.break_after, server.busy = [300_000], [False, True, True]
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT and len(server.requests) == 4


def test_a_short_answer_does_not_destroy_what_came(server, tmp_path, monkeypatch):
    """Such as a login page in place of the file, from something between here and there."""
    monkeypatch.setattr(download, "WAIT_S", 0)
    (tmp_path / "file.part").write_bytes(CONTENT[:900_000])
    server.ranges, server.files["file"] = False, b"<html>please log in</html>"
    with pytest.raises(CourseError, match=r"offers 26 bytes, the file has at least 1,000,000.* 900,000 bytes are kept"):
        download_file([server.url + "file"], tmp_path / "file", None, least_bytes=1_000_000, progress=False)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:900_000]


def test_without_a_checksum_the_caller_decides_what_is_the_file(server, tmp_path):
    def begins_with_zero(part: Path) -> None:
        if part.read_bytes()[:1] != b"\0":
            raise CourseError("it does not begin with 0.")

    path = download_file([server.url + "file"], tmp_path / "file", None, verify=begins_with_zero, progress=False)
    assert path.read_bytes() == CONTENT
    server.files["other"] = b"another file"
    with pytest.raises(CourseError, match="not the expected file, it was thrown away: it does not begin with 0"):
        download_file([server.url + "other"], tmp_path / "other", None, verify=begins_with_zero, progress=False)
    assert not {"other", "other.part"} & set(leftovers(tmp_path))


def test_half_a_file_without_a_length_is_caught_by_its_checksum(server, tmp_path):
    server.length, server.break_after = False, [500_000]
    with pytest.raises(CourseError, match="not the expected file"):
        fetch(server, tmp_path / "file")
    assert not (tmp_path / "file").exists() and not (tmp_path / "file.part").exists()


def test_a_wrong_checksum_is_thrown_away_with_a_clear_error(server, tmp_path):
    server.files["file"] = b"<html>please log in to the hotel's network</html>"
    found = md5(server.files["file"])
    with pytest.raises(CourseError, match=f"not the expected file .MD5 {found}, expected {MD5}.*thrown away"):
        fetch(server, tmp_path / "file")
    assert not {"file", "file.part"} & set(leftovers(tmp_path))
    assert len(server.requests) == 1, "the same wrong file was fetched again"


def test_a_stale_part_does_not_spoil_the_download(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_does_not_spoil_the_download(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT + b"more")
    fetch(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def _refused() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/file"


@pytest.mark.parametrize("first", ["missing", "wrong", "refused", "nowhere"])
def test_the_next_mirror_is_tried(server, tmp_path, first):
    server.files["wrong"] = b"something else"
    bad = {"refused": _refused(), "nowhere": "http://no-such-host.invalid/file"}.get(first, server.url + first)
    download_file([bad, server.url + "file"], tmp_path / "file", MD5, progress=False)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_when_every_mirror_fails_each_gets_its_reason(server, tmp_path):
    urls = [server.url + "gone", _refused()]
    with pytest.raises(CourseError) as caught:
        download_file(urls, tmp_path / "file", MD5, progress=False)
    message = str(caught.value)
    assert "HTTP 404 Not Found" in message and "refused" in message.lower() and "Check the network" in message
    assert all(url in message for url in urls) and "\n" not in message


def test_a_server_that_does_not_answer_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.05)
    server.slow_s = 0.4
    with pytest.raises(CourseError, match="timed out"):
        fetch(server, tmp_path / "file")


def test_a_disk_that_is_full_before_the_download_is_told_before_it(server, tmp_path, monkeypatch):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    usage = download.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(CourseError, match=r"The disk is full: .*file\.part is kept\. Free some space"):
        fetch(server, tmp_path / "file")
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1000]


def test_a_disk_that_fills_up_keeps_the_part(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fills_up(patch, 600_000, lambda path, mode: path.suffix == ".part")
        with pytest.raises(CourseError, match="The disk is full"):
            fetch(server, tmp_path / "file")
    kept = (tmp_path / "file.part").stat().st_size
    assert 0 < kept <= 600_000
    fetch(server, tmp_path / "file")
    assert server.requests[-1] == ("/file", f"bytes={kept}-")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_place_that_cannot_be_written_to_is_one_clear_error(server, tmp_path):
    (tmp_path / "folder").write_text("a file, not a folder")
    with pytest.raises(CourseError, match=r"folder.file cannot be written \("):
        fetch(server, tmp_path / "folder" / "file")


def test_two_at_once_download_it_once(server, tmp_path):
    server.slow_s = 0.2
    errors: list[Exception] = []

    def work() -> None:
        try:
            assert fetch(server, tmp_path / "file").read_bytes() == CONTENT
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    assert len(server.requests) == 1, f"{len(server.requests)} downloads of one file"
    assert "file.part" not in leftovers(tmp_path)


@pytest.fixture
def tiny_mnist(monkeypatch):
    """torchvision's MNIST, with few images, on a server of our own."""
    import torchvision

    files = family()
    with FileServer(files) as server:
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.url + "gone/", server.url])
        resources = [(name, md5(content)) for name, content in files.items()]
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        monkeypatch.setattr(mnist, "FILES", tuple((stem, 40 if "train" in stem else 10) for stem, _ in mnist.FILES))
        monkeypatch.delenv("COURSE_DATASET", raising=False)
        monkeypatch.setattr(places, "candidates", lambda: [places.cache_folder()])
        yield server


def test_mnist_is_downloaded_once_and_then_found(tiny_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    data = datasets.load("auto", device="cpu")
    assert datasets.last_fallback is None
    assert data.train_images.shape == (40, 1, 28, 28) and data.test_labels.shape == (10,)
    asked = len(tiny_mnist.requests)
    assert asked == 8, "four files, each first from a mirror that has them not"
    again = datasets.load("mnist", device="cpu")
    assert len(tiny_mnist.requests) == asked and torch.equal(again.train_images, data.train_images)
    assert leftovers(tmp_path / "MNIST" / "raw") == sorted(tiny_mnist.files)


def test_fetch_goes_on_after_the_files_that_are_there(tiny_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    names = sorted(tiny_mnist.files)
    write(tmp_path / "MNIST" / "raw", {name: tiny_mnist.files[name] for name in names[:3]})
    folder = datasets.fetch("mnist", progress=False)
    assert folder == tmp_path / "MNIST" / "raw"
    assert {path for path, _ in tiny_mnist.requests} == {f"/{names[3]}", f"/gone/{names[3]}"}


def test_without_a_network_auto_goes_on_with_digits_and_says_so(tiny_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    tiny_mnist.files.clear()
    data = datasets.load("auto", device="cpu")
    shown = capsys.readouterr().out
    assert len(data.train_images) == 1500
    assert datasets.FALLBACK_MARKER in shown and "HTTP 404" in shown and "1,797 images" in shown
    assert "HTTP 404" in datasets.last_fallback
    monkeypatch.setenv("COURSE_DATASET", "digits")
    datasets.load("auto", device="cpu")
    assert datasets.last_fallback is None and capsys.readouterr().out == ""


def test_the_genuine_files_pass_the_checksums_that_torchvision_lists(shared_data):
    import torchvision

    for dataset in (torchvision.datasets.MNIST, torchvision.datasets.FashionMNIST):
        for filename, expected in dataset.resources:
            assert md5((shared_data / dataset.__name__ / "raw" / filename).read_bytes()) == expected, filename


def test_the_copy_of_addresses_and_checksums_is_torchvisions():
    import torchvision

    for name, (mirrors, sums) in mnist.COPY.items():
        listed = getattr(torchvision.datasets, name)
        assert list(mirrors) == list(listed.mirrors), name
        copied = [(f"{stem}.gz", md5) for (stem, _), md5 in zip(mnist.FILES, sums, strict=True)]
        assert copied == list(listed.resources), name


BROKEN_TORCHVISION = """
import sys
from course_utils import datasets
from course_utils.datasets import mnist

url, *sums = sys.argv[1:]
mnist.FILES = tuple((stem, 40 if "train" in stem else 10) for stem, _ in mnist.FILES)
mnist.COPY["MNIST"] = ((url + "gone/", url), tuple(sums))
try:
    import torchvision
except RuntimeError:
    pass
else:
    raise SystemExit("torchvision can be imported: nothing is tested")
assert len(datasets.load("digits", device="cpu").train_images) == 1500
first = datasets.load("mnist", device="cpu").train_images
assert len(datasets.load("mnist", device="cpu").train_images) == len(first) == 40
"""


def test_without_a_torchvision_that_fits_torch_everything_is_read_and_downloaded(tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "broken" / "torchvision.py").write_text(
        'raise RuntimeError("operator torchvision::nms does not exist")'
    )
    files = family()
    root = Path(__file__).parents[1]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "broken"), str(root)]),
        "COURSE_DATA": str(tmp_path / "data"),
    }
    with FileServer(files) as server:
        sums = [md5(files[f"{stem}.gz"]) for stem, _ in mnist.FILES]
        command = [sys.executable, "-c", BROKEN_TORCHVISION, server.url, *sums]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(server.requests) == 8, "four files, each first from a mirror that has them not, and only once"


def test_progress_is_silent_when_told(server, tmp_path, capsys):
    fetch(server, tmp_path / "file")
    assert capsys.readouterr().out == ""
