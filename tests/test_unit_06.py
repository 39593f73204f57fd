"""Unit 06: what its notebook prints is true."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import datasets
from course_utils.datasets import toy_animals
from course_utils.metrics import attributes, autopsy, disentanglement, mmd, reference_runs

UNIT = "06_awa2"


@pytest.mark.parametrize("side", [64, 32, 16, 8])
def test_a_window_of_4_with_stride_2_halves_and_its_transpose_doubles(notebook, side):
    assert notebook.prints(r"\lfloor \frac{\text{side} + 2 \cdot 1 - 4}{2} \rfloor + 1 = \frac{\text{side}}{2}")
    assert notebook.prints(r"2 (\text{side} - 1) - 2 \cdot 1 + 4 = 2 \text{side}")
    down, up = nn.Conv2d(1, 1, 4, stride=2, padding=1), nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1)
    assert down(torch.zeros(1, 1, side, side)).shape[-1] == side // 2
    assert up(torch.zeros(1, 1, side, side)).shape[-1] == 2 * side


def test_folding_loses_nothing_and_a_picture_has_as_many_numbers_as_printed(notebook):
    assert notebook.prints(r"3 \cdot 64 \cdot 64 = 12288") and notebook.prints("(N, C, 64, 64) → (N, 4C, 32, 32)")
    x = torch.rand(2, 3, 64, 64)
    folded = nn.PixelUnshuffle(2)(x)
    assert x[0].numel() == 12288 and folded.shape == (2, 12, 32, 32)
    assert torch.equal(nn.PixelShuffle(2)(folded), x)


def test_printed_auc_is_that_of_the_code_with_ties(notebook):
    assert notebook.prints(r"\mathrm{AUC} = \frac{1}{n_1 n_0} \sum_{i, j} ([s_i > r_j] + \tfrac{1}{2} [s_i = r_j])")
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 5, (40,), generator=generator).double()
    there = torch.rand(40, generator=generator) < 0.4
    s, r = scores[there][:, None], scores[~there][None]
    printed = ((s > r).double() + 0.5 * (s == r).double()).mean().item()
    assert attributes.roc_auc(scores, there) == pytest.approx(printed)


def test_printed_direction_is_that_of_the_code(notebook):
    assert notebook.prints(
        r"v = \frac{1}{n_1} \sum_{i \in \text{with}} z_i - \frac{1}{n_0} \sum_{i \in \text{without}} z_i"
    )
    z, there = torch.tensor([[0.0, 1.0], [2.0, 3.0], [7.0, 7.0]]), torch.tensor([1, 1, 0])
    assert attributes.attribute_direction(z, there).tolist() == [-6.0, -5.0]


def test_the_copied_kernel_is_as_wide_as_the_model_answer_says_and_blind_to_a_spread_that_five_scales_see(notebook):
    assert any("a bandwidth of 45 at 64 dimensions" in cell.source for cell in notebook.cells)
    assert autopsy.copied_bandwidth(64) == pytest.approx(45, abs=1)
    narrow = 0.3 * torch.randn(500, 64, generator=torch.Generator().manual_seed(0))
    blind = mmd.mmd_squared_to_standard_normal(narrow, [autopsy.copied_bandwidth(64)]).item()
    seeing = mmd.mmd_squared_to_standard_normal(narrow, mmd.prior_bandwidths(64)).item()
    assert blind < 0.01 < 0.1 < seeing, (blind, seeing)


def test_every_kind_of_attribute_that_the_text_names_is_among_the_toy_animals():
    names = datasets.attributes("toy_animals").names
    not_drawn = "smelly fast meat vegetation newworld fierce smart domestic"
    assert set(toy_animals.NOT_DRAWN) == set(not_drawn.split())
    assert {"stripes", "ocean", "white", "orange", "black", "big"} <= set(names)


@pytest.fixture(scope="module")
def stored():
    return reference_runs.load(UNIT)


def worst(stored, number, model):
    """The values of all stored seeds, least to largest."""
    return sorted(stored.values(model, number))


def test_three_seeds_of_ae_and_five_scales_draw_more_rightly_than_pca_and_say_so_by_one_ruler_only(stored):
    (pca,) = set(stored.values("pca", "above"))
    assert len(stored.values("ae", "above")) == len(stored.values("mmd_ae", "above")) == 3
    assert worst(stored, "above", "ae")[-1] < pca - 3 and worst(stored, "above", "mmd_ae")[-1] < pca
    assert worst(stored, "frechet_reconstructions", "ae")[0] > worst(stored, "frechet_reconstructions", "pca")[-1] + 10


def test_three_seeds_say_of_samples_what_the_text_says(stored):
    """From N(0, I) PCA is nearest, five scales far ahead of ae. After a mixture ae samples as well as it rebuilds."""
    pca, seeing, ae = (worst(stored, "frechet_prior", model) for model in ("pca", "mmd_ae", "ae"))
    assert pca[-1] < seeing[0] and seeing[-1] < 0.5 * ae[0]
    for ex_post, rebuilt in zip(
        stored.values("ae", "frechet_mixture"), stored.values("ae", "frechet_reconstructions"), strict=True
    ):
        assert abs(ex_post - rebuilt) < 0.1 * rebuilt


def test_three_seeds_of_the_others_say_what_the_text_says(stored):
    """Each comparison holds for every seed of the one and every seed of the other."""
    prior = {name: worst(stored, "frechet_prior", name) for name in stored.models}
    assert prior["pca"][-1] < prior["vae"][0] and prior["vae"][-1] < min(prior["mmd_ae"][0], prior["mmd_vae"][0])
    assert prior["mmd_ae"][-1] < prior["mmd_vae"][0]
    assert prior["ae"][-1] < prior["blind"][0] and prior["blind"][-1] < 1.2 * prior["ae"][0]
    assert prior["blind_hard"][0] > 1.2 * prior["blind"][-1]
    assert worst(stored, "median", "blind_hard")[-1] < 0.9 * worst(stored, "median", "blind")[0]
    assert worst(stored, "sigma", "mmd_vae")[-1] < 0.02 and worst(stored, "sigma", "vae")[0] > 0.3
    (pca,) = set(stored.values("pca", "above"))
    assert abs(worst(stored, "above", "blind")[-1] - worst(stored, "above", "ae")[-1]) < 1
    assert worst(stored, "above", "vae")[0] > pca + 5 and worst(stored, "above_draw", "vae")[0] > pca + 50
    assert worst(stored, "frechet_reconstructions", "mmd_vae")[-1] < stored.values("pca", "frechet_reconstructions")[0]
    assert abs(stored.mean("mmd_vae", "above") - pca) < 1 and pca - 10 < worst(stored, "above", "ae")[0]


def test_five_seeds_of_one_animal_say_of_the_gaps_what_the_text_says():
    stored = reference_runs.load("06_factors")
    gaps = {name: worst(stored, "gap", name) for name in stored.models}
    assert all(len(values) == 5 for values in gaps.values())
    assert gaps["pca"][0] > 0.088 > 0.05 > gaps["beta_1"][-1] > gaps["beta_0.25"][-1] and gaps["beta_1"][-1] < 0.0405
    assert gaps["beta_4"][-1] < 1e-9 and worst(stored, "gap_floor", "pca")[-1] < 0.01


def test_half_way_is_far_for_pca_too(stored):
    pca = worst(stored, "frechet_half_way", "pca")[0]
    for model in ("ae", "mmd_ae", "mmd_vae", "vae"):
        assert pca > 0.75 * worst(stored, "frechet_half_way", model)[-1]


def test_printed_gap_is_that_of_the_code(notebook):
    assert notebook.prints(r"\mathrm{MIG}_k = \frac{I(z_{(1)}; v_k) - I(z_{(2)}; v_k)}{H(v_k)},")
    v = torch.tensor([0.0, 0.0, 1.0, 1.0] * 50)[:, None]
    z = torch.stack([v[:, 0], torch.tensor([0.0, 1.0, 1.0, 1.0] * 50)], 1)
    # I(z1; v) = H(v) = log 2; z2 = 0 only where v = 0: I = H(1/4) - H(1/2) / 2 in nats
    second = -0.25 * np.log(0.25) - 0.75 * np.log(0.75) - 0.5 * np.log(2)
    assert disentanglement.mutual_information_gap(z, v).mean == pytest.approx(1 - second / np.log(2))
