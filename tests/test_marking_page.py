"""The page of marking in Chromium: a marker who uses nothing but the keyboard, and what must not get lost."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import nbformat
import pytest
from lab_in_chromium import (
    chromium,
    chromium_without_errors,
    find_chromium,
    keep_screenshot,
    kill_lab,
    lab,
    serious_faults,
    wait_until,
)
from marked_class import UNIT, make_class, write_rows

from autograder.grades_file import read_grades
from autograder.marking.answers import Answers
from autograder.marking.log import MARK, MarkLog, State, digest
from autograder.nbgrader_course import NbGraderCourse
from autograder.sample_written import written_class

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
ANSWERS = 200
KEYS = ("1", "1 2", "2 3", "1 2 3", "4", "0", "f", "Shift+Digit2")
HOSTILE = (
    "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\"> It falls to 117.",
    "הקודים אינם כמו המקדים, ולכן 23.4 כאן",
    "$$\\frac{a}{b}$$ and $\\beta = 4$ give 54.63 and 99.9",
    "word " * 50_000,
    "הקודים אינם 23.4 כמו " * 30_000,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("marking") / "course"
    texts = [text for _, text in written_class(ANSWERS - len(HOSTILE), seed=1)]
    tree = make_class(root, [*HOSTILE, *texts])
    write_rows(tree)
    with lab(root, {}) as (address, token):
        yield tree, address, token


def opened(page, address: str, token: str, **query) -> None:
    asked = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{address}/course-mark?token={token}{asked}")
    wait_until(page, "document.getElementById('score').textContent !== ''")


def saved(page) -> None:
    wait_until(page, "document.getElementById('saved').textContent === 'saved'")


def whose(page) -> str:
    return page.inner_text("#whose")


def held(tree) -> dict:
    with NbGraderCourse(tree).gradebook() as gradebook:
        log = MarkLog(gradebook)
        (question,) = log.questions(UNIT)
        return log.entries(question)


# What a marker's hand does, timed in the page: from the key to the next answer painted.
_TIMED = """async (keys) => {
  const type = (key, code, shift) => document.body.dispatchEvent(
    new KeyboardEvent("keydown", { key, code: code || key, shiftKey: !!shift, bubbles: true, cancelable: true }));
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (const key of keys) {
    const shift = key.startsWith("Shift+");
    const plain = shift ? "@" : key;
    type(plain, shift ? key.slice(6) : /[0-9]/.test(key) ? `Digit${key}` : key, shift);
  }
  const before = document.getElementById("answer").dataset.token;
  const start = performance.now();
  type("Enter");
  const moved = document.getElementById("answer").dataset.token !== before;
  await painted();
  return [performance.now() - start, moved];
}"""


def test_200_answers_by_keyboard_alone(served):
    tree, address, token = served
    with chromium_without_errors() as page:
        opened(page, address, token, question="q_samples")
        decisions, times = 0, []
        page.keyboard.press("w")  # blank and one-word answers: one screen, one decision
        page.wait_for_selector("dialog[open]")
        keep_screenshot(page, "marking-short")
        page.keyboard.press("Enter")
        decisions += 1
        while "page.queue.some(undecided)" and page.evaluate("page.queue.some(undecided)"):
            milliseconds, moved = page.evaluate(_TIMED, KEYS[decisions % len(KEYS)].split())
            decisions += 1
            if moved:
                times.append(milliseconds)
            assert decisions < ANSWERS
        saved(page)
        keep_screenshot(page, "marking-done")
        assert "200 of 200" in page.inner_text("#progress")
    entries = held(tree)
    assert len(entries) == ANSWERS and all(entry.settled for entry in entries.values())
    times.sort()
    median, slow = statistics.median(times), times[int(0.95 * len(times))]
    print(f"{decisions} decisions for {ANSWERS} answers; median {median:.0f} ms, 95th percentile {slow:.0f} ms")
    assert decisions <= 60 + len(HOSTILE)
    assert median < 100 and slow < 250
    wait_until_rows(tree)


def wait_until_rows(tree) -> None:
    """grades.csv has the marks soon after the last one, without a command."""
    deadline = time.monotonic() + 30
    wanted = {name: entry.manual_score for name, entry in held(tree).items()}
    while time.monotonic() < deadline:
        rows = {row.student: row.score for row in read_grades(tree.root / "grades.csv")}
        if all(score is None or rows[name] == score for name, score in wanted.items()):
            return
        time.sleep(0.3)
    raise AssertionError("grades.csv does not have the marks")


def test_what_students_wrote_only_shows(served):
    """Scripts, right to left, formulas, 50,000 words: shown, and nothing acts."""
    _, address, token = served
    with chromium() as page:
        opened(page, address, token)
        for words in ("It falls to 117", "הקודים", "54.63", "120,000 words", "50,000 words"):
            place = page.evaluate("(words) => page.queue.findIndex((g) => g[0].html.includes(words))", words)
            assert place >= 0, words
            page.evaluate("(place) => goTo(place)", place)
            assert page.title() == "Marking"
        page.keyboard.press("o")
        wait_until(page, "document.getElementById('answer').textContent.length > 240000")
        assert page.evaluate("document.querySelectorAll('#answer script, #answer [onerror]').length") == 0


def test_the_longest_answers_hold_up_no_key_and_stay_with_their_student(served):
    """One paragraph of 120,000 words from right to left kept the browser for 40 s when it was laid out as one."""
    _, address, token = served
    with chromium_without_errors() as page:
        opened(page, address, token)
        page.evaluate("goTo(page.queue.findIndex((g) => g[0].html.includes('120,000 words')))")
        start = time.monotonic()
        page.keyboard.press("o")
        wait_until(page, "document.getElementById('answer').textContent.length > 600000")
        page.keyboard.press("e")
        page.wait_for_selector("#evidence h3")
        assert "Only the first 300 numbers" in page.inner_text("#evidence")
        page.keyboard.press("n")
        page.keyboard.press("p")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        assert time.monotonic() - start < 15
        page.evaluate("void DO.o(), goTo(page.at + 1)")  # and on before it has come
        page.evaluate("ask('units')")  # answered after it
        assert page.evaluate("document.getElementById('answer').textContent.length") < 100_000


def test_evidence_is_one_key_away_and_the_page_is_accessible_in_both_colours(served):
    _, address, token = served
    for colours in ("light", "dark"):
        with chromium_without_errors() as page:
            page.emulate_media(color_scheme=colours)
            opened(page, address, token)
            place = page.evaluate("page.queue.findIndex((g) => g[0].html.includes('54.63'))")
            page.evaluate("(place) => goTo(place)", place)
            page.keyboard.press("e")
            page.wait_for_selector("#evidence .found")
            assert "1.8" in page.inner_text("#evidence .found") and "99.9" in page.inner_text("#evidence .nowhere")
            page.keyboard.press("v")
            page.wait_for_selector("#figure table")
            assert "54.63" in page.inner_text("#figure")
            assert not serious_faults(page)
            for width in (1400, 1024, 390):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
                keep_screenshot(page, f"marking-{colours}-{width}", full_page=width == 390)
            page.set_viewport_size({"width": 1400, "height": 900})
            for key in ("?", "i", "d", "w"):
                page.keyboard.press(key)
                page.wait_for_selector("dialog[open]")
                assert not serious_faults(page)
                keep_screenshot(page, f"marking-{colours}-{'keys' if key == '?' else key}")
                page.keyboard.press("Escape")


def test_what_is_chosen_is_seen_without_colours_and_a_name_turns_nothing_around_it(served):
    _, address, token = served
    with chromium_without_errors() as page:
        page.emulate_media(forced_colors="active")
        opened(page, address, token)
        chosen, other = "#items [data-item='1']", "#items [data-item='2']"
        look = """(at) => { const each = document.querySelector(at), worth = each.querySelector(".worth");
            return [getComputedStyle(each).borderTopWidth, getComputedStyle(worth, "::after").content]; }"""
        if page.get_attribute(chosen, "aria-pressed") != "true":
            page.keyboard.press("1")
        if page.get_attribute(other, "aria-pressed") != "false":
            page.keyboard.press("2")
        assert page.evaluate(look, chosen) == ["3px", '" ✓"'] and page.evaluate(look, other) == ["1px", "none"]
        page.keyboard.press("h")
        wait_until(page, "document.getElementById('whose').textContent.startsWith('\\u2068student')")
        assert page.evaluate("leader().name + '\u2069'") in whose(page)
        page.keyboard.press("u")  # also after the names have come
        saved(page)
        page.keyboard.press("h")


def test_a_reload_undo_and_a_second_window_lose_nothing(served):
    tree, address, token = served
    with chromium_without_errors("status of 409") as page:
        opened(page, address, token)
        page.evaluate("goTo(3)")
        token_of = page.evaluate("leader().token")
        was = page.evaluate("leader().state.score")
        page.keyboard.press("c")
        page.keyboard.type("Show the number.")
        page.keyboard.press("Escape")
        saved(page)
        page.reload()
        wait_until(page, "document.getElementById('score').textContent !== ''")
        assert page.evaluate("(token) => find(token).state.comment", token_of) == "Show the number."
        other = page.context.new_page()
        opened(other, address, token)
        for each in (page, other):
            each.evaluate("(token) => goTo(page.queue.findIndex((g) => g.some((a) => a.token === token)))", token_of)
        other.keyboard.press("f")
        saved(other)
        page.keyboard.press("0")
        page.wait_for_selector("#notice:not([hidden])")
        assert "3 points now" in page.inner_text("#notice")
        page.get_by_role("button", name="Take mine").click()
        saved(page)
        assert {e.manual_score for e in held(tree).values() if e.state.comment == "Show the number."} == {0}
        page.keyboard.press("u")
        saved(page)
        assert 3 in {e.manual_score for e in held(tree).values() if e.state.comment == "Show the number."}
        assert was is not None


def test_nothing_is_lost_when_the_server_does_not_answer(served):
    tree, address, token = served
    with chromium() as page:
        opened(page, address, token)
        page.evaluate("goTo(5)")
        token_of = page.evaluate("leader().token")
        page.route("**/api/mark*", lambda route: route.abort())
        page.keyboard.press("f")
        wait_until(page, "document.getElementById('saved').textContent.includes('not saved')")
        assert len(page.evaluate("JSON.parse(localStorage.getItem(KEPT))")) == 1
        page.unroute("**/api/mark*")
        page.reload()
        wait_until(page, "document.getElementById('score').textContent !== ''")
        saved(page)
        assert page.evaluate("(token) => find(token).state.score", token_of) == 3


def test_the_menu_of_lab_leads_to_the_page(served):
    _, address, token = served
    with chromium() as page:
        page.goto(f"{address}/lab/tree/grades.csv?token={token}&reset")
        page.locator(".lm-MenuBar-itemLabel", has_text="Marking").click(timeout=60_000)
        with page.context.expect_page() as opening:
            page.locator(".lm-Menu-itemLabel", has_text="Mark written answers").click()
        opening.value.wait_for_selector("#whose")
        assert opening.value.url.split("?")[0].endswith("/course-mark")


def test_marks_of_formgrader_appear_and_are_the_same_bytes(served):
    """One answer marked here and one in formgrader's way: the rows of the gradebook differ in nothing but ids."""
    import json
    import urllib.request

    tree, address, token = served
    with chromium_without_errors() as page:
        opened(page, address, token)
        page.evaluate("goTo(7)")
        page.evaluate("decide([leader()], () => ({ score: 2, items: [], comment: 'The same words.' }))")
        saved(page)
        here = page.evaluate("leader().token")
        page.evaluate("goTo(9)")
        there = page.evaluate("leader().token")
        with NbGraderCourse(tree).gradebook() as gradebook:
            (question,) = MarkLog(gradebook).questions(UNIT)
            names = {Answers(tree).token(question, name): name for name in MarkLog(gradebook).entries(question)}
            grade = gradebook.find_grade("q_samples", UNIT, UNIT, names[there]).id
            comment = gradebook.find_comment("q_samples", UNIT, UNIT, names[there]).id
        for kind, number, content in (
            ("grade", grade, {"manual_score": 2, "extra_credit": None}),
            ("comment", comment, {"manual_comment": "The same words."}),
        ):
            request = urllib.request.Request(
                f"{address}/formgrader/api/{kind}/{number}",
                json.dumps(content).encode(),
                {"Authorization": f"token {token}", "Content-Type": "application/json"},
                method="PUT",
            )
            urllib.request.urlopen(request, timeout=30).read()
        page.reload()
        wait_until(page, "document.getElementById('score').textContent !== ''")
        assert page.evaluate("(token) => find(token).state.comment", there) == "The same words."
    with NbGraderCourse(tree).gradebook() as gradebook:
        rows = [
            {
                key: value
                for found in (gradebook.find_grade, gradebook.find_comment)
                for key, value in found("q_samples", UNIT, UNIT, names[each]).to_dict().items()
                if key not in ("id", "student")
            }
            for each in (here, there)
        ]
        assert rows[0] == rows[1] and rows[0]["manual_score"] == 2
        assert MarkLog(gradebook).history(question, MARK)


