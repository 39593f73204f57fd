"""Every graded unit: its cells and points are the contract's, and it can be graded without its experiments."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from notebook_source import NotebookSource, read


class Contract(NamedTuple):
    """Points of the exercises, in order, and of the written answers."""

    exercises: dict[str, int]
    questions: dict[str, int]


CONTRACTS = {
    "01_autoencoders": Contract(
        {"reconstruction_loss": 3, "build_autoencoder": 3, "train_step": 3, "sample_images": 3}, {"q_ae_samples": 3}
    ),
    "02_variational_autoencoders": Contract(
        {"reparameterize": 4, "kl_divergence": 4, "vae_loss": 4, "elbo_beta": 1},
        {"q_beta_zero": 3, "q_beta_ten": 3, "q_well_tuned": 3},
    ),
    "03_interpolation": Contract({"interpolate": 2, "slerp": 3}, {"q_interpolation": 2, "q_usefulness": 1}),
    "04_mmd": Contract({"mmd_squared": 5, "median_bandwidth": 2, "mmd_vae_loss": 3}, {"q_aggregate": 3}),
    "05_wasserstein": Contract(
        {
            "critic_loss": 2,
            "gradient_penalty": 4,
            "wasserstein_vae_loss": 2,
            "find_bug_1": 2,
            "find_bug_2": 2,
            "find_bug_3": 2,
        },
        {"q_rematch": 3},
    ),
    "06_awa2": Contract({"build_conv_autoencoder": 4, "attribute_scores": 4}, {"q_deterministic_codes": 3}),
}


@pytest.fixture(params=CONTRACTS)
def unit(request) -> NotebookSource:
    return read(request.param)


def test_cells_and_points_are_those_of_the_contract(unit):
    found = {name: points for name, (points, _) in unit.checks.items()}
    assert Contract(found, unit.questions) == CONTRACTS[unit.unit]
    assert list(unit.exercises) == list(found) == list(CONTRACTS[unit.unit].exercises)
    rubrics = [c.metadata.nbgrader.grade_id for c in unit.cells if c.metadata.get("nbgrader", {}).get("task")]
    assert rubrics == [topic.replace("q_", "rubric_", 1) for topic in unit.questions]


def test_source_is_well_formed(unit):
    assert unit.faults() == []


def test_exercises_need_no_experiment_and_earn_all_points(unit):
    assert unit.scores() == {name: str(points) for name, (points, _) in unit.checks.items()}


def test_worked_examples_in_the_docstrings_hold(unit):
    assert unit.failing_examples() == {}
