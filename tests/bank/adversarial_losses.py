"""(critic_loss, encoder_loss): the logistic loss of a classifier of codes, and what fools it."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("adversarial_losses")


def critic_loss(p, q):
    return F.softplus(-p).mean() + F.softplus(q).mean()


def encoder_loss(q):
    return F.softplus(-q).mean()


# p, q: the critic on the prior and on the detached codes
for name, about, cause, f in (
    ("labels", "labels exchanged", "labels_exchanged", lambda p, q: F.softplus(p).mean() + F.softplus(-q).mean()),
    ("half", "half of the sum", "halved", lambda p, q: critic_loss(p, q) / 2),
    ("joint", "mean over both batches", "halved", lambda p, q: torch.cat([F.softplus(-p), F.softplus(q)]).mean()),
    ("summed", "sum over the batch", "sum_over_batch", lambda p, q: F.softplus(-p).sum() + F.softplus(q).sum()),
    ("still_unit_05", "difference of means", "wasserstein", lambda p, q: q.mean() - p.mean()),
    ("log_probability", "without the minus", "sign", lambda p, q: -critic_loss(p, q)),
    ("codes_alone", "prior missing", "prior_missing", lambda p, q: F.softplus(q).mean()),
    ("prior_alone", "codes missing", "codes_missing", lambda p, q: F.softplus(-p).mean()),
    ("subtracted", "terms subtracted", "subtracted", lambda p, q: F.softplus(-p).mean() - F.softplus(q).mean()),
    ("one_label", "both are 1", "same_label", lambda p, q: F.softplus(-p).mean() + F.softplus(-q).mean()),
    ("squares", "least squares", "least_squares", lambda p, q: (p - 1).square().mean() + q.square().mean()),
    ("hinge", "hinge loss", "hinge", lambda p, q: F.relu(1 - p).mean() + F.relu(1 + q).mean()),
    ("probabilities", "no logarithm", "without_logarithm", lambda p, q: q.sigmoid().mean() - p.sigmoid().mean()),
    (
        "sigmoid_twice",
        "logits of a sigmoid",
        "sigmoid_twice",
        lambda p, q: F.softplus(-p.sigmoid()).mean() + F.softplus(q.sigmoid()).mean(),
    ),
    ("mean_inside", "loss of the mean", "mean_inside", lambda p, q: F.softplus(-p.mean()) + F.softplus(q.mean())),
    (
        "overflowing",
        "log of a sigmoid",
        "overflow",
        lambda p, q: -p.sigmoid().log().mean() - (1 - q.sigmoid()).log().mean(),
    ),
    ("clamped", "values clamped at 5", None, lambda p, q: critic_loss(p.clamp(-5, 5), q.clamp(-5, 5))),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda critic, z_prior, z_codes: (
                    f(critic(z_prior), critic(z_codes.detach())),
                    encoder_loss(critic(z_codes)),
                )
            )
        )(f),
        cause,
    )

# p, q: the critic on the prior and on the codes
for name, about, cause, f in (
    ("saturating", "minus the critic's term", "saturating", lambda p, q: -F.softplus(q).mean()),
    ("helping", "label 0", "helps_critic", lambda p, q: F.softplus(q).mean()),
    ("encoder_summed", "sum over the batch", "encoder_sum", lambda p, q: F.softplus(-q).sum()),
    ("gap", "the gap of unit 05", "encoder_wasserstein", lambda p, q: -q.mean()),
    ("encoder_log_probability", "without the minus", "encoder_sign", lambda p, q: -encoder_loss(q)),
    ("of_prior", "the prior's term", "encoder_of_prior|encoder_detached", lambda p, q: F.softplus(-p).mean()),
    (
        "with_prior",
        "both terms, labels exchanged",
        "encoder_has_prior",
        lambda p, q: encoder_loss(q) + F.softplus(p).mean(),
    ),
    ("minus_all", "minus critic_loss", "minus_critic_loss", lambda p, q: -critic_loss(p, q)),
    ("once_more", "critic_loss again", "minus_critic_loss", lambda p, q: critic_loss(p, q)),
    ("encoder_square", "least squares", "encoder_squares", lambda p, q: (q - 1).square().mean()),
    ("encoder_probability", "no logarithm", "encoder_without_logarithm", lambda p, q: -q.sigmoid().mean()),
    ("encoder_half", "one half", "encoder_halved", lambda p, q: encoder_loss(q) / 2),
    ("encoder_twice", "logits of a sigmoid", "encoder_sigmoid_twice", lambda p, q: F.softplus(-q.sigmoid()).mean()),
    ("encoder_cut", "detached", "encoder_detached", lambda p, q: encoder_loss(q.detach())),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda critic, z_prior, z_codes: (
                    critic_loss(critic(z_prior), critic(z_codes.detach())),
                    f(critic(z_prior), critic(z_codes)),
                )
            )
        )(f),
        cause,
    )


@BANK.wrong("nothing detached", "reaches_encoder")
def attached(critic, z_prior, z_codes):
    q = critic(z_codes)
    return critic_loss(critic(z_prior), q), encoder_loss(q)


@BANK.wrong("detached once for both", "encoder_detached")
def detached_for_both(critic, z_prior, z_codes):
    q = critic(z_codes.detach())
    return critic_loss(critic(z_prior), q), encoder_loss(q)


@BANK.wrong("critic without a graph", "critic_detached")
def critic_cut(critic, z_prior, z_codes):
    with torch.no_grad():
        first = critic_loss(critic(z_prior), critic(z_codes))
    return first, encoder_loss(critic(z_codes))


@BANK.wrong("(encoder_loss, critic_loss)", "order|encoder_detached")
def swapped(critic, z_prior, z_codes):
    return encoder_loss(critic(z_codes)), critic_loss(critic(z_prior), critic(z_codes.detach()))


@BANK.wrong("still unit 05, both", "wasserstein+encoder_wasserstein")
def unit_05(critic, z_prior, z_codes):
    return critic(z_codes.detach()).mean() - critic(z_prior).mean(), -critic(z_codes).mean()


@BANK.wrong("labels exchanged in both", "labels_exchanged+helps_critic")
def labels_in_both(critic, z_prior, z_codes):
    return F.softplus(critic(z_prior)).mean() + F.softplus(-critic(z_codes.detach())).mean(), F.softplus(
        critic(z_codes)
    ).mean()


@BANK.wrong("one loss", "wrong_number_of_values")
def one(critic, z_prior, z_codes):
    return critic_loss(critic(z_prior), critic(z_codes.detach()))


@BANK.wrong("calls backward itself", "own_backward")
def backward(critic, z_prior, z_codes):
    first = critic_loss(critic(z_prior), critic(z_codes.detach()))
    first.backward(retain_graph=True)
    return first, encoder_loss(critic(z_codes))


@BANK.right("binary cross-entropy with logits")
def cross_entropy(critic, z_prior, z_codes):
    p, q, again = critic(z_prior), critic(z_codes.detach()), critic(z_codes)
    bce = F.binary_cross_entropy_with_logits
    return bce(p, torch.ones_like(p)) + bce(q, torch.zeros_like(q)), bce(again, torch.ones_like(again))


@BANK.right("logsigmoid")
def logsigmoid(critic, z_prior, z_codes):
    first = F.logsigmoid(critic(z_prior)).mean() + F.logsigmoid(-critic(z_codes.detach())).mean()
    return -first, -F.logsigmoid(critic(z_codes)).mean()


@BANK.right("logaddexp")
def logaddexp(critic, z_prior, z_codes):
    def cost(a):
        return torch.logaddexp(a, torch.zeros_like(a)).mean()

    return cost(-critic(z_prior)) + cost(critic(z_codes.detach())), cost(-critic(z_codes))


@BANK.right("both batches through the critic at once")
def together(critic, z_prior, z_codes):
    both = critic(torch.cat([z_prior, z_codes.detach()])).squeeze(1)
    p, q = both.split([len(z_prior), len(z_codes)])
    return critic_loss(p, q), encoder_loss(critic(z_codes))


@BANK.right("a mean over the batch by hand, flat values")
def by_hand(critic, z_prior, z_codes):
    p, q, again = critic(z_prior).flatten(), critic(z_codes.detach()).flatten(), critic(z_codes).flatten()
    first = F.softplus(-p).sum() / len(p) + F.softplus(q).sum() / len(q)
    return first, F.softplus(-again).sum() / len(again)


@BANK.right("BCEWithLogitsLoss as a module")
def module(critic, z_prior, z_codes):
    loss = torch.nn.BCEWithLogitsLoss()
    p, q = critic(z_prior), critic(z_codes.detach())
    return (
        loss(p, torch.full_like(p, 1.0)) + loss(q, torch.full_like(q, 0.0)),
        loss(critic(z_codes), torch.ones(len(z_codes), 1).to(q)),
    )
