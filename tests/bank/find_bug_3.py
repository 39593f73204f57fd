"""Reconstruction weighted 0.9 in one of two losses."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("find_bug_3")


def kl_whole(e):
    return e["kl_distortion"] + e["beta"] * e["kl_rate"]


def wasserstein_whole(e):
    return e["wasserstein_distortion"] + e["weight"] * e["wasserstein_gap"]


def kl_off(e):
    return (kl_whole(e) - e["kl_loss"]).abs()


def wasserstein_off(e):
    return (wasserstein_whole(e) - e["wasserstein_loss"]).abs()


for name, about, cause, f in (
    ("always", "True", "always_true", lambda e: True),
    ("never", "False", "always_false", lambda e: False),
    ("kl_alone", "the KL loss alone", "one_loss", lambda e: bool((kl_off(e) > 0.03 * e["kl_distortion"]).any())),
    (
        "wasserstein_alone",
        "the other loss alone",
        "one_loss",
        lambda e: bool((wasserstein_off(e) > 0.03 * e["wasserstein_distortion"]).any()),
    ),
    (
        "exact",
        "equality",
        "exact_comparison",
        lambda e: bool((kl_off(e) != 0).any() or (wasserstein_off(e) != 0).any()),
    ),
    (
        "tiny_tolerance",
        "a millionth allowed",
        "exact_comparison|always_true",
        lambda e: bool((kl_off(e) > 1e-6).any() or (wasserstein_off(e) > 1e-6).any()),
    ),
    (
        "five_nats",
        "more than five nats",
        "fixed_error",
        lambda e: max(kl_off(e).max(), wasserstein_off(e).max()).item() > 5.0,
    ),
    (
        "hundredth_of_a_nat",
        "more than a hundredth of a nat",
        "fixed_error|",
        lambda e: max(kl_off(e).max(), wasserstein_off(e).max()).item() > 0.05,
    ),
    (
        "compares_models",
        "distortions of the two models",
        None,
        lambda e: bool((e["kl_distortion"] - e["wasserstein_distortion"]).abs()[-1] > 0.1 * e["kl_distortion"][-1]),
    ),
    ("compares_losses", "losses of the two models", None, lambda e: bool(e["kl_loss"][-1] > e["wasserstein_loss"][-1])),
    (
        "loss_below_distortion",
        "a loss below its distortion",
        None,
        lambda e: bool(
            (e["kl_loss"] < e["kl_distortion"]).any() or (e["wasserstein_loss"] < e["wasserstein_distortion"]).any()
        ),
    ),
    (
        "beta_forgotten",
        "beta left out",
        "always_true|one_loss|",
        lambda e: bool(((e["kl_distortion"] + e["kl_rate"] - e["kl_loss"]).abs() > 0.03 * e["kl_distortion"]).any()),
    ),
    (
        "inverted",
        "upside down",
        "inverted",
        lambda e: bool(
            (kl_off(e) < 0.03 * e["kl_distortion"]).all()
            and (wasserstein_off(e) < 0.03 * e["wasserstein_distortion"]).all()
        ),
    ),
    ("number", "the difference itself", "not_a_verdict", lambda e: (kl_off(e) + wasserstein_off(e)).mean()),
    (
        "per_epoch",
        "a verdict for each epoch",
        "not_a_verdict",
        lambda e: kl_off(e) + wasserstein_off(e) > 0.05 * e["kl_distortion"],
    ),
    (
        "both_losses",
        "both losses must be off",
        "always_false",
        lambda e: bool(
            (kl_off(e) > 0.03 * e["kl_distortion"]).any()
            and (wasserstein_off(e) > 0.03 * e["wasserstein_distortion"]).any()
        ),
    ),
):
    BANK.formula(name, about, f, cause)


@BANK.right("largest difference relative to the distortion")
def relative(evidence):
    return (
        max(
            (kl_off(evidence) / evidence["kl_distortion"]).max(),
            (wasserstein_off(evidence) / evidence["wasserstein_distortion"]).max(),
        ).item()
        > 0.02
    )


@BANK.right("torch.allclose")
def close(evidence):
    kl = torch.allclose(kl_whole(evidence), evidence["kl_loss"], rtol=0.01)
    return not (kl and torch.allclose(wasserstein_whole(evidence), evidence["wasserstein_loss"], rtol=0.01))


@BANK.right("what multiplies the distortion, by its mean")
def factor(evidence):
    kl = ((evidence["kl_loss"] - evidence["beta"] * evidence["kl_rate"]) / evidence["kl_distortion"]).mean()
    other = (
        (evidence["wasserstein_loss"] - evidence["weight"] * evidence["wasserstein_gap"])
        / evidence["wasserstein_distortion"]
    ).mean()
    return bool((kl < 0.95) | (other < 0.95))


@BANK.right("the last epoch only")
def last_epoch(evidence):
    for model, knob, part in (("kl", "beta", "rate"), ("wasserstein", "weight", "gap")):
        distortion = float(evidence[f"{model}_distortion"][-1])
        whole = distortion + evidence[knob] * float(evidence[f"{model}_{part}"][-1])
        if abs(whole - float(evidence[f"{model}_loss"][-1])) > distortion / 20:
            return True
    return False


@BANK.right("least squares: the coefficient of the distortion, NumPy")
def regression(evidence):
    import numpy as np

    def coefficient(model, knob, part):
        rest = evidence[f"{model}_loss"].numpy() - evidence[knob] * evidence[f"{model}_{part}"].numpy()
        return np.linalg.lstsq(evidence[f"{model}_distortion"].numpy()[:, None], rest, rcond=None)[0][0]

    return np.minimum(coefficient("kl", "beta", "rate"), coefficient("wasserstein", "weight", "gap")) < 0.95


@BANK.right("a loop over the epochs")
def loop(evidence):
    for epoch in range(len(evidence["kl_loss"])):
        if kl_off(evidence)[epoch] > 0.05 * evidence["kl_distortion"][epoch]:
            return True
        if wasserstein_off(evidence)[epoch] > 0.05 * evidence["wasserstein_distortion"][epoch]:
            return True
    return False
