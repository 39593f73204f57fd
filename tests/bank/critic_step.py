"""Implementations of `critic_step(critic, optimizer, z_prior, z_posterior, coefficient)`: one step of the critic."""

from __future__ import annotations

import torch

from .entries import Bank

BANK = Bank("critic_step")


def critic_loss(critic, z_prior, z_posterior):
    return critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()


def gradient_penalty(critic, z_prior, z_posterior):
    t = torch.rand(len(z_prior), 1, dtype=z_prior.dtype, device=z_prior.device)
    points = (t * z_prior + (1 - t) * z_posterior).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (slopes.norm(dim=1) - 1).square().mean()


def step(
    objective=lambda loss, penalty, c: loss + c * penalty,
    returned=lambda loss, penalty, c: -loss.item(),
    before=lambda critic, optimizer: optimizer.zero_grad(),
    between=lambda critic, optimizer: None,
    after=lambda critic, optimizer: optimizer.step(),
):
    """The function, with one of its parts exchanged."""

    def critic_step(critic, optimizer, z_prior, z_posterior, coefficient):
        loss, penalty = (f(critic, z_prior, z_posterior) for f in (critic_loss, gradient_penalty))
        before(critic, optimizer)
        objective(loss, penalty, coefficient).backward()
        between(critic, optimizer)
        after(critic, optimizer)
        return returned(loss, penalty, coefficient)

    return critic_step


def nothing_done(critic, optimizer):
    return None


def clip(critic, optimizer):
    torch.nn.utils.clip_grad_norm_(critic.parameters(), 1.0)


def clip_shorter(critic, optimizer):
    torch.nn.utils.clip_grad_norm_(critic.parameters(), 0.25)


def clip_values(critic, optimizer):
    torch.nn.utils.clip_grad_value_(critic.parameters(), 0.1)


def clamp_weights(critic, optimizer):
    optimizer.step()
    with torch.no_grad():
        for p in critic.parameters():
            p.clamp_(-0.1, 0.1)


def by_hand(critic, optimizer):
    with torch.no_grad():
        for p in critic.parameters():
            p -= 0.01 * p.grad


def seeded(critic, optimizer):
    torch.manual_seed(0)
    optimizer.zero_grad()


