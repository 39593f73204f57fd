// Takes one guess: a letter, a number, or a curve drawn by hand. The kernel decides what counts: once it has the guess it
// puts plain text in this control's place.

const SVG = "http://www.w3.org/2000/svg";
const AXIS = 52, LEFT = 84, RIGHT = 584, TOP = 16, BOTTOM = 196;
const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (key in element && key !== "list") element[key] = value; else element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function draw(name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

/** The nearest step of the range. */
function snap({ low, high, step }, value) {
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  return Number(Math.min(high, Math.max(low, low + step * Math.round((value - low) / step))).toFixed(digits));
}

const middle = (about) => snap(about, (about.low + about.high) / 2);

function choice(about, changed) {
  const name = `guess-${Math.random().toString(36).slice(2)}`;
  return about.choices.map(([letter, text]) => make("label", {},
    make("input", { type: "radio", name, value: letter, checked: about.guess === letter, onchange: () => changed(letter) }),
    " ", make("strong", { textContent: letter }), ` ${text}`));
}

function number(about, changed) {
  const output = make("output", { textContent: "not chosen" });
  const say = (value) => {
    output.textContent = `${value} ${about.unit}`;
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const input = make("input", { type: "range", min: about.low, max: about.high, step: about.step, "aria-label": "your guess",
    oninput: () => { say(Number(input.value)); changed(Number(input.value)); } });
  input.value = about.guess ?? middle(about);
  if (about.guess !== null) say(about.guess);
  const ends = make("div", { className: "guess-ends" }, make("span", { textContent: about.low }), make("span", { textContent: about.high }));
  return [make("div", { className: "guess-range" }, make("div", {}, input, ends), output)];
}

function curve(about, changed) {
  const { low, high, x, places } = about, heights = about.guess ? [...about.guess] : x.map(() => middle(about));
  const across = (i) => LEFT + places[i] * (RIGHT - LEFT), down = (height) => BOTTOM - ((height - low) / (high - low)) * (BOTTOM - TOP);
  const picture = draw("svg", { viewBox: "0 0 620 244", role: "group", "aria-label": `${about.ylabel} against ${about.xlabel}` });
  const line = draw("polyline", { class: "guess-line" });
  picture.append(
    draw("path", { class: "guess-axes", d: `M${AXIS} ${TOP - 8}V${BOTTOM}H${RIGHT + 12}` }),
    ...[low, high].map((end) => draw("text", { x: AXIS - 8, y: down(end) + 4, "text-anchor": "end" }, String(end))),
    draw("text", { x: AXIS + 8, y: TOP - 2 }, about.ylabel),
    ...x.map((here, i) => draw("text", { x: across(i), y: BOTTOM + 18, "text-anchor": "middle" }, String(here))),
    draw("text", { x: RIGHT, y: BOTTOM + 38, "text-anchor": "end" }, about.xlabel), line);
  const handles = x.map((here, i) => {
    const handle = draw("g", { role: "slider", tabindex: 0, "aria-orientation": "vertical", "aria-label": `${about.xlabel} ${here}`,
      "aria-valuemin": low, "aria-valuemax": high });
    handle.append(draw("circle", { r: 9, cx: across(i) }), draw("text", { x: across(i), "text-anchor": "middle" }));
    handle.addEventListener("keydown", (event) => {
      if (picture.locked || !(event.key in KEYS)) return;
      event.preventDefault();
      set(i, heights[i] + about.step * KEYS[event.key]);
    });
    picture.append(handle);
    return handle;
  });
  const show = (i) => {
    const [circle, text] = handles[i].children, y = down(heights[i]);
    circle.setAttribute("cy", y);
    text.setAttribute("y", y < TOP + 24 ? y + 26 : y - 14);
    text.textContent = heights[i];
    handles[i].setAttribute("aria-valuenow", heights[i]);
    line.setAttribute("points", heights.map((height, k) => `${across(k)},${down(height)}`).join(" "));
  };
  const set = (i, height) => {
    heights[i] = snap(about, height);
    show(i);
    picture.classList.add("guess-chosen");
    changed([...heights]);
  };
  const value = (y) => low + ((BOTTOM - y) / (BOTTOM - TOP)) * (high - low);
  let last = null;
  /** A stroke gives each place that it passes the height there; up and down it moves the nearest point. */
  const point = (event) => {
    if (picture.locked || !picture.hasPointerCapture(event.pointerId)) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const away = x.map((_, i) => Math.abs(across(i) - at.x));
    if (!last || Math.abs(at.y - last.y) > Math.abs(at.x - last.x)) set(away.indexOf(Math.min(...away)), value(at.y));
    for (let i = 0; last && i < x.length; i++) {
      const share = (across(i) - last.x) / (at.x - last.x);
      if (share >= 0 && share <= 1) set(i, value(last.y + share * (at.y - last.y)));
    }
    last = at;
  };
  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    last = null;
    point(event);
  });
  picture.addEventListener("pointermove", point);
  x.forEach((_, i) => show(i));
  if (about.guess) picture.classList.add("guess-chosen");
  picture.lock = () => {
    picture.locked = true;
    handles.forEach((handle) => handle.setAttribute("aria-disabled", "true"));
  };
  return [picture];
}

