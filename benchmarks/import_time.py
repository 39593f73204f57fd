"""Seconds that importing the course adds to importing torch, in fresh processes.

    python benchmarks/import_time.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

import machine

TARGET_S = 0.3
STATEMENTS = (
    "import course_utils",
    "from course_utils import check, datasets, device, models, training",
    "from course_utils import check, datasets, device, explore, metrics, models, plots, training",
)


def added_seconds(statement: str) -> float:
    """What ``statement`` takes in a fresh process that has imported torch already."""
    code = f"import time, torch; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def torch_seconds() -> float:
    """What importing torch takes in a fresh process."""
    return float(
        subprocess.run(
            [sys.executable, "-c", "import time; began = time.perf_counter(); import torch; print(time.perf_counter() - began)"],
            capture_output=True, text=True, check=True,
        ).stdout
    )  # fmt: skip


def main() -> int:
    """Print the table; exit status 1 where the package itself, or the core of it, takes longer than the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="processes a statement; the median counts (default 9)")
    options = parser.parse_args()
    times: dict[str, list[float]] = {"import torch": [], **{statement: [] for statement in STATEMENTS}}
    for _ in range(options.rounds):
        times["import torch"].append(torch_seconds())
        for statement in STATEMENTS:
            times[statement].append(added_seconds(statement))
    print(machine.describe())
    for statement, seconds in times.items():
        print(f"{statistics.median(seconds):8.3f} s   {statement}")
    print(f"target: the first two after torch at most {TARGET_S} s; the last brings matplotlib for pictures")
    return int(max(statistics.median(times[statement]) for statement in STATEMENTS[:2]) > TARGET_S)


if __name__ == "__main__":
    sys.exit(main())
