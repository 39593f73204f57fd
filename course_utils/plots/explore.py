"""The latent cockpit: move through the latent space of your own models and see what they decode.

``latent_space`` shows it in a notebook, ``export`` writes it as one page to send to a friend. Where neither kernel nor
script is alive, a still picture stands in its place.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.models.classifier import Classifier
from course_utils.system import notebook
from course_utils.system.errors import CourseError
from course_utils.system.whole_file import write_whole

from . import latent
from .cockpit import page, payload
from .latent import LatentSpace


def latent_space(
    models: Mapping[str, nn.Module] | nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    name: str = "model",
    max_sliders: int = 10,
    reader: Classifier | None = None,
    class_names: Sequence[str] | None = None,
    attributes: Mapping[str, Tensor] | None = None,
) -> None:
    """Show the cockpit of one trained model, or of several between which a slider chooses.

    Args:
        models: a model, or title -> model (e.g. ``{"0": ..., "0.001": ...}``), each with ``encode`` (codes, or mu and
            logvar) and ``decode`` (logits), such as ``models.Autoencoder`` and ``models.VAE``. On any device.
        images: (N, ...) test images to start from, uint8 or in [0, 1], flat or as pictures.
        labels: (N,) their classes; without them images are chosen by number only.
        name: what the slider over the models is called, e.g. ``"beta"``.
        max_sliders: sliders for at most so many latent dimensions, those that carry most.
        reader: a classifier of these images, to say what it reads and how sure it is.
        class_names: names of the classes; by default their numbers.
        attributes: name -> (N,) which images have it, in {0, 1}. A slider adds it to a code: the mean code of those
            that have it minus that of those that do not.

    Raises:
        TypeError, ValueError: what was given cannot be explored; the message says why.
    """
    spaces, packed = _prepared(models, images, labels, name, max_sliders, reader, class_names, attributes)
    still, alt = _still(spaces, name, "A still picture. Run this cell to move.")
    if not notebook.in_notebook():
        print(alt)
        return
    from IPython.display import display

    from .cockpit.widget import CockpitWidget

    bundle: Any = CockpitWidget(spaces, packed)._repr_mimebundle_()
    view = bundle[0]["application/vnd.jupyter.widget-view+json"]
    display(
        {
            "application/vnd.jupyter.widget-view+json": view,
            "text/plain": alt,
            "image/png": base64.b64encode(still).decode("ascii"),
        },
        raw=True,
    )


def export(
    path: str | Path,
    models: Mapping[str, nn.Module] | nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    title: str = "A latent space to explore",
    author: str = "",
    words: str = "",
    name: str = "model",
    max_sliders: int = 10,
    reader: Classifier | None = None,
    class_names: Sequence[str] | None = None,
    attributes: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write the cockpit as one HTML page that works offline: the decoders run in it.

    ``author`` and ``words`` (a sentence or two of yours) stand under the title. Other arguments as in
    ``latent_space``. The first 200 of ``images`` travel with the page.

    Returns:
        The page's path.

    Raises:
        CourseError: a decoder has layers that cannot run in a page; the file cannot be written.
    """
    spaces, packed = _prepared(models, images, labels, name, max_sliders, reader, class_names, attributes)
    for model in packed.about["models"]:
        if model["decoder"] is None:
            raise CourseError(
                f"The decoder of {model['title']!r} cannot run in a page: expected nn.Sequential of linear layers, "
                "convolutions and the usual activations. It can be explored in the notebook."
            )
    path = Path(path)
    still, alt = _still(spaces, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, page.render(packed, title, still, alt, author, words))
    except OSError as error:
        raise CourseError(f"{path} cannot be written ({error.strerror or error}). Give another place.") from None
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens in any browser, offline.")
    return path


def _prepared(
    models: Mapping[str, nn.Module] | nn.Module,
    images: Tensor,
    labels: Tensor | None,
    name: str,
    max_sliders: int,
    reader: Classifier | None,
    class_names: Sequence[str] | None,
    attributes: Mapping[str, Tensor] | None,
) -> tuple[list[LatentSpace], payload.Payload]:
    named = _named(models)
    labels = _checked(images, labels, max_sliders, class_names)
    spaces = [latent.study(title, model, images) for title, model in named.items()]
    packed = payload.pack(
        spaces, labels, class_names, name=name, max_sliders=max_sliders, reader=reader, attributes=attributes
    )
    return spaces, packed


def _still(spaces: Sequence[LatentSpace], name: str, note: str = "") -> tuple[bytes, str]:
    prefix = "" if name == "model" else f"{name} "
    return latent.traversal_png({prefix + space.title: space for space in spaces}, 0, note=note)


def _named(models: Mapping[str, nn.Module] | nn.Module) -> dict[str, nn.Module]:
    if isinstance(models, Mapping):
        if not models:
            raise ValueError("models is empty; expected at least one trained model, e.g. {'0.001': run.model}.")
        return {str(title): model for title, model in models.items()}
    return {"model": models}


def _checked(images: object, labels: Any, max_sliders: int, class_names: Sequence[str] | None) -> Tensor | None:
    """The labels on the CPU, if what was given can be used."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images is a {type(images).__name__}; expected a tensor (N, ...) of test images.")
    if images.ndim < 2 or len(images) < 2:
        raise ValueError(f"images has shape {tuple(images.shape)}; expected (N, ...) with at least two images.")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"there are {len(labels)} labels for {len(images)} images; expected one each.")
    if not isinstance(max_sliders, int) or max_sliders < 1:
        raise ValueError(f"max_sliders is {max_sliders!r}; expected a whole number from 1 up.")
    if labels is None:
        return None
    labels = torch.as_tensor(labels).cpu()
    if class_names is not None and len(class_names) <= int(labels.max()):
        raise ValueError(
            f"there are {len(class_names)} class_names and a label {int(labels.max())}; expected a name "
            "for every label."
        )
    return labels
