"""The training loop: that it learns, what it records, and that nothing is lost when it ends early."""

from __future__ import annotations

import contextlib
import io
import math
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import training
from course_utils.models import runs
from course_utils.system import device
from course_utils.system.errors import CourseError
from course_utils.training import epochs, live, measuring

UNIT = "01_autoencoders"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))
    monkeypatch.setattr(measuring, "PROBE_SECONDS", 0.01)
    for name in ("COURSE_BUDGET", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / UNIT


def toy_images(count: int = 256) -> torch.Tensor:
    """Bytes on a line in 6-D: an autoencoder with one latent dimension can learn them."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(count, 1, generator=generator) * torch.tensor([[255.0, 200, 150, 100, 50, 0]])).to(torch.uint8)


def toy_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Linear(1, 6))


def squared_error(model: nn.Module, x: torch.Tensor) -> dict:
    return {"loss": (model(x) - x).square().sum(1).mean(), "noise": torch.rand(())}


def fit(model=None, loss_function=squared_error, images=None, **kwargs) -> training.Run:
    options = {"epochs": 2, "batch_size": 32, "lr": 1e-2, "progress": False, **kwargs}
    return training.fit(model or toy_model(), loss_function, toy_images() if images is None else images, **options)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


class AtStep:
    """A loss function that does something else at its k-th call, counted from 1."""

    def __init__(self, step: int, action) -> None:
        self.step, self.action, self.calls = step, action, 0

    def __call__(self, model, x):
        self.calls += 1
        return self.action(model, x) if self.calls == self.step else squared_error(model, x)


def interrupt(model, x):
    raise KeyboardInterrupt


def nan_loss(model, x):
    return {"loss": squared_error(model, x)["loss"] * math.nan}


# --- learning and recording --------------------------------------------------------------------------------------


def test_a_toy_is_learnt():
    """False alarm: none, the seed is fixed and the machine's rounding moves the loss by far less than the margin."""
    run = fit(epochs=60, seed=1, test_images=toy_images(64))
    assert run.curve("loss")[-1] < 0.2 * run.curve("loss")[0], run.curve("loss")
    assert run.curve("test_loss")[-1] < 0.2 * run.curve("test_loss")[0]
    assert not run.model.training and run.stopped is None


def test_the_history_has_one_record_per_epoch_with_every_number():
    run = fit(epochs=3, test_images=toy_images(40))
    for record in run.history:
        assert list(record) == ["epoch", "seconds", "loss", "noise", "test_loss", "test_noise"]
    assert run.curve("epoch") == [1, 2, 3] and run.curve("seconds") == sorted(run.curve("seconds"))
    assert all(type(value) in (int, float) for record in run.history for value in record.values())


def test_an_unknown_curve_names_those_there_are():
    with pytest.raises(KeyError, match="no 'kl' in this history; there are epoch, seconds, loss, noise"):
        fit().curve("kl")


def test_a_record_is_the_mean_over_the_steps_of_its_epoch():
    seen = []

    def constant(model, x):
        seen.append(float(len(seen)))
        return {"loss": squared_error(model, x)["loss"], "count": torch.tensor(seen[-1]), "plain": seen[-1]}

    run = fit(loss_function=constant, epochs=2)
    assert run.curve("count") == run.curve("plain") == [np.mean(range(8)), np.mean(range(8, 16))]


def test_the_loop_is_adam_as_torch_has_it():
    """Weights after three full-batch epochs equal those of a loop written out by hand."""
    images = toy_images(32)
    model, by_hand = toy_model(), toy_model()
    fit(model, images=images, epochs=3, lr=0.05)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        squared_error(by_hand, images.float() / 255)["loss"].backward()
        optimizer.step()
    for (name, ours), theirs in zip(model.named_parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_a_seed_gives_the_same_history_with_and_without_progress(capsys):
    def numbers(run):
        return [{key: value for key, value in record.items() if key != "seconds"} for record in run.history]

    first = numbers(fit(seed=7))
    assert numbers(fit(seed=7, progress=True)) == first
    assert numbers(fit(seed=8)) != first


def test_evaluation_averages_over_images_and_restores_the_mode():
    model = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.9)).train()
    images = toy_images(70)
    in_parts = training.evaluate(model, squared_error, images, batch_size=32)["loss"]
    assert model.training
    whole = squared_error(model.eval(), images.float() / 255)["loss"].item()
    assert in_parts == pytest.approx(whole, rel=1e-5)


