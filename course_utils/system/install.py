"""Installs the course where it is not installed yet, then runs one of its commands: ``python -I install.py ARGUMENTS``.

The start scripts (``course``, ``start.sh``, ``start.bat``) find a Python and hand over to this file, so that every
platform goes the same way. It runs before anything is installed: standard library only, no import of this package.

The packages of a checkout are in its ``.venv``; those of student kits in the user's cache folder, one environment for
all kits with the same list (a kit that has a ``.venv`` already keeps it). ``COURSE_VENV`` names another place.
``COURSE_INSTALLER`` is ``uv`` or ``pip``; without it, uv where it can be had, else pip.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parents[2]
OLDEST, NEWEST = (3, 11), (3, 14)  # as in pyproject.toml and the start scripts
NAME = "latent-space-course"
STAMP = "course-installed.json"
LONGEST_IN_PACKAGES = 150  # characters of the longest path below Lib\site-packages, and some to spare
LONGEST_IN_KIT = 110  # of a notebook's checkpoint or a model below the kit's folder
WINDOWS = os.name == "nt"
# pip's settings that say where packages come from. Others (user, target, prefix, dry-run ...) say where they go or
# whether at all, and would break the installation into an environment of its own.
SENSIBLE_HERE = {
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "cert",
    "client-cert",
    "trusted-host",
    "proxy",
}
SENSIBLE_HERE |= {
    "timeout",
    "default-timeout",
    "retries",
    "constraint",
    "cache-dir",
    "no-cache-dir",
    "keyring-provider",
}
BAD_FOR_UV = {"UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_CONSTRAINT", "UV_OVERRIDE", "UV_PROJECT", "UV_TARGET", "UV_PREFIX"}
HOPELESS = {"disk", "written", "reached."}  # words of a cause that pip would meet just as uv does


class Refused(Exception):
    """The course cannot be installed or started here; the message is one line that says why and what to do."""


def main(arguments: list[str]) -> int:
    """Make sure that the environment is complete, then run the command. Returns the exit code."""
    is_kit = (ROOT / "kit.json").is_file()
    extra = "test" if arguments[:1] == ["test"] and not is_kit else ""
    try:
        folder = updated_kit() if is_kit else ROOT
        if folder != ROOT:
            return hand_over(folder, arguments)
        environment = Environment(ROOT, is_kit)
        if not environment.is_complete(extra):
            with lock(environment.place):
                if not environment.is_complete(extra):
                    environment.install(extra)
        if environment.owner() != ROOT:
            with lock(environment.place):
                environment.link()
    except Refused as refusal:
        print(f"course: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncourse: stopped; the next start goes on where this one ended.", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"course: {cause(str(error)) or error}", file=sys.stderr)
        return 1
    return run(environment, arguments or (["lab"] if is_kit else []))


def updated_kit() -> Path:
    """What kit_update.py beside this file does at every start; returns the kit's folder in which to go on."""
    specification = importlib.util.spec_from_file_location("kit_update", Path(__file__).with_name("kit_update.py"))
    assert specification is not None and specification.loader is not None, "kit_update.py is a plain file"
    updates = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(updates)
    try:
        return updates.start(ROOT)
    except updates.UpdateError as error:
        raise Refused(str(error)) from None


def hand_over(folder: Path, arguments: list[str]) -> int:
    """Go on as if the kit in ``folder`` had been started."""
    command = [sys.executable, "-I", str(folder / "course_utils" / "system" / "install.py"), *arguments]
    return subprocess.call(command, cwd=folder)


