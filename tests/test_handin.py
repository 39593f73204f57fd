"""Handing in and grading read notebooks alike: what `course submit` packs is graded, what it refuses is not."""

from __future__ import annotations

import copy
import json
import zipfile
from collections.abc import Callable

import nbformat
import pytest
from miniature import CHECKOUT, make_tree
from student_tree import unpack_kit

from autograder.grade import find_problem
from autograder.prepare import prepare, record_repairs
from autograder.release import release_units
from autograder.repair import repair
from autograder.submissions import Submission, find_submission
from course_utils.checks.engine import law
from course_utils.cli.handin import parse_notebook, template_of
from course_utils.cli.submit import submit_unit
from course_utils.system import stubs
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree, notebook_path

UNIT = "01_double"
WRONG = {"null": None, "a number": 3, "a text": "x", "a list": [1], "an empty object": {}}
GONE = object()


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Tree:
    tree = Tree(make_tree(tmp_path_factory.mktemp("course") / "tree"))
    release_units(tree, tree.units())
    return tree


@pytest.fixture(scope="module")
def kit(course, tmp_path_factory) -> Tree:
    return Tree(unpack_kit(course.root, tmp_path_factory.mktemp("kit")))


@pytest.fixture(scope="module")
def released(course) -> str:
    """The released notebook with an output of each kind, an attachment and a raw cell, as JSON."""
    notebook = nbformat.read(notebook_path(course.root / "release", UNIT), as_version=4)
    notebook.cells[6].outputs = [
        nbformat.v4.new_output("stream", text="1\n"),
        nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=1),
        nbformat.v4.new_output("display_data", {"text/plain": "2"}),
        nbformat.v4.new_output("error", ename="E", evalue="e", traceback=["t"]),
    ]
    notebook.cells[0].attachments = {"a.png": {"image/png": "AAAA"}}
    notebook.cells.append(nbformat.v4.new_raw_cell("raw", id="raw"))
    return nbformat.writes(notebook)


def put(path: tuple, value: object) -> Callable[[dict], None]:
    """Put a value at a place of the notebook, or take the place out."""

    def change(notebook: dict) -> None:
        node = notebook
        for key in path[:-1]:
            node = node[key]
        if value is GONE:
            del node[path[-1]]
        else:
            node[path[-1]] = copy.deepcopy(value)

    return change


# Every key of a notebook, at each level.
PLACES = {
    "cells": ("cells",),
    "metadata": ("metadata",),
    "nbformat": ("nbformat",),
    "nbformat_minor": ("nbformat_minor",),
    "kernelspec": ("metadata", "kernelspec"),
    "kernelspec.name": ("metadata", "kernelspec", "name"),
    "language_info": ("metadata", "language_info"),
    "a cell": ("cells", 2),
    "text.cell_type": ("cells", 0, "cell_type"),
    "text.id": ("cells", 0, "id"),
    "text.metadata": ("cells", 0, "metadata"),
    "text.source": ("cells", 0, "source"),
    "text.attachments": ("cells", 0, "attachments"),
    "raw.source": ("cells", -1, "source"),
    "raw.metadata": ("cells", -1, "metadata"),
    "code.cell_type": ("cells", 2, "cell_type"),
    "code.id": ("cells", 2, "id"),
    "code.metadata": ("cells", 2, "metadata"),
    "code.source": ("cells", 2, "source"),
    "code.outputs": ("cells", 2, "outputs"),
    "code.execution_count": ("cells", 2, "execution_count"),
    "tags": ("cells", 3, "metadata", "tags"),
    "nbgrader": ("cells", 3, "metadata", "nbgrader"),
    **{
        f"nbgrader.{key}": ("cells", 3, "metadata", "nbgrader", key)
        for key in ("grade", "grade_id", "locked", "points", "schema_version", "solution", "task", "cell_type")
    },
    "stream.name": ("cells", 6, "outputs", 0, "name"),
    "stream.text": ("cells", 6, "outputs", 0, "text"),
    "output": ("cells", 6, "outputs", 1),
    "output.output_type": ("cells", 6, "outputs", 1, "output_type"),
    "output.data": ("cells", 6, "outputs", 1, "data"),
    "output.metadata": ("cells", 6, "outputs", 1, "metadata"),
    "output.execution_count": ("cells", 6, "outputs", 1, "execution_count"),
    "output.text": ("cells", 6, "outputs", 2, "data", "text/plain"),
    "error.traceback": ("cells", 6, "outputs", 3, "traceback"),
}
DAMAGE = {
    f"{name} {how}": put(path, value)
    for name, path in PLACES.items()
    for how, value in {"gone": GONE, **WRONG}.items()
    if not (value is GONE and name in ("tags", "language_info", "nbgrader.cell_type"))  # may be absent anyway
}


