"""The second start of a student kit: what JupyterLab must not import before it answers, and that all of it works then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

import pytest
from lab_in_chromium import lab
from miniature import make_tree

from autograder.kit import kit_files
from autograder.release import release_units
from course_utils.system.tree import Tree

COSTLY = {
    "lark",
    "nbgrader",
    "sqlalchemy",
    "torch",
    "matplotlib",
    "sklearn",
    "scipy",
    "pandas",
}
UNTIL_IT_ANSWERS = """
import sys, json
from course_utils.cli.app import main
from jupyter_server.serverapp import ServerApp
ServerApp.start = lambda self: print("modules", json.dumps(sorted(sys.modules)))
main(["lab", "--no-browser", "--port", "8999"])
"""


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("start") / "course"))
    release_units(tree, tree.units())
    folder = tmp_path_factory.mktemp("kit")
    for name, content in kit_files(tree).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_what_costs_seconds_is_not_imported_before_the_address(kit):
    here = os.environ | {"PYTHONPATH": str(kit), "JUPYTER_CONFIG_DIR": str(kit / "none")}
    done = subprocess.run(
        [sys.executable, "-c", UNTIL_IT_ANSWERS], cwd=kit, env=here, capture_output=True, text=True, timeout=300
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("modules ")), None)
    assert line, done.stdout + done.stderr
    loaded = set(json.loads(line.removeprefix("modules ")))
    assert "course_utils.cli.validate_button" in loaded
    assert not COSTLY & loaded, COSTLY & loaded


def test_validate_answers_all_the_same(kit):
    with lab(kit, {}) as (address, token):

        def ask(where, **data):
            body = urllib.parse.urlencode(data).encode() if data else None
            request = urllib.request.Request(f"{address}/{where}", body, {"Authorization": f"token {token}"})
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.load(answer)

        from nbgrader import __version__ as version

        assert ask(f"nbgrader_version?version={version}") == {"success": True}
        assert "Install the course again" in ask("nbgrader_version?version=0.1")["message"]
        told = ask("assignments/validate", path="notebooks/01_double/01_double.ipynb")
        assert told["success"] and "double" in str(told["value"]), told
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask("assignments/validate", path="../outside.ipynb")
