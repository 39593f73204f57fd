"""From an export through collect to packed pages and tables: everybody is in them, or named with a reason.

The contents, names, files and packings of test_variants, 312 people from each shape. No grading: a page is a line.
"""

from __future__ import annotations

import csv
import io
import random
import zipfile

import pytest
from miniature import make_tree
from odd_class import UNIT
from platform_exports import (
    Person,
    canvas,
    canvas_anonymous,
    canvas_anonymous_late,
    canvas_late,
    moodle_folders,
    zipped,
)
from test_platforms import canvas_submissions, moodle_feedback, moodle_worksheet
from test_variants import CONTENTS, FILES, NAMES, PACKINGS

from autograder.collect import collect, read_roster
from autograder.grades_file import Grade, write_grades
from autograder.platforms import pack_feedback, write_tables
from autograder.release import release_units
from course_utils.system.tree import Tree

PEOPLE = 312


def odd_class(tree: Tree, seed: str) -> list[Person]:
    """Every content with a name, and files and packings drawn for it."""
    draw = random.Random(seed)
    made = [make(tree) for make, _ in CONTENTS.values()]
    return [
        Person(
            NAMES[index % len(NAMES)],
            500 + index,
            1000 + index,
            PACKINGS[draw.choice(list(PACKINGS))](draw.choice(FILES), made[index % len(made)]),
        )
        for index in range(PEOPLE)
    ]


@pytest.mark.parametrize(
    "shape",
    [moodle_folders, canvas, canvas_late, canvas_anonymous, canvas_anonymous_late],
    ids=lambda shape: shape.__name__,
)
def test_everybody_is_packed_and_in_the_table_or_named(tmp_path, shape):
    platform = shape.__name__.split("_")[0]
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    entries = shape(odd_class(tree, shape.__name__))
    collect(tree, UNIT, zipped(entries, tmp_path / "export.zip"))
    roster = read_roster(tree)
    said = {folder: record["units"][UNIT] for folder, record in roster.items()}
    assert len(roster) == PEOPLE and any("left_out" in record for record in said.values())
    pages = [tree.root / "feedback" / folder / UNIT / f"{UNIT}.html" for folder in roster]
    for folder, page in zip(roster, pages, strict=True):
        page.parent.mkdir(parents=True)
        page.write_text(folder, encoding="utf-8")

    exported = pack_feedback(tree, UNIT, platform, pages)
    folder_of = {record["identifier"]: folder for folder, record in said.items()}
    with zipfile.ZipFile(exported.files[0]) as archive:
        if platform == "canvas":  # the numbers as the export has them, not as the roster keeps them
            start = [[part for part in name.split("_") if part != "LATE"][1:3] for name in entries]
            taken = canvas_submissions(archive, {(who, file): folder_of[who] for who, file in start})
        else:
            taken = moodle_feedback(archive, {int(who): folder for who, folder in folder_of.items()})
    assert taken == {folder: folder for folder in roster} and not exported.notes

    write_grades(tree.root, [Grade(folder, UNIT, "double", 1.0, 2, "graded", "") for folder in roster])
    table = write_tables(tree, platform, [UNIT])
    text = table.files[0].read_text(encoding="utf-8")
    if platform == "canvas":
        found = {folder_of[row[1]] for row in csv.reader(io.StringIO(text)) if row[1] in folder_of}
    else:
        found = set(moodle_worksheet(text, {int(w): w for w in folder_of}))
        found = {folder_of[who] for who in found}
    named = {folder for folder in roster if any(note.startswith(f"{folder}: ") for note in table.notes)}
    assert not found & named and found | named == set(roster)
