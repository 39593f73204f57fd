"""The desk of marking: marks and their log, shares, several markers, agreement. Its page: test_marking_page.py."""

from __future__ import annotations

import html
import json
import re

import nbformat
import numpy as np
import pytest
from marked_class import UNIT, enter, make_class, write_rows
from nbformat.v4 import new_markdown_cell

from autograder.feedback import feedback_unit
from autograder.grades_file import read_grades
from autograder.marking import opening
from autograder.marking.agreement import agreement, drift
from autograder.marking.answers import is_marked_twice
from autograder.marking.desk import Changed, Desk, Marker
from autograder.marking.log import MarkLog
from autograder.nbgrader_course import NbGraderCourse
from autograder.release import register_unit
from autograder.safe_html import as_text, as_written
from autograder.sanitise import sanitise
from course_utils.cli.handin.evidence import MOST_NUMBERS, NOWHERE
from course_utils.system.errors import CourseError, WrongUsage
from course_utils.system.tree import Tree

ADA, BOB = Marker("ada"), Marker("bob")
Q = "q_samples"
TEXTS = (
    "The length changes from 19.2 to 7.9, and 117.2 is what I predict.",
    "The length changes from 19.2 to 7.9 and 117.2 is what I predict",
    "The length does not change, and 117.2 is what I predict.",
    "overfitting",
    "",
    "<script>alert(1)</script>It is 54.63.",
)


@pytest.fixture
def tree(tmp_path):
    tree = make_class(tmp_path / "course", [*TEXTS])
    write_rows(tree)
    return tree


@pytest.fixture
def desk(tree):
    desk = Desk(tree)
    yield desk
    desk.close()


def shown(desk, marker=ADA, **options):
    return desk.question(UNIT, Q, marker, names=True, **options)


def by_name(question):
    return {answer["name"]: answer for answer in question["answers"]}


def save(answer, score=None, items=(), comment="", **more):
    state = {"score": score, "items": list(items), "comment": comment}
    return {"token": answer["token"], "version": answer["version"], "digest": answer["digest"], "state": state, **more}


def given(question, *numbers, half=False):
    return [{**{k: question["scheme"]["items"][n][k] for k in ("text", "points")}, "half": half} for n in numbers]


def gradebook_row(tree, student):
    with NbGraderCourse(tree).gradebook() as gradebook:
        grade = gradebook.find_grade(Q, UNIT, UNIT, student)
        comment = gradebook.find_comment(Q, UNIT, UNIT, student)
        return grade.manual_score, grade.needs_manual_grade, comment.manual_comment


def test_the_question_comes_with_items_groups_and_mixed_hidden_names(desk):
    question = desk.question(UNIT, Q, ADA)
    assert len(question["answers"]) == len(TEXTS) and not any("name" in answer for answer in question["answers"])
    assert "student0" not in json.dumps(question)
    named = by_name(shown(desk))
    assert named["student000"]["group"] == named["student001"]["group"] != named["student002"]["group"]
    assert named["student003"]["short"] and named["student004"]["blank"] and named["student004"]["settled"]
    assert "<script" not in named["student005"]["html"] and "54.63" in named["student005"]["html"]
    order = [answer["name"] for answer in shown(desk)["answers"]]
    assert order != sorted(order)


def test_a_mark_is_in_the_gradebook_the_log_the_table_and_the_students_words(desk, tree):
    question = shown(desk)
    answer = by_name(question)["student000"]
    items = [*given(question, 0), *given(question, 1, half=True), *given(question, 3)]
    done = desk.mark(UNIT, Q, ADA, [save(answer, 1.5, items, "Name the table.")])
    assert not done["conflicts"] and done["saved"][0]["state"]["score"] == 1.5
    score, waits, comment = gradebook_row(tree, "student000")
    assert (score, waits) == (1.5, False)
    assert comment.startswith("- 1 point: What changes") and "- 0.5 points (half): Prediction" in comment
    assert "- no point: " in comment and comment.endswith("\n\nName the table.") and "Remedy" not in comment
    desk.flush()
    row = next(row for row in read_grades(tree.root / "grades.csv") if row.student == "student000")
    assert (row.score, row.status, row.reason) == (1.5, "graded", "marked by hand")
    page = feedback_unit(tree, UNIT, student="student000")[0].read_text(encoding="utf-8")
    assert "Name the table." in page and "Prediction: the row" in page and "Remedy" not in page
    again = by_name(shown(desk))["student000"]
    assert again["state"]["comment"] == "Name the table." and len(again["state"]["items"]) == 3 and again["by"] == "ada"
    assert shown(desk)["bank"] == [{"text": "Name the table.", "used": 1, "mean": 1.5}]


