"""Photographs decoded once: one array of small pictures on disk, mapped into memory when it is used.

A cache is a folder: ``images.npy``, uint8 (N, 3, S, S), and ``manifest.json``, which says what it was made from. It is
put together beside its place and takes its name when it is whole. An interrupted build goes on where it stopped: each
block of pictures is written down with its checksum.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from course_utils.system.errors import CourseError
from course_utils.system.machine import num_cores

from . import parts
from .decode import FITS, Undecodable, decode
from .source import Source, open_source

VERSION = 1  # goes up when the same photographs would give other pictures
BLOCK = 64
FEW = 2000  # so many are decoded faster than processes start
WORST_SHARE, ALWAYS_FORGIVEN = 0.02, 20  # of damaged photographs


@dataclass(frozen=True)
class Manifest:
    """What a cache holds and what it was made from."""

    version: int
    size: int
    fit: str
    source: str
    source_hash: str  # of names and sizes of all photographs
    names: list[str]  # of the pictures, in their order: <class>/<file>
    skipped: dict[str, str]  # name of a photograph that could not be decoded, and why
    texts: dict[str, str]  # the text files that came with the photographs


def folder_name(size: int, fit: str) -> str:
    return f"{size}_{fit}_v{VERSION}"


def read(folder: Path) -> tuple[np.ndarray, Manifest] | None:
    """The pictures, mapped into memory (private: writing to them changes no file), and their manifest.

    None where there is no cache of this version.

    Raises:
        CourseError: the cache was damaged after it was made.
    """
    try:
        about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        about.pop("images_sha256", None)  # in caches that were made earlier
        manifest = Manifest(**about)
        images = np.load(folder / "images.npy", mmap_mode="c")
    except FileNotFoundError:
        if folder.is_dir():
            raise _damaged(folder, "a file is missing") from None
        return None
    except (ValueError, TypeError, AttributeError, EOFError) as error:
        raise _damaged(folder, str(error)) from None
    except OSError as error:
        raise CourseError(f"{folder} cannot be read ({error.strerror or error}).") from None
    expected = (len(manifest.names), 3, manifest.size, manifest.size)
    if images.shape != expected or images.dtype != np.uint8:
        raise _damaged(folder, f"it holds {images.dtype} {images.shape}, its manifest promises uint8 {expected}")
    return images, manifest


def build(
    source: Source,
    folder: Path,
    texts: dict[str, str],
    *,
    size: int = 64,
    fit: str = "crop",
    progress: bool = True,
    num_processes: int | None = None,
) -> Path:
    """Decode all photographs of ``source`` into ``folder``, unless it holds just that already. Returns ``folder``.

    Photographs that cannot be decoded are left out, and listed in the manifest with the reason.

    Args:
        texts: kept in the manifest, so that the source is no longer needed afterwards.
        num_processes: default one for each core, and none at all for a few hundred photographs.

    Raises:
        CourseError: the disk is full or read-only; too many photographs are damaged. What was decoded is kept.
    """
    if fit not in FITS:
        raise CourseError(f"fit is {fit!r}; expected one of {', '.join(FITS)}.")
    if not 8 <= size <= 512:
        raise CourseError(f"size is {size} pixels; expected 8 to 512 (the course uses 64, and 128 for a closer look).")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not _holds(folder, source):
                _build(source, folder, texts, size, fit, progress, num_processes)
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            raise CourseError(
                f"The disk is full: {_needed(len(source.photos), size) / 1e9:.2f} GB are needed in {folder.parent}. "
                "What is decoded is kept. Free some space and run this again."
            ) from None
        raise CourseError(f"{folder} cannot be written ({error.strerror or error}).") from None
    return folder


def source_hash(source: Source) -> str:
    """Of the names and sizes of all photographs; the same for an archive and for the folder that it unpacks to."""
    listed = "\n".join(f"{photo.name} {photo.num_bytes}" for photo in source.photos)
    return hashlib.blake2b(listed.encode(), digest_size=16).hexdigest()


def decode_block(source: Source, names: list[str], size: int, fit: str) -> tuple[np.ndarray, dict[str, str]]:
    """Pictures (len(names), 3, size, size), black where a photograph is damaged, and the reasons by name."""
    images, skipped = np.zeros((len(names), 3, size, size), np.uint8), {}
    for row, name in enumerate(names):
        try:
            images[row] = decode(source.read(name), size, fit)
        except Undecodable as error:
            skipped[name] = str(error)
        except (OSError, BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            skipped[name] = f"cannot be read: {error}"
    return images, skipped


# --- putting a cache together ------------------------------------------------------------------------------------


def _build(
    source: Source, folder: Path, texts: dict[str, str], size: int, fit: str, progress: bool, num_processes: int | None
) -> None:
    work = folder.with_name(f"{folder.name}.unfinished")
    plan: dict[str, Any] = {"version": VERSION, "size": size, "fit": fit, "source_hash": source_hash(source)}
    _prepare(work, plan)
    names = [photo.name for photo in source.photos]
    if shutil.disk_usage(work).free + _held(work) < _needed(len(names), size):
        raise OSError(errno.ENOSPC, "No space left on device")
    skipped = _decode_all(source, names, work, size, fit, progress, num_processes)
    if len(skipped) > max(ALWAYS_FORGIVEN, WORST_SHARE * len(names)) or len(skipped) == len(names):
        shutil.rmtree(work)
        name, reason = next(iter(skipped.items()))
        raise CourseError(
            f"{len(skipped):,} of {len(names):,} photographs in {source.path} are damaged, such as {name}: {reason}. "
            "So many mean a damaged archive: delete it and get it again."
        )
    kept = _put_in_order(work, names, skipped, size)
    manifest = Manifest(source=str(source.path.resolve()), **plan, names=kept, skipped=skipped, texts=texts)
    _write(work / "manifest.json", json.dumps(asdict(manifest)))
    for scaffold in ("rows.bin", "done.jsonl", "plan.json"):
        (work / scaffold).unlink()
    _replace(work, folder)


def _prepare(work: Path, plan: dict) -> None:
    """An empty place to work in, or the one where an earlier build of just this was interrupted."""
    try:
        begun = json.loads((work / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        begun = None
    if begun != plan:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        _write(work / "plan.json", json.dumps(plan))


def _decode_all(
    source: Source, names: list[str], work: Path, size: int, fit: str, progress: bool, num_processes: int | None
) -> dict[str, str]:
    """Fill ``rows.bin``, in the order of ``names``; returns what was skipped and why."""
    from tqdm import tqdm

    blocks = [names[start : start + BLOCK] for start in range(0, len(names), BLOCK)]
    block_bytes = BLOCK * 3 * size * size
    done = _done_before(work, block_bytes)
    bar = tqdm(
        total=len(names),
        initial=sum(len(blocks[b]) for b in done),
        unit="photo",
        desc="decoding",
        leave=False,
        file=sys.stdout,
        disable=not progress,
    )
    rows_path = work / "rows.bin"
    rows_path.touch()
    with bar, rows_path.open("r+b") as rows, (work / "done.jsonl").open("a", encoding="utf-8") as ledger:
        left = [b for b in range(len(blocks)) if b not in done]
        for b, images, skipped in _decoded(source, blocks, left, size, fit, num_processes):
            content = images.tobytes()
            rows.seek(b * block_bytes)
            rows.write(content)
            rows.flush()  # before the ledger says that it is there
            entry = {"block": b, "num_bytes": len(content), "crc": zlib.crc32(content), "skipped": skipped}
            ledger.write(json.dumps(entry) + "\n")
            ledger.flush()
            done[b] = skipped
            bar.update(len(images))
    return {name: reason for b in sorted(done) for name, reason in done[b].items()}


def _done_before(work: Path, block_bytes: int) -> dict[int, dict[str, str]]:
    """What an interrupted build has finished: block number to what it skipped. Only what can be proved counts."""
    done: dict[int, dict[str, str]] = {}
    with contextlib.suppress(FileNotFoundError), (work / "rows.bin").open("rb") as rows:
        for line in (work / "done.jsonl").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be torn
                entry = json.loads(line)
                rows.seek(entry["block"] * block_bytes)
                if zlib.crc32(rows.read(entry["num_bytes"])) == entry["crc"]:
                    done[entry["block"]] = entry["skipped"]
    return done


def _decoded(
    source: Source, blocks: list[list[str]], left: list[int], size: int, fit: str, num_processes: int | None
) -> Iterator[tuple[int, np.ndarray, dict[str, str]]]:
    """Decode the blocks whose numbers are ``left``, in whatever order they get ready."""
    num_photos = sum(len(blocks[b]) for b in left)
    if num_processes is None:
        num_processes = 0 if num_photos < FEW else num_cores()
    if num_processes == 0:
        for b in left:
            yield b, *decode_block(source, blocks[b], size, fit)
        return
    # spawned, not forked: the caller may have started threads, and other systems know nothing else
    pool = ProcessPoolExecutor(num_processes, get_context("spawn"), _open_in_worker, (str(source.path),))
    try:
        waiting: dict[Future, int] = {}
        queue = iter(left)
        while True:
            for b in queue:
                waiting[pool.submit(_decode_in_worker, blocks[b], size, fit)] = b
                if len(waiting) >= 4 * num_processes:  # so that a slow disk does not fill the memory
                    break
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), *future.result()
    except BrokenProcessPool:
        raise CourseError(
            "A process that decodes photographs ended unexpectedly (out of memory?). What is decoded is kept: close "
            "other programs, then run: course data fetch awa2"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_source: Source | None = None  # of a worker process


def _open_in_worker(path: str) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    global _source
    _source = open_source(Path(path))


def _decode_in_worker(names: list[str], size: int, fit: str) -> tuple[np.ndarray, dict[str, str]]:
    assert _source is not None
    return decode_block(_source, names, size, fit)


def _put_in_order(work: Path, names: list[str], skipped: dict[str, str], size: int) -> list[str]:
    """``rows.bin`` without what was skipped, in the order in which parts are stretches, as ``images.npy``;
    returns the names in that order."""
    shape = (3, size, size)
    rows = np.memmap(work / "rows.bin", np.uint8, "r", shape=(len(names), *shape))
    row_of = {name: row for row, name in enumerate(names)}
    kept = parts.shuffled(name for name in names if name not in skipped)
    with (work / "images.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(kept), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(kept), BLOCK):
            file.write(rows[[row_of[name] for name in kept[start : start + BLOCK]]].tobytes())
        file.flush()
        os.fsync(file.fileno())
    del rows
    return kept


def _replace(work: Path, folder: Path) -> None:
    """``folder`` is now what ``work`` was; an older cache gives way."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else works on this cache; whoever comes second waits, and then finds it whole."""
    from filelock import FileLock, Timeout

    lock = FileLock(str(folder) + ".lock")
    try:
        lock.acquire(timeout=1)
    except Timeout:
        print(f"{folder} is being made by another process: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _holds(folder: Path, source: Source) -> bool:
    try:
        found = read(folder)
    except CourseError:  # damaged: made anew
        return False
    return found is not None and found[1].source_hash == source_hash(source)


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _needed(num_photos: int, size: int) -> int:
    """Bytes of disk while a cache is put together: in the order of the archive, and in its own."""
    return 2 * num_photos * 3 * size * size


def _held(work: Path) -> int:
    return sum(path.stat().st_size for path in work.iterdir())


def _damaged(folder: Path, how: str) -> CourseError:
    return CourseError(f"{folder} is damaged: {how}. Delete that folder, then run: course data fetch awa2")
