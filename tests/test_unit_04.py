"""Unit 04: what its notebook prints is true."""

from __future__ import annotations

import math

import pytest
import torch

from course_utils.metrics import aggregate, autopsy, mmd, reference_runs
from course_utils.models import closed_forms as reference

UNIT = "04_mmd"


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_earlier_answers_that_are_provided_are_right(space):
    mu, logvar, logits, x = normal(5, 3), normal(5, 3, seed=1), normal(4, 7, seed=2), normal(4, 7, seed=3).sigmoid()
    assert space["kl_divergence"](mu, logvar).item() == pytest.approx(
        reference.gaussian_kl(mu, logvar).sum(1).mean().item()
    )
    assert space["reconstruction_loss"](logits, x).item() == pytest.approx(
        reference.bernoulli_nll(logits, x).mean().item()
    )
    still = torch.full((4, 2), -200.0)
    assert torch.allclose(space["reparameterize"](torch.ones(4, 2), still), torch.ones(4, 2))
    drawn = space["reparameterize"](torch.zeros(40_000), torch.full((40_000,), math.log(4.0)))
    assert drawn.std().item() == pytest.approx(2.0, abs=0.06)  # 8 standard errors


def test_printed_split_of_the_rate_holds(notebook):
    assert notebook.prints(
        r"\underbrace{\mathbb{E}_x \mathrm{KL}(q(z \mid x) \| p(z))}_{\text{rate}} "
        r"= \underbrace{\mathbb{E}_x \mathrm{KL}(q(z \mid x) \| q(z))}_{I_q(x; z)} "
        r"+ \underbrace{\mathrm{KL}(q(z) \| p(z))}_{\text{mismatch}}"
    )
    # one dimension, three images, integrals on a fine grid
    mu, sigma = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.float64), torch.tensor([0.5, 1.0, 0.7], dtype=torch.float64)
    z = torch.linspace(-12, 12, 6001, dtype=torch.float64)
    q = torch.distributions.Normal(mu[:, None], sigma[:, None]).log_prob(z)
    p = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    whole = q.logsumexp(0) - math.log(3)

    def kl(a, b):
        return float(torch.trapezoid(a.exp() * (a - b), z))

    rate = sum(kl(row, p) for row in q) / 3
    assert sum(kl(row, whole) for row in q) / 3 + kl(whole, p) == pytest.approx(rate, abs=1e-9)
    logvar = 2 * sigma.log()
    assert float(reference.gaussian_kl(mu, logvar).mean()) == pytest.approx(rate, abs=1e-9)
    assert aggregate.mutual_information(mu[:, None], logvar[:, None]).rate == pytest.approx(rate, abs=1e-9)


def test_printed_estimate_is_the_code(notebook, space):
    assert notebook.prints(r"k(a, b) = \sum_{s} \exp(-\frac{\lVert a - b \rVert^2}{2 s^2})")
    assert notebook.prints(
        r"\widehat{\mathrm{MMD}^2} = \frac{1}{n (n - 1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m (m - 1)} "
        r"\sum_{i \ne j} k(y_i, y_j) - \frac{2}{n m} \sum_{i, j} k(x_i, y_j)"
    )
    x, y, widths = normal(4, 3), normal(6, 3, seed=1) + 0.5, [0.8, 2.0]

    def k(a, b):
        return sum(math.exp(-float((a - b).square().sum()) / (2 * s**2)) for s in widths)

    n, m = len(x), len(y)
    want = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    want += sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    want -= 2 * sum(k(a, b) for a in x for b in y) / (n * m)
    assert space["mmd_squared"](x, y, widths).item() == pytest.approx(want, abs=1e-12)
    assert mmd.mmd_squared(x, y, widths).item() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("dim, s, shift", [(2, 1.0, 0.0), (2, 1.0, 1.0), (5, 2.5, 2.0)])
