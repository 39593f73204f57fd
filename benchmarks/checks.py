"""How long each check takes for a right answer: the median of many runs on one thread.

    python benchmarks/checks.py [RUNS]

Prints wall-clock and CPU milliseconds per check, and the import time of course_utils.check beyond that of torch. The
aim: every check under 300 ms, most under 50 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def timings(runs: int) -> list[tuple[str, float, float]]:
    """(exercise, median wall milliseconds, median CPU milliseconds) for the first right implementation of each bank."""
    import torch
    from bank import exercises, load

    from course_utils import check

    torch.set_num_threads(1)
    rows = []
    for exercise in exercises():
        judge, function = getattr(check, exercise), load(exercise).right_ones[0].function
        wall, cpu = [], []
        for _ in range(runs + 2):
            started, busy = time.perf_counter(), time.process_time()
            assert judge(function, points=3).complete
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - busy)
        rows.append((exercise, 1e3 * statistics.median(wall[2:]), 1e3 * statistics.median(cpu[2:])))
    return rows


def import_seconds(statement: str) -> float:
    """CPU seconds of a fresh interpreter that runs `statement`; the best of three."""
    code = f"import time; {statement}; print(time.process_time())"
    return min(
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    )


def main(runs: int = 25) -> None:
    print(f"{'check':22} {'wall ms':>8} {'CPU ms':>8}")
    for exercise, wall, cpu in timings(runs):
        print(f"{exercise:22} {wall:8.1f} {cpu:8.1f}")
    extra = import_seconds("import torch; import course_utils.check") - import_seconds("import torch")
    print(f"import course_utils.check beyond torch: {extra:.2f} s CPU")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
