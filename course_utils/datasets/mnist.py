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
from .download import download_file, has_md5
from .kinds import kind_of

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

CHECKSUMS = {  # CRC-32 of each file's content, unpacked, in the order of FILES
    "MNIST": (0xE9F4D8B3, 0xE0CB4AD2, 0x91373BDF, 0x4AB9EFF9),
    "FashionMNIST": (0xB4F29F28, 0x741A4657, 0x678FE0B1, 0x80142C1F),
}
COUNTS = (60000, 60000, 10000, 10000)  # of the published files; CHECKSUMS are theirs

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
    """The first folder that holds all four files of ``name`` undamaged, packed or unpacked; None where there is none.

    Each file is read, which takes half a second for all four.
    """
    for folder in _folders(name):
        try:
            read(name, folder)
        except CourseError:
            continue
        return folder
    return None


def read_first(name: str) -> tuple | None:
    """What ``read`` gives of the first folder whose files are whole; None where no folder has all four.

    Raises:
        CourseError: a file is damaged, and no other copy of it is whole.
    """
    damage = None
    for folder in _folders(name):
        try:
            return read(name, folder)
        except CourseError as error:
            damage = damage or error
    if damage is not None:
        raise damage
    return None


def damaged(name: str) -> CourseError | None:
    """What is wrong with the files that are here, where none are whole; None where they are whole, or not here."""
    try:
        read_first(name)
    except CourseError as error:
        return error
    return None


def read(name: str, folder: Path) -> tuple:
    """The four files in ``folder`` as uint8 images (N, 1, 28, 28) and int64 labels (N,), and the class names.

    Of a file that is there packed and unpacked, the copy that is whole counts.
    """
    family = FAMILIES[name][0]
    tensors = []
    for number, (stem, count) in enumerate(FILES):
        expected = (count, 28, 28) if "images" in stem else (count,)
        checksum = CHECKSUMS[family][number] if count == COUNTS[number] else None
        array, damage = None, None
        for path in _copies(folder, stem):
            try:
                array = _whole(path, expected, checksum)
                break
            except CourseError as error:
                damage = damage or error
        if array is None:
            raise damage or CourseError(f"{folder / stem} is missing. Get it with: course data fetch {name}")
        tensor = torch.from_numpy(array.copy())
        tensors.append(tensor[:, None] if "images" in stem else tensor.long())
    return (*tensors, FAMILIES[name][1])


def _whole(path: Path, expected: tuple[int, ...], checksum: int | None) -> np.ndarray:
    """The array in one file; CourseError where it is not what was published."""
    array = read_idx(path)
    if array.shape != expected:
        raise _damaged(path, f"it holds an array of shape {array.shape}, expected {expected}")
    if len(expected) == 1 and array.max() > 9:
        raise _damaged(path, f"it holds the label {array.max()}, expected 0 to 9")
    if checksum is not None:
        header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in expected)
        found = zlib.crc32(array.data, zlib.crc32(header))
        if found != checksum:
            raise _damaged(
                path, f"its content has the checksum {found:08x}, that of the published file is {checksum:08x}"
            )
    return array


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of bytes (http://yann.lecun.com/exdb/mnist, "the IDX file format"), gzip-compressed or not."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            content = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        with path.open("rb") as file:
            kind = kind_of(file.read(512))
        what = str(error) if kind is None or "gzip" in kind else f"it is {kind}, not a gzip file of images or labels"
        raise _damaged(path, what) from None
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error}).") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08" or content[3] > 3:
        kind = kind_of(content[:512])
        raise _damaged(
            path, f"it does not begin like an IDX file of images or labels{f', it is {kind}' if kind else ''}"
        )
    num_dims = content[3]
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(num_dims))
    body = np.frombuffer(content, dtype=np.uint8, offset=min(4 + 4 * num_dims, len(content)))
    if body.size != np.prod(shape, dtype=np.int64):
        raise _damaged(path, f"its header promises {np.prod(shape, dtype=np.int64)} bytes, it holds {body.size}")
    return body.reshape(shape)


def download(name: str, root: Path, *, progress: bool = True) -> Path:
    """Fetch the four packed files of ``name`` below ``root``; each is checked before it takes its name.

    A damaged file in the way is kept beside it, as ``<file>.damaged``.
    """
    mirrors, resources = _addresses(FAMILIES[name][0])
    folder = root / FAMILIES[name][0] / "raw"
    for filename, md5 in resources:
        path = folder / filename
        if path.is_file() and not has_md5(path, md5):
            path.replace(path.with_name(f"{filename}.damaged"))
        if not path.exists():
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


def _folders(name: str) -> list[Path]:
    """The folders that hold all four files, in whatever state."""
    folders = [root / FAMILIES[name][0] / "raw" for root in places.candidates()]
    return [folder for folder in dict.fromkeys(folders) if all(_copies(folder, stem) for stem, _ in FILES)]


def _copies(folder: Path, stem: str) -> list[Path]:
    return [path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()]


def _damaged(path: Path, how: str) -> CourseError:
    again = next((name for name, (family, _) in FAMILIES.items() if family in path.parts), "NAME")
    return CourseError(f"{path} is damaged: {how}. Delete it, then get it again with: course data fetch {again}")