def test_printed_distance_of_two_gaussians_is_their_integral(notebook, dim, s, shift):
    assert notebook.prints(
        r"\mathrm{MMD}^2 = 2 (\frac{s^2}{s^2 + 2})^{D/2} (1 - e^{-\lVert m \rVert^2 / (2 (s^2 + 2))})"
    )
    printed = 2 * (s**2 / (s**2 + 2)) ** (dim / 2) * (1 - math.exp(-(shift**2) / (2 * (s**2 + 2))))
    # E k of a difference N(delta, 2) in each dimension, by quadrature in one dimension; the kernel factorises
    grid = torch.linspace(-30, 30, 20001, dtype=torch.float64)

    def one(delta):
        density = (
            torch.distributions.Normal(torch.tensor(delta, dtype=torch.float64), math.sqrt(2)).log_prob(grid).exp()
        )
        return float(torch.trapezoid(density * torch.exp(-grid.square() / (2 * s**2)), grid))

    integral = 2 * one(0.0) ** dim - 2 * one(shift) * one(0.0) ** (dim - 1)
    assert integral == pytest.approx(printed, abs=1e-9)


def test_printed_floor_is_the_expectation_of_the_biased_estimate(notebook):
    assert notebook.prints(r"(\frac{1}{n} + \frac{1}{m}) (K - u)")
    widths = [1.0, 2.0]
    for n, m, dim in ((8, 8, 2), (128, 200, 20)):
        u = sum((s**2 / (s**2 + 2)) ** (dim / 2) for s in widths)
        assert autopsy.expectations(dim, widths, n, m)[1] == pytest.approx((1 / n + 1 / m) * (2 - u))


def test_printed_gram_form_is_the_squared_distance(notebook):
    assert notebook.prints(r"\lVert a_i - b_j \rVert^2 = \lVert a_i \rVert^2 + \lVert b_j \rVert^2 - 2 a_i \cdot b_j")
    a, b = normal(4, 3), normal(5, 3, seed=1)
    gram = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    assert torch.allclose(gram, torch.cdist(a, b).square())


@pytest.mark.parametrize("dim, s", [(1, 0.5), (3, 1.0), (20, 6.3)])
def test_printed_closed_forms_of_the_prior_side_are_those_of_the_code(notebook, dim, s):
    assert notebook.prints(
        r"\mathbb{E} k(z, y) = \sum_s (\frac{s^2}{s^2 + 1})^{D/2} \exp(-\frac{\lVert z \rVert^2}{2 (s^2 + 1)})"
    )
    assert notebook.prints(r"\mathbb{E} k(y, y') = \sum_s (\frac{s^2}{s^2 + 2})^{D/2}")
    z = normal(1, dim)
    printed = (s**2 / (s**2 + 1)) ** (dim / 2) * math.exp(-float(z.square().sum()) / (2 * (s**2 + 1)))
    assert float(mmd.expected_kernel(z, [s])) == pytest.approx(printed)
    assert mmd.expected_kernel_within(dim, [s]) == pytest.approx((s**2 / (s**2 + 2)) ** (dim / 2))


def test_copied_kernel_has_the_bandwidth_that_the_text_says(notebook):
    assert notebook.prints(r"\exp(-\frac{\lVert a - b \rVert^2}{d^2})") and notebook.prints(r"$s = d / \sqrt{2}$")
    for d in (2, 20, 128):
        a, b = normal(d), normal(d, seed=1)
        copied = math.exp(-float((a - b).square().mean()) / d)
        assert copied == pytest.approx(
            math.exp(-float((a - b).square().sum()) / (2 * autopsy.copied_bandwidth(d) ** 2))
        )


@pytest.mark.parametrize(
    "d, collapsed, matching", [(2, 0.169, 0.0065), (20, 0.00307, 0.00121), (128, 0.000139, 0.000198)]
)
def test_autopsy_measures_what_it_expects_within_three_standard_errors(d, collapsed, matching):
    """Random with a fixed seed; the numbers are those published with the kernel's analysis."""
    found = autopsy.examine(d, autopsy.copied_bandwidth(d), num_draws=100)
    for average, exact, known in (
        (found.collapsed, found.exact_collapsed, collapsed),
        (found.matching, found.exact_matching, matching),
    ):
        assert exact == pytest.approx(known, rel=0.02)
        assert abs(average.mean - exact) < 3.5 * average.standard_error
    assert found.blind == (d == 128)


