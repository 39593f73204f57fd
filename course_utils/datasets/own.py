"""Images of one's own as a data set of the course: from arrays, a folder of pictures, or a table of pixels.

``datasets.load("folder:PATH")`` is ``from_folder(PATH)``, so that ``course train --dataset folder:PATH`` trains on it.
What lies in ``data/`` of the course folder (or in ``$COURSE_DATA``) as a folder ``NAME`` or a table ``NAME.csv`` has
that name: ``datasets.load("NAME")``, ``course train --dataset NAME``.
"""

from __future__ import annotations

import csv
import hashlib
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from course_utils.system.errors import CourseError
from course_utils.system.spreadsheet import rows_of
from course_utils.system.tree import find_tree

from . import places
from .loading import FOLDER_PREFIX, NAMES, Dataset, as_png, name_of, ready

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
PARTS = ("train", "test")
TEST_SHARE = 10  # one picture in so many is for testing, unless the folder says which
SIZES = (8, 512)
_NAME = r"[\w-][\w.-]*"


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
    name: str | None = None,
) -> Dataset:
    """A data set of the pictures in a folder, as torchvision's ImageFolder lists them: one folder for each class.

    A folder without class folders is one class. Folders ``train`` and ``test`` are taken as the two parts; else one
    picture in ten, told by its name alone, is for testing. Pictures are cut to their central square and resized; what
    is transparent is white. Hidden files and folders are left out.

    Args:
        size: pixels along a side, 8 to 512; default 28 for grey pictures and 64 for colour.
        grey: one channel instead of three; default: where all pictures are grey.
        device: where the tensors live; default ``get_device()``.
        train_limit: keep only the first so many training images.
        name: what the scoreboard calls the data set; default: ``folder:`` and the folder's name.

    Raises:
        CourseError: no such folder, no pictures in it, a class that one part lacks, or pictures that cannot be read.
    """
    root = Path(path).expanduser()
    _check_size(size)
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
    _say_resized([file for rows in listed.values() for file, _ in rows], side)
    return ready(
        name or f"{FOLDER_PREFIX}{root.resolve().name}", _shuffled(data), device=device, train_limit=train_limit
    )


