"""Kept runs: what is written, what comes back, and what a damaged or foreign run says."""

from __future__ import annotations

import contextlib
import errno
import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from course_utils.models import runs
from course_utils.system.errors import CourseError

UNIT = "01_autoencoders"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs" / UNIT


def model(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))


def test_a_run_comes_back_as_it_was(place):
    kept, fresh = model(), model()
    record = {"history": [{"epoch": 1, "loss": 1.5}], "stopped": None}
    assert runs.save("vae-b0.001_d2", kept, record, UNIT) == place / "vae-b0.001_d2.safetensors"
    assert runs.load("vae-b0.001_d2", fresh, UNIT) == record
    for key, value in kept.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[key]), key
    assert not fresh.training
    assert sorted(path.name for path in place.iterdir()) == ["vae-b0.001_d2.json", "vae-b0.001_d2.safetensors"]


def test_saving_again_replaces(place):
    runs.save("a", model(), {"n": 1}, UNIT)
    second = model()
    runs.save("a", second, {"n": 2}, UNIT)
    fresh = model()
    assert runs.load("a", fresh, UNIT) == {"n": 2}
    assert torch.equal(fresh[0].weight, second[0].weight)


def test_shared_and_transposed_weights_are_kept(place):
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    tied[0].bias.data = torch.arange(6.0)[::2]
    assert runs.save("tied", tied, {}, UNIT)
    fresh = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    runs.load("tied", fresh, UNIT)
    assert torch.equal(fresh[1].weight, tied[0].weight) and fresh[0].bias.tolist() == [0, 2, 4]


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "../a", "a b", "a:b", None, 3])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match="becomes a file's name"):
        runs.save(name, model(), {}, UNIT)


def of_older_version(path):
    """The run as it was kept before weights held their record."""
    save_file(load_file(path), path)
    return path


@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 100, b'{"history": 3, "n": 2}', None])
def test_the_record_in_the_weights_counts_whatever_lies_beside_them(place, content):
    path = runs.save("vae", model(), {"n": 1}, UNIT).with_suffix(".json")
    path.unlink() if content is None else path.write_bytes(content)
    assert runs.load("vae", model(), UNIT) == {"n": 1}


def test_every_damage_to_the_weights_is_noticed_by_their_digest(place):
    """All of 60 places, spread over the file, with one bit changed."""
    path = runs.save("vae", model(), {"n": 1}, UNIT)
    whole = path.read_bytes()
    for place_of in range(0, len(whole), max(1, len(whole) // 60)):
        changed = bytearray(whole)
        changed[place_of] ^= 4
        path.write_bytes(bytes(changed))
        with contextlib.suppress(CourseError):
            runs.load("vae", fresh := model(), UNIT)
            path.write_bytes(whole)
            kept = model()
            runs.load("vae", kept, UNIT)
            assert all(
                torch.equal(a, b) for a, b in zip(fresh.state_dict().values(), kept.state_dict().values(), strict=True)
            )


def test_a_run_of_a_newer_version_says_so(place):
    path = runs.save("vae", model(), {}, UNIT)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata | {"version": "2"})
    with pytest.raises(CourseError, match="kept in format 2 by another version of the course; this one reads 1"):
        runs.load("vae", model(), UNIT)


def test_records_are_strict_json(place):
    record = {"history": [{"loss": math.inf, "test_loss": math.nan, "n": np.int64(3)}], "lr": np.float32(0.5)}
    text = runs.save("vae", model(), record, UNIT).with_suffix(".json").read_text()

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse) == {
        "history": [{"loss": None, "test_loss": None, "n": 3}],
        "lr": 0.5,
    }
    assert math.isnan(runs.load("vae", model(), UNIT)["history"][0]["loss"])


