"""Colab and other servers: a foreign kernel with an older torch and ipywidgets, no torchvision, no course installed.

The first cell of each notebook installs the kit's wheel there, and every unit runs to its end with full points.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import lanes
import nbformat
import pytest
from miniature import CHECKOUT

UNITS = sorted(path.name for path in (CHECKOUT / "notebooks").iterdir() if path.is_dir())
TORCH = "torch==2.13.0+cpu"  # the one before the pinned one
FOREIGN = [
    "ipywidgets==7.7.1",
    "ipykernel<7",
    "ipython<8",
    "rich<14",
    "numpy<2.3",
    "matplotlib<3.11",
    "scikit-learn<1.8",
]
FOREIGN += ["scipy", "pillow", "tqdm", "nbformat", "nbclient"]
SETUP = "elsewhere"  # id of the cell that installs the wheel
# What a foreign kernel has not; where ipywidgets 7 is, anywidget uses it.
ABSENT = ("torchvision", "jupyterlab", "jupyter_server", "nbgrader", "typer", "nbclient", "hatchling")
IMPORT_ALL = """
import importlib, pkgutil, sys
for name in {absent!r}:
    sys.modules[name] = None
import course_utils
for module in pkgutil.walk_packages(course_utils.__path__, "course_utils."):
    if module.name.split(".")[1] not in ("cli", "check"):
        importlib.import_module(module.name)
from course_utils import check, datasets
assert datasets.load("digits").train_images.ndim
"""
EXECUTE = """
import json, sys, nbformat
from nbclient import NotebookClient
source, folder = sys.argv[1:]
notebook = nbformat.read(source, 4)
client = NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": folder}})
client.execute()
nbformat.write(notebook, folder + "/Copy.ipynb")
"""


def setup_cell(unit: str) -> str:
    notebook = nbformat.read(CHECKOUT / "notebooks" / unit / f"{unit}.ipynb", as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.id == SETUP, "the first code cell is the one that installs the wheel"
    return first.source


def test_every_unit_begins_with_the_same_cell():
    assert len({setup_cell(unit) for unit in UNITS}) == 1


def test_the_cell_does_nothing_where_the_course_is(tmp_path):
    script = f"import subprocess\nsubprocess.run = None\n{setup_cell(UNITS[0])}\nprint('went on')"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "went on\n", done.stderr


def test_the_cell_says_what_to_do_where_the_wheel_is_not(tmp_path):
    script = setup_cell(UNITS[0])
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert "upload latent_space_course-....whl of your kit" in done.stderr.splitlines()[-1]


def test_notebooks_import_nothing_that_a_foreign_kernel_lacks():
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL.format(absent=ABSENT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The Python of an environment as a server might have it; skips where it cannot be had."""
    place = tmp_path_factory.mktemp("elsewhere") / "environment"
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    if sys.platform != "linux" or sys.version_info[:2] != (3, 11):
        pytest.skip("the CPU build of the older torch is looked for on Linux with Python 3.11")
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--retries", "0", TORCH, *FOREIGN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        pytest.skip(f"these packages cannot be reached: {done.stderr.splitlines()[-1]}")
    yield python
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the notebooks run, with the wheel in it."""
    import tomllib

    from autograder.kit import build_wheel, tree_files

    folder = tmp_path_factory.mktemp("content")
    main = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    for name, content in build_wheel(tree_files(CHECKOUT / "course_utils", "course_utils"), main).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_runs_in_a_foreign_kernel(unit, request):
    if not lanes.amount(0, 1):
        pytest.skip("an older torch is installed and each unit takes a minute: `course test --thorough`")
    elsewhere, folder = request.getfixturevalue("elsewhere"), request.getfixturevalue("folder")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"COURSE_BUDGET": "quick", "COURSE_DATASET": "digits", "OMP_NUM_THREADS": "1"}
    source = CHECKOUT / "notebooks" / unit / f"{unit}.ipynb"
    command = [elsewhere, "-c", EXECUTE, source, folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = json.loads((Path(folder) / "Copy.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("grade") and cell["cell_type"] == "code":
            (earned,) = (
                each["data"]["text/plain"] for each in cell["outputs"] if each["output_type"] == "execute_result"
            )
            assert "".join(earned) == str(marks["points"]), (marks["grade_id"], earned)