def from_csv(
    path: Path | str,
    *,
    size: int | None = None,
    device: torch.device | str | None = None,
    train_limit: int | None = None,
    name: str | None = None,
) -> Dataset:
    """A data set of the lines of a table, one picture each: pixels in 0..255, row by row, of a square picture. Where
    no pixel of the table is over 1 they are taken to be in [0, 1], and it is said.

    A column ``label`` (or ``class``), named in the first line, holds the classes, numbers or words; without one all
    pictures are of one class. Three times as many columns as a square are a colour picture, its red pixels first. One
    picture in ten, every tenth line, is for testing.

    Raises:
        CourseError: no such file, lines of other lengths, or numbers that are no pixels.
    """
    file = Path(path).expanduser()
    _check_size(size)
    try:
        rows = rows_of(file.read_bytes())
    except (OSError, ValueError, csv.Error) as error:
        raise CourseError(f"{file} cannot be read as a table of pixels ({error}).") from None
    rows = _without_numbers_of_pandas(rows)
    heads = [cell.strip().lower() for cell in rows[0]]
    at = next((heads.index(word) for word in ("label", "class") if word in heads), None)
    body = rows[1:] if at is not None or any(not _is_number(cell) for cell in heads) else rows
    words = [row[at].strip() if at is not None and at < len(row) else "" for row in body]
    pixels = [[cell for place, cell in enumerate(row) if place != at] for row in body]
    length = len(pixels[0]) if pixels else 0
    squares = [(c, math.isqrt(length // c)) for c in (1, 3)]
    channels, side = next(((c, s) for c, s in squares if c * s * s == length and s > 1), (0, 0))
    if not channels or length == 0:
        raise CourseError(f"{file} has {length} pixels in a line; expected those of a square, 784 or 3 x 784, say.")
    array = np.empty((len(pixels), length), np.float32)
    for number, row in enumerate(pixels):
        try:
            values = np.array([float(cell) for cell in row])
            if len(row) != length or not ((values >= 0) & (values <= 255)).all():
                raise ValueError
        except ValueError:
            raise CourseError(
                f"{file}, picture {number + 1}: expected {length} numbers in 0..255, separated by commas."
            ) from None
        array[number] = values
    if 0 < array.max() <= 1:
        print(f"{file.name}: pixels from 0 to {array.max():g}, taken to be in [0, 1]")
    pictures = _resized(_eight_bits(array).reshape(-1, channels, side, side), size or side)
    names = sorted(set(words), key=lambda word: (not word.isdecimal(), int(word) if word.isdecimal() else 0, word))
    labels = np.array([names.index(word) for word in words])
    data = from_arrays(pictures, labels, class_names=[word or file.stem for word in names], device="cpu")
    return ready(name or file.stem, data, device=device, train_limit=train_limit)


def _without_numbers_of_pandas(rows: list[list[str]]) -> list[list[str]]:
    """Without the row numbers and the numbered heads that pandas writes."""
    if rows[0][0] == "" and len(rows[0]) > 1:
        rows = [row[1:] for row in rows]
    return rows[1:] if rows[0] == [str(number) for number in range(len(rows[0]))] else rows


def find(name: str) -> Path | None:
    """The folder or table in the places for data sets that has this name; None where there is none."""
    if not re.fullmatch(_NAME, name):
        return None
    for folder in places.candidates():
        for path in (folder / name, folder / f"{name}.csv"):
            if path.is_file() or (path.is_dir() and _listed(path)):
                return path
    return None


def names_here() -> dict[str, Path]:
    """The data sets of one's own in ``data/`` of the course folder, by name."""
    try:
        folder = find_tree().root / "data"
        found = {path.stem if path.is_file() else path.name for path in folder.iterdir()}
    except (CourseError, OSError):
        return {}
    known = {name: find(name) for name in sorted(found) if name not in NAMES}
    return {name: path for name, path in known.items() if path is not None and path.is_relative_to(folder)}


def load_own(
    name: str,
    *,
    size: int | None = None,
    grey: bool | None = None,
    device: torch.device | str | None = None,
    train_limit: int | None = None,
) -> Dataset:
    """The data set of one's own that lies under ``name``. Raises CourseError where there is none."""
    if not re.fullmatch(_NAME, name):
        raise CourseError(
            f"{name!r} cannot be the name of a data set: letters, digits, '_', '-' and '.' can. Rename the folder or "
            "the table, or use folder:PATH."
        )
    path = find(name)
    if path is None:
        raise CourseError(
            f"There is no data set {name!r}. Known: {', '.join(NAMES)}; 'auto' is MNIST, else digits; 'folder:PATH' is "
            f"a folder of pictures. Pictures of your own have a name when they lie in data/{name}/ or data/{name}.csv."
        )
    if path.is_dir():
        return from_folder(path, size=size, grey=grey, device=device, train_limit=train_limit, name=name)
    return from_csv(path, size=size, device=device, train_limit=train_limit, name=name)


@dataclass(frozen=True)
class Card:
    """What a data set is like."""

    name: str
    num_train: int
    num_test: int
    channels: int
    size: tuple[int, int]  # height, width
    low: int  # the darkest and the brightest value, of 0..255
    high: int
    classes: dict[str, int]  # how many of each, both parts together
    mean_picture: np.ndarray  # uint8 (C, H, W), of the training images
    checksum: str  # SHA-256 of all images and labels

    def __str__(self) -> str:
        many = ", ".join(f"{name} {count}" for name, count in list(self.classes.items())[:12])
        more = f" and {len(self.classes) - 12} more" if len(self.classes) > 12 else ""
        kind = "grey" if self.channels == 1 else "colour"
        return (
            f"{self.name}: {self.num_train:,} images to train on, {self.num_test:,} to test; "
            f"{self.size[0]}x{self.size[1]}, {kind}, values {self.low} to {self.high} of 0 to 255\n"
            f"{len(self.classes)} class{'es' * (len(self.classes) != 1)}: {many}{more}\nsha256 {self.checksum}"
        )

    def _repr_html_(self) -> str:
        text = "<br>".join(html.escape(line) for line in str(self).splitlines())
        picture = as_png(self.mean_picture)
        return (
            f'<p>{text}</p><img src="data:image/png;base64,{picture}" width="112" style="image-rendering:pixelated" '
            'alt="The mean of all training images">'
        )


def card(data: Dataset) -> Card:
    """Count, size, range, classes, mean picture and checksum of a data set."""
    train, test = data.train_images.cpu(), data.test_images.cpu()
    labels = torch.cat([data.train_labels, data.test_labels]).cpu()
    digest = hashlib.sha256()
    for tensor in (train, data.train_labels.cpu(), test, data.test_labels.cpu()):
        digest.update(str(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
    return Card(
        name=name_of(data.train_images) or "images",
        num_train=len(train),
        num_test=len(test),
        channels=train.shape[1],
        size=(train.shape[2], train.shape[3]),
        low=int(min(train.min(), test.min())),
        high=int(max(train.max(), test.max())),
        classes={name: int((labels == number).sum()) for number, name in enumerate(data.class_names)},
        mean_picture=train.double().mean(0).round().to(torch.uint8).numpy(),
        checksum=digest.hexdigest(),
    )


def _check_size(size: int | None) -> None:
    if size is not None and (not SIZES[0] <= size <= SIZES[1] or size % 2):
        raise CourseError(f"size is {size}; expected an even number of pixels, {SIZES[0]} to {SIZES[1]}.")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _resized(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 (N, C, side, side), said where that is another size."""
    from PIL import Image

    if images.shape[2] == side:
        return images
    print(f"resized from {images.shape[2]}x{images.shape[3]} to {side}x{side} pixels")
    box = Image.Resampling.BOX
    return np.stack(
        [[np.asarray(Image.fromarray(part).resize((side, side), box)) for part in picture] for picture in images]
    )


def _say_resized(files: list[Path], side: int) -> None:
    from PIL import Image

    sizes = set()
    for file in files:
        with Image.open(file) as picture:
            sizes.add(picture.size)
    if sizes != {(side, side)}:
        some = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:3])
        print(f"{len(files)} pictures of {some}{' ...' if len(sizes) > 3 else ''}: square cut, {side}x{side} pixels")


def _shuffled(data: Dataset) -> Dataset:
    """The same pictures in an order in which classes are mixed, always the same: the first so many are of all."""
    train, test = (
        torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        for images in (data.train_images, data.test_images)
    )
    return Dataset(
        data.train_images[train],
        data.train_labels[train],
        data.test_images[test],
        data.test_labels[test],
        data.class_names,
    )


def _listed(root: Path) -> list[tuple[Path, str]]:
    """(picture, class) of a folder with a folder for each class; of one without, the folder's own name is the class."""
    found = [
        (file, file.relative_to(root).parts[0] if file.parent != root else root.name)
        for file in sorted(root.rglob("*"))
        if file.suffix.lower() in ENDINGS
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(root).parts)
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
            return picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I")
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
            elif picture.mode == "F":
                values = np.asarray(picture)
                if not (values.min() >= 0 and values.max() <= 255):
                    raise ValueError(f"its values go from {values.min():g} to {values.max():g}, and not from 0 to 255")
                picture = Image.fromarray(_eight_bits(values))
            turned = ImageOps.exif_transpose(picture)
            if turned.has_transparency_data:
                turned = turned.convert("RGBA")
                turned = Image.alpha_composite(Image.new("RGBA", turned.size, "white"), turned)
            turned = turned.convert("L" if grey else "RGB")
            array = np.asarray(ImageOps.fit(turned, (side, side), Image.Resampling.BOX))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise CourseError(f"{file} cannot be read as a picture ({error}). Remove or replace it.") from None
    return array[None] if grey else array.transpose(2, 0, 1)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """uint8 of floats in 0..255, or in [0, 1] where none is over 1."""
    return np.rint(values * (255 if values.max() <= 1 else 1)).astype(np.uint8)


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
        if array.max() == 1:
            raise CourseError(f"{name} are uint8 of 0 and 1; expected 0..255. Multiply by 255, or give bool or floats.")
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
