"""The explorer: move through the latent space of your own models and see what they decode.

Plain ipywidgets, which JupyterLab, Notebook 7, VS Code and Colab all know how to show; where no kernel is alive a still
picture stands in its place.
"""

from __future__ import annotations

import base64
import html
from typing import Mapping, Sequence

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import latent, notebook
from course_utils.latent import CodeMap, LatentSpace

SIDE = 224  # pixels of the large picture
SMALL = 84
CAPTION = '<div style="line-height:1.4;height:4.2em"><strong>Decoded image</strong><br>{}</div>'  # three lines, so
# that the picture stays where it is when the words change
WIDE = {"width": "34em", "max_width": "100%"}


def latent_space(
    models: Mapping[str, nn.Module] | nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    name: str = "model",
    max_sliders: int = 10,
) -> None:
    """Show the explorer of one trained model, or of several between which a slider chooses.

    Args:
        models: a model, or title -> model (e.g. ``{"0": ..., "0.001": ...}``), each with ``encode`` (codes, or mu and
            logvar) and ``decode`` (logits), such as ``models.Autoencoder`` and ``models.VAE``. On any device.
        images: (N, ...) test images to start from, uint8 or in [0, 1], flat or as pictures.
        labels: (N,) their digits; without them images are chosen by number only.
        name: what the slider over the models is called, e.g. ``"beta"``.
        max_sliders: sliders for at most so many latent dimensions, those that carry most.

    Raises:
        TypeError, ValueError: what was given cannot be explored; the message says why.
    """
    explorer = LatentExplorer(models, images, labels, name=name, max_sliders=max_sliders)
    bundle = explorer.mime_bundle()
    if not notebook.in_notebook():
        print(bundle["text/plain"])
        return
    from IPython.display import display

    display(bundle, raw=True)


