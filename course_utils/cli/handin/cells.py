"""What each cell of a notebook is for, and whether a notebook is of a unit, whatever became of its metadata."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from course_utils.system.errors import CourseError
from course_utils.system.stubs import Stubs, is_blank, is_unwritten

TEST, SOLUTION, ANSWER, TASK, PROVIDED = "test", "solution", "answer", "task", "provided"
Cell = Any  # nbformat.NotebookNode


@dataclass(frozen=True)
class TemplateCell:
    """One cell of the source. Solutions and model answers are not kept: `source` is empty there."""

    kind: str
    grade_id: str  # empty for provided cells that are not read-only
    cell_type: str
    source: str
    points: float
    tags: list[str]
    defines: list[str]  # names bound at top level
    stub: str = ""  # of a solution or an answer: its text as released

    @property
    def is_graded(self) -> bool:
        """Whether there are points for it; a question with 0 points is there for its mark scheme alone."""
        return self.kind in (TEST, ANSWER) or (self.kind == TASK and self.points > 0)


@dataclass(frozen=True)
class Template:
    """What a unit's notebook must contain: its cells in order, as plain data."""

    unit: str
    cells: list[TemplateCell]
    others: dict[str, list[str]] = field(default_factory=dict)  # grade ids of the other units
    notebook: str = ""  # which notebook of the unit; empty: the one that has its name
    earlier: list[list[TemplateCell]] = field(default_factory=list)  # its cells in releases before, the latest last

    @classmethod
    def of(
        cls,
        unit: str,
        source: Any,
        others: dict[str, list[str]] | None = None,
        notebook: str = "",
        stubs: Stubs | None = Stubs(),  # noqa: B008 (frozen)
    ) -> Template:
        """``source`` is the instructor's, in which ``stubs`` take the place of solutions; or, with None, a release."""
        return cls(unit, [_template_cell(cell, stubs) for cell in source.cells], others or {}, notebook)

    @property
    def name(self) -> str:
        """What messages call it: the unit, or the unit and the notebook where it has another name."""
        return self.unit if self.notebook in ("", self.unit) else f"{self.unit}/{self.notebook}"

    @property
    def marked(self) -> dict[str, TemplateCell]:
        """The cells that nbgrader knows, by grade id."""
        return {cell.grade_id: cell for cell in self.cells if cell.grade_id}

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Template:
        content = json.loads(text)
        cells, *earlier = ([TemplateCell(**cell) for cell in of] for of in (content["cells"], *content["earlier"]))
        return cls(content["unit"], cells, content["others"], content["notebook"], earlier)

    def digest(self) -> str:
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _template_cell(cell: Cell, stubs: Stubs | None) -> TemplateCell:
    kind = kind_of(cell)
    marks = marks_of(cell)
    return TemplateCell(
        kind=kind,
        grade_id=str(marks.get("grade_id", "")) if kind != PROVIDED or marks.get("locked") else "",
        cell_type=cell.cell_type,
        source="" if kind in (SOLUTION, ANSWER) else cell.source,
        points=float(marks.get("points") or 0),
        tags=list(cell.metadata.get("tags", [])),
        defines=defined_names(cell.source) if cell.cell_type == "code" else [],
        stub=(cell.source if stubs is None else as_released(cell, stubs)) if kind in (SOLUTION, ANSWER) else "",
    )


def as_released(cell: Cell, stubs: Stubs = Stubs()) -> str:  # noqa: B008 (frozen)
    """The text of a solution or an answer cell of the source as students get it."""
    name = str(marks_of(cell).get("grade_id", ""))
    stub = stubs.exercise(name) if cell.cell_type == "code" else stubs.answer
    lines, inside, replaced = [], False, False
    for line in stubs.usual_marks(cell.source).split("\n"):
        if "BEGIN SOLUTION" in line:
            inside = replaced = True
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + part for part in stub.split("\n")]
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines) if replaced else stub


def is_left_as_released(source: str, wanted: TemplateCell) -> bool:
    """Whether nothing was written into the cell of an answer."""
    return is_blank(source) or bare(source) == bare(wanted.stub)


def is_check(source: str) -> bool:
    """Whether a test cell is a check: it ends with a call of ``check`` or of one of its functions, and is judged
    outside. Whatever else a test cell holds is run beside the student's code."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    called = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if not isinstance(called, ast.Call):
        return False
    return ast.unparse(called.func).split(".")[0] == "check"


def marks_of(cell: Cell) -> Any:
    """nbgrader's metadata of a cell; empty where there are none."""
    return cell.metadata.get("nbgrader") or {}


