"""What the live view of a training costs in a notebook: the time of ``training.fit`` with it beside that without.

    python benchmarks/live_view.py [--rounds 6] [--epochs 12] [--clock cpu]

The same VAE (784-400-20, batches of 128) is trained in a Jupyter kernel on one thread, in interleaved rounds: silently,
with the line and the button, and with pictures too. Counted is the whole of ``fit``, with the last picture and without
the estimate beforehand. The ratio is taken within each round: what else the machine did then slowed both. Beside it the
share of the time that passed inside the view, which says the same on a machine that is too busy for ratios. Aim: the
median ratio with pictures is below 1.05.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

import machine
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
WAYS = {"silent": {"progress": False}, "line": {"live": False}, "pictures": {}}
TARGET = 1.05
SETTING = """
import time
import torch
torch.set_num_threads(1)
from course_utils import datasets, training
from course_utils.training import recipes
from course_utils.training.live import in_notebook
training.measuring.estimated = lambda *_: 0.0  # whether something is shown or not, it is the same
inside = {}  # method of the view -> seconds in each of its calls

def timed(name):
    method = getattr(in_notebook.NotebookView, name)
    def clocked(*given):
        began = time.{clock}()
        try:
            return method(*given)
        finally:
            inside[name].append(time.{clock}() - began)
    setattr(in_notebook.NotebookView, name, clocked)

for name in ("__init__", "show", "finish", "_drawn"):  # _drawn within show and finish
    timed(name)
data = datasets.load("auto", device="cpu")
images, test_images = data.train_images[:19_200].flatten(1), data.test_images[:1000].flatten(1)

def seconds(epochs, **options):
    model, loss_function, _ = recipes.prepare(recipes.Recipe("vae", 20), images)
    inside.update({name: [] for name in ("__init__", "show", "finish", "_drawn")})
    began = time.{clock}()
    training.fit(model, loss_function, images, epochs=epochs, test_images=test_images, seed=0, **options)
    whole = time.{clock}() - began
    return whole, len(inside["_drawn"]), sum(map(sum, inside.values())) - sum(inside["_drawn"])
"""
ROUND = """
import json
print("measured", json.dumps({{name: seconds({epochs}, **options) for name, options in {ways}.items()}}))
"""


def measure(rounds: int, epochs: int, clock: str) -> list[dict[str, tuple[float, int, float]]]:
    """For each round and way, seconds, pictures drawn, seconds inside the view; a round before the first warms up."""
    sources = [SETTING.replace("{clock}", clock), ROUND.format(epochs=1, ways=WAYS)]
    names = list(WAYS)
    for number in range(rounds):  # each way comes first, second and last in turn
        order = names[number % 3 :] + names[: number % 3]
        sources.append(ROUND.format(epochs=epochs, ways={name: WAYS[name] for name in order}))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, kernel_name="python3", timeout=None, resources={"metadata": {"path": str(ROOT)}}).execute()
    printed = ["".join(out.text for out in cell.outputs if out.output_type == "stream") for cell in notebook.cells[2:]]
    return [json.loads(text.rpartition("measured ")[2]) for text in printed]


def main() -> int:
    """Run the rounds and print the table; exit status 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6, help="interleaved rounds; the median counts (default 6)")
    parser.add_argument("--epochs", type=int, default=12, help="of 150 steps (default 12)")
    parser.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="cpu: processor time of all threads of the kernel, which other work disturbs less",
    )
    options = parser.parse_args()
    if options.rounds < 1 or options.epochs < 1:
        parser.error("--rounds and --epochs are at least 1")
    found = measure(options.rounds, options.epochs, {"wall": "perf_counter", "cpu": "process_time"}[options.clock])
    print(machine.describe("anywidget", "ipykernel", "matplotlib"))
    print(
        f"{options.epochs} epochs of 150 steps, one thread, {options.clock} time; median (least to most) of "
        f"{len(found)} rounds"
    )
    print(f"{'':10}{'seconds':>22}{'pictures':>10}{'% inside the view':>20}{'ratio to silent':>24}")
    for name in WAYS:
        times, ratios = [r[name][0] for r in found], [r[name][0] / r["silent"][0] for r in found]
        shares = [100 * r[name][2] / r[name][0] for r in found]
        pictures = statistics.median(r[name][1] for r in found)
        print(f"{name:10}{_spread(times, 1):>22}{pictures:>10}{_spread(shares, 1):>20}{_spread(ratios, 3):>24}")
    return int(statistics.median(ratios) >= TARGET)  # of the last way, pictures


def _spread(values: list[float], digits: int) -> str:
    median, low, high = (round(f(values), digits) for f in (statistics.median, min, max))
    return f"{median} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
