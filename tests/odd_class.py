"""A class whose hand-ins are as odd as real ones: the export of it, and what everybody must get.

``python tests/odd_class.py --students 60 --kills 20`` grades it, killed at random moments, and compares the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from miniature import make_tree
from platform_exports import Person, moodle_folders, own_zip, zipped

from autograder.grades_file import read_grades
from autograder.release import release_units
from course_utils.system.tree import Tree

UNIT = "01_double"
RIGHT = {
    "double": "def double(x):\n    return 2 * x",
    "triple": "def triple(x):\n    return 3 * x",
    "q_double": "It stays.",
}
ALL, NOTHING = (2, 2, None), (0, 0, 0)
Files = dict[str, bytes]
Scores = tuple[float | None, ...]


def work(tree: Tree, edits: dict[str, str], change: Callable[[dict], object] = lambda cells: None) -> bytes:
    """The released notebook with some cells' sources replaced, and changed as plain JSON by the cells' names."""
    notebook = json.loads((tree.root / "release" / UNIT / f"{UNIT}.ipynb").read_text(encoding="utf-8"))
    cells = {
        cell["metadata"].get("nbgrader", {}).get("grade_id", str(i)): cell for i, cell in enumerate(notebook["cells"])
    }
    for name, source in edits.items():
        cells[name]["source"] = source
    change(cells)
    return json.dumps(notebook).encode()


def deep(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


def stream(text: str) -> dict:
    return {"output_type": "stream", "name": "stdout", "text": text}


def costs_nothing(tree: Tree) -> dict[str, Files]:
    """Odd, and worth full points."""
    right = work(tree, RIGHT)
    answer = RIGHT | {"q_double": "Es verdoppelt sich, größer: \u20ac."}
    umlauts = json.dumps(json.loads(work(tree, answer)), ensure_ascii=False)
    helper = RIGHT | {"double": "from my_double import double"}
    lone = RIGHT | {"double": RIGHT["double"] + "  # \ud83d", "q_double": "It stays \udcff \0."}
    loud = RIGHT | {"triple": "print('x' * 30_000_000)\n" + RIGHT["triple"]}
    return {
        "texts": {f"{UNIT}.ipynb": work(tree, lone)},
        "pictures": {f"{UNIT}.ipynb": work(tree, RIGHT | {"q_double": "See ![a](attachment:gone.png) <img src=x>"})},
        "deep": {f"{UNIT}.ipynb": work(tree, RIGHT, lambda cells: cells["0"]["metadata"].update(deep=deep(900)))},
        "modules": {f"{UNIT}.ipynb": work(tree, helper), "my_double.py": RIGHT["double"].encode()},
        "utf16": {f"{UNIT}.ipynb": umlauts.encode("utf-16")},
        "cp1252": {f"{UNIT}.ipynb": umlauts.encode("cp1252")},
        "two": {"notes.ipynb": b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "hw.ipynb": right},
        "huge": {f"{UNIT}.ipynb": work(tree, loud, lambda cells: cells["6"].update(outputs=[stream("y" * 9_000_000)]))},
        "mac": {"hw.zip": own_zip({"homework.ipynb": right})},
    }


def cannot_be_graded(tree: Tree) -> dict[str, tuple[Files, Scores]]:
    """Odd, and named with the reason: twelve people, the last of whom `make_class` puts in by hand."""
    name, right = f"{UNIT}.ipynb", work(tree, RIGHT)
    other = (tree.root / "release" / "02_other" / "02_other.ipynb").read_bytes()
    return {
        "no notebook": ({"notes.txt": b"I had no time"}, NOTHING),
        "pdf": ({"essay.pdf": b"%PDF-1.4"}, NOTHING),
        "damaged": ({name: right[: len(right) // 2]}, NOTHING),
        "empty": ({name: b""}, NOTHING),
        "other unit": ({name: other}, NOTHING),
        "broken zip": ({"hw.zip": b"PK\3\4 broken"}, NOTHING),
        "a list": ({name: b"[1, 2]"}, NOTHING),
        "too large": ({name: right + b" " * 25_000_000}, NOTHING),
        "crash": (
            {name: work(tree, RIGHT | {"triple": "def triple(x):\n    import os\n    os._exit(1)"})},
            (2, 0, None),
        ),
        "crash at once": ({name: work(tree, RIGHT | {"triple": "import os; os._exit(1)"})}, (2, 0, None)),
        "loop": ({name: work(tree, RIGHT | {"triple": "def triple(x):\n    while True: pass"})}, (2, 0, None)),
    }


def make_class(root: Path, students: int, odd: bool = True) -> tuple[Tree, Path, dict[str, Scores], set[str]]:
    """A released course, the export of a class, everybody's points, and who must be named."""
    tree = Tree(make_tree(root / "course"))
    with (tree.root / "nbgrader_config.py").open("a", encoding="utf-8") as config:
        config.write("\nc.ExecuteSubmission.timeout = 5\nc.ExecuteSubmission.grace = 1\n")
    release_units(tree, tree.units())
    people: dict[str, tuple[Files, Scores]] = {}
    named: set[str] = set()
    if odd:
        people |= {name: (files, ALL) for name, files in costs_nothing(tree).items()}
        people |= cannot_be_graded(tree)
        named = set(cannot_be_graded(tree)) | {"not\ufffdutf8"}
    usual = [(RIGHT, ALL), (RIGHT | {"double": "def double(x):\n    return x + 7"}, (0.5, 2, None)), ({}, NOTHING)]
    for number in range(students - len(people) - odd):
        edits, scores = usual[number % 3]
        people[f"student {number:02d}"] = {"work.ipynb": work(tree, edits)}, scores
    export = [Person(name, 0, 1000 + number, files) for number, (name, (files, _)) in enumerate(people.items())]
    source = zipped(moodle_folders(export), root / "export.zip")
    wanted = {name: scores for name, (_, scores) in people.items()}
    if odd:
        folder = os.path.join(os.fsencode(tree.root), b"submitted", b"not\xffutf8", UNIT.encode())
        os.makedirs(folder)
        with open(os.path.join(folder, f"{UNIT}.ipynb".encode()), "wb") as file:
            file.write(work(tree, RIGHT))
        wanted["not\ufffdutf8"] = (None, None, None)
    return tree, source, wanted, named


