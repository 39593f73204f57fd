"""Bernoulli negative log-likelihood, in nats per image."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import distributions as D
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("reconstruction_loss")


def terms(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def per_image(t):
    return t.flatten(1).sum(1).mean()


for name, about, cause, t in (
    ("log_likelihood", "sign turned", "sign", lambda a, x: -terms(a, x)),
    ("squared_error", "Gaussian instead of Bernoulli", "squared_error", lambda a, x: (a.sigmoid() - x) ** 2),
    ("half_squared_error", "Gaussian with unit variance", "squared_error", lambda a, x: 0.5 * (a.sigmoid() - x) ** 2),
    ("squared_error_on_logits", "sigmoid forgotten", "squared_error_on_logits", lambda a, x: (a - x) ** 2),
    ("absolute_error", "L1", "absolute_error", lambda a, x: (a.sigmoid() - x).abs()),
    ("arguments_swapped", "(x, logits)", "arguments_swapped", lambda a, x: F.softplus(x) - a * x),
    ("sigmoid_twice", "probabilities for logits", "sigmoid_twice", lambda a, x: terms(a.sigmoid(), x)),
    ("first_term", "bright pixels only", "first_term_only", lambda a, x: -x * F.logsigmoid(a)),
    ("second_term", "dark pixels only", "second_term_only", lambda a, x: -(1 - x) * F.logsigmoid(-a)),
    (
        "terms_subtracted",
        "minus between the terms",
        "terms_subtracted",
        lambda a, x: -x * F.logsigmoid(a) + (1 - x) * F.logsigmoid(-a),
    ),
    ("inverted", "x and 1 - x exchanged", "inverted", lambda a, x: terms(a, 1 - x)),
    ("binarised", "x rounded", "binarised", lambda a, x: terms(a, (x > 0.5).to(a.dtype))),
    ("bits", "log2", "bits", lambda a, x: terms(a, x) / math.log(2)),
    ("twice", "factor two", "factor_two", lambda a, x: 2 * terms(a, x)),
    ("half", "factor one half", "factor_half", lambda a, x: terms(a, x) / 2),
    ("clamped_negative", "relu on the logits", "clamped_logits", lambda a, x: terms(a.relu(), x)),
    ("softplus_only", "x * logits forgotten", "softplus_only", lambda a, x: F.softplus(a) + 0 * x),
    ("focal", "focal loss", None, lambda a, x: (a.sigmoid() - x) ** 2 * terms(a, x)),
    ("smooth_labels", "label smoothing", None, lambda a, x: terms(a, 0.9 * x + 0.05)),
    (
        "pos_weight",
        "bright pixels count three times",
        None,
        lambda a, x: -3 * x * F.logsigmoid(a) - (1 - x) * F.logsigmoid(-a),
    ),
    (
        "kl_of_pixels",
        "entropy of x subtracted",
        "entropy_subtracted",
        lambda a, x: terms(a, x) + torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x),
    ),
):
    BANK.formula(name, about, (lambda t: lambda logits, x: per_image(t(logits, x)))(t), cause)

for name, about, cause, reduce in (
    ("mean_everything", "average over pixels", "mean_over_everything", lambda t: t.mean()),
    ("sum_everything", "sum over the batch", "sum_over_batch", lambda t: t.sum()),
    ("vector", "no average", "per_image", lambda t: t.flatten(1).sum(1)),
    ("unreduced", "no reduction", "unreduced", lambda t: t),
    ("axes_swapped", "mean over pixels, sum over images", "axes_swapped", lambda t: t.flatten(1).mean(1).sum()),
    ("dim_one", "sum over axis 1 only", "sums_last_axis_only", lambda t: t.sum(1).mean()),
    ("last_axis", "sum over the last axis only", "sums_last_axis_only", lambda t: t.sum(-1).mean()),
    ("fixed_784", "mean times 784", "fixed_size", lambda t: t.mean() * 784),
    ("divided_twice", "divided by the batch twice", "divided_by_batch_twice", lambda t: t.sum() / len(t) ** 2),
    ("python_float", ".item()", "python_number", lambda t: per_image(t).item()),
    ("detached", "detach at the end", "detached", lambda t: per_image(t).detach()),
    ("root", "square root", None, lambda t: per_image(t).sqrt()),
    ("mean_if_images", "averages pixels of 4-D input", None, lambda t: t.mean() if t.dim() == 4 else per_image(t)),
    ("capped", "capped at 1000", "clamped", lambda t: per_image(t).clamp_max(1000.0)),
):
    BANK.formula(name, about, (lambda r: lambda logits, x: r(terms(logits, x)))(reduce), cause)


@BANK.wrong("log of the sigmoid: overflows", "overflow")
def naive(logits, x):
    p = torch.sigmoid(logits)
    return per_image(-(x * torch.log(p) + (1 - x) * torch.log(1 - p)))


@BANK.wrong("log of the sigmoid plus 1e-8", "clamped")
def epsilon(logits, x):
    p = torch.sigmoid(logits)
    return per_image(-(x * torch.log(p + 1e-8) + (1 - x) * torch.log(1 - p + 1e-8)))


@BANK.wrong("binary_cross_entropy after the sigmoid, clamped at 100", "clamped")
def after_sigmoid(logits, x):
    return F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none").flatten(1).sum(1).mean()


@BANK.wrong("probabilities clamped", "clamped")
def clamped_probabilities(logits, x):
    p = torch.sigmoid(logits).clamp(1e-6, 1 - 1e-6)
    return F.binary_cross_entropy(p, x, reduction="none").flatten(1).sum(1).mean()


@BANK.wrong("logits clamped to [-50, 50]", "clamped")
def clamped_logits(logits, x):
    return per_image(terms(logits.clamp(-50, 50), x))


@BANK.wrong("log1p(exp(logits)) overflows", "overflow")
def softplus_by_hand(logits, x):
    return per_image(torch.log1p(torch.exp(logits)) - x * logits)


@BANK.wrong("nan_to_num hides the overflow", "clamped")
def hidden_overflow(logits, x):
    p = torch.sigmoid(logits)
    return per_image(torch.nan_to_num(-(x * torch.log(p) + (1 - x) * torch.log(1 - p)), nan=0.0, posinf=100.0))


@BANK.wrong("Bernoulli insists on 0 and 1", "grey_refused")
def strict_bernoulli(logits, x):
    return -D.Bernoulli(logits=logits, validate_args=True).log_prob(x).flatten(1).sum(1).mean()


@BANK.wrong("continuous Bernoulli", "continuous_bernoulli")
def continuous(logits, x):
    return -D.ContinuousBernoulli(logits=logits).log_prob(x).flatten(1).sum(1).mean()


@BANK.wrong("under no_grad", "detached")
def without_grad(logits, x):
    with torch.no_grad():
        return per_image(terms(logits, x))


@BANK.wrong("gradient of the first part only", "detached_part")
def detached_part(logits, x):
    return per_image(F.softplus(logits) - (x * logits).detach())


@BANK.wrong("writes the sigmoid into logits", "changes_arguments")
def in_place(logits, x):
    logits.sigmoid_()
    return F.binary_cross_entropy(logits, x, reduction="none").flatten(1).sum(1).mean()


@BANK.wrong("rounds x in place", "changes_arguments")
def in_place_x(logits, x):
    value = per_image(terms(logits, x))
    x.round_()
    return value


@BANK.wrong("NumPy", "python_number")
def with_numpy(logits, x):
    a, t = logits.detach().numpy(), x.numpy()
    return np.mean(np.sum(np.logaddexp(0, a) - a * t, axis=1))


@BANK.wrong("seeds torch", "reseeds")
def reseeds(logits, x):
    torch.manual_seed(1)
    return per_image(terms(logits, x))


@BANK.wrong("adds noise to x", "random_loss")
def noisy(logits, x):
    return per_image(terms(logits, (x + 0.05 * torch.randn_like(x)).clamp(0, 1)))


@BANK.wrong("returns nothing", "returns_none")
def nothing(logits, x):
    per_image(terms(logits, x))


@BANK.wrong("only the first 64 images count", "part_left_out")
def first_images(logits, x):
    return per_image(terms(logits[:64], x[:64]))


@BANK.wrong("grey pixels left out", "grey_left_out")
def grey_ignored(logits, x):
    return per_image(terms(logits, x) * ((x == 0) | (x == 1)))


@BANK.wrong("logits bent by tanh(a / 30)", "clamped|")
def bent_logits(logits, x):
    return per_image(terms(30 * torch.tanh(logits / 30), x))


@BANK.wrong("only the first 512 images count", "part_left_out")
def first_512_images(logits, x):
    return per_image(terms(logits[:512], x[:512]))


@BANK.wrong("gradient of the first eight images", "detached_part")
def gradient_of_eight(logits, x):
    return per_image(terms(torch.cat([logits[:8], logits[8:].detach()]), x))


@BANK.wrong("gradient of the first channel", "detached_part")
def gradient_of_channel(logits, x):
    if logits.dim() == 4:
        logits = torch.cat([logits[:, :1], logits[:, 1:].detach()], 1)
    return per_image(terms(logits, x))


@BANK.wrong("gradient of the first 64 pixels", "detached_part")
def gradient_of_first_pixels(logits, x):
    if logits.dim() == 2:
        logits = torch.cat([logits[:, :64], logits[:, 64:].detach()], 1)
    return per_image(terms(logits, x))


@BANK.wrong("detached in float64", "detached")
def detached_in_double(logits, x):
    return per_image(terms(logits.detach() if logits.dtype == torch.float64 else logits, x))


@BANK.wrong("one per cent too much", "scaled")
def one_per_cent(logits, x):
    return 1.01 * per_image(terms(logits, x))


@BANK.wrong("a constant is added where gradients are asked for", "other_in_training")
def more_in_training(logits, x):
    return per_image(terms(logits, x)) + (1.0 if logits.requires_grad else 0.0)


# right


@BANK.right("functional")
def functional(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / logits.shape[0]


@BANK.right("torch.distributions")
def distributions(logits, x):
    return -D.Bernoulli(logits=logits, validate_args=False).log_prob(x).reshape(len(x), -1).sum(-1).mean()


@BANK.right("logsigmoid by hand")
def by_hand(logits, x):
    nll = -(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits))
    return nll.sum(dim=tuple(range(1, nll.dim()))).mean()


@BANK.right("softplus")
def softplus(logits, x):
    return (F.softplus(logits) - x * logits).flatten(1).sum(1).mean()


@BANK.right("stable formula with max and abs")
def stable(logits, x):
    t = logits.clamp(min=0) - logits * x + torch.log1p(torch.exp(-logits.abs()))
    return t.sum() / x.size(0)


@BANK.right("logaddexp")
def logaddexp(logits, x):
    return (torch.logaddexp(logits, torch.zeros_like(logits)) - x * logits).sum() / len(x)


@BANK.right("loop over images")
def loop(logits, x):
    losses = [F.binary_cross_entropy_with_logits(a, t, reduction="sum") for a, t in zip(logits, x)]
    return torch.stack(losses).mean()


@BANK.right("einsum")
def einsum(logits, x):
    a, t = logits.flatten(1), x.flatten(1)
    return (F.softplus(a).sum() - torch.einsum("np,np->", a, t)) / len(a)


@BANK.right("float64 inside")
def double(logits, x):
    return per_image(terms(logits.double(), x.double()))


@BANK.right("bfloat16 inside")
def half_precision(logits, x):
    return per_image(terms(logits.bfloat16(), x.bfloat16())).float()


@BANK.right("mean times the number of pixels")
def mean_times(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x) * x[0].numel()


@BANK.right("module object")
def module(logits, x):
    return torch.nn.BCEWithLogitsLoss(reduction="none")(logits, x).view(len(x), -1).sum(1).mean()


BANK.right("functools.partial")(functools.partial(lambda scale, logits, x: per_image(terms(logits, x)) * scale, 1.0))
