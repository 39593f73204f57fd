"""Unit 03: what its notebook prints is true."""

from __future__ import annotations

import math

import pytest
import torch

from course_utils.metrics import reference_runs

UNIT = "03_interpolation"


def test_given_answers_of_earlier_units_are_right(space):
    mu, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]])
    assert space["kl_divergence"](mu, logvar).item() == pytest.approx(0.5 + (3 - math.log(4)) / 2)
    assert space["reconstruction_loss"](torch.zeros(1, 2), torch.ones(1, 2)).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 1.0])
def test_printed_length_half_way_is_the_expectation(notebook, t):
    """Five standard errors of the mean of 40,000 draws: false alarm below 1e-6 for each t."""
    assert notebook.prints(r"\mathbb{E}\lVert z(t) \rVert^2 = ((1 - t)^2 + t^2) D")
    dims = 7
    a, b = torch.randn(2, 40_000, dims, dtype=torch.float64)
    squared = ((1 - t) * a + t * b).square().sum(1)
    expected = ((1 - t) ** 2 + t**2) * dims
    assert abs(squared.mean().item() - expected) <= 5 * squared.std().item() / 200


def test_printed_slerp_is_the_code(notebook, space):
    assert notebook.prints(r"z(t) = \frac{\sin((1 - t) \omega)}{\sin \omega} a + \frac{\sin(t \omega)}{\sin \omega} b")
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([-1.0, 1.0])
    angle = 3 * math.pi / 4
    for row, t in zip(space["slerp"](a, b, 5), (0, 0.25, 0.5, 0.75, 1), strict=True):
        expected = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
        assert torch.allclose(row, expected, atol=1e-5)


def test_the_normal_density_grows_towards_the_origin_as_printed(notebook):
    assert notebook.prints(r"\log p(z) = -\tfrac{1}{2} \lVert z \rVert^2 + \text{const}")
    z = torch.randn(9, 4, dtype=torch.float64)
    log_density = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    rest = log_density + 0.5 * z.square().sum(1)
    assert torch.allclose(rest, rest[0].expand(9))


def test_the_two_best_classes_tie_on_every_path_between_two_classes(notebook):
    """The proof of 3.3 on random paths of class probabilities: the lowest confidence is at most 1/2."""
    assert r"so $\max_k p_k(t) \le \tfrac{1}{2}$ there" in notebook.text
    t = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None]
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        start, way, end = 6 * torch.randn(3, 10, generator=generator, dtype=torch.float64)
        start[0], end[1] = start.max() + 3, end.max() + 3
        path = torch.softmax((1 - t) * start + torch.sin(math.pi * t) * way + t * end, 1)
        assert path.amax(1).min() <= 0.51, "the grid of 4001 steps misses the tie by less"


def test_the_lower_of_two_ends_has_rank_a_third_as_printed(notebook):
    """The minimum of two uniform numbers has mean 1/3; five standard errors of 40,000 draws, false alarm 6e-7."""
    assert "rank 1/3 on average" in notebook.text
    lower = torch.rand(40_000, 2, dtype=torch.float64).amin(1)
    assert abs(lower.mean().item() - 1 / 3) <= 5 * math.sqrt(1 / 18) / 200


def test_real_codes_have_usualness_one_half_as_printed(notebook, space):
    assert "Real codes themselves get 1/2 on average" in notebook.text
    for count in (10, 501):
        real = torch.randn(count)
        assert space["usualness"](real, real).mean().item() == pytest.approx(0.5, abs=1 / count)


def test_a_cross_fade_has_detour_one_and_is_a_double_exposure(space):
    from course_utils.metrics import paths

    start, end, other = torch.rand(3, 50)
    fade = space["interpolate"](start, end, 21)
    assert paths.length(fade).detour == pytest.approx(1.0, abs=1e-5)
    assert space["double_exposure"](fade) == pytest.approx(1.0, abs=1e-4)
    assert space["double_exposure"](torch.stack([start, *[other] * 19, end])) < 0.95


def test_whitened_distances_do_not_depend_on_the_axes_as_printed(notebook, space):
    assert "the same for every invertible linear change of the code" in notebook.text
    seen, mix = torch.randn(200, 4).double(), torch.randn(4, 4).double() + 3 * torch.eye(4).double()
    one, other = space["whiten"](seen, seen[:9]), space["whiten"](seen @ mix, seen[:9] @ mix)
    assert torch.allclose(torch.cdist(one, one), torch.cdist(other, other), atol=1e-8)


@pytest.fixture(scope="module")
def verdict(notebook):
    """The function of the notebook that says what an interval allows."""
    (cell,) = [cell.source for cell in notebook.cells if "def verdict(" in cell.source]
    space: dict = {}
    exec(cell[cell.index("def verdict(") : cell.index("compared = ")], space)
    return space["verdict"]


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((-0.001, 0.001), "alike"),
        ((0.001, 0.004), "alike"),
        ((0.01, 0.2), "higher"),
        ((-0.2, -0.01), "lower"),
        ((-0.1, 0.1), "undecided"),
    ],
)
def test_what_an_interval_allows_one_to_say_is_the_table_of_the_text(verdict, interval, said):
    assert verdict(*interval, 0.005) == said


def test_what_the_summary_says_of_the_stored_seeds_is_so(notebook):
    stored = reference_runs.load(UNIT)
    for model, low, high in (("vae", "1.46", "1.47"), ("ae", "1.63", "1.66")):
        detour = stored.values(model, "path_detour")
        assert (f"{min(detour):.2f}", f"{max(detour):.2f}") == (low, high)
        assert f"{low} to {high}" in notebook.text
    vae, ae = ([f"{100 * value:.1f}" for value in stored.values(model, "linear_probe")] for model in ("vae", "ae"))
    assert "({}, {} and {} % against {}, {} and {} %)".format(*vae, *ae) in notebook.text
    assert all(
        v < a for v, a in zip(stored.values("vae", "linear_probe"), stored.values("ae", "linear_probe"), strict=True)
    )
    neighbours = zip(stored.values("vae", "nearest_neighbours"), stored.values("ae", "nearest_neighbours"), strict=True)
    assert {v > a for v, a in neighbours} == {True, False}, "the seeds disagree"
