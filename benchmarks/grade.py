"""How fast a class is graded: `course grade` beside `nbgrader autograde`, on the same submissions of unit 02.

Experiments and predictions are taken out of both, because neither needs them for a score. Prints the start (until the
first notebook is graded, in a process of its own), each further notebook, seconds per notebook with the start included,
the ratio of the medians, and how much the summed proportional set size (PSS) grows with each further worker.

Run: python benchmarks/grade.py [--submissions 24] [--jobs 2] [--rounds 3] [--skip-nbgrader]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from pathlib import Path
from statistics import median

import nbformat
import psutil
from sqlalchemy.exc import SAWarning

from autograder.batch import Options
from autograder.demo import answers_of, fill_in, sample_class
from autograder.grade import grade_unit
from autograder.preprocessors import is_autograded
from autograder.release import read_source, release_units
from autograder.template import NOT_RUN
from course_utils.system.tree import Tree

warnings.filterwarnings("ignore", category=SAWarning)
CHECKOUT = Path(__file__).resolve().parent.parent
UNIT = "02_variational_autoencoders"
PLAIN_CONFIG = """
c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.course_id = "latent-spaces"
c.CourseDirectory.source_directory = "notebooks"
c.Execute.timeout = 300
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-nbgrader", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    seconds, memory = defaultdict(list), defaultdict(list)
    print(f"{options.submissions} submissions of {UNIT}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            tree = make_course(Path(folder) / "course", options.submissions)
            for jobs in dict.fromkeys((1, options.jobs)):
                words = f"course grade, {jobs} worker{'s' * (jobs > 1)}"
                wall, cpu, most = watched(lambda: grade_unit(tree, UNIT, options=Options(jobs=jobs, force=True)))
                seconds[words].append(wall / options.submissions)
                memory[jobs].append(most)
                print(
                    f"{words}: {wall / options.submissions:.2f} s a notebook, {cpu / options.submissions:.2f} s of "
                    f"processor, start included; PSS {most:.0f} MB",
                    flush=True,
                )
            start, further = start_and_further(tree, options.jobs)
            seconds["start, the first notebook included"].append(start)
            seconds[f"each further notebook, {options.jobs} workers"].append(further)
            print(f"a new process: {start:.2f} s until the first notebook is graded, {further:.2f} s each further one")
            if not options.skip_nbgrader:
                wall, cpu = nbgrader_way(tree)
                seconds["nbgrader autograde"].append(wall / options.submissions)
                print(
                    f"nbgrader autograde: {wall / options.submissions:.2f} s a notebook, "
                    f"{cpu / options.submissions:.2f} s of processor",
                    flush=True,
                )
    print(f"\nmedians of {options.rounds}")
    for words, found in seconds.items():
        ratio = (
            ""
            if options.skip_nbgrader or "notebook" in words
            else f", {median(seconds['nbgrader autograde']) / median(found):.1f} times as fast"
        )
        print(f"{words}: {median(found):.2f} s{'' if 'notebook' in words else ' a notebook'}{ratio}")
    if options.jobs > 1:
        more = (median(memory[options.jobs]) - median(memory[1])) / (options.jobs - 1)
        print(f"PSS for each further worker: {more:.0f} MB")


def make_course(root: Path, count: int) -> Tree:
    """A course of one unit without experiments, and a class: all kinds of the sample class in turn."""
    source = nbformat.read(CHECKOUT / "notebooks" / UNIT / f"{UNIT}.ipynb", as_version=4)
    source.cells = [cell for cell in source.cells if set(cell.metadata.get("tags", [])).isdisjoint(NOT_RUN)]
    (root / "notebooks" / UNIT).mkdir(parents=True)
    nbformat.write(source, root / "notebooks" / UNIT / f"{UNIT}.ipynb")
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    tree = Tree(root)
    release_units(tree, [UNIT])
    solved, _ = answers_of(read_source(tree, UNIT))
    kinds = [answers for name, answers in sample_class(source).items() if "untouched" not in name] + [solved] * 3
    for number in range(count):
        notebook = nbformat.read(root / "release" / UNIT / f"{UNIT}.ipynb", as_version=4)
        fill_in(notebook, kinds[number % len(kinds)])
        path = root / "submitted" / f"student_{number:02d}" / UNIT / f"{UNIT}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
    return tree


def start_and_further(tree: Tree, jobs: int) -> tuple[float, float]:
    """Seconds by the clock of `course grade`, until it tells of its first notebook, and of each later one."""
    words = ["-m", "course_utils.cli", "--root", str(tree.root), "grade", UNIT, "--force", "--jobs", str(jobs)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    started, told = time.monotonic(), []
    with subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout:
            if line.lstrip().startswith("["):
                told.append(time.monotonic())
    return told[0] - started, (told[-1] - told[0]) / max(1, len(told) - 1)


def nbgrader_way(tree: Tree) -> tuple[float, float]:
    """Wall and processor seconds of nbgrader's own autograder, in a course folder without this course's configuration:
    nbgrader also reads the nbgrader_config.py of the course's root, which would bring our own steps in."""
    plain = tree.root.parent / "plain"
    for name in ("notebooks", "submitted"):
        shutil.copytree(tree.root / name, plain / name)
    (plain / "nbgrader_config.py").write_text(PLAIN_CONFIG.format(root=str(plain)))
    environment = os.environ | {
        "PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]),
    }

    def command(*words: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "nbgrader", *words], cwd=plain, env=environment, check=True, capture_output=True
        )

    command("generate_assignment", UNIT, "--force")
    seconds, cpu, _ = watched(lambda: command("autograde", UNIT, "--force"))
    for path in (plain / "autograded").glob("*/*/*.ipynb"):
        tests = [cell for cell in nbformat.read(path, as_version=4).cells if is_autograded(cell)]
        assert all(cell.execution_count for cell in tests), f"{path}: nbgrader did not run the tests itself"
    return seconds, cpu


def watched(work) -> tuple[float, float, float]:
    """Wall seconds, processor seconds of this process and its ended children, and the largest summed PSS in MB."""
    peak, done = 0.0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not done.wait(0.5):
            total = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except (psutil.Error, OSError):
                    continue
            peak = max(peak, total / 1e6)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    before, started = os.times(), time.monotonic()
    work()
    seconds, after = time.monotonic() - started, os.times()
    done.set()
    thread.join()
    return seconds, sum(after[:4]) - sum(before[:4]), peak


if __name__ == "__main__":
    main()
