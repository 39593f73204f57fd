"""nbgrader_config.py: what it says holds for `course`, and what cannot hold, or is misspelt, is refused by name."""

from __future__ import annotations

import re
import shutil
import sys
import zipfile

import nbformat
import pytest
from miniature import hand_in, make_tree, marks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.apps import ExportApp
from platform_exports import SHAPES, Person, zipped

from autograder.feedback import feedback_unit
from autograder.grade import grade_unit
from autograder.grades_file import read_grades
from autograder.kit import FOLDER, build_kit
from autograder.marking.answers import read_question, write_scheme
from autograder.marking.log import Question
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import release_units, stale_units
from course_utils.cli.submit import submit_unit
from course_utils.system.errors import CourseError
from course_utils.system.tree import FOLDERS, Tree

linux = pytest.mark.skipif(sys.platform == "win32", reason="submissions are isolated on Linux")
UNIT = "01_double"
RIGHT = {"double": "def double(x):\n    return 2 * x", "triple": "def triple(x):\n    return 3 * x"}
STEPS = """
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Integer

class Translate(NbGraderPreprocessor):
    def preprocess_cell(self, cell, resources, index):
        cell.source = cell.source.replace("zurück", "return")
        return cell, resources

class Kindly(NbGraderPreprocessor):
    most = Integer(1).tag(config=True)
    def preprocess_cell(self, cell, resources, index):
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "test_triple":
            cell.outputs[-1]["data"]["text/plain"] = str(self.most)
        return cell, resources

c.Autograde.sanitize_preprocessors.append(Translate)
c.Autograde.autograde_preprocessors.insert(1, Kindly)
"""


def tree_with(root, *lines: str) -> Tree:
    """A course of tiny units whose configuration ends with these lines."""
    tree = Tree(make_tree(root))
    path = tree.root / "nbgrader_config.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return tree