def test_undo_leaves_the_gradebook_as_it_was(desk, tree):
    before = gradebook_row(tree, "student000")
    answer = by_name(shown(desk))["student000"]
    now = desk.mark(UNIT, Q, ADA, [save(answer, 2, comment="x")])["saved"][0]
    desk.mark(UNIT, Q, ADA, [save({**answer, **now}, None)], "undo")
    assert gradebook_row(tree, "student000") == before == (None, True, None)


def test_two_markers_on_one_answer_the_second_is_told_and_nothing_is_lost(desk, tree):
    other = Desk(tree)
    mine, theirs = (by_name(shown(each))["student000"] for each in (desk, other))
    other.mark(UNIT, Q, BOB, [save(theirs, 3, comment="bob's")])
    done = desk.mark(UNIT, Q, ADA, [save(mine, 1, comment="ada's")])
    assert done["saved"] == [] and done["conflicts"][0]["state"]["score"] == 3 and done["conflicts"][0]["by"] == "bob"
    assert gradebook_row(tree, "student000") == (3, False, "bob's")
    kept = desk.mark(UNIT, Q, ADA, [save({**mine, **done["conflicts"][0]}, 1, comment="ada's")])
    assert kept["saved"] and gradebook_row(tree, "student000")[0] == 1
    other.close()


def test_a_mark_that_cannot_be_logged_is_not_in_the_gradebook(desk, tree, monkeypatch):
    answer = by_name(shown(desk))["student000"]
    monkeypatch.setattr(MarkLog, "_add", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("the disk is full")))
    with pytest.raises(RuntimeError):
        desk.mark(UNIT, Q, ADA, [save(answer, 2)])
    assert gradebook_row(tree, "student000") == (None, True, None)


def test_what_was_marked_in_formgrader_appears_here(desk, tree):
    with NbGraderCourse(tree).gradebook() as gradebook:
        grade = gradebook.find_grade(Q, UNIT, UNIT, "student002")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        gradebook.find_comment(Q, UNIT, UNIT, "student002").manual_comment = "From formgrader."
        gradebook.db.commit()
    answer = by_name(shown(desk))["student002"]
    assert answer["settled"] and answer["state"]["score"] == 2.5 and answer["state"]["comment"] == "From formgrader."
    desk.flush()
    assert next(r for r in read_grades(tree.root / "grades.csv") if r.student == "student002").score == 2.5


def test_an_answer_that_changed_after_it_was_marked_comes_back_with_the_change(desk, tree):
    answer = by_name(shown(desk))["student000"]
    desk.mark(UNIT, Q, ADA, [save(answer, 3)])
    path = tree.root / "autograded" / "student000" / UNIT / f"{UNIT}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == Q)
    cell.metadata["course"] = {"marked": cell.source}
    cell.source = cell.source.replace("7.9", "8.0")
    nbformat.write(notebook, path)
    with NbGraderCourse(tree).gradebook() as gradebook:
        gradebook.find_grade(Q, UNIT, UNIT, "student000").needs_manual_grade = True
        gradebook.db.commit()
    stale = desk.mark(UNIT, Q, ADA, [save(answer, 1)])
    assert stale["saved"] == [], "the text is another one than the marker saw"
    now = by_name(shown(desk))["student000"]
    assert "<mark>8.0,</mark>" in now["changed"] and not now["settled"] and now["state"]["score"] == 3
    desk.mark(UNIT, Q, ADA, [save(now, 2)])
    assert gradebook_row(tree, "student000")[:2] == (2, False)


def test_one_decision_for_a_group_and_an_answer_taken_out_of_it(desk):
    named = by_name(shown(desk))
    desk.split(UNIT, Q, ADA, named["student001"]["token"])
    named = by_name(shown(desk))
    assert named["student000"]["group"] != named["student001"]["group"]
    both = [save(named[name], 1) for name in ("student000", "student001")]
    assert len(desk.mark(UNIT, Q, ADA, both)["saved"]) == 2


def test_items_that_change_recompute_the_marks_made_with_them_after_asking(desk, tree):
    question = shown(desk)
    named = by_name(question)
    desk.mark(UNIT, Q, ADA, [save(named["student000"], 1, given(question, 0), "Good.")])
    desk.mark(UNIT, Q, ADA, [save(named["student002"], 2, given(question, 1))])  # a score that was typed
    items = [{"points": i["points"], "text": i["text"], "was": n} for n, i in enumerate(question["scheme"]["items"])]
    items[0] |= {"points": 0.5, "text": "What changes: nothing but lengths."}
    items[1]["points"] = 2
    version = question["scheme"]["version"]
    asked = desk.change_scheme(UNIT, Q, ADA, version, items)
    changes = sorted((change["from"], change["to"]) for change in asked["changes"])
    assert (asked["affected"], changes, asked["done"]) == (2, [(1, 0.5), (2, 2)], False)
    assert gradebook_row(tree, "student000")[0] == 1
    assert desk.change_scheme(UNIT, Q, ADA, version, items, True)["done"]
    score, _, comment = gradebook_row(tree, "student000")
    assert score == 0.5 and comment == "- 0.5 points: What changes: nothing but lengths.\n\nGood."
    assert gradebook_row(tree, "student002")[0] == 2
    with pytest.raises(Changed):
        desk.change_scheme(UNIT, Q, ADA, version, items, True)
    path = tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb"
    path.write_text(
        path.read_text(encoding="utf-8").replace("nothing but lengths", "only the lengths"), encoding="utf-8"
    )
    assert shown(desk)["stale"] == 1
    assert desk.recompute(UNIT, Q, ADA)["affected"] == 1
    desk.recompute(UNIT, Q, ADA, really=True)
    assert "only the lengths" in gradebook_row(tree, "student000")[2] and shown(desk)["stale"] == 0


