"""(loss, distortion, gap) with gap = -mean critic(z_posterior) and loss = distortion + weight * gap."""

from __future__ import annotations

from collections import namedtuple

import torch
from torch import distributions as D
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("wasserstein_vae_loss")


def nll(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


def minus_mean(critic, z):
    return -critic(z).mean()


# wrong sums of right parts
for name, about, cause, f in (
    ("weight_ignored", "weight not used", "weight_ignored", lambda d, g, w: (d + g, d, g)),
    ("weight_on_distortion", "weight on the wrong term", "weight_on_distortion", lambda d, g, w: (w * d + g, d, g)),
    ("weight_on_both", "weight on both", "weight_on_both", lambda d, g, w: (w * (d + g), d, g)),
    ("weight_squared", "weight twice", "weight_squared", lambda d, g, w: (d + w * w * g, d, g)),
    ("weight_divides", "division", "weight_divides", lambda d, g, w: (d + g / max(w, 1e-8), d, g)),
    ("gap_subtracted", "minus the gap", "gap_subtracted", lambda d, g, w: (d - w * g, d, g)),
    ("negative_loss", "maximised", "negative", lambda d, g, w: (-(d + w * g), d, g)),
    ("mixture", "(1 - w) d + w gap", "mixture", lambda d, g, w: ((1 - w) * d + w * g, d, g)),
    ("gap_missing", "no gap", "gap_missing", lambda d, g, w: (d + 0 * g, d, g)),
    ("distortion_missing", "no distortion", "distortion_missing", lambda d, g, w: (w * g + 0 * d, d, g)),
    ("weight_added", "weight added", "weight_added", lambda d, g, w: (d + w + g, d, g)),
    ("gap_twice", "gap added twice", "one_plus_weight", lambda d, g, w: (d + g + w * g, d, g)),
    ("nine_tenths", "0.9 of the distortion", "scaled_reconstruction", lambda d, g, w: (0.9 * d + w * g, d, g)),
    ("absolute_gap", "size of the gap", "absolute_gap", lambda d, g, w: (d + w * g.abs(), d, g)),
    ("parts_swapped", "(loss, gap, distortion)", "parts_swapped", lambda d, g, w: (d + w * g, g, d)),
    ("loss_last", "(distortion, gap, loss)", "wrong_order", lambda d, g, w: (d, g, d + w * g)),
    ("gap_weighted", "weight * gap returned", "gap_weighted", lambda d, g, w: (d + w * g, d, w * g)),
    (
        "distortion_weighted",
        "weight * distortion returned",
        "distortion_weighted",
        lambda d, g, w: (w * d + g, w * d, g),
    ),
    ("loss_only", "one value", "wrong_number_of_values", lambda d, g, w: d + w * g),
    (
        "dictionary",
        "a dictionary",
        "wrong_number_of_values",
        lambda d, g, w: {"loss": d + w * g, "distortion": d, "gap": g},
    ),
    ("loss_number", "loss.item()", "python_number", lambda d, g, w: ((d + w * g).item(), d, g)),
    ("loss_detached", "loss detached", "detached", lambda d, g, w: ((d + w * g).detach(), d, g)),
    ("gap_detached", "gap detached in the sum", "gap_detached", lambda d, g, w: (d + w * g.detach(), d, g)),
    ("distortion_detached", "distortion detached", "detached_logits|", lambda d, g, w: (d.detach() + w * g, d, g)),
    ("weight_capped", "weight at most 1", "weight_capped", lambda d, g, w: (d + min(w, 1.0) * g, d, g)),
    ("weight_capped_at_100", "weight at most 100", "changed_weight", lambda d, g, w: (d + min(w, 100.0) * g, d, g)),
    (
        "gap_clamped_in_sum",
        "gap between -100 and 100 in the sum",
        "not_its_parts",
        lambda d, g, w: (d + w * g.clamp(-100, 100), d, g),
    ),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda logits, x, critic, z_posterior, weight: f(
                    nll(logits, x), minus_mean(critic, z_posterior), weight
                )
            )
        )(f),
        cause,
    )

