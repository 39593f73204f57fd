"""Mean critic on the posterior minus mean critic on the prior, the gradient staying within the critic."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from .entries import Bank

BANK = Bank("critic_loss")

for name, about, cause, f in (
    ("estimate", "the distance, not its negative", "sign", lambda c, p, q: c(p).mean() - c(q).mean()),
    ("sums", "sums for means", "sum_over_batch", lambda c, p, q: c(q).sum() - c(p).sum()),
    ("sums_and_sign", "sums, and the sign", "sign_and_sum", lambda c, p, q: c(p).sum() - c(q).sum()),
    ("posterior_only", "prior missing", "prior_missing", lambda c, p, q: c(q).mean()),
    ("prior_only", "posterior missing", "posterior_missing", lambda c, p, q: -c(p).mean()),
    ("added", "sum of the means", "added", lambda c, p, q: c(q).mean() + c(p).mean()),
    ("absolute", "absolute difference", "absolute", lambda c, p, q: (c(q).mean() - c(p).mean()).abs()),
    ("minus_absolute", "minus the absolute difference", "absolute", lambda c, p, q: -(c(q).mean() - c(p).mean()).abs()),
    ("squared", "squared difference", "squared", lambda c, p, q: (c(q).mean() - c(p).mean()).square()),
    ("squared_each", "mean of squared differences", "squared", lambda c, p, q: (c(q) - c(p)).square().mean()),
    (
        "least_squares",
        "least-squares GAN",
        "least_squares",
        lambda c, p, q: (c(p) - 1).square().mean() + c(q).square().mean(),
    ),
    (
        "discriminator",
        "binary cross-entropy",
        "classifier",
        lambda c, p, q: (
            F.binary_cross_entropy_with_logits(c(p), torch.ones_like(c(p)))
            + F.binary_cross_entropy_with_logits(c(q), torch.zeros_like(c(q)))
        ),
    ),
    ("sigmoid", "sigmoid of the values", "classifier", lambda c, p, q: c(q).sigmoid().mean() - c(p).sigmoid().mean()),
    ("hinge", "hinge loss", "hinge", lambda c, p, q: F.relu(1 + c(q)).mean() + F.relu(1 - c(p)).mean()),
    ("clamped", "values clamped", "clipped", lambda c, p, q: c(q).clamp(-1, 1).mean() - c(p).clamp(-1, 1).mean()),
    ("half", "one half", "scaled", lambda c, p, q: 0.5 * (c(q).mean() - c(p).mean())),
    ("per_code", "not averaged", "per_code|wrong_shape", lambda c, p, q: c(q) - c(p)),
    ("per_code_flat", "not averaged, flat", "per_code|wrong_shape", lambda c, p, q: (c(q) - c(p)).squeeze(1)),
    ("first_code", "one code of each", "one_code", lambda c, p, q: (c(q) - c(p))[0, 0]),
    ("steepest", "largest values", "largest", lambda c, p, q: c(q).max() - c(p).max()),
    ("median", "medians", "median", lambda c, p, q: c(q).median() - c(p).median()),
):
    BANK.formula(
        name,
        about,
        (lambda f: lambda critic, z_prior, z_posterior: f(critic, z_prior.detach(), z_posterior.detach()))(f),
        cause,
    )


@BANK.wrong("gradients reach the encoder", "reaches_encoder")
def attached(critic, z_prior, z_posterior):
    return critic(z_posterior).mean() - critic(z_prior).mean()


@BANK.wrong("only the prior detached", "reaches_encoder")
def wrong_one_detached(critic, z_prior, z_posterior):
    return critic(z_posterior).mean() - critic(z_prior.detach()).mean()


@BANK.wrong("the critic's values detached", "detached")
def value_detached(critic, z_prior, z_posterior):
    return critic(z_posterior).mean().detach() - critic(z_prior).mean().detach()


@BANK.wrong("critic under no_grad", "detached")
def no_grad(critic, z_prior, z_posterior):
    with torch.no_grad():
        return critic(z_posterior).mean() - critic(z_prior).mean()


@BANK.wrong("posterior's values detached instead of its codes", "one_end_detached")
def one_end(critic, z_prior, z_posterior):
    return critic(z_posterior).mean().detach() - critic(z_prior.detach()).mean()


@BANK.wrong("posterior evaluated under no_grad", "one_end_detached")
def one_end_no_grad(critic, z_prior, z_posterior):
    with torch.no_grad():
        on_posterior = critic(z_posterior).mean()
    return on_posterior - critic(z_prior.detach()).mean()


@BANK.wrong("a Python number", "python_number")
def as_number(critic, z_prior, z_posterior):
    return (critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()).item()


@BANK.wrong("both means returned", "wrong_number_of_values")
def both_means(critic, z_prior, z_posterior):
    return critic(z_posterior.detach()).mean(), critic(z_prior.detach()).mean()


@BANK.wrong("nothing returned", "returns_none")
def nothing(critic, z_prior, z_posterior):
    critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()


@BANK.wrong("backward inside", "own_backward")
def backward_inside(critic, z_prior, z_posterior):
    loss = critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()
    loss.backward(retain_graph=True)
    return loss


@BANK.wrong("weights clipped as in the first Wasserstein GAN", "changes_critic")
def clips_weights(critic, z_prior, z_posterior):
    with torch.no_grad():
        for p in critic.parameters():
            p.clamp_(-0.5, 0.5)
    return critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()


@BANK.wrong("evaluation mode left behind", "changes_critic")
def left_in_eval(critic, z_prior, z_posterior):
    critic.eval()
    return critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()


@BANK.wrong("the prior drawn again inside", "random|")
def own_prior(critic, z_prior, z_posterior):
    return critic(z_posterior.detach()).mean() - critic(torch.randn_like(z_prior)).mean()


@BANK.wrong("penalty of squared values added", None)
def drift(critic, z_prior, z_posterior):
    on_prior = critic(z_prior.detach())
    return critic(z_posterior.detach()).mean() - on_prior.mean() + 0.1 * on_prior.square().mean()


@BANK.wrong("penalty of squared values added, with the weight of its paper", None)
def small_drift(critic, z_prior, z_posterior):
    on_prior = critic(z_prior.detach())
    return critic(z_posterior.detach()).mean() - on_prior.mean() + 1e-3 * on_prior.square().mean()


@BANK.wrong("values clamped, far out", None)
def clamped_far(critic, z_prior, z_posterior):
    return critic(z_posterior.detach()).clamp(-20, 20).mean() - critic(z_prior.detach()).clamp(-20, 20).mean()


@BANK.wrong("only the first 64 codes count", None)
def first_codes(critic, z_prior, z_posterior):
    return critic(z_posterior.detach()[:64]).mean() - critic(z_prior.detach()[:64]).mean()


@BANK.wrong("detach_ on the arguments", "changes_arguments")
def cuts_arguments(critic, z_prior, z_posterior):
    return critic(z_posterior.detach_()).mean() - critic(z_prior.detach_()).mean()


@BANK.wrong("critic set to training mode, whatever it was in", "changes_critic")
def eval_then_train(critic, z_prior, z_posterior):
    critic.eval()
    loss = critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()
    critic.train()
    return loss


@BANK.wrong("codes centred in place", "changes_arguments")
def in_place(critic, z_prior, z_posterior):
    z = z_posterior.detach()
    loss = critic(z).mean() - critic(z_prior.detach()).mean()
    z.sub_(z.mean(0))
    return loss


@BANK.right("as in the text")
def plain(critic, z_prior, z_posterior):
    return critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()


@BANK.right("one pass over both")
def one_pass(critic, z_prior, z_posterior):
    both = critic(torch.cat([z_posterior, z_prior]).detach())
    on_posterior, on_prior = both.split([len(z_posterior), len(z_prior)])
    return on_posterior.mean() - on_prior.mean()


@BANK.right("minus the estimate")
def minus_estimate(critic, z_prior, z_posterior):
    estimate = torch.mean(critic(z_prior.data)) - torch.mean(critic(z_posterior.data))
    return -estimate


@BANK.right("mean of the differences")
def differences(critic, z_prior, z_posterior):
    return (critic(z_posterior.clone().detach()) - critic(z_prior.clone().detach())).mean()


@BANK.right("sums divided by the sizes, values squeezed")
def divided(critic, z_prior, z_posterior):
    on_prior, on_posterior = critic(z_prior.detach()).squeeze(-1), critic(z_posterior.detach()).squeeze(-1)
    return on_posterior.sum() / on_posterior.numel() - on_prior.sum() / on_prior.numel()


@BANK.right("a loop over the codes")
def loop(critic, z_prior, z_posterior):
    terms = [critic(q.detach()[None]) - critic(p.detach()[None]) for p, q in zip(z_prior, z_posterior)]
    return torch.stack(terms).mean()


@BANK.right("signs and one dot product, float64")
def signs(critic, z_prior, z_posterior):
    values = critic(torch.cat([z_prior.detach(), z_posterior.detach()])).double().flatten()
    n = len(z_prior)
    sign = torch.cat([-torch.ones(n), torch.ones(len(z_posterior))]).to(values) / n
    return values @ sign


@BANK.right("the module's functional form")
def functional(critic, z_prior, z_posterior):
    weights = dict(critic.named_parameters())
    on = [torch.func.functional_call(critic, weights, (z.detach(),)).mean() for z in (z_posterior, z_prior)]
    return on[0] - on[1]


@BANK.right("evaluation mode during the call")
def eval_meanwhile(critic, z_prior, z_posterior):
    mode = critic.training
    critic.eval()
    loss = critic(z_posterior.detach()).mean() - critic(z_prior.detach()).mean()
    critic.train(mode)
    return loss


class Loss(nn.Module):
    """Object style."""

    def forward(self, critic, z_prior, z_posterior):
        return critic(z_posterior.detach()).mean().sub(critic(z_prior.detach()).mean())


BANK.right("a module")(Loss())


@BANK.right("broadcast by mistake, with the same mean")
def broadcast(critic, z_prior, z_posterior):
    return (critic(z_posterior.detach()) - critic(z_prior.detach()).squeeze(1)).mean()


@BANK.right("gradient to the codes cut by a copy that is thrown away")
def copied(critic, z_prior, z_posterior):
    p, q = copy.deepcopy(z_prior.detach()), copy.deepcopy(z_posterior.detach())
    return critic(q).mean() - critic(p).mean()