def test_a_question_that_was_renamed_keeps_its_marks(desk, tree):
    named = by_name(shown(desk))
    desk.mark(UNIT, Q, ADA, [save(named["student000"], 3, comment="Well said.")])
    path = tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace(f'"{Q}"', '"q_sampling"'), encoding="utf-8")
    with NbGraderCourse(tree).gradebook() as gradebook:
        gradebook.remove_assignment(UNIT)
    register_unit(Tree(tree.root), UNIT)
    with NbGraderCourse(tree).gradebook() as gradebook:
        enter(tree, gradebook, "student000", TEXTS[0])
        enter(tree, gradebook, "student001", "Another text than before.")
        gradebook.db.commit()
    with pytest.raises(WrongUsage, match="renamed"):
        shown(desk)
    assert desk.lost(UNIT) == [{"question": Q, "notebook": UNIT, "marks": 1}]
    assert desk.move(UNIT, Q, "q_sampling", BOB) == {"moved": 1, "left": 0}
    answer = by_name(desk.question(UNIT, "q_sampling", ADA, names=True))["student000"]
    assert answer["state"]["score"] == 3 and answer["state"]["comment"] == "Well said." and answer["by"] == "ada"


def test_bad_requests_are_told_in_words(desk):
    answer = by_name(shown(desk))["student000"]
    with pytest.raises(WrongUsage, match="no written question"):
        desk.question(UNIT, "q_other", ADA)
    with pytest.raises(WrongUsage, match="load the page again"):
        desk.mark(UNIT, Q, ADA, [save({**answer, "token": "x"}, 1)])
    with pytest.raises(WrongUsage, match="expected 0 to 3"):
        desk.mark(UNIT, Q, ADA, [save(answer, 1000)])
    with pytest.raises(WrongUsage, match="no kind"):
        desk.mark(UNIT, Q, ADA, [], "steal")
    with pytest.raises(WrongUsage, match="a mark is"):
        desk.mark(UNIT, Q, ADA, [{**save(answer), "state": {"score": "three"}}])
    with pytest.raises(WrongUsage, match="no such output"):
        desk.output(UNIT, Q, answer["token"], 99, 0)


def test_evidence_checks_and_the_output_behind_a_number(desk):
    answer = by_name(shown(desk))["student000"]
    found = desk.evidence(UNIT, Q, answer["token"])
    by_text = {each["text"]: each for each in found["named"]}
    assert by_text["117.2"]["places"][0]["words"] == "the table of 1.8 (scaled axes, Fréchet)"
    assert by_text["19.2"]["status"] == NOWHERE and found["checks"] == [] and found["guesses"] == []
    place = by_text["117.2"]["places"][0]
    assert "117.2" in desk.output(UNIT, Q, answer["token"], place["cell"], place["output"])


def test_an_answer_that_grading_keeps_as_text_is_read_as_it_was_written(tmp_path):
    """With 120,000 words, and with what cannot be rendered: neither its marks nor its signs are escaped twice."""
    long, odd = 'It\'s "3 < 5" & 117.2.\n' * 1500, "It's ![x](attachment:gone.png) & <b"
    stored = new_markdown_cell(long)
    sanitise(stored)
    assert stored.source.startswith("<pre") and as_written(stored.source) == long and as_written(long) is None
    tree = make_class(tmp_path / "course", [stored.source, as_text(odd), stored.source + " "])
    desk = Desk(tree)
    answers = by_name(shown(desk))
    assert answers["student000"]["words"] == 9000 and "&amp;amp;" not in answers["student000"]["html"]
    assert "<pre" in answers["student001"]["html"] and "attachment:gone.png" in answers["student001"]["html"]
    assert "&amp;amp;" not in answers["student001"]["html"]
    token = answers["student000"]["token"]
    whole = re.sub("<[^>]*>", "", desk.answer(UNIT, Q, token))
    assert html.unescape(whole) == long
    assert desk.evidence(UNIT, Q, token)["most"] == MOST_NUMBERS
    desk.close()


