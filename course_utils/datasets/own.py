"""Images of one's own as a data set of the course: from arrays, or from a folder of pictures.

``datasets.load("folder:PATH")`` is ``from_folder(PATH)``, so that ``course train --dataset folder:PATH`` trains on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_utils.system.errors import CourseError

from .loading import FOLDER_PREFIX, Dataset, ready

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
PARTS = ("train", "test")
TEST_SHARE = 10  # one picture in so many is for testing, unless the folder says which
SIZES = (8, 512)


def from_arrays(
    images: Any,
    labels: Any = None,
    *,
    test_images: Any = None,
    test_labels: Any = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    device: torch.device | str | None = None,
) -> Dataset:
    """A data set of images in memory.

    Args:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, as numpy array or tensor; uint8 in 0..255, or
            floats in [0, 1], which are kept to the nearest of 256 levels.
        labels: (N,) whole numbers from 0; None: all of one class.
        test_images, test_labels: likewise; None: every tenth image, taken out of the others.
        class_names: one for each label; default: the numbers.
        name: what the scoreboard calls the data set.
        device: where the tensors live; default ``get_device()``.

    Raises:
        CourseError: another shape, type or range; labels of another number than images.

    >>> data = from_arrays(np.zeros((20, 28, 28), np.uint8), device="cpu")
    >>> data.train_images.shape, data.test_images.shape
    (torch.Size([18, 1, 28, 28]), torch.Size([2, 1, 28, 28]))
    """
    train, train_labels = _images("images", images), _labels("labels", labels, len(images))
    if test_images is None:
        if test_labels is not None:
            raise CourseError("test_labels came without test_images. Give both, or neither.")
        test = np.arange(len(train)) % TEST_SHARE == TEST_SHARE - 1
        if not test.any():
            raise CourseError(f"{len(train)} images are too few to put one in {TEST_SHARE} aside; give test_images.")
        train, tested, train_labels, tested_labels = train[~test], train[test], train_labels[~test], train_labels[test]
    else:
        tested, tested_labels = (
            _images("test_images", test_images),
            _labels("test_labels", test_labels, len(test_images)),
        )
    if tested.shape[1:] != train.shape[1:]:
        raise CourseError(
            f"test_images are {_shape(tested)}, images {_shape(train)}; expected the same channels and size."
        )
    highest = int(max(train_labels.max(), tested_labels.max()))
    names = tuple(class_names) if class_names is not None else tuple(str(label) for label in range(highest + 1))
    if highest >= len(names):
        raise CourseError(f"The highest label is {highest}; expected a name for each, class_names has {len(names)}.")
    first, second, third, fourth = map(torch.from_numpy, (train, train_labels, tested, tested_labels))
    data = Dataset(first, second, third, fourth, names)
    return ready(name or "own images", data, device=device)


def from_folder(
    path: Path | str,
    *,
    size: int | None = None,
    grey: bool | None = None,
    device: torch.device | str | None = None,
    train_limit: int | None = None,
) -> Dataset:
    """A data set of the pictures in a folder, as torchvision's ImageFolder lists them: one folder for each class.

    A folder without class folders is one class. Folders ``train`` and ``test`` are taken as the two parts; else one
    picture in ten, told by its name alone, is for testing. Pictures are cut to their central square and resized.

    Args:
        size: pixels along a side, 8 to 512; default 28 for grey pictures and 64 for colour.
        grey: one channel instead of three; default: where all pictures are grey.
        device: where the tensors live; default ``get_device()``.
        train_limit: keep only the first so many training images.

    Raises:
        CourseError: no such folder, no pictures in it, a class that one part lacks, or pictures that cannot be read.
    """
    root = Path(path).expanduser()
    if size is not None and not SIZES[0] <= size <= SIZES[1]:
        raise CourseError(f"size is {size}; expected {SIZES[0]} to {SIZES[1]} pixels.")
    if not root.is_dir():
        raise CourseError(f"{root} is not a folder; expected one with a folder of pictures for each class.")
    if all((root / part).is_dir() for part in PARTS):
        listed = {part: _listed(root / part) for part in PARTS}
    else:
        everything = _listed(root)
        listed = {part: [row for row in everything if _is_test(row[0], root) == (part == "test")] for part in PARTS}
        if everything and not all(listed.values()):  # a handful of pictures whose names fall all on one side
            listed = {"train": everything[:-1], "test": everything[-1:]}
    names = sorted({label for rows in listed.values() for _, label in rows})
    for part in PARTS:
        if not listed[part]:
            raise CourseError(f"{root} has no pictures to {part} on. Known endings: {', '.join(ENDINGS)}.")
    if grey is None:
        grey = all(_is_grey(file) for rows in listed.values() for file, _ in rows)
    side = size or (28 if grey else 64)
    images = {part: torch.from_numpy(np.stack([_read(file, side, grey) for file, _ in listed[part]])) for part in PARTS}
    labels = {part: torch.tensor([names.index(label) for _, label in listed[part]]) for part in PARTS}
    data = Dataset(images["train"], labels["train"], images["test"], labels["test"], tuple(names))
    return ready(f"{FOLDER_PREFIX}{root.resolve().name}", data, device=device, train_limit=train_limit)


def _listed(root: Path) -> list[tuple[Path, str]]:
    """(picture, class) of a folder with a folder for each class; of one without, the folder's own name is the class."""
    found = [
        (file, file.relative_to(root).parts[0] if file.parent != root else root.name)
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in ENDINGS and file.is_file() and not file.name.startswith(".")
    ]
    classes = [row for row in found if row[0].parent != root]
    return classes or found  # pictures beside the class folders belong to no class