def test_no_epochs_leave_the_model_as_it_was():
    model = toy_model()
    before = weights(model)
    run = fit(model, epochs=0, progress=True)
    assert same(weights(model), before) and run.history == [] and run.curve("loss") == []


def test_float_images_and_frozen_layers_are_trained_too():
    model = toy_model().double()
    model[0].requires_grad_(False)
    before = weights(model)
    fit(model, images=toy_images().double() / 255)
    assert torch.equal(model[0].weight, before["0.weight"]) and not torch.equal(model[2].weight, before["2.weight"])


# --- the estimate ------------------------------------------------------------------------------------------------


def test_the_estimate_leaves_model_gradients_and_random_state_as_they_were():
    def noisy(model, x):
        return {"loss": squared_error(model, x)["loss"] + np.random.rand() + random.random()}

    model = nn.Sequential(toy_model(), nn.BatchNorm1d(6))
    before = weights(model)
    device.seed_everything(11)
    expected = random.random(), np.random.rand(), torch.rand(3).tolist()
    device.seed_everything(11)
    training.estimate_seconds(model, noisy, toy_images(), 3, 32, toy_images(10))
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == expected
    assert same(weights(model), before)
    assert all(p.grad is None for p in model.parameters())


class Clock:
    """Stands still unless a loss function moves it on: how busy the machine is does not matter."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measuring, "time", clock)
    monkeypatch.setattr(epochs, "time", clock)
    return clock


def test_the_estimate_is_what_training_takes(clock):
    def slow(model, x):
        clock.now += 0.01 if torch.is_grad_enabled() else 0.05
        return squared_error(model, x)

    images, test_images = toy_images(320), toy_images(100)
    estimate = training.estimate_seconds(toy_model(), slow, images, 2, 32, test_images)
    taken = fit(loss_function=slow, images=images, test_images=test_images, epochs=2).seconds
    assert taken == pytest.approx(2 * (10 * 0.01 + 0.05)), "two epochs of ten steps and one look at the test images"
    assert estimate == pytest.approx(taken)


def test_the_cost_is_told_before_training_starts(capsys, clock):
    def first_sight(model, x):
        clock.now += 0.01
        if model is trained:
            shown.append(capsys.readouterr().out)
        return squared_error(model, x)

    shown, trained = [], toy_model()
    run = fit(trained, first_sight, progress=True)
    assert shown[0] == f"2 epochs of 8 steps: less than a second on {device.describe(torch.device('cpu'))}.\n"
    assert run.estimated_seconds == pytest.approx(0.16)


# --- ending early ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [2, 5, 8, 9, 13])
def test_an_interrupt_leaves_a_usable_model_its_history_and_a_kept_run(place, capsys, step):
    model = toy_model()
    run = fit(model, AtStep(step, interrupt), epochs=5, name="early", unit=UNIT)
    assert run.stopped == "interrupted" and not model.training
    # eight steps an epoch: whole epochs, then the one that was cut short
    assert run.curve("epoch") == list(range(1, math.ceil((step - 1) / 8) + 1))
    assert all(math.isfinite(loss) for loss in run.curve("loss"))
    assert model(toy_images().float()).isfinite().all()
    shown = capsys.readouterr().out
    assert "Interrupted in epoch" in shown and "usable" in shown
    fresh = toy_model(seed=3)
    record = runs.load("early", fresh, UNIT)
    assert record["stopped"] == "interrupted" and record["history"] == run.history
    assert same(weights(fresh), weights(model))


def test_an_interrupt_before_the_first_step_ends_the_cell_and_keeps_nothing(place, capsys):
    """Cells below would show the numbers of a model that has none."""
    with pytest.raises(KeyboardInterrupt):
        fit(loss_function=AtStep(1, interrupt), epochs=5, name="none", unit=UNIT)
    assert "nothing was trained, and nothing is kept" in capsys.readouterr().out
    assert not runs.path_of("none", UNIT).exists()
    assert fit(epochs=1, name="none", unit=UNIT).stopped is None


def test_an_interrupt_while_testing_records_the_epoch_once():
    def interrupted_test(model, x):
        if not torch.is_grad_enabled() and len(seen) == 1:
            raise KeyboardInterrupt
        if not torch.is_grad_enabled():
            seen.append(x)
        return squared_error(model, x)

    seen, made = [], []
    with pytest.raises(KeyboardInterrupt):  # it is measured once more, and that is interrupted, too
        fit(loss_function=interrupted_test, epochs=4, test_images=toy_images(20), on_epoch=made.append)
    (run,) = made
    assert run.curve("epoch") == [1, 2]
    test_loss = run.curve("test_loss")
    assert math.isfinite(test_loss[0]) and math.isnan(test_loss[1]), "no test number, but still a curve to draw"


@pytest.mark.parametrize("step", [3, 8, 12])
def test_a_model_that_was_interrupted_in_an_epoch_has_test_numbers_as_it_is(step):
    """What a notebook shows of a finished run, it shows of this one: it was a KeyError."""
    stops, held_out = AtStep(step + 1, interrupt), toy_images(20)
    loss = lambda model, x: (stops if torch.is_grad_enabled() else squared_error)(model, x)  # noqa: E731
    run = fit(loss_function=loss, epochs=4, test_images=held_out)
    assert run.stopped == "interrupted" and len(run.history) == math.ceil(step / 8)
    expected = training.evaluate(run.model, squared_error, held_out)["loss"]
    assert run.history[-1]["test_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("step", [1, 4, 12])
def test_a_loss_that_is_nan_stops_before_the_weights_are_spoilt(capsys, step):
    model, twin = toy_model(), toy_model()
    run = fit(model, AtStep(step, nan_loss), epochs=3, seed=2)
    assert run.stopped == "not finite"
    shown = capsys.readouterr().out
    assert "no longer a finite number" in shown and "learning rate" in shown and "here 0.01" in shown
    with contextlib.suppress(KeyboardInterrupt):  # before the first step it ends the cell
        fit(twin, AtStep(step, interrupt), epochs=3, seed=2)
    assert same(weights(model), weights(twin)), "the weights are not those of the last good step"


def test_a_nan_gradient_of_a_finite_loss_stops_with_the_last_good_weights(capsys):
    """sqrt at 0: the loss is finite, its gradient is not; the loss shows it one step later."""

    def root_at_zero(model, x):
        return {"loss": squared_error(model, x)["loss"] + (0 * model[0].weight).sum().sqrt()}

    for step in (9 + 3, 9 + 7):  # within the second epoch, and at its very last step
        model, after_one_epoch = toy_model(), toy_model()
        run = fit(model, AtStep(step, root_at_zero), epochs=4, seed=2)
        fit(after_one_epoch, epochs=1, seed=2)
        assert run.stopped == "not finite", f"step {step}"
        assert same(weights(model), weights(after_one_epoch)), f"step {step}: not the weights of the last good epoch"
    assert "no longer a finite number" in capsys.readouterr().out


def test_a_huge_learning_rate_is_explained_not_raised(capsys):
    def steep(model, x):
        return {"loss": model(x).square().sum().exp()}

    run = fit(loss_function=steep, epochs=20, lr=1e6)
    assert run.stopped == "not finite" and all(p.isfinite().all() for p in run.model.parameters())
    assert "here 1e+06" in capsys.readouterr().out


def test_a_full_disk_does_not_lose_the_model(monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.Path, "mkdir", full)
    run = fit(name="vae", unit=UNIT)
    assert len(run.history) == 2 and run.model(toy_images().float()).isfinite().all()
    assert "No space left on device" in capsys.readouterr().out


def test_an_error_of_the_loss_function_is_passed_on_and_the_bar_closed(capsys):
    def broken(model, x):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(loss_function=AtStep(20, broken), epochs=5, progress=True)


# --- wrong use ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda loss: loss, "returned a Tensor; expected a dict with the key 'loss'"),
        (lambda loss: (loss, 1), "returned a tuple; expected a dict"),
        (lambda loss: None, "returned a NoneType; expected a dict"),
        (lambda loss: {"total": loss}, r"a dict with the keys \['total'\]; expected a dict with the key 'loss'"),
        (lambda loss: {"loss": loss.item()}, "cannot be minimised.*turned into a float"),
        (lambda loss: {"loss": loss.detach()}, "cannot be minimised.*detached"),
        (lambda loss: {"loss": loss * torch.ones(3)}, r"a tensor of shape \(3,\) under 'loss'; expected one number"),
        (lambda loss: {"loss": loss, "mu": torch.zeros(5, 2)}, r"shape \(5, 2\) under 'mu'; expected one number"),
        (lambda loss: {"loss": loss, "kl": None}, "None under 'kl'; expected one number"),
        (lambda loss: {"loss": loss, "kl": "0.3"}, "'0.3' under 'kl'; expected one number"),
        (lambda loss: {"loss": loss, 3: loss}, "under 3; expected a name"),
    ],
)
@pytest.mark.parametrize("progress", [False, True])
def test_a_loss_function_that_returns_something_else_is_one_clear_error(returned, message, progress):
    with pytest.raises(CourseError, match=message):
        fit(loss_function=lambda model, x: returned(squared_error(model, x)["loss"]), progress=progress)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"images": [1, 2]}, "images is list; expected a tensor"),
        ({"images": torch.rand(4)}, r"images is \(4,\); expected a tensor \(N, ...\)"),
        ({"images": torch.zeros(0, 6)}, "images is empty"),
        ({"test_images": torch.zeros(0, 6)}, "test_images is empty"),
        ({"test_images": torch.zeros(5, 7)}, r"test_images is \(5, 7\) and images is \(256, 6\); expected"),
        ({"lr": "fast"}, "lr is 'fast'; expected a number above 0"),
        ({"epochs": -1}, "epochs is -1; expected a whole number from 0 up"),
        ({"epochs": 1.5}, "epochs is 1.5; expected a whole number"),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number from 1 up"),
        ({"lr": 0}, "lr is 0; expected a number above 0"),
        ({"lr": math.nan}, "lr is nan; expected a number above 0"),
        ({"seed": -3}, "seed is -3"),
        ({"name": "a/b"}, "becomes a file's name"),
        ({"name": "a b", "epochs": 1}, "becomes a file's name"),
    ],
)
def test_wrong_arguments_are_told_before_anything_is_trained(wrong, message):
    model = toy_model()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        fit(model, **wrong)
    assert same(weights(model), before)


def test_other_kinds_of_arguments_are_told_too():
    for images in ({"images": toy_images().long()}, {"test_images": toy_images().long()}):
        with pytest.raises(TypeError, match="images have dtype torch.int64; expected uint8"):
            fit(**images)
    with pytest.raises(TypeError, match="model is a tuple; expected a module"):
        fit((nn.Linear(6, 2), nn.Linear(2, 6)))
    with pytest.raises(TypeError, match="loss_function is 'mse'; expected a function of model and x"):
        fit(loss_function="mse")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("which", ["images", "test_images"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: 255 * x, r"images range from 0 to 25\d.*; expected floats in \[0, 1\]: divide by 255"),
        (lambda x: 2 * x - 1, r"images range from -1 to 1; expected floats in \[0, 1\]: \(images \+ 1\) / 2"),
        (lambda x: (x - 0.1307) / 0.3081, r"images range from -0.42\d* to 2.8\d*; .* images \* std \+ mean"),
        (
            lambda x: x.index_fill(0, torch.tensor([3]), math.nan),
            "images have 6 values that are nan or inf, in 1 image",
        ),
        (lambda x: x.index_fill(1, torch.tensor([3]), math.inf), "images have 256 values .* in 256 images of 256"),
    ],
)
def test_images_outside_0_to_1_are_refused_with_the_range_that_came(dtype, which, change, message):
    images = toy_images().float() / 255
    images = (images - images.min()) / (images.max() - images.min())
    with pytest.raises(ValueError, match=message):
        fit(**{which: change(images).to(dtype)})


def test_a_model_without_parameters_is_one_clear_error():
    with pytest.raises(CourseError, match="The model has no parameters to train"):
        fit(nn.Identity())


# --- where it runs -----------------------------------------------------------------------------------------------


def test_the_run_is_kept_with_its_settings(place):
    run = fit(seed=4, name="vae", unit=UNIT)
    record = runs.load("vae", toy_model(), UNIT)
    assert record["history"] == run.history and record["stopped"] is None
    expected = {"epochs": 2, "batch_size": 32, "lr": 0.01, "seed": 4, "images": 256, "device": "cpu", "budget": "full"}
    assert record["settings"] == expected


def test_output_in_a_log_is_two_lines_whatever_the_number_of_epochs(capsys):
    fit(epochs=40, progress=True)
    shown = capsys.readouterr()
    assert shown.err == ""
    first, last = shown.out.splitlines()
    assert first.startswith(("40 epochs of 8 steps: about ", "40 epochs of 8 steps: less than ")) and last.startswith(
        "40 epochs in "
    ), shown.out
    assert "\r" not in shown.out


def test_silence_when_told(capsys):
    fit(progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_that_moves_and_clears(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def slow(model, x):
        time.sleep(0.02)
        return squared_error(model, x)

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(live.Terminal, "pause", 0.05)
    fit(loss_function=slow, epochs=4, progress=True)
    shown, wiped = terminal.getvalue(), "\x1b[2K"
    assert shown.count("steps/s") >= 3 and "loss" in shown, shown
    assert shown.split(wiped)[-1].startswith("4 epochs in "), "the line is wiped before the last one"


def test_it_runs_without_display_notebook_or_terminal(tmp_path):
    code = (
        "import sys, torch\n"
        "from torch import nn\n"
        "from course_utils import training\n"
        "loss = lambda model, x: {'loss': (model(x) - x).square().mean()}\n"
        "run = training.fit(nn.Linear(4, 4), loss, torch.rand(64, 4), epochs=2, batch_size=16, name='bare')\n"
        "assert len(run.history) == 2\n"
        "drawn = [m for m in sys.modules if m.split('.')[0] in ('IPython', 'matplotlib', 'ipywidgets')]\n"
        "assert not drawn, drawn\n"
    )
    display = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    environment = {key: value for key, value in os.environ.items() if key not in display}
    environment |= {"COURSE_RUNS": str(tmp_path), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == "" and len(result.stdout.splitlines()) == 2, (result.stdout, result.stderr)
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == ["bare.json", "bare.safetensors"]


def shifted(model: nn.Module, critic: nn.Module, x: torch.Tensor) -> dict:
    """What a critic minimises to tell the model's output from the images."""
    with torch.no_grad():
        made = model(x)
    return {"loss": critic(made).mean() - critic(x).mean() + 10 * critic(x).square().mean(), "count": 1.0}


