"""Unit 01: what its notebook prints is true."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

UNIT = "01_autoencoders"


@pytest.mark.parametrize("logit", [-30.0, -2.5, 0.0, 0.7, 20.0])
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_both_sides_of_the_printed_loss_are_equal_and_are_the_code(notebook, space, logit, x):
    assert notebook.prints(r"-x \log \sigma(\ell) - (1 - x) \log (1 - \sigma(\ell)) = \log(1 + e^{\ell}) - x \ell")
    log_sigma, log_other = -math.log1p(math.exp(-logit)), -math.log1p(math.exp(logit))
    left = -x * log_sigma - (1 - x) * log_other
    right = math.log1p(math.exp(logit)) - x * logit
    as_double = torch.tensor([[logit, x]], dtype=torch.float64)
    code = space["reconstruction_loss"](as_double[:, :1], as_double[:, 1:]).item()
    assert left == pytest.approx(right, abs=1e-12)
    assert code == pytest.approx(right, abs=1e-12)


def test_the_left_side_overflows_where_the_text_says(notebook):
    assert notebook.prints(r"$\ell = 200$")
    assert torch.sigmoid(torch.tensor(200.0)).item() == 1.0
    assert math.isinf(torch.log(1 - torch.sigmoid(torch.tensor(200.0))).item())


def test_shares_of_the_prior_in_square_and_circles_are_as_printed(notebook):
    assert notebook.prints("99.5 %")
    in_square = (1 - 2 * stats.norm.sf(3)) ** 2
    assert round(100 * in_square, 1) == 99.5
    captions = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "which holds 99 % of the prior" in captions
    assert round(100 * stats.chi2(2).cdf(9)) == 99


def test_normal_vectors_in_64_dimensions_are_about_8_long(notebook):
    assert any("standard normal vector in 64 dimensions is about 8" in cell.source for cell in notebook.cells)
    assert stats.chi(64).mean() == pytest.approx(8, abs=0.05)


def test_entropy_of_ten_equal_classes_is_the_printed_one(notebook):
    assert any("all ten alike give 2.30" in cell.source for cell in notebook.cells)
    assert f"{math.log(10):.2f}" == "2.30"