def scores_of(rows) -> dict[str, Scores]:
    """Points of the two exercises and the answer by student."""
    found: dict[str, dict[str, float | None]] = {}
    for row in rows:
        assert row.exercise not in found.setdefault(row.student, {}), f"twice: {row}"
        found[row.student][row.exercise] = row.score
    return {name: tuple(of[key] for key in ("double", "triple", "q_double")) for name, of in found.items()}


def course(tree: Tree, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "course_utils.cli", "--root", str(tree.root), *words]


def killed(tree: Tree, kills: int, seconds: float, draw: random.Random, told: Callable[[str], object] = print) -> None:
    """Grade, and kill -9 within ``seconds``, ``kills`` times; what was written stays readable, nothing goes on running.

    Raises AssertionError.
    """
    for number in range(kills):
        running = subprocess.Popen(course(tree, "grade", UNIT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = draw.uniform(0, seconds)
        try:
            running.wait(moment)
        except subprocess.TimeoutExpired:
            pass
        own = psutil.Process(running.pid).children(recursive=True) if running.poll() is None else []
        running.send_signal(signal.SIGKILL)
        running.wait()
        _, alive = psutil.wait_procs(own, timeout=60)
        alive = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
        assert not alive, f"still running after {moment:.1f} s: {alive}"
        rows = read_grades(tree.root / "grades.csv")
        told(f"kill {number + 1} after {moment:.1f} s: {len(rows)} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=60)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="course-class-") as folder:
        Path(folder).chmod(0o755)
        tree, source, wanted, _ = make_class(Path(folder), given.students)
        collected = subprocess.run(course(tree, "collect", UNIT, str(source)), capture_output=True, text=True)
        print(collected.stdout, f"exit {collected.returncode}")
        started = time.monotonic()
        subprocess.run(course(tree, "grade", UNIT), capture_output=True)
        seconds = time.monotonic() - started
        whole = read_grades(tree.root / "grades.csv")
        print(f"in one go: {seconds:.0f} s, {len(whole)} rows, right: {scores_of(whole) == wanted}")
        for path in (tree.root / "gradebook.db", tree.root / "grades.csv", tree.root / "grades.json"):
            path.unlink()
        subprocess.run(["rm", "-r", str(tree.root / "autograded")], check=True)
        killed(tree, given.kills, seconds, random.Random(given.seed))
        done = subprocess.run(course(tree, "grade", UNIT), capture_output=True, text=True)
        rows = read_grades(tree.root / "grades.csv")
        print(f"then: exit {done.returncode}, {len(rows)} rows, the same: {rows == whole}")
        if rows != whole:
            print(*(pair for pair in zip(whole, rows) if pair[0] != pair[1]), sep="\n")


if __name__ == "__main__":
    main()
