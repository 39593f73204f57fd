"""``course demo``: a small class of sample students, released, graded and reported end to end, in demo/ only."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbgrader import utils

from course_utils.system.errors import CourseError
from course_utils.system.tree import FOLDERS, MARKER, Tree, notebook_path

from .batch import Options
from .beliefs import beliefs_in, questions_of
from .feedback import feedback_unit
from .grade import grade_unit
from .kit import build_kit
from .marking.desk import Desk, Marker
from .preprocessors import is_answer
from .release import read_source, release_units
from .report import write_report
from .sample_answers import ANOTHER_STYLE, MISCONCEPTIONS, WRITTEN_ANSWER
from .sample_guesses import add_guesses
from .sample_written import NOWHERE, in_other_words
from .template import is_not_run

GRADED_UNITS = 2
# Who hands in every figure of the units, which take a megabyte each; the others stop after a few.
FIGURES_OF, FEW_FIGURES = "ada_right", 3
CONFIG = '''"""nbgrader in the folder of `course demo`: as in the course itself, on this folder."""

import os

c = get_config()  # noqa: F821 (given by traitlets)
load_subconfig({name!r}, path={folder!r})  # noqa: F821
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
'''


def run_demo(tree: Tree, fresh: bool = False, progress: Callable[[str], None] = lambda line: None) -> Path:
    """Run the demo below ``tree`` and return the path of the class summary."""
    tree = course_of(tree)
    units = tree.units()[:GRADED_UNITS]
    if not units:
        raise CourseError(f"{tree.source} holds no units to demonstrate.")
    demo = prepare(tree, fresh)
    progress(f"Releasing {len(demo.units())} units to {tree.shown(demo.folder('release'))} ...")
    release_units(demo, demo.units())
    progress(f"Student kit: {tree.shown(build_kit(demo))}")
    students = [hand_in_samples(demo, unit, notebook_path(tree.folder("solution"), unit)) for unit in units][-1]
    progress(f"Grading {' and '.join(units)}, {len(students)} students each:")
    for unit in units:
        grade_unit(
            demo,
            unit,
            progress=partial(_tell, progress, unit),
            options=Options(force=True, unsafe=True),
        )
        mark_samples(demo, unit)
        feedback_unit(demo, unit)
    progress(f"Grades: {tree.shown(demo.root / 'grades.csv')}; feedback: {tree.shown(demo.root / 'feedback')}")
    return write_report(demo, demo.root / "report.html", units, title="Sample class")


def _tell(progress: Callable[[str], None], unit: str, line: str) -> None:
    progress(f"  {unit[:2]} {line}")


def course_of(tree: Tree) -> Tree:
    """The course itself, also when the command was given inside the demo's folder."""
    inside = tree.root.name == "demo" and (tree.root.parent / MARKER).is_file()
    return Tree(tree.root.parent) if inside else tree


def prepare(tree: Tree, fresh: bool) -> Tree:
    """The demo's own course tree, with the present sources in it."""
    root = tree.root / "demo"
    if fresh and root.exists():
        utils.rmtree(str(root))
    root.mkdir(exist_ok=True)
    names = "".join(f"c.CourseDirectory.{step}_directory = {tree.folder_name(step)!r}\n" for step in FOLDERS)
    (root / MARKER).write_text(CONFIG.format(name=MARKER, folder=str(tree.root)) + names, encoding="utf-8")
    for unit in tree.units():
        destination = Tree(root).source / unit
        if destination.exists():
            shutil.rmtree(destination)
        shutil.copytree(tree.source / unit, destination, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "runs"))
    for leftover in map(Tree(root).folder, ("submitted", "autograded", "feedback")):
        if leftover.exists():
            utils.rmtree(str(leftover))
    return Tree(root)


