"""(loss, distortion, mmd) with loss = distortion + weight * mmd."""

from __future__ import annotations

from collections import namedtuple

import torch
from torch.nn import functional as F

from .entries import Bank
from .mmd_squared import kernel, off, put_together, unbiased

BANK = Bank("mmd_vae_loss")
mmd = put_together(kernel, unbiased)


def nll(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


# wrong sums of right parts
for name, about, cause, f in (
    ("weight_ignored", "weight not used", "weight_ignored", lambda d, q, w: (d + q, d, q)),
    ("weight_on_distortion", "weighs the wrong term", "weight_on_distortion", lambda d, q, w: (w * d + q, d, q)),
    ("weight_on_both", "weighs both", "weight_on_both", lambda d, q, w: (w * (d + q), d, q)),
    ("weight_squared", "weight twice", "weight_squared", lambda d, q, w: (d + w * w * q, d, q)),
    ("weight_divides", "division", "weight_divides", lambda d, q, w: (d + q / max(w, 1e-8), d, q)),
    ("subtracted", "minus", "mmd_subtracted", lambda d, q, w: (d - w * q, d, q)),
    ("negative", "maximised", "wrong_sign", lambda d, q, w: (-(d + w * q), d, q)),
    ("mixture", "(1 - w) d + w mmd", "mixture", lambda d, q, w: ((1 - w) * d + w * q, d, q)),
    ("mmd_missing", "no mmd", "mmd_missing", lambda d, q, w: (d + 0 * q, d, q)),
    ("distortion_missing", "no distortion", "distortion_missing", lambda d, q, w: (w * q + 0 * d, d, q)),
    (
        "lambda_minus_one",
        "alpha + lambda - 1 with alpha = 0",
        "weight_minus_one",
        lambda d, q, w: (d + (w - 1) * q, d, q),
    ),
    ("weight_capped", "weight at most one", "weight_capped", lambda d, q, w: (d + min(w, 1.0) * q, d, q)),
    ("weight_capped_at_1000", "weight at most 1000", "changed_weight", lambda d, q, w: (d + min(w, 1000.0) * q, d, q)),
    ("twice", "mmd added twice", "one_plus_weight", lambda d, q, w: (d + q + w * q, d, q)),
    ("product", "product of the terms", "product", lambda d, q, w: (d * w * q, d, q)),
    ("averaged", "mean of the terms", "averaged", lambda d, q, w: ((d + w * q) / 2, d, q)),
    ("parts_swapped", "(loss, mmd, distortion)", "wrong_order", lambda d, q, w: (d + w * q, q, d)),
    ("loss_last", "(distortion, mmd, loss)", "wrong_order", lambda d, q, w: (d, q, d + w * q)),
    ("mmd_weighted", "weight * mmd returned", "mmd_weighted", lambda d, q, w: (d + w * q, d, w * q)),
    (
        "distortion_weighted",
        "weight * distortion returned",
        "distortion_weighted",
        lambda d, q, w: (w * d + q, w * d, q),
    ),
    ("loss_only", "one value", "wrong_number_of_values", lambda d, q, w: d + w * q),
    ("pair", "two values", "wrong_number_of_values", lambda d, q, w: (d + w * q, q)),
    ("loss_number", "loss.item()", "python_number", lambda d, q, w: ((d + w * q).item(), d, q)),
    ("loss_detached", "loss detached", "detached", lambda d, q, w: ((d + w * q).detach(), d, q)),
    ("mmd_detached", "mmd detached in the sum", "mmd_detached", lambda d, q, w: (d + w * q.detach() + 0 * q, d, q)),
    (
        "mmd_clamped_in_sum",
        "mmd clamped in the sum only",
        "not_its_parts",
        lambda d, q, w: (d + w * q.clamp_min(0), d, q),
    ),
    ("weight_truthy", "weight or 1", "changed_weight", lambda d, q, w: (d + (w or 1.0) * q, d, q)),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda logits, x, z_posterior, z_prior, weight, bandwidths: f(
                    nll(logits, x), mmd(z_posterior, z_prior, bandwidths), weight
                )
            )
        )(f),
        cause,
    )