def with_critic(critic: nn.Module, steps: int = 3, **kwargs) -> training.Run:
    def against(model: nn.Module, x: torch.Tensor) -> dict:
        return {"loss": (model(x) - x).square().sum(1).mean() - critic(model(x)).mean()}

    return fit(loss_function=against, critic=training.Critic(critic, shifted, steps=steps), seed=0, **kwargs)


def test_a_critic_makes_its_steps_before_each_step_of_the_model():
    seen = []

    def against(model: nn.Module, x: torch.Tensor) -> dict:
        seen.append("model")
        return {"loss": model(x).square().mean() - critic(model(x)).mean()}

    def judged(model: nn.Module, module: nn.Module, x: torch.Tensor) -> dict:
        seen.append("critic")
        return shifted(model, module, x)

    critic = nn.Linear(6, 1)
    fit(loss_function=against, critic=training.Critic(critic, judged, steps=2), epochs=1, images=toy_images(96))
    assert seen == ["critic", "critic", "model"] * 3


def test_a_critic_learns_and_its_numbers_are_recorded():
    critic = nn.Linear(6, 1)
    before = weights(critic)
    run = with_critic(critic)
    assert {"loss", "critic_loss", "critic_count"} <= run.history[0].keys()
    assert run.history[0]["critic_count"] == pytest.approx(1.0)
    assert not same(before, weights(critic))
    assert run.settings["critic_steps"] == 3


