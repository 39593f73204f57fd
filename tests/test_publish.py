"""The kit as a branch of a git repository: one more commit each time, and nothing lost by whoever pulls it."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from extra_environment import NBGITPULLER, python_with
from miniature import CHECKOUT, make_tree
from nbformat.v4 import new_code_cell, new_markdown_cell

from autograder.kit import kit_files
from autograder.publish import publish_kit, pull_link
from autograder.release import release_units
from course_utils.cli.update import update_kit
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.kit_update import older_kit_beside, read_kit
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
FIRST, SECOND = "01_double", "02_other"


def notebook(unit: str) -> str:
    return f"notebooks/{unit}/{unit}.ipynb"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def edit(path: Path, change) -> None:
    content = nbformat.read(path, as_version=4)
    change(content)
    nbformat.write(content, path)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A course with one unit released, and the second ready to be."""
    root = make_tree(tmp_path_factory.mktemp("course") / "course")
    release_units(Tree(root), [FIRST, SECOND])
    (root / "release" / SECOND).rename(root / "later")
    return root


@pytest.fixture
def course(released, tmp_path):
    return Tree(Path(shutil.copytree(released, tmp_path / "course")))


@pytest.fixture
def remote(tmp_path):
    folder = tmp_path / "kit.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", folder], check=True)
    return f"file://{folder}"


def release_second(course: Tree) -> None:
    (course.root / "later").rename(course.root / "release" / SECOND)


def repair_first(course: Tree) -> None:
    """What an instructor does who finds a mistake in a unit that is out already: in several cells."""

    def change(content):
        content.cells.insert(1, new_markdown_cell("A hint that was missing.", id=f"hint-{len(content.cells)}"))
        for cell in content.cells:
            if "nbgrader" not in cell.metadata and (cell.cell_type == "markdown" or "tags" in cell.metadata):
                cell.source += "\n# corrected" if cell.cell_type == "code" else "\n\nCorrected."

    for folder in ("notebooks", "release"):
        edit(course.root / folder / FIRST / f"{FIRST}.ipynb", change)


def test_each_release_is_one_more_commit(course, remote, tmp_path):
    first = publish_kit(course, remote, "main")
    assert first.is_new and first.notebooks == [notebook(FIRST)]
    again = publish_kit(course, remote, "main")
    assert not again.is_new and again.commit == first.commit
    release_second(course)
    second = publish_kit(course, remote, "main")
    assert second.notebooks == [notebook(SECOND)]

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", remote, str(clone))
    assert git(clone, "log", "--format=%H").split() == [second.commit, first.commit]
    for name, content in kit_files(course).items():
        assert (clone / name).read_bytes() == content, f"{name} is not what the zip has"
    assert (clone / "start.sh").stat().st_mode & 0o111
    kit = read_kit(clone)
    for name, digest in kit["files"].items():
        assert hashlib.sha256((clone / name).read_bytes()).hexdigest() == digest


def test_what_was_published_stays_and_what_left_the_package_goes(course, remote, tmp_path, monkeypatch):
    release_second(course)
    files = kit_files(course)
    kit = json.loads(files["kit.json"])
    kit["files"]["course_utils/old.py"] = hashlib.sha256(b"").hexdigest()
    with_old = files | {"course_utils/old.py": b"", "kit.json": json.dumps(kit).encode()}
    monkeypatch.setattr("autograder.publish.kit_files", lambda tree: with_old)
    publish_kit(course, remote, "main")
    monkeypatch.undo()
    shutil.rmtree(course.root / "release" / FIRST)
    publish_kit(course, remote, "main")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", remote, str(clone))
    assert (clone / notebook(FIRST)).is_file() and set(read_kit(clone)["units"]) == {FIRST, SECOND}
    assert not (clone / "course_utils/old.py").exists()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("not there", "cannot be read"),
        ("other content", "holds something else"),
        ("solutions", "with its solutions"),
        ("no name", "no name of a branch"),
    ],
)
def test_a_repository_that_will_not_do_is_refused_in_one_line(course, remote, tmp_path, fault, said):
    branch = "my branch" if fault == "no name" else "main"
    work = tmp_path / "work"
    work.mkdir()
    if fault == "not there":
        remote += "-elsewhere"
    elif fault == "other content":
        (work / "README").write_text("an essay")
    elif fault == "solutions":
        branch, work = "kit", course.root
    if fault in ("other content", "solutions"):
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "add", "--all")
        git(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
        git(work, "push", "--quiet", remote, "main")
    with pytest.raises(CourseError, match=said) as refusal:
        publish_kit(course, remote, branch)
    assert "\n" not in str(refusal.value)
    if fault != "not there":
        assert git(tmp_path / "kit.git", "for-each-ref", "refs/heads/kit") == ""


def test_who_publishes_meanwhile_is_not_overwritten(course, remote, tmp_path):
    publish_kit(course, remote, "main")
    hook = tmp_path / "kit.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no room >&2\nexit 1\n")
    hook.chmod(0o755)
    before = git(tmp_path / "kit.git", "rev-parse", "main")
    release_second(course)
    with pytest.raises(CourseError, match="cannot be written to: .*no room"):
        publish_kit(course, remote, "main")
    assert git(tmp_path / "kit.git", "rev-parse", "main") == before


