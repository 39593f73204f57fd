"""`course runs`: list, show, compare, sample and remove the models that are kept."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from PIL import Image

from course_utils import datasets, models, training
from course_utils.cli.app import run
from course_utils.models import runs
from course_utils.training import recipes


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A VAE of two seeds and an autoencoder of another unit, on the digits."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_RUNS", str(folder))
        images = datasets.load("digits", device="cpu").train_images[:200].flatten(1)
        for unit, kind, seed in (("train", "vae", 0), ("train", "vae", 1), ("01_autoencoders", "ae", 0)):
            model, loss, _ = recipes.prepare(recipes.Recipe(kind, 3, (8,)), images)
            training.fit(
                model,
                loss,
                images,
                epochs=1,
                seed=seed,
                name=f"{kind}{seed}",
                unit=unit,
                test_images=images[:50],
                progress=False,
            )
    return folder


@pytest.fixture(autouse=True)
def here(kept, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_RUNS", str(kept))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


def said(capsys, command: str) -> str:
    code = run(shlex.split(command))
    captured = capsys.readouterr()
    assert (code == 0) == (not captured.err), captured.err
    return captured.out or captured.err


def test_the_list_names_every_run_with_its_data_and_loss(capsys):
    for command in ("runs", "runs list"):
        lines = said(capsys, command).splitlines()
        for name in ("train/vae0", "train/vae1", "01_autoencoders/ae0"):
            line = next(line for line in lines if line.startswith(name))
            loss = runs.open(name.split("/")[1], name.split("/")[0]).record["history"][-1]["test_loss"]
            assert "digits, 200" in line and f"{loss:.5g}" in line


def test_a_narrow_terminal_gets_a_block_for_each_run_and_a_pipe_whole_lines(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = said(capsys, "runs").splitlines()
    assert "train/vae0" in lines and "  data: digits, 200" in lines and max(map(len, lines)) <= 40
    assert "  train/vae1: 1" in said(capsys, "runs compare train/vae0 train/vae1 01_autoencoders/ae0").splitlines()
    monkeypatch.delenv("COLUMNS")
    assert all("digits, 200" in line for line in said(capsys, "runs").splitlines()[1:])


def test_show_gives_the_path_and_a_line_that_loads(capsys):
    out = said(capsys, "runs show ae0")
    assert str(runs.folder("01_autoencoders") / "ae0.safetensors") in out
    scope: dict = {}
    exec(out.split("load it with:")[1].strip(), scope)
    assert isinstance(scope["model"], models.Autoencoder)


def test_compare_shows_what_differs_and_nothing_else(capsys):
    out = said(capsys, "runs compare train/vae0 train/vae1")
    assert [line.split()[0] for line in out.splitlines() if line.split()[0] in ("seed", "lr", "epochs")] == ["seed"]
    assert "the same but for the seed" in out and "test_rate" in out
    assert "at least two runs" in said(capsys, "runs compare train/vae0")


@pytest.mark.parametrize("sampler", ["prior", "axes", "gaussian", "mixture"])
def test_samples_are_written(capsys, sampler):
    said(capsys, f"runs sample vae0 --sampler {sampler} --num 9 -o out.npy")
    images = np.load("out.npy")
    assert images.shape == (9, 784) and images.min() >= 0 and images.max() <= 1
    said(capsys, f"runs sample vae0 --sampler {sampler} --num 9")
    assert Image.open(f"vae0-{sampler}.png").size[0] > 28


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("runs show nothing", "There are: 01_autoencoders/ae0, train/vae0, train/vae1"),
        ("runs show ../../etc", "names no run"),
        ("runs sample vae0 --sampler flow", "no sampler 'flow'"),
        ("runs sample vae0 -o out.jpg", "expected .png"),
        ("runs remove vae0", "Nothing was removed; add --yes"),
    ],
)
def test_what_cannot_be_done_is_said(capsys, command, expected):
    assert expected in said(capsys, command)


def test_remove_takes_all_of_one_run_and_nothing_of_another(capsys, kept):
    for ending in ("safetensors", "json"):
        (kept / "train" / f"copy.{ending}").write_bytes((kept / "train" / f"vae0.{ending}").read_bytes())
    (kept / "train" / "copy").mkdir()
    (kept / "train" / "copy" / "checkpoint.pt").write_bytes(b"x")
    (kept / "02_variational_autoencoders").mkdir()
    for ending in ("safetensors", "json"):
        (kept / "02_variational_autoencoders" / f"copy.{ending}").write_bytes(
            (kept / "train" / f"vae0.{ending}").read_bytes()
        )
    assert "name one of 02_variational_autoencoders/copy, train/copy" in said(capsys, "runs show copy")
    said(capsys, "runs remove train/copy --yes")
    assert not list((kept / "train").glob("copy*")) and len(list((kept / "train").iterdir())) == 4
    said(capsys, "runs remove copy --yes")


def test_a_damaged_run_is_listed_with_the_reason_and_can_be_removed(capsys, kept):
    (kept / "train" / "torn.json").write_text("{")
    assert "train/torn: There is no run" in said(capsys, "runs")
    said(capsys, "runs remove torn --yes")
    assert not (kept / "train" / "torn.json").exists()
