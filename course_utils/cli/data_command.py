"""``course data``: what data sets are on this machine, and fetching one."""

from __future__ import annotations

from pathlib import Path


def list_data() -> None:
    """Print every data set, whether it is present, and where."""
    from course_utils import datasets

    for name, folder, line in datasets.status():
        print(f"{name:15}{line}{f' in {folder}' if folder else ''}")


def show_card(name: str) -> None:
    """Print what a data set is like, and write its mean picture beside."""
    import base64

    from course_utils import datasets
    from course_utils.datasets.loading import as_png

    card = datasets.card(datasets.load(name, device="cpu"))
    path = Path(f"{datasets.as_file_name(name)}-mean.png").absolute()
    path.write_bytes(base64.b64decode(as_png(card.mean_picture)))
    print(f"{card}\nmean picture: {path}")


def fetch_data(name: str, source: Path | None = None, size: int = 64, fit: str = "crop", partial: bool = False) -> None:
    """Get one data set, by download or from ``source``, into the place where notebooks look for it."""
    from course_utils import datasets

    folder = datasets.fetch(name, source=source, size=size, fit=fit, partial=partial)
    print(f"{name}: {folder}")
    if name == "awa2":
        _report_pictures(folder)


def _report_pictures(folder: Path) -> None:
    """How many pictures there are, and every photograph that was left out."""
    from course_utils.datasets import awa2

    found = awa2.pictures(folder)
    counts = ", ".join(f"{part.stop - part.start:,} {name}" for name, part in found.part.items())
    print(f"{len(found.images):,} pictures of {len(set(found.labels.tolist()))} classes: {counts}")
    if found.skipped:
        print(f"damaged and left out: {len(found.skipped)}")
    for name, reason in found.skipped.items():
        print(f"  {name}: {reason}")
    if (packed := awa2.packed()) is not None:
        print(
            f"{packed} ({packed.stat().st_size / 1e9:.1f} GB) is needed no more, unless you want another size or fit."
        )
