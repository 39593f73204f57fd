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


def seconds(statement: str, *, after: str = "pass", clock: str = "wall") -> float:
    """What ``statement`` takes in a fresh process that has executed ``after`` already."""
    now = "time.perf_counter()" if clock == "wall" else "time.process_time()"
    code = f"import time; {after}; began = {now}; {statement}; print({now} - began)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> int:
    """Print the table; exit status 1 where the package itself, or the core of it, takes longer than the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="processes a statement; the median counts (default 9)")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: processor time, which other work disturbs less"
    )
    options = parser.parse_args()
    times: dict[str, list[float]] = {"import torch": [], **{statement: [] for statement in STATEMENTS}}
    for _ in range(options.rounds):
        for statement, taken in times.items():
            after = "import torch" if statement in STATEMENTS else "pass"
            taken.append(seconds(statement, after=after, clock=options.clock))
    print(machine.describe())
    print(f"median of {options.rounds} rounds, {options.clock} time; what follows torch is what it adds to torch")
    for statement, taken in times.items():
        print(f"{statistics.median(taken):8.3f} s   {statement}")
    print(f"target: the first two after torch at most {TARGET_S} s; the last brings matplotlib and widgets")
    return int(max(statistics.median(times[statement]) for statement in STATEMENTS[:2]) > TARGET_S)


if __name__ == "__main__":
    sys.exit(main())
