"""Figures of several panels that are read together, from left to right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from .charts import colour, dash
from .figures import ACCENT, INK, OTHER, PALETTE, STYLE, WIDTH, blank, figure, show, to_numpy

Points = tuple[Sequence[float], Sequence[float]]
DOTS = (OTHER, ACCENT, PALETTE[9], PALETTE[3], INK, PALETTE[7], PALETTE[4])


@rc_context(STYLE)
def panels(
    groups: Mapping[str, Mapping[str, Points]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
    ylim: tuple[float, float] | None = None,
    level: tuple[float, str] | None = None,
    shaded: Sequence[tuple[float, float]] = (),
) -> None:
    """Lines (x, y) in panels beside each other, on one scale and with one colour for each label.

    Args:
        groups: title -> label -> (x, y).
        level: a horizontal line (value, label) to compare with.
        shaded: ranges of x that the text leaves out, in grey.
    """
    fig, axes = figure(3.0, 1, len(groups), sharey=True)
    for ax, (title, series) in zip(axes[0], groups.items(), strict=True):
        for left, right in shaded:
            ax.axvspan(left, right, color="#eeeeee", lw=0)
        if level:
            ax.axhline(level[0], color=INK, lw=1, ls=(0, (4, 3)), label=level[1])
        for index, (label, (x, y)) in enumerate(series.items()):
            ax.plot(x, y, color=colour(index), ls=dash(index), label=label)
        ax.set(title=title, xlabel=xlabel)
        ax.locator_params(axis="x", nbins=3)
        if ylim:
            ax.set_ylim(*ylim)
    axes[0, 0].set_ylabel(ylabel)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    show(fig, alt, caption)


@rc_context(STYLE)
def histogram_panels(
    groups: Mapping[str, Mapping[str, Tensor]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    xlim: tuple[float, float],
    bins: int = 60,
) -> None:
    """Densities of one quantity, a panel for each title, on one scale of the quantity: title -> label -> values."""
    fig, axes = figure(2.9, 1, len(groups))
    edges = np.linspace(*xlim, bins + 1)
    for ax, (title, series) in zip(axes[0], groups.items(), strict=True):
        for index, (label, values) in enumerate(series.items()):
            v = to_numpy(values).ravel()
            ax.hist(v, edges, density=True, histtype="stepfilled", alpha=0.25, color=colour(index))
            ax.hist(v, edges, density=True, histtype="step", color=colour(index), ls=dash(index), label=label)
        ax.set(title=title, xlabel=xlabel, xlim=xlim)
        ax.locator_params(axis="x", nbins=3)
        ax.set_yticks([])
    axes[0, 0].set_ylabel("density")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    show(fig, alt, caption)


@rc_context(STYLE)
def bumps(
    strips: Tensor, position: Tensor, codes: Tensor, drawn: Tensor, decoded: Tensor, alt: str, caption: str = ""
) -> None:
    """A world of strips, its code of one number, and what the prior draws: three panels.

    Args:
        strips: (N, pixels) and ``position`` (N,), the place of the bump on each; ``codes`` (N,).
        drawn: (M,) codes from N(0, 1); ``decoded``: (M, pixels), what the decoder makes of them.
    """
    fig, axes = figure(3.2, 1, 3)
    order, drawn_order = position.argsort(), drawn.argsort()
    for ax, pictures, labels in (
        (axes[0, 0], strips[order], ("strips", "strip, sorted by t")),
        (axes[0, 2], decoded[drawn_order], ("decoded draws z ~ N(0, 1)", "draw, sorted by z")),
    ):
        ax.imshow(to_numpy(pictures), cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        ax.set(title=labels[0], xlabel="pixel", ylabel=labels[1])
        ax.set_yticks([])
    ax = axes[0, 1]
    ax.plot(to_numpy(position[order]), to_numpy(codes[order]), color=OTHER, label="your code")
    ax.axhspan(-2, 2, color=ACCENT, alpha=0.25, lw=0, label="N(0, 1), 95 %")
    ax.set(title="the code z of each place", xlabel="place t of the bump", ylabel="z")
    ax.legend()
    show(fig, alt, caption)


@torch.no_grad()
@rc_context(STYLE)
def code_places(
    codes: Tensor,
    labels: Tensor,
    shown: Tensor,
    confidence: Callable[[Tensor], Tensor],
    alt: str,
    caption: str = "",
    *,
    limit: float = 3.0,
    steps: int = 60,
) -> None:
    """Where 2-D codes lie, and what a reader makes of what is decoded there: the whole map, the square that the prior
    samples, and that square coloured by the reader's confidence.

    Args:
        codes: (N, 2), ``labels`` (N,); ``shown``: the indices that are drawn as digits.
        confidence: (M, 2) codes -> (M,) confidence in what is decoded from them.
    """
    fig, axes = figure(3.3, 1, 3)
    points, digits, all_points = to_numpy(codes[shown]), to_numpy(labels[shown]).astype(int), to_numpy(codes)
    box = limit * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])
    for ax in axes[0, :2]:
        for digit in np.unique(digits):
            chosen = points[digits == digit]
            ax.scatter(*chosen.T, s=34, marker=f"${digit}$", color=PALETTE[digit % 10], linewidths=0.3, clip_on=True)
        ax.plot(*box, color=INK, lw=1.2)
    low, high = all_points.min(0), all_points.max(0)
    axes[0, 0].set(
        xlim=(low[0] - 1, high[0] + 1), ylim=(low[1] - 1, high[1] + 1), title="codes, and the square [-3, 3]²"
    )
    axes[0, 1].set(xlim=(-limit, limit), ylim=(-limit, limit), title="the square alone")
    ax, line = axes[0, 2], torch.linspace(-limit, limit, steps)
    z2, z1 = torch.meshgrid(line, line, indexing="ij")
    sure = to_numpy(confidence(torch.stack([z1.flatten(), z2.flatten()], 1))).reshape(steps, steps)
    extent = (-limit, limit, -limit, limit)
    drawn = ax.imshow(sure, origin="lower", extent=extent, cmap="cividis", vmin=0.1, vmax=1, aspect="auto")
    inside = all_points[(np.abs(all_points) < limit).all(1)]
    counts = np.histogram2d(inside[:, 1], inside[:, 0], bins=12, range=[[-limit, limit]] * 2)[0]
    middles = np.linspace(-limit, limit, 13)[:-1] + limit / 12
    if counts.max() > 0:
        ax.contour(middles, middles, counts, levels=[0.5], colors="white", linewidths=1.5)
    ax.set(title="the reader's confidence")
    fig.colorbar(drawn, ax=ax, fraction=0.05, pad=0.02)
    for ax in axes[0]:
        ax.set(xlabel="$z_1$")
    axes[0, 0].set_ylabel("$z_2$")
    show(fig, alt, caption)


@rc_context(STYLE)
def fields(
    maps: Mapping[str, tuple[Tensor, Tensor, Tensor]],
    alt: str,
    caption: str = "",
    *,
    limit: float,
    names: Sequence[str],
) -> None:
    """A function of the plane as colour, with two sets of points on it; one panel for each map, one scale for all.

    Args:
        maps: title -> (heights (G, G) at G equally spaced places from -limit to limit, the first axis upwards; points
            (N, 2), drawn as dots; others (M, 2), drawn as rings).
        names: of the function, of the points and of the others.
    """
    fig, axes = figure(WIDTH / max(len(maps), 1.6) + 0.75, 1, len(maps), sharey=True)
    most = max(float(heights.abs().max()) for heights, _, _ in maps.values()) or 1.0
    for ax, (title, (heights, points, others)) in zip(axes[0], maps.items(), strict=True):
        size = limit * (1 + 1 / (len(heights) - 1))  # a pixel is centred at its place
        drawn = ax.imshow(
            to_numpy(heights), origin="lower", extent=(-size, size) * 2, cmap="PuOr_r", vmin=-most, vmax=most
        )
        ax.scatter(*to_numpy(others).T, s=12, facecolors="none", edgecolors=INK, linewidths=0.5, label=names[2])
        ax.scatter(*to_numpy(points).T, s=9, color=INK, linewidths=0, label=names[1])
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", title=title, xlabel="$z_1$")
    axes[0, 0].set_ylabel("$z_2$")
    fig.colorbar(drawn, ax=axes[0].tolist(), label=names[0], shrink=0.8)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    show(fig, alt, caption)


@rc_context(STYLE)
def picture_pairs(pairs: Mapping[str, tuple[Tensor, Tensor]], alt: str, caption: str = "") -> None:
    """Pictures above the pictures that they are compared with; a block of two rows for each title."""
    from .pictures import to_pictures

    blocks = {title: (to_pictures(upper), to_pictures(lower)) for title, (upper, lower) in pairs.items()}
    columns = max(len(upper) for upper, _ in blocks.values())
    fig, axes = figure(0.62 * 2 * len(blocks) + 0.2, 2 * len(blocks), columns)
    for place, (title, rows) in enumerate(blocks.items()):
        for offset, pictures in enumerate(rows):
            line = axes[2 * place + offset]
            for ax, picture in zip(line, pictures, strict=False):
                ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            for ax in line:
                blank(ax)
            name = title if offset == 0 else "its nearest\ntraining image"
            line[0].text(-0.15, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
    fig.set_layout_engine("constrained", w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    show(fig, alt, caption)


@rc_context(STYLE)
def dot_panels(
    groups: Mapping[str, tuple[str, Mapping[str, Sequence[tuple[float, float]]]]],
    alt: str,
    caption: str = "",
    *,
    ylabel: str,
    level: tuple[float, str],
    joined: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Single trainings as dots in panels, two to a row, on one vertical scale and with one look for each label.

    Args:
        groups: title -> (xlabel, label -> [(x, y), ...]); a label may be missing in a panel.
        level: a horizontal line (value, label): what the number is at best.
        joined: title -> labels whose dots are joined there in the order of x, thinly.
    """
    labels = list(dict.fromkeys(label for _, series in groups.values() for label in series))
    rows = (len(groups) + 1) // 2
    fig, axes = figure(2.7 * rows + 0.4, rows, 2, sharey=True)
    handles = {}
    for ax, (title, (xlabel, series)) in zip(axes.flat, groups.items(), strict=False):
        handles[level[1]] = ax.axhline(level[0], color=INK, lw=1, ls=(0, (4, 3)))
        for label, dots in series.items():
            index = labels.index(label)
            x, y = np.asarray(sorted(dots), dtype=float).T
            look = {"color": DOTS[index % len(DOTS)], "marker": "osxD*P^"[index % 7], "mfc": "none", "ms": 7}
            if label in (joined or {}).get(title, ()):
                ax.plot(x, y, color=look["color"], lw=0.6, alpha=0.6)
            (handles[label],) = ax.plot(x, y, ls="", **look)
        ax.set(title=title, xlabel=xlabel)
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    axes[0, 0].set_ylim(0, None)  # of all panels, when all is drawn
    for row in axes:
        row[0].set_ylabel(ylabel)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    show(fig, alt, caption)


