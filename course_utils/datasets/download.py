"""One file from the network: goes on where an earlier try stopped, and never leaves half a file under a whole file's
name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Sequence

from course_utils.errors import CourseError

CHUNK = 1 << 18
TRIES = 3  # a connection that breaks is taken up again, this often in a row
TIMEOUT_S = 20


class _Broken(Exception):
    """The connection ended early; what came so far is kept."""


class _WrongFile(Exception):
    """What came is not the file that was asked for; it was thrown away."""


def download_file(urls: Sequence[str], path: Path, md5: str, *, progress: bool = True) -> Path:
    """Download ``path`` from the first of ``urls`` that serves it whole and unaltered.

    What has come so far waits in ``<path>.part``; a later call asks the server for the rest only (HTTP Range), and
    starts again where the server cannot do that. ``path`` appears, whole, when its MD5 is ``md5``.

    Raises:
        CourseError: no address answers, the connection keeps breaking, the checksum differs, or the disk is full.
    """
    from filelock import FileLock

    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(path) + ".lock"):  # two kernels that start at once must not write one file
            if path.exists():
                return path
            _fetch_first(urls, part, md5, progress)
            part.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise CourseError(f"The disk is full: {part} is kept. Free some space and run this again.") from None
        raise CourseError(f"{path} cannot be written ({error.strerror or error}).") from None
    with contextlib.suppress(OSError):  # on Windows it stays while another process waits for it
        Path(str(path) + ".lock").unlink()
    return path


def _fetch_first(urls: Sequence[str], part: Path, md5: str, progress: bool) -> None:
    reasons = []
    for url in urls:
        for _ in range(TRIES):
            resumed = part.exists()
            try:
                _fetch(url, part, progress)
                return _verify(part, md5)
            except _Broken as error:
                reason = f"{url}: {error}"
            except _WrongFile as error:
                reason = f"{url}: {error}"
                if not resumed:  # else the part that lay here may be to blame
                    break
            except urllib.error.HTTPError as error:
                reason = f"{url}: HTTP {error.code} {error.reason}"
                break
            except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
                reason = f"{url}: {getattr(error, 'reason', error)}"
                break
        reasons.append(reason)
    kept = f" {part.stat().st_size:,} bytes are kept for the next try." if part.exists() else ""
    why = "; ".join(reasons)
    raise CourseError(f"Could not download {part.stem} ({why}).{kept} Check the network and run this again.")


def _fetch(url: str, part: Path, progress: bool) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing after what we have: whole, or longer than the file; the MD5 tells
            return
        raise
    with response:
        if response.status != 206:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total and shutil.disk_usage(part.parent).free < total - have:
            raise OSError(errno.ENOSPC, "No space left on device")
        with part.open("ab" if have else "wb") as file:
            _copy(response, file, have, total, part.stem, progress)


def _copy(response, file, have: int, total: int | None, label: str, progress: bool) -> None:
    from tqdm import tqdm

    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=label, file=sys.stdout, leave=False,
               disable=not progress)  # fmt: skip
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


def _verify(part: Path, md5: str) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        part.unlink()
        raise _WrongFile(f"this is not the expected file (MD5 {found}, expected {md5}), it was thrown away")
