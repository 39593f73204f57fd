"""One list of dependencies, installed by pip and conda alike, pinned; and importing the package stays cheap."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


def _pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    loose = [line for line in pinned if not re.fullmatch(r"[\w.-]+==[\w.+!-]+", line)]
    assert not loose, f"constraints.txt: not NAME==VERSION: {loose}"
    return {_canonical(line): line.split("==")[1] for line in pinned}


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_dependency_is_pinned_at_a_version_it_allows():
    from packaging.requirements import Requirement

    project, pins = _project(), _pins()
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for line in wanted:
        requirement = Requirement(line)
        pin = pins.get(_canonical(requirement.name))
        assert pin, f"constraints.txt does not pin {requirement.name}"
        assert pin in requirement.specifier, f"{requirement.name}=={pin} is pinned, pyproject.toml asks for {line}"


def test_to_read_a_notebook_no_grammar_is_compiled():
    """jupyter-events asks for all formats of jsonschema, and from 4.25 on one of them is a grammar for lark."""
    subprocess.run(
        [sys.executable, "-P", "-c", "import sys, nbformat; sys.exit('lark' in sys.modules)"], check=True, cwd=ROOT
    )


# What is imported where it is there and done without where it is not.
OPTIONAL = {"distributed", "wandb"}
# Packages of the sandbox, which exist only inside it.
STAGED = {"grading_agent", "grading_sandbox", "examination", "examination_sandbox"}


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _imported(folder: Path) -> dict[str, str]:
    """Third-party distributions that the modules below ``folder`` import, wherever in them; with one that does."""
    distributions, found = _distributions(), {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in {name.split(".")[0] for name in names} - OPTIONAL - STAGED - set(sys.stdlib_module_names):
                if name not in ("course_utils", "autograder"):
                    found[_canonical(distributions.get(name, [name])[0])] = f"{path.relative_to(ROOT)} imports {name}"
    return found


@pytest.mark.parametrize("package", ["course_utils", "autograder"])
def test_every_package_that_is_imported_is_declared(package):
    """course_utils goes into the student kit, which declares the main dependencies and no extras."""
    project = _project()
    declared = {_canonical(line) for line in project["dependencies"]}
    if package == "autograder":
        for extra in ("cluster", "text"):
            declared |= {_canonical(line) for line in project["optional-dependencies"][extra]}
    undeclared = {name: where for name, where in _imported(ROOT / package).items() if name not in declared}
    assert not undeclared, undeclared


PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "x86_64-pc-windows-msvc", "aarch64-apple-darwin")


def test_both_lists_can_be_installed_on_every_platform_with_every_python(tmp_path):
    """Wheels for all, at the pinned versions: 3.11.2 is Debian 12's, which some packages leave out. Every version is
    pinned, so what resolves together resolves in part: the whole list with what the kit adds stands for both lists."""
    from concurrent.futures import ThreadPoolExecutor

    from course_utils.system.machine import NEWEST, find_uv

    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.is_file() else find_uv()
    if not uv:
        pytest.skip("uv is not here")
    (tmp_path / "kit.in").write_text("\n".join([*_project()["dependencies"], "hatchling>=1.27", "editables", "uv"]))
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0", "UV_HTTP_RETRIES": "1"}
    options = ["--quiet", "--no-config", "--only-binary", ":all:", "--constraint", ROOT / "constraints.txt"]
    options += ["--output-file", os.devnull]

    def resolve(case):
        python, system = case
        command = [
            uv,
            "pip",
            "compile",
            *options,
            "--python-version",
            python,
            "--python-platform",
            system,
            "--all-extras",
            ROOT / "pyproject.toml",
            tmp_path / "kit.in",
        ]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
        return case, done.stderr if done.returncode else ""

    pythons = ["3.11.2", *(f"3.{minor}" for minor in range(12, NEWEST[1] + 1))]
    cases = [(python, system) for python in pythons for system in PLATFORMS]
    first = resolve(cases[0])
    if re.search(r"dns error|error sending request|connect|timed out", first[1], flags=re.IGNORECASE):
        pytest.skip(f"the package index cannot be reached: {first[1].splitlines()[-1].strip()}")
    with ThreadPoolExecutor(4) as pool:
        failed = {case: error for case, error in [first, *pool.map(resolve, cases[1:])] if error}
    assert not failed


@pytest.mark.parametrize("python", ["3.11.2", "3.14"])
def test_the_oldest_versions_that_the_list_allows_go_together(tmp_path, python):
    """A hub or Colab with these is used as it is: the kit's list at its floors, with the torch before the pinned one."""
    from course_utils.system.machine import find_uv

    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.is_file() else find_uv()
    if not uv:
        pytest.skip("uv is not here")
    (tmp_path / "kit.in").write_text("\n".join(_project()["dependencies"]))
    options = ["--quiet", "--no-config", "--only-binary", ":all:", "--resolution", "lowest-direct", "--no-annotate"]
    options += ["--python-version", python, "--python-platform", PLATFORMS[0]]
    environment = os.environ | {"UV_HTTP_RETRIES": "1"}
    command = [uv, "pip", "compile", *options, tmp_path / "kit.in"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300)
    if re.search(r"dns error|error sending request|connect|timed out", done.stderr, flags=re.IGNORECASE):
        pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[-1].strip()}")
    assert done.returncode == 0, done.stderr
    found = dict(line.split("==") for line in done.stdout.splitlines() if "==" in line)
    pinned = _pins()["torch"].split(".")
    assert found["torch"].split(".")[:2] == [pinned[0], str(int(pinned[1]) - 1)], "the torch before the pinned one"
    if python == "3.11.2":
        assert found["ipywidgets"].startswith("7.7.")


def test_the_wheel_asks_for_what_the_notebooks_import_and_nothing_else():
    from autograder.kit import NEEDED_BY_NOTEBOOKS

    rooms = [path for path in (ROOT / "course_utils").iterdir() if path.is_dir() and path.name not in ("cli", "runs")]
    imported = set().union(*(_imported(room) for room in rooms))
    runs_them = {"ipython", "ipykernel", "traitlets"}  # whatever opens a notebook has these, and keeps its own
    done_without = {"torchvision"}
    assert imported - runs_them - done_without == NEEDED_BY_NOTEBOOKS - {"ipywidgets"}, "anywidget brings ipywidgets"


def test_the_conda_environment_installs_exactly_this_project():
    import yaml

    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [line for line in environment["dependencies"] if isinstance(line, str)]
    (through_pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    project = _project()
    assert environment["name"] == project["name"]
    assert [_canonical(line) for line in plain] == ["python", "pip"]
    assert plain[0] == f"python{project['requires-python']}"
    assert through_pip == ["--constraint constraints.txt", "--editable ."], "the list lives in pyproject.toml alone"


@pytest.mark.parametrize(
    "statement",
    [
        "import course_utils",
        "from course_utils import check, datasets, device, models, training",
    ],
)
def test_importing_the_package_pulls_in_nothing_slow(statement):
    """benchmarks/import_time.py measures the time; this names the culprits."""
    slow = ("torchvision", "matplotlib", "sklearn", "scipy", "pandas", "ipywidgets", "nbgrader", "nbformat", "typer")
    code = f"import sys, torch; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    found = sorted(set(slow) & {name.split(".")[0] for name in result.stdout.split()})
    assert not found, f"{statement!r} imports {found}"


def test_the_package_imports_without_the_autograder():
    statement = "import sys; from course_utils import check, datasets, training"
    code = f"{statement}; print([m for m in sys.modules if m.startswith('autograder')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.strip() == "[]"
