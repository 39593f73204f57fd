"""Installs the course where it is not installed yet, then runs one of its commands: ``python -I install.py ARGUMENTS``.

The start scripts (``course``, ``start.sh``, ``start.bat``) find a Python and hand over to this file, so that every
platform goes the same way. It runs before anything is installed: standard library only, no import of this package.

The packages of a checkout are in its ``.venv``; those of student kits in the user's cache folder, one environment for
all kits with the same list (a kit that has a ``.venv`` already keeps it). ``COURSE_VENV`` names another place.
``COURSE_INSTALLER`` is ``uv`` or ``pip``; without it, uv where it can be had, else pip.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .environment import Environment

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main(arguments: list[str]) -> int:
    """Make sure that the environment is complete, then run the command. Returns the exit code."""
    is_kit = (ROOT / "kit.json").is_file()
    try:
        folder = updated_kit() if is_kit else ROOT
        if folder is None:
            return 1
        if folder != ROOT:
            return hand_over(folder, arguments)
        environment = complete_environment(is_kit, arguments)
    except KeyboardInterrupt:
        print("\ncourse: stopped; the next start goes on where this one ended.", file=sys.stderr)
        return 130
    if environment is None:
        return 1
    return run(environment, arguments or (["lab"] if is_kit else []))


def updated_kit() -> Path | None:
    """What kit_update.py does at every start, also where an interrupted update has left other files of two versions;
    returns the kit's folder in which to go on, None after saying why not."""
    updates = sibling("kit_update")
    try:
        return updates.start(ROOT)
    except updates.UpdateError as error:
        print(f"course: {error}", file=sys.stderr)
    except OSError as error:
        advice = "Free some space, or see that this folder can be written to; the next start goes on."
        print(f"course: {error.filename or ROOT}: {error.strerror or error}. {advice}", file=sys.stderr)
    return None


def complete_environment(is_kit: bool, arguments: list[str]) -> Environment | None:
    """The environment, with everything in it that the command needs; None after saying why there is none."""
    environments, installer = sibling("environment"), sibling("installer")
    extra = "test" if arguments[:1] == ["test"] and not is_kit else ""
    try:
        environment = environments.Environment(ROOT, is_kit)
        environment.make_ready(extra)
        return environment
    except installer.Refused as refusal:
        print(f"course: {refusal}", file=sys.stderr)
    except OSError as error:
        print(f"course: {installer.told(error)}", file=sys.stderr)
    return None


def sibling(name: str) -> ModuleType:
    """The module NAME of this folder. A script is in no package, and -I leaves its folder out of the path: so the
    folder is made a package, in which modules find each other, and nothing else of the course is imported."""
    if __package__:
        return importlib.import_module(f"{__package__}.{name}")
    package = sys.modules.setdefault("course_system", ModuleType("course_system"))
    package.__path__ = [str(HERE)]
    return importlib.import_module(f"course_system.{name}")


def hand_over(folder: Path, arguments: list[str]) -> int:
    """Go on as if the kit in ``folder`` had been started."""
    command = [sys.executable, "-I", str(folder / "course_utils" / "system" / "install.py"), *arguments]
    return subprocess.call(command, cwd=folder)


def run(environment: Environment, arguments: list[str]) -> int:
    """Run ``course ARGUMENTS`` in the environment, which takes this process's place where it can.

    -P: the folder where the command was typed, which may be a submission, decides nothing.
    """
    machine = sibling("machine")
    variables = machine.clean_environment()
    scripts = str(environment.python.parent)
    variables["PATH"] = os.pathsep.join(filter(None, [scripts, variables.get("PATH")]))
    variables["VIRTUAL_ENV"] = str(environment.place)
    if environment.is_kit:  # several kits may share the packages
        variables["PYTHONPATH"] = str(environment.root)
        os.chdir(environment.root)
    command = [str(environment.python), "-P", "-m", "course_utils.cli", *arguments]
    sys.stderr.flush()
    if not machine.WINDOWS:
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
