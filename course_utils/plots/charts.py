"""Numbers as curves, bars, maps of codes, bundles and bands."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from torch import Tensor

from .figures import (
    ACCENT,
    DPI,
    INK,
    LONGEST_LABEL,
    OTHER,
    OWN_MARKERS,
    PALETTE,
    STYLE,
    WIDTH,
    figure,
    show,
    to_numpy,
)


@rc_context(STYLE)
def curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]], keys: Sequence[str], alt: str, caption: str = ""
) -> None:
    """One panel per key, one line per history (as ``Run.history``), over the epochs."""
    fig, axes = figure(2.6, 1, len(keys))
    for ax, key in zip(axes[0], keys, strict=True):
        for index, (label, history) in enumerate(histories.items()):
            _line(ax, [r["epoch"] for r in history], [r[key] for r in history], index, label)
        ax.set(xlabel="epoch", title=f"{key.replace('test_', 'test ')} [nats per image]")
        _whole_numbers(ax)
    _name_lines(axes[0, -1])
    show(fig, alt, caption)


@rc_context(STYLE)
def code_map(
    maps: Mapping[str, tuple[Tensor, Tensor]],
    alt: str,
    caption: str = "",
    *,
    prior: bool = True,
    names: Sequence[str] | None = None,
    limit: float | None = None,
    axis_names: tuple[str, str] = ("$z_1$", "$z_2$"),
) -> None:
    """Scatter of 2-D codes, one panel per map, each code drawn as its digit in its digit's colour.

    Args:
        maps: title -> (z (N, 2), labels (N,)).
        prior: draw the circles that hold 39 %, 86 % and 99 % of N(0, I) (radius 1, 2, 3).
        limit: half-width of the axes; default: what the codes and the circles need.
    """
    fig, axes = figure(WIDTH / max(len(maps), 1.6) + 0.3, 1, len(maps))
    for ax, (title, (z, labels)) in zip(axes[0], maps.items(), strict=False):
        points, digits = to_numpy(z), to_numpy(labels).astype(int)
        for digit in np.unique(digits):
            chosen = points[digits == digit]
            name = names[digit] if names else str(digit)
            places = len(np.unique(chosen.round(1), axis=0))
            seen = 4 if places <= 3 and len(chosen) > 10 * places else 1  # many codes that look like one sign or two
            ax.scatter(*chosen.T, s=26 * seen, marker=f"${name[:2]}$", color=PALETTE[digit % 10], linewidths=0.2 * seen)
        if prior:
            turn = np.linspace(0, 2 * np.pi, 200)
            for radius in (1, 2, 3):
                ax.plot(radius * np.cos(turn), radius * np.sin(turn), color=INK, lw=0.8, ls=(0, (4, 3)), zorder=3)
        (left, right), (low, high) = (_span(axis, limit, prior) for axis in points.T)
        ax.set(
            xlim=(left, right),
            ylim=(low, high),
            aspect="equal",
            title=title,
            xlabel=axis_names[0],
            ylabel=axis_names[1],
        )
    show(fig, alt, caption)


@rc_context(STYLE)
def histograms(groups: Mapping[str, Tensor], alt: str, caption: str = "", *, xlabel: str, bins: int = 60) -> None:
    """Densities of one quantity in several groups, on common bins."""
    values = {label: to_numpy(v).ravel() for label, v in groups.items()}
    low, high = min(v.min() for v in values.values()), max(v.max() for v in values.values())
    edges = np.linspace(low, high, bins + 1)
    fig, axes = figure(2.6)
    for index, (label, v) in enumerate(values.items()):
        axes[0, 0].hist(v, edges, density=True, histtype="stepfilled", alpha=0.35, color=colour(index))
        axes[0, 0].hist(
            v, edges, density=True, histtype="step", color=colour(index), ls=dash(index), lw=1.6, label=label
        )
    axes[0, 0].set(xlabel=xlabel, ylabel="density")
    axes[0, 0].legend()
    show(fig, alt, caption)


@rc_context(STYLE)
def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
    xscale: str = "linear",
    yscale: str = "linear",
    level: tuple[float, str] | None = None,
    annotate: Sequence[str] | None = None,
) -> None:
    """Lines with markers, each named at its right end where all end at one x, else in a legend. ``level`` is a
    horizontal line (value, label) to compare with; ``annotate`` labels the points of every series. Where every x is a
    whole number, so are the ticks. ``yscale="symlog"`` is linear below 1 and shows 0."""
    fig, axes = figure(3.0)
    ax = axes[0, 0]
    for index, (label, (x, y)) in enumerate(series.items()):
        _line(ax, x, y, index, label)
        for note, px, py in zip(annotate or (), x, y, strict=False):
            ax.annotate(note, (px, py), textcoords="offset points", xytext=(5, 5), fontsize=10)
    if level:
        ax.axhline(level[0], color=INK, lw=1, ls=(0, (4, 3)), label=level[1])
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if yscale == "symlog":
        ax.set_ylim(bottom=0)
    for axis, scale in ((ax.xaxis, xscale), (ax.yaxis, yscale)):
        if scale != "linear":
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if xscale == "linear":
        _whole_numbers(ax)
    if len(series) > 1 or level:
        _name_lines(ax)
    show(fig, alt, caption)


@rc_context(STYLE)
def bundle(
    curves: Sequence[tuple[Sequence[float], Sequence[float]]],
    label: str,
    reference: tuple[Sequence[float], Sequence[float]],
    reference_label: str,
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
) -> None:
    """Many thin lines (x, y) of one kind, which need not be told apart, and one to compare them with on top."""
    fig, axes = figure(3.0)
    ax = axes[0, 0]
    for index, (x, y) in enumerate(curves):
        ax.plot(x, y, color=OTHER, lw=1, alpha=0.6, label=label if index == 0 else None)
    ax.plot(*reference, color=ACCENT, lw=2.5, ls=(0, (4, 2)), label=reference_label)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    show(fig, alt, caption)


@rc_context(STYLE)
def bars(
    groups: Mapping[str, Sequence[float]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
    ticks: Sequence[str] | None = None,
) -> None:
    """Bars, one panel per group under a common scale; ``ticks`` name the bars."""
    fig, axes = figure(2.4, 1, len(groups), sharey=True)
    for ax, (title, heights) in zip(axes[0], groups.items(), strict=True):
        places = np.arange(1, len(heights) + 1)
        ax.bar(places, to_numpy(torch.as_tensor(heights)), color=OTHER, width=0.8)
        ax.set(title=title, xlabel=xlabel)
        if ticks:
            ax.set_xticks(places, ticks)
    axes[0, 0].set_ylabel(ylabel)
    show(fig, alt, caption)


@rc_context(STYLE)
def intervals(
    rows: Mapping[str, tuple[float, float, float]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    level: float | None = None,
    bands: Mapping[str, tuple[float, float, float]] | None = None,
    band_label: str = "reference runs",
    dots: Mapping[str, Sequence[float]] | None = None,
    marks: Mapping[str, Sequence[float]] | None = None,
    mark_label: str = "baseline",
    value_label: str = "your models",
    xlim: tuple[float, float] | None = None,
) -> None:
    """One line per row: a value with the interval (value, low, high) around it.

    Args:
        level: a vertical line to compare with, such as 0 for differences.
        bands: for some of the rows (mean, low, high) of others, drawn as a pale band under the row's own interval.
        dots: for some of the rows single values of others, drawn as open circles: one a stored run.
        marks: for some of the rows what to compare with, drawn as crosses; ``value_label`` says whose the rows are.
        xlim: what the axis shows at least; default: what the rows need.
    """
    fig, axes = figure(0.36 * len(rows) + 0.7 + (0.3 if bands or dots or marks else 0))
    ax = axes[0, 0]
    ax.use_sticky_edges = False  # a band may not end on the frame
    if level is not None:
        ax.axvline(level, color=INK, lw=1, ls=(0, (4, 3)))
    for place, (label, (value, low, high)) in enumerate(rows.items()):
        if bands and label in bands:
            mean, least, most = bands[label]
            ax.barh(place, most - least, left=least, height=0.6, color="#88ccee", alpha=0.6, label=band_label)
            ax.plot([mean, mean], [place - 0.3, place + 0.3], color="#117733", lw=1.5)
            band_label = "_again"  # one entry in the legend
        again = "_" if place else ""  # one entry each in the legend
        for given, look, name in (
            (dots, {"marker": "o", "mfc": "none"}, "stored runs"),
            (marks, {"marker": "x"}, mark_label),
        ):
            if given and label in given:
                values = list(given[label])
                height = place + (0.22 if given is dots else 0)
                ax.plot(values, [height] * len(values), ls="", color=ACCENT, markersize=6, label=again + name, **look)
        ax.plot([low, high], [place, place], color=OTHER, lw=2)
        ax.plot([value], [place], "o", color=OTHER, markersize=5, label=again + value_label if dots or marks else None)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5))
    if xlim:
        ax.update_datalim([(x, 0) for x in xlim], updatey=False)
        ax.autoscale_view(scaley=False)
    ax.grid(axis="x", color="#dddddd", lw=0.6)
    if bands or dots or marks:
        fig.legend(loc="outside upper right", ncols=3)
    show(fig, alt, caption)


@rc_context(STYLE)
def bands(
    panels: Mapping[
        str, tuple[Mapping[str, Sequence[tuple[float, float, float, float]]], Mapping[str, tuple[float, float]]]
    ],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
) -> None:
    """Stored curves as bands with one's own points on top, one panel per number.

    Args:
        panels: title -> (bands, points); bands: label -> [(x, mean, low, high), ...] in the order in which the line
            runs,
            points: label -> (x, y).

    The panels show means and points in full; a band that is wider than the panel is cut off.
    """
    fig, axes = figure(3.2, 1, len(panels))
    for ax, (title, (curves_, points)) in zip(axes[0], panels.items(), strict=True):
        for index, (label, rows) in enumerate(curves_.items()):
            x, mean, low, high = np.asarray(rows, dtype=float).T
            ax.fill_between(x, low, high, color=colour(index), alpha=0.2, lw=0)
            ax.plot(x, mean, color=colour(index), ls=dash(index), marker=".", label=label)
        for index, (label, (x, y)) in enumerate(points.items()):
            ax.plot([x], [y], ls="", marker=OWN_MARKERS[index % len(OWN_MARKERS)], color=INK, markersize=7, label=label)
        shown = [row[1] for rows in curves_.values() for row in rows] + [y for _, y in points.values()]
        margin = 0.15 * (max(shown) - min(shown))  # a band may be far wider than what it surrounds
        ax.set(xlabel=xlabel, title=title, ylim=(min(shown) - margin, max(shown) + margin))
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    show(fig, alt, caption)


@rc_context(STYLE)
def training_figure(
    records: Sequence[Mapping[str, float]], epochs: int, strips: Mapping[str, np.ndarray]
) -> tuple[Figure, str]:
    """How a training went, to be shown by whoever asked, and its text alternative.

    Args:
        records: as ``Run.history``; one panel for each number, with its ``test_`` values where there are some.
        epochs: where the curves will end.
        strips: label -> row of images beside each other, (H, W) or (H, W, 3), drawn under the curves.
    """
    names = [key for key in records[0] if key not in ("epoch", "seconds") and not key.startswith("test_")]
    names.sort(key=lambda name: name.startswith("critic_"))  # the model's own come first
    columns = min(max(len(names), 3), 4)
    curve_rows, left, row_height = math.ceil(len(names) / columns), 1.35, 2.1
    stack_height = sum((WIDTH - left) * strip.shape[0] / strip.shape[1] for strip in strips.values())
    height = row_height * curve_rows + stack_height
    # laid out by hand: it is drawn again and again, and finding a layout takes longer than drawing
    fig = Figure(figsize=(WIDTH, height), dpi=DPI)
    grid = fig.add_gridspec(
        curve_rows,
        columns,
        left=0.06,
        right=0.99,
        top=1 - 0.25 / height,
        wspace=0.3,
        hspace=0.7,
        bottom=(stack_height + 0.5) / height,
    )
    for index, name in enumerate(names):
        ax = fig.add_subplot(grid[index])
        for line, key in enumerate((name, f"test_{name}")):
            points = [(record["epoch"], record[key]) for record in records if key in record]
            if points:
                reached, values = zip(*points, strict=True)
                _line(ax, reached, values, line, "test" if line else "training")
        ax.set(title=name.replace("_", " "), xlabel="epoch", xlim=(0, max(epochs, 2) + 0.5))
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if index == 0:
            ax.legend()
    if strips:
        gaps = [np.pad(strip, [(0, 1)] + [(0, 0)] * (strip.ndim - 1), constant_values=1) for strip in strips.values()]
        ax = fig.add_axes((left / WIDTH, 0, 1 - left / WIDTH, stack_height / height))
        ax.set_axis_off()
        ax.imshow(np.concatenate(gaps), cmap="gray", vmin=0, vmax=1, aspect="auto")
    for place, label in enumerate(strips):
        y = stack_height * (1 - (place + 0.5) / len(strips)) / height
        fig.text((left - 0.1) / WIDTH, y, label, ha="right", va="center")
    ends = ", ".join(f"{name} from {records[0][name]:.4g} to {records[-1][name]:.4g}" for name in names)
    rows = f" Below them rows of images: {', '.join(strips)}." if strips else ""
    return fig, f"Training curves up to epoch {records[-1]['epoch']:.3g}: {ends}.{rows}"


def _span(values: np.ndarray, limit: float | None, prior: bool) -> tuple[float, float]:
    """The range an axis of a code map needs: all codes, and the prior's circles where they are drawn."""
    if limit:
        return -limit, limit
    low, high = float(values.min()), float(values.max())
    if prior:
        low, high = min(low, -3.0), max(high, 3.0)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _line(ax, x, y, index: int, label: str) -> None:
    marker = "osD^vP*X"[index % 8] if len(x) < 30 else ""
    ax.plot(x, y, color=colour(index), ls=dash(index), marker=marker, markersize=3.5, label=label)