REFUSED = {
    'c.CourseDirectory.submitted_directory = "ab" + "gaben"': "Write there: c.CourseDirectory.submitted_directory = 'abgaben'",
    'c.CourseDirectory.feedback_directory = "../feedback"': "'../feedback': expected the name of a folder in the course",
    'c.CourseDirectory.feedback_directory = "build"': "'build': expected the name of a folder in the course's, for this",
    'c.CourseDirectory.autograded_directory = "submitted"': "'submitted': that is submitted_directory. Choose another",
    'c.CourseDirectory.directory_structure = "{student_id}"': "directory_structure is",
    "c.ExecuteSubmission.timeuot = 5": "c.ExecuteSubmission.timeuot is no setting. Did you mean timeout?",
    'c.ClearSolution.text_stub = "x"': "c.ClearSolution is no part of nbgrader or this course. Did you mean c.ClearSol",
    'c.LateSubmissionPlugin.penalty_method = "halve"': "penalty_method is 'halve': expected any of ['none', 'zero']",
    'c.ExecuteSubmission.timeout = "long"': "c.ExecuteSubmission.timeout is 'long': expected",
    'c.LateSubmissionPlugin.penalty_methd = "zero"': "Did you mean penalty_method?",
    'c.ClearHiddenTests.begin_test_delimeter = ""': "each must be words in one line",
    "c.ClearMarkScheme.end_mark_scheme_delimeter = 3": "end_mark_scheme_delimeter are 'the usual one' and 3",
    "c.GenerateFeedback.preprocessors = [ours.GetMarks]": "lacks LeaveOutRubric: mark schemes and hidden tests would be",
    "c.Autograde.autograde_preprocessors = [nbgrader.Execute]": "lacks ExecuteSubmission: submissions would not be run",
    "c.Autograde.autograde_preprocessors.append(nbgrader.Execute)": "runs submissions unprotected",
    "c.Autograde.sanitize_preprocessors = []": "lacks RepairSubmission",
    "c.GenerateAssignment.preprocessors.remove(nbgrader.ClearSolutions)": "solutions would be published",
    'c.GenerateAssignment.preprocessors.append("no.such.Step")': "'no.such.Step', which cannot be imported",
    'c.IncludeHeaderFooter.header = "nowhere.ipynb"': "nowhere.ipynb is no file",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_obeyed_is_named_before_anything_is_done(tmp_path, course, line):
    tree = tree_with(tmp_path / "course", line)
    for command in (("release", "01"), ("grade", "01"))[: 2 if line == next(iter(REFUSED)) else 1]:
        code, out, err = course(tree, *command)
        assert code == 1 and REFUSED[line] in err and "nbgrader_config.py" in err, err
        assert (
            len(err.splitlines()) == 1
            and not (tree.root / "release").exists()
            and not (tree.root / "gradebook.db").exists()
        )


def test_what_nbgrader_knows_passes(tmp_path):
    lines = (
        'c.CourseDirectory.course_id = "eigener"',
        'c.LateSubmissionPlugin.penalty_method = "zero"',
        'c.ExportApp.plugin_class = "nbgrader.plugins.CsvExportPlugin"',
        "c.Validator.Execute.timeout = 5",
        'c.ServerApp.port = 8888\nc.Exchange.root = "/tmp/x"\nc.NbGrader.logfile = ""',
    )
    NbGraderCourse(tree_with(tmp_path / "course", *lines))


@linux
def test_folders_of_other_names(tmp_path, course):
    """nbgrader's own names and German ones: everything is found there, and nothing is made under the usual names."""
    own = {
        "source": "source",
        "release": "ausgabe",
        "submitted": "abgaben",
        "autograded": "bewertet",
        "feedback": "zurück",
    }
    tree = tree_with(tmp_path / "course", *(f'c.CourseDirectory.{step}_directory = "{own[step]}"' for step in own))
    (tree.root / "notebooks").rename(tree.root / "source")
    assert tree.units() == [UNIT, "02_other"]
    assert course(tree, "release", "01")[0] == 0
    content = nbformat.read(tree.root / "ausgabe" / UNIT / f"{UNIT}.ipynb", as_version=4)
    content.cells[2].source = RIGHT["double"]
    people = [Person("Ada", 5, 6, {"w.ipynb": nbformat.writes(content).encode()})]
    export = zipped(SHAPES["moodle_folders"](people), tmp_path / "export.zip")
    code, out, _ = course(tree, "collect", "01", export)
    assert code == 0 and "1 submissions in abgaben/" in out and (tree.root / "abgaben" / "Ada" / UNIT).is_dir()
    assert course(tree, "grade", "01")[0] == 0
    assert {row.exercise: row.score for row in read_grades(tree.root / "grades.csv")}["double"] == 2
    assert (tree.root / "bewertet" / "Ada" / UNIT / f"{UNIT}.ipynb").is_file()
    assert course(tree, "feedback", "01", "--zip", "moodle")[0] == 0 and course(tree, "report")[0] == 0
    assert (tree.root / "zurück" / "Ada" / UNIT / f"{UNIT}.html").is_file()
    assert not any((tree.root / name).exists() for name in FOLDERS.values())
    with zipfile.ZipFile(tree.root / "dist" / "course-student-kit.zip") as kit:
        assert f"{FOLDER}/notebooks/{UNIT}/{UNIT}.ipynb" in kit.namelist()
    assert course(tree, "term", "new")[0] == 0
    assert {path.name for path in tree.root.glob("terms/*/*")} >= {"abgaben", "bewertet", "zurück"}
    assert (tree.root / "source").is_dir() and not (tree.root / "abgaben").exists()


# A stub for code, one for words: any language and script.
LANGUAGES = {
    "Hebrew": ("# הקוד שלך כאן\nraise NotImplementedError()", "התשובה שלך כאן"),
    "dots": ("...", "..."),
}


@linux
@pytest.mark.parametrize("language", LANGUAGES)
def test_stubs_marks_and_header_of_ones_own(tmp_path, capsys, language):
    code, words = LANGUAGES[language]
    tree = tree_with(
        tmp_path / "course",
        f"c.ClearSolutions.code_stub = {{'python': {code!r}}}\nc.ClearSolutions.text_stub = {words!r}",
        "c.ClearSolutions.begin_solution_delimeter = 'ANFANG'\nc.ClearSolutions.end_solution_delimeter = 'SCHLUSS'",
        "c.ClearMarkScheme.begin_mark_scheme_delimeter = 'MASSSTAB'",
        "c.ClearMarkScheme.end_mark_scheme_delimeter = 'SOWEIT'",
        "c.ClearHiddenTests.begin_test_delimeter = 'GEHEIM'\nc.ClearHiddenTests.end_test_delimeter = 'OFFEN'",
        "c.IncludeHeaderFooter.header = 'kopf.ipynb'\nc.IncludeHeaderFooter.footer = 'fuss.ipynb'",
    )
    path = tree.source / UNIT / f"{UNIT}.ipynb"
    for name in ("kopf", "fuss"):  # cut out of a copy of the notebook, so that the ids are those of its cells
        nbformat.write(new_notebook(cells=[new_markdown_cell("**Kurs**", id="cell-0")]), tree.root / f"{name}.ipynb")
    text = path.read_text(encoding="utf-8").replace("BEGIN SOLUTION", "ANFANG").replace("END SOLUTION", "SCHLUSS")
    text = text.replace("### BEGIN MARK SCHEME", "=== MASSSTAB ===").replace("### END MARK SCHEME", "SOWEIT")
    path.write_text(text, encoding="utf-8")
    source = nbformat.read(path, as_version=4)
    source.cells[5].source = "assert triple(1) == 3\n# GEHEIM\nassert triple(2) == 6\n# OFFEN"
    nbformat.write(source, path)
    release_units(tree, [UNIT])
    released = nbformat.read(tree.root / "release" / UNIT / f"{UNIT}.ipynb", as_version=4)
    assert [cell.source for cell in released.cells][:: len(released.cells) - 1] == ["**Kurs**", "**Kurs**"]
    assert len({cell.id for cell in released.cells}) == len(released.cells) and not stale_units(tree, [UNIT])
    texts = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in released.cells}
    assert texts["q_double"] == words and code.splitlines()[0] in texts["double"]
    assert not re.search("ANFANG|MASSSTAB|zero stays|GEHEIM|triple\\(2\\)", str(texts))

    with zipfile.ZipFile(build_kit(tree)) as packed:
        packed.extractall(tmp_path)
    submit_unit(Tree(tmp_path / FOLDER), UNIT, None, tmp_path)
    printed = capsys.readouterr()
    assert "not written yet: double, triple." in printed.err and "not answered yet: q_double." in printed.err

    hand_in(tree.root, "blank", UNIT, {})
    hand_in(tree.root, "right", UNIT, {**RIGHT, "q_double": "תשובה"})
    hand_in(tree.root, "wrong", UNIT, {"triple": "def triple(x):\n    return 3"})
    rows = {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}
    assert (rows["blank", "q_double"].status, rows["blank", "q_double"].reason) == ("graded", "not answered")
    assert rows["right", "q_double"].status == "needs_marking"
    assert [rows["right", name].score for name in RIGHT] == [2, 2]
    assert not any("repaired" in row.status for row in rows.values())
    assert (rows["wrong", "triple"].score, rows["wrong", "triple"].reason) == (0, "AssertionError (in a hidden test)")

    question = Question(UNIT, UNIT, "q_double", 3)
    assert "zero stays" in read_question(tree, question)[1].note
    write_scheme(tree, question, "- [3] all of it\n")
    assert "=== MASSSTAB" not in path.read_text(encoding="utf-8") and "### MASSSTAB" in path.read_text(encoding="utf-8")
    (page,) = feedback_unit(tree, UNIT, "wrong", with_mark_scheme=language == "dots")
    text = re.sub("<[^>]*>", "", page.read_text(encoding="utf-8"))
    assert "in a hidden test" in text and "triple(1)" in text and "triple(2)" not in text
    assert "GEHEIM" not in text and "BEGIN HIDDEN" not in text
    assert ("zero stays" in text) == (language == "dots")

    source = nbformat.read(path, as_version=4)
    source.cells[0].source = "doubled_value = x + x\nreturn doubled_value"
    nbformat.write(source, path)
    with pytest.raises(CourseError, match="the whole solution of double"):
        release_units(tree, [UNIT])


