"""The gradebook in PostgreSQL: the same grades as in SQLite, marks by hand included."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from miniature import hand_in, make_tree
from typer.testing import CliRunner

from autograder.grades_file import read_grades
from autograder.nbgrader_course import DATABASE, NbGraderCourse
from autograder.release import release_units
from course_utils.cli.app import app, load_plugins
from course_utils.system.tree import Tree

pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `cluster`)")
UNIT = "01_double"
RIGHT = {
    "double": "def double(x):\n    return 2 * x",
    "triple": "def triple(x):\n    return 3 * x",
    "q_double": "It stays.",
}
NOBODY = 65534  # PostgreSQL refuses to run as root


def programs() -> Path | None:
    """The folder of PostgreSQL's server programs, which need not be on the path."""
    for folder in [
        *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True),
        os.path.dirname(shutil.which("initdb") or ""),
    ]:
        if folder and os.access(f"{folder}/initdb", os.X_OK) and os.access(f"{folder}/postgres", os.X_OK):
            return Path(folder)
    return None


@pytest.fixture(scope="module")
def url(open_folder):
    """A server of our own on the loopback, gone afterwards."""
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL server (initdb, postgres) on this machine")
    folder, other = open_folder / "postgresql", {}
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        other = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    options = {**other, "cwd": folder, "env": {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}}
    subprocess.run(
        [found / "initdb", "-D", folder / "data", "-U", "course", "--auth=trust", "-E", "UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        **options,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [found / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"postgresql://course@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(30)


def test_grades_in_postgresql_are_those_of_sqlite_and_marks_by_hand_survive(url, tmp_path, monkeypatch):
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    hand_in(tree.root, "ada", UNIT, RIGHT)
    hand_in(tree.root, "=bob; drop table student", UNIT, RIGHT | {"double": "def double(x):\n    return x + 7"})
    monkeypatch.setenv(DATABASE, "")  # so that what --db sets is gone afterwards
    monkeypatch.delenv(DATABASE)
    load_plugins()

    def course(*words: str) -> list:
        result = CliRunner().invoke(app, ["--root", str(tree.root), *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return read_grades(tree.root / "grades.csv")

    in_sqlite = course("grade", UNIT)
    tried = (tree.root / "gradebook.db").read_bytes()
    in_postgresql = course("grade", UNIT, "--db", url, "--force")
    assert in_postgresql == in_sqlite
    assert {(r.student, r.exercise): r.score for r in in_sqlite}["=bob; drop table student", "double"] == 0.5
    assert (tree.root / "gradebook.db").read_bytes() == tried, "grading with --db wrote into gradebook.db"
    with NbGraderCourse(tree).gradebook() as gradebook:
        assert "postgresql" in str(gradebook.engine.url)
        grade = gradebook.find_grade("q_double", UNIT, UNIT, "ada")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.db.commit()
    again = course("grade", UNIT, "--db", url, "--force")
    assert {(row.student, row.exercise): row.score for row in again}["ada", "q_double"] == 2.5


def test_two_markers_at_once_in_postgresql_one_is_told_and_every_mark_is_in_the_log(url, tmp_path, monkeypatch):
    import threading

    from marked_class import UNIT as WRITTEN
    from marked_class import make_class

    from autograder.marking.desk import Desk, Marker
    from autograder.marking.log import MARK, MarkLog

    monkeypatch.setenv(DATABASE, url)
    tree = make_class(tmp_path / "written", [f"Answer {number} is about something else." for number in range(6)])
    first = Desk(tree)
    seen = first.question(WRITTEN, "q_samples", Marker("ada"))["answers"]
    first.close()
    done, start = {}, threading.Barrier(2)

    def mark(name: str, score: float) -> None:
        desk = Desk(tree)
        start.wait()
        done[name] = []
        for answer in seen:
            save = {key: answer[key] for key in ("token", "version", "digest")}
            save["state"] = {"score": score, "items": [], "comment": name}
            done[name].append(desk.mark(WRITTEN, "q_samples", Marker(name), [save]))
        desk.close()

    threads = [threading.Thread(target=mark, args=each) for each in (("ada", 1.0), ("bob", 2.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for ada, bob in zip(done["ada"], done["bob"], strict=True):
        assert len(ada["saved"]) + len(bob["saved"]) == 1, "of two marks of the same state one counts"
        told = (ada["conflicts"] or bob["conflicts"])[0]
        assert told["state"]["score"] == (ada["saved"] or bob["saved"])[0]["state"]["score"]
    with NbGraderCourse(tree).gradebook() as gradebook:
        assert "postgresql" in str(gradebook.engine.url)
        log = MarkLog(gradebook)
        (question,) = log.questions(WRITTEN)
        assert len(log.history(question, MARK)) == len(seen)


def test_a_database_that_does_not_answer_is_one_clear_error(tmp_path, monkeypatch):
    tree = Tree(make_tree(tmp_path / "course"))
    monkeypatch.setenv(DATABASE, "")
    result = subprocess.run(
        ["course", "--root", str(tree.root), "grade", UNIT, "--db", "postgresql://x@127.0.0.1:1/y"],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": os.path.dirname(os.sys.executable)},
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    assert "127.0.0.1" in result.stderr, result.stderr
