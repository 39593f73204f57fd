"""Every graded unit: cells as they should be, points as contracted, gradable without its experiments."""

from __future__ import annotations

import ast
import re

import nbformat
import pytest
from miniature import CHECKOUT
from notebook_source import NotebookSource, graded_units, read

# The contract with gradebooks that exist: grade ids of these units, in order, and their points. A new unit or exercise
# needs no entry: its notebook says what is graded in it.
CONTRACT = {
    "01_autoencoders": {
        "reconstruction_loss": 3,
        "build_autoencoder": 3,
        "train_step": 3,
        "sample_images": 3,
        "q_ae_samples": 3,
    },
    "02_variational_autoencoders": {
        "reparameterize": 4,
        "kl_divergence": 4,
        "vae_loss": 4,
        "elbo_beta": 1,
        "q_beta_zero": 3,
        "q_beta_ten": 3,
        "q_well_tuned": 3,
    },
    "03_interpolation": {"interpolate": 2, "slerp": 3, "q_interpolation": 2, "q_usefulness": 1},
    "04_mmd": {"mmd_squared": 5, "median_bandwidth": 2, "mmd_vae_loss": 3, "q_aggregate": 3},
    "05_wasserstein": {
        "critic_loss": 2,
        "gradient_penalty": 4,
        "wasserstein_vae_loss": 2,
        "find_bug_1": 2,
        "find_bug_2": 2,
        "find_bug_3": 2,
        "q_rematch": 3,
    },
    "06_awa2": {"build_conv_autoencoder": 4, "attribute_scores": 4, "q_deterministic_codes": 3},
}


@pytest.fixture(params=graded_units())
def unit(request) -> NotebookSource:
    return read(request.param)


@pytest.mark.parametrize("name", CONTRACT)
def test_grade_ids_and_points_are_those_of_the_contract(name):
    unit = read(name)
    found = {exercise: points for exercise, (points, _) in unit.checks.items()} | unit.questions
    kept = {grade_id: points for grade_id, points in found.items() if grade_id in CONTRACT[name]}
    assert list(kept.items()) == list(CONTRACT[name].items())


def test_each_exercise_has_one_check_and_each_question_one_rubric_in_the_same_order(unit):
    assert list(unit.exercises) == list(unit.checks)
    rubrics = [c.metadata.nbgrader.grade_id for c in unit.cells if c.metadata.get("nbgrader", {}).get("task")]
    assert rubrics == [topic.replace("q_", "rubric_", 1) for topic in unit.questions]


def test_source_is_well_formed(unit):
    assert unit.faults() == []


def test_exercises_need_no_experiment_and_earn_all_points(unit):
    assert unit.scores() == {name: str(points) for name, (points, _) in unit.checks.items()}


def test_worked_examples_in_the_docstrings_hold(unit):
    assert unit.failing_examples() == {}


def runs_of_words(text: str, length: int = 6) -> set[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return {tuple(words[start : start + length]) for start in range(len(words) - length + 1)}


def test_no_six_words_of_a_mark_scheme_stand_in_what_students_read(unit):
    """What a student could copy earns nothing: a scheme asks for a case that the unit has not told."""
    schemes, read_by_students = [], []
    for cell in unit.cells:
        role = cell.metadata.get("nbgrader", {})
        if role.get("task"):
            task, _, rest = cell.source.partition("### BEGIN MARK SCHEME")
            scheme, _, after = rest.partition("### END MARK SCHEME")
            schemes.append(scheme)
            read_by_students += [task, after]
        elif not (role.get("solution") and cell.cell_type == "markdown"):
            read_by_students.append(cell.source)
    known = set().union(*map(runs_of_words, read_by_students))
    repeated = sorted(" ".join(run) for scheme in schemes for run in runs_of_words(scheme) & known)
    assert not repeated


CUSTOMARY = {
    "device",
    "datasets",
    "models",
    "transforms",
    "utils",
    "optim",
    "stats",
    "distributions",
    "plt",
    "pd",
    "np",
}


@pytest.mark.parametrize("unit", sorted(path.name for path in (CHECKOUT / "notebooks").iterdir() if path.is_dir()))
def test_no_cell_of_ours_needs_a_name_that_students_give_a_meaning_of_their_own(unit):
    """`from torchvision import datasets, models` or `device = ...` in an answer's cell breaks no later cell."""
    cells = nbformat.read(CHECKOUT / "notebooks" / unit / f"{unit}.ipynb", as_version=4).cells
    imported, used = set(), set()
    for cell in cells:
        if cell.cell_type != "code":
            continue
        source = "\n".join(line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!")))
        tree = ast.parse(source)
        own = {each.asname or each.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)
               for each in node.names}  # fmt: skip
        imported |= {name for name in own if name in ("np", "plt")}  # where theirs is ours
        inner = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & CUSTOMARY
        bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        targets = {
            name.id
            for node in ast.walk(tree)
            if isinstance(node, ast.comprehension)
            for name in ast.walk(node.target)
            if isinstance(name, ast.Name)
        }
        used |= inner - own - bound - targets
    assert used <= imported, used - imported
