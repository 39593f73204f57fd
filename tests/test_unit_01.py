"""Unit 01: what its notebook prints is true."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from course_utils.metrics import reference_runs

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


def test_shares_of_the_prior_in_square_and_circle_are_as_printed(notebook):
    assert notebook.prints("99.5 %")
    in_square = (1 - 2 * stats.norm.sf(3)) ** 2
    assert round(100 * in_square, 1) == 99.5
    captions = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "which holds 99 % of the prior" in captions.replace('"\n            "', "")
    assert round(100 * stats.chi2(2).cdf(9)) == 99


def test_normal_vectors_in_64_dimensions_are_about_8_long(notebook):
    assert any("standard normal vector in 64 dimensions is about 8" in cell.source for cell in notebook.cells)
    assert stats.chi(64).mean() == pytest.approx(8, abs=0.05)


def test_entropy_of_ten_equal_classes_is_the_printed_one(notebook):
    assert any("all ten alike give 2.30" in cell.source for cell in notebook.cells)
    assert f"{math.log(10):.2f}" == "2.30"


def test_no_affine_pair_has_a_smaller_squared_error_than_pca_as_printed(notebook, space):
    """Of 300 random pairs, each with the best decoder for its encoder, none comes below; an identity for PCA itself."""
    assert "has a smaller mean squared error on the training images than this one" in notebook.text
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 6, generator=generator, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64) + 2
    best = (space["pca_reconstruct"](x, x, 2)[1] - x).square().sum(1).mean()
    for _ in range(300):
        code = torch.cat(
            [x @ torch.randn(6, 2, generator=generator, dtype=torch.float64), torch.ones(60, 1).double()], 1
        )
        rebuilt = code @ torch.linalg.lstsq(code, x).solution
        assert (rebuilt - x).square().sum(1).mean() >= best - 1e-9


def test_other_units_of_the_code_change_no_reconstruction_and_sample_as_scaled_axes():
    """Question 1: N(0, I) in the friend's units is `ScaledAxes` in the old ones: the same density, but for the volume."""
    from course_utils.models import samplers

    codes = torch.randn(500, 3) * torch.tensor([0.2, 3.0, 8.0]) + 5
    mean, spread = codes.mean(0), codes.std(0, correction=0)
    assert torch.allclose((codes - mean) / spread * spread + mean, codes, atol=1e-5)
    friends = samplers.Prior().fit(codes)
    z = friends.sample(64, seed=4)
    in_old_units = samplers.ScaledAxes().fit(codes).log_density(z * spread + mean)
    assert torch.allclose(friends.log_density(z) - spread.log().sum(), in_old_units, atol=1e-4)


def test_each_sampler_that_knows_more_is_nearer_in_every_stored_seed(notebook):
    stored = reference_runs.load(UNIT)
    ways = ("frechet", "frechet_diagonal", "frechet_gaussian", "frechet_mixture")
    for values in zip(*(stored.values("ae", way) for way in ways), strict=True):
        assert list(values) == sorted(values, reverse=True)


def test_the_stored_samples_are_no_copies_as_printed(notebook):
    """A copy scores 1, a new image 1/2."""
    assert all(0.3 < score < 0.8 for score in reference_runs.load(UNIT).values("ae", "copy_score"))


def test_the_summary_has_the_numbers_of_the_stored_seeds(notebook):
    stored = reference_runs.load(UNIT)
    said = {
        "frechet": "The distance is {:.0f}, {:.0f} and {:.0f}, and every",
        "frechet_diagonal": "({:.0f}, {:.0f} and {:.0f}): what is wrong",
        "frechet_gaussian": "brings it down to {:.0f}, {:.0f} and {:.0f}, clusters",
        "frechet_mixture": "clusters to {:.0f}, {:.0f} and {:.0f}.",
        "copy_score": "Their copy score is {:.2f}, {:.2f} and {:.2f}:",
    }
    for number, sentence in said.items():
        assert sentence.format(*stored.values("ae", number)) in notebook.text, number
