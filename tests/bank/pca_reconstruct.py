"""PCA as the best linear autoencoder, fitted to one set of images and used on another."""

from __future__ import annotations

import numpy as np
import torch

from .entries import Bank

BANK = Bank("pca_reconstruct")


def axes_of(centred, dims):
    return torch.linalg.svd(centred, full_matrices=False)[2][:dims]


def project(axes, x, mean):
    z = (x - mean) @ axes.T
    return z, mean + z @ axes


def pca(train, x, dims):
    mean = train.mean(0)
    return project(axes_of(train - mean, dims), x, mean)


def whitened(train, x, dims):
    z, x_hat = pca(train, x, dims)
    return z / pca(train, train, dims)[0].std(0), x_hat


def standardised(train, x, dims):
    mean, width = train.mean(0), train.std(0)
    z, back = project(axes_of((train - mean) / width, dims), (x - mean) / width, 0.0)
    return z, mean + back * width


def scalar_mean(train, x, dims):
    return project(axes_of(train - train.mean(), dims), x, train.mean())


def random_axes(train, x, dims):
    return project(torch.linalg.qr(torch.randn(x.shape[1], dims, dtype=x.dtype))[0].T, x, train.mean(0))


def axes_only_from_x(train, x, dims):
    return project(axes_of(x - train.mean(0), dims), x, train.mean(0))


def upwards(train, x, dims):
    z, x_hat = pca(train, x, dims)
    return z.flip(1), x_hat