def test_a_scheme_without_items_and_the_marks_of_a_question_that_was_renamed(served):
    """Keys give points and `i` writes the first item; marks under another name are offered, and keep their marker."""
    tree, address, token = served
    path = tree.root / "notebooks" / UNIT / f"{UNIT}.ipynb"
    as_it_was = path.read_text(encoding="utf-8")
    without = nbformat.reads(as_it_was, as_version=4)
    for cell in without.cells:
        cell.source = cell.source.split("### BEGIN MARK SCHEME")[0]
    nbformat.write(without, path)
    answers = Answers(tree)
    with NbGraderCourse(tree).gradebook() as gradebook:
        log = MarkLog(gradebook)
        (question,) = log.questions(UNIT)
        student = max(log.entries(question), key=lambda name: answers.token(question, name))
        log.save(question, student, log.entries(question)[student].version, State(), "x", "")
        text = digest(answers.of(question, student).source)
        log.note(replace(question, name="q_before"), student, MARK, "grace", State(2.5, (), "From before."), text)
    with chromium_without_errors() as page:
        opened(page, address, token)
        page.evaluate("goTo(30)")
        given = page.evaluate("leader().token")
        page.keyboard.press("2")
        saved(page)
        assert page.evaluate("(token) => find(token).state.score", given) == 2
        page.keyboard.press("i")
        page.get_by_role("button", name="Another item").click()
        page.keyboard.type("Says what changes.")
        page.get_by_role("button", name="Save to the notebook").click()
        wait_until(page, "page.data.scheme.items.length === 1")
        assert "- [1] Says what changes." in path.read_text(encoding="utf-8")
        page.reload()
        notice = page.locator("#notice", has_text="q_before (1 marks): no longer a question")
        notice.get_by_role("button").first.click()
        wait_until(page, "page.data.answers.some((each) => each.state.comment === 'From before.')")
    entry = held(tree)[student]
    assert (entry.manual_score, entry.marker) == (2.5, "grace")
    path.write_text(as_it_was, encoding="utf-8")


def test_nothing_is_lost_when_the_server_is_killed_in_the_middle(served):
    """The last test here: the server of the others is gone. A mark that was saved, one on its way while the server dies
    and one given while there is none are in the gradebook and in grades.csv once there is a server again."""
    tree, address, token = served
    with chromium() as page:
        opened(page, address, token)
        given = {}
        for place, score in ((20, 1), (21, 2), (22, 0.5)):
            page.evaluate(f"goTo({place})")
            given[page.evaluate("leader().token")] = score
            page.evaluate(f"decide([leader()], () => ({{ score: {score}, items: [], comment: 'Kept {score}.' }}))")
            if score == 1:
                saved(page)
            elif score == 2:
                kill_lab(address, tree.root)
        wait_until(page, "document.getElementById('saved').textContent.includes('not saved')")
        with lab(tree.root, {}, at=(address, token)):
            saved(page)
            page.reload()
            wait_until(page, "document.getElementById('score').textContent !== ''")
            for each, score in given.items():
                assert page.evaluate("(token) => find(token).state.score", each) == score
            wait_until_rows(tree)
    kept = {entry.state.comment: entry.manual_score for entry in held(tree).values()}
    assert {f"Kept {score}.": score for score in given.values()}.items() <= kept.items()
