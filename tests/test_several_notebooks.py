"""An assignment of several notebooks and files: released, handed in, collected and read, each notebook for itself."""

from __future__ import annotations

import io
import shutil
import zipfile

import nbformat
import pytest
from miniature import make_tree, source_notebook
from platform_exports import SHAPES, Person, zipped

from autograder.collect import collect
from autograder.kit import FOLDER, build_kit
from autograder.release import release_units
from autograder.submissions import Submission, find_submission, is_trouble
from course_utils.cli.handin import notebooks_of, template_of, templates_of
from course_utils.cli.submit import submit_unit
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

UNIT, FIRST, SECOND = "03_both", "a_first", "b_second"
GIVEN = {"data.csv": b"1,2\n", "pictures/x.png": b"\x89PNG"}


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Tree:
    """Two notebooks, none of which has the unit's name, with files beside them."""
    root = make_tree(tmp_path_factory.mktemp("both") / "course")
    folder = root / "notebooks" / UNIT
    folder.mkdir()
    nbformat.write(source_notebook("one", "two"), folder / f"{FIRST}.ipynb")
    nbformat.write(source_notebook("three", "four"), folder / f"{SECOND}.ipynb")
    for name, data in GIVEN.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    release_units(Tree(root), [UNIT])
    return Tree(root)


@pytest.fixture
def tree(released, tmp_path) -> Tree:
    return Tree(shutil.copytree(released.root, tmp_path / "course"))


def handed(tree: Tree, name: str, words: str = "") -> bytes:
    notebook = nbformat.read(tree.root / "release" / UNIT / f"{name}.ipynb", as_version=4)
    notebook.cells[0].source += words
    return nbformat.writes(notebook).encode()


def test_the_unit_is_known_with_its_notebooks(tree):
    assert UNIT in tree.units() and tree.unit("3") == UNIT and tree.notebooks(UNIT) == [FIRST, SECOND]
    assert list(templates_of(tree, UNIT)) == [FIRST, SECOND]
    assert "three" in template_of(tree, UNIT, SECOND).marked and "three" not in template_of(tree, UNIT, FIRST).marked


def test_all_of_it_is_released(tree):
    folder = tree.root / "release" / UNIT
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {f"{FIRST}.ipynb", f"{SECOND}.ipynb", *GIVEN}


# What somebody hands in, by file name: which notebook it is, or None for notes of theirs.
WAYS = {
    "as released": {f"{FIRST}.ipynb": FIRST, f"{SECOND}.ipynb": SECOND},
    "renamed": {"mine.ipynb": FIRST, "mine 2.ipynb": SECOND},
    "names changed over": {f"{SECOND}.ipynb": FIRST, f"{FIRST}.ipynb": SECOND},
    "one of them": {f"{SECOND}.ipynb": SECOND},
    "one of them, renamed": {"x.ipynb": SECOND},
    "with notes": {f"{FIRST}.ipynb": FIRST, f"{SECOND}.ipynb": SECOND, "notes.ipynb": None},
    "in a folder": {f"work/{FIRST}.ipynb": FIRST, f"work/{SECOND}.ipynb": SECOND},
}
NOTES = nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("shopping")])).encode()


@pytest.mark.parametrize("shape", ["moodle_folders", "canvas", "gradescope"])
@pytest.mark.parametrize("way", WAYS)
def test_each_notebook_is_collected_under_its_name(tree, tmp_path, way, shape):
    if shape == "canvas" and way == "in a folder":
        pytest.skip("Canvas takes no folders")
    content = {name: NOTES if of is None else handed(tree, of, " Ada's") for name, of in WAYS[way].items()}
    entries = SHAPES[shape]([Person("Ada Lovelace", 5, 1005, content)])
    result = collect(tree, UNIT, zipped(entries, tmp_path / "export.zip"))
    (student,) = result.students
    there = {path.stem: path.read_bytes() for path in (tree.root / "submitted" / student / UNIT).glob("*.ipynb")}
    assert there == {of: handed(tree, of, " Ada's") for of in WAYS[way].values() if of}
    assert result.complete and [line for line in result.left_out if "notes.ipynb" in line or of_notes(way)] == (
        result.left_out
    )
    again = collect(tree, UNIT, zipped(entries, tmp_path / "again.zip"))
    assert again.students == result.students and again.left_out == result.left_out


def of_notes(way: str) -> bool:
    return None in WAYS[way].values()


def test_what_the_kit_packs_is_collected_with_the_students_own_modules(tree, tmp_path, capsys):
    with zipfile.ZipFile(build_kit(tree)) as packed:
        packed.extractall(tmp_path)
    kit = Tree(tmp_path / FOLDER)
    assert kit.units() == [UNIT] and notebooks_of(kit, UNIT) == [FIRST, SECOND]
    here = kit.source / UNIT
    (here / "Untitled.ipynb").write_bytes(NOTES)
    (here / "mine.ipynb").write_bytes(NOTES)
    (here / "helper.py").write_text("x = 1\n")
    archive = submit_unit(kit, UNIT, None, tmp_path)
    with zipfile.ZipFile(archive) as packed:
        assert sorted(packed.namelist()) == [f"{UNIT}/{FIRST}.ipynb", f"{UNIT}/{SECOND}.ipynb", f"{UNIT}/helper.py"]
    out = capsys.readouterr()
    assert "0 of 6 exercises are written" in out.out and "helper.py" in out.out
    assert "one" in out.err and "three" in out.err, "what is not written in either notebook"
    entries = SHAPES["moodle_folders"]([Person("Ada", 5, 1005, {archive.name: archive.read_bytes()})])
    result = collect(tree, UNIT, zipped(entries, tmp_path / "export.zip"))
    assert result.students == {"Ada": [f"{FIRST}.ipynb", f"{SECOND}.ipynb", "helper.py"]}


def test_a_kit_says_which_notebook_is_missing(tree, tmp_path):
    with zipfile.ZipFile(io.BytesIO(build_kit(tree).read_bytes())) as packed:
        packed.extractall(tmp_path)
    kit = Tree(tmp_path / FOLDER)
    (kit.source / UNIT / f"{SECOND}.ipynb").unlink()
    with pytest.raises(CourseError, match=f"{SECOND}.ipynb is missing"):
        submit_unit(kit, UNIT, None, tmp_path)


def test_the_files_of_the_source_are_what_a_submission_reads(tree):
    folder = tree.root / "submitted" / "ada" / UNIT
    folder.mkdir(parents=True)
    (folder / f"{FIRST}.ipynb").write_bytes(handed(tree, FIRST))
    (folder / "data.csv").write_bytes(b"changed")
    (folder / "own.py").write_bytes(b"x = 1")
    found = find_submission(tree, UNIT, "ada", FIRST)
    assert isinstance(found, Submission) and found.files == GIVEN | {"own.py": b"x = 1"}
    missing = find_submission(tree, UNIT, "ada", SECOND)
    assert missing == ("missing", f"no {UNIT}/{SECOND}.ipynb was handed in") and not is_trouble(UNIT, missing)


def test_a_renamed_notebook_is_told_by_its_content(tree):
    folder = tree.root / "submitted" / "ada" / UNIT
    folder.mkdir(parents=True)
    (folder / f"{FIRST}.ipynb").write_bytes(handed(tree, FIRST))
    (folder / "final.ipynb").write_bytes(handed(tree, SECOND))
    (folder / "notes.ipynb").write_bytes(NOTES)
    found = find_submission(tree, UNIT, "ada", SECOND)
    assert isinstance(found, Submission) and found.notebook == handed(tree, SECOND)
    assert found.notes == ["the file was named final.ipynb"]
