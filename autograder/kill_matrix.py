"""Measure the checks on the bank of implementations and publish the result as a page.

- every wrong implementation is judged again and again: is it below full marks each time, by which laws, with which
cause?
- every right implementation is judged again and again: does it get full marks each time?
- the page docs/kill-matrix.md lists both, and is compared with today's bank and laws by the tests.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "kill-matrix.md"


@dataclass
class Measured:
    """What became of one implementation over all its runs."""

    exercise: str
    name: str
    about: str
    right: bool
    expected: str | None
    runs: int = 0
    full: int = 0
    broken: Counter = field(default_factory=Counter)  # law number (from 1) -> runs in which it was broken
    causes: Counter = field(default_factory=Counter)  # cause ids named together, joined by '|' -> runs
    message: str = ""
    trouble: str = ""

    @property
    def as_it_should(self) -> bool:
        return self.full == (self.runs if self.right else 0)

    @property
    def well_explained(self) -> bool:
        """In every run: the expected cause and no other, or no cause where none can be told."""
        return all(_is_expected(set(filter(None, key.split("|"))), self.expected) for key in self.causes)

    @property
    def falsely_explained(self) -> bool:
        """In some run a cause is named that is not the expected one."""
        allowed = set((self.expected or "").split("|"))
        return any(not set(filter(None, key.split("|"))) <= allowed for key in self.causes)


def _is_expected(named: set[str], expected: str | None) -> bool:
    return named == set() if expected is None else bool(named) and named <= set(expected.split("|"))


def load_bank() -> dict:
    """The bank of the tests, by exercise."""
    folder = str(ROOT / "tests")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from bank import BANKS

    return BANKS


def measure(exercise: str, index: int, right: bool, runs: int) -> Measured:
    """Judge one implementation `runs` times."""
    from course_utils.checks import CHECKS

    bank = load_bank()[exercise]
    entry = (bank.right_ones if right else bank.wrong_ones)[index]
    measured = Measured(exercise, entry.name, entry.about, right, entry.cause)
    for _ in range(runs):
        score = CHECKS[exercise].judge(entry.function, points=4)
        measured.runs += 1
        measured.full += score.earned == 4
        broken = [(number, law) for number, law in enumerate(score.laws, 1) if not law.passed]
        measured.broken.update(number for number, _ in broken)
        causes = dict.fromkeys(law.cause for _, law in broken if law.cause)
        measured.causes["|".join(sorted(cause.id for cause in causes))] += 1
        measured.message = " / ".join(cause.sentence for cause in causes)
        measured.trouble = next(
            (f"{law.name}: expected {law.expected}, got {law.got}" for _, law in broken), measured.trouble
        )
    return measured


def measure_all(
    runs_wrong: int, runs_right: int, *, workers: int = 2, tell: Callable[[str], None] = lambda line: None
) -> list[Measured]:
    """Judge the whole bank, in the order of the bank."""
    jobs = [
        (exercise, index, right, runs_right if right else runs_wrong)
        for exercise, bank in load_bank().items()
        for right, entries in ((False, bank.wrong_ones), (True, bank.right_ones))
        for index in range(len(entries))
    ]
    if workers <= 1:
        results = [measure(*job) for job in jobs]
    else:
        with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
            results = []
            for result in pool.map(measure, *zip(*jobs)):
                results.append(result)
                if len(results) % 50 == 0:
                    tell(f"{len(results)} of {len(jobs)} implementations judged")
    for result in results:
        if not result.as_it_should:
            tell(f"{result.exercise}.{result.name}: full marks in {result.full} of {result.runs} runs {result.trouble}")
        elif not result.right and not result.well_explained:
            tell(f"{result.exercise}.{result.name}: expected cause {result.expected}, named {dict(result.causes)}")
    return results


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def render(results: list[Measured]) -> str:
    """The page."""
    from course_utils.checks import CHECKS

    wrong = [r for r in results if not r.right]
    right = [r for r in results if r.right]
    explained, false = sum(r.well_explained for r in wrong), sum(r.falsely_explained for r in wrong)
    named = [r for r in wrong if r.expected is not None]
    lines = [
        "# Kill matrix",
        "",
        "How the checks fare on the bank of implementations under `tests/bank`. Made by `course test --kill-matrix`; "
        "do not edit.",
        "",
        f"- {len(wrong)} wrong implementations, {_runs(wrong)} runs each: {sum(r.as_it_should for r in wrong)} below "
        "full marks in every run.",
        f"- {len(right)} right implementations, {_runs(right)} runs each: {sum(r.as_it_should for r in right)} at "
        "full marks in every run.",
        f"- Likely cause named in every run for {sum(r.well_explained for r in named)} wrong implementations "
        f"({100 * sum(r.well_explained for r in named) / len(wrong):.0f} % of all); "
        f"{explained - sum(r.well_explained for r in named)} more rightly get none; a false cause in any run: {false}.",
        "",
    ]
    for exercise, check in CHECKS.items():
        mine = [r for r in results if r.exercise == exercise]
        lines += [f"## {exercise}", "", "Laws (weight):", ""]
        lines += [f"{number}. {law.name} ({law.weight})" for number, law in enumerate(check.laws, 1)]
        lines += [
            "",
            "| wrong implementation | what it stands for | below full marks | broken laws | likely cause named |",
            "| --- | --- | --- | --- | --- |",
        ]
        for r in (r for r in mine if not r.right):
            laws = ", ".join(
                str(n) if count == r.runs else f"{n} ({100 * count // r.runs} %)"
                for n, count in sorted(r.broken.items())
            )
            lines.append(
                f"| {r.name} | {_cell(r.about)} | {r.runs - r.full} of {r.runs} | {laws} | "
                f"{_cell(r.message) or 'unknown'} |"
            )
        lines += ["", "| right implementation | style | full marks |", "| --- | --- | --- |"]
        lines += [f"| {r.name} | {_cell(r.about)} | {r.full} of {r.runs} |" for r in mine if r.right]
        lines.append("")
    return "\n".join(lines)


def _runs(results: list[Measured]) -> str:
    counts = sorted({r.runs for r in results})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def run(write: bool = True, runs_wrong: int = 50, runs_right: int = 200, workers: int = 2) -> int:
    """Measure the whole bank and write the page. Exit code 0 when every wrong implementation is caught every time and
    every right one passes every time, else 1."""
    results = measure_all(runs_wrong, runs_right, workers=workers, tell=print)
    page = render(results)
    if write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
    print("\n".join(page.splitlines()[4:7]))
    return 0 if all(r.as_it_should for r in results) else 1


def main(runs_wrong: int = 50, runs_right: int = 200) -> int:
    return run(True, runs_wrong, runs_right)


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:3])))
