"""Unit 06: what its notebook prints is true."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import datasets
from course_utils.datasets import toy_animals
from course_utils.metrics import attributes, autopsy, mmd

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
    assert any("a bandwidth of 90 at d = 128" in cell.source for cell in notebook.cells)
    assert autopsy.copied_bandwidth(128) == pytest.approx(90, abs=1)
    narrow = 0.3 * torch.randn(500, 128, generator=torch.Generator().manual_seed(0))
    blind = mmd.mmd_squared_to_standard_normal(narrow, [autopsy.copied_bandwidth(128)]).item()
    seeing = mmd.mmd_squared_to_standard_normal(narrow, mmd.prior_bandwidths(128)).item()
    assert blind < 0.01 < 0.1 < seeing, (blind, seeing)


def test_every_kind_of_attribute_that_the_text_names_is_among_the_toy_animals():
    names = datasets.attributes("toy_animals").names
    not_drawn = "smelly fast meat vegetation newworld fierce smart domestic"
    assert set(toy_animals.NOT_DRAWN) == set(not_drawn.split())
    assert {"stripes", "ocean", "white", "orange", "black", "big"} <= set(names)