@rc_context(STYLE)
def waterfall(
    stages: Mapping[str, Sequence[float]],
    alt: str,
    caption: str = "",
    *,
    ylabel: str,
    levels: Mapping[str, float],
) -> None:
    """A number after one change upon another: bars from stage to stage, single runs as circles, the change in writing.

    Args:
        stages: name of the change -> the number in each run after it; the first is where all begins.
        levels: label -> horizontal line to compare with.
    """
    fig, axes = figure(3.4)
    ax = axes[0, 0]
    means = [float(np.mean(values)) for values in stages.values()]
    for place, values in enumerate(stages.values()):
        before = means[max(place - 1, 0)]
        if place:
            up = means[place] > before
            ax.bar(place, means[place] - before, bottom=before, width=0.6, color=ACCENT if up else OTHER, alpha=0.35)
            ax.plot([place - 1, place + 0.3], [before, before], color=INK, lw=0.8)
        ax.plot([place - 0.3, place + 0.3], [means[place]] * 2, color=INK, lw=2)
        ax.plot([place] * len(values), values, ls="", marker="o", mfc="none", color=INK, ms=5)
        text = f"{means[place]:.1f}" if not place else f"{means[place] - before:+.1f}"
        top = max(before, means[place], *values)
        ax.annotate(text, (place, top), textcoords="offset points", xytext=(0, 6), ha="center")
    for label, value in levels.items():
        ax.axhline(value, color=INK, lw=1, ls=(0, (4, 3)))
        ax.annotate(label, (len(means) - 0.4, value), textcoords="offset points", xytext=(0, 4), ha="right")
    ax.set_xticks(range(len(means)), list(stages))
    ax.set(ylabel=ylabel, xlim=(-0.5, len(means) - 0.3))
    low, high = min(*levels.values(), *(min(v) for v in stages.values())), max(max(v) for v in stages.values())
    ax.set_ylim(low - 0.12 * (high - low), max(high, *levels.values()) + 0.15 * (high - low))
    show(fig, alt, caption)