def kind_of(cell: Cell) -> str:
    """What a cell is for, by nbgrader's metadata."""
    marks = marks_of(cell)
    if marks.get("task"):
        return TASK
    if marks.get("grade"):
        return ANSWER if marks.get("solution") else TEST
    return SOLUTION if marks.get("solution") else PROVIDED


def marks_for(wanted: TemplateCell) -> dict[str, Any]:
    """The part of nbgrader's metadata that says what a cell is for and what it is worth, as released."""
    marks: dict[str, Any] = {
        "grade_id": wanted.grade_id,
        "grade": wanted.kind in (TEST, ANSWER),
        "solution": wanted.kind in (SOLUTION, ANSWER),
        "task": wanted.kind == TASK,
    }
    return marks | ({"points": wanted.points} if wanted.kind not in (SOLUTION, PROVIDED) else {})


def graded_cells(notebook: Any) -> dict[str, float]:
    """Maximum points of each graded cell by its ``grade_id``; 0 where its points are no number."""
    cells = {}
    for cell in notebook.cells:
        marks = marks_of(cell)
        points = marks.get("points")
        points = float(points) if isinstance(points, (int, float)) else 0.0
        if (marks.get("grade") or (marks.get("task") and points)) and marks.get("grade_id"):
            cells[str(marks["grade_id"])] = points
    return cells


def labels_of(templates: dict[str, Template]) -> dict[tuple[str, str], str]:
    """What grades.csv calls each graded cell of a unit, by notebook and grade id: the exercise's name; where several
    cells have it the grade id; where several notebooks have that, too, both."""
    cells = [(name, cell.grade_id) for name, of in templates.items() for cell in of.cells if cell.is_graded]
    names = Counter(exercise_name(grade_id) for _, grade_id in cells)
    ids = Counter(grade_id for _, grade_id in cells)
    return {
        (notebook, grade_id): exercise_name(grade_id)
        if names[exercise_name(grade_id)] == 1
        else grade_id
        if ids[grade_id] == 1
        else f"{notebook}/{grade_id}"
        for notebook, grade_id in cells
    }


def exercise_name(grade_id: str) -> str:
    """The exercise's name as it stands in grades.csv: ``test_kl_divergence`` is ``kl_divergence``."""
    return grade_id.removeprefix("test_")


def defined_names(source: str) -> list[str]:
    """Names that a cell binds at top level: functions, classes, imports, assignments. Empty when it does not parse."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [name for node in body for name in _names_of(node)]


def _names_of(node: ast.stmt) -> list[str]:
    """The names that one statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
    return []


def without_marked_parts(source: str) -> str:
    """A text without its mark scheme and hidden tests. Each place is looked at once, however many marks there are."""
    for what in ("MARK SCHEME", "HIDDEN TESTS"):
        begin, end, at, kept = f"### BEGIN {what}", f"### END {what}", 0, []
        while (start := source.find(begin, at)) >= 0 and (stop := source.find(end, start)) >= 0:
            kept.append(source[at:start])
            at = stop + len(end)
        source = "".join([*kept, source[at:]])
    return source


def bare(source: str) -> str:
    """The text of a cell as students get it, without spaces."""
    return "".join(without_marked_parts(source).split())


@dataclass
class Identified:
    """Which cell of a notebook stands for each grade id.

    ``spare`` are further cells of the same grade id; ``recognised`` the grade ids whose cell does not carry them.
    """

    found: dict[str, Cell]
    spare: dict[str, list[Cell]]
    recognised: list[str]


def identify(notebook: Any, template: Template, name: str) -> Identified:
    """Tell what the cells of ``notebook`` are; nothing is changed.

    Raises CourseError when nothing in it belongs to the unit.
    """
    cells = notebook.cells
    found, spare = _by_grade_id(cells, template)
    _by_what_is_defined(found, template)
    _prefer_what_is_written(cells, found, spare, template)
    if not found and (elsewhere := _belongs_to(cells, template)):
        raise CourseError(f"{name} is not the notebook of {template.name}: it belongs to {elsewhere}.")
    superfluous = {id(cell) for grade_id in spare if template.marked[grade_id].kind == TEST for cell in spare[grade_id]}
    recognised = _recognise([cell for cell in cells if id(cell) not in superfluous], found, template)
    _without_stubs_of_others(found, spare, template)
    if not found:
        raise CourseError(
            f"{name} is not the notebook of {template.name}: it has none of its exercises, tests and questions."
        )
    return Identified(found, spare, recognised)


