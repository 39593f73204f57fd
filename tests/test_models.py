"""The models given to students: shapes, dependence on the parts they are made of, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from course_utils import models


def test_an_mlp_ends_linear_and_has_an_activation_between_all_layers():
    net = models.mlp([6, 5, 4, 3], nn.Tanh)
    assert [type(layer) for layer in net] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert net(torch.rand(2, 6)).shape == (2, 3)


@pytest.mark.parametrize("sizes", [[], [784], [784, 0], [784, 2.5], [784, -3]])
def test_an_mlp_needs_two_positive_whole_sizes(sizes):
    with pytest.raises(ValueError, match="expected at least two whole numbers"):
        models.mlp(sizes)


def test_an_autoencoder_returns_logits_and_codes():
    model = models.Autoencoder(nn.Linear(784, 7), nn.Linear(7, 784))
    x = torch.rand(3, 784)
    logits, z = model(x)
    assert logits.shape == x.shape and z.shape == (3, 7)
    assert torch.equal(z, model.encode(x)) and torch.equal(logits, model.decode(z))


def test_a_vae_has_the_shapes_of_the_paper():
    model = models.VAE(784, [400], 20)
    logits, mu, logvar = model(torch.rand(3, 784))
    assert logits.shape == (3, 784) and mu.shape == logvar.shape == (3, 20)
    assert sum(isinstance(layer, nn.Tanh) for layer in model.modules()) == 2
    # 784-400-40 and 20-400-784 with biases
    expected = 784 * 400 + 400 + 400 * 40 + 40 + 20 * 400 + 400 + 400 * 784 + 784
    assert sum(p.numel() for p in model.parameters()) == expected


def test_a_vae_samples_its_codes_with_what_it_was_given():
    seen = []

    def mean_only(mu, logvar):
        seen.append((mu.shape, logvar.shape))
        return mu

    model = models.VAE(10, [8, 6], 2, reparameterize=mean_only)
    x = torch.rand(4, 10)
    logits, mu, _ = model(x)
    assert seen == [((4, 2), (4, 2))]
    assert torch.equal(logits, model.decode(mu))


def test_a_vae_draws_fresh_noise_at_every_call():
    model = models.VAE(10, [8], 2)
    x = torch.rand(4, 10)
    assert not torch.equal(model(x)[0], model(x)[0])


def test_a_convolutional_autoencoder_takes_pictures_and_gives_pictures():
    model = models.conv_autoencoder(latent_dim=5, width=4)
    logits, z = model(torch.rand(2, 1, 28, 28))
    assert logits.shape == (2, 1, 28, 28) and z.shape == (2, 5)


def test_every_parameter_takes_part():
    pictures = torch.rand(4, 1, 28, 28)
    for model, x in ((models.VAE(12, [8], 3), torch.rand(4, 12)), (models.conv_autoencoder(3, 2), pictures)):
        sum(part.square().sum() for part in model(x)).backward()
        idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not idle, f"{type(model).__name__}: no gradient reaches {idle}"


def test_logvar_is_bounded_far_outside_of_what_models_use_and_its_gradient_passes():
    encoder = nn.Linear(1, 2, bias=False)
    model = models.GaussianAutoencoder(encoder, nn.Linear(1, 1), 1)
    with torch.no_grad():
        encoder.weight.copy_(torch.ones(2, 1))
    x = torch.tensor([[-500.0], [-80.0], [-54.7], [0.1], [3.4], [8.0], [1e4]])
    logvar = model.encode(x)[1]
    assert logvar.flatten().tolist() == pytest.approx([-80, -80, -54.7, 0.1, 3.4, 8, 8])
    assert torch.equal(logvar[1:-1], encoder(x)[1:-1, 1:]), "within the range the very number"
    logvar.sum().backward()
    assert encoder.weight.grad[1].item() == pytest.approx(x.sum().item()), "outside of it the gradient passes"
