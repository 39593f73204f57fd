"""Unit 08: what its notebook prints is true, and its numbers are those of the stored runs."""

from __future__ import annotations

import pytest
import torch

from course_utils.metrics import reference_runs
from course_utils.models import closed_forms as reference

UNIT = "08_uses"


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_printed_score_is_the_code_and_a_kl_divergence(notebook, space):
    assert notebook.prints(r"s(x) = \sum_i [ \underbrace{-x_i \log \hat{x}_i - (1 - x_i) \log (1 - \hat{x}_i)}")
    logits, x = normal(4, 7), normal(4, 7, seed=1).sigmoid()
    coin = torch.distributions.Bernoulli
    want = torch.distributions.kl_divergence(coin(probs=x), coin(logits=logits)).sum(1)
    assert torch.allclose(space["anomaly_score"](logits, x), want, atol=1e-4)
    floor = torch.special.entr(x) + torch.special.entr(1 - x)
    assert torch.allclose(want, reference.bernoulli_nll(logits, x) - floor.sum(1), atol=1e-4)


def test_printed_rule_is_the_code_and_lowers_the_error_of_every_fixed_guess(notebook, space):
    """Random with a fixed seed; the gain is ten standard errors and more."""
    assert notebook.prints(r"\hat{x} = p + \max(0, 1 - \frac{(n - 2) \sigma^2}{\lVert y - p \rVert^2}) (y - p)")
    x, std = torch.zeros(20_000, 5), 0.7
    for wrong in (0.0, 0.5, 3.0):
        p = torch.full_like(x, wrong)
        y = x + std * normal(20_000, 5, seed=3)
        errors = (space["denoise"](y, p, std) - x).square().sum(1) - (y - x).square().sum(1)
        assert errors.mean() < -3 * errors.std() / len(errors) ** 0.5
    r = y[:1] - p[:1]
    by_hand = p[:1] + max(0.0, 1 - 3 * std**2 / float(r.square().sum())) * r
    assert torch.allclose(space["denoise"](y[:1], p[:1], std), by_hand, atol=1e-5)


def test_expected_length_of_the_residual_is_as_printed(notebook):
    assert notebook.prints(r"$\lVert x - p \rVert^2 + n \sigma^2$")
    y = 0.5 * normal(50_000, 6)  # x = 0, p = 2 in every pixel
    assert float((y - 2).square().sum(1).mean()) == pytest.approx(6 * 4 + 6 * 0.25, rel=0.01)


