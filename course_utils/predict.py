"""Predict, then look: you commit to a guess before the figure appears, and see it again beside what was measured."""

from __future__ import annotations

import html
from dataclasses import dataclass

from course_utils import notebook


@dataclass(frozen=True)
class Guess:
    """What was asked, what could be chosen, and the letter chosen ("" if none)."""

    question: str
    choices: dict[str, str]
    letter: str


def choose(question: str, *, guess: str, **choices: str) -> Guess:
    """Show a question with lettered choices and keep your guess.

    Args:
        question: one sentence.
        guess: the letter you choose, typed into the cell, or "" for none yet.
        **choices: letter -> text, e.g. ``a="a sharp digit", b="noise"``.
    """
    letter = str(guess).strip().lower()
    note = f"Your guess: {letter}." if letter in choices else "Type the letter of your guess between the quotes and run this cell."
    if letter and letter not in choices:
        note = f"{guess!r} is none of the letters {', '.join(choices)}. Type one of them between the quotes."
        letter = ""
    items = "".join(f"<li><strong>{html.escape(key)}</strong> {html.escape(text)}</li>" for key, text in choices.items())
    notebook.show_html(
        f'<div style="border-left:4px solid #332288;padding:.2em 1em"><strong>{html.escape(question)}</strong>'
        f'<ul style="list-style:none;padding-left:.5em">{items}</ul><em>{html.escape(note)}</em></div>',
        plain="\n".join([question, *(f"  {key}  {text}" for key, text in choices.items()), note]),
    )
    return Guess(question, choices, letter)


def reveal(guess: Guess, truth: str, because: str) -> None:
    """Show the guess beside the truth (a letter of its choices) and the measurement that decides."""
    if truth not in guess.choices:
        raise ValueError(f"truth is {truth!r}; expected one of {', '.join(guess.choices)}.")
    if not guess.letter:
        verdict = "You made no guess."
    elif guess.letter == truth:
        verdict = f"You predicted {guess.letter}, and so it is."
    else:
        verdict = f"You predicted {guess.letter}: {guess.choices[guess.letter]}. It is not so."
    outcome = f"Here: {truth}, {guess.choices[truth]}."
    notebook.show_html(
        f'<div style="border-left:4px solid #332288;padding:.2em 1em"><strong>{html.escape(verdict)}</strong> '
        f"{html.escape(outcome)} {html.escape(because)}</div>",
        plain=f"{verdict} {outcome} {because}",
    )
