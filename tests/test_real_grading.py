"""Grading on the course's own units: what students of every state of completion get, and what Validate tells them.

Each unit is graded once, with everybody in one class; a new unit with exercises needs no entry here.
"""

from __future__ import annotations

import io
import shutil

import lanes
import pytest
from miniature import CHECKOUT, hand_in
from notebook_source import graded_units

from autograder.demo import answers_of
from autograder.grade import grade_unit
from autograder.grades_file import NEEDS_MARKING
from autograder.release import read_source, release_units
from autograder.sample_answers import ANOTHER_STYLE, MISCONCEPTIONS
from course_utils.cli.handin import exercise_name
from course_utils.system.stubs import ANSWER_STUB
from course_utils.system.tree import Tree

UNITS = graded_units()
# In these there is a student for every number of exercises solved, and Validate runs every experiment. In the others
# nobody, everybody and every other exercise tell the same: what one exercise earns does not depend on the others, and
# what Validate does depends on no unit.
IN_FULL = UNITS[: lanes.amount(1, 2)]
pytestmark = pytest.mark.skipif(not UNITS, reason="no notebooks yet")

# Right in an unusual way, with what a sandbox has to carry over: a critic called as a function, frozen and thawed, and
# the truth values of NumPy and torch.
OF_FUNCTIONS = {
    "critic_loss": """
def critic_loss(critic, z_prior, z_posterior):
    weights = dict(critic.named_parameters())
    on = [torch.func.functional_call(critic, weights, (z.detach(),)).mean() for z in (z_posterior, z_prior)]
    return on[0] - on[1]
""",
    "gradient_penalty": """
def gradient_penalty(critic, z_prior, z_posterior):
    total = 0.0
    for p, q in zip(z_prior.detach(), z_posterior.detach()):
        point = torch.lerp(p, q, torch.rand((), dtype=p.dtype))[None].requires_grad_()
        slope, = torch.autograd.grad(critic(point).squeeze(), point, create_graph=True)
        total = total + (slope.norm() - 1) ** 2
    return total / len(z_prior)
""",
    "wasserstein_vae_loss": """
def wasserstein_vae_loss(logits, x, critic, z_posterior, weight):
    critic.requires_grad_(False)
    gap = -critic(z_posterior).mean()
    critic.requires_grad_(True)
    distortion = reconstruction_loss(logits, x)
    return [distortion + weight * gap, distortion.item(), gap.item()]
""",
    "find_bug_1": """
import numpy as np

def find_bug_1(evidence):
    return np.float64(evidence["estimate"]) < 0.5 * evidence["exact_distance"]
""",
    "find_bug_2": """
def find_bug_2(evidence):
    kinds = [(evidence[key].abs() < 2).all() for key in evidence if key.startswith("prior_in_")]
    return (kinds[0] != kinds[1]) | (kinds[1] != kinds[2])
""",
}
MISTAKEN_WITH_CRITICS = {
    "critic_loss": "def critic_loss(critic, z_prior, z_posterior):\n"
    "    return critic(z_posterior).mean() - critic(z_prior).mean()",
    "gradient_penalty": """
def gradient_penalty(critic, z_prior, z_posterior):
    t = torch.rand(len(z_prior), 1, dtype=z_prior.dtype)
    points = (t * z_prior + (1 - t) * z_posterior).detach().requires_grad_()
    slopes, = torch.autograd.grad(critic(points).sum(), points)
    return (slopes.norm(dim=1) - 1).square().mean()
""",
    "wasserstein_vae_loss": """
def wasserstein_vae_loss(logits, x, critic, z_posterior, weight):
    distortion, gap = reconstruction_loss(logits, x), -critic(z_posterior.detach()).mean()
    return distortion + weight * gap, distortion, gap
""",
    "find_bug_1": "def find_bug_1(evidence):\n    return True",
    "find_bug_2": "def find_bug_2(evidence):\n    return evidence['prior_in_samples'].abs().max().item() < 2",
    "find_bug_3": "def find_bug_3(evidence):\n    evidence['kl_loss'] -= evidence['kl_distortion']\n    return 3.5",
}
CONVOLUTION, PROBES = "build_conv_autoencoder", "attribute_scores"
UNUSUAL = {"05_wasserstein": OF_FUNCTIONS}
MISTAKEN = {
    "05_wasserstein": MISTAKEN_WITH_CRITICS,
    "06_awa2": {
        name: code for table in MISCONCEPTIONS.values() for name, code in table.items() if name in (CONVOLUTION, PROBES)
    },
}
# What the reason for the points lost has to mention.
CAUSES = {
    "critic_loss": "Detach the codes",
    "gradient_penalty": "create_graph",
    "wasserstein_vae_loss": "gap is detached",
    "find_bug_1": "answers True for every run",
    "find_bug_2": "alone",
    "find_bug_3": "True (buggy) or False",
    CONVOLUTION: "5 million parameters",
    PROBES: "accuracy",
}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """graded(unit) gives its tree, its solutions and the rows of its class, which is graded at the first call."""
    classes = {}

    def grade(unit):
        if unit not in classes:
            classes[unit] = grade_class(unit, tmp_path_factory.mktemp("real") / "course")
        return classes[unit]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield grade


