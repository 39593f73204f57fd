"""What a timing was taken on, and small helpers that all benchmarks share."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def describe(*packages: str) -> str:
    """Two lines for people: the processor and its load; the versions of Python and of ``packages``."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for package in ("torch", *packages):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch thread(s){load}\n"
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {', '.join(found)}"
    )


def interleaved(
    ways: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds that each way took in each of ``rounds`` rounds of all ways, after one round that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, run in ways.items():
            began = clock()
            run()
            if number:
                seconds[name].append(clock() - began)
    return seconds


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*:\s*(.+)", listing.read_text()) if listing.is_file() else None
    return named.group(1) if named else platform.processor() or "unknown processor"
