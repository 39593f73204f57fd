"""No trick earns a point, nothing outside a sandbox is harmed, and nobody else loses anything."""

from __future__ import annotations

import http.server
import os
import threading
import time

import lanes
import pytest
from hostile import ATTACKS, BETA, HARMFUL
from hostile_class import (
    HALF,
    UNIT,
    budget,
    fingerprint,
    grade_class,
    hand_in_attack,
    hand_in_honest,
    is_worth,
    new_course,
    running_since,
)

from autograder.batch import Options
from autograder.examiner.settings import RECORD
from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.gradebook import read_graded
from autograder.sandbox.client import probe
from course_utils.system.tree import Tree

pytestmark = pytest.mark.skipif(os.name != "posix", reason="submissions are isolated on Linux")


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
    hand_in_honest(course, 5)
    for attack in attacks:
        hand_in_attack(course, attack, server[0])
    before, started = fingerprint(course.root), time.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_ISOLATION", level)
        if probe() != level:
            pytest.skip(f"this machine does not have the level {level}")
        rows = grade_unit(course, UNIT, options=Options(jobs=2))
    return rows, before, fingerprint(course.root), course, started


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
    assert is_worth(attack, beta.score, kl.score), f"{beta}\n{kl}"
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


def test_no_script_reaches_the_pages_of_feedback(graded, course):
    for student in ("script_in_output", "script_in_an_error", "javascript_output", "script_in_an_answer"):
        page = feedback_unit(course, UNIT, student=student)[0].read_text(encoding="utf-8")
        for harm in ("<script>PWNED", "onerror=PWNED()>", "javascript:PWNED", 'onerror="PWNED'):
            assert harm not in page, f"{student}: {harm} in the feedback"


@pytest.mark.skipif(not lanes.amount(0, 1), reason="some minutes; `course test --thorough` has it")
@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_of_a_class_of_forty_of_which_half_attacks_everybody_has_rows_in_time(tmp_path, level):
    """At most twice the time of an honest class, and what the limits grant those who run into them."""
    students, jobs = 40, 2
    honest = grade_class(tmp_path / "honest", students, 0, 1, level, jobs)[0]
    first, second = grade_class(tmp_path / "mixed", students, students // 2, 2, level, jobs)
    for found in (honest, first, second):
        assert len({student for student, *_ in found["rows"]}) == students
        assert not found["left"] and not found["running"] and not found["changed"], found
        scores = {(student, name): score for student, name, score, *_ in found["rows"]}
        robbed = {
            key for key, score in scores.items() if key[0].startswith("honest") and score == 0 and key[1] != "q_it"
        }
        assert not robbed
        for attack in ATTACKS:
            if (attack.name, "elbo_beta") in scores:
                assert is_worth(attack, scores[attack.name, "elbo_beta"], scores[attack.name, "kl_divergence"]), attack
    assert [row[:3] for row in first["rows"]] == [row[:3] for row in second["rows"]]
    assert len({student for student, *_ in first["rows"]} & set(HALF)) == students // 2
    assert first["seconds"] <= 2 * honest["seconds"] + budget(first["rows"], jobs), (
        first["seconds"],
        honest["seconds"],
    )