def _whole_numbers(ax) -> None:
    """Ticks at whole numbers only, where every line has whole x: epochs, dimensions and counts have no halves."""
    places = np.concatenate([np.asarray(line.get_xdata(), float) for line in _data_lines(ax)] or [np.zeros(1)])
    if np.array_equal(places, places.round()):
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def _name_lines(ax) -> None:
    """Each line's name beside its right end, in its colour, pushed apart where ends are close; a legend where the lines
    do not end at one x."""
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    ends = {float(line.get_xdata()[-1]) for line in _data_lines(ax)}
    if len(ends) != 1 or max(len(str(line.get_label())) for line in lines) > 2 * LONGEST_LABEL:
        ax.legend()
        return
    ax.get_ylim()  # limits are found when they are asked for, not by the transformation
    to_height = ax.transAxes.inverted().transform
    heights = [to_height(ax.transData.transform((max(ends), line.get_ydata()[-1])))[1] for line in lines]
    gap = 14 / 72 / (0.72 * ax.figure.get_figheight() / ax.get_subplotspec().get_gridspec().nrows)
    order = sorted(range(len(lines)), key=heights.__getitem__)
    places = [heights[index] for index in order]
    for _ in range(50):  # neighbours that are too close share the distance that is missing
        for low, high in itertools.pairwise(range(len(places))):
            missing = gap - (places[high] - places[low])
            if missing > 0:
                places[low], places[high] = places[low] - missing / 2, places[high] + missing / 2
    for index, place in zip(order, places, strict=True):
        ax.annotate(
            str(lines[index].get_label()),
            (1, place),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            color=lines[index].get_color(),
            va="center",
            annotation_clip=False,
        )


def _data_lines(ax) -> list:
    """The lines that are drawn through points, without levels that cross the whole axes."""
    return [line for line in ax.lines if line.get_transform() == ax.transData]


def colour(index: int) -> str:
    return (OTHER, ACCENT, "#117733", "#ddaa33", "#88ccee", "#882255", "#888888")[index % 7]


def dash(index: int):
    return ("-", (0, (5, 2)), (0, (1, 1)), (0, (5, 2, 1, 2)))[index % 4]
