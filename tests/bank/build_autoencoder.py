"""(encoder, decoder) modules."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from .entries import Bank

BANK = Bank("build_autoencoder")


def mlp(*layers):
    return nn.Sequential(*layers)


_KEPT: dict = {}


class Hidden(nn.Module):
    """Layers in a plain list, which nn.Module does not see."""

    def __init__(self, a, b, c):
        super().__init__()
        self.layers = [nn.Linear(a, b), nn.Linear(b, c)]

    def forward(self, x):
        return self.layers[1](self.layers[0](x).relu())


class HalfHidden(nn.Module):
    def __init__(self, a, b, c):
        super().__init__()
        self.first = [nn.Linear(a, b)]
        self.last = nn.Linear(b, c)
        self.unused = nn.Linear(b, b)

    def forward(self, x):
        return self.last(self.first[0](x).relu())


class Fresh(nn.Module):
    """Makes its first layer anew at each call."""

    def __init__(self, a, b, c):
        super().__init__()
        self.sizes, self.last = (a, b), nn.Linear(b, c)

    def forward(self, x):
        return self.last(nn.Linear(*self.sizes)(x).relu())


class Detached(nn.Module):
    def __init__(self, a, b, c):
        super().__init__()
        self.first, self.last = nn.Linear(a, b), nn.Linear(b, c)

    def forward(self, x):
        return self.last(self.first(x).relu().detach())


def frozen(module):
    for p in list(module.parameters())[:2]:
        p.requires_grad_(False)
    return module


class UnusedLazy(nn.Module):
    def __init__(self, a, b, c):
        super().__init__()
        self.net, self.forgotten = two(a, b, c), nn.LazyLinear(b)

    def forward(self, x):
        return self.net(x)


class TrainsOtherwise(nn.Module):
    """Applies `change` to its output in training mode only."""

    def __init__(self, change, a, b, c):
        super().__init__()
        self.net, self.change = two(a, b, c), change

    def forward(self, x):
        return self.change(self.net(x)) if self.training else self.net(x)


def filled(module, value):
    for p in module.parameters():
        nn.init.constant_(p, value)
    return module


def two(a, b, c, *, act=nn.ReLU, end=()):
    return mlp(nn.Linear(a, b), act(), nn.Linear(b, c), *end)


for name, about, cause, f in (
    (
        "linear",
        "no nonlinearity",
        "no_nonlinearity",
        lambda p, h, l: (mlp(nn.Linear(p, h), nn.Linear(h, l)), mlp(nn.Linear(l, h), nn.Linear(h, p))),
    ),
    (
        "linear_decoder",
        "nonlinearity in the encoder only",
        "no_nonlinearity",
        lambda p, h, l: (two(p, h, l), mlp(nn.Linear(l, h), nn.Linear(h, p))),
    ),
    (
        "linear_encoder",
        "nonlinearity in the decoder only",
        "no_nonlinearity",
        lambda p, h, l: (mlp(nn.Linear(p, h), nn.Linear(h, l)), two(l, h, p)),
    ),
    (
        "identity",
        "nn.Identity for a nonlinearity",
        "no_nonlinearity",
        lambda p, h, l: (two(p, h, l, act=nn.Identity), two(l, h, p)),
    ),
    (
        "dropout_only",
        "dropout for a nonlinearity",
        "no_nonlinearity",
        lambda p, h, l: (two(p, h, l, act=nn.Dropout), two(l, h, p)),
    ),
    (
        "sigmoid_end",
        "decoder ends in a sigmoid",
        "bounded_output",
        lambda p, h, l: (two(p, h, l), two(l, h, p, end=[nn.Sigmoid()])),
    ),
    (
        "tanh_code",
        "codes squashed by tanh",
        "bounded_output",
        lambda p, h, l: (two(p, h, l, end=[nn.Tanh()]), two(l, h, p)),
    ),
    (
        "sigmoid_code",
        "codes squashed by a sigmoid",
        "bounded_output",
        lambda p, h, l: (two(p, h, l, end=[nn.Sigmoid()]), two(l, h, p)),
    ),
    (
        "softmax_code",
        "softmax on the code",
        "bounded_output",
        lambda p, h, l: (two(p, h, l, end=[nn.Softmax(1)]), two(l, h, p)),
    ),
    (
        "relu_code",
        "codes cut at zero",
        "one_sided_output",
        lambda p, h, l: (two(p, h, l, end=[nn.ReLU()]), two(l, h, p)),
    ),
    (
        "relu_logits",
        "logits cut at zero",
        "one_sided_output",
        lambda p, h, l: (two(p, h, l), two(l, h, p, end=[nn.ReLU()])),
    ),
    (
        "softplus_logits",
        "logits positive",
        "one_sided_output",
        lambda p, h, l: (two(p, h, l), two(l, h, p, end=[nn.Softplus()])),
    ),
    ("elu_code", "codes above -1", "one_sided_output", lambda p, h, l: (two(p, h, l, end=[nn.ELU()]), two(l, h, p))),
    (
        "gelu_code",
        "codes through GELU",
        "one_sided_output",
        lambda p, h, l: (two(p, h, l, end=[nn.GELU()]), two(l, h, p)),
    ),
    (
        "leaky_code",
        "codes through a leaky ReLU",
        "one_sided_output",
        lambda p, h, l: (two(p, h, l, end=[nn.LeakyReLU(0.1)]), two(l, h, p)),
    ),
    (
        "no_hidden",
        "single layers",
        "no_hidden_layer|no_nonlinearity",
        lambda p, h, l: (nn.Linear(p, l), nn.Linear(l, p)),
    ),
    (
        "no_hidden_relu",
        "single layers with a relu in front",
        "no_hidden_layer|no_nonlinearity|negative_codes_lost",
        lambda p, h, l: (mlp(nn.ReLU(), nn.Linear(p, l)), mlp(nn.ReLU(), nn.Linear(l, p))),
    ),
    (
        "relu_before_decoder",
        "relu on the codes, then two linear layers",
        "misplaced_nonlinearity|negative_codes_lost",
        lambda p, h, l: (two(p, h, l), mlp(nn.ReLU(), nn.Linear(l, h), nn.Linear(h, p))),
    ),
    (
        "tanh_before_decoder",
        "tanh on the codes, then two linear layers",
        "misplaced_nonlinearity",
        lambda p, h, l: (two(p, h, l), mlp(nn.Tanh(), nn.Linear(l, h), nn.Linear(h, p))),
    ),
    (
        "tanh_before_encoder",
        "tanh on the pixels, then two linear layers",
        "misplaced_nonlinearity",
        lambda p, h, l: (mlp(nn.Tanh(), nn.Linear(p, h), nn.Linear(h, l)), two(l, h, p)),
    ),
    (
        "relu_on_codes_in_decoder",
        "decoder that begins with a relu",
        "negative_codes_lost",
        lambda p, h, l: (two(p, h, l), mlp(nn.ReLU(), two(l, h, p))),
    ),
    (
        "normalised_codes",
        "batch normalisation of the codes",
        "bounded_in_training",
        lambda p, h, l: (two(p, h, l, end=[nn.BatchNorm1d(l)]), two(l, h, p)),
    ),
    (
        "normalised_logits",
        "batch normalisation of the logits",
        "bounded_in_training",
        lambda p, h, l: (two(p, h, l), two(l, h, p, end=[nn.BatchNorm1d(p)])),
    ),
    (
        "dropout_on_codes",
        "dropout on the codes",
        "dropout_on_output",
        lambda p, h, l: (two(p, h, l, end=[nn.Dropout(0.5)]), two(l, h, p)),
    ),
    (
        "dropout_on_logits",
        "dropout on the logits",
        "dropout_on_output",
        lambda p, h, l: (two(p, h, l), two(l, h, p, end=[nn.Dropout(0.2)])),
    ),
    (
        "dropout_of_everything",
        "dropout with p = 1 between the layers",
        None,
        lambda p, h, l: (mlp(nn.Linear(p, h), nn.ReLU(), nn.Dropout(1.0), nn.Linear(h, l)), two(l, h, p)),
    ),
    (
        "inplace_dropout",
        "dropout in place after a relu in place",
        "inplace_in_training",
        lambda p, h, l: (
            mlp(nn.Linear(p, h), nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True), nn.Linear(h, l)),
            two(l, h, p),
        ),
    ),
    (
        "all_zero",
        "all parameters start at zero",
        "initialisation",
        lambda p, h, l: (filled(two(p, h, l), 0.0), filled(two(l, h, p), 0.0)),
    ),
    (
        "all_equal",
        "all parameters start at 0.1",
        "initialisation",
        lambda p, h, l: (filled(two(p, h, l), 0.1), filled(two(l, h, p), 0.1)),
    ),
    (
        "width_at_most_64",
        "hidden width limited to 64",
        "no_hidden_layer",
        lambda p, h, l: (two(p, min(h, 64), l), two(l, min(h, 64), p)),
    ),
    ("unused_lazy", "a lazy layer that is not used", None, lambda p, h, l: (UnusedLazy(p, h, l), two(l, h, p))),
    (
        "detached_in_training",
        "detach in training mode",
        "frozen_parameters",
        lambda p, h, l: (TrainsOtherwise(torch.Tensor.detach, p, h, l), two(l, h, p)),
    ),
    (
        "tanh_in_training",
        "codes squashed in training mode",
        "bounded_in_training",
        lambda p, h, l: (TrainsOtherwise(torch.tanh, p, h, l), two(l, h, p)),
    ),
    ("other_width", "hidden width written in", "no_hidden_layer", lambda p, h, l: (two(p, 128, l), two(l, 128, p))),
    ("half_width", "half of hidden_dim", "no_hidden_layer", lambda p, h, l: (two(p, h // 2, l), two(l, h // 2, p))),
    (
        "decoder_width",
        "decoder without hidden layer",
        "no_hidden_layer",
        lambda p, h, l: (two(p, h, l), mlp(nn.Tanh(), nn.Linear(l, p))),
    ),
    ("fixed_pixels", "784 written in", "sizes_fixed", lambda p, h, l: (two(784, h, l), two(l, h, 784))),
    ("fixed_latent", "64 written in", "sizes_fixed|wrong_shape", lambda p, h, l: (two(p, h, 64), two(64, h, p))),
    ("swapped", "(decoder, encoder)", "order_swapped", lambda p, h, l: (two(l, h, p), two(p, h, l))),
    (
        "decoder_to_latent",
        "decoder ends in the latent width",
        "wrong_shape",
        lambda p, h, l: (two(p, h, l), two(l, h, l)),
    ),
    ("hidden_latent_mixed", "latent and hidden exchanged", "wrong_shape", lambda p, h, l: (two(p, l, h), two(h, l, p))),
    ("one_module", "one Sequential", "wrong_number_of_values", lambda p, h, l: mlp(two(p, h, l), two(l, h, p))),
    ("three", "three modules", "wrong_number_of_values", lambda p, h, l: (two(p, h, l), two(l, h, p), nn.Sigmoid())),
    ("classes", "classes, not instances", None, lambda p, h, l: (nn.Sequential, nn.Sequential)),
    (
        "kept",
        "the same modules at each call",
        "shared_modules",
        lambda p, h, l: _KEPT.setdefault((p, h, l), (two(p, h, l), two(l, h, p))),
    ),
    (
        "plain_list",
        "layers in a Python list",
        "unregistered_layers|no_hidden_layer",
        lambda p, h, l: (Hidden(p, h, l), Hidden(l, h, p)),
    ),
    (
        "half_list",
        "first layer in a Python list",
        "unregistered_layers",
        lambda p, h, l: (HalfHidden(p, h, l), HalfHidden(l, h, p)),
    ),
    ("fresh_layers", "layers made in forward", "random_output", lambda p, h, l: (Fresh(p, h, l), two(l, h, p))),
    ("detached", "detach in the forward pass", "frozen_parameters", lambda p, h, l: (Detached(p, h, l), two(l, h, p))),
    ("frozen", "requires_grad off", "frozen_parameters", lambda p, h, l: (frozen(two(p, h, l)), two(l, h, p))),
    (
        "expects_images",
        "flattening of 28 x 28",
        None,
        lambda p, h, l: (mlp(nn.Unflatten(1, (1, 28, 28)), nn.Flatten(), two(p, h, l)), two(l, h, p)),
    ),
    (
        "pixel_output_image",
        "logits as images",
        "wrong_shape",
        lambda p, h, l: (two(p, h, l), mlp(two(l, h, p), nn.Unflatten(1, (1, p)))),
    ),
    (
        "norm_end",
        "normalised codes",
        None,
        lambda p, h, l: (mlp(two(p, h, l), nn.LayerNorm(l, elementwise_affine=False)), two(l, h, p)),
    ),
    ("seeds", "seeds torch", "reseeds", lambda p, h, l: (torch.manual_seed(0), (two(p, h, l), two(l, h, p)))[1]),
):
    BANK.formula(name, about, f, cause)


@BANK.wrong("relu on the pixels, then two linear layers", "misplaced_nonlinearity")
def relu_first(num_pixels, hidden_dim, latent_dim):
    encoder = mlp(nn.ReLU(), nn.Linear(num_pixels, hidden_dim), nn.Linear(hidden_dim, latent_dim))
    return encoder, two(latent_dim, hidden_dim, num_pixels)


@BANK.wrong("nonlinearity after the last layer instead of between", "no_nonlinearity|one_sided_output|")
def prelu_last(num_pixels, hidden_dim, latent_dim):
    decoder = mlp(nn.Linear(latent_dim, hidden_dim), nn.Linear(hidden_dim, num_pixels), nn.PReLU())
    return two(num_pixels, hidden_dim, latent_dim), decoder


@BANK.wrong("codes cut at +-5")
def hardtanh(num_pixels, hidden_dim, latent_dim):
    return two(num_pixels, hidden_dim, latent_dim, end=[nn.Hardtanh(-5, 5)]), two(latent_dim, hidden_dim, num_pixels)


@BANK.wrong("random codes", "random_output")
def random_codes(num_pixels, hidden_dim, latent_dim):
    class Noisy(Half):
        def forward(self, x):
            out = super().forward(x)
            return out + 0.1 * torch.randn_like(out)

    return Noisy(num_pixels, hidden_dim, latent_dim), two(latent_dim, hidden_dim, num_pixels)


@BANK.right("nn.Sequential with ReLU")
def sequential(num_pixels, hidden_dim, latent_dim):
    return two(num_pixels, hidden_dim, latent_dim), two(latent_dim, hidden_dim, num_pixels)


@BANK.right("tanh, list returned")
def tanh(num_pixels, hidden_dim, latent_dim):
    return [two(num_pixels, hidden_dim, latent_dim, act=nn.Tanh), two(latent_dim, hidden_dim, num_pixels, act=nn.Tanh)]


class Half(nn.Module):
    def __init__(self, width_in, width, width_out):
        super().__init__()
        self.hidden = nn.Linear(width_in, width)
        self.out = nn.Linear(width, width_out)

    def forward(self, x):
        return self.out(nn.functional.leaky_relu(self.hidden(x), 0.2))


@BANK.right("module classes")
def classes(num_pixels, hidden_dim, latent_dim):
    return Half(num_pixels, hidden_dim, latent_dim), Half(latent_dim, hidden_dim, num_pixels)


@BANK.right("batch normalisation and dropout")
def normalised(num_pixels, hidden_dim, latent_dim):
    encoder = mlp(
        nn.Linear(num_pixels, hidden_dim),
        nn.BatchNorm1d(hidden_dim),
        nn.SiLU(),
        nn.Dropout(0.2),
        nn.Linear(hidden_dim, latent_dim),
    )
    decoder = mlp(
        nn.Linear(latent_dim, hidden_dim), nn.LayerNorm(hidden_dim), nn.ELU(), nn.Linear(hidden_dim, num_pixels)
    )
    return encoder, decoder


@BANK.right("lazy layers")
def lazy(num_pixels, hidden_dim, latent_dim):
    return (
        mlp(nn.LazyLinear(hidden_dim), nn.ReLU(), nn.LazyLinear(latent_dim)),
        mlp(nn.LazyLinear(hidden_dim), nn.ReLU(), nn.LazyLinear(num_pixels)),
    )


class ByHand(nn.Module):
    def __init__(self, a, b, c):
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(a, b) / a**0.5), nn.Parameter(torch.zeros(b))
        self.w2, self.b2 = nn.Parameter(torch.randn(b, c) / b**0.5), nn.Parameter(torch.zeros(c))

    def forward(self, x):
        return torch.einsum("nb,bc->nc", torch.sigmoid(x @ self.w1 + self.b1), self.w2) + self.b2


@BANK.right("raw parameters")
def by_hand(num_pixels, hidden_dim, latent_dim):
    return ByHand(num_pixels, hidden_dim, latent_dim), ByHand(latent_dim, hidden_dim, num_pixels)


@BANK.right("deeper than asked, named layers")
def deep(num_pixels, hidden_dim, latent_dim):
    encoder = nn.Sequential(
        OrderedDict(
            a=nn.Linear(num_pixels, hidden_dim),
            b=nn.GELU(),
            c=nn.Linear(hidden_dim, hidden_dim),
            d=nn.GELU(),
            e=nn.Linear(hidden_dim, latent_dim),
        )
    )
    decoder = nn.Sequential(
        OrderedDict(
            a=nn.Linear(latent_dim, hidden_dim),
            b=nn.GELU(),
            c=nn.Linear(hidden_dim, 50),
            d=nn.GELU(),
            e=nn.Linear(50, num_pixels),
        )
    )
    return encoder, decoder


@BANK.right("zero initialised last layer, no bias")
def zero_init(num_pixels, hidden_dim, latent_dim):
    encoder = mlp(
        nn.Linear(num_pixels, hidden_dim, bias=False), nn.Softplus(), nn.Linear(hidden_dim, latent_dim, bias=False)
    )
    decoder = two(latent_dim, hidden_dim, num_pixels, act=nn.PReLU)
    nn.init.zeros_(decoder[-1].weight), nn.init.zeros_(decoder[-1].bias)
    return encoder, decoder


@BANK.right("spectral normalisation")
def spectral(num_pixels, hidden_dim, latent_dim):
    encoder = two(num_pixels, hidden_dim, latent_dim)
    decoder = two(latent_dim, hidden_dim, num_pixels)
    nn.utils.parametrizations.spectral_norm(encoder[0]), nn.utils.spectral_norm(decoder[0])
    return encoder, decoder


@BANK.right("orthogonal first layers")
def orthogonal(num_pixels, hidden_dim, latent_dim):
    encoder, decoder = two(num_pixels, hidden_dim, latent_dim), two(latent_dim, hidden_dim, num_pixels)
    nn.utils.parametrizations.orthogonal(encoder[0]), nn.utils.parametrizations.orthogonal(decoder[0])
    return encoder, decoder


class Waves(nn.Module):
    """An encoder of fixed random features of the pixels."""

    def __init__(self, a, b, c):
        super().__init__()
        self.register_buffer("directions", torch.randn(a, a))
        self.net = two(a, b, c)

    def forward(self, x):
        return self.net(torch.sin(x @ self.directions))


@BANK.right("fixed random features in a buffer")
def random_features(num_pixels, hidden_dim, latent_dim):
    return Waves(num_pixels, hidden_dim, latent_dim), two(latent_dim, hidden_dim, num_pixels)


class Tied(nn.Module):
    """A decoder that uses the encoder's weights."""

    def __init__(self, encoder):
        super().__init__()
        self.first, self.last = encoder[0], encoder[2]
        self.b1 = nn.Parameter(torch.zeros(self.first.out_features))
        self.b2 = nn.Parameter(torch.zeros(self.first.in_features))

    def forward(self, z):
        return torch.relu(z @ self.last.weight + self.b1) @ self.first.weight + self.b2


