"""Names, files, packings and contents in all combinations, from the export through grading to the feedback.

Two classes, one from Moodle and one from Canvas, drawn once with a fixed seed; 312 hand-ins with `--thorough`.
"""

from __future__ import annotations

import json
import random
import sys
import unicodedata
from collections.abc import Callable

import lanes
import nbformat
import pytest
from miniature import make_tree
from odd_class import ALL, NOTHING, RIGHT, UNIT, deep, scores_of, work
from platform_exports import Person, canvas, moodle_folders, own_zip, zipped

from autograder.collect import read_roster
from autograder.grades_file import read_grades
from autograder.release import release_units
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
PEOPLE = lanes.amount(27, 156)  # each content once, or six times
NAMES = [
    "Ada Lovelace",
    "Zoë Ünal",
    unicodedata.normalize("NFD", "Zoë Ünal"),
    "李小龙",
    "محمد علي",
    "Zoë 🦊",
    "..",
    "-x",
    "--help",
    "CON",
    "nul.txt",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "one\nabove another",
    "E" * 120,
    " blanks  around ",
    "~root",
    ".hidden",
    "<b>bold</b>",
    "100%s {0} $HOME",
    "brackets [1]*?",
    "\u202eeht morf",
    "7",
]
FILES = [
    f"{UNIT}.ipynb",
    "homework.ipynb.txt",
    "Hausübung.json",
    unicodedata.normalize("NFD", "Übung.ipynb"),
    "w" * 190 + ".ipynb",
    "a\nb.ipynb",
    "-rf.ipynb",
    "CON.ipynb",
    "=1+1.ipynb",
    "timestamp.ipynb",
    "WORK.IPYNB",
]
NOTES = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
BESIDE = {
    "timestamp.txt": b"1999-01-01",
    "sitecustomize.py": b"1/0",
    "random.py": b"1/0",
    "data.csv": b"1",
    "x/y.py": b"2",
}
PACKINGS: dict[str, Callable[[str, bytes], dict[str, bytes]]] = {
    "alone": lambda name, data: {name: data},
    "with notes": lambda name, data: {name: data, "zz notes.ipynb": NOTES},
    "with files": lambda name, data: {name: data, **BESIDE},
    "zip of a Mac": lambda name, data: {"hw.zip": own_zip({name: data})},
    "zip in a zip": lambda name, data: {"hw.zip": own_zip({"again.zip": own_zip({name: data})})},
    "twice": lambda name, data: {name: data, f"copy of {name}": data},
}


def changed(edits: dict[str, str] = RIGHT, change: Callable[[dict], object] = lambda cells: None):
    return lambda tree: work(tree, edits, change)


def whole(change: Callable[[dict], object]):
    """The right notebook, changed as a whole."""

    def make(tree: Tree) -> bytes:
        notebook = json.loads(work(tree, RIGHT))
        change(notebook)
        return json.dumps(notebook).encode()

    return make


def as_version_3(tree: Tree) -> bytes:
    notebook = nbformat.reads(work(tree, RIGHT).decode(), as_version=4)
    return nbformat.writes(nbformat.convert(notebook, 3), version=3).encode()


def without_marks(notebook: dict) -> None:
    for cell in notebook["cells"]:
        cell["metadata"] = None


