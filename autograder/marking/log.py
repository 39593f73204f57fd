"""Marks in nbgrader's gradebook, and who marked what when in a table of their own beside it.

A mark is one transaction: score, comment and a line of the log, or nothing of it. Scores and comments are what
formgrader writes: the gradebook alone says what a student gets. The log (table ``course_marks``) is only added to;
it also keeps what a mark was made of, items and comment apart. Whoever saves names the state that was seen (`version`):
where the gradebook holds another one by now, nothing is written and `Conflict` says what is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from nbgrader.api import (
    Assignment,
    Comment,
    Grade,
    Gradebook,
    GradeCell,
    Notebook,
    SolutionCell,
    SubmittedAssignment,
    SubmittedNotebook,
)
from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, insert, select, update
from sqlalchemy.orm import aliased

_Solution = aliased(SolutionCell, flat=True)  # SQLAlchemy would alias it by itself, with a warning
MARK, UNDO, ITEMS, SECOND, SHARE, SPLIT = "mark", "undo", "items", "second", "share", "split"
_TABLE = Table(
    "course_marks",
    MetaData(),
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("time", String(32), nullable=False),  # UTC, ISO 8601
    Column("marker", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("unit", String(128), nullable=False),
    Column("notebook", String(128), nullable=False),
    Column("question", String(128), nullable=False),
    Column("student", String(128), nullable=False),
    Column("score", Float),
    Column("state", Text, nullable=False),  # JSON: items, comment, what was there before
    Column("answer", String(32), nullable=False),  # digest of the text that was marked
)


@dataclass(frozen=True)
class Question:
    """A written question: unit, notebook and grade id, and what it is worth."""

    unit: str
    notebook: str
    name: str
    points: float

    @property
    def key(self) -> str:
        """How the page calls it: the grade id, after the notebook's name where that is not the unit's."""
        return self.name if self.notebook == self.unit else f"{self.notebook}/{self.name}"


@dataclass(frozen=True)
class Given:
    """An item as it was given in a mark: its text, its points, whether half of it."""

    text: str
    points: float
    half: bool = False

    @property
    def worth(self) -> float:
        return self.points / 2 if self.half else self.points


@dataclass(frozen=True)
class State:
    """The mark of one answer. ``score`` is None while there is none; ``comment`` is the marker's own words."""

    score: float | None = None
    items: tuple[Given, ...] = ()
    comment: str = ""

    @property
    def composed(self) -> str:
        """What the student is told, as Markdown: the items that were given in words, and the comment."""
        lines = [f"- {_points_in_words(item)}: {item.text}" for item in self.items]
        return "\n\n".join(filter(None, ["\n".join(lines), self.comment.strip()]))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, content: dict[str, Any]) -> State:
        items = tuple(
            Given(str(i["text"]), float(i["points"]), bool(i.get("half"))) for i in content.get("items") or ()
        )
        score = content.get("score")
        return cls(None if score is None else float(score), items, str(content.get("comment") or ""))


@dataclass(frozen=True)
class Entry:
    """What the gradebook holds of one answer, and what the log knows about it."""

    student: str
    grade_id: str
    manual_score: float | None
    auto_score: float | None
    waits: bool
    comment_id: str | None
    manual_comment: str | None
    state: State = field(default_factory=State)
    marker: str = ""
    time: str = ""

    @property
    def version(self) -> str:
        """The state of the gradebook, as one who saves has to name it."""
        seen = json.dumps([self.manual_score, self.waits, self.manual_comment or ""])
        return hashlib.sha256(seen.encode()).hexdigest()[:16]

    @property
    def settled(self) -> bool:
        """Whether nobody has to look at it: it has a mark that stands, or nothing to mark."""
        return not self.waits and (self.manual_score is not None or self.auto_score is not None)


