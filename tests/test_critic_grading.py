"""Exercises that take a critic, graded in the sandbox: the critic travels, its parameters' gradients come back."""

from __future__ import annotations

import shutil

import pytest
from miniature import CHECKOUT, hand_in

from autograder.demo import answers_of
from autograder.grade import grade_unit
from autograder.release import read_source, release_units
from autograder.sample_answers import ANOTHER_STYLE
from course_utils.system.tree import Tree

UNIT = "05_wasserstein"

FUNCTIONAL = {
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
MISTAKEN = {
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
CAUSES = {
    "critic_loss": "Detach the codes",
    "gradient_penalty": "create_graph",
    "wasserstein_vae_loss": "gap is detached",
    "find_bug_1": "answers True for every run",
    "find_bug_2": "alone",
    "find_bug_3": "True (buggy) or False",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = tmp_path_factory.mktemp("critics") / "course"
    shutil.copytree(CHECKOUT / "notebooks" / UNIT, root / "notebooks" / UNIT)
    shutil.copy(CHECKOUT / "nbgrader_config.py", root)
    tree = Tree(root)
    release_units(tree, [UNIT])
    solution, _ = answers_of(read_source(tree, UNIT))
    students = {
        "another": {name: ANOTHER_STYLE[name] for name in solution},
        "functional": FUNCTIONAL,
        "mistaken": MISTAKEN,
    }
    for student, answers in students.items():
        hand_in(root, student, UNIT, answers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return {(row.student, row.exercise): row for row in grade_unit(tree, UNIT)}


@pytest.mark.parametrize(
    ("student", "exercise"), [("another", name) for name in CAUSES] + [("functional", n) for n in FUNCTIONAL]
)
def test_right_answers_in_other_styles_get_full_points(rows, student, exercise):
    row = rows[student, exercise]
    assert row.score == row.max_score, row.reason


@pytest.mark.parametrize("exercise", MISTAKEN)
def test_mistakes_cost_points_and_are_named(rows, exercise):
    row = rows["mistaken", exercise]
    assert 0 <= row.score < row.max_score
    assert CAUSES[exercise] in row.reason, row.reason
