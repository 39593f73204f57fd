"""What the page of marking can ask for, on one course: questions, answers, marks, evidence, agreement."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from sqlalchemy.engine import make_url

from course_utils.cli.handin.cells import labels_of
from course_utils.cli.handin.evidence import MOST_NUMBERS, evidence, names_too_many, outputs_of
from course_utils.cli.handin.units import templates_of
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.stubs import is_blank
from course_utils.system.tree import Tree

from ..beliefs import questions_of
from ..grades_file import enter_marks
from ..nbgrader_course import NbGraderCourse
from ..release import read_source
from ..safe_html import markdown_to_html
from .agreement import statistics
from .answers import (
    Answer,
    Answers,
    is_marked_twice,
    order_of_questions,
    read_question,
    write_scheme,
)
from .groups import LONGEST, THRESHOLD, group, is_short
from .log import ITEMS, MARK, SECOND, SPLIT, UNDO, Conflict, Entry, MarkLog, Question, State, digest
from .rescoring import likest, stale_marks, successors, with_items
from .scheme import Item, items_from
from .shown import answer_html, checks_shown, evidence_shown, guesses_shown, output_html
from .views import answer_view, mark_view, scheme_view, state_view

OWN, ALL = "own", "all"


@dataclass(frozen=True)
class Marker:
    """Who marks, and how many share the work."""

    name: str
    of: int = 1


class Changed(CourseError):
    """Something is no longer what the page has seen; ``content`` says what is there now."""

    def __init__(self, message: str, content: Any = None) -> None:
        super().__init__(message)
        self.content = content


class Desk:
    """The marking of one course tree; every method may be called again and again, by several pages."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._course = NbGraderCourse(tree)
        self._answers = Answers(tree)
        self._gradebook: Gradebook | None = None
        self._groups: dict[tuple[str, float], list[int]] = {}
        self._rows: dict[str, dict[tuple[str, str], float | None]] = {}  # of grades.csv, not written yet, by unit

    def close(self) -> None:
        """Write what is left to write, and let the gradebook go."""
        self.flush()
        if self._gradebook is not None:
            self._gradebook.close()
            self._gradebook = None

    def has_gradebook(self) -> bool:
        """Whether there is a gradebook at all; opening one in a file would make it."""
        url = make_url(self._course.directory().db_url)
        return not url.drivername.startswith("sqlite") or Path(url.database or "").is_file()

    @contextmanager
    def _log(self) -> Iterator[MarkLog]:
        if self._gradebook is None:
            directory = self._course.directory()
            self._gradebook = Gradebook(directory.db_url, directory.course_id)
        try:
            yield MarkLog(self._gradebook)
        finally:
            self._gradebook.db.rollback()

    # What there is

    def units(self) -> list[dict[str, Any]]:
        """Every unit with written questions in the gradebook: how many answers there are and how many are marked."""
        found = []
        with self._log() as log:
            for unit in self.tree.units():
                questions = self._in_order(log, unit)
                if questions:
                    found.append({"unit": unit, "questions": [self._counted(log, each) for each in questions]})
        return found

    def _in_order(self, log: MarkLog, unit: str) -> list[Question]:
        questions = log.questions(unit)
        places = order_of_questions(self.tree, unit) if questions else {}
        return sorted(questions, key=lambda each: (places.get((each.notebook, each.name), 10**6), each.key))

    def _counted(self, log: MarkLog, question: Question) -> dict[str, Any]:
        entries = log.entries(question).values()
        return {
            "question": question.key,
            "points": question.points,
            "answers": len(entries),
            "marked": sum(entry.settled for entry in entries),
        }

    def lost(self, unit: str) -> list[dict[str, Any]]:
        """Questions that have marks in the log and are no longer in the unit: renamed, or taken out."""
        with self._log() as log:
            there = {(each.notebook, each.name) for each in log.questions(unit)}
            marked = log.marked_questions(unit)
        return [
            {"question": name, "notebook": of, "marks": n}
            for (of, name), n in marked.items()
            if (of, name) not in there
        ]

    def _find(self, log: MarkLog, unit: str, key: str) -> Question:
        questions = self._in_order(log, unit)
        found = next((each for each in questions if key in (each.key, each.name)), None)
        if found is None:
            known = ", ".join(each.key for each in questions)
            raise WrongUsage(
                f"{unit} has no written question {key!r} in the gradebook. There are: {known or 'none yet'}. "
                "Was it renamed, or is the unit not graded yet?"
            )
        return found

    # One question

    def question(
        self,
        unit: str,
        key: str,
        marker: Marker,
        threshold: float = THRESHOLD,
        names: bool = False,
        sample: bool = False,
    ) -> dict[str, Any]:
        """All that the page needs to go through the answers to one question; with ``sample`` those of the sample alone
        that have a mark, to be marked once more without seeing it."""
        with self._log() as log:
            question = self._find(log, unit, key)
            text, scheme = read_question(self.tree, question)
            share = log.share_of(unit, marker.name, marker.of) if marker.of > 1 else 0
            if share is None:
                taken = ", ".join(log.markers(unit, marker.of))
                raise WrongUsage(
                    f"all {marker.of} shares of {unit} are taken, by {taken}. Use one of these names, or a larger --of."
                )
            entries = log.entries(question)
            seconds = {row.student: row for row in log.history(question, SECOND) if row.marker == marker.name}
            if sample:
                token = self._answers.token
                entries = {
                    name: entry
                    for name, entry in entries.items()
                    if entry.manual_score is not None and is_marked_twice(token(question, name))
                }
            split = {row.student: row.answer for row in log.history(question, SPLIT)}
            bank = log.bank(question)
        held = {name: answer for name in entries if (answer := self._answers.of(question, name)) is not None}
        tokens = {name: self._answers.token(question, name) for name in held}
        order = sorted(held, key=lambda name: tokens[name])
        groups = self._group(question, held, order, threshold, split)
        first: dict[int, str] = {}
        for name in order:
            first.setdefault(groups[name], name)
        order.sort(key=lambda name: (tokens[first[groups[name]]], tokens[name]))
        shown = [
            answer_view(
                entries[name],
                held[name],
                tokens[name],
                groups[name],
                held[first[groups[name]]] if first[groups[name]] != name else None,
                share,
                marker.of,
                seconds.get(name),
                names,
                sample,
            )
            for name in order
        ]
        self._bring_into_table(question, entries)
        return {
            "unit": unit,
            "question": question.key,
            "points": question.points,
            "html": markdown_to_html(text) if text else "",
            "scheme": scheme_view(scheme.items, scheme.note, scheme.text),
            "answers": shown,
            "bank": bank,
            "threshold": threshold,
            "marker": marker.name,
            "of": marker.of,
            "share": share,
            "unreadable": sum(name not in held and not entry.settled for name, entry in entries.items()),
            "stale": stale_marks(entries, scheme.items),
        }

    def _group(
        self, question: Question, held: dict[str, Answer], order: list[str], threshold: float, split: dict[str, str]
    ) -> dict[str, int]:
        """The group of each answer; who was taken out of a group stays alone as long as the text stays."""
        long = [name for name in order if not is_blank(held[name].source) and not is_short(held[name].source)]
        alone = [
            name for name in long if len(held[name].source) > LONGEST or split.get(name) == digest(held[name].source)
        ]
        together = [name for name in long if name not in set(alone)]
        texts = [held[name].source for name in together]
        key = (digest("\n".join(texts)), threshold)
        if key not in self._groups:
            self._groups[key] = group(texts, threshold)
        groups = dict(zip(together, self._groups[key], strict=True))
        next_one = max(groups.values(), default=-1) + 1
        for place, name in enumerate(each for each in order if each not in groups):
            groups[name] = next_one + place
        return groups

    def answer(self, unit: str, key: str, token: str) -> str:
        """The whole of one answer, as HTML."""
        with self._log() as log:
            question = self._find(log, unit, key)
            answer = self._answers.of(question, self._student(log, question, token))
        return answer_html(answer.source, answer.attachments, answer.verbatim, whole=True) if answer else ""

    def _student(self, log: MarkLog, question: Question, token: str) -> str:
        for name in log.entries(question):
            if self._answers.token(question, name) == token:
                return name
        raise WrongUsage("there is no such answer any more: load the page again.")

    # Marks

    def mark(
        self, unit: str, key: str, marker: Marker, saves: list[dict[str, Any]], kind: str = MARK
    ) -> dict[str, list[dict[str, Any]]]:
        """Enter marks, each for the state that was seen; returns what is there afterwards, and what was in the way.

        ``saves``: {token, version, digest, state: {score, items, comment}}. With the kind ``second`` only the log
        changes.
        """
        if kind not in (MARK, UNDO, SECOND):
            raise WrongUsage(f"{kind!r} is no kind of mark.")
        saved, conflicts = [], []
        done: dict[str, Entry] = {}
        decision = secrets.token_hex(6)
        with self._log() as log:
            question = self._find(log, unit, key)
            students = {self._answers.token(question, name): name for name in log.entries(question)}
            for each in saves:
                token = str(each.get("token"))
                if token not in students:
                    raise WrongUsage("there is no such answer any more: load the page again.")
                state = self._checked(question, each.get("state"))
                student = students[token]
                answer = self._answers.of(question, student)
                now = digest(answer.source) if answer else ""
                try:
                    if now != each.get("digest"):
                        raise Conflict(log.entries(question, student)[student])
                    if kind == SECOND:
                        log.note(question, student, SECOND, marker.name, state, now)
                        saved.append({"token": token, "state": state_view(state), "settled": state.score is not None})
                        continue
                    entry = log.save(
                        question, student, str(each.get("version")), state, marker.name, now, kind, decision
                    )
                except Conflict as conflict:
                    shown = {"token": token, "digest": now, **mark_view(conflict.entry)}
                    if answer is not None:
                        shown["html"] = answer_html(answer.source, answer.attachments, answer.verbatim)
                    conflicts.append(shown)
                else:
                    done[student] = entry
                    saved.append({"token": token, **mark_view(entry)})
        self._bring_into_table(question, done)
        return {"saved": saved, "conflicts": conflicts}

    @staticmethod
    def _checked(question: Question, content: Any) -> State:
        try:
            state = State.of(content)
        except (TypeError, ValueError, KeyError, AttributeError):
            raise WrongUsage("a mark is {score, items: [{text, points, half}], comment}.") from None
        if len(state.comment) > 20_000 or len(state.items) > 40:
            raise WrongUsage("a comment has at most 20,000 characters, a mark at most 40 items.")
        if state.score is not None and not 0 <= state.score <= max(question.points, 0) + 100:
            raise WrongUsage(f"{state.score:g} points: expected 0 to {question.points:g}.")
        return state

    def _bring_into_table(self, question: Question, entries: dict[str, Entry]) -> None:
        """Note the marks of these answers for grades.csv; `flush` writes them."""
        label = labels_of(templates_of(self.tree, question.unit)).get((question.notebook, question.name))
        marks = {
            (name, label): entry.manual_score
            for name, entry in entries.items()
            if label and (entry.manual_score is not None or entry.auto_score is None) and not _again(entry)
        }
        self._rows.setdefault(question.unit, {}).update(marks)

    def flush(self) -> None:
        """Bring the marks that were made into grades.csv, where their unit has rows. What is not written when a machine
        fails is written when the question is opened again: the gradebook has it."""
        rows, self._rows = self._rows, {}
        for unit, marks in rows.items():
            if marks:
                enter_marks(self.tree.root, unit, marks)

    def split(self, unit: str, key: str, marker: Marker, token: str) -> None:
        """Take an answer out of its group, for everybody and as long as its text stays."""
        with self._log() as log:
            question = self._find(log, unit, key)
            student = self._student(log, question, token)
            answer = self._answers.of(question, student)
            log.note(question, student, SPLIT, marker.name, State(), digest(answer.source) if answer else "")

    # Evidence

    def evidence(self, unit: str, key: str, token: str) -> dict[str, Any]:
        """Where the numbers of an answer stand, what the checks said and what was guessed."""
        with self._log() as log:
            question = self._find(log, unit, key)
            student = self._student(log, question, token)
        notebook = self._answers.notebook(question, student)
        answer = self._answers.of(question, student)
        text, _ = read_question(self.tree, question)
        source = read_source(self.tree, unit, question.notebook)
        named = evidence(answer.source if answer else "", outputs_of(notebook), text)
        return {
            "token": token,
            "most": MOST_NUMBERS if answer and names_too_many(answer.source) else None,
            "named": evidence_shown(named),
            "checks": checks_shown(notebook),
            "guesses": guesses_shown(notebook, questions_of(source)),
        }

    def output(self, unit: str, key: str, token: str, cell: int, output: int) -> str:
        """One output of the notebook in which an answer stands, as HTML."""
        with self._log() as log:
            question = self._find(log, unit, key)
            student = self._student(log, question, token)
        try:
            return output_html(self._answers.notebook(question, student).cells[cell].outputs[output])
        except (IndexError, AttributeError):
            raise WrongUsage("there is no such output in this notebook any more.") from None

    # Items

    def change_scheme(
        self, unit: str, key: str, marker: Marker, version: str, content: Any, recompute: bool | None = None
    ) -> dict[str, Any]:
        """Change the items of a question. Each may say which one it ``was``, by its index.

        With ``recompute`` None nothing is changed: it is told which marks were made with items that change. True
        changes those marks, too; False leaves them as they are.

        Raises Changed when the scheme is no longer the one that was seen.
        """
        with self._log() as log:
            question = self._find(log, unit, key)
            _, scheme = read_question(self.tree, question)
            if digest(scheme.text) != version:
                raise Changed("the mark scheme was changed elsewhere meanwhile; nothing was written.")
            items = items_from(content)
            new_of = successors(scheme.items, items, content)
            affected = {
                name: state
                for name, entry in log.entries(question).items()
                if (state := with_items(entry.state, new_of, question.points)) != entry.state
            }
            changes = [
                {"from": log_entry.state.score, "to": affected[name].score}
                for name, log_entry in log.entries(question).items()
                if name in affected
            ]
            if recompute is None:
                return {"affected": len(affected), "changes": changes, "done": False}
            write_scheme(self.tree, question, scheme.with_items(items))
            done = {}
            for name in affected if recompute else ():
                answer = self._answers.of(question, name)
                entry = log.entries(question, name)[name]
                text = digest(answer.source) if answer else ""
                done[name] = log.save(question, name, entry.version, affected[name], marker.name, text, ITEMS)
        self._bring_into_table(question, done)
        return {"affected": len(done), "changes": changes, "done": True}

    def recompute(self, unit: str, key: str, marker: Marker, really: bool = False) -> dict[str, Any]:
        """Bring marks up to date that were made with items which were changed in the notebook itself since."""
        with self._log() as log:
            question = self._find(log, unit, key)
            _, scheme = read_question(self.tree, question)
            entries = log.entries(question)
            known = {(item.text, item.points) for item in scheme.items}
            used = {(item.text, item.points): None for e in entries.values() for item in e.state.items}
            old = tuple(Item(points, text) for text, points in used if (text, points) not in known)
            left = [item for item in scheme.items if (item.text, item.points) not in used] or list(scheme.items)
            new_of = {item: likest(item, left) for item in old}
            affected = {
                name: state
                for name, entry in entries.items()
                if (state := with_items(entry.state, new_of, question.points)) != entry.state
            }
            changes = [{"from": entries[name].state.score, "to": state.score} for name, state in affected.items()]
            done = {}
            for name, state in affected.items() if really else ():
                answer = self._answers.of(question, name)
                text = digest(answer.source) if answer else ""
                done[name] = log.save(question, name, entries[name].version, state, marker.name, text, ITEMS)
        self._bring_into_table(question, done)
        pairs = [{"old": item.text, "new": new.text if new else ""} for item, new in new_of.items()]
        return {"affected": len(affected), "changes": changes, "pairs": pairs, "done": really}

    # A question that was renamed

    def move(self, unit: str, old: str, key: str, marker: Marker) -> dict[str, int]:
        """Give the marks of a question that has gone to the one that took its place: where the text is still the one
        that was marked and there is no mark yet."""
        with self._log() as log:
            question = self._find(log, unit, key)
            if any(each.name == old for each in log.questions(unit)):
                raise WrongUsage(f"{old} is still a question of {unit}: nothing is moved.")
            former = replace(question, name=old)
            last = {row.student: row for row in log.history(former, MARK, UNDO, ITEMS)}
            moved = left = 0
            done = {}
            for name, entry in log.entries(question).items():
                answer, row = self._answers.of(question, name), last.get(name)
                if row is None or row.score is None:
                    continue
                if answer is None or entry.manual_score is not None or digest(answer.source) != row.answer:
                    left += 1
                    continue
                state = State.of(json.loads(row.state))
                done[name] = log.save(question, name, entry.version, state, row.marker, row.answer)
                moved += 1
        self._bring_into_table(question, done)
        return {"moved": moved, "left": left}

    # How well

    def statistics(self, unit: str, key: str, names: bool = False) -> dict[str, Any]:
        """Agreement of two markers, drift of each, and how the points are spread."""
        with self._log() as log:
            question = self._find(log, unit, key)
            entries = log.entries(question)
            history = log.history(question, MARK, UNDO, ITEMS)
            seconds = {row.student: row for row in log.history(question, SECOND) if row.score is not None}
        return statistics(entries, history, seconds, lambda name: self._answers.token(question, name), question.points)


def _again(entry: Entry) -> bool:
    """Whether the answer has come back with another text: grading has put that into its row."""
    return entry.waits and entry.manual_score is not None
