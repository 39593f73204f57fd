"""Drawings and figures of variational autoencoders: how one is built, what it pays, what its space is read as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from torch import Tensor

from .figures import ACCENT, INK, OTHER, PALETTE, STYLE, WIDTH, figure, show, to_numpy
from .pictures import mosaic

PALE = "#88ccee"
_PIN_SIZE = (126, 84)  # of eight pictures pinned to a point with their label, in points


@rc_context(STYLE)
def vae_diagram() -> None:
    """How a VAE is built, where the noise enters, and what lies between the ELBO and log p(x)."""
    fig, axes = figure(3.9, 2, 1, height_ratios=(1.5, 1))
    for ax in axes[:, 0]:
        ax.set(xlim=(0, 16), ylim=(0, 5))
        ax.set_axis_off()
    ax = axes[0, 0]

    def box(x: float, y: float, text: str, colour: str = "white", width: float = 2.0) -> None:
        style = {"boxstyle": "round,pad=0.35", "fc": colour, "ec": INK}
        ax.text(x, y, text, ha="center", va="center", bbox=style, fontsize=11)

    def arrow(start: tuple[float, float], end: tuple[float, float], colour: str = INK, style: str = "->", dash="-"):
        ax.annotate("", end, start, arrowprops={"arrowstyle": style, "color": colour, "lw": 1.6, "ls": dash})

    box(0.8, 2.5, "$x$")
    box(3.2, 2.5, "encoder", "#eeeeee")
    box(6.0, 3.6, r"$\mu(x)$")
    box(6.0, 1.4, r"$\sigma(x)$")
    box(9.2, 2.5, r"$z = \mu + \sigma\,\varepsilon$", PALE)
    box(9.2, 0.3, r"$\varepsilon \sim \mathcal{N}(0, I)$", "#ddcc77")
    box(12.3, 2.5, "decoder", "#eeeeee")
    box(15.0, 2.5, r"$p(x\mid z)$")
    for start, end in (
        ((1.3, 2.5), (2.2, 2.5)),
        ((4.2, 2.7), (5.3, 3.4)),
        ((4.2, 2.3), (5.3, 1.6)),
        ((6.8, 3.4), (7.7, 2.8)),
        ((6.8, 1.6), (7.7, 2.2)),
        ((9.2, 0.95), (9.2, 1.85)),
        ((10.8, 2.5), (11.2, 2.5)),
        ((13.4, 2.5), (14.1, 2.5)),
    ):
        arrow(start, end)
    arrow((14.6, 3.5), (6.9, 4.1), ACCENT, "->", (0, (4, 2)))
    ax.text(11.2, 4.35, "gradients pass: the noise stands beside", color=ACCENT, ha="center")
    ax = axes[1, 0]
    ax.barh(3.9, 12.5, left=1, height=1.1, color=PALE)
    ax.text(7.25, 3.9, r"ELBO  =  − distortion − rate", ha="center", va="center")
    ax.barh(3.9, 2.0, left=13.5, height=1.1, color=ACCENT, alpha=0.7)
    ax.text(13.6, 2.3, r"gap: $\mathrm{KL}(q(z\mid x)\,\|\,p(z\mid x))$", ha="center", va="center", color=ACCENT)
    ax.annotate("", (15.5, 1.2), (1, 1.2), arrowprops={"arrowstyle": "<->", "color": INK})
    ax.text(7.25, 0.4, r"$\log p(x)$", ha="center", va="center")
    show(
        fig,
        "Above: the encoder gives mu and sigma of an image; noise eps from N(0, I) enters beside them, z = mu + sigma "
        "eps; the decoder gives p(x | z). Gradients pass back through z to mu and sigma. Below: a bar for log p(x), "
        "made of the ELBO (minus distortion, minus rate) and a gap, KL from q(z | x) to p(z | x).",
        "A VAE, and what it maximises. The bars show the parts, not their sizes (log p(x) is negative).",
    )


@rc_context(STYLE)
def densities(
    panels: Mapping[str, Sequence[float]],
    grid: Sequence[float],
    others: Mapping[str, Sequence[float]],
    alt: str,
    caption: str = "",
) -> None:
    """One panel for each fitted density over ``grid``, filled, with thin lines of ``others`` to compare with."""
    fig, axes = figure(2.5, 1, len(panels))
    for ax, (title, values) in zip(axes[0], panels.items(), strict=True):
        ax.fill_between(grid, values, color=PALE, alpha=0.7, lw=0)
        ax.plot(grid, values, color=OTHER)
        for index, (label, other) in enumerate(others.items()):
            ax.plot(
                grid,
                other,
                color=(ACCENT, INK)[index % 2],
                lw=1.2,
                ls=((0, (4, 2)), (0, (1, 1)))[index % 2],
                label=label,
            )
        ax.set(title=title, xlabel="z", yticks=[])
        ax.spines["left"].set_visible(False)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(others))
    show(fig, alt, caption)


@rc_context(STYLE)
def rate_distortion(
    points: Mapping[float, tuple[float, float]],
    alt: str,
    caption: str = "",
    *,
    seeds: Sequence[tuple[float, float]] = (),
    level: tuple[float, str] | None = None,
    thumbnails: Mapping[float, Tensor] | None = None,
) -> None:
    """The curve of your runs: beta -> (rate, distortion), through each point a tangent of slope -beta.

    Args:
        seeds: (rate, distortion) of stored runs, as dots. level: (distortion, label) of a horizontal line.
        thumbnails: beta -> 8 images: four reconstructions above, four samples below, pinned to the point.
    """
    fig, axes = figure(5.6 if thumbnails else 4.0)
    ax = axes[0, 0]
    ordered = sorted(points.items(), key=lambda item: item[1][0])
    rates, distortions = np.array([point for _, point in ordered]).T
    ax.plot(rates, distortions, color=OTHER, marker="o", markersize=5, lw=1.2, label="your runs")
    top, bottom = distortions.max() + 8, (level[0] if level else distortions.min()) - 6
    reach = 0.09 * (rates.max() - rates.min())
    for beta, (rate, distortion) in points.items():
        run = min(reach, 14 / max(beta, 1e-9))
        ax.plot(
            [rate - run, rate + run],
            [distortion + beta * run, distortion - beta * run],
            color=ACCENT,
            lw=2.4,
            alpha=0.7,
        )
    if not thumbnails:
        together: dict[tuple[int, int], list[float]] = {}  # points that lie on each other share a label
        for beta, (rate, distortion) in sorted(points.items()):
            together.setdefault((round(rate), round(distortion / 8)), []).append(beta)
        for betas in together.values():
            label = ", ".join(f"{beta:g}" for beta in betas)
            ax.annotate(label, points[betas[0]], textcoords="offset points", xytext=(7, 6))
    if seeds:
        ax.plot(*np.array(seeds).T, ls="", marker="x", color=INK, markersize=5, label="stored runs, three seeds")
    if level:
        ax.axhline(level[0], color=INK, lw=1, ls=(0, (4, 3)), label=level[1])
    ax.plot([], [], color=ACCENT, lw=2.4, alpha=0.7, label="slope −beta")
    ax.set(xlabel="rate [nats]", ylabel="distortion [nats]", ylim=(bottom, top))
    if thumbnails:
        ax.set(xlim=(-1.5, rates.max() * 1.28), ylim=(bottom, top + 70))
        _pin(fig, ax, points, thumbnails)
    ax.legend(loc="lower left" if not thumbnails else "upper right")
    show(fig, alt, caption)


def _pin(
    fig: Figure, ax: Axes, points: Mapping[float, tuple[float, float]], thumbnails: Mapping[float, Tensor]
) -> None:
    """Pictures up and to the right of their points, further right where another one is already."""
    fig.draw_without_rendering()  # the axes get their place
    taken: list[np.ndarray] = []  # centres, in points
    for beta in sorted(thumbnails, key=lambda each: points[each]):
        at, offset = ax.transData.transform(points[beta]) * 72 / fig.dpi, np.array([84.0, 66.0])
        while any((np.abs(at + offset - other) < _PIN_SIZE).all() for other in taken):
            offset[0] += _PIN_SIZE[0] / 4
        taken.append(at + offset)
        box = AnnotationBbox(
            OffsetImage(mosaic(thumbnails[beta], 4), cmap="gray", zoom=1.0),
            points[beta],
            xybox=tuple(offset),
            boxcoords="offset points",
            frameon=True,
            pad=0.15,
            arrowprops={"arrowstyle": "-", "color": INK},
        )
        ax.add_artist(box)
        label = (offset[0], offset[1] + 34)
        ax.annotate(f"beta {beta:g}", points[beta], textcoords="offset points", xytext=label, ha="center")


@rc_context(STYLE)
def seed_curve(
    yours: Mapping[float, float],
    seeds: Mapping[float, Sequence[float]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
    floor: tuple[float, str] | None = None,
    shaded: tuple[float, str] | None = None,
) -> None:
    """Your number at each x on a log axis, beside the values of stored seeds.

    Args:
        floor: (value, label) of a horizontal line. shaded: (x, label): the region from x to the right.
    """
    fig, axes = figure(3.2)
    ax = axes[0, 0]
    x = sorted(yours)
    ax.plot(x, [yours[place] for place in x], color=OTHER, marker="o", label="your runs")
    for place, values in seeds.items():
        ax.plot([place] * len(values), values, ls="", marker="x", color=INK, markersize=6)
    ax.plot([], [], ls="", marker="x", color=INK, label="stored runs, three seeds")
    if shaded:
        ax.axvspan(shaded[0], max(x) * 1.15, color="#dddddd", lw=0, zorder=0)
        ax.text(shaded[0] * 1.05, 0.5 * max(yours.values()), shaded[1])
    if floor:
        ax.axhline(floor[0], color=INK, lw=1, ls=(0, (4, 3)), label=floor[1])
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log", ylim=(0, None), xlim=(min(x) / 1.15, max(x) * 1.15))
    ax.set_xticks(x, [f"{place:g}" for place in x])
    ax.minorticks_off()
    ax.legend()
    show(fig, alt, caption)


@rc_context(STYLE)
def steps(
    predicted: Mapping[str, Sequence[float]],
    measured: Mapping[str, Sequence[float]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
) -> None:
    """Rates by dimension, predicted (steps) and measured (dots), a panel for each price."""
    fig, axes = figure(2.4, 1, len(predicted), sharey=True)
    for ax, (title, rates) in zip(axes[0], predicted.items(), strict=True):
        places = np.arange(1, len(rates) + 1)
        ax.bar(places, rates, color=PALE, width=0.8, label="predicted")
        ax.plot(places, measured[title], ls="", marker="o", color=ACCENT, markersize=5, label="trained")
        ax.set(title=title, xlabel=xlabel, xticks=places)
    axes[0, 0].set_ylabel("rate [nats]")
    axes[0, -1].legend()
    show(fig, alt, caption)


@rc_context(STYLE)
def reading_map(
    decode,
    reads,
    codes: Tensor,
    labels: Tensor,
    agrees: Tensor,
    alt: str,
    caption: str = "",
    *,
    steps: int = 20,
    limit: float = 3.0,
) -> None:
    """Left what the decoder draws over a grid, right the digit that is read there with the codes on top, on the same
    axes; places where codes and decoder disagree are hatched.

    Args:
        decode: z (N, 2) -> logits. reads: images (N, ...) -> digits (N,). codes, labels: of images, drawn as digits.
        agrees: (steps * steps,) of the places in the order of ``torch.cartesian_prod(axis, axis)``.
    """
    axis = torch.linspace(-limit, limit, steps)
    z = torch.cartesian_prod(axis, axis).to(codes.device)
    with torch.no_grad():
        images = torch.sigmoid(decode(z))
    rows = torch.arange(steps * steps).view(steps, steps).T.flip(0).flatten()  # z_2 upwards
    fig, axes = figure(WIDTH / 2 + 0.25, 1, 2)
    reach = limit * (1 + 1 / (steps - 1))
    extent = (-reach, reach, -reach, reach)
    axes[0, 0].imshow(mosaic(images[rows.to(images.device)], steps), cmap="gray", vmin=0, vmax=1, extent=extent)
    digits = to_numpy(reads(images))[rows].reshape(steps, steps)
    colours = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in PALETTE])
    ax = axes[0, 1]
    ax.imshow(0.55 + 0.45 * colours[digits % 10], extent=extent)
    cell = 2 * reach / steps
    for index in np.flatnonzero(~to_numpy(agrees)[rows].astype(bool)):
        row, column = divmod(int(index), steps)
        left, low = -reach + column * cell, reach - (row + 1) * cell
        ax.plot([left, left + cell], [low, low + cell], color="white", lw=1)
    points, names = to_numpy(codes), to_numpy(labels).astype(int)
    for digit in np.unique(names):
        chosen = points[names == digit]
        ax.scatter(*chosen.T, s=22, marker=f"${digit}$", color=INK, linewidths=0.2)
    for each, title in zip(axes[0], ("what the decoder draws", "what is read, and the codes"), strict=True):
        each.set(
            title=title, xlabel="$z_1$", ylabel="$z_2$", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal"
        )
    show(fig, alt, caption)


@rc_context(STYLE)
def drops(
    counts: Sequence[int],
    means: Sequence[float],
    errors: Sequence[float],
    alt: str,
    caption: str = "",
    *,
    rest: float,
    rest_label: str,
) -> None:
    """An importance-weighted bound against K, with error bars of the paired drop from K = 1, and what is left."""
    fig, axes = figure(3.2)
    ax = axes[0, 0]
    ax.errorbar(counts, means, yerr=errors, color=OTHER, marker="o", capsize=4)
    ax.axhline(rest, color=INK, lw=1, ls=(0, (4, 3)))
    ax.text(counts[0], rest, f" {rest_label}", va="bottom")
    right = counts[-1] * 1.6
    for low, high, label in ((means[-1], means[0], "slack, at least"), (rest, means[-1], "the rest")):
        ax.annotate("", (right, low), (right, high), arrowprops={"arrowstyle": "<->", "color": ACCENT})
        ax.text(right * 1.15, (low + high) / 2, f"{label}\n{high - low:.1f} nats", color=ACCENT, va="center")
    ax.set(xlabel="number of codes K", ylabel="nats per image", xscale="log", xlim=(counts[0] / 1.5, right * 6))
    ax.set_xticks(list(counts), [f"{k:,}" for k in counts])
    ax.minorticks_off()
    show(fig, alt, caption)


@rc_context(STYLE)
def error_lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
    xscale: str = "linear",
    yscale: str = "linear",
    level: tuple[float, str] | None = None,
) -> None:
    """Lines with error bars, a panel for each title: title -> label -> (x, y, error). All panels share one scale.

    Args:
        yscale: ``symlog`` is linear below 0.001, so that values of either sign are shown.
        level: a horizontal line (value, label).
    """
    fig, axes = figure(3.4, 1, len(panels), sharey=True)
    ticks = sorted({value for series in panels.values() for x, _, _ in series.values() for value in x})
    for ax, (title, series) in zip(axes[0], panels.items(), strict=True):
        if level:
            ax.axhline(level[0], color=INK, lw=1, ls=(0, (4, 3)), label=level[1])
        for index, (label, (x, y, error)) in enumerate(series.items()):
            colour = PALETTE[(0, 6, 3, 4, 7)[index % 5]]
            ax.errorbar(x, y, _two_errors(error), color=colour, marker="osD^v"[index % 5], ms=4, capsize=3, label=label)
        ax.set(title=title, xlabel=xlabel, xscale=xscale)
        if yscale == "symlog":
            ax.set_yscale("symlog", linthresh=1e-3)
        else:
            ax.set_yscale(yscale)
        ax.set_xticks(ticks, [f"{value:g}" for value in ticks])
        ax.minorticks_off()
    axes[0, 0].set_ylabel(ylabel)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    show(fig, alt, caption)


def _two_errors(errors: Sequence[float]) -> list[float]:
    """Two standard errors to either side: an interval of about 95 %."""
    return [2 * error for error in errors]


@rc_context(STYLE)
def shares(
    bars: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: tuple[str, str],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    level: tuple[float, str] | None = None,
    total: str = "rate",
) -> None:
    """Bars of two parts each, the mean over seeds, and a dot for the sum of each seed, which is called ``total``:
    name -> (first, second)."""
    fig, axes = figure(0.36 * len(bars) + 1.2)
    ax = axes[0, 0]
    for place, (first, second) in enumerate(bars.values()):
        again = "_" if place else ""
        means = [sum(part) / len(part) for part in (first, second)]
        ax.barh(place, means[0], color=PALETTE[1], label=again + labels[0])
        ax.barh(place, means[1], left=means[0], color=ACCENT, hatch="///", edgecolor="white", label=again + labels[1])
        sums = [a + b for a, b in zip(first, second, strict=True)]
        ax.plot(sums, [place] * len(sums), "o", mfc="none", color=INK, ms=5, label=f"{again}{total}, one seed each")
    if level:
        ax.axvline(level[0], color=INK, lw=1, ls=(0, (4, 3)), label=level[1])
    ax.set_yticks(range(len(bars)), list(bars))
    ax.set(xlabel=xlabel, ylim=(len(bars) - 0.5, -0.5), xlim=(0, None))
    fig.legend(loc="outside lower center", ncols=2)
    show(fig, alt, caption)


@rc_context(STYLE)
def plane(
    families: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    yours: Mapping[str, tuple[float, float]],
    alt: str,
    caption: str = "",
    *,
    xlabel: str,
    ylabel: str,
    floor: tuple[float, str],
    pictures: Mapping[str, Tensor] | None = None,
) -> None:
    """Two numbers of many models at once: family -> model -> (x, y) of each stored seed, joined by their means in the
    order given; ``yours`` as stars.

    Args:
        floor: (y, label) of a horizontal line. pictures: name of one of ``yours`` -> 8 images, pinned to its star.
    """
    fig, axes = figure(5.2 if pictures else 4.2)
    ax = axes[0, 0]
    labels: list[tuple[str, np.ndarray, str]] = []
    for index, (family, models) in enumerate(families.items()):
        colour = PALETTE[(0, 6, 3, 7)[index % 4]]
        middle = np.array([np.mean(seeds, 0) for seeds in models.values()])
        ax.plot(*middle.T, color=colour, lw=1, ls=((0, ()), (0, (4, 2)), (0, (1, 1)), (0, (5, 1, 1, 1)))[index % 4])
        dots = np.array([dot for seeds in models.values() for dot in seeds])
        ax.plot(*dots.T, ls="", marker="osD^"[index % 4], mfc="none", color=colour, ms=6, label=family)
        labels += [(name, np.array(seeds), colour) for name, seeds in models.items() if name]
    for place, (name, (x, y)) in enumerate(yours.items()):
        ax.plot([x], [y], ls="", marker="*", color=INK, ms=10, label=("_" if place else "") + "your runs")
        if pictures and name in pictures:
            box = AnnotationBbox(
                OffsetImage(mosaic(pictures[name], 4), cmap="gray", zoom=0.9),
                (x, y),
                xybox=(0, 62 + 62 * (place % 2)),
                boxcoords="offset points",
                pad=0.15,
                arrowprops={"arrowstyle": "-", "color": INK},
            )
            ax.add_artist(box)
            ax.annotate(
                name, (x, y), textcoords="offset points", xytext=(0, 94 + 62 * (place % 2)), ha="center", fontsize=9
            )
    ax.axhline(floor[0], color=INK, lw=1, ls=(0, (4, 3)), label=floor[1])
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if pictures:
        ax.margins(x=0.12)
        ax.set_ylim(0, 1.9 * max(y for _, y in yours.values()))
    else:
        ax.set_ylim(0, None)
    fig.legend(loc="outside lower center", ncols=3)
    if labels:
        fig.draw_without_rendering()  # the layout, which says where dots are
        stored = [dot for models in families.values() for seeds in models.values() for dot in seeds]
        _label_beside(ax, labels, np.array([*stored, *yours.values()]))
    show(fig, alt, caption)


def _label_beside(ax: Axes, labels: list[tuple[str, np.ndarray, str]], dots: np.ndarray) -> None:
    """(text, (N, 2) points, colour): each text on the side of its points where it covers the least of the dots and of
    the texts before it: above, below, right, left, or between two of these."""
    taken = ax.transData.transform(dots)
    unit = ax.figure.dpi / 72  # pixels of a point
    for text, points, colour in labels:
        at = ax.transData.transform(points)
        written = ax.annotate(text, points.mean(0), textcoords="offset points", xytext=(0, 0), color=colour)
        box = written.get_window_extent()
        size, gap, room = np.array([box.width, box.height]), 6 * unit, 3 * unit
        before, middle, after = at.min(0) - gap - size, at.mean(0) - size / 2, at.max(0) + gap
        columns, rows = np.stack([before, middle, after], 1)
        sides = [(1, 2), (1, 0), (2, 1), (0, 1), (2, 2), (0, 2), (2, 0), (0, 0)]
        corners = [np.array([columns[column], rows[row]]) for column, row in sides]
        covered = [((taken > corner - room) & (taken < corner + size + room)).all(1).sum() for corner in corners]
        corner = corners[int(np.argmin(covered))]
        written.set_position(tuple((corner - at.mean(0)) / unit))
        taken = np.vstack([taken, [corner + size * (share, 0.5) for share in (0, 0.5, 1)]])
