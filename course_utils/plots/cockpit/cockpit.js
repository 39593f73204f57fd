// The latent cockpit. As an anywidget it lives in a notebook, as `mount` in a page of its own; either way the decoders run
// here, so that a picture follows the pointer without asking the kernel. Only networks with unknown layers are asked there.

const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#a05000", "#7a5fb5", "#806000", "#c0392b", "#444444"];
const PATH_STEPS = 41;
const WALKS = { straight: "straight line", spherical: "spherical (slerp)" };

// ---------------------------------------------------------------------------------------------- numbers and networks

/** Half-precision numbers in `buffer` from byte `offset`, as a Float32Array. */
export function halves(buffer, offset, count) {
  const bits = new Uint16Array(buffer.slice(offset, offset + 2 * count));
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const h = bits[i], sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
    out[i] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  }
  return out;
}

const POINTWISE = {
  relu: (v) => (v > 0 ? v : 0),
  leaky_relu: (v, layer) => (v > 0 ? v : layer.slope * v),
  elu: (v) => (v > 0 ? v : Math.exp(v) - 1),
  silu: (v) => v / (1 + Math.exp(-v)),
  softplus: (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
  tanh: Math.tanh,
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
};

function linear(layer, x) {
  const out = new Float32Array(layer.out), { weight, bias } = layer, n = layer.in;
  for (let o = 0, w = 0; o < layer.out; o++) {
    let sum = bias ? bias[o] : 0;
    for (let i = 0; i < n; i++) sum += weight[w++] * x.data[i];
    out[o] = sum;
  }
  return { data: out, shape: [layer.out] };
}

/** Convolution (direct) or its transpose; weight (out, in, k, k) or, transposed, (in, out, k, k). */
function convolve(layer, x, transposed) {
  const [channels, height, width] = x.shape, { k, stride, padding, weight, bias } = layer;
  const size = (n) => transposed ? (n - 1) * stride - 2 * padding + k + layer.extra : Math.floor((n + 2 * padding - k) / stride) + 1;
  const rows = size(height), columns = size(width), out = new Float32Array(layer.out * rows * columns);
  if (bias) for (let o = 0; o < layer.out; o++) out.fill(bias[o], o * rows * columns, (o + 1) * rows * columns);
  for (let o = 0; o < layer.out; o++)
    for (let c = 0; c < channels; c++)
      for (let ky = 0; ky < k; ky++)
        for (let kx = 0; kx < k; kx++) {
          const w = weight[((transposed ? c * layer.out + o : o * channels + c) * k + ky) * k + kx];
          if (transposed) {
            for (let y = 0; y < height; y++) {
              const to = y * stride - padding + ky;
              if (to < 0 || to >= rows) continue;
              for (let i = 0; i < width; i++) {
                const at = i * stride - padding + kx;
                if (at >= 0 && at < columns) out[(o * rows + to) * columns + at] += w * x.data[(c * height + y) * width + i];
              }
            }
          } else {
            for (let y = 0; y < rows; y++) {
              const from = y * stride - padding + ky;
              if (from < 0 || from >= height) continue;
              for (let i = 0; i < columns; i++) {
                const at = i * stride - padding + kx;
                if (at >= 0 && at < width) out[(o * rows + y) * columns + i] += w * x.data[(c * height + from) * width + at];
              }
            }
          }
        }
  return { data: out, shape: [layer.out, rows, columns] };
}

function affine(layer, x) {
  const out = new Float32Array(x.data.length), plane = x.data.length / layer.scale.length;
  for (let i = 0; i < out.length; i++) {
    const c = Math.floor(i / plane);
    out[i] = x.data[i] * layer.scale[c] + layer.shift[c];
  }
  return { data: out, shape: x.shape };
}

function maxPool({ k }, x) {
  const [channels, height, width] = x.shape, rows = Math.floor(height / k), columns = Math.floor(width / k);
  const out = new Float32Array(channels * rows * columns).fill(-Infinity);
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < rows * k; y++)
      for (let i = 0; i < columns * k; i++) {
        const to = (c * rows + Math.floor(y / k)) * columns + Math.floor(i / k);
        out[to] = Math.max(out[to], x.data[(c * height + y) * width + i]);
      }
  return { data: out, shape: [channels, rows, columns] };
}