class Environment:
    """The virtual environment of the course in ``root``: where it is, what it must hold, whether it does."""

    def __init__(self, root: Path, is_kit: bool) -> None:
        self.root = root
        self.is_kit = is_kit
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        self.requirements = [*project["build-system"]["requires"], "editables"] + project["project"]["dependencies"]
        self.extras = project["project"].get("optional-dependencies", {})
        self.constraints = root / "constraints.txt"
        listed = [
            project["project"]["requires-python"],
            self.requirements,
            self.constraints.read_text(encoding="utf-8"),
        ]
        if not is_kit:  # what an editable installation keeps of pyproject.toml
            listed.append(
                {key: project["project"].get(key) for key in ("optional-dependencies", "entry-points", "scripts")}
            )
        self.digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:8]
        self.place = self._place()
        self.python = self.place / ("Scripts/python.exe" if WINDOWS else "bin/python")

    def _place(self) -> Path:
        given = os.environ.get("COURSE_VENV")
        if given:
            place = Path(given).expanduser().absolute()
            if place.is_dir() and any(place.iterdir()) and not (place / "pyvenv.cfg").is_file():
                raise Refused(f"COURSE_VENV is {place}, a folder with other things in it. Name a new folder.")
            return place
        beside = self.root / ".venv"
        if not self.is_kit or beside.is_dir():
            return beside
        usable = [place for place in sorted(cache().glob(f"{self.digest}-*")) if (place / STAMP).is_file()]
        return usable[0] if usable else cache() / f"{self.digest}-py3{sys.version_info[1]}"

    def is_complete(self, extra: str = "") -> bool:
        """Whether everything was installed here, for this list, at this place, with the Python that is still there."""
        try:
            stamp = json.loads((self.place / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        same = all(stamp.get(key) == value for key, value in self._stamp().items())
        return same and self.python.exists() and (not extra or extra in stamp.get("extras", []))

    def _stamp(self) -> dict[str, str]:
        return {"list": self.digest, "place": str(self.place.resolve()), "python": os.path.realpath(self.python)}

    def owner(self) -> Path | None:
        """The folder whose course_utils this environment imports; None if there is none."""
        for record in self.packages().glob(f"{NAME.replace('-', '_')}-*.dist-info/direct_url.json"):
            try:
                url = json.loads(record.read_text(encoding="utf-8"))["url"]
            except (OSError, ValueError, KeyError):
                continue
            path = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
            folder = Path(path.lstrip("/") if WINDOWS else path)
            return self.root if folder.is_dir() and folder.samefile(self.root) else folder
        return None

    def packages(self) -> Path:
        """The folder site-packages of this environment."""
        return next(self.place.glob("Lib/site-packages" if WINDOWS else "lib/python3*/site-packages"), self.place)

    def install(self, extra: str = "") -> None:
        """Install what the list names, into a new environment or the one that is here; raises Refused."""
        self._refuse_foreign()
        problem = unsupported() or too_long(self.place, self.root)
        if problem:
            raise Refused(problem)
        extras = {extra} - {""}
        with contextlib.suppress(OSError, ValueError):
            extras |= set(json.loads((self.place / STAMP).read_text(encoding="utf-8"))["extras"])
        new = not self._works()
        self._require_space()
        if new:
            self._create()
        else:
            self._mend()
        (self.place / STAMP).unlink(missing_ok=True)
        self._install_packages(sorted(extras))
        self.link()
        stamp = self._stamp() | {"extras": sorted(extras), "version": python_version(self.python)}
        (self.place / STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")

    def link(self) -> None:
        """Make ``course_utils`` of this folder the one that the environment imports. Needs no network."""
        self._refuse_foreign()
        self._set_scripts_right()
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--editable", str(self.root)]
        Progress("").run(self._pip(options), "the course could not be linked to its packages", self.variables())

    def _refuse_foreign(self) -> None:
        """An environment of another folder that is still there stays that folder's."""
        owner = self.owner()
        inside = self.root in self.place.resolve().parents
        if self.is_kit or inside or owner in (None, self.root) or not (owner / "pyproject.toml").is_file():
            return
        remedy = "COURSE_VENV=another folder" if os.environ.get("COURSE_VENV") else "rm .venv"
        raise Refused(
            f"the packages in {self.place} belong to {owner}, so notebooks here would import that folder's "
            f"course_utils. Give this folder its own ({remedy}), then run this again."
        )

    def _works(self) -> bool:
        """Whether the environment's Python starts, is one of the supported versions and finds pip."""
        check = "import sys, pip; print(sys.version_info[1], sys.prefix)"
        try:
            done = subprocess.run([str(self.python), "-I", "-c", check], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return False
        minor = done.stdout.split(" ")[0]
        return done.returncode == 0 and minor.isdecimal() and OLDEST[1] <= int(minor) <= NEWEST[1]

    def _require_space(self) -> None:
        """About 6 GB for the CUDA build of torch that Linux gets, 2 GB elsewhere, little once torch is here."""
        gigabytes = 0.5 if self._has_torch() else 6.5 if sys.platform == "linux" else 2
        folder = self.place
        while not folder.is_dir():
            folder = folder.parent
        free = shutil.disk_usage(folder).free / 2**30
        if free < gigabytes:
            raise Refused(
                f"the packages need {gigabytes:g} GB of free disk and {folder} has {free:.1f} GB. Free some space, or "
                "set COURSE_VENV to a folder on another disk, then run this again."
            )

    def _has_torch(self) -> bool:
        """Whether the pinned torch is here, of whichever build."""
        pins = re.findall(r"^torch==(.+)$", self.constraints.read_text(encoding="utf-8"), flags=re.MULTILINE)
        return any(next(self.packages().glob(f"torch-{pin}*.dist-info/RECORD"), None) for pin in pins)

    def _create(self) -> None:
        """A new virtual environment with pip in it; what is left of a broken one goes first."""
        if self.place.is_symlink():
            self.place.unlink()
        elif self.place.exists():
            shutil.rmtree(self.place)
        self.place.parent.mkdir(parents=True, exist_ok=True)
        print(f"Setting up the course in {self.place} (once) ...", file=sys.stderr)
        base = getattr(sys, "_base_executable", None) or sys.executable
        if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
            command = [base, "-I", "-m", "venv", str(self.place)]
        elif find_uv():
            command = [find_uv(), "venv", "--quiet", "--no-project", "--seed", "--python", base, str(self.place)]
        else:
            raise Refused("this Python has no venv. Debian/Ubuntu: sudo apt install python3-venv. Then run this again.")
        Progress("Making the environment").run(command, "the environment could not be made", clean_environment())

    def _mend(self) -> None:
        """After an interruption, a move or a copy: forget packages that are not whole, so that they are installed
        again, and make the scripts start this environment's Python."""
        packages = self.packages()
        for record in list(packages.glob("*.dist-info/RECORD")):
            if not whole(record):
                shutil.rmtree(record.parent)
        for folder in packages.glob("*.dist-info"):
            if not (folder / "RECORD").is_file():
                shutil.rmtree(folder)
        self._set_scripts_right()

    def _set_scripts_right(self) -> None:
        """Scripts name their Python by its full path, which a moved folder changes."""
        if WINDOWS or not self.python.parent.is_dir():
            return
        right = str(self.place).encode()
        for script in self.python.parent.iterdir():
            if script.is_symlink() or not script.is_file() or script.stat().st_size > 100_000:
                continue
            text = script.read_bytes()
            found = re.match(rb"#!(/.+)/bin/python[\d.]*\n", text) or re.match(
                rb"#!/bin/sh\n'''exec' \"?(/[^\"\n]+)/bin/", text
            )
            found = found or re.search(rb"VIRTUAL_ENV[= ]['\"]?(/[^'\"\n]+)['\"]?", text[:4000])
            if found and found[1] != right:
                script.write_bytes(text.replace(found[1], right))

    def _install_packages(self, extras: list[str]) -> None:
        wanted = self.requirements + [line for extra in extras for line in self.extras.get(extra, [])]
        wishes = self.place / "course-wanted.txt"
        wishes.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        options = ["--constraint", str(self.constraints), "--requirement", str(wishes)]
        if os.environ.get("COURSE_INSTALLER") != "pip":
            program = find_uv() or self._fetch_uv()
            if program and self._install_with_uv(program, options):
                return
        Progress("Installing").run(self._pip(options), "the packages could not be installed", self.variables())

    def _pip(self, options: list[str]) -> list[str]:
        plain = ["--progress-bar", "off", "--no-warn-script-location", "--disable-pip-version-check", "--no-input"]
        return [str(self.python), "-I", "-m", "pip", "install", *plain, *options]

    def _fetch_uv(self) -> str | None:
        program = self.python.with_name("uv.exe" if WINDOWS else "uv")
        if not program.is_file():
            options = ["--quiet", "--retries", "1", "--constraint", str(self.constraints), "uv"]
            try:
                Progress("Getting uv").run(self._pip(options), "the packages could not be installed", self.variables())
            except Refused as refusal:
                if "cannot be reached" in str(refusal):  # pip would only find the same, after many tries
                    raise
        return str(program) if program.is_file() else None

    def _install_with_uv(self, program: str, options: list[str]) -> bool:
        """True when it did; False where pip should try; raises Refused for what pip cannot do better."""
        command = [program, "pip", "install", "--no-config", "--python", str(self.python)]
        variables = self.variables()
        if variables.get("UV_NO_INDEX"):
            command.append("--no-index")
        backend = ["--torch-backend", "cpu"] if sys.platform == "linux" and not has_nvidia() else []
        backend = [] if self._has_torch() else backend
        if backend:  # the smaller build of torch where its index answers
            torch = [line for line in self.requirements if line.startswith("torch")]
            asked = [*command, *backend, "--dry-run", "--constraint", str(self.constraints), *torch]
            quick = variables | {"UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "10"}
            if subprocess.run(asked, capture_output=True, env=quick).returncode != 0:
                backend = []
        try:
            Progress("Installing").run([*command, *backend, *options], "the packages could not be installed", variables)
        except Refused as refusal:
            if os.environ.get("COURSE_INSTALLER") == "uv" or HOPELESS & set(str(refusal).split()):
                raise
            print(f"course: {refusal} Trying pip ...", file=sys.stderr)
            return False
        return True

    def variables(self) -> dict[str, str]:
        """Environment variables for pip and uv: the user's index, proxy and certificates, none of the settings that
        lead elsewhere. uv, which does not read pip's settings, gets the same ones in its own words."""
        asked = [str(self.python), "-I", "-m", "pip", "config", "list"]
        lines = subprocess.run(asked, capture_output=True, text=True, errors="replace").stdout.splitlines()
        settings = sensible_pip_settings(lines)
        kept = {name: value for name, value in clean_environment().items() if not name.startswith("PIP_")}
        kept = pip_settings_for_uv(settings) | {name: value for name, value in kept.items() if name not in BAD_FOR_UV}
        kept |= {f"PIP_{name.upper().replace('-', '_')}": " ".join(value.split()) for name, value in settings.items()}
        return kept | {"PIP_CONFIG_FILE": os.devnull, "UV_NO_PROGRESS": "1"}


def sensible_pip_settings(lines: list[str]) -> dict[str, str]:
    """Of what ``pip config list`` prints, the settings that make sense for an environment of its own."""
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # the later ones count more
        found = [re.fullmatch(rf"{section}\.([\w-]+)=(['\"])(.*)\2", line) for line in lines]
        settings |= {line[1]: line[3].replace("\\n", "\n") for line in found if line}
    return {name: value for name, value in settings.items() if name in SENSIBLE_HERE}


def pip_settings_for_uv(settings: dict[str, str]) -> dict[str, str]:
    """uv does not read pip's settings: the same index, files and certificates as uv's environment variables."""
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE", "trusted-host": "UV_INSECURE_HOST"}
    given = {names[key]: " ".join(value.split()) for key, value in settings.items() if key in names}
    if "extra-index-url" in settings:
        given |= {"UV_INDEX": " ".join(settings["extra-index-url"].split()), "UV_INDEX_STRATEGY": "unsafe-best-match"}
    if "find-links" in settings:
        given["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if "proxy" in settings:
        given |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), settings["proxy"])
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        given["UV_NO_INDEX"] = "1"
    return given | {"UV_SYSTEM_CERTS": "1"}


class Progress:
    """Runs an installer and shows what it is at: one line that renews itself, or some lines where there is no
    terminal. What it said is kept for the one line that a failure leaves."""

    def __init__(self, doing: str) -> None:
        self.doing = doing
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
            cache().mkdir(parents=True, exist_ok=True)
            (cache() / "last-failure.txt").write_text("\n".join([" ".join(command), *lines]) + "\n", encoding="utf-8")
        said = [
            line.strip() for line in lines if re.match(r"\s*(error|fatal|hint|×|cause|caused by)", line, re.IGNORECASE)
        ]
        known = cause("\n".join(lines))
        if known:
            raise Refused(f"{failed}: {known}")
        detail = " ".join((said or [line for line in lines if line.strip()] or [f"exit code {code}"])[0].split())
        raise Refused(f"{failed}: {detail[:300]} (all of it: {cache() / 'last-failure.txt'}). Then run this again.")

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


def unsupported() -> str:
    """Why torch cannot be installed on this machine and what works instead; empty where it can."""
    system, machine, implementation = platform.system(), platform.machine().lower(), platform.python_implementation()
    if not OLDEST <= sys.version_info[:2] <= NEWEST or implementation != "CPython" or sys.maxsize < 2**32:
        this = f"{implementation} {platform.python_version()}, {64 if sys.maxsize > 2**32 else 32}-bit"
        return f"64-bit CPython {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} is needed, and this is {this}."
    if system == "Darwin":
        problem = unsupported_mac(machine, platform.mac_ver()[0])
    elif system == "Windows":
        problem = (
            "PyTorch is not made for Windows on ARM. Install the 64-bit Intel Python, which runs there too, or use WSL"
        )
        problem = problem if machine == "arm64" else ""
    else:
        problem = unsupported_linux(machine, *platform.libc_ver())
    elsewhere = "Or use your institution's JupyterHub, Google Colab or another computer."
    return f"{problem}. {elsewhere}" if problem else ""


def unsupported_mac(machine: str, version: str) -> str:
    """`unsupported` for a Mac with this processor and version of macOS."""
    if machine == "x86_64":
        asked = subprocess.run(["sysctl", "-n", "sysctl.proc_translated"], capture_output=True, text=True)
        if asked.stdout.strip() == "1":
            return "this Python is the one for Intel, on a Mac that is not. Install the universal one from python.org"
        return "PyTorch is no longer made for Macs with Intel processors"
    if int(version.split(".")[0] or 14) < 14:
        return f"PyTorch needs macOS 14 or later, and this is {version}. Update macOS"
    return ""


def unsupported_linux(machine: str, library: str, version: str) -> str:
    """`unsupported` for a Linux with this processor and C library."""
    if machine not in ("x86_64", "aarch64"):
        return f"PyTorch is not made for Linux on {machine}"
    if library != "glibc":
        return "PyTorch is not made for a Linux without glibc. Use Debian or Ubuntu, also in a container"
    if tuple(map(int, version.split(".")[:2])) < (2, 28):
        return f"PyTorch needs glibc 2.28 or later, and this is {version}. Use a newer Linux, also in a container"
    return ""


def too_long(place: Path, root: Path) -> str:
    """On Windows paths end at 260 characters unless it is told otherwise: why that will not do here, or empty."""
    if not WINDOWS or long_paths_allowed():
        return ""
    return longer_than_windows_allows(str(place), str(root))


def longer_than_windows_allows(place: str, root: str) -> str:
    """The sentence of `too_long` for an environment in ``place`` and a course in ``root``."""
    if len(place) + len("\\Lib\\site-packages\\") + LONGEST_IN_PACKAGES > 259:
        return f"{place} is too long a path for Windows. Set COURSE_VENV to a short one, such as C:\\course-packages."
    if len(root) + 1 + LONGEST_IN_KIT > 259:
        return (
            f"{root} is too long a path for Windows. Move the folder, for example to C:\\course, then run this again."
        )
    return ""


def long_paths_allowed() -> bool:
    """Whether Windows' own limit on the length of paths is off."""
    if sys.platform != "win32":
        return False
    try:
        import winreg

        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except (ImportError, OSError):
        return False


def cache() -> Path:
    """The user's cache folder for environments: nothing that OneDrive or iCloud would copy; short on Windows."""
    if WINDOWS:
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "lsc"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / NAME / "environments"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / NAME / "environments"


def find_uv() -> str | None:
    """uv on the path, but never in the folder where the command was typed."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        program = Path(folder) / ("uv.exe" if WINDOWS else "uv")
        if os.path.isabs(folder) and os.access(program, os.X_OK) and program.is_file():
            return str(program)
    return None


def has_nvidia() -> bool:
    """Whether this Linux has an NVIDIA GPU with its driver."""
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


def whole(record: Path) -> bool:
    """Whether every file that a package's RECORD names is there, with its size."""
    import csv

    try:
        with record.open(encoding="utf-8", newline="") as lines:
            for row in csv.reader(lines):
                name, size = row[0], row[2]
                if name.endswith(".pyc"):
                    continue
                found = os.stat(record.parents[1] / name).st_size
                script = name.startswith("..") and "bin/" in name  # rewritten when a folder moves
                if size and found != int(size) and not script:
                    return False
    except (OSError, ValueError, IndexError):
        return False
    return True


def python_version(python: Path) -> str:
    """Version of a Python by asking it."""
    ask = [str(python), "-I", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(ask, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def lock(place: Path) -> Iterator[None]:
    """One start at a time installs into ``place``; another waits and says so."""
    name = hashlib.sha256(str(place.resolve()).encode()).hexdigest()[:16]
    folder = cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / f"{name}.lock", "a+b")  # noqa: SIM115 (closed below, on both ways)
    except OSError:
        handle = open(Path(tempfile.gettempdir()) / f"{NAME}-{name}.lock", "a+b")  # noqa: SIM115
    with handle:
        told = False
        while not _taken(handle):
            if not told:
                print("course: another start is installing the course; waiting for it ...", file=sys.stderr)
                told = True
            time.sleep(0.5)
        yield  # closing the file gives the lock back, also when this process is killed


def _taken(handle: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead Python or pip to other packages."""
    unwanted = {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "CONDA_PREFIX"}
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    folder = kept.get("TMPDIR")
    if folder and (len(folder) > 60 or not os.access(folder, os.W_OK)) and os.access("/tmp", os.W_OK):
        del kept["TMPDIR"]  # sockets below it would get names that are too long
    return kept | {"PYTHONNOUSERSITE": "1"}


def run(environment: Environment, arguments: list[str]) -> int:
    """Run ``course ARGUMENTS`` in the environment, which takes this process's place where it can.

    -P: the folder where the command was typed, which may be a submission, decides nothing.
    """
    variables = clean_environment()
    scripts = str(environment.python.parent)
    variables["PATH"] = os.pathsep.join(filter(None, [scripts, variables.get("PATH")]))
    variables["VIRTUAL_ENV"] = str(environment.place)
    if environment.is_kit:  # several kits may share the packages
        variables["PYTHONPATH"] = str(environment.root)
        os.chdir(environment.root)
    command = [str(environment.python), "-P", "-m", "course_utils.cli", *arguments]
    sys.stderr.flush()
    if not WINDOWS:
        os.execve(command[0], command, variables)
    variables["PYTHONUTF8"] = "1"
    process = subprocess.Popen(command, env=variables)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the command has got it too, and ends in its own way
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
