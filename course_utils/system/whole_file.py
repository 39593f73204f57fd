"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A place to write to, beside ``path``, that is put there at the end; an error on the way leaves what was there.

    Raises:
        OSError: the folder is missing or cannot be written to.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        scratch.chmod(mode)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write ``text`` as UTF-8, line ends as they are."""
    with whole_file(path, mode) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="")


@contextmanager
def whole_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Write a zip file."""
    with whole_file(archive) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as packed:
        yield packed
