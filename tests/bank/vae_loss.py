"""(loss, distortion, rate) with loss = distortion + beta * rate."""

from __future__ import annotations

from collections import namedtuple

import torch
from torch import distributions as D
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("vae_loss")


def nll(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()


# wrong sums of right parts
for name, about, cause, f in (
    ("beta_ignored", "beta not used", "beta_ignored", lambda d, r, b: (d + r, d, r)),
    ("beta_on_distortion", "beta weighs the wrong term", "beta_on_distortion", lambda d, r, b: (b * d + r, d, r)),
    ("beta_on_both", "beta weighs both", "beta_on_both", lambda d, r, b: (b * (d + r), d, r)),
    ("beta_squared", "beta twice", "beta_squared", lambda d, r, b: (d + b * b * r, d, r)),
    ("beta_divides", "division", "beta_divides", lambda d, r, b: (d + r / max(b, 1e-8), d, r)),
    ("rate_subtracted", "minus", "rate_subtracted", lambda d, r, b: (d - b * r, d, r)),
    ("distortion_subtracted", "minus the distortion", "distortion_subtracted", lambda d, r, b: (b * r - d, d, r)),
    ("elbo", "the ELBO itself", "negative_elbo", lambda d, r, b: (-(d + b * r), d, r)),
    ("mixture", "(1 - beta) d + beta r", "mixture", lambda d, r, b: ((1 - b) * d + b * r, d, r)),
    ("rate_missing", "no rate", "rate_missing", lambda d, r, b: (d + 0 * r, d, r)),
    ("distortion_missing", "no distortion", "distortion_missing", lambda d, r, b: (b * r + 0 * d, d, r)),
    ("beta_added", "beta added", "beta_added", lambda d, r, b: (d + b + r, d, r)),
    ("rate_twice", "rate added twice", "one_plus_beta", lambda d, r, b: (d + r + b * r, d, r)),
    ("averaged", "mean of the terms", "averaged", lambda d, r, b: ((d + b * r) / 2, d, r)),
    ("parts_swapped", "(loss, rate, distortion)", "parts_swapped", lambda d, r, b: (d + b * r, r, d)),
    ("loss_last", "(distortion, rate, loss)", "wrong_order", lambda d, r, b: (d, r, d + b * r)),
    ("rate_weighted", "beta * rate returned", "rate_weighted", lambda d, r, b: (d + b * r, d, b * r)),
    (
        "rate_weighted_twice",
        "rate weighted, then weighted again",
        "rate_weighted",
        lambda d, r, b: (d + b * (b * r), d, b * r),
    ),
    ("distortion_weighted", "beta * distortion returned", "distortion_weighted", lambda d, r, b: (b * d + r, b * d, r)),
    ("loss_only", "one value", "wrong_number_of_values", lambda d, r, b: d + b * r),
    ("pair", "two values", "wrong_number_of_values", lambda d, r, b: (d + b * r, d)),
    (
        "dictionary",
        "a dictionary",
        "wrong_number_of_values",
        lambda d, r, b: {"loss": d + b * r, "distortion": d, "rate": r},
    ),
    ("loss_number", "loss.item()", "python_number", lambda d, r, b: ((d + b * r).item(), d, r)),
    ("loss_detached", "loss detached", "detached", lambda d, r, b: ((d + b * r).detach(), d, r)),
    ("rate_detached", "rate detached in the sum", "rate_detached", lambda d, r, b: (d + b * r.detach() + 0 * r, d, r)),
    (
        "distortion_detached",
        "distortion detached",
        "distortion_detached",
        lambda d, r, b: (d.detach() + 0 * d + b * r, d, r),
    ),
    ("beta_capped", "beta at most one", "beta_capped", lambda d, r, b: (d + min(b, 1.0) * r, d, r)),
    ("beta_truthy", "beta or 1", "changed_weight", lambda d, r, b: (d + (b or 1.0) * r, d, r)),
    ("beta_whole", "int(beta)", "beta_rounded", lambda d, r, b: (d + int(b) * r, d, r)),
    (
        "beta_capped_at_10",
        "beta at most 10, in the sum only",
        "changed_weight",
        lambda d, r, b: (d + min(b, 10) * r, d, r),
    ),
    ("beta_capped_at_100", "beta at most 100", "changed_weight", lambda d, r, b: (d + min(b, 100.0) * r, d, r)),
    ("product", "product of the terms", "product", lambda d, r, b: (d * b * r, d, r)),
    (
        "beta_in_rate_if_large",
        "rate weighted above one",
        "not_its_parts",
        lambda d, r, b: (d + b * r, d, b * r if b > 1 else r),
    ),
    ("capacity", "|rate - 1| penalised", "capacity", lambda d, r, b: (d + b * (r - 1).abs(), d, r)),
):
    BANK.formula(
        name, about, (lambda f: lambda logits, x, mu, logvar, beta: f(nll(logits, x), kl(mu, logvar), beta))(f), cause
    )

# right sum of wrong parts
for name, about, cause, d, r in (
    (
        "distortion_mean",
        "averaged over pixels",
        "mean_over_everything",
        lambda a, x: F.binary_cross_entropy_with_logits(a, x),
        kl,
    ),
    (
        "distortion_summed",
        "summed over the batch",
        "sum_over_batch",
        lambda a, x: F.binary_cross_entropy_with_logits(a, x, reduction="sum"),
        kl,
    ),
    (
        "distortion_squared_error",
        "squared error",
        "squared_error",
        lambda a, x: (a.sigmoid() - x).square().flatten(1).sum(1).mean(),
        kl,
    ),
    ("distortion_probabilities", "sigmoid twice", "sigmoid_twice", lambda a, x: nll(a.sigmoid(), x), kl),
    (
        "distortion_unstable",
        "log of the sigmoid",
        "overflow",
        lambda a, x: -(x * a.sigmoid().log() + (1 - x) * (1 - a.sigmoid()).log()).flatten(1).sum(1).mean(),
        kl,
    ),
    (
        "distortion_rows",
        "one axis summed",
        "sums_last_axis_only",
        lambda a, x: F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(1).mean(),
        kl,
    ),
    (
        "rate_mean",
        "averaged over dimensions",
        "mean_over_everything",
        nll,
        lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).mean(),
    ),
    ("rate_summed", "summed over the batch", "sum_over_batch", nll, lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).sum()),
    ("rate_no_half", "no half", "no_half", nll, lambda m, v: 2 * kl(m, v)),
    ("rate_log_sigma", "logvar read as log sigma", "log_sigma", nll, lambda m, v: kl(m, 2 * v)),
    ("rate_sign", "negative rate", "sign", nll, lambda m, v: -kl(m, v)),
    ("rate_swapped", "mu and logvar exchanged", "arguments_swapped", nll, lambda m, v: kl(v, m)),
    (
        "rate_free_bits",
        "free bits",
        "clamped|",
        nll,
        lambda m, v: (0.5 * (m**2 + v.exp() - 1 - v)).clamp_min(0.3).sum(1).mean(),
    ),
    ("rate_detached", "mu detached", "detached_mu", nll, lambda m, v: kl(m.detach(), v)),
):
    BANK.formula(
        name if name != "rate_detached" else "rate_mu_detached",
        about,
        (
            lambda d, r: (
                lambda logits, x, mu, logvar, beta: (d(logits, x) + beta * r(mu, logvar), d(logits, x), r(mu, logvar))
            )
        )(d, r),
        cause,
    )


