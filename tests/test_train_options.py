"""`course train` with other optimisers, schedules, likelihoods, samplers, early stopping, and several seeds."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from scipy import stats

from course_utils.cli.app import run
from course_utils.cli.train import seeds
from course_utils.cli.train.seeds import summary
from course_utils.models import runs

SMALL = [
    "train",
    "--dataset",
    "digits",
    "--latent-dim",
    "3",
    "--hidden-dim",
    "8",
    "--epochs",
    "2",
    "--batch-size",
    "300",
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs" / "train"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--optimizer", "adamw"], "adamw"),
        (["--schedule", "cosine"], "cosine"),
        (["--likelihood", "gaussian"], "gaussian"),
        (["--validation", "0.2"], "val0.2"),
        (["--patience", "2"], "val0.1-p2"),
    ],
)
def test_each_option_has_a_name_of_its_own_and_stands_in_the_record(here, options, part):
    assert run([*SMALL, *options]) == 0
    (weights,) = here.glob("*.safetensors")
    assert part in weights.stem
    about = json.loads((here / weights.stem / "run.json").read_text())
    value = options[1]
    assert value in json.dumps(about) and about["finished"]
    assert run([*SMALL, *options]) == 0, "the same command goes on, and changes nothing"


def test_the_sampler_draws_the_picture_and_decides_nothing_else(here):
    assert run([*SMALL, "--name", "a"]) == 0 and run([*SMALL, "--name", "b", "--sampler", "mixture"]) == 0
    assert (here / "a" / "samples.png").read_bytes() != (here / "b" / "samples.png").read_bytes()
    a, b = (runs.open(name, "train").model.state_dict() for name in "ab")
    assert all((a[key] == b[key]).all() for key in a)


def test_seeds_in_parallel_are_the_models_of_single_runs_with_mean_and_interval(here, capsys, tmp_path, monkeypatch):
    assert run([*SMALL, "--seeds", "3", "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    found = sorted(here.glob("*.safetensors"))
    assert [path.stem.rpartition("seed")[2] for path in found] == ["0", "1", "2"]
    losses = [json.loads((here / path.stem / "run.json").read_text())["last_epoch"]["test_loss"] for path in found]
    low, high = stats.t.interval(0.95, 2, np.mean(losses), stats.sem(losses))
    assert f"test_loss {np.mean(losses):.5g} (95% interval {low:.5g} to {high:.5g}, 3 seeds" in out
    assert run([*SMALL, "--name", "mine", "--seeds", "2", "--jobs", "1"]) == 0
    assert sorted(path.stem for path in here.glob("mine*.safetensors")) == ["mine-seed0", "mine-seed1"]


def test_one_seed_that_fails_stops_no_other_and_is_named(here, capsys):
    assert run([*SMALL, "--seeds", "2", "--jobs", "1"]) == 0
    next(here.glob("*seed1")).joinpath("checkpoint.pt").write_bytes(b"torn")
    assert run([*SMALL, "--seeds", "2", "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    assert "seed 0: test_" in captured.out and "1 of 2 seeds were not trained to their end: 1" in captured.err


def test_a_dask_scheduler_trains_the_same_models_also_with_several_threads(here, tmp_path, monkeypatch):
    """Nothing random: threads of one process share a generator, and must not draw from it at the same time."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (the extra `cluster`)")
    assert run([*SMALL, "--seed", "1"]) == 0
    (alone,) = here.glob("*.safetensors")
    expected = runs.digest(runs.read(alone)[1])
    place = tmp_path / "elsewhere"
    monkeypatch.setenv("COURSE_RUNS", str(place))
    options = {"n_workers": 1, "threads_per_worker": 3, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(protocol="tcp", host="127.0.0.1", **options) as cluster:
        assert run([*SMALL, "--seeds", "3", "--cluster", cluster.scheduler_address]) == 0
    found = sorted((place / "train").glob("*.safetensors"))
    assert len({runs.digest(runs.read(path)[1]) for path in found}) == 3
    assert [runs.digest(runs.read(path)[1]) for path in found if path.name == alone.name] == [expected]


def test_a_cluster_that_is_not_there_is_one_sentence(here, capsys, monkeypatch):
    monkeypatch.setattr(seeds, "PATIENCE_S", 0.2)
    pytest.importorskip("distributed", reason="dask.distributed is not installed (the extra `cluster`)")
    assert run([*SMALL, "--seeds", "2", "--cluster", "tcp://127.0.0.1:1"]) == 1
    assert "No dask scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run([*SMALL, "--seeds", "2", "--cluster", "tcp://127.0.0.1:1"]) == 1
    assert "--cluster needs dask: pip install" in capsys.readouterr().err
    assert not here.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--optimizer", "adagrad"], "optimizer is 'adagrad'; expected one of adam"),
        (["--schedule", "step"], "schedule is 'step'"),
        (["--likelihood", "poisson"], "likelihood is 'poisson'"),
        (["--sampler", "flow"], "sampler is 'flow'"),
        (["--validation", "1"], "validation is 1.0; expected a share"),
        (["--validation", "0.0001"], "images is 0; expected some"),
        (["--seeds", "0"], "--seeds is 0; expected 1 to 1000"),
        (["--size", "32"], "size"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(here, capsys, options, said):
    assert run([*SMALL, *options]) != 0
    assert said in capsys.readouterr().err and not here.exists()


def test_one_seed_has_no_interval():
    assert summary([{"test_loss": 2.0}]) == "test_loss 2 (one seed: no interval)"


def test_the_kernel_of_an_mmd_can_be_said_and_stands_in_name_and_record(here):
    assert run([*SMALL, "--model", "mmd-ae", "--weight", "7", "--bandwidths", "3,9.5", "--biased"]) == 0
    (weights,) = here.glob("*.safetensors")
    assert "weight7" in weights.stem and "bw3_9.5-biased" in weights.stem
    model = json.loads((here / weights.stem / "run.json").read_text())["model"]
    assert model["bandwidths"] == [3, 9.5] and model["biased"] and model["weight"] == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "mmd-ae", "--bandwidths", "three"], "expected numbers with commas between, as 4,8,16"),
        (["--model", "mmd-ae", "--bandwidths", "-3"], "bandwidths"),
        (["--model", "vae", "--bandwidths", "3"], "are of an MMD, which vae has not"),
        (["--model", "ae", "--biased"], "are of an MMD, which ae has not"),
        (["--model", "ae", "--start-at-pca"], "start_at_pca is for pictures"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(here, options, said, capsys):
    assert run([*SMALL, *options]) != 0
    assert said in capsys.readouterr().err
    assert not list(here.glob("*"))
