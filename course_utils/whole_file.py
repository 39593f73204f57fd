"""Zip files that appear under their name only when they are whole."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_zip(archive: Path) -> Iterator[zipfile.ZipFile]:
    """Write ``archive`` beside its place and put it there at the end; an error on the way leaves what was there."""
    handle, temporary = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.stem}-")
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
            yield packed
        os.chmod(temporary, 0o644)
        os.replace(temporary, archive)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
