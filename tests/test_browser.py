"""The student kit in JupyterLab, driven in a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from lab_in_chromium import (
    chromium_without_errors,
    find_chromium,
    hides_the_picture,
    keep_screenshot,
    lab,
    open_notebook,
    open_welcome,
    run_all_cells,
    wait_until_idle,
    wait_until_open,
)
from miniature import CHECKOUT
from nbformat.v4 import new_code_cell, new_notebook
from student_tree import end_at_first_explorer, grade_id, make_instructors_tree, read_unit, solve, unpack_kit

from course_utils.cli import welcome
from course_utils.plots.guessing.questions import MIME
from course_utils.system.tree import Tree

UNIT = "02_variational_autoencoders"
QUICK = {"COURSE_DATASET": "digits", "COURSE_BUDGET": "quick"}
# What a minute of training would give the explorer's cell: the names it uses, with models trained for a second.
QUICK_MODELS = """
data = course_utils.datasets.load()
train_images, test_images = data.train_images.flatten(1), data.test_images.flatten(1)

def train(beta):
    def loss_function(model, x):
        logits, mu, logvar = model(x)
        return {"loss": vae_loss(logits, x, mu, logvar, beta)[0]}
    model = course_utils.models.VAE(784, [100], 5, reparameterize=reparameterize)
    return training.fit(model, loss_function, train_images, epochs=3, progress=False)

beta_runs = {beta: train(beta) for beta in (0.0, 0.784, 7840.0)}
"""

# A training without end, with a picture whenever the line moves, and what is left of it once it is interrupted.
LONG_TRAINING = """
from course_utils import datasets, training
from course_utils.training import recipes
from course_utils.training.live import in_notebook

