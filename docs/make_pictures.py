"""Make the pictures in docs/pictures/ from real runs: python docs/make_pictures.py [check manifold cockpit]

- check.png     what a check says about a KL divergence that takes logvar for the log of the standard deviation
- manifold.png  a 2-D latent space of MNIST, decoded on a 20x20 grid
- cockpit.png   the latent cockpit of three models of MNIST

Needs MNIST (course data fetch mnist) and Chromium; takes a few minutes of training.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests")]

from lab_in_chromium import chromium

from course_utils import check, datasets, metrics, models, plots, training
from course_utils.models import classifier
from course_utils.models import closed_forms as reference
from course_utils.plots import explore
from course_utils.training import recipes
from course_utils.training.recipes import Recipe

PICTURES = CHECKOUT / "docs" / "pictures"
MOST_BYTES = 300_000
WRONG_ANSWER = """def kl_divergence(mu, logvar):
    return 0.5 * (mu**2 + (2 * logvar).exp() - 1 - 2 * logvar).sum(dim=1).mean()

check.kl_divergence(kl_divergence, points=4)"""
PAGE = """<body style="font:14px sans-serif;margin:16px;background:white">
<pre style="background:#f5f5f5;border:1px solid #ccc;padding:10px;font-size:14px">{}</pre>{}
<style>tbody tr:nth-child(odd) {{ background: #f5f5f5 }} td, th {{ font-size: 13px }}</style></body>"""


def make_check() -> None:
    """The table under a wrong answer, as the notebook shows it."""
    torch.manual_seed(0)
    names = {"check": check}
    definition, call = WRONG_ANSWER.rsplit("\n", 1)
    exec(definition, names)
    with chromium(width=1000, height=100, scale=1.5) as page:
        page.set_content(PAGE.format(WRONG_ANSWER, eval(call, names)._repr_html_()))
        keep("check", page.screenshot(full_page=True))


def make_manifold() -> None:
    """The 20x20 grid over [-3, 3]^2, z1 to the right, z2 upwards."""

    def loss_function(model, x):
        logits, mu, logvar = model(x)
        distortion = reference.bernoulli_nll(logits, x).mean()
        return {"loss": distortion + reference.gaussian_kl(mu, logvar).sum(1).mean()}

    images = datasets.load("mnist").train_images.flatten(1)
    torch.manual_seed(0)
    model = training.fit(models.VAE(784, [400], 2), loss_function, images, epochs=8, seed=0).model
    axis = plots.latent_axis(20)
    z2, z1 = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    z = torch.stack([z1.flatten(), z2.flatten()], dim=1).to(images.device)
    picture = plots.mosaic(metrics.decoded(model, z), columns=20)
    keep("manifold", png(Image.fromarray((picture * 255).astype("uint8"))))


def make_cockpit() -> None:
    """The exported page of three models of MNIST, half-way between two digits."""
    data = datasets.load("mnist")
    images = data.train_images.flatten(1)
    shown = {}
    for title, recipe in (
        ("AE", Recipe("ae", 10)),
        ("VAE", Recipe("vae", 10)),
        ("MMD-AE", Recipe("mmd-ae", 10, weight=100.0)),
    ):
        torch.manual_seed(0)
        model, loss_function, _ = recipes.prepare(recipe, images)
        shown[title] = training.fit(model, loss_function, images, epochs=3, seed=0).model
    with tempfile.TemporaryDirectory() as folder, chromium(width=920, height=100) as page:
        path = explore.export(
            Path(folder, "cockpit.html"),
            shown,
            data.test_images.flatten(1),
            data.test_labels,
            title="Three models of handwritten digits",
            reader=classifier.train(data),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("#cockpit[data-ready=true]")
        page.locator(".cockpit-range input").first.fill("1")  # the VAE
        page.get_by_label("position t").fill("0.5")
        page.wait_for_function("document.querySelector('.cockpit-caption').textContent.startsWith('50 %')")
        page.wait_for_timeout(1000)
        keep("cockpit", page.screenshot(full_page=True))


def keep(name: str, content: bytes) -> None:
    """Write a picture with at most 256 colours, if it is small enough to live in the repository."""
    image = Image.open(io.BytesIO(content))
    small = image if image.mode == "L" else image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    content = png(small)
    if len(content) > MOST_BYTES:
        raise SystemExit(f"{name}.png has {len(content):,} bytes; at most {MOST_BYTES:,} are kept.")
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{name}.png").write_bytes(content)
    print(f"docs/pictures/{name}.png: {image.width} x {image.height}, {len(content):,} bytes")


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    makers = {"check": make_check, "manifold": make_manifold, "cockpit": make_cockpit}
    unknown = set(sys.argv[1:]) - set(makers)
    if unknown:
        raise SystemExit(f"unknown picture {', '.join(unknown)}; known: {', '.join(makers)}")
    for name in sys.argv[1:] or makers:
        makers[name]()
