"""Closed forms against independent ways to compute the same, and the guard that keeps them from submissions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from course_utils.models import closed_forms as reference
from course_utils.system.errors import CourseError


def test_bernoulli_nll_is_minus_the_log_likelihood_in_nats_per_image():
    logits, x = torch.randn(5, 3, 4, dtype=torch.double) * 3, torch.rand(5, 3, 4, dtype=torch.double)
    expected = -Bernoulli(logits=logits, validate_args=False).log_prob(x).sum((1, 2))
    torch.testing.assert_close(reference.bernoulli_nll(logits, x), expected)


def test_bernoulli_nll_stays_finite_for_huge_logits():
    logits = torch.tensor([[1e4, -1e4]])
    assert reference.bernoulli_nll(logits, torch.tensor([[0.0, 1.0]])).tolist() == [2e4]
    assert reference.bernoulli_nll(logits, torch.tensor([[1.0, 0.0]])).tolist() == [0.0]


def test_gaussian_kl_equals_the_library_in_every_dimension():
    mu, logvar = torch.randn(6, 4, dtype=torch.double), torch.randn(6, 4, dtype=torch.double)
    expected = kl_divergence(Normal(mu, (0.5 * logvar).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(reference.gaussian_kl(mu, logvar), expected)


def test_gaussian_log_density_equals_the_library():
    z, mu, logvar = (torch.randn(7, 3, dtype=torch.double) for _ in range(3))
    expected = Independent(Normal(mu, (0.5 * logvar).exp()), 1).log_prob(z)
    torch.testing.assert_close(reference.gaussian_log_density(z, mu, logvar), expected)
    standard = Independent(Normal(torch.zeros(3, dtype=torch.double), 1.0), 1).log_prob(z)
    torch.testing.assert_close(reference.gaussian_log_density(z), standard)


def test_reparameterize_has_the_mean_and_variance_asked_for():
    """False alarm: each of the two bounds is 6 standard errors of its estimate, below 1e-8 together."""
    count, mu, logvar = 200_000, 0.7, math.log(0.25)
    z = reference.reparameterize(torch.full((count,), mu), torch.full((count,), logvar))
    assert abs(z.mean().item() - mu) < 6 * 0.5 / math.sqrt(count)
    assert abs(z.var().item() - 0.25) < 6 * 0.25 * math.sqrt(2 / count)


def test_reparameterize_carries_gradients_to_both():
    mu, logvar = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    z = reference.reparameterize(mu, logvar)
    z.sum().backward()
    assert torch.equal(mu.grad, torch.ones(3))
    torch.testing.assert_close(logvar.grad, 0.5 * z.detach())  # d/dlogvar of exp(logvar / 2) * eps, at logvar 0


def _called_from(module: str):
    space = {"__name__": module, "reference": reference, "torch": torch}
    exec("def call(): return reference.gaussian_kl(torch.zeros(1, 2), torch.zeros(1, 2))", space)
    return space["call"]


def test_a_submission_that_calls_a_reference_answer_is_refused_while_it_is_graded(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(CourseError, match="gaussian_kl answers an exercise"):
        _called_from("__main__")()
    _called_from("course_utils.metrics")()
    _called_from("autograder.examiner")()


@pytest.mark.parametrize("execution", [None, "validate"])
def test_outside_of_grading_the_references_serve_everyone(monkeypatch, execution):
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    if execution:
        monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    assert _called_from("__main__")().tolist() == [[0.0, 0.0]]


def test_bernoulli_nll_has_the_value_and_gradients_of_torchs_loss():
    logits = torch.cat([torch.linspace(-100, 100, 401), torch.tensor([0.0, 1e-4, -1e-4, 1e4, -1e4])])[None]
    x = torch.rand_like(logits)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    value = reference.bernoulli_nll(ours, x)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(theirs, x, reduction="none").sum(1)
    torch.testing.assert_close(value, expected)
    value.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_bernoulli_nll_can_be_differentiated_twice_and_in_x():
    logits, x = torch.randn(2, 5, dtype=torch.float64), torch.rand(2, 5, dtype=torch.float64)
    arguments = (logits.requires_grad_(), x.requires_grad_())
    assert torch.autograd.gradcheck(reference.bernoulli_nll, arguments)
    assert torch.autograd.gradgradcheck(reference.bernoulli_nll, arguments)


def test_bernoulli_nll_names_shapes_that_differ():
    with pytest.raises(ValueError, match="expected the same shape"):
        reference.bernoulli_nll(torch.zeros(2, 3), torch.zeros(2, 1))
