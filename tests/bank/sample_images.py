"""Images in [0, 1] decoded from z ~ N(0, I)."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import distributions as D

from .entries import Bank

BANK = Bank("sample_images")


def device_of(decoder):
    return next(decoder.parameters()).device


def sampler(make_z=lambda n, d: torch.randn(n, d), finish=torch.sigmoid, mode="restore", grad=False):
    """`sample_images` with one thing changed."""

    def sample_images(decoder, num_images, latent_dim):
        was = decoder.training
        if mode != "training":
            decoder.eval()
        with torch.set_grad_enabled(grad):
            images = finish(decoder(make_z(num_images, latent_dim).to(device_of(decoder))))
        if mode == "restore":
            decoder.train(was)
        elif mode == "to_train":
            decoder.train()
        return images

    return sample_images


for name, about, cause, function in (
    ("logits", "sigmoid forgotten", "no_sigmoid", sampler(finish=lambda a: a)),
    ("sigmoid_twice", "sigmoid twice", "sigmoid_twice", sampler(finish=lambda a: a.sigmoid().sigmoid())),
    ("clamped", "logits clamped", "clamped_logits", sampler(finish=lambda a: a.clamp(0, 1))),
    ("tanh", "tanh for sigmoid", "tanh_for_sigmoid", sampler(finish=torch.tanh)),
    ("softmax", "softmax for sigmoid", "softmax", sampler(finish=lambda a: a.flatten(1).softmax(1).view_as(a))),
    ("min_max", "stretched to [0, 1]", None, sampler(finish=lambda a: (a - a.min()) / (a.max() - a.min() + 1e-9))),
    ("bernoulli", "pixels drawn", "samples_pixels", sampler(finish=lambda a: torch.bernoulli(a.sigmoid()))),
    ("rounded", "pixels rounded", "samples_pixels", sampler(finish=lambda a: a.sigmoid().round())),
    ("uint8", "bytes", "not_floating", sampler(finish=lambda a: (a.sigmoid() * 255).to(torch.uint8))),
    ("inverted", "1 - sigmoid", "inverted", sampler(finish=lambda a: 1 - a.sigmoid())),
    ("flattened", "shape lost", "wrong_shape", sampler(finish=lambda a: a.sigmoid().flatten())),
    ("viewed", "shape written in", "wrong_shape", sampler(finish=lambda a: a.sigmoid().view(-1, 1, 28, 28))),
    ("numpy", "NumPy array", "numpy_result", sampler(finish=lambda a: a.sigmoid().numpy())),
    ("uniform", "rand for randn", "uniform_noise", sampler(lambda n, d: torch.rand(n, d))),
    ("uniform_symmetric", "uniform on [-1, 1]", "uniform_noise", sampler(lambda n, d: 2 * torch.rand(n, d) - 1)),
    (
        "uniform_unit_variance",
        "uniform of unit variance",
        "uniform_noise",
        sampler(lambda n, d: (torch.rand(n, d) - 0.5) * math.sqrt(12)),
    ),
    ("wide", "standard deviation 2", "wrong_prior_scale", sampler(lambda n, d: 2 * torch.randn(n, d))),
    ("narrow", "standard deviation 0.7", "wrong_prior_scale", sampler(lambda n, d: 0.7 * torch.randn(n, d))),
    ("shifted", "mean 0.3", "wrong_prior_mean", sampler(lambda n, d: 0.3 + torch.randn(n, d))),
    ("absolute", "|z|", "absolute_noise", sampler(lambda n, d: torch.randn(n, d).abs())),
    ("clipped", "z clipped at 2", "clipped_noise", sampler(lambda n, d: torch.randn(n, d).clamp(-2, 2))),
    (
        "normalised",
        "z on the sphere",
        "wrong_prior_scale",
        sampler(lambda n, d: torch.nn.functional.normalize(torch.randn(n, d), dim=1)),
    ),
    ("zeros", "z = 0", "frozen_noise", sampler(lambda n, d: torch.zeros(n, d))),
    ("same_image", "one z", "same_image", sampler(lambda n, d: torch.randn(1, d).expand(n, d))),
    (
        "same_dims",
        "one number per image",
        "noise_shared_over_dimensions",
        sampler(lambda n, d: torch.randn(n, 1).expand(n, d)),
    ),
    (
        "mirrored",
        "half of the batch mirrored",
        "dependent_rows",
        sampler(lambda n, d: torch.cat([h := torch.randn((n + 1) // 2, d), -h])[:n]),
    ),
    (
        "seeded",
        "fixed seed",
        "frozen_noise",
        sampler(lambda n, d: torch.randn(n, d, generator=torch.Generator().manual_seed(0))),
    ),
    ("training_mode", "eval forgotten", "training_mode", sampler(mode="training")),
    ("left_in_eval", "mode not restored", "left_in_eval", sampler(mode="leave")),
    ("always_train", "set to training afterwards", "left_in_train", sampler(mode="to_train")),
    ("keeps_graph", "no_grad forgotten", "keeps_graph", sampler(grad=True)),
    ("one_more", "one image too many", "wrong_shape", sampler(lambda n, d: torch.randn(n + 1, d))),
    ("one_image", "a single image", "wrong_shape", sampler(lambda n, d: torch.randn(1, d))),
    (
        "clamped_if_4d",
        "logits of pictures clamped",
        "clamped_logits",
        sampler(finish=lambda a: a.clamp(0, 1) if a.dim() > 2 else a.sigmoid()),
    ),
    (
        "softmax_if_4d",
        "softmax over the channels of pictures",
        "softmax",
        sampler(finish=lambda a: a.softmax(1) if a.dim() > 2 else a.sigmoid()),
    ),
    (
        "bernoulli_if_4d",
        "pixels of pictures drawn",
        "samples_pixels",
        sampler(finish=lambda a: torch.bernoulli(a.sigmoid()) if a.dim() > 2 else a.sigmoid()),
    ),
    (
        "clamped_at_4.5",
        "logits clamped at 4.5 before the sigmoid",
        None,
        sampler(finish=lambda a: a.clamp(-4.5, 4.5).sigmoid()),
    ),
    ("two_per_cent", "pixels between 0.02 and 0.98", None, sampler(finish=lambda a: a.sigmoid().clamp(0.02, 0.98))),
    ("axes_swapped", "(latent_dim, num_images)", "shape_of_z", sampler(lambda n, d: torch.randn(d, n))),
):
    BANK.formula(name, about, function, cause)


@BANK.wrong("seeds torch", "frozen_noise|reseeds")
def global_seed(decoder, num_images, latent_dim):
    torch.manual_seed(0)
    return sampler()(decoder, num_images, latent_dim)


@BANK.wrong("restores the flag of the outer module only", "left_in_eval")
def flag_only(decoder, num_images, latent_dim):
    was = decoder.training
    decoder.eval()
    with torch.no_grad():
        images = decoder(torch.randn(num_images, latent_dim)).sigmoid()
    decoder.training = was
    return images


@BANK.wrong("sets the flag of the outer module only", "training_mode")
def eval_flag_only(decoder, num_images, latent_dim):
    was, decoder.training = decoder.training, False
    with torch.no_grad():
        images = decoder(torch.randn(num_images, latent_dim)).sigmoid()
    decoder.training = was
    return images


@BANK.wrong("switches gradients off for good", "leaves_switch")
def grad_off(decoder, num_images, latent_dim):
    was = decoder.training
    torch.set_grad_enabled(False)
    decoder.eval()
    images = decoder(torch.randn(num_images, latent_dim)).sigmoid()
    decoder.train(was)
    return images


@BANK.wrong("freezes the decoder", "freezes")
def freezes(decoder, num_images, latent_dim):
    decoder.requires_grad_(False)
    return sampler()(decoder, num_images, latent_dim)


@BANK.wrong("nothing returned", "returns_none")
def nothing(decoder, num_images, latent_dim):
    sampler()(decoder, num_images, latent_dim)


@BANK.wrong("z centred over the batch")
def centred(decoder, num_images, latent_dim):
    def centred_z(n, d):
        z = torch.randn(n, d)
        return z - z.mean(0) if n > 1 else z

    return sampler(centred_z)(decoder, num_images, latent_dim)


@BANK.wrong("pixels kept away from 0 and 1")
def cautious(decoder, num_images, latent_dim):
    return sampler(finish=lambda a: a.sigmoid().clamp(0.05, 0.95))(decoder, num_images, latent_dim)


@BANK.wrong("a copy in training mode", "training_mode")
def training_copy(decoder, num_images, latent_dim):
    with torch.no_grad():
        return copy.deepcopy(decoder).train()(torch.randn(num_images, latent_dim)).sigmoid()


@BANK.right("as in the text")
def plain(decoder, num_images, latent_dim):
    was = decoder.training
    decoder.eval()
    with torch.no_grad():
        images = torch.sigmoid(decoder(torch.randn(num_images, latent_dim, device=device_of(decoder))))
    decoder.train(was)
    return images


@BANK.right("decorator, try and finally")
@torch.no_grad()
def decorated(decoder, num_images, latent_dim):
    mode = decoder.training
    try:
        return decoder.train(False)(torch.randn((num_images, latent_dim)).to(device_of(decoder))).sigmoid()
    finally:
        decoder.train(mode)


@BANK.right("inference mode")
def inference(decoder, num_images, latent_dim):
    was = decoder.training
    decoder.eval()
    with torch.inference_mode():
        images = decoder(torch.randn(num_images, latent_dim)).sigmoid()
    decoder.train(was)
    return images


@BANK.right("torch.distributions")
def distributions(decoder, num_images, latent_dim):
    modes = {module: module.training for module in decoder.modules()}
    decoder.eval()
    z = D.Normal(torch.zeros(latent_dim), torch.ones(latent_dim)).sample((num_images,))
    images = D.Bernoulli(logits=decoder(z).detach()).probs
    for module, mode in modes.items():
        module.training = mode
    return images


@BANK.right("one image at a time")
def loop(decoder, num_images, latent_dim):
    was = decoder.training
    decoder.eval()
    with torch.no_grad():
        images = torch.cat([decoder(torch.randn(1, latent_dim)).sigmoid() for _ in range(num_images)])
    if was:
        decoder.train()
    return images


@BANK.right("NumPy noise, stable sigmoid by hand")
def numpy_noise(decoder, num_images, latent_dim):
    was = decoder.training
    decoder.eval()
    logits = decoder(torch.tensor(np.random.standard_normal((num_images, latent_dim)), dtype=torch.float32))
    decoder.train(was)
    return (1 / (1 + torch.exp(-logits))).detach()


@BANK.right("float64 images")
def double(decoder, num_images, latent_dim):
    return plain(decoder, num_images, latent_dim).double()


@BANK.right("bfloat16 images")
def half_precision(decoder, num_images, latent_dim):
    return plain(decoder, num_images, latent_dim).bfloat16()