/** Channels into pixels (`up`), or pixels into channels. */
function shuffle({ r }, x, up) {
  const [c, h, w] = x.shape, fine = up ? [c / (r * r), h * r, w * r] : x.shape, out = new Float32Array(x.data.length);
  const coarse = up ? x.shape : [c * r * r, h / r, w / r];
  for (let ch = 0; ch < fine[0]; ch++)
    for (let y = 0; y < fine[1]; y++)
      for (let i = 0; i < fine[2]; i++) {
        const f = (ch * fine[1] + y) * fine[2] + i;
        const q = ((ch * r * r + (y % r) * r + (i % r)) * coarse[1] + Math.floor(y / r)) * coarse[2] + Math.floor(i / r);
        if (up) out[f] = x.data[q]; else out[q] = x.data[f];
      }
  return { data: out, shape: up ? fine : coarse };
}

/** Run a network, a list of layers, on one input {data, shape}. */
export function run(layers, x) {
  for (const layer of layers) {
    if (layer.kind in POINTWISE) x = { data: x.data.map((v) => POINTWISE[layer.kind](v, layer)), shape: x.shape };
    else if (layer.kind === "linear") x = linear(layer, x);
    else if (layer.kind === "conv") x = convolve(layer, x, false);
    else if (layer.kind === "conv_transpose") x = convolve(layer, x, true);
    else if (layer.kind === "affine") x = affine(layer, x);
    else if (layer.kind === "max_pool") x = maxPool(layer, x);
    else if (layer.kind === "pixel_shuffle") x = shuffle(layer, x, true);
    else if (layer.kind === "pixel_unshuffle") x = shuffle(layer, x, false);
    else if (layer.kind === "flatten") x = { data: x.data, shape: [x.data.length] };
    else if (layer.kind === "unflatten") x = { data: x.data, shape: layer.shape };
    else throw new Error(`unknown layer ${layer.kind}`);
  }
  return x;
}

/** The weights of a network, named by their places in the buffer, as arrays. */
function unpacked(layers, buffer) {
  return layers && layers.map((layer) => {
    const full = { ...layer };
    for (const key of ["weight", "bias", "scale", "shift"])
      if (Array.isArray(layer[key])) full[key] = halves(buffer, ...layer[key]);
    return full;
  });
}

// ------------------------------------------------------------------------------------------------- what codes tell

/** z on the way from a to b; Shoemake's formula for the spherical walk, the straight line where the angle is nearly 0. */
export function walk(a, b, t, kind) {
  let [wa, wb] = [1 - t, t];
  if (kind === "spherical") {
    let dot = 0, na = 0, nb = 0;
    for (let i = 0; i < a.length; i++) { dot += a[i] * b[i]; na += a[i] * a[i]; nb += b[i] * b[i]; }
    const angle = Math.acos(Math.min(1, Math.max(-1, dot / Math.sqrt(na * nb)))), s = Math.sin(angle);
    if (s >= 1e-4) [wa, wb] = [Math.sin((1 - t) * angle) / s, Math.sin(t * angle) / s];
  }
  return a.map((v, i) => wa * v + wb * b[i]);
}

/** Says how usual a point is: the share of real codes that lie in a thinner place. Kernel density of the codes, its width
 * the median distance to the nearest neighbour. */
class Usualness {
  constructor(codes, dim) {
    this.dim = dim;
    this.count = Math.min(codes.length / dim, 600);
    this.codes = codes.subarray(0, this.count * dim);
    const nearest = [], some = Math.min(this.count, 200);
    for (let i = 0; i < some; i++) {
      let least = Infinity;
      for (let j = 0; j < this.count; j++) if (j !== i) least = Math.min(least, this.squared(this.row(i), j));
      nearest.push(Math.sqrt(least));
    }
    nearest.sort((p, q) => p - q);
    this.width = Math.max(nearest[Math.floor(some / 2)] || 0, 1e-6);
    this.real = [...Array(some).keys()].map((i) => this.log(this.row(i), i)).sort((p, q) => p - q);
  }
  row(i) { return this.codes.subarray(i * this.dim, (i + 1) * this.dim); }
  squared(z, j) {
    let sum = 0;
    for (let d = 0, at = j * this.dim; d < this.dim; d++, at++) { const gap = z[d] - this.codes[at]; sum += gap * gap; }
    return sum;
  }
  log(z, leftOut = -1) {
    let best = -Infinity;
    const terms = [];
    for (let j = 0; j < this.count; j++) {
      if (j === leftOut) continue;
      const term = -this.squared(z, j) / (2 * this.width * this.width);
      terms.push(term);
      if (term > best) best = term;
    }
    let sum = 0;
    for (const term of terms) sum += Math.exp(term - best);
    return best + Math.log(sum);
  }
  share(z) {
    const value = this.log(z);
    return this.real.filter((other) => other < value).length / this.real.length;
  }
}