class Conflict(Exception):
    """Somebody else has marked the answer since it was shown."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(f"{entry.student} was marked elsewhere meanwhile")
        self.entry = entry


def _points_in_words(item: Given) -> str:
    if item.worth == 0:
        return "no point"
    amount = f"{item.worth:g} point{'' if abs(item.worth) == 1 else 's'}"
    return f"{amount} (half)" if item.half else amount


def score_of(items: Iterable[Given], most: float) -> float:
    """The sum of the items, not below 0 and not above what the question is worth."""
    return round(min(max(sum(item.worth for item in items), 0.0), most), 6)


def digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()[:16]


class MarkLog:
    """The marks of one gradebook that is open."""

    def __init__(self, gradebook: Gradebook) -> None:
        self._gradebook = gradebook
        _TABLE.create(gradebook.engine, checkfirst=True)

    def questions(self, unit: str) -> list[Question]:
        """The cells of a unit that are marked by hand, in no order."""
        rows = self._db.execute(
            select(Notebook.name, GradeCell.name, GradeCell.max_score)
            .join(Notebook, GradeCell.notebook_id == Notebook.id)
            .join(Assignment, Notebook.assignment_id == Assignment.id)
            .join(
                _Solution,
                (_Solution.notebook_id == GradeCell.notebook_id) & (_Solution.name == GradeCell.name),
            )
            .where(Assignment.name == unit)
        ).all()
        self._db.rollback()
        return [Question(unit, notebook, name, float(most)) for notebook, name, most in rows]

    def entries(self, question: Question, student: str | None = None) -> dict[str, Entry]:
        """What the gradebook and the log hold of each student's answer."""
        asked = (
            select(
                SubmittedAssignment.student_id,
                Grade.id,
                Grade.manual_score,
                Grade.auto_score,
                Grade.needs_manual_grade,
                Comment.id,
                Comment.manual_comment,
            )
            .select_from(Grade)
            .join(GradeCell, Grade.cell_id == GradeCell.id)
            .join(Notebook, GradeCell.notebook_id == Notebook.id)
            .join(Assignment, Notebook.assignment_id == Assignment.id)
            .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
            .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .outerjoin(_Solution, (_Solution.notebook_id == Notebook.id) & (_Solution.name == GradeCell.name))
            .outerjoin(Comment, (Comment.cell_id == _Solution.id) & (Comment.notebook_id == SubmittedNotebook.id))
            .where(
                Assignment.name == question.unit, Notebook.name == question.notebook, GradeCell.name == question.name
            )
        )
        if student is not None:
            asked = asked.where(SubmittedAssignment.student_id == student)
        found = {row[0]: Entry(*row) for row in self._db.execute(asked).all()}
        last = self._last(question, student)
        self._db.rollback()
        return {name: _with_state(entry, last.get(name)) for name, entry in found.items()}

    def _last(self, question: Question, student: str | None) -> dict[str, Any]:
        asked = self._of(question).where(_TABLE.c.kind.in_((MARK, UNDO, ITEMS))).order_by(_TABLE.c.number)
        if student is not None:
            asked = asked.where(_TABLE.c.student == student)
        return {row.student: row for row in self._db.execute(asked)}

    def _of(self, question: Question) -> Any:
        return select(_TABLE).where(
            _TABLE.c.unit == question.unit,
            _TABLE.c.notebook == question.notebook,
            _TABLE.c.question == question.name,
        )

    def history(self, question: Question, *kinds: str) -> list[Any]:
        """The lines of the log about a question, oldest first: time, marker, kind, student, score, state."""
        rows = self._db.execute(self._of(question).where(_TABLE.c.kind.in_(kinds)).order_by(_TABLE.c.number)).all()
        self._db.rollback()
        return list(rows)

    def marked_questions(self, unit: str) -> dict[tuple[str, str], int]:
        """How many marks the log has for each question of a unit (notebook, name), also for what has gone since."""
        rows = self._db.execute(
            select(_TABLE.c.notebook, _TABLE.c.question, _TABLE.c.student).where(
                _TABLE.c.unit == unit, _TABLE.c.kind == MARK
            )
        ).all()
        self._db.rollback()
        students: dict[tuple[str, str], set[str]] = {}
        for notebook, question, student in rows:
            students.setdefault((notebook, question), set()).add(student)
        return {key: len(of) for key, of in students.items()}

    def save(
        self,
        question: Question,
        student: str,
        version: str,
        state: State,
        marker: str,
        answer: str,
        kind: str = MARK,
        decision: str = "",
    ) -> Entry:
        """Enter a mark; returns what the gradebook holds then. Marks of one ``decision`` were made together.

        Raises Conflict, and writes nothing, when the gradebook no longer holds what ``version`` names.
        """
        seen = self.entries(question, student)[student]
        if seen.version != version:
            raise Conflict(seen)
        comment = state.composed
        try:
            self._write(seen, state.score, comment)
            self._add(question, student, kind, marker, state, answer, seen, decision)
            self._db.commit()
        except BaseException:
            self._db.rollback()
            raise
        return self.entries(question, student)[student]

    def _write(self, seen: Entry, score: float | None, comment: str) -> None:
        """Score and comment, where both are what was seen: the conditions stand in the statements themselves."""
        done = self._db.execute(
            update(Grade)
            .where(
                Grade.id == seen.grade_id,
                Grade.manual_score.is_not_distinct_from(seen.manual_score),
                Grade.needs_manual_grade == seen.waits,
            )
            .values(manual_score=score, needs_manual_grade=score is None and seen.auto_score is None)
            .execution_options(synchronize_session=False)
        )
        changed = done.rowcount
        if seen.comment_id is not None and comment != (seen.manual_comment or ""):
            done = self._db.execute(
                update(Comment)
                .where(Comment.id == seen.comment_id, Comment.manual_comment.is_not_distinct_from(seen.manual_comment))
                .values(manual_comment=comment or (None if score is None else ""))
                .execution_options(synchronize_session=False)
            )
            changed = min(changed, done.rowcount)
        if changed != 1:
            raise Conflict(seen)

    def note(self, question: Question, student: str, kind: str, marker: str, state: State, answer: str = "") -> None:
        """Add a line that changes no grade: a second mark, a share, an answer taken out of its group."""
        self._add(question, student, kind, marker, state, answer)
        self._db.commit()

    def _add(
        self,
        question: Question,
        student: str,
        kind: str,
        marker: str,
        state: State,
        answer: str,
        before: Entry | None = None,
        decision: str = "",
    ) -> None:
        content = state.to_dict() | ({"decision": decision} if decision else {})
        if before is not None:
            content["before"] = {"score": before.manual_score, "comment": before.manual_comment}
        self._db.execute(
            insert(_TABLE).values(
                time=datetime.now(UTC).isoformat(timespec="milliseconds"),
                marker=marker,
                kind=kind,
                unit=question.unit,
                notebook=question.notebook,
                question=question.name,
                student=student,
                score=state.score,
                state=json.dumps(content, ensure_ascii=False),
                answer=answer,
            )
        )

    def share_of(self, unit: str, marker: str, of: int) -> int | None:
        """Which of ``of`` shares of a unit is this marker's: in the order in which they came. None when all
        are taken."""
        everything = Question(unit, "", f"of {of}", 0)
        names = list(dict.fromkeys(row.marker for row in self.history(everything, SHARE)))
        if marker not in names:
            if len(names) >= of:
                return None
            self.note(everything, "", SHARE, marker, State())
            names = list(dict.fromkeys(row.marker for row in self.history(everything, SHARE)))
        place = names.index(marker)
        return place if place < of else None

    def markers(self, unit: str, of: int) -> list[str]:
        """Who has taken a share of a unit, in order."""
        return list(dict.fromkeys(row.marker for row in self.history(Question(unit, "", f"of {of}", 0), SHARE)))

    def bank(self, question: Question) -> list[dict[str, Any]]:
        """The comments used for a question, the most used first, with the mean of the marks that they went with."""
        latest = {row.student: row for row in self.history(question, MARK, UNDO, ITEMS)}
        used: dict[str, list[float]] = {}
        for row in latest.values():
            text = str(json.loads(row.state).get("comment") or "").strip()
            if text and row.score is not None:
                used.setdefault(text, []).append(row.score)
        bank = [{"text": text, "used": len(of), "mean": sum(of) / len(of)} for text, of in used.items()]
        return sorted(bank, key=lambda each: (-len(used[each["text"]]), each["text"]))[:50]

    @property
    def _db(self) -> Any:
        return self._gradebook.db


def _with_state(entry: Entry, row: Any) -> Entry:
    """The entry with what the log knows of its mark; what was marked elsewhere is a score and a comment."""
    if row is not None:
        state = State.of(json.loads(row.state))
        if state.score == entry.manual_score and state.composed == (entry.manual_comment or ""):
            return replace(entry, state=state, marker=row.marker, time=row.time)
    return replace(entry, state=State(entry.manual_score, (), entry.manual_comment or ""))
