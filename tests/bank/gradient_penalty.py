"""Two-sided gradient penalty at a uniformly random point of each pair's segment."""

from __future__ import annotations

import torch
import torch._dynamo  # what vmap imports at its first use, for longer than a call may take on a busy machine
from torch import nn

from .entries import Bank

BANK = Bank("gradient_penalty")


def points_between(z_prior, z_posterior, t=None):
    t = torch.rand(len(z_prior), 1, dtype=z_prior.dtype, device=z_prior.device) if t is None else t
    return (t * z_prior.detach() + (1 - t) * z_posterior.detach()).requires_grad_()


def gradient(critic, points, **options):
    return torch.autograd.grad(critic(points).sum(), points, **({"create_graph": True} | options))[0]


def lengths(critic, z_prior, z_posterior):
    return gradient(critic, points_between(z_prior, z_posterior)).norm(dim=1)


# right points, right gradients, wrong number
for name, about, cause, f in (
    ("sum_over_batch", "summed over the batch", "sum_over_batch", lambda g: (g.norm(dim=1) - 1).square().sum()),
    ("towards_zero", "length pulled to 0", "towards_zero", lambda g: g.square().sum(1).mean()),
    ("one_sided", "only lengths above 1", "one_sided", lambda g: (g.norm(dim=1) - 1).clamp_min(0).square().mean()),
    (
        "one_sided_below",
        "only lengths below 1",
        "one_sided",
        lambda g: (1 - g.norm(dim=1)).clamp_min(0).square().mean(),
    ),
    ("squared_norm", "squared length against 1", "squared_norm", lambda g: (g.square().sum(1) - 1).square().mean()),
    ("not_squared", "absolute distance", "not_squared", lambda g: (g.norm(dim=1) - 1).abs().mean()),
    ("signed", "plain difference", "not_squared", lambda g: (g.norm(dim=1) - 1).mean()),
    ("mean_length", "mean length against 1", "mean_length", lambda g: (g.norm(dim=1).mean() - 1).square()),
    ("norm_over_batch", "dim=0", "norm_over_batch", lambda g: (g.norm(dim=0) - 1).square().mean()),
    ("norm_over_everything", "no dim", "norm_over_everything", lambda g: (g.norm() - 1).square()),
    ("norm_one", "sum of absolute values", "other_norm", lambda g: (g.abs().sum(1) - 1).square().mean()),
    ("norm_max", "largest component", "other_norm", lambda g: (g.abs().max(1).values - 1).square().mean()),
    ("components", "every component against 1", "no_norm", lambda g: (g - 1).square().mean()),
    ("components_summed", "every component against 1, summed", "no_norm", lambda g: (g - 1).square().sum(1).mean()),
    (
        "mean_over_dimensions",
        "root mean square",
        "mean_over_dimensions",
        lambda g: (g.square().mean(1).sqrt() - 1).square().mean(),
    ),
    ("coefficient", "10 included", "coefficient_included", lambda g: 10 * (g.norm(dim=1) - 1).square().mean()),
    ("negative", "minus", "wrong_sign", lambda g: -(g.norm(dim=1) - 1).square().mean()),
    ("root", "root at the end", "root", lambda g: (g.norm(dim=1) - 1).square().mean().sqrt()),
    ("steepest", "largest term", "largest", lambda g: (g.norm(dim=1) - 1).square().max()),
    ("halved", "one half", "divided_by_dimensions", lambda g: 0.5 * (g.norm(dim=1) - 1).square().mean()),
    ("per_pair", "not averaged", "not_reduced", lambda g: (g.norm(dim=1) - 1).square()),
    ("as_number", "a Python number", "python_number", lambda g: (g.norm(dim=1) - 1).square().mean().item()),
    (
        "detached",
        "detached at the end",
        "no_create_graph|detached",
        lambda g: (g.norm(dim=1) - 1).square().mean().detach(),
    ),
    (
        "half_detached",
        "one factor detached",
        "part_detached",
        lambda g: ((g.norm(dim=1) - 1) * (g.norm(dim=1) - 1).detach()).mean(),
    ),
    ("clamped", "lengths of at most 2", None, lambda g: (g.norm(dim=1).clamp_max(1.5) - 1).square().mean()),
):
    BANK.formula(
        name,
        about,
        (lambda f: lambda critic, z_prior, z_posterior: f(gradient(critic, points_between(z_prior, z_posterior))))(f),
        cause,
    )


