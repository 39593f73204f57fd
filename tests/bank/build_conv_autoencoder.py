"""(encoder, decoder) of 64x64 pictures, with convolutions."""

from __future__ import annotations

import torch
from torch import nn

from course_utils import models

from .entries import Bank

BANK = Bank("build_conv_autoencoder")
_KEPT: dict = {}


def encoder(c, d, *, widths=(8, 16, 32), act=nn.ReLU, first=(), end=(), outputs=None, k=4, p=1):
    layers, before = list(first), c
    for width in widths:
        layers += [nn.Conv2d(before, width, k, stride=2, padding=p), act()]
        before = width
    side = 64 // 2 ** len(widths)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side * side, outputs or d), *end)


def decoder(c, d, *, widths=(32, 16, 8), act=nn.ReLU, end=(), outputs=None, k=4, p=1):
    side, layers = 64 // 2 ** len(widths), []
    for before, after in zip(widths, [*widths[1:], outputs or c]):
        layers += [nn.ConvTranspose2d(before, after, k, stride=2, padding=p), act()]
    return nn.Sequential(
        nn.Linear(d, widths[0] * side * side), act(), nn.Unflatten(1, (widths[0], side, side)), *layers[:-1], *end
    )


def pair(c, d, **options):
    return encoder(c, d, **options), decoder(c, d, **options)


class Through(nn.Module):
    """A function before or after a module."""

    def __init__(self, module, before=lambda x: x, after=lambda x: x):
        super().__init__()
        self.module, self.before, self.after = module, before, after

    def forward(self, x):
        return self.after(self.module(self.before(x)))


