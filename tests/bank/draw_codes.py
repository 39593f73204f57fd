"""Implementations of `draw_codes(codes, num_codes, kind)`: the prior, scaled axes, one Gaussian, the codes themselves."""

from __future__ import annotations

import numpy as np
import torch

from .entries import Bank

BANK = Bank("draw_codes")


def covariance(codes):
    return torch.cov(codes.T).reshape(codes.shape[1], codes.shape[1])


def noise(codes, n):
    return torch.randn(n, codes.shape[1], dtype=codes.dtype, device=codes.device)


def right(codes, n, kind):
    if kind == "own":
        return codes[torch.randint(len(codes), (n,), device=codes.device)]
    e = noise(codes, n)
    if kind == "prior":
        return e
    if kind == "axes":
        return codes.mean(0) + codes.std(0) * e
    return codes.mean(0) + e @ torch.linalg.cholesky(covariance(codes)).T


def but(wrong_kind, made):
    """`right`, with one kind made in another way."""
    return lambda codes, n, kind: made(codes, n) if kind == wrong_kind else right(codes, n, kind)


def seeded(codes, n, kind):
    torch.manual_seed(0)
    return right(codes, n, kind)


def in_place(codes, n, kind):
    if kind == "axes":
        codes -= codes.mean(0)
    return right(codes, n, kind)


for name, about, cause, f in (
    ("axes_no_mean", "mean forgotten", "axes_without_mean", but("axes", lambda c, n: c.std(0) * noise(c, n))),
    (
        "axes_variance",
        "variance for spread",
        "axes_by_variance",
        but("axes", lambda c, n: c.mean(0) + c.var(0) * noise(c, n)),
    ),
    ("axes_gaussian", "correlation kept", "axes_is_gaussian", but("axes", lambda c, n: right(c, n, "gaussian"))),
    (
        "axes_one_spread",
        "one spread for all",
        "axes_one_spread",
        but("axes", lambda c, n: c.mean(0) + c.var(0).mean().sqrt() * noise(c, n)),
    ),
    ("axes_prior", "the prior", "axes_is_prior", but("axes", noise)),
    ("axes_no_spread", "mean only", "axes_without_spread", but("axes", lambda c, n: c.mean(0) + noise(c, n))),
    (
        "axes_shuffled",
        "columns shuffled: not normal",
        None,
        but("axes", lambda c, n: torch.stack([col[torch.randint(len(c), (n,))] for col in c.T], 1)),
    ),
    (
        "axes_one_number",
        "one number for all dimensions",
        None,
        but("axes", lambda c, n: c.mean(0) + c.std(0) * torch.randn(n, 1)),
    ),
    ("gaussian_axes", "correlation forgotten", "gaussian_is_axes", but("gaussian", lambda c, n: right(c, n, "axes"))),
    (
        "gaussian_no_mean",
        "mean forgotten",
        "gaussian_without_mean",
        but("gaussian", lambda c, n: right(c, n, "gaussian") - c.mean(0)),
    ),
    (
        "gaussian_unrooted",
        "times the covariance",
        "gaussian_unrooted",
        but("gaussian", lambda c, n: c.mean(0) + noise(c, n) @ covariance(c)),
    ),
    (
        "gaussian_transposed",
        "L for its transpose",
        "gaussian_transposed",
        but("gaussian", lambda c, n: c.mean(0) + noise(c, n) @ torch.linalg.cholesky(covariance(c))),
    ),
    (
        "gaussian_moment",
        "about 0",
        "gaussian_second_moment",
        but("gaussian", lambda c, n: c.mean(0) + noise(c, n) @ torch.linalg.cholesky(c.T @ c / len(c)).T),
    ),
    (
        "gaussian_own",
        "own codes with noise",
        None,
        but("gaussian", lambda c, n: right(c, n, "own") + 0.1 * noise(c, n)),
    ),
    ("prior_axes", "prior as axes", "prior_uses_codes", but("prior", lambda c, n: right(c, n, "axes"))),
    ("prior_gaussian", "prior as Gaussian", "prior_uses_codes", but("prior", lambda c, n: right(c, n, "gaussian"))),
    ("prior_uniform", "rand", "uniform_prior", but("prior", lambda c, n: torch.rand(n, c.shape[1]))),
    ("prior_one_row", "one row for all", None, but("prior", lambda c, n: noise(c, 1).expand(n, -1).clone())),
    ("own_first", "the first ones", "frozen|wrong_shape", but("own", lambda c, n: c[:n])),
    ("own_permuted", "without replacement", "wrong_shape", but("own", lambda c, n: c[torch.randperm(len(c))[:n]])),
    (
        "own_walk",
        "again and again in order",
        "own_in_order|frozen",
        but("own", lambda c, n: c[torch.arange(n) % len(c)]),
    ),
    ("own_noise", "noise added", "own_changed", but("own", lambda c, n: right(c, n, "own") + 0.5 * noise(c, n))),
    (
        "own_mixed",
        "dimensions of different rows",
        "own_changed",
        but("own", lambda c, n: torch.stack([col[torch.randint(len(c), (n,))] for col in c.T], 1)),
    ),
    ("own_one", "one row repeated", None, but("own", lambda c, n: c[torch.randint(len(c), (1,))].repeat(n, 1))),
    (
        "own_midpoints",
        "between two codes",
        "own_changed",
        but("own", lambda c, n: 0.5 * (right(c, n, "own") + right(c, n, "own"))),
    ),
    ("same_count", "as many as it was given", "wrong_shape", lambda c, n, kind: right(c, len(c), kind)),
    ("seeded", "a fixed seed", "frozen|reseeds", seeded),
    ("in_place", "codes centred in place", "axes_without_mean|changes_arguments", in_place),
    ("always_prior", "kind ignored", "axes_is_prior|own_changed", lambda c, n, kind: noise(c, n)),
    ("nothing", "nothing returned", "returns_none", lambda c, n, kind: None),
):
    BANK.formula(name, about, f, cause)


