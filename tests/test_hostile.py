"""No trick earns a point, nothing outside a sandbox is harmed, and nobody else loses anything."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import shutil
import threading
import time

import nbformat
import psutil
import pytest
from hostile import ATTACKS, BETA, HARMFUL, KL
from miniature import CHECKOUT, hand_in, marks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from autograder.batch import Options
from autograder.examiner.settings import RECORD
from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.gradebook import read_graded
from autograder.release import release_units
from autograder.sandbox import client
from autograder.sandbox.client import probe
from course_utils.system.tree import Tree

UNIT = "09_hostile"
LIMITS = """
c.ExecuteSubmission.timeout = 4
c.ExecuteSubmission.grace = 1
c.ExecuteSubmission.memory_mb = 1200
c.ExecuteSubmission.files_mb = 100
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="submissions are isolated on Linux")


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


def new_course(root) -> Tree:
    (root / "notebooks" / UNIT).mkdir(parents=True)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    with open(root / "nbgrader_config.py", "a") as config:
        config.write(LIMITS)
    nbformat.write(source(), root / "notebooks" / UNIT / f"{UNIT}.ipynb")
    tree = Tree(root)
    release_units(tree, [UNIT])
    return tree


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Tree:
    return new_course(tmp_path_factory.mktemp("hostile") / "course")


@pytest.fixture(scope="module")
def server():
    """Counts who calls from a sandbox, and would hand out the answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        calls = 0

        def do_GET(self):
            type(self).calls += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(BETA.encode())

        def log_message(self, *_):
            pass

    running = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_port, Handler
    running.shutdown()


@pytest.fixture(scope="module")
def graded(course, server):
    """Everybody in one batch at the best level, honest students among them."""
    return grade(course, server, "namespaces", ATTACKS)


@pytest.fixture(scope="module")
def graded_by_landlock(tmp_path_factory, server):
    """What does harm, in another batch at the second level."""
    return grade(new_course(tmp_path_factory.mktemp("second") / "course"), server, "landlock", HARMFUL)


def grade(course, server, level, attacks):
    """Rows, the files before and after, and the folder; skips where the level cannot be had."""

    def fill(text):
        places = {
            "{parent}": str(course.root.parent),
            "{tree}": str(course.root),
            "{port}": str(server[0]),
            "{{": "{",
            "}}": "}",
        }
        for mark, place in places.items():
            text = text.replace(mark, place)
        return text

    for number in range(5):
        hand_in(course.root, f"honest_{number}", UNIT, {"elbo_beta": BETA, "kl_divergence": KL})
    for attack in attacks:
        path = hand_in(course.root, attack.name, UNIT, {name: fill(text) for name, text in attack.edits.items()})
        if attack.raw is not None:
            path.write_bytes(attack.raw)
        if attack.change:
            notebook = nbformat.read(path, as_version=4)
            attack.change(notebook)
            nbformat.write(notebook, path)
        if attack.files:
            attack.files(path.parent)
    before, started = fingerprint(course.root), time.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_ISOLATION", level)
        if probe() != level:
            pytest.skip(f"this machine does not have the level {level}")
        rows = grade_unit(course, UNIT, options=Options(jobs=2))
    return rows, before, fingerprint(course.root), course, started


def fingerprint(root) -> dict[str, str]:
    """Every file that grading must leave alone."""
    found = {}
    for folder in ("notebooks", "release", "submitted"):
        for path in sorted((root / folder).rglob("*")):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > 1e8:
                continue
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def row(graded, student, exercise):
    return next(row for row in graded[0] if (row.student, row.exercise) == (student, exercise))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_gets_exactly_what_its_answers_are_worth(graded, attack):
    gets_what_it_is_worth(graded, attack)


@pytest.mark.parametrize("attack", HARMFUL, ids=lambda attack: attack.name)
def test_the_second_level_stops_what_does_harm_as_well(graded_by_landlock, attack):
    gets_what_it_is_worth(graded_by_landlock, attack)


def gets_what_it_is_worth(graded, attack):
    beta, kl = (row(graded, attack.name, name) for name in ("elbo_beta", "kl_divergence"))
    if attack.harms_itself:
        assert beta.score <= attack.scores[0] and kl.score <= attack.scores[1], f"{beta}\n{kl}"
    elif attack.least is None:
        assert (beta.score, kl.score) == attack.scores, f"{beta}\n{kl}"
    else:
        assert all(got <= most + attack.least for got, most in zip((beta.score, kl.score), attack.scores)), (
            f"{beta}\n{kl}"
        )
    if attack.status:
        assert beta.status in attack.status.split("|") and beta.reason, beta


BOTH = pytest.mark.parametrize("level", ["graded", "graded_by_landlock"])


@BOTH
def test_honest_students_among_them_lose_nothing(level, request):
    graded = request.getfixturevalue(level)
    for number in range(5):
        for name in ("elbo_beta", "kl_divergence"):
            assert row(graded, f"honest_{number}", name).score == 4, row(graded, f"honest_{number}", name)


@BOTH
def test_the_level_is_recorded(level, request):
    found = read_graded(request.getfixturevalue(level)[3].root, UNIT, "honest_0").metadata[RECORD]["level"]
    assert found == {"graded": "namespaces", "graded_by_landlock": "landlock"}[level]


def test_at_least_forty_kinds_are_tried():
    assert len({attack.name for attack in ATTACKS}) >= 40


@BOTH
def test_no_file_of_the_course_or_of_a_classmate_has_changed(level, request):
    _, before, after, *_ = request.getfixturevalue(level)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not changed, f"changed by a submission: {changed}"


@BOTH
def test_nobody_reached_the_network(level, request, server):
    request.getfixturevalue(level)
    assert server[1].calls == 0, f"{server[1].calls} calls came out of a sandbox"


@BOTH
def test_nothing_of_a_submission_is_still_running(level, request):
    """Sandboxes are killed with all that they started, while the warm process that forked them serves on. Whatever
    descends from a warm process has its environment."""
    name = {"graded": "namespaces", "graded_by_landlock": "landlock"}[level]
    started, until = request.getfixturevalue(level)[4], time.monotonic() + 20  # a busy machine takes its time to kill
    while (left := running_since(started, name)) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left, f"still running: {left}"


def running_since(started, level) -> list[dict]:
    found, warm = [], client.own_pids()
    for process in psutil.process_iter(["pid", "create_time", "cmdline"]):
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in warm or process.info["create_time"] <= started:
                continue
            if is_ours(process.environ(), level):
                found.append(process.info)
    return found


def is_ours(environment, level) -> bool:
    return environment.get("COURSE_ISOLATION") == level and environment.get("NBGRADER_EXECUTION") == "autograde"


def test_no_script_reaches_the_pages_of_feedback(graded, course):
    for student in ("script_in_output", "script_in_an_error", "javascript_output", "script_in_an_answer"):
        page = feedback_unit(course, UNIT, student=student)[0].read_text(encoding="utf-8")
        for harm in ("<script>PWNED", "onerror=PWNED()>", "javascript:PWNED", 'onerror="PWNED'):
            assert harm not in page, f"{student}: {harm} in the feedback"
