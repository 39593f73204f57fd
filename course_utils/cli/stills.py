"""Saved notebooks keep a widget's still picture or text in its place: without its kernel the widget shows an error.

The server of ``course lab`` calls `before_saving` (lab_config/everyone). While the notebook
is open, its widgets live on.
"""

from __future__ import annotations

from typing import Any

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def before_saving(model: dict[str, Any], **_: Any) -> None:
    """A pre-save hook of jupyter_server; ``model`` is what is about to be saved."""
    if model.get("type") == "notebook" and model.get("content"):
        leave_stills(model["content"])


def leave_stills(notebook: dict[str, Any]) -> None:
    """Take the widget's view out of every output that has a picture or text beside it, and the state of all widgets."""
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if {"image/png", "text/html"} & output.get("data", {}).keys():
                output["data"].pop(WIDGET_VIEW, None)
