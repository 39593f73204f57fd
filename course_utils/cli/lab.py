"""``course lab``: JupyterLab on the course folder, set up for whoever sits in front of it."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path

from .welcome import PAGE, overviews, write_page

CONFIG = Path(__file__).parent / "lab_config"
MORE_CONFIG: list[Path] = []  # of packages that add commands: settings for whoever has them, not in student kits
WORKSPACES = ".workspaces"  # which notebooks were open, of this course alone


def open_lab(tree: Tree, unit: str | None, browser: bool = True, port: int | None = None) -> int:
    """Say what is done, on the welcome page too, and run JupyterLab in this process until it is stopped (a second one
    would import much of it again); returns the exit code."""
    units = overviews(tree)
    for each in units:
        print("  ".join(filter(None, [each.unit.ljust(max(len(other.unit) for other in units)), each.done, each.time])))
    write_page(tree, units)
    return serve(tree, lab_options(tree, unit, browser, port))


def serve(tree: Tree, options: list[str]) -> int:
    """Run JupyterLab in this process until it is stopped; returns the exit code."""
    sys.stdout.flush()
    os.environ.update(lab_environment(tree))
    os.chdir(tree.root)
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as error:
        raise CourseError(f"JupyterLab could not be started ({error}). Run `course doctor`.") from error
    try:
        LabApp.launch_instance(options)
    except KeyboardInterrupt:
        pass
    return 0


def lab_options(tree: Tree, unit: str | None, browser: bool, port: int | None, url: str = "") -> list[str]:
    """The options with which JupyterLab has the course folder as its root, and opens a unit, or ``url``."""
    page = notebook_path(Path(tree.folder_name("source")), unit, tree.notebook(unit)).as_posix() if unit else PAGE
    url = url or f"/lab/tree/{page}"
    options = [f"--ServerApp.root_dir={tree.root}", f"--LabApp.default_url={url}"]
    if not browser:
        options.append("--no-browser")
    if port:
        options += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")
    return options


def lab_environment(tree: Tree) -> dict[str, str]:
    """The environment for JupyterLab: no news prompt, nbgrader's exchange hidden from everybody and its panels for
    instructors from students, the course's own memory of what was open, this installation's kernel before the user's
    own of the same name, and this installation's scripts on the path (formgrader starts some by their bare names)."""
    folders = [CONFIG / "everyone"] + ([CONFIG / "student"] if tree.is_kit else MORE_CONFIG)
    return os.environ | {
        "JUPYTER_CONFIG_PATH": _joined(*map(str, folders), os.environ.get("JUPYTER_CONFIG_PATH", "")),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTERLAB_WORKSPACES_DIR": str(tree.root / WORKSPACES),
        "PATH": _joined(sysconfig.get_path("scripts"), os.environ.get("PATH", "")),
    }


def _joined(*parts: str) -> str:
    return os.pathsep.join(filter(None, parts))