def test_the_step_of_the_model_leaves_no_gradient_in_the_critic():
    """Its parameters take gradients again when training has ended."""
    critic = nn.Linear(6, 1)
    frozen = []

    def against(model: nn.Module, x: torch.Tensor) -> dict:
        frozen.append(not any(p.requires_grad for p in critic.parameters()))
        return {"loss": model(x).square().mean() - critic(model(x)).mean()}

    fit(loss_function=against, critic=training.Critic(critic, shifted), epochs=1, progress=True)
    assert all(frozen)
    assert all(p.requires_grad for p in critic.parameters())


def test_the_estimate_leaves_the_critic_as_it_was():
    """The same training with and without an estimate before it."""
    critics = []
    for progress in (False, True):
        torch.manual_seed(1)
        critics.append(nn.Linear(6, 1))
        with_critic(critics[-1], progress=progress)
    assert same(weights(critics[0]), weights(critics[1]))


def test_a_critic_that_is_nan_stops_the_training(capsys):
    def broken(model: nn.Module, critic: nn.Module, x: torch.Tensor) -> dict:
        return {"loss": critic(x).mean() * math.nan}

    critic = nn.Linear(6, 1)
    run = fit(critic=training.Critic(critic, broken))
    assert run.stopped == "not finite"
    assert all(p.requires_grad for p in critic.parameters())


@pytest.mark.parametrize("wrong", [{"module": "critic"}, {"loss_function": 3}, {"steps": 0}, {"steps": 2.5}])
def test_a_wrong_critic_is_told_when_it_is_made(wrong):
    with pytest.raises((TypeError, ValueError), match="critic.*expected"):
        training.Critic(**({"module": nn.Linear(2, 1), "loss_function": shifted} | wrong))