def test_long_answers_that_begin_alike_are_no_group(tmp_path):
    """Of a long answer only its beginning was compared."""
    begins = "The codes of all images lie near the origin. " * 500
    tree = make_class(tmp_path / "course", [begins + "They do.", begins + "They do not: 5 of 9 lie far out."])
    desk = Desk(tree)
    assert len({answer["group"] for answer in shown(desk)["answers"]}) == 2
    desk.close()


def test_the_command_says_what_waits_and_opens_the_page(tree, desk, tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(opening, "serve", lambda of, options: opened.append((of, options)) or 0)
    assert opening.open_marking(tree, UNIT, Q, "ada", 3, browser=False, port=8890) == 0
    assert "6 answers, 5 to mark" in capsys.readouterr().out
    of, options = opened[0]
    assert of == tree and f"--LabApp.default_url=/course-mark?unit={UNIT}&question={Q}&marker=ada&of=3" in options
    for wrong, words in (
        ({"question": "q_x"}, "no written question"),
        ({"of": 0}, "--of is how many"),
        ({"marker": " "}, "--marker is your name"),
        ({"unit": "02_other"}, "Run `course grade 02`"),
    ):
        asked = {"unit": UNIT, "question": None, "marker": None, "of": 1} | wrong
        with pytest.raises(CourseError, match=words):
            opening.open_marking(tree, **asked)
    empty = tmp_path / "empty"
    (empty / "notebooks").mkdir(parents=True)
    (empty / "nbgrader_config.py").write_bytes((tree.root / "nbgrader_config.py").read_bytes())
    with pytest.raises(CourseError, match="no written answers"):
        opening.open_marking(Tree(empty), None, None, None, 1)
    assert not (empty / "gradebook.db").exists()
    desk.close()
    tree.root.rename(empty / "demo")
    assert opening.open_marking(Tree(empty), None, None, None, 1) == 0
    assert opened[-1][0].root.name == "demo" and "course demo" in capsys.readouterr().out


def test_shares_cover_the_class_and_a_sample_is_marked_twice_blind(tmp_path):
    texts = [f"Answer number {number} is about something else, as {number} says." for number in range(60)]
    desk = Desk(make_class(tmp_path / "course", texts))
    pages = [shown(desk, Marker(name, 2)) for name in ("ada", "bob")]
    own = [{a["name"] for a in page["answers"] if a["own"]} for page in pages]
    assert own[0] | own[1] == {a["name"] for a in pages[0]["answers"]} and not own[0] & own[1]
    assert min(map(len, own)) >= 10
    with pytest.raises(WrongUsage, match="all 2 shares"):
        shown(desk, Marker("eve", 2))
    first = {a["token"]: a for a in pages[0]["answers"] if a["own"]}
    desk.mark(UNIT, Q, Marker("ada", 2), [save(answer, 2) for answer in first.values()])
    second = [a for a in shown(desk, Marker("bob", 2))["answers"] if a["second"]]
    assert second and {a["token"] for a in second} == {token for token in first if is_marked_twice(token)}
    assert all(a["state"]["score"] is None and not a["by"] and not a["settled"] for a in second)
    for answer in second:
        assert desk.mark(UNIT, Q, Marker("bob", 2), [save(answer, 3)], "second")["saved"]
    assert all(gradebook_row(desk.tree, a["name"])[0] == 2 for a in second), "the first mark counts"
    found = desk.statistics(UNIT, Q)
    assert found["agreement"]["pairs"] == len(second) == len(found["pairs"])
    assert found["scores"] == [{"score": 2, "answers": len(first)}]
    desk.close()


def test_agreement_and_drift_say_what_can_be_told():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(3)
    one = rng.integers(0, 7, 80) / 2
    two = np.clip(one + rng.choice([0, 0, 0, 0.5, -0.5], 80), 0, 3)
    found = agreement(one.tolist(), two.tolist())
    expected = cohen_kappa_score((2 * one).astype(int), (2 * two).astype(int), weights="quadratic")
    assert found.kappa == pytest.approx(expected) and found.low < expected < found.high
    assert agreement([1] * 5, [1] * 5).kappa is None and "too few" in agreement([1] * 5, [1] * 5).words
    assert agreement([2] * 20, [2] * 20).kappa is None and "not defined" in agreement([2] * 20, [2] * 20).words
    assert abs(agreement(one.tolist(), rng.permutation(one).tolist()).kappa) < 0.35
    assert "no drift" in drift([1.0, 2.0] * 30)["words"]
    assert "the marks drift" in drift([1.0, 1.5] * 20 + [2.5, 3.0] * 20)["words"]
    assert "too few" in drift([1.0] * 5)["words"] and len(drift([1.0] * 45)["blocks"]) == 3
