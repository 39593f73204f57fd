"""`course release` sends what was asked for, and nothing else: units named so far, no copies, no file with a solution."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta

import nbformat
import pytest
from miniature import make_tree
from nbconvert import HTMLExporter, PythonExporter
from nbformat.v4 import new_code_cell

from autograder.kit import build_kit, kit_files
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import RELEASED, release_units, released_units
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

FIRST, SECOND = "01_double", "02_other"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A fresh clone: release/ is filled by git, and nobody has released anything here."""
    root = make_tree(tmp_path_factory.mktemp("clone") / "course")
    release_units(Tree(root), [FIRST, SECOND])
    (root / RELEASED).unlink()
    return root


@pytest.fixture
def tree(clone, tmp_path) -> Tree:
    return Tree(shutil.copytree(clone, tmp_path / "course"))


def units_in_kit(tree: Tree) -> list[str]:
    with zipfile.ZipFile(build_kit(tree)) as kit:
        return sorted({name.split("/")[2] for name in kit.namelist() if name.endswith(".ipynb")})


def test_a_fresh_clone_has_no_kit(tree):
    with pytest.raises(CourseError, match="no unit has been released.*course release UNIT"):
        build_kit(tree)


def test_the_kit_holds_the_units_released_so_far(tree, course):
    code, out, _ = course(tree, "release", "01")
    assert code == 0 and f"released so far: {FIRST}\n" in out
    assert units_in_kit(tree) == [FIRST]
    assert set(json.loads(kit_files(tree)["kit.json"])["units"]) == {FIRST}
    code, out, _ = course(tree, "release", "02")
    assert code == 0 and f"released so far: {FIRST}, {SECOND}\n" in out
    assert units_in_kit(tree) == [FIRST, SECOND]


def test_what_was_refused_was_not_released(tree):
    (tree.source / SECOND / "notes.py").write_text("### BEGIN SOLUTION\n")
    with pytest.raises(CourseError):
        release_units(tree, [FIRST, SECOND])
    with pytest.raises(CourseError, match="no unit has been released"):
        released_units(tree)


@pytest.mark.parametrize("content", ["", "{", "3", '["no unit", 4]'])
def test_a_damaged_record_counts_as_none(tree, content):
    (tree.root / RELEASED).write_text(content)
    with pytest.raises(CourseError, match="no unit has been released"):
        released_units(tree)
    release_units(tree, [SECOND])
    assert released_units(tree) == [SECOND]


@pytest.mark.parametrize("copy", [f"{FIRST}-Copy1", f"{FIRST}-Copy12", "Untitled", "Untitled3", f"Copy of {FIRST}"])
def test_copies_that_jupyterlab_made_stay_here(tree, copy):
    shutil.copy(tree.source / FIRST / f"{FIRST}.ipynb", tree.source / FIRST / f"{copy}.ipynb")
    release_units(tree, [FIRST])
    assert [path.name for path in (tree.root / "release" / FIRST).iterdir()] == [f"{FIRST}.ipynb"]
    with NbGraderCourse(tree).gradebook() as gradebook:
        assert [notebook.name for notebook in gradebook.find_assignment(FIRST).notebooks] == [FIRST]
        assert gradebook.find_assignment(FIRST).max_score == 7


def solved(tree: Tree) -> nbformat.NotebookNode:
    return nbformat.read(tree.source / FIRST / f"{FIRST}.ipynb", as_version=4)


def unmarked(tree: Tree) -> nbformat.NotebookNode:
    """The source as somebody may keep it who has taken out the lines that mark solutions."""
    notebook = solved(tree)
    for cell in notebook.cells:
        cell.source = "\n".join(line for line in cell.source.split("\n") if "BEGIN " not in line and "END " not in line)
    return notebook


