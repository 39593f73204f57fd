"""Where no namespace ends a sandbox's processes together, its first process does."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from miniature import CHECKOUT

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="submissions are isolated on Linux")

START_AND_END = """
import ctypes, os, signal, subprocess, sys, time
from autograder.sandbox import linux, seccomp
from autograder.sandbox.landlock import end_session
from autograder.sandbox.limits import descendants

def forks_on_and_on():
    memory = bytearray(b"x") * 200_000_000  # so that a fork takes a while
    while True:
        if os.fork() == 0:
            time.sleep(1000)
        time.sleep(0.01)

def walks_on():
    while True:
        if os.fork():
            os._exit(0)

def leaves_its_session():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setpgid(0, 0)
            subprocess.run(["sleep", "1000"], start_new_session=True)
    time.sleep(1000)

def has_a_name_that_is_no_text():
    ctypes.CDLL(None).prctl(15, b"\\xff\\xfe)", 0, 0, 0)
    time.sleep(1000)

linux.adopt_orphans()
for number in range(int(sys.argv[2])):
    student = os.fork()
    if student == 0:
        os.setsid()
        seccomp.forbid_among_others(signals=False, kernel=False)
        globals()[sys.argv[1]]()
    time.sleep(0.3 + 0.003 * number)
    assert descendants(), "it has not even started"
    end_session(student)
    if left := descendants():
        sys.exit(f"left in round {number}: {left}")
"""


@pytest.mark.parametrize(
    "student, rounds",
    [("forks_on_and_on", 8), ("walks_on", 4), ("leaves_its_session", 1), ("has_a_name_that_is_no_text", 1)],
)
def test_everything_that_a_sandbox_started_is_ended(student, rounds):
    """Not only what a list of processes shows: a fork may be under way while it is read."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", START_AND_END, student, str(rounds)],
            cwd=CHECKOUT,
            timeout=60,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        pytest.fail("it still waits for a process that it has not ended")
    assert done.returncode == 0, done.stdout + done.stderr


STARTED_AND_KILLED = """
import os, signal
from autograder.sandbox.client import WarmProcess
warm = WarmProcess(wait={wait})
print(warm._folder, warm.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("wait", [True, False], ids=["it serves", "it imports"])
def test_a_grader_that_is_killed_leaves_no_folder_and_no_process(wait):
    """Nobody can end the warm process then: it sees that its standard input has closed."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED_AND_KILLED.format(wait=wait)],
        cwd=CHECKOUT,
        timeout=120,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == -9
    folder, pid = done.stdout.split()
    until = time.monotonic() + 60  # of a machine that is busy
    while (Path(folder).exists() or psutil.pid_exists(int(pid))) and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(folder).exists() and not psutil.pid_exists(int(pid))
