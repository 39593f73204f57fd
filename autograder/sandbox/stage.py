"""The course package as submissions may import it: what students have, without the laws and without the answers."""

from __future__ import annotations

import ast
import hashlib
import shutil
from pathlib import Path

import course_utils

_PACKAGE = Path(course_utils.__file__).resolve().parent
_ENGINE = _PACKAGE / "checks" / "engine"
_AGENT = Path(__file__).resolve().parent.parent
_SEAM = "candidate.py"  # what judges a function in the process it lives in; it knows no law and no formula
_LEFT_OUT = ("checks", "check.py", "cli")

CHECK = '''"""Checks are run outside while a submission is graded; here they only say so."""


class _JudgedOutside:
    earned = points = 0.0
    laws = ()

    def __repr__(self):
        return "(judged outside while grading)"


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return lambda candidate=None, points=1, **options: _JudgedOutside()
'''

_MARK = "not_for_submissions"  # decorator of functions that answer an exercise
_REFUSAL = (
    "from course_utils.system.errors import CourseError\n"
    "raise CourseError('{name} answers an exercise and is not available while a submission is graded. '\n"
    "                  'Write the function yourself.')"
)


def stage(folder: Path, whole_course: bool = False) -> Path:
    """Write into `folder` the released package (course_utils), what answers the examiner (grading_agent), what isolates
    it (grading_sandbox); returns it. With `whole_course` nothing is left out of the package."""
    package = folder / "course_utils"
    shutil.copytree(
        _PACKAGE, package, ignore=shutil.ignore_patterns(*([] if whole_course else _LEFT_OUT), "__pycache__")
    )
    if not whole_course:
        _leave_laws_out(package)
    _copy(_AGENT / "examiner" / "inside", folder / "grading_agent")
    return stage_sandbox(folder)


def stage_sandbox(folder: Path) -> Path:
    """Write into `folder` what isolates, and make all of it readable for everybody; returns it."""
    _copy(_AGENT / "sandbox", folder / "grading_sandbox", leave_out=("stage.py", "client.py", "provisioner.py"))
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _copy(package: Path, target: Path, leave_out: tuple[str, ...] = ()) -> None:
    target.mkdir()
    for path in sorted(package.glob("*.py")):
        if path.name not in leave_out:
            shutil.copy(path, target / path.name)


def _leave_laws_out(package: Path) -> None:
    """Put what submissions may see in the place of what would answer or judge them."""
    (package / "check.py").write_text(CHECK, encoding="utf-8")
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if _MARK in text:
            path.write_text(without_answers(text), encoding="utf-8")
    engine = package / "checks" / "engine"
    engine.mkdir(parents=True)
    for folder in (engine.parent, engine):
        (folder / "__init__.py").write_text('"""What calls a function and watches it; the laws are elsewhere."""\n')
    for name in seam_files():
        shutil.copy(_ENGINE / name, engine / name)


def without_answers(text: str) -> str:
    """A module with every function that answers an exercise emptied: nothing of it is in the sandbox's memory."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(decorator).split(".")[-1] == _MARK for decorator in node.decorator_list
        ):
            node.decorator_list = []
            node.body = ast.parse(_REFUSAL.format(name=node.name)).body
    return ast.unparse(tree)


def seam_files() -> list[str]:
    """The modules of course_utils.checks.engine that the seam to student code consists of, found by their imports."""
    found, waiting = set(), [_SEAM]
    while waiting:
        name = waiting.pop()
        if name in found or not (_ENGINE / name).is_file():
            continue
        found.add(name)
        for node in ast.walk(ast.parse((_ENGINE / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
                waiting.append(f"{node.module}.py")
    return sorted(found)


def version() -> str:
    """A digest of everything that decides about a score: the course package and the autograder."""
    digest = hashlib.sha256()
    for root in (_PACKAGE, _AGENT):
        for path in sorted(root.rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
