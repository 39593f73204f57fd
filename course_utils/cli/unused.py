"""Packages in the user's cache folder that no kit on this machine uses any more: what they hold, and their removal."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from course_utils.system import machine
from course_utils.system.environment import Environment, kits_of, lock
from course_utils.system.errors import WrongUsage

_NAME = re.compile(r"([0-9a-f]{8})-py3\d+")


@dataclass(frozen=True)
class Unused:
    """An environment that no kit uses, and its size in bytes."""

    place: Path
    size: int


def unused() -> list[Unused]:
    """The environments in the cache folder whose kits are all gone, moved to another list of packages or brought their
    own; never the one that runs this. Sorted by name."""
    places = [place for place in sorted(machine.cache().glob("*-py3*")) if _NAME.fullmatch(place.name)]
    here = os.path.realpath(sys.prefix)
    return [Unused(place, size_of(place)) for place in places if os.path.realpath(place) != here and not used(place)]


def used(place: Path) -> bool:
    """Whether a kit that was started with the environment in ``place`` is still there and has the same list."""
    found = _NAME.fullmatch(place.name)
    assert found is not None, f"{place} has the name of no environment"
    return any(digest_of(Path(kit)) == found[1] for kit in [*kits_of(place), *owners(place)])


def owners(place: Path) -> list[str]:
    """The kit that was linked last, for environments that were made before they kept a list."""
    records = place.glob(f"**/site-packages/{machine.NAME.replace('-', '_')}-*.dist-info/direct_url.json")
    found = []
    for record in records:
        try:
            found.append(machine.folder_of(json.loads(record.read_text(encoding="utf-8"))["url"]))
        except (OSError, ValueError, KeyError):
            continue
    return found


def digest_of(kit: Path) -> str | None:
    """The digest of the kit's list of packages; None where there is no kit that could use shared packages."""
    if not (kit / "kit.json").is_file() or (kit / ".venv").is_dir():
        return None
    try:
        return Environment(kit, is_kit=True).digest
    except Exception:  # a damaged kit: what it had needs is not known
        return None


def size_of(folder: Path) -> int:
    """Bytes of all files below ``folder``, links not followed."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def described(each: Unused) -> str:
    """One line about it."""
    return f"{each.size / 1e9:.1f} GB in {each.place}"


def remove_after_asking() -> None:
    """List what no kit uses, ask, and remove it. Raises WrongUsage where nobody can be asked."""
    found = unused()
    if not found:
        print(f"Nothing to remove: every environment in {machine.cache()} belongs to a kit that is there.")
        return
    for each in found:
        print(described(each))
    if not sys.stdin or not sys.stdin.isatty():
        raise WrongUsage("--remove-unused asks before it removes anything. Run it in a terminal.")
    if input("No kit on this machine uses these packages. Remove them? [y/n] ").strip().lower() != "y":
        print("Nothing was removed.")
        return
    for each in found:
        with lock(each.place):  # no installation is at work in it
            if not used(each.place):
                shutil.rmtree(each.place)
                print(f"removed: {each.place}")
