"""Hidden pixels from the best code for the known ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .entries import Bank

BANK = Bank("inpaint")


def nats(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def masked(decoder, surprise, x, mask, z):
    return (nats(decoder(z), x) * mask).flatten(1).sum(1) + surprise(z)


def search(loss, decoder, surprise, x, mask, z, num_steps, lr, optimizer=torch.optim.Adam):
    z = z.detach().clone().requires_grad_()
    steps = optimizer([z], lr=lr)
    for _ in range(num_steps):
        steps.zero_grad()
        loss(decoder, surprise, x, mask, z).sum().backward()
        steps.step()
    return z.detach()


def filled(decoder, x, mask, z):
    with torch.no_grad():
        return mask * x + (1 - mask) * torch.sigmoid(decoder(z))


def by(loss, **how):
    def answer(decoder, surprise, x, mask, z, num_steps, lr):
        return filled(decoder, x, mask, search(loss, decoder, surprise, x, mask, z, num_steps, lr, **how))

    return answer


def ending(show):
    def answer(decoder, surprise, x, mask, z, num_steps, lr):
        return show(decoder, x, mask, search(masked, decoder, surprise, x, mask, z, num_steps, lr))

    return answer


def other(change):
    """The right answer for other arguments."""

    def answer(*given):
        return by(masked)(*change(*given))

    return answer


def accumulating(decoder, surprise, x, mask, z, num_steps, lr):
    z = z.detach().clone().requires_grad_()
    steps = torch.optim.Adam([z], lr=lr)
    for _ in range(num_steps):
        masked(decoder, surprise, x, mask, z).sum().backward()
        steps.step()
    return filled(decoder, x, mask, z)


def trains_all(decoder, surprise, x, mask, z, num_steps, lr):
    z = z.detach().clone().requires_grad_()
    steps = torch.optim.Adam([z, *decoder.parameters()], lr=lr)
    for _ in range(num_steps):
        steps.zero_grad()
        masked(decoder, surprise, x, mask, z).sum().backward()
        steps.step()
    return filled(decoder, x, mask, z)


def freezes(decoder, surprise, x, mask, z, num_steps, lr):
    decoder.requires_grad_(False)
    return by(masked)(decoder, surprise, x, mask, z, num_steps, lr)


def in_place(decoder, surprise, x, mask, z, num_steps, lr):
    z.requires_grad_()
    steps = torch.optim.Adam([z], lr=lr)
    for _ in range(num_steps):
        steps.zero_grad()
        masked(decoder, surprise, x, mask, z).sum().backward()
        steps.step()
    return filled(decoder, x, mask, z)


def seeded(*given):
    torch.manual_seed(0)
    return by(masked)(*given)


def blackens(decoder, surprise, x, mask, z, num_steps, lr):
    x *= mask
    return by(masked)(decoder, surprise, x, mask, z, num_steps, lr)


for name, about, cause, f in (
    ("no_surprise", "the known pixels alone", "no_surprise", by(lambda d, s, x, m, z: (nats(d(z), x) * m).sum())),
    (
        "minus_surprise",
        "surprise subtracted",
        "climbs",
        by(lambda d, s, x, m, z: (nats(d(z), x) * m).flatten(1).sum(1) - s(z)),
    ),
    ("surprise_alone", "surprise alone", "surprise_alone", by(lambda d, s, x, m, z: s(z))),
    (
        "doubled",
        "surprise twice",
        "surprise_doubled",
        by(lambda d, s, x, m, z: masked(d, s, x, m, z) + s(z)),
    ),
    (
        "pixel_mean",
        "nats averaged over all pixels",
        "surprise_mean",
        by(lambda d, s, x, m, z: (nats(d(z), x) * m).flatten(1).mean(1) + s(z)),
    ),
    (
        "known_mean",
        "nats averaged over the known pixels",
        "surprise_mean",
        by(lambda d, s, x, m, z: (nats(d(z), x) * m).flatten(1).sum(1) / m.flatten(1).sum(1).clamp_min(1) + s(z)),
    ),
    (
        "shared",
        "surprise averaged over the batch",
        "surprise_shared",
        by(lambda d, s, x, m, z: (nats(d(z), x) * m).sum() + s(z).mean()),
    ),
    (
        "one_loss",
        "the default mean of the loss",
        "looks_behind_the_mask",
        by(lambda d, s, x, m, z: F.binary_cross_entropy_with_logits(d(z), x) + s(z).mean()),
    ),
    (
        "all_known",
        "hidden pixels enter",
        "looks_behind_the_mask",
        by(lambda d, s, x, m, z: nats(d(z), x).flatten(1).sum(1) + s(z)),
    ),
    (
        "black",
        "hidden pixels are asked to be black",
        "looks_behind_the_mask",
        by(lambda d, s, x, m, z: nats(d(z), x * m).flatten(1).sum(1) + s(z)),
    ),
    (
        "logits_masked",
        "logits times the mask",
        "surprise_alone",
        by(lambda d, s, x, m, z: (nats(d(z) * (1 - m), x) * m).flatten(1).sum(1) + s(z)),
    ),
    (
        "inverted",
        "the hidden pixels are fitted",
        "mask_inverted|looks_behind_the_mask",
        by(lambda d, s, x, m, z: (nats(d(z), x) * (1 - m)).flatten(1).sum(1) + s(z)),
    ),
    (
        "squared",
        "squared error",
        "squared",
        by(lambda d, s, x, m, z: ((torch.sigmoid(d(z)) - x).square() * m).flatten(1).sum(1) + s(z)),
    ),
    (
        "twice",
        "sigmoid before the loss with logits",
        "sigmoid_twice",
        by(lambda d, s, x, m, z: (nats(torch.sigmoid(d(z)), x) * m).flatten(1).sum(1) + s(z)),
    ),
    (
        "decoded",
        "the decoder's picture everywhere",
        "decoded_everywhere",
        ending(lambda d, x, m, z: torch.sigmoid(d(z))),
    ),
    ("logits", "logits where hidden", "logits", ending(lambda d, x, m, z: m * x + (1 - m) * d(z).detach())),
    (
        "swapped",
        "known pixels from the decoder, hidden from x",
        "decoded_everywhere|x_returned|looks_behind_the_mask",
        ending(lambda d, x, m, z: (1 - m) * x + m * torch.sigmoid(d(z)).detach()),
    ),
    ("untouched", "x as it came", "x_returned|looks_behind_the_mask", lambda d, s, x, m, z, n, lr: x.clone()),
    ("blackened", "black where hidden", "black_returned", lambda d, s, x, m, z, n, lr: x * m),
    ("start", "the codes given, decoded", "start_returned", lambda d, s, x, m, z, n, lr: filled(d, x, m, z)),
    ("codes", "the codes", "wrong_shape", lambda d, s, x, m, z, n, lr: search(masked, d, s, x, m, z, n, lr)),
    (
        "one_step",
        "one step",
        "other_number_of_steps",
        other(lambda d, s, x, m, z, n, lr: (d, s, x, m, z, min(n, 1), lr)),
    ),
    (
        "ten_steps",
        "ten steps, whatever was asked",
        "other_start",
        other(lambda d, s, x, m, z, n, lr: (d, s, x, m, z, 10, lr)),
    ),
    ("own_rate", "a rate of its own", "other_rate", other(lambda d, s, x, m, z, n, lr: (d, s, x, m, z, n, 0.1))),
    (
        "own_start",
        "starts from 0",
        "other_start",
        other(lambda d, s, x, m, z, n, lr: (d, s, x, m, torch.zeros_like(z), n, lr)),
    ),
    (
        "random_start",
        "starts from N(0, I)",
        "other_start",
        other(lambda d, s, x, m, z, n, lr: (d, s, x, m, torch.randn_like(z), n, lr)),
    ),
    ("upwards", "the sign of the step is wrong", "climbs", by(lambda d, s, x, m, z: -masked(d, s, x, m, z))),
    ("accumulating", "gradients never cleared", None, accumulating),
    (
        "one_code",
        "one code for the whole batch",
        "pictures_together",
        by(lambda d, s, x, m, z: masked(d, s, x, m, z.mean(0, keepdim=True).expand_as(z))),
    ),
    ("trains_all", "the decoder is trained along", "trains_the_decoder", trains_all),
    ("freezes", "switches the decoder's gradients off for good", "changes_arguments", freezes),
    ("in_place", "moves the codes given", "changes_arguments", in_place),
    ("blackens", "sets x to 0 behind the mask", "changes_arguments", blackens),
    ("none", "nothing returned", "returns_none", lambda d, s, x, m, z, n, lr: None),
    ("seeded", "seeds the generator", "reseeds", seeded),
):
    BANK.formula(name, about, f, cause)


@BANK.right("backward and Adam")
def backward(decoder, surprise, x, mask, z, num_steps, lr):
    return by(masked)(decoder, surprise, x, mask, z, num_steps, lr)


@BANK.right("the gradient of the code alone")
def grad(decoder, surprise, x, mask, z, num_steps, lr):
    code = torch.nn.Parameter(z.clone())
    steps = torch.optim.Adam([code], lr)
    for _ in range(num_steps):
        (code.grad,) = torch.autograd.grad(masked(decoder, surprise, x, mask, code).sum(), code)
        steps.step()
    return torch.where(mask.bool(), x, decoder(code).sigmoid()).detach()


@BANK.right("averaged over the batch")
def mean(decoder, surprise, x, mask, z, num_steps, lr):
    return by(lambda *given: masked(*given).mean())(decoder, surprise, x, mask, z, num_steps, lr)


@BANK.right("picture by picture")
def loop(decoder, surprise, x, mask, z, num_steps, lr):
    rows = [
        by(masked)(decoder, surprise, a[None], m[None], c[None], num_steps, lr)
        for a, m, c in zip(x, mask, z, strict=True)
    ]
    return torch.cat(rows)


@BANK.right("softplus")
def softplus(decoder, surprise, x, mask, z, num_steps, lr):
    def loss(decoder, surprise, x, mask, z):
        logits = decoder(z)
        return ((F.softplus(logits) - x * logits) * mask).sum() + surprise(z).sum()

    return by(loss)(decoder, surprise, x, mask, z, num_steps, lr)


@BANK.right("known pixels picked out, weights of the loss")
def weighted(decoder, surprise, x, mask, z, num_steps, lr):
    def loss(decoder, surprise, x, mask, z):
        return F.binary_cross_entropy_with_logits(decoder(z), x, weight=mask, reduction="sum") + surprise(z).sum()

    return by(loss)(decoder, surprise, x, mask, z, num_steps, lr)


@BANK.right("Adam by hand")
def by_hand(decoder, surprise, x, mask, z, num_steps, lr):
    code, first, second = z.clone(), torch.zeros_like(z), torch.zeros_like(z)
    for t in range(1, num_steps + 1):
        at = code.detach().requires_grad_()
        (g,) = torch.autograd.grad(masked(decoder, surprise, x, mask, at).sum(), at)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        code = code - lr * (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
    return filled(decoder, x, mask, code)


@BANK.right("AMSGrad")
def amsgrad(decoder, surprise, x, mask, z, num_steps, lr):
    def optimizer(parameters, lr):
        return torch.optim.Adam(parameters, lr=lr, amsgrad=True)

    return by(masked, optimizer=optimizer)(decoder, surprise, x, mask, z, num_steps, lr)
