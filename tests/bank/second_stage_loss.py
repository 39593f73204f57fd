"""(loss, distortion, rate) of a VAE on codes: a Gaussian of learned width around what the decoder returns."""

from __future__ import annotations

import math

import torch
from torch import distributions as D
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("second_stage_loss")
HALF_LOG = 0.5 * math.log(2 * math.pi)


def total(terms):
    return terms.sum(1).mean()


def nll(d, c, s):
    return 0.5 * ((c - d) / s.exp()).square() + s + HALF_LOG


def kl(m, v):
    return 0.5 * (m.square() + v.exp() - 1 - v)


# d: decoded, c: codes, s: log_std
for name, about, cause, f in (
    ("squared_error", "squared error", "squared_error|width_detached", lambda d, c, s: total((c - d).square())),
    (
        "half_squared_error",
        "half a squared error",
        "squared_error|width_detached",
        lambda d, c, s: total(0.5 * (c - d).square()),
    ),
    (
        "mse",
        "mean squared error",
        "squared_error+mean_over_everything|width_detached",
        lambda d, c, s: F.mse_loss(d, c),
    ),
    ("no_log_std", "no log_std", "without_log_std", lambda d, c, s: total(nll(d, c, s) - s)),
    ("square_alone", "the square alone", "without_log_std", lambda d, c, s: total(0.5 * ((c - d) / s.exp()).square())),
    ("no_constant", "no log 2π", "without_constant", lambda d, c, s: total(nll(d, c, s) - HALF_LOG)),
    (
        "no_half",
        "no half before the square",
        "without_half",
        lambda d, c, s: total(((c - d) / s.exp()).square() + s + HALF_LOG),
    ),
    ("whole_log", "log 2π whole", "whole_log", lambda d, c, s: total(nll(d, c, s) + HALF_LOG)),
    (
        "by_std",
        "divided by std",
        "std_for_variance",
        lambda d, c, s: total(0.5 * (c - d).square() / s.exp() + s + HALF_LOG),
    ),
    (
        "as_logvar",
        "log_std as logvar",
        "logvar_for_log_std",
        lambda d, c, s: total(0.5 * (c - d).square() / s.exp() + 0.5 * s + HALF_LOG),
    ),
    ("twice_log_std", "2 log_std", "doubled_log_std", lambda d, c, s: total(nll(d, c, s) + s)),
    ("half_log_std", "half of log_std", "half_log_std", lambda d, c, s: total(nll(d, c, s) - 0.5 * s)),
    (
        "multiplied",
        "times the variance",
        "precision",
        lambda d, c, s: total(0.5 * ((c - d) * s.exp()).square() + s + HALF_LOG),
    ),
    ("minus_log_std", "minus log_std", "sign_of_log_std", lambda d, c, s: total(nll(d, c, s) - 2 * s)),
    ("log_density", "the log density", "sign", lambda d, c, s: -total(nll(d, c, s))),
    ("laplace", "absolute error", "not_squared", lambda d, c, s: total((c - d).abs() / s.exp() + s + math.log(2))),
    (
        "pixels",
        "cross-entropy of pixels",
        "bernoulli|width_detached",
        lambda d, c, s: total(F.binary_cross_entropy_with_logits(d, c, reduction="none")),
    ),
    ("averaged", "mean over dimensions too", "mean_over_everything", lambda d, c, s: nll(d, c, s).mean()),
    ("summed", "sum over the batch", "sum_over_batch", lambda d, c, s: nll(d, c, s).sum()),
    ("width_cut", "log_std detached", "width_detached", lambda d, c, s: total(nll(d, c, s.detach()))),
    (
        "width_as_number",
        "log_std as a number",
        "width_detached",
        lambda d, c, s: total(nll(d, c, torch.tensor(s.item()))),
    ),
    (
        "once_per_code",
        "log_std counted once a code",
        None,
        lambda d, c, s: total(0.5 * ((c - d) / s.exp()).square() + HALF_LOG) + s,
    ),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda decoded, codes, mu, logvar, log_std: (
                    lambda distortion, rate: (distortion + rate, distortion, rate)
                )(f(decoded, codes, log_std), total(kl(mu, logvar)))
            )
        )(f),
        cause,
        "of one code both formulas may give about the same" if name == "as_logvar" else "",
    )

