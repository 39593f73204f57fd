"""A course of an instructor's own beside the installed one: some of its units, own units, own checks.

A folder with course.toml, nbgrader_config.py, notebooks/, checks/ and a header; the installed code does the rest.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_utils.checks import OWN
from course_utils.system import course_file
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.stubs import NAME, Stubs
from course_utils.system.tree import MARKER, Tree, notebook_path
from course_utils.system.whole_file import write_whole

from .new_exercise import cells_of, marks_of, new_id
from .points import set_points

CHECKOUT = Path(__file__).resolve().parent.parent
HEADER = "header.ipynb"
LARGEST_LOGO = 1_000_000  # bytes: it is in every notebook
STUBS = {  # answer, code; a course in another language says its own in course.toml
    "ar": ("اكتب إجابتك هنا", "اكتب شيفرتك هنا"),
    "de": ("DEINE ANTWORT", "DEIN CODE"),
    "es": ("TU RESPUESTA AQUÍ", "TU CÓDIGO AQUÍ"),
    "fr": ("VOTRE RÉPONSE ICI", "VOTRE CODE ICI"),
    "he": ("התשובה שלך כאן", "הקוד שלך כאן"),
    "it": ("LA TUA RISPOSTA QUI", "IL TUO CODICE QUI"),
}
CONFIG = '''"""nbgrader in this course: as in the installed course, on this folder, with what course.toml says.

