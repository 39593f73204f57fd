"""Pictures moved towards their projection as far as Stein's rule says."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("denoise")


def parts(y, p):
    r = y - p
    return r, r.flatten(1).square().sum(1).view(-1, *[1] * (r.dim() - 1)), r[0].numel()


def factor(y, p, s, minus=2):
    _, squared, n = parts(y, p)
    return (1 - (n - minus) * s**2 / squared.clamp_min(1e-30)).clamp_min(0)


def ahead(y, p, f):
    return p + f * (y - p)


def good(y, p, s):
    return ahead(y, p, factor(y, p, s))


def in_place(y, p, s):
    f = factor(y, p, s)
    y -= p
    y *= f
    y += p
    return y


def seeded(y, p, s):
    torch.manual_seed(1)
    return good(y, p, s)


def unguarded(y, p, s):
    r, squared, n = parts(y, p)
    return p + (1 - (n - 2) * s**2 / squared).clamp_min(0) * r


def clipped(f):
    return f.clamp_min(0)


for name, about, cause, f in (
    (
        "beyond",
        "factor below 0",
        "beyond",
        lambda y, p, s: ahead(y, p, 1 - (parts(y, p)[2] - 2) * s**2 / parts(y, p)[1].clamp_min(1e-30)),
    ),
    ("n", "n for n - 2", "n_for_n_minus_2", lambda y, p, s: ahead(y, p, factor(y, p, s, 0))),
    ("n_minus_1", "n - 1 for n - 2", "n_for_n_minus_2", lambda y, p, s: ahead(y, p, factor(y, p, s, 1))),
    (
        "mean_energy",
        "the batch's mean distance",
        "one_factor",
        lambda y, p, s: ahead(y, p, clipped(1 - (parts(y, p)[2] - 2) * s**2 / parts(y, p)[1].mean().clamp_min(1e-30))),
    ),
    (
        "whole_batch",
        "the batch as one picture",
        "one_factor",
        lambda y, p, s: ahead(y, p, clipped(1 - (y.numel() - 2) * s**2 / (y - p).square().sum().clamp_min(1e-30))),
    ),
    ("mean_factor", "the mean factor", "one_factor", lambda y, p, s: ahead(y, p, factor(y, p, s).mean())),
    ("std", "standard deviation for variance", "std_for_variance", lambda y, p, s: good(y, p, s**0.5)),
    (
        "length",
        "length, not squared",
        "length_not_squared",
        lambda y, p, s: ahead(y, p, clipped(1 - (parts(y, p)[2] - 2) * s**2 / parts(y, p)[1].sqrt().clamp_min(1e-30))),
    ),
    (
        "one_pixel",
        "without n - 2",
        "without_n",
        lambda y, p, s: ahead(y, p, clipped(1 - s**2 / parts(y, p)[1].clamp_min(1e-30))),
    ),
    (
        "mean_square",
        "mean squared residual beside n - 2",
        "without_n",
        lambda y, p, s: ahead(
            y,
            p,
            clipped(1 - (parts(y, p)[2] - 2) * s**2 / (parts(y, p)[1] / parts(y, p)[2]).clamp_min(1e-30)),
        ),
    ),
    ("other_end", "1 - factor", "other_end", lambda y, p, s: ahead(y, p, 1 - factor(y, p, s))),
    ("scaled", "the noisy picture times the factor", "towards_zero", lambda y, p, s: factor(y, p, s) * y),
    (
        "james_stein_at_0",
        "shrinks towards 0 by its own length",
        "towards_zero",
        lambda y, p, s: factor(y, torch.zeros_like(p), s) * y,
    ),
    ("projection", "the projection", "projection_alone", lambda y, p, s: p.clone()),
    ("noisy", "nothing done", "nothing_done", lambda y, p, s: y.clone()),
    ("half", "half of the way", "half_way", lambda y, p, s: (y + p) / 2),
    (
        "switch",
        "noisy or projected, by the energy",
        "all_or_nothing",
        lambda y, p, s: torch.where(parts(y, p)[1] > parts(y, p)[2] * s**2, y, p),
    ),
    (
        "switch_half",
        "noisy or projected, by the factor",
        "all_or_nothing",
        lambda y, p, s: torch.where(factor(y, p, s) > 0.5, y, p),
    ),
    (
        "wiener",
        "energy over energy plus noise",
        "ratio_of_sums",
        lambda y, p, s: ahead(y, p, parts(y, p)[1] / (parts(y, p)[1] + parts(y, p)[2] * s**2).clamp_min(1e-30)),
    ),
    (
        "wiener_of_picture",
        "a Wiener filter by the variance of the noisy picture",
        "variance_of_picture",
        lambda y, p, s: ahead(
            y,
            p,
            clipped(1 - s**2 / y.flatten(1).var(1).clamp_min(1e-12)).view(-1, *[1] * (y.dim() - 1)),
        ),
    ),
    (
        "batch_mean_square",
        "a factor from the batch's mean squared residual",
        "one_factor",
        lambda y, p, s: ahead(y, p, clipped(1 - s**2 / (y - p).square().mean().clamp_min(1e-12))),
    ),
    ("rooted", "root of the factor", "rooted", lambda y, p, s: ahead(y, p, factor(y, p, s).sqrt())),
    ("squared", "square of the factor", "squared", lambda y, p, s: ahead(y, p, factor(y, p, s).square())),
    (
        "pixelwise",
        "a factor for each pixel",
        "pixel_by_pixel",
        lambda y, p, s: ahead(y, p, clipped(1 - s**2 / (y - p).square().clamp_min(1e-30))),
    ),
    (
        "images",
        "number of images for pixels",
        "images_for_pixels",
        lambda y, p, s: ahead(y, p, clipped(1 - (len(y) - 2) * s**2 / parts(y, p)[1].clamp_min(1e-30))),
    ),
    ("clamped", "clamped to [0, 1]", "clamped", lambda y, p, s: good(y, p, s).clamp(0, 1)),
    ("residual", "the residual alone", "residual_alone", lambda y, p, s: factor(y, p, s) * (y - p)),
    ("mirrored", "residual of the wrong sign", "mirrored", lambda y, p, s: p - factor(y, p, s) * (y - p)),
    ("nan", "0 / 0 where both are equal", "zero_by_zero", unguarded),
    ("estimated", "the noise estimated from the residual", None, lambda y, p, s: good(y, p, float((y - p).std()))),
    ("none", "nothing returned", "returns_none", lambda y, p, s: None),
    ("in_place", "works in the noisy picture", "changes_arguments", in_place),
    ("seeded", "seeds the generator", "reseeds", seeded),
):
    BANK.formula(name, about, f, cause)


@BANK.right("clamped below and above")
def clamp(noisy, projected, noise_std):
    return good(noisy, projected, noise_std)


@BANK.right("picture by picture")
def loop(noisy, projected, noise_std):
    out = []
    for y, p in zip(noisy, projected, strict=True):
        length = (y - p).norm()
        kept = 0.0 if length == 0 else max(0.0, 1 - (y.numel() - 2) * noise_std**2 / float(length) ** 2)
        out.append(p + kept * (y - p))
    return torch.stack(out)


@BANK.right("lerp")
def lerp(noisy, projected, noise_std):
    return torch.lerp(projected, noisy, factor(noisy, projected, noise_std).expand_as(noisy))


@BANK.right("einsum on flat pictures")
def einsum(noisy, projected, noise_std):
    r = (noisy - projected).reshape(len(noisy), -1)
    energy = torch.einsum("np,np->n", r, r) + 1e-12
    kept = torch.relu(1 - noise_std**2 * (r.shape[1] - 2) / energy)
    return projected + (kept[:, None] * r).view_as(noisy)


@BANK.right("where")
def where(noisy, projected, noise_std):
    r, energy, n = parts(noisy, projected)
    limit = (n - 2) * noise_std**2
    return torch.where(energy > limit, projected + (energy - limit) / energy.clamp_min(1e-30) * r, projected)


@BANK.right("nan_to_num")
def nan_to_num(noisy, projected, noise_std):
    r, energy, n = parts(noisy, projected)
    return projected + torch.nan_to_num(1 - (n - 2) * noise_std**2 / energy, neginf=0.0).clamp(0, 1) * r


@BANK.right("mean squares on both sides")
def means(noisy, projected, noise_std):
    r = noisy - projected
    axes, n = tuple(range(1, r.dim())), r[0].numel()
    energy = r.square().mean(axes, keepdim=True).clamp_min(1e-30)
    return projected + (1 - (1 - 2 / n) * noise_std**2 / energy).clamp_min(0) * r