const HOW = {
  choice: "Choose an answer, then lock it.",
  number: "Move the slider, then lock your guess.",
  curve: "Draw with the pointer, or move each point with the arrow keys; then lock your curve.",
};

const LATE = " The answer was shown already: this guess is kept as one made after it.";

/** Fill `root` with the question `about`; `send` gets the guess when the button is pressed. */
export function mount(root, about, send) {
  let guess = about.guess;
  const status = make("p", { role: "status", textContent: HOW[about.kind] + (about.late ? LATE : "") });
  const button = make("button", { type: "button", textContent: "Lock my guess", disabled: guess === null, onclick: () => {
    button.disabled = fields.disabled = true;
    fields.querySelector("svg")?.lock();
    status.textContent = "Sent. It counts as soon as the kernel is free to take it.";
    send(guess);
  } });
  const changed = (value) => { guess = value; button.disabled = false; };
  const fields = make("fieldset", {}, make("legend", { textContent: about.text }), ...{ choice, number, curve }[about.kind](about, changed));
  const panel = make("div", { className: "guess", "data-lm-suppress-shortcuts": "true" }, fields, make("div", { className: "guess-row" }, button, status));
  panel.addEventListener("keydown", (event) => event.stopPropagation()); // the notebook would move to another cell
  root.replaceChildren(panel);
}

/** The control is about to go: the notebook's next cell is made the active one, so that Shift+Enter runs it. */
function goOn(el) {
  const next = el.closest(".jp-Cell")?.nextElementSibling, notebook = el.closest(".jp-Notebook");
  const prompt = next?.querySelector(".jp-InputPrompt, .jp-Cell-inputWrapper") ?? next;
  if (!notebook || !prompt) return;
  const where = { bubbles: true, cancelable: true, button: 0 };
  prompt.dispatchEvent(new MouseEvent("mousedown", where));
  prompt.dispatchEvent(new MouseEvent("mouseup", where));
  document.activeElement?.blur();
  if (notebook.tabIndex < 0) notebook.tabIndex = -1;
  notebook.focus({ preventScroll: true });
}

/** Ctrl+S is the notebook's, wherever the focus is: JupyterLab does not look at keys pressed in a field of an output. */
function handOnSave(event) {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "s") return;
  event.stopPropagation();
  if (!event.currentTarget.parentElement.dispatchEvent(new KeyboardEvent("keydown", event))) event.preventDefault();
}

export default {
  render({ model, el }) {
    el.addEventListener("keydown", handOnSave, true);
    mount(el, model.get("about"), (guess) => {
      model.send({ guess });
      goOn(el);
    });
  },
};