Add settings of your own below; `course` and nbgrader go by them alike.
"""

import os

c = get_config()  # noqa: F821 (given by traitlets)
try:
    from autograder.own_course import configure
except ModuleNotFoundError:
    # A server whose Python lacks the course: steps that cannot be had end every command that needs them, where
    # nbgrader's own would run submissions unprotected.
    c.Autograde.sanitize_preprocessors = c.Autograde.autograde_preprocessors = ["autograder.is_not_installed_here"]
    c.GenerateAssignment.preprocessors = ["autograder.is_not_installed_here"]
else:
    configure(c, os.path.dirname(os.path.abspath(__file__)), load_subconfig)  # noqa: F821
'''
IGNORED = """submitted/
autograded/
feedback/
gradebook.db*
grades*
report.html
.grading-seeds.json
.released.json
.releases/
.changes.json
.withdrawn.json
terms/
release/
dist/
build/
runs/
Welcome.md
.ipynb_checkpoints/
__pycache__/
"""


def configure(c: Any, root: str, load_subconfig: Callable[..., None]) -> None:
    """What the nbgrader_config.py of a course of one's own does: the installed course's settings, on this folder."""
    load_subconfig(MARKER, path=str(CHECKOUT))
    about = course_file.read(Path(root))
    c.CourseDirectory.root = root
    c.CourseDirectory.course_id = about.id or Path(root).name
    usual = Stubs()
    c.ClearSolutions.text_stub = about.answer_stub or usual.answer
    c.ClearSolutions.code_stub = {"python": about.code_stub or usual.code}
    if os.path.isfile(os.path.join(root, HEADER)):
        c.IncludeHeaderFooter.header = os.path.join(root, HEADER)


def new_course(
    folder: Path,
    units: list[str],
    *,
    title: str = "",
    language: str = "en",
    logo: Path | None = None,
    points: dict[str, float] | None = None,
) -> None:
    """Write a course with copies of these units of the installed course into ``folder``. Nothing is written where
    something is there already.

    ``points``: what exercises of these units are to be worth, by name. Raises CourseError or WrongUsage.
    """
    installed = Tree(CHECKOUT)
    if folder.exists() and any(folder.iterdir()):
        raise CourseError(f"{folder} is there already, and not empty. Name a new folder.")
    if folder.resolve().is_relative_to(CHECKOUT):
        raise CourseError(f"{folder} is inside the installed course. Name a folder outside of {CHECKOUT}.")
    names = list(dict.fromkeys(installed.unit(unit) for unit in units))
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*", language):
        raise WrongUsage(f"--language {language!r}: expected a code such as de, fr or pt-BR.")
    header = _header(title, logo)
    scratch = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        _write(scratch, folder.name, installed, names, title, language, header)
        for exercise, worth in (points or {}).items():
            unit = _unit_with(Tree(scratch), names, exercise)
            set_points(Tree(scratch), unit, exercise, worth)
        if folder.exists():
            folder.rmdir()
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(
    root: Path, name: str, installed: Tree, units: list[str], title: str, language: str, header: NotebookNode | None
) -> None:
    answer, code = STUBS.get(language[:2].lower(), ("", ""))
    lines = [f"title = {_toml(title or 'A course of my own')}", f"id = {_toml(name)}", f"language = {_toml(language)}"]
    lines += ["# The order in which students do them; a folder in notebooks/ that is not listed follows."]
    lines += [f"units = [{', '.join(map(_toml, units))}]"]
    lines += ["# What stands where students are to write. @EXERCISE@ becomes the exercise's name."]
    lines += [f"answer_stub = {_toml(answer or Stubs().answer)}"]
    stub = f'# {code}\nraise NotImplementedError("{NAME}: not written yet")' if code else Stubs().code
    lines += [f"code_stub = {_toml(stub)}", ""]
    lines += ["# Your own pictures: a folder data/NAME with a folder for each class, or data/NAME.csv."]
    lines += ["# [dataset]", '# name = "NAME"', "# size = 28", "# grey = true", ""]
    for unit in units:
        lines += [f"# [calendar.{unit}]", "# release = 2027-04-12", "# due = 2027-04-26T18:00:00"]
    write_whole(root / course_file.NAME, "\n".join(lines) + "\n")
    write_whole(root / MARKER, CONFIG)
    write_whole(root / ".gitignore", IGNORED)
    (root / OWN).mkdir()
    if header is not None:
        write_whole(root / HEADER, nbformat.writes(header) + "\n")
    for unit in units:
        shutil.copytree(
            installed.source / unit,
            Tree(root).source / unit,
            ignore=shutil.ignore_patterns(".ipynb_checkpoints", "runs", "__pycache__", "*-Copy*", "*.safetensors"),
        )
        for notebook in installed.notebooks(unit):
            path = notebook_path(Tree(root).source, unit, notebook)
            content = nbformat.read(path, as_version=4)
            settle_references(content, units)
            write_whole(path, nbformat.writes(content) + "\n")


def _toml(text: str) -> str:
    """A basic string of TOML."""
    escaped = "".join({'"': '\\"', "\\": "\\\\", "\n": "\\n"}.get(char, char) for char in text)
    if any(ord(char) < 32 for char in escaped):
        raise WrongUsage(f"{text!r} has characters that are no text.")
    return f'"{escaped}"'


def _header(title: str, logo: Path | None) -> NotebookNode | None:
    if not title and logo is None:
        return None
    cell = new_markdown_cell(f"**{title}**" if title else "", id="course-header")
    if logo is not None:
        kind = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}.get(logo.suffix.lower())
        if kind is None or not logo.is_file():
            raise WrongUsage(f"--logo {logo}: expected a PNG or JPEG file.")
        data = logo.read_bytes()
        if len(data) > LARGEST_LOGO:
            raise WrongUsage(
                f"--logo {logo} has {len(data) / 1e6:.1f} MB; it is put into every notebook: at most 1 MB."
            )
        cell["attachments"] = {"logo": {f"image/{kind}": base64.b64encode(data).decode()}}
        cell.source = f"![{title or 'logo'}](attachment:logo)\n\n{cell.source}".rstrip()
    return new_notebook(cells=[cell], metadata={"kernelspec": _KERNEL})


_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def _unit_with(tree: Tree, units: list[str], exercise: str) -> str:
    """The unit that has an exercise."""
    from course_utils.cli.handin import templates_of
    from course_utils.cli.handin.cells import labels_of

    for unit in units:
        if exercise in labels_of(templates_of(tree, unit)).values():
            return unit
    raise WrongUsage(f"--points {exercise}: none of {', '.join(units)} has that exercise or question.")


_NUMBERS = r"[Uu]nits? (\d\d)(?:(?:, | and | to )(\d\d))*"
_ASIDE = re.compile(rf"\s*\(({_NUMBERS}(?:[,;] {_NUMBERS})*)\)")
_MENTION = re.compile(_NUMBERS)


def settle_references(notebook: NotebookNode, units: list[str]) -> list[str]:
    """Take mentions of units that a course does not have out of a notebook's texts, in place; returns those that were
    there. A mention in brackets is dropped, another names the unit by what it is about."""
    here = {unit[:2] for unit in units if unit[:2].isdigit()}
    topics = {unit[:2]: unit[3:].replace("_", " ") for unit in Tree(CHECKOUT).units()}
    found: list[str] = []
    said: set[str] = set()
    prose = True

    def word(mention: re.Match[str]) -> str:
        gone = [number for number in re.findall(r"\d\d", mention[0]) if number not in here]
        if not gone:
            return mention[0]
        kept = [number for number in re.findall(r"\d\d", mention[0]) if number in here]
        parts = [f"unit {number}" for number in kept]
        for number in gone:
            explained = prose and number not in said
            said.update({number} if prose else ())
            parts.append(
                f"the unit on {topics.get(number, 'something else')}"
                + (" (which this course leaves out)" if explained else "")
            )
        text = " and ".join(parts)
        return text[0].upper() + text[1:] if mention[0][0] == "U" else text

    for number, cell in enumerate(notebook.cells, start=1):
        missing = [of[0] for of in _MENTION.finditer(cell.source) if not set(re.findall(r"\d\d", of[0])) <= here]
        found += [f"cell {number} mentions {of}, which this course does not have" for of in missing]
        if not missing:
            continue
        text = _ASIDE.sub(lambda f: f[0] if set(re.findall(r"\d\d", f[1])) & here else "", cell.source)
        prose = cell.cell_type == "markdown"
        cell.source = _MENTION.sub(word, text)
    return found


def new_unit(tree: Tree, name: str, exercise: str, with_check: bool = False) -> list[Path]:
    """Write a unit of one's own that can be released as it stands: an exercise, its test, a question.

    The test is nbgrader's plain kind, or, ``with_check``, a check with two laws in checks/. Returns the files.
    """
    if not re.fullmatch(r"\w[\w-]*", name):
        raise WrongUsage(f"{name!r} cannot be a unit: expected letters, digits, - and _, like 10_my_unit.")
    if name in tree.units() or (tree.source / name).exists():
        raise CourseError(f"there is a unit {name} already. Choose another name.")
    unit_title = re.sub(r"^\d+_", "", name).replace("_", " ")
    cells, files = cells_of(tree, exercise, "1", with_check)
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {unit_title}\n\nWhat this unit is about.", id=new_id()),
            *_installed_cells("elsewhere"),
            new_code_cell("import torch", id=new_id()),
            *cells,
            new_markdown_cell(
                "### Question 1 · 2 points\n\nWhat does it do at 0, and why?\n\n### BEGIN MARK SCHEME\n"
                "1 point for what, 1 point for why.\n### END MARK SCHEME",
                id=new_id(),
                metadata=marks_of(f"rubric_{exercise}", task=True, locked=True, points=0),
            ),
            new_markdown_cell(
                "It is 0, since a sum of nothing but zeros is 0.",
                id=new_id(),
                metadata=marks_of(f"q_{exercise}", grade=True, solution=True, points=2),
            ),
            *_installed_cells("hand-in-text", "hand-in"),
        ],
        metadata={"kernelspec": _KERNEL},
    )
    path = notebook_path(tree.source, name)
    path.parent.mkdir(parents=True)
    write_whole(path, nbformat.writes(notebook) + "\n")
    for file, text in files.items():
        file.parent.mkdir(exist_ok=True)
        write_whole(file, text)
    return [path, *files]


def _installed_cells(*ids: str) -> list[NotebookNode]:
    """Cells that every unit of the installed course has: the one for other servers, and those that hand in."""
    installed = Tree(CHECKOUT)
    first = installed.units()[0]
    cells = nbformat.read(notebook_path(installed.source, first, installed.notebook(first)), as_version=4).cells
    return [cell for cell in cells if cell.get("id") in ids]
