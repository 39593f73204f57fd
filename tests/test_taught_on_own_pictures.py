"""A unit is taught on an instructor's own pictures: course.toml names them, and the notebook runs from top to bottom."""

from __future__ import annotations

import sys

import nbformat
import numpy as np
import pytest
from PIL import Image, ImageDraw

from autograder.own_course import new_course
from autograder.solutions import execute_source
from course_utils.models import runs
from course_utils.system.tree import Tree

UNIT = "04_mmd"


def draw(folder, each: int) -> None:
    """Ten kinds of grey shapes, ``each`` pictures of 40 x 40 pixels of every kind."""
    rng = np.random.default_rng(0)
    for kind in range(10):
        for number in range(each):
            picture = Image.new("L", (40, 40))
            x, y, side = (int(n) for n in rng.integers((6, 6, 12), (14, 14, 20)))
            box, light = (x, y, x + side, y + side), int(rng.integers(150, 255))
            shape = ImageDraw.Draw(picture).ellipse if kind < 5 else ImageDraw.Draw(picture).rectangle
            shape(box, outline=light, width=1 + kind % 5)
            path = folder / f"form{kind}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)


@pytest.mark.skipif(sys.platform == "win32", reason="notebooks are executed in sandboxed kernels on Linux")
def test_a_unit_runs_on_own_pictures_and_keeps_their_name(tmp_path, monkeypatch):
    new_course(tmp_path / "own", [UNIT])
    tree = Tree(tmp_path / "own")
    draw(tree.root / "data" / "formen", each=20)
    with (tree.root / "course.toml").open("a", encoding="utf-8") as file:
        file.write('[dataset]\nname = "formen"\nsize = 28\ngrey = true\n')
    for name, value in {"COURSE_BUDGET": "quick", "COURSE_RUNS": str(tmp_path / "runs")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("COURSE_DATASET", raising=False)
    execute_source(tree, UNIT, tmp_path / "done")
    executed = nbformat.read(tmp_path / "done" / UNIT / f"{UNIT}.ipynb", as_version=4)
    assert not any(output.output_type == "error" for cell in executed.cells for output in cell.get("outputs", []))
    kept, skipped = runs.every()
    assert kept and {run.data["name"] for run in kept} == {"formen"} and not skipped
