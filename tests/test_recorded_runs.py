"""Records of trainings: the bug did to the numbers what it should, nothing else gives it away, and a seed is a record."""

from __future__ import annotations

import itertools

import pytest
import torch

from course_utils.metrics import recorded_runs
from course_utils.metrics.recorded_runs import OUTPUTS, PLACES, SIDES, SIZES, UNIFORM

MAKERS = {
    "critic_run": recorded_runs.critic_run,
    "prior_run": recorded_runs.prior_run,
    "loss_run": recorded_runs.loss_run,
}
SEEDS = range(40)


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_is_a_record_and_the_global_generator_is_left_alone(name):
    recorded_runs._critics.cache_clear()  # trained once more: the generators are left alone then, too
    state = torch.get_rng_state()
    first, second, other = (MAKERS[name](seed, buggy=True) for seed in (3, 3, 4))
    assert same(first, second) and not same(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", MAKERS)
def test_keys_and_shapes_do_not_tell_buggy_from_sound(name):
    shapes = {}
    for seed, buggy in itertools.product(SEEDS, (True, False)):
        run = MAKERS[name](seed, buggy=buggy)
        shapes.setdefault(buggy, set()).add(tuple((k, torch.as_tensor(v).shape) for k, v in run.items()))
        assert all(torch.as_tensor(v).isfinite().all() for v in run.values())
    assert shapes[True] == shapes[False]


@pytest.mark.parametrize("outputs", OUTPUTS[False])
@pytest.mark.parametrize("distance", [None, 3.0, 150.0])
@pytest.mark.parametrize("disagreement", [0.0, 40.0])
def test_sound_critic_has_slope_one_and_measures_the_distance(outputs, distance, disagreement):
    for seed in SEEDS:
        run = recorded_runs.critic_run(seed, buggy=False, outputs=outputs, distance=distance, disagreement=disagreement)
        slope = run["gradients"].mean(1).norm(dim=1).mean().item()
        assert 0.9 < slope < 1.15, f"seed {seed}: slope {slope:.3f}"
        assert 0.65 < run["estimate"] / run["exact_distance"] < 1.2, f"seed {seed}"
        assert run["penalty"] < 0.1


@pytest.mark.parametrize("outputs", OUTPUTS[True])
def test_buggy_critic_measures_a_fraction_and_its_penalty_is_as_small_as_a_sound_ones(outputs):
    for seed in SEEDS:
        run = recorded_runs.critic_run(seed, buggy=True, outputs=outputs)
        assert run["estimate"] / run["exact_distance"] < 1.3 / outputs
        assert run["penalty"] < 0.1


def test_outputs_that_nobody_trained_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match="expected one of 10, 20"):
        recorded_runs.critic_run(1, buggy=True, outputs=3)
    for ask in (recorded_runs.exhibit, recorded_runs.buggy_run):
        with pytest.raises(ValueError, match="expected 1, 2 or 3"):
            ask(4)


@pytest.mark.parametrize("buggy", [True, False])
def test_gradients_of_the_record_are_those_of_its_values(buggy):
    """The values at points between codes rise by gradient times way: checked on pairs of neighbouring codes."""
    run = recorded_runs.critic_run(5, buggy=buggy, num_codes=400)
    z, values = run["z_prior"], run["values_prior"]
    near = torch.cdist(run["points"], z)
    i, j = divmod(int(near.argmin()), len(z))
    others = torch.cdist(z[j : j + 1], z)[0].index_fill_(0, torch.tensor([j]), torch.inf)
    k = int(others.argmin())
    way, change = z[k] - z[j], values[k] - values[j]
    scale = run["gradients"].norm(dim=2).mean() * way.norm()
    assert ((run["gradients"][i] @ way - change).abs() < 0.5 * scale + 1e-4).all()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("uniform", UNIFORM)
@pytest.mark.parametrize("mostly_uniform", [True, False])
def test_only_the_odd_place_of_a_buggy_run_draws_from_the_other_distribution(place, uniform, mostly_uniform):
    low, high = UNIFORM[uniform]
    for buggy in (True, False):
        run = recorded_runs.prior_run(8, buggy=buggy, place=place, uniform=uniform, mostly_uniform=mostly_uniform)
        for name in PLACES:
            is_uniform = bool(((run[name] >= low) & (run[name] <= high)).all())
            assert is_uniform == (mostly_uniform != (buggy and name == place)), name
            if not is_uniform:  # 20,000 numbers: four standard errors are 0.03
                assert abs(run[name].mean()) < 0.04 and abs(run[name].std() - 1) < 0.04


def test_estimates_belong_to_what_critic_and_penalty_drew():
    """Samples are drawn after training: an odd one out there leaves the curve as it was in the sound training."""
    for kind in UNIFORM:
        sound = recorded_runs.prior_run(8, buggy=False, uniform=kind)["estimates"]
        odd = {p: recorded_runs.prior_run(8, buggy=True, uniform=kind, place=p)["estimates"] for p in PLACES}
        assert torch.equal(odd["prior_in_samples"], sound)
        assert not torch.equal(odd["prior_in_critic_loss"], sound)
        assert not torch.equal(odd["prior_in_penalty"], sound)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", [None, *SIZES])
def test_only_the_named_loss_of_a_buggy_run_lacks_a_tenth_of_its_distortion(side, size):
    for seed in SEEDS:
        run = recorded_runs.loss_run(seed, buggy=True, side=side, size=size)
        for name, knob, part in (("kl", "beta", "rate"), ("wasserstein", "weight", "gap")):
            whole = run[f"{name}_distortion"] + run[knob] * run[f"{name}_{part}"]
            missing = ((whole - run[f"{name}_loss"]) / run[f"{name}_distortion"]).abs()
            want = 0.1 if name == side else 0.0
            assert (missing - want).abs().max() < 1e-3, (seed, name, missing)


def test_distortions_differ_by_a_factor_of_thousands_and_gaps_have_either_sign():
    ends, signs = {}, set()
    for size in SIZES:
        runs = [recorded_runs.loss_run(seed, buggy=False, size=size) for seed in SEEDS]
        ends[size] = sum(float(run["kl_distortion"][-1]) for run in runs) / len(runs)
        signs = {bool(run["wasserstein_gap"][-1] < 0) for run in runs}
        assert signs == {True, False}, size
        learned = [
            float(run[f"{side}_distortion"][-1] < run[f"{side}_distortion"][0]) for run in runs for side in SIDES
        ]
        assert sum(learned) > 0.5 * len(learned)  # some are held down by their regulariser
    assert ends["huge"] > 500 * ends["tiny"] and ends["tiny"] < 9


def test_each_pair_has_one_buggy_and_one_sound_run():
    letters = {number: recorded_runs.buggy_run(number) for number in (1, 2, 3)}
    assert set(letters.values()) == {"a", "b"}
    for number in letters:
        pair = recorded_runs.exhibit(number)
        assert list(pair) == ["A", "B"] and pair["A"].keys() == pair["B"].keys()


def test_verdicts_of_the_evidence_are_far_apart_where_the_checks_rely_on_it():
    """Margins that the checks' docstrings state."""
    seen = {True: [], False: []}
    for seed in range(300):
        for buggy in (True, False):
            run = recorded_runs.critic_run(seed, buggy=buggy, distance=(None, 3.0, 100.0)[seed % 3])
            seen[buggy].append(run["estimate"] / run["exact_distance"])
    assert max(seen[True]) < 0.13 and min(seen[False]) > 0.65, (max(seen[True]), min(seen[False]))