def test_a_kit_that_came_by_git_is_renewed_by_git(course, remote, tmp_path):
    publish_kit(course, remote, "main")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", remote, str(clone))
    with pytest.raises(WrongUsage, match="by git"):
        update_kit(Tree(clone), tmp_path / "kit.zip")
    (clone / "runs").mkdir()
    (clone / "runs" / "vae.json").touch()
    beside = tmp_path / "unpacked"
    for name, content in kit_files(course).items():
        (beside / name).parent.mkdir(parents=True, exist_ok=True)
        (beside / name).write_bytes(content)
    assert older_kit_beside(beside) is None


@pytest.mark.parametrize(
    "address",
    [
        "https://git.example.org/me/kit.git",
        "git@git.example.org:me/kit.git",
        "ssh://git@git.example.org/me/kit.git",
        "https://me:secret@git.example.org/me/kit.git",
    ],
)
def test_the_link_is_for_students(address):
    link = pull_link(address, "main", FIRST)
    assert "repo=https%3A%2F%2Fgit.example.org%2Fme%2Fkit.git&branch=main" in link and "secret" not in link
    assert link.endswith(f"urlpath=lab%2Ftree%2Fkit%2Fnotebooks%2F{FIRST}%2F{FIRST}.ipynb")


class Puller:
    """A student who clicks the course's link: the real nbgitpuller."""

    def __init__(self, python: Path, remote: str, folder: Path) -> None:
        self._command = [python, "-m", "nbgitpuller.pull", remote, "main", folder]

    def pull(self) -> None:
        done = subprocess.run(self._command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return python_with(tmp_path_factory.mktemp("pull") / "venv", NBGITPULLER)


def work_in(path: Path, draw: random.Random) -> None:
    """Fill in, answer, run, add and delete cells, as JupyterLab saves them."""

    def change(content):
        for cell in content.cells:
            if cell.metadata.get("nbgrader", {}).get("solution") or draw.random() < 0.2:
                cell.source = f"{cell.source}\n# mine {draw.random()}"
            if cell.cell_type == "code":
                cell.execution_count = draw.randint(1, 50)
                cell.outputs = [nbformat.v4.new_output("stream", text=f"{draw.random()}\n" * draw.randint(1, 40))]
        for _ in range(draw.randint(0, 3)):
            content.cells.insert(draw.randrange(len(content.cells)), new_code_cell(f"try_out({draw.random()})"))
        if draw.random() < 0.5:
            del content.cells[draw.choice([0, -1])]

    edit(path, change)


@pytest.mark.parametrize("seed", range(5))
def test_a_student_who_pulls_the_next_unit_loses_nothing(course, remote, tmp_path, python, seed):
    draw = random.Random(seed)
    publish_kit(course, remote, "main")
    mine = tmp_path / "home" / "kit"
    student = Puller(python, remote, mine)
    student.pull()
    assert (mine / notebook(FIRST)).is_file() and not (mine / notebook(SECOND)).exists()

    work_in(mine / notebook(FIRST), draw)
    own = {
        f"runs/{FIRST}/vae.safetensors": draw.randbytes(1000),
        f"runs/{FIRST}/vae.json": b"{}",
        f"runs/{FIRST}/.guesses": b'{"guess": "b"}',
        f"notebooks/{FIRST}/helper.py": b"mine",
        f"notebooks/{SECOND}/{SECOND}.ipynb": b"a file of that name, from somewhere else",
        "thoughts.md": b"mine",
    }
    for name, content in own.items():
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_bytes(content)
    before = (mine / notebook(FIRST)).read_bytes()

    for step in range(2):  # the next unit comes out; the first is repaired, twice, while it is worked on
        repair_first(course)
        if step == 0:
            release_second(course)
        publish_kit(course, remote, "main")
        student.pull()
        assert (mine / notebook(FIRST)).read_bytes() == before, "the student's notebook is touched"
        work_in(mine / notebook(FIRST), draw)
        before = (mine / notebook(FIRST)).read_bytes()
    there = notebook(SECOND)
    assert (mine / there).read_bytes() == kit_files(course)[there], "the next unit did not come"
    moved = next((mine / "notebooks" / SECOND).glob(f"{SECOND}__*.ipynb"))
    assert moved.read_bytes() == own.pop(there)
    for name, content in own.items():
        assert (mine / name).read_bytes() == content, f"{name} was lost"
    assert set(read_kit(mine)["units"]) == {FIRST, SECOND}

    # who wants the repaired version: rename one's own, click again
    (mine / notebook(FIRST)).rename(mine / "notebooks" / FIRST / "mine.ipynb")
    student.pull()
    assert (mine / "notebooks" / FIRST / "mine.ipynb").read_bytes() == before
    assert (mine / notebook(FIRST)).read_bytes() == kit_files(course)[notebook(FIRST)]


def test_a_notebook_that_nobody_changed_is_renewed(course, remote, tmp_path, python):
    publish_kit(course, remote, "main")
    student = Puller(python, remote, tmp_path / "kit")
    student.pull()
    repair_first(course)
    publish_kit(course, remote, "main")
    student.pull()
    assert (tmp_path / "kit" / notebook(FIRST)).read_bytes() == kit_files(course)[notebook(FIRST)]


def test_the_command_publishes_and_prints_the_link(course, remote):
    command = [sys.executable, "-m", "course_utils.cli", "--root", course.root, "release", "01", "--git", remote]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert f"notebooks: {notebook(FIRST)}" in done.stdout and "git-pull?repo=file" in done.stdout
