"""One optimisation step on (encoder, decoder). `reconstruction_loss` is the name that the check replaces."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("train_step")


def reconstruction_loss(logits, x):
    """The student's own, and it is wrong: it must not matter."""
    return (logits - x).abs().mean()


def forward(autoencoder, x):
    encoder, decoder = autoencoder
    return decoder(encoder(x))


def step(loss_of, before="clear", order="backward step", value=lambda loss: loss.item()):
    """`train_step` with one thing changed."""

    def train_step(autoencoder, x, optimizer):
        if before == "clear":
            optimizer.zero_grad()
        loss = loss_of(autoencoder, x)
        for action in order.split():
            {"backward": loss.backward, "step": optimizer.step, "clear": optimizer.zero_grad}[action]()
        return value(loss)

    return train_step


def usual(autoencoder, x):
    return reconstruction_loss(forward(autoencoder, x), x)


def with_codes(autoencoder, x, penalty):
    """The loss and a penalty on the codes of the same pass."""
    codes = autoencoder[0](x)
    return reconstruction_loss(autoencoder[1](codes), x) + penalty(codes)


def activity(codes):
    share = codes.sigmoid().mean(0)
    return 1e-2 * (0.05 * torch.log(0.05 / share) + 0.95 * torch.log(0.95 / (1 - share))).sum()


for name, about, cause, function in (
    ("not_cleared", "zero_grad forgotten", "gradients_not_cleared", step(usual, before="")),
    ("cleared_too_late", "zero_grad after the step", "gradients_not_cleared", step(usual, "", "backward step clear")),
    (
        "cleared_before_step",
        "zero_grad between backward and step",
        "no_step",
        step(usual, "clear", "backward clear step"),
    ),
    ("step_before_backward", "step before backward", "no_step", step(usual, "clear", "step backward")),
    ("no_backward", "backward forgotten", "no_step", step(usual, "clear", "step")),
    ("no_step", "step forgotten", "no_step", step(usual, "clear", "backward")),
    ("two_steps", "step twice on one gradient", "two_steps", step(usual, "clear", "backward step step")),
    ("per_pixel", "loss averaged over pixels", "mean_over_everything", step(lambda ae, x: usual(ae, x) / x.shape[1])),
    ("summed", "loss summed over the batch", "sum_over_batch", step(lambda ae, x: usual(ae, x) * len(x))),
    (
        "probabilities",
        "sigmoid before the loss",
        "sigmoid_twice",
        step(lambda ae, x: reconstruction_loss(forward(ae, x).sigmoid(), x)),
    ),
    ("swapped", "arguments exchanged", "arguments_swapped", step(lambda ae, x: reconstruction_loss(x, forward(ae, x)))),
    ("squared_error", "MSE", "squared_error", step(lambda ae, x: F.mse_loss(forward(ae, x).sigmoid(), x))),
    ("ascends", "minus the loss", "ascends", step(lambda ae, x: -usual(ae, x))),
    (
        "code_detached",
        "encoder cut off",
        "encoder_not_trained",
        step(lambda ae, x: reconstruction_loss(ae[1](ae[0](x).detach()), x)),
    ),
    ("returns_tensor", "loss with its graph", "not_a_float", step(usual, value=lambda loss: loss)),
    ("returns_detached", "detached tensor", "not_a_float", step(usual, value=lambda loss: loss.detach())),
    ("returns_nothing", "return forgotten", "returns_none", step(usual, value=lambda loss: None)),
    (
        "returns_per_pixel",
        "loss per pixel returned",
        "mean_over_everything",
        step(usual, value=lambda loss: loss.item() / 400),  # the pixels of the check's small images,
    ),
    ("returns_zero", "constant", None, step(usual, value=lambda loss: 0.0)),
    (
        "denoising",
        "noise on the input",
        "random_step",
        step(lambda ae, x: reconstruction_loss(forward(ae, (x + 0.3 * torch.randn_like(x))), x)),
    ),
    (
        "regularised",
        "weight decay added",
        None,
        step(lambda ae, x: usual(ae, x) + 0.1 * sum(p.square().sum() for p in ae[0].parameters())),
    ),
    (
        "slightly_regularised",
        "a little weight decay added",
        "own_penalty|",
        step(lambda ae, x: usual(ae, x) + 1e-3 * sum(p.square().sum() for part in ae for p in part.parameters())),
    ),
    (
        "code_penalty",
        "codes pulled to zero",
        "several_forward_passes|own_penalty",
        step(lambda ae, x: usual(ae, x) + ae[0](x).square().sum(1).mean()),
    ),
    (
        "sparse_codes",
        "a little of the codes' absolute values, of one pass",
        "own_penalty",
        step(lambda ae, x: with_codes(ae, x, lambda z: 1e-3 * z.abs().mean())),
    ),
    (
        "kl_sparsity",
        "codes' activity held at 5 % by a KL term",
        "own_penalty",
        step(lambda ae, x: with_codes(ae, x, activity)),
    ),
    (
        "decoder_penalty",
        "the decoder's weights made sparse",
        "own_penalty|",
        step(lambda ae, x: usual(ae, x) + 1e-3 * sum(p.abs().sum() for p in ae[1].parameters())),
    ),
    (
        "squared_error_summed",
        "sum of squared errors of the logits",
        "squared_error",
        step(lambda ae, x: F.mse_loss(forward(ae, x), x, reduction="sum")),
    ),
    (
        "squared_error_of_logits",
        "MSE of the logits",
        "squared_error",
        step(lambda ae, x: F.mse_loss(forward(ae, x), x)),
    ),
    (
        "half_squared_error",
        "half the squared error of an image",
        "squared_error",
        step(lambda ae, x: (forward(ae, x).sigmoid() - x).square().sum(1).mean() / 2),
    ),
    (
        "binarised",
        "batch binarised",
        "binarised",
        step(lambda ae, x: reconstruction_loss(forward(ae, (x > 0.5).float()), (x > 0.5).float())),
    ),
    (
        "first_image",
        "only the first image",
        "part_of_the_batch",
        step(lambda ae, x: reconstruction_loss(forward(ae, x[:1]), x[:1])),
    ),
):
    BANK.formula(name, about, function, cause)