in_notebook.SHARE = 1
images = datasets.load().train_images.flatten(1)
model, loss_function, _ = recipes.prepare(recipes.Recipe("vae", 10, (64,)), images)
run = training.fit(model, loss_function, images, epochs=5000)
"""
AFTERWARDS = (
    "print('usable:', bool(run.model(images[:5] / 255)[0].isfinite().all()), run.stopped, len(run.history) > 0)"
)
# The widget's script in a page that no Jupyter server made, such as VS Code's.
RENDERED_ELSEWHERE = """async script => {
    const { default: { render } } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    document.getElementById("jupyter-config-data").id = "elsewhere";
    const values = { kernel: "1", about: {}, picture: new DataView(new ArrayBuffer(0)) };
    const el = document.createElement("div");
    render({ model: { get: name => values[name], on() {} }, el });
    document.getElementById("elsewhere").id = "jupyter-config-data";
    return el.querySelector("button").hidden;
}"""

IS_ANOTHER_PICTURE = "before => document.querySelector('.cockpit-large').toDataURL() !== before"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]


@pytest.fixture(scope="module")
def instructors_tree(tmp_path_factory) -> Path:
    return make_instructors_tree(tmp_path_factory.mktemp("instructor"), UNIT)


@pytest.fixture(scope="module")
def kit(instructors_tree, tmp_path_factory) -> Path:
    """The unpacked student kit; beside its notebook lies a solved one that ends at its first explorer, with quickly
    trained models in place of the experiments before it."""
    kit = unpack_kit(instructors_tree, tmp_path_factory.mktemp("student"))
    notebook = read_unit(kit, UNIT)
    solve(notebook, read_unit(instructors_tree, UNIT))
    end_at_first_explorer(notebook)
    *before, explorer = notebook.cells
    kept = [cell for cell in before if not {"experiment", "predict"} & set(cell.metadata.get("tags", []))]
    notebook.cells = [*kept, new_code_cell(QUICK_MODELS, metadata={"tags": ["experiment"]}), explorer]
    nbformat.write(notebook, kit / "notebooks" / UNIT / "solved.ipynb")
    return kit


@pytest.fixture(scope="module")
def students_lab(kit):
    with lab(kit, QUICK) as address_and_token:
        yield address_and_token


@pytest.fixture
def page():
    with chromium_without_errors() as page:
        yield page


def test_a_student_s_lab_opens_on_what_there_is_to_do_and_leads_there_by_keyboard(students_lab, kit, page):
    open_welcome(page, *students_lab)
    keep_screenshot(page, "student-welcome")
    assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0, "JupyterLab asks or announces something"
    row = page.locator(".jp-MarkdownViewer tr", has_text="Variational autoencoders")
    hours = re.search(r"^(About \w+ hours) of work", read_unit(kit, UNIT).cells[0].source, re.MULTILINE)[1]
    assert hours.lower() in row.inner_text() and "not started" in row.inner_text(), row.inner_text()
    assert f"{UNIT}  not started" in (kit / "lab.log").read_text()
    assert not page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").count(), "a menu with nothing in it"
    row.get_by_role("link").focus()
    page.keyboard.press("Enter")
    wait_until_open(page)
    page.get_by_role("button", name="Validate").wait_for()
    keep_screenshot(page, "student-unit")


def test_a_student_solves_the_unit_from_its_stubs_to_validate(students_lab, instructors_tree, kit, page):
    from playwright.sync_api import expect

    fresh, solved = read_unit(kit, UNIT), read_unit(kit, UNIT)
    solve(solved, read_unit(instructors_tree, UNIT))
    answers = {grade_id(cell): cell.source for old, cell in zip(fresh.cells, solved.cells) if old.source != cell.source}
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/{UNIT}.ipynb")
    run_all_cells(page)
    stopped_at = page.locator(".jp-RenderedText", has_text="NotImplementedError").last
    stopped_at.scroll_into_view_if_needed()
    keep_screenshot(page, "student-stub")
    named = re.search(r"NotImplementedError: (\w+): not written yet", stopped_at.inner_text())
    assert named and named[1] in answers, f"the run ended with: {stopped_at.inner_text()[-200:]}"

    for exercise, answer in answers.items():
        page.locator(".jp-CodeCell", has_text=f"{exercise}: not written yet").locator(".cm-content").first.click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(answer)
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("Shift+Enter")  # the check, which is the next cell
        page.get_by_text(re.compile(rf"^✓ {exercise}: .* points")).wait_for(timeout=60_000)
    keep_screenshot(page, "student-check")
    blank = page.locator(".jp-MarkdownCell", has_text="YOUR ANSWER HERE")
    questions = blank.count()
    for left in range(questions, 0, -1):
        expect(blank).to_have_count(left)
        blank.first.dblclick()
        blank.first.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text("Because the table above says so.")
        page.keyboard.press("Shift+Enter")
    wait_until_idle(page)
    page.get_by_role("button", name="Validate").click()  # saves the notebook
    dialog = page.locator(".jp-Dialog-content")
    dialog.wait_for(timeout=60_000)
    keep_screenshot(page, "student-validate")
    assert "Success! Your notebook passes all the tests." in dialog.inner_text()
    (unit,) = welcome.overviews(Tree(kit))
    assert unit.done == f"{len(answers)} of {len(answers)} checks passed, {questions} of {questions} questions answered"


def test_the_cockpit_follows_the_pointer_and_a_notebook_opened_again_shows_its_still_picture(students_lab, page):
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/solved.ipynb")
    run_all_cells(page)
    picture = page.locator(".cockpit-large")
    page.locator(".cockpit[data-ready=true]").wait_for(timeout=30_000)
    picture.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.cockpit-caption').textContent.startsWith('The code of')")
    keep_screenshot(page, "cockpit-in-lab")
    before = picture.evaluate("canvas => canvas.toDataURL()")

    page.locator(".cockpit-right .cockpit-range input").nth(1).focus()  # the first is the one over beta
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(IS_ANOTHER_PICTURE, arg=before)
    page.wait_for_function("/then z\\d moved to/.test(document.querySelector('.cockpit-caption').textContent)")
    after = picture.evaluate("canvas => canvas.toDataURL()")

    box = page.locator(".cockpit-map").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.4 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_function(IS_ANOTHER_PICTURE, arg=after)
    keep_screenshot(page, "cockpit-in-lab-moved")
    dragged = picture.evaluate("canvas => canvas.toDataURL()")

    page.locator(".cockpit-right .cockpit-range input").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(IS_ANOTHER_PICTURE, arg=dragged)
    page.wait_for_function("document.querySelector('.cockpit-large').getAttribute('aria-label').includes('by 0.784')")

    page.set_viewport_size({"width": 1024, "height": 600})
    assert hides_the_picture(page) == []
    keep_screenshot(page, "cockpit-in-lab-1024")
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.locator(".cockpit-right .cockpit-range input").first.focus()

    save(page)  # the focus is in the cockpit
    page.locator(".cockpit").wait_for()  # still alive
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/solved.ipynb")
    page.locator(".jp-RenderedImage img").last.scroll_into_view_if_needed()
    keep_screenshot(page, "cockpit-opened-again")
    assert page.get_by_text("Error displaying widget").count() == 0


def test_a_guess_that_is_locked_in_the_lab_is_saved_in_the_notebook_before_and_after_the_answer(
    students_lab, kit, page
):
    path = small_notebook(
        kit,
        "guess",
        "from course_utils import predict\nguess = predict.number('How many?', 0, 50)",
        "predict.reveal(guess, 31, 'Because.')",
    )
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/guess.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-editor").first.click()
    page.keyboard.press("Shift+Enter")
    page.get_by_label("your guess").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    save(page)  # the focus is in the guess
    keep_screenshot(page, "guess-in-lab")
    page.get_by_role("button", name="Lock my guess").press("Enter")
    page.get_by_text("Your guess: 1. It is locked.").wait_for()
    kept = {"question": "How many?", "guess": 1, "truth": None}
    assert saved_guesses(page, path) == [kept]
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-editor").last.click()
    page.keyboard.press("Shift+Enter")
    page.get_by_alt_text("How many? Your guess: 1. Measured: 31.").wait_for()
    keep_screenshot(page, "guess-in-lab-revealed")
    assert saved_guesses(page, path) == [kept, kept | {"truth": 31}]


def small_notebook(kit: Path, name: str, *cells: str) -> Path:
    """A notebook of these code cells beside the unit's own, with its kernel."""
    path = kit / "notebooks" / UNIT / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(c) for c in cells], metadata=read_unit(kit, UNIT).metadata), path)
    return path


