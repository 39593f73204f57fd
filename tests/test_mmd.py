"""MMD for training and metrics: the formula, its gradients, its memory, its expectations, and the bandwidth autopsy.

False alarms: the tests marked "random" compare averages over draws with exact values at 5 standard errors, 6e-7 each;
all seeds are fixed, so that a run that passes once passes always on the same machine.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from course_utils.metrics import autopsy, mmd
from course_utils.system.errors import CourseError

DOUBLING = (1.0, 2.0, 4.0, 8.0, 16.0)
BANDWIDTHS = {"doubling": DOUBLING, "unrelated": (0.9, 3.1, 2.0), "one": (3.0,), "mixed": (2.0, 2.0, 4.0, 5.0)}


def written_out(x, y, bandwidths, kernel="gaussian", biased=False):
    """The definition, pair by pair."""

    def gram(a, b):
        q = (a[:, None] - b[None]).pow(2).sum(2) / 2
        return sum(torch.exp(-q / s**2) if kernel == "gaussian" else 1 / (1 + q / s**2) for s in bandwidths)

    def within(a):
        n, k = len(a), gram(a, a)
        return k.mean() if biased else (k.sum() - k.diagonal().sum()) / (n * (n - 1))

    return within(x) + within(y) - 2 * gram(x, y).mean()


def value_and_gradients(function, x, y):
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    value = function(x, y)
    value.backward()
    return value.item(), x.grad.double(), y.grad.double()


def relative(got, expected):
    return ((got - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kernel", mmd.KERNELS)
@pytest.mark.parametrize(("n", "m"), [(300, 270), (60, 60), (60, 59)])  # several tiles; three stacked; one tile
@pytest.mark.parametrize("name", BANDWIDTHS)
def test_equals_the_definition_in_value_and_in_both_gradients(name, n, m, kernel, biased):
    torch.manual_seed(0)
    bandwidths = BANDWIDTHS[name]
    x, y = torch.randn(n, 6) * 1.3 + 0.2, torch.randn(m, 6)
    got = value_and_gradients(lambda a, b: mmd.mmd_squared(a, b, bandwidths, kernel=kernel, biased=biased), x, y)
    expected = value_and_gradients(lambda a, b: written_out(a, b, bandwidths, kernel, biased), x.double(), y.double())
    assert got[0] == pytest.approx(expected[0], abs=3e-6)
    for side, a, b in zip("xy", got[1:], expected[1:], strict=True):
        assert relative(a, b) < 1e-5, f"gradient in {side}: relative error {relative(a, b):.1e}"


@pytest.mark.parametrize(("shift_x", "shift_y"), [(0, 0), (100, 100), (100, 0)])
@pytest.mark.parametrize(("n", "d"), [(128, 20), (130, 128)])
def test_gradients_keep_their_digits_when_the_codes_are_shifted(n, d, shift_x, shift_y):
    torch.manual_seed(1)
    bandwidths = mmd.prior_bandwidths(d)
    x, y = torch.randn(n, d) * 1.1 + shift_x, torch.randn(n, d) + shift_y
    got = value_and_gradients(lambda a, b: mmd.mmd_squared(a, b, bandwidths), x, y)
    expected = value_and_gradients(lambda a, b: written_out(a, b, bandwidths), x.double(), y.double())
    assert got[0] == pytest.approx(expected[0], abs=3e-6)
    for side, a, b in zip("xy", got[1:], expected[1:], strict=True):
        assert relative(a, b) < 1e-4, f"gradient in {side}: relative error {relative(a, b):.1e}, expected below 1e-4"


def test_gradients_agree_with_finite_differences():
    torch.manual_seed(2)
    x, y = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (4, 5))
    for kernel in mmd.KERNELS:
        assert torch.autograd.gradcheck(lambda a, b, k=kernel: mmd.mmd_squared(a, b, DOUBLING, kernel=k), (x, y))
    assert torch.autograd.gradcheck(lambda a: mmd.mmd_squared_to_standard_normal(a, DOUBLING), (x,))


def test_only_the_gradient_that_is_asked_for_is_made_and_it_scales_with_what_comes_from_above():
    x, y = torch.randn(10, 2, requires_grad=True), torch.randn(10, 2)
    (once,) = torch.autograd.grad(mmd.mmd_squared(x, y, 1.0), x)
    (thrice,) = torch.autograd.grad(3 * mmd.mmd_squared(x, y, 1.0), x)
    torch.testing.assert_close(thrice, 3 * once)
    with torch.no_grad():
        assert not mmd.mmd_squared(x, y, 1.0).requires_grad


def test_no_intermediate_is_larger_than_a_tile_or_the_codes():
    class Largest(TorchDispatchMode):
        size = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.size = max(self.size, out.numel())
            return out

    x, y = torch.randn(700, 40, requires_grad=True), torch.randn(600, 40)
    with Largest() as largest:
        mmd.mmd_squared(x, y, DOUBLING).backward()
    allowed = max(mmd.TILE_ON_CPU**2, 700 * 41)
    assert 0 < largest.size <= allowed, f"a tensor of {largest.size} numbers; expected at most {allowed}"


def test_the_unbiased_estimate_is_right_on_average_and_the_biased_one_has_its_floor():
    """Random: 5 standard errors of 400 draws, false alarm 6e-7 for each of three comparisons."""
    torch.manual_seed(3)
    n, m, d, s = 20, 30, 3, 1.5
    draws = [(torch.randn(n, d, dtype=torch.float64), torch.randn(m, d, dtype=torch.float64)) for _ in range(400)]
    for name, values, expected in (
        ("unbiased", [mmd.mmd_squared(x, y, s) for x, y in draws], 0.0),
        ("to the prior itself", [mmd.mmd_squared_to_standard_normal(x, s) for x, _ in draws], 0.0),
        ("biased", [mmd.mmd_squared(x, y, s, biased=True) for x, y in draws], autopsy.expectations(d, s, n, m)[1]),
    ):
        values = torch.stack(values)
        error = values.std() / math.sqrt(len(values))
        told = f"{name}: {values.mean():.5f} +- {error:.5f}, expected {expected:.5f}"
        assert abs(values.mean() - expected) < 5 * error, told


def test_mmd_between_shifted_gaussians_has_its_closed_form():
    """Random: 5 standard errors of 60 draws (t distribution), false alarm 5e-6. E k over N(m, 2 I) of the difference is
    (s^2 / (s^2 + 2))^(d/2) exp(-|m|^2 / (2 (s^2 + 2)))."""
    torch.manual_seed(4)
    d, s, mean = 4, 2.0, torch.tensor([1.0, -0.5, 0.0, 2.0])
    shrink = (s**2 / (s**2 + 2)) ** (d / 2)
    exact = 2 * shrink * (1 - math.exp(-float(mean.square().sum()) / (2 * (s**2 + 2))))
    values = torch.stack([mmd.mmd_squared(torch.randn(200, d) + mean, torch.randn(200, d), s) for _ in range(60)])
    error = values.std() / math.sqrt(60)
    assert abs(values.mean() - exact) < 5 * error, f"{values.mean():.4f} +- {error:.4f}, expected {exact:.4f}"


def test_the_prior_side_is_the_limit_of_a_large_prior_sample():
    """Random: 5 standard errors of the prior sample, false alarm 6e-7 for each of 8 codes."""
    torch.manual_seed(5)
    z, prior = torch.randn(8, 5) * 2, torch.randn(20_000, 5)
    kernel = sum(torch.exp(-torch.cdist(z, prior).square() / (2 * s**2)) for s in (0.8, 2.5))
    error = kernel.std(1) / math.sqrt(20_000)
    difference = (kernel.mean(1) - mmd.expected_kernel(z, (0.8, 2.5))).abs()
    assert (difference < 5 * error).all(), f"off by {(difference / error).max():.1f} standard errors"


def test_median_bandwidth_is_the_median_of_the_distances_between_different_rows():
    z = torch.tensor([[0.0], [1.0], [3.0], [7.0]])  # distances 1 2 3 4 6 7
    assert 3.0 <= float(mmd.median_bandwidth(z)) <= 4.0
    assert mmd.median_bandwidth(torch.tensor([[0.0, 0.0], [3.0, 4.0]])) == 5.0


def test_prior_bandwidths_span_the_typical_distance():
    assert mmd.prior_bandwidths(128)[2] == pytest.approx(16.0)


@pytest.mark.parametrize(
    ("x", "y", "bandwidths", "says"),
    [
        (torch.zeros(1, 2), torch.zeros(3, 2), 1.0, "x has 1 row; expected at least 2"),
        (torch.zeros(3, 2), torch.zeros(1, 2), 1.0, "y has 1 row"),
        (torch.zeros(3, 2), torch.zeros(3, 4), 1.0, "same number of columns"),
        (torch.zeros(3), torch.zeros(3, 4), 1.0, "expected a floating-point tensor"),
        (torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, 2), 1.0, "expected a floating-point tensor"),
        (torch.zeros(3, 2), torch.zeros(3, 2), (1.0, 0.0), "positive numbers"),
        (torch.zeros(3, 2), torch.zeros(3, 2), (), "positive numbers"),
    ],
)
def test_bad_input_gets_one_clear_error(x, y, bandwidths, says):
    with pytest.raises(ValueError, match=says):
        mmd.mmd_squared(x, y, bandwidths)


def test_an_unknown_kernel_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="laplace.*gaussian, inverse_multiquadric"):
        mmd.mmd_squared(torch.zeros(3, 2), torch.zeros(3, 2), 1.0, kernel="laplace")


def test_a_bandwidth_may_be_the_tensor_that_the_median_heuristic_gives():
    x, y = torch.randn(6, 2), torch.randn(6, 2)
    s = mmd.median_bandwidth(x)
    assert mmd.mmd_squared(x, y, s) == mmd.mmd_squared(x, y, [float(s)]) == mmd.mmd_squared(x, y, s.repeat(1))


@pytest.mark.parametrize("name", ["mmd_squared", "mmd_squared_to_standard_normal", "median_bandwidth"])
def test_a_submission_that_is_graded_is_refused(name, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    arguments = {"mmd_squared": (torch.zeros(3, 2), torch.zeros(3, 2), 1.0)}.get(name, (torch.zeros(3, 2), 1.0))
    with pytest.raises(CourseError, match=f"mmd.{name} answers an exercise"):
        getattr(mmd, name)(*arguments[: 1 if name == "median_bandwidth" else None])


@pytest.mark.parametrize(
    ("dim", "copied", "collapsed", "matching", "half_digit"),
    [
        (2, True, 0.169, 0.0065, (5e-4, 5e-5)),
        (20, True, 0.00307, 0.00121, (5e-6, 5e-6)),
        (128, True, 0.000139, 0.000198, (5e-7, 5e-7)),
        (128, False, 0.159, 0.0080, (5e-4, 5e-5)),
    ],
)
def test_the_autopsy_finds_the_published_blindness(dim, copied, collapsed, matching, half_digit):
    """Random: each published number, give or take half its last digit, lies within 3 standard errors of the mean of 400
    draws, and the exact expectation within 5 (false alarm 6e-7). The seed is fixed; with fresh draws the first would
    fail about once in 400."""
    result = autopsy.examine(dim, autopsy.copied_bandwidth(dim) if copied else math.sqrt(dim))
    for what, average, exact, published, rounding in (
        ("collapsed", result.collapsed, result.exact_collapsed, collapsed, half_digit[0]),
        ("matching", result.matching, result.exact_matching, matching, half_digit[1]),
    ):
        told = f"{what}: {average.mean:.6g} +- {average.standard_error:.2g}, exactly {exact:.6g}"
        assert abs(average.mean - published) < 3 * average.standard_error + rounding, f"{told}, published {published}"
        assert abs(average.mean - exact) < 5 * average.standard_error, told
    assert result.blind == (dim == 128 and copied)


@pytest.mark.parametrize("kernel", mmd.KERNELS)
@pytest.mark.parametrize("far", [1e3, 1e5, 1e7])
def test_rounding_never_lifts_the_kernel_above_its_maximum(kernel, far):
    """Two equal clusters far apart: squared distances come out of differences of squares, and round to either side."""
    torch.manual_seed(0)
    x = torch.randn(40, 8) * 1e-3
    x[20:] += far
    for y in (x.clone(), x.flip(0), x[:21]):
        value = float(mmd.mmd_squared(x, y, (0.1, 1.0), kernel=kernel))
        assert abs(value) <= 4 * 2, f"{value}: two kernels, each at most 1, and four means of them"
