"""The student kit and the instructor's tree in JupyterLab, driven in a real Chromium.

Screenshots are kept in test-artifacts/.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from lab_in_chromium import (chromium, find_chromium, lab, open_notebook, open_welcome, run_all_cells,
                             wait_until_idle, wait_until_open)
from miniature import CHECKOUT
from nbformat.v4 import new_code_cell, new_notebook
from student_tree import end_at_first_explorer, grade_id, make_instructors_tree, read_unit, solve, unpack_kit

from course_utils.guessing.questions import MIME

UNIT = "02_variational_autoencoders"
SCREENSHOTS = CHECKOUT / "test-artifacts"
QUICK = {"COURSE_DATASET": "digits", "COURSE_BUDGET": "quick"}
# What a minute of training would give the explorer's cell: the names it uses, with models trained for a second.
QUICK_MODELS = '''
data = datasets.load()
train_images, test_images = data.train_images.flatten(1), data.test_images.flatten(1)

def train(beta):
    def loss_function(model, x):
        logits, mu, logvar = model(x)
        return {"loss": vae_loss(logits, x, mu, logvar, elbo_beta(beta, 784))[0]}
    return training.fit(models.VAE(784, [100], 5, reparameterize=reparameterize), loss_function, train_images,
                        epochs=3, progress=False)

beta_runs = {label: train(float(label)) for label in ("0", "0.001", "10")}
'''

# A training without end, with a picture whenever the line moves, and what is left of it once it is interrupted.
LONG_TRAINING = """
from course_utils import datasets, recipes, training
from course_utils.live import in_notebook

in_notebook.SHARE = 1
images = datasets.load().train_images.flatten(1)
model, loss_function, _ = recipes.prepare(recipes.Recipe("vae", 10, (64,)), images)
run = training.fit(model, loss_function, images, epochs=5000)
"""
AFTERWARDS = "print('usable:', bool(run.model(images[:5] / 255)[0].isfinite().all()), run.stopped, len(run.history) > 0)"
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
    """A page whose own errors fail the test at its end."""
    with chromium() as page:
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        yield page
        errors = [error for error in errors if not re.search("favicon|Failed to load resource", error)]
        assert not errors, f"the browser's console shows errors: {errors}"


def keep_screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def nbgraders_menu(page) -> set[str]:
    """What the menu Nbgrader offers."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
    offered = set(page.locator(".lm-Menu-itemLabel").all_inner_texts()) - {""}
    page.keyboard.press("Escape")
    return offered


def test_a_student_s_lab_opens_on_what_there_is_to_do_and_leads_there_by_keyboard(students_lab, kit, page):
    open_welcome(page, *students_lab)
    keep_screenshot(page, "student-welcome")
    assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0, "JupyterLab asks or announces something"
    row = page.locator(".jp-MarkdownViewer tr", has_text="Variational autoencoders")
    assert "about two hours" in row.inner_text() and "not started" in row.inner_text(), row.inner_text()
    assert f"{UNIT}  not started" in (kit / "lab.log").read_text()
    offered = nbgraders_menu(page)
    assert not offered, f"a student's menu offers {offered}"
    row.get_by_role("link").focus()
    page.keyboard.press("Enter")
    wait_until_open(page)
    page.get_by_role("button", name="Validate").wait_for()
    keep_screenshot(page, "student-unit")


def test_a_fresh_unit_runs_up_to_the_first_use_of_a_stub_which_names_the_exercise(students_lab, kit, page):
    exercises = {grade_id(cell) for cell in read_unit(kit, UNIT).cells if cell.cell_type == "code" and grade_id(cell)}
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/{UNIT}.ipynb")
    run_all_cells(page)
    error = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error'], "
                         ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").last  # fmt: skip
    error.scroll_into_view_if_needed()
    keep_screenshot(page, "student-stub")
    named = re.search(r"NotImplementedError: (\w+): not written yet", error.inner_text())
    assert named and named[1] in exercises, f"the run ended with: {error.inner_text()[-200:]}"


def test_validate_tells_a_solved_unit_that_it_passes(students_lab, page):
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/solved.ipynb")
    page.get_by_role("button", name="Validate").click()
    dialog = page.locator(".jp-Dialog-content")
    dialog.wait_for(timeout=60_000)
    keep_screenshot(page, "student-validate")
    assert "Success! Your notebook passes all the tests." in dialog.inner_text()


def test_the_cockpit_follows_the_pointer_the_sliders_and_the_choice_of_model(students_lab, page):
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
    page.wait_for_function("document.querySelector('.cockpit-large').getAttribute('aria-label').includes('by 0.001')")


def test_a_guess_that_is_locked_in_the_lab_is_saved_in_the_notebook_before_and_after_the_answer(students_lab, kit, page):
    path = small_notebook(kit, "guess", "from course_utils import predict\nguess = predict.number('How many?', 0, 50)",
                          "predict.reveal(guess, 31, 'Because.')")  # fmt: skip
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/guess.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-editor").first.click()
    page.keyboard.press("Shift+Enter")
    page.get_by_label("your guess").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
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


def saved_guesses(page, path: Path) -> list[dict]:
    """What the notebook keeps of guesses, once the lab has saved it."""
    wait_until_idle(page)
    page.keyboard.press("Control+s")
    page.locator(".jp-mod-current.jp-mod-dirty").wait_for(state="detached")
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    return [output.data[MIME] for output in outputs if MIME in output.get("data", {})]


def test_a_press_of_the_button_ends_a_training_and_leaves_one_still_picture(students_lab, kit, page):
    path = small_notebook(kit, "training", LONG_TRAINING, AFTERWARDS)
    open_notebook(page, *students_lab, f"notebooks/{UNIT}/training.ipynb")
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    picture = page.locator("img[alt^='Training curves']")
    picture.wait_for(timeout=90_000)
    first = picture.get_attribute("src")
    page.wait_for_function("before => document.querySelector('img[alt^=\"Training curves\"]').src !== before", arg=first)
    keep_screenshot(page, "training-live")
    script = (CHECKOUT / "course_utils" / "live" / "widget.js").read_text(encoding="utf-8")
    assert page.evaluate(RENDERED_ELSEWHERE, script), "a button that cannot interrupt is shown"

    page.get_by_role("button", name="Interrupt", exact=True).click()
    wait_until_idle(page)
    page.locator("figcaption", has_text="Interrupted in epoch").wait_for()
    page.get_by_text("usable: True interrupted True").wait_for()
    keep_screenshot(page, "training-interrupted")
    assert page.locator("progress").count() == 0, "the widget is still there"
    page.keyboard.press("Control+s")
    page.locator(".jp-mod-dirty").wait_for(state="detached")
    line, still = nbformat.read(path, as_version=4).cells[0].outputs
    assert line.output_type == "stream" and set(still.data) == {"text/html", "text/plain"}, f"saved: {set(still.data)}"


def test_an_instructors_lab_opens_without_questions_and_its_formgrader_lists_the_unit(instructors_tree, page):
    with lab(instructors_tree, QUICK) as (address, token):
        open_welcome(page, address, token)
        offered = nbgraders_menu(page)
        assert {"Formgrader", "Create assignment"} <= offered and "Assignment List" not in offered, offered
        page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
        page.get_by_text("Formgrader", exact=True).click()
        assignments = page.frame_locator("iframe[src*='formgrader']").get_by_role("link", name=UNIT)
        assignments.wait_for(timeout=30_000)
        keep_screenshot(page, "instructor-formgrader")
        assert page.locator(".jp-Dialog, .Toastify__toast").count() == 0, "JupyterLab asks or announces something"
