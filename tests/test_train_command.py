"""``course train`` as its users meet it."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from course_utils import datasets
from course_utils.cli import app as cli
from course_utils.models import runs
from course_utils.training import measuring, recipes

ARGUMENTS = ["--dataset", "digits", "--latent-dim", "3", "--hidden-dim", "8", "--epochs", "2", "--batch-size", "300"]
NAME = "vae-digits-z3-beta1-h8-e2-b300-seed0"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))
    monkeypatch.setattr(measuring, "PROBE_SECONDS", 0.01)
    whole = datasets.load("digits")
    monkeypatch.setattr(datasets, "load", lambda name, device=None, size=None: whole)
    return tmp_path / "train"


def course_train(*more: str) -> int:
    return cli.run(["train", *ARGUMENTS, *more])


def weights(place, name: str = NAME) -> dict[str, torch.Tensor]:
    return load_file(place / f"{name}.safetensors")


def interrupt_at(monkeypatch, step: int) -> None:
    """Ctrl-C in the given training step; the estimate beforehand, of as many steps as fit in its time, makes none."""
    monkeypatch.setattr(measuring, "estimated", lambda *arguments: 0.0)
    make, made = recipes.loss_function, [0]

    def making(*arguments):
        function = make(*arguments)

        def counted(model, x):
            made[0] += model.training
            if model.training and made[0] == step:
                raise KeyboardInterrupt
            return function(model, x)

        return counted

    monkeypatch.setattr(recipes, "loss_function", making)


@pytest.mark.parametrize("model", recipes.KINDS)
def test_every_model_leaves_its_pictures_its_history_and_what_was_run(place, model):
    assert course_train("--model", model, "--name", "it") == 0
    about = json.loads((place / "it" / "run.json").read_text())
    assert about["finished"] and about["model"]["kind"] == model and about["seed"] == 0
    assert about["versions"]["torch"] == torch.__version__.split("+")[0] and len(about["data_sha256"]) == 64
    with (place / "it" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["test_distortion"]) > 0
    for grid in ("originals", "reconstructions", "samples"):
        with Image.open(place / "it" / f"{grid}.png") as picture:
            assert picture.size == (8 * 28, 8 * 28)
    assert weights(place, "it")


def test_the_originals_are_the_first_test_images(place):
    course_train()
    with Image.open(place / NAME / "originals.png") as picture:
        shown = np.asarray(picture)[:28, :28]
    np.testing.assert_array_equal(shown, datasets.load("digits").test_images[0, 0].numpy())


def test_an_interrupted_training_ends_with_the_weights_of_one_without(place, monkeypatch, capsys):
    assert course_train("--name", "whole") == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, step=7)  # in the second epoch of five steps
        assert course_train() == 130
    assert "Run the same command again to go on" in capsys.readouterr().out
    assert json.loads((place / NAME / "run.json").read_text())["finished"] is False
    assert course_train() == 0
    for key, value in weights(place, "whole").items():
        assert torch.equal(value, weights(place)[key]), key
    with (place / NAME / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_a_run_of_other_settings_is_neither_gone_on_with_nor_overwritten(place, capsys):
    course_train("--name", "it")
    before = weights(place, "it")
    assert course_train("--name", "it", "--beta", "4") == 1
    assert "another --name" in capsys.readouterr().err
    assert all(torch.equal(value, before[key]) for key, value in weights(place, "it").items())
    assert course_train("--name", "it", "--beta", "4", "--fresh") == 0
    assert json.loads((place / "it" / "run.json").read_text())["model"]["beta"] == 4


def test_a_training_that_leaves_the_finite_numbers_is_a_failure(place, capsys):
    assert course_train("--lr", "1e36", "--epochs", "5") == 1
    assert "not trained to its end" in capsys.readouterr().err


SWEEPS = {
    "--epochs": ("1", "2", "3"),
    "--lr": ("0.001", "0.01", "1e-05", "0.0012345678901"),
    "--batch-size": ("200", "300"),
    "--hidden-dim": ("8", "9"),
    "--latent-dim": ("2", "3"),
    "--beta": ("1", "4", "0.1234567", "0.1234568"),
    "--seed": ("0", "1"),
    "--precision": ("float32", "bfloat16"),
    "--model": ("ae", "vae"),
}


@pytest.mark.parametrize("option", SWEEPS)
def test_a_sweep_over_any_option_leaves_one_model_each_with_a_true_record(place, option):
    arguments = [part for part in zip(ARGUMENTS[::2], ARGUMENTS[1::2], strict=True) if part[0] != option]
    flat = [word for pair in arguments for word in pair]
    for value in SWEEPS[option]:
        assert cli.run(["train", *flat, option, value]) == 0
    kept = {path.stem for path in place.glob("*.safetensors")}
    assert len(kept) == len(SWEEPS[option])
    for name in kept:
        record, about = runs.read(place / f"{name}.safetensors")[0], json.loads((place / name / "run.json").read_text())
        assert about["epochs"] == about["last_epoch"]["epoch"] == record["settings"]["epochs"] == len(record["history"])
        assert about["lr"] == record["settings"]["lr"] and about["model"] == record["provenance"]["about"]["model"]


def test_fewer_epochs_than_there_are_is_said_and_changes_nothing(place, capsys):
    assert course_train("--name", "it", "--epochs", "3") == 0
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert course_train("--name", "it", "--epochs", "2") == 0
    out = capsys.readouterr().out
    assert "has 3 epochs already, 2 were asked for" in out and "2 epochs in" not in out
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_second_training_in_one_place_at_once_is_refused_before_it_starts(place, capsys):
    from course_utils import training

    place.mkdir()
    with training.only_one(place / NAME, "it"):
        assert course_train() == 1
    assert "Another training is writing to the run" in capsys.readouterr().err
    assert [path.name for path in place.iterdir()] == [f".{NAME}.lock"]
    assert course_train() == 0


@pytest.mark.parametrize("spoilt", ["missing", "damaged"])
def test_a_checkpoint_of_other_settings_is_refused_whatever_run_json_says(place, capsys, spoilt):
    course_train("--name", "it", "--beta", "5")
    before = weights(place, "it")
    about = place / "it" / "run.json"
    about.unlink() if spoilt == "missing" else about.write_text("{")
    assert course_train("--name", "it", "--beta", "0.1") == 1
    assert "about.model.beta = 5.0, now it is 0.1" in capsys.readouterr().err
    assert all(torch.equal(value, before[key]) for key, value in weights(place, "it").items())


def test_a_checkpoint_copied_into_another_run_is_refused(place, capsys):
    course_train("--name", "five", "--beta", "5")
    course_train("--name", "one", "--beta", "1", "--epochs", "1")
    shutil.copy(place / "five" / "checkpoint.pt", place / "one" / "checkpoint.pt")
    assert course_train("--name", "one", "--beta", "1") == 1
    assert "about.model.beta = 5.0, now it is 1.0" in capsys.readouterr().err


def test_a_model_whose_checkpoint_is_gone_is_not_replaced_by_other_settings(place, capsys):
    course_train("--name", "it", "--beta", "5")
    before = weights(place, "it")
    shutil.rmtree(place / "it")
    assert course_train("--name", "it", "--beta", "1") == 1
    assert "--fresh" in capsys.readouterr().err
    assert all(torch.equal(value, before[key]) for key, value in weights(place, "it").items())


@pytest.mark.parametrize(
    "wrong",
    [
        ["--log", "wandb"],
        ["--lr", "inf"],
        ["--beta", "inf"],
        ["--device", "abacus"],
        ["--log", "csv"],
        ["--precision", "half"],
        ["--batch-size", "0"],
        ["COURSE_BUDGET"],
        ["COURSE_DATASET"],
    ],
)
@pytest.mark.parametrize("fresh", [[], ["--fresh"]])
def test_a_command_that_is_refused_leaves_a_finished_run_as_it_is(place, monkeypatch, wrong, fresh):
    monkeypatch.setitem(sys.modules, "wandb", None)
    course_train("--name", "it")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    if wrong[0].startswith("COURSE_"):
        monkeypatch.setenv(wrong[0], "nonsense")
        wrong = []
    assert course_train("--name", "it", *wrong, *fresh) in (1, 2)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_a_logger_that_breaks_costs_no_training(place, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **_: 1 / 0))
    assert course_train("--log", "wandb") == 0
    assert "wandb does not take this epoch" in capsys.readouterr().out and weights(place)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--beta", "inf"], 2, "beta is inf; expected a number from 0 up"),
        (["--weight", "nan", "--model", "mmd-ae"], 2, "weight"),
        (["--lr", "inf"], 2, "lr is inf; expected a number above 0"),
        (["--name", ".."], 1, "becomes a file's name"),
        (["--name", "."], 1, "becomes a file's name"),
        (["--name", "CON"], 1, "Windows keeps this name"),
        (["--model", "gan"], 1, "expected one of ae, vae"),
        (["--precision", "half"], 2, "float32, bfloat16"),
        (["--log", "paper"], 1, "expected one of tensorboard, wandb"),
        (["--epochs", "0"], 2, "epochs"),
        (["--name", "a/b"], 1, "name"),
        (["--device", "abacus"], 1, "abacus"),
        (["--device", "cpu", "--cuda-graph"], 1, "--cuda-graph needs a CUDA device"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(place, capsys, arguments, code, said):
    assert course_train(*arguments) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not place.exists()


def test_wandb_needs_no_account_unless_asked(place, monkeypatch):
    """A stand-in for the package, which records how it was called."""
    seen = types.SimpleNamespace(init=None, logged=[], finished=False)

    def init(**options):
        seen.init = options
        return types.SimpleNamespace(
            log=lambda numbers, step: seen.logged.append((step, numbers)),
            finish=lambda: setattr(seen, "finished", True),
        )

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert course_train("--log", "wandb") == 0
    assert seen.init["mode"] == "offline" and seen.init["name"] == NAME
    assert [step for step, _ in seen.logged] == [1, 2] and "test_loss" in seen.logged[0][1]
    assert seen.finished


@pytest.mark.parametrize(("logger", "module"), [("wandb", "wandb"), ("tensorboard", "torch.utils.tensorboard")])
def test_a_logger_that_is_not_installed_says_how_to_get_it(place, monkeypatch, capsys, logger, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert course_train("--log", logger) == 1
    assert f"pip install {logger}" in capsys.readouterr().err


def test_tensorboard_gets_every_number_of_every_epoch(place):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert course_train("--log", "tensorboard") == 0
    events = EventAccumulator(str(place / NAME / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("test_distortion")] == [1, 2]
