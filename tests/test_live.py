"""What a training shows while it runs: that it costs its share and no more, changes nothing, and leaves one picture."""

from __future__ import annotations

import base64
import io
import math
import re

import pytest
import torch
from PIL import Image
from torch import nn

from course_utils import models, plots, training
from course_utils.plots import figures
from course_utils.system import notebook
from course_utils.training import live, measuring, recipes
from course_utils.training.live import in_notebook

VIEW = "application/vnd.jupyter.widget-view+json"
IMAGES = torch.randint(0, 256, (96, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Screen:
    """What a front end was told to show."""

    def __init__(self) -> None:
        self.outputs: list[dict] = []  # one for each display, with its last state
        self.widgets: list[in_notebook.LiveWidget] = []

    def display(self, bundle: dict, raw: bool, display_id: bool):
        assert raw and display_id, "an output without an id cannot be replaced"
        self.outputs.append(bundle)
        return Handle(self, len(self.outputs) - 1)

    @property
    def last_alt(self) -> str:
        return re.search('alt="([^"]*)"', self.outputs[-1]["text/html"])[1]


class Handle:
    def __init__(self, screen: Screen, number: int) -> None:
        self.screen, self.number = screen, number

    def update(self, bundle: dict, raw: bool) -> None:
        self.screen.outputs[self.number] = bundle


@pytest.fixture
def screen(monkeypatch) -> Screen:
    """A notebook in which a picture is drawn after every step."""
    screen = Screen()
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    monkeypatch.setattr(in_notebook, "display", screen.display)
    monkeypatch.setattr(in_notebook, "get_connection_file", lambda: "/somewhere/kernel-12-ab.json")
    monkeypatch.setattr(in_notebook.NotebookView, "pause", 0)
    monkeypatch.setattr(in_notebook, "SHARE", float("inf"))
    monkeypatch.setattr(measuring, "PROBE_SECONDS", 0.0)
    make = in_notebook.LiveWidget.__init__
    monkeypatch.setattr(
        in_notebook.LiveWidget, "__init__", lambda self, **kw: (make(self, **kw), screen.widgets.append(self))[0]
    )
    return screen


def raising(error: BaseException):
    def function(*_):
        raise error

    return function


class Clock:
    def __init__(self, monkeypatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(live, "clock", lambda: self.now)


def fit(kind: str = "vae", **kwargs) -> training.Run:
    torch.manual_seed(0)
    model, loss_function, critic = recipes.prepare(
        recipes.Recipe(kind, 3, (8,), critic_dims=(8,), critic_steps=1), IMAGES
    )
    options = {"epochs": 2, "batch_size": 32, "seed": 1, "critic": critic} | kwargs
    return training.fit(options.pop("model", model), options.pop("loss", loss_function), IMAGES, **options)


@pytest.mark.parametrize("seconds", [0.002, 0.1, 3.0])
def test_pictures_take_their_share_of_the_time_and_no_more(screen, monkeypatch, seconds):
    monkeypatch.setattr(in_notebook, "SHARE", 0.02)
    monkeypatch.setattr(in_notebook.NotebookView, "pause", live.WATCHED_PAUSE)
    clock, drawn = Clock(monkeypatch), []
    view = live.open_view([], 10, 3000, model=nn.Identity(), images=IMAGES, pictures=True)

    def drawing(records):
        clock.now += seconds
        drawn.append(clock.now)
        return None, "a picture"

    monkeypatch.setattr(view, "_drawn", drawing)
    monkeypatch.setattr(plots, "png", lambda figure: b"")
    for step in range(30_000):
        clock.now += 0.02
        view.step(1 + step // 3000, 1 + step % 3000, {"loss": 1.0})
        spent, elapsed = seconds * (len(drawn) - 1), clock.now - 100
        assert spent <= 0.02 * elapsed, f"after {elapsed:.1f} s there were {len(drawn)} pictures of {seconds} s"
    possible = min(0.02 * elapsed / seconds, elapsed / (live.WATCHED_PAUSE + 0.02 + seconds))
    assert len(drawn) > 0.9 * possible - 1, f"only {len(drawn)} pictures where {possible:.0f} were possible"


@pytest.mark.parametrize(
    ("kind", "numbers", "rows"),
    [
        ("ae", "loss from", "images, reconstructions."),
        ("vae", "rate from", "images, reconstructions, samples."),
        ("mmd-ae", "mmd from", "images, reconstructions, samples."),
        ("wasserstein", "critic_distance from", "images, reconstructions, samples."),
    ],
)
def test_one_output_is_replaced_and_its_last_state_is_a_still_picture(screen, kind, numbers, rows):
    run = fit(kind, test_images=IMAGES[:20])
    (output,) = screen.outputs
    assert set(output) == {"text/html", "text/plain"}, f"the saved notebook would hold {set(output)}"
    assert numbers in screen.last_alt and screen.last_alt.endswith(rows), screen.last_alt
    assert f"loss {run.history[-1]['loss']:.4g}" in output["text/plain"]
    picture = base64.b64decode(re.search('base64,([^"]*)"', output["text/html"])[1])
    assert picture.startswith(b"\x89PNG") and len(picture) < 100_000, f"{len(picture)} bytes"
    with Image.open(io.BytesIO(picture)) as opened:
        colourful = max(max(colour) - min(colour) for _, colour in opened.convert("RGB").getcolors(256))
    assert colourful > 90, "the curves have lost their colours (#332288 spans 102) to the greys of the images"
    (widget,) = screen.widgets
    assert widget.picture.startswith(b"\x89PNG") and widget.about["line"].startswith("epoch 2 of 2"), "it never moved"
    assert widget.kernel == "12-ab" and widget.comm is None, "the widget lives on"


def test_without_pictures_the_saved_output_is_one_line(screen):
    fit(live=False)
    (output,) = screen.outputs
    assert set(output) == {"text/plain"} and re.fullmatch(r"2 epochs in .*; loss \S+\.", output["text/plain"])


def test_drawing_changes_neither_weights_nor_numbers(screen):
    class Odd(models.Autoencoder):
        """Draws random numbers, and keeps count of what it is shown."""

        def __init__(self) -> None:
            encoder = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
            super().__init__(encoder, nn.Linear(3, 64))

        def encode(self, x):
            return super().encode(x) + 0.01 * torch.randn(len(x), 3)

    def loss(model, x):
        logits, z = model(x)
        return {"loss": (logits.sigmoid() - x).square().sum(1).mean(), "rate": z.square().mean()}

    def trained(**kwargs):
        torch.manual_seed(0)
        run = fit(model=Odd(), loss=loss, **kwargs)
        numbers = [{key: value for key, value in record.items() if key != "seconds"} for record in run.history]
        return run.model.state_dict(), numbers

    (weights, numbers), (plain_weights, plain_numbers) = trained(), trained(progress=False)
    assert screen.widgets[0].picture, "nothing was drawn"
    different = [key for key, value in weights.items() if not torch.equal(value, plain_weights[key])]
    assert not different and numbers == plain_numbers, f"drawing changed {different or numbers}"


@pytest.mark.parametrize("broken", [(figures, "_drawn"), (plots, "training_figure")], ids=["png", "figure"])
def test_an_error_in_drawing_does_not_stop_the_training(screen, monkeypatch, broken):
    monkeypatch.setattr(*broken, raising(RuntimeError("no fonts")))
    run = fit()
    assert run.stopped is None and len(run.history) == 2
    (output,) = screen.outputs
    assert set(output) == {"text/plain"} and "could not be drawn (RuntimeError('no fonts'))" in output["text/plain"]


def test_an_interrupt_while_drawing_leaves_a_usable_model(screen, monkeypatch):
    monkeypatch.setattr(figures, "_drawn", raising(KeyboardInterrupt()))  # and again while the last picture is drawn
    run = fit()
    assert run.stopped == "interrupted" and not run.model.training
    assert run.model(IMAGES.float() / 255)[0].isfinite().all()
    assert screen.outputs[0]["text/plain"].startswith("Interrupted in epoch 1 of 2")


def test_an_error_of_the_loss_function_takes_the_button_away(screen):
    def loss(model, x):
        if len(seen) == 8:
            raise ZeroDivisionError
        seen.append(x)
        return {"loss": model(x)[0].square().mean()}

    seen = []
    with pytest.raises(ZeroDivisionError):
        fit(loss=loss)
    assert VIEW not in screen.outputs[0] and screen.widgets[0].comm is None


@pytest.mark.parametrize(
    "model", [nn.Sequential(nn.Linear(64, 4), nn.Linear(4, 64)), models.Autoencoder(nn.Linear(64, 3), nn.Linear(3, 50))]
)
def test_a_model_whose_pictures_cannot_be_had_gets_curves_alone(screen, model):
    fit(model=model, loss=lambda model, x: {"loss": next(model.parameters()).square().sum()})
    assert screen.last_alt.startswith("Training curves up to epoch 2: loss from") and "images" not in screen.last_alt


def test_a_log_gets_a_line_every_half_minute(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    view = live.open_view([], 3, 50, model=nn.Identity(), images=IMAGES, pictures=True)
    for step in range(100):
        clock.now += 1
        view.step(1 + step // 50, 1 + step % 50, {"loss": 4.0, "rate": torch.tensor(2.0), "odd": 0.0})
    view.finish("Done.")
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1 of 3 · 2.0 minutes left · 1 steps/s · loss 0.1333 · rate 0.06667",
        "epoch 2 of 3 · 90 seconds left · 1 steps/s · loss 0.4 · rate 0.2",
        "epoch 2 of 3 · 60 seconds left · 1 steps/s · loss 0.1 · rate 0.05",
        "Done.",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "less than a second"),
        (4.21, "4.2 seconds"),
        (99.4, "99 seconds"),
        (252, "4.2 minutes"),
        (5900, "98.3 minutes"),
        (6100, "1.7 hours"),
        (30 * 3600, "30.0 hours"),
        (5 * 86400, "5.0 days"),
        (math.inf, "some time"),
        (math.nan, "some time"),
    ],
)
def test_durations_are_said_in_units_that_people_use(seconds, said):
    assert live.duration(seconds) == said
