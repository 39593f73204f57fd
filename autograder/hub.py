"""``course hub``: the configuration of a JupyterHub for this course, as files to load from the hub's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from course_utils.cli.lab import CONFIG as LAB_CONFIG
from course_utils.system.errors import CourseError
from course_utils.system.tree import MARKER, Tree
from course_utils.system.whole_file import write_whole

from .kit import OWN_FILES
from .nbgrader_course import NbGraderCourse

INSTRUCTORS_LAB = Path(__file__).parent / "lab_config"
EXCHANGE = Path("/usr/local/share/nbgrader/exchange")  # nbgrader's own choice

HUB = '''"""JupyterHub for this course, written by `course hub`. In the hub's own jupyterhub_config.py:

    load_subconfig({place!r})

The folder of this file must be readable for everybody, and in containers be at the same path.
"""

import os

FOLDER = os.path.dirname(os.path.abspath(__file__))
COURSE = {course!r}  # the checkout, below an instructor's home
INSTRUCTORS = {instructors!r}
DATA = {data!r}  # data sets, fetched once with `course data fetch`; "" lets everybody fetch their own
BUDGET = "quick"  # quick, full or original: how much notebooks train
PROCESSORS = 2  # for each server; PyTorch would take all that it sees
MEMORY = "3G"  # for each server: about 1.5 GB for a notebook that trains, and as much again for a second one


def configuration(spawner):
    """Where a server looks for its settings: those of its role come before everybody's."""
    role = "instructor" if spawner.user.name in INSTRUCTORS else "student"
    folders = [os.path.join(FOLDER, role), os.path.join(FOLDER, "everyone"), os.environ.get("JUPYTER_CONFIG_PATH")]
    return os.pathsep.join(filter(None, folders))


def packages(spawner):
    """Instructors also have the autograder, from the checkout, which only they can read."""
    folders = [COURSE if spawner.user.name in INSTRUCTORS else "", os.environ.get("PYTHONPATH")]
    return os.pathsep.join(filter(None, folders))


c = get_config()  # noqa: F821 (given by traitlets)
c.Spawner.environment.update(
    {{
        "JUPYTER_CONFIG_PATH": configuration,
        "PYTHONPATH": packages,
        "COURSE_BUDGET": BUDGET,
        "COURSE_RUNS": "~/{course_id}-runs",  # models of all units in one place, and not in what is handed in
        "OMP_NUM_THREADS": str(PROCESSORS),
    }}
    | ({{"COURSE_DATA": DATA}} if DATA else {{}})
)
c.Spawner.default_url = "/lab"
# Kept by spawners with containers or systemd; LocalProcessSpawner and SimpleLocalProcessSpawner limit nothing.
c.Spawner.mem_limit = MEMORY
c.Spawner.cpu_limit = PROCESSORS
'''

EVERYONE = '''"""nbgrader for everybody on the hub, written by `course hub`."""

c = get_config()  # noqa: F821 (given by traitlets)

c.CourseDirectory.course_id = {course_id!r}
c.Exchange.root = {exchange!r}
{validate}
'''

STUDENT = '''"""nbgrader for students on the hub, written by `course hub`."""

import os

c = get_config()  # noqa: F821 (given by traitlets)

c.CourseDirectory.student_id = os.environ.get("JUPYTERHUB_USER", "*")  # whatever the account inside a container is
c.CourseDirectory.ignore = {ignore!r}
c.ExchangeSubmit.strict = True  # a notebook of another name would never get its feedback
'''

INSTRUCTOR = '''"""nbgrader for instructors on the hub, written by `course hub`."""

load_subconfig({marker!r}, path={course!r})  # noqa: F821 (given by traitlets)
'''

# JupyterHub forbids that its pages are shown inside others, which could be a student's. Lab shows formgrader inside its
# page: instructors open its address in a tab of its own.
NOT_IN_LAB = ("@jupyter/nbgrader:course-list", "@jupyter/nbgrader:formgrader")
IDLE = {"cull_idle_timeout": 3600, "cull_interval": 300, "cull_connected": True}  # a kernel holds about a gigabyte


def hub_files(
    tree: Tree, folder: Path, instructors: list[str], exchange: Path = EXCHANGE, data: Path | None = None
) -> dict[str, str]:
    """The files that a hub needs, by their path in ``folder``."""
    directory = NbGraderCourse(tree).directory()
    kit = (OWN_FILES / MARKER).read_text(encoding="utf-8").splitlines()
    everyone, student = _lab_settings(LAB_CONFIG / "everyone"), _lab_settings(LAB_CONFIG / "student")
    everyone["jupyter_server_config.json"]["ServerApp"]["jpserver_extensions"] = _panels(course_list=False)
    everyone["jupyter_server_config.json"]["MappingKernelManager"] = IDLE
    everyone["labconfig/page_config.json"] = {"disabledExtensions": dict.fromkeys(NOT_IN_LAB, True)}
    files: dict[str, Any] = {
        "jupyterhub_config.py": HUB.format(
            place=str(folder / "jupyterhub_config.py"),
            course=str(tree.root),
            course_id=directory.course_id,
            instructors=sorted(instructors),
            data=str(data or ""),
        ),
        "everyone/nbgrader_config.py": EVERYONE.format(
            course_id=directory.course_id,
            exchange=str(exchange),
            validate="\n".join(line for line in kit if line.startswith("c.")),
        ),
        "student/nbgrader_config.py": STUDENT.format(ignore=[*directory.ignore]),
        "instructor/nbgrader_config.py": INSTRUCTOR.format(marker=MARKER, course=str(tree.root)),
    }
    files |= {f"everyone/{name}": content for name, content in everyone.items()}
    files |= {f"student/{name}": content for name, content in student.items()}
    files |= {f"instructor/{name}": content for name, content in _lab_settings(INSTRUCTORS_LAB).items()}
    return {
        name: content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
        for name, content in sorted(files.items())
    }


def write_files(files: dict[str, str], folder: Path, overwrite: bool = False) -> dict[str, str]:
    """Write the files; returns what was done with each: written, replaced or unchanged.

    Raises CourseError, and writes nothing, when a file is there with another content and ``overwrite`` is not given.
    """
    done = {}
    for name, content in files.items():
        path = folder / name
        there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
        done[name] = "written" if there is None else "unchanged" if there == content else "replaced"
    changed = [name for name, what in done.items() if what == "replaced"]
    if changed and not overwrite:
        raise CourseError(
            f"{folder} holds other versions of {', '.join(changed)}; nothing was written. Name another folder, or use "
            "--overwrite to lose them."
        )
    for name, what in done.items():
        if what != "unchanged":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, files[name])
    return done


def _lab_settings(folder: Path) -> dict[str, Any]:
    """The settings of ``course lab`` in a folder, by file."""
    return {
        path.relative_to(folder).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in folder.rglob("*.json")
    }


def _panels(**switched: bool) -> dict[str, bool]:
    return {f"nbgrader.server_extensions.{name}": on for name, on in switched.items()}
