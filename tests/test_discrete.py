"""Codes from a dictionary, the density of an index, and the small descent that teaches both."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from course_utils import training
from course_utils.models.discrete import IndexPrior, VectorQuantised, perplexity

PLACES, ENTRIES = 3, 4
EVERY_INDEX = torch.tensor(list(itertools.product(range(ENTRIES), repeat=PLACES)))


def quantize(codes, codebook):
    index = (codes[..., None, :] - codebook).square().sum(-1).argmin(-1)
    return codes + (codebook[index] - codes).detach(), index


@pytest.fixture
def prior() -> IndexPrior:
    torch.manual_seed(0)
    made = IndexPrior(PLACES, ENTRIES, 8)
    for weights in made.parameters():
        nn.init.normal_(weights)
    return made


def test_probabilities_of_all_indices_add_up_to_one(prior):
    assert torch.exp(-prior.nats(EVERY_INDEX)).sum().item() == pytest.approx(1, abs=1e-5)


def test_a_place_depends_on_those_before_it_alone(prior):
    logits = prior(EVERY_INDEX)
    for place in range(PLACES):
        same = (EVERY_INDEX[:, None, :place] == EVERY_INDEX[None, :, :place]).all(2)
        apart = (logits[:, None, place] - logits[None, :, place]).abs().amax(2)
        assert float(apart[same].max()) < 1e-5
        assert place == 0 or float(apart[~same].min()) > 1e-3


def test_draws_have_the_probabilities_that_are_told(prior):
    """Frequencies of 64 indices in 40,000 draws with a fixed seed: five standard errors."""
    drawn = prior.sample(40_000)
    numbers = (drawn * torch.tensor([ENTRIES**2, ENTRIES, 1])).sum(1)
    shares = torch.bincount(numbers, minlength=len(EVERY_INDEX)) / len(drawn)
    told = torch.exp(-prior.nats(EVERY_INDEX))
    assert bool(((shares - told).abs() < 5 * (told / len(drawn)).sqrt() + 1e-5).all())
    assert torch.equal(drawn, prior.sample(40_000)) and not torch.equal(drawn, prior.sample(40_000, seed=1))


def test_without_a_hidden_layer_places_are_independent_and_cost_their_entropies():
    torch.manual_seed(0)
    index = torch.randint(2, (500, PLACES)) + torch.tensor([0, 1, 2])
    frequencies = IndexPrior(PLACES, ENTRIES, 0)
    training.descend(lambda rows: frequencies.nats(rows).mean(), frequencies.parameters(), index, steps=300, lr=0.1)
    shares = torch.stack([torch.bincount(column, minlength=ENTRIES) / 500 for column in index.T])
    entropy = torch.special.entr(shares).sum()
    assert frequencies.nats(index).mean().item() == pytest.approx(float(entropy), abs=0.02)


def test_what_follows_what_is_learned():
    """The second entry repeats the first: log 4 nats together, where independent places cost twice that."""
    torch.manual_seed(0)
    index = torch.randint(ENTRIES, (400, 1)).repeat(1, 2)
    made = IndexPrior(2, ENTRIES, 16)
    training.descend(lambda rows: made.nats(rows).mean(), made.parameters(), index, steps=200, batch_size=100, lr=0.03)
    assert made.nats(index).mean().item() == pytest.approx(1.386, abs=0.05)


def test_perplexity_counts_entries_that_are_used_alike():
    assert perplexity(torch.arange(7).repeat(3), 9) == pytest.approx(7)
    assert perplexity(torch.zeros(4, 2, dtype=torch.int32), 9) == pytest.approx(1)
    assert 1 < perplexity(torch.tensor([0, 0, 0, 1]), 2) < 2


@pytest.mark.parametrize("index", [torch.zeros(3), torch.tensor([]).long(), torch.tensor([9]), torch.tensor([-1])])
def test_what_is_no_index_is_refused(index):
    with pytest.raises(ValueError, match="expected whole numbers from 0 to 8"):
        perplexity(index, 9)


def test_a_quantised_model_encodes_to_what_its_entries_decode():
    torch.manual_seed(0)
    model, x = VectorQuantised(12, 3, 5, 2, quantize, (8,)), torch.rand(6, 12)
    z, index = model.encode(x), model.index(x)
    assert z.shape == (6, 6) and index.shape == (6, 3) and model.decode(z).shape == (6, 12)
    assert torch.allclose(z, model.entries(index), atol=1e-6)


def test_a_codebook_begins_with_codes_of_images():
    torch.manual_seed(0)
    model, x = VectorQuantised(12, 3, 5, 2, quantize), torch.rand(6, 12)
    model.start_from(x)
    codes = model.codes(x).flatten(0, 1)
    assert float(torch.cdist(model.codebook.detach(), codes).min(1).values.max()) < 1e-4
    with pytest.raises(ValueError, match="3 codes of 1 images; expected at least 5"):
        model.start_from(x[:1])


def test_a_descent_finds_the_minimum_and_is_the_same_for_a_seed():
    rows, ends = 3 + torch.randn(200, 2, generator=torch.Generator().manual_seed(0)), []
    for seed in (0, 0, 1):
        place = nn.Parameter(torch.zeros(2))
        losses = training.descend(lambda x: (x - place).square().mean(), [place], rows, steps=150, lr=0.1, seed=seed)
        assert len(losses) == 150 and losses[-1] < losses[0]
        ends.append(place.detach())
    assert torch.allclose(ends[0], rows.mean(0), atol=0.1)
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"lr": -1.0}, "lr is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"rows": torch.zeros(0, 2)}, "rows is empty"),
    ],
)
def test_a_descent_refuses_what_it_cannot_do(settings, said):
    place = nn.Parameter(torch.zeros(2))
    given = {"rows": torch.ones(4, 2), "steps": 2} | settings
    with pytest.raises(ValueError, match=said):
        training.descend(lambda x: (x - place).square().mean(), [place], **given)


def test_a_descent_that_leaves_the_numbers_says_at_which_step():
    place = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="at step 1: take a smaller lr"):
        training.descend(lambda x: place.sum() / 0, [place], torch.ones(4, 1), steps=3)
