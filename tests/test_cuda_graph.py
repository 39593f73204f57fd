"""Steps that are recorded and replayed. What needs no GPU is tried with a recorder that computes instead of replaying,
in memory that stays where it is, as a CUDA graph's does."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from course_utils import training
from course_utils.training import cuda_graph, recipes
from course_utils.training.loop import Loop, NotFinite
from course_utils.training.recipes import Recipe

IMAGES = (torch.rand(160, 12, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


class Recorder:
    """Like a CUDA graph: recording computes nothing, replaying reads and writes the recording's own tensors."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.replays = loop, 0

    def aside(self, function):
        return function()

    def record(self, function):
        before, random = copy.deepcopy(self.loop.state()), torch.get_rng_state()
        mine = {key: value.clone() for key, value in function().items()}
        self.loop.load_state(before)
        torch.set_rng_state(random)

        def replay() -> None:
            self.replays += 1
            for key, value in function().items():
                mine[key].copy_(value)

        return mine, replay


def loop_of(kind: str, recorded: bool, loss_function=None) -> tuple[Loop, Recorder | None]:
    torch.manual_seed(0)
    recipe = Recipe(kind, 2, hidden_dims=(8,), critic_dims=(4,), critic_steps=2)
    model, of_recipe, critic = recipes.prepare(recipe, IMAGES)
    options = {"batch_size": 32, "lr": 1e-2, "critic": critic}
    loop = Loop(model, loss_function or of_recipe, IMAGES, **options)
    if not recorded:
        return loop, None
    recorder = Recorder(loop)
    loop._recorded = cuda_graph.RecordedStep(lambda drawn: loop._step(drawn[0], iter(drawn[1:])), recorder)
    return loop, recorder


def trained(loop: Loop, epochs: int = 2) -> list[dict]:
    """Every step's numbers; the images in an order of their own, so that the noise is the same either way."""
    torch.manual_seed(1)
    seen = []
    for _ in range(epochs):
        orders = [torch.randperm(len(IMAGES)) for _ in range(3)]
        supply = iter([IMAGES[part] / 255 for order in orders for part in order.split(32)])
        loop._supply = iter([next(supply) for _ in range(10)])
        for x in supply:
            seen.append(loop.step(x, watch=True))
    return seen


@pytest.mark.parametrize("kind", recipes.KINDS)
def test_replayed_steps_train_as_steps_do(kind):
    plain, _ = loop_of(kind, recorded=False)
    loop, recorder = loop_of(kind, recorded=True)
    assert trained(loop) == trained(plain)
    assert recorder.replays == 10 - cuda_graph.WARM_UP
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, loop.model.state_dict()[key]), key


def test_a_loss_that_is_not_finite_is_told_from_a_replayed_step_too():
    def loss(model: nn.Module, x: Tensor) -> dict:
        made.append(1)
        return {"loss": model(x)[0].square().mean() * (float("nan") if len(made) > 6 else 1)}

    made: list[int] = []
    loop, recorder = loop_of("ae", recorded=True, loss_function=loss)
    with pytest.raises(NotFinite):
        trained(loop)
    assert recorder.replays == 3  # calls 1 to 3 as they are, the fourth records, calls 5 to 7 replay


def test_a_batch_of_another_shape_is_refused_before_anything_is_trained():
    loop, _ = loop_of("ae", recorded=True)
    for _ in range(cuda_graph.WARM_UP + 1):
        loop.step(torch.rand(32, 12))
    before = copy.deepcopy(loop.model.state_dict())
    with pytest.raises(ValueError, match="expected batches of one shape"):
        loop.step(torch.rand(31, 12))
    assert all(torch.equal(value, before[key]) for key, value in loop.model.state_dict().items())


def test_on_a_processor_it_is_refused():
    model, loss_function, _ = recipes.prepare(Recipe("ae", 2, hidden_dims=(8,)), IMAGES)
    with pytest.raises(ValueError, match="cuda_graph needs images on a CUDA device"):
        training.fit(model, loss_function, IMAGES, epochs=1, cuda_graph=True, progress=False)


@NEEDS_GPU
@pytest.mark.parametrize("kind", recipes.KINDS)
def test_a_graph_trains_as_well_as_plain_steps(kind):
    losses = {}
    for graph in (False, True):
        torch.manual_seed(0)
        images = IMAGES.cuda()
        model, loss_function, critic = recipes.prepare(Recipe(kind, 2, hidden_dims=(8,)), images)
        run = training.fit(
            model,
            loss_function,
            images,
            epochs=30,
            batch_size=32,
            seed=0,
            critic=critic,
            cuda_graph=graph,
            progress=False,
        )
        losses[graph] = run.curve("distortion")[-1]
    # the noise differs; without noise the two agree to rounding, which Adam magnifies
    assert losses[True] == pytest.approx(losses[False], rel=0.02), losses


@NEEDS_GPU
def test_every_replay_draws_fresh_noise():
    model = nn.Linear(1, 1).cuda()
    drawn = training.fit(
        model,
        lambda model, x: {"loss": model(x).mean() * 0 + torch.randn((), device="cuda")},
        torch.rand(20, 1, device="cuda"),
        epochs=20,
        batch_size=20,
        cuda_graph=True,
        progress=False,
    ).curve("loss")
    assert len(set(drawn)) == 20


@NEEDS_GPU
def test_a_loss_that_waits_for_the_gpu_is_refused():
    from course_utils.system.errors import CourseError

    def loss(model, x):
        return {"loss": model(x).mean() * float(x.mean())}

    with pytest.raises(CourseError, match="cannot be recorded in a CUDA graph"):
        training.fit(
            nn.Linear(1, 1).cuda(),
            loss,
            torch.rand(20, 1, device="cuda"),
            epochs=9,
            batch_size=20,
            cuda_graph=True,
            progress=False,
        )
