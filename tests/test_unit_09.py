"""Unit 09: what its notebook prints is true, and its numbers are those of the stored runs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as D
from torch import nn
from torch.nn import functional as F

from course_utils.metrics import reference_runs

UNIT = "09_beyond"
MODELS = ("ae", "vae", "dictionary", "critic", "adversarial")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_printed_loss_of_codes_is_the_code_and_a_bound_of_densities(notebook, space):
    assert notebook.prints(r"\sum_{d} [ \frac{(c_d - \hat{c}_d)^2}{2 s^2} + \log s + \tfrac12 \log 2 \pi ]")
    decoded, codes, mu, logvar = normal(6, 4), normal(6, 4, seed=1), normal(6, 3, seed=2), normal(6, 3, seed=3)
    loss, distortion, rate = space["second_stage_loss"](decoded, codes, mu, logvar, torch.tensor(0.3))
    density = D.Normal(decoded, math.exp(0.3)).log_prob(codes).sum(1).mean()
    posterior = D.Normal(mu, torch.exp(0.5 * logvar))
    kl = D.kl_divergence(posterior, D.Normal(torch.zeros(3), torch.ones(3))).sum(1).mean()
    assert torch.allclose(distortion, -density, atol=1e-5) and torch.allclose(rate, kl, atol=1e-5)
    assert torch.allclose(loss, distortion + rate)


def test_the_width_that_is_learned_is_the_root_of_the_mean_squared_error(space):
    decoded, codes, zero = normal(50, 4), normal(50, 4, seed=1), torch.zeros(50, 1)
    best = 0.5 * (decoded - codes).square().mean().log()
    width = best.clone().requires_grad_()
    space["second_stage_loss"](decoded, codes, zero, zero, width)[0].backward()
    assert width.grad.item() == pytest.approx(0, abs=1e-4)


def test_a_narrow_width_is_priced_as_the_model_answer_says(notebook):
    assert "$1 / (2 s^2) = 5{,}000$ times its square" in notebook.text
    assert pytest.approx(5000) == 1 / (2 * 0.01**2)


def test_printed_gradient_is_copied_across_the_step(notebook, space):
    assert notebook.prints(r"z = c + \mathrm{sg}[e_k - c], \qquad k = \arg\min_j \lVert c - e_j \rVert")
    codes, codebook = normal(5, 2, 3).requires_grad_(), normal(7, 3, seed=1).requires_grad_()
    z, index = space["quantize"](codes, codebook)
    pull = normal(5, 2, 3, seed=2)
    into_codes, into_codebook = torch.autograd.grad(z, [codes, codebook], pull, allow_unused=True)
    assert torch.equal(into_codes, pull) and into_codebook is None
    assert torch.equal(index, torch.cdist(codes.flatten(0, 1), codebook).argmin(1).view(5, 2))


def test_printed_terms_have_one_value_and_pull_at_one_end_each(notebook, space):
    assert notebook.prints(r"\gamma \underbrace{\lVert c - \mathrm{sg}[e_k] \rVert^2}_{\text{moves the code}}")
    codes, codebook, index = (
        normal(4, 2, 3).requires_grad_(),
        normal(5, 3, seed=1).requires_grad_(),
        torch.ones(4, 2).long(),
    )
    squared = (codes - codebook[index]).square().sum((1, 2)).mean()
    loss = space["vq_loss"](codes, codebook, index, 0.3)
    assert loss.item() == pytest.approx(1.3 * squared.item(), rel=1e-5)
    found, want = (torch.autograd.grad(value, [codes, codebook], retain_graph=True) for value in (loss, squared))
    assert torch.allclose(found[0], 0.3 * want[0], atol=1e-6) and torch.allclose(found[1], want[1], atol=1e-6)


@pytest.mark.parametrize("entries", [1, 4, 16])
def test_the_best_entries_of_an_interval_lose_what_is_printed(notebook, entries):
    assert notebook.prints(r"squared distance is $1 / (12 K^2)$")
    grid = (torch.arange(200_000).double() + 0.5) / 200_000
    middles = (torch.arange(entries).double() + 0.5) / entries
    nearest = middles[(grid * entries).long()]
    assert float((grid - nearest).square().mean()) == pytest.approx(1 / (12 * entries**2), rel=1e-4)


def test_an_entry_that_no_code_names_is_never_moved(space):
    codes, codebook = torch.rand(50, 1, 1), torch.cat([torch.rand(3, 1), 5 + torch.rand(2, 1)]).requires_grad_()
    index = space["quantize"](codes, codebook)[1]
    for commitment in (0.25, 50.0):
        (found,) = torch.autograd.grad(space["vq_loss"](codes, codebook, index, commitment), codebook)
        assert bool((found[3:] == 0).all()) and bool((found[:3] != 0).any())


def test_indices_cost_at_most_what_is_printed(notebook):
    assert "16 log 32 = 55 nats" in " ".join(cell.source for cell in notebook.cells)
    assert math.floor(16 * math.log(32)) == 55
    assert r"24 \log_2 512 = 216$ bits" in notebook.text and 24 * math.log2(512) == 216
    assert r"24 \log_2 9 = 76$ bits" in notebook.text and round(24 * math.log2(9)) == 76


def test_printed_losses_of_classifier_and_encoder_are_the_code(notebook, space):
    assert notebook.prints(
        r"\mathcal{L}_T = \mathbb{E}_{p(z)} \log(1 + e^{-T(z)}) + \mathbb{E}_{q(z)} \log(1 + e^{T(z)})"
    )
    assert notebook.prints(r"\mathcal{L}_q = \mathbb{E}_{q(z)} \log(1 + e^{-T(z)})")
    critic, prior, codes = nn.Linear(3, 1), normal(9, 3), normal(5, 3, seed=1)
    of_critic, of_encoder = space["adversarial_losses"](critic, prior, codes)
    want = torch.log1p(torch.exp(-critic(prior))).mean() + torch.log1p(torch.exp(critic(codes))).mean()
    assert torch.allclose(of_critic, want, atol=1e-5)
    assert torch.allclose(of_encoder, torch.log1p(torch.exp(-critic(codes))).mean(), atol=1e-5)


@pytest.mark.parametrize("m", [0.5, 2.0, 8.0])
def test_the_best_classifier_of_a_shift_reads_the_divergence_as_printed(notebook, m):
    assert notebook.prints(r"T(z) = m^2 / 2 - m z") and notebook.prints(r"2 \log 2 - 2\,\mathrm{JSD}")
    z = torch.linspace(-15, 25, 40_001).double()
    p, q = D.Normal(0.0, 1.0).log_prob(z), D.Normal(m, 1.0).log_prob(z)
    best = m**2 / 2 - m * z
    assert torch.allclose(best, p - q, atol=1e-3)
    loss = torch.trapezoid(p.exp() * F.softplus(-best) + q.exp() * F.softplus(best), z)
    middle = torch.logaddexp(p, q) - math.log(2)
    divergence = 0.5 * torch.trapezoid(p.exp() * (p - middle) + q.exp() * (q - middle), z)
    assert float(loss) == pytest.approx(2 * math.log(2) - 2 * float(divergence), abs=1e-5)
    assert 0 <= float(divergence) <= math.log(2)


def test_models_of_the_notebook_are_those_of_the_stored_runs(notebook):
    stored = reference_runs.load(UNIT)
    assert tuple(stored.models) == MODELS
    source = "\n".join(cell.source for cell in notebook.cells)
    assert f"full={stored.made_with['epochs']}, original" in source
    critic, dictionary = stored.settings["critic"], stored.settings["dictionary"]
    assert (
        'recipes.Recipe("wasserstein", 20, weight=3.0, critic_dims=(256, 128), critic_steps=1, critic_betas=(0.0, 0.9))'
        in source
    )
    assert (critic["weight"], critic["critic_dims"], critic["critic_steps"]) == (3.0, [256, 128], 1)
    assert critic | {"kind": "logistic", "penalty": 0.0} == stored.settings["adversarial"]
    names = ("num_codes", "num_entries", "entry_dim", "weight", "commitment")
    values = ", ".join(str(dictionary[name]) for name in names)
    assert f"NUM_CODES, NUM_ENTRIES, ENTRY_DIM, WEIGHT, COMMITMENT = {values}" in source


def test_parts_of_the_notebook_that_are_given_are_those_of_the_stored_runs(notebook):
    """Steps and rates of the networks that learn from codes, in full."""
    source = "\n".join(cell.source for cell in notebook.cells)
    assert "full=1500" in source and "width=256, lr=3e-3" in source
    assert '(("independent", 0, 0.03), ("learned", 128, 0.003))' in source


def sentences(stored) -> dict[str, str]:
    """Every sentence of the text that has numbers of the stored runs, made from them."""
    mean = stored.mean

    def span(model, *numbers, digits=1):
        sums = [sum(each) for each in zip(*(stored.values(model, number) for number in numbers), strict=True)]
        return f"{min(sums):.{digits}f} to {max(sums):.{digits}f}"

    def apart(one, other):
        (a, b), (c, d) = one, other
        low, middle, high = welch(stored.values(a, b), stored.values(c, d))
        return f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"

    mixture, second = ("ae", "frechet_mixture"), ("ae", "frechet_second")
    return {
        "second, ae": f"On the codes of the `ae` the mixture comes to {span(*mixture)} and the second stage to "
        f"{span(*second)}: a difference of {apart(second, mixture)}",
        "second, vae": f"On those of the `vae` it is {span('vae', 'frechet_mixture')} and "
        f"{span('vae', 'frechet_second')}, where N(0, I) gives {span('vae', 'frechet_prior')}",
        "second, nats": f"{span('ae', 'second_nats')} nats per code of a test image against {span('ae', 'mixture_nats')}",
        "second, width": f"a width of {span('ae', 'second_std', digits=2)} standard deviations of a code",
        "second, seconds": f"{mean('ae', 'seconds_second'):.0f} seconds against {mean('ae', 'seconds_mixture'):.0f}",
        "dictionary, use": f"{span('dictionary', 'perplexity')} of the 32 entries are in use (perplexity)",
        "dictionary, nats": f"Frequencies alone bring the index from 55.5 to {span('dictionary', 'nats_independent')} "
        f"nats, and knowing the places before brings it to {span('dictionary', 'nats_learned')}",
        "dictionary, samples": f"from {span('dictionary', 'frechet_independent')} to {span('dictionary', 'frechet_learned')}",
        "currency": f"the dictionary costs {span('dictionary', 'distortion', 'nats_learned')} nats, the `vae` "
        f"{span('vae', 'bound')}",
        "game": f"adversarial minus critic is {apart(('adversarial', 'frechet_prior'), ('critic', 'frechet_prior'))}",
        "game, mixture": f"with a mixture {apart(('adversarial', 'frechet_mixture'), ('critic', 'frechet_mixture'))}",
        "game, distance": f"sliced distance {span('adversarial', 'sliced_wasserstein', digits=2)} and "
        f"{span('critic', 'sliced_wasserstein', digits=2)}, the `vae`'s {span('vae', 'sliced_wasserstein', digits=2)}",
        "game, seconds": f"{mean('adversarial', 'seconds'):.0f} seconds of training against {mean('critic', 'seconds'):.0f}",
        "game, sigma": f"(mean sigma {mean('adversarial', 'posterior_sigma'):.3f} and "
        f"{mean('critic', 'posterior_sigma'):.3f}; the `vae`'s {mean('vae', 'posterior_sigma'):.2f})",
        "trained for": f"`vae` {mean('vae', 'frechet_prior'):.0f}, `critic` {mean('critic', 'frechet_prior'):.0f}, "
        f"`adversarial` {mean('adversarial', 'frechet_prior'):.0f}; the dictionary, all entries alike, "
        f"{mean('dictionary', 'frechet_uniform'):.0f}",
        "best density": f"`ae` {mean(*mixture):.1f}, `vae` {mean('vae', 'frechet_mixture'):.1f}, "
        f"`critic` {mean('critic', 'frechet_mixture'):.1f}, `adversarial` {mean('adversarial', 'frechet_mixture'):.1f}, "
        f"dictionary {mean('dictionary', 'frechet_learned'):.1f}",
        "seconds": f"`ae` + mixture {mean('ae', 'seconds') + mean('ae', 'seconds_mixture'):.0f}, dictionary with its learned "
        f"density {mean('dictionary', 'seconds') + mean('dictionary', 'seconds_learned'):.0f}, `critic` + mixture "
        f"{mean('critic', 'seconds') + mean('critic', 'seconds_mixture'):.0f}",
        "distortions": f"between {min(mean(m, 'distortion') for m in MODELS):.1f} and "
        f"{max(mean(m, 'distortion') for m in MODELS):.1f} nats",
        "sampler": f"by a factor of {mean('ae', 'frechet_prior') / mean(*mixture):.1f} for the `ae`, of "
        f"{mean('vae', 'frechet_prior') / mean('vae', 'frechet_mixture'):.1f} for the `vae`",
    }


def welch(a: list[float], b: list[float]) -> tuple[float, float, float]:
    """95 % interval of a difference of means, and the difference in its middle."""
    from scipy.stats import ttest_ind

    interval = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(interval.low), sum(a) / len(a) - sum(b) / len(b), float(interval.high)


def test_the_text_has_the_numbers_of_the_stored_runs(notebook):
    for sentence in sentences(reference_runs.load(UNIT)).values():
        assert sentence in notebook.text, sentence


def every(number: str, models=MODELS) -> list[float]:
    stored = reference_runs.load(UNIT)
    return [value for model in models for value in stored.values(model, number)]


def test_no_entry_is_dead_in_any_run_and_knowing_what_follows_what_is_worth_more_than_frequencies():
    assert set(every("entries_used", ("dictionary",))) == {32.0}
    uniform, alone, learned = (every(f"nats_{name}", ("dictionary",)) for name in ("uniform", "independent", "learned"))
    assert all(u - a < a - b for u, a, b in zip(uniform, alone, learned, strict=True))
    samples = [every(f"frechet_{name}", ("dictionary",)) for name in ("independent", "learned")]
    assert min(samples[0]) > 2 * max(samples[1])


def test_the_second_stage_lies_between_the_prior_and_the_mixture_in_every_run():
    for model in ("ae", "vae"):
        prior, mixture, second = (every(f"frechet_{name}", (model,)) for name in ("prior", "mixture", "second"))
        assert max(mixture) < min(second) and max(second) < min(prior)
    assert max(every("mixture_nats", ("ae",))) < min(every("second_nats", ("ae",)))


def test_nothing_is_better_than_an_autoencoder_with_a_mixture_in_any_run():
    best = max(every("frechet_mixture", ("ae",)))
    others = [("frechet_mixture", ("vae", "critic", "adversarial")), ("frechet_learned", ("dictionary",))]
    others += [("frechet_second", ("ae", "vae")), ("frechet_prior", ("ae", "vae", "critic", "adversarial"))]
    assert min(min(every(number, models)) for number, models in others) > best


def test_the_dictionary_with_its_density_is_ahead_of_every_prior_and_behind_every_mixture():
    learned, alone = (every(f"frechet_{name}", ("dictionary",)) for name in ("learned", "independent"))
    numbers = ("vae", "critic", "adversarial")
    assert max(learned) < min(every("frechet_prior", numbers)) and max(every("frechet_mixture", numbers)) < min(learned)
    assert min(alone) > max(every("frechet_prior", numbers))


def test_critic_and_classifier_cannot_be_told_apart_and_the_vae_is_behind_them():
    stored = reference_runs.load(UNIT)
    low, _, high = welch(stored.values("adversarial", "frechet_prior"), stored.values("critic", "frechet_prior"))
    assert low < 0 < high
    assert min(every("frechet_prior", ("vae",))) > max(every("frechet_prior", ("critic", "adversarial")))
    assert (
        min(every("bound", ("vae",)))
        < max(every("bound", ("vae",)))
        < min(
            a + b
            for a, b in zip(every("distortion", ("dictionary",)), every("nats_learned", ("dictionary",)), strict=True)
        )
    )