def test_parabola_compares_means_and_its_floors_are_as_printed(notebook):
    assert notebook.prints(r"\approx 1 - \frac{\lVert a - b \rVert^2}{2 s^2}")
    for printed in (r"$\lVert \mathbb{E} x - \mathbb{E} y \rVert^2 / s^2$", "$d / (m s^2)$", "$d / (n s^2)$"):
        assert notebook.prints(printed), printed
    x, y, s = normal(300, 4), 2 * normal(200, 4, seed=1) + 1, 3.0

    def mean(a, b):
        return float((1 - torch.cdist(a, b).square() / (2 * s**2)).mean())

    gap = float((x.mean(0) - y.mean(0)).square().sum())
    assert mean(x, x) + mean(y, y) - 2 * mean(x, y) == pytest.approx(gap / s**2)
    d, n, m, wide = 128, 128, 200, 1e4  # so wide that the parabola is exact
    collapsed, matching = autopsy.expectations(d, wide, n, m)
    assert collapsed == pytest.approx(d / (m * wide**2), rel=1e-3)
    assert matching == pytest.approx(d / (n * wide**2) + d / (m * wide**2), rel=1e-3)


def test_repaired_kernel_sees_the_collapse():
    collapsed, matching = autopsy.expectations(128, 128**0.5, 128, 200)
    assert collapsed == pytest.approx(0.1585, abs=5e-5) and collapsed > 10 * matching


def inward(num_out: int, radius: float, widths, *, biased: bool = False, draws: int = 60) -> tuple[float, float]:
    """Mean inward component of the gradient at the far ones of 128 codes, times 128, and its standard error."""
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(draws):
        out = torch.randn(num_out, 128, generator=generator, dtype=torch.float64)
        out = out / out.norm(dim=1, keepdim=True)
        rest = torch.randn(128 - num_out, 128, generator=generator, dtype=torch.float64)
        codes = torch.cat([radius * 128**0.5 * out, rest]).requires_grad_()
        prior = torch.randn(200, 128, generator=generator, dtype=torch.float64)
        slope = torch.autograd.grad(mmd.mmd_squared(codes, prior, widths, biased=biased), codes)[0]
        found.append(128 * (slope[:num_out] * out).sum(1).mean())
    return float(torch.stack(found).mean()), float(torch.stack(found).std() / draws**0.5)


def test_one_code_is_pulled_by_the_biased_estimate_only_and_six_by_both(notebook):
    """Means over 60 draws with a fixed seed; 4.5 standard errors, false alarm below 1e-4 in all."""
    assert "for a single code they cancel on average" in notebook.text
    widths = mmd.prior_bandwidths(128)
    for radius in (2.0, 8.0):
        mean, error = inward(1, radius, widths)
        assert abs(mean) < 4.5 * error
        for how in ({"num_out": 1, "biased": True}, {"num_out": 6}):
            mean, error = inward(how["num_out"], radius, widths, biased=how.get("biased", False))
            assert mean > 4.5 * error, how
    near, far = (inward(6, radius, [128**0.5])[0] for radius in (2.0, 8.0))
    assert abs(far) < 1e-6 * near, "s = sqrt(d) is said to forget codes that are 8 times as far out"


def test_witness_is_the_printed_difference_and_its_slope_is_the_force(notebook, space):
    assert notebook.prints(r"f(z) = \frac{1}{n} \sum_i k(z, x_i) - \frac{1}{m} \sum_j k(z, y_j)")
    x, y, widths = normal(5, 2).requires_grad_(), normal(7, 2, seed=1) + 0.5, [0.8, 2.0]
    biased = mmd.mmd_squared(x.detach(), y, widths, biased=True)
    values = [space["witness"](z, x.detach(), y, widths).mean() for z in (x.detach(), y)]
    assert float(values[0] - values[1]) == pytest.approx(float(biased), abs=1e-12)
    force = torch.autograd.grad(mmd.mmd_squared(x, y, widths, biased=True), x)[0]
    points = x.detach().clone().requires_grad_()
    slope = torch.autograd.grad(space["witness"](points, x.detach(), y, widths).sum(), points)[0]
    assert torch.allclose(force, 2 / len(x) * slope)


def mean(model: str, number: str) -> float:
    return reference_runs.load(UNIT).mean(model, number)


def gap(model: str) -> float:
    return mean(model, "distortion") - mean(model, "train_distortion")