// ---------------------------------------------------------------------------------------------------- small things

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") node.className = value;
    else if (key.includes("-") || key === "role" || key === "for") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

function paint(canvas, pixels, [channels, height, width]) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height), plane = width * height;
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) picture.data[4 * i + c] = pixels[channels === 3 ? c * plane + i : i];
    picture.data[4 * i + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

const percent = (share) => `${Math.round(100 * share)} %`;
let cockpits = 0;

// ------------------------------------------------------------------------------------------------------ the cockpit

class Cockpit {
  /**
   * @param root element to fill
   * @param about description of models, images and codes (see payload.py)
   * @param buffer ArrayBuffer with the numbers that `about` points to
   * @param remote null, or (model index, z) => Promise of uint8 pixels, for decoders that cannot run here
   */
  constructor(root, about, buffer, remote) {
    Object.assign(this, { root, about, remote, id: `cockpit-${++cockpits}`, shape: about.shape });
    this.plane = about.shape[0] * about.shape[1] * about.shape[2];
    this.images = new Uint8Array(buffer, about.images.offset, about.images.count * this.plane);
    this.reader = unpacked(about.reader, buffer);
    this.models = about.models.map((model, index) => ({
      ...model, index,
      codes: halves(buffer, model.codes.offset, model.codes.count * model.dim),
      layers: unpacked(model.decoder, buffer),
      directions: model.directions && halves(buffer, ...model.directions),
    }));
    this.current = this.models[0];
    this.axes = this.firstAxes(this.current);
    this.ratio = Math.min(3, globalThis.devicePixelRatio || 1); // the map is drawn in the screen's own dots
    this.ends = [0, about.labels ? Math.max(1, about.labels.findIndex((label) => label !== about.labels[0])) : 1];
    this.walk = "straight";
    this.build();
    this.enter(this.current, this.code(this.current, 0), "The code of " + this.imageName(0));
    this.from = { image: 0 };
    this.measurePath();
    for (const node of root.querySelectorAll("input, select, button, [tabindex]"))
      node.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys for its cells
    root.dataset.ready = "true";
  }

  static walk = walk;
  static compute = (layers, buffer, z) => run(unpacked(layers, buffer), { data: Float32Array.from(z), shape: [z.length] });

  code(model, index) { return Array.from(model.codes.subarray(index * model.dim, (index + 1) * model.dim)); }

  /** Two dimensions stand as in the unit's other figures, z1 across; of more the two that carry most. */
  firstAxes({ dim, order }) { return dim === 2 ? [0, 1] : [order[0], order[1] ?? order[0]]; }

  imageName(index) {
    const label = this.about.labels?.[index];
    return label === undefined ? `image ${index}` : `image ${index}, ${this.about.class_names[label]}`;
  }

  // ---- the page

  build() {
    const { about, id } = this;
    this.picture = make("canvas", { class: "cockpit-large", role: "img" });
    this.caption = make("p", { class: "cockpit-caption", "aria-live": "polite" });
    this.reading = make("p", { class: "cockpit-reading" });
    this.others = make("div", { class: "cockpit-others" });
    this.chooser = this.range(`${id}-model`, about.name, 0, this.models.length - 1, 1, (value) => this.choose(value));
    this.chooser.row.hidden = this.models.length < 2;
    this.mapBox = this.buildMap();
    this.sliders = [...Array(Math.min(about.max_sliders, Math.max(...this.models.map((m) => m.dim)))).keys()].map((i) =>
      this.range(`${id}-z${i}`, "", -3, 3, 0.05, (value) => this.slide(i, value)));
    const buttons = make("div", { class: "cockpit-row" },
      make("button", { type: "button", textContent: "Sample from N(0, I)", onclick: () => this.sample() }),
      make("button", { type: "button", textContent: "Reset to 0", onclick: () => this.moveTo(Array(this.current.dim).fill(0), "The origin, z = 0") }));
    const left = make("section", { class: "cockpit-left", "aria-label": "Decoded image" },
      this.picture, this.caption, this.reading, buttons, ...this.buildAttributes(), this.others);
    const right = make("section", { class: "cockpit-right", "aria-label": "Latent space" },
      this.chooser.row, this.mapBox, ...this.sliders.map((slider) => slider.row));
    this.root.classList.add("cockpit");
    this.root.append(make("div", { class: "cockpit-columns" }, left, right), this.buildPath());
  }

  range(id, text, min, max, step, act) {
    const input = make("input", { type: "range", id, min, max, step, value: min, oninput: () => act(Number(input.value)) });
    const label = make("label", { for: id, textContent: text }), output = make("output", { for: id });
    const row = make("div", { class: "cockpit-range" }, label, input, output);
    return { input, label, output, row };
  }

  /** Nothing without attributes; else one to choose, and a slider that adds its direction to z. */
  buildAttributes() {
    const { id, about } = this;
    if (!about.attributes?.length) return [];
    this.attributeChoice = make("select", { id: `${id}-attribute`, onchange: () => this.moveTo(this.z, this.words) },
      ...about.attributes.map((name, i) => make("option", { value: i, textContent: name })));
    this.amount = this.range(`${id}-amount`, "how much", -2, 2, 0.05, (value) => this.add(value));
    return [make("div", { class: "cockpit-row" }, make("label", { for: `${id}-attribute`, textContent: "add " }), this.attributeChoice), this.amount.row];
  }

  buildMap() {
    const { id } = this, size = 320 * this.ratio;
    this.background = make("canvas", { width: size, height: size });
    this.overlay = make("canvas", { width: size, height: size });
    this.pad = make("div", { class: "cockpit-map", role: "application", tabIndex: 0, "aria-describedby": `${id}-keys`,
      "aria-label": "Map of the codes. Arrow keys move the point." }, this.background, this.overlay);
    const point = (event) => {
      const box = this.pad.getBoundingClientRect();
      this.point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    this.pad.addEventListener("pointerdown", (event) => {
      this.pad.setPointerCapture(event.pointerId);
      this.pad.focus({ preventScroll: true });
      point(event);
    });
    this.pad.addEventListener("pointermove", (event) => { if (event.buttons & 1) point(event); });
    this.pad.addEventListener("keydown", (event) => this.key(event));
    this.axisChoice = [0, 1].map((axis) => make("select", { id: `${id}-axis${axis}`, onchange: () => {
      this.axes[axis] = Number(this.axisChoice[axis].value);
      this.drawMap();
    } }));
    const choices = [0, 1].map((axis) => make("span", {}, make("label", { for: `${id}-axis${axis}`,
      textContent: axis ? " up: " : "across: " }), this.axisChoice[axis]));
    this.axisRow = make("div", { class: "cockpit-row" }, ...choices);
    return make("div", {}, this.pad, make("p", { class: "cockpit-note", id: `${id}-keys`,
      textContent: "Click, drag, or use the arrow keys (with Shift: further). Circles: N(0, I) at radius 1, 2, 3; darker: denser codes; line: the path below." }), this.axisRow);
  }

  buildPath() {
    const { id, about } = this;
    const labels = about.labels ? [...new Set(about.labels)].sort((p, q) => p - q) : [];
    this.endChoice = [0, 1].map((end) => {
      const select = make("select", { id: `${id}-end${end}`, onchange: () => {
        this.ends[end] = Number(select.value);
        this.measurePath();
        this.along(end);
      } });
      for (const label of labels.length ? labels : [null]) {
        const group = label === null ? select : make("optgroup", { label: about.class_names[label] });
        for (let i = 0; i < about.images.count; i++)
          if (label === null || about.labels[i] === label) group.append(make("option", { value: i, textContent: this.imageName(i) }));
        if (group !== select) select.append(group);
      }
      select.value = this.ends[end];
      return select;
    });
    this.thumbnails = [0, 1].map(() => make("canvas", { class: "cockpit-small", role: "img" }));
    this.onTheWay = make("canvas", { class: "cockpit-small", role: "img", "aria-label": "The decoded image, as above" });
    this.walkChoice = make("select", { id: `${id}-walk`, onchange: () => {
      this.walk = this.walkChoice.value;
      this.measurePath();
      this.along(Number(this.time.input.value));
    } }, ...Object.entries(WALKS).map(([value, text]) => make("option", { value, textContent: text })));
    this.time = this.range(`${id}-t`, "position t", 0, 1, 0.005, (value) => this.along(value));
    this.player = make("button", { type: "button", textContent: "Play", onclick: () => this.playing ? this.stop() : this.play() });
    this.chart = make("div", { class: "cockpit-chart" });
    const end = (i) => make("div", { class: "cockpit-row" }, this.thumbnails[i],
      make("label", { for: `${id}-end${i}`, textContent: i ? "to " : "from " }), this.endChoice[i], this.buildShelf(i));
    return make("section", { class: "cockpit-path", "aria-label": "Path between two images" },
      make("div", { class: "cockpit-row" }, end(0), end(1),
        make("span", {}, make("label", { for: `${id}-walk`, textContent: "walk: " }), this.walkChoice), this.player, this.onTheWay),
      this.time.row, this.chart);
  }

  /** The first images, to choose an end of the path by its looks; drawn when they are first asked for. */
  buildShelf(end) {
    const shelf = make("div", { class: "cockpit-shelf" }), { about, plane } = this;
    const fold = make("details", {}, make("summary", { textContent: "by its picture" }), shelf);
    fold.addEventListener("toggle", () => {
      for (let i = shelf.children.length; i < Math.min(about.images.count, 60); i++) {
        const picture = make("canvas", {});
        paint(picture, this.images.subarray(i * plane, (i + 1) * plane), this.shape);
        const button = make("button", { type: "button", title: this.imageName(i), "aria-label": this.imageName(i), onclick: () => {
          this.endChoice[end].value = i;
          this.endChoice[end].onchange();
        } }, picture);
        button.dataset.lmSuppressShortcuts = "true";
        shelf.append(button);
      }
    });
    return fold;
  }

  // ---- what hands do

  choose(index) {
    const next = this.models[index], before = this.current, from = this.from;
    if (from?.at !== undefined) {
      this.enter(next, this.pathAt(next, from.at), this.words);
      this.along(from.at);
    } else if (from || next.dim !== before.dim) { // every model has its own code of an image
      const image = from?.image ?? this.ends[0];
      this.enter(next, this.code(next, image), "The code of " + this.imageName(image));
      this.from = { image };
    } else {
      const words = this.words.replace(/ \(the z of .*\)$/, "");
      this.enter(next, this.z, next === this.zOf ? words : `${words} (the z of ${this.zOf.title})`);
    }
    this.measurePath();
  }

  pathAt(model, t) { return walk(this.code(model, this.ends[0]), this.code(model, this.ends[1]), t, this.walk); }

  enter(model, z, words) {
    this.current = model;
    this.chooser.input.value = model.index;
    this.chooser.input.setAttribute("aria-valuetext", model.title);
    this.chooser.output.textContent = model.title;
    const keep = this.axes.every((axis) => axis < model.dim);
    if (!keep) this.axes = this.firstAxes(model);
    for (const [axis, select] of this.axisChoice.entries()) {
      select.replaceChildren(...model.order.map((d) => make("option", { value: d, textContent: model.labels[d] })));
      select.value = this.axes[axis];
    }
    this.mapBox.hidden = model.dim < 2;
    this.axisRow.hidden = model.dim < 3;
    this.shown = model.order.slice(0, this.sliders.length);
    for (const [i, slider] of this.sliders.entries()) {
      slider.row.hidden = i >= this.shown.length;
      if (slider.row.hidden) continue;
      slider.label.textContent = model.labels[this.shown[i]];
    }
    model.usualness ??= new Usualness(model.codes, model.dim);
    this.moveTo(z, words);
    this.drawMap();
  }

  slide(i, value) {
    const z = [...this.z], d = this.shown[i];
    z[d] = value;
    this.moveTo(z, `${this.start}, then z${d + 1} moved to ${value.toFixed(2)}`, this.start);
  }

  /** Add the chosen attribute's direction to z, in place of what was added of it before. */
  add(value) {
    const i = Number(this.attributeChoice.value), { dim, directions } = this.current, step = value - this.added;
    const z = this.z.map((v, d) => v + step * directions[i * dim + d]);
    this.moveTo(z, `${this.start}, ${value < 0 ? "−" : "+"} ${Math.abs(value).toFixed(2)} ${this.about.attributes[i]}`, this.start, value);
  }

  sample() {
    const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    this.moveTo(Array.from({ length: this.current.dim }, normal), "A sample from N(0, I)");
  }

  point(across, down) {
    const z = [...this.z], reach = this.reach(), clamp = (v) => Math.min(1, Math.max(0, v));
    z[this.axes[0]] = (2 * clamp(across) - 1) * reach;
    z[this.axes[1]] = (1 - 2 * clamp(down)) * reach;
    this.moveTo(z, `${this.start}, then moved on the map`, this.start);
  }

  key(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to another cell
    const [axis, sign] = moves[event.key], reach = this.reach(), z = [...this.z], d = this.axes[axis];
    z[d] = Math.min(reach, Math.max(-reach, z[d] + sign * reach * (event.shiftKey ? 0.1 : 0.02)));
    this.moveTo(z, `${this.start}, then moved on the map`, this.start);
  }

  along(t) {
    this.time.input.value = t;
    this.time.output.textContent = Number(t).toFixed(2);
    this.moveTo(this.pathAt(this.current, t), `${percent(t)} of the way from ${this.imageName(this.ends[0])} to ${this.imageName(this.ends[1])}`);
    this.from = { at: Number(t) };
    this.mark?.setAttribute("transform", `translate(${t * 600} 0)`);
  }

  play() {
    const began = performance.now(), from = Number(this.time.input.value) % 1;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches; // then a picture every half second
    let shown = null;
    this.player.textContent = "Stop";
    const frame = (now) => {
      const passed = calm ? 500 * Math.floor((now - began) / 500) : now - began;
      const t = Math.max(from, Math.min(1, from + passed / 3000));
      if (t !== shown) this.along(shown = t);
      if (t < 1 && this.playing) this.playing = requestAnimationFrame(frame);
      else this.stop();
    };
    this.playing = requestAnimationFrame(frame);
  }

  stop() {
    if (this.playing) cancelAnimationFrame(this.playing);
    this.playing = null;
    this.player.textContent = "Play";
  }

  // ---- what follows

  reach() { return 1.05 * Math.max(...this.axes.map((axis) => this.current.reach[axis])); }

  moveTo(z, words, start = words, added = start === words ? 0 : this.added) {
    if (!words.includes("(the z of ")) this.zOf = this.current;
    Object.assign(this, { z, words, start, added, from: null });
    if (this.amount) {
      this.amount.input.value = added;
      this.amount.output.textContent = added.toFixed(2);
    }
    for (const [i, d] of this.shown.entries()) {
      const { input, output } = this.sliders[i], reach = Math.max(this.current.reach[d], Math.abs(z[d]));
      Object.assign(input, { min: -reach, max: reach, step: reach / 60 });
      input.value = z[d];
      output.textContent = z[d].toFixed(2);
    }
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = null; this.draw(); });
  }

  /** uint8 pixels of z, here or from the kernel. */
  decode(model, z) {
    if (!model.layers) return this.remote ? this.remote(model.index, z) : Promise.resolve(new Uint8Array(this.plane).fill(127));
    const out = run(model.layers, { data: Float32Array.from(z), shape: [z.length] }).data;
    const pixels = new Uint8Array(out.length);
    for (let i = 0; i < out.length; i++) pixels[i] = Math.round(255 / (1 + Math.exp(-out[i])));
    return pixels;
  }

  /** The picture of z, at once; what else follows from it a moment later, a few times a second. */
  async draw() {
    if (this.drawing) { this.again = true; return; } // the kernel has not answered yet: one question at a time
    this.drawing = true;
    const { current, z, words } = this, pixels = await this.decode(current, z);
    paint(this.picture, pixels, this.shape);
    paint(this.onTheWay, pixels, this.shape);
    this.drawCross();
    this.drawing = false;
    this.root.dispatchEvent(new CustomEvent("cockpit-drawn"));
    if (this.again) { this.again = false; return this.draw(); }
    this.last = { current, z, words, pixels };
    this.settling ??= setTimeout(() => { this.settling = null; this.settle(this.last); }, 60);
  }

  async settle({ current, z, words, pixels }) {
    const read = this.read(pixels);
    this.picture.setAttribute("aria-label", `Decoded by ${current.title}. ${words}.${read ? ` Read as ${read}.` : ""}`);
    this.caption.textContent = words;
    this.reading.textContent = (read ? `read as ${read}; ` : "") + `more usual than ${percent(current.usualness.share(z))} of real codes`;
    const twins = this.models.filter((model) => model.dim === current.dim);
    this.others.hidden = twins.length < 2;
    if (this.others.hidden) return;
    if (this.others.children.length !== twins.length)
      this.others.replaceChildren(...twins.map((model) => make("figure", {}, make("canvas", { class: "cockpit-small", role: "img" }),
        make("figcaption", { textContent: model.title }))));
    for (const [i, model] of twins.entries()) {
      const shown = model === current ? pixels : await this.decode(model, z);
      paint(this.others.children[i].firstChild, shown, this.shape);
      this.others.children[i].firstChild.setAttribute("aria-label", `The same z decoded by ${model.title}`);
      this.others.children[i].classList.toggle("cockpit-current", model === current);
    }
    this.root.dispatchEvent(new CustomEvent("cockpit-settled"));
  }

  /** What the classifier reads in pixels, in words; "" without one. */
  read(pixels) {
    if (!this.reader) return "";
    const [label, share] = this.probability(pixels);
    return `${this.about.class_names[label]} (${percent(share)})`;
  }

  probability(pixels) {
    const logits = run(this.reader, { data: Float32Array.from(pixels, (v) => v / 255), shape: this.shape }).data;
    const top = Math.max(...logits), weights = Array.from(logits, (v) => Math.exp(v - top));
    const label = weights.indexOf(1);
    return [label, 1 / weights.reduce((p, q) => p + q, 0)];
  }

  // ---- the map

  place(z) {
    const half = this.background.width / 2, reach = this.reach();
    return [half + (half * z[this.axes[0]]) / reach, half - (half * z[this.axes[1]]) / reach];
  }

  drawMap() {
    const context = this.background.getContext("2d"), size = this.background.width, { current, about } = this;
    const count = current.codes.length / current.dim, places = [];
    for (let i = 0; i < count; i++) places.push(this.place(current.codes.subarray(i * current.dim, (i + 1) * current.dim)));
    this.drawDensity(context, size, places);
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `${10 * this.ratio}px sans-serif`;
    for (let i = 0; i < Math.min(count, 800); i++) {
      const label = about.labels_of_codes?.[i];
      context.fillStyle = PALETTE[(label ?? 0) % 10];
      context.fillText(label === undefined || about.class_names.length > 10 ? "·" : about.class_names[label].slice(0, 1), ...places[i]);
    }
    context.strokeStyle = "#222";
    context.lineWidth = this.ratio;
    const radius = size / 2 / this.reach();
    for (const r of [1, 2, 3]) {
      context.beginPath();
      context.arc(size / 2, size / 2, r * radius, 0, 2 * Math.PI);
      context.stroke();
    }
    context.font = `bold ${12 * this.ratio}px sans-serif`;
    context.lineWidth = 3 * this.ratio;
    const edge = 12 * this.ratio, name = (axis) => `z${this.axes[axis] + 1}`;
    for (const [text, x, y] of [[`${name(0)} →`, size - 2 * edge, size - edge], [`↑ ${name(1)}`, 2 * edge, edge]]) {
      context.strokeStyle = "#fff";
      context.strokeText(text, x, y);
      context.fillStyle = "#111";
      context.fillText(text, x, y);
    }
    this.drawCross();
  }

  drawDensity(context, size, places) {
    const cells = 40, counts = new Float32Array(cells * cells), spread = 1.5;
    for (const [x, y] of places) {
      const cx = (x / size) * cells, cy = (y / size) * cells;
      for (let j = Math.max(0, Math.floor(cy - 4)); j < Math.min(cells, cy + 4); j++)
        for (let i = Math.max(0, Math.floor(cx - 4)); i < Math.min(cells, cx + 4); i++)
          counts[j * cells + i] += Math.exp(-((i + 0.5 - cx) ** 2 + (j + 0.5 - cy) ** 2) / (2 * spread * spread));
    }
    const most = Math.max(...counts) || 1, small = make("canvas", { width: cells, height: cells });
    const shade = small.getContext("2d"), picture = shade.createImageData(cells, cells);
    for (let i = 0; i < counts.length; i++) {
      const grey = 255 - 70 * Math.sqrt(counts[i] / most);
      picture.data.set([grey, grey, grey, 255], 4 * i);
    }
    shade.putImageData(picture, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(small, 0, 0, size, size);
  }

  drawCross() {
    const context = this.overlay.getContext("2d"), size = this.overlay.width;
    context.clearRect(0, 0, size, size);
    if (this.current.dim < 2) return;
    const { ratio } = this, arm = 10 * ratio;
    const [x, y] = this.place(this.z).map((v) => Math.min(size - 4 * ratio, Math.max(4 * ratio, v)));
    for (const [width, colour] of [[4, "#fff"], [1.5, "#d55e00"]]) {
      context.lineWidth = width * ratio;
      context.strokeStyle = colour;
      context.beginPath();
      for (let step = 0; step < PATH_STEPS; step++) context.lineTo(...this.place(this.pathAt(this.current, step / (PATH_STEPS - 1))));
      context.stroke();
    }
    for (const [width, colour] of [[6, "#fff"], [2.5, "#000"]]) {
      context.lineWidth = width * ratio;
      context.strokeStyle = colour;
      context.beginPath();
      context.moveTo(x - arm, y); context.lineTo(x + arm, y);
      context.moveTo(x, y - arm); context.lineTo(x, y + arm);
      context.stroke();
    }
  }

  // ---- the path

  async measurePath() {
    const { current } = this, [a, b] = this.ends.map((end) => this.code(current, end));
    for (const [i, canvas] of this.thumbnails.entries()) {
      paint(canvas, this.images.subarray(this.ends[i] * this.plane, (this.ends[i] + 1) * this.plane), this.shape);
      canvas.setAttribute("aria-label", this.imageName(this.ends[i]));
    }
    this.drawCross();
    const usual = [], sure = [], turn = (this.turn = (this.turn ?? 0) + 1);
    for (let step = 0; step < PATH_STEPS; step++) {
      const z = walk(a, b, step / (PATH_STEPS - 1), this.walk);
      usual.push(current.usualness.share(z));
      if (this.reader && current.layers) sure.push(this.probability(this.decode(current, z))[1]);
      if (step % 10 === 9) await new Promise((done) => setTimeout(done)); // hands come first
      if (turn !== this.turn) return; // another path was chosen meanwhile
    }
    this.drawChart([["usual", "how usual the code is", usual, "#0072b2", ""], ["sure", "classifier's confidence", sure, "#d55e00", "6 3"]]
      .filter(([, , values]) => values.length));
  }

  drawChart(curves) {
    const lowest = curves.map(([, name, values]) => `${name}: lowest ${percent(Math.min(...values))}`).join("; ");
    const line = (values) => values.map((v, i) => `${(600 * i) / (PATH_STEPS - 1)},${100 - 100 * v}`).join(" ");
    this.chart.innerHTML = `<svg viewBox="-40 -8 650 128" role="img"><g class="cockpit-axes"><path d="M0 0V100H600"/>
      <text x="-4" y="4" text-anchor="end">100 %</text><text x="-4" y="103" text-anchor="end">0</text>
      <text x="0" y="116">t = 0</text><text x="600" y="116" text-anchor="end">1</text></g>
      ${curves.map(([, , values, colour, dash]) => `<polyline points="${line(values)}" fill="none" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dash}"/>`).join("")}
      <path class="cockpit-mark" d="M0 0V100" stroke="#000"/></svg><p class="cockpit-note">${curves.map(([, name, , colour, dash]) =>
        `<span style="color:${colour}">${dash ? "╌╌" : "──"}</span> ${name}`).join(" &emsp; ")}</p>`;
    this.chart.firstChild.setAttribute("aria-label", `Along the path, ${lowest}.`);
    this.mark = this.chart.querySelector(".cockpit-mark");
    this.mark.setAttribute("transform", `translate(${Number(this.time.input.value) * 600} 0)`);
  }

  destroy() {
    this.stop();
    if (this.waiting) cancelAnimationFrame(this.waiting);
    clearTimeout(this.settling);
    this.root.replaceChildren();
  }
}

/** Fill `root` with the cockpit; see the class. */
export function mount(root, about, buffer, remote = null) { return new Cockpit(root, about, buffer, remote); }

/** The numbers as one ArrayBuffer, whatever view the host gives. */
const asBuffer = (view) => view instanceof ArrayBuffer ? view : view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);

/** Questions to the kernel, answered in order. */
function kernel(model) {
  const open = new Map();
  let last = 0;
  model.on("msg:custom", (message, buffers) => {
    const answer = open.get(message.id);
    open.delete(message.id);
    if (answer) answer(new Uint8Array(asBuffer(buffers[0])));
  });
  return (index, z) => new Promise((answer) => {
    open.set(++last, answer);
    model.send({ id: last, index, z: Array.from(z) });
  });
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
    const cockpit = mount(el, model.get("about"), asBuffer(model.get("numbers")), kernel(model));
    return () => cockpit.destroy();
  },
};
