"""The release: students get stubs, and nothing that answers them."""

from __future__ import annotations

import json
import shutil

import nbformat
import pytest
from miniature import CHECKOUT, hand_in, make_tree

from autograder.grade import grade_unit
from autograder.leaks import find_leaks
from autograder.release import release_units, stale_units
from course_utils.system.errors import CourseError
from course_utils.system.tree import Tree


def path_of(root, folder, unit="01_double"):
    return root / folder / unit / f"{unit}.ipynb"


def read(root, folder, unit="01_double"):
    return nbformat.read(path_of(root, folder, unit), as_version=4)


def edit(root, folder, change, unit="01_double"):
    notebook = read(root, folder, unit)
    change(notebook)
    nbformat.write(notebook, path_of(root, folder, unit))
    return notebook


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    tree = Tree(make_tree(tmp_path_factory.mktemp("release") / "course"))
    edit(
        tree.root,
        "notebooks",
        lambda nb: nb.cells[6].update(outputs=[nbformat.v4.new_output("stream", text="42")], execution_count=7),
    )
    edit(tree.root, "notebooks", lambda nb: nb.metadata.update(widgets={}, author="somebody"))
    release_units(tree, tree.units())
    return tree


@pytest.fixture
def own(released, tmp_path):
    """A copy of the released tree that a test may damage."""
    shutil.copytree(released.root, tmp_path / "course")
    return Tree(tmp_path / "course")


def test_stub_raises_not_implemented_error_naming_the_exercise(released):
    notebook = read(released.root, "release")
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    for name in ("double", "triple"):
        namespace: dict = {}
        exec(cells[name].source, namespace)
        with pytest.raises(NotImplementedError, match=f"^{name}: "):
            namespace[name](1)
    assert cells["q_double"].source == "YOUR ANSWER HERE"


def test_release_holds_no_output_count_or_foreign_metadata(released):
    notebook = read(released.root, "release")
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}, "metadata of the author's machine went out"


def test_release_keeps_cell_ids_and_tags(released):
    source, release = read(released.root, "notebooks"), read(released.root, "release")
    assert [cell.id for cell in release.cells] == [cell.id for cell in source.cells]
    assert [cell.metadata.get("tags") for cell in release.cells] == [cell.metadata.get("tags") for cell in source.cells]


def test_the_question_stays_and_its_mark_scheme_goes(released):
    question = read(released.root, "release").cells[7].source
    assert question.startswith("What does doubling do?") and "One point for each" not in question