def _by_grade_id(cells: list[Cell], template: Template) -> tuple[dict[str, Cell], dict[str, list[Cell]]]:
    """The cell that stands for each grade id: of several the last of those that say most; and the others."""
    candidates: dict[str, list[Cell]] = {}
    for cell in cells:
        grade_id = marks_of(cell).get("grade_id")
        if grade_id in template.marked:
            candidates.setdefault(grade_id, []).append(cell)
    found, spare = {}, {}
    for grade_id, several in candidates.items():
        wanted = template.marked[grade_id]
        best = max(enumerate(several), key=lambda pair: (_says_something(pair[1], wanted), pair[0]))[1]
        found[grade_id] = best
        if len(several) > 1:
            spare[grade_id] = [cell for cell in several if cell is not best]
    return found, spare


def _by_what_is_defined(found: dict[str, Cell], template: Template) -> None:
    """Exercises that were written into each other's cells change places."""
    wanted = {name: of for name, of in template.marked.items() if of.kind == SOLUTION and of.defines and name in found}
    foreign = {name: found[name] for name, of in wanted.items() if how_written(found[name].source, of) == NOTHING}
    theirs = {
        name: next((cell for cell in foreign.values() if how_written(cell.source, wanted[name]) == WRITTEN), None)
        for name in foreign
    }
    if all(theirs.values()) and len({id(cell) for cell in theirs.values()}) == len(theirs):
        found.update({name: cell for name, cell in theirs.items() if cell is not None})


def _without_stubs_of_others(found: dict[str, Cell], spare: dict[str, list[Cell]], template: Template) -> None:
    """Where an exercise is written in the cell of another one, its stub is left out: it would take its place."""
    for grade_id, wanted in template.marked.items():
        stub = found.get(grade_id)
        if wanted.kind != SOLUTION or stub is None or how_written(stub.source, wanted) != STUB:
            continue
        taken = (found[other] for other, of in template.marked.items() if of.kind == SOLUTION and other in found)
        if any(how_written(cell.source, wanted) == WRITTEN for cell in taken):
            spare.setdefault(grade_id, []).append(found.pop(grade_id))


def _says_something(cell: Cell, wanted: TemplateCell) -> int:
    if wanted.kind == ANSWER:
        return int(not is_left_as_released(cell.source, wanted))
    return how_written(cell.source, wanted) if wanted.kind == SOLUTION else 1


NOTHING, STUB, BROKEN, WRITTEN = range(4)


def how_written(source: str, wanted: TemplateCell) -> int:
    """What a cell has of an exercise: nothing, its stub, something that does not parse, or a definition of it."""
    if not any(name in source for name in wanted.defines):
        return NOTHING
    if bare(source) == bare(wanted.stub):
        return STUB
    try:
        return max((STUB if stub else WRITTEN for _, stub in _definitions(source, wanted)), default=NOTHING)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        names = "|".join(map(re.escape, wanted.defines))
        return BROKEN if names and re.search(rf"^[ \t]*(def|class)\s+({names})\b", source, re.M) else NOTHING


def _definitions(source: str, wanted: TemplateCell) -> list[tuple[ast.stmt, bool]]:
    """The statements that define what an exercise asks for, and whether each is a stub. Raises SyntaxError."""
    lines = source.splitlines()
    body = ast.parse("\n".join("" if line.startswith(("%", "!")) else line for line in lines)).body  # IPython's own
    found = []
    for node in body:
        if not set(wanted.defines).isdisjoint(_names_of(node)):
            stub = isinstance(node, ast.FunctionDef) and all(map(says_nothing, node.body))
            stub |= isinstance(node, ast.ClassDef) and is_unwritten(source, wanted.grade_id)
            found.append((node, stub))
    return found


def without_stubs(source: str, wanted: TemplateCell) -> str:
    """A cell without the stubs of functions that it also defines: the last definition is the one that counts."""
    try:
        found = _definitions(source, wanted)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    written = {name for node, stub in found if not stub for name in _names_of(node)}
    lines = source.splitlines(keepends=True)
    for node, stub in reversed(found):
        if stub and isinstance(node, ast.FunctionDef) and node.name in written and node.end_lineno:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines[first - 1 : node.end_lineno] = []
    return "".join(lines)


