"""A course of an instructor's own: docs/own-course.md, command by command, with a class; and what is refused."""

from __future__ import annotations

import csv
import io
import re
import shlex
import shutil
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
from lab_in_chromium import chromium_without_errors, find_chromium, keep_screenshot, lab, open_notebook
from miniature import CHECKOUT
from PIL import Image
from platform_exports import SHAPES, Person, zipped
from student_tree import BEGIN_OR_END, grade_id

from autograder.grades_file import read_grades
from autograder.kit import FOLDER
from autograder.nbgrader_course import NbGraderCourse
from autograder.own_course import new_course, new_unit, settle_references
from autograder.release import release_units
from course_utils.checks import CHECKS
from course_utils.cli import app as cli
from course_utils.system import course_file
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree

DOC = (CHECKOUT / "docs" / "own-course.md").read_text(encoding="utf-8")
COMMANDS = [block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", DOC, re.DOTALL)]
OWN, VAE, MMD = "10_schaerfen", "02_variational_autoencoders", "04_mmd"
linux = pytest.mark.skipif(sys.platform == "win32", reason="submissions are isolated on Linux")


@pytest.fixture(autouse=True)
def own_checks_of_nobody():
    """Checks of a course's own are kept by the process: none of another test's are left."""
    yield
    CHECKS.use({})


def pictures(folder: Path, classes: int = 10, each: int = 3) -> None:
    """Small grey pictures in a folder for each class."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        for number in range(each):
            path = folder / f"form{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (40, 36), np.uint8)).save(path)


def solve(notebook: nbformat.NotebookNode, source: nbformat.NotebookNode, answer: str) -> None:
    solutions = {grade_id(cell): cell for cell in source.cells if grade_id(cell)}
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            text = BEGIN_OR_END.sub("", solutions[grade_id(cell)].source)
            cell.source = text if cell.cell_type == "code" else answer


@linux
def test_the_page_is_true_command_by_command_and_a_class_is_taught_by_it(tmp_path, monkeypatch, capsys):
    """Units 02 and 04 and one of one's own, in German, on own pictures: from `course new` to Moodle and a new term."""
    if not any(command.name == "new" for command in cli.app.registered_commands):
        cli.load_plugins()
    here = [tmp_path]

    def run(line: str) -> str:
        words = shlex.split(line)
        if words[0] == "cd":
            here[0] = here[0] / words[1]
            return ""
        monkeypatch.chdir(here[0])
        code = cli.run(words[1:])
        printed = capsys.readouterr()
        assert code == 0, f"{line}: {printed.err}"
        return printed.out

    begin, change, end = COMMANDS
    for line in begin[:3]:
        run(line)
    tree = Tree(tmp_path / "my-course")
    toml = (tree.root / "course.toml").read_text(encoding="utf-8")
    own_data = re.search(r"```toml\n(.*?)```", DOC, re.DOTALL)[1]
    toml = re.sub(r"# \[dataset\]\n(# .*\n)+", lambda _: own_data, toml)
    toml = toml.replace(f"# [calendar.{VAE}]\n# release = 2027", f"[calendar.{VAE}]\nrelease = 2020", 1)
    (tree.root / "course.toml").write_text(toml.replace("# due = 2027", "due = 2026", 1), encoding="utf-8")
    pictures(tree.root / "data" / "formen")
    said = [run(line) for line in begin[3:]]
    assert f"Ready: {VAE}, {MMD}, {OWN}" in said[0] and tree.units() == [VAE, MMD, OWN]

    with zipfile.ZipFile(tree.root / "dist" / f"{FOLDER}.zip") as packed:
        packed.extractall(tmp_path)
    kit = Tree(tmp_path / FOLDER)
    assert kit.units() == [VAE, OWN] and kit.about.title == "Generative Modelle"
    readme = (kit.root / "README.md").read_text(encoding="utf-8")
    assert (
        readme.startswith("# Generative Modelle")
        and f"| `{VAE}` | 2020-04-12" in readme
        and "toy animals" not in readme
    )
    assert len(list((kit.root / "data" / "formen").rglob("*.png"))) == 30
    work = {unit: kit.root / "notebooks" / unit / f"{unit}.ipynb" for unit in (VAE, OWN)}
    given = {unit: nbformat.read(path, as_version=4) for unit, path in work.items()}
    assert given[VAE].cells[0].source == "**Generative Modelle**" and not re.search(r"\bunit 0[13]", str(given[VAE]))
    stubs = [cell.source for cell in given[OWN].cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert "# DEIN CODE" in stubs[0] and "sharpen: not written yet" in stubs[0] and stubs[1] == "DEINE ANTWORT"

    # A student: nothing is done, then all of it, in JupyterLab where there is a browser.
    monkeypatch.chdir(kit.root)
    assert cli.run(["submit", OWN]) == 0
    printed = capsys.readouterr()
    assert "not written yet: sharpen" in printed.err and "0 of 2 exercises" in printed.out
    for unit, path in work.items():
        notebook = nbformat.read(path, as_version=4)
        solve(notebook, nbformat.read(tree.source / unit / f"{unit}.ipynb", as_version=4), "Null bleibt Null.")
        nbformat.write(notebook, path)
    if find_chromium():
        edit_in_the_lab(kit, OWN)
    handed: dict[str, bytes] = {}
    for unit in work:
        assert cli.run(["submit", unit]) == 0
        handed[unit] = (kit.root / f"{unit}-submission.zip").read_bytes()
    capsys.readouterr()

    # The class: one has done it, one has handed in the kit as it came.
    for unit in work:
        blank = nbformat.writes(given[unit]).encode()
        people = [
            Person("Ada", 5, 1005, {f"{unit}-submission.zip": handed[unit]}),
            Person("Ben", 6, 1006, {f"{unit}.ipynb": blank}),
        ]
        export = zipped(SHAPES["moodle_folders"](people), tmp_path / f"{unit}.zip")
        run(f"course collect {unit} {export}")
        run(f"course grade {unit}")
    rows = {(row.student, row.exercise): row for row in read_grades(tree.root / "grades.csv")}
    assert (rows["Ada", "kl_divergence"].score, rows["Ada", "kl_divergence"].max_score) == (6, 6), "points of one's own"
    assert all(row.score == row.max_score for (who, _), row in rows.items() if who == "Ada" and row.score is not None)
    assert all(row.score == 0 and "repaired" not in row.reason for (who, _), row in rows.items() if who == "Ben")
    assert rows["Ada", "q_sharpen"].status == "needs_marking"
    with NbGraderCourse(tree).gradebook() as gradebook:
        mark = gradebook.find_grade("q_sharpen", OWN, OWN, "Ada")
        mark.manual_score, mark.needs_manual_grade = 1.5, False
        assert gradebook.find_assignment(VAE).duedate.year == 2026, "from the calendar"
        gradebook.db.commit()
    run(f"course grade {OWN} --marks-only")
    run(f"course report {OWN} --csv moodle")
    table = list(csv.DictReader(io.StringIO((tree.root / f"grades-moodle-{OWN}.csv").read_text(encoding="utf-8"))))
    assert {line["Full name"]: (line["Grade"], line["Maximum grade"]) for line in table} == {
        "Ada": ("3.5", "4"),
        "Ben": ("0", "4"),
    }

    for line in change:
        run(line)
    assert re.search("3 points", (tree.source / OWN / f"{OWN}.ipynb").read_text(encoding="utf-8"))
    report = (tree.root / "report.html").read_text(encoding="utf-8")
    assert "points of test_sharpen: 2 before, now 3" in report and "Eine richtige Antwort" in report
    run(end[0])
    assert not (tree.root / "submitted").exists() and not (tree.root / "gradebook.db").exists()
    (archive,) = (tree.root / "terms").iterdir()
    assert (archive / "submitted" / "Ada").is_dir() and (archive / "grades.csv").is_file()


def edit_in_the_lab(kit: Tree, unit: str) -> None:
    """Open the unit in JupyterLab, see the header and the stub's place, and save."""
    with lab(kit.root, {}) as (address, token), chromium_without_errors() as page:
        open_notebook(page, address, token, f"notebooks/{unit}/{unit}.ipynb")
        page.locator(".jp-Notebook", has_text="Generative Modelle").wait_for()
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1000)
        keep_screenshot(page, "own-course")


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A course of unit 04 with an own unit that has an own check."""
    folder = tmp_path_factory.mktemp("own") / "begun"
    new_course(folder, ["04"], title="Mine")
    new_unit(Tree(folder), "10_sums", "add_up", with_check=True)
    CHECKS.use({})
    return folder


@pytest.fixture
def own(begun, tmp_path) -> Tree:
    return Tree(shutil.copytree(begun, tmp_path / "own"))


def test_an_own_check_is_two_files_and_goes_into_the_kit_alone(own, course):
    assert [path.name for path in (own.root / "checks").iterdir()] == ["add_up.py"]
    assert not (CHECKOUT / "course_utils" / "checks" / "exercises" / "add_up.py").exists()
    code, out, err = course(own, "check-course", "10")
    assert code == 0, err
    code, out, err = course(own, "release", "10")
    assert code == 0, err
    with zipfile.ZipFile(own.root / "dist" / f"{FOLDER}.zip") as packed:
        names = packed.namelist()
    assert f"{FOLDER}/course_utils/checks/exercises/add_up.py" in names and not [
        n for n in names if "notebooks/04_mmd" in n
    ]


def broken(own: Tree, change) -> None:
    path = own.source / "10_sums" / "10_sums.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change({grade_id(cell): cell for cell in notebook.cells if grade_id(cell)})
    nbformat.write(notebook, path)


FAULTS = {
    "a solution that is wrong": (
        lambda cells: cells["add_up"].update(source=cells["add_up"].source.replace("x.sum()", "x.mean()")),
        "test_add_up gives its own solution",
    ),
    "a test that all pass": (
        lambda cells: cells["test_add_up"].update(source="assert True"),
        "gives all 2 points to who has written nothing",
    ),
    "a cell that fails": (
        lambda cells: cells["add_up"].update(source=cells["add_up"].source + "\n\nadd_up(1 / 0)"),
        "add_up ends with ZeroDivisionError: division by zero",
    ),
    "points that disagree": (
        lambda cells: cells["test_add_up"].metadata.nbgrader.update(points=5),
        "the points of test_add_up disagree",
    ),
    "a unit that is not there": (
        lambda cells: cells["rubric_add_up"].update(source="As in unit 02?"),
        "mentions unit 02, which this course does not have",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_class_would_run_into_is_said_before(own, course, fault):
    change, said = FAULTS[fault]
    broken(own, change)
    code, _, err = course(own, "check-course", "10")
    assert code == 1 and said in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("titel = 'x'", "titel is no setting. Did you mean title?"),
        ("units = ['04_mmd', '04_mmd']", "names one twice"),
        ("[calendar.04_mmd]\nrelease = 2027-05-01\ndue = 2027-04-01", "due before it is released"),
        ("[calendar.04_mmd]\ndue = 'soon'", "expected a day"),
        ("[dataset]\nsize = '28'", "expected a whole number"),
        ("title = ", "cannot be read"),
        (
            "[calendar.04]\ndue = 2027-05-01",
            "calendar names '04', which notebooks/ does not have; it has 04_mmd, 10_sums",
        ),
        ("units = ['05_x']", "units names '05_x'"),
        ("[calendar.04_mmd]\nrelease = 2999-01-01", "is to be released on 2999-01-01"),
        ("[dataset]\nname = 'nowhere'", "data/ holds neither nowhere/ nor nowhere.csv"),
    ],
)
def test_course_toml_is_refused_by_name_at_release(own, course, toml, said):
    (own.root / "course.toml").write_text(toml, encoding="utf-8")
    code, _, err = course(own, "release", "04")
    assert code == 1 and said in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "PLACE"), "is there already"),
        (("new", str(CHECKOUT / "inside"), "--units", "02"), "inside the installed course"),
        (("new", "NEW", "--units", "77"), "there is no unit '77'"),
        (("new", "NEW", "--units", "02", "--points", "nothing=3"), "none of 02_variational_autoencoders has"),
        (("new", "NEW", "--units", "02", "--points", "vae_loss"), "expected EXERCISE=POINTS"),
        (("new", "NEW", "--language", "German!"), "expected a code"),
        (("new", "NEW", "--logo", "nothing.png"), "expected a PNG or JPEG"),
        (("new-unit", "a b", "f"), "cannot be a unit"),
        (("new-unit", "10_sums", "f"), "there is a unit 10_sums already"),
        (("new-unit", "12_x", "slerp"), "there is an exercise slerp already"),
        (("new-unit", "12_x", "F(x)"), "expected a function's name"),
        (("test",), "course check-course"),
        (("term", "old"), "only `course term new`"),
        (("term", "new"), "holds nothing of a class"),
    ],
)
def test_odd_commands_are_refused_in_a_line_and_write_nothing(own, course, tmp_path, arguments, said):
    before = sorted(path for path in tmp_path.rglob("*"))
    places = {"PLACE": str(own.root), "NEW": str(tmp_path / "new")}
    code, _, err = course(own, *(places.get(word, word) for word in arguments))
    assert code != 0 and said in err and len(err.splitlines()) == 1
    assert [path for path in sorted(tmp_path.rglob("*")) if "build" not in path.parts] == before


def test_mentions_follow_the_selection():
    cells = [
        nbformat.v4.new_markdown_cell(
            "As in unit 01 (unit 03), and units 01 and 02. Unit 04 goes on (units 02 and 04)."
        ),
        nbformat.v4.new_code_cell('"""Your loss of unit 01."""'),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert len(settle_references(notebook, ["02_variational_autoencoders", "04_mmd"])) == 4
    assert notebook.cells[0].source == (
        "As in the unit on autoencoders (which this course leaves out), and unit 02 and the unit on autoencoders. Unit 04 "
        "goes on (units 02 and 04)."
    )
    assert notebook.cells[1].source == '"""Your loss of the unit on autoencoders."""'
    assert settle_references(notebook, ["02_variational_autoencoders", "04_mmd"]) == []


def test_a_checkout_is_not_worked_on_by_anothers_code(tmp_path, course, own, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (own.root / "course_utils").mkdir()
    code, _, err = course(own, "release", "04")
    assert code == 2 and "has a course_utils of its own" in err and str(own.root / "course") in err


def test_the_order_is_that_of_course_toml(own):
    (own.root / "course.toml").write_text("units = ['10_sums']")
    assert own.units() == ["10_sums", "04_mmd"]
    assert course_file.read(own.root / "nowhere") == course_file.CourseFile()


def test_a_unit_that_is_not_due_holds_back_its_answers(own):
    """The calendar is known before anything was released."""
    new_unit(own, "11_more", "add_more")
    broken_more = own.source / "11_more" / "11_more.ipynb"
    notebook = nbformat.read(broken_more, as_version=4)
    notebook.cells[2].source = "import torch\n\n\ndef add_up(x):\n    return x.sum()"
    nbformat.write(notebook, broken_more)
    (own.root / "course.toml").write_text("[calendar.10_sums]\ndue = 2999-01-01")
    with pytest.raises(CourseError, match="it gives the answer of add_up, an exercise of 10_sums, which is due 2999"):
        release_units(own, ["11_more"])
