"""The cockpit as one page that needs neither kernel nor network."""

from __future__ import annotations

import base64
from pathlib import Path

from course_utils.system.templates import content_policy
from course_utils.system.templates import render as render_template

from .payload import Payload

FOLDER = Path(__file__).parent


def render(payload: Payload, title: str, still: bytes, still_alt: str, author: str = "", words: str = "") -> str:
    """The page. Without scripts it shows the still picture.

    Args:
        still: a PNG; still_alt: its text alternative.
        author, words: who made it, and what the author says of it.
    """
    models = payload.about["models"]
    latents = sorted({model["dim"] for model in models})
    named = "One trained model" if len(models) == 1 else f"{len(models)} trained models"
    dims = " or ".join(map(str, latents))
    model = (
        f"{named} ({', '.join(model['title'] for model in models)}), {dims} latent dimension{'s' * (latents != [1])}."
    )
    script = render_template(
        FOLDER / "templates" / "start.js.j2",
        cockpit=(FOLDER / "cockpit.js").read_text(encoding="utf-8"),
        about=payload.about,
        numbers=base64.b64encode(payload.numbers).decode("ascii"),
    )
    return render_template(
        FOLDER / "templates" / "page.html.j2",
        title=title,
        author=author,
        words=words,
        model=model,
        policy=content_policy(script),
        script=script,
        still=base64.b64encode(still).decode("ascii"),
        still_alt=still_alt,
        style=(FOLDER / "cockpit.css").read_text(encoding="utf-8"),
    )