# right sum of wrong parts
for name, about, cause, d, q in (
    ("distortion_mean", "averaged over pixels", "mean_over_everything", F.binary_cross_entropy_with_logits, mmd),
    (
        "distortion_squared_error",
        "squared error",
        "squared_error",
        lambda a, x: (a.sigmoid() - x).square().flatten(1).sum(1).mean(),
        mmd,
    ),
    (
        "distortion_unstable",
        "log of the sigmoid",
        "overflow",
        lambda a, x: -(x * a.sigmoid().log() + (1 - x) * (1 - a.sigmoid()).log()).flatten(1).sum(1).mean(),
        mmd,
    ),
    (
        "mmd_biased",
        "biased estimate",
        "biased",
        nll,
        put_together(kernel, lambda xx, yy, xy: xx.mean() + yy.mean() - 2 * xy.mean()),
    ),
    (
        "mmd_cross_once",
        "cross term once",
        "cross_once",
        nll,
        put_together(kernel, lambda xx, yy, xy: off(xx) + off(yy) - xy.mean()),
    ),
    ("mmd_one_bandwidth", "first bandwidth only", "one_bandwidth", nll, lambda a, b, w: mmd(a, b, w[:1])),
    ("mmd_clamped", "mmd clamped", "clamped", nll, lambda a, b, w: mmd(a, b, w).clamp_min(0)),
    ("mmd_three_bandwidths", "at most three bandwidths", None, nll, lambda a, b, w: mmd(a, b, w[:3])),
    ("mmd_first_codes", "64 codes", None, nll, lambda a, b, w: mmd(a[:64], b[:64], w)),
    ("mmd_own_bandwidths", "bandwidths written in", None, nll, lambda a, b, w: mmd(a, b, [1.0, 2.0, 4.0])),
    ("posterior_detached", "codes detached", "detached_z_posterior", nll, lambda a, b, w: mmd(a.detach(), b, w)),
    ("mmd_with_itself", "posterior against itself", None, nll, lambda a, b, w: mmd(a, a, w)),
    (
        "prior_drawn_inside",
        "z_prior ignored",
        "random|not_its_parts",
        nll,
        lambda a, b, w: mmd(a, torch.randn_like(a), w),
    ),
):
    BANK.formula(
        name,
        about,
        (
            lambda d, q: (
                lambda logits, x, z_posterior, z_prior, weight, bandwidths: (
                    d(logits, x) + weight * q(z_posterior, z_prior, bandwidths),
                    d(logits, x),
                    q(z_posterior, z_prior, bandwidths),
                )
            )
        )(d, q),
        cause,
    )


@BANK.wrong("changes x in place", "changes_arguments")
def in_place(logits, x, z_posterior, z_prior, weight, bandwidths):
    d, q = nll(logits, x), mmd(z_posterior, z_prior, bandwidths)
    x.mul_(0.5)
    return d + weight * q, d, q


Losses = namedtuple("Losses", "loss distortion mmd")


@BANK.right("as in the text")
def plain(logits, x, z_posterior, z_prior, weight, bandwidths):
    distortion, value = nll(logits, x), mmd(z_posterior, z_prior, bandwidths)
    return distortion + weight * value, distortion, value


@BANK.right("list returned")
def as_list(logits, x, z_posterior, z_prior, weight, bandwidths):
    d, q = nll(logits, x), mmd(z_prior, z_posterior, bandwidths)
    return [d + q * weight, d, q]


@BANK.right("named tuple")
def named(logits, x, z_posterior, z_prior, weight, bandwidths):
    d, q = nll(logits, x), mmd(z_posterior, z_prior, bandwidths)
    return Losses(loss=d + weight * q, distortion=d, mmd=q)


@BANK.right("parts detached for the curves, prior detached")
def detached_parts(logits, x, z_posterior, z_prior, weight, bandwidths):
    d, q = nll(logits, x), mmd(z_posterior, z_prior.detach(), bandwidths)
    return d + weight * q, d.item(), q.detach()


@BANK.right("float64 inside")
def double(logits, x, z_posterior, z_prior, weight, bandwidths):
    d = nll(logits.double(), x.double())
    q = mmd(z_posterior.double(), z_prior.double(), bandwidths)
    return d + weight * q, d, q


@BANK.right("sum over everything divided by the batch, bandwidths one by one")
def one_by_one(logits, x, z_posterior, z_prior, weight, bandwidths):
    d = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)
    q = torch.stack([mmd(z_posterior, z_prior, [s]) for s in bandwidths]).sum()
    return torch.add(d, q, alpha=weight), d, q
