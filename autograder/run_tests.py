"""``course test``: every test of the project in one pytest run, and the executed notebooks with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

WARM_KERNEL = "course-warm"  # forked from a process that has imported everything, see sandbox/provisioner.py
KERNELSPECS = Path(__file__).resolve().parent / "sandbox" / "jupyter"
WORKERS = 3  # processes that run tests beside each other, on two processors: tests also wait; `-n` changes it
THOROUGH = "COURSE_TEST_THOROUGH"  # set by --thorough: tests of generated cases try all of them, see tests/lanes.py
QUICK = "not (bank or browser or grading or slow)"  # marks: tests/lanes.py


def measure_checks(tree: Tree, only: list[str]) -> int:
    """Measure the checks of the exercises named (all, if none is) on the bank of implementations, and write their
    blocks of docs/kill-matrix.md; returns 0 when none is wrong about any of them."""
    command = [sys.executable, str(tree.root / "tests" / "kill_matrix.py")]
    command += [part for name in only for part in ("--only", name)]
    paths = os.pathsep.join(filter(None, [str(tree.root), os.environ.get("PYTHONPATH")]))
    return subprocess.call(command, cwd=tree.root, env=test_environment() | {"PYTHONPATH": paths})


def run_tests(tree: Tree, arguments: list[str], *, quick: bool = False, thorough: bool = False) -> int:
    """Run the tests; returns 0 when all passed. pytest's summary is the last line printed."""
    for package in ("pytest", "nbval", "xdist"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            raise CourseError(f"{package} is not installed. Run: pip install -c constraints.txt -e '.[test]'") from None
    environment = test_environment() | ({THOROUGH: "1"} if thorough else {})
    running = subprocess.Popen(pytest_command(tree, arguments, quick), cwd=tree.root, env=environment)
    while running.returncode is None:
        with contextlib.suppress(KeyboardInterrupt):  # pytest gets Ctrl-C as well, and still has its summary to print
            running.wait()
    return int(running.returncode != 0)


def pytest_command(tree: Tree, arguments: list[str], quick: bool = False) -> list[str]:
    """pytest on tests/ and, cell by cell, on solutions/; only the places named by ``arguments``, if any are.

    Three processes share the work unless something is picked (a place or ``-k``): starting them takes longer than a
    few tests do.
    """
    named = any(os.path.exists(tree.root / given.split("::")[0]) for given in arguments)
    picked = named or any(given.startswith("-k") for given in arguments)
    places = [] if named else ["tests"]
    if places and not quick and any(tree.folder("solution").glob("*/*.ipynb")):
        places.append("solutions")
    kernel = [f"--nbval-kernel-name={WARM_KERNEL}"] if sys.platform.startswith("linux") else ["--nbval-current-env"]
    workers = [] if picked else ["-n", str(WORKERS)]
    lane = ["-m", QUICK] if quick else []
    return [sys.executable, "-m", "pytest", "--nbval-lax", *kernel, *workers, *lane, *places, *arguments]


def test_environment() -> dict[str, str]:
    """Notebooks run on the embedded digits with little training, whatever this machine has, in warm kernels.

    One thread each: beside a busy neighbour two threads can be ten times slower than one. Bytecode is kept, whatever
    the shell says: hundreds of processes would each compile what they import (`nbgrader quickstart`: 40 s, not 17 s).
    """
    kernels = os.pathsep.join(filter(None, [str(KERNELSPECS), os.environ.get("JUPYTER_PATH")]))
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return (
        {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
        | given
        | {"COURSE_BUDGET": "quick", "COURSE_DATASET": "digits", "JUPYTER_PATH": kernels}
    )