def grade_class(unit, root):
    shutil.copytree(CHECKOUT / "notebooks" / unit, root / "notebooks" / unit)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    tree = Tree(root)
    release_units(tree, [unit])
    solution, _ = answers_of(read_source(tree, unit))
    for student, answers in {
        **{student: {name: solution[name] for name in names} for student, names in solved(unit, solution).items()},
        "in_another_style": {name: ANOTHER_STYLE.get(name, text) for name, text in solution.items()},
        "unusual": UNUSUAL.get(unit),
        "mistaken": MISTAKEN.get(unit),
    }.items():
        if answers is not None:
            hand_in(root, student, unit, answers)
    return tree, solution, grade_unit(tree, unit)


def solved(unit, solution):
    """The exercises that each student has solved."""
    names = list(solution)
    if unit in IN_FULL:
        return {f"solved_{count}": names[:count] for count in range(len(names) + 1)}
    return {"solved_0": [], "solved_every_other": names[::2], f"solved_{len(names)}": names}


def of(rows, student):
    return {row.exercise: row for row in rows if row.student == student}


@pytest.mark.parametrize("unit", UNITS)
def test_an_untouched_release_scores_0_and_waits_for_no_marker(graded, unit):
    untouched = of(graded(unit)[2], "solved_0").values()
    assert untouched and {row.score for row in untouched} == {0}
    assert {row.reason for row in untouched} <= {"not written yet", "not answered"}


@pytest.mark.parametrize("student", ["solved_all", "in_another_style"])
@pytest.mark.parametrize("unit", UNITS)  # below, so that ids begin with it and one worker has all of a unit
def test_right_answers_score_full_points(graded, unit, student):
    _, solution, rows = graded(unit)
    found = of(rows, student.replace("all", str(len(solution))))
    lacking = [row for name, row in found.items() if name in solution and row.score != row.max_score]
    assert found and lacking == []


@pytest.mark.parametrize("unit", UNITS)
def test_each_exercise_solved_adds_exactly_its_points(graded, unit):
    _, solution, rows = graded(unit)
    for student, names in solved(unit, solution).items():
        found = of(rows, student)
        expected = {name: found[name].max_score if name in names else 0 for name in solution}
        assert {name: found[name].score for name in solution} == expected, student


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_waits_that_was_not_answered(graded, unit):
    assert not [row for row in graded(unit)[2] if row.status == NEEDS_MARKING or row.undecided]


@pytest.mark.parametrize(("unit", "exercise"), [(unit, name) for unit in UNUSUAL for name in UNUSUAL[unit]])
def test_unusual_right_answers_get_full_points(graded, unit, exercise):
    row = of(graded(unit)[2], "unusual")[exercise]
    assert row.score == row.max_score, row.reason


@pytest.mark.parametrize(("unit", "exercise"), [(unit, name) for unit in MISTAKEN for name in MISTAKEN[unit]])
def test_mistakes_cost_points_and_are_named(graded, unit, exercise):
    row = of(graded(unit)[2], "mistaken")[exercise]
    assert 0 <= row.score < row.max_score
    assert row.score > 0 or exercise not in (CONVOLUTION, PROBES), "what is right in it earns nothing"
    assert CAUSES[exercise] in row.reason, row.reason


@pytest.mark.parametrize("unit", IN_FULL)
def test_validate_in_the_students_kit_agrees_with_grading(graded, unit):
    """What Validate calls failed is what grading gives less than full points, and nothing else."""
    from nbgrader.validator import Validator
    from traitlets.config import PyFileConfigLoader

    tree, solution, rows = graded(unit)
    config = PyFileConfigLoader("nbgrader_config.py", path=str(CHECKOUT / "autograder" / "student_kit")).load_config()
    for count in (len(solution) - 1, len(solution))[: lanes.amount(1, 2)]:
        student = f"solved_{count}"
        validator = Validator(config=config)
        validator.stream = io.StringIO()
        result = validator.validate(str(tree.root / "submitted" / student / unit / f"{unit}.ipynb"))
        failed = {cell["source"].rpartition("check.")[2].partition("(")[0] for cell in result.get("failed", [])}
        lost = {
            name if name in solution else ANSWER_STUB
            for name, row in of(rows, student).items()
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


def test_sample_answers_belong_to_exercises_of_the_units():
    names = {name for unit in UNITS for name in answers_of(read_source(Tree(CHECKOUT), unit))[0]}
    assert ANOTHER_STYLE.keys() - names == set()
    assert {exercise_name(name) for table in MISCONCEPTIONS.values() for name in table} - names == set()
