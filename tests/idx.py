"""Small MNIST-like files for tests: the real layout with few images."""

from __future__ import annotations

import gzip
import hashlib
import io
from pathlib import Path

import numpy as np

STEMS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_bytes(array: np.ndarray) -> bytes:
    """``array`` of bytes as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def packed(content: bytes) -> bytes:
    """``content`` gzipped, the same bytes each time."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0) as file:
        file.write(content)
    return stream.getvalue()


def family(num_train: int = 40, num_test: int = 10) -> dict[str, bytes]:
    """The four packed files by name, filled with random images and labels 0..9."""
    rng = np.random.default_rng(0)
    files = {}
    for stem in STEMS:
        count = num_train if stem.startswith("train") else num_test
        shape = (count, 28, 28) if "images" in stem else (count,)
        array = rng.integers(0, 256 if "images" in stem else 10, shape, dtype=np.uint8)
        files[f"{stem}.gz"] = packed(idx_bytes(array))
    return files


def write(folder: Path, files: dict[str, bytes]) -> Path:
    """Write the files into ``folder``, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def md5(content: bytes) -> str:
    """Checksum as torchvision lists it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