def hand_in_samples(demo: Tree, unit: str, solved: Path) -> list[str]:
    """Write the submissions of the sample class for one unit; returns the students' names. What their guesses are held
    against is what came out in the ``solved`` notebook, where there is one."""
    source, release = read_source(demo, unit), notebook_path(demo.folder("release"), unit)
    shown = nbformat.read(solved, as_version=4) if solved.is_file() else new_notebook()
    known = beliefs_in(shown, questions_of(source))
    students = sample_class(source)
    for student, answers in students.items():
        notebook = nbformat.read(release, as_version=4)
        fill_in(notebook, answers)
        if answers:
            add_guesses(notebook, student, known)
            add_figures(notebook, shown, most=None if student == FIGURES_OF else FEW_FIGURES)
        path = notebook_path(demo.folder("submitted") / student, unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
    damaged = notebook_path(demo.folder("submitted") / "harper_damaged_file", unit)
    damaged.parent.mkdir(parents=True, exist_ok=True)
    text = release.read_text(encoding="utf-8")
    damaged.write_text(text[: len(text) // 2], encoding="utf-8")
    return [*students, "harper_damaged_file"]


def sample_class(source: NotebookNode) -> dict[str, dict[str, str]]:
    """What each sample student writes: cell contents by grade id. The name says what to expect."""
    solution, written = answers_of(source)
    half = dict(list(solution.items())[: max(1, len(solution) // 2)])
    another = {name: ANOTHER_STYLE.get(name, text) for name, text in solution.items()}
    wrong = [
        solution | {name: text for name, text in table.items() if name in solution} for table in MISCONCEPTIONS.values()
    ]
    reworded = {name: in_other_words(text) for name, text in written.items()}
    return {
        "ada_right": solution | written,
        "ben_right_another_style": another | dict.fromkeys(written, WRITTEN_ANSWER),
        "chloe_half_done": half | dict.fromkeys(written, "Overfitting."),
        "dev_averages": wrong[0] | reworded,
        "emil_logvar_as_log_sigma": wrong[1] | written,
        "fatma_typing_error": wrong[2] | dict.fromkeys(written, NOWHERE),
        "gus_untouched": {},
    }


def mark_samples(demo: Tree, unit: str) -> None:
    """Mark two answers to each written question of a unit, so that the page of marking has some of every kind: marked
    and not, alike, without evidence, with a number that is nowhere."""
    marker, desk = Marker("examiner"), Desk(demo)
    try:
        for question in next((each["questions"] for each in desk.units() if each["unit"] == unit), []):
            shown = desk.question(unit, question["question"], marker, threshold=2, names=True)
            by_name = {answer["name"]: answer for answer in shown["answers"]}
            for student, comment in (
                ("ben_right_another_style", "True of the codes, but the question asks for a number of yours."),
                ("fatma_typing_error", "987.6 stands in none of your tables: say where you measured it."),
            ):
                if answer := by_name.get(student):
                    items = [item for item in shown["scheme"]["items"][:1] if student.startswith("ben")]
                    given = [{"text": item["text"], "points": item["points"], "half": True} for item in items]
                    state = {"score": sum(item["points"] / 2 for item in items), "items": given, "comment": comment}
                    save = {key: answer[key] for key in ("token", "version", "digest")} | {"state": state}
                    desk.mark(unit, question["question"], marker, [save])
    finally:
        desk.close()


def answers_of(source: NotebookNode) -> tuple[dict[str, str], dict[str, str]]:
    """The solutions of a source notebook, and its model answers to the written questions."""
    solution, written = {}, {}
    for cell in source.cells:
        if is_answer(cell):
            written[cell.metadata.nbgrader.grade_id] = cell.source or WRITTEN_ANSWER
        elif utils.is_solution(cell):
            solution[cell.metadata.nbgrader.grade_id] = cell.source
    return solution, written


def fill_in(notebook: NotebookNode, answers: dict[str, str]) -> None:
    """Put answers into the cells of a released notebook."""
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers and utils.is_solution(cell):
            cell.source = answers[name].strip("\n")


def add_figures(notebook: NotebookNode, solved: NotebookNode, most: int | None = None) -> None:
    """Put what came out in a ``solved`` notebook under the experiments, up to the figure with the number ``most``."""
    outputs = {cell.source: cell.outputs for cell in solved.cells if is_not_run(cell)}
    left = len(outputs) if most is None else most
    for cell in notebook.cells:
        if not is_not_run(cell) or cell.outputs or left <= 0:
            continue
        cell.outputs = copy.deepcopy(outputs.get(cell.source, []))
        left -= any("<img" in output.get("data", {}).get("text/html", "") for output in cell.outputs)
