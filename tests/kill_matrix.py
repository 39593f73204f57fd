"""Measure the checks on the bank of implementations, and publish the result as docs/kill-matrix.md.

- every wrong implementation is judged again and again: is it below full marks each time, with one score or several, by
  which laws, with which cause?
- every right implementation is judged again and again: does it get full marks each time?
- the page has one block for each exercise, which says how often its implementations were run; one exercise can be
  measured alone, and its block is replaced then.

    course test --kill-matrix                            # the whole bank: hours
    course test --kill-matrix --only kl_divergence       # one exercise: minutes
    python tests/kill_matrix.py --only slerp --wrong 20 --right 40
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "kill-matrix.md"
POINTS = 4
RUNS_WRONG, RUNS_RIGHT = 50, 200

HEAD = """# Kill matrix

How the checks fare on the bank of implementations under `tests/bank`. Made by `course test --kill-matrix`; do not edit.
Each exercise says how often its implementations were run; `--only NAME` measures one again. Scores are of 4 points.
Without a law that is essential, the others earn at most half of them.
"""


@dataclass
class Measured:
    """What became of one implementation over all its runs."""

    name: str
    about: str
    right: bool
    expected: str | None
    varies: str = ""
    runs: int = 0
    scores: Counter[float] = field(default_factory=Counter)
    broken: Counter[int] = field(default_factory=Counter)  # law number (from 1) -> runs in which it was broken
    causes: Counter[str] = field(default_factory=Counter)  # cause ids named together, joined by '|' -> runs
    message: str = ""
    trouble: str = ""

    @property
    def full(self) -> int:
        return self.scores[POINTS]

    @property
    def as_it_should(self) -> bool:
        return self.full == (self.runs if self.right else 0)

    @property
    def one_score(self) -> bool:
        return len(self.scores) == 1

    @property
    def well_explained(self) -> bool:
        """In every run: the expected cause and no other, or no cause where none can be told."""
        return all(_is_expected(_ids(key), self.expected) for key in self.causes)

    @property
    def falsely_explained(self) -> bool:
        """In some run a cause is named that is not the expected one."""
        return any(not _ids(key) <= _ids(self.expected or "") for key in self.causes)


def _ids(joined: str) -> set[str]:
    return set(filter(None, joined.split("|")))


def _is_expected(named: set[str], expected: str | None) -> bool:
    return named == set() if expected is None else bool(named) and named <= _ids(expected)


def measure(exercise: str, index: int, right: bool, runs: int) -> Measured:
    """Judge one implementation `runs` times."""
    from bank import load

    from course_utils.checks import CHECKS

    bank = load(exercise)
    entry = (bank.right_ones if right else bank.wrong_ones)[index]
    measured = Measured(entry.name, entry.about, right, entry.cause, entry.varies)
    for _ in range(runs):
        score = CHECKS[exercise].judge(entry.function, points=POINTS)
        measured.runs += 1
        measured.scores[score.earned] += 1
        broken = [(number, law) for number, law in enumerate(score.laws, 1) if not law.passed]
        measured.broken.update(number for number, _ in broken)
        causes = dict.fromkeys(law.cause for _, law in broken if law.cause)
        measured.causes["|".join(sorted(cause.id for cause in causes))] += 1
        measured.message = " / ".join(cause.sentence for cause in causes)
        measured.trouble = next(
            (f"{law.name}: expected {law.expected}, got {law.got}" for _, law in broken), measured.trouble
        )
    return measured


def measure_exercise(
    exercise: str, runs_wrong: int, runs_right: int, pool: ProcessPoolExecutor | None, tell: Callable[[str], None]
) -> list[Measured]:
    """Judge the whole bank of one exercise, in its order: the wrong ones, then the right ones."""
    from bank import load

    bank = load(exercise)
    jobs = [(exercise, index, False, runs_wrong) for index in range(len(bank.wrong_ones))]
    jobs += [(exercise, index, True, runs_right) for index in range(len(bank.right_ones))]
    columns = zip(*jobs, strict=True)
    results = list(pool.map(measure, *columns)) if pool else [measure(*job) for job in jobs]
    for result in results:
        name = f"{exercise}.{result.name}"
        if not result.as_it_should:
            tell(f"{name}: full marks in {result.full} of {result.runs} runs {result.trouble}")
        elif not result.right and not result.one_score:
            tell(f"{name}: {len(result.scores)} different scores, {_scores(result)}")
        if not result.right and not result.well_explained:
            tell(f"{name}: expected cause {result.expected}, named {dict(result.causes)}")
    return results


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def block(exercise: str, results: Sequence[Measured]) -> str:
    """The part of the page about one exercise."""
    from course_utils.checks import CHECKS

    wrong, right = [r for r in results if not r.right], [r for r in results if r.right]
    named = [r for r in wrong if r.expected is not None]
    laws = [
        f"{number}. {law.name} ({law.weight}{', essential' if law.essential else ''})"
        for number, law in enumerate(CHECKS[exercise].laws, 1)
    ]
    counts = [
        f"- {len(wrong)} wrong implementations, {wrong[0].runs} runs each: {sum(r.as_it_should for r in wrong)} "
        f"below full marks in every run; {sum(r.one_score for r in wrong)} with one score in all runs.",
        f"- {len(right)} right implementations, {right[0].runs} runs each: {sum(r.as_it_should for r in right)} at "
        "full marks in every run.",
        f"- Likely cause: named in every run for {sum(r.well_explained for r in named)} wrong implementations, rightly "
        f"none for {sum(r.well_explained for r in wrong if r.expected is None)}; false in any run for "
        f"{sum(r.falsely_explained for r in wrong)}.",
    ]
    wrong_rows = [
        f"| {r.name} | {_cell(r.about)} | {r.runs - r.full} of {r.runs} | {_scores(r)} | {_laws(r)} | "
        f"{_cell(r.message) or 'unknown'} |"
        for r in wrong
    ]
    right_rows = [f"| {r.name} | {_cell(r.about)} | {r.full} of {r.runs} |" for r in right]
    return "\n".join(
        [
            f"## {exercise}",
            "",
            *counts,
            "",
            "Laws (weight):",
            "",
            *laws,
            "",
            "| wrong implementation | what it stands for | below full marks | score | broken laws | likely cause |",
            "| --- | --- | --- | --- | --- | --- |",
            *wrong_rows,
            "",
            "| right implementation | style | full marks |",
            "| --- | --- | --- |",
            *right_rows,
            "",
        ]
    )


def _scores(result: Measured) -> str:
    """One score as it is; several as their range and number, and why."""
    low, high = min(result.scores), max(result.scores)
    why = f": {_cell(result.varies)}" if result.varies else ""
    return f"{low:g}" if result.one_score else f"{low:g} to {high:g} ({len(result.scores)} scores{why})"


def _laws(result: Measured) -> str:
    return ", ".join(
        str(number) if count == result.runs else f"{number} ({100 * count // result.runs} %)"
        for number, count in sorted(result.broken.items())
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def blocks_of(page: str) -> dict[str, str]:
    """The blocks of a page, by exercise."""
    parts = re.split(r"^(?=## \w)", page, flags=re.MULTILINE)[1:]
    return {part[3:].split("\n", 1)[0].strip(): part for part in parts}


@dataclass(frozen=True)
class Counts:
    """What a block says of its exercise."""

    wrong: int
    runs_wrong: int
    caught: int
    one_score: int
    right: int
    runs_right: int
    accepted: int
    named: int
    rightly_none: int
    false_causes: int


_COUNTS = re.compile(
    r"- (\d+) wrong \w+, (\d+) runs each: (\d+) below full marks in every run; (\d+) with one score in all runs\.\n"
    r"- (\d+) right \w+, (\d+) runs each: (\d+) at full marks in every run\.\n"
    r"- Likely cause: named in every run for (\d+) wrong \w+, rightly none for (\d+); false in any run for (\d+)\."
)


def counts_of(block: str) -> Counts:
    """The counts that a block states. Raises ValueError where it states none."""
    found = _COUNTS.search(block)
    if found is None:
        raise ValueError(f"no counts in the block {block.splitlines()[0]!r}; measure it again with --only")
    return Counts(*map(int, found.groups()))


def render(blocks: dict[str, str]) -> str:
    """The page: what all blocks add up to, and the blocks in the order of their names."""
    counts = [counts_of(block) for block in blocks.values()]
    total = Counts(*(sum(getattr(each, name) for each in counts) for name in Counts.__dataclass_fields__))
    runs_wrong, runs_right = ([getattr(each, name) for each in counts] for name in ("runs_wrong", "runs_right"))
    summary = [
        f"- {total.wrong} wrong implementations, {_span(runs_wrong)} runs each: {total.caught} below full marks in "
        f"every run; {total.one_score} with one score in all runs.",
        f"- {total.right} right implementations, {_span(runs_right)} runs each: {total.accepted} at full marks in "
        "every run.",
        f"- Likely cause named in every run for {total.named} wrong implementations "
        f"({100 * total.named / max(total.wrong, 1):.0f} % of all); {total.rightly_none} more rightly get none; a "
        f"false cause in any run: {total.false_causes}.",
    ]
    parts = (blocks[name].rstrip("\n") + "\n" for name in sorted(blocks))
    return "\n".join([HEAD, *summary, "", *parts])


def _span(runs: Sequence[int]) -> str:
    return str(runs[0]) if len(set(runs)) == 1 else f"{min(runs)} to {max(runs)}"


def run(only: Sequence[str], runs_wrong: int, runs_right: int, workers: int = 2) -> int:
    """Measure the exercises named (all, if none is) and write their blocks of the page as they are ready. Exit code 0
    when every wrong implementation is caught every time and every right one passes every time, else 1."""
    from course_utils.checks import CHECKS

    unknown = [name for name in only if name not in CHECKS]
    if unknown:
        print(f"no exercise {unknown[0]!r}; there are {', '.join(CHECKS)}.", file=sys.stderr)
        return 2
    faults = 0
    pool = ProcessPoolExecutor(workers, initializer=_one_thread) if workers > 1 else None
    try:
        for exercise in only or CHECKS:
            results = measure_exercise(exercise, runs_wrong, runs_right, pool, print)
            faults += sum(not result.as_it_should for result in results)
            page = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
            blocks = {name: text for name, text in blocks_of(page).items() if name in CHECKS and _COUNTS.search(text)}
            blocks[exercise] = block(exercise, results)
            PAGE.write_text(render(blocks), encoding="utf-8")
            print("\n".join(blocks[exercise].splitlines()[:5]), flush=True)
    finally:
        if pool:
            pool.shutdown()
    return int(faults > 0)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the checks on the bank of implementations.")
    parser.add_argument(
        "--only", action="append", default=[], metavar="EXERCISE", help="this exercise; may be repeated"
    )
    parser.add_argument("--wrong", type=int, default=RUNS_WRONG, help="runs of each wrong implementation")
    parser.add_argument("--right", type=int, default=RUNS_RIGHT, help="runs of each right implementation")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    return run(given.only, given.wrong, given.right, given.workers)


if __name__ == "__main__":
    sys.exit(main())
