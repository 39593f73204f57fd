"""Other optimisers, schedules, early stopping and callbacks of `training.fit`; all seeds fixed, so no false alarms."""

from __future__ import annotations

import math

import pytest
import torch

from course_utils import training
from course_utils.training import recipes
from course_utils.training.loop import OPTIMIZERS, SCHEDULES

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.rand(96, 12, generator=GENERATOR)
HELD_OUT = torch.rand(40, 12, generator=GENERATOR)


def trained(epochs=4, **options):
    torch.manual_seed(0)
    model, loss, _ = recipes.prepare(recipes.Recipe("ae", 4, (16,)), IMAGES)
    return training.fit(model, loss, IMAGES, epochs=epochs, batch_size=16, seed=0, progress=False, **options)


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends_and_is_told_apart(name):
    run = trained(optimizer=name, lr=1e-4 if name == "sgd" else 1e-3)
    assert run.curve("loss")[-1] < run.curve("loss")[0]
    assert run.settings.get("optimizer", "adam") == name
    assert torch.equal(weights(run), weights(trained())) == (name == "adam")


def test_adam_given_as_a_function_makes_the_same_weights():
    own = trained(optimizer=lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True))
    assert torch.equal(weights(own), weights(trained()))


def test_a_schedule_decides_the_rate_of_each_epoch():
    seen = []
    options = {"on_epoch": lambda run: None, "lr": 1e-2}
    for name in SCHEDULES:
        run = trained(schedule=name, **options)
        seen.append(weights(run))
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])
    halves = trained(schedule=lambda epoch, epochs: 0.0 if epoch else 1.0)
    assert torch.equal(weights(halves), weights(trained(epochs=1))), "a factor of 0 changes nothing any more"
    assert [SCHEDULES["cosine"](epoch, 4) for epoch in (0, 2)] == pytest.approx([1, 0.5])


def test_validation_keeps_the_best_epoch_and_patience_ends_training():
    run = trained(epochs=60, lr=3e-2, validation_images=HELD_OUT, patience=3)
    losses = run.curve("validation_loss")
    best = losses.index(min(losses)) + 1
    assert run.best_epoch == best and len(run.history) == best + 3 < 60 and run.stopped is None
    found = training.evaluate(run.model, recipes.loss_function(recipes.Recipe("ae", 4, (16,))), HELD_OUT)
    assert found["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_what_was_interrupted_ends_with_the_same_best_weights(tmp_path):
    options = {"epochs": 8, "lr": 3e-2, "validation_images": HELD_OUT, "patience": 3, "schedule": "cosine"}
    whole = trained(**options)

    def stop(run):
        if len(run.history) == 2:
            raise KeyboardInterrupt

    broken = trained(checkpoint=tmp_path / "c.pt", on_epoch=stop, **options)
    assert broken.stopped == "interrupted"
    resumed = trained(checkpoint=tmp_path / "c.pt", **options)
    assert torch.equal(weights(resumed), weights(whole)) and resumed.best_epoch == whole.best_epoch
    again = trained(checkpoint=tmp_path / "c.pt", **options)
    assert torch.equal(weights(again), weights(whole)) and len(again.history) == len(whole.history)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"optimizer": "adamw"}, "optimizer"),
        ({"schedule": "cosine"}, "schedule"),
        ({"validation_images": HELD_OUT}, "validation|other images"),
    ],
)
def test_a_checkpoint_of_another_way_is_refused(tmp_path, other, said):
    trained(epochs=1, checkpoint=tmp_path / "c.pt")
    with pytest.raises(Exception, match=said):
        trained(epochs=2, checkpoint=tmp_path / "c.pt", **other)


def test_on_batch_sees_every_step_and_changes_nothing():
    seen = []
    run = trained(
        epochs=2, on_batch=lambda run, step, values: seen.append((len(run.history), step, float(values["loss"])))
    )
    assert [each[:2] for each in seen] == [(epoch, step) for epoch in (0, 1) for step in range(1, 7)]
    assert math.isclose(sum(loss for epoch, _, loss in seen if epoch == 0) / 6, run.history[0]["loss"], rel_tol=1e-5)
    assert torch.equal(weights(run), weights(trained(epochs=2)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimizer": "adagrad"}, "optimizer is 'adagrad'; expected one of adam, adamw"),
        ({"optimizer": 3}, "optimizer is 3; expected one of .* or a function"),
        ({"optimizer": lambda parameters, lr: None}, "returned a NoneType; expected a torch.optim.Optimizer"),
        ({"schedule": "step"}, "schedule is 'step'"),
        ({"schedule": lambda epoch, epochs: math.nan}, "schedule gave nan for epoch 1 of 4"),
        ({"patience": 3}, "patience needs validation_images"),
        ({"patience": 0, "validation_images": HELD_OUT}, "patience is 0; expected a whole number from 1"),
        ({"validation_images": HELD_OUT * 255}, "validation_images range from"),
    ],
)
def test_wrong_ways_are_refused(options, said):
    with pytest.raises(Exception, match=said):
        trained(**options)
