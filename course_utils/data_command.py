"""``course data``: what data sets are on this machine, and fetching one."""

from __future__ import annotations


def list_data() -> None:
    """Print every data set, whether it is present, and where."""
    from . import datasets

    for name, folder, line in datasets.status():
        print(f"{name:15}{line}{f' in {folder}' if folder else ''}")


def fetch_data(name: str) -> None:
    """Download one data set into the place where notebooks look for it."""
    from . import datasets

    print(f"{name}: {datasets.fetch(name)}")