class Listed(nn.Module):
    """Convolutions in a plain list, which nn.Module does not see."""

    def __init__(self, c, d):
        super().__init__()
        self.layers = [nn.Conv2d(c, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.ReLU()]
        self.kept, self.out = nn.Conv2d(8, 8, 4, 2, 1), nn.Linear(512, d)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.out(self.kept(x).relu().flatten(1))


class Cut(nn.Module):
    def __init__(self, c, d):
        super().__init__()
        self.features, self.out = nn.Sequential(nn.Conv2d(c, 8, 4, 4), nn.ReLU(), nn.Flatten()), nn.Linear(2048, d)

    def forward(self, x):
        return self.out(self.features(x).detach())


class Unused(nn.Module):
    """A convolution that forward forgets."""

    def __init__(self, c, module):
        super().__init__()
        self.convolution, self.module = nn.Conv2d(c, 8, 4, 2, 1), module

    def forward(self, x):
        return self.module(x)


class Excitation(nn.Module):
    """Channels weighted by what is in them (Hu et al. 2018)."""

    def __init__(self, c):
        super().__init__()
        self.weights = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, c // 4, 1), nn.ReLU(), nn.Conv2d(c // 4, c, 1), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.weights(x)


def frozen(module):
    next(module.parameters()).requires_grad_(False)
    return module


def flat_mlp(c, d):
    n = c * 64 * 64
    return (
        nn.Sequential(nn.Flatten(), nn.Linear(n, 64), nn.ReLU(), nn.Linear(64, d)),
        nn.Sequential(nn.Linear(d, 64), nn.ReLU(), nn.Linear(64, n), nn.Unflatten(1, (c, 64, 64))),
    )


for name, about, cause, f in (
    ("swapped", "(decoder, encoder)", "order_swapped", lambda c, d: pair(c, d)[::-1]),
    ("colour_only", "3 channels written in", "channels_fixed", lambda c, d: pair(3, d)),
    ("grey_only", "1 channel written in", "channels_fixed", lambda c, d: pair(1, d)),
    ("decoder_colour", "the decoder draws 3 channels", "channels_fixed", lambda c, d: (encoder(c, d), decoder(3, d))),
    ("fixed_code", "codes of 128 numbers", "latent_fixed", lambda c, d: pair(c, 128)),
    ("fixed_code_in", "the decoder wants 128 numbers", "latent_fixed", lambda c, d: (encoder(c, d), decoder(c, 128))),
    ("doubled_code", "mu and logvar", "latent_fixed", lambda c, d: (encoder(c, d, outputs=2 * d), decoder(c, d))),
    (
        "not_flat",
        "codes with height and width",
        "code_not_flat",
        lambda c, d: (nn.Sequential(encoder(c, d), nn.Unflatten(1, (d, 1, 1))), decoder(c, d)),
    ),
    ("flat_logits", "logits as rows", "flat_logits", lambda c, d: (encoder(c, d), decoder(c, d, end=[nn.Flatten()]))),
    ("small_logits", "32x32", "wrong_side", lambda c, d: (encoder(c, d), decoder(c, d, end=[nn.AvgPool2d(2)]))),
    (
        "large_logits",
        "128x128",
        "wrong_side",
        lambda c, d: (encoder(c, d), decoder(c, d, end=[nn.Upsample(scale_factor=2)])),
    ),
    (
        "for_digits",
        "28x28 pictures",
        None,
        lambda c, d: (
            nn.Sequential(nn.Conv2d(c, 16, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 14 * 14, d)),
            decoder(c, d),
        ),
    ),
    ("mlp", "no convolutions", "no_convolutions|skips_pixels", flat_mlp),
    ("mlp_encoder", "linear layers in the encoder", "no_convolutions", lambda c, d: (flat_mlp(c, d)[0], decoder(c, d))),
    (
        "unused",
        "convolutions that forward does not call",
        "unused_convolutions",
        lambda c, d: tuple(Unused(c, module) for module in flat_mlp(c, d)),
    ),
    (
        "colour_blind",
        "the channels are averaged first",
        "colour_blind",
        lambda c, d: (Through(encoder(1, d), before=lambda x: x.mean(1, keepdim=True)), decoder(c, d)),
    ),
    (
        "batch_statistics",
        "pictures standardised by the whole batch",
        "other_pictures",
        lambda c, d: (Through(encoder(c, d), before=lambda x: (x - x.mean()) / (x.std() + 1e-6)), decoder(c, d)),
    ),
    (
        "huge",
        "68 M parameters, as in the original",
        "too_many_parameters",
        lambda c, d: (
            pair(c, d, widths=(32, 64, 128))
            if d < 100
            else (
                encoder(c, d, widths=(64, 128)),
                nn.Sequential(
                    nn.Linear(d, 64 * 32 * 32),
                    nn.ReLU(),
                    nn.Unflatten(1, (64, 32, 32)),
                    nn.ConvTranspose2d(64, c, 4, 2, 1),
                ),
            )
        ),
    ),
    (
        "enormous",
        "a hidden layer of 1024 on full-size maps",
        "too_many_parameters",
        lambda c, d: (
            nn.Sequential(
                nn.Conv2d(c, 16, 3, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(16 * 4096, 256),
                nn.ReLU(),
                nn.Linear(256, d),
            ),
            decoder(c, d),
        ),
    ),
    (
        "large_linear",
        "one halving, then linear",
        "too_many_parameters",
        lambda c, d: (
            nn.Sequential(nn.Conv2d(c, 48, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48 * 32 * 32, d)),
            decoder(c, d),
        ),
    ),
    ("linear", "no nonlinearity", "no_nonlinearity", lambda c, d: pair(c, d, act=nn.Identity)),
    (
        "linear_decoder",
        "no nonlinearity in the decoder",
        "no_nonlinearity",
        lambda c, d: (encoder(c, d), decoder(c, d, act=nn.Identity)),
    ),
    (
        "sigmoid_end",
        "decoder ends in a sigmoid",
        "bounded_output",
        lambda c, d: (encoder(c, d), decoder(c, d, end=[nn.Sigmoid()])),
    ),
    (
        "tanh_end",
        "decoder ends in tanh",
        "bounded_output",
        lambda c, d: (encoder(c, d), decoder(c, d, end=[nn.Tanh()])),
    ),
    ("tanh_code", "codes squashed", "bounded_output", lambda c, d: (encoder(c, d, end=[nn.Tanh()]), decoder(c, d))),
    (
        "relu_code",
        "codes cut at zero",
        "one_sided_output",
        lambda c, d: (encoder(c, d, end=[nn.ReLU()]), decoder(c, d)),
    ),
    (
        "relu_end",
        "logits cut at zero",
        "one_sided_output",
        lambda c, d: (encoder(c, d), decoder(c, d, end=[nn.ReLU()])),
    ),
    (
        "gaps",
        "kernel 1, stride 2",
        "skips_pixels|no_convolutions",
        lambda c, d: (encoder(c, d, k=1, p=0), decoder(c, d)),
    ),
    (
        "crop",
        "only the middle is seen",
        "skips_pixels",
        lambda c, d: (
            nn.Sequential(nn.ZeroPad2d(-16), *encoder(c, d, widths=(8, 16))[:-1], nn.Linear(16 * 64, d)),
            decoder(c, d),
        ),
    ),
    (
        "first_channel",
        "only the first channel is seen",
        "skips_channels|frozen_parameters",
        lambda c, d: (Through(encoder(1, d), before=lambda x: x[:, :1]), decoder(c, d)),
    ),
    (
        "holes",
        "kernel 2, stride 4",
        "pixels_never_drawn",
        lambda c, d: (
            encoder(c, d),
            nn.Sequential(
                nn.Linear(d, 16 * 256),
                nn.ReLU(),
                nn.Unflatten(1, (16, 16, 16)),
                nn.ConvTranspose2d(16, c, 2, stride=4, output_padding=2),
            ),
        ),
    ),
    (
        "grey",
        "one channel, repeated",
        "same_channels",
        lambda c, d: (encoder(c, d), Through(decoder(1, d), after=lambda x: x.expand(-1, c, -1, -1))),
    ),
    ("one_module", "one Sequential", "wrong_number_of_values", lambda c, d: nn.Sequential(*pair(c, d))),
    ("nothing", "nothing returned", "returns_none|wrong_number_of_values", lambda c, d: None),
    ("kept", "the same modules at each call", "shared_modules", lambda c, d: _KEPT.setdefault((c, d), pair(c, d))),
    ("plain_list", "convolutions in a Python list", "unregistered_layers", lambda c, d: (Listed(c, d), decoder(c, d))),
    (
        "noisy",
        "noise on the codes",
        "random_output|",
        lambda c, d: (Through(encoder(c, d), after=lambda z: z + 0.1 * torch.randn_like(z)), decoder(c, d)),
    ),
    (
        "detached",
        "detach in the forward pass",
        "frozen_parameters|skips_pixels",
        lambda c, d: (Cut(c, d), decoder(c, d)),
    ),
    ("frozen", "requires_grad off", "frozen_parameters", lambda c, d: (frozen(encoder(c, d)), decoder(c, d))),
    ("seeds", "seeds torch", "reseeds", lambda c, d: (torch.manual_seed(0), pair(c, d))[1]),
):
    BANK.formula(name, about, f, cause)


@BANK.right("strided convolutions with ReLU")
def strided(channels, latent_dim):
    return pair(channels, latent_dim)


@BANK.right("the course's own network")
def space_to_depth(channels, latent_dim):
    return models.conv_networks(channels, latent_dim, latent_dim)


@BANK.right("batch normalisation, tanh, list returned")
def normalised(channels, latent_dim):
    def act(width):
        return [nn.BatchNorm2d(width), nn.Tanh()]

    down = nn.Sequential(
        nn.Conv2d(channels, 12, 3, 2, 1, bias=False),
        *act(12),
        nn.Conv2d(12, 24, 3, 2, 1, bias=False),
        *act(24),
        nn.Conv2d(24, 32, 3, 2, 1),
        *act(32),
        nn.Flatten(),
        nn.Linear(32 * 64, latent_dim),
    )
    up = nn.Sequential(
        nn.Linear(latent_dim, 32 * 64),
        nn.Unflatten(1, (32, 8, 8)),
        nn.ConvTranspose2d(32, 24, 3, 2, 1, output_padding=1),
        *act(24),
        nn.ConvTranspose2d(24, 12, 3, 2, 1, output_padding=1),
        *act(12),
        nn.ConvTranspose2d(12, channels, 3, 2, 1, output_padding=1),
    )
    return [down, up]


@BANK.right("pooling down, upsampling up")
def pooled(channels, latent_dim):
    down = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.LeakyReLU(),
        nn.MaxPool2d(4),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.LeakyReLU(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(256, latent_dim),
    )
    up = nn.Sequential(
        nn.Linear(latent_dim, 256),
        nn.SiLU(),
        nn.Unflatten(1, (16, 4, 4)),
        nn.Upsample(scale_factor=4),
        nn.Conv2d(16, 8, 3, padding=1),
        nn.SiLU(),
        nn.Upsample(scale_factor=4, mode="bilinear"),
        nn.Conv2d(8, channels, 3, padding=1),
    )
    return down, up


@BANK.right("lazy layers")
def lazy(channels, latent_dim):
    down = nn.Sequential(
        nn.LazyConv2d(16, 5, 2, 2),
        nn.ELU(),
        nn.LazyConv2d(32, 5, 2, 2),
        nn.ELU(),
        nn.LazyConv2d(32, 5, 2, 2),
        nn.ELU(),
        nn.Flatten(),
        nn.LazyLinear(latent_dim),
    )
    up = nn.Sequential(
        nn.LazyLinear(1024),
        nn.GELU(),
        nn.Unflatten(1, (16, 8, 8)),
        nn.LazyConvTranspose2d(16, 4, 2, 1),
        nn.GELU(),
        nn.LazyConvTranspose2d(8, 4, 2, 1),
        nn.GELU(),
        nn.LazyConvTranspose2d(channels, 4, 2, 1),
    )
    return down, up


@BANK.right("codes from a convolution over the whole map, decoder from 1x1")
def fully_convolutional(channels, latent_dim):
    down = nn.Sequential(*encoder(channels, latent_dim)[:6], nn.Conv2d(32, latent_dim, 8), nn.Flatten())
    up = nn.Sequential(
        nn.Unflatten(1, (latent_dim, 1, 1)),
        nn.ConvTranspose2d(latent_dim, 32, 8),
        nn.ReLU(),
        *decoder(channels, latent_dim)[3:],
    )
    return down, up


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x):
        return torch.relu(x + self.body(x))


@BANK.right("residual blocks, dropout, zero-initialised last layer")
def residual(channels, latent_dim):
    down = nn.Sequential(
        nn.Conv2d(channels, 16, 4, 4),
        Residual(16),
        nn.Conv2d(16, 16, 4, 4),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(256, latent_dim),
    )
    up = decoder(channels, latent_dim)
    nn.init.zeros_(up[-1].weight), nn.init.zeros_(up[-1].bias)
    return down, up


@BANK.right("4.9 M parameters where 128 latent dimensions are asked for")
def as_large_as_allowed(channels, latent_dim):
    options = {"widths": (64, 128, 128, 256)} if latent_dim >= 100 else {}
    return encoder(channels, latent_dim, **options), decoder(
        channels, latent_dim, **{key: tuple(reversed(value)) for key, value in options.items()}
    )


@BANK.right("squeeze and excitation")
def excitation(channels, latent_dim):
    down, up = encoder(channels, latent_dim, widths=(16, 32, 32)), decoder(channels, latent_dim, widths=(32, 32, 16))
    return (
        nn.Sequential(*down[:2], Excitation(16), *down[2:4], Excitation(32), *down[4:]),
        nn.Sequential(*up[:5], Excitation(32), *up[5:7], Excitation(16), *up[7:]),
    )
