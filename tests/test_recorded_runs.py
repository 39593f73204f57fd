"""Recorded runs: the bug does to the numbers what it should, nothing else gives it away, and a seed is a run."""

from __future__ import annotations

import pytest
import torch

from course_utils.metrics import recorded_runs
from course_utils.metrics.recorded_runs import PLACES, SIDES, UNIFORM

MAKERS = {
    "critic_run": recorded_runs.critic_run,
    "prior_run": recorded_runs.prior_run,
    "loss_run": recorded_runs.loss_run,
}
SEEDS = range(40)


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k])) for k in a)


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_is_a_run_and_the_global_generator_is_left_alone(name):
    state = torch.get_rng_state()
    first, second, other = (MAKERS[name](seed, buggy=True) for seed in (3, 3, 4))
    assert same(first, second) and not same(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", MAKERS)
def test_keys_and_shapes_do_not_tell_buggy_from_sound(name):
    for seed in SEEDS:
        buggy, sound = (MAKERS[name](seed, buggy=b) for b in (True, False))
        assert list(buggy) == list(sound)
        assert [torch.as_tensor(v).shape for v in buggy.values()] == [torch.as_tensor(v).shape for v in sound.values()]
        assert all(torch.as_tensor(v).isfinite().all() for run in (buggy, sound) for v in run.values())


@pytest.mark.parametrize(("outputs", "distance"), [(1, None), (10, None), (10, 3.0), (10, 150.0)])
def test_sound_critic_has_slope_one_and_measures_the_distance(outputs, distance):
    for seed in SEEDS:
        run = recorded_runs.critic_run(seed, buggy=False, outputs=outputs, distance=distance)
        slope = run["gradients"].mean(1).norm(dim=1).mean().item()
        assert 0.89 < slope < 1.11, f"seed {seed}: slope {slope:.3f}"
        assert 0.65 < run["estimate"] / run["exact_distance"] < 1.15, f"seed {seed}"


def test_buggy_critic_measures_a_tenth_and_its_reported_penalty_is_as_small_as_a_sound_ones():
    for seed in SEEDS:
        run, sound = (recorded_runs.critic_run(seed, buggy=b) for b in (True, False))
        assert run["estimate"] / run["exact_distance"] < 0.13
        assert run["penalty"] < 0.1 and sound["penalty"] < 0.1


@pytest.mark.parametrize("buggy", [True, False])
def test_gradients_of_the_record_are_those_of_its_values(buggy):
    """Between two near codes the outputs change by gradient times way; found by the record's own points and batches."""
    run = recorded_runs.critic_run(5, buggy=buggy, num_codes=400, dim=2)
    pairs = torch.cdist(run["points"], run["z_prior"])
    i, j = divmod(int(pairs.argmin()), 400)
    k = int(torch.cdist(run["z_prior"][j : j + 1], torch.cat([run["z_prior"][:j], run["z_prior"][j + 1 :]])).argmin())
    k += k >= j
    way = run["z_prior"][k] - run["z_prior"][j]
    change = run["values_prior"][k] - run["values_prior"][j]
    scale = run["gradients"].norm(dim=2).mean() * way.norm()
    assert ((run["gradients"][i] @ way - change).abs() < 0.3 * scale + 1e-4).all()


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


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("distortion", [None, 4.0, 40_000.0])
def test_only_the_named_loss_of_a_buggy_run_lacks_a_tenth_of_its_distortion(side, distortion):
    for seed in SEEDS:
        run = recorded_runs.loss_run(seed, buggy=True, side=side, distortion=distortion)
        for name, knob, part in (("kl", "beta", "rate"), ("wasserstein", "weight", "gap")):
            whole = run[f"{name}_distortion"] + run[knob] * run[f"{name}_{part}"]
            missing = ((whole - run[f"{name}_loss"]) / run[f"{name}_distortion"]).mean().item()
            assert missing == pytest.approx(0.1 if name == side else 0.0, abs=1e-3), (seed, name)


def test_verdicts_of_the_evidence_are_far_apart_where_the_checks_rely_on_it():
    """Margins that the checks' docstrings state."""
    seen = {True: [], False: []}
    for seed in range(300):
        for buggy in (True, False):
            run = recorded_runs.critic_run(seed, buggy=buggy, distance=(None, 3.0, 100.0)[seed % 3])
            seen[buggy].append(run["estimate"] / run["exact_distance"])
    assert max(seen[True]) < 0.12 and min(seen[False]) > 0.65, (max(seen[True]), min(seen[False]))