# right number, wrong points
def uniform(z):
    return torch.rand(len(z), 1, dtype=z.dtype, device=z.device)


for name, about, cause, place in (
    ("one_number", "one random number for all pairs", "one_number_for_all", lambda z: uniform(z[:1])),
    ("per_dimension", "a random number for every dimension", "one_number_per_dimension", lambda z: torch.rand_like(z)),
    ("normal_mixing", "normal numbers", "outside", lambda z: torch.randn(len(z), 1, dtype=z.dtype)),
    (
        "clamped_normal",
        "normal numbers, clamped",
        "not_uniform|at_the_ends",
        lambda z: torch.randn(len(z), 1, dtype=z.dtype).clamp(0, 1),
    ),
    ("at_prior", "at the prior's end", "at_one_end", lambda z: torch.ones(len(z), 1, dtype=z.dtype)),
    ("at_posterior", "at the posterior's end", "at_one_end", lambda z: torch.zeros(len(z), 1, dtype=z.dtype)),
    ("either_end", "at one of the ends", "at_the_ends", lambda z: uniform(z).round()),
    ("middle", "in the middle", "fixed_point", lambda z: torch.full((len(z), 1), 0.5, dtype=z.dtype)),
    ("squared_uniform", "squared uniform numbers", "not_uniform", lambda z: uniform(z).square()),
    ("half_way", "never beyond the middle", "not_uniform", lambda z: 0.5 * uniform(z)),
    (
        "spaced",
        "evenly spaced, always the same",
        "frozen_noise",
        lambda z: torch.linspace(0, 1, len(z), dtype=z.dtype)[:, None],
    ),
    ("symmetric", "numbers from -1 to 1", "outside", lambda z: 2 * uniform(z) - 1),
    (
        "sigmoid_normal",
        "sigmoid of normal numbers",
        "not_uniform",
        lambda z: torch.sigmoid(torch.randn(len(z), 1, dtype=z.dtype)),
    ),
    ("nine_tenths", "never the last tenth", "not_uniform", lambda z: 0.9 * uniform(z)),
    ("away_from_ends", "from 0.1 to 0.9", "not_uniform", lambda z: 0.1 + 0.8 * uniform(z)),
    ("eleven_places", "tenths", "not_uniform", lambda z: torch.randint(0, 11, (len(z), 1)).to(z.dtype) / 10),
    ("percent", "whole hundredths", None, lambda z: torch.randint(0, 101, (len(z), 1)).to(z.dtype) / 100),
    (
        "normal_in_the_middle",
        "N(0.5, 0.3), clamped",
        "not_uniform|",
        lambda z: (0.5 + 0.3 * torch.randn(len(z), 1, dtype=z.dtype)).clamp(0, 1),
    ),
    (
        "beta",
        "Beta(1.5, 1.5)",
        "not_uniform",
        lambda z: torch.distributions.Beta(1.5, 1.5).sample((len(z), 1)).to(z.dtype),
    ),
    ("mean_of_two", "the mean of two uniform numbers", "not_uniform", lambda z: 0.5 * (uniform(z) + uniform(z))),
    (
        "sine_squared",
        "a random angle's squared sine",
        "not_uniform",
        lambda z: (torch.pi / 2 * uniform(z)).sin().square(),
    ),
    ("power", "uniform numbers to the power of 0.8", "not_uniform", lambda z: uniform(z) ** 0.8),
    ("by_twos", "one number for two neighbouring pairs", None, lambda z: uniform(z).repeat_interleave(2, 0)[: len(z)]),
):
    BANK.formula(
        name,
        about,
        (
            lambda place: (
                lambda critic, z_prior, z_posterior: (
                    (gradient(critic, points_between(z_prior, z_posterior, place(z_prior))).norm(dim=1) - 1)
                    .square()
                    .mean()
                )
            )
        )(place),
        cause,
    )


@BANK.wrong("both ends measured, nothing between", "at_the_ends|")
def both_ends(critic, z_prior, z_posterior):
    points = torch.cat([z_prior, z_posterior]).detach().requires_grad_()
    return (gradient(critic, points).norm(dim=1) - 1).square().mean()


