"""Implementations of `rescale(mu, logvar, decoder_weight)`: codes of second moment 1, the same images."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("rescale")


def moment(mu, logvar):
    return (mu**2 + logvar.exp()).mean(0)


def by(factor):
    def rescale(mu, logvar, decoder_weight):
        c = factor(mu, logvar)
        return c * mu, logvar + 2 * c.log(), decoder_weight / c

    return rescale


def parts(result):
    return lambda mu, logvar, w: result(mu, logvar, w, moment(mu, logvar) ** -0.5)


def in_place(mu, logvar, decoder_weight):
    c = moment(mu, logvar) ** -0.5
    mu *= c
    return mu, logvar + 2 * c.log(), decoder_weight / c


for name, about, cause, f in (
    ("moment_not_rooted", "1 / m", "moment_not_rooted", by(lambda m, v: 1 / moment(m, v))),
    ("inverted", "times the root of m", "scale_inverted", by(lambda m, v: moment(m, v) ** 0.5)),
    ("means_only", "noise forgotten", "sigma_left_out", by(lambda m, v: (m**2).mean(0) ** -0.5)),
    ("noise_only", "means forgotten", "means_left_out", by(lambda m, v: v.exp().mean(0) ** -0.5)),
    ("variance", "about the mean", "variance", by(lambda m, v: (m.var(0) + v.exp().mean(0)) ** -0.5)),
    ("std", "by the spread of the means", "variance", by(lambda m, v: 1 / m.std(0))),
    ("summed", "sum over the batch", "summed_over_batch", by(lambda m, v: (m**2 + v.exp()).sum(0) ** -0.5)),
    (
        "one_scale",
        "one for all dimensions",
        "one_scale",
        by(lambda m, v: (m**2 + v.exp()).mean() ** -0.5 * torch.ones(m.shape[1])),
    ),
    ("log_c_once", "log c", "logvar_by_log_c", parts(lambda m, v, w, c: (c * m, v + c.log(), w / c))),
    ("logvar_times_c", "c times logvar", "logvar_multiplied", parts(lambda m, v, w, c: (c * m, c * v, w / c))),
    ("logvar_times_c2", "c² times logvar", "logvar_multiplied", parts(lambda m, v, w, c: (c * m, c**2 * v, w / c))),
    ("logvar_kept", "noise as it was", "logvar_kept", parts(lambda m, v, w, c: (c * m, v, w / c))),
    (
        "logvar_minus",
        "minus 2 log c",
        "logvar_sign",
        parts(lambda m, v, w, c: (c * m, v - 2 * c.log(), w / c)),
    ),
    (
        "weight_times",
        "weight times c",
        "weight_multiplied",
        parts(lambda m, v, w, c: (c * m, v + 2 * c.log(), w * c)),
    ),
    ("weight_kept", "decoder as it was", "weight_kept", parts(lambda m, v, w, c: (c * m, v + 2 * c.log(), w))),
    ("log_sigma", "exp(2 logvar)", "logvar_read_as_log_sigma", by(lambda m, v: (m**2 + (2 * v).exp()).mean(0) ** -0.5)),
    ("unchanged", "nothing done", "nothing_changes", lambda m, v, w: (m, v, w)),
    (
        "centred",
        "mean subtracted",
        "centred",
        parts(lambda m, v, w, c: (c * (m - m.mean(0)), v + 2 * c.log(), w / c)),
    ),
    (
        "per_image",
        "one scale per image",
        "scaled_image_by_image",
        lambda m, v, w: (m / m.norm(dim=1, keepdim=True), v, w),
    ),
    (
        "whitened",
        "mu of variance 1, noise of variance 1",
        "noise_replaced",
        lambda m, v, w: (m / m.std(0), 0 * v, w * m.std(0)),
    ),
    (
        "clamped",
        "c at most 1: small codes stay small",
        "never_larger",
        by(lambda m, v: (moment(m, v) ** -0.5).clamp(max=1.0)),
    ),
    (
        "two_values",
        "weight not returned",
        "wrong_number_of_values",
        lambda m, v, w: by(lambda m, v: moment(m, v))(m, v, w)[:2],
    ),
    ("wrong_order", "weight first", "wrong_shape", parts(lambda m, v, w, c: (w / c, c * m, v + 2 * c.log()))),
    ("nothing", "nothing returned", "returns_none", lambda m, v, w: None),
    ("in_place", "mu changed in place", "changes_arguments", in_place),
):
    BANK.formula(name, about, f, cause)


@BANK.right("as on the card")
def plain(mu, logvar, decoder_weight):
    c = (mu**2 + logvar.exp()).mean(0).rsqrt()
    return c * mu, logvar + 2 * c.log(), decoder_weight / c


@BANK.right("by the moment itself")
def by_moment(mu, logvar, decoder_weight):
    m = (mu.square() + torch.exp(logvar)).mean(dim=0)
    return mu / m.sqrt(), logvar - m.log(), decoder_weight * m.sqrt()


@BANK.right("through the standard deviation")
def through_sigma(mu, logvar, decoder_weight):
    sigma = (0.5 * logvar).exp()
    c = 1 / (mu.pow(2).mean(0) + sigma.pow(2).mean(0)).sqrt()
    return mu * c, 2 * (sigma * c).log(), decoder_weight / c[None, :]


@BANK.right("a matrix product with the diagonal")
def diagonal(mu, logvar, decoder_weight):
    c = (mu**2 + logvar.exp()).mean(0) ** -0.5
    return mu @ torch.diag(c), logvar + torch.log(c**2), decoder_weight @ torch.diag(1 / c)


@BANK.right("dimension by dimension")
def loop(mu, logvar, decoder_weight):
    mu, logvar, decoder_weight = mu.clone(), logvar.clone(), decoder_weight.clone()
    for d in range(mu.shape[1]):
        m = (mu[:, d] ** 2 + logvar[:, d].exp()).mean()
        mu[:, d] /= m.sqrt()
        logvar[:, d] -= m.log()
        decoder_weight[:, d] *= m.sqrt()
    return mu, logvar, decoder_weight


@BANK.right("float64 inside")
def precise(mu, logvar, decoder_weight):
    c = (mu.double() ** 2 + logvar.double().exp()).mean(0).rsqrt()
    return (c * mu).to(mu.dtype), (logvar + 2 * c.log()).to(mu.dtype), (decoder_weight / c).to(mu.dtype)


@BANK.right("einsum")
def einsum(mu, logvar, decoder_weight):
    m = (torch.einsum("nd,nd->d", mu, mu) + torch.einsum("nd->d", logvar.exp())) / len(mu)
    return mu / m**0.5, logvar - m.log(), torch.einsum("hd,d->hd", decoder_weight, m**0.5)


@BANK.wrong("every image by its own length, noise as well", "scaled_image_by_image")
def image_by_image(mu, logvar, decoder_weight):
    c = (mu.square() + logvar.exp()).mean(1, keepdim=True).rsqrt()
    return c * mu, logvar + 2 * c.log(), decoder_weight


@BANK.wrong("sigma where its square belongs", "sigma_not_squared")
def sigma_itself(mu, logvar, decoder_weight):
    c = (mu.square() + (0.5 * logvar).exp()).mean(0).rsqrt()
    return c * mu, logvar + 2 * c.log(), decoder_weight / c


@BANK.wrong("standardised, as data are", "centred")
def standardised_codes(mu, logvar, decoder_weight):
    apart = mu - mu.mean(0)
    c = (apart.square() + logvar.exp()).mean(0).rsqrt()
    return c * apart, logvar + 2 * c.log(), decoder_weight / c
