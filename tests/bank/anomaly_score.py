"""Distortion of each image above that of a perfect copy."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .entries import Bank

BANK = Bank("anomaly_score")


def nats(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1)


def floor(x):
    return (torch.special.entr(x) + torch.special.entr(1 - x)).flatten(1)


def good(logits, x):
    return (nats(logits, x) - floor(x)).sum(1)


def p(logits):
    return torch.sigmoid(logits).flatten(1)


def in_place(logits, x):
    x.clamp_(1e-6, 1 - 1e-6)
    return good(logits, x)


def seeded(logits, x):
    torch.manual_seed(0)
    return good(logits, x)


def by_probabilities(logits, x):
    q, x = p(logits), x.flatten(1)
    return (-torch.xlogy(x, q) - torch.xlogy(1 - x, 1 - q) - floor(x)).sum(1)


def clamped(logits, x):
    q = p(logits).clamp(1e-4, 1 - 1e-4)
    return (F.binary_cross_entropy(q, x.flatten(1), reduction="none") - floor(x)).sum(1)


def by_distributions(logits, x):
    bernoulli = torch.distributions.Bernoulli
    return torch.distributions.kl_divergence(bernoulli(probs=x.flatten(1)), bernoulli(logits=logits.flatten(1))).sum(1)


def naive(logits, x):
    return (torch.log(1 + torch.exp(logits)) - x * logits).flatten(1).sum(1) - floor(x).sum(1)


def unguarded(logits, x):
    return (nats(logits, x) + (x * x.log() + (1 - x) * (1 - x).log()).flatten(1)).sum(1)


def shifted_floor(logits, x):
    e = 0.02
    return (nats(logits, x) + (x * (x + e).log() + (1 - x) * (1 - x + e).log()).flatten(1)).sum(1)


for name, about, cause, f in (
    ("plain", "distortion without floor", "no_floor", lambda z, x: nats(z, x).sum(1)),
    ("plain_mean", "mean distortion of a pixel", "no_floor", lambda z, x: nats(z, x).mean(1)),
    ("loss", "the reconstruction loss of unit 01", "no_floor", lambda z, x: nats(z, x).sum(1).mean()),
    ("batch_mean", "mean over the batch", "one_number", lambda z, x: good(z, x).mean()),
    ("batch_sum", "sum over the batch", "one_number", lambda z, x: good(z, x).sum()),
    ("pixel_mean", "mean over pixels", "mean_over_pixels", lambda z, x: (nats(z, x) - floor(x)).mean(1)),
    ("per_pixel", "a number a pixel", "unreduced", lambda z, x: nats(z, x) - floor(x)),
    ("first_axis", "summed over the batch", "over_the_batch", lambda z, x: (nats(z, x) - floor(x)).sum(0)),
    ("added", "floor added", "floor_added", lambda z, x: (nats(z, x) + floor(x)).sum(1)),
    ("floor", "the floor alone", "floor_alone", lambda z, x: floor(x).sum(1)),
    ("negative", "minus the score", "upside_down", lambda z, x: -good(z, x)),
    ("mean_floor", "one floor for all", "common_floor", lambda z, x: nats(z, x).sum(1) - floor(x).sum(1).mean()),
    (
        "half_floor",
        "x log x alone",
        "half_a_floor",
        lambda z, x: (nats(z, x) - torch.special.entr(x).flatten(1)).sum(1),
    ),
    (
        "entropy_of_output",
        "floor of the decoder's picture",
        "floor_of_the_decoder",
        lambda z, x: (nats(z, x) - floor(torch.sigmoid(z))).sum(1),
    ),
    (
        "reverse_kl",
        "KL the other way round",
        "exchanged",
        lambda z, x: torch.distributions.kl_divergence(
            torch.distributions.Bernoulli(logits=z.flatten(1)),
            torch.distributions.Bernoulli(probs=x.flatten(1).clamp(1e-6, 1 - 1e-6)),
        ).sum(1),
    ),
    ("bits", "logarithm to base 2", "bits", lambda z, x: good(z, x) / 0.6931471805599453),
    ("ratio", "distortion over floor", "ratio", lambda z, x: nats(z, x).sum(1) / floor(x).sum(1)),
    ("worst", "the worst pixel", "worst_pixel", lambda z, x: (nats(z, x) - floor(x)).amax(1)),
    ("squared", "squared error", "squared", lambda z, x: (p(z) - x.flatten(1)).square().sum(1)),
    ("mse", "mean squared error", "squared", lambda z, x: (p(z) - x.flatten(1)).square().mean(1)),
    ("distance", "Euclidean distance", "squared", lambda z, x: (p(z) - x.flatten(1)).norm(dim=1)),
    ("absolute", "absolute error", "squared", lambda z, x: (p(z) - x.flatten(1)).abs().sum(1)),
    ("twice", "sigmoid before the loss with logits", "sigmoid_twice", lambda z, x: good(torch.sigmoid(z), x)),
    ("centred", "minus the batch's mean", "centred", lambda z, x: good(z, x) - good(z, x).mean()),
    ("rooted", "root of the sum", "rooted", lambda z, x: good(z, x).clamp_min(0).sqrt()),
    ("clamped", "probabilities kept from 0 and 1", "overflows", clamped),
    ("probabilities", "logarithms of probabilities", "overflows", by_probabilities),
    ("distributions", "torch.distributions, inf where a sure pixel is wrong", "overflows", by_distributions),
    ("overflow", "log(1 + exp)", "overflows", naive),
    ("unguarded", "0 log 0 is nan", "log_of_zero", unguarded),
    ("shifted", "logarithms of x + 0.02", None, shifted_floor),
    ("none", "nothing returned", "returns_none", lambda z, x: None),
    ("in_place", "clamps x in place", "changes_arguments", in_place),
    ("seeded", "seeds the generator", "reseeds", seeded),
):
    BANK.formula(name, about, f, cause)


@BANK.right("the loss with logits minus entropies")
def entropies(logits, x):
    return good(logits, x)


@BANK.right("softplus and xlogy")
def softplus(logits, x):
    terms = F.softplus(logits) - x * logits + torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
    return terms.reshape(len(x), -1).sum(-1)


@BANK.right("image by image")
def loop(logits, x):
    return torch.stack([good(a[None], b[None])[0] for a, b in zip(logits, x, strict=True)])


@BANK.right("log sigmoid of both signs")
def log_sigmoid(logits, x):
    cost = -(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits))
    return cost.flatten(1).sum(1) - floor(x).sum(1)


@BANK.right("guarded logarithms")
def guarded(logits, x):
    y = x.clamp(1e-12, 1 - 1e-7)
    best = -(x * y.log() + (1 - x) * (1 - y).log())
    return (nats(logits, x) - best.flatten(1)).sum(1)


@BANK.right("a perfect copy's loss, its logits clamped")
def copy(logits, x):
    return (nats(logits, x) - nats(torch.logit(x, eps=1e-6), x)).sum(1)


@BANK.right("double precision inside")
def double(logits, x):
    return good(logits.double(), x.double()).to(x.dtype)
