"""A newer kit comes into a folder that somebody has worked in: nothing that was changed is touched."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from course_utils.cli.update import after_saving, update_kit
from course_utils.system import kit_update
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

UNITS = ("01_one", "02_two", "03_three", "04_four")


def notebook(unit: str) -> str:
    return f"notebooks/{unit}/{unit}.ipynb"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def read(folder: Path) -> dict[str, str]:
    """Every file below a folder, but not what the update keeps for itself."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        n: p.read_text(encoding="utf-8") for n, p in names.items() if not n.startswith((kit_update.KEPT, ".update"))
    }


def make_kit(folder: Path, files: dict[str, str]) -> Path:
    write(folder, files)
    digests = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in files.items()}
    units = {name.split("/")[1]: {f"test_{name}": 2} for name in files if name.endswith(".ipynb")}
    kit = {"course": kit_update.COURSE, "version": "1", "units": units, "files": digests}
    write(folder, {"kit.json": json.dumps(kit), "nbgrader_config.py": ""})
    return folder


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, f"course-student-kit/{path.relative_to(folder).as_posix()}")
    return archive


class Case:
    """A kit, what somebody made of it, and a newer kit, all drawn at random."""

    def __init__(self, folder: Path, seed: int) -> None:
        draw = random.Random(seed)
        first = draw.sample(UNITS, draw.randint(1, 3))
        old = {notebook(unit): f"{unit} as released" for unit in first}
        old |= {f"notebooks/{first[0]}/picture.svg": "drawn"} if draw.random() < 0.5 else {}
        package = {f"course_utils/{name}.py": f"{name} 1" for name in draw.sample(["a", "b", "c"], 2)}
        self.old = make_kit(folder / "my kit (ä)", old | package | {"start.sh": "1"})
        self.came_with = old

        later = draw.sample(UNITS, draw.randint(1, 4))
        new = {notebook(unit): f"{unit} as released{draw.choice(['', ', repaired'])}" for unit in later}
        package = {f"course_utils/{name}.py": f"{name} 2" for name in draw.sample(["a", "b", "c"], 2)}
        self.new = new
        self.package = package
        kit = make_kit(folder / "new", new | package | {"start.sh": "2"})
        self.source = zipped(kit, folder / "new.zip") if draw.random() < 0.5 else kit

        for name in old:
            if draw.random() < 0.5:
                write(self.old, {name: f"{name}: my work {draw.random()}"})
            elif draw.random() < 0.2:
                (self.old / name).unlink()
        own = {"runs/01_one/vae.json": "{}", "runs/01_one/.guesses": "b", "thoughts.txt": "mine"}
        own |= {f"notebooks/{first[0]}/{first[0]}-new.ipynb": "my own file of that name"} if draw.random() < 0.3 else {}
        own |= {f"notebooks/{first[0]}/helper.py": "mine"}
        write(self.old, own)
        self.own = own
        self.before = read(self.old)

    def assert_updated(self) -> None:
        after = read(self.old)
        for name, content in self.own.items():
            assert after[name] == content, f"{name} is the student's own"
        for name, content in self.came_with.items():
            mine = self.before.get(name)
            if mine not in (None, content):
                assert after[name] == mine, f"{name} was changed and is not what it was"
                if name in self.new and self.new[name] != content:
                    unit = name.split("/")[1]
                    beside = [n for n in after if n.startswith(f"notebooks/{unit}/{unit}-new")]
                    assert self.new[name] in [after[n] for n in beside], f"the new {name} is not beside it"
        for name, content in self.new.items():
            if self.before.get(name) in (None, self.came_with.get(name)):
                assert after[name] == content, f"{name} was not changed and is not the new one"
        package = {name: content for name, content in after.items() if name.startswith("course_utils/")}
        assert package == self.package, "course_utils is not the new kit's"
        assert after["start.sh"] == "2"
        units = json.loads(after["kit.json"])["units"]
        assert set(units) >= {name.split("/")[1] for name in (self.new | self.came_with) if name.endswith(".ipynb")}
        assert not (self.old / ".update").exists()


