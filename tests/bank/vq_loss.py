"""|sg(c) - e|² + commitment |c - sg(e)|², summed over an image's codes and averaged over the batch."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("vq_loss")


def per_image(squares):
    return squares.flatten(1).sum(1).mean()


def square(a, b):
    return per_image((a - b).square())


# c: codes, e: their entries, b: commitment
for name, about, cause, f in (
    ("nothing_stopped", "no detach", "nothing_stopped", lambda c, e, b: square(c, e) + b * square(c, e)),
    (
        "exchanged",
        "detached at the other ends",
        "ends_exchanged",
        lambda c, e, b: square(c, e.detach()) + b * square(c.detach(), e),
    ),
    ("no_commitment", "codebook term alone", "commitment_missing", lambda c, e, b: square(c.detach(), e)),
    (
        "dead_commitment",
        "commitment detached",
        "commitment_missing",
        lambda c, e, b: square(c.detach(), e) + b * square(c, e).detach(),
    ),
    ("no_codebook", "commitment alone", "codebook_missing", lambda c, e, b: b * square(c, e.detach())),
    ("no_codebook_unweighted", "commitment alone, weight 1", "codebook_missing", lambda c, e, b: square(c, e.detach())),
    (
        "entries_stopped",
        "entries detached twice",
        "codebook_missing",
        lambda c, e, b: square(c, e.detach()) + b * square(c, e.detach()),
    ),
    (
        "codes_stopped",
        "codes detached twice",
        "commitment_both",
        lambda c, e, b: square(c.detach(), e) + b * square(c.detach(), e),
    ),
    (
        "weight_ignored",
        "commitment not used",
        "commitment_ignored",
        lambda c, e, b: square(c.detach(), e) + square(c, e.detach()),
    ),
    (
        "quarter",
        "0.25 written in",
        "commitment_ignored",
        lambda c, e, b: square(c.detach(), e) + 0.25 * square(c, e.detach()),
    ),
    ("one_term", "one squared distance", "one_term", lambda c, e, b: square(c, e)),
    ("one_weighted_term", "one weighted distance", "one_term", lambda c, e, b: b * square(c, e)),
    (
        "both_weighted",
        "both terms weighted",
        "weighted_wrongly",
        lambda c, e, b: b * (square(c.detach(), e) + square(c, e.detach())),
    ),
    (
        "blend",
        "(1 - b) and b",
        "weighted_wrongly",
        lambda c, e, b: (1 - b) * square(c.detach(), e) + b * square(c, e.detach()),
    ),
    (
        "weight_squared",
        "commitment squared",
        "weighted_wrongly",
        lambda c, e, b: square(c.detach(), e) + b * b * square(c, e.detach()),
    ),
    (
        "weight_plus_one",
        "1 + commitment",
        "weighted_wrongly",
        lambda c, e, b: square(c.detach(), e) + (1 + b) * square(c, e.detach()),
    ),
    (
        "subtracted",
        "minus the commitment",
        "subtracted",
        lambda c, e, b: square(c.detach(), e) - b * square(c, e.detach()),
    ),
    (
        "negative",
        "the sign turned round",
        "negative",
        lambda c, e, b: -square(c.detach(), e) - b * square(c, e.detach()),
    ),
    ("detached", "nothing left to pull", "detached", lambda c, e, b: (1 + b) * square(c, e).detach()),
    (
        "mse",
        "mean over everything",
        "mean_over_everything",
        lambda c, e, b: F.mse_loss(e, c.detach()) + b * F.mse_loss(c, e.detach()),
    ),
    (
        "mse_nothing_stopped",
        "mean over everything, no detach",
        "nothing_stopped+mean_over_everything",
        lambda c, e, b: (1 + b) * F.mse_loss(c, e),
    ),
    (
        "summed",
        "sum over the batch",
        "sum_over_batch",
        lambda c, e, b: (c.detach() - e).square().sum() + b * (c - e.detach()).square().sum(),
    ),
    (
        "per_code",
        "mean over codes",
        "mean_over_codes",
        lambda c, e, b: (c.detach() - e).square().sum(-1).mean() + b * (c - e.detach()).square().sum(-1).mean(),
    ),
    (
        "per_dimension",
        "mean over dimensions",
        "mean_over_dimensions",
        lambda c, e, b: (
            (c.detach() - e).square().mean(-1).sum(1).mean() + b * (c - e.detach()).square().mean(-1).sum(1).mean()
        ),
    ),
    (
        "halves",
        "one half in front",
        "scaled",
        lambda c, e, b: 0.5 * (square(c.detach(), e) + b * square(c, e.detach())),
    ),
    (
        "distances",
        "distances, not squared",
        "not_squared",
        lambda c, e, b: (
            (c.detach() - e).norm(dim=-1).sum(1).mean() + b * (c - e.detach()).norm(dim=-1).sum(1).mean()
        ),
    ),
    (
        "absolute",
        "absolute differences",
        "absolute",
        lambda c, e, b: per_image((c.detach() - e).abs()) + b * per_image((c - e.detach()).abs()),
    ),
    (
        "codes_pulled_twice",
        "the codes are not detached in the first term",
        "codes_not_stopped",
        lambda c, e, b: square(c, e) + b * square(c, e.detach()),
    ),
    (
        "entries_pulled_twice",
        "the entries are not detached in the second term",
        "entries_not_stopped",
        lambda c, e, b: square(c.detach(), e) + b * square(c, e),
    ),
    (
        "per_image",
        "a number for each image",
        "not_scalar",
        lambda c, e, b: ((c.detach() - e).square() + b * (c - e.detach()).square()).flatten(1).sum(1),
    ),
    ("two_parts", "the two terms", "wrong_number_of_values", lambda c, e, b: (square(c.detach(), e), b * square(c, e.detach()))),
    (
        "number",
        "a Python number",
        "python_number",
        lambda c, e, b: (square(c.detach(), e) + b * square(c, e.detach())).item(),
    ),
    ("none", "nothing returned", "returns_none", lambda c, e, b: None),
):  # fmt: skip
    BANK.formula(
        name,
        about,
        (lambda f: lambda codes, codebook, index, commitment: f(codes, codebook[index], commitment))(f),
        cause,
    )


def terms(codes, entries, commitment):
    return square(codes.detach(), entries) + commitment * square(codes, entries.detach())


@BANK.wrong("looks for the nearest entries again", "own_index")
def own_index(codes, codebook, index, commitment):
    nearest = (codes[..., None, :] - codebook).square().sum(-1).argmin(-1)
    return terms(codes, codebook[nearest], commitment)


@BANK.wrong("all entries of the codebook", None)
def all_entries(codes, codebook, index, commitment):
    apart = codes.unsqueeze(-2) - codebook
    return per_image(apart.square()) * (1 + commitment)


@BANK.wrong("moves the entries itself", "changes_arguments")
def moves(codes, codebook, index, commitment):
    loss = terms(codes, codebook[index], commitment)
    with torch.no_grad():
        codebook -= 0.01 * codebook
    return loss


@BANK.right("mse_loss, scaled back")
def mse(codes, codebook, index, commitment):
    entries, size = codebook[index], codes[0].numel()
    return size * (F.mse_loss(entries, codes.detach()) + commitment * F.mse_loss(codes, entries.detach()))


@BANK.right("F.embedding and einsum")
def einsum(codes, codebook, index, commitment):
    entries = F.embedding(index, codebook)
    towards, back = entries - codes.detach(), codes - entries.detach()
    squares = torch.einsum("nmd,nmd->n", towards, towards) + commitment * torch.einsum("nmd,nmd->n", back, back)
    return squares.mean()


@BANK.right("one-hot rows times the codebook")
def by_one_hot(codes, codebook, index, commitment):
    return terms(codes, F.one_hot(index, len(codebook)).to(codebook) @ codebook, commitment)


@BANK.right("a loop over images")
def loop(codes, codebook, index, commitment):
    total = 0
    for c, i in zip(codes, index, strict=True):
        total = total + (codebook[i] - c.detach()).pow(2).sum() + commitment * (c - codebook[i].detach()).pow(2).sum()
    return total / len(codes)


@BANK.right("index_select on flat codes")
def flat(codes, codebook, index, commitment):
    entries = codebook.index_select(0, index.flatten()).view_as(codes)
    return ((entries - codes.detach()) ** 2 + commitment * (entries.detach() - codes) ** 2).sum() / codes.shape[0]


@BANK.right("the square expanded")
def expanded(codes, codebook, index, commitment):
    entries = codebook[index]

    def squared(a, b):
        return (a.square().sum(-1) - 2 * (a * b).sum(-1) + b.square().sum(-1)).sum(1).mean()

    return squared(codes.detach(), entries) + commitment * squared(codes, entries.detach())


@BANK.right("in bfloat16")
def low_precision(codes, codebook, index, commitment):
    entries = codebook[index]
    apart = (entries - codes.detach()).bfloat16().square(), (codes - entries.detach()).bfloat16().square()
    return per_image(apart[0].float()) + commitment * per_image(apart[1].float())
