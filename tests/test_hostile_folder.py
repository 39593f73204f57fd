"""What lies in the folder in which a command is typed decides nothing: not what is imported, not how it is configured."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from miniature import hand_in, make_tree

from autograder.grades_file import read_grades
from autograder.release import release_units
from course_utils.system.tree import Tree

UNIT = "01_double"
OWNED = "import pathlib\npathlib.Path({mark!r}).write_text('by ' + __file__)\n"
MODULES = ("random", "torch", "multiprocessing", "typer", "nbgrader", "course_utils", "autograder", "alembic", "yaml")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
def test_collecting_grading_and_feedback_where_a_stranger_has_left_files(tmp_path):
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    right = {"double": "def double(x):\n    return 2 * x", "triple": "def triple(x):\n    return 3 * x"}
    here = hand_in(tree.root, "ada", UNIT, right).parent
    mark = tmp_path / "mark"
    for name in MODULES:
        (here / f"{name}.py").write_text(OWNED.format(mark=str(mark)))
    for name in ("nbgrader_config.py", "jupyter_config.py", "sitecustomize.py", "conftest.py", "pip.conf", "setup.cfg"):
        (here / name).write_text(OWNED.format(mark=str(mark)))
    script = tmp_path / "bin" / "course"  # as pip writes it
    script.parent.mkdir()
    script.write_text(
        "import sys\nfrom course_utils.cli import main\n\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    deep = tmp_path / ("long " * 20)
    deep.mkdir()
    for words in (("grade", "01"), ("feedback", "01"), ("report", "01"), ("release", "--check")):
        done = subprocess.run(
            [sys.executable, str(script), "--root", str(tree.root), *words],
            cwd=here,
            capture_output=True,
            text=True,
            env=os.environ | {"TMPDIR": str(deep), "PYTHONIOENCODING": "ascii"},
        )
        assert done.returncode == 0, (words, done.stderr)
        assert not mark.exists(), f"{words}: {mark.read_text()}"
    scores = {row.exercise: row.score for row in read_grades(tree.root / "grades.csv")}
    assert scores == {"double": 2, "triple": 2, "q_double": 0}