@BANK.right("tied weights")
def tied(num_pixels, hidden_dim, latent_dim):
    encoder = two(num_pixels, hidden_dim, latent_dim)
    return encoder, Tied(encoder)


def with_norms(norm, between, *layers):
    """Two linear layers with a normalisation on each, or on those named."""

    def build(num_pixels, hidden_dim, latent_dim):
        parts = []
        for a, c in ((num_pixels, latent_dim), (latent_dim, num_pixels)):
            part = nn.Sequential(nn.Linear(a, hidden_dim), between(), nn.Linear(hidden_dim, c))
            for index in layers or (0, 2):
                norm(part[index])
            parts.append(part)
        return tuple(parts)

    return build


WEIGHT, SPECTRAL = nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm
WHOLE = partial(WEIGHT, dim=None)
for name, about, function in (
    ("weight_normalised", "weight normalisation on every layer", with_norms(WEIGHT, nn.ReLU)),
    ("weight_normalised_softly", "weight normalisation and softplus", with_norms(WEIGHT, nn.Softplus)),
    ("weight_normalised_silu", "weight normalisation and SiLU", with_norms(WEIGHT, nn.SiLU)),
    ("weight_normalised_gelu", "weight normalisation and GELU", with_norms(WEIGHT, nn.GELU)),
    ("weight_normalised_last", "weight normalisation on the last layer", with_norms(WEIGHT, nn.Tanh, 2)),
    ("weight_normalised_whole", "weight normalisation, one length a layer", with_norms(WHOLE, nn.GELU)),
    (
        "weight_normalised_old",
        "the older one, one length",
        with_norms(partial(nn.utils.weight_norm, dim=None), nn.ReLU),
    ),
    ("spectrally_normalised", "spectral normalisation on every layer", with_norms(SPECTRAL, nn.ReLU)),
    ("spectrally_normalised_old", "the older spectral normalisation", with_norms(nn.utils.spectral_norm, nn.LeakyReLU)),
    ("spectrally_normalised_softly", "spectral normalisation and tanh", with_norms(SPECTRAL, nn.Tanh)),
):
    function.__name__ = name
    BANK.right(about)(function)


def bounded(num_pixels, hidden_dim, latent_dim):
    encoder, decoder = with_norms(SPECTRAL, nn.ReLU)(num_pixels, hidden_dim, latent_dim)
    return encoder, nn.Sequential(decoder, nn.Sigmoid())


BANK.formula("spectral_and_sigmoid", "spectral normalisation, then a sigmoid", bounded, "bounded_output")
BANK.formula(
    "weight_norm_linear", "weight normalisation, no nonlinearity", with_norms(WEIGHT, nn.Identity), "no_nonlinearity"
)
BANK.formula(
    "spectral_linear", "spectral normalisation, no nonlinearity", with_norms(SPECTRAL, nn.Identity), "no_nonlinearity"
)
BANK.formula(
    "whole_norm_linear", "one length a layer, no nonlinearity", with_norms(WHOLE, nn.Identity), "no_nonlinearity"
)