class LatentExplorer:
    """The widgets of ``latent_space`` and what connects them. Arguments as there.

    ``z`` (D,) is the point whose image is shown; every control ends in ``_move_to`` or ``_slide``.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module] | nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        name: str = "model",
        max_sliders: int = 10,
    ) -> None:
        named = _named(models)
        self.labels = _checked(images, labels, max_sliders)
        self.spaces = [latent.study(title, model, images) for title, model in named.items()]
        self.space = self.spaces[0]
        self.index = 0
        self.z = self.space.code(0)
        self.start = ""  # where z came from, in words
        self._noise = torch.Generator()  # of its own, so that exploring leaves the notebook's random state alone
        self._noise.seed()
        self._maps: dict[str, CodeMap] = {}
        self._busy = False
        self._make_widgets(name, min(max_sliders, max(space.dim for space in self.spaces)), len(images))
        self._enter(self.space)
        self._start_from_image()

    # What is shown

    def _make_widgets(self, name: str, num_sliders: int, num_images: int) -> None:
        self.picture, self.original, self.reconstruction = Picture(SIDE), Picture(SMALL), Picture(SMALL)
        self.bars, self.map = Picture(latent.BARS_WIDTH), Picture(CodeMap.side)
        self.caption, self.pair_caption = ipywidgets.HTML(), ipywidgets.HTML()
        self.sliders = [self._slider() for _ in range(num_sliders)]
        self.model_slider = ipywidgets.SelectionSlider(
            options=[(space.title, space) for space in self.spaces], description=name, continuous_update=True,
            tooltip=f"Which {name}", style={"description_width": "11em"},
            layout={**WIDE, "display": "" if len(self.spaces) > 1 else "none"},
        )  # fmt: skip
        self.model_slider.observe(lambda change: self._enter(change.new), "value")
        self._make_image_choice(num_images)
        self.sample_button = _button("Sample from N(0, I)", "Move to a random point of the prior", self._sample)
        self.reset_button = _button("Reset to 0", "Move to the origin", self._reset)

        box, column = ipywidgets.HBox, ipywidgets.VBox
        pair = column([self.pair_caption, box([self.original, self.reconstruction])])
        points = box([self.sample_button, self.reset_button])
        choice = [self.digit, self.number, self.back_button]
        left = column([self.caption, self.picture, points, pair, *choice], layout=ipywidgets.Layout(width="21em"))
        right = column([self.model_slider, *self.sliders, self.bars, self.map])
        self.box = box([left, right], layout=ipywidgets.Layout(flex_flow="row wrap", grid_gap="0 2em"))

    def _slider(self) -> ipywidgets.FloatSlider:
        slider = ipywidgets.FloatSlider(
            min=-latent.LEAST_REACH, max=latent.LEAST_REACH, continuous_update=True, readout_format=".2f",
            style={"description_width": "11em"}, layout=dict(WIDE),
        )  # fmt: skip
        slider.observe(lambda change: self._slide(slider), "value")
        return slider

    def _make_image_choice(self, num_images: int) -> None:
        short = {"layout": {"width": "15em"}, "style": {"description_width": "6em"}}
        digits = sorted(set(self.labels.tolist())) if self.labels is not None else []
        self.digit = ipywidgets.Dropdown(
            options=["any", *digits], description="an image of",
            tooltip="Choose among the images of one digit", **short)  # fmt: skip
        self.digit.layout.display = "" if digits else "none"
        self.number = ipywidgets.BoundedIntText(
            value=0, min=0, max=num_images - 1, description="number", tooltip="Start from it", **short)  # fmt: skip
        self.back_button = _button("Back to this image", "Move to the code of the image", self._start_from_image)
        self.digit.observe(lambda change: self._choose_digit(), "value")
        self.number.observe(lambda change: self._start_from_image(), "value")

    # What the controls do

    def _enter(self, space: LatentSpace) -> None:
        """Show another model at the same z; where its latent dimension differs, at its own code of the image."""
        self.space = space
        shown = space.order[: len(self.sliders)]
        self.shown = dict(zip(self.sliders, shown, strict=False))
        for slider in self.sliders:
            slider.layout.display = "" if slider in self.shown else "none"
        self.bars.show(latent.bars_png(space, len(shown)), latent.bars_title(space))
        self.map.layout.display = "" if space.dim == 2 else "none"
        if space.dim == 2 and space.title not in self._maps:
            self._maps[space.title] = CodeMap(space, self.labels)
        self._show_pair()
        if len(self.z) == space.dim:
            self._move_to(self.z, self.start)
        else:
            self._start_from_image()

    def _slide(self, slider: ipywidgets.FloatSlider) -> None:
        d = self.shown.get(slider)
        if self._busy or d is None or abs(slider.value - float(self.z[d])) < 0.5 * slider.step:
            return  # below half a step it is no one's hand: the browser rounds what it shows, and says so
        self.z[d] = slider.value
        self._draw(f"{self.start}, then z{d + 1} moved to {slider.value:.2f}")

    def _sample(self) -> None:
        self._move_to(torch.randn(self.space.dim, generator=self._noise), "A sample from N(0, I)")

    def _reset(self) -> None:
        self._move_to(torch.zeros(self.space.dim), "The origin, z = 0")

    def _choose_digit(self) -> None:
        count = len(self._choice())
        if self.number.value == 0:
            self.number.max = count - 1
            self._start_from_image()
        else:
            self.number.value = 0  # which starts from that image
            self.number.max = count - 1

    def _start_from_image(self) -> None:
        self.index = self._choice()[self.number.value]
        self._show_pair()
        self._move_to(self.space.code(self.index), f"The code of {self._image_name()}")

    def _choice(self) -> Sequence[int]:
        if self.digit.value == "any":
            return range(len(self.space.images))
        return (self.labels == self.digit.value).nonzero()[:, 0].tolist()

    def _image_name(self) -> str:
        digit = f", a {int(self.labels[self.index])}" if self.labels is not None else ""
        return f"image {self.index}{digit}"

    # What follows from z

    def _move_to(self, z: Tensor, start: str) -> None:
        """Go to z (D,): set every slider to it and draw once."""
        self.z, self.start = z.clone(), start
        self._busy = True
        try:
            for slider, d in self.shown.items():
                reach = max(self.space.reach(d), abs(float(z[d])))
                with slider.hold_trait_notifications():
                    slider.min, slider.max, slider.step = -reach, reach, reach / 60
                    slider.value = float(z[d])
                    slider.description = slider.tooltip = self.space.label(d)
        finally:
            self._busy = False
        self._draw(start)

    def _draw(self, words: str) -> None:
        decoded = latent.image_png(self.space.decode(self.z[None])[0])
        self.picture.show(decoded, f"Image decoded by {self.space.title}. {words}.")
        self.caption.value = CAPTION.format(html.escape(words))
        if self.space.dim == 2:
            point = f"z1 = {self.z[0]:.2f}, z2 = {self.z[1]:.2f}"
            self.map.show(self._maps[self.space.title].png(self.z), f"Map of the codes with a cross at {point}")

    def _show_pair(self) -> None:
        """The chosen image beside its reconstruction by the model that is shown."""
        name = self._image_name()
        decoded = self.space.decode(self.space.code(self.index)[None])[0]
        self.original.show(latent.image_png(self.space.original(self.index)), f"Original: {name}")
        self.reconstruction.show(latent.image_png(decoded), f"Reconstruction of {name} by {self.space.title}")
        self.pair_caption.value = f"{name.capitalize()}: original and reconstruction"

    def mime_bundle(self) -> dict[str, object]:
        """The widget, and the still picture for where there is no kernel, as one output of a notebook."""
        view = self.box._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]
        prefix = "" if self.model_slider.description == "model" else f"{self.model_slider.description} "
        still, alt = latent.traversal_png({prefix + space.title: space for space in self.spaces}, self.index)
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": alt,
                "image/png": base64.b64encode(still).decode("ascii")}  # fmt: skip


class Picture(ipywidgets.HTML):
    """A picture with a text alternative, which ``ipywidgets.Image`` cannot have; the browser enlarges its pixels.

    Args:
        width: on the page, in CSS pixels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.png, self.alt = width, b"", ""

    def show(self, png: bytes, alt: str) -> None:
        """Replace the picture. Decoded before it is painted, so that it does not flicker under a moving slider."""
        self.png, self.alt = png, alt
        source = base64.b64encode(png).decode("ascii")
        self.value = (
            f'<img src="data:image/png;base64,{source}" alt="{html.escape(alt, quote=True)}" decoding="sync" '
            f'style="width:{self.width}px;max-width:100%;image-rendering:pixelated;display:block">'
        )


def _button(text: str, tooltip: str, action) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tooltip, layout={"width": "auto", "align_self": "flex-start"})
    button.on_click(lambda _: action())
    return button


def _named(models: object) -> dict[str, nn.Module]:
    if isinstance(models, Mapping):
        if not models:
            raise ValueError("models is empty; expected at least one trained model, e.g. {'0.001': run.model}.")
        return {str(title): model for title, model in models.items()}
    return {"model": models}


def _checked(images: object, labels: object, max_sliders: int) -> Tensor | None:
    """The labels on the CPU, if images, labels and max_sliders can be used."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images is a {type(images).__name__}; expected a tensor (N, ...) of test images.")
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"images has shape {tuple(images.shape)}; expected (N, ...) with at least one image.")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"there are {len(labels)} labels for {len(images)} images; expected one each.")
    if not isinstance(max_sliders, int) or max_sliders < 1:
        raise ValueError(f"max_sliders is {max_sliders!r}; expected a whole number from 1 up.")
    return None if labels is None else torch.as_tensor(labels).cpu()