@linux
def test_steps_of_ones_own_run_and_results_follow_them(tmp_path):
    tree = tree_with(tmp_path / "course", STEPS)
    release_units(tree, [UNIT])
    hand_in(tree.root, "ada", UNIT, {"double": "def double(x):\n    zurück 2 * x", "triple": RIGHT["triple"]})

    def scores():
        return {row.exercise: row.score for row in grade_unit(tree, UNIT)}

    assert scores() == {"double": 2, "triple": 1, "q_double": 0}
    path = tree.root / "nbgrader_config.py"
    path.write_text(path.read_text(encoding="utf-8") + "c.Kindly.most = 2\n", encoding="utf-8")
    assert scores()["triple"] == 2, "a setting of a step is one of the things that a kept result depends on"


@linux
def test_nbgraders_export_and_grades_csv_leave_each_other_alone(tmp_path, course, monkeypatch):
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, [UNIT])
    hand_in(tree.root, "ada", UNIT, RIGHT)
    grade_unit(tree, UNIT)
    before = (tree.root / "grades.csv").read_bytes()
    monkeypatch.chdir(tree.root)
    for given in ([], ["--to", "grades.csv"]):
        ExportApp.clear_instance()
        ExportApp.launch_instance(given)
        ExportApp.clear_instance()
    assert "max_score" in (tree.root / "grades-nbgrader.csv").read_text(encoding="utf-8")
    assert (tree.root / "grades.csv").read_bytes() != before, "asked for by name"
    assert course(tree, "report", "01")[0] == 0
    assert (tree.root / "grades.csv").read_bytes() == before
    shutil.copy(tree.root / "grades-nbgrader.csv", tree.root / "grades.csv")
    code, _, err = course(tree, "grade", "01")
    assert code == 0 and "grades-nbgrader.csv" in err, err
    assert len(read_grades(tree.root / "grades.csv")) == 3


