"""Grading on the course's own units: what students of every state of completion get, and what Validate tells them."""

from __future__ import annotations

import io
import shutil

import pytest
from miniature import CHECKOUT, hand_in

from autograder.demo import answers_of
from autograder.grade import grade_unit
from autograder.grades_file import NEEDS_MARKING
from autograder.release import read_source, release_units
from autograder.sample_answers import ANOTHER_STYLE, MISCONCEPTIONS
from course_utils.cli.handin import exercise_name
from course_utils.system.stubs import ANSWER_STUB
from course_utils.system.tree import Tree

UNITS = [unit for unit in Tree(CHECKOUT).units() if unit[:2] in ("01", "02", "03", "04", "05", "06")]
pytestmark = pytest.mark.skipif(not UNITS, reason="no notebooks yet")


@pytest.fixture(scope="module", params=UNITS)
def unit_graded(request, tmp_path_factory):
    """A class in which student number n has solved the first n exercises, graded once per unit."""
    unit = request.param
    root = tmp_path_factory.mktemp("real") / "course"
    shutil.copytree(CHECKOUT / "notebooks" / unit, root / "notebooks" / unit)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    tree = Tree(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        release_units(tree, [unit])
        solution, _ = answers_of(read_source(tree, unit))
        for count in range(len(solution) + 1):
            hand_in(tree.root, f"solved_{count}", unit, dict(list(solution.items())[:count]))
        yield tree, unit, solution, grade_unit(tree, unit)


def of(rows, student):
    return [row for row in rows if row.student == student]


def test_an_untouched_release_scores_0_and_waits_for_no_marker(unit_graded):
    _, _, _, rows = unit_graded
    assert [row.score for row in of(rows, "solved_0")] == [0] * len(of(rows, "solved_0"))
    assert {row.reason for row in of(rows, "solved_0")} == {"not written yet", "not answered"}


def test_the_solutions_score_full_points(unit_graded):
    _, _, solution, rows = unit_graded
    solved = [row for row in of(rows, f"solved_{len(solution)}") if row.exercise in solution]
    lacking = [row for row in solved if row.score != row.max_score]
    assert lacking == []


def test_each_exercise_solved_adds_exactly_its_points(unit_graded):
    _, _, solution, rows = unit_graded
    most = {row.exercise: row.max_score for row in rows}
    for count in range(len(solution) + 1):
        expected = {name: most[name] if position < count else 0 for position, name in enumerate(solution)}
        got = {row.exercise: row.score for row in of(rows, f"solved_{count}") if row.exercise in solution}
        assert got == expected, f"with {count} exercises solved"


def test_nothing_waits_that_was_not_answered(unit_graded):
    assert not [row for row in unit_graded[3] if row.status == NEEDS_MARKING or row.undecided]


def test_validate_in_the_students_kit_agrees_with_grading(unit_graded):
    """What Validate calls failed is what grading gives less than full points, and nothing else."""
    from nbgrader.validator import Validator
    from traitlets.config import PyFileConfigLoader

    tree, unit, solution, rows = unit_graded
    if unit[:2] not in ("01", "02"):
        pytest.skip("Validate runs every experiment; two units show that it agrees")
    config = PyFileConfigLoader("nbgrader_config.py", path=str(CHECKOUT / "autograder" / "student_kit")).load_config()
    for count in (len(solution) - 1, len(solution)):
        student = f"solved_{count}"
        validator = Validator(config=config)
        validator.stream = io.StringIO()
        result = validator.validate(str(tree.root / "submitted" / student / unit / f"{unit}.ipynb"))
        failed = {cell["source"].rpartition("check.")[2].partition("(")[0] for cell in result.get("failed", [])}
        lost = {
            row.exercise if row.exercise in solution else ANSWER_STUB
            for row in of(rows, student)
            if row.score != row.max_score
        }
        assert failed == lost, f"{student}: Validate fails {failed}, grading takes points for {lost}"


@pytest.mark.parametrize("unit", UNITS)
def test_sample_answers_in_another_style_are_right_and_misconceptions_are_not(unit):
    from course_utils import check

    solution, _ = answers_of(read_source(Tree(CHECKOUT), unit))
    for name in solution:
        if name in ANOTHER_STYLE:
            assert score(check, name, ANOTHER_STYLE[name]) == 4, f"another style of {name} loses points"
        for belief, table in MISCONCEPTIONS.items():
            if name in table and "x)\n    return 0" not in table[name]:
                assert score(check, name, table[name]) < 4, f"{belief}: the wrong {name} gets full points"


def score(check, name, text):
    namespace: dict = {}
    for earlier in ("reconstruction_loss", "kl_divergence", "mmd_squared"):
        exec(ANOTHER_STYLE[earlier], namespace)
    exec(text, namespace)
    return getattr(check, name)(namespace[name], points=4).earned


def test_every_exercise_of_the_units_has_a_sample_in_another_style():
    names = {name for unit in UNITS for name in answers_of(read_source(Tree(CHECKOUT), unit))[0]}
    assert names - ANOTHER_STYLE.keys() == set()
    assert {exercise_name(name) for table in MISCONCEPTIONS.values() for name in table} - names == set()
