"""Two courses on one machine, which course a command works on, completion, and what a class leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from miniature import CHECKOUT, hand_in, make_tree

from autograder.kit import kit_files
from autograder.release import release_units
from autograder.term import class_entries, new_term
from course_utils import datasets
from course_utils.cli import app as cli
from course_utils.system import kit_update
from course_utils.system.tree import KIT_MARKER, Tree, find_tree, named_root


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = cli.run([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def two(tmp_path) -> tuple[Tree, Tree]:
    """Two courses beside each other, with pictures of the same name."""
    trees = Tree(make_tree(tmp_path / "one")), Tree(make_tree(tmp_path / "two"))
    for tree, value in zip(trees, ("0", "9"), strict=True):
        (tree.root / "data").mkdir()
        lines = [",".join([value] * 64)] * 20
        (tree.root / "data" / "mine.csv").write_text("\n".join(lines))
    return trees


@pytest.mark.parametrize("place", ["before", "after", "joined"])
def test_root_may_stand_anywhere_and_its_data_count(two, monkeypatch, capsys, place):
    one, other = two
    monkeypatch.chdir(one.root)
    command, root = ["data", "list"], ["--root", str(other.root)]
    words = {"before": [*root, *command], "after": [*command, *root], "joined": [*command, f"--root={other.root}"]}
    code, out, err = run(capsys, *words[place])
    assert code == 0 and f"your own in {other.root}/data" in out and str(one.root) not in out
    assert named_root.get() is None and find_tree() == one, "the next command is on its own"
    assert datasets.load("mine", device="cpu").train_images.max() == 0
    assert run(capsys, "--root", one.root / "nowhere", "data")[0] == 2


def test_a_command_outside_says_on_which_course_it_works(tmp_path, monkeypatch, capsys, two):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "runs")
    assert code == 0 and err == f"course: working on {CHECKOUT}; there is no course around this folder.\n"
    monkeypatch.chdir(two[0].root / "notebooks")
    assert run(capsys, "runs")[2] == ""


def test_version_says_where_the_code_is_and_which_course_is_meant(two, monkeypatch, capsys):
    monkeypatch.chdir(two[1].root)
    code, out, _ = run(capsys, "--version")
    assert code == 0 and f"from {CHECKOUT}" in out and f"works here on {two[1].root}" in out


def test_the_shell_completes_commands_and_units(two):
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "_COURSE_COMPLETE": "complete_bash"}

    def complete(words: str) -> list[str]:
        given = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        command = [sys.executable, "-c", "from course_utils.cli import main; main()"]
        done = subprocess.run(command, env=environment | given, cwd=two[0].root, capture_output=True, text=True)
        return done.stdout.split()

    assert "release" in complete("course rel")
    assert complete("course release 01") == ["01_double"]


def test_a_kit_of_another_course_is_not_brought_in(two, tmp_path):
    folders = []
    for tree in two:
        release_units(tree, ["01_double"])
        (tree.root / "course.toml").write_text(f'id = "{tree.root.name}"')
        folder = tmp_path / f"kit-{tree.root.name}"
        for name, content in kit_files(tree).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        folders.append(folder)
    assert json.loads((folders[0] / KIT_MARKER).read_text())["about"]["id"] == "one"
    with pytest.raises(kit_update.UpdateError, match="another course"):
        kit_update.update(folders[0], folders[1])
    assert kit_update.update(folders[0], folders[0]) == []


def test_a_new_term_takes_all_of_the_class_and_nothing_else(tmp_path):
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, ["01_double"])
    hand_in(tree.root, "ada", "01_double", {})
    left = {
        ".grading-seeds.json",
        "grades.csv",
        "grades.json",
        "grades-moodle-01_double.csv",
        "grades-nbgrader.csv",
        "report.html",
        ".withdrawn.json",
        ".changes.json",
    }
    for name in left:
        (tree.root / name).write_text("of the class")
    for name in ("autograded", "feedback", "downloaded"):
        (tree.root / name / "ada").mkdir(parents=True)
    left |= {"submitted", "autograded", "feedback", "downloaded", "gradebook.db", ".released.json", ".releases"}
    folder, moved = new_term(tree)
    assert set(moved) == left == {path.name for path in folder.iterdir()}
    assert class_entries(tree.root) == [] and folder.parent == tree.root / "terms"
    stays = {path.name for path in tree.root.iterdir()}
    assert stays == {"nbgrader_config.py", "notebooks", "release", "build", "terms"}
    assert folder.stat().st_mode & 0o077 == 0 or sys.platform == "win32", "for its owner alone"
    ignored = Path(CHECKOUT / ".gitignore").read_text().split()
    assert {"terms/", "downloaded/", ".withdrawn.json", ".releases/", ".changes.json"} <= set(ignored)