CONTENTS = {
    "right": (changed(), ALL),
    "stubs": (changed({}), NOTHING),
    "added": (changed(RIGHT | {"double": "def double(x):\n    return x + 7"}), (0.5, 2, None)),
    "no syntax": (changed(RIGHT | {"double": "def double(x)\n    return"}), (0, 2, None)),
    "raises": (changed(RIGHT | {"triple": "def triple(x):\n    raise KeyError('\\ud83d')"}), (2, 0, None)),
    "no answer": (changed(RIGHT | {"q_double": " \n"}), (2, 2, 0)),
    "half a character": (changed(RIGHT | {"q_double": "\ud83d \0"}), ALL),
    "half a character printed": (changed(RIGHT | {"triple": RIGHT["triple"] + "\nprint(chr(0xd83d))"}), ALL),
    "a picture that is missing": (changed(RIGHT | {"q_double": "![a](attachment:b.png)"}), ALL),
    "script": (changed(RIGHT | {"q_double": "<script>alert(1)</script>ok"}), ALL),
    "deep": (changed(RIGHT, lambda cells: cells["0"]["metadata"].update(deep=deep(300))), ALL),
    "tags of a wrong type": (changed(RIGHT, lambda cells: cells["0"]["metadata"].update(tags={"a": 1})), ALL),
    "an output of a wrong kind": (
        changed(RIGHT, lambda cells: cells["6"].update(outputs=[{"output_type": "stream", "name": "x", "text": "y"}])),
        ALL,
    ),
    "byte order mark": (lambda tree: b"\xef\xbb\xbf" + work(tree, RIGHT), ALL),
    "utf-16": (lambda tree: work(tree, RIGHT).decode().encode("utf-16"), ALL),
    "line ends": (lambda tree: work(tree, RIGHT).replace(b"\\n", b"\\r\\n"), ALL),
    "version 3": (as_version_3, ALL),
    "no metadata": (whole(without_marks), ALL),
    "no outputs": (whole(lambda nb: [cell.pop("outputs", None) for cell in nb["cells"]]), ALL),
    "no version": (whole(lambda nb: [nb.pop("nbformat"), nb.pop("nbformat_minor")]), ALL),
    "same ids": (whole(lambda nb: [cell.update(id="same") for cell in nb["cells"]]), ALL),
    "doubled": (whole(lambda nb: nb["cells"].extend(nb["cells"])), ALL),
    "half": (lambda tree: work(tree, RIGHT)[:900], NOTHING),
    "empty": (lambda tree: b"", NOTHING),
    "another unit": (
        lambda tree: (tree.root / "release" / "02_other" / "02_other.ipynb").read_bytes(),
        NOTHING,
    ),
    "ends its process": (changed(RIGHT | {"triple": "import os; os._exit(1)"}), (2, 0, None)),
}
WITHOUT_JSON = {"half", "empty"}  # under the name of a text nobody can tell that it was to be a notebook


@pytest.mark.parametrize("platform", ["moodle", "canvas"])
def test_nothing_is_lost_and_everybody_is_named(tmp_path, course, platform):
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    draw = random.Random(platform)
    made = {name: (make(tree), scores) for name, (make, scores) in CONTENTS.items()}
    people, wanted, told = [], {}, {}
    for index in range(PEOPLE):
        content = list(CONTENTS)[index % len(CONTENTS)]
        file, packing = draw.choice(FILES), draw.choice(list(PACKINGS))
        data, wanted[index] = made[content]
        told[index] = content, file, packing
        files = PACKINGS[packing](file, data)
        people.append(Person(NAMES[index % len(NAMES)], 500 + index, 1000 + index, files))
    shape = moodle_folders if platform == "moodle" else canvas
    code, out, err = course(tree, "collect", "01", zipped(shape(people), tmp_path / "export.zip"))
    assert f"the export holds {PEOPLE}" in out and code == 0, (out, err)

    code, out, err = course(tree, "grade", "01")
    rows = read_grades(tree.root / "grades.csv")
    scores = scores_of(rows)
    number = {"moodle": 1000, "canvas": 500}[platform]
    folders = {int(record["units"][UNIT]["identifier"]) - number: name for name, record in read_roster(tree).items()}
    assert sorted(folders) == list(range(PEOPLE)) and len(rows) == 3 * PEOPLE == 3 * len(set(folders.values()))
    wrong = {
        folders[i]: (told[i], wanted[i], scores[folders[i]]) for i in range(PEOPLE) if scores[folders[i]] != wanted[i]
    }
    assert not wrong, [row for row in rows if row.student in wrong][:6]
    unread = {i for i in range(PEOPLE) if told[i][0] in ("half", "empty", "another unit")}
    assert code == 1 and all(f"not graded: {' '.join(folders[i].split())}, {UNIT}: " in err for i in unread)
    assert err.count("course: not graded: ") == len(unread)

    code, out, err = course(tree, "feedback", "01", "--zip", platform)
    assert code == 0 and f"{PEOPLE} pages" in out, err
