"""Thirty honest students, each in a style of their own, get at grading what the check gives at home, every time."""

from __future__ import annotations

import functools
import itertools
import shutil

import nbformat
import pytest
from miniature import CHECKOUT
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebook_source import read

from autograder.batch import Options
from autograder.demo import answers_of, fill_in
from autograder.grade import grade_unit
from autograder.release import read_source, release_units
from autograder.sample_answers import ANOTHER_STYLE, MISCONCEPTIONS
from course_utils import check
from course_utils.system.tree import Tree

UNIT = "02_variational_autoencoders"
STUDENTS = 30
BEGIN = {
    "reparameterize": "def reparameterize(mu, logvar):",
    "kl_divergence": "def kl_divergence(mu, logvar):",
    "vae_loss": "def vae_loss(logits, x, mu, logvar, beta):",
    "elbo_beta": "def elbo_beta(beta_per_pixel, num_pixels):",
}
MOST = {name: read(UNIT).checks[name][0] for name in BEGIN}
LOUD = "    import sys, warnings\n    warnings.warn('deprecated')\n    print('hello'), print('oh', file=sys.stderr)\n"

# Ways of writing the same thing, beside the solution and the sample in another style.
MORE = {
    "reparameterize": [
        "def reparameterize(mu, logvar):\n    std = (logvar / 2).exp()\n    return torch.addcmul(mu, std, "
        "torch.randn(mu.shape, dtype=mu.dtype, device=mu.device))",
        "class Draw:\n    def __call__(self, mu, logvar):\n"
        "        return mu + logvar.exp().sqrt() * torch.randn_like(logvar)\n"
        "reparameterize = Draw()",
        "reparameterize = lambda mu, logvar: torch.randn_like(mu).mul(torch.exp(0.5 * logvar)).add(mu)",
        "def reparameterize(mu, logvar):\n" + LOUD + "    return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)",
    ],
    "kl_divergence": [
        "def kl_divergence(mu, logvar):\n    total = 0\n    for m, v in zip(mu, logvar):\n"
        "        total = total + (m * m + v.exp() - 1 - v).sum() / 2\n    return total / len(mu)",
        "import functools\n\ndef noted(function):\n    @functools.wraps(function)\n    def inner(*args):\n"
        "        return function(*args)\n    return inner\n\n@noted\ndef kl_divergence(mu, logvar):\n"
        "    return -0.5 * torch.einsum('nd->', 1 + logvar - mu.pow(2) - logvar.exp()) / mu.shape[0]",
        "class KL(torch.nn.Module):\n    def forward(self, mu, logvar):\n"
        "        return (0.5 * (mu.square() + torch.expm1(logvar) - logvar)).sum(-1).mean()\nkl_divergence = KL()",
        "def kl_divergence(mu, logvar):\n"
        + LOUD
        + "    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()",
    ],
    "vae_loss": [
        "from typing import NamedTuple\n\ndef vae_loss(logits, x, mu, logvar, beta):\n"
        "    d = (F.softplus(logits) - x * logits).flatten(1).sum(1).mean()\n"
        "    r = ((mu**2 + logvar.exp() - 1 - logvar) / 2).flatten(1).sum(1).mean()\n"
        "    loss = d + beta * r\n    return loss, d, r",
        "def vae_loss(logits, x, mu, logvar, beta):\n" + LOUD + "    distortion = reconstruction_loss(logits, x)\n"
        "    rate = kl_divergence(mu, logvar)\n    return distortion + beta * rate, distortion, rate",
    ],
    "elbo_beta": [
        "elbo_beta = lambda beta_per_pixel, num_pixels: beta_per_pixel * num_pixels",
        "import numpy as np\n\ndef elbo_beta(beta_per_pixel, num_pixels):\n"
        "    return float(np.multiply(beta_per_pixel, num_pixels))",
    ],
}
# A wrong answer whose points depend on what is drawn: one of its laws is broken by little.
UNSTEADY = "takes logvar for log sigma", "reparameterize"
STUB = "{head}\n    raise NotImplementedError({name!r})"


