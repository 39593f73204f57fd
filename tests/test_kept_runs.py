"""What was trained is kept: the same training is loaded, any other is made, and nothing worse takes its place."""

from __future__ import annotations

import functools
import types

import pytest
import torch
from torch import nn

from course_utils import models, training
from course_utils.system import unfinished
from course_utils.training import epochs
from course_utils.training.kept import source_digest

NOTEBOOK = """
import functools
import torch
from torch.nn import functional as F

WEIGHT = 2.0
SCALES = torch.tensor([1.0, 2.0])

def squared(a, b):
    return ((a - b) ** 2).flatten(1).sum(1).mean()

def loss(model, x):
    calls.append(1)
    return {"loss": WEIGHT * SCALES.sum() * squared(model(x), x)}
"""
IMAGES = torch.rand(40, 1, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def runs_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RUNS", str(tmp_path))


def notebook(text=NOTEBOOK):
    """The names that a notebook with this code has after a restart."""
    module = types.ModuleType("__main__")
    module.calls = 0
    names = module.__dict__ | {"calls": Calls()}
    exec(compile(text, "<cell>", "exec"), names)
    return names


class Calls(list):
    """Counts; is not a list that a digest would look into."""

    def __hash__(self):
        return id(self)


def model(hidden=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, hidden), nn.Linear(hidden, 4), nn.Unflatten(1, (1, 2, 2)))


def fit(names, model=None, images=IMAGES, **changed):
    given = {"epochs": 2, "batch_size": 20, "seed": 1, "name": "plain", "unit": "02_x", "progress": False} | changed
    return training.fit(model or globals()["model"](), names["loss"], images, **given)


def trained(names) -> bool:
    return bool(names["calls"])


def test_the_same_training_is_loaded_and_said_to_be(capsys):
    first = fit(notebook())
    names = notebook()
    again = fit(names)
    assert not trained(names) and "Kept from just now: 2 epochs in" in capsys.readouterr().out
    assert again.history == first.history and again.seconds == first.seconds and again.path == first.path
    for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not again.model.training and again.stopped is None


def test_a_cell_that_moved_and_a_comment_change_nothing():
    fit(notebook())
    names = notebook("\n\n# a comment\n" + NOTEBOOK.replace("def loss", "# the loss\n\n\ndef loss"))
    fit(names)
    assert not trained(names)


def test_after_loading_the_generators_stand_where_the_seed_puts_them():
    fit(notebook())
    drawn = []
    for _ in range(2):
        fit(notebook())
        drawn.append(torch.randn(3))
        torch.manual_seed(77)
    assert torch.equal(*drawn)


