"""Brings a newer student kit into the folder of an older one, and touches no file that the student has changed.

kit.json names every file of a kit with its digest. A file below ``notebooks/`` that still has the digest it came with
is replaced; one that was changed stays, and the new version is put beside it. Everything else of the kit
(``course_utils``, start scripts, lists) is replaced; what is not of the kit (``runs/``, own files) is not looked at.

The start scripts run this before anything is installed: standard library only, no import of this package. What is to be
brought in is laid whole into ``.update/`` first, so that a full disk or Ctrl-C leaves the old kit, or one that the next
start completes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
import zipfile
from pathlib import Path, PurePosixPath

COURSE = "latent-space-course"
KIT = "kit.json"
STAGE = ".update"
KEPT = "runs/.kept"  # copies of changed notebooks and the digests that they came with
LARGEST = 500_000_000


class UpdateError(Exception):
    """The update cannot be made; the message says why in one line. Nothing was changed."""


def update(root: Path, source: Path) -> list[str]:
    """Bring the kit in ``source``, a zip or a folder, into the kit in ``root``; returns what was done, a line each.

    Raises:
        UpdateError: ``source`` holds no student kit of this course, or one that is damaged.
        OSError: the disk is full or the folder cannot be written to; the old kit is as it was, or `resume` completes
            it.
    """
    stage = root / STAGE
    shutil.rmtree(stage, ignore_errors=True)
    incoming = stage / "coming"
    try:
        if source.is_dir():
            _copy_kit(_kit_folder(source), incoming)
        else:
            unpack(source, incoming)
        if course_of(read_kit(incoming)) != course_of(read_kit(root)):
            raise UpdateError("that is the kit of another course. Unpack it into a folder of its own.")
        incoming.rename(stage / "kit")  # from here on it is whole
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    return resume(root)


def resume(root: Path) -> list[str]:
    """Complete an update whose new kit lies whole in ``.update/kit``; an incomplete one is given up."""
    stage = root / STAGE
    new = stage / "kit"
    if not new.is_dir():
        shutil.rmtree(stage, ignore_errors=True)
        return []
    old_kit, new_kit = read_kit(root), read_kit(new)
    before, after = old_kit.get("files", {}), new_kit.get("files", {})
    said = []
    for name in sorted(after):
        if name == KIT:
            continue
        if name.startswith("notebooks/"):
            said += _bring_notebook(root, new, name, before.get(name), after[name])
        elif digest(root / name) != after[name]:
            _put(new / name, root / name)
    for name in sorted(before.keys() - after.keys()):
        if name.startswith("course_utils/"):  # a module of the old package would still be imported
            (root / name).unlink(missing_ok=True)
    scratch = stage / KIT
    scratch.write_text(json.dumps(merged_kit(old_kit, new_kit), indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, root / KIT)
    shutil.rmtree(stage, ignore_errors=True)
    keep(root)
    return said


def merged_kit(old: dict, new: dict) -> dict:
    """kit.json of a folder with the new kit and those notebooks of the old one that the new one does not have."""
    notebooks = {name: value for name, value in old.get("files", {}).items() if name.startswith("notebooks/")}
    merged = {key: old.get(key, {}) | new.get(key, {}) for key in ("units", "cells")}
    merged["files"] = notebooks | new.get("files", {})
    return new | {key: dict(sorted(value.items())) for key, value in merged.items()}


def _bring_notebook(root: Path, new: Path, name: str, came_with: str | None, coming: str) -> list[str]:
    """Put one file of ``notebooks/`` at its place if nobody changed what is there, else beside it."""
    here = root / name
    now = digest(here)
    if now == coming or (now is not None and coming == came_with):
        return []  # it is there already, or the new kit brings nothing new to a changed one
    unit = PurePosixPath(name).parent.name
    if now is None or now == came_with:
        _put(new / name, here)
        return [f"{'new' if now is None else 'renewed'}: {name}"] if name.endswith(f"/{unit}.ipynb") else []
    beside = free_name(here, coming)
    if digest(beside) != coming:
        _put(new / name, beside)
    return [f"yours is kept: {name}; the new version is beside it: {beside.name}"]


def free_name(path: Path, coming: str, word: str = "new") -> Path:
    """A name beside ``path`` that holds this content already, or nothing: ``02_x-new.ipynb``, ``02_x-new-2.ipynb``."""
    number = 1
    while True:
        beside = path.with_name(f"{path.stem}-{word}{'' if number == 1 else f'-{number}'}{path.suffix}")
        if digest(beside) in (None, coming):
            return beside
        number += 1


def changed(root: Path, kit: dict | None = None) -> list[str]:
    """Files of the kit's ``notebooks/`` that are there and differ from what the kit brought."""
    files = (kit or read_kit(root)).get("files", {})
    names = [name for name in files if name.startswith("notebooks/")]
    return [name for name in names if digest(root / name) not in (None, files[name])]