def save(page) -> None:
    """Ctrl+S, wherever the focus is."""
    page.locator(".jp-mod-current.jp-mod-dirty").wait_for()
    page.keyboard.press("Control+s")
    page.locator(".jp-mod-current.jp-mod-dirty").wait_for(state="detached")


def saved_guesses(page, path: Path) -> list[dict]:
    """What the notebook keeps of guesses, once the lab has saved it."""
    wait_until_idle(page)
    save(page)
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    return [output.data[MIME] for output in outputs if MIME in output.get("data", {})]


def test_a_restart_in_the_middle_of_a_training_ends_its_view_and_a_notebook_saved_meanwhile_says_so(
    students_lab, kit, page
):
    path = small_notebook(kit, "restarted", LONG_TRAINING)
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/restarted.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-editor").first.click()
    page.keyboard.press("Control+Enter")
    button = page.get_by_role("button", name="Interrupt", exact=True)
    button.wait_for(timeout=90_000)
    save(page)
    button.wait_for()  # still alive
    (output,) = (each for each in nbformat.read(path, as_version=4).cells[0].outputs if each.output_type != "stream")
    assert set(output.data) == {"text/html", "text/plain"} and "was under way" in output.data["text/plain"]
    page.keyboard.press("Escape")
    for key in "00":
        page.keyboard.press(key)
    page.locator(".jp-Dialog button", has_text="Restart").click()
    page.get_by_text("The kernel was restarted while this ran.").wait_for(timeout=60_000)
    assert not button.is_visible() and not page.locator(".jp-Notebook progress").is_visible()


def test_a_press_of_the_button_ends_a_training_and_leaves_one_still_picture(students_lab, kit, page):
    path = small_notebook(kit, "training", LONG_TRAINING, AFTERWARDS)
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/training.ipynb")
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    picture = page.locator("img[alt^='Training curves']")
    picture.wait_for(timeout=90_000)
    first = picture.get_attribute("src")
    page.wait_for_function(
        "before => document.querySelector('img[alt^=\"Training curves\"]').src !== before", arg=first
    )
    keep_screenshot(page, "training-live")
    script = (CHECKOUT / "course_utils" / "training" / "live" / "widget.js").read_text(encoding="utf-8")
    assert page.evaluate(RENDERED_ELSEWHERE, script), "a button that cannot interrupt is shown"

    page.get_by_role("button", name="Interrupt", exact=True).click()
    wait_until_idle(page)
    page.locator("figcaption", has_text="Interrupted in epoch").wait_for()
    page.get_by_text("usable: True interrupted True").wait_for()
    keep_screenshot(page, "training-interrupted")
    assert page.locator("progress").count() == 0, "the widget is still there"
    save(page)
    line, still = nbformat.read(path, as_version=4).cells[0].outputs
    assert line.output_type == "stream" and set(still.data) == {"text/html", "text/plain"}, f"saved: {set(still.data)}"