def zipped(*members: tuple[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return data.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


LEAKING = {
    "export.html": lambda tree: HTMLExporter().from_notebook_node(solved(tree))[0].encode(),
    "unmarked.html": lambda tree: HTMLExporter().from_notebook_node(unmarked(tree))[0].encode(),
    "notes.py": lambda tree: PythonExporter().from_notebook_node(unmarked(tree))[0].encode(),
    "notes.txt": lambda tree: b"x\n    doubled_value = x + x\n    return doubled_value\n",
    "scheme.md": lambda tree: b"One point for each of: the sign stays, zero stays.\n",
    "answer.md": lambda tree: b"The sign and zero stay, as every student should see.\n",
    "old.zip": lambda tree: zipped(("a/b.ipynb", nbformat.writes(solved(tree)).encode())),
    "unmarked.zip": lambda tree: zipped(("b.ipynb", nbformat.writes(unmarked(tree)).encode())),
    "zip.zip": lambda tree: zipped(("x.zip", zipped(("s.py", b"### BEGIN SOLUTION")))),
    "old.tar.gz": lambda tree: tarred("s.py", b"### BEGIN SOLUTION"),
    "backup.json": lambda tree: nbformat.writes(unmarked(tree)).encode(),
    "code/solution.py": lambda tree: b"    tripled_value = 3 * x\n    return tripled_value\n",
    f"{FIRST}.pdf": lambda tree: b"%PDF-1.7 compressed",
}


@pytest.mark.parametrize("name", LEAKING)
def test_no_file_with_a_solution_goes_out(tree, name):
    path = tree.source / FIRST / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(LEAKING[name](tree))
    with pytest.raises(CourseError, match=f"{FIRST} is not released: {name}"):
        release_units(tree, [FIRST])


HARMLESS = {
    "data.csv": b"x,y\n1,2\n",
    "figure.png": b"\x89PNG\r\n\x1a\n\x00\x00",
    "helper.py": b"def quadruple(x):\n    return 4 * x\n",
    "reading.pdf": b"%PDF-1.7",
    "page.html": b"<p>Read this first.</p>",
    "data/more.zip": zipped(("a.csv", b"1,2")),
}


def test_files_that_give_nothing_away_go_out_with_the_unit(tree):
    for name, data in HARMLESS.items():
        path = tree.source / FIRST / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    release_units(tree, [FIRST])
    files = kit_files(tree)
    assert {name: files[f"notebooks/{FIRST}/{name}"] for name in HARMLESS} == HARMLESS


def test_what_was_put_into_release_by_hand_does_not_go_out(tree):
    release_units(tree, [FIRST])
    shutil.copy(tree.source / FIRST / f"{FIRST}.ipynb", tree.root / "release" / FIRST / "solved.ipynb")
    with pytest.raises(CourseError, match="solved.ipynb is no notebook of the unit"):
        build_kit(tree)


def test_an_answer_is_not_given_before_its_exercise_is_due(tree):
    path = tree.source / SECOND / f"{SECOND}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(2, new_code_cell("def triple(x):\n    return x + x + x", id="given"))
    nbformat.write(notebook, path)
    release_units(tree, [FIRST, SECOND])  # no due date: as ever

    def due(in_days: int) -> None:
        with NbGraderCourse(tree).gradebook() as gradebook:
            date = (datetime.now(UTC) + timedelta(days=in_days)).strftime("%Y-%m-%d %H:%M:%S UTC")
            gradebook.update_or_create_assignment(FIRST, duedate=date)

    due(3)
    with pytest.raises(
        CourseError, match=f"gives the answer of triple, an exercise of {FIRST}, which is due .*--early"
    ):
        release_units(tree, [SECOND])
    release_units(tree, [FIRST])
    release_units(tree, [SECOND], early=True)
    due(-1)
    release_units(tree, [SECOND])


def test_units_may_have_any_name(tmp_path):
    root = make_tree(tmp_path / "course")
    for old, new in ((FIRST, "week3"), (SECOND, "8_mine übung")):
        (root / "notebooks" / old / f"{old}.ipynb").rename(root / "notebooks" / old / f"{new}.ipynb")
        (root / "notebooks" / old).rename(root / "notebooks" / new)
    (root / "notebooks" / "pictures").mkdir()
    tree = Tree(root)
    assert tree.units() == ["8_mine übung", "week3"]
    assert tree.unit("8") == tree.unit("08") == "8_mine übung" and tree.unit("week3") == "week3"
    release_units(tree, tree.units())
    assert units_in_kit(tree) == ["8_mine übung", "week3"]