@BANK.wrong("evaluates, and leaves it so", "evaluation_mode|mode_not_restored")
def evaluates(autoencoder, x, optimizer):
    for module in autoencoder:
        module.eval()
    return step(usual)(autoencoder, x, optimizer)


@BANK.wrong("evaluates during the step", "evaluation_mode")
def evaluates_inside(autoencoder, x, optimizer):
    modes = [module.training for module in autoencoder]
    for module in autoencoder:
        module.eval()
    value = step(usual)(autoencoder, x, optimizer)
    for module, mode in zip(autoencoder, modes):
        module.train(mode)
    return value


@BANK.wrong("always leaves training mode", "mode_not_restored")
def always_train(autoencoder, x, optimizer):
    for module in autoencoder:
        module.train()
    return step(usual)(autoencoder, x, optimizer)


@BANK.wrong("leaves evaluation mode after the step", "mode_not_restored")
def eval_afterwards(autoencoder, x, optimizer):
    value = step(usual)(autoencoder, x, optimizer)
    autoencoder[0].eval()
    return value


@BANK.wrong("remembers the mode of the encoder only", "mode_not_restored")
def one_mode(autoencoder, x, optimizer):
    encoder, decoder = autoencoder
    was = encoder.training
    encoder.train(), decoder.train()
    value = step(usual)(autoencoder, x, optimizer)
    encoder.train(was), decoder.train(was)
    return value


@BANK.wrong("loss after the step", "loss_after_step")
def loss_after(autoencoder, x, optimizer):
    step(usual)(autoencoder, x, optimizer)
    with torch.no_grad():
        return usual(autoencoder, x).item()


@BANK.wrong("steps with the gradients of the batch before", "step_before_backward")
def lagging(autoencoder, x, optimizer):
    loss = usual(autoencoder, x)
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    return loss.item()


@BANK.wrong("clears the encoder only", "gradients_not_cleared")
def half_cleared(autoencoder, x, optimizer):
    autoencoder[0].zero_grad()
    return step(usual, before="")(autoencoder, x, optimizer)


@BANK.wrong("two whole steps", "two_steps")
def repeated(autoencoder, x, optimizer):
    step(usual)(autoencoder, x, optimizer)
    return step(usual)(autoencoder, x, optimizer)


@BANK.wrong("an optimiser of its own")
def own_optimiser(autoencoder, x, optimizer):
    own = torch.optim.Adam([p for module in autoencoder for p in module.parameters()], lr=1e-3)
    return step(usual)(autoencoder, x, own)


@BANK.wrong("plain gradient descent by hand")
def by_hand(autoencoder, x, optimizer):
    optimizer.zero_grad()
    loss = usual(autoencoder, x)
    loss.backward()
    with torch.no_grad():
        for module in autoencoder:
            for p in module.parameters():
                p -= 0.02 * p.grad
    return loss.item()


@BANK.wrong("decoder's gradients thrown away", "decoder_not_trained")
def decoder_frozen(autoencoder, x, optimizer):
    optimizer.zero_grad()
    loss = usual(autoencoder, x)
    loss.backward()
    autoencoder[1].zero_grad()
    optimizer.step()
    return loss.item()


def clipping(clip, limit):
    """Clips all gradients at `limit` before the step."""

    def train_step(autoencoder, x, optimizer):
        optimizer.zero_grad()
        loss = usual(autoencoder, x)
        loss.backward()
        clip([p for module in autoencoder for p in module.parameters()], limit)
        optimizer.step()
        return loss.item()

    return train_step