def every(change: Callable[[dict], None]) -> Callable[[dict], None]:
    return lambda notebook: [change(cell) for cell in notebook["cells"]] and None


def text_cell_with_outputs(notebook: dict) -> None:
    notebook["cells"][0].update(outputs=[], execution_count=None)


def duplicate_id(notebook: dict) -> None:
    notebook["cells"][1]["id"] = notebook["cells"][0]["id"]


def of_another_unit(notebook: dict) -> None:
    for cell in notebook["cells"]:
        marks = cell["metadata"].get("nbgrader")
        if marks:
            marks["grade_id"] = marks["grade_id"].replace("double", "twofold").replace("triple", "threefold")
        cell["source"] = "".join(cell["source"]).replace("double", "twofold").replace("triple", "threefold")


def of_the_future(notebook: dict) -> None:
    notebook["nbformat"] = 5
    for cell in notebook["cells"]:
        cell["text"] = cell.pop("source")


# What other programs and students do to notebooks; True: it is graded.
KNOWN = {
    "nothing": (lambda notebook: None, True),
    "no execution_count": (put(PLACES["code.execution_count"], GONE), True),
    "a text cell that was code": (text_cell_with_outputs, True),
    "a cell without metadata": (put(PLACES["code.metadata"], GONE), True),
    "no nbformat_minor": (put(PLACES["nbformat_minor"], GONE), True),
    "a cell id twice": (duplicate_id, True),
    "no cell ids": (every(lambda cell: cell.pop("id", None)), True),
    "no metadata at all": (every(lambda cell: cell.update(metadata={})), True),
    "metadata null everywhere": (every(lambda cell: cell.update(metadata=None)), True),
    "names that no unit knows": (every(lambda cell: cell["metadata"].get("nbgrader", {}).update(grade_id="x")), True),
    "points a text": (put(PLACES["nbgrader.points"], "many"), True),
    "another unit's": (of_another_unit, False),
    "no cells": (put(PLACES["cells"], []), False),
    "only text": (lambda notebook: notebook.update(cells=notebook["cells"][:1]), False),
    "of the future": (put(PLACES["nbformat"], 99), True),
    "of the future, with texts elsewhere": (of_the_future, False),
    "a minor version of the future": (put(PLACES["nbformat_minor"], 99), True),
    "a version in words": (put(PLACES["nbformat"], "4"), True),
    "cells that are no list": (put(PLACES["cells"], {}), False),
}
BYTES = {
    "an empty file": b"",
    "only spaces": b" \n",
    "half of it": None,
    "no JSON": b"{",
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "another encoding": b"\xff\xfe{",
    "nested without end": b"[" * 100_000,
    "nested cells": b'{"cells": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "21 MB": b" " * 21_000_000,
}


def decide(course: Tree, kit: Tree, data: bytes, folder) -> tuple[str, str]:
    """Why handing in and grading refuse a notebook; empty where they take it. Anything but a CourseError fails."""
    path = folder / f"{UNIT}.ipynb"
    path.write_bytes(data)
    handed_in = refused(lambda: submit_unit(kit, UNIT, path, folder))
    submitted = notebook_path(course.root / "submitted" / "ada", UNIT)
    submitted.parent.mkdir(parents=True, exist_ok=True)
    submitted.write_bytes(data)
    problem = find_problem(course, UNIT, "ada")
    if problem is None:  # the rest of the way to the sandbox must hold as well
        found = find_submission(course, UNIT, "ada")
        assert isinstance(found, Submission)
        repaired = repair(parse_notebook(found.notebook, found.name), template_of(course, UNIT))
        record_repairs(repaired.notebook, repaired)
        prepare(repaired.notebook)
        nbformat.validate(repaired.notebook)
    return handed_in, problem[1] if problem else ""


def refused(work: Callable[[], object]) -> str:
    try:
        work()
    except CourseError as error:
        return str(error)
    return ""


