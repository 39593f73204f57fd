"""z = mu + exp(logvar / 2) * eps."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import distributions as D

from .entries import Bank

BANK = Bank("reparameterize")
_KEPT: dict = {}


def sigma(logvar):
    return torch.exp(0.5 * logvar)


for name, about, cause, f in (
    ("variance", "exp(logvar) for sigma", "variance_for_sigma", lambda m, v: m + v.exp() * torch.randn_like(m)),
    ("logvar_as_sigma", "logvar for sigma", "logvar_for_sigma", lambda m, v: m + v * torch.randn_like(m)),
    ("half_logvar", "exp forgotten", "half_logvar_for_sigma", lambda m, v: m + 0.5 * v * torch.randn_like(m)),
    ("sqrt_logvar", "sqrt(|logvar|)", "sqrt_logvar_for_sigma", lambda m, v: m + v.abs().sqrt() * torch.randn_like(m)),
    ("quarter", "half taken twice", "quarter", lambda m, v: m + sigma(v).sqrt() * torch.randn_like(m)),
    ("doubled", "exp(2 logvar)", "double", lambda m, v: m + (2 * v).exp() * torch.randn_like(m)),
    ("sign_of_logvar", "exp(-logvar / 2)", "sign_of_logvar", lambda m, v: m + (-v / 2).exp() * torch.randn_like(m)),
    ("half_outside", "exp(logvar) / 2", "half_outside", lambda m, v: m + v.exp() / 2 * torch.randn_like(m)),
    ("half_sigma", "sigma / 2", "half_sigma", lambda m, v: m + sigma(v) / 2 * torch.randn_like(m)),
    (
        "softplus",
        "softplus for exp",
        "softplus",
        lambda m, v: m + torch.nn.functional.softplus(v) * torch.randn_like(m),
    ),
    ("unscaled", "sigma forgotten", "unscaled", lambda m, v: m + 0 * v + torch.randn_like(m)),
    ("no_mu", "mu forgotten", "no_mu", lambda m, v: sigma(v) * torch.randn_like(m)),
    ("mu_subtracted", "-mu", "mu_subtracted", lambda m, v: sigma(v) * torch.randn_like(m) - m),
    ("swapped", "arguments exchanged", "arguments_swapped", lambda m, v: v + sigma(m) * torch.randn_like(m)),
    ("sigma_on_mu", "sigma scales mu, not the noise", "sigma_on_mu", lambda m, v: m * sigma(v) + torch.randn_like(m)),
    ("sigma_on_both", "sigma scales mu as well", "sigma_on_both", lambda m, v: sigma(v) * (m + torch.randn_like(m))),
    ("multiplied", "product for sum", "multiplied", lambda m, v: m * sigma(v) * torch.randn_like(m)),
    ("sigma_added", "sum for product", "sigma_added", lambda m, v: m + sigma(v) + torch.randn_like(m)),
    ("decodes_mu", "no noise", "no_noise", lambda m, v: m + 0 * v),
    ("mu_plus_sigma", "noise forgotten", "no_noise", lambda m, v: m + sigma(v)),
    ("absolute", "|eps|", "absolute_noise", lambda m, v: m + sigma(v) * torch.randn_like(m).abs()),
    ("uniform", "rand for randn", "uniform_noise", lambda m, v: m + sigma(v) * torch.rand_like(m)),
    (
        "uniform_symmetric",
        "uniform on [-1, 1]",
        "uniform_noise",
        lambda m, v: m + sigma(v) * (2 * torch.rand_like(m) - 1),
    ),
    (
        "uniform_unit_variance",
        "uniform with the right variance",
        "uniform_noise",
        lambda m, v: m + sigma(v) * math.sqrt(12) * (torch.rand_like(m) - 0.5),
    ),
    ("rademacher", "random signs", "sign_noise", lambda m, v: m + sigma(v) * torch.randn_like(m).sign()),
    (
        "laplace",
        "Laplace noise",
        "laplace_noise",
        lambda m, v: m + sigma(v) * D.Laplace(0.0, 1.0).sample(m.shape).to(m.dtype),
    ),
    (
        "laplace_unit",
        "Laplace noise with unit variance",
        "laplace_noise",
        lambda m, v: m + sigma(v) * D.Laplace(0.0, math.sqrt(0.5)).sample(m.shape).to(m.dtype),
    ),
    (
        "logistic_unit",
        "logistic noise with unit variance",
        "not_normal",
        lambda m, v: m + sigma(v) * torch.logit(torch.rand_like(m).clamp(1e-6, 1 - 1e-6)) * math.sqrt(3) / math.pi,
    ),
    (
        "student_t",
        "Student t with 5 degrees of freedom, unit variance",
        "not_normal",
        lambda m, v: m + sigma(v) * D.StudentT(5.0).sample(m.shape).to(m.dtype) * math.sqrt(3 / 5),
    ),
    (
        "triangular",
        "difference of two uniforms, unit variance",
        "not_normal",
        lambda m, v: m + sigma(v) * (torch.rand_like(m) - torch.rand_like(m)) * math.sqrt(6),
    ),
    ("clipped_two", "clipped at 2", "clipped_noise", lambda m, v: m + sigma(v) * torch.randn_like(m).clamp(-2, 2)),
    (
        "clipped_three",
        "clipped at 3",
        "clipped_noise|not_normal",
        lambda m, v: m + sigma(v) * torch.randn_like(m).clamp(-3, 3),
    ),
    (
        "truncated",
        "truncated at 2",
        "clipped_noise",
        lambda m, v: m + sigma(v) * torch.nn.init.trunc_normal_(torch.empty_like(m), 0.0, 1.0, -2.0, 2.0),
    ),
    (
        "shared_over_batch",
        "one eps for all images",
        "noise_shared_over_batch",
        lambda m, v: m + sigma(v) * torch.randn_like(m[:1]),
    ),
    (
        "shared_over_dims",
        "one eps for all dimensions",
        "noise_shared_over_dimensions",
        lambda m, v: m + sigma(v) * torch.randn_like(m[:, :1]),
    ),
    ("one_number", "one eps for everything", "one_number", lambda m, v: m + sigma(v) * torch.randn(())),
    (
        "one_dimension",
        "only the first dimension is sampled",
        "some_without_noise",
        lambda m, v: torch.cat([(m + sigma(v) * torch.randn_like(m))[:, :1], m[:, 1:] + 0 * v[:, 1:]], 1),
    ),
    ("detached_mu", "mu detached", "detached_mu", lambda m, v: m.detach() + sigma(v) * torch.randn_like(m)),
    ("detached_sigma", "sigma detached", "detached_logvar", lambda m, v: m + sigma(v).detach() * torch.randn_like(m)),
    ("sample_for_rsample", "Normal.sample", "no_grad", lambda m, v: D.Normal(m, sigma(v)).sample()),
    (
        "torch_normal",
        "torch.normal carries no gradient to its arguments",
        "detached_mu",
        lambda m, v: torch.normal(m, sigma(v)),
    ),
    (
        "clamp_logvar",
        "logvar clamped to [-10, 10]",
        "clamped",
        lambda m, v: m + sigma(v.clamp(-10, 10)) * torch.randn_like(m),
    ),
    (
        "clamp_logvar_narrow",
        "logvar clamped to [-5, 2]",
        "clamped",
        lambda m, v: m + sigma(v.clamp(-5, 2)) * torch.randn_like(m),
    ),
    (
        "clamp_logvar_wide",
        "logvar clamped to [-29, 20]",
        "clamped",
        lambda m, v: m + sigma(v.clamp(-29, 20)) * torch.randn_like(m),
    ),
    (
        "clamp_logvar_above",
        "logvar clamped to [-30, 19]",
        "clamped",
        lambda m, v: m + sigma(v.clamp(-30, 19)) * torch.randn_like(m),
    ),
    ("float_out", "float32 out", "other_dtype", lambda m, v: (m + sigma(v) * torch.randn_like(m)).float()),
    ("half_out", "bfloat16 out", "other_dtype", lambda m, v: (m + sigma(v) * torch.randn_like(m)).bfloat16()),
    ("floor", "sigma + 0.001", "clamped", lambda m, v: m + (sigma(v) + 1e-2) * torch.randn_like(m)),
    ("tanh", "z squashed", None, lambda m, v: torch.tanh(m + sigma(v) * torch.randn_like(m))),
    (
        "mean_of_batch",
        "mu averaged over the batch",
        None,
        lambda m, v: m.mean(0, keepdim=True) + sigma(v) * torch.randn_like(m),
    ),
    (
        "shuffled",
        "codes handed to other images",
        None,
        lambda m, v: (m + sigma(v) * torch.randn_like(m))[torch.randperm(len(m))],
    ),
    (
        "two_samples",
        "average of two samples",
        None,
        lambda m, v: m + sigma(v) * (torch.randn_like(m) + torch.randn_like(m)) / 2,
    ),
    (
        "sum_over_dims",
        "a number for each image",
        "wrong_shape",
        lambda m, v: (m + sigma(v) * torch.randn_like(m)).sum(1),
    ),
    (
        "tuple_returned",
        "returns mu as well",
        "wrong_number_of_values",
        lambda m, v: (m + sigma(v) * torch.randn_like(m), m),
    ),
):
    varies = "its spread is right but for a few far draws, and those are luck" if name == "student_t" else ""
    BANK.formula(name, about, f, cause, varies)


@BANK.wrong("samples under no_grad", "no_grad")
def without_grad(mu, logvar):
    with torch.no_grad():
        return mu + sigma(logvar) * torch.randn_like(mu)


@BANK.wrong("global seed", "frozen_noise|reseeds")
def seeded(mu, logvar):
    torch.manual_seed(0)
    return mu + sigma(logvar) * torch.randn_like(mu)


@BANK.wrong("generator of its own with a fixed seed", "frozen_noise")
def own_generator(mu, logvar):
    return mu + sigma(logvar) * torch.randn(mu.shape, generator=torch.Generator().manual_seed(1), dtype=mu.dtype)


@BANK.wrong("noise kept for each shape", "frozen_noise")
def kept_noise(mu, logvar):
    if mu.shape not in _KEPT:
        _KEPT[mu.shape] = torch.randn(mu.shape)
    return mu + sigma(logvar) * _KEPT[mu.shape]


@BANK.wrong("seeds, but only NumPy", "reseeds")
def seeds_numpy(mu, logvar):
    np.random.seed(0)
    return mu + sigma(logvar) * torch.randn_like(mu)


@BANK.wrong("seeded and restored", "frozen_noise")
def forked(mu, logvar):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return mu + sigma(logvar) * torch.randn_like(mu)


@BANK.wrong("second half of the batch mirrors the first", "dependent_rows")
def antithetic(mu, logvar):
    n = len(mu)
    half = torch.randn((n + 1) // 2, mu.shape[1], dtype=mu.dtype)
    return mu + sigma(logvar) * torch.cat([half, -half])[:n]


@BANK.wrong("even dimensions repeat odd ones", "dependent_columns")
def repeated_columns(mu, logvar):
    d = mu.shape[1]
    half = torch.randn(len(mu), (d + 1) // 2, dtype=mu.dtype)
    return mu + sigma(logvar) * torch.cat([half, half], 1)[:, :d]


@BANK.wrong("noise with a common part over the batch", "dependent_rows")
def common_part(mu, logvar):
    eps = math.sqrt(0.7) * torch.randn_like(mu) + math.sqrt(0.3) * torch.randn_like(mu[:1])
    return mu + sigma(logvar) * eps


@BANK.wrong("exp in place on logvar", "changes_arguments")
def in_place(mu, logvar):
    logvar.mul_(0.5).exp_()
    return mu + logvar * torch.randn_like(mu)


@BANK.wrong("in place behind autograd's back", "changes_arguments")
def in_place_data(mu, logvar):
    z = mu + sigma(logvar) * torch.randn_like(mu)
    mu.data += 0.1
    return z


@BANK.wrong("NumPy result", "numpy_result")
def with_numpy(mu, logvar):
    return np.random.normal(mu.detach().numpy(), np.exp(logvar.detach().numpy() / 2))


@BANK.wrong("written for one batch size and dimension", "wrong_shape")
def fixed_shape(mu, logvar):
    return mu + sigma(logvar) * torch.randn(64, 10)


@BANK.wrong("noise put on the sphere", "not_normal|normalised_noise")
def sphere(mu, logvar):
    eps = torch.nn.functional.normalize(torch.randn_like(mu), dim=1) * math.sqrt(mu.shape[1])
    return mu + sigma(logvar) * eps


@BANK.wrong("noise centred over the batch", "dependent_rows|normalised_noise")
def centred(mu, logvar):
    eps = torch.randn_like(mu)
    return mu + sigma(logvar) * (eps - eps.mean(0) if len(mu) > 1 else eps)


@BANK.wrong("clipped at 3.4", "not_normal|clipped_noise")
def clipped_far(mu, logvar):
    return mu + sigma(logvar) * torch.randn_like(mu).clamp(-3.4, 3.4)


@BANK.wrong("one of four seeds", "reseeds|frozen_noise|")
def few_seeds(mu, logvar):
    torch.manual_seed(int(torch.randint(4, ())))
    return mu + sigma(logvar) * torch.randn_like(mu)


@BANK.wrong("right value, wrong gradient")
def scaled_gradient(mu, logvar):
    z = mu + sigma(logvar) * torch.randn_like(mu)
    return z.detach() + 1.5 * (z - z.detach())


@BANK.wrong("uniform noise where gradients are asked for", "uniform_noise")
def uniform_in_training(mu, logvar):
    eps = math.sqrt(12) * (torch.rand_like(mu) - 0.5) if mu.requires_grad else torch.randn_like(mu)
    return mu + sigma(logvar) * eps


@BANK.wrong("noise kept for each shape where gradients are asked for", "frozen_noise")
def kept_in_training(mu, logvar):
    eps = torch.randn_like(mu).detach()
    return mu + sigma(logvar) * (_KEPT.setdefault((mu.shape, mu.dtype), eps) if mu.requires_grad else eps)


@BANK.wrong("a tenth of the noise where gradients are asked for")
def weak_in_training(mu, logvar):
    return mu + sigma(logvar) * torch.randn_like(mu) * (0.1 if logvar.requires_grad else 1.0)


@BANK.wrong("uniform noise for a batch of one")
def uniform_for_one(mu, logvar):
    return mu + sigma(logvar) * (torch.randn_like(mu) if len(mu) > 1 else torch.rand_like(mu))


@BANK.wrong("uniform noise in float64")
def uniform_in_double(mu, logvar):
    eps = torch.rand_like(mu) if mu.dtype == torch.float64 else torch.randn_like(mu)
    return mu + sigma(logvar) * eps


@BANK.wrong("noise divided by its own root mean square", "normalised_noise|not_normal")
def normalised(mu, logvar):
    eps = torch.randn_like(mu)
    return mu + sigma(logvar) * eps / eps.square().mean().sqrt()


@BANK.wrong("every dimension of the noise divided by its own root mean square", "normalised_noise|not_normal")
def normalised_columns(mu, logvar):
    eps = torch.randn_like(mu)
    return mu + sigma(logvar) * (eps / eps.square().mean(0).sqrt() if len(mu) > 1 else eps)


@BANK.wrong("noise for 4096 images, used again beyond them", "dependent_rows")
def tiled(mu, logvar):
    eps = torch.randn(4096, mu.shape[1], dtype=mu.dtype)
    return mu + sigma(logvar) * eps[torch.arange(len(mu)) % 4096]


@BANK.wrong("two kept noises in turn", "frozen_noise")
def two_in_turn(mu, logvar):
    kept = _KEPT.setdefault(("pair", mu.shape, mu.dtype), [torch.randn_like(mu).detach() for _ in range(2)])
    kept.reverse()
    return mu + sigma(logvar) * kept[0]


@BANK.wrong("noise of an image leans on that of the one before", "dependent_rows")
def smoothed_over_images(mu, logvar):
    eps = torch.randn(len(mu) + 1, mu.shape[1], dtype=mu.dtype)
    return mu + sigma(logvar) * (eps[1:] + 0.3 * eps[:-1]) / math.sqrt(1.09)


@BANK.wrong("noise of a dimension leans on that of the one before", "dependent_columns")
def smoothed_over_dimensions(mu, logvar):
    eps = torch.randn(len(mu), mu.shape[1] + 1, dtype=mu.dtype)
    return mu + sigma(logvar) * (eps[:, 1:] + 0.3 * eps[:, :-1]) / math.sqrt(1.09)


@BANK.wrong("sigma learns in the first eight dimensions only")
def gradient_of_eight(mu, logvar):
    return mu + sigma(torch.cat([logvar[:, :8], logvar[:, 8:].detach()], 1)) * torch.randn_like(mu)


@BANK.wrong("sigma learns in small batches only", "detached_logvar")
def gradient_of_small_batches(mu, logvar):
    return mu + sigma(logvar.detach() if len(mu) > 64 else logvar) * torch.randn_like(mu)


@BANK.wrong("sigma learns between exp(-2) and exp(1.5) only")
def gradient_of_middling(mu, logvar):
    far = (logvar < -4) | (logvar > 3)
    return mu + sigma(torch.where(far, logvar.detach(), logvar)) * torch.randn_like(mu)


# right


@BANK.right("randn_like")
def usual(mu, logvar):
    return mu + torch.exp(logvar / 2) * torch.randn_like(mu)


@BANK.right("torch.distributions, rsample")
def distributions(mu, logvar):
    return D.Normal(mu, logvar.exp().sqrt()).rsample()


@BANK.right("Independent rsample")
def independent(mu, logvar):
    return D.Independent(D.Normal(mu, torch.exp(0.5 * logvar)), 1).rsample()


@BANK.right("torch.normal for eps, in-place on temporaries")
def in_place_temporaries(mu, logvar):
    eps = torch.empty_like(mu).normal_()
    return eps.mul(logvar.mul(0.5).exp()).add(mu)


@BANK.right("loop over images")
def loop(mu, logvar):
    return torch.stack(
        [m + v.mul(0.5).exp() * torch.randn(m.shape, dtype=m.dtype, device=m.device) for m, v in zip(mu, logvar)]
    )


@BANK.right("einsum")
def einsum(mu, logvar):
    return mu + torch.einsum("nd,nd->nd", sigma(logvar), torch.randn_like(mu))


@BANK.right("NumPy noise")
def numpy_noise(mu, logvar):
    return mu + sigma(logvar) * torch.from_numpy(np.random.randn(*mu.shape)).to(mu)


@BANK.right("Box-Muller")
def box_muller(mu, logvar):
    u, w = torch.rand_like(mu, dtype=torch.float64), torch.rand_like(mu, dtype=torch.float64)
    return mu + sigma(logvar) * ((-2 * torch.log(1 - u)).sqrt() * torch.cos(2 * math.pi * w)).to(mu.dtype)


@BANK.right("float64 inside")
def double(mu, logvar):
    return (mu.double() + sigma(logvar.double()) * torch.randn_like(mu.double())).to(mu.dtype)


@BANK.wrong("float64 out", "other_dtype")
def double_out(mu, logvar):
    return mu.double() + sigma(logvar.double()) * torch.randn_like(mu.double())


@BANK.right("bfloat16 inside")
def half_precision(mu, logvar):
    m, v = mu.bfloat16(), logvar.bfloat16()
    return (m + torch.exp(v / 2) * torch.randn_like(m)).to(mu.dtype)


@BANK.right("generator of its own, freshly seeded once")
def own_generator_once(mu, logvar):
    return mu + sigma(logvar) * torch.randn(mu.shape, generator=_GENERATOR, dtype=mu.dtype)


_GENERATOR = torch.Generator()
_GENERATOR.seed()


@BANK.right("addcmul")
def addcmul(mu, logvar):
    return torch.addcmul(mu, (0.5 * logvar).exp(), torch.randn(mu.size(), dtype=mu.dtype, device=mu.device))


@BANK.right("logvar clamped to [-30, 20], as diffusion libraries do")
def clamped_far_out(mu, logvar):
    return mu + sigma(logvar.clamp(-30.0, 20.0)) * torch.randn_like(mu)


@BANK.right("a full covariance matrix for each image")
def full_covariance(mu, logvar):
    return D.MultivariateNormal(mu, torch.diag_embed(logvar.exp())).rsample()


@BANK.right("pure Python's noise, a number at a time")
def number_by_number(mu, logvar):
    eps = [[random.gauss(0.0, 1.0) for _ in row] for row in mu.tolist()]
    return mu + sigma(logvar) * torch.tensor(eps, dtype=mu.dtype, device=mu.device)


@BANK.wrong("every axis of length one squeezed", "squeezed|wrong_shape")
def squeezed(mu, logvar):
    return (mu + sigma(logvar) * torch.randn_like(mu)).squeeze()
