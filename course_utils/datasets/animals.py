"""What Animals with Attributes 2 and the toy animals have in common: pictures in three parts, and classes that have
attributes, kept in the same six text files.

Y. Xian, C. H. Lampert, B. Schiele, Z. Akata, Zero-Shot Learning - A Comprehensive Evaluation of the Good, the Bad
and the Ugly, 2018; C. H. Lampert, H. Nickisch, S. Harmeling, 2009. Every attribute belongs to a class, not to a
picture: all zebras have "stripes", also one that is hidden behind a bush.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from course_utils.system.errors import CourseError

FILES = (
    "classes.txt",
    "predicates.txt",
    "predicate-matrix-binary.txt",
    "predicate-matrix-continuous.txt",
    "trainclasses.txt",
    "testclasses.txt",
)


class Attributes(NamedTuple):
    """A attributes of C classes, rows in the order of ``class_names``; ``binary[labels]`` is what images have."""

    names: tuple[str, ...]  # A
    binary: torch.Tensor  # (C, A) uint8, 0 or 1
    continuous: torch.Tensor  # (C, A) float32, in per cent: how strongly people associate the two; nan where not asked
    train_classes: tuple[int, ...]  # the classes to learn from in zero-shot learning, as labels
    test_classes: tuple[int, ...]  # the classes to recognise without having seen one


class Pictures(NamedTuple):
    """All pictures of a data set, uint8 (N, 3, S, S) with labels int64 (N,), on the CPU, shuffled once and for all.

    ``part["train"]``, ``part["validation"]`` and ``part["test"]`` are stretches of them, chosen by file name."""

    images: torch.Tensor
    labels: torch.Tensor
    part: dict[str, slice]
    class_names: tuple[str, ...]
    attributes: Attributes
    skipped: dict[str, str]  # damaged photographs that were left out, and why


def parse(texts: dict[str, str]) -> tuple[tuple[str, ...], Attributes]:
    """The class names, in the order of classes.txt, and their attributes, from the text of the six files.

    Raises:
        CourseError: a file is missing, or does not fit the others.
    """
    if missing := [name for name in FILES if name not in texts]:
        raise CourseError(f"{', '.join(missing)} missing: expected beside JPEGImages, as in AwA2-base.zip.")
    class_names, names = _numbered(texts, "classes.txt"), _numbered(texts, "predicates.txt")
    shape = (len(class_names), len(names))
    binary = _matrix(texts, "predicate-matrix-binary.txt", shape)
    if not np.isin(binary, (0, 1)).all():
        raise CourseError("predicate-matrix-binary.txt holds other numbers than 0 and 1: the file is damaged.")
    continuous = _matrix(texts, "predicate-matrix-continuous.txt", shape)
    continuous[continuous < 0] = np.nan  # -1 means that nobody was asked
    label = {name: i for i, name in enumerate(class_names)}
    parts = []
    for file_name in ("trainclasses.txt", "testclasses.txt"):
        listed = texts[file_name].split()
        if unknown := [name for name in listed if name not in label]:
            raise CourseError(f"{file_name} names {', '.join(unknown[:3])}, which classes.txt does not.")
        parts.append(tuple(label[name] for name in listed))
    attributes = Attributes(
        names, torch.from_numpy(binary.astype(np.uint8)), torch.from_numpy(continuous.astype(np.float32)), *parts
    )
    return class_names, attributes


def texts(class_names: tuple[str, ...], attributes: Attributes) -> dict[str, str]:
    """The six files, by name; ``parse`` reads them back."""
    continuous = torch.nan_to_num(attributes.continuous, nan=-1.0)
    contents = (
        "".join(f"{i:6}\t{name}\n" for i, name in enumerate(class_names, 1)),
        "".join(f"{i:6}\t{name}\n" for i, name in enumerate(attributes.names, 1)),
        "".join(" ".join(map(str, row)) + "\n" for row in attributes.binary.tolist()),
        "".join(" ".join(f"{value:6.2f}" for value in row) + "\n" for row in continuous.tolist()),
        "".join(f"{class_names[i]}\n" for i in attributes.train_classes),
        "".join(f"{class_names[i]}\n" for i in attributes.test_classes),
    )
    return dict(zip(FILES, contents, strict=True))


def read_texts(read: Callable[[str], str | None]) -> dict[str, str]:
    """Those of the six files that ``read(file_name)`` finds."""
    found = {name: read(name) for name in FILES}
    return {name: text for name, text in found.items() if text is not None}


def _numbered(texts: dict[str, str], file_name: str) -> tuple[str, ...]:
    """The names in a file of lines ``number name``."""
    lines = [line.split() for line in texts[file_name].splitlines() if line.strip()]
    if not lines or any(len(line) != 2 or line[0] != str(i) for i, line in enumerate(lines, 1)):
        raise CourseError(f"{file_name} is damaged: expected lines of a number, from 1 on, and a name.")
    return tuple(name for _, name in lines)


def _matrix(texts: dict[str, str], file_name: str, shape: tuple[int, int]) -> np.ndarray:
    try:
        matrix = np.array(
            [[float(word) for word in line.split()] for line in texts[file_name].splitlines() if line.strip()]
        )
    except ValueError as error:
        raise CourseError(f"{file_name} is damaged: {error}.") from None
    if matrix.shape != shape:
        raise CourseError(f"{file_name} holds {matrix.shape} numbers, expected {shape}: a row a class.")
    return matrix
