"""Which notebook of a folder is meant that was filled by hand."""

from __future__ import annotations

import os

import nbformat
import pytest
from miniature import make_tree

from autograder.submissions import Submission, find_submission
from course_utils.system.tree import Tree

UNIT = "01_double"
NOTES = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["homework.ipynb"], "homework.ipynb"),
        ([f"{UNIT}.ipynb.txt"], f"{UNIT}.ipynb.txt"),
        (["homework2.ipynb", "._homework2.ipynb"], "homework2.ipynb"),
        (["mine.ipynb", "notes.ipynb"], "mine.ipynb"),
        (["aaa notes.ipynb", "mine.ipynb", "zz notes.ipynb"], "mine.ipynb"),
    ],
)
def test_the_units_notebook_is_found_by_its_content(tmp_path, names, chosen):
    tree = Tree(make_tree(tmp_path))
    folder = tree.root / "submitted" / "ada" / UNIT
    folder.mkdir(parents=True)
    right = nbformat.writes(nbformat.read(tree.source / UNIT / f"{UNIT}.ipynb", as_version=4)).encode()
    for name in names:
        (folder / name).write_bytes(right if name == chosen else NOTES)
    found = find_submission(tree, UNIT, "ada")
    assert isinstance(found, Submission) and found.notebook == right and found.files == {}
    assert found.notes == [f"the file was named {chosen}"]


def test_names_that_are_no_text_stop_nothing(tmp_path):
    tree = Tree(make_tree(tmp_path))
    folder = tree.root / "submitted" / "ada" / UNIT
    folder.mkdir(parents=True)
    for name in (b"work\xff.ipynb", b"d\xff.csv"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(NOTES)
    found = find_submission(tree, UNIT, "ada")
    assert found.name == "workÿ.ipynb" and list(found.files) == ["dÿ.csv"] and len(found.digest()) == 64
