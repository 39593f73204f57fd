"""python train_and_disturb.py SEED MOMENTS FOLDER: trains eight models at once that differ in one option, then the same
model again and again, disturbed at random moments; prints one JSON line for each. Trainings are forks of this process, which has imported everything and computed nothing."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import sklearn.datasets  # noqa: F401  imported here once
import torch
import torch._dynamo

from course_utils import metrics, plots, training  # noqa: F401
from course_utils.cli import app as cli
from course_utils.cli.train import command  # noqa: F401
from course_utils.models import runs
from course_utils.system.errors import CourseError
from course_utils.training import measuring

COMMAND = ["train", "--dataset", "digits", "--epochs", "4", "--batch-size", "100", "--hidden-dim", "64", "--name", "it"]
WAYS = ("KILL", "TERM", "INT", "HUP", "disk")


def child(output: Path, limit: int | None = None, arguments: list[str] = COMMAND) -> int:
    """Start a command in a process of its own; ``limit`` is the longest file that it can write, as if a disk were
    full."""
    pid = os.fork()
    if pid:
        return pid
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    torch.set_num_threads(1)
    measuring.PROBE_SECONDS = 0.01
    status = 70
    try:
        status = cli.run(arguments)
        sys.stdout.flush()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kept(place: Path) -> str | None:
    """Digest of the weights that lie there."""
    path = place / "train" / "it.safetensors"
    return runs.digest(runs.read(path)[1]) if path.exists() else None


def sweep(place: Path) -> None:
    """Eight learning rates at the same time, without names: what each left, by its own record and its weights."""
    rates = [0.001 * 2**number for number in range(8)]
    usual = COMMAND[: COMMAND.index("--name")]
    children = [
        child(place.parent / f"sweep{lr}.txt", None, [*usual, "--epochs", "1", "--lr", f"{lr}"]) for lr in rates
    ]
    codes = [ended(pid) for pid in children]
    found = {}
    for path in (place / "train").glob("*.safetensors"):
        record, weights = runs.read(path)
        about = json.loads((path.with_suffix("") / "run.json").read_text())
        same = about["lr"] == record["settings"]["lr"] and about["finished"] and about["epochs"] == 1
        found[about["lr"]] = same and runs.digest(weights)
    print(json.dumps({"codes": codes, "asked": rates, "found": sorted(found), "weights": len(set(found.values()))}))
    shutil.rmtree(place)


def main() -> None:
    seed, moments, place = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    rng = random.Random(seed)
    os.environ["COURSE_RUNS"], os.environ["COURSE_DEVICE"] = str(place), "cpu"
    sweep(place)
    began = time.perf_counter()
    assert ended(child(place.parent / "whole.txt")) == 0, (place.parent / "whole.txt").read_text()
    seconds, whole = time.perf_counter() - began, kept(place)
    sizes = [path.stat().st_size for path in place.rglob("*") if path.is_file()]
    for moment in range(moments):
        shutil.rmtree(place)
        output, way = place.parent / f"{moment}.txt", WAYS[moment % len(WAYS)]
        limit = rng.randrange(1000, int(1.1 * max(sizes))) if way == "disk" else None
        pid = child(output, limit)
        if limit is None:
            time.sleep(rng.random() * seconds)
            os.kill(pid, getattr(signal, f"SIG{way}"))
        first, said = ended(pid), output.read_text()
        try:
            model = kept(place)
        except CourseError as error:
            model = f"unreadable: {error}"
        about = place / "train" / "it" / "run.json"
        said_of_it = json.loads(about.read_text()) if about.exists() else {"finished": False}
        true = not said_of_it["finished"] or (said_of_it["epochs"] == 4 and model == whole)
        again = ended(child(output))
        leftovers = [path.name for path in place.rglob(".*") if not path.name.endswith(".lock")]
        print(
            json.dumps(
                {
                    "way": way,
                    "limit": limit,
                    "first": first,
                    "model": model is not None,
                    "readable": "unreadable" not in str(model),
                    "true": bool(true),
                    "said": said[-600:],
                    "again": again,
                    "same": kept(place) == whole,
                    "left": leftovers,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
