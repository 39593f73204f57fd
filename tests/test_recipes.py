"""The course's own models and losses, by kind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import datasets, training
from course_utils.metrics import mmd
from course_utils.models import closed_forms as reference
from course_utils.training import recipes
from course_utils.training.recipes import Recipe


@pytest.fixture
def x():
    return torch.rand(32, 12, generator=torch.Generator().manual_seed(0))


def losses(recipe: Recipe, x: torch.Tensor) -> tuple[dict, recipes.Prepared]:
    torch.manual_seed(0)
    prepared = recipes.prepare(recipe, x)
    torch.manual_seed(1)
    return prepared.loss_function(prepared.model, x), prepared


@pytest.mark.parametrize(
    ("recipe", "formula"),
    [
        (Recipe("ae", 2), lambda v: v["distortion"]),
        (Recipe("vae", 2, beta=0.3), lambda v: v["distortion"] + 0.3 * v["rate"]),
        (Recipe("mmd-ae", 2, weight=50.0), lambda v: v["distortion"] + 50 * v["mmd"]),
        (Recipe("mmd-vae", 2, weight=50.0), lambda v: v["distortion"] + 50 * v["mmd"]),
        (Recipe("infovae", 2, beta=0.3, weight=50.0), lambda v: v["distortion"] + 0.3 * v["rate"] + 50 * v["mmd"]),
        (Recipe("wasserstein", 2, weight=5.0), lambda v: v["distortion"] + 5 * v["gap"]),
    ],
)
def test_the_loss_is_the_sum_that_the_kind_says(recipe, formula, x):
    values, _ = losses(recipe, x)
    torch.testing.assert_close(values["loss"], formula(values))


def test_the_mmd_is_between_the_codes_and_as_many_draws_of_the_prior(x):
    values, prepared = losses(Recipe("mmd-ae", 2, bandwidths=(1.0, 2.0)), x)
    torch.manual_seed(1)
    z = prepared.model.encode(x)
    torch.testing.assert_close(values["mmd"], mmd.mmd_squared(z, torch.randn(32, 2), (1.0, 2.0)))


@pytest.mark.parametrize("kind", recipes.KINDS)
def test_every_kind_learns_the_digits(kind):
    images = datasets.load("digits").train_images.flatten(1)[:512]
    torch.manual_seed(0)
    model, loss_function, critic = recipes.prepare(Recipe(kind, 3, hidden_dims=(32,), critic_dims=(16,)), images)
    run = training.fit(
        model, loss_function, images, epochs=10, batch_size=64, lr=3e-3, critic=critic, seed=0, progress=False
    )
    distortion = run.curve("distortion")
    assert run.stopped is None and distortion[-1] < 0.7 * distortion[0]
    assert ("critic_distance" in run.history[0]) == (kind == "wasserstein")


def test_the_penalty_of_a_linear_critic_is_that_of_its_weight():
    """Its gradient is its weight w everywhere: (|w| - 1)^2, whatever the codes."""
    critic = nn.Linear(3, 1)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[2.0, 3.0, 6.0]]))
    penalty = reference.gradient_penalty(critic, torch.randn(5, 3), torch.randn(5, 3))
    assert penalty.item() == pytest.approx((7 - 1) ** 2)
    penalty.backward()  # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(critic.weight.grad, 2 * 6 * critic.weight.detach() / 7)


def test_the_loss_of_a_linear_critic_is_the_difference_of_means():
    critic = nn.Linear(2, 1, bias=False)
    z_prior, z_posterior = torch.randn(4, 2), torch.randn(6, 2, requires_grad=True)
    loss = reference.critic_loss(critic, z_prior, z_posterior)
    torch.testing.assert_close(loss, critic(z_posterior.mean(0) - z_prior.mean(0))[0])
    loss.backward()
    assert z_posterior.grad is None and critic.weight.grad is not None


def test_a_penalty_of_sets_that_are_no_pairs_is_refused():
    with pytest.raises(ValueError, match="the same shape"):
        reference.gradient_penalty(nn.Linear(2, 1), torch.randn(4, 2), torch.randn(5, 2))


def test_settings_name_what_the_kind_uses_and_nothing_else():
    assert "penalty" not in Recipe("vae", 2).settings() and Recipe("vae", 2).settings()["beta"] == 1.0
    assert "beta" not in Recipe("wasserstein", 2).settings()
    assert Recipe("mmd-vae", 2, bandwidths=(1.0,)).settings()["bandwidths"] == [1.0]


@pytest.mark.parametrize("wrong", [{"kind": "gan"}, {"activation": "sine"}])
def test_an_unknown_kind_is_told_with_those_there_are(wrong):
    with pytest.raises(ValueError, match="expected one of"):
        Recipe(**({"kind": "ae", "latent_dim": 2} | wrong))


def test_a_decoder_can_start_at_the_mean_image():
    images = torch.tensor([[0, 255, 51], [0, 255, 153]], dtype=torch.uint8)
    model = recipes.prepare(Recipe("ae", 2, start_at_mean=True), images).model
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
    shown = torch.sigmoid(model.decode(torch.zeros(1, 2)))[0]
    torch.testing.assert_close(shown, torch.tensor([0.01, 0.99, 0.4]))


@pytest.mark.parametrize("kind", recipes.KINDS)
@pytest.mark.parametrize("images", [torch.rand(8, 16), torch.rand(4, 3, 64, 64)], ids=["flat", "pictures"])
def test_every_kind_trains_in_mixed_precision(kind, images):
    model, loss_function, critic = recipes.prepare(Recipe(kind, 3, (8,), critic_dims=(8,)), images)
    before = torch.nn.utils.parameters_to_vector(model.parameters()).clone()
    run = training.fit(
        model, loss_function, images, epochs=1, batch_size=4, critic=critic, precision="bfloat16", progress=False
    )
    after = torch.nn.utils.parameters_to_vector(model.parameters())
    assert run.stopped is None and after.dtype == torch.float32 and bool(after.isfinite().all())
    assert not torch.equal(after, before)


def test_pictures_get_convolutions_that_a_laptop_can_afford():
    """At most 5 M parameters and 60 MFLOP an image, forward and backward, at 128 latent dimensions."""
    from torch.utils.flop_counter import FlopCounterMode

    pictures = torch.rand(4, 3, 64, 64)
    for kind in ("mmd-ae", "mmd-vae"):
        model, loss_function, _ = recipes.prepare(Recipe(kind, 128), pictures)
        assert model.decode(torch.zeros(2, 128)).shape == (2, 3, 64, 64)
        assert sum(p.numel() for p in model.parameters()) <= 5_000_000
        with FlopCounterMode(display=False) as counter:
            loss_function(model, pictures)["distortion"].backward()
        assert counter.get_total_flops() / len(pictures) <= 60e6


def test_pictures_of_another_size_are_told_with_what_fits():
    with pytest.raises(ValueError, match=r"\(5, 1, 28, 28\); expected flat"):
        recipes.prepare(Recipe("ae", 2), torch.rand(5, 1, 28, 28))
