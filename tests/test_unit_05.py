"""Unit 05: what its notebook prints is true."""

from __future__ import annotations

import math
from itertools import pairwise, takewhile
from types import SimpleNamespace

import pytest
import torch
from notebook_source import read
from scipy.stats import ttest_ind
from torch import nn

from course_utils.metrics import distances, recorded_runs, reference_runs

UNIT = "05_wasserstein"


def linear(*weights: float, bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(len(weights), 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weights])), layer.bias.fill_(bias)
    return layer


@pytest.mark.parametrize("shift", [(3.0, 4.0), (0.5, -0.1)])
def test_a_shift_is_as_far_as_printed_and_a_critic_of_slope_1_along_it_measures_just_that(notebook, space, shift):
    assert notebook.prints(
        r"W_1(p, q) = \max_{\|f\|_L \le 1} \mathbb{E}_{z \sim p}[f(z)] - \mathbb{E}_{z \sim q}[f(z)]"
    )
    assert notebook.prints(r"$W_1 = \|m\|$")
    z, m = torch.randn(200, 2, dtype=torch.float64), torch.tensor(shift, dtype=torch.float64)
    along = linear(*(-m / m.norm()).tolist(), bias=7.0)
    assert -space["critic_loss"](along, z, z + m).item() == pytest.approx(m.norm().item())
    assert distances.wasserstein(z, z + m) == pytest.approx(m.norm().item())
    for angle in torch.linspace(0, 6.28, 9).tolist():  # no other direction measures more
        other = linear(math.cos(angle), math.sin(angle))
        assert -space["critic_loss"](other, z, z + m).item() <= m.norm().item() + 1e-9


def test_a_critic_twice_as_steep_scores_twice_as_much(space):
    p, q = torch.randn(2, 50, 3, dtype=torch.float64)
    once, twice = (space["critic_loss"](linear(s * 0.1, s * -0.2, s * 0.3), p, q).item() for s in (1, 2))
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize("weights", [(0.6, 0.8), (0.3, 0.0), (3.0, 4.0)])
def test_printed_penalty_is_that_of_the_code(notebook, space, weights):
    assert notebook.prints(r"P = \frac{1}{N} \sum_n (\|\nabla_{\tilde z} f(\tilde z_n)\| - 1)^2")
    p, q = torch.randn(2, 8, 2, dtype=torch.float64)
    want = (math.hypot(*weights) - 1) ** 2
    assert space["gradient_penalty"](linear(*weights), p, q).item() == pytest.approx(want)


def test_best_critic_of_a_shift_pays_no_penalty_where_mass_travels(space):
    p, m = torch.randn(30, 2, dtype=torch.float64), torch.tensor([1.2, -1.6], dtype=torch.float64)
    assert space["gradient_penalty"](linear(-0.6, 0.8), p, p + m).item() == pytest.approx(0.0, abs=1e-12)


def test_a_constant_changes_the_gap_and_not_the_estimate(notebook, space):
    assert notebook.prints(r"\mathcal{L} = D + \lambda \cdot \text{gap}")
    assert notebook.prints(r"\text{gap} = -\frac{1}{N} \sum_n f(z^q_n)")
    logits, x = torch.randn(4, 9, dtype=torch.float64), torch.rand(4, 9, dtype=torch.float64)
    p, q = torch.randn(2, 4, 2, dtype=torch.float64)
    low, high = linear(0.6, 0.8, bias=-50.0), linear(0.6, 0.8, bias=50.0)
    gaps = [space["wasserstein_vae_loss"](logits, x, critic, q, 0.5)[2].item() for critic in (low, high)]
    assert gaps[0] - gaps[1] == pytest.approx(100.0) and gaps[0] > 0 > gaps[1]
    estimates = [space["critic_loss"](critic, p, q).item() for critic in (low, high)]
    assert estimates[0] == pytest.approx(estimates[1])
    loss, distortion, gap = space["wasserstein_vae_loss"](logits, x, low, q, 0.5)
    assert loss.item() == pytest.approx(distortion.item() + 0.5 * gap.item())


