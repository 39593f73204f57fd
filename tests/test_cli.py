"""The `course` command: help that needs no manual, one clear line for every mistake, the agreed exit codes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile

import nbformat
import pytest
from miniature import CHECKOUT, hand_in, make_tree

from autograder import grade
from autograder.batch import Failed
from autograder.release import release_units
from course_utils.cli import app as cli
from course_utils.system.tree import Tree

COMMANDS = (
    "lab",
    "doctor",
    "data",
    "submit",
    "release",
    "solutions",
    "collect",
    "grade",
    "check",
    "feedback",
    "report",
    "demo",
    "test",
)


@pytest.fixture(scope="module", autouse=True)
def commands():
    if not any(command.name == "test" for command in cli.app.registered_commands):
        cli.load_plugins()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("cli") / "course"))
    release_units(tree, tree.units())
    return tree


@pytest.fixture
def course(tree, capsys, monkeypatch, tmp_path):
    """Run one command line on the tree, from an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, root=tree.root):
        code = cli.run(["--root", str(root), *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_help_lists_every_command(course):
    code, out, _ = course("--help")
    assert code == 0 and all(f"\n  {command}" in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_commands_help_explains_and_gives_an_example(course, command):
    code, out, _ = course(command, "--help")
    assert code == 0 and len(out.splitlines()) > 3
    assert command in ("doctor", "demo") or "Example" in out, f"`course {command} --help` gives no example:\n{out}"


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["grdae"], 2, "Did you mean 'grade'"),
        (["grade"], 2, "name a unit, or use --all"),
        (["grade", "01", "--all"], 2, "not both"),
        (["grade", "9"], 2, "no unit '9'. Units: 01_double, 02_other"),
        (["grade", "01_duoble"], 2, "Did you mean 01_double?"),
        (["grade", "1", "--student", "nobody"], 2, "no submission folder submitted/nobody"),
        (["feedback", "2"], 1, "Run `course grade 02` first"),
        (["feedback"], 2, "name a unit"),
        (["solutions", "--budget", "huge"], 2, "unknown budget 'huge'"),
        (["data", "fetch"], 2, "course data fetch NAME"),
        (["data", "fetch", "imagenet"], 1, "imagenet"),
        (["submit"], 2, "unit"),
        (["submit", "1", "--output", "nowhere"], 1, "nowhere is not a folder"),
        (["submit", "1", "--notebook", "none.ipynb"], 1, "none.ipynb is missing"),
        (["lab", "--port", "99999999"], 2, "port"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_with_the_right_code(course, arguments, code, expected):
    got, _, err = course(*arguments)
    assert (got, err.count("\n")) == (code, 1), err
    assert expected in err and "Traceback" not in err


def test_a_folder_that_is_no_course_is_said_so(course, tmp_path):
    code, _, err = course("grade", "1", root=tmp_path)
    assert code == 2 and "is not a course folder" in err


def test_a_full_disk_is_one_line_and_loses_nothing(course, tree, monkeypatch):
    hand_in(tree.root, "ada", "01_double", {})
    assert course("grade", "1")[0] == 0
    before = (tree.root / "grades.csv").read_bytes()
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(full))
    code, _, err = course("grade", "1", "--marks-only")
    assert code == 1 and "the disk is full" in err and err.count("\n") == 1
    assert (tree.root / "grades.csv").read_bytes() == before
    assert not list(tree.root.glob(".grades*")), "a half-written file was left behind"


def test_an_unforeseen_error_is_one_line_and_debug_shows_all(course, monkeypatch):
    monkeypatch.setattr("course_utils.cli.doctor.diagnose", lambda tree: 1 / 0)
    code, _, err = course("doctor")
    assert code == 1 and "ZeroDivisionError" in err and err.count("\n") == 1
    with pytest.raises(ZeroDivisionError):
        course("--debug", "doctor")


def test_release_check_tells_whether_release_is_current(course, tree):
    assert course("release", "--check")[0] == 0
    source = tree.source / "02_other" / "02_other.ipynb"
    text = source.read_text()
    source.write_text(text.replace("A tiny unit", "A changed unit"))
    try:
        code, _, err = course("release", "--check")
        assert code == 1 and "not current for 02_other" in err
    finally:
        source.write_text(text)


def test_release_makes_notebooks_and_kit(course, tree):
    code, out, _ = course("release")
    assert code == 0 and "dist/course-student-kit.zip" in out and (tree.root / "dist/course-student-kit.zip").is_file()


def test_an_undecided_score_is_listed_and_gives_exit_code_1(course, tree, monkeypatch):
    """Only a failure of the grading itself leaves a score open, such as a worker that dies twice."""
    hand_in(tree.root, "unlucky", "01_double", {})
    died = Failed("its worker died")
    monkeypatch.setattr(grade, "run_batch", lambda makers, options: [(name, died) for name in makers])
    code, out, err = course("grade", "1", "--student", "unlucky")
    assert code == 1 and "undecided: unlucky, 01_double, double: its worker died" in err and "grades.csv" in out


def test_help_needs_neither_torch_nor_nbgrader():
    code = (
        "import sys; from course_utils.cli import app as cli; cli.load_plugins(); cli.run(['--help']); "
        "print([m for m in ('torch', 'nbgrader', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert out.splitlines()[-1] == "[]", f"`course --help` imported {out.splitlines()[-1]}"


def test_workers_begin_before_nbgrader_is_imported_and_import_none_of_it():
    code = (
        "import sys; from pathlib import Path; from types import SimpleNamespace; from autograder.cli.shared import instructor_tree\n"
        "import autograder.batch; instructor_tree(SimpleNamespace(obj={'root': Path(sys.argv[1])}))\n"
        "print([m for m in ('torch', 'nbgrader') if m in sys.modules])\n"
        "import autograder.examiner.preload; print('nbgrader' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(CHECKOUT)], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    assert said.splitlines() == ["[]", "False"]


def test_doctor_reports_every_part(course):
    code, out, _ = course("doctor")
    parts = "course python packages device memory disk data kernel extensions isolation"
    for part in parts.split():
        assert f" {part}" in out, f"doctor says nothing about {part}"
    assert code == ("\nmissing" in out or out.startswith("missing"))


def test_doctor_turns_a_failing_probe_into_advice(tree, monkeypatch):
    from course_utils.cli import doctor

    monkeypatch.setitem(sys.modules, "psutil", None)
    finding = next(each for each in doctor.diagnose(tree) if each.name == "memory")
    assert finding.level == "missing" and finding.advice


def test_submit_packs_the_notebook_and_names_what_is_unfinished(course, tree, tmp_path):
    answers = {"double": "def double(x):\n    return 2 * x", "q_double": "It doubles."}
    path = hand_in(tree.root, "ada", "01_double", answers)
    code, out, err = course("submit", "01", "--notebook", path)
    assert code == 0 and "3 of 4" not in err and "2 of 3 exercises are written" in out
    assert "not written yet: triple." in err and "no cell has output" in err
    with zipfile.ZipFile(tmp_path / "01_double-submission.zip") as packed:
        assert packed.read("01_double/01_double.ipynb") == path.read_bytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "does not contain valid JSON"),
        ("[]", "not a valid Jupyter notebook"),
        ('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "none of its exercises"),
    ],
)
def test_submit_refuses_a_broken_notebook(course, tmp_path, content, expected):
    (tmp_path / "mine.ipynb").write_text(content)
    code, _, err = course("submit", "1", "--notebook", "mine.ipynb")
    assert code == 1 and expected in err and not list(tmp_path.glob("*.zip"))


def test_submit_refuses_another_units_notebook_and_a_huge_one(course, tree, tmp_path):
    code, _, err = course("submit", "1", "--notebook", tree.root / "release/02_other/02_other.ipynb")
    assert code == 1 and "it belongs to 02_other" in err
    notebook = nbformat.read(tree.root / "release/01_double/01_double.ipynb", as_version=4)
    notebook.cells[6].outputs = [nbformat.v4.new_output("stream", text="x" * 21_000_000)]
    nbformat.write(notebook, tmp_path / "huge.ipynb")
    code, _, err = course("submit", "1", "--notebook", "huge.ipynb")
    assert code == 1 and "has 21 MB, more than 20" in err


def test_submit_warns_of_an_unsaved_copy(course, tree, tmp_path):
    path = tmp_path / "01_double.ipynb"
    path.write_bytes((tree.root / "release/01_double/01_double.ipynb").read_bytes())
    newer = tmp_path / ".ipynb_checkpoints" / "01_double-checkpoint.ipynb"
    newer.parent.mkdir()
    newer.write_bytes(path.read_bytes())
    os.utime(newer, (path.stat().st_mtime + 60,) * 2)
    assert "newer copy" in course("submit", "1", "--notebook", path)[2]


def test_lab_opens_the_tree_without_news_and_hides_instructor_panels_from_students(tree, tmp_path):
    from course_utils.cli.lab import lab_environment, lab_options

    options = lab_options(tree, "01_double", browser=False, port=8890)
    assert f"--ServerApp.root_dir={tree.root}" in options and "--no-browser" in options
    assert "--LabApp.default_url=/lab/tree/notebooks/01_double/01_double.ipynb" in options
    assert "student" not in lab_environment(tree)["JUPYTER_CONFIG_PATH"]
    (tmp_path / "kit.json").write_text("{}")
    settings = (
        "import os, json; from jupyterlab_server.config import get_page_config; "
        "from jupyterlab_server.settings_utils import _get_overrides; "
        "print(json.dumps([get_page_config([]), _get_overrides('none')[0]]))"
    )
    environment = lab_environment(Tree(tmp_path))
    out = subprocess.run([sys.executable, "-c", settings], env=environment, capture_output=True, text=True)
    assert "@jupyter/nbgrader:formgrader" in out.stdout and '"fetchNews": "false"' in out.stdout, out.stderr


def test_lab_starts_this_installation_s_kernel_also_where_the_user_has_a_python3_of_their_own(tree, tmp_path):
    from course_utils.cli.lab import lab_environment

    theirs = tmp_path / "kernels" / "python3"
    theirs.mkdir(parents=True)
    (theirs / "kernel.json").write_text('{"argv": ["/another/python"], "display_name": "x", "language": "python"}')
    ask = "from jupyter_client.kernelspec import KernelSpecManager as M; print(M().get_kernel_spec('python3').argv[0])"
    environment = lab_environment(tree) | {"JUPYTER_DATA_DIR": str(tmp_path)}
    started = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True)
    assert started.stdout and "/another/python" not in started.stdout, started.stdout + started.stderr
