"""Answers of the sample class of ``course demo``: right in another style than the solutions, and wrong in named ways.

Each text is the whole content of an exercise's cell. Extend both tables when an exercise is added; an exercise that
is in neither is answered with the solution by those who are right and left as it was by those who are wrong.
"""

from __future__ import annotations

ANOTHER_STYLE = {
    "reconstruction_loss": """
import torch

def reconstruction_loss(logits, x):
    pixels = torch.distributions.Bernoulli(logits=logits, validate_args=False)
    nats = -pixels.log_prob(x)
    return nats.reshape(len(x), -1).sum(dim=1).mean()
""",
    "build_autoencoder": """
from torch import nn

class Half(nn.Module):
    def __init__(self, size_in, size_hidden, size_out):
        super().__init__()
        self.hidden = nn.Linear(size_in, size_hidden)
        self.out = nn.Linear(size_hidden, size_out)

    def forward(self, inputs):
        return self.out(self.hidden(inputs).tanh())

def build_autoencoder(num_pixels, hidden_dim, latent_dim):
    return Half(num_pixels, hidden_dim, latent_dim), Half(latent_dim, hidden_dim, num_pixels)
""",
    "train_step": """
def train_step(autoencoder, x, optimizer):
    encoder, decoder = autoencoder
    loss = reconstruction_loss(decoder(encoder(x)), x)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return float(loss)
""",
    "sample_images": """
import torch

@torch.no_grad()
def sample_images(decoder, num_images, latent_dim):
    was_training = decoder.training
    decoder.eval()
    try:
        device = next((p.device for p in decoder.parameters()), torch.device("cpu"))
        codes = torch.normal(0.0, 1.0, size=(num_images, latent_dim), device=device)
        return torch.sigmoid(decoder(codes))
    finally:
        decoder.train(was_training)
""",
    "interpolate": """
import torch

def interpolate(z_start, z_end, num_steps):
    return torch.stack([torch.lerp(z_start, z_end, step / (num_steps - 1)) for step in range(num_steps)])
""",
    "slerp": """
import math
import torch

def slerp(z_start, z_end, num_steps):
    lengths = float(z_start.norm() * z_end.norm())
    angle = math.acos(max(-1.0, min(1.0, float(z_start @ z_end) / lengths))) if lengths else 0.0
    codes = []
    for step in range(num_steps):
        t = step / (num_steps - 1)
        first, last = 1 - t, t
        if math.sin(angle) >= 1e-4:
            first, last = (math.sin(part * angle) / math.sin(angle) for part in (first, last))
        codes.append(first * z_start + last * z_end)
    return torch.stack(codes)
""",
    "reparameterize": """
import torch

def reparameterize(mu, logvar):
    posterior = torch.distributions.Normal(mu, logvar.mul(0.5).exp(), validate_args=False)
    return posterior.rsample()
""",
    "kl_divergence": """
import torch
from torch.distributions import Normal, kl_divergence as exact_kl

def kl_divergence(mu, logvar):
    posterior = Normal(mu, torch.exp(logvar / 2), validate_args=False)
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu), validate_args=False)
    return exact_kl(posterior, prior).reshape(len(mu), -1).sum(1).mean(0)
""",
    "vae_loss": """
import torch

def vae_loss(logits, x, mu, logvar, beta):
    nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    distortion = nats.flatten(1).sum(1).mean()
    rate = 0.5 * (mu ** 2 + logvar.exp() - logvar - 1).flatten(1).sum(1).mean()
    return distortion + beta * rate, distortion, rate
""",
    "elbo_beta": """
def elbo_beta(beta_per_pixel, num_pixels):
    return float(num_pixels * beta_per_pixel)
""",
    "critic_loss": """
import torch

def critic_loss(critic, z_prior, z_posterior):
    on_posterior, on_prior = critic(torch.cat([z_posterior, z_prior]).detach()).split([len(z_posterior), len(z_prior)])
    return torch.mean(on_posterior) - torch.mean(on_prior)
""",
    "gradient_penalty": """
import torch

def gradient_penalty(critic, z_prior, z_posterior):
    share = torch.empty(z_prior.shape[0], 1, dtype=z_prior.dtype, device=z_prior.device).uniform_(0, 1)
    between = torch.lerp(z_posterior, z_prior, share).detach().clone().requires_grad_(True)
    scores = critic(between)
    slopes = torch.autograd.grad(scores, between, grad_outputs=torch.ones_like(scores), create_graph=True)[0]
    lengths = torch.sqrt((slopes ** 2).sum(dim=1) + 1e-12)
    return ((lengths - 1.0) ** 2).mean()
""",
    "wasserstein_vae_loss": """
import torch

def wasserstein_vae_loss(logits, x, critic, z_posterior, weight):
    nats = torch.nn.functional.softplus(logits) - x * logits
    distortion = nats.reshape(len(x), -1).sum(1).mean()
    gap = critic(z_posterior).mul(-1).mean()
    return torch.add(distortion, gap, alpha=weight), distortion.detach(), gap.detach()
""",
    "find_bug_1": """
def find_bug_1(evidence):
    return evidence["estimate"] < 0.4 * evidence["exact_distance"]
""",
    "find_bug_2": """
def find_bug_2(evidence):
    a, b, c = (evidence["prior_in_" + place].flatten().sort().values for place in ("critic_loss", "penalty", "samples"))
    return bool((a - b).abs().mean() > 0.1 or (b - c).abs().mean() > 0.1)
""",
    "find_bug_3": """
import torch

def find_bug_3(evidence):
    kl = evidence["kl_distortion"] + evidence["beta"] * evidence["kl_rate"]
    other = evidence["wasserstein_distortion"] + evidence["weight"] * evidence["wasserstein_gap"]
    logged = torch.cat([evidence["kl_loss"], evidence["wasserstein_loss"]])
    return not torch.allclose(torch.cat([kl, other]), logged, rtol=0.01)
""",
    "mmd_squared": """
import torch

def mmd_squared(x, y, bandwidths):
    if min(len(x), len(y)) < 2:
        raise ValueError("expected at least two codes in each sample")
    total = 0.0
    for s in bandwidths:
        within = sum(torch.exp(-torch.pdist(z).square() / (2 * s * s)).mean() for z in (x, y))
        squared = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum(-1)
        total = total + within - 2 * torch.exp(-squared / (2 * s * s)).mean()
    return total
""",
    "median_bandwidth": """
import torch

def median_bandwidth(z):
    return torch.quantile(torch.pdist(z), 0.5).item()
""",
    "mmd_vae_loss": """
import torch

def mmd_vae_loss(logits, x, z_posterior, z_prior, weight, bandwidths):
    nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    distortion = nats.flatten(1).sum(1).mean()
    mmd = mmd_squared(z_prior, z_posterior, bandwidths)
    return torch.add(distortion, mmd, alpha=weight), distortion, mmd
""",
    "build_conv_autoencoder": """
from torch import nn

class Down(nn.Module):
    def __init__(self, channels, latent_dim):
        super().__init__()
        widths = [channels, 12, 24, 48]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:]))
        self.out = nn.Linear(48 * 8 * 8, latent_dim)

    def forward(self, x):
        for convolution in self.convolutions:
            x = nn.functional.avg_pool2d(convolution(x).tanh(), 2)
        return self.out(x.flatten(1))

def build_conv_autoencoder(channels, latent_dim):
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 48 * 8 * 8), nn.GELU(), nn.Unflatten(1, (48, 8, 8)),
        nn.Upsample(scale_factor=4), nn.Conv2d(48, 24, 3, padding=1), nn.GELU(),
        nn.Upsample(scale_factor=2), nn.Conv2d(24, channels, 3, padding=1),
    )
    return Down(channels, latent_dim), decoder
""",
    "attribute_scores": """
import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_score

def attribute_scores(z, attributes):
    codes, columns = z.cpu().numpy(), attributes.cpu().numpy().astype(int)
    scores = np.full(columns.shape[1], np.nan)
    for index in range(columns.shape[1]):
        if 0 < columns[:, index].sum() < len(columns):
            scores[index] = cross_val_score(RidgeClassifier(), codes, columns[:, index], cv=5, scoring="roc_auc").mean()
    return scores
""",
    "anomaly_score": """
import torch

def anomaly_score(logits, x):
    cost = torch.nn.functional.softplus(logits) - x * logits + torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)
    return cost.reshape(len(x), -1).sum(-1)
""",
    "combine_scores": """
def combine_scores(seen, new):
    return ((new - seen.median(0).values) / seen.std(0)).square().sum(1)
""",
    "denoise": """
import torch

def denoise(noisy, projected, noise_std):
    out = []
    for y, p in zip(noisy, projected):
        energy = (y - p).square().sum()
        kept = 0.0 if energy == 0 else max(0.0, 1 - (y.numel() - 2) * noise_std**2 / energy.item())
        out.append(torch.lerp(p, y, kept))
    return torch.stack(out)
""",
    "inpaint": """
import torch

def inpaint(decoder, surprise, x, mask, z, num_steps, lr):
    code = torch.nn.Parameter(z.clone())
    steps = torch.optim.Adam([code], lr)
    for _ in range(num_steps):
        nats = torch.nn.functional.binary_cross_entropy_with_logits(decoder(code), x, weight=mask, reduction="sum")
        (code.grad,) = torch.autograd.grad(nats + surprise(code).sum(), code)
        steps.step()
    return torch.where(mask.bool(), x, decoder(code).sigmoid()).detach()
""",
    "second_stage_loss": """
import torch

def second_stage_loss(decoded, codes, mu, logvar, log_std):
    distortion = -torch.distributions.Normal(decoded, log_std.exp()).log_prob(codes).sum(1).mean()
    rate = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    return distortion + rate, distortion, rate
""",
    "quantize": """
import torch

def quantize(codes, codebook):
    with torch.no_grad():
        index = (codebook.pow(2).sum(1) - 2 * codes @ codebook.T).argmin(-1)
    return codebook[index].detach() + codes - codes.detach(), index
""",
    "vq_loss": """
import torch

def vq_loss(codes, codebook, index, commitment):
    entries = torch.nn.functional.embedding(index, codebook)
    pulls = (entries - codes.detach()) ** 2 + commitment * (entries.detach() - codes) ** 2
    return pulls.sum() / len(codes)
""",
    "adversarial_losses": """
import torch

def adversarial_losses(critic, z_prior, z_codes):
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    real, fake, fooling = critic(z_prior), critic(z_codes.detach()), critic(z_codes)
    return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake)), bce(fooling, torch.ones_like(fooling))
""",
}