for name, about, cause, f in (
    ("uncentred", "mean not subtracted", "uncentred", lambda t, x, d: project(axes_of(t, d), x, 0.0)),
    ("own_mean", "mean of x", "own_statistics", lambda t, x, d: project(axes_of(t - t.mean(0), d), x, x.mean(0))),
    ("fits_x", "PCA of x", "own_statistics|wrong_shape", lambda t, x, d: pca(x, x, d)),
    ("axes_from_x", "axes of x, mean of train", "wrong_shape", axes_only_from_x),
    ("both", "PCA of train and x together", "own_statistics", lambda t, x, d: pca(torch.cat([t, x]), x, d)),
    ("mean_lost", "mean not added again", "mean_lost", lambda t, x, d: (pca(t, x, d)[0], pca(t, x, d)[1] - t.mean(0))),
    (
        "mean_of_x_added",
        "mean of x added",
        "own_statistics",
        lambda t, x, d: (pca(t, x, d)[0], pca(t, x, d)[1] - t.mean(0) + x.mean(0)),
    ),
    (
        "x_uncentred",
        "codes of x as it is",
        "x_uncentred",
        lambda t, x, d: (lambda a: (x @ a.T, t.mean(0) + x @ a.T @ a))(axes_of(t - t.mean(0), d)),
    ),
    (
        "narrowest",
        "eigh's first columns",
        "narrowest",
        lambda t, x, d: project(torch.linalg.eigh(torch.cov(t.T))[1][:, :d].T, x, t.mean(0)),
    ),
    ("upwards", "the widest axis last", "widest_last", upwards),
    ("whitened", "codes of width 1", "codes_scaled", whitened),
    ("standardised", "PCA of standardised pixels", "standardised", standardised),
    ("scalar_mean", "one mean for all pixels", "one_mean", scalar_mean),
    ("random_axes", "a random plane", None, random_axes),
    (
        "first_pixels",
        "the first pixels",
        "pixels_for_axes",
        lambda t, x, d: project(torch.eye(x.shape[1], dtype=x.dtype)[:d], x, t.mean(0)),
    ),
    ("one_more", "one axis too many", "wrong_shape", lambda t, x, d: pca(t, x, d + 1)),
    ("clamped", "cut off at 0 and 1", "clamped", lambda t, x, d: (pca(t, x, d)[0], pca(t, x, d)[1].clamp(0, 1))),
    ("exchanged", "(x_hat, z)", "wrong_shape|exchanged", lambda t, x, d: pca(t, x, d)[::-1]),
    ("codes_only", "z alone", "wrong_number_of_values", lambda t, x, d: pca(t, x, d)[0]),
    ("images_only", "x_hat alone", "wrong_number_of_values", lambda t, x, d: pca(t, x, d)[1]),
    ("sigmoid", "a sigmoid at the end", "squashed", lambda t, x, d: (pca(t, x, d)[0], pca(t, x, d)[1].sigmoid())),
    ("identity", "x itself", "not_encoded", lambda t, x, d: (pca(t, x, d)[0], x.clone())),
    ("mean_image", "the mean image", "codes_unused", lambda t, x, d: (pca(t, x, d)[0], t.mean(0).expand_as(x).clone())),
    (
        "median",
        "centred with the median",
        "median",
        lambda t, x, d: project(axes_of(t - t.median(0).values, d), x, t.median(0).values),
    ),
    ("nothing", "nothing returned", "returns_none", lambda t, x, d: None),
    ("numpy", "NumPy arrays", "numpy_result", lambda t, x, d: tuple(value.numpy() for value in pca(t, x, d))),
    ("few", "the first 30 training images", None, lambda t, x, d: pca(t[:30], x, d)),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("centres in place", "changes_arguments")
def in_place(train, x, latent_dim):
    mean = train.mean(0)
    train -= mean
    return project(axes_of(train, latent_dim), x, mean)


@BANK.right("singular value decomposition")
def svd(train, x, latent_dim):
    return pca(train, x, latent_dim)


@BANK.right("eigenvectors of the covariance")
def eigenvectors(train, x, latent_dim):
    axes = torch.linalg.eigh(torch.cov(train.T))[1].flip(1)[:, :latent_dim]
    z = (x - train.mean(0)) @ axes
    return z, z @ axes.T + train.mean(0)


@BANK.right("scikit-learn")
def scikit(train, x, latent_dim):
    from sklearn.decomposition import PCA

    fitted = PCA(latent_dim).fit(train.cpu().numpy())
    z = fitted.transform(x.cpu().numpy())
    return torch.as_tensor(z), torch.as_tensor(fitted.inverse_transform(z))


@BANK.right("NumPy in double precision")
def with_numpy(train, x, latent_dim):
    a = train.double().cpu().numpy()
    axes = np.linalg.svd(a - a.mean(0), full_matrices=False)[2][:latent_dim]
    z = (x.double().cpu().numpy() - a.mean(0)) @ axes.T
    return torch.from_numpy(z), torch.from_numpy(a.mean(0) + z @ axes)


@BANK.right("orthogonal iteration")
def iteration(train, x, latent_dim):
    centred = train.double() - train.double().mean(0)
    second = centred.T @ centred
    q = torch.eye(x.shape[1], dtype=torch.float64)
    for _ in range(300):
        q = torch.linalg.qr(second @ q)[0]
    z, x_hat = project(q[:, :latent_dim].T, x.double(), train.double().mean(0))
    return z, x_hat


@BANK.right("torch's randomised PCA with more axes than needed")
def lowrank(train, x, latent_dim):
    most = min(train.shape)
    axes = torch.pca_lowrank(train, q=most, niter=4)[2][:, :latent_dim]
    return (x - train.mean(0)) @ axes, train.mean(0) + (x - train.mean(0)) @ axes @ axes.T


@BANK.right("einsum with the mean as a row")
def einsum(train, x, latent_dim):
    mean = train.mean(0, keepdim=True)
    axes = torch.linalg.svd(train - mean)[2][:latent_dim]
    z = torch.einsum("np,dp->nd", x - mean, axes)
    return z, torch.einsum("nd,dp->np", z, axes) + mean


def _projected(axes, train, x):
    z = (x - train.mean(0)) @ axes.T
    return z, train.mean(0) + z @ axes


@BANK.wrong("centred for the projection, not for the axes", "axes_uncentred")
def svd_of_uncentred(train, x, latent_dim):
    return _projected(torch.linalg.svd(train, full_matrices=False).Vh[:latent_dim], train, x)


@BANK.wrong("the last rows of Vh", "narrowest")
def last_rows(train, x, latent_dim):
    return _projected(torch.linalg.svd(train - train.mean(0), full_matrices=False).Vh[-latent_dim:], train, x)


@BANK.wrong("Vh taken for V", "columns")
def columns_of_vh(train, x, latent_dim):
    return _projected(torch.linalg.svd(train - train.mean(0), full_matrices=False).Vh[:, :latent_dim].T, train, x)


@BANK.wrong("whitened codes, decoded as if they were not", "codes_scaled")
def whitened_codes(train, x, latent_dim):
    mean = train.mean(0)
    _, widths, axes = torch.linalg.svd(train - mean, full_matrices=False)
    z = (x - mean) @ axes[:latent_dim].T / (widths[:latent_dim] / (len(train) - 1) ** 0.5)
    return z, mean + z @ axes[:latent_dim]