def test_search_ends_at_the_minimum_that_is_printed(notebook, space):
    """A linear decoder of one number and a Gaussian: the minimum on a fine grid."""
    assert notebook.prints(r"\hat{z} = \arg\min_z \sum_i m_i (\text{distortion of pixel } i \text{ at } z) - \log q(z)")
    decoder = torch.nn.Linear(1, 3)
    with torch.no_grad():
        decoder.weight.copy_(torch.tensor([[2.0], [-1.0], [3.0]])), decoder.bias.fill_(0.2)
    x, mask = torch.tensor([[0.9, 0.4, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    grid = torch.linspace(-3, 3, 6001)[:, None]
    nats = torch.nn.functional.binary_cross_entropy_with_logits(decoder(grid), x.expand(6001, 3), reduction="none")
    best = grid[((nats * mask).sum(1) + 0.5 * grid[:, 0] ** 2).argmin()]
    found = space["inpaint"](decoder, lambda z: 0.5 * z.square().sum(1), x, mask, torch.zeros(1, 1), 300, 0.05)
    assert found[0, 2].item() == pytest.approx(decoder(best)[2].sigmoid().item(), abs=0.01)
    assert torch.equal(found[0, :2], x[0, :2])


def test_models_of_the_notebook_are_those_of_the_stored_runs(notebook):
    stored = reference_runs.load(UNIT)
    assert stored.models == ["ae", "vae", "mmd_ae", "wasserstein"]
    source = "\n".join(cell.source for cell in notebook.cells)
    assert f"full={stored.made_with['epochs']}, original" in source and "LEFT_OUT = 4" in source
    for name, settings in stored.settings.items():
        assert f'"{name}": recipes.Recipe("{settings["kind"]}", {settings["latent_dim"]}' in source
    critic = stored.settings["wasserstein"]
    assert (critic["weight"], critic["critic_dims"], critic["critic_steps"]) == (3.0, [256, 128], 2)
    assert "critic_dims=(256, 128), critic_steps=2, critic_betas=(0.0, 0.9)" in source


MODELS = ("ae", "vae", "mmd_ae", "wasserstein")


def sentences(stored) -> dict[str, str]:
    """Every sentence of the text that has numbers of the stored runs, made from them."""

    def mean(model, number):
        return stored.mean(model, number)

    def least(number, models=MODELS):
        return min(value for model in models for value in stored.values(model, number))

    def most(number, models=MODELS):
        return max(value for model in models for value in stored.values(model, number))

    def apart(a, b, number):
        band = stored.difference(a, b, number)
        return f"{band.mean:.1f} ({band.low:.1f} to {band.high:.1f})"

    matched = ("vae", "mmd_ae", "wasserstein")
    above, plain, combined = "auc_above_a_copy_left_out", "auc_distortion_left_out", "auc_combined_left_out"
    return {
        "floor": f"With the plain distortion the AUC of the 4 is {least(plain):.2f} to {most(plain):.2f}, above a copy "
        f"{least(above):.2f} to {most(above):.2f}",
        "black": f"Black has a lower distortion than every digit for {100 * least('black_distortion'):.0f} % of the pairs",
        "prior": f"(AUC {least('auc_prior_left_out'):.2f} to {most('auc_prior_left_out'):.2f} for the 4); "
        f"under the mixture {least('auc_mixture_left_out'):.2f} to {most('auc_mixture_left_out'):.2f}",
        "rate": f"The rate is near chance for the 4 ({least('auc_rate_left_out', ('vae', 'wasserstein')):.2f} to "
        f"{most('auc_rate_left_out', ('vae', 'wasserstein')):.2f})",
        "critic": f"has an AUC of {least('auc_critic_left_out', ('wasserstein',)):.2f} to "
        f"{most('auc_critic_left_out', ('wasserstein',)):.2f}",
        "combined": f"at most {100 * most('black_combined'):.1f} % of the digits look odder than black, but the AUC of the 4 "
        f"falls to {least(combined):.2f} to {most(combined):.2f}",
        "little noise": f"At 0.1 the noisy picture is off by 7.8, the projections by {least('projected_0.1'):.1f} to "
        f"{most('projected_0.1'):.1f}, and the rule brings both down to {least('between_0.1'):.1f} to "
        f"{most('between_0.1'):.1f}",
        "much noise": f"the `vae` is better than the `ae` by {apart('ae', 'vae', 'between_0.4')} at 0.4 and by "
        f"{apart('ae', 'vae', 'between_0.8')} at 0.8",
        "sigma": f"(its mean sigma is {mean('wasserstein', 'posterior_sigma'):.3f}, the `vae`'s "
        f"{mean('vae', 'posterior_sigma'):.2f})",
        "fours": f"of the projected 4s at 0.1 only {100 * least('left_out_read_0.1'):.0f} to "
        f"{100 * most('left_out_read_0.1'):.0f} % are still read as a 4, after the rule "
        f"{100 * least('left_out_between_read_0.1'):.0f} to {100 * most('left_out_between_read_0.1'):.0f} %",
        "prior term": f"For the `ae` it changes nothing: {mean('ae', 'filled_prior'):.1f} against "
        f"{mean('ae', 'filled_none'):.1f}. For the three matched models it takes the error from "
        f"{least('filled_none', matched):.1f} to {most('filled_none', matched):.1f} down to "
        f"{least('filled_prior', matched):.1f} to {most('filled_prior', matched):.1f}",
        "mixture term": f"With the mixture all four come to {least('filled_mixture'):.1f} to {most('filled_mixture'):.1f}",
        "invented": f"{100 * least('left_out_filled_other_mixture'):.0f} to "
        f"{100 * most('left_out_filled_other_mixture'):.0f} % of the 4s are filled in so that the reader is sure of another "
        f"digit; with no second term {100 * least('left_out_filled_other_none'):.0f} to "
        f"{100 * most('left_out_filled_other_none'):.0f} %",
    }


def test_the_text_has_the_numbers_of_the_stored_runs(notebook):
    for sentence in sentences(reference_runs.load(UNIT)).values():
        assert sentence in notebook.text, sentence


def every(number: str, models=MODELS) -> list[float]:
    stored = reference_runs.load(UNIT)
    return [value for model in models for value in stored.values(model, number)]


def test_black_is_the_best_copy_of_all_in_every_run_and_is_found_by_several_numbers():
    assert min(every("black_distortion")) == 1.0 and max(every("black_combined")) < 0.05


def test_the_floor_helps_every_run_and_several_numbers_hurt_every_run():
    pairs = zip(every("auc_above_a_copy_left_out"), every("auc_distortion_left_out"), strict=True)
    assert min(above - plain for above, plain in pairs) > 0.05
    pairs = zip(every("auc_combined_left_out"), every("auc_above_a_copy_left_out"), strict=True)
    assert max(combined - above for combined, above in pairs) < -0.05


def test_regularisers_overlap_where_the_text_says_so_and_part_where_it_says_so():
    stored = reference_runs.load(UNIT)
    above = {model: stored.values(model, "auc_above_a_copy_left_out") for model in MODELS}
    assert all(min(above[a]) <= max(above[b]) for a in MODELS for b in MODELS)
    matched = MODELS[1:]
    assert max(every("filled_prior", matched)) < min(every("filled_prior", ("ae",))) - 3
    assert max(every("filled_mixture")) - min(every("filled_mixture")) < 2
    for noise in ("0.4", "0.8"):
        assert max(stored.values("vae", f"between_{noise}")) < min(
            every(f"between_{noise}", ("ae", "mmd_ae", "wasserstein"))
        )


def test_the_rule_is_nearer_than_picture_and_projection_in_every_run_but_for_nothing():
    for noise, of_noise in (("0.1", 7.84), ("0.2", 31.36), ("0.4", 125.4), ("0.8", 501.8)):
        between, projected = every(f"between_{noise}"), every(f"projected_{noise}")
        assert all(a < b and a < of_noise for a, b in zip(between, projected, strict=True)), noise
    assert min(every("projected_0.1")) > 7.84
