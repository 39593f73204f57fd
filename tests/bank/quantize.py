"""(z, index): the nearest entry of each code, with a gradient that passes straight through."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("quantize")


def distances(codes, codebook):
    return (codes[..., None, :] - codebook).square().sum(-1)


def nearest(codes, codebook):
    return distances(codes, codebook).argmin(-1)


def straight(codes, entries):
    return codes + (entries - codes).detach()


# a right z of a wrong choice; of a few codes it may be the right one by chance
BY_CHANCE = "of a few codes the nearest entry may be the same"
VARY = ("absolute", "largest", "lost_two")
for name, about, cause, choose in (
    ("farthest", "argmax of the distance", "farthest", lambda c, e: distances(c, e).argmax(-1)),
    ("dot", "largest scalar product", "dot_product", lambda c, e: (c @ e.T).argmax(-1)),
    ("least_dot", "smallest scalar product", "dot_product", lambda c, e: (c @ e.T).argmin(-1)),
    ("cosine", "nearest direction", "cosine", lambda c, e: (F.normalize(c, dim=-1) @ F.normalize(e, dim=1).T).argmax(-1)),
    ("absolute", "sum of absolute differences", "absolute", lambda c, e: (c[..., None, :] - e).abs().sum(-1).argmin(-1)),
    ("largest", "largest difference", "largest_difference", lambda c, e: (c[..., None, :] - e).abs().amax(-1).argmin(-1)),
    ("no_square", "sum of differences", "no_square", lambda c, e: (c[..., None, :] - e).sum(-1).argmin(-1)),
    ("square_of_sum", "square of the sum", "no_square", lambda c, e: (c[..., None, :] - e).sum(-1).square().argmin(-1)),
    ("first", "first coordinate", "first_coordinate", lambda c, e: (c[..., None, 0] - e[:, 0]).abs().argmin(-1)),
    ("last", "last coordinate", "first_coordinate", lambda c, e: (c[..., None, -1] - e[:, -1]).abs().argmin(-1)),
    ("lost_two", "|e|² - c·e", "expanded_wrongly", lambda c, e: (e.square().sum(1) - c @ e.T).argmin(-1)),
    ("second", "second nearest", "second", lambda c, e: distances(c, e).argsort(-1)[..., min(1, len(e) - 1)]),
    (
        "one_entry",
        "one entry for the batch",
        "one_for_all",
        lambda c, e: distances(c, e).flatten(0, -2).sum(0).argmin().expand(c.shape[:-1]),
    ),
    ("entry_zero", "always the first", "first_entry", lambda c, e: torch.zeros(c.shape[:-1], dtype=torch.long)),
):  # fmt: skip
    BANK.formula(
        name,
        about,
        (lambda f: lambda codes, codebook: (straight(codes, codebook[f(codes, codebook)]), f(codes, codebook)))(choose),
        cause,
        BY_CHANCE if name in VARY else "",
    )

# a wrong z of the right choice: c the codes, q their entries, e the codebook
for name, about, cause, make in (
    ("plain", "the entries themselves", "cut|reaches_codebook", lambda c, q, e: q),
    ("cut", "detached", "cut", lambda c, q, e: q.detach()),
    ("no_grad_sum", "everything detached", "cut", lambda c, q, e: (c + q - c).detach()),
    ("codes", "the codes", "not_quantised", lambda c, q, e: c),
    ("both", "difference half detached", "reaches_codebook", lambda c, q, e: q + c - c.detach()),
    ("mirrored", "minus the difference", "mirrored", lambda c, q, e: c - (q - c).detach()),
    ("difference", "without the codes", "cut|difference", lambda c, q, e: (q - c).detach()),
    ("cancels", "nothing detached", "cut|reaches_codebook", lambda c, q, e: c + (q - c)),
    ("half_gradient", "half of the gradient", "gradient_scaled", lambda c, q, e: 0.5 * c + (q - 0.5 * c).detach()),
    ("negative", "gradient turned round", "gradient_scaled", lambda c, q, e: -c + (q + c).detach()),
    ("soft", "softmax of the distances", "soft", lambda c, q, e: straight(c, F.softmax(-distances(c, e), -1) @ e)),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda codes, codebook: (
                    f(codes, codebook[nearest(codes, codebook)], codebook),
                    nearest(codes, codebook),
                )
            )
        )(make),
        cause,
    )

# a wrong index of the right choice
for name, about, cause, turn in (
    ("one_hot", "one-hot index", "one_hot", lambda i, k: F.one_hot(i, k)),
    ("float_index", "index as floats", "floating_index", lambda i, k: i.float()),
    ("kept_axis", "index with an axis too many", "kept_axis", lambda i, k: i.unsqueeze(-1)),
    ("flat_index", "index without the shape of the codes", "flat_index", lambda i, k: i.flatten()),
    ("from_one", "index counted from 1", "from_one", lambda i, k: i + 1),
):
    BANK.formula(
        name,
        about,
        (
            lambda f: (
                lambda codes, codebook: (
                    straight(codes, codebook[nearest(codes, codebook)]),
                    f(nearest(codes, codebook), len(codebook)),
                )
            )
        )(turn),
        cause,
    )


@BANK.wrong("(index, z)", "order")
def swapped(codes, codebook):
    index = nearest(codes, codebook)
    return index, straight(codes, codebook[index])


@BANK.wrong("z alone", "wrong_number_of_values")
def z_alone(codes, codebook):
    return straight(codes, codebook[nearest(codes, codebook)])


@BANK.wrong("nothing returned", "returns_none")
def none(codes, codebook):
    straight(codes, codebook[nearest(codes, codebook)])


@BANK.wrong("moves the codebook to the codes", "changes_arguments")
def moves(codes, codebook):
    index = nearest(codes, codebook)
    with torch.no_grad():
        z = codes + (codebook[index] - codes)
        codebook[index] = 0.9 * codebook[index] + 0.1 * codes
    return codes + (z - codes).detach(), index


@BANK.wrong("adds noise to the distances", None, varies="which entries are exchanged is random")
def noisy(codes, codebook):
    squared = distances(codes, codebook)
    index = (squared + 2 * torch.randn_like(squared)).argmin(-1)
    return straight(codes, codebook[index]), index


@BANK.right("torch.cdist")
def cdist(codes, codebook):
    index = (
        torch.cdist(codes.detach().reshape(-1, codes.shape[-1]), codebook.detach()).argmin(1).reshape(codes.shape[:-1])
    )
    return codes + (codebook[index] - codes).detach(), index


@BANK.right("expanded square")
def expanded(codes, codebook):
    with torch.no_grad():
        index = (codebook.square().sum(1) - 2 * codes @ codebook.T).argmin(-1)
    return codes + (F.embedding(index, codebook) - codes).detach(), index


@BANK.right("one-hot rows times the codebook")
def by_one_hot(codes, codebook):
    index = nearest(codes, codebook)
    entries = F.one_hot(index, len(codebook)).to(codebook) @ codebook
    return entries.detach() + codes - codes.detach(), index


@BANK.right("a function of its own for autograd")
def own_function(codes, codebook):
    class Through(torch.autograd.Function):
        @staticmethod
        def forward(ctx, c, entries):
            return entries.clone()

        @staticmethod
        def backward(ctx, pull):
            return pull, None

    index = nearest(codes, codebook)
    return Through.apply(codes, codebook[index].detach()), index


@BANK.right("a loop over entries")
def loop(codes, codebook):
    best, index = torch.full(codes.shape[:-1], torch.inf).to(codes), torch.zeros(codes.shape[:-1], dtype=torch.long)
    for number, entry in enumerate(codebook.detach()):
        squared = (codes.detach() - entry).pow(2).sum(-1)
        index = torch.where(squared < best, number, index)
        best = torch.minimum(squared, best)
    return codes + (codebook[index] - codes).detach(), index


@BANK.right("topk, index as int32")
def topk(codes, codebook):
    index = torch.topk(-distances(codes, codebook), 1, dim=-1).indices.squeeze(-1)
    return straight(codes, codebook[index]), index.int()


@BANK.right("in half precision where distances are compared")
def low_precision(codes, codebook):
    index = (codes[..., None, :] - codebook).bfloat16().square().sum(-1).argmin(-1)
    return straight(codes, codebook[index]), index
