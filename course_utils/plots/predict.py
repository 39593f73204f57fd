"""Predict, then look: you commit to a guess before the figure appears, and see it again beside what was measured.

``choose``, ``number`` and ``curve`` ask; ``reveal`` answers. A guess is typed into the cell, or set with the control
below it and locked with its button; revealing locks it too. What is locked stays: the notebook's outputs carry it, for
your instructor to see what the class believed, and so does ``runs/<unit>/.guesses``, for a kernel that starts afresh.
Who has not guessed finds the verdict folded. A guess is still taken then, as one made after the figure was seen.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from course_utils.models import runs
from course_utils.system import notebook, unfinished
from course_utils.system.whole_file import write_whole

from .guessing.questions import MIME, Answer, Choice, Curve, Number, Question, record


def choose(question: str, *, guess: str = "", **choices: str) -> Guess:
    """Show a question with lettered choices and keep your guess.

    Args:
        question: one sentence.
        guess: the letter you choose, or "" for none yet.
        **choices: letter -> text, e.g. ``a="a sharp digit", b="noise"``.
    """
    return Guess(Choice(question, choices), guess)


def number(question: str, low: float, high: float, unit: str = "", *, guess: float | None = None) -> Guess:
    """Show a question whose answer is a number from ``low`` to ``high``, in ``unit``, and keep your guess."""
    return Guess(Number(question, low, high, unit), guess)


def curve(
    question: str,
    x: Sequence[float],
    low: float,
    high: float,
    *,
    xlabel: str,
    ylabel: str,
    guess: Sequence[float] | None = None,
) -> Guess:
    """Show a question whose answer is a curve, drawn at the places ``x`` between ``low`` and ``high``, and keep your
    guess: one number for each x."""
    return Guess(Curve(question, tuple(x), low, high, xlabel, ylabel), guess)


def reveal(
    guess: Guess,
    truth: str | float | Sequence[float],
    because: str,
    tempting: str | Mapping[str, str] = "",
) -> None:
    """Lock the guess and show it beside the truth (a letter, a number, or a number for each x) and the measurement that
    decides. Where a training behind it ended early, nothing is decided.

    ``tempting`` is what a wrong guess hears: why it is not a foolish one. One sentence, or one for each letter.
    """
    question = guess.question
    measured = question.read_truth(truth if question.kind == "choice" else _floats(truth))
    if measured is None and question.kind == "choice":
        raise ValueError(f"truth is {truth!r}; expected one of {', '.join(question.choices)}.")
    handle: list[Any] = [None]

    def answer() -> None:
        handle[0] = _answer(guess, measured, because, tempting, handle[0])

    guess.close(answer)
    answer()


def _answer(guess: Guess, measured: Answer, because: str, tempting: str | Mapping[str, str], handle: Any) -> Any:
    """Show what ``reveal`` has to say now; returns the handle by which it is shown anew."""
    question, value = guess.question, guess.value
    if partly := unfinished.note():
        said = f"Not decided. {partly} Run that cell again, to its end, and then this one."
        return _show(html.escape(said), said, record(question, value, None, guess.after), handle)
    verdict = _verdict(question, value, measured, guess.after)
    parts = [f"<strong>{html.escape(verdict)}</strong> {html.escape(because)}"]
    plain = f"{verdict} {because}"
    wrong = value is not None and measured is not None and not question.is_right(value, measured)
    if wrong and (why := tempting.get(str(value), "") if isinstance(tempting, Mapping) else tempting):
        parts.append(f"<em>What is tempting about your guess:</em> {html.escape(why)}")
        plain += f" What is tempting about your guess: {why}"
    if value is not None and measured is not None and question.kind != "choice":
        parts.append(_drawn(question, value, measured))
        plain += f"\n[figure] {_alt(question, value, measured)}"
    markup = "<br>".join(parts)
    if value is None:
        markup = f"You have not guessed. Guess first, in the cell that asks.<details><summary>Show me</summary>{markup}"
        markup += "</details>"
    return _show(markup, plain, record(question, value, measured, guess.after), handle)


class Guess:
    """A question, and what you guess: ``value``, None while there is none. Once ``locked`` it stays. ``after`` says
    that the answer had been shown before there was a guess."""

    def __init__(self, question: Question, typed: object) -> None:
        self.question = question
        kept = _kept().get(question.text)
        self.after = isinstance(kept, dict)  # {"after": the guess, None while there is none}
        self.value: Answer = question.read(kept.get("after") if isinstance(kept, dict) else kept)
        self.locked = self.value is not None
        self._typed = typed
        self._answer: Callable[[], None] | None = None  # shows the answer anew, once it was shown
        if not self.locked:
            self.value = question.read(typed)
        self._handle: Any = None  # of what the notebook shows
        self._widget: Any = None
        self._display()

    def lock(self, value: object) -> None:
        """Take the guess from the control, unless one is locked already."""
        value = self.question.read(value)
        if not self.locked and value is not None:
            self.value = value
            self.close()
            if self._answer:
                self._answer()

    def close(self, answer: Callable[[], None] | None = None) -> Answer:
        """Lock what is guessed so far and return it. ``answer`` shows the answer; from now on it is known."""
        self._answer = answer or self._answer
        if self.locked:
            return self.value
        self.locked = self.value is not None
        self.after = self.after or not self.locked
        _keep(self.question, {"after": self.value} if self.after else self.value)
        if self._handle:
            self._display()
        return self.value

    def _display(self) -> None:
        """The question with its control; once locked, as text that stays in the notebook."""
        answers = self.question.choices if self.question.kind == "choice" else {}
        note = self._note()
        plain = "\n".join([self.question.text, *(f"  {letter}  {text}" for letter, text in answers.items()), note])
        lines = [
            f"<strong>{html.escape(self.question.text)}</strong>",
            *(f"&emsp;<strong>{letter}</strong> {html.escape(text)}" for letter, text in answers.items()),
            f"<em>{html.escape(note)}</em>",
        ]
        markup = "<br>".join(lines)
        if self.locked:
            if self.question.kind == "curve" and notebook.in_notebook():
                markup += _drawn(self.question, self.value)
            self._handle = _show(markup, plain, record(self.question, self.value, after=self.after), self._handle)
            if self._widget:
                self._widget.close()
        elif self._widget is None:
            self._handle = _show(markup, plain, view=self._control())

    def _note(self) -> str:
        said = "" if self.value is None else f"Your guess: {self.question.words(self.value)}."
        if self.locked:
            return f"{said} It is locked{', and was made after the answer had been shown' if self.after else ''}."
        if self.value is not None:
            return said
        if self._typed not in ("", None):
            return f"{str(self._typed)[:40]!r} is no guess. Type {self.question.hint}."
        late = " The answer was shown already: it counts as a guess made after it." if self.after else ""
        return f"Lock your guess with the control, or type {self.question.hint} and run this cell.{late}"

    def _control(self) -> dict:
        if not notebook.in_notebook():
            return {}
        from .guessing.widget import GuessWidget

        self._widget = GuessWidget(self.question, self.value, self.lock, self.after)
        kind = "application/vnd.jupyter.widget-view+json"
        return {kind: self._widget._repr_mimebundle_()[0][kind]}


def _verdict(question: Question, value: Answer, measured: Answer, after: bool = False) -> str:
    outcome = "Here it could not be measured." if measured is None else f"Here: {question.words(measured)}."
    predicted = "You guessed, after it was shown," if after else "You predicted"
    if value is None or measured is None:
        return f"{'You made no guess' if value is None else f'{predicted} {question.words(value)}'}. {outcome}"
    if question.kind == "choice":
        return (
            f"{predicted} {value}, and so it is: {question.choices[measured]}."
            if value == measured
            else (f"{predicted} {question.words(value)}. It is not so. {outcome}")
        )
    away = f"{question.away(value, measured):.3g} away"
    away += ", which is close." if question.is_right(value, measured) else "."
    if question.kind == "curve":
        return f"Your curve is, on average, {away}"
    return f"{predicted} {question.words(value)}. {outcome} You were {away}"


def _alt(question: Number | Curve, value: Answer, measured: Answer = None) -> str:
    truth = f" Measured: {question.words(measured)}." if measured is not None else ""
    return f"{question.text} Your guess: {question.words(value)}.{truth}"


def _drawn(question: Number | Curve, value: Answer, measured: Answer = None) -> str:
    """Guess and truth in one figure, as HTML; a curve on the axes that it was drawn on, wide enough for the truth."""
    from matplotlib import rc_context
    from matplotlib.ticker import NullLocator

    from . import figures as plots

    with rc_context(plots.STYLE):
        fig, axes = plots.figure(2.4 if question.kind == "curve" else 1.2)
        ax = axes[0, 0]
        lines: list[tuple[str, Any, str, Any]] = [("your guess", value, plots.OTHER, (0, (4, 2)))]
        lines += [("measured", measured, plots.ACCENT, "-")] if measured is not None else []
        for index, (label, heights, colour, style) in enumerate(lines):
            if question.kind == "curve":
                ax.plot(question.x, heights, color=colour, ls=style, marker="o", ms=5, label=label)
            else:
                ax.plot([heights], [-index], color=colour, ls="", marker="o", ms=9)
        if question.kind == "curve":
            ax.set(xlabel=question.xlabel, ylabel=question.ylabel, xscale=question.xscale)
            ax.set_xticks(question.x, [f"{x:g}" for x in question.x])
            ax.xaxis.set_minor_locator(NullLocator())
            low, high = min([question.low, *(measured or ())]), max([question.high, *(measured or ())])
            ax.set_ylim(low - 0.04 * (high - low), high + 0.04 * (high - low))
            ax.legend()
        else:
            ax.set_yticks([-index for index in range(len(lines))], [label for label, *_ in lines])
            low, high = min(question.low, measured), max(question.high, measured)
            ax.set(xlabel=question.unit or "value", ylim=(-len(lines) + 0.4, 0.6))
            ax.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
        return plots.markup(fig, _alt(question, value, measured), "")


def _floats(truth: Any) -> list[float] | float:
    return [float(value) for value in truth] if hasattr(truth, "__len__") else float(truth)


def _show(markup: str, plain: str, kept: dict | None = None, handle: Any = None, view: dict | None = None) -> Any:
    """Show one framed text, with the record of a guess and the control's view where they are given; returns the handle
    by which a notebook shows another in its place."""
    if not notebook.in_notebook():
        print(plain)
        return None
    from IPython.display import display

    framed = f'<div style="border-left:4px solid #7a6fd0;padding:.2em 1em">{markup}</div>'
    bundle = {"text/html": framed, "text/plain": plain} | ({MIME: kept} if kept else {}) | (view or {})
    if handle:
        handle.update(bundle, raw=True)
        return handle
    return display(bundle, raw=True, display_id=True)


def _place() -> Path:
    return runs.folder() / ".guesses"


def _kept() -> dict:
    """Question -> guess, of those locked in this unit."""
    try:
        found = json.loads(_place().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(question: Question, value: object) -> None:
    """Keep a guess for a kernel that starts afresh; a place that cannot be written costs no more than that."""
    try:
        _place().parent.mkdir(parents=True, exist_ok=True)
        write_whole(_place(), json.dumps(_kept() | {question.text: value}))
    except OSError:
        pass