def says_nothing(statement: ast.stmt) -> bool:
    """Whether a statement is what stands in a stub: a text, ``pass``, or an error that names it not implemented."""
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in ast.unparse(statement)
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _prefer_what_is_written(
    cells: list[Cell], found: dict[str, Cell], spare: dict[str, list[Cell]], template: Template
) -> None:
    """A stub never stands for an exercise that is written elsewhere: in a cell of one's own, or in that of its test.

    Stubs that are left over become ``spare``.
    """
    given = {bare(cell.source) for cell in template.cells if cell.kind in (PROVIDED, TEST)}
    code = [cell for cell in cells if cell.cell_type == "code" and bare(cell.source) not in given]
    for grade_id, wanted in template.marked.items():
        if wanted.kind != SOLUTION or not wanted.defines:
            continue
        taken = {id(cell): name for name, cell in found.items()}
        free = [cell for cell in code if taken.get(id(cell), f"test_{grade_id}") in (f"test_{grade_id}", grade_id)]
        degrees = {id(cell): how_written(cell.source, wanted) for cell in free}
        best = found.get(grade_id)
        if best is None or how_written(best.source, wanted) < BROKEN:
            written = [cell for cell in free if degrees[id(cell)] == WRITTEN]
            joined = [cell for cell in written if taken.get(id(cell)) == f"test_{grade_id}"]
            if joined or (written and best is not None):
                best = (written or joined)[-1]
                if taken.get(id(best)) == f"test_{grade_id}":
                    del found[f"test_{grade_id}"]
                found[grade_id] = best
                for several in spare.values():
                    several[:] = [cell for cell in several if cell is not best]
        if best is not None and how_written(best.source, wanted) == WRITTEN:
            known = [id(cell) for cell in (best, *spare.get(grade_id, []))]
            stubs = [cell for cell in free if degrees[id(cell)] == STUB and id(cell) not in known]
            if stubs:
                spare.setdefault(grade_id, []).extend(stubs)


def _belongs_to(cells: list[Cell], template: Template) -> str:
    """Another unit of which the notebook has graded cells, if there is one."""
    here = {marks_of(cell).get("grade_id") for cell in cells}
    shared = {other: len(here & set(names)) for other, names in template.others.items()}
    best = max(shared, key=lambda other: shared[other], default="")
    return best if best and shared[best] else ""


def _recognise(cells: list[Cell], found: dict[str, Cell], template: Template) -> list[str]:
    """Find cells that have lost their metadata, or carry a name that the unit does not know; adds them to ``found``."""
    taken = {id(cell) for cell in found.values()}
    recognised = []
    for grade_id, wanted in template.marked.items():
        if grade_id in found:
            continue
        free = [cell for cell in cells if id(cell) not in taken]
        cell = _looks_like(free, wanted)
        if cell is None and wanted.kind == ANSWER:
            cell = _after_its_question(cells, taken, template, found, grade_id)
        if cell is not None:
            found[grade_id] = cell
            taken.add(id(cell))
            recognised.append(grade_id)
    return recognised


def _looks_like(free: list[Cell], wanted: TemplateCell) -> Cell | None:
    if wanted.kind == SOLUTION:
        hits = [cell for cell in free if cell.cell_type != "markdown" or "def " in cell.source]
        names = [name for name in wanted.defines if name == wanted.grade_id] or wanted.defines
        hits = [
            cell
            for cell in hits
            if any(re.search(rf"^(def|class)\s+{re.escape(n)}\b|^{re.escape(n)}\s*=", cell.source, re.M) for n in names)
        ]
        return hits[-1] if hits else None
    if wanted.kind in (TEST, TASK, PROVIDED):
        text = bare(wanted.source)
        return next((cell for cell in free if text and bare(cell.source) == text), None)
    return None


def _after_its_question(
    cells: list[Cell], taken: set[int], template: Template, found: dict[str, Cell], grade_id: str
) -> Cell | None:
    """The free text cell below the question that comes before this answer in the unit."""
    order = list(template.marked)
    before = [name for name in order[: order.index(grade_id)] if template.marked[name].kind == TASK and name in found]
    if not before:
        return None
    position = next(i for i, cell in enumerate(cells) if cell is found[before[-1]])
    below = cells[position + 1] if position + 1 < len(cells) else None
    if below is None or id(below) in taken or below.cell_type == "code":
        return None
    provided = {"".join(cell.source.split()) for cell in template.cells if cell.kind == PROVIDED}
    return None if "".join(below.source.split()) in provided else below
