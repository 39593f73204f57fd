"""Coordinates in which the codes seen have mean 0 and the identity as covariance."""

from __future__ import annotations

import numpy as np
import torch

from .entries import Bank

BANK = Bank("whiten")


def cov(z):
    return torch.cov(z.T).reshape(z.shape[1], z.shape[1])


def root(z):
    return torch.linalg.cholesky(cov(z))


def cholesky(seen, codes):
    return torch.linalg.solve_triangular(root(seen), (codes - seen.mean(0)).T, upper=False).T


def widths(z):
    return torch.linalg.eigh(cov(z))


for name, about, cause, f in (
    ("standardised", "each dimension by itself", "each_axis_alone", lambda s, c: (c - s.mean(0)) / s.std(0)),
    ("multiplied", "times the root", "wrong_way", lambda s, c: (c - s.mean(0)) @ root(s)),
    ("multiplied_t", "times the root, transposed", "wrong_way", lambda s, c: (c - s.mean(0)) @ root(s).T),
    (
        "covariance",
        "the covariance's inverse",
        "whole_covariance",
        lambda s, c: torch.linalg.solve(cov(s), (c - s.mean(0)).T).T,
    ),
    ("covariance_times", "times the covariance", "whole_covariance", lambda s, c: (c - s.mean(0)) @ cov(s)),
    ("own", "statistics of the codes", "own_statistics|wrong_shape", lambda s, c: cholesky(c, c)),
    ("own_mean", "mean of the codes", "own_statistics", lambda s, c: cholesky(s - s.mean(0), c - c.mean(0))),
    (
        "own_covariance",
        "covariance of the codes",
        "own_statistics",
        lambda s, c: cholesky(c - c.mean(0), c - s.mean(0)),
    ),
    ("mean_kept", "mean not subtracted", "mean_kept", lambda s, c: cholesky(s - s.mean(0), c)),
    ("centred", "mean subtracted only", "centred_only", lambda s, c: c - s.mean(0)),
    ("transposed", "factor transposed", "factor_transposed", lambda s, c: (c - s.mean(0)) @ torch.linalg.inv(root(s))),
    ("seen", "the codes seen come back", "wrong_shape", lambda s, c: cholesky(s, s)),
    ("rotated", "on the principal axes, not scaled", "centred_only", lambda s, c: (c - s.mean(0)) @ widths(s)[1]),
    (
        "by_variance",
        "divided by the variances on the principal axes",
        "whole_covariance",
        lambda s, c: (c - s.mean(0)) @ widths(s)[1] / widths(s)[0],
    ),
    (
        "fourth_root",
        "divided by fourth roots",
        "root_of_the_root",
        lambda s, c: (c - s.mean(0)) @ widths(s)[1] / widths(s)[0] ** 0.25,
    ),
    (
        "minmax",
        "from the smallest to the largest value",
        "smallest_to_largest",
        lambda s, c: (c - s.amin(0)) / (s.amax(0) - s.amin(0)),
    ),
    (
        "ridge",
        "1 added to the covariance's diagonal",
        "ridge",
        lambda s, c: (
            torch.linalg.solve_triangular(
                torch.linalg.cholesky(cov(s) + torch.eye(s.shape[1], dtype=s.dtype)), (c - s.mean(0)).T, upper=False
            ).T
        ),
    ),
    ("one_scale", "one scale for all", "one_scale", lambda s, c: (c - s.mean(0)) / s.std()),
    ("unit_length", "codes of length 1", "one_scale", lambda s, c: torch.nn.functional.normalize(c - s.mean(0))),
    (
        "second_moment",
        "without centring the covariance",
        "uncentred_moment",
        lambda s, c: (
            torch.linalg.solve_triangular(torch.linalg.cholesky(s.T @ s / len(s)), (c - s.mean(0)).T, upper=False).T
        ),
    ),
    ("scatter", "not divided by N", "not_averaged", lambda s, c: cholesky(s, c) / (len(s) - 1) ** 0.5),
    ("columns", "(D, M)", "wrong_shape", lambda s, c: cholesky(s, c).T),
    ("few", "a quarter of the codes seen", None, lambda s, c: cholesky(s[::4], c)),
    ("identity", "codes as they are", "untouched", lambda s, c: c.clone()),
    (
        "correlation",
        "root of the correlation",
        "correlation",
        lambda s, c: (
            torch.linalg.solve_triangular(
                torch.linalg.cholesky(torch.corrcoef(s.T).reshape(s.shape[1], -1)), (c - s.mean(0)).T, upper=False
            ).T
        ),
    ),
    ("numpy", "a NumPy array", "numpy_result", lambda s, c: cholesky(s, c).numpy()),
    ("nothing", "nothing returned", "returns_none", lambda s, c: None),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("centres in place", "changes_arguments")
def in_place(seen, codes):
    result = cholesky(seen, codes)
    codes -= seen.mean(0)
    return result


@BANK.right("Cholesky factor")
def triangular(seen, codes):
    return cholesky(seen, codes)


@BANK.right("principal axes, scaled")
def principal(seen, codes):
    values, axes = widths(seen)
    return (codes - seen.mean(0)) @ axes / values.sqrt()


@BANK.right("the symmetric root")
def symmetric(seen, codes):
    values, axes = widths(seen)
    return (codes - seen.mean(0)) @ (axes / values.sqrt()) @ axes.T


@BANK.right("singular values")
def singular(seen, codes):
    mean = seen.mean(0)
    _, values, axes = torch.linalg.svd(seen - mean, full_matrices=False)
    return (codes - mean) @ axes.T / values * (len(seen) - 1) ** 0.5


@BANK.right("divided by N, not N - 1")
def by_n(seen, codes):
    factor = torch.linalg.cholesky(torch.cov(seen.T, correction=0).reshape(seen.shape[1], -1))
    return (codes - seen.mean(0)) @ torch.linalg.inv(factor).T


@BANK.right("NumPy inside")
def with_numpy(seen, codes):
    s, c = (z.detach().cpu().double().numpy() for z in (seen, codes))
    precision = np.linalg.inv(np.atleast_2d(np.cov(s, rowvar=False)))
    return torch.as_tensor((c - s.mean(0)) @ np.linalg.cholesky(precision), dtype=codes.dtype, device=codes.device)


@BANK.right("scikit-learn's PCA")
def scikit(seen, codes):
    from sklearn.decomposition import PCA

    return torch.as_tensor(PCA(whiten=True).fit(seen.cpu().numpy()).transform(codes.cpu().numpy()))
