"""MNIST (Y. LeCun, C. Cortes) and FashionMNIST (Zalando SE), in the file layout that torchvision uses.

Addresses and checksums are torchvision's, or a copy of them where torchvision does not fit this machine's torch. The
files are read here, compressed or not: torchvision would unpack them into a folder that may be read-only, and importing
it costs more than reading all 70,000 images.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from course_utils.system.errors import CourseError

from . import places
from .download import download_file

FAMILIES = {
    "mnist": ("MNIST", tuple(str(d) for d in range(10))),
    "fashion_mnist": (
        "FashionMNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}
FILES = (
    ("train-images-idx3-ubyte", 60000),
    ("train-labels-idx1-ubyte", 60000),
    ("t10k-images-idx3-ubyte", 10000),
    ("t10k-labels-idx1-ubyte", 10000),
)

COPY = {  # of torchvision's addresses, and of its MD5 in the order of FILES
    "MNIST": (
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    ),
    "FashionMNIST": (
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
}


def find(name: str) -> Path | None:
    """The first folder that holds all four files of ``name``, packed or unpacked; None where there is none."""
    for root in places.candidates():
        folder = root / FAMILIES[name][0] / "raw"
        if all(_file(folder, stem) for stem, _ in FILES):
            return folder
    return None


def read(name: str, folder: Path) -> tuple:
    """The four files in ``folder`` as uint8 images (N, 1, 28, 28) and int64 labels (N,), and the class names."""
    tensors = []
    for stem, count in FILES:
        path = _file(folder, stem)
        if path is None:
            raise CourseError(f"{folder / stem} is missing. Get it with: course data fetch {name}")
        array = read_idx(path)
        expected = (count, 28, 28) if "images" in stem else (count,)
        if array.shape != expected:
            raise _damaged(path, f"it holds an array of shape {array.shape}, expected {expected}")
        if "labels" in stem and array.max() > 9:
            raise _damaged(path, f"it holds the label {array.max()}, expected 0 to 9")
        tensor = torch.from_numpy(array.copy())
        tensors.append(tensor[:, None] if "images" in stem else tensor.long())
    return (*tensors, FAMILIES[name][1])


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of bytes (http://yann.lecun.com/exdb/mnist, "the IDX file format"), gzip-compressed or not."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error}).") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08" or content[3] > 3:
        raise _damaged(path, "it does not begin like an IDX file of images or labels")
    num_dims = content[3]
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(num_dims))
    body = np.frombuffer(content, dtype=np.uint8, offset=min(4 + 4 * num_dims, len(content)))
    if body.size != np.prod(shape, dtype=np.int64):
        raise _damaged(path, f"its header promises {np.prod(shape, dtype=np.int64)} bytes, it holds {body.size}")
    return body.reshape(shape)


def download(name: str, root: Path, *, progress: bool = True) -> Path:
    """Fetch the four packed files of ``name`` below ``root``; each is checked before it takes its name."""
    mirrors, resources = _addresses(FAMILIES[name][0])
    folder = root / FAMILIES[name][0] / "raw"
    for filename, md5 in resources:
        if not (folder / filename).exists():
            download_file([mirror + filename for mirror in mirrors], folder / filename, md5, progress=progress)
    return folder


def _addresses(family: str) -> tuple[Sequence[str], Sequence[tuple[str, str]]]:
    """The folders on the network that hold this family, and its files with their MD5."""
    try:
        from torchvision import datasets

        return getattr(datasets, family).mirrors, getattr(datasets, family).resources
    except Exception:  # built for another torch, its import can raise almost anything
        mirrors, sums = COPY[family]
        return mirrors, [(f"{stem}.gz", md5) for (stem, _), md5 in zip(FILES, sums, strict=True)]


def _file(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def _damaged(path: Path, how: str) -> CourseError:
    again = next((name for name, (family, _) in FAMILIES.items() if family in path.parts), "NAME")
    return CourseError(f"{path} is damaged: {how}. Delete it, then get it again with: course data fetch {again}")
