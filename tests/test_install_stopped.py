"""An installation that is stopped at any stage, by whatever: one line with the cause, and the next start goes on.

The Python that makes the environment, and pip and uv in it, are one shell script that writes down what it is asked to
do, and fails, hangs or succeeds at the stage that a test names.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_install import NO_NETWORK, PROGRAM, make_course

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stub is a POSIX shell script")

STUB = """#!/bin/sh
# Which stage is this?
case "$*" in
    *"-m venv "*) stage=venv; for last; do :; done ;;
    *"import sys, pip"*) [ -e "$0" ] && echo "11 $0"; exit 0 ;;
    *python_version*) echo 3.11.7; exit 0 ;;
    *"pip config list"*) exit 0 ;;
    *--dry-run*) exit 1 ;;
    *--editable*) stage=link ;;
    *"pip install "*" uv") stage=uv ;;
    *"pip install"*) stage=packages ;;
    *) echo "started $*"; exit 0 ;;
esac
echo "$stage" >> "$STUB_LOG"
if [ "$stage" = "${STUB_STAGE:-}" ]; then
    case "$STUB_DOES" in
        hang) echo hangs >> "$STUB_LOG"; exec sleep 60 ;;
        *) printf '%s\\n' "$STUB_DOES"; exit 1 ;;
    esac
fi
site() { echo "${0%/bin/*}/lib/python3.11/site-packages"; }
case $stage in
    venv) mkdir -p "$last/bin" "$last/lib/python3.11/site-packages"; touch "$last/pyvenv.cfg"; cp "$0" "$last/bin/python" ;;
    uv) cp "$0" "${0%/*}/uv" ;;
    link) mkdir -p "$(site)/latent_space_course-1.dist-info"
          printf '{"url": "file://%s"}' "$STUB_ROOT" > "$(site)/latent_space_course-1.dist-info/direct_url.json" ;;
