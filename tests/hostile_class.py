"""A class some of whom attack: the course, what they hand in, and what one grading of it took and left behind.

``python tests/hostile_class.py --students 40`` grades a class of which half is hostile, twice, beside one in which
nobody is, and prints what was measured.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from hostile import ATTACKS, BETA, KL, Attack
from miniature import CHECKOUT, hand_in, marks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.batch import Options
from autograder.grade import grade_unit
from autograder.release import release_units
from autograder.sandbox import client
from course_utils.system.tree import Tree

UNIT = "09_hostile"
LIMITS = {"timeout": 4, "grace": 1, "memory_mb": 1200, "files_mb": 100}
# The half of a class that attacks: something of every kind, most of it the kinds that take time, memory or processes.
HALF = [
    "deletes_the_gradebook", "copies_a_classmate", "calls_the_reference", "hands_in_a_pipe", "calls_home",
    "leaves_a_daemon", "fork_bomb", "thread_bomb", "memory_bomb", "fills_the_disk", "prints_50_MB", "loops",
    "loops_in_a_cell", "ignores_interrupts", "exits_at_once", "forged_replies", "oversized_reply", "kills_everything",
    "patches_builtins", "deeply_nested",
]  # fmt: skip
_TOO_LATE, _ENDED = "timed_out", "crashed"


def source() -> nbformat.NotebookNode:
    cells = [new_markdown_cell("# Two exercises"), new_code_cell("import torch")]
    for name, solution in (("elbo_beta", BETA), ("kl_divergence", KL)):
        head, _, body = solution.partition(":\n")
        cells.append(
            new_code_cell(
                f"{head}:\n    ### BEGIN SOLUTION\n{body}    ### END SOLUTION\n", metadata=marks(name, solution=True)
            )
        )
        cells.append(
            new_code_cell(
                f"from course_utils import check\n\ncheck.{name}({name}, points=4)",
                metadata=marks(f"test_{name}", grade=True, locked=True, points=4),
            )
        )
    cells.append(
        new_markdown_cell(
            "What is it?\n\n### BEGIN MARK SCHEME\nx\n### END MARK SCHEME",
            metadata=marks("rubric_it", task=True, locked=True, points=0),
        )
    )
    cells.append(
        new_markdown_cell("An answer that is long enough.", metadata=marks("q_it", grade=True, solution=True, points=1))
    )
    for number, cell in enumerate(cells):
        cell["id"] = f"c{number}"
    return new_notebook(cells=cells)


def new_course(root: Path) -> Tree:
    (root / "notebooks" / UNIT).mkdir(parents=True)
    config = (CHECKOUT / "nbgrader_config.py").read_text(encoding="utf-8")
    config += "".join(f"c.ExecuteSubmission.{name} = {value}\n" for name, value in LIMITS.items())
    (root / "nbgrader_config.py").write_text(config, encoding="utf-8")
    nbformat.write(source(), root / "notebooks" / UNIT / f"{UNIT}.ipynb")
    tree = Tree(root)
    release_units(tree, [UNIT])
    return tree


def hand_in_honest(tree: Tree, count: int) -> None:
    for number in range(count):
        hand_in(tree.root, f"honest_{number}", UNIT, {"elbo_beta": BETA, "kl_divergence": KL})


def hand_in_attack(tree: Tree, attack: Attack, port: int) -> None:
    """`port`: of a server on this machine that no sandbox must reach."""

    def fill(text: str) -> str:
        places = {"{parent}": tree.root.parent, "{tree}": tree.root, "{port}": port, "{{": "{", "}}": "}"}
        for mark, place in places.items():
            text = text.replace(mark, str(place))
        return text

    path = hand_in(tree.root, attack.name, UNIT, {name: fill(text) for name, text in attack.edits.items()})
    if attack.raw is not None:
        path.write_bytes(attack.raw)
    if attack.change:
        notebook = nbformat.read(path, as_version=4)
        attack.change(notebook)
        nbformat.write(notebook, path)
    if attack.files:
        attack.files(path.parent)


def is_worth(attack: Attack, beta: float | None, kl: float | None) -> bool:
    """Did it get what its answers are worth, and no more?"""
    more = attack.least if attack.least is not None else 0.0
    if attack.harms_itself or more:
        return all(got <= most + more for got, most in zip((beta, kl), attack.scores, strict=True))
    return (beta, kl) == attack.scores


def fingerprint(root: Path) -> dict[str, str]:
    """Every file that grading must leave alone."""
    found = {}
    for folder in ("notebooks", "release", "submitted"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > 1e8:
                continue
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def running_since(started: float, level: str) -> list[dict]:
    """Processes of sandboxes: whatever descends from a warm process has its environment."""
    found, warm = [], client.own_pids()
    for process in psutil.process_iter(["pid", "create_time", "cmdline"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in warm or process.info["create_time"] <= started:
                continue
            if is_ours(process.environ(), level):
                found.append(process.info)
    return found


def is_ours(environment: dict[str, str], level: str) -> bool:
    return environment.get("COURSE_ISOLATION") == level and environment.get("NBGRADER_EXECUTION") == "autograde"


def grade_class(folder: Path, students: int, hostile: int, times: int, level: str, jobs: int) -> list[dict]:
    """Grade a new class `times` times in processes of their own, whose temporary files lie in a folder of their own.
    For each: {"rows": [student, exercise, score, status, reason], "seconds", "processor", "left", "running",
    "changed"}."""
    tree = new_course(folder / "course")
    attacks = [attack for attack in ATTACKS if attack.name in HALF[:hostile]]
    hand_in_honest(tree, students - len(attacks))
    for attack in attacks:
        hand_in_attack(tree, attack, port=9)
    found = []
    for number in range(times):
        temporary = folder / f"t{number}"
        temporary.mkdir()
        before, started = fingerprint(tree.root), time.time()
        environment = {"TMPDIR": str(temporary), "COURSE_ISOLATION": level}
        done = subprocess.run(
            [sys.executable, __file__, "--tree", str(tree.root), "--jobs", str(jobs)],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        left = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*"))
        changed = [path for path, digest in fingerprint(tree.root).items() if before.get(path) != digest]
        more = {"left": left, "running": running_since(started, level), "changed": changed}
        found.append(json.loads(done.stdout.splitlines()[-1]) | more)
    return found


def budget(rows: list[list], jobs: int) -> float:
    """Seconds that the limits grant those who ran into them: for each such row a cell's time with its grace."""
    ran_out = sum(status in (_TOO_LATE, _ENDED) for *_, status, _ in rows)
    return ran_out * (LIMITS["timeout"] + LIMITS["grace"]) / jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=40)
    parser.add_argument("--level", default="namespaces")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tree", help="grade this course and print the rows")
    given = parser.parse_args()
    if given.tree:
        started, before = time.monotonic(), os.times()
        rows = grade_unit(Tree(Path(given.tree)), UNIT, options=Options(jobs=given.jobs, force=True))
        told = [[row.student, row.exercise, row.score, row.status, row.reason] for row in rows]
        print(
            json.dumps(
                {
                    "rows": told,
                    "seconds": time.monotonic() - started,
                    "processor": sum(os.times()[:4]) - sum(before[:4]),
                }
            )
        )
        return
    with tempfile.TemporaryDirectory(prefix="course-class-") as folder:
        Path(folder).chmod(0o755)
        for place, hostile, times in (("honest", 0, 1), ("mixed", given.students // 2, 2)):
            for one in grade_class(Path(folder) / place, given.students, hostile, times, given.level, given.jobs):
                people = {student for student, *_ in one["rows"]}
                print(
                    f"{place}: {len(people)} students, {one['seconds']:.0f} s, {one['processor']:.0f} s of processor, "
                    f"budget of those who ran out {budget(one['rows'], given.jobs):.0f} s; left: {one['left']}, "
                    f"running: {one['running']}, changed: {one['changed']}",
                    flush=True,
                )
                print(*(row for row in one["rows"] if not row[0].startswith("honest")), sep="\n")


if __name__ == "__main__":
    main()
