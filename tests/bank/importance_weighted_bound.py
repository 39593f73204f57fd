"""Implementations of `importance_weighted_bound(z, log_likelihood, mu, logvar)`: log of the mean weight, inside out."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal

from .entries import Bank

BANK = Bank("importance_weighted_bound")
TWO_PI = math.log(2 * math.pi)


def prior(z):
    return -0.5 * (z**2 + TWO_PI).sum(-1)


def posterior(z, mu, logvar):
    return -0.5 * ((z - mu) ** 2 / logvar.exp() + logvar + TWO_PI).sum(-1)


def weights(z, a, mu, logvar):
    return a + prior(z) - posterior(z, mu, logvar)


def bound(w):
    return (math.log(len(w)) - torch.logsumexp(w, 0)).mean()


for name, about, cause, f in (
    ("elbo", "the mean outside the logarithm", "elbo", lambda z, a, m, v: -weights(z, a, m, v).mean()),
    (
        "no_log_k",
        "log K forgotten",
        "log_k_missing",
        lambda z, a, m, v: -torch.logsumexp(weights(z, a, m, v), 0).mean(),
    ),
    (
        "twice_log_k",
        "mean of weights, then log K again",
        "k_counted_twice",
        lambda z, a, m, v: bound(weights(z, a, m, v)) + math.log(len(z)),
    ),
    ("lower", "log p(x) itself", "sign", lambda z, a, m, v: -bound(weights(z, a, m, v))),
    ("no_prior", "p(z) forgotten", "prior_missing", lambda z, a, m, v: bound(a - posterior(z, m, v))),
    ("no_posterior", "q forgotten", "posterior_missing", lambda z, a, m, v: bound(a + prior(z))),
    ("swapped", "q / p", "weight_inverted", lambda z, a, m, v: bound(a - prior(z) + posterior(z, m, v))),
    (
        "no_likelihood",
        "p(z) / q",
        "likelihood_missing|detached",
        lambda z, a, m, v: bound(prior(z) - posterior(z, m, v)),
    ),
    (
        "log_sigma",
        "logvar as log sigma",
        "logvar_as_log_sigma",
        lambda z, a, m, v: bound(weights(z, a, m, 2 * v)),
    ),
    (
        "no_determinant",
        "q without its -logvar / 2",
        "log_determinant_missing",
        lambda z, a, m, v: bound(weights(z, a, m, v) - 0.5 * v.sum(-1)),
    ),
    (
        "no_variance",
        "squares not divided",
        "variance_missing",
        lambda z, a, m, v: bound(a + prior(z) + 0.5 * ((z - m) ** 2 + v + TWO_PI).sum(-1)),
    ),
    ("best", "the largest weight", "best_code", lambda z, a, m, v: -weights(z, a, m, v).max(0).values.mean()),
    ("summed", "sum over images", "sums_images", lambda z, a, m, v: bound(weights(z, a, m, v)) * a.shape[1]),
    (
        "one_for_all",
        "one logarithm for codes and images",
        "one_mean",
        lambda z, a, m, v: math.log(a.numel()) - torch.logsumexp(weights(z, a, m, v).flatten(), 0),
    ),
    (
        "axes",
        "mean over images inside",
        "axes_swapped",
        lambda z, a, m, v: (math.log(a.shape[1]) - torch.logsumexp(weights(z, a, m, v), 1)).mean(),
    ),
    (
        "exponentiates",
        "mean of exp: 0 or infinite for real images",
        "exponentiated",
        lambda z, a, m, v: -weights(z, a, m, v).exp().mean(0).log().mean(),
    ),
    (
        "clamped",
        "weights clamped before exp",
        "exponentiated",
        lambda z, a, m, v: -weights(z, a, m, v).clamp(-50, 50).exp().mean(0).log().mean(),
    ),
    ("per_image", "one bound per image", "not_scalar", lambda z, a, m, v: -torch.logsumexp(weights(z, a, m, v), 0)),
    (
        "number",
        ".item(): nothing could be trained",
        "python_number",
        lambda z, a, m, v: bound(weights(z, a, m, v)).item(),
    ),
    ("detached", "no gradient", "detached", lambda z, a, m, v: bound(weights(z, a, m, v)).detach()),
    (
        "averaged_dims",
        "densities averaged over dimensions",
        "dimensions_averaged",
        lambda z, a, m, v: bound(a + (prior(z) - posterior(z, m, v)) / z.shape[-1]),
    ),
    ("first_code", "only the first code", "first_code_only", lambda z, a, m, v: -weights(z, a, m, v)[0].mean()),
    (
        "redraws",
        "codes drawn anew",
        "random",
        lambda z, a, m, v: bound(weights(m + (v / 2).exp() * torch.randn_like(z), a, m, v)),
    ),
    ("bits", "in bits", "bits", lambda z, a, m, v: bound(weights(z, a, m, v)) / math.log(2)),
    ("nothing", "nothing returned", "returns_none", lambda z, a, m, v: None),
):
    BANK.formula(name, about, f, cause)


@BANK.right("logsumexp minus log K")
def plain(z, log_likelihood, mu, logvar):
    w = log_likelihood + prior(z) - posterior(z, mu, logvar)
    return -(torch.logsumexp(w, 0) - math.log(len(w))).mean()


@BANK.right("torch.distributions")
def distributions(z, log_likelihood, mu, logvar):
    q = Normal(mu, (0.5 * logvar).exp(), validate_args=False)
    p = Normal(torch.zeros_like(mu), torch.ones_like(mu), validate_args=False)
    w = log_likelihood + p.log_prob(z).sum(2) - q.log_prob(z).sum(2)
    return -(w.logsumexp(dim=0) - math.log(z.shape[0])).mean()


@BANK.right("constants cancel")
def without_constants(z, log_likelihood, mu, logvar):
    w = log_likelihood + 0.5 * ((z - mu).square() * torch.exp(-logvar) + logvar - z.square()).sum(-1)
    return math.log(len(z)) - torch.logsumexp(w, dim=0).mean()


@BANK.right("the largest weight taken out by hand")
def by_hand(z, log_likelihood, mu, logvar):
    w = weights(z, log_likelihood, mu, logvar)
    top = w.max(0, keepdim=True).values
    return -(top[0] + (w - top).exp().mean(0).log()).mean()


@BANK.right("a loop over images")
def loop(z, log_likelihood, mu, logvar):
    total = 0.0
    for n in range(len(mu)):
        w = weights(z[:, n], log_likelihood[:, n], mu[n], logvar[n])
        total = total - (torch.logsumexp(w, 0) - math.log(len(w)))
    return total / len(mu)


@BANK.right("logaddexp, code by code")
def accumulated(z, log_likelihood, mu, logvar):
    w = weights(z, log_likelihood, mu, logvar)
    total = w[0]
    for one in w[1:]:
        total = torch.logaddexp(total, one)
    return (math.log(len(w)) - total).mean()


@BANK.right("float64 inside")
def precise(z, log_likelihood, mu, logvar):
    return bound(weights(z.double(), log_likelihood.double(), mu.double(), logvar.double()))


@BANK.wrong("the average likelihood and the closed form of the KL", "closed_form")
def with_closed_form(z, log_likelihood, mu, logvar):
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
    return (kl + math.log(len(z)) - log_likelihood.logsumexp(0)).mean()


@BANK.wrong("q without its constant, and no prior", "prior_missing")
def prior_forgotten(z, log_likelihood, mu, logvar):
    log_q = -0.5 * ((z - mu).square() / logvar.exp() + logvar).sum(-1)
    return (math.log(len(z)) - (log_likelihood - log_q).logsumexp(0)).mean()


@BANK.wrong("logsumexp over the images", "axes_swapped")
def other_axis(z, log_likelihood, mu, logvar):
    weights = log_likelihood + 0.5 * ((z - mu).square() / logvar.exp() + logvar - z.square()).sum(-1)
    return (math.log(len(z)) - weights.logsumexp(1)).mean()