for name, about, cause, f in (
    ("no_penalty", "the loss alone", "penalty_left_out", step(lambda loss, p, c: loss)),
    ("no_coefficient", "penalty once", "coefficient_unused", step(lambda loss, p, c: loss + p)),
    ("ten", "10 written in", "coefficient_unused", step(lambda loss, p, c: loss + 10 * p)),
    ("climbs", "sign of the loss turned", "sign_turned", step(lambda loss, p, c: -loss + c * p)),
    ("all_turned", "minus everything", "everything_turned", step(lambda loss, p, c: -(loss + c * p))),
    ("rewarded", "penalty subtracted", "penalty_rewarded", step(lambda loss, p, c: loss - c * p)),
    ("loss_times", "coefficient times the loss", "loss_multiplied", step(lambda loss, p, c: c * loss + p)),
    ("both_times", "coefficient times both", "loss_multiplied", step(lambda loss, p, c: c * (loss + p))),
    ("penalty_alone", "penalty alone", "loss_left_out", step(lambda loss, p, c: c * p)),
    ("product", "loss times penalty", "parts_multiplied", step(lambda loss, p, c: loss * c * p)),
    ("root", "root of the penalty", "root_of_penalty", step(lambda loss, p, c: loss + c * p.sqrt())),
    ("not_cleared", "no zero_grad", "gradients_not_cleared", step(before=nothing_done)),
    (
        "cleared_late",
        "zero_grad between backward and step",
        "nothing_moves",
        step(between=lambda critic, optimizer: optimizer.zero_grad()),
    ),
    ("no_step", "no step", "nothing_moves", step(after=nothing_done)),
    ("clipped", "gradients clipped", "gradients_clipped", step(between=clip)),
    ("clipped_shorter", "gradients clipped to another length", "gradients_clipped", step(between=clip_shorter)),
    ("clipped_values", "each gradient clipped", "gradients_clipped", step(between=clip_values)),
    ("clamped", "weights clamped", "weights_clipped", step(after=clamp_weights)),
    ("by_hand", "SGD by hand", "another_optimiser", step(after=by_hand)),
    ("returns_loss", "critic_loss returned", "returns_loss", step(returned=lambda loss, p, c: loss.item())),
    ("returns_objective", "objective", "returns_objective", step(returned=lambda loss, p, c: (loss + c * p).item())),
    (
        "returns_minus",
        "minus the objective",
        "returns_objective",
        step(returned=lambda loss, p, c: -(loss + c * p).item()),
    ),
    ("returns_penalty", "penalty", "returns_penalty", step(returned=lambda loss, p, c: p.item())),
    ("returns_tensor", "a tensor", "not_a_float", step(returned=lambda loss, p, c: -loss)),
    ("returns_nothing", "nothing", "returns_none", step(returned=lambda loss, p, c: None)),
    ("seeded", "seeds the generator", "reseeds", step(before=seeded)),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("two steps", "several_steps")
def twice(*given):
    estimate = step()(*given)
    step()(*given)
    return estimate


@BANK.wrong("estimate after the step", "estimate_after_step")
def late(critic, optimizer, z_prior, z_posterior, coefficient):
    step()(critic, optimizer, z_prior, z_posterior, coefficient)
    with torch.no_grad():
        return -critic_loss(critic, z_prior, z_posterior).item()


@BANK.wrong("codes keep their graph", "codes_attached")
def attached(critic, optimizer, z_prior, z_posterior, coefficient):
    loss = critic(z_posterior).mean() - critic(z_prior).mean()
    optimizer.zero_grad()
    (loss + coefficient * gradient_penalty(critic, z_prior, z_posterior)).backward()
    optimizer.step()
    return -loss.item()


@BANK.wrong("codes moved in place", "changes_arguments", "whether the estimate of the next step is another is chance")
def in_place(critic, optimizer, z_prior, z_posterior, coefficient):
    estimate = step()(critic, optimizer, z_prior, z_posterior, coefficient)
    z_prior += 1
    return estimate


@BANK.wrong("prior and posterior exchanged", "sign_turned")
def exchanged(critic, optimizer, z_prior, z_posterior, coefficient):
    return step()(critic, optimizer, z_posterior, z_prior, coefficient)


@BANK.right("as in the solution")
def plain(critic, optimizer, z_prior, z_posterior, coefficient):
    loss = critic_loss(critic, z_prior, z_posterior)
    penalty = gradient_penalty(critic, z_prior, z_posterior)
    optimizer.zero_grad()
    (loss + coefficient * penalty).backward()
    optimizer.step()
    return -loss.item()


@BANK.right("gradients cleared first, two backward passes")
def two_passes(critic, optimizer, z_prior, z_posterior, coefficient):
    optimizer.zero_grad(set_to_none=True)
    loss = critic_loss(critic, z_prior, z_posterior)
    loss.backward()
    (coefficient * gradient_penalty(critic, z_prior, z_posterior)).backward()
    optimizer.step()
    return -float(loss.detach())


@BANK.right("torch.autograd.grad")
def functional(critic, optimizer, z_prior, z_posterior, coefficient):
    parameters = list(critic.parameters())
    loss = critic_loss(critic, z_prior, z_posterior)
    objective = loss + coefficient * gradient_penalty(critic, z_prior, z_posterior)
    for p, grad in zip(parameters, torch.autograd.grad(objective, parameters, allow_unused=True), strict=True):
        p.grad = grad
    optimizer.step()
    return -loss.item()


@BANK.right("estimate first, without a graph")
def estimate_first(critic, optimizer, z_prior, z_posterior, coefficient):
    with torch.no_grad():
        estimate = float(critic(z_prior).mean() - critic(z_posterior).mean())
    optimizer.zero_grad()
    objective = critic_loss(critic, z_prior, z_posterior)
    objective += coefficient * gradient_penalty(critic, z_prior, z_posterior)
    objective.backward()
    optimizer.step()
    return estimate


@BANK.right("a closure")
def closure(critic, optimizer, z_prior, z_posterior, coefficient):
    estimates = []

    def evaluate():
        optimizer.zero_grad()
        loss = critic_loss(critic, z_prior, z_posterior)
        estimates.append(-loss.item())
        objective = loss + coefficient * gradient_penalty(critic, z_prior, z_posterior)
        objective.backward()
        return objective

    optimizer.step(evaluate)
    return estimates[0]


@BANK.right("codes detached first")
def detached(critic, optimizer, z_prior, z_posterior, coefficient):
    z_prior, z_posterior = z_prior.detach(), z_posterior.detach()
    critic.zero_grad()
    loss = critic(z_posterior).mean() - critic(z_prior).mean()
    torch.add(loss, gradient_penalty(critic, z_prior, z_posterior), alpha=coefficient).backward()
    optimizer.step()
    return loss.neg().item()
