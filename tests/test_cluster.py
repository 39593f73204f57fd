"""Grading on a dask cluster: the same grades, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from miniature import hand_in, make_tree

from autograder.batch import Options
from autograder.grade import grade_unit
from autograder.release import release_units
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

pytest.importorskip("distributed", reason="dask.distributed is not installed (the extra `cluster`)")
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
UNIT = "01_double"
RIGHT = {"double": "def double(x):\n    return 2 * x", "triple": "def triple(x):\n    return 3 * x"}
WORKER = """
import os, sys
from distributed.cli.dask_worker import main
if os.geteuid() == 0:  # nothing of the course's folder can be seen from here
    from autograder.sandbox import linux
    try:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("none", sys.argv[1], "tmpfs")
    except OSError:
        pass
main(sys.argv[2:])
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A class of eight, graded by processes of this machine; returns the tree and the bytes of the grades."""
    tree = Tree(make_tree(tmp_path_factory.mktemp("cluster") / "course"))
    release_units(tree, tree.units())
    for number in range(7):
        wrong = {"double": f"def double(x):\n    return x + {number}"} if number % 2 else {}
        hand_in(tree.root, f"student_{number}", UNIT, RIGHT | wrong)
    hand_in(tree.root, "slow", UNIT, RIGHT | {"double": "import time\ntime.sleep(2)\n" + RIGHT["double"]})
    grade_unit(tree, UNIT, options=Options(jobs=2))
    return tree, grades(tree)


@pytest.fixture
def cluster(course, tmp_path):
    """A scheduler and two workers, each a process of its own; the address, and the workers."""
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "distributed.cli.dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(file),
            ],
            **quiet,
        )
    ]
    try:
        until = time.monotonic() + 60
        while not (file.is_file() and file.read_text()) and time.monotonic() < until:
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        for _ in range(2):
            processes.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        WORKER,
                        str(course[0].root),
                        address,
                        "--nthreads",
                        "1",
                        "--no-nanny",
                        "--no-dashboard",
                        "--host",
                        "127.0.0.1",
                        "--memory-limit",
                        "0",
                        "--local-directory",
                        str(tmp_path),
                    ],
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    **quiet,
                )
            )
        yield address, processes[1:]
    finally:
        for process in processes[::-1]:
            process.kill()
            process.wait()


def grades(tree) -> tuple[bytes, bytes]:
    return tuple((tree.root / name).read_bytes() for name in ("grades.csv", "grades.json"))


def test_a_cluster_gives_the_same_grades_and_survives_the_death_of_a_worker(course, cluster):
    tree, expected = course
    address, workers = cluster
    for killed in (False, True):
        for name in ("grades.csv", "grades.json"):
            (tree.root / name).unlink()
        lines = []

        def progress(line: str) -> None:
            lines.append(line)
            if killed and len(lines) == 2:
                os.kill(workers[0].pid, signal.SIGKILL)

        grade_unit(tree, UNIT, progress=progress, options=Options(cluster=address, force=True))
        assert grades(tree) == expected, f"with{'' if killed else 'out'} a killed worker: {lines}"


def test_an_address_where_nobody_answers_is_one_clear_error(course, monkeypatch):
    monkeypatch.setattr("autograder.batch._PATIENCE", 1)
    with pytest.raises(CourseError, match="no dask scheduler answers at 'tcp://127.0.0.1:1'"):
        grade_unit(course[0], UNIT, options=Options(cluster="tcp://127.0.0.1:1", force=True))
