"""Which level of isolation is chosen, for root and for an ordinary user, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from miniature import CHECKOUT, hand_in, make_tree

from autograder.grades_file import read_grades
from autograder.release import release_units
from autograder.sandbox import client
from autograder.sandbox.client import WarmProcess, probe
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
NOBODY = 65534
UNIT = "01_double"
RIGHT = {"double": "def double(x):\n    return 2 * x", "triple": "def triple(x):\n    return 3 * x"}


def test_without_isolation_nothing_is_graded_unless_told_to(monkeypatch):
    monkeypatch.setenv("COURSE_ISOLATION", "none")
    assert probe() == "none"
    with pytest.raises(CourseError, match="--unsafe"):
        WarmProcess()
    with WarmProcess(unsafe=True) as warm:
        assert warm.level == "none"


def test_one_warm_process_serves_although_somebody_adds_to_path(monkeypatch):
    class Started:
        address = "here"

        def __init__(self, *_, **__):
            begun.append(self)

        def serves(self):
            return True

        def close(self):
            pass

    begun = []
    monkeypatch.setattr(client, "WarmProcess", Started)
    monkeypatch.setattr(client, "_own", {})
    client.begin_own()
    monkeypatch.setenv("PATH", "/somewhere/bin", prepend=os.pathsep)
    assert client.own_address() == "here" and len(begun) == 1


def test_a_level_that_is_required_is_had_or_nothing_is_graded(monkeypatch):
    monkeypatch.setattr(client, "probe", lambda: "landlock")
    client.require_level("landlock")
    with pytest.raises(CourseError, match="isolates student code by 'landlock'"):
        client.require_level("namespaces")
    with pytest.raises(WrongUsage, match="namespaces or landlock"):
        client.require_level("none")


@pytest.fixture(scope="module")
def ordinary_user(open_folder):
    """A copy of the course that another user owns, and a command that runs Python as that user in it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; run by an ordinary user, every other test shows the same")
    home = open_folder / "home"
    home.mkdir()
    python = reachable_python(home / "venv")
    if python is None:
        pytest.skip("no Python that another user could run: the one that runs this lies in root's home")
    checkout = home / "checkout"
    for name in ("course_utils", "autograder"):
        shutil.copytree(CHECKOUT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    tree = Tree(make_tree(home / "course"))
    release_units(tree, tree.units())
    for path in [home, *home.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [python, *words],
            cwd=tree.root,
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            text=True,
            capture_output=True,
            timeout=300,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "PYTHONPATH": str(checkout),
                "OMP_NUM_THREADS": "1",
                **environment,
            },
        )

    return tree, run


def reachable_python(folder: Path) -> str | None:
    """A virtual environment with the packages of this one, on a Python that every user can run."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = sysconfig.get_path("purelib")
    for candidate in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        shutil.rmtree(folder, ignore_errors=True)
        made = (
            subprocess.run([candidate, "-m", "venv", "--without-pip", str(folder)], capture_output=True)
            if os.path.exists(candidate)
            else None
        )
        if made is None or made.returncode != 0:
            continue
        (folder / "lib" / version / "site-packages" / "course.pth").write_text(packages)
        python = str(folder / "bin" / "python")
        with contextlib.suppress(OSError):
            tried = subprocess.run(
                [python, "-c", "import torch"],
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                capture_output=True,
                cwd="/",
                env={"HOME": "/tmp", "PATH": os.environ["PATH"]},
            )
            if tried.returncode == 0:
                return python
    return None


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_an_ordinary_user_grades_at_every_level(ordinary_user, level):
    tree, run = ordinary_user
    found = run("-c", "from autograder.sandbox.client import probe; print(probe())", COURSE_ISOLATION=level)
    if found.stdout.strip() != level:
        pytest.skip(f"an ordinary user does not get the level {level} here: {found.stdout}{found.stderr[-300:]}")
    victim = tree.root / "submitted" / "ada" / UNIT / f"{UNIT}.ipynb"
    harm = (
        f"import os, signal\ntry: open({str(victim)!r}, 'w')\nexcept OSError: pass\n"
        f"try: os.chmod({str(victim)!r}, 0)\nexcept OSError: pass\n"
        "try: os.kill(-1, signal.SIGKILL)\nexcept OSError: pass\n"
    )
    hand_in(tree.root, "ada", UNIT, RIGHT)
    hand_in(tree.root, "mallory", UNIT, RIGHT | {"double": harm})
    for path in [tree.root / "submitted", *(tree.root / "submitted").rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    before = victim.read_bytes(), victim.stat().st_mode
    graded = run("-m", "course_utils.cli", "grade", UNIT, "--jobs", "2", "--force", COURSE_ISOLATION=level)
    assert graded.returncode == 0, graded.stdout + graded.stderr
    scores = {(row.student, row.exercise): row.score for row in read_grades(tree.root / "grades.csv")}
    assert scores["ada", "double"] == scores["ada", "triple"] == scores["mallory", "triple"] == 2, graded.stdout
    assert scores["mallory", "double"] == 0, graded.stdout
    assert (victim.read_bytes(), victim.stat().st_mode) == before, "a classmate's file was changed"
    notebook = json.loads((tree.root / "autograded" / "ada" / UNIT / f"{UNIT}.ipynb").read_text())
    assert notebook["metadata"]["course"]["level"] == level
