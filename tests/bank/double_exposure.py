"""Numbers that tell a double exposure from a morph, and numbers that only seem to."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from .entries import Bank

BANK = Bank("double_exposure")
ANY = "noise|pace|brightness|upside_down|constant"  # which law speaks depends on the paths drawn


def inner(images):
    """The pictures of the middle half, (M, P)."""
    flat = images.flatten(1)
    cut = len(flat) // 4
    return flat[cut : len(flat) - cut]


def ends(images):
    flat = images.flatten(1)
    return flat[0], flat[-1]


def explained(images):
    """Share of the energy of the pictures in between that lies in the span of the two ends."""
    basis = torch.linalg.qr(torch.stack(ends(images), 1)).Q
    middle = inner(images)
    return ((middle @ basis).square().sum() / middle.square().sum()).item()


def steps(images):
    flat = images.flatten(1)
    return (flat[1:] - flat[:-1]).norm(dim=1)


def fade(images):
    t = torch.linspace(0, 1, len(images), dtype=images.dtype)[:, None]
    first, last = ends(images)
    return (1 - t) * first + t * last


def detour(images):
    first, last = ends(images)
    return (steps(images).sum() / (last - first).norm()).item()


for name, about, cause, f in (
    ("one", "always 1", "constant", lambda x: 1.0),
    ("upside_down", "share that the ends do not explain", "upside_down", lambda x: 1 - explained(x)),
    ("detour", "detour in image space", ANY, detour),
    ("straight", "minus the detour", ANY, lambda x: -detour(x)),
    ("length", "minus the length of the way", ANY, lambda x: -steps(x).sum().item()),
    ("largest_step", "largest step's share", ANY, lambda x: (steps(x).max() / steps(x).sum()).item()),
    (
        "same_time",
        "distance from the fade at the same t",
        ANY,
        lambda x: -(x.flatten(1) - fade(x)).norm().item(),
    ),
    ("greyness", "pixels that are neither black nor white", ANY, lambda x: (x * (1 - x)).mean().item()),
    ("dim", "how dark the brightest pixel becomes", ANY, lambda x: -inner(x).amax(1).min().item()),
    ("ink", "mean ink of the middle", ANY, lambda x: inner(x).mean().item()),
    ("spread_of_ink", "how much the ink changes", ANY, lambda x: x.flatten(1).sum(1).std().item()),
    (
        "first_end_only",
        "likeness to the first picture",
        ANY,
        lambda x: cosine_similarity(inner(x), ends(x)[0][None]).mean().item(),
    ),
    ("ends_alone", "likeness of the two ends", ANY, lambda x: cosine_similarity(*ends(x), dim=0).item()),
    (
        "straightness",
        "cosine of consecutive steps",
        ANY,
        lambda x: (
            cosine_similarity(*(x.flatten(1).diff(dim=0)[part] for part in (slice(1, None), slice(0, -1))))
            .mean()
            .item()
        ),
    ),
    (
        "bright_pixels",
        "number of bright pixels half-way",
        ANY,
        lambda x: (x.flatten(1)[len(x) // 2] > 0.5).double().mean().item(),
    ),
    (
        "pixels_lit",
        "pixels that are lit at some time",
        ANY,
        lambda x: -(x.flatten(1).amax(0) > 0.3).double().mean().item(),
    ),
    ("mean_step", "unevenness of the steps", ANY, lambda x: -(steps(x).std() / steps(x).mean()).item()),
    ("random", "a random number", ANY, lambda x: torch.rand(()).item()),
    ("variance", "variance over the path", ANY, lambda x: x.flatten(1).var(0).sum().item()),
    ("nothing", "nothing returned", "returns_none", lambda x: None),
    ("per_picture", "one number a picture", "not_a_float", lambda x: cosine_similarity(x.flatten(1), ends(x)[0][None])),
    ("nan", "0 / 0", None, lambda x: float("nan")),
    ("strips_only", "(T, P) taken for granted", "constant", lambda x: explained(x) if x.ndim == 2 else 0.0),
    (
        "twenty_one",
        "21 pictures taken for granted",
        "pace|constant",
        lambda x: explained(x[:21]) if len(x) >= 21 else -1.0,
    ),
    (
        "first_half",
        "only the pictures of the first half",
        ANY,
        lambda x: cosine_similarity(x.flatten(1)[: len(x) // 3], ends(x)[0][None]).mean().item(),
    ),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("subtracts the first picture in place", "changes_arguments")
def in_place(images):
    result = explained(images)
    images -= images[:1].clone()
    return result


@BANK.right("projection on the span of the two ends")
def projection(images):
    return explained(images)


@BANK.right("least squares")
def least_squares(images):
    basis, middle = torch.stack(ends(images), 1), inner(images).T
    rest = middle - basis @ torch.linalg.lstsq(basis, middle).solution
    return 1 - float(rest.norm() / middle.norm())


@BANK.right("weights that may not be negative")
def not_negative(images):
    from scipy.optimize import nnls

    basis = np.stack([end.double().numpy() for end in ends(images)], 1)
    return -float(np.mean([nnls(basis, x)[1] / np.linalg.norm(x) for x in inner(images).double().numpy()]))


@BANK.right("both ghosts at once")
def both_ghosts(images):
    first, last = (cosine_similarity(images.flatten(1), end[None]) for end in ends(images))
    return torch.minimum(first, last).max()


@BANK.right("two patterns for the whole path")
def rank_two(images):
    values = torch.linalg.svdvals(images.flatten(1).double()).square()
    return float(values[:2].sum() / values.sum())


@BANK.right("ink where an end had some")
def ink_of_the_ends(images):
    weight = torch.maximum(*ends(images))
    middle = inner(images).square()
    return (middle * weight).sum() / middle.sum()


@BANK.right("likeness to the sum of both ends")
def likeness(images):
    first, last = (end / end.norm() for end in ends(images))
    middle = inner(images)
    return cosine_similarity(middle, (first + last)[None]).mean()
