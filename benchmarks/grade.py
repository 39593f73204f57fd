"""How fast a class is graded: `course grade` beside `nbgrader autograde`, on the same submissions of unit 02.

Experiments and predictions are taken out of both, because neither needs them for a score. Prints seconds per notebook,
the ratio, and how much the summed proportional set size (PSS) grows with a second worker.

Run: python benchmarks/grade.py [--submissions 24] [--jobs 2] [--skip-nbgrader]
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
from pathlib import Path

import nbformat
import psutil

from autograder.batch import Options
from autograder.demo import answers_of, fill_in, sample_class
from autograder.grade import grade_unit
from autograder.preprocessors import is_autograded
from autograder.release import read_source, release_units
from autograder.template import NOT_RUN
from course_utils.tree import Tree

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
    parser.add_argument("--skip-nbgrader", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        tree = make_course(Path(folder) / "course", options.submissions)
        print(f"{options.submissions} submissions of {UNIT}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        memory = {}
        for jobs in (1, options.jobs):
            seconds, cpu, memory[jobs] = watched(lambda: grade_unit(tree, UNIT, options=Options(jobs=jobs, force=True)))
            ours = seconds / options.submissions
            print(f"course grade, {jobs} worker{'s' * (jobs > 1)}: {ours:.2f} s a notebook, "
                  f"{cpu / options.submissions:.2f} s of processor, everything included; PSS {memory[jobs]:.0f} MB")
        if options.jobs > 1:
            print(f"PSS for each further worker: {(memory[options.jobs] - memory[1]) / (options.jobs - 1):.0f} MB")
        if not options.skip_nbgrader:
            plain, cpu = nbgrader_way(tree)
            print(f"nbgrader autograde: {plain / options.submissions:.2f} s a notebook, "
                  f"{cpu / options.submissions:.2f} s of processor")
            print(f"ratio: {plain / options.submissions / ours:.1f}")


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


def nbgrader_way(tree: Tree) -> tuple[float, float]:
    """Wall and processor seconds of nbgrader's own autograder, in a course folder without this course's configuration:
    nbgrader also reads the nbgrader_config.py of the course's root, which would bring our own steps in."""
    plain = tree.root.parent / "plain"
    for name in ("notebooks", "submitted"):
        shutil.copytree(tree.root / name, plain / name)
    (plain / "nbgrader_config.py").write_text(PLAIN_CONFIG.format(root=str(plain)))
    environment = os.environ | {"PATH": os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"],
                                "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}

    def command(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "nbgrader", *words], cwd=plain, env=environment, check=True,
                       capture_output=True)

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