def changed(released: str, change: Callable[[dict], None]) -> bytes:
    notebook = json.loads(released)
    change(notebook)
    return json.dumps(notebook).encode()


@pytest.mark.parametrize("name", KNOWN)
def test_what_other_programs_do_to_a_notebook_is_accepted_or_refused_by_both(course, kit, released, tmp_path, name):
    change, graded = KNOWN[name]
    handed_in, problem = decide(course, kit, changed(released, change), tmp_path)
    assert (handed_in == "", problem == "") == (graded, graded), (handed_in, problem)


def test_every_key_may_be_missing_or_of_a_wrong_type_and_both_decide_alike(course, kit, released, tmp_path):
    assert len(DAMAGE) >= 60
    taken, apart = 0, []
    for name, change in DAMAGE.items():
        handed_in, problem = decide(course, kit, changed(released, change), tmp_path)
        taken += not problem
        if bool(handed_in) != bool(problem):
            apart.append(f"{name}: submit: {handed_in or 'taken'}; grading: {problem or 'taken'}")
    assert not apart, "\n".join(apart)
    assert len(DAMAGE) - 10 < taken < len(DAMAGE), f"taken: {taken} of {len(DAMAGE)}"  # refused: without cells


def as_version_3(released: str) -> dict:
    """As programs of 2014 wrote it."""
    content = json.loads(nbformat.writes(nbformat.convert(nbformat.reads(released, as_version=4), 3), version=3))
    for cell in content["worksheets"][0]["cells"]:
        cell["outputs"] = [
            {"output_type": "pyout", "prompt_number": 1, "text": ["1"], "png": "AAAA", "metadata": {}},
            {"output_type": "stream", "stream": "stderr", "text": "a"},
            {"output_type": "pyerr", "ename": "E", "evalue": "e", "traceback": []},
        ]
    return content


def as_version_2(released: str) -> dict:
    content = as_version_3(released) | {"nbformat": 2, "nbformat_minor": 0}
    for cell in content["worksheets"][0]["cells"]:
        del cell["metadata"]
    return content


def in_two_sheets(released: str) -> dict:
    content = as_version_3(released)
    cells = content["worksheets"][0]["cells"]
    return content | {"worksheets": [{"cells": cells[:4], "metadata": {}}, {"cells": cells[4:]}, None]}


OLDER = {
    "3": as_version_3,
    "2": as_version_2,
    "3, in two sheets": in_two_sheets,
    "3, called 4": lambda released: as_version_3(released) | {"nbformat": 4, "nbformat_minor": 5},
}


@pytest.mark.parametrize("version", OLDER)
def test_a_notebook_of_an_older_version_is_read_whole(course, kit, released, tmp_path, version):
    content = OLDER[version](released)
    data = json.dumps(content).encode()
    assert decide(course, kit, data, tmp_path) == ("", "")
    cells = [(cell.cell_type, cell.source) for cell in parse_notebook(data, "x").cells]
    wanted = [(cell.cell_type, cell.source) for cell in nbformat.reads(released, as_version=4).cells]
    assert [source.lstrip("# ") for _, source in cells] == [source.lstrip("# ") for _, source in wanted]
    outputs = next(cell for cell in parse_notebook(data, "x").cells if cell.cell_type == "code").outputs
    assert outputs[0].data == {"text/plain": "1", "image/png": "AAAA"} and outputs[1].name == "stderr"
    assert [output.output_type for output in outputs] == ["execute_result", "stream", "error"]