def _is_test(file: Path, root: Path) -> bool:
    """By the picture's name alone, so that it stays on its side when others come or go."""
    name = file.relative_to(root).as_posix()
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=2).digest()[0] % TEST_SHARE == 0


def _is_grey(file: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            return picture.mode in ("1", "L", "LA", "I", "I;16")
    except (OSError, UnidentifiedImageError) as error:
        raise CourseError(f"{file} cannot be read as a picture ({error}). Remove or replace it.") from None


def _read(file: Path, side: int, grey: bool) -> np.ndarray:
    """uint8 (C, side, side)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            picture: Image.Image = opened
            if picture.mode.startswith("I"):  # 16 bits
                picture = Image.fromarray((np.asarray(picture, np.float64) / 257).clip(0, 255).astype(np.uint8))
            turned = ImageOps.exif_transpose(picture).convert("L" if grey else "RGB")
            array = np.asarray(ImageOps.fit(turned, (side, side), Image.Resampling.BOX))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise CourseError(f"{file} cannot be read as a picture ({error}). Remove or replace it.") from None
    return array[None] if grey else array.transpose(2, 0, 1)


def _images(name: str, given: Any) -> np.ndarray:
    """uint8 (N, C, H, W)."""
    array = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise CourseError(
            f"{name} are {_shape(np.asarray(given))}; expected (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3."
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if not np.issubdtype(array.dtype, np.floating):
        raise CourseError(f"{name} are {array.dtype}; expected uint8 in 0..255, or floats in [0, 1].")
    if not np.isfinite(array).all():
        raise CourseError(f"{name} have values that are not finite; expected floats in [0, 1].")
    if array.min() < 0 or array.max() > 1:
        raise CourseError(
            f"{name} are floats in [{array.min():g}, {array.max():g}]; expected [0, 1]. "
            "Divide by the greatest value, such as 255, or give uint8."
        )
    return np.rint(array * 255).astype(np.uint8)


def _labels(name: str, given: Any, count: int) -> np.ndarray:
    if given is None:
        return np.zeros(count, np.int64)
    array = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.integer) or array.min() < 0:
        raise CourseError(
            f"{name} are {array.dtype} {array.shape}; expected a whole number from 0 up for each of {count} images."
        )
    return array.astype(np.int64)


def _shape(array: np.ndarray) -> str:
    return f"({', '.join(str(n) for n in array.shape)})"