def test_sliced_distance_of_a_shift_in_five_dimensions_is_three_eighths_of_it(notebook):
    assert any("3/8 of a shift" in cell.source for cell in notebook.cells)
    # the mean of |u_1| over the sphere: gamma(D / 2) / (sqrt(pi) gamma((D + 1) / 2))
    assert math.gamma(2.5) / (math.sqrt(math.pi) * math.gamma(3)) == pytest.approx(3 / 8)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_cell_before_the_answer_tells_the_bug_and_hints_wait_for_the_verdict(number, capsys):
    told = recorded_runs._TOLD[number]
    before = takewhile(lambda cell: f"def find_bug_{number}(" not in cell.source, read(UNIT).cells)
    seen = " ".join(" ".join(cell.source for cell in before).split())
    for text in (told.because, told.maths, told.pseudo_code):
        words = text.split()
        assert not [start for start in range(len(words) - 5) if " ".join(words[start : start + 6]) in seen]
    guesses = [SimpleNamespace(locked=True), SimpleNamespace(locked=False)]
    recorded_runs.show_hints(number, *guesses)
    assert told.pseudo_code not in capsys.readouterr().out
    guesses[1].locked = True
    recorded_runs.show_hints(number, *guesses)
    assert told.pseudo_code in capsys.readouterr().out


def test_ten_outputs_averaged_under_a_penalty_on_their_sum_have_a_slope_of_a_tenth():
    assert "slope 1/K" in recorded_runs._TOLD[1].maths
    evidence = recorded_runs.critic_run(4, buggy=True, outputs=10)
    slopes = evidence["gradients"]
    assert slopes.sum(1).norm(dim=1).mean().item() == pytest.approx(
        10 * slopes.mean(1).norm(dim=1).mean().item(), rel=1e-4
    )


def test_uniform_of_variance_one_ends_where_printed_and_one_normal_number_in_twenty_lies_beyond_two():
    assert "[-√3, √3]" in recorded_runs._TOLD[2].maths and "one in twenty" in recorded_runs._TOLD[2].maths
    assert (2 * math.sqrt(3)) ** 2 / 12 == pytest.approx(1.0)
    assert math.erfc(2 / math.sqrt(2)) == pytest.approx(1 / 20, abs=0.006)


def test_a_buggy_log_misses_a_tenth_and_a_sound_one_less_than_a_thousandth():
    assert "is 0.1 of the distortion" in recorded_runs._TOLD[3].maths and "than 0.001" in recorded_runs._TOLD[3].maths
    for seed in range(50):
        for side, knob, part in (("kl", "beta", "rate"), ("wasserstein", "weight", "gap")):
            for buggy, low, high in ((True, 0.099, 0.101), (False, 0.0, 0.001)):
                e = recorded_runs.loss_run(seed, buggy=buggy, side=side)
                missing = (e[f"{side}_distortion"] + e[knob] * e[f"{side}_{part}"] - e[f"{side}_loss"]) / e[
                    f"{side}_distortion"
                ]
                assert low <= missing.abs().min() and missing.abs().max() <= high, (seed, side, buggy)


@pytest.mark.skipif(not (reference_runs.FOLDER / f"{UNIT}.csv").is_file(), reason="no reference runs of this unit yet")
def test_reference_runs_have_what_the_rematch_draws_and_the_two_kinds_overlap_in_distortion():
    stored = reference_runs.load(UNIT)
    kl, critic = ([m for m in stored.models if m.startswith(kind)] for kind in ("kl", "wasserstein"))
    assert len(kl) >= 5 and len(critic) >= 5
    for model in stored.models:
        assert len(stored.values(model, "frechet")) == 3
    for level in ("kl beta=0.5", "kl beta=1", "kl beta=2"):
        for seed in range(3):
            reached = [stored.values(m, "distortion")[seed] for m in critic]
            assert min(reached) < stored.mean(level, "distortion") < max(reached), (level, seed)


def welch(ours, others) -> str:
    interval = ttest_ind(ours, others, equal_var=False).confidence_interval(0.95)
    mean = sum(ours) / len(ours) - sum(others) / len(others)
    return f"{mean:+.1f} ({interval.low:+.1f} to {interval.high:+.1f}"


def at_level(space, stored, level: float) -> list[float]:
    """The KL curve of each seed at this distortion of a draw, by the notebook's own hold_equal."""
    kl = [m for m in stored.models if m.startswith("kl")]
    curves = [[[stored.values(m, key)[seed] for m in kl] for key in ("distortion", "frechet")] for seed in range(3)]
    return [space["hold_equal"](*torch.tensor(curve), level, 7.0) for curve in curves]