# Who believes what: one table per student of the sample class.
MISCONCEPTIONS = {
    "averages where the text sums": {
        "reconstruction_loss": """
import torch

def reconstruction_loss(logits, x):
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, x)
""",
        "kl_divergence": """
import torch

def kl_divergence(mu, logvar):
    return 0.5 * (mu ** 2 + logvar.exp() - logvar - 1).mean()
""",
        "elbo_beta": """
def elbo_beta(beta_per_pixel, num_pixels):
    return beta_per_pixel / num_pixels
""",
        "interpolate": """
import torch

def interpolate(z_start, z_end, num_steps):
    return torch.stack([z_start + step / num_steps * (z_end - z_start) for step in range(num_steps)])
""",
        "gradient_penalty": """
import torch

def gradient_penalty(critic, z_prior, z_posterior):
    t = torch.rand(len(z_prior), 1)
    points = (t * z_prior + (1 - t) * z_posterior).detach().requires_grad_()
    grad, = torch.autograd.grad(critic(points).mean(), points, create_graph=True)
    return ((grad.norm(dim=1) - 1) ** 2).mean()
""",
        "find_bug_1": """
def find_bug_1(evidence):
    return evidence["values_prior"].shape[1] > 1
""",
        "mmd_squared": """
import torch

def mmd_squared(x, y, bandwidths):
    def k(a, b):
        squared = (a[:, None] - b[None]).pow(2).mean(2)
        return sum(torch.exp(-squared / (2 * s ** 2)) for s in bandwidths).mean()
    return k(x, x) + k(y, y) - 2 * k(x, y)
""",
        "median_bandwidth": """
import torch

def median_bandwidth(z):
    return torch.cdist(z, z).mean()
""",
        "anomaly_score": """
import torch

def anomaly_score(logits, x):
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).mean(1)
""",
        "vq_loss": """
import torch

def vq_loss(codes, codebook, index, commitment):
    entries, mse = codebook[index], torch.nn.functional.mse_loss
    return mse(entries, codes.detach()) + commitment * mse(codes, entries.detach())
""",
        "denoise": """
def denoise(noisy, projected, noise_std):
    energy = (noisy - projected).square().mean()
    return projected + (1 - noise_std**2 / energy).clamp_min(0) * (noisy - projected)
""",
        "build_conv_autoencoder": """
from torch import nn

def build_conv_autoencoder(channels, latent_dim):
    encoder = nn.Sequential(nn.Conv2d(channels, 64, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 1024, latent_dim))
    decoder = nn.Sequential(nn.Linear(latent_dim, 64 * 1024), nn.ReLU(), nn.Unflatten(1, (64, 32, 32)),
                            nn.ConvTranspose2d(64, channels, 4, 2, 1))
    return encoder, decoder
""",
    },
    "takes logvar for log sigma": {
        "second_stage_loss": """
import torch

def second_stage_loss(decoded, codes, mu, logvar, log_std):
    distortion = -torch.distributions.Normal(decoded, torch.exp(0.5 * log_std)).log_prob(codes).sum(1).mean()
    rate = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
    return distortion + rate, distortion, rate
""",
        "attribute_scores": """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

def attribute_scores(z, attributes):
    return np.array([cross_val_score(LogisticRegression(), z.numpy(), y, cv=5).mean() if 0 < y.mean() < 1 else np.nan
                     for y in attributes.numpy().T])
""",
        "critic_loss": """
def critic_loss(critic, z_prior, z_posterior):
    return critic(z_prior).mean() - critic(z_posterior).mean()
""",
        "find_bug_2": """
def find_bug_2(evidence):
    return bool(evidence["prior_in_samples"].abs().max() < 2)
""",
        "reparameterize": """
import torch

def reparameterize(mu, logvar):
    return mu + torch.exp(logvar) * torch.randn_like(mu)
""",
        "kl_divergence": """
import torch

def kl_divergence(mu, logvar):
    return 0.5 * (mu ** 2 + torch.exp(2 * logvar) - 2 * logvar - 1).sum(dim=1).mean()
""",
        "train_step": """
def train_step(autoencoder, x, optimizer):
    encoder, decoder = autoencoder
    loss = reconstruction_loss(decoder(encoder(x)), x)
    loss.backward()
    optimizer.step()
    return loss.item()
""",
        "sample_images": """
import torch

def sample_images(decoder, num_images, latent_dim):
    with torch.no_grad():
        return torch.sigmoid(decoder(torch.rand(num_images, latent_dim)))
""",
    },
    "a typing error and a loop": {
        "quantize": """
def quantize(codes, codebook):
    index = (codes[..., None, :] - codebook).square().sum(-1).argmin(-1)
    return codebook[index], index
""",
        "reconstruction_loss": """
def reconstruction_loss(logits, x)
    return 0
""",
        "reparameterize": """
import torch

def reparameterize(mu, logvar):
    with torch.no_grad():
        return mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
""",
        "wasserstein_vae_loss": """
def wasserstein_vae_loss(logits, x, critic, z_posterior, weight):
    distortion = reconstruction_loss(logits, x)
    gap = critic(z_posterior).mean()
    return distortion + weight * gap, distortion, gap
""",
        "find_bug_3": """
def find_bug_3(evidence):
    whole = evidence["kl_distortion"] + evidence["beta"] * evidence["kl_rate"]
    return bool((whole != evidence["kl_loss"]).any())
""",
        "vae_loss": """
def vae_loss(logits, x, mu, logvar, beta):
    distortion = reconstruction_loss(logits, x)
    rate = beta * kl_divergence(mu, logvar)
    return distortion + rate, distortion, rate
""",
    },
}

WRITTEN_ANSWER = "The codes of the data are not spread like the prior, so most draws land where nothing was trained."
