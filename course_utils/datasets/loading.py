"""Data sets as uint8 tensors that live on the device; a batch is gathered and scaled when it is needed.

``load()`` is what the notebooks call. Files are looked for in ``$COURSE_DATA``, then in ``data/`` of the course folder,
then in the user's cache; what is found nowhere is downloaded from its official place.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from course_utils.system import device as device_module
from course_utils.system.course_file import OwnData
from course_utils.system.errors import CourseError
from course_utils.system.tree import find_tree

from . import digits, mnist, places

if TYPE_CHECKING:
    from .animals import Attributes, Pictures

FALLBACK_MARKER = "FALLBACK DATA SET"
ANIMALS = ("awa2", "toy_animals")  # in colour, with attributes and a validation part
FOLDER_PREFIX = "folder:"  # before the path of a folder of one's own pictures
NAMES = ("digits", "mnist", "fashion_mnist", *ANIMALS)

_first_images: dict[bytes, str] = {}  # of the sets loaded so far: what tells them apart, see ``name_of``
last_fallback: str | None = None  # why the last load("auto") had to go on without MNIST; None if it did not


class Dataset(NamedTuple):
    """Images as uint8 (N, C, H, W) and labels as int64 (N,), on one device; ``class_names[label]`` is for people."""

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    class_names: tuple[str, ...]


def load(
    name: str = "auto",
    *,
    device: torch.device | str | None = None,
    train_limit: int | None = None,
    size: int | None = None,
    fit: str | None = None,
) -> Dataset:
    """A data set, ready on the device.

    Args:
        name: ``digits`` (scikit-learn's 8x8 handwritten digits, embedded, enlarged to 28x28), ``mnist``,
            ``fashion_mnist``, ``awa2`` (photographs of animals), ``toy_animals`` (drawn by a program),
            ``folder:PATH`` (pictures of your own, see ``from_folder``), or ``auto``:
            what ``$COURSE_DATASET`` names, by default MNIST and, where that cannot be had, the digits, with a banner
            that says so.
        device: where the tensors live; default ``get_device()``.
        train_limit: keep only the first so many training images.
        size: of the pictures of animals or of a folder, in pixels; default 64.
        fit: of AwA2's photographs: ``crop`` (default) keeps the central square, ``pad`` the whole picture.

    A course of one's own may name pictures of its own for ``auto`` in course.toml; pictures that lie in ``data/NAME/``
    or ``data/NAME.csv`` are loaded by that name.

    Raises:
        CourseError: unknown name; a file is damaged; the data are not here and cannot be downloaded.
    """
    global last_fallback
    if name == "auto":
        last_fallback = None
        name = os.environ.get("COURSE_DATASET") or "auto"
    if name.startswith(FOLDER_PREFIX):
        from . import own

        if fit is not None:
            raise CourseError("fit is for awa2; pictures of a folder are cut to their central square.")
        return own.from_folder(name.removeprefix(FOLDER_PREFIX), size=size, device=device, train_limit=train_limit)
    if name == "auto" and (own_set := _own_of_course()).name:
        from . import own

        return own.load_own(
            own_set.name, size=size or own_set.size, grey=own_set.grey, device=device, train_limit=train_limit
        )
    if name not in NAMES and name != "auto":
        from . import own

        return own.load_own(name, size=size, device=device, train_limit=train_limit)
    if name in ANIMALS:
        found = _animals(name, size, fit)
        train, test = found.part["train"], found.part["test"]
        if train.start == train.stop:
            raise CourseError(f"{name} has {len(found.images)} pictures here, and none to train on. Get more of it.")
        arrays = (found.images[train], found.labels[train], found.images[test], found.labels[test], found.class_names)
    elif size is not None or fit is not None:
        raise CourseError(f"size and fit are for {' and '.join(ANIMALS)}; {name!r} comes in one size, 28x28.")
    elif name == "auto":
        try:
            name, arrays = "mnist", _read("mnist")
        except CourseError as error:
            last_fallback = str(error)
            _banner(last_fallback)
            name, arrays = "digits", _read("digits")
    else:
        arrays = _read(name)
    return ready(name, Dataset(*arrays), device=device, train_limit=train_limit)


def _own_of_course() -> OwnData:
    """The data set that the course around the current folder names as its own."""
    try:
        return find_tree().about.dataset
    except CourseError:
        return OwnData()


def as_png(picture: np.ndarray) -> str:
    """A picture, uint8 (C, H, W), as PNG in base64."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def ready(
    name: str, data: Dataset, *, device: torch.device | str | None = None, train_limit: int | None = None
) -> Dataset:
    """``data`` on the device, known by ``name`` from now on (see ``name_of``)."""
    target = device_module.get_device(None if device is None else str(device))
    train_images, train_labels, test_images, test_labels, class_names = data
    _first_images[_digest(train_images)] = name
    if train_limit is not None:
        if train_limit < 1:
            raise ValueError(f"train_limit is {train_limit}; expected at least 1, or None for all images.")
        train_images, train_labels = train_images[:train_limit], train_labels[:train_limit]
    return Dataset(
        train_images.to(target), train_labels.to(target), test_images.to(target), test_labels.to(target), class_names
    )