def test_the_numbers_of_the_model_answer_are_those_of_the_stored_runs(notebook, space):
    """The rematch: each printed difference with its interval (Welch) and the numbers beside it, computed here anew."""
    stored = reference_runs.load(UNIT)
    text = next(
        cell.source for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "q_rematch"
    )
    text = " ".join(text.split())
    level = stored.mean("wasserstein weight=3", "distortion")
    kl = stored.values("kl beta=1", "frechet")
    for ours, others in (
        (stored.values("wasserstein weight=3", "frechet"), at_level(space, stored, level)),
        (stored.values("wasserstein weight=1", "frechet"), kl),
        (stored.values("report, sound", "frechet"), kl),
    ):
        assert welch(ours, others) in text, welch(ours, others)
    for model, number, printed in (
        ("wasserstein weight=3", "distortion", "89.6"),
        ("wasserstein weight=3", "seconds", "141"),
        ("kl beta=1", "seconds", "23"),
        ("report, sound", "seconds", f"{stored.mean('report, sound', 'seconds'):.0f}"),
    ):
        digits = len(printed.partition(".")[2])
        assert f"{stored.mean(model, number):.{digits}f}" == printed and printed in text, (model, number, printed)


def test_no_training_is_interpolated_over_a_gap(space):
    """Every seed of the KL kind has neighbours within 7 nats where the critic's weight 3 lies; the failed ones do not."""
    stored = reference_runs.load(UNIT)
    level = stored.mean("wasserstein weight=3", "distortion")
    assert all(math.isfinite(value) for value in at_level(space, stored, level))
    critic = [
        [stored.values(f"wasserstein weight={w}", key)[0] for w in (1, 3, 6, 10)] for key in ("distortion", "frechet")
    ]
    assert math.isnan(space["hold_equal"](*torch.tensor(critic), 98.0, 7.0))


def test_one_step_of_the_critic_brings_a_linear_one_nearer_to_slope_one(space):
    critic = linear(0.0, -3.0)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)
    z = torch.randn(50, 2, dtype=torch.float64)
    far = z + torch.tensor([0.0, 0.5], dtype=torch.float64)
    assert space["critic_step"](critic, optimizer, z, far, 10.0) == pytest.approx(1.5)
    assert 2.0 < critic.weight.norm().item() < 3.0


def test_each_bug_is_worth_what_the_waterfall_says(notebook):
    """The printed changes in nats, each with its interval, paired by seed."""
    stored = reference_runs.load(UNIT)
    chain = ["report, sound", "report, 0.9 of the distortion", "report, uniform prior", "report, ten outputs"]
    for before, after in pairwise(chain):
        change = stored.difference(after, before, "distortion")
        printed = f"{change.mean:+.1f} nats ({change.low:+.1f} to {change.high:+.1f})".replace("-", "−")
        assert printed in notebook.text.replace("-", "−"), printed


def test_trainings_called_failed_are_further_from_the_prior_than_lighter_ones_and_their_noise_is_back():
    stored = reference_runs.load(UNIT)
    sound, *failed = (f"wasserstein weight={weight}" for weight in (6, 10, 15))
    for model in failed:
        assert min(stored.values(model, "sliced_wasserstein")) > max(stored.values(sound, "sliced_wasserstein"))
        assert min(stored.values(model, "posterior_sigma")) > max(stored.values(sound, "posterior_sigma"))
        assert max(stored.values(model, "distortion")) - min(stored.values(model, "distortion")) > 10


@pytest.mark.parametrize("number", ["path_detour", "path_third_class"])
def test_paths_of_the_two_kinds_cannot_be_told_apart(number):
    stored = reference_runs.load(UNIT)
    pair = (stored.values(model, number) for model in ("wasserstein weight=3", "kl beta=0.5"))
    interval = ttest_ind(*pair, equal_var=False).confidence_interval(0.95)
    assert interval.low < 0 < interval.high


def test_best_critic_of_the_printed_example_is_lower_where_only_the_prior_is(notebook):
    assert any("prior at 0 and 10 and the codes at 1 and 11" in cell.source for cell in notebook.cells)
    prior, codes = torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [11.0]])
    assert distances.wasserstein(prior, codes) == pytest.approx(float((-prior).mean() - (-codes).mean()))