@rc_context(STYLE)
def contests(
    panels: Mapping[str, tuple[str, Mapping[str, tuple[Sequence[float], float]]]],
    rivals: Sequence[str],
    alt: str,
    caption: str = "",
) -> None:
    """How several methods do in several uses, a panel for each: dots on one line per method.

    Args:
        panels: title -> (what the numbers are, {method: (numbers of the stored runs, your own)}); the same methods in
            every panel. A method may have no stored numbers.
        rivals: those of the methods that are drawn as crosses, the best of them as a dashed line.
            A number is better to the right where the title ends with "→", to the left where it ends with "←".
    """
    methods = list(next(iter(panels.values()))[1])
    fig, axes = figure(0.34 * len(methods) + 1.3, 1, len(panels), sharey=True)
    for index, (ax, (title, (xlabel, rows))) in enumerate(zip(axes[0], panels.items(), strict=True)):
        again = "_" if index else ""
        best = (max if title.endswith("→") else min)(rows[rival][1] for rival in rivals)
        ax.axvline(best, color=INK, lw=1, ls=(0, (4, 3)), label=again + "the better rival")
        for place, method in enumerate(methods):
            stored, own = rows[method]
            rival = method in rivals
            ax.plot(stored, [place] * len(stored), "o", mfc="none", color=ACCENT, ms=7, label="_")
            ax.plot(
                [own], [place], "x" if rival else "o", color=INK if rival else OTHER, ms=7 if rival else 5, label="_"
            )
        ax.set(title=title, xlabel=xlabel, ylim=(len(methods) - 0.5, -0.5))
        ax.grid(axis="y", color="#dddddd", lw=0.6)
        ax.locator_params(axis="x", nbins=4)
    for look, label in (
        ({"marker": "o", "mfc": "none", "color": ACCENT}, "stored runs, one seed each"),
        ({"marker": "o", "color": OTHER}, "your models"),
        ({"marker": "x", "color": INK}, "rivals without training"),
    ):
        axes[0, 0].plot([], [], ls="", label=label, **look)
    axes[0, 0].set_yticks(range(len(methods)), methods)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    show(fig, alt, caption)