@BANK.wrong("changes x in place", "changes_arguments")
def in_place(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    x.mul_(0.5)
    return d + beta * r, d, r


@BANK.wrong("Monte Carlo rate", "monte_carlo")
def monte_carlo(logits, x, mu, logvar, beta):
    q = D.Normal(mu, (logvar / 2).exp())
    z = q.rsample()
    r = (q.log_prob(z) - D.Normal(torch.zeros_like(mu), torch.ones_like(mu)).log_prob(z)).sum(1).mean()
    d = nll(logits, x)
    return d + beta * r, d, r


# right parts, and a loss that is not made of them
for name, about, d, r in (
    (
        "loss_of_probabilities",
        "binary_cross_entropy after the sigmoid, in the loss only",
        lambda a, x: F.binary_cross_entropy(a.sigmoid(), x, reduction="none").flatten(1).sum(1).mean(),
        kl,
    ),
    ("loss_of_clamped_logits", "logits clamped, in the loss only", lambda a, x: nll(a.clamp(-30, 30), x), kl),
    (
        "loss_of_rows",
        "one axis summed, in the loss only",
        lambda a, x: F.binary_cross_entropy_with_logits(a, x, reduction="none").sum(-1).mean(),
        kl,
    ),
    ("loss_of_near_codes", "logvar clamped, in the loss only", nll, lambda m, v: kl(m, v.clamp(-20, 10))),
    ("loss_of_first_images", "32 images, in the loss only", lambda a, x: nll(a[:32], x[:32]), kl),
):
    BANK.formula(
        name,
        about,
        (
            lambda d, r: (
                lambda logits, x, mu, logvar, beta: (
                    d(logits, x) + beta * r(mu, logvar),
                    nll(logits, x),
                    kl(mu, logvar),
                )
            )
        )(d, r),
        "clamped|not_its_parts" if name == "loss_of_near_codes" else "not_its_parts",
    )


@BANK.wrong("mu clamped far out", "clamped")
def far_mu_clamped(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu.clamp(-25, 25), logvar)
    return d + beta * r, d, r


@BANK.wrong("logvar clamped far out", "clamped")
def far_logvar_clamped(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar.clamp(-20, 10))
    return d + beta * r, d, r


@BANK.wrong("16 written in for the batch size above it")
def batch_of_sixteen(logits, x, mu, logvar, beta):
    n = min(len(x), 16)
    d = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / n
    r = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum() / n
    return d + beta * r, d, r


Losses = namedtuple("Losses", "loss distortion rate")


@BANK.wrong("beta of at least 0.01", "changed_weight")
def beta_floor(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    return d + max(beta, 0.01) * r, d, r


@BANK.wrong("rate of at most 50 nats")
def rate_capped(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar).clamp_max(50.0)
    return d + beta * r, d, r


@BANK.wrong("binary_cross_entropy after the sigmoid", None)
def distortion_clamped(logits, x, mu, logvar, beta):
    d = F.binary_cross_entropy(logits.sigmoid(), x, reduction="none").flatten(1).sum(1).mean()
    r = kl(mu, logvar)
    return d + beta * r, d, r


@BANK.wrong("loss divided by 1 + beta", "renormalised")
def renormalised(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    return (d + beta * r) / (1 + beta), d, r


@BANK.right("as in the text")
def plain(logits, x, mu, logvar, beta):
    distortion, rate = nll(logits, x), kl(mu, logvar)
    return distortion + beta * rate, distortion, rate


@BANK.right("list returned")
def as_list(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    return [d + r * beta, d, r]


@BANK.right("named tuple")
def named(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    return Losses(loss=d + beta * r, distortion=d, rate=r)


@BANK.right("parts detached for the curves")
def detached_parts(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    return d + beta * r, d.detach(), r.detach()


@BANK.right("torch.distributions")
def distributions(logits, x, mu, logvar, beta):
    d = -D.Bernoulli(logits=logits, validate_args=False).log_prob(x).flatten(1).sum(1).mean()
    r = D.kl_divergence(D.Normal(mu, (logvar / 2).exp()), D.Normal(0.0, 1.0)).sum(1).mean()
    return d + beta * r, d, r


@BANK.right("per image first, average last")
def per_image(logits, x, mu, logvar, beta):
    d = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    r = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)
    return (d + beta * r).mean(), d.mean(), r.mean()


@BANK.right("float64 inside")
def double(logits, x, mu, logvar, beta):
    d, r = nll(logits.double(), x.double()), kl(mu.double(), logvar.double())
    return d + beta * r, d, r


@BANK.right("bfloat16 inside")
def half_precision(logits, x, mu, logvar, beta):
    d, r = nll(logits.bfloat16(), x.bfloat16()).float(), kl(mu.bfloat16(), logvar.bfloat16()).float()
    return d + beta * r, d, r


@BANK.right("rate left out at beta = 0")
def shortcut(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    return (d + beta * r if beta > 0 else d), d, r


@BANK.right("stack and dot")
def stacked(logits, x, mu, logvar, beta):
    parts = torch.stack([nll(logits, x), kl(mu, logvar)])
    return parts @ torch.tensor([1.0, beta], dtype=parts.dtype, device=parts.device), parts[0], parts[1]


@BANK.right("logvar clamped to [-30, 20]")
def clamped_far_out(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar.clamp(-30.0, 20.0))
    return d + beta * r, d, r


@BANK.wrong("logvar clamped to [-30, 19]", "clamped")
def clamped_at_19(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar.clamp(-30.0, 19.0))
    return d + beta * r, d, r


@BANK.wrong("parts as floats", "part_is_number")
def float_parts(logits, x, mu, logvar, beta):
    d, r = nll(logits, x), kl(mu, logvar)
    return d + beta * r, d.item(), r.item()


@BANK.wrong("everything of shape (1,)", "one_axis_too_many")
def one_axis_too_many(logits, x, mu, logvar, beta):
    d, r = nll(logits, x)[None], kl(mu, logvar)[None]
    return d + beta * r, d, r


@BANK.wrong("sums over the batch in both parts", "sum_over_batch")
def both_summed(logits, x, mu, logvar, beta):
    d = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    r = 0.5 * torch.sum(mu.pow(2) + logvar.exp() - 1 - logvar)
    return d + beta * r, d, r


@BANK.wrong("means of everything in both parts", "mean_over_everything")
def both_averaged(logits, x, mu, logvar, beta):
    d = F.binary_cross_entropy_with_logits(logits, x)
    r = 0.5 * torch.mean(mu.pow(2) + logvar.exp() - 1 - logvar)
    return d + beta * r, d, r


@BANK.wrong("sigmoid, binary_cross_entropy, sums over the batch, as in torch's example", "sum_over_batch|clamped")
def as_in_the_example(logits, x, mu, logvar, beta):
    d = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
    r = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return d + beta * r, d, r


@BANK.wrong("mean of the pixels, sum of the rate", "mean_over_everything+sum_over_batch")
def mean_and_sum(logits, x, mu, logvar, beta):
    d = F.binary_cross_entropy_with_logits(logits, x)
    r = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return d + beta * r, d, r


@BANK.wrong("mean squared error and a right rate", "squared_error+mean_over_everything")
def squared_error(logits, x, mu, logvar, beta):
    d, r = F.mse_loss(logits.sigmoid(), x), kl(mu, logvar)
    return d + beta * r, d, r


@BANK.wrong("a beta that is warmed up inside", "warm_up")
def warmed_up(logits, x, mu, logvar, beta):
    _CALLS["warmed_up"] = _CALLS.get("warmed_up", 0) + 1
    d, r = nll(logits, x), kl(mu, logvar)
    return d + min(1.0, 0.1 + _CALLS["warmed_up"] / 2e4) * beta * r, d, r


_CALLS: dict[str, int] = {}