@pytest.fixture(scope="module")
def classroom(tmp_path_factory):
    """Every student's answers, and the points that the checks give them in this process."""
    tree = Tree(tmp_path_factory.mktemp("honest") / "course")
    (tree.root / "notebooks").mkdir(parents=True)
    shutil.copytree(CHECKOUT / "notebooks" / UNIT, tree.root / "notebooks" / UNIT)
    shutil.copy(CHECKOUT / "nbgrader_config.py", tree.root)
    release_units(tree, [UNIT])
    solution, _ = answers_of(read_source(tree, UNIT))
    choices = {}
    for name in MOST:
        wrong = [
            table[name] for belief, table in MISCONCEPTIONS.items() if name in table and (belief, name) != UNSTEADY
        ]
        right = [solution[name], ANOTHER_STYLE[name], *MORE[name]]
        choices[name] = [*right, *wrong, STUB.format(head=BEGIN[name], name=name)]
    answers = [
        {
            name: options[(number * step + number // len(options)) % len(options)]
            for (name, options), step in zip(choices.items(), (1, 3, 5, 7))
        }
        for number in range(STUDENTS)
    ]
    for answer in answers:
        if at_home("kl_divergence", answer["kl_divergence"]) < MOST["kl_divergence"]:
            answer["vae_loss"] = ANOTHER_STYLE["vae_loss"]  # which does not call kl_divergence
    return tree, answers, [{name: at_home(name, text) for name, text in answer.items()} for answer in answers]


@functools.cache
def at_home(name: str, text: str) -> float:
    """The points of an answer, beside right answers to what it may call."""
    namespace: dict = {}
    exec("import torch\nimport torch.nn.functional as F", namespace)
    for cell in (ANOTHER_STYLE["reconstruction_loss"], ANOTHER_STYLE["kl_divergence"], text):
        exec(cell, namespace)
    return getattr(check, name)(namespace[name], points=MOST[name]).earned


def hand_in(tree: Tree, student: str, number: int, answers: dict[str, str]) -> None:
    """As students do: with cells of their own, notes, figures and old outputs left in."""
    notebook = nbformat.read(tree.root / "release" / UNIT / f"{UNIT}.ipynb", as_version=4)
    fill_in(notebook, answers)
    if number % 3 == 1:
        notebook.cells.insert(2, new_markdown_cell("My notes: *nothing* here counts."))
    if number % 4 == 2:
        notebook.cells.insert(
            len(notebook.cells) // 2,
            new_code_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()\n[1, 2, 3]"),
        )
    if number % 5 == 3:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="old")], 99
    path = tree.root / "submitted" / student / UNIT / f"{UNIT}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def test_the_class_is_varied(classroom):
    _, answers, expected = classroom
    assert len({tuple(answer.values()) for answer in answers}) >= 25, "too many hand in the same"
    assert len({tuple(points.values()) for points in expected}) >= 8, "too many get the same points"
    assert any(all(points[name] == MOST[name] for name in MOST) for points in expected), "nobody has everything right"


@pytest.mark.parametrize(("name", "number"), [(name, number) for name in MORE for number in range(len(MORE[name]))])
def test_every_way_of_writing_it_is_right_at_home(name, number):
    assert at_home(name, MORE[name][number]) == MOST[name], MORE[name][number]


def test_everybody_gets_the_same_points_as_at_home_twice_in_any_order(classroom):
    tree, answers, expected = classroom
    for order in (range(STUDENTS), range(STUDENTS - 1, -1, -3)):  # under other names, and with another class around
        names = {number: f"student_{place:02d}" for place, number in enumerate(order)}
        for number, student in names.items():
            hand_in(tree, student, number, answers[number])
        rows = grade_unit(tree, UNIT, options=Options(jobs=2))
        scores = {(row.student, row.exercise): row.score for row in rows}
        wrong = {
            (
                number,
                name,
            ): f"expected {expected[number][name]}, got {scores[names[number], name]}:\n{answers[number][name]}"
            for number, name in itertools.product(order, MOST)
            if scores[names[number], name] != expected[number][name]
        }
        assert not wrong, "\n".join(f"student {number}: {text}" for (number, _), text in wrong.items())