# right sums of wrong parts
for name, about, cause, d, g in (
    ("gap_sign", "plus the mean", "gap_sign", nll, lambda c, z: c(z).mean()),
    ("gap_summed", "sum over the batch", "gap_summed", nll, lambda c, z: -c(z).sum()),
    ("gap_clamped", "no negative gap", "gap_clipped", nll, lambda c, z: F.relu(-c(z).mean())),
    ("gap_absolute", "absolute value", "gap_clipped", nll, lambda c, z: c(z).mean().abs()),
    ("gap_clamped_far", "values clamped at 1000", None, nll, lambda c, z: -c(z).clamp(-1000, 1000).mean()),
    ("first_pixels", "784 pixels", None, lambda a, x: nll(a.flatten(1)[:, :784], x.flatten(1)[:, :784]), minus_mean),
    ("gap_squared", "squared values", "gap_squared", nll, lambda c, z: c(z).square().mean()),
    ("gap_least_squares", "least-squares GAN", "gap_squared", nll, lambda c, z: (c(z) - 1).square().mean()),
    ("gap_sigmoid", "probabilities", "gap_classifier", nll, lambda c, z: -c(z).sigmoid().mean()),
    ("gap_cross_entropy", "a GAN's loss", "gap_classifier", nll, lambda c, z: F.softplus(-c(z)).mean()),
    ("codes_detached", "z detached", "gap_detached", nll, lambda c, z: -c(z.detach()).mean()),
    (
        "fresh_prior",
        "the estimate, with a prior of its own",
        "random",
        nll,
        lambda c, z: c(torch.randn_like(z)).mean() - c(z).mean(),
    ),
    (
        "distortion_mean",
        "averaged over pixels",
        "mean_over_everything",
        lambda a, x: F.binary_cross_entropy_with_logits(a, x),
        minus_mean,
    ),
    (
        "distortion_summed",
        "summed over the batch",
        "sum_over_batch",
        lambda a, x: F.binary_cross_entropy_with_logits(a, x, reduction="sum"),
        minus_mean,
    ),
    (
        "distortion_squared_error",
        "squared error",
        "squared_error",
        lambda a, x: (a.sigmoid() - x).square().flatten(1).sum(1).mean(),
        minus_mean,
    ),
    (
        "distortion_unstable",
        "log of the sigmoid",
        "overflow",
        lambda a, x: -(x * a.sigmoid().log() + (1 - x) * (1 - a.sigmoid()).log()).flatten(1).sum(1).mean(),
        minus_mean,
    ),
    (
        "distortion_rows",
        "one axis summed",
        "sums_last_axis_only",
        lambda a, x: F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(1).mean(),
        minus_mean,
    ),
):
    BANK.formula(
        name,
        about,
        (
            lambda d, g: (
                lambda logits, x, critic, z_posterior, weight: (lambda dist, gap: (dist + weight * gap, dist, gap))(
                    d(logits, x), g(critic, z_posterior)
                )
            )
        )(d, g),
        cause,
    )


@BANK.wrong("critic under no_grad", "gap_detached")
def no_grad(logits, x, critic, z_posterior, weight):
    d = nll(logits, x)
    with torch.no_grad():
        gap = minus_mean(critic, z_posterior)
    return d + weight * gap, d, gap


@BANK.wrong("backward inside", "own_backward")
def backward_inside(logits, x, critic, z_posterior, weight):
    d, gap = nll(logits, x), minus_mean(critic, z_posterior)
    loss = d + weight * gap
    if loss.requires_grad:
        loss.backward(retain_graph=True)
    return loss, d, gap


@BANK.wrong("critic frozen for good", "changes_critic")
def freezes(logits, x, critic, z_posterior, weight):
    critic.requires_grad_(False)
    d, gap = nll(logits, x), minus_mean(critic, z_posterior)
    return d + weight * gap, d, gap


@BANK.wrong("critic set to training mode, whatever it was in", "changes_critic")
def eval_then_train(logits, x, critic, z_posterior, weight):
    critic.eval()
    d, gap = nll(logits, x), minus_mean(critic, z_posterior)
    critic.train()
    return d + weight * gap, d, gap


@BANK.wrong("detach_ on the codes once they are used", "changes_arguments")
def cuts_codes(logits, x, critic, z_posterior, weight):
    d, gap = nll(logits, x), minus_mean(critic, z_posterior)
    z_posterior.detach_()
    return d + weight * gap, d, gap


@BANK.right("as in the text")
def plain(logits, x, critic, z_posterior, weight):
    distortion, gap = nll(logits, x), -critic(z_posterior).mean()
    return distortion + weight * gap, distortion, gap


@BANK.right("parts detached for the curves")
def detached_parts(logits, x, critic, z_posterior, weight):
    distortion, gap = nll(logits, x), minus_mean(critic, z_posterior)
    return distortion + weight * gap, distortion.detach(), gap.detach()


@BANK.right("parts as numbers")
def number_parts(logits, x, critic, z_posterior, weight):
    distortion, gap = nll(logits, x), minus_mean(critic, z_posterior)
    return distortion + weight * gap, distortion.item(), gap.item()


Losses = namedtuple("Losses", "loss distortion gap")


@BANK.right("named tuple, torch.distributions")
def named(logits, x, critic, z_posterior, weight):
    d = -D.Bernoulli(logits=logits, validate_args=False).log_prob(x).flatten(1).sum(1).mean()
    g = -critic(z_posterior).mean()
    return Losses(d + weight * g, d, g)


@BANK.right("critic frozen during the call")
def frozen_meanwhile(logits, x, critic, z_posterior, weight):
    critic.requires_grad_(False)
    gap = minus_mean(critic, z_posterior)
    critic.requires_grad_(True)
    d = nll(logits, x)
    return d + weight * gap, d, gap


@BANK.right("critic's weights detached")
def functional(logits, x, critic, z_posterior, weight):
    weights = {name: p.detach() for name, p in critic.named_parameters()}
    gap = -torch.func.functional_call(critic, weights, (z_posterior,)).mean()
    d = nll(logits, x)
    return [d + weight * gap, d, gap]


@BANK.right("per image first, average last")
def per_image(logits, x, critic, z_posterior, weight):
    d = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    g = -critic(z_posterior).flatten()
    return (d + weight * g).mean(), d.mean(), g.mean()


@BANK.right("float64 inside")
def double(logits, x, critic, z_posterior, weight):
    d, g = nll(logits.double(), x.double()), minus_mean(critic, z_posterior).double()
    return d + weight * g, d, g


@BANK.right("softplus for the likelihood")
def softplus(logits, x, critic, z_posterior, weight):
    d = (F.softplus(logits) - x * logits).reshape(len(x), -1).sum(-1).mean()
    g = critic(z_posterior).neg().mean()
    return torch.add(d, g, alpha=weight), d, g