def keep(root: Path) -> None:
    """Copy changed notebooks to ``runs/.kept``: unpacking a kit over this one would replace them."""
    kit = read_kit(root)
    files = {name: value for name, value in kit.get("files", {}).items() if name.startswith("notebooks/")}
    for name in files:
        keep_file(root, name, files[name])
    record = root / KEPT / KIT
    text = json.dumps(files)
    if not record.is_file() or record.read_text(encoding="utf-8") != text:
        record.parent.mkdir(parents=True, exist_ok=True)
        _write(record, text.encode())


def keep_file(root: Path, name: str, came_with: str | None) -> None:
    """Copy one file of ``notebooks/`` to ``runs/.kept`` if it is not as the kit brought it."""
    here, there = root / name, root / KEPT / name
    with contextlib.suppress(FileNotFoundError):
        content = here.read_bytes()
        if hashlib.sha256(content).hexdigest() == came_with:
            return
        if not there.is_file() or there.read_bytes() != content:
            there.parent.mkdir(parents=True, exist_ok=True)
            _write(there, content)


def recover(root: Path) -> list[str]:
    """Where a kit was unpacked over this one: put changed notebooks back, the new versions beside them. Where it was
    the same kit, somebody may have wanted a fresh notebook: the changed one is put beside it."""
    files = read_kit(root).get("files", {})
    try:
        before = json.loads((root / KEPT / KIT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    said = []
    for name, came_with in before.items():
        mine, here = root / KEPT / name, root / name
        now, kept = digest(here), digest(mine)
        if kept is None or now == kept or now != files.get(name):
            continue  # nothing was changed, or the student's own version is what is here
        if now == came_with:
            beside = free_name(here, kept, "yours")
            _put(mine, beside)
            mine.unlink()
            said.append(f"{name} is as it was released; what you had is beside it: {beside.name}")
            continue
        beside = free_name(here, now or "")
        _put(here, beside)
        _put(mine, here)
        said.append(f"yours is back: {name}; the new version is beside it: {beside.name}")
    return said


def settle(root: Path) -> list[str]:
    """What every start does first: complete an update, undo what unpacking over it replaced, keep what was changed."""
    said = resume(root) if (root / STAGE).is_dir() else []
    said += recover(root)
    keep(root)
    return said


def older_kit_beside(root: Path) -> Path | None:
    """A kit of this course in a folder beside this one that somebody has worked in, while nobody has in this one."""
    mine = read_kit(root)
    if changed(root, mine) or _worked_in(root):
        return None
    for folder in sorted(root.parent.iterdir()):
        if folder == root or not (folder / KIT).is_file() or (folder / ".git").exists():
            continue
        with contextlib.suppress(UpdateError, OSError):
            other = read_kit(folder)
            same = other.get("files") == mine.get("files") or course_of(other) != course_of(mine)
            if not same and (changed(folder, other) or _worked_in(folder)):
                return folder
    return None


def _worked_in(root: Path) -> bool:
    return any(path.name != ".kept" for path in (root / "runs").iterdir()) if (root / "runs").is_dir() else False


def read_kit(folder: Path) -> dict:
    """kit.json of the kit in ``folder``; raises UpdateError where it is none of this course."""
    try:
        kit = json.loads((folder / KIT).read_text(encoding="utf-8"))
        if kit["course"] != COURSE or not isinstance(kit["units"], dict):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise UpdateError(
            "that is no student kit of this course (kit.json is missing, damaged or of another)."
        ) from None
    return kit


def course_of(kit: dict) -> str:
    """Which course a kit is of; empty for the course of the checkout, and for kits that do not say."""
    about = kit.get("about", {})
    return str(about.get("id", "")) if isinstance(about, dict) else ""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a kit's zip into ``folder``; raises UpdateError for anything else, or a damaged one."""
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            tops = [entry.filename for entry in entries if PurePosixPath(entry.filename).name == KIT]
            if not tops:
                raise UpdateError(f"{archive.name} is no student kit: it has no {KIT}.")
            top = min(tops, key=len).removesuffix(KIT)
            inside = {entry.filename.removeprefix(top): entry for entry in entries if entry.filename.startswith(top)}
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise UpdateError(f"{archive.name} unpacks to more than a student kit has.")
            for name, entry in inside.items():
                parts = PurePosixPath(name).parts
                if (
                    ".." in parts
                    or name.startswith("/")
                    or "\\" in name
                    or ":" in name
                    or stat.S_ISLNK(entry.external_attr >> 16)
                ):
                    raise UpdateError(f"{archive.name} is no student kit: it would write to {name}.")
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(packed.read(entry))
                path.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
    except FileNotFoundError:
        raise UpdateError(f"{archive} is not there.") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UpdateError(f"{archive.name} is damaged or no zip ({error}). Download it again.") from None
    _verify(folder)


def _verify(folder: Path) -> None:
    """Every file that kit.json names is there, and as it says."""
    for name, wanted in read_kit(folder).get("files", {}).items():
        if name != KIT and digest(folder / name) != wanted:
            raise UpdateError(f"the new kit is not whole: {name} is missing or damaged. Download it again.")


def _kit_folder(folder: Path) -> Path:
    inside = [path.parent for path in folder.glob(f"*/{KIT}")]
    return folder if (folder / KIT).is_file() or len(inside) != 1 else inside[0]


def _copy_kit(source: Path, folder: Path) -> None:
    """The kit's own files of a folder: not its packages, runs or anything else that grew there."""
    names = read_kit(source).get("files", {})
    if not names:
        raise UpdateError(f"{source} is a student kit of an earlier kind. Name the zip that it came in.")
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(source / name, path)
    shutil.copy2(source / KIT, folder / KIT)
    _verify(folder)


def digest(path: Path) -> str | None:
    """SHA-256 of a file's content; None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _put(source: Path, target: Path) -> None:
    """Copy a file to its place so that it is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target, source.read_bytes(), source.stat().st_mode & 0o777)


def _write(target: Path, content: bytes, mode: int = 0o644) -> None:
    scratch = target.with_name(f".{target.name}.part")
    try:
        scratch.write_bytes(content)
        scratch.chmod(mode)
        os.replace(scratch, target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def start(root: Path) -> Path:
    """What the start scripts do about updates; returns the kit's folder in which to go on."""
    say(settle(root))
    older = older_kit_beside(root)
    if older is None or (root / ".asked").is_file():
        return root
    if not (sys.stdin and sys.stdin.isatty()):
        print(
            f"course: your work is in {older}. To bring this kit there: start it there with `update {root}`.",
            file=sys.stderr,
        )
        return root
    print(f"There is an older kit with your work in {older}.", file=sys.stderr)
    if input("Bring this newer kit there (nothing that you changed is touched) and go on there? [y/n] ").lower() == "y":
        say(update(older, root))
        return older
    (root / ".asked").touch()
    return root


def say(lines: list[str]) -> None:
    """Print what was done."""
    for line in lines:
        print(f"course: {line}", file=sys.stderr)


if __name__ == "__main__":
    try:
        print(start(Path(sys.argv[1]).resolve()))
    except (UpdateError, OSError) as error:
        sys.exit(f"course: {error}")