def test_weights_and_record_are_written_together_or_not_at_all(place, monkeypatch):
    """Killed at every renaming in turn: what is read is the old run or the new one, never a mixture."""
    runs.save("vae", model(), {"n": 1}, UNIT)
    for step in range(2):
        made = []

        def killed(path, target, made=made, step=step, replace=runs.Path.replace):
            if len(made) == step:
                raise KeyboardInterrupt
            made.append(target)
            return replace(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(runs.Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                runs.save("vae", model(), {"n": 2}, UNIT)
        assert runs.load("vae", model(), UNIT) == {"n": 1}


@pytest.mark.parametrize(
    "name",
    [
        ".",
        "..",
        "...",
        ".x",
        "-x",
        "x.",
        "CON",
        "con",
        "Nul.x",
        "COM1",
        "lpt9.txt",
        "COM¹",
        "a.json",
        "a.SafeTensors",
        "a" * 151,
        "ü" * 80,
    ],
)
def test_names_that_lead_out_or_mean_something_to_a_system_are_refused(place, name):
    for call in (lambda: runs.save(name, model(), {}, UNIT), lambda: runs.load(name, model(), UNIT)):
        with pytest.raises(ValueError, match="becomes a file's name"):
            call()
    with pytest.raises(ValueError, match="becomes a file's name"):
        runs.save("a", model(), {}, name)
    assert not place.exists()


def test_the_home_folder_in_course_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COURSE_RUNS", "~/mine")
    assert runs.folder(UNIT) == tmp_path / "mine" / UNIT
    monkeypatch.setenv("COURSE_RUNS", "~nobody-of-this-name/mine")
    with pytest.raises(CourseError, match="no such home folder"):
        runs.folder(UNIT)


def test_a_run_that_is_not_there_says_how_to_get_it():
    with pytest.raises(CourseError, match=r"There is no run 'vae' in .*01_autoencoders\. Train it first"):
        runs.load("vae", model(), UNIT)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 100, None], ids=["empty", "cut off", "noise", "missing"])
def test_a_damaged_run_is_one_clear_error_and_leaves_the_model_alone(place, suffix, content):
    path = of_older_version(runs.save("vae", model(), {}, UNIT)).with_suffix(suffix)
    path.unlink() if content is None else path.write_bytes(content)
    fresh = model()
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    with pytest.raises(CourseError, match="cannot be read|There is no run") as caught:
        runs.load("vae", fresh, UNIT)
    assert "Train it" in str(caught.value) and "\n" not in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in fresh.state_dict().items())


def test_a_run_of_another_model_names_the_first_difference_and_changes_nothing():
    runs.save("vae", model(3), {}, UNIT)
    other = model(5)
    before = other[0].weight.clone()
    with pytest.raises(CourseError, match=r"another model: 0\.bias is \(3,\) there and \(5,\) in the given one"):
        runs.load("vae", other, UNIT)
    with pytest.raises(CourseError, match=r"1\.\w+ is \(3,\) there and absent in the given one"):
        runs.load("vae", nn.Sequential(nn.Linear(4, 3)), UNIT)
    assert torch.equal(other[0].weight, before)


@pytest.mark.parametrize("moment", ["weights", "record"])
def test_a_full_disk_is_told_and_leaves_the_former_run(place, monkeypatch, capsys, moment):
    former = model()
    runs.save("vae", former, {"n": 1}, UNIT)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "weights":
        import safetensors.torch

        monkeypatch.setattr(safetensors.torch, "save_file", full)
    else:
        monkeypatch.setattr(runs.Path, "write_text", full)
    assert runs.save("vae", former, {"n": 2}, UNIT) is None
    shown = capsys.readouterr().out
    assert "could not be kept" in shown and "No space left on device" in shown and "memory" in shown
    assert sorted(path.name for path in place.iterdir()) == ["vae.json", "vae.safetensors"]
    assert runs.load("vae", model(), UNIT) == {"n": 1}


def test_an_error_of_the_writing_library_is_told_too(monkeypatch, capsys):
    import safetensors
    import safetensors.torch

    def full(*_, **__):
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    assert runs.save("vae", model(), {}, UNIT) is None
    assert "No space left on device" in capsys.readouterr().out


def test_a_place_that_is_no_folder_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path / "file"))
    assert runs.save("vae", model(), {}, UNIT) is None
    assert "could not be kept" in capsys.readouterr().out


def test_the_unit_is_that_of_the_folder_one_works_in(tmp_path, monkeypatch):
    for folder, unit in (("02_variational_autoencoders", "02_variational_autoencoders"), ("elsewhere", "scratch")):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        assert runs.folder() == tmp_path / "runs" / unit


def test_by_default_runs_lie_in_the_course_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_RUNS")
    (tmp_path / "nbgrader_config.py").write_text("")
    unit = tmp_path / "notebooks" / UNIT
    unit.mkdir(parents=True)
    monkeypatch.chdir(unit)
    assert runs.folder() == tmp_path / "runs" / UNIT


def test_the_record_is_plain_json_for_others_to_read(place):
    runs.save("vae", model(), {"history": [{"epoch": 1}]}, UNIT)
    assert json.loads((place / "vae.json").read_text(encoding="utf-8")) == {"history": [{"epoch": 1}]}