def name_of(images: torch.Tensor) -> str | None:
    """The data set, loaded in this session, whose training images begin as ``images`` (N, ...) do, flat or not; else
    None."""
    return _first_images.get(_digest(images)) if images.dtype == torch.uint8 else None


def as_file_name(name: str) -> str:
    """A data set's name where it is part of a file's: of a folder its last part, without what files may not have."""
    if not name.startswith(FOLDER_PREFIX):
        return name
    last = Path(name.removeprefix(FOLDER_PREFIX)).expanduser().resolve().name
    return f"folder-{re.sub(r'[^A-Za-z0-9_.-]+', '_', last)}"


def _digest(images: torch.Tensor) -> bytes:
    return images[0].cpu().numpy().tobytes()


def validation(
    name: str, *, device: torch.device | str | None = None, size: int | None = None, fit: str | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(images, labels) to choose settings on: a tenth of ``awa2`` or ``toy_animals``, in no part that ``load`` gives.

    Which picture belongs to which part follows from its file name alone, so that it is the same in every run."""
    if name not in ANIMALS:
        raise CourseError(
            f"{name!r} has no validation part; {' and '.join(ANIMALS)} have. Hold out some training images."
        )
    found = _animals(name, size, fit)
    target, part = device_module.get_device(None if device is None else str(device)), found.part["validation"]
    return found.images[part].to(target), found.labels[part].to(target)


def attributes(name: str) -> Attributes:
    """What the classes of ``awa2`` or ``toy_animals`` are like: names, a binary and a continuous matrix (C, A), and
    which classes to train and to test on in zero-shot learning. ``binary[labels]`` gives a row for each image."""
    if name == "toy_animals":
        from .toy import classes as toy_classes

        return toy_classes.attributes()
    if name == "awa2":
        from . import awa2

        return awa2.read_attributes()
    raise CourseError(f"{name!r} has no attributes; {' and '.join(ANIMALS)} have.")


def best_animals(*, size: int = 64, fit: str = "crop") -> str:
    """``awa2`` where its photographs are decoded already, in this size; else ``toy_animals``, which are always here."""
    from . import awa2

    return "awa2" if awa2.find(size, fit) is not None else "toy_animals"


def batches(
    images: torch.Tensor, batch_size: int, generator: torch.Generator | None = None, *, shuffle: bool = True
) -> Iterator[torch.Tensor]:
    """Batches of float32 images in [0, 1], shape (B, ...), gathered from resident uint8 ``images`` (N, ...).

    Shuffled, every image comes once an epoch in a fresh random order and a last, smaller batch is dropped (unless it
    is the only one), so that every step averages over the same number of images. In order, all images come.
    Float images are passed on unscaled.
    """
    count = len(images)
    if count == 0:
        raise ValueError("images is empty; expected at least one image.")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected at least 1.")
    if not shuffle:
        for part in images.split(batch_size):
            yield scale(part)
        return
    size = min(batch_size, count)
    order = torch.randperm(count, device=images.device, generator=generator)
    for start in range(0, count - size + 1, size):
        yield scale(images.index_select(0, order[start : start + size]))


def scale(images: torch.Tensor) -> torch.Tensor:
    """uint8 images in 0..255 as float32 in [0, 1]; float images unchanged."""
    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(255)  # divided: 1 / 255 rounds twice
    if images.is_floating_point():
        return images
    raise TypeError(f"images have dtype {images.dtype}; expected uint8 in 0..255, or floats in [0, 1].")


def status() -> list[tuple[str, Path | None, str]]:
    """For each data set its name, the folder it was found in (None: not here, or embedded), and a line for people."""
    from . import awa2

    rows: list[tuple[str, Path | None, str]] = [("digits", None, "embedded in scikit-learn, always there")]
    for name in mnist.FAMILIES:
        folder = mnist.find(name)
        damage = None if folder else mnist.damaged(name)
        line = "present" if folder else str(damage or f"not here; get it with: course data fetch {name}")
        rows.append((name, folder, line))
    rows.append(("awa2", *awa2.status()))
    rows.append(("toy_animals", None, "embedded (drawn by a program, synthetic), always there"))
    from . import own

    rows += [(name, path.parent, "your own") for name, path in own.names_here().items()]
    return rows


def fetch(
    name: str,
    *,
    progress: bool = True,
    source: Path | None = None,
    size: int = 64,
    fit: str = "crop",
    partial: bool = False,
) -> Path:
    """Download a data set into the user's cache, going on where an earlier try stopped. Returns its folder.

    Args:
        source: (awa2) an archive or folder that is already here. size, fit, partial: (awa2) how to decode it.

    Raises:
        CourseError: nothing to download under that name, no network, disk full, or a checksum that does not match.
    """
    _known(name)
    if name == "awa2":
        from . import awa2

        return awa2.fetch(size, fit, source=source, partial=partial, progress=progress)
    if source is not None or partial:
        raise CourseError(f"--from and --partial are for awa2; {name} has but one place to come from.")
    if name in ("digits", "toy_animals"):
        made = "are embedded in scikit-learn" if name == "digits" else "are drawn by a program"
        raise CourseError(f"{name} {made}: there is nothing to download.")
    return mnist.find(name) or mnist.download(name, places.cache_folder(), progress=progress)


def _known(name: str) -> None:
    if name not in NAMES:
        raise CourseError(
            f"There is no data set {name!r}. Known: {', '.join(NAMES)}; 'auto' is MNIST, else digits; "
            "'folder:PATH' is a folder of pictures."
        )


def _read(name: str) -> tuple:
    _known(name)
    if name == "digits":
        return digits.read()
    found = mnist.read_first(name)
    return found if found is not None else mnist.read(name, mnist.download(name, places.cache_folder()))


def _animals(name: str, size: int | None, fit: str | None) -> Pictures:
    if name == "toy_animals":
        from . import toy_animals

        if fit is not None:
            raise CourseError("toy_animals are drawn square: fit is for awa2's photographs.")
        return toy_animals.read(size or 64)
    from . import awa2

    return awa2.read(size or 64, fit or "crop")


def _banner(reason: str) -> None:
    """Say where it cannot be missed that these are not the images that the text speaks of."""
    import html

    from course_utils.system import notebook

    message = (
        "MNIST could not be had, so this notebook goes on with scikit-learn's 8x8 digits, enlarged to 28x28 "
        "(1,797 images). Everything runs, but the numbers differ from the text."
    )
    notebook.show_html(
        '<div role="alert" style="border:3px solid #d55e00;padding:.6em 1em;margin:.5em 0">'
        f"<strong>{FALLBACK_MARKER}</strong> {message}<br><small>{html.escape(reason)}</small></div>",
        plain=f"*** {FALLBACK_MARKER}: {message}\n    ({reason})",
    )
