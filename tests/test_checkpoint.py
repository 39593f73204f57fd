"""Going on after an interruption, to the very weights of a training that had none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from full_disk import fills_up
from safetensors.torch import save_file
from torch import nn

from course_utils import training
from course_utils.system import machine
from course_utils.system.errors import CourseError
from course_utils.training import measuring, recipes
from course_utils.training.recipes import Recipe

IMAGES = (torch.rand(96, 20, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(measuring, "PROBE_SECONDS", 0.01)


def train(path, kind: str = "vae", epochs: int = 3, interrupt_at: int | None = None, **more):
    """Train a small model; ``interrupt_at`` is the step that Ctrl-C hits."""
    torch.manual_seed(0)
    recipe = Recipe(kind, 2, hidden_dims=(8,), critic_dims=(4,), critic_steps=2)
    model, loss_function, critic = recipes.prepare(recipe, IMAGES)
    made = 0

    def interrupted(model: nn.Module, x: torch.Tensor) -> dict:
        nonlocal made
        made += model.training
        if model.training and made == interrupt_at:
            raise KeyboardInterrupt
        return loss_function(model, x)

    options = {"batch_size": 32, "seed": 3, "progress": False, "checkpoint": path, "test_images": IMAGES[:40]} | more
    return training.fit(model, interrupted, IMAGES, epochs=epochs, critic=critic, **options)


def numbers(run: training.Run) -> list[dict]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in run.history]


@pytest.mark.parametrize("kind", ["vae", "wasserstein"])
@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize("step", [4, 6])  # the first and the last of the second epoch
def test_an_interrupted_training_ends_as_one_without_interruption(tmp_path, kind, step, progress):
    whole = train(None, kind)
    first = train(tmp_path / "it", kind, interrupt_at=step)
    assert first.stopped == "interrupted"
    torch.randn(7)  # whatever happens between two sittings
    again = train(tmp_path / "it", kind, progress=progress)
    assert numbers(again) == numbers(whole)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


def test_more_epochs_can_be_asked_for_later(tmp_path):
    train(tmp_path / "it", epochs=1)
    assert numbers(train(tmp_path / "it", epochs=3)) == numbers(train(None, epochs=3))


def test_a_finished_training_is_not_trained_again(tmp_path):
    done = train(tmp_path / "it")
    again = train(tmp_path / "it", interrupt_at=1)
    assert numbers(again) == numbers(done) and again.stopped is None


def test_every_epoch_is_reported_when_it_is_safe(tmp_path):
    seen = []
    train(tmp_path / "it", on_epoch=lambda run: seen.append((len(run.history), (tmp_path / "it").exists())))
    assert seen == [(1, True), (2, True), (3, True)]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    train(tmp_path / "it", epochs=1)
    with pytest.raises(CourseError, match="lr = 0.001, now it is 0.1"):
        train(tmp_path / "it", lr=0.1)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    train(tmp_path / "it", "ae", epochs=1)
    with pytest.raises(CourseError, match="belongs to another model"):
        train(tmp_path / "it", "vae")


def test_a_checkpoint_of_other_images_of_the_same_number_is_refused(tmp_path, monkeypatch):
    train(tmp_path / "it", epochs=1)
    monkeypatch.setattr(sys.modules[__name__], "IMAGES", IMAGES.flip(0))
    with pytest.raises(CourseError, match="of a training on other images"):
        train(tmp_path / "it")


@pytest.mark.parametrize("kind", ["vae", "infovae", "mmd-vae", "wasserstein"])
@pytest.mark.parametrize("change", [{"beta": 4.0}, {"weight": 2.0}, {"penalty": 1.0}, {"bandwidths": (9.0,)}])
def test_a_checkpoint_of_another_loss_is_refused_though_only_the_loss_knows(tmp_path, kind, change):
    """Whatever the loss function holds within itself: it gives other numbers."""

    def once(more):
        torch.manual_seed(0)
        recipe = Recipe(kind, 2, hidden_dims=(8,), critic_dims=(4,), critic_steps=2, **more)
        model, loss_function, critic = recipes.prepare(recipe, IMAGES)
        options = {"critic": critic, "batch_size": 32, "seed": 3, "progress": False, "checkpoint": tmp_path / "it"}
        return training.fit(model, loss_function, IMAGES, epochs=2, **options)

    once({})
    once({})
    if set(change) & set(Recipe(kind, 2).settings()):
        with pytest.raises(CourseError, match="another loss function: on the same weights"):
            once(change)


@pytest.mark.parametrize("package", ["torch", "latent-space-course"])
def test_a_checkpoint_of_another_version_is_refused(tmp_path, monkeypatch, package):
    real = machine.version
    train(tmp_path / "it", epochs=1)
    monkeypatch.setattr(machine, "version", lambda name: "0.9" if name == package else real(name))
    with pytest.raises(CourseError, match=f"of a training with {package} .*, here is 0.9"):
        train(tmp_path / "it")


def test_a_checkpoint_of_a_newer_format_says_so(tmp_path):
    train(tmp_path / "it", epochs=1)
    state = torch.load(tmp_path / "it", weights_only=True)
    torch.save(state | {"version": 3}, tmp_path / "it")
    with pytest.raises(CourseError, match="a newer version of the course"):
        train(tmp_path / "it")
    del state["version"]
    torch.save(state, tmp_path / "it")
    with pytest.raises(CourseError, match="an earlier version of the course"):
        train(tmp_path / "it")


def test_bits_that_flipped_in_a_checkpoint_are_noticed(tmp_path):
    """4 KB of 0xff at twenty places: refused, or where they fall on what is never read, the same weights."""
    whole = train(None)
    train(tmp_path / "it", epochs=1)
    content = (tmp_path / "it").read_bytes()
    for start in range(0, len(content) - 64, len(content) // 20):
        (tmp_path / "it").write_bytes(content[:start] + b"\xff" * 64 + content[start + 64 :])
        try:
            again = train(tmp_path / "it")
        except CourseError as error:
            assert "Delete it" in str(error)
            continue
        assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True))


def test_test_images_change_nothing_about_the_weights(tmp_path):
    with_test, without = train(None), train(None, test_images=None)
    assert all(torch.equal(a, b) for a, b in zip(with_test.model.parameters(), without.model.parameters(), strict=True))


def test_fewer_epochs_than_a_checkpoint_has_are_said(tmp_path, capsys):
    whole = train(tmp_path / "it", epochs=3)
    again = train(tmp_path / "it", epochs=2, progress=True)
    assert "has 3 epochs already, 2 were asked for" in capsys.readouterr().out
    assert numbers(again) == numbers(whole) and again.settings["epochs"] == 3


def test_two_trainings_with_one_checkpoint_at_once_are_refused(tmp_path):
    with training.only_one(tmp_path / "it", "it"), pytest.raises(CourseError, match="Another training is writing"):
        train(tmp_path / "it")


def test_a_disk_too_full_for_the_checkpoint_costs_the_checkpoint_alone(tmp_path, monkeypatch, capsys):
    whole = train(None)
    fills_up(monkeypatch, 1000, lambda path, mode: "w" in mode and path.name.startswith(".it"))
    run = train(tmp_path / "it")
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), run.model.parameters(), strict=True))
    said = capsys.readouterr().out
    assert said.count("could not be written (No space left on device)") == 1 and "MB" in said and str(tmp_path) in said
    assert len(run.lost) == 1 and not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08" + bytes(30)])
def test_a_damaged_checkpoint_is_one_clear_error(tmp_path, content):
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(CourseError, match="cannot be read.*Delete it"):
        train(tmp_path / "it")


def test_a_checkpoint_cut_short_is_one_clear_error(tmp_path):
    train(tmp_path / "it", epochs=1)
    content = (tmp_path / "it").read_bytes()
    for length in (1, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "it").write_bytes(content[:length])
        with pytest.raises(CourseError, match="cannot be read.*Delete it"):
            train(tmp_path / "it")


def test_a_checkpoint_of_an_earlier_version_says_so(tmp_path):
    save_file({"random.cpu": torch.get_rng_state()}, tmp_path / "it", {"settings": "{}", "history": "[]"})
    with pytest.raises(CourseError, match="earlier version of the course.*Delete it to start again"):
        train(tmp_path / "it")


def test_reading_a_checkpoint_runs_nothing(tmp_path):
    torch.save({"settings": Path("x"), "history": [], "random": {}, "loop": {}}, tmp_path / "it")
    with pytest.raises(CourseError, match="cannot be read.*Delete it"):
        train(tmp_path / "it")


def test_mixed_precision_trains_with_full_weights(tmp_path):
    run = train(None, precision="bfloat16")
    assert run.stopped is None and {p.dtype for p in run.model.parameters()} == {torch.float32}
    with pytest.raises(ValueError, match="expected one of float32, bfloat16"):
        train(None, precision="half")