CRITERION, ANSWER = (
    "One point for each of: the sign stays, zero stays.",
    "The sign and zero stay, as every student should see.",
)
LEAKS = {
    "solution line": (lambda nb: nb.cells[0].update(source="Hint:\n\n    tripled_value = 3 * x"), "solution of triple"),
    "solution mark": (lambda nb: nb.cells[2].update(source="### BEGIN SOLUTION"), "BEGIN SOLUTION"),
    "solution as a comment": (
        lambda nb: nb.cells[6].update(source="# tripled_value = 3 * x\n# return tripled_value"),
        "solution of triple",
    ),
    "mark scheme": (lambda nb: nb.cells[0].update(source=CRITERION), "mark scheme"),
    "model answer": (lambda nb: nb.cells[0].update(source=ANSWER), "model answer"),
    "output": (lambda nb: nb.cells[6].update(outputs=[nbformat.v4.new_output("stream", text="4")]), "has outputs"),
    "execution count": (lambda nb: nb.cells[6].update(execution_count=3), "execution count"),
    "widget state": (lambda nb: nb.metadata.update(widgets={"state": {}}), "widgets"),
    "stub gone": (lambda nb: nb.cells[2].update(source="def double(x):\n    return x"), "stub of double"),
    "tags gone": (lambda nb: nb.cells[6].metadata.pop("tags"), "lost its tags"),
    "id changed": (lambda nb: nb.cells[6].update(id="another"), "ids of the source"),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_gate_names_each_kind_of_leak(released, kind):
    damage, expected = LEAKS[kind]
    notebook = read(released.root, "release")
    damage(notebook)
    leaks = find_leaks(read(released.root, "notebooks"), notebook)
    assert any(expected in leak for leak in leaks), f"expected a leak about {expected!r}, got {leaks}"


def test_the_picture_of_a_model_answer_does_not_go_out(released):
    source, notebook = read(released.root, "notebooks"), read(released.root, "release")
    picture = {"a.png": {"image/png": "iVBORw0KGgo="}}
    for cells in (source.cells, notebook.cells):
        cells[8].attachments = picture
        cells[0].update(source="# A tiny unit\n![a](attachment:a.png)", attachments=picture)
    source.cells[8].source = "See ![a](attachment:a.png)"
    assert find_leaks(source, notebook) == ["q_double still has the picture a.png of what is taken out of its text"]


def test_what_nbgrader_says_on_several_lines_is_said(own):
    def change(notebook):
        scheme = notebook.cells[7]
        scheme.source = scheme.source.replace("### END", "![a](attachment:a.png)\n### END")

    edit(own.root, "notebooks", change)
    with pytest.raises(CourseError, match="RuntimeError: Encountered an attachment in a marking scheme"):
        release_units(own, ["01_double"])


def test_points_of_a_units_own_check_that_disagree_are_refused(own):
    edit(own.root, "notebooks", lambda nb: nb.cells[3].metadata.nbgrader.update(points=5))
    with pytest.raises(CourseError, match=r"points of test_double disagree \(.*cell: 5; points= in it: 2\)"):
        release_units(own, ["01_double"])


def test_gate_finds_nothing_in_a_clean_release(released):
    for unit in released.units():
        assert find_leaks(read(released.root, "notebooks", unit), read(released.root, "release", unit)) == []


def test_a_leak_publishes_nothing(own):
    before = path_of(own.root, "release").read_bytes()
    edit(
        own.root,
        "notebooks",
        lambda nb: nb.cells[0].update(source="One point for each of: the sign stays, zero stays."),
        unit="02_other",
    )
    edit(own.root, "notebooks", lambda nb: nb.cells[0].update(source="# Changed"))
    with pytest.raises(CourseError, match="02_other is not released: .*mark scheme"):
        release_units(own, own.units())
    assert path_of(own.root, "release").read_bytes() == before


def test_release_is_stale_exactly_when_its_source_changed(own):
    assert stale_units(own, own.units()) == []
    edit(own.root, "notebooks", lambda nb: nb.cells[0].update(source="# Changed"))
    assert stale_units(own, own.units()) == ["01_double"]


def test_release_is_the_same_bytes_when_made_again(own):
    before = path_of(own.root, "release").read_bytes()
    release_units(own, own.units())
    assert path_of(own.root, "release").read_bytes() == before


def test_an_unreadable_source_is_one_clear_error(own):
    path_of(own.root, "notebooks").write_text("{ not json")
    with pytest.raises(CourseError, match="01_double.ipynb is not a readable notebook"):
        release_units(own, ["01_double"])


def test_removing_a_graded_cell_after_submissions_is_refused_with_the_reason(own):
    hand_in(own.root, "ada", "01_double", {})
    grade_unit(own, "01_double")
    edit(own.root, "notebooks", lambda nb: nb.cells.__delitem__(slice(4, 6)))
    with pytest.raises(CourseError, match="submissions associated"):
        release_units(own, ["01_double"])


def test_the_courses_own_release_is_current():
    tree = Tree(CHECKOUT)
    if not tree.units():
        pytest.skip("no notebooks yet")
    assert stale_units(tree, tree.units()) == [], "run `course release` and commit release/"


def test_every_graded_cell_of_the_course_is_well_formed():
    """Exercises and tests come in pairs, test cells call their own check, questions have a rubric above them."""
    tree = Tree(CHECKOUT)
    for unit in tree.units():
        notebook = json.loads(path_of(CHECKOUT, "notebooks", unit).read_text(encoding="utf-8"))
        names = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in notebook["cells"]]
        for position, (name, cell) in enumerate(zip(names, notebook["cells"])):
            assert not cell.get("outputs"), f"{unit}: {name or position} is stored with outputs"
            if not name:
                continue
            marks, source = cell["metadata"]["nbgrader"], "".join(cell["source"])
            if name.startswith("test_"):
                exercise = name.removeprefix("test_")
                assert exercise in names, f"{unit}: {name} has no exercise cell {exercise}"
                call = f"check.{exercise}({exercise}, points={marks['points']:g})"
                assert source.rstrip().endswith(call), f"{unit}: {name} should end with {call}"
                assert "nbval-check-output" in cell["metadata"].get("tags", []), f"{unit}: {name} lacks its tag"
            if name.startswith("q_"):
                assert f"rubric_{name.removeprefix('q_')}" in names, f"{unit}: {name} has no rubric"
