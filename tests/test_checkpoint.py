"""Going on after an interruption, to the very weights of a training that had none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from course_utils import training
from course_utils.system.errors import CourseError
from course_utils.training import fitting, recipes
from course_utils.training.recipes import Recipe

IMAGES = (torch.rand(96, 20, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fitting, "PROBE_SECONDS", 0.01)


def train(path, kind: str = "vae", epochs: int = 3, interrupt_at: int | None = None, **more):
    """Train a small model; ``interrupt_at`` is the step that Ctrl-C hits."""
    torch.manual_seed(0)
    recipe = Recipe(kind, 2, hidden_dims=(8,), critic_dims=(4,), critic_steps=2)
    model, loss_function, critic = recipes.prepare(recipe, IMAGES)
    made = 0

    def interrupted(model: nn.Module, x: torch.Tensor) -> dict:
        nonlocal made
        made += model.training
        if made == interrupt_at:
            raise KeyboardInterrupt
        return loss_function(model, x)

    options = {"batch_size": 32, "seed": 3, "progress": False, "checkpoint": path} | more
    return training.fit(model, interrupted, IMAGES, epochs=epochs, critic=critic, test_images=IMAGES[:40], **options)


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