@pytest.mark.parametrize(
    "changed",
    [
        {"lr": 1e-2},
        {"seed": 2},
        {"epochs": 3},
        {"batch_size": 10},
        {"images": IMAGES.flip(0)},
        {"test_images": IMAGES[:10]},
        {"label": "another"},
        {"optimizer": "sgd"},
        {"schedule": "cosine"},
        {"validation_images": IMAGES[:10]},
        {"about": {"beta": 1}},
        {"fresh": True},
        {"on_epoch": lambda run: None},
        {"on_batch": lambda run, step, values: None},
        {"model": model(4)},
        {"name": "other"},
        {"unit": "03_x"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_any_other_training_is_made(changed):
    fit(notebook())
    names = notebook()
    fit(names, **changed)
    assert trained(names)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WEIGHT = 2.0", "WEIGHT = 3.0"),
        ("tensor([1.0, 2.0])", "tensor([1.0, 2.5])"),
        ("squared(model(x), x)", "squared(model(x), x.detach() + 0)"),
        ("(a - b) ** 2", "(a - b).abs()"),
        ("(a - b) ** 2", "(a.detach() - b) ** 2 + (a - a.detach()) ** 2"),
        ("def squared(a, b):", "def squared(a, b, extra=1):"),
        (".sum(1)", ".mean(1)"),
        (
            "def squared",
            "@functools.lru_cache\ndef unused():\n    pass\n\ndef renamed(a, b):\n    return 0\n\ndef squared",
        ),
    ],
)
def test_another_source_of_the_students_functions_is_another_training(old, new):
    fit(notebook())
    text = NOTEBOOK.replace(old, new)
    assert text != NOTEBOOK
    names = notebook(text)
    fit(names)
    assert trained(names) == ("renamed" not in new)  # what the loss does not call decides nothing


def test_what_a_closure_or_a_partial_holds_is_part_of_the_source():
    def made(weight):
        return lambda model, x: {"loss": weight * model(x).sum()}

    def with_weight(model, x, weight):
        return {"loss": weight * model(x).sum()}

    assert source_digest(made(1.0)) == source_digest(made(1.0)) != source_digest(made(2.0))
    parts = [functools.partial(with_weight, weight=weight) for weight in (1.0, 1.0, 2.0)]
    assert source_digest(parts[0]) == source_digest(parts[1]) != source_digest(parts[2])
    assert source_digest(made(torch.ones(2))) != source_digest(made(torch.zeros(2)))


def test_the_functions_that_a_model_holds_are_part_of_the_source():
    def vae(text):
        names: dict = {}
        exec("import torch\ndef reparameterize(mu, logvar):\n    return " + text, names)
        return models.VAE(4, [3], 2, reparameterize=names["reparameterize"])

    def loss(model, x):
        return {"loss": model(x)[0].sum()}

    texts = ("mu + torch.exp(logvar / 2) * torch.randn_like(mu)",) * 2 + (
        "mu + torch.exp(logvar) * torch.rand_like(mu)",
    )
    one, same, other = (source_digest(loss, vae(text)) for text in texts)
    assert one == same != other


def test_functions_that_call_each_other_have_a_digest():
    names: dict = {}
    exec("def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)\n", names)
    assert source_digest(names["even"]) == source_digest(names["even"]) != source_digest(names["odd"])


class Stop:
    """A loss that is interrupted at its n-th call."""

    def __init__(self, loss, after):
        self.loss, self.left = loss, after

    def __call__(self, model, x):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.loss(model, x)


def test_an_interrupted_run_does_not_replace_a_finished_one(capsys):
    first = fit(notebook())
    names = notebook()
    stopped = fit({"loss": Stop(names["loss"], 3)})
    assert stopped.stopped == "interrupted" and stopped.path is None
    assert "stays what it was, a run made to its end" in capsys.readouterr().out
    again = fit(names := notebook())
    assert not trained(names) and again.history == first.history


def test_an_interrupted_run_is_kept_where_there_is_nothing_better_and_is_made_anew():
    stopped = fit({"loss": Stop(notebook()["loss"], 3)})
    assert stopped.path is not None and stopped.path.exists()
    names = notebook()
    assert fit(names).stopped is None and trained(names)


class StopOnce(nn.Module):
    """Adds nothing; interrupts once, in the call of this number."""

    left = None

    def forward(self, x):
        if StopOnce.left is not None:
            StopOnce.left -= 1
            if StopOnce.left < 0:
                StopOnce.left = None
                raise KeyboardInterrupt
        return x


def test_an_interrupted_run_goes_on_after_its_last_whole_epoch_and_ends_as_if_it_had_not_been(capsys, monkeypatch):
    def made(**changed):
        return fit(notebook(), nn.Sequential(model(), StopOnce()), epochs=4, **changed)

    whole = made(name="whole")
    StopOnce.left = 4  # two steps an epoch, and a call after each epoch: in the second
    stopped = made()
    assert stopped.stopped == "interrupted" and stopped.whole_epochs == 1
    assert "go on after the last whole epoch" in capsys.readouterr().out
    rest = made()
    assert "Going on after epoch 1 of 4" in capsys.readouterr().out and rest.stopped is None
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), rest.model.parameters(), strict=True))
    assert not list(rest.path.parent.glob(".*.unfinished")), "what was gone on with is still there"


def test_what_is_shown_while_a_training_is_unfinished_says_so(capsys):
    from course_utils import plots

    StopOnce.left = 1
    fit(notebook(), nn.Sequential(model(), StopOnce()), label="the plain one")
    plots.table([{"a": 1}])
    assert "the plain one, in epoch 1 of 2" in unfinished.note() and unfinished.note() == plots.figures._with_note("")
    fit(notebook(), nn.Sequential(model(), StopOnce()), label="the plain one")
    assert unfinished.note() == ""


def test_another_interrupt_within_two_seconds_ends_the_loop_of_trainings():
    made = []
    with pytest.raises(KeyboardInterrupt):
        for number in range(4):
            made.append(fit({"loss": Stop(notebook()["loss"], 3)}, name=f"run_{number}"))
    assert len(made) == 1 and made[0].stopped == "interrupted"


def test_interrupts_that_are_far_apart_end_one_training_each(monkeypatch):
    for number in range(2):
        assert fit({"loss": Stop(notebook()["loss"], 3)}, name=f"run_{number}").stopped == "interrupted"
        epochs._interrupts[0] -= 2.5


def test_a_damaged_run_is_made_anew():
    first = fit(notebook())
    first.path.write_bytes(first.path.read_bytes()[:-7])
    names = notebook()
    fit(names)
    assert trained(names)


def test_a_training_with_a_critic_is_made_again():
    def critic():
        return training.Critic(nn.Linear(4, 1), lambda model, rival, x: {"loss": rival(x.flatten(1)).mean() * 0})

    fit(notebook(), critic=critic())
    names = notebook()
    fit(names, critic=critic())
    assert trained(names)
