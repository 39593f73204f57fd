"""The control that takes a guess, in a real Chromium: by pointer and by keyboard, and not after it is locked.

Screenshots are kept in test-artifacts/.
"""

from __future__ import annotations

import json

import pytest
from lab_in_chromium import chromium, find_chromium, keep_screenshot, serious_faults, unseen_in_forced_colours

from course_utils.plots.guessing.questions import Choice, Curve, Number
from course_utils.plots.guessing.widget import FOLDER, about

QUESTIONS = [
    Choice("What is at <b>beta = 0</b>?", {"a": "the rate stays at 0", "b": "it settles", "c": "it grows without end"}),
    Number("What is the distortion of a perfect copy?", 0, 150, "nats"),
    Curve("Draw the biased estimate.", (8, 16, 32, 64, 128), 0, 0.25, "codes in each sample", "mean estimate"),
]
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Guesses</title><style>{css}</style></head>
<body><main>
<h1>Guesses</h1><div></div><div></div><div></div></main><script type="module">{script}
window.sent = [];
const places = document.querySelectorAll("main > div");
{abouts}.forEach((about, i) => mount(places[i], about, (guess) => window.sent.push(guess)));
document.body.dataset.ready = "true";</script></body></html>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def browser():
    with chromium(700, 900) as page:
        yield page


@pytest.fixture
def page(browser, tmp_path):
    """One question of each kind below each other; errors in the page fail the test."""
    errors = []
    browser.on("pageerror", lambda error: errors.append(str(error)))
    abouts = json.dumps([about(question, None) for question in QUESTIONS]).replace("<", "\\u003c")
    script, css = ((FOLDER / name).read_text(encoding="utf-8") for name in ("guess.js", "guess.css"))
    (tmp_path / "page.html").write_text(PAGE.format(css=css, script=script, abouts=abouts), encoding="utf-8")
    browser.goto((tmp_path / "page.html").as_uri())
    browser.wait_for_selector("body[data-ready]")
    yield browser
    assert not errors, f"the page fails: {errors}"


def buttons(page) -> list:
    return page.get_by_role("button", name="Lock my guess").all()


def test_nothing_can_be_locked_before_something_is_chosen(page):
    assert [button.is_disabled() for button in buttons(page)] == [True] * 3


def test_every_kind_is_answered_and_locked_from_the_keyboard_and_stays(page):
    page.get_by_label("b it settles").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_label("your guess").focus()
    page.keyboard.press("ArrowRight")
    points = page.get_by_role("slider", name="codes in each sample")
    for key, point in zip(("End", "PageUp", "ArrowUp", "ArrowDown", "Home"), points.all(), strict=True):
        point.focus()
        page.keyboard.press(key)
    keep_screenshot(page, "guesses", full_page=True)
    for button in buttons(page):
        button.press("Enter")
    sent = ["c", 76, [0.25, 0.23, 0.14, 0.12, 0]]
    assert page.evaluate("window.sent") == sent
    points.first.focus()
    page.keyboard.press("ArrowDown")
    assert points.first.get_attribute("aria-valuenow") == "0.25", "a locked curve moved"
    assert all(button.is_disabled() for button in buttons(page)) and page.get_by_label("your guess").is_disabled()
    assert page.evaluate("window.sent") == sent


@pytest.mark.parametrize("steps", [1, 30])
def test_a_curve_is_drawn_with_one_stroke_of_the_pointer_slow_or_fast(page, steps):
    """A straight stroke from the first point at 0.2 to the last at 0.04 gives each place its height on that line."""
    first, *_, last = [point.bounding_box() for point in page.locator(".guess circle").all()]
    axis = page.locator(".guess-axes").bounding_box()
    centre = lambda box: box["x"] + box["width"] / 2  # noqa: E731
    height = lambda value: first["y"] + first["height"] / 2 - (value - 0.13) / 0.25 * axis["height"] * 180 / 188  # noqa: E731
    page.mouse.move(centre(first), height(0.2))
    page.mouse.down()
    page.mouse.move(centre(last) + 3, height(0.04), steps=steps)
    page.mouse.up()
    buttons(page)[2].click()
    assert page.evaluate("window.sent[0]") == pytest.approx([0.2, 0.16, 0.12, 0.08, 0.04], abs=0.011)


def test_a_guess_is_seen_in_colours_of_the_reader_s_own(page):
    assert unseen_in_forced_colours(page, ".guess text, .guess circle", "fill") == []
    assert unseen_in_forced_colours(page, ".guess-line", "stroke") == []


def test_no_serious_accessibility_fault_at_any_width(page):
    for width in (700, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert not serious_faults(page)
        keep_screenshot(page, f"guesses-{width}", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"the page is {wide} pixels wide in a window of {width}"
    page.set_viewport_size({"width": 700, "height": 900})


IN_A_NOTEBOOK = """async ([script, about]) => {
    const { default: { render } } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    const cell = '<div class="jp-Cell"><div class="jp-InputPrompt">[1]:</div><div class="place"></div></div>';
    document.querySelector("main").innerHTML = `<div class="jp-Notebook">${cell}${cell}</div>`;
    const pressed = [], sent = [], cells = [...document.querySelectorAll(".jp-Cell")];
    document.addEventListener("mousedown", (event) => pressed.push(cells.indexOf(event.target.closest(".jp-Cell"))));
    render({ model: { get: () => about, send: (message) => sent.push(message.guess) }, el: cells[0].querySelector(".place") });
    const choice = cells[0].querySelector("input[value=b]");
    choice.checked = true;
    choice.onchange();
    cells[0].querySelector("button").click();
    return [pressed, sent, document.activeElement.className];
}"""


def test_after_a_guess_the_focus_goes_on_to_the_notebook_with_the_next_cell_active(page):
    script = (FOLDER / "guess.js").read_text(encoding="utf-8")
    found = page.evaluate(IN_A_NOTEBOOK, [script, about(QUESTIONS[0], None)])
    assert found == [[1], ["b"], "jp-Notebook"]
