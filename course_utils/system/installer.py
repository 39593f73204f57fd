"""Runs pip or uv, shows what they are at, and explains in one line what stopped them.

Runs before anything is installed: standard library only, no import of this package.
"""

from __future__ import annotations

import contextlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Refused(Exception):
    """The course cannot be installed or started here; the message is one line that says why and what to do."""


class Progress:
    """Runs an installer and shows what it is at: one line that renews itself, or some lines where there is no
    terminal. What it said is kept for the one line that a failure leaves, all of it in ``log``."""

    def __init__(self, doing: str, log: Path) -> None:
        self.doing = doing
        self.log = log
        self.terminal = sys.stderr.isatty()
        self.begun = time.monotonic()

    def run(self, command: list[str], failed: str, variables: dict[str, str]) -> None:
        """Run ``command`` to its end; raises Refused with the cause when it fails."""
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=variables,
            cwd=tempfile.gettempdir(),
        )
        lines: list[str] = []
        done = threading.Event()
        clock = threading.Thread(target=self._show, args=(lines, done), daemon=True)
        clock.start()
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        finally:
            done.set()
            clock.join()
        if code == 0:
            return
        with contextlib.suppress(OSError):
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self.log.write_text("\n".join([" ".join(command), *lines]) + "\n", encoding="utf-8")
        said = [
            line.strip() for line in lines if re.match(r"\s*(error|fatal|hint|×|cause|caused by)", line, re.IGNORECASE)
        ]
        known = cause("\n".join(lines))
        if known:
            raise Refused(f"{failed}: {known}")
        detail = " ".join((said or [line for line in lines if line.strip()] or [f"exit code {code}"])[0].split())
        raise Refused(f"{failed}: {detail[:300]} (all of it: {self.log}). Then run this again.")

    def _show(self, lines: list[str], done: threading.Event) -> None:
        shown, last = 0, self.begun
        while not done.wait(0.5) and self.doing:
            seconds = int(time.monotonic() - self.begun)
            news = [text for text in map(activity, lines[shown:]) if text]
            shown = len(lines)
            if self.terminal:
                self.doing = news[-1] if news else self.doing
                width = shutil.get_terminal_size().columns - 1
                print(
                    f"\r{f'  {seconds // 60}:{seconds % 60:02d}  {self.doing}'[:width]:<{width}}",
                    end="",
                    file=sys.stderr,
                )
            elif time.monotonic() - last > 15:
                self.doing, last = news[-1] if news else self.doing, time.monotonic()
                print(f"  {seconds // 60}:{seconds % 60:02d}  {self.doing}", file=sys.stderr)
        if self.terminal and self.doing:
            print(f"\r{'':{shutil.get_terminal_size().columns - 1}}\r", end="", file=sys.stderr)


def activity(line: str) -> str:
    """What an installer's line says that it is doing, for the person who waits; empty if nothing."""
    line = line.strip()
    file = re.match(r"(?:Downloading|Using cached|Building|Processing) (\S+).*?(\(.*\))?$", line)
    if file:
        name = re.split(r"-\d", file[1].rsplit("/", 1)[-1])[0]
        return f"{line.split(' ', 1)[0]} {name} {file[2] or ''}".rstrip()
    if line.startswith("Installing collected packages"):
        return "Unpacking the packages (a minute or two)"
    if re.match(r"(Collecting|Resolved|Prepared|Installed|Downloaded) ", line):
        return " ".join(line.split()[:3]).split(";")[0]
    return ""


CAUSES = (
    (
        r"no space left|os error 28|disk full|not enough space|os error 112|errno 28|disk quota",
        "the disk is full. Free some space, or set COURSE_VENV to a folder on another disk; the next start goes on",
    ),
    (
        r"permission denied|read-only file system|os error (13|30)|access is denied|errno (13|30)|not permitted",
        "a folder cannot be written to. Move the course to a folder of your own, or set COURSE_VENV to one",
    ),
    (
        r"proxyerror|cannot connect to proxy|tunnel connection failed|407 proxy|tunnel error|proxy connect",
        "the proxy refuses (HTTPS_PROXY, or pip's proxy setting). Set it right, then run this again",
    ),
    (
        r"certificate[_ ]verify|invalid peer certificate|self.signed certificate|unknownissuer",
        "the index's certificate is not trusted: a proxy or virus scanner may put its own there. Set SSL_CERT_FILE to "
        "its certificate, then run this again",
    ),
    (
        r"name resolution|name or service not known|nodename nor servname|getaddrinfo failed|dns error|"
        r"network is unreach|no route to host|connection refused|connection reset|timed out|newconnectionerror|"
        r"connection aborted|error sending request|connection error|offline|network connectivity is disabled",
        "the package index cannot be reached. Connect to a network once; afterwards the course works without. Then run "
        "this again: it goes on",
    ),
)


def told(error: OSError) -> str:
    """One line about a file or folder that could not be written, with its name and what to do."""
    advice = "See that it can be written to, or set COURSE_VENV to a folder of your own; the next start goes on."
    known = cause(str(error)) or f"{error.strerror or error}. {advice}"
    return f"{error.filename}: {known}" if error.filename else known


def cause(said: str) -> str:
    """The known cause that an installer's output speaks of, with what to do; empty for an unknown one."""
    for pattern, text in CAUSES:
        if re.search(pattern, said, flags=re.IGNORECASE):
            return text + "."
    missing = re.search(r"No matching distribution found for (\S+)|(\S+) was not found in the", said)
    missing = missing or re.search(
        r"there (?:is|are) no versions? of (\S+)|Because (\S+) has no wheels|Cannot install (\S+?)[=>]\S* because", said
    )
    if not missing:
        return ""
    name = next(filter(None, missing.groups()))
    here = f"Python {platform.python_version()} on {platform.machine()}"
    return f"the package index has no {name} for {here}. Try another index, or another Python with COURSE_PYTHON."
