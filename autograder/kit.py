"""The student kit: one zip with all that a student needs, and nothing that a student must not have.

A kit made again of the same content has the same bytes: sorted names, and its files keep the date of the first time.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import time
import tomllib
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from hatchling.builders.wheel import WheelBuilder

from course_utils.checks import own_sources
from course_utils.cli.handin.units import facts_for_kit
from course_utils.system.course_file import NAME as COURSE_FILE
from course_utils.system.course_file import CourseFile, for_kit
from course_utils.system.errors import CourseError
from course_utils.system.tree import KIT_MARKER, Tree, notebook_path
from course_utils.system.whole_file import whole_zip

from .release import check_release, released_units

FOLDER = "course-student-kit"
OWN_FILES = Path(__file__).parent / "student_kit"
CHECKOUT = Path(__file__).resolve().parent.parent
FROM_CHECKOUT = ("LICENSE", "environment.yml", "constraints.txt")
EXECUTABLE = {"start.sh"}
# What the notebooks import. IPython and its kernel are those that run them; torchvision is done without.
NEEDED_BY_NOTEBOOKS = {
    "anywidget",
    "filelock",
    "ipywidgets",
    "jinja2",
    "matplotlib",
    "numpy",
    "pillow",
    "platformdirs",
    "psutil",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
    "tqdm",
}
Date = tuple[int, int, int, int, int, int]
LARGEST_DATA = 50_000_000  # bytes of pictures of one's own in a kit


def build_kit(tree: Tree) -> Path:
    """Write dist/course-student-kit.zip from what was released and course_utils; returns its path."""
    archive = tree.root / "dist" / f"{FOLDER}.zip"
    archive.parent.mkdir(exist_ok=True)
    files = kit_files(tree)
    date = _date_of(archive, files)
    with whole_zip(archive) as packed:
        for name in sorted(files):
            packed.writestr(_entry(name, date), files[name], compresslevel=9)
    return archive


def _date_of(archive: Path, files: dict[str, bytes]) -> Date:
    """When the files of a kit were made: now, unless the kit that is there has the very same ones."""
    try:
        with zipfile.ZipFile(archive) as before:
            entries = {entry.filename.removeprefix(f"{FOLDER}/"): entry for entry in before.infolist()}
            if entries.keys() == files.keys() and all(before.read(entries[name]) == files[name] for name in files):
                return entries[KIT_MARKER].date_time
    except (OSError, zipfile.BadZipFile):
        pass
    now = time.localtime()
    return now.tm_year, now.tm_mon, now.tm_mday, now.tm_hour, now.tm_min, now.tm_sec


def kit_files(tree: Tree) -> dict[str, bytes]:
    """Content of every file of the kit by its path in the kit. Every notebook passes the release gate again."""
    units = released_units(tree)
    files = {path.name: path.read_bytes() for path in OWN_FILES.iterdir() if path.is_file()}
    files["start.bat"] = files["start.bat"].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    files |= {name: (CHECKOUT / name).read_bytes() for name in FROM_CHECKOUT}
    main = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    files["pyproject.toml"] = student_pyproject(main).encode()
    own = tree.root / "course_utils"  # of a checkout that another one's `course` works on
    package = tree_files(own if own.is_dir() else CHECKOUT / "course_utils", "course_utils")
    package |= {
        f"course_utils/checks/exercises/{name}.py": text.encode() for name, text in own_sources(tree.root).items()
    }
    files |= package | build_wheel(package, main)
    for unit in units:
        try:
            check_release(tree, unit, tree.folder("release"))
        except CourseError as error:
            raise CourseError(f"{error} (It was released before and is in the kit: release it again, too.)") from error
        files |= tree_files(tree.folder("release") / unit, f"notebooks/{unit}")
    files |= own_data(tree)
    files["README.md"] = _readme(tree, units, files["README.md"].decode()).encode()
    files[KIT_MARKER] = _kit_json(tree, units, main["project"]["version"], files).encode()
    return files


def own_data(tree: Tree) -> dict[str, bytes]:
    """The pictures that course.toml names, so that students have them."""
    name = tree.about.dataset.name
    if not name:
        return {}
    found = [path for path in sorted((tree.root / "data").glob(f"{name}*")) if path.stem == name or path.is_dir()]
    files: dict[str, bytes] = {}
    for path in found:
        if path.is_dir() and path.name == name:
            files |= tree_files(path, f"data/{name}")
        elif path.is_file():
            files[f"data/{path.name}"] = path.read_bytes()
    if not files:
        raise CourseError(f"{COURSE_FILE} names the data set {name!r}, and data/ holds neither {name}/ nor {name}.csv.")
    if sum(map(len, files.values())) > LARGEST_DATA:
        raise CourseError(
            f"data/{name} has {sum(map(len, files.values())) / 1e6:.0f} MB, and a kit takes at most "
            f"{LARGEST_DATA / 1e6:.0f}. Make the pictures smaller: they are resized anyway."
        )
    return files


def _readme(tree: Tree, units: list[str], text: str) -> str:
    """The kit's README with the course's title, its calendar, and nothing about units that it does not have."""
    about = tree.about
    text = text.replace(CourseFile().title, about.title, 1)
    if not any(unit.startswith("06_") for unit in units):
        text = text.split("\nThe last unit draws")[0]
    days = [(unit, about.calendar[unit]) for unit in units if unit in about.calendar]
    if days:
        rows = [f"| `{unit}` | {_day(of.release)} | {_day(of.due)} |" for unit, of in days]
        table = "\n".join(["## Calendar", "", "| unit | released | due |", "|---|---|---|", *rows, "", ""])
        text = text.replace("## Start", f"{table}## Start", 1)
    return text


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def build_wheel(package: dict[str, bytes], main: dict[str, Any]) -> dict[str, bytes]:
    """course_utils as a wheel, by its file name: for notebooks on a server whose packages are not ours to choose.
    It asks for what the notebooks import and nothing else."""
    needed = [line for line in main["project"]["dependencies"] if name_of(line) in NEEDED_BY_NOTEBOOKS]
    project = {key: value for key, value in main["project"].items() if key != "scripts"} | {"dependencies": needed}
    files = package | {"pyproject.toml": student_pyproject(main | {"project": project}).encode()}
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (built,) = WheelBuilder(folder).build(directory=f"{folder}/dist", versions=["standard"])
        return {Path(built).name: Path(built).read_bytes()}


def name_of(requirement: str) -> str:
    """The name in a line of a list of packages, as the index writes it."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def student_pyproject(main: dict[str, Any]) -> str:
    """The kit's pyproject.toml: the main one's dependencies and `course` command, without autograder and extras."""
    project = main["project"]
    lines = ["# Written by `course release` from the course's own pyproject.toml.", "[build-system]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in main["build-system"].items()]
    lines += ["", "[project]"]
    lines += [
        f"{key} = {json.dumps(project[key], ensure_ascii=False)}"
        for key in ("name", "version", "description", "license", "requires-python")
    ]
    lines += ["dependencies = [", *(f"    {json.dumps(package)}," for package in project["dependencies"]), "]", ""]
    if "scripts" in project:
        lines += ["[project.scripts]", f"course = {json.dumps(project['scripts']['course'])}", ""]
    lines += ["[tool.hatch.build.targets.wheel]", 'packages = ["course_utils"]']
    return "\n".join(lines) + "\n"


def _kit_json(tree: Tree, units: list[str], version: str, files: dict[str, bytes]) -> str:
    """What `course submit` needs to tell a unit's notebook from another's, and `course update` to tell what a student
    has changed: the digest of every file."""
    released = {
        unit: {
            name: nbformat.read(notebook_path(tree.folder("release"), unit, name), as_version=4)
            for name in tree.notebooks(unit)
        }
        for unit in units
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    about = {"course": "latent-space-course", "version": version, "files": digests, "about": for_kit(tree.about)}
    return json.dumps(about | facts_for_kit(released), indent=1) + "\n"


def tree_files(folder: Path, name: str) -> dict[str, bytes]:
    """Content of every file below ``folder``, by its path below ``name``; without what running leaves there."""
    return {
        f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".ipynb_checkpoints", "runs"} & set(path.relative_to(folder).parts)
    }


def _entry(name: str, date: Date) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{FOLDER}/{name}", date_time=date)
    entry.create_system = 3  # POSIX, wherever it is written
    entry.external_attr = (0o100755 if name in EXECUTABLE else 0o100644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
