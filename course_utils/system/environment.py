"""The virtual environment of the course: where it is, what it must hold, and how it comes to hold it.

Runs before anything is installed: standard library only, no import of other rooms of this package.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from . import machine
from .installer import Progress, Refused

STAMP = "course-installed.json"
KITS = "course-kits.json"  # folders of the kits that were started with the environment
HOPELESS = {"disk", "written", "reached."}  # words of a cause that pip would meet just as uv does


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
        self.python = self.place / ("Scripts/python.exe" if machine.WINDOWS else "bin/python")

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
        usable = [place for place in sorted(machine.cache().glob(f"{self.digest}-*")) if (place / STAMP).is_file()]
        return usable[0] if usable else machine.cache() / f"{self.digest}-py3{sys.version_info[1]}"

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
        for record in self.packages().glob(f"{machine.NAME.replace('-', '_')}-*.dist-info/direct_url.json"):
            try:
                url = json.loads(record.read_text(encoding="utf-8"))["url"]
            except (OSError, ValueError, KeyError):
                continue
            folder = Path(machine.folder_of(url))
            return self.root if folder.is_dir() and folder.samefile(self.root) else folder
        return None

    def packages(self) -> Path:
        """The folder site-packages of this environment."""
        return next(
            self.place.glob("Lib/site-packages" if machine.WINDOWS else "lib/python3*/site-packages"), self.place
        )

    def make_ready(self, extra: str = "") -> None:
        """Install what is missing, and let the environment import this folder's course_utils; raises Refused."""
        if not self.is_complete(extra):
            with lock(self.place):
                if not self.is_complete(extra):
                    self.install(extra)
        if self.owner() != self.root:
            with lock(self.place):
                self.link()
        self._remember()

    def _remember(self) -> None:
        """Write this kit into the list of those that use the environment, for `course doctor --remove-unused`."""
        kits = kits_of(self.place)
        if not self.is_kit or str(self.root) in kits:
            return
        scratch = self.place / f"{KITS}.{os.getpid()}"
        with contextlib.suppress(OSError):  # of somebody else: the packages can be used all the same
            scratch.write_text(json.dumps([*kits, str(self.root)], indent=1) + "\n", encoding="utf-8")
            os.replace(scratch, self.place / KITS)

    def install(self, extra: str = "") -> None:
        """Install what the list names, into a new environment or the one that is here; raises Refused."""
        self._refuse_foreign()
        problem = machine.unsupported() or machine.too_long(self.place, self.root)
        problem = problem or machine.too_little_disk(self.place, self._has_torch())
        if problem:
            raise Refused(problem)
        extras = {extra} - {""}
        with contextlib.suppress(OSError, ValueError):
            extras |= set(json.loads((self.place / STAMP).read_text(encoding="utf-8"))["extras"])
        new = not self._works()
        if new:
            self._create()
            self._remember()
        else:
            self._mend()
        (self.place / STAMP).unlink(missing_ok=True)
        self._install_packages(sorted(extras))
        self.link()
        stamp = self._stamp() | {"extras": sorted(extras), "version": machine.python_version(self.python)}
        (self.place / STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")

    def link(self) -> None:
        """Make ``course_utils`` of this folder the one that the environment imports. Needs no network."""
        self._refuse_foreign()
        self._set_scripts_right()
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--editable", str(self.root)]
        self._run("", self._pip(options), "the course could not be linked to its packages")

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
        return done.returncode == 0 and minor.isdecimal() and machine.OLDEST[1] <= int(minor) <= machine.NEWEST[1]

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
        command = machine.environment_maker(self.place)
        if not command:
            raise Refused("this Python has no venv. Debian/Ubuntu: sudo apt install python3-venv. Then run this again.")
        self._run("Making the environment", command, "the environment could not be made", machine.clean_environment())

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
        if machine.WINDOWS or not self.python.parent.is_dir():
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
            program = machine.find_uv() or self._fetch_uv()
            if program and self._install_with_uv(program, options):
                return
        self._run("Installing", self._pip(options))

    def _run(
        self,
        doing: str,
        command: list[str],
        failed: str = "the packages could not be installed",
        variables: dict[str, str] | None = None,
    ) -> None:
        """Run an installer with `variables`; raises Refused, and keeps all that it said in the cache folder."""
        log = machine.cache() / "last-failure.txt"
        Progress(doing, log).run(command, failed, self.variables() if variables is None else variables)

    def _pip(self, options: list[str]) -> list[str]:
        plain = ["--progress-bar", "off", "--no-warn-script-location", "--disable-pip-version-check", "--no-input"]
        return [str(self.python), "-I", "-m", "pip", "install", *plain, *options]

    def _fetch_uv(self) -> str | None:
        program = self.python.with_name("uv.exe" if machine.WINDOWS else "uv")
        if not program.is_file():
            options = ["--quiet", "--retries", "1", "--constraint", str(self.constraints), "uv"]
            try:
                self._run("Getting uv", self._pip(options))
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
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):  # then every start would compile what it imports, for ever
            command.append("--compile-bytecode")
        backend = ["--torch-backend", "cpu"] if sys.platform == "linux" and not machine.has_nvidia() else []
        backend = [] if self._has_torch() else backend
        if backend:  # the smaller build of torch where its index answers
            torch = [line for line in self.requirements if line.startswith("torch")]
            asked = [*command, *backend, "--dry-run", "--constraint", str(self.constraints), *torch]
            quick = variables | {"UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "10"}
            if subprocess.run(asked, capture_output=True, env=quick).returncode != 0:
                backend = []
        try:
            self._run("Installing", [*command, *backend, *options], variables=variables)
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
        settings = machine.sensible_pip_settings(lines)
        kept = {name: value for name, value in machine.clean_environment().items() if not name.startswith("PIP_")}
        kept = {name: value for name, value in kept.items() if name not in machine.BAD_FOR_UV}
        kept = machine.pip_settings_for_uv(settings) | kept
        kept |= {f"PIP_{name.upper().replace('-', '_')}": " ".join(value.split()) for name, value in settings.items()}
        return kept | {"PIP_CONFIG_FILE": os.devnull, "UV_NO_PROGRESS": "1"}


def kits_of(place: Path) -> list[str]:
    """The folders of the kits that have been started with the environment in ``place``."""
    try:
        kits = json.loads((place / KITS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [kit for kit in kits if isinstance(kit, str)] if isinstance(kits, list) else []


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


@contextlib.contextmanager
def lock(place: Path) -> Iterator[None]:
    """One start at a time installs into ``place``; another waits and says so."""
    name = hashlib.sha256(str(place.resolve()).encode()).hexdigest()[:16]
    folder = machine.cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / f"{name}.lock", "a+b")  # noqa: SIM115 (closed below, on both ways)
    except OSError:
        handle = open(Path(tempfile.gettempdir()) / f"{machine.NAME}-{name}.lock", "a+b")  # noqa: SIM115
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