@BANK.right("Cholesky")
def plain(codes, num_codes, kind):
    return right(codes, num_codes, kind)


@BANK.right("torch.distributions")
def distributions(codes, num_codes, kind):
    mean, d = codes.mean(0), codes.shape[1]
    if kind == "own":
        return codes[torch.multinomial(torch.ones(len(codes), device=codes.device), num_codes, replacement=True)]
    if kind == "gaussian":
        return torch.distributions.MultivariateNormal(mean, covariance(codes)).sample((num_codes,))
    scale = codes.std(0) if kind == "axes" else torch.ones(d, dtype=codes.dtype, device=codes.device)
    return torch.distributions.Normal(mean if kind == "axes" else 0 * mean, scale).sample((num_codes,))


@BANK.right("the eigenvectors' root")
def by_eigenvectors(codes, num_codes, kind):
    if kind != "gaussian":
        return right(codes, num_codes, kind)
    values, vectors = torch.linalg.eigh(covariance(codes))
    return codes.mean(0) + noise(codes, num_codes) @ (vectors * values.clamp(min=0).sqrt()).T


@BANK.right("divided by n, not by n - 1")
def by_n(codes, num_codes, kind):
    centred = codes - codes.mean(0)
    if kind == "axes":
        return codes.mean(0) + centred.square().mean(0).sqrt() * noise(codes, num_codes)
    if kind == "gaussian":
        return codes.mean(0) + noise(codes, num_codes) @ torch.linalg.cholesky(centred.T @ centred / len(codes)).mT
    return right(codes, num_codes, kind)


@BANK.right("a Gaussian as random sums of centred codes")
def random_sums(codes, num_codes, kind):
    if kind != "gaussian":
        return right(codes, num_codes, kind)
    centred = codes - codes.mean(0)
    mixing = torch.randn(num_codes, len(codes), dtype=codes.dtype, device=codes.device) / len(codes) ** 0.5
    return codes.mean(0) + mixing @ centred


@BANK.right("NumPy's generator")
def with_numpy(codes, num_codes, kind):
    known, d, rng = codes.cpu().numpy(), codes.shape[1], np.random.default_rng()
    drawn = {
        "prior": lambda: rng.standard_normal((num_codes, d)),
        "axes": lambda: known.mean(0) + known.std(0) * rng.standard_normal((num_codes, d)),
        "gaussian": lambda: rng.multivariate_normal(known.mean(0), np.atleast_2d(np.cov(known.T)), num_codes),
        "own": lambda: known[rng.integers(len(known), size=num_codes)],
    }[kind]()
    return torch.as_tensor(drawn, dtype=codes.dtype, device=codes.device)


@BANK.right("a dictionary of functions, float64 inside")
def precise(codes, num_codes, kind):
    return right(codes.double(), num_codes, kind).to(codes.dtype)


@BANK.right("as the third hint says, noise in torch's default type")
def as_hinted(codes, num_codes, kind):
    if kind == "own":
        return codes[torch.randint(len(codes), (num_codes,))]
    noise = torch.randn(num_codes, codes.shape[1], device=codes.device)
    if kind == "prior":
        return noise
    if kind == "axes":
        return codes.mean(0) + codes.std(0) * noise
    return codes.mean(0) + noise @ torch.linalg.cholesky(torch.cov(codes.T)).T
