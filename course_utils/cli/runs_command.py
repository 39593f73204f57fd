"""``course runs``: the models that are kept, what distinguishes them, and what to do with one."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from course_utils.models import runs
from course_utils.models.networks import LatentModel
from course_utils.models.runs import Kept
from course_utils.system.errors import CourseError

NOT_SETTINGS = ("device", "budget")  # where it ran: shown, but no difference of the model


def list_runs() -> None:
    """Print every run with its data, training and last test loss, and why others cannot be used."""
    kept, skipped = runs.every()
    if not kept and not skipped:
        print(f"No models are kept in {runs.folder('any').parent} yet. Train one: course train --dataset digits")
        return
    rows = []
    for run in kept:
        state = "" if run.record.get("stopped") is None else f" ({run.record['stopped']})"
        rows.append(
            [
                f"{run.unit}/{run.name}",
                run.label,
                f"{run.data['name'] or 'other'}, {run.data['images']:,}",
                f"{len(run.record.get('history', []))}{state}",
                _number(_last(run).get("test_loss")),
                time.strftime("%Y-%m-%d %H:%M", time.localtime(run.path.stat().st_mtime)),
            ]
        )
    _print_table(["run", "model", "data", "epochs", "test loss", "trained"], rows)
    for name, reason in skipped.items():
        print(f"{name}: {reason}")


def show(name: str) -> None:
    """Print all that is known of a run, where its weights are, and the line that loads it."""
    run = find(name)
    rows: list[tuple[str, Any]] = [
        ("label", run.label),
        ("data", f"{run.data['name'] or 'not known'}, {run.data['images']:,} images of {tuple(run.data['shape'])}"),
        *_settings(run).items(),
        *((key, _number(value)) for key, value in _last(run).items()),
        ("seconds", _number(run.record.get("seconds"))),
        ("stopped", run.record.get("stopped") or "no, it ran to its end"),
        ("parameters", f"{sum(p.numel() for p in run.model.parameters()):,}"),
        ("weights", run.path),
    ]
    width = max(len(key) for key, _ in rows)
    for key, value in rows:
        print(f"{key:{width}}  {value}")
    print(f"\nload it with:  {load_line(run.unit, run.name)}")


def compare(names: Iterable[str]) -> None:
    """Print the settings in which runs differ, and their last measures side by side."""
    found = [find(name) for name in names]
    if len(found) < 2:
        raise CourseError("Name at least two runs to compare, such as: course runs compare 02_.../vae train/ae")
    about = [{"data": run.data["name"], "images": run.data["images"]} | _settings(run) for run in found]
    measured = [_last(run) for run in found]
    differ = [key for key in _keys(about) if len({repr(each.get(key)) for each in about}) > 1]
    rows = [[key, *(str(each.get(key, "-")) for each in about)] for key in differ]
    rows += [[key, *(_number(each.get(key)) for each in measured)] for key in _keys(measured)]
    _print_table(["", *(f"{run.unit}/{run.name}" for run in found)], rows)
    if not set(differ) - {"seed", *NOT_SETTINGS}:
        print("Their settings are the same" + (" but for the seed." if "seed" in differ else "."))


def remove(name: str, *, sure: bool) -> None:
    """Remove a run: weights, record, and the folder of pictures and checkpoint that `course train` keeps."""
    path = _place(name)
    found = [each for each in (path, path.with_suffix(".json"), path.with_suffix("")) if each.exists()]
    held = sum(file.stat().st_size for each in found for file in [each, *each.rglob("*")] if file.is_file())
    if not sure:
        raise CourseError(
            f"This would remove {', '.join(str(each) for each in found)} ({held / 1e6:.1f} MB). "
            "Nothing was removed; add --yes if you are sure."
        )
    for each in found:
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    print(f"Removed {', '.join(str(each) for each in found)} ({held / 1e6:.1f} MB).")


def sample(name: str, sampler: str, num_images: int, seed: int, output: Path | None) -> None:
    """Draw codes, decode them, and write a picture (.png) or an array (.npy) of the images."""
    import numpy as np
    import torch

    from course_utils import datasets, metrics
    from course_utils.models import samplers

    run, output = find(name), output or Path(f"{Path(name).name}-{sampler}.png")
    try:
        drawn = samplers.make(sampler)
    except ValueError as error:
        raise CourseError(str(error)) from None
    if output.suffix not in (".png", ".npy"):
        raise CourseError(f"{output} ends in {output.suffix!r}; expected .png for a picture or .npy for an array.")
    if sampler == "prior":
        codes = torch.zeros(1, _code_width(run))
    elif run.data["name"] in datasets.NAMES:
        images = datasets.load(run.data["name"], device="cpu").train_images[: run.data["images"]]
        codes = samplers.aggregate_codes(run.model, images.reshape(len(images), *run.data["shape"]), seed=seed)
    else:
        raise CourseError(
            f"--sampler {sampler} is fitted to the codes of the training images, and {run.data['name'] or 'these'} "
            "cannot be loaded by name. Take --sampler prior, or see docs/using.md for doing it in Python."
        )
    codes = drawn.fit(codes).sample(num_images, seed=seed)
    pictures = metrics.decoded(run.model, codes)
    if output.suffix == ".npy":
        np.save(output, pictures.numpy())
    else:
        from PIL import Image

        from course_utils import plots

        mosaic = plots.mosaic(pictures, columns=max(1, round(num_images**0.5)))
        Image.fromarray((mosaic * 255).round().astype("uint8")).save(output)
    print(f"{num_images} images drawn from {sampler}: {output}")


def find(name: str) -> Kept:
    """The run ``unit/name``, or ``name`` where only one unit has it.

    Raises:
        CourseError: there is none, or several.
    """
    path = _place(name)
    return runs.open(path.stem, path.parent.name)


def load_line(unit: str, name: str) -> str:
    """The line of Python that loads a run."""
    return f"from course_utils import runs; model = runs.open({name!r}, {unit!r}).model"


def _print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A line for each row, which a pipe gets whole; a block for each row where a terminal is too narrow for lines."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    watched = sys.stdout.isatty() or "COLUMNS" in os.environ
    if not watched or sum(widths) + 2 * len(widths) <= shutil.get_terminal_size().columns:
        for row in [headings, *rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    for first, *others in rows:
        print(first)
        for heading, cell in zip(headings[1:], others, strict=True):
            print(f"  {heading}: {cell}")


def _place(name: str) -> Path:
    """Of the weights of ``unit/name`` or ``name``."""
    root = runs.folder("any").parent
    unit, _, short = name.rpartition("/")
    try:
        for part in (unit, short) if unit else (short,):
            runs.check_name(part)
    except ValueError:
        raise CourseError(f"{name!r} names no run; expected unit/name as `course runs` lists it.") from None
    found = sorted(
        {
            path.with_suffix(".safetensors")
            for ending in (".safetensors", ".json")
            for path in root.glob(f"{unit or '*'}/{short}{ending}")
        }
    )
    if not found:
        known = sorted(f"{path.parent.name}/{path.stem}" for path in root.glob("*/*.safetensors"))
        raise CourseError(f"There is no run {name!r} in {root}. There are: {', '.join(known) or 'none'}.")
    if len(found) > 1:
        places = ", ".join(f"{path.parent.name}/{path.stem}" for path in found)
        raise CourseError(f"Several runs are called {name!r}: name one of {places}.")
    return found[0]


def _code_width(run: Kept) -> int:
    """D, from what the encoder makes of a black image."""
    import torch

    from course_utils.models import evaluating

    model: LatentModel = run.model
    with evaluating(model):
        encoded = model.encode(torch.zeros(1, *run.data["shape"]))
    return (encoded[0] if isinstance(encoded, tuple) else encoded).shape[1]


def _settings(run: Kept) -> dict[str, Any]:
    return dict(run.record.get("settings") or {})


def _last(run: Kept) -> dict[str, Any]:
    history = run.record.get("history") or [{}]
    return {key: value for key, value in history[-1].items() if key not in ("epoch", "seconds")}


def _keys(records: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value or "-")