def test_what_the_code_needs_is_handed_in_and_what_it_cannot_have_is_said(kit, released, tmp_path, capsys):
    """Modules, packages, notebooks that are run, small files that are read; nothing else that lies there."""
    here = kit.student_notebooks / UNIT
    beside = {"my_helper.py", "tools/more.py", "other.ipynb", "own.csv"}
    for name in [*beside, "notes.ipynb", "unused.csv", ".hidden.py", "elsewhere/x.py"]:
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text("1")
    notebook = nbformat.reads(released, as_version=4)
    notebook.cells[2].source = "def double(x):\n    return gone_helper(x)"
    code = "%run other.ipynb\nimport tools.more, json, not_there\nopen('own.csv')\n"
    code += "try:\n    import nor_here\nexcept ImportError:\n    pass"
    notebook.cells.append(nbformat.v4.new_code_cell(code))
    mine = here / "mine.ipynb"
    nbformat.write(notebook, mine)
    with zipfile.ZipFile(submit_unit(kit, UNIT, mine, tmp_path)) as packed:
        assert {name.removeprefix(f"{UNIT}/") for name in packed.namelist()} == beside | {f"{UNIT}.ipynb"}
    said = capsys.readouterr()
    assert "imports not_there; there is no not_there.py beside the notebook" in said.err
    assert "nor_here" not in said.err and "json" not in said.err and "my_helper.py" in said.out
    assert "gone_helper" not in said.err, "what a notebook that is run may make is not told"
    assert "tools" not in said.err
    del notebook.cells[-1]
    nbformat.write(notebook, mine)
    submit_unit(kit, UNIT, mine, tmp_path)
    assert "double uses gone_helper, which no cell of the notebook makes any more." in capsys.readouterr().err


def test_what_disks_and_editors_leave_in_a_notebook_is_read(course, kit, released, tmp_path):
    for data in (released.replace("tiny", "ti\tny\x01\n"), released + "\0\0\r\n"):
        assert decide(course, kit, data.encode(), tmp_path) == ("", "")


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_notebook_is_refused_by_both_for_the_same_reason(course, kit, released, tmp_path, name):
    data = BYTES[name] if BYTES[name] is not None else released.encode()[: len(released) // 2]
    handed_in, problem = decide(course, kit, data, tmp_path)
    assert problem and handed_in.startswith(problem.removesuffix(".")), (handed_in, problem)


def test_a_student_whose_notebook_lost_its_names_is_still_told_what_is_unfinished(kit, released, tmp_path, capsys):
    path = tmp_path / "mine.ipynb"
    path.write_bytes(changed(released, every(lambda cell: cell.update(metadata={}))))
    submit_unit(kit, UNIT, path, tmp_path)
    told = capsys.readouterr()
    assert "not written yet: double, triple." in told.err and "not answered yet: q_double." in told.err
    assert "no longer in the notebook" not in told.err and "0 of 3 exercises" in told.out


def test_the_kit_recognises_cells_as_the_sources_do(tmp_path):
    """What kit.json says of the released units finds the same cells by the same marks as the sources do."""
    from course_utils.cli.handin.cells import PROVIDED, TemplateCell, bare
    from course_utils.cli.handin.units import facts_for_kit

    tree = Tree(CHECKOUT)
    units = tree.units()
    released = {unit: {unit: nbformat.read(notebook_path(tree.root / "release", unit), as_version=4)} for unit in units}
    for unit, cells in facts_for_kit(released)["cells"].items():
        known = {cell["grade_id"]: TemplateCell(**cell) for cell in cells if cell["kind"] != PROVIDED}
        wanted = template_of(tree, unit).marked
        assert known.keys() == wanted.keys(), unit
        for grade_id, cell in wanted.items():
            own = known[grade_id]
            assert (own.kind, own.cell_type, own.points) == (cell.kind, cell.cell_type, cell.points), grade_id
            assert bare(own.source) == bare(cell.source), f"{unit}: {grade_id}"
            assert own.stub == cell.stub, f"{unit}: {grade_id} is released with another text than its source says"
            assert (grade_id in own.defines) == (grade_id in cell.defines), f"{unit}: {grade_id}"


def test_each_stub_is_written_in_one_place():
    assert law.NOT_WRITTEN == stubs.NOT_WRITTEN, "what a check says of a stub is what `course submit` says of it"
    for stub in (stubs.exercise_stub("kl"), f"def kl(x):\n    {stubs.exercise_stub('kl')}"):
        assert stubs.is_unwritten(stub, "kl") and not stubs.is_unwritten(stub, "k")
    assert not stubs.is_unwritten(stubs.missing_stub("kl"), "kl")
    assert stubs.is_blank(stubs.ANSWER_STUB) and stubs.is_blank("YOUR  ANSWER\nHERE ") and not stubs.is_blank("mine")
    for folder in ("autograder", "course_utils"):
        for path in (CHECKOUT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if path.name not in ("stubs.py", "law.py"):
                assert "YOUR ANSWER" not in text and '"not written yet"' not in text, (
                    f"{path} has a stub's text of its own"
                )
