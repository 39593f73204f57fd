"""The cockpit as one page that needs neither kernel nor network."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path

from .payload import Payload

FOLDER = Path(__file__).parent


def render(payload: Payload, title: str, still: bytes, still_alt: str) -> str:
    """The page. Without scripts it shows the still picture.

    Args:
        still: a PNG; still_alt: its text alternative.
    """
    about = json.dumps(payload.about).replace("<", "\\u003c")  # nothing in a title can end the script
    numbers = base64.b64encode(payload.numbers).decode("ascii")
    picture = base64.b64encode(still).decode("ascii")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>
body {{ margin: 0; padding: 16px; background: #fff; color: #111; font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 22px; margin: 0 0 8px; }}
{(FOLDER / "cockpit.css").read_text(encoding="utf-8")}
</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
<div id="cockpit"><noscript><img alt="{html.escape(still_alt, quote=True)}" src="data:image/png;base64,{picture}">
</noscript></div>
</main>
<script type="module">
{(FOLDER / "cockpit.js").read_text(encoding="utf-8")}
const numbers = Uint8Array.from(atob("{numbers}"), (letter) => letter.charCodeAt(0));
window.cockpit = mount(document.getElementById("cockpit"), {about}, numbers.buffer);
</script>
</body>
</html>
"""
