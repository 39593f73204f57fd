"""A right answer counts wherever it stands: exercises, what they need, and written answers in cells of their own."""

from __future__ import annotations

import shutil

import nbformat
import pytest
from miniature import CHECKOUT, hand_in, make_tree
from test_nothing_is_lost import ALL, RIGHT, UNIT, appended, change, linux, scores

from autograder.examiner.settings import RECORD
from autograder.grade import grade_unit
from autograder.release import release_units
from autograder.run_order import bring_up, explain_missing
from course_utils.cli.handin import template_of
from course_utils.system.tree import Tree


@pytest.fixture
def tree(tmp_path) -> Tree:
    tree = Tree(make_tree(tmp_path / "course"))
    release_units(tree, tree.units())
    return tree


def cells_of(notebook):
    return {cell.metadata.get("nbgrader", {}).get("grade_id", ""): cell for cell in notebook.cells}


def place(notebook, grade_id):
    return next(i for i, c in enumerate(notebook.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def own(kind, source):
    return {"md": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}[kind](source)


def doubled(notebook, fresh):
    notebook.cells += fresh.cells


def doubled_without_metadata(notebook, fresh):
    for cell in fresh.cells:
        cell.metadata = nbformat.NotebookNode()
    notebook.cells += fresh.cells


def stub_behind(notebook, fresh):
    notebook.cells.insert(place(notebook, "double") + 1, cells_of(fresh)["double"])


def stub_before(notebook, fresh):
    notebook.cells.insert(place(notebook, "double"), cells_of(fresh)["double"])


def plain_stub_behind(notebook, fresh):
    notebook.cells.insert(place(notebook, "double") + 1, own("code", cells_of(fresh)["double"].source))


def other_stub_behind(notebook, fresh):
    stub = 'def double(x):\n    """Twice x."""\n    raise NotImplementedError\n'
    notebook.cells.insert(place(notebook, "double") + 1, own("code", stub))


def stub_left_own_cell_at_the_end(notebook, fresh):
    notebook.cells.append(own("code", cells_of(notebook)["double"].source))
    cells_of(notebook)["double"].source = cells_of(fresh)["double"].source


def stub_left_own_cell_above(notebook, fresh):
    notebook.cells.insert(place(notebook, "double"), own("code", "%%time\n" + cells_of(notebook)["double"].source))
    cells_of(notebook)["double"].source = cells_of(fresh)["double"].source


def joined_into_the_test(notebook, fresh):
    cells = cells_of(notebook)
    cells["test_double"].source = cells["double"].source + "\n\n" + cells["test_double"].source
    notebook.cells.remove(cells["double"])


def joined_into_the_exercise(notebook, fresh):
    cells = cells_of(notebook)
    cells["double"].source += "\n\n" + cells["test_double"].source
    notebook.cells.remove(cells["test_double"])


def joined_into_the_test_stub_left(notebook, fresh):
    cells = cells_of(notebook)
    cells["test_double"].source = cells["double"].source + "\n\n" + cells["test_double"].source
    cells["double"].source = cells_of(fresh)["double"].source


def split(notebook, fresh):
    cell = cells_of(notebook)["double"]
    cell.source = "def helper(x):\n    return 2 * x"
    second = nbformat.v4.new_code_cell("def double(x):\n    return helper(x)", metadata=cell.metadata)
    notebook.cells.insert(place(notebook, "double") + 1, second)


def raise_left_behind_the_return(notebook, fresh):
    cells_of(notebook)["double"].source += '\n    raise NotImplementedError("double: not written yet; replace")'


def both_in_one_own_cell(notebook, fresh):
    cells = cells_of(notebook)
    notebook.cells.insert(0, own("code", cells["double"].source + "\n\n" + cells["triple"].source))
    for name in ("double", "triple"):
        cells[name].source = cells_of(fresh)[name].source


def into_each_others_cells(notebook, fresh):
    cells = cells_of(notebook)
    cells["double"].source, cells["triple"].source = cells["triple"].source, cells["double"].source


def helper_in_the_test(notebook, fresh):
    cells = cells_of(notebook)
    cells["double"].source = "def double(x):\n    return helper(x)"
    cells["test_double"].source = "def helper(x):\n    return 2 * x\n\n" + cells["test_double"].source


def stub_in_the_same_cell(notebook, fresh):
    cells_of(notebook)["double"].source += "\n\n" + cells_of(fresh)["double"].source


def magics_of_no_extension(notebook, fresh):
    cells = cells_of(notebook)
    cells["double"].source = "%load_ext nb_black\n%nb_black\n" + cells["double"].source
    cells["triple"].source = "%%a_clock_of_mine\n" + cells["triple"].source


@linux
def test_a_right_answer_counts_wherever_it_stands_and_no_stub_beats_it(tree):
    edits = [
        doubled,
        doubled_without_metadata,
        stub_behind,
        stub_before,
        plain_stub_behind,
        other_stub_behind,
        stub_left_own_cell_at_the_end,
        stub_left_own_cell_above,
        joined_into_the_test,
        joined_into_the_exercise,
        joined_into_the_test_stub_left,
        split,
        both_in_one_own_cell,
        into_each_others_cells,
        helper_in_the_test,
        stub_in_the_same_cell,
        magics_of_no_extension,
        raise_left_behind_the_return,
    ]
    for edit in edits:
        path = hand_in(tree.root, edit.__name__, UNIT, RIGHT)
        notebook = nbformat.read(path, as_version=4)
        edit(notebook, nbformat.read(tree.root / "release" / UNIT / f"{UNIT}.ipynb", as_version=4))
        nbformat.write(notebook, path)
    rows = grade_unit(tree, UNIT)
    got = {edit.__name__: scores(rows, edit.__name__) for edit in edits}
    assert got == {edit.__name__: ALL for edit in edits}, [row for row in rows if row.score == 0]


HELPER = "def helper(x):\n    return 2 * x"


def helper_at_the_end(notebook, fresh):
    notebook.cells.append(own("code", HELPER))


def helper_in_the_other_exercise(notebook, fresh):
    cells_of(notebook)["triple"].source = HELPER + "\n\ndef triple(x):\n    return helper(x) + x"


def helper_in_an_experiment(notebook, fresh):
    cells_of(notebook)["double"].source = "def double(x):\n    return helper(x) + ZERO"
    experiment = own("code", f"ZERO = 0\n\n{HELPER}\n\nhelper(ZERO)")
    experiment.metadata["tags"] = ["experiment"]
    notebook.cells.insert(1, experiment)


def constants_and_imports_below(notebook, fresh):
    cells_of(notebook)["double"].source = "FACTOR = TWO\n\n\ndef double(x):\n    return int(math.sqrt(FACTOR**2)) * x"
    notebook.cells += [own("code", "import math"), own("code", "ONE = 1\nTWO = ONE + 1")]


def a_chain_below(notebook, fresh):
    notebook.cells += [
        own("code", "def helper(x):\n    return other(x)"),
        own("code", "def other(x):\n    return x + x"),
    ]


BELOW = [
    helper_at_the_end,
    helper_in_the_other_exercise,
    helper_in_an_experiment,
    constants_and_imports_below,
    a_chain_below,
]


def failing_above(notebook, fresh):
    notebook.cells.insert(1, own("code", "%run no_such.ipynb"))


def module_missing(notebook, fresh):
    notebook.cells.insert(1, own("code", "from my_helpers import helper"))


def costly_in_an_experiment(notebook, fresh):
    experiment = own("code", "helper = max([abs], key=id)")
    experiment.metadata["tags"] = ["experiment"]
    notebook.cells.insert(1, experiment)


def stub_below(notebook, fresh):
    notebook.cells.append(own("code", "def helper(x):\n    pass"))


MISSING = {
    lambda notebook, fresh: None: "no cell of the notebook makes helper",
    failing_above: "the cell that begins with '%run no_such.ipynb' failed: ",
    module_missing: "my_helpers.py was not handed in beside the notebook",
    costly_in_an_experiment: "only an experiment makes helper",
    stub_below: "helper is made only below the test",
}


@linux
def test_what_an_exercise_needs_counts_below_its_test_and_what_is_missing_is_explained(tree, course):
    for number, edit in enumerate([*BELOW, *MISSING]):
        path = hand_in(tree.root, f"{number}", UNIT, RIGHT | {"double": "def double(x):\n    return helper(x)"})
        notebook = nbformat.read(path, as_version=4)
        edit(notebook, None)
        nbformat.write(notebook, path)
    rows = {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}
    for number, edit in enumerate(BELOW):
        row = rows[f"{number}", "double"]
        assert row.score == 2 and row.status == "repaired", (edit, row)
        assert "stood below the test, or in a cell that is not run" in row.reason
        assert rows[f"{number}", "triple"].score == 2
    assert course(tree, "feedback", "01")[0] == 0
    for number, (edit, reason) in enumerate(MISSING.items(), start=len(BELOW)):
        row = rows[f"{number}", "double"]
        assert row.score == 0 and row.status == "graded" and reason in row.reason, (edit, row)
        assert scores(rows.values(), f"{number}")["triple"] == 2
        page = (tree.root / "feedback" / f"{number}" / UNIT / f"{UNIT}.html").read_text(encoding="utf-8")
        assert reason.split("'")[0] in page


def test_a_name_that_laws_missed_is_explained_too():
    test = nbformat.v4.new_code_cell(
        "check.f(f, points=1)", metadata={"nbgrader": {"grade": True, "grade_id": "test_f"}}
    )
    failed = own("code", "from mine import g")
    failed.outputs = [nbformat.v4.new_output("error", ename="ModuleNotFoundError", evalue="No module named 'mine'")]
    laws = [{"passed": True, "got": ""}, {"passed": False, "got": "NameError: name 'g' is not defined in f, line 2"}]
    test.metadata[RECORD] = {"laws": laws}
    exercise = own("code", "def f(x):\n    return g(x)")
    said = explain_missing([failed, exercise, test], 2)
    assert said.startswith("the cell that begins with 'from mine import g' failed: ModuleNotFoundError")
    assert said.endswith("mine.py was not handed in beside the notebook")
    test.metadata[RECORD] = {"laws": [laws[0], laws[1] | {"got": "3, which is not 2"}]}
    assert explain_missing([failed, exercise, test], 2) == ""


def test_a_healthy_notebook_is_left_as_it_is():
    """Of every unit, as released and as solved: what is made in order is not moved."""
    for unit in Tree(CHECKOUT).units():
        template = template_of(Tree(CHECKOUT), unit)
        for folder in ("release", "notebooks"):
            notebook = nbformat.read(CHECKOUT / folder / unit / f"{unit}.ipynb", as_version=4)
            before = len(notebook.cells)
            assert bring_up(notebook.cells, template) == [] and len(notebook.cells) == before


@linux
def test_a_notebook_that_is_run_by_one_counts_from_the_export_to_the_grade(tree, tmp_path, course):
    """`%run other.ipynb`: it is collected with the notebook whose code names it, and one that is named nowhere is not."""
    other = nbformat.v4.new_notebook(cells=[own("md", "# Mine"), own("code", HELPER)])
    for number, name in enumerate(("mine.ipynb", "my own.ipynb")):
        path = hand_in(
            tree.root, "x", UNIT, RIGHT | {"double": f"%run '{name}'\n\ndef double(x):\n    return helper(x)"}
        )
        folder = tmp_path / "export" / f"Ada {number}_{number}5_assignsubmission_file_"
        folder.mkdir(parents=True)
        shutil.move(path, folder / f"{UNIT}.ipynb")
        nbformat.write(other, folder / name)
        nbformat.write(other, folder / "notes.ipynb")
    shutil.rmtree(tree.root / "submitted")
    code, _, said = course(tree, "collect", "01", str(tmp_path / "export"))
    assert code == 0 and said.count("notes.ipynb: another notebook") == 2 and "mine.ipynb" not in said
    rows = grade_unit(tree, UNIT)
    assert scores(rows, "Ada 0") == scores(rows, "Ada 1") == ALL


TEXT = "Zero stays zero: LOOK AT ME"


def below(kind, source):
    def edit(notebook):
        notebook.cells.insert(place(notebook, "q_double") + 1, own(kind, source))

    return edit


def between(notebook):
    notebook.cells.insert(place(notebook, "q_double"), own("md", TEXT))


def inside(notebook):
    cells_of(notebook)["rubric_double"].source += "\n\n" + TEXT


def inside_in_the_middle(notebook):
    question = cells_of(notebook)["rubric_double"]
    question.source = question.source.replace("doubling", f"doubling {TEXT}")


def below_and_cell_deleted(notebook):
    notebook.cells.insert(place(notebook, "q_double") + 1, own("code", f"# {TEXT}"))
    notebook.cells.remove(cells_of(notebook)["q_double"])


BESIDE = {
    "below": below("md", TEXT),
    "below in code": below("code", TEXT),
    "below as a comment": below("code", f"# {TEXT}"),
    "below as a text": below("code", f'print("{TEXT}")'),
    "between": between,
    "inside": inside,
    "in the middle": inside_in_the_middle,
    "deleted": below_and_cell_deleted,
    "behind own code": lambda notebook: notebook.cells.extend([own("code", "double(3)"), own("md", TEXT)]),
    "kept under a name": below("code", f'answer = "{TEXT}"\nprint(answer)'),
    "deleted, at the top": lambda notebook: (
        notebook.cells.insert(1, own("md", TEXT)),
        notebook.cells.remove(cells_of(notebook)["q_double"]),
    ),
    "deleted, with the question": lambda notebook: (
        [notebook.cells.remove(cells_of(notebook)[name]) for name in ("q_double", "rubric_double")],
        notebook.cells.insert(3, own("md", f"My answer\n\n{TEXT}")),
    ),
    "deleted, in a heading": lambda notebook: (
        notebook.cells[0].update(source=f"{notebook.cells[0].source}\n\n{TEXT}"),
        notebook.cells.remove(cells_of(notebook)["q_double"]),
    ),
    "above": lambda notebook: notebook.cells.insert(place(notebook, "rubric_double"), own("md", TEXT)),
}
NOT_AN_ANSWER = {
    "own experiment": below("code", "double(3)"),
    "nothing": below("md", " \n"),
    "a number printed": below("code", "print(double)"),
    "deleted and not answered": lambda notebook: notebook.cells.remove(cells_of(notebook)["q_double"]),
    "a line more": lambda notebook: cells_of(notebook)["rubric_double"].update(
        source="\n" + cells_of(notebook)["rubric_double"].source + "\n\n"
    ),
}


@linux
def test_a_written_answer_beside_its_cell_reaches_the_marker(tree):
    for name, edit in {**BESIDE, **NOT_AN_ANSWER}.items():
        path = hand_in(tree.root, name, UNIT, RIGHT | {"q_double": "YOUR ANSWER HERE"})
        notebook = nbformat.read(path, as_version=4)
        edit(notebook)
        nbformat.write(notebook, path)
    both = hand_in(tree.root, "both", UNIT, RIGHT)
    change(both, appended("rubric_double", "\n\n" + TEXT))
    rows = {row.student: row for row in grade_unit(tree, UNIT) if row.exercise == "q_double"}
    for name in BESIDE:
        assert rows[name].status == "needs_marking" and rows[name].score is None, rows[name]
    for name in NOT_AN_ANSWER:
        assert rows[name].score == 0 and rows[name].reason.startswith("not answered"), rows[name]
    for name in [*BESIDE, "both"]:
        graded = nbformat.read(tree.root / "autograded" / name / UNIT / f"{UNIT}.ipynb", as_version=4)
        answer = cells_of(graded)["q_double"].source
        assert "LOOK AT ME" in answer, name
        assert ("the cell of this answer is no longer in the notebook" in answer) == name.startswith("deleted,"), name
    assert RIGHT["q_double"] in cells_of(graded)["q_double"].source