@BANK.wrong("no create_graph", "no_create_graph")
def no_create_graph(critic, z_prior, z_posterior):
    points = points_between(z_prior, z_posterior)
    (grad,) = torch.autograd.grad(critic(points).sum(), points)
    return (grad.norm(dim=1) - 1).square().mean()


@BANK.wrong("retain_graph for create_graph", "no_create_graph")
def retain_graph(critic, z_prior, z_posterior):
    points = points_between(z_prior, z_posterior)
    return (gradient(critic, points, create_graph=False, retain_graph=True).norm(dim=1) - 1).square().mean()


@BANK.wrong("mean before the gradient", "mean_before_gradient")
def mean_first(critic, z_prior, z_posterior):
    points = points_between(z_prior, z_posterior)
    (grad,) = torch.autograd.grad(critic(points).mean(), points, create_graph=True)
    return (grad.norm(dim=1) - 1).square().mean()


@BANK.wrong("mean before the gradient, one norm of all", "mean_before_gradient_and_norm_over_everything")
def mean_first_one_norm(critic, z_prior, z_posterior):
    points = points_between(z_prior, z_posterior)
    (grad,) = torch.autograd.grad(critic(points).mean(), points, create_graph=True)
    return (grad.norm() - 1).square()


@BANK.wrong("points do not require a gradient", "no_requires_grad|reaches_encoder|")
def no_requires_grad(critic, z_prior, z_posterior):
    t = uniform(z_prior)
    points = t * z_prior + (1 - t) * z_posterior
    (grad,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return (grad.norm(dim=1) - 1).square().mean()


@BANK.wrong("critic under no_grad", "no_requires_grad|")
def no_grad(critic, z_prior, z_posterior):
    points = points_between(z_prior, z_posterior)
    with torch.no_grad():
        value = critic(points).sum()
    (grad,) = torch.autograd.grad(value, points, create_graph=True)
    return (grad.norm(dim=1) - 1).square().mean()


@BANK.wrong("codes of different pairs mixed", "mixes_pairs")
def shuffled(critic, z_prior, z_posterior):
    other = z_posterior[torch.randperm(len(z_posterior), device=z_posterior.device)]
    return (lengths(critic, z_prior, other) - 1).square().mean()


@BANK.wrong("the same seed at every call", "reseeds|frozen_noise")
def reseeded(critic, z_prior, z_posterior):
    torch.manual_seed(0)
    return (lengths(critic, z_prior, z_posterior) - 1).square().mean()


@BANK.wrong("backward instead of autograd.grad", "own_backward|no_create_graph")
def by_backward(critic, z_prior, z_posterior):
    points = points_between(z_prior, z_posterior)
    critic(points).sum().backward()
    return (points.grad.norm(dim=1) - 1).square().mean()


@BANK.wrong("requires_grad_ on the arguments", "changes_arguments")
def flags_arguments(critic, z_prior, z_posterior):
    z_prior.requires_grad_()
    t = uniform(z_prior)
    points = t * z_prior + (1 - t) * z_posterior
    return (gradient(critic, points).norm(dim=1) - 1).square().mean()


@BANK.wrong("detach_ on the argument", "changes_arguments")
def cuts_arguments(critic, z_prior, z_posterior):
    z_posterior.detach_()
    return (lengths(critic, z_prior, z_posterior) - 1).square().mean()


@BANK.wrong("critic set to training mode at the end, whatever it was in", "changes_critic")
def eval_then_train(critic, z_prior, z_posterior):
    critic.eval()
    penalty = (lengths(critic, z_prior, z_posterior) - 1).square().mean()
    critic.train()
    return penalty


@BANK.right("as in the text")
def plain(critic, z_prior, z_posterior):
    return (lengths(critic, z_prior, z_posterior) - 1).square().mean()


@BANK.right("torch.lerp, grad_outputs of ones")
def lerp(critic, z_prior, z_posterior):
    t = torch.empty(z_prior.shape[0], 1, dtype=z_prior.dtype, device=z_prior.device).uniform_()
    points = torch.lerp(z_prior, z_posterior, t).detach().requires_grad_(True)
    scores = critic(points)
    grads = torch.autograd.grad(
        scores, points, grad_outputs=torch.ones_like(scores), create_graph=True, retain_graph=True, only_inputs=True
    )[0]
    return ((grads.norm(2, dim=1) - 1) ** 2).mean()


@BANK.right("codes not detached")
def attached(critic, z_prior, z_posterior):
    t = uniform(z_prior)
    points = (t * z_prior + (1 - t) * z_posterior).requires_grad_()
    return (gradient(critic, points).norm(dim=1) - 1).pow(2).mean()


@BANK.right("norm with an epsilon under the root")
def with_epsilon(critic, z_prior, z_posterior):
    grad = gradient(critic, points_between(z_prior, z_posterior))
    return ((grad.square().sum(1) + 1e-12).sqrt() - 1).square().mean()


@BANK.right("vmap of grad")
def functional(critic, z_prior, z_posterior):
    slopes = torch.func.vmap(torch.func.grad(lambda z: critic(z).squeeze()))
    return (slopes(points_between(z_prior, z_posterior).detach()).norm(dim=1) - 1).square().mean()


@BANK.right("a loop over the pairs")
def loop(critic, z_prior, z_posterior):
    total = 0.0
    for p, q in zip(z_prior.detach(), z_posterior.detach()):
        t = torch.rand((), dtype=p.dtype, device=p.device)
        point = (q + t * (p - q))[None].requires_grad_()
        (grad,) = torch.autograd.grad(critic(point).squeeze(), point, create_graph=True)
        total = total + (torch.linalg.vector_norm(grad) - 1) ** 2
    return total / len(z_prior)


@BANK.right("torch.distributions, mse_loss against ones")
def distributions(critic, z_prior, z_posterior):
    t = torch.distributions.Uniform(0.0, 1.0).sample((len(z_prior), 1)).to(z_prior)
    norms = gradient(critic, points_between(z_prior, z_posterior, t)).norm(dim=-1)
    return nn.functional.mse_loss(norms, torch.ones_like(norms))


@BANK.right("expanded to the shape of the codes")
def expanded(critic, z_prior, z_posterior):
    t = uniform(z_prior).expand_as(z_prior)
    return (gradient(critic, points_between(z_prior, z_posterior, t)).norm(dim=1) - 1).square().sum() / len(z_prior)


@BANK.right("float64 lengths, einsum")
def double_lengths(critic, z_prior, z_posterior):
    grad = gradient(critic, points_between(z_prior, z_posterior)).double()
    return (torch.einsum("nd,nd->n", grad, grad).sqrt() - 1).square().mean()


@BANK.right("enable_grad and a fresh leaf")
def fresh_leaf(critic, z_prior, z_posterior):
    with torch.no_grad():
        t = uniform(z_prior)
        points = z_prior + t * (z_posterior - z_prior)
    with torch.enable_grad():
        points = points.clone().requires_grad_()
        (grad,) = torch.autograd.grad(critic(points).sum(), [points], create_graph=True)
    return (1 - grad.norm(dim=1)).square().mean()


@BANK.right("evaluation mode during the call")
def eval_meanwhile(critic, z_prior, z_posterior):
    mode = critic.training
    critic.eval()
    penalty = (lengths(critic, z_prior, z_posterior) - 1).square().mean()
    critic.train(mode)
    return penalty


@BANK.right("stratified, in random order")
def strata(critic, z_prior, z_posterior):
    n = len(z_prior)
    t = (torch.randperm(n)[:, None].to(z_prior) + uniform(z_prior)) / n
    return (gradient(critic, points_between(z_prior, z_posterior, t)).norm(dim=1) - 1).square().mean()


class Penalty(nn.Module):
    """Object style."""

    def forward(self, critic, z_prior, z_posterior):
        return (lengths(critic, z_posterior, z_prior) - 1).square().mean()


BANK.right("a module")(Penalty())


@BANK.wrong("mixing weights for images, gradients flattened", "norm_over_everything")
def weights_for_images(critic, z_prior, z_posterior):
    t = torch.rand(len(z_prior), 1, 1, 1, dtype=z_prior.dtype)
    slopes = gradient(critic, points_between(z_prior, z_posterior, t))
    return (slopes.reshape(len(z_prior), -1).norm(2, dim=1) - 1).square().mean()


@BANK.wrong("mixing weights for images, norm over the second axis", "mixing_weights_shape")
def weights_for_images_dim_1(critic, z_prior, z_posterior):
    t = torch.rand(len(z_prior), 1, 1, 1, dtype=z_prior.dtype)
    slopes = gradient(critic, points_between(z_prior, z_posterior, t))
    return (slopes.norm(2, dim=1) - 1).square().mean()
