"""One file from the network: goes on where an earlier try stopped, and never leaves half a file under a whole file's
name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from course_utils.system.errors import CourseError

CHUNK = 1 << 18
TRIES = 3  # tries in a row that bring nothing new, after which an address is given up
TIMEOUT_S = 20
WAIT_S, LONGEST_WAIT_S = 1.0, 30.0  # before the next try when the last brought nothing: doubled each time


class _Broken(Exception):
    """The connection ended early; what came so far is kept."""


class _WrongFile(Exception):
    """What came is not the file that was asked for; it was thrown away."""


class _OddAnswer(Exception):
    """The server answers with something else; what came before stays."""


def download_file(
    urls: Sequence[str],
    path: Path,
    md5: str | None,
    *,
    verify: Callable[[Path], object] | None = None,
    least_bytes: int = 0,
    tries: int = TRIES,
    progress: bool = True,
) -> Path:
    """Download ``path`` from the first of ``urls`` that serves it whole and unaltered.

    What has come so far waits in ``<path>.part``; a later call asks the server for the rest only (HTTP Range), and
    starts again where the server cannot do that. ``path`` appears, whole, when its MD5 is ``md5``. A connection that
    breaks is taken up again for as long as each try brings something.

    Args:
        md5: None where none is published; then ``verify(part)`` decides, by raising ``CourseError``.
        least_bytes: an answer shorter than this is not the file, and does not touch what came before.
        tries: give an address up after so many tries in a row that brought nothing.

    Raises:
        CourseError: no address answers, the connection keeps breaking, the file is not the expected one, or the disk
            is full.
    """
    from filelock import FileLock

    part = path.with_name(path.name + ".part")

    def examine() -> None:
        if md5 is not None:
            _verify_md5(part, md5)
        if verify is not None:
            _verify(part, verify)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(path) + ".lock"):  # two kernels that start at once must not write one file
            if path.exists():
                return path
            _fetch_first(urls, part, examine, least_bytes, tries, progress)
            part.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise CourseError(f"The disk is full: {part} is kept. Free some space and run this again.") from None
        raise CourseError(f"{path} cannot be written ({error.strerror or error}).") from None
    with contextlib.suppress(OSError):  # on Windows it stays while another process waits for it
        Path(str(path) + ".lock").unlink()
    return path


def _fetch_first(
    urls: Sequence[str], part: Path, examine: Callable[[], None], least_bytes: int, tries: int, progress: bool
) -> None:
    reasons = []
    for url in urls:
        try:
            return _fetch_patiently(url, part, examine, least_bytes, tries, progress)
        except (_Broken, _WrongFile, _OddAnswer) as error:
            reasons.append(f"{url}: {error}")
    kept = f" {part.stat().st_size:,} bytes are kept for the next try." if part.exists() else ""
    why = "; ".join(reasons)
    raise CourseError(f"Could not download {part.stem} ({why}).{kept} Check the network and run this again.")


def _fetch_patiently(
    url: str, part: Path, examine: Callable[[], None], least_bytes: int, tries: int, progress: bool
) -> None:
    """Try until the file is whole, or until ``tries`` tries in a row bring nothing new."""
    longest = began = _size(part)
    in_vain = 0
    last: _Broken | _WrongFile
    while True:
        resumed = part.exists()
        try:
            _fetch(url, part, least_bytes, progress)
            return examine()
        except _Broken as error:
            last = error
        except _WrongFile as error:
            if not resumed:  # else the part that lay here may be to blame
                raise
            last = error
        except urllib.error.HTTPError as error:
            last = _Broken(f"HTTP {error.code} {error.reason}")
            if error.code < 500 or longest == began:
                raise last from None
        except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
            last = _Broken(str(getattr(error, "reason", error)))
            if longest == began:  # nothing has ever come from here
                raise last from None
        in_vain = 0 if _size(part) > longest else in_vain + 1
        longest = max(longest, _size(part))
        if in_vain >= tries:
            raise last
        if in_vain and isinstance(last, _Broken):
            time.sleep(min(WAIT_S * 2 ** (in_vain - 1), LONGEST_WAIT_S))


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _fetch(url: str, part: Path, least_bytes: int, progress: bool) -> None:
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing after what we have: whole, or longer than the file; examining tells
            return
        raise
    with response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total is not None and total < least_bytes:
            raise _OddAnswer(f"the server offers {total:,} bytes, the file has at least {least_bytes:,}")
        if total and shutil.disk_usage(part.parent).free < total - have:
            raise OSError(errno.ENOSPC, "No space left on device")
        with part.open("ab" if have else "wb") as file:
            _copy(response, file, have, total, part.stem, progress)


def _copy(response, file, have: int, total: int | None, label: str, progress: bool) -> None:
    from tqdm import tqdm

    bar = tqdm(
        total=total,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=label,
        file=sys.stdout,
        leave=False,
        disable=not progress,
    )
    with bar:
        while True:
            try:
                chunk = response.read1(CHUNK)  # what is there: waiting for a whole chunk could lose it
            except (http.client.HTTPException, OSError) as error:
                raise _Broken(f"the connection broke after {file.tell():,} bytes ({error})") from None
            if not chunk:
                break
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and file.tell() < total:
        raise _Broken(f"the connection ended after {file.tell():,} of {total:,} bytes")


def has_md5(path: Path, md5: str) -> bool:
    """Whether the file's MD5 is this one."""
    return _md5(path) == md5


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _verify_md5(part: Path, md5: str) -> None:
    found = _md5(part)
    if found != md5:
        part.unlink()
        raise _WrongFile(f"this is not the expected file (MD5 {found}, expected {md5}), it was thrown away")


def _verify(part: Path, verify: Callable[[Path], object]) -> None:
    try:
        verify(part)
    except CourseError as error:
        part.unlink()
        raise _WrongFile(f"this is not the expected file, it was thrown away: {error}") from None