@pytest.mark.parametrize("block", range(4))
def test_no_changed_notebook_is_touched_in_a_hundred_cases(tmp_path, block):
    touched = 0
    for seed in range(25 * block, 25 * block + 25):
        case = Case(tmp_path / str(seed), seed)
        kit_update.update(case.old, case.source)
        case.assert_updated()
        once = read(case.old)
        kit_update.update(case.old, case.source)
        assert read(case.old) == once, "the same kit again changes nothing"
        changed = [n for n, c in case.came_with.items() if case.before.get(n) not in (None, c)]
        touched += sum(once[name] != case.before[name] for name in changed)
    assert touched == 0


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_update_that_breaks_off_anywhere_is_completed_or_never_begun(tmp_path, monkeypatch, error):
    for seed in range(5):
        for step in range(1, 24, 2):
            case = Case(tmp_path / f"{seed}-{step}", seed)
            calls = iter(range(1, 1000))

            def breaking(real, calls=calls, step=step):
                def call(*arguments, **options):
                    if next(calls) == step:
                        raise error
                    return real(*arguments, **options)

                return call

            with monkeypatch.context() as patch:
                patch.setattr(Path, "write_bytes", breaking(Path.write_bytes))
                patch.setattr(os, "replace", breaking(os.replace))
                patch.setattr(shutil, "copy2", breaking(shutil.copy2))
                try:
                    kit_update.update(case.old, case.source)
                    broke = False
                except (OSError, KeyboardInterrupt):
                    broke = True
            for name, content in case.came_with.items():  # at every moment
                mine = case.before.get(name)
                assert mine in (None, content) or (case.old / name).read_text() == mine
            begun = (case.old / ".update" / "kit").is_dir()
            if broke and not begun and (case.old / "kit.json").read_text() == case.before["kit.json"]:
                assert read(case.old) == case.before, "nothing was begun, so nothing may be different"
                continue
            kit_update.settle(case.old)
            case.assert_updated()


def test_unpacking_over_the_old_kit_loses_nothing_that_was_saved_in_the_lab(tmp_path):
    first = {notebook("01_one"): "released", notebook("02_two"): "released too"}
    root = make_kit(tmp_path / "kit", first)
    assert kit_update.settle(root) == []
    write(root, {notebook("01_one"): "my work"})
    after_saving({}, os_path=str(root / notebook("01_one")), contents_manager=None)

    make_kit(root, {notebook("01_one"): "repaired", notebook("02_two"): "repaired too"})  # as unzip does: no question
    said = kit_update.settle(root)
    assert (root / notebook("01_one")).read_text() == "my work"
    assert (root / "notebooks/01_one/01_one-new.ipynb").read_text() == "repaired"
    assert (root / notebook("02_two")).read_text() == "repaired too"
    assert said == ["yours is back: notebooks/01_one/01_one.ipynb; the new version is beside it: 01_one-new.ipynb"]
    assert kit_update.settle(root) == [], "once is enough"


def test_a_fresh_notebook_has_the_earlier_work_beside_it(tmp_path):
    root = make_kit(tmp_path / "kit", {notebook("01_one"): "released"})
    write(root, {notebook("01_one"): "my work"})
    kit_update.settle(root)
    write(root, {notebook("01_one"): "released"})
    kit_update.settle(root)
    assert (root / "notebooks/01_one/01_one-yours.ipynb").read_text() == "my work"


def test_an_older_kit_beside_is_found_only_when_it_holds_work(tmp_path):
    old = make_kit(tmp_path / "old", {notebook("01_one"): "released"})
    new = make_kit(tmp_path / "new", {notebook("01_one"): "repaired"})
    assert kit_update.older_kit_beside(new) is None
    write(old, {notebook("01_one"): "my work"})
    assert kit_update.older_kit_beside(new) == old
    assert kit_update.older_kit_beside(old) is None
    write(new, {notebook("01_one"): "work here too"})
    assert kit_update.older_kit_beside(new) is None


@pytest.mark.parametrize("damage", ["none there", "no zip", "cut off", "another zip", "a byte changed", "climbs out"])
def test_what_is_no_kit_is_refused_and_changes_nothing(tmp_path, damage):
    root = make_kit(tmp_path / "kit", {notebook("01_one"): "released", "course_utils/a.py": "1"})
    new = make_kit(tmp_path / "new", {notebook("01_one"): "repaired", "course_utils/a.py": "2"})
    archive = zipped(new, tmp_path / "new.zip")
    if damage == "none there":
        archive.unlink()
    elif damage == "no zip":
        archive.write_text("<html>404</html>")
    elif damage == "cut off":
        archive.write_bytes(archive.read_bytes()[:-40])
    elif damage == "another zip":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("essay/essay.txt", "text")
    elif damage == "a byte changed":
        write(new, {"course_utils/a.py": "3"})
        zipped(new, archive)
    elif damage == "climbs out":
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr("course-student-kit/../../outside.txt", "text")
    before = read(root)
    with pytest.raises(CourseError) as refusal:
        update_kit(Tree(root), archive)
    assert "\n" not in str(refusal.value)
    assert read(root) == before and not (tmp_path / "outside.txt").exists()


def test_the_checkout_is_not_updated(tmp_path):
    (tmp_path / "nbgrader_config.py").touch()
    with pytest.raises(WrongUsage, match="git"):
        update_kit(Tree(tmp_path), tmp_path / "kit.zip")


def test_start_without_a_terminal_says_how_and_does_nothing(tmp_path):
    old = make_kit(tmp_path / "old", {notebook("01_one"): "released"})
    new = make_kit(tmp_path / "new", {notebook("01_one"): "repaired"})
    write(old, {notebook("01_one"): "my work"})
    program = Path(kit_update.__file__)
    done = subprocess.run(
        [sys.executable, "-I", program, new], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0 and done.stdout.strip() == str(new)
    assert f"your work is in {old}" in done.stderr
    assert (old / notebook("01_one")).read_text() == "my work"
