"""A disk that is full after so many bytes of one file."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class _Filling:
    """A file that behaves as the one it stands for until it would grow beyond ``limit`` bytes."""

    def __init__(self, file: Any, limit: int) -> None:
        self._file, self._limit = file, limit

    def __enter__(self) -> _Filling:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: bytes) -> int:
        if self._file.tell() + len(content) > self._limit:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(content)


def fills_up(patch: pytest.MonkeyPatch, limit: int, concerned: Callable[[Path, str], bool]) -> None:
    """From now on files that ``concerned`` (path, mode) cannot grow beyond ``limit`` bytes."""
    real_open = Path.open

    def filling_open(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real_open(path, mode, *args, **kwargs)
        return _Filling(file, limit) if concerned(path, mode) else file

    patch.setattr(Path, "open", filling_open)