NORM, VALUE = torch.nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_value_
BANK.formula("clipped", "gradients clipped to norm one", clipping(NORM, 1.0), "gradients_clipped")
for limit in (3, 5, 10):
    BANK.formula(
        f"clipped_at_{limit}", f"gradients clipped to norm {limit}", clipping(NORM, limit), "gradients_clipped"
    )
BANK.formula("clipped_values", "each gradient clipped at one", clipping(VALUE, 1.0), "gradients_clipped")


@BANK.wrong("learning rate one per cent lower after every step", "changes_optimizer")
def decays_slowly(autoencoder, x, optimizer):
    value = step(usual)(autoencoder, x, optimizer)
    for group in optimizer.param_groups:
        group["lr"] *= 0.99
    return value


@BANK.wrong("a forward pass of its own for the value", "several_forward_passes")
def two_passes(autoencoder, x, optimizer):
    with torch.no_grad():
        value = usual(autoencoder, x).item()
    step(usual)(autoencoder, x, optimizer)
    return value


@BANK.wrong("only the first 32 images")
def first_32(autoencoder, x, optimizer):
    return step(usual)(autoencoder, x[:32], optimizer)


@BANK.wrong("the batch requires gradients", "changes_arguments")
def gradient_of_x(autoencoder, x, optimizer):
    return step(usual)(autoencoder, x.requires_grad_(), optimizer)


@BANK.wrong("forward under no_grad", "no_graph")
def without_grad(autoencoder, x, optimizer):
    optimizer.zero_grad()
    with torch.no_grad():
        loss = usual(autoencoder, x)
    loss.backward()
    optimizer.step()
    return loss.item()


@BANK.wrong("changes x", "changes_arguments")
def changes_x(autoencoder, x, optimizer):
    value = step(usual)(autoencoder, x, optimizer)
    x.round_()
    return value


@BANK.wrong("learning rate halved at every step", "changes_optimizer")
def decays(autoencoder, x, optimizer):
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    return step(usual)(autoencoder, x, optimizer)


@BANK.wrong("forgets what the optimiser remembers")
def forgets(autoencoder, x, optimizer):
    value = step(usual)(autoencoder, x, optimizer)
    optimizer.state.clear()
    return value


@BANK.wrong("noise on the codes", "random_step")
def noisy_codes(autoencoder, x, optimizer):
    def loss(pair, batch):
        z = pair[0](batch)
        return reconstruction_loss(pair[1](z + 0.1 * torch.randn_like(z)), batch)

    return step(loss)(autoencoder, x, optimizer)


@BANK.wrong("one image of the batch left out", "part_of_the_batch")
def one_left_out(autoencoder, x, optimizer):
    return step(usual)(autoencoder, x[1:] if len(x) > 1 else x, optimizer)


@BANK.right("as in the text")
def plain(autoencoder, x, optimizer):
    encoder, decoder = autoencoder
    optimizer.zero_grad()
    loss = reconstruction_loss(decoder(encoder(x)), x)
    loss.backward()
    optimizer.step()
    return loss.item()


@BANK.right("set_to_none=False, float()")
def zeros(autoencoder, x, optimizer):
    encoder, decoder = autoencoder
    optimizer.zero_grad(set_to_none=False)
    loss = reconstruction_loss(logits=decoder(encoder(x)), x=x)
    loss.backward()
    optimizer.step()
    return float(loss)


@BANK.right("train mode set and restored")
def restores(autoencoder, x, optimizer):
    modes = [module.training for module in autoencoder]
    for module in autoencoder:
        module.train()
    value = plain(autoencoder, x, optimizer)
    for module, mode in zip(autoencoder, modes):
        module.train(mode)
    return value


@BANK.right("closure")
def closure(autoencoder, x, optimizer):
    def evaluate():
        optimizer.zero_grad()
        loss = reconstruction_loss(forward(autoencoder, x), x)
        loss.backward()
        return loss

    return float(optimizer.step(evaluate))


@BANK.right("own stable loss, gradients by autograd.grad")
def by_autograd(autoencoder, x, optimizer):
    parameters = [p for module in autoencoder for p in module.parameters()]
    loss = F.binary_cross_entropy_with_logits(forward(autoencoder, x), x, reduction="sum") / len(x)
    for p, g in zip(parameters, torch.autograd.grad(loss, parameters)):
        p.grad = g
    optimizer.step()
    return loss.item()


@BANK.right("gradients accumulated over single images")
def accumulated(autoencoder, x, optimizer):
    if any(isinstance(m, torch.nn.BatchNorm1d) for module in autoencoder for m in module.modules()):
        return plain(autoencoder, x, optimizer)
    optimizer.zero_grad()
    total = 0.0
    for i in range(len(x)):
        loss = reconstruction_loss(forward(autoencoder, x[i : i + 1]), x[i : i + 1]) / len(x)
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total


@BANK.right("bfloat16 autocast")
def autocast(autoencoder, x, optimizer):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = forward(autoencoder, x)
    loss = reconstruction_loss(logits.float(), x)
    loss.backward()
    optimizer.step()
    return loss.item()