@linux
def test_a_plugin_for_lateness_counts_and_is_undone(tmp_path):
    plugin = "\n".join(
        (
            "from nbgrader.plugins import BasePlugin",
            "class Half(BasePlugin):",
            "    def late_submission_penalty(self, student_id, score, total_seconds_late):",
            "        return score / 2",
            "c.AssignLatePenalties.plugin_class = Half",
        )
    )
    tree = tree_with(tmp_path / "course", plugin)
    release_units(tree, [UNIT])
    folder = hand_in(tree.root, "ada", UNIT, RIGHT).parent
    (folder / "timestamp.txt").write_text("2026-02-01 00:00:00 UTC")

    def penalty(due: str):
        with NbGraderCourse(tree).gradebook() as gradebook:
            gradebook.update_or_create_assignment(UNIT, duedate=due)
        grade_unit(tree, UNIT)
        with NbGraderCourse(tree).gradebook() as gradebook:
            return gradebook.find_submission(UNIT, "ada").late_submission_penalty

    assert [penalty("2026-01-01 00:00:00 UTC"), penalty("2026-03-01 00:00:00 UTC")] == [2, 0]


def test_a_header_that_gives_something_away_is_no_release(tmp_path):
    tree = tree_with(tmp_path / "course", "c.IncludeHeaderFooter.header = 'kopf.ipynb'")
    cell = new_code_cell("def double(x):\n    doubled_value = x + x", id="kopf", metadata=marks("head", locked=True))
    nbformat.write(new_notebook(cells=[cell]), tree.root / "kopf.ipynb")
    with pytest.raises(CourseError, match=re.escape("the release contains a line of the solution of double")):
        release_units(tree, [UNIT])
