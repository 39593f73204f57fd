"""The student kit: complete, free of anything of the instructor's, and working away from this repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
import zipfile

import pytest
from miniature import CHECKOUT, make_tree

from autograder.kit import FOLDER, build_kit
from autograder.release import release_units
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("kit") / "course"))
    release_units(tree, tree.units())
    return build_kit(tree)


@pytest.fixture(scope="module")
def unpacked(kit, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    with zipfile.ZipFile(kit) as packed:
        packed.extractall(folder)
    return folder / FOLDER


def course(folder, *arguments):
    """Run the kit's own `course` as a student would: in the kit's folder, with the kit's package."""
    command = [sys.executable, "-m", "course_utils.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=120)


def test_kit_has_what_a_student_needs(unpacked):
    for name in (
        "README.md",
        "LICENSE",
        "environment.yml",
        "constraints.txt",
        "pyproject.toml",
        "start.sh",
        "start.bat",
        "nbgrader_config.py",
        "notebooks/01_double/01_double.ipynb",
        "course_utils/cli/app.py",
        "course_utils/metrics/templates/board.html.j2",
        "course_utils/plots/cockpit/templates/page.html.j2",
    ):
        assert (unpacked / name).is_file(), f"the kit lacks {name}"
    assert b"\r\n" in (unpacked / "start.bat").read_bytes(), "start.bat needs Windows line ends"


def test_kit_has_nothing_of_the_instructors(kit):
    with zipfile.ZipFile(kit) as packed:
        for name in packed.namelist():
            text = packed.read(name).decode("utf-8", errors="replace")
            forbidden = {"autograder", "tests", "solutions", "__pycache__"} & set(name.split("/"))
            assert not forbidden, f"{name} is in the kit"
            answers = "### BEGIN SOLUTION" in text or "### BEGIN MARK SCHEME" in text
            assert not answers, f"{name} gives answers away"
            assert str(CHECKOUT) not in text, f"{name} names a path of this machine"


def test_kit_installs_the_same_packages_without_autograder_and_extras(unpacked):
    own = tomllib.loads((unpacked / "pyproject.toml").read_text())
    main = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    assert own["project"]["dependencies"] == main["project"]["dependencies"]
    assert own["project"]["scripts"] == {"course": "course_utils.cli:main"}
    assert "entry-points" not in own["project"] and "optional-dependencies" not in own["project"]
    assert own["build-system"] == main["build-system"]
    assert own["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["course_utils"]


def test_kit_is_the_same_bytes_when_made_again(kit):
    before = kit.read_bytes()
    for source in (kit.parent.parent / "release").rglob("*.ipynb"):
        os.utime(source)
    build_kit(Tree(kit.parent.parent))
    assert kit.read_bytes() == before


def test_files_of_the_kit_are_as_old_as_the_kit(kit):
    with zipfile.ZipFile(kit) as packed:
        (date,) = {entry.date_time for entry in packed.infolist()}
    assert abs(time.mktime((*date, 0, 0, -1)) - time.time()) < 3 * 3600


def test_a_student_sees_notebooks_and_texts_in_the_file_browser_and_no_technical_file(unpacked):
    from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
    from traitlets.config import Config

    config = json.loads((unpacked / "course_utils/cli/lab_config/student/jupyter_server_config.json").read_text())
    manager = AsyncLargeFileManager(root_dir=str(unpacked), config=Config(config))
    shown = {path.name for path in unpacked.iterdir() if manager.should_list(path.name)}
    assert shown == {"README.md", "LICENSE", "notebooks"}


def test_validate_in_the_kit_is_configured_as_in_the_course(unpacked):
    settings = [line for line in (unpacked / "nbgrader_config.py").read_text().splitlines() if line.startswith("c.")]
    own = (CHECKOUT / "nbgrader_config.py").read_text().splitlines()
    assert settings and not set(settings) - set(own)


def test_start_script_can_be_run_and_is_valid_shell(kit, unpacked):
    with zipfile.ZipFile(kit) as packed:
        assert packed.getinfo(f"{FOLDER}/start.sh").external_attr >> 16 & 0o111, "start.sh is not executable"
    if os.name == "posix":
        subprocess.run(["sh", "-n", unpacked / "start.sh"], check=True)


def test_submit_works_in_the_kit(unpacked):
    result = course(unpacked, "submit", "1")
    assert result.returncode == 0, result.stderr
    assert "not written yet: double, triple" in result.stderr
    with zipfile.ZipFile(unpacked / "01_double-submission.zip") as packed:
        assert packed.namelist() == ["01_double/01_double.ipynb"]


def test_grading_in_the_kit_is_refused_in_one_line(unpacked):
    result = course(unpacked, "grade", "1")
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr


def test_kit_knows_its_units(unpacked):
    units = json.loads((unpacked / "kit.json").read_text())["units"]
    assert units["01_double"] == {"test_double": 2, "test_triple": 2, "q_double": 3}


def test_kit_of_an_unreleased_course_is_refused(tmp_path):
    with pytest.raises(CourseError, match="no unit has been released"):
        build_kit(Tree(make_tree(tmp_path / "course")))