@rc_context(STYLE)
def sampler_plane(
    models: Mapping[str, Mapping[str, tuple[Sequence[tuple[float, float]], tuple[float, float]]]],
    names: Mapping[str, str],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
    floor: tuple[float, str],
) -> None:
    """Two numbers of models and of the ways to draw their codes; the second on a log scale.

    Args:
        models: model -> sampler -> ((x, y) of each stored seed, (x, y) of one's own run). The own runs of a model are
            joined, in the order given; each model has a colour of its own.
        names: of the samplers, for the legend; each has a marker of its own, in this order.
        floor: (y, label) of a horizontal line.
    """
    fig, axes = figure(5.0)
    ax, looks = axes[0, 0], dict(zip(names, "osD^vP*", strict=False))
    for index, (model, draws) in enumerate(models.items()):
        colour = DOTS[index % len(DOTS)]
        own = np.array([mine for _, mine in draws.values()])
        ax.plot(*own.T, color=colour, lw=1)
        for sampler, (stored, mine) in draws.items():
            for dots, fill in ((stored, "none"), ([mine], colour)):
                if len(dots):
                    ax.plot(*np.asarray(dots).T, ls="", marker=looks[sampler], mfc=fill, color=colour, ms=7)
        ax.plot([], [], color=colour, lw=4, label=model)
    for sampler, name in names.items():
        ax.plot([], [], ls="", marker=looks[sampler], color=INK, label=name)
    ax.axhline(floor[0], color=INK, lw=1, ls=(0, (4, 3)), label=floor[1])
    ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.margins(x=0.08, y=0.12)
    fig.legend(loc="outside lower center", ncols=4)
    show(fig, alt, caption)
