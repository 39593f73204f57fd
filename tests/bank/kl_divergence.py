"""KL(N(mu, exp(logvar)) || N(0, I)), in nats per image."""

from __future__ import annotations

import math

import torch
from torch import distributions as D

from .entries import Bank

BANK = Bank("kl_divergence")


def terms(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def per_image(t):
    return t.sum(1).mean()


# wrong formulas, right reduction
for name, about, cause, t in (
    ("no_half", "factor one half forgotten", "no_half", lambda m, v: m**2 + v.exp() - 1 - v),
    ("half_twice", "half applied twice", "half_twice", lambda m, v: terms(m, v) / 2),
    ("negative", "sign turned", "sign", lambda m, v: 0.5 * (1 + v - m**2 - v.exp())),
    ("negative_no_half", "sign turned and no half", "sign", lambda m, v: 1 + v - m**2 - v.exp()),
    ("plus_one", "+1 for -1", "plus_one", lambda m, v: 0.5 * (m**2 + v.exp() + 1 - v)),
    ("missing_one", "constant forgotten", "missing_one", lambda m, v: 0.5 * (m**2 + v.exp() - v)),
    ("reverse", "KL(p || q) for KL(q || p)", "reverse", lambda m, v: 0.5 * ((1 + m**2) / v.exp() - 1 + v)),
    ("log_sigma", "logvar read as log sigma", "log_sigma", lambda m, v: 0.5 * (m**2 + (2 * v).exp() - 1 - 2 * v)),
    (
        "sigma_for_variance",
        "sigma in place of sigma^2",
        "sigma_for_variance",
        lambda m, v: 0.5 * (m**2 + (v / 2).exp() - 1 - v),
    ),
    (
        "half_log_sigma",
        "std and log std throughout",
        "half_log_sigma",
        lambda m, v: 0.5 * (m**2 + (v / 2).exp() - 1 - v / 2),
    ),
    (
        "logvar_is_variance",
        "logvar read as the variance",
        "logvar_is_variance",
        lambda m, v: 0.5 * (m**2 + v - 1 - torch.log(v.abs() + 1e-8)),
    ),
    (
        "logvar_is_sigma",
        "logvar read as sigma",
        "logvar_is_sigma",
        lambda m, v: 0.5 * (m**2 + v**2 - 1 - (v**2 + 1e-10).log()),
    ),
    ("mu_not_squared", "mu for mu^2", "mu_not_squared", lambda m, v: 0.5 * (m + v.exp() - 1 - v)),
    ("mu_absolute", "|mu| for mu^2", "mu_not_squared", lambda m, v: 0.5 * (m.abs() + v.exp() - 1 - v)),
    ("no_mu", "mean ignored", "no_mu", lambda m, v: 0.5 * (v.exp() - 1 - v)),
    ("mu_sign", "mu^2 subtracted", "mu_sign", lambda m, v: 0.5 * (v.exp() - 1 - v - m**2)),
    ("no_logvar", "logvar term forgotten", "no_logvar", lambda m, v: 0.5 * (m**2 + v.exp() - 1)),
    ("logvar_sign", "logvar added", "logvar_sign", lambda m, v: 0.5 * (m**2 + v.exp() - 1 + v)),
    ("only_mu", "variance ignored", "only_mu", lambda m, v: 0.5 * m**2),
    ("no_exp", "exp forgotten", "no_exp", lambda m, v: 0.5 * (m**2 + v - 1 - v)),
    ("half_on_mu_only", "half applied to one term", "half_on_mu_only", lambda m, v: 0.5 * m**2 + v.exp() - 1 - v),
    ("arguments_swapped", "mu and logvar exchanged", "arguments_swapped", lambda m, v: terms(v, m)),
    ("bits", "log2 scale", "bits", lambda m, v: terms(m, v) / math.log(2)),
    ("squared_twice", "sigma^4", "sigma_squared_twice", lambda m, v: 0.5 * (m**2 + v.exp() ** 2 - 1 - v)),
):
    BANK.formula(name, about, (lambda t: lambda mu, logvar: per_image(t(mu, logvar)))(t), cause)

# right formula, wrong reduction
for name, about, cause, reduce in (
    ("mean_everything", "mean over dimensions too", "mean_over_everything", lambda t: t.mean()),
    ("sum_everything", "sum over the batch too", "sum_over_batch", lambda t: t.sum()),
    ("vector", "no average over the batch", "per_image", lambda t: t.sum(1)),
    ("column", "keepdim", "per_image", lambda t: t.sum(1, keepdim=True)),
    ("matrix", "no reduction at all", "unreduced", lambda t: t),
    ("axes_swapped", "mean over dimensions, sum over images", "axes_swapped", lambda t: t.mean(1).sum()),
    ("mean_over_batch_only", "vector over dimensions", "averages_first_axis_only", lambda t: t.mean(0)),
    ("divided_twice", "divided by the batch twice", "divided_by_batch_twice", lambda t: t.sum(1).mean() / t.shape[0]),
    ("python_float", ".item()", "python_number", lambda t: per_image(t).item()),
    ("detached", "detach at the end", "detached", lambda t: per_image(t).detach()),
    ("median", "median over the batch", None, lambda t: t.sum(1).median()),
    ("mean_times_fixed", "mean times a dimension written in", None, lambda t: t.mean() * 20),
    ("unbiased", "divides by n - 1", "divides_by_n_minus_one", lambda t: t.sum() / max(t.shape[0] - 1, 1)),
    ("max_batch", "worst image of the batch", "worst_image_only", lambda t: t.sum(1).max()),
):
    BANK.formula(name, about, (lambda r: lambda mu, logvar: r(terms(mu, logvar)))(reduce), cause)


@BANK.wrong("mean over everything and no half", "no_half+mean_over_everything")
def two_mistakes(mu, logvar):
    return (mu**2 + logvar.exp() - 1 - logvar).mean()


@BANK.wrong("Monte Carlo, one sample", "monte_carlo")
def monte_carlo(mu, logvar):
    sigma = (logvar / 2).exp()
    z = mu + sigma * torch.randn_like(mu)
    q, p = D.Normal(mu, sigma), D.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return (q.log_prob(z) - p.log_prob(z)).sum(1).mean()


@BANK.wrong("Monte Carlo, thousand samples", "monte_carlo")
def monte_carlo_thousand(mu, logvar):
    sigma = (logvar / 2).exp()
    z = mu + sigma * torch.randn(1000, *mu.shape, dtype=mu.dtype)
    q, p = D.Normal(mu, sigma), D.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return (q.log_prob(z) - p.log_prob(z)).mean(0).sum(1).mean()


@BANK.wrong(
    "Monte Carlo with a generator of its own that always starts alike",
    varies="whether 500 samples come within the precision that is asked for depends on the codes",
)
def monte_carlo_frozen(mu, logvar):
    generator = torch.Generator().manual_seed(3)
    sigma = (logvar / 2).exp()
    z = mu + sigma * torch.randn(500, *mu.shape, dtype=mu.dtype, generator=generator)
    q, p = D.Normal(mu, sigma), D.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return (q.log_prob(z) - p.log_prob(z)).mean(0).sum(1).mean()


@BANK.wrong("logvar clamped to [-10, 10]", "clamped")
def clamp_logvar(mu, logvar):
    return per_image(terms(mu, logvar.clamp(-10, 10)))


@BANK.wrong("logvar clamped to [-4, 4]", "clamped")
def clamp_hard(mu, logvar):
    return per_image(terms(mu, logvar.clamp(-4, 4)))


@BANK.wrong("mu clamped to [-5, 5]", "clamped")
def clamp_mu(mu, logvar):
    return per_image(terms(mu.clamp(-5, 5), logvar))


@BANK.wrong("free bits per dimension, half a nat", "clamped")
def free_bits(mu, logvar):
    return terms(mu, logvar).clamp_min(0.5).sum(1).mean()


@BANK.wrong("tiny free bits per dimension", "clamped")
def free_bits_tiny(mu, logvar):
    return terms(mu, logvar).clamp_min(0.02).sum(1).mean()


@BANK.wrong("free bits on batch means", "clamped")
def free_bits_batch(mu, logvar):
    return terms(mu, logvar).mean(0).clamp_min(0.25).sum()


@BANK.wrong("result capped", "clamped")
def capped(mu, logvar):
    return per_image(terms(mu, logvar)).clamp_max(100.0)


@BANK.wrong("absolute value of logvar", "absolute")
def absolute_logvar(mu, logvar):
    return per_image(0.5 * (mu**2 + logvar.exp() - 1 - logvar.abs()))


@BANK.wrong("exp detached", "detached_part")
def detached_exp(mu, logvar):
    return per_image(0.5 * (mu**2 + logvar.exp().detach() - 1 - logvar))


@BANK.wrong("mu detached", "detached_mu")
def detached_mu(mu, logvar):
    return per_image(terms(mu.detach(), logvar))


@BANK.wrong("logvar detached", "detached_logvar")
def detached_logvar(mu, logvar):
    return per_image(terms(mu, logvar.detach()))


@BANK.wrong("under no_grad", "detached")
def without_grad(mu, logvar):
    with torch.no_grad():
        return per_image(terms(mu, logvar))


@BANK.wrong("batch of one is not averaged properly: squeeze")
def squeezed(mu, logvar):
    t = terms(mu, logvar).squeeze()
    return t.sum(-1).mean() if t.dim() > 1 else t.mean()


@BANK.wrong("changes logvar in place", "changes_arguments")
def in_place(mu, logvar):
    variance = logvar.exp_()
    return per_image(0.5 * (mu**2 + variance - 1 - variance.log()))


@BANK.wrong("changes logvar behind autograd's back", "changes_arguments")
def in_place_data(mu, logvar):
    value = per_image(terms(mu, logvar))
    logvar.data.clamp_(-1, 1)
    return value


@BANK.wrong("seeds torch", "reseeds")
def reseeds(mu, logvar):
    torch.manual_seed(0)
    return per_image(terms(mu, logvar))


@BANK.wrong("float32 only: fails on float64")
def float32_only(mu, logvar):
    return per_image(terms(mu, logvar)) + (mu @ torch.zeros(mu.shape[1], 1)).sum()


@BANK.wrong("only the first image counts", "first_image_only")
def first_image(mu, logvar):
    return terms(mu, logvar)[0].sum()


@BANK.wrong("prior with variance e")
def wide_prior(mu, logvar):
    q, p = D.Normal(mu, (logvar / 2).exp()), D.Normal(torch.zeros_like(mu), torch.ones_like(mu) * math.exp(0.5))
    return D.kl_divergence(q, p).sum(1).mean()


@BANK.wrong("zero")
def zero(mu, logvar):
    return (mu * 0 + logvar * 0).sum()


@BANK.wrong("a floor of a thousandth of a nat", "clamped|")
def small_floor(mu, logvar):
    return torch.relu(terms(mu, logvar) - 0.001).sum(1).mean()


@BANK.wrong("KL of the batch as a whole")
def aggregate(mu, logvar):
    mean, variance = mu.mean(0), mu.var(0, unbiased=False) + logvar.exp().mean(0)
    return 0.5 * (mean**2 + variance - 1 - variance.log()).sum()


@BANK.wrong("right value, gradient ten times too small", "detached_part")
def small_gradient(mu, logvar):
    value = per_image(terms(mu, logvar))
    return 0.1 * value + 0.9 * value.detach()


@BANK.wrong("logvar clamped to [-18, 11]", "clamped")
def clamp_wide(mu, logvar):
    return per_image(terms(mu, logvar.clamp(-18, 11)))


@BANK.wrong("logvar clamped to [-20, 20]", "clamped")
def clamp_wider(mu, logvar):
    return per_image(terms(mu, logvar.clamp(-20, 20)))


@BANK.wrong("mu clamped to [-30, 30]", "clamped")
def clamp_mu_wide(mu, logvar):
    return per_image(terms(mu.clamp(-30, 30), logvar))


@BANK.wrong("1e-8 added to the variance", "clamped")
def variance_plus(mu, logvar):
    variance = logvar.exp() + 1e-8
    return per_image(0.5 * (mu**2 + variance - 1 - variance.log()))


@BANK.wrong("1e-12 added to the variance", "clamped")
def variance_plus_little(mu, logvar):
    variance = logvar.exp() + 1e-12
    return per_image(0.5 * (mu**2 + variance - 1 - variance.log()))


@BANK.wrong("one per cent too much", "scaled")
def one_per_cent(mu, logvar):
    return 1.01 * per_image(terms(mu, logvar))


@BANK.wrong("only the first 512 images count", "part_left_out")
def first_images(mu, logvar):
    return per_image(terms(mu[:512], logvar[:512]))


@BANK.wrong("only the first 64 dimensions count", "part_left_out")
def first_dimensions(mu, logvar):
    return per_image(terms(mu[:, :64], logvar[:, :64]))


@BANK.wrong("gradient of the first four images", "detached_part")
def gradient_of_four(mu, logvar):
    return per_image(terms(torch.cat([mu[:4], mu[4:].detach()]), torch.cat([logvar[:4], logvar[4:].detach()])))


@BANK.wrong("gradient of the first 32 dimensions", "detached_part")
def gradient_of_first_dimensions(mu, logvar):
    return per_image(terms(torch.cat([mu[:, :32], mu[:, 32:].detach()], 1), logvar))


@BANK.wrong("far codes detached")
def far_detached(mu, logvar):
    return per_image(terms(torch.where(mu.abs() > 15, mu.detach(), mu), logvar))


@BANK.wrong("detached in float64", "detached")
def detached_in_double(mu, logvar):
    if mu.dtype == torch.float64:
        mu, logvar = mu.detach(), logvar.detach()
    return per_image(terms(mu, logvar))


@BANK.wrong("a constant is added where gradients are asked for", "other_in_training")
def more_in_training(mu, logvar):
    return per_image(terms(mu, logvar)) + (5.0 if mu.requires_grad else 0.0)


# right


@BANK.right("as in the paper")
def paper(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).mean(0)


@BANK.right("torch.distributions")
def distributions(mu, logvar):
    q = D.Normal(mu, torch.exp(0.5 * logvar))
    return D.kl_divergence(q, D.Normal(0.0, 1.0)).sum(-1).mean()


@BANK.right("Independent, MultivariateNormal prior style")
def independent(mu, logvar):
    q = D.Independent(D.Normal(mu, torch.exp(logvar).sqrt()), 1)
    p = D.Independent(D.Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return D.kl_divergence(q, p).mean()


@BANK.right("loops")
def loops(mu, logvar):
    total = 0.0
    for i in range(len(mu)):
        image = 0.0
        for j in range(mu.shape[1]):
            image = image + 0.5 * (mu[i, j] ** 2 + logvar[i, j].exp() - 1 - logvar[i, j])
        total = total + image
    return total / len(mu)


@BANK.right("einsum and expm1")
def einsum(mu, logvar):
    n = mu.shape[0]
    return 0.5 * (torch.einsum("nd,nd->", mu, mu) + torch.sum(torch.expm1(logvar) - logvar)) / n


@BANK.right("float64 inside")
def double(mu, logvar):
    return per_image(terms(mu.double(), logvar.double()))


@BANK.right("float64 inside, float32 outside")
def double_back(mu, logvar):
    return per_image(terms(mu.double(), logvar.double())).float()


@BANK.right("bfloat16 inside")
def half_precision(mu, logvar):
    return per_image(terms(mu.bfloat16(), logvar.bfloat16())).float()


@BANK.right("bfloat16 result")
def half_precision_out(mu, logvar):
    return per_image(terms(mu.bfloat16(), logvar.bfloat16()))


@BANK.right("sum over everything divided by the batch size")
def divided(mu, logvar):
    return terms(mu, logvar).sum() / mu.size(0)


@BANK.right("vmap over images")
def mapped(mu, logvar):
    return torch.vmap(lambda m, v: 0.5 * (m @ m + v.exp().sum() - v.sum() - m.numel()))(mu, logvar).mean()


class _Kl:
    def __call__(self, mu, logvar):
        return terms(mu, logvar).flatten(1).sum(dim=-1).mean()


BANK.right("callable object")(_Kl())


@BANK.right("logvar clamped to [-30, 20]")
def clamped_far_out(mu, logvar):
    return per_image(terms(mu, logvar.clamp(-30, 20)))


@BANK.wrong("logvar clamped to [-29, 20]", "clamped")
def clamped_at_29(mu, logvar):
    return per_image(terms(mu, logvar.clamp(-29, 20)))


@BANK.wrong("logvar clamped to [-30, 19]", "clamped")
def clamped_at_19(mu, logvar):
    return per_image(terms(mu, logvar.clamp(-30, 19)))


@BANK.right("full covariance matrices")
def full_covariance(mu, logvar):
    q = D.MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    p = D.MultivariateNormal(torch.zeros_like(mu[0]), torch.eye(mu.shape[1], dtype=mu.dtype))
    return D.kl_divergence(q, p).mean()


@BANK.wrong("the result in a list of one number, shape (1,)", "one_axis_too_many")
def one_axis_too_many(mu, logvar):
    return per_image(terms(mu, logvar)).view(1)


@BANK.wrong("KL of a warm-up, more at every call", "warm_up")
def warm_up(mu, logvar):
    _CALLS["warm_up"] = _CALLS.get("warm_up", 0) + 1
    return min(1.0, 0.1 + _CALLS["warm_up"] / 2e5) * per_image(terms(mu, logvar))


_CALLS: dict[str, int] = {}
