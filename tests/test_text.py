"""Notebooks as text: back and forth without a loss, edits put where they belong, diffs that show the edit alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from autograder.text import apply_text, as_text, text_path, write_text
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, find_tree

ROOT = Path(__file__).resolve().parent.parent
UNITS = find_tree(ROOT).units()
UNIT = UNITS[1]


@pytest.fixture()
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "nbgrader_config.py").touch()
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    return Tree(tmp_path)


def _notebook(tree: Tree, unit: str = UNIT) -> Path:
    return tree.source / unit / f"{unit}.ipynb"


def _edit(tree: Tree, old: str, new: str) -> None:
    path = text_path(tree, UNIT)
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the text"
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("unit", UNITS)
def test_back_and_forth_changes_no_byte(tree, unit):
    before = _notebook(tree, unit).read_bytes()
    write_text(tree, unit)
    assert apply_text(tree, unit) == []
    assert _notebook(tree, unit).read_bytes() == before


@pytest.mark.parametrize("unit", UNITS)
def test_the_text_alone_says_all_that_a_notebook_holds(unit):
    """So the first test is not only about cells that were left alone."""
    from autograder.text import _cells_of

    notebook = nbformat.read(ROOT / "notebooks" / unit / f"{unit}.ipynb", as_version=4)
    found = list(_cells_of(as_text(notebook)))
    assert [given for given, _ in found] == [cell.id for cell in notebook.cells]
    for (_, cell), original in zip(found, notebook.cells, strict=True):
        assert (cell.cell_type, cell.source, cell.metadata) == (
            original.cell_type,
            original.source,
            original.metadata,
        )


def test_an_edited_line_reaches_its_cell_and_no_other(tree):
    before = nbformat.read(_notebook(tree), as_version=4)
    write_text(tree, UNIT)
    _edit(tree, "    eps = torch.randn_like(mu)\n", "    eps = torch.randn_like(logvar)\n")
    assert apply_text(tree, UNIT) == ["changed: reparameterize"]
    after = nbformat.read(_notebook(tree), as_version=4)
    changed = [(a, b) for a, b in zip(before.cells, after.cells, strict=True) if a != b]
    ((old, new),) = changed
    assert new.source == old.source.replace("randn_like(mu)", "randn_like(logvar)")
    assert {**new, "source": ""} == {**old, "source": ""}, "id, tags and nbgrader's metadata stay"
    assert apply_text(tree, UNIT) == [], "the text is in step with the notebook again"


def test_points_tags_and_order_are_edited_in_the_lines_above_the_cells(tree):
    write_text(tree, UNIT)
    text = text_path(tree, UNIT).read_text(encoding="utf-8")
    marked = next(line for line in text.splitlines() if '"grade_id": "test_kl_divergence"' in line)
    assert '"points": 4' in marked
    _edit(tree, marked, marked.replace('"points": 4', '"points": 5').replace('tags=["', 'tags=["more", "'))
    assert apply_text(tree, UNIT) == ["changed: test_kl_divergence"]
    cell = next(
        cell
        for cell in nbformat.read(_notebook(tree), as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "test_kl_divergence"
    )
    assert (cell.metadata.nbgrader.points, cell.metadata.tags) == (5, ["more", "nbval-check-output"])


def test_cells_are_added_copied_and_deleted(tree):
    write_text(tree, UNIT)
    path = text_path(tree, UNIT)
    first_line, *cells = path.read_text(encoding="utf-8").split("# %% ")
    new = 'tags=["experiment"]\nprint("new")\n\n'
    path.write_text("# %% ".join([first_line, cells[1], new, *cells[3:], cells[-1]]), encoding="utf-8")
    before = nbformat.read(_notebook(tree), as_version=4).cells
    changes = apply_text(tree, UNIT)
    after = nbformat.read(_notebook(tree), as_version=4).cells
    assert [change.split(":")[0] for change in changes] == ["new", "new", "deleted", "deleted"]
    assert after[0] == before[1] and after[2:-1] == before[3:]
    assert (after[1].source, after[1].metadata.tags) == ('print("new")', ["experiment"])
    assert len({cell.id for cell in after}) == len(after), "a copy has an id of its own"


def test_no_edit_is_lost_in_silence(tree):
    with pytest.raises(CourseError, match="missing"):
        apply_text(tree, UNIT)
    write_text(tree, UNIT)
    write_text(tree, UNIT)  # unedited: written again
    _edit(tree, "    eps = torch.randn_like(mu)\n", "    eps = torch.randn_like(logvar)\n")
    with pytest.raises(CourseError, match="was edited"):
        write_text(tree, UNIT)
    notebook = nbformat.read(_notebook(tree), as_version=4)
    notebook.cells[0].source += "\nEdited in JupyterLab."
    nbformat.write(notebook, _notebook(tree))
    with pytest.raises(CourseError, match="was changed after"):
        apply_text(tree, UNIT)


def test_a_diff_of_a_notebook_shows_the_edited_line_and_nothing_else(tree):
    shutil.copy(ROOT / ".gitattributes", tree.root)

    def git(*arguments: str) -> str:
        own = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.hooksPath=/dev/null")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", *own, *arguments], cwd=tree.root, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    git("init", "-q")
    git("config", "diff.ipynb.textconv", f"{sys.executable} -m autograder.text")
    git("add", ".")
    git("commit", "-qm", "as it was")
    write_text(tree, UNIT)
    _edit(tree, "    eps = torch.randn_like(mu)\n", "    eps = torch.randn_like(logvar)\n")
    apply_text(tree, UNIT)
    lines = git("diff", "--", "notebooks").splitlines()
    assert sum(line.startswith("@@") for line in lines) == 1
    assert [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-    eps = torch.randn_like(mu)",
        "+    eps = torch.randn_like(logvar)",
    ]
    _notebook(tree).write_text("<<<<<<< not a notebook\n")
    assert "+<<<<<<< not a notebook" in git("diff", "--", "notebooks").splitlines(), "shown as it is"


def test_the_sources_carry_nothing_of_an_editor(tree):
    for unit in UNITS:
        notebook = nbformat.read(_notebook(tree, unit), as_version=4)
        assert set(notebook.metadata) <= {"kernelspec", "language_info"}, unit
        for cell in notebook.cells:
            ours = {"nbgrader", "tags", "jupyter"}
            assert set(cell.metadata) <= ours, f"{unit}, cell {cell.id}: {sorted(cell.metadata)}"
            assert cell.metadata.get("jupyter", {"source_hidden": True}) == {"source_hidden": True}