# m: mu, v: logvar
for name, about, cause, f in (
    ("rate_negative", "minus the rate", "rate_sign", lambda m, v: -total(kl(m, v))),
    ("rate_no_half", "twice the rate", "rate_without_half", lambda m, v: 2 * total(kl(m, v))),
    (
        "rate_of_log_std",
        "logvar as log sigma",
        "rate_logvar_as_log_std",
        lambda m, v: total(0.5 * (m.square() + (2 * v).exp() - 1 - 2 * v)),
    ),
    ("rate_no_mu", "mu missing", "rate_without_mu", lambda m, v: total(0.5 * (v.exp() - 1 - v))),
    ("rate_mu_alone", "mu alone", "rate_of_mu", lambda m, v: total(0.5 * m.square())),
    ("rate_mean", "mean over dimensions too", "mean_over_everything", lambda m, v: kl(m, v).mean()),
    ("rate_summed", "sum over the batch", "sum_over_batch", lambda m, v: kl(m, v).sum()),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda decoded, codes, mu, logvar, log_std: (
                    lambda distortion, rate: (distortion + rate, distortion, rate)
                )(total(nll(decoded, codes, log_std)), f(mu, logvar))
            )
        )(f),
        cause,
    )

# d: distortion, r: rate
for name, about, cause, f in (
    ("no_rate", "distortion alone", "rate_missing", lambda d, r: (d, d, r)),
    ("no_distortion", "rate alone", "distortion_missing|width_detached", lambda d, r: (r, d, r)),
    ("minus_rate", "minus the rate", "rate_subtracted", lambda d, r: (d - r, d, r)),
    ("negative", "minus the loss", "negative", lambda d, r: (-d - r, d, r)),
    ("mean_of_parts", "half of the sum", "halved", lambda d, r: ((d + r) / 2, d, r)),
    ("swapped", "(loss, rate, distortion)", "parts_swapped", lambda d, r: (d + r, r, d)),
    ("loss_last", "(distortion, rate, loss)", "wrong_order", lambda d, r: (d, r, d + r)),
    ("loss_only", "one value", "wrong_number_of_values", lambda d, r: d + r),
    ("numbers", "Python numbers", "python_number", lambda d, r: ((d + r).item(), d.item(), r.item())),
    ("cut", "loss detached", "detached|width_detached", lambda d, r: ((d + r).detach(), d, r)),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda decoded, codes, mu, logvar, log_std: f(
                    total(nll(decoded, codes, log_std)), total(kl(mu, logvar))
                )
            )
        )(f),
        cause,
    )


@BANK.right("torch.distributions")
def distributions(decoded, codes, mu, logvar, log_std):
    distortion = -D.Normal(decoded, log_std.exp()).log_prob(codes).sum(1).mean()
    posterior = D.Normal(mu, torch.exp(0.5 * logvar))
    rate = D.kl_divergence(posterior, D.Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(1).mean()
    return distortion + rate, distortion, rate


@BANK.right("F.gaussian_nll_loss")
def gaussian_nll(decoded, codes, mu, logvar, log_std):
    variance = torch.exp(2 * log_std).expand_as(codes)
    nats = F.gaussian_nll_loss(decoded, codes, variance, full=True, reduction="none", eps=1e-12)
    distortion, rate = nats.sum(1).mean(), -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    return distortion + rate, distortion, rate


@BANK.right("squared errors first, constants once a code")
def summed(decoded, codes, mu, logvar, log_std):
    n, dim = codes.shape
    distortion = (decoded - codes).pow(2).sum() / (2 * n * torch.exp(2 * log_std)) + dim * (log_std + HALF_LOG)
    rate = (mu.pow(2) + logvar.exp() - logvar - 1).sum() / (2 * n)
    return distortion + rate, distortion, rate


@BANK.right("a diagonal Gaussian of torch")
def independent(decoded, codes, mu, logvar, log_std):
    distortion = -D.Independent(D.Normal(decoded, log_std.exp()), 1).log_prob(codes).mean()
    rate = total(kl(mu, logvar))
    return torch.stack([distortion, rate]).sum(), distortion, rate


@BANK.right("a list, einsum")
def einsum(decoded, codes, mu, logvar, log_std):
    apart = (codes - decoded) * torch.exp(-log_std)
    distortion = (0.5 * torch.einsum("nd,nd->n", apart, apart) + codes.shape[1] * (log_std + HALF_LOG)).mean()
    rate = total(kl(mu, logvar))
    return [distortion + rate, distortion, rate]


@BANK.right("in double precision")
def double(decoded, codes, mu, logvar, log_std):
    distortion = total(nll(decoded.double(), codes.double(), log_std.double()))
    rate = total(kl(mu.double(), logvar.double()))
    return distortion + rate, distortion, rate


@BANK.wrong("distortion never below 0", "cut_off")
def cut_off(decoded, codes, mu, logvar, log_std):
    nats = 0.5 * ((codes - decoded) * torch.exp(-log_std)) ** 2 + log_std + 0.5 * math.log(2 * math.pi)
    distortion = nats.sum(1).mean().clamp(min=0)
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    return distortion + rate, distortion, rate


@BANK.wrong("the width counted once for a code", "once_a_code")
def width_once(decoded, codes, mu, logvar, log_std):
    squares = (0.5 * ((codes - decoded) * torch.exp(-log_std)) ** 2).sum(1).mean()
    distortion = squares + log_std + 0.5 * math.log(2 * math.pi)
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    return distortion + rate, distortion, rate
