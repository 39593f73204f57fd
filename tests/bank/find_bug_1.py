"""A critic with ten outputs that are averaged, while the penalty constrains their sum."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("find_bug_1")


def slope(e):
    """Mean length of the gradient of what the loss uses."""
    return e["gradients"].mean(1).norm(dim=1).mean()


for name, about, cause, f in (
    ("always", "True", "always_true", lambda e: True),
    ("never", "False", "always_false", lambda e: False),
    ("counts_outputs", "more than one output", "counts_outputs", lambda e: e["values_prior"].shape[1] > 1),
    ("ten_outputs", "exactly ten outputs", "counts_outputs", lambda e: e["gradients"].shape[1] == 10),
    ("small_estimate", "estimate below 2", "absolute_threshold", lambda e: e["estimate"] < 2.0),
    (
        "recorded_estimate",
        "estimate as in the recorded run",
        "always_false|absolute_threshold|",
        lambda e: 0.7 < e["estimate"] < 0.8,
    ),
    (
        "far_from_exact",
        "estimate and distance differ by more than 5",
        None,
        lambda e: e["exact_distance"] - e["estimate"] > 5,
    ),
    ("reported_penalty", "the reported penalty", "reported_penalty|always_false", lambda e: e["penalty"] > 0.1),
    (
        "sum_slope",
        "slope of the sum",
        "slope_of_the_sum",
        lambda e: abs(e["gradients"].sum(1).norm(dim=1).mean() - 1) < 0.5,
    ),
    (
        "sum_slope_far",
        "slope of the sum far from 1",
        "slope_of_the_sum|inverted|",
        lambda e: bool(abs(e["gradients"].sum(1).norm(dim=1).mean() - 1) > 0.5),
    ),
    (
        "first_output",
        "slope of the first output",
        "single_outputs|",
        lambda e: bool(e["gradients"][:, 0].norm(dim=1).mean() < 0.5),
    ),
    (
        "mean_of_lengths",
        "lengths first, then the average",
        "single_outputs",
        lambda e: bool(e["gradients"].norm(dim=2).mean() < 0.5),
    ),
    (
        "steepest_output",
        "the steepest gradient of any output",
        "single_outputs",
        lambda e: bool(e["gradients"].norm(dim=2).max() < 0.6),
    ),
    (
        "spread_of_values",
        "standard deviation of all values",
        "single_outputs|always_false",
        lambda e: bool(e["values_prior"].std() < 0.4),
    ),
    (
        "a_tenth",
        "estimate near a tenth of the distance",
        None,
        lambda e: abs(10 * e["estimate"] / e["exact_distance"] - 1) < 0.35,
    ),
    ("inverted", "upside down", "inverted", lambda e: bool(slope(e) > 0.5)),
    ("number", "the number itself", "not_a_verdict", lambda e: slope(e)),
    ("nothing", "no return", "returns_none", lambda e: None),
    (
        "own_values",
        "estimate against the values it is made of",
        "always_false",
        lambda e: abs(float(e["values_prior"].mean() - e["values_posterior"].mean()) - e["estimate"]) > 0.1,
    ),
    ("forgets_batch", "one norm of all gradients", "always_false", lambda e: bool(e["gradients"].mean(1).norm() < 0.5)),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("scales the gradients in place", "changes_arguments")
def in_place(evidence):
    mean = evidence["gradients"].mul_(1.5).mean(1)
    return bool(mean.norm(dim=1).mean() < 0.5)


@BANK.wrong("takes keys out of the evidence", "changes_arguments")
def pops(evidence):
    return bool(evidence.pop("gradients").mean(1).norm(dim=1).mean() < 0.5)


@BANK.right("slope of the average, from the gradients")
def mean_slope(evidence):
    return bool(slope(evidence) < 0.5)


@BANK.right("estimate against the exact distance")
def against_exact(evidence):
    return evidence["estimate"] < 0.5 * evidence["exact_distance"]


@BANK.right("the penalty recomputed for the average and compared with the reported one")
def recomputed_penalty(evidence):
    lengths = torch.linalg.vector_norm(evidence["gradients"].mean(dim=1), dim=1)
    return abs(((lengths - 1) ** 2).mean().item() - evidence["penalty"]) > 0.1


@BANK.right("steepest rise of the averaged critic between two codes")
def steepest_pair(evidence):
    z = torch.cat([evidence["z_prior"], evidence["z_posterior"]])
    values = torch.cat([evidence["values_prior"], evidence["values_posterior"]]).mean(1)
    rise = (values[:, None] - values[None, :]).abs() / torch.cdist(z, z).clamp_min(1e-2)
    return (rise.quantile(0.95) < 0.4).item()


@BANK.right("least-squares slope of the averaged critic, NumPy")
def regression(evidence):
    import numpy as np

    z = np.concatenate([evidence["z_prior"].numpy(), evidence["z_posterior"].numpy()])
    values = np.concatenate([evidence["values_prior"].numpy(), evidence["values_posterior"].numpy()]).mean(1)
    slopes = np.linalg.lstsq(np.c_[z, np.ones(len(z))], values, rcond=None)[0][:-1]
    return np.linalg.norm(slopes) < 0.5


@BANK.right("estimate against the distance of the means")
def against_means(evidence):
    shift = (evidence["z_prior"].mean(0) - evidence["z_posterior"].mean(0)).norm()
    return evidence["estimate"] / shift < torch.tensor(0.4)


@BANK.right("which of average and sum has slope 1")
def which(evidence):
    average, total = (g.norm(dim=1).mean() for g in (evidence["gradients"].mean(1), evidence["gradients"].sum(1)))
    return bool((total - 1).abs() < (average - 1).abs() - 0.3)


@BANK.right("rise from posterior to prior, pair by pair")
def pairs(evidence):
    rise = (evidence["values_prior"] - evidence["values_posterior"]).mean(1)
    return bool((rise / (evidence["z_prior"] - evidence["z_posterior"]).norm(dim=1)).mean() < 0.4)
