"""What is done stays done: Ctrl-C, a killed worker, a late submission, marks given by hand."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from miniature import hand_in, make_tree

from autograder.batch import Options
from autograder.grade import grade_unit
from autograder.grades_file import read_grades
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import release_units
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
UNIT = "01_double"
RIGHT = {
    "double": "def double(x):\n    return 2 * x",
    "triple": "def triple(x):\n    return 3 * x",
    "q_double": "It stays.",
}
STUDENTS = 6


@pytest.fixture
def tree(tmp_path) -> Tree:
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    for number in range(STUDENTS):
        # the others take long enough for a Ctrl-C after the second to find them at work on a busy machine, too
        slow = f"import time\ntime.sleep({0.3 if number < 2 else 2})\n" + RIGHT["triple"]
        hand_in(tree.root, f"student_{number}", UNIT, RIGHT | {"triple": slow})
    return tree


def points(rows) -> dict[tuple[str, str], float | None]:
    return {(row.student, row.exercise): row.score for row in rows}


EXPECTED = {
    (f"student_{number}", name): score
    for number in range(STUDENTS)
    for name, score in (("double", 2), ("triple", 2), ("q_double", None))
}


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on_from_there(tree):
    command = [sys.executable, "-m", "course_utils.cli", "--root", str(tree.root), "grade", UNIT, "--jobs", "2"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    watchdog = threading.Timer(600, running.kill)
    watchdog.start()
    for line in running.stdout:
        if "[2/" in line:
            own = psutil.Process(running.pid).children(recursive=True)
            running.send_signal(signal.SIGINT)
            break
    rest, errors = running.communicate()
    watchdog.cancel()
    assert running.returncode == 130, rest + errors
    assert errors == "course: stopped; what was complete is kept.\n"
    _, alive = psutil.wait_procs(own, timeout=15)
    running_still = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not running_still, f"still running: {running_still}"  # one that nobody waits for has ended all the same
    kept = points(read_grades(tree.root / "grades.csv"))
    assert len(kept) >= 6 and kept.items() <= EXPECTED.items(), kept
    lines: list[str] = []
    rows = grade_unit(tree, UNIT, progress=lines.append)
    assert points(rows) == EXPECTED == points(read_grades(tree.root / "grades.csv"))
    unchanged = sum("unchanged" in line for line in lines)
    assert 2 <= unchanged < STUDENTS, lines


def test_a_worker_that_is_killed_costs_nobody_anything(tree):
    killed: list[int] = []

    def progress(line: str) -> None:
        if killed:
            return
        for process in psutil.Process().children(recursive=True):
            # Sandboxes come and go meanwhile: one may end, or be left as a zombie, between any two of these lines.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "forkserver" in " ".join(process.cmdline()) and process.ppid() != os.getpid():
                    process.kill()
                    killed.append(process.pid)
                    break

    rows = grade_unit(tree, UNIT, progress=progress, options=Options(jobs=2, force=True))
    assert killed, "no worker was found to kill"
    assert points(rows) == EXPECTED


def test_nbgraders_penalty_for_being_late_is_applied_and_marks_survive_grading_again(tree):
    with open(tree.root / "nbgrader_config.py", "a") as config:
        config.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    with NbGraderCourse(tree).gradebook() as gradebook:
        gradebook.update_or_create_assignment(UNIT, duedate=datetime.datetime(2026, 1, 1, 12))
    for student, when in (("student_0", "2026-01-01 11:00:00"), ("student_1", "2026-01-02 11:00:00")):
        (tree.root / "submitted" / student / UNIT / "timestamp.txt").write_text(when)
    for number in range(2, STUDENTS):
        shutil.rmtree(tree.root / "submitted" / f"student_{number}")
    for attempt in range(2):
        grade_unit(tree, UNIT, options=Options(jobs=1, force=True))
        with NbGraderCourse(tree).gradebook() as gradebook:
            found = {name: gradebook.find_submission_notebook(UNIT, UNIT, name) for name in ("student_0", "student_1")}
            mark = 1.5 if attempt else 0
            assert (found["student_0"].score, found["student_0"].late_submission_penalty) == (4 + mark, None)
            assert found["student_1"].late_submission_penalty == found["student_1"].score == 4
            if not attempt:
                grade = gradebook.find_grade("q_double", UNIT, UNIT, "student_0")
                grade.manual_score, grade.needs_manual_grade = 1.5, False
                gradebook.db.commit()
    assert points(read_grades(tree.root / "grades.csv"))["student_0", "q_double"] == 1.5