esac
"""
START = "import runpy, sys; sys._base_executable = sys.argv[1]; del sys.argv[:2]; runpy.run_path(sys.argv[0], run_name='__main__')"
STAGES = ("venv", "uv", "packages", "link")


class Machine:
    """A computer with the stub in place of every installer, and a kit on it."""

    def __init__(self, folder: Path) -> None:
        self.kit = make_course(folder / "kit", kit=True)
        self.log = folder / "log"
        self.cache = folder / "cache"
        (folder / "tools").mkdir()
        stub = folder / "tools" / "stub"
        stub.write_text(STUB)
        stub.chmod(0o755)
        for program in ("sh", "mkdir", "touch", "cp", "sleep"):
            (folder / "tools" / program).symlink_to(shutil.which(program))
        program = self.kit / "course_utils/system" / PROGRAM.name
        self.command = [sys.executable, "-I", "-c", START, str(stub), str(program), "doctor"]
        self.variables = {
            "PATH": str(folder / "tools"),
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(self.cache),
            "STUB_LOG": str(self.log),
            "STUB_ROOT": str(self.kit),
        }

    def begin(self, stage: str = "", does: str = "", **more: str) -> subprocess.Popen:
        """Start the kit, with a stub that does this at that stage."""
        given = self.variables | {"STUB_STAGE": stage, "STUB_DOES": does} | more
        return subprocess.Popen(
            self.command,
            env=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(self, stage: str = "", does: str = "", **more: str) -> tuple[int, str, list[str]]:
        """Exit code, what was printed, and the lines of complaint; what it is setting up is no complaint."""
        process = self.begin(stage, does, **more)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, [line for line in err.splitlines() if not line.startswith("Setting up")]

    def done(self) -> list[str]:
        """The stages that were gone through, in order."""
        return self.log.read_text().split() if self.log.exists() else []

    def wait_until_it_hangs(self) -> None:
        limit = time.monotonic() + 60
        while "hangs" not in self.done():
            assert time.monotonic() < limit, "the stub was never started"
            time.sleep(0.02)

    def goes_on(self, **more: str) -> None:
        """The next start completes it, and the one after that installs nothing."""
        code, out, err = self.start(**more)
        assert code == 0 and out.startswith("started") and not err, (code, out, err)
        before = self.done()
        assert self.start(**more)[0] == 0 and self.done() == before


@pytest.fixture
def computer(tmp_path):
    return Machine(tmp_path)


FAULTS = {
    "no network": (NO_NETWORK, "cannot be reached"),
    "proxy": ("ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407'))", "proxy refuses"),
    "no such file": ("ERROR: No matching distribution found for torch==2.14.1", "has no torch==2.14.1"),
    "full disk": ("OSError: [Errno 28] No space left on device", "disk is full"),
    "not writable": ("ERROR: Could not install: [Errno 13] Permission denied: '/x'", "cannot be written"),
    "unknown": ("error: something quite new", "something quite new"),
}


def test_a_start_without_faults_goes_through_every_stage(computer):
    computer.goes_on()
    assert computer.done() == list(STAGES)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_an_installation_is_one_line_and_the_next_start_goes_on(computer, fault):
    says, expected = FAULTS[fault]
    code, out, err = computer.start("packages", says)
    assert code == 1 and not out and expected in err[-1] and err[-1].startswith("course: "), err
    tried_pip = [line for line in err if "Trying pip" in line]
    assert len(err) == 1 + len(tried_pip), "one line, and one more where pip is tried after uv"
    computer.goes_on()


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_is_full_at_any_stage_is_told_and_the_next_start_goes_on(computer, stage):
    code, out, err = computer.start(stage, FAULTS["full disk"][0])
    if stage == "uv":  # pip alone needs less
        assert code == 0 and out.startswith("started")
    else:
        assert code == 1 and not out and len(err) == 1 and "disk is full" in err[0], err
    computer.goes_on()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_or_a_power_cut_at_any_stage_loses_nothing(computer, stage, how):
    process = computer.begin(stage, "hang")
    computer.wait_until_it_hangs()
    os.killpg(process.pid, how)  # the terminal sends Ctrl-C to all of them
    out, err = process.communicate(timeout=60)
    assert not out and "Traceback" not in err, err
    if how == signal.SIGINT:
        assert process.returncode == 130 and err.splitlines()[-1].startswith("course: stopped"), err
    computer.goes_on()


def test_two_starts_at_once_install_once(computer):
    first = computer.begin("packages", "hang")
    computer.wait_until_it_hangs()
    second = computer.begin()
    said = second.stderr.readline()
    assert "another start is installing" in said
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=60)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0 and out.startswith("started"), err
    assert computer.done().count("packages") == 2, "the one that was stopped, and the one that waited"
    computer.goes_on()


def test_ctrl_c_while_waiting_for_another_start(computer):
    first = computer.begin("packages", "hang")
    computer.wait_until_it_hangs()
    second = computer.begin()
    assert "another start is installing" in second.stderr.readline()
    os.killpg(second.pid, signal.SIGINT)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 130 and err.strip().startswith("course: stopped")
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    computer.goes_on()


@pytest.mark.parametrize("place", ["the cache folder", "COURSE_VENV"])
def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(computer, tmp_path, place):
    (tmp_path / "file").touch()  # also root can make no folder in a file
    given = {"XDG_CACHE_HOME": str(tmp_path / "file")} if place == "the cache folder" else {}
    given |= {"COURSE_VENV": str(tmp_path / "file" / "venv")} if place == "COURSE_VENV" else {}
    code, out, err = computer.start(**given)
    assert code == 1 and not out and len(err) == 1, err
    assert str(tmp_path / "file") in err[0] and "COURSE_VENV" in err[0] and "Errno" not in err[0], err
    computer.goes_on()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a folder read-only")
def test_a_read_only_disk_is_told(computer, tmp_path):
    computer.cache.mkdir()
    mount = ["unshare", "--mount", "sh", "-c", 'mount --bind -o ro "$0" "$0" || exit 77; shift; exec "$@"']
    command = [*mount, str(computer.cache), "-", *computer.command]
    variables = computer.variables | {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounts are not allowed here")
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "cannot be written" in done.stderr, done.stderr
    computer.goes_on()
