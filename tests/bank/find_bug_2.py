"""The prior drawn uniform in one place and normal in another."""

from __future__ import annotations

import itertools

import torch
from scipy.stats import ks_2samp

from .entries import Bank

BANK = Bank("find_bug_2")
KEYS = ("prior_in_critic_loss", "prior_in_penalty", "prior_in_samples")


def farthest(e, keys=KEYS):
    return [float(e[key].abs().max()) for key in keys]


def spread(e, keys=KEYS):
    return [float(e[key].std()) for key in keys]


for name, about, cause, f in (
    ("always", "True", "always_true", lambda e: True),
    ("never", "False", "always_false", lambda e: False),
    ("critic_alone", "the critic's prior alone", "one_place", lambda e: farthest(e)[0] < 2.5),
    ("penalty_alone", "the penalty's prior alone", "one_place", lambda e: farthest(e)[1] < 2.5),
    ("samples_alone", "the samples' prior alone", "one_place", lambda e: farthest(e)[2] < 2.5),
    (
        "critic_and_penalty",
        "the samples left out",
        "two_places",
        lambda e: (farthest(e)[0] < 2.5) != (farthest(e)[1] < 2.5),
    ),
    (
        "critic_and_samples",
        "the penalty left out",
        "two_places",
        lambda e: (farthest(e)[0] < 2.5) != (farthest(e)[2] < 2.5),
    ),
    ("any_uniform", "no uniform prior allowed", "not_normal", lambda e: min(farthest(e)) < 2.5),
    ("not_standard", "every spread must be 1", "not_normal|", lambda e: max(abs(s - 1) for s in spread(e)) > 0.1),
    ("spreads_agree", "spreads compared", "spread_only", lambda e: max(spread(e)) - min(spread(e)) > 0.1),
    (
        "moments_agree",
        "means and spreads compared",
        "spread_only",
        lambda e: (
            max(spread(e)) - min(spread(e)) > 0.1
            or max(float(e[k].mean()) for k in KEYS) - min(float(e[k].mean()) for k in KEYS) > 0.1
        ),
    ),
    (
        "means_agree",
        "means compared",
        None,
        lambda e: max(float(e[k].mean()) for k in KEYS) - min(float(e[k].mean()) for k in KEYS) > 0.1,
    ),
    ("same_numbers", "asks for the same draws", "always_true", lambda e: not torch.equal(e[KEYS[0]], e[KEYS[1]])),
    ("inverted", "upside down", "inverted", lambda e: len({f < 2.5 for f in farthest(e)}) == 1),
    ("estimates", "looks at the estimates", None, lambda e: bool(e["estimates"][-1] > 0.4)),
    ("number", "a number of places", "not_a_verdict", lambda e: sum(f < 2.5 for f in farthest(e))),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("sorts the draws in place", "changes_arguments")
def in_place(evidence):
    kinds = set()
    for key in KEYS:
        evidence[key].abs_()
        kinds.add(bool(evidence[key].max() < 2.5))
    return len(kinds) > 1


@BANK.right("high quantiles compared")
def by_quantile(evidence):
    found = torch.stack([evidence[key].abs().flatten().sort().values[-20] for key in KEYS])
    return bool(found.max() - found.min() > 0.8)


@BANK.right("two-sample Kolmogorov-Smirnov statistics, scipy")
def kolmogorov(evidence):
    flat = [evidence[key].flatten().numpy() for key in KEYS]
    return any(ks_2samp(a, b).statistic > 0.03 for a, b in itertools.combinations(flat, 2))


@BANK.right("is each uniform, by its range")
def by_kind(evidence):
    kinds = [bool((evidence[key].abs() < 2).all()) for key in KEYS]
    return any(kinds) and not all(kinds)


@BANK.right("kurtosis")
def kurtosis(evidence):
    def of(z):
        z = (z - z.mean()) / z.std()
        return z.pow(4).mean()

    values = torch.stack([of(evidence[key]) for key in KEYS])
    return values.max() - values.min() > 0.6


@BANK.right("share of values beyond the middle")
def share_near_zero(evidence):
    def tail(key):
        z = evidence[key]
        z = (z - z.mean()) / z.std()
        return (z.abs() > 1.9).float().mean().item() > 0.02

    return len({tail(key) for key in KEYS}) == 2


@BANK.right("histograms compared")
def histograms(evidence):
    shapes = [torch.histc(evidence[key], bins=12, min=-3, max=3) / evidence[key].numel() for key in KEYS]
    return max(float((a - b).abs().sum()) for a in shapes for b in shapes) > 0.15


@BANK.right("sorted values compared")
def quantiles(evidence):
    a, b, c = (evidence[key].flatten().sort().values for key in KEYS)
    return bool(((a - b).abs().mean() > 0.1) | ((b - c).abs().mean() > 0.1) | ((a - c).abs().mean() > 0.1))
