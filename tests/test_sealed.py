"""No word from one sandbox to another, and no memory that nobody counts: system calls tried from inside (sandbox_probe)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from miniature import CHECKOUT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")
REFUSED = {"EPERM", "EACCES", "EROFS", "ENOSYS", "EAFNOSUPPORT"}
REFUSED |= {"ESRCH", "ENOTSUP"}  # no such process, as far as can be seen; not offered
NOBODY_THERE = {
    "a name in the abstract space, connected": "ECONNREFUSED",
    "waiting at an address in a file": "EAGAIN",
    "how long another process has computed": "EINVAL",
    "how long its own parent has computed": "EINVAL",
    "an alarm when another process has computed": "EINVAL",
    "the same, of another process": "ENOENT",
    "a wish to run before others": "ENOENT",
    "how many processes have been started": "ENOENT",
    "how much memory is free": "ENOENT",
}


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def found(request, open_folder):
    from autograder.sandbox.client import probe

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_ISOLATION", request.param)
        if probe() != request.param:
            pytest.skip(f"this machine does not have the level {request.param}")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sandbox_probe.py")), request.param],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "a signal came" not in done.stderr
    return json.loads(done.stdout)


def test_nothing_that_could_carry_a_word_goes_through(found):
    tried = found["attempts"]
    assert tried.pop("status") == 0 and len(tried) >= 40
    wrong = {what: came for what, came in tried.items() if came not in REFUSED and NOBODY_THERE.get(what) != came}
    assert not wrong


def test_a_lock_is_granted_to_everybody_and_tells_nobody_anything(found):
    assert found["holds"] == {"status": 0, "flock": "ok", "lockf": "ok"}
    assert found["asks"] == {"status": 0, "flock": "ok"}, "a lock of another sandbox was seen"


def test_threads_and_processes_of_one_sandbox_still_wait_for_each_other(found):
    assert found["honest"] == {"status": 0, "sum": "285"}


def test_shared_memory_is_counted(found):
    assert found["shared map"] == {"status": 137}


@pytest.mark.parametrize("where", ["sockets", "hidden sockets"])
def test_what_the_kernel_keeps_for_a_submission_is_counted(found, where):
    assert found[where] == {"status": 137}


def test_files_are_counted_wherever_they_lie(found):
    for way, came in found["files"].items():
        assert came in ({"status": 138}, {"status": 0, "came": "ENOSPC"}), way


def test_what_loader_processes_share_counts_once(found):
    assert found["forks"] == {"status": 0, "forks": "0"}


def test_folders_in_folders_without_end_stop_nobody_and_are_tidied_up(found):
    assert found["deep"]["status"] in (0, 138)
    assert found["left"] == []