def test_the_text_has_the_numbers_of_the_stored_runs(notebook):
    stored = reference_runs.load(UNIT)
    cheap = stored.difference("mmd_ae", "ae", "distortion")
    left = stored.difference("vae", "mmd_ae", "distortion")
    closer = stored.difference("mmd_ae", "vae", "frechet")
    dear = stored.difference("mmd_ae weight 1000", "mmd_ae", "distortion")
    nothing = stored.difference("mmd_ae weight 1000", "mmd_ae", "frechet")
    sentences = [
        f"costs {cheap.mean:.2f} nats of distortion ({cheap.low:.2f} to {cheap.high:.2f})",
        f"falls from {mean('ae', 'frechet'):.0f} to {mean('mmd_ae', 'frechet'):.0f}.",
        f"{dear.mean:.1f} nats ({dear.low:.1f} to {dear.high:.1f}) for nothing",
        f"({nothing.mean:+.1f}, from {nothing.low:.1f} to {nothing.high:+.1f})",
        f"{left.mean:.1f} nats ({left.low:.1f} to {left.high:.1f}) left of the VAE",
        f"closer by {closer.mean:.1f} ({closer.low:.1f} to {closer.high:.1f})",
        f"({mean('infovae, 2 latents', 'mutual_information'):.1f} against "
        f"{mean('vae beta 0.5, 2 latents', 'mutual_information'):.1f} nats)",
        f"between 2 and 4 ({mean('infovae, 2 latents', 'kl_to_prior'):.2f})",
        f"the mismatch, in KL, is {mean('mmd_vae, 2 latents', 'kl_to_prior'):.1f}",
        f"variance is {mean('vae beta 1, 500 images', 'variance'):.2f} for beta = 1 and "
        f"{mean('vae beta 2, 500 images', 'variance'):.2f} for beta = 2; for the MMD-VAE it is "
        f"{mean('mmd_vae weight 30, 500 images', 'variance'):.2f} at weight 30 and "
        f"{mean('mmd_vae weight 100, 500 images', 'variance'):.2f} at weight 100.",
        f"loses {gap('vae beta 1, 100 images'):.0f} nats from training to test images and has a variance of "
        f"{mean('vae beta 1, 100 images', 'variance'):.2f}; at 500 images {gap('vae beta 1, 500 images'):.0f} nats and "
        f"{mean('vae beta 1, 500 images', 'variance'):.2f}; at 5,000 images {gap('vae beta 1, 5000 images'):.0f} nats "
        f"and {mean('vae beta 1, 5000 images', 'variance'):.2f}.",
        f"is {mean('vae beta 1, 500 images', 'frechet'):.0f} and {mean('vae beta 2, 500 images', 'frechet'):.0f} for the "
        f"two betas, {mean('mmd_vae weight 30, 500 images', 'frechet'):.0f} and "
        f"{mean('mmd_vae weight 100, 500 images', 'frechet'):.0f} for the two weights",
    ]
    for sentence in sentences:
        assert sentence in notebook.text, sentence


def test_beta_squeezes_the_mismatch_to_a_smaller_share_in_every_seed():
    stored = reference_runs.load(UNIT)
    ends = [f"vae beta {beta}, 2 latents" for beta in ("0.5", "4")]
    kept = {
        number: [last / first for first, last in zip(*(stored.values(name, number) for name in ends), strict=True)]
        for number in ("mutual_information", "kl_to_prior")
    }
    assert max(kept["kl_to_prior"]) < 0.15 and min(kept["mutual_information"]) > 0.5
    drop = [mean(ends[0], number) - mean(ends[1], number) for number in kept]
    assert [f"{value:.1f}" for value in drop] == ["2.4", "1.2"]


def test_order_of_the_variances_turns_with_the_weight_at_every_number_of_images():
    stored = reference_runs.load(UNIT)
    for images in (100, 500, 5000):
        of = {name: stored.values(f"{name}, {images} images", "variance") for name in ("vae beta 1", "vae beta 2")}
        of |= {w: stored.values(f"mmd_vae weight {w}, {images} images", "variance") for w in ("30", "100")}
        assert min(of["30"]) > max(of["vae beta 1"]) > min(of["vae beta 1"]) > max(of["vae beta 2"])
        assert max(of["100"]) < min(of["vae beta 1"])


def test_mutual_information_is_said_to_be_between_image_and_code(notebook):
    assert "is the **mutual information** between *image* and *code*" in notebook.text


def test_infovae_weights_are_those_of_the_text(notebook):
    assert notebook.prints(r"D + (1 - \alpha) R + (\alpha + \lambda - 1) \mathrm{MMD}^2")
    source = "\n".join(cell.source for cell in notebook.cells)
    assert "latent_dim, weight, alpha = 20, 100.0, 0.5" in source
    assert "| `infovae` | a Gaussian | 0.5 rate + 100 MMD² |" in source
    assert '"infovae": (True, 1 - alpha, weight)' in source
