// Scrollable slices of the cases on a page. A case's data are decoded when it is opened, and let go when it closes.
(() => {
"use strict";
const VOLUME = [ // radiological convention: seen from the feet, from the front, from the patient's left
  {name: "axial", across: 0, down: 1, axis: 2, flip: true, edges: ["R", "L", "A", "P"]},
  {name: "coronal", across: 0, down: 2, axis: 1, flip: true, edges: ["R", "L", "S", "I"]},
  {name: "sagittal", across: 1, down: 2, axis: 0, flip: true, edges: ["A", "P", "S", "I"]},
];
const PICTURE = [{name: "picture", across: 0, down: 1, axis: 2, flip: false, edges: []}];
const BARS = [200, 100, 50, 20, 10, 5, 2, 1], SIDES = ["LR", "PA", "IS"]; // in mm; of the origin, along each axis
const NOTCH = 50, PAGE = 5; // wheel movement that is one slice, touch movement in pixels times four; slices a page key
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function make(tag, parent, attributes, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// The tiles of a mosaic, one after the other, as `channels` values a voxel.
async function decode(url, facts, channels, value) {
  const image = new Image();
  await new Promise((done, failed) => Object.assign(image, {onload: done, onerror: failed, src: url}));
  const picture = window.createImageBitmap ? await createImageBitmap(image) : image; // decoded once, whatever its size
  const [width, height, depth] = facts.shape, voxels = new Uint8ClampedArray(width * height * depth * channels);
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  for (let z = 0, to = 0; z < depth; z++) {
    const left = z % facts.columns * facts.tile[0], top = Math.floor(z / facts.columns) * facts.tile[1];
    context.clearRect(0, 0, width, height);
    context.drawImage(picture, left, top, width, height, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height).data;
    for (let from = 0; from < pixels.length; from += 4)
      for (let channel = 0; channel < channels; channel++) voxels[to++] = value(pixels[from + channel]);
  }
  if (picture.close) picture.close();
  return voxels;
}

let last = Promise.resolve(); // decoded pictures are large: one case is read after the other
const inTurn = work => last = last.then(work, work);

// Closed outlines of a mask (columns x rows), as lists of points in pixels; half-way between inside and outside.
function outlines(inside, columns, rows) {
  const at = (u, v) => u >= 0 && v >= 0 && u < columns && v < rows && inside[v * columns + u] ? 1 : 0;
  const width = 2 * columns + 4, next = new Map();
  for (let v = -1; v < rows; v++) for (let u = -1; u < columns; u++) {
    const kind = at(u, v) | at(u + 1, v) << 1 | at(u + 1, v + 1) << 2 | at(u, v + 1) << 3;
    if (kind === 0 || kind === 15) continue;
    const corner = (2 * v + 2) * width + 2 * u + 2; // of the four pixels' middles, in half pixels
    const top = corner + 1, right = corner + width + 2, bottom = corner + 2 * width + 1, left = corner + width;
    const lines = {1: [left, top], 2: [top, right], 3: [left, right], 4: [right, bottom], 5: [left, top, right, bottom],
      6: [top, bottom], 7: [left, bottom], 8: [bottom, left], 9: [bottom, top], 10: [top, right, bottom, left],
      11: [bottom, right], 12: [right, left], 13: [right, top], 14: [top, left]}[kind];
    for (let i = 0; i < lines.length; i += 2) next.set(lines[i], lines[i + 1]); // the inside is on the left
  }
  const found = [];
  for (const start of next.keys()) {
    const points = [];
    for (let key = start, end; next.has(key); key = end) {
      end = next.get(key);
      next.delete(key);
      points.push([(key % width - 1) / 2, (Math.floor(key / width) - 1) / 2]);
    }
    found.push(points);
  }
  return found;
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.facts = JSON.parse(root.dataset.facts);
    this.planes = (this.facts.picture ? PICTURE : VOLUME.filter(plane => this.facts.shape[plane.across] > 1
      && this.facts.shape[plane.down] > 1)).map(plane => ({...plane, views: []}));
    if (!this.planes.length) this.planes = [{...VOLUME[0], views: []}];
    this.at = [...this.facts.start];
    this.shown = Object.fromEntries(this.facts.masks.map(mask => [mask.name, true]));
    this.fill = this.beside = false;
    if (this.facts.levels) [, this.low, this.high] = this.facts.windows[this.facts.window];
  }

  async open() {
    const status = make("p", this.root, {class: "note", role: "status"}, "Reading slices…");
    try {
      await inTurn(() => this.closed || this.read());
    } catch (error) {
      if (!this.closed) status.textContent = "This browser could not read the slices.";
      return;
    }
    if (this.closed) return;
    status.remove();
    this.build();
    this.watcher = new ResizeObserver(() => this.draw());
    this.watcher.observe(this.grid); // draws at once
  }

  async read() {
    const channels = this.facts.levels ? 1 : 3;
    this.voxels = await decode(this.root.dataset.image, this.facts, channels, code => code);
    this.masks = [];
    for (let i = 0; i < this.facts.masks.length && !this.closed; i++) {
      const {step} = this.facts.masks[i], url = this.root.getAttribute(`data-mask-${i}`);
      this.masks.push(await decode(url, this.facts, 1, code => Math.round(code / step)));
    }
  }

  close() {
    this.closed = true;
    if (this.watcher) this.watcher.disconnect();
    this.root.textContent = "";
  }

  build() {
    const bar = make("div", this.root, {class: "tools"});
    for (const {name} of this.facts.masks) this.toggle(bar, name, true, on => { this.shown[name] = on; });
    if (this.facts.masks.length) this.toggle(bar, "fill", false, on => { this.fill = on; });
    if (this.facts.masks.length > 1) this.toggle(bar, "side by side", false, on => { this.beside = on; this.arrange(); });
    if (this.facts.levels) this.buildWindow(bar);
    this.grid = make("div", this.root, {class: `planes of${this.planes.length}`});
    for (const plane of this.planes) this.buildPlane(plane);
    this.arrange();
  }

  toggle(bar, name, on, change) {
    const box = make("input", make("label", bar), {type: "checkbox"});
    box.checked = on;
    box.parentNode.append(` ${name}`);
    box.addEventListener("change", () => { change(box.checked); this.draw(); });
  }

  buildWindow(bar) {
    const {levels, windows} = this.facts, low = levels[0], high = levels[levels.length - 1];
    const select = make("select", make("label", bar, {}, "window "), {"aria-label": "window"});
    for (const [name] of windows) make("option", select, {}, name);
    this.custom = make("option", select, {disabled: "", hidden: ""}, "own");
    select.selectedIndex = this.facts.window;
    select.addEventListener("change", () => {
      [, this.low, this.high] = windows[select.selectedIndex];
      this.showWindow();
    });
    const range = Math.max(high - low, ...windows.map(([, from, to]) => to - from)) || 1;
    const slider = (name, from, to) => {
      const input = make("input", make("label", bar, {class: "range"}, `${name} `),
        {type: "range", min: from, max: to, step: "any", "aria-label": `window ${name}`});
      input.addEventListener("input", () => this.setWindow(+this.level.value, +this.width.value));
      return input;
    };
    this.level = slider("level", Math.min(low, ...windows.map(each => each[1])), Math.max(high, low + range / 500));
    this.width = slider("width", Math.min(...windows.map(([, from, to]) => to - from || range)) / 50, range);
    this.numbers = make("output", bar, {class: "numbers"});
    this.showWindow();
  }

  setWindow(level, width) {
    width = clamp(width, +this.width.min, +this.width.max);
    level = clamp(level, +this.level.min, +this.level.max);
    [this.low, this.high] = [level - width / 2, level + width / 2];
    this.custom.selected = true;
    this.showWindow();
  }

  showWindow() {
    const level = (this.low + this.high) / 2, width = this.high - this.low;
    this.level.value = level;
    this.width.value = width;
    this.numbers.textContent = [level, width].map(value => +value.toPrecision(3)).join(" / ");
    if (this.grid) this.draw();
  }

  buildPlane(plane) {
    const last = this.facts.shape[plane.axis] - 1;
    plane.box = make("figure", this.grid, {class: "plane"});
    plane.area = make("div", plane.box, {class: "area", tabindex: "0", role: "group",
      "aria-label": `${plane.name}: arrow keys, page keys, home and end change the slice`});
    const foot = make("figcaption", plane.box);
    plane.slider = make("input", foot, {type: "range", min: 0, max: last, "aria-label": `${plane.name} slice`});
    foot.hidden = last === 0;
    plane.text = make("output", foot, {"aria-live": "polite"});
    plane.slider.addEventListener("input", () => this.go(plane, +plane.slider.value));
    this.listen(plane);
  }

  // One canvas a plane with all masks over it; side by side, one canvas a mask.
  arrange() {
    for (const plane of this.planes) {
      plane.area.textContent = "";
      const names = this.beside ? this.facts.masks.map(mask => mask.name) : [""];
      plane.views = names.map(name => {
        const view = make("div", plane.area, {class: "view"});
        const canvas = make("canvas", view, {"aria-hidden": "true"});
        if (name) make("span", view, {class: "of"}, name);
        plane.edges.forEach((letter, i) => make("span", view, {class: `edge e${i}`, "aria-hidden": "true"}, letter));
        const bar = this.facts.unit === "mm" ? make("span", view, {class: "bar", "aria-hidden": "true"}) : null;
        return {name, canvas, bar};
      });
    }
  }

  go(plane, index) {
    const last = this.facts.shape[plane.axis] - 1, before = this.at[plane.axis];
    this.at[plane.axis] = clamp(Math.round(index), 0, last);
    if (this.at[plane.axis] === before) return false;
    this.draw();
    return true;
  }

  listen(plane) {
    const {area} = plane, step = n => this.go(plane, this.at[plane.axis] + n);
    const moves = {ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: PAGE, PageDown: -PAGE,
      Home: -Infinity, End: Infinity};
    area.addEventListener("keydown", event => {
      if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      step(moves[event.key]);
    });
    let turned = 0, from = null;
    area.addEventListener("wheel", event => {
      if (event.ctrlKey || !event.deltaY || this.facts.shape[plane.axis] < 2) return;
      const whole = event.deltaMode !== 0 || Math.abs(event.deltaY) >= NOTCH;
      turned = whole ? Math.sign(event.deltaY) * NOTCH : turned + event.deltaY;
      const slices = Math.trunc(turned / NOTCH);
      turned -= slices * NOTCH;
      if (!slices || step(plane.flip ? -slices : slices)) event.preventDefault(); // at the last slice the page moves on
    }, {passive: false});
    area.addEventListener("pointerdown", event => {
      if (event.button) return;
      const window = this.facts.levels ? [(this.low + this.high) / 2, this.high - this.low] : null;
      from = {x: event.clientX, y: event.clientY, slice: this.at[plane.axis], window, moved: false};
      area.setPointerCapture(event.pointerId);
    });
    area.addEventListener("pointermove", event => {
      if (!from) return;
      const x = event.clientX - from.x, y = event.clientY - from.y;
      from.moved = from.moved || Math.hypot(x, y) > 4;
      if (!from.moved) return;
      if (event.pointerType === "touch") this.go(plane, from.slice + Math.trunc(x * 4 / NOTCH));
      else if (from.window) {
        const unit = from.window[1] / 200; // an outlier may make the range of the sliders very wide
        this.setWindow(from.window[0] + y * unit, from.window[1] + x * unit);
      }
    });
    area.addEventListener("pointerup", event => {
      if (from && !from.moved) this.point(plane, event);
      from = null;
    });
    area.addEventListener("pointercancel", () => { from = null; });
  }

  // A click moves the other planes to where it is.
  point(plane, event) {
    const {spacing, shape} = this.facts, boxes = plane.views.map(view => view.canvas.getBoundingClientRect());
    const hit = boxes.findIndex(each => event.clientY >= each.top && event.clientY <= each.bottom);
    if (hit < 0) return;
    const box = boxes[hit], {canvas} = plane.views[hit], ratio = canvas.width / box.width;
    const {scale, left, top, width, height} = this.place(plane, canvas);
    const u = ((event.clientX - box.left) * ratio - left) / (spacing[plane.across] * scale);
    const v = ((event.clientY - box.top) * ratio - top) / (spacing[plane.down] * scale);
    if (u < 0 || v < 0 || u >= width || v >= height) return;
    const turned = (index, axis) => plane.flip ? shape[axis] - 1 - index : index;
    this.at[plane.across] = turned(Math.floor(u), plane.across);
    this.at[plane.down] = turned(Math.floor(v), plane.down);
    this.draw();
  }

  // Where the slice lies on its canvas: pixels a millimetre, left and top in pixels, width and height in voxels.
  place(plane, canvas) {
    const {shape, spacing} = this.facts, width = shape[plane.across], height = shape[plane.down];
    const wide = width * spacing[plane.across], high = height * spacing[plane.down];
    const scale = Math.min(canvas.width / wide, canvas.height / high);
    return {scale, width, height, left: (canvas.width - wide * scale) / 2, top: (canvas.height - high * scale) / 2};
  }

  // The values of a slice as seen, row by row.
  cut(plane, voxels, channels) {
    const {shape} = this.facts, strides = [1, shape[0], shape[0] * shape[1]].map(n => n * channels);
    const width = shape[plane.across], height = shape[plane.down];
    const found = new Uint8Array(width * height * channels), start = this.at[plane.axis] * strides[plane.axis];
    for (let v = 0, to = 0; v < height; v++) for (let u = 0; u < width; u++) {
      const x = plane.flip ? width - 1 - u : u, y = plane.flip ? height - 1 - v : v;
      const from = start + x * strides[plane.across] + y * strides[plane.down];
      for (let channel = 0; channel < channels; channel++) found[to++] = voxels[from + channel];
    }
    return found;
  }

  draw() {
    const span = this.high - this.low || 1;
    const grey = this.facts.levels && this.facts.levels.map(level => clamp((level - this.low) / span, 0, 1) * 255);
    const {shape, spacing} = this.facts;
    const length = axis => shape[axis] * spacing[axis], tall = plane => length(plane.down) / length(plane.across);
    this.grid.style.setProperty("--tall", clamp(Math.max(...this.planes.map(tall)), 0.5, 1.25));
    for (const plane of this.planes) {
      plane.area.style.setProperty("--own", clamp(tall(plane), 0.3, 1.25)); // where it stands alone
      const slice = this.render(plane, grey), index = this.at[plane.axis];
      if (plane.traced !== index) plane.paths = this.masks.map(mask => this.trace(plane, this.cut(plane, mask, 1)));
      plane.traced = index;
      for (const view of plane.views) this.paint(plane, view, slice, plane.paths);
      this.describe(plane);
    }
  }

  render(plane, grey) {
    const {shape} = this.facts, width = shape[plane.across], height = shape[plane.down];
    const values = this.cut(plane, this.voxels, grey ? 1 : 3), pixels = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = grey ? grey[values[i]] : values[3 * i + c];
      pixels.data[4 * i + 3] = 255;
    }
    plane.buffer = Object.assign(plane.buffer || document.createElement("canvas"), {width, height});
    plane.buffer.getContext("2d").putImageData(pixels, 0, 0);
    return plane.buffer;
  }

  trace(plane, values) {
    const {shape, labels} = this.facts;
    return labels.map(({codes}) => codes.some(code => values.includes(code))
      ? outlines(values.map(value => codes.includes(value) ? 1 : 0), shape[plane.across], shape[plane.down]) : []);
  }

  paint(plane, view, slice, paths) {
    const {canvas} = view, ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const context = canvas.getContext("2d"), {scale, left, top, width, height} = this.place(plane, canvas);
    const {spacing} = this.facts, across = spacing[plane.across] * scale, down = spacing[plane.down] * scale;
    context.imageSmoothingQuality = "high";
    context.drawImage(slice, left, top, width * across, height * down);
    this.facts.masks.forEach(({name}, i) => {
      if (!this.shown[name] || view.name && view.name !== name) return;
      this.facts.labels.forEach(({colour}, label) => {
        const path = new Path2D();
        for (const points of paths[i][label]) {
          points.forEach(([u, v], n) => path[n ? "lineTo" : "moveTo"](left + u * across, top + v * down));
          path.closePath();
        }
        this.stroke(context, path, colour, name === "reference", ratio);
      });
    });
    this.cross(context, plane, {left, top, across, down, width, height}, ratio);
    if (view.bar) {
      const length = BARS.find(mm => mm * scale <= canvas.width / 3);
      view.bar.hidden = !length;
      view.bar.textContent = `${length} mm`;
      view.bar.style.width = `${(length || 0) * scale / ratio}px`;
    }
  }

  // The prediction is solid, in the label's colour; the reference is dashed and lighter.
  stroke(context, path, colour, reference, ratio) {
    const light = reference ? colour.map(part => Math.round(part + (255 - part) * 0.55)) : colour;
    context.fillStyle = `rgba(${light},0.28)`;
    if (this.fill) context.fill(path, "evenodd");
    context.lineJoin = "round";
    context.lineWidth = 1.75 * ratio;
    context.setLineDash(reference ? [5 * ratio, 4 * ratio] : []);
    context.strokeStyle = `rgb(${light})`;
    context.stroke(path);
    context.setLineDash([]);
  }

  cross(context, plane, {left, top, across, down, width, height}, ratio) {
    if (this.planes.length < 2) return;
    const seen = (axis, n) => (plane.flip ? n - 1 - this.at[axis] : this.at[axis]) + 0.5;
    const x = left + seen(plane.across, width) * across, y = top + seen(plane.down, height) * down;
    context.strokeStyle = "rgba(255,255,255,0.32)";
    context.lineWidth = ratio;
    const gap = 12 * ratio, right = left + width * across, bottom = top + height * down;
    context.stroke(new Path2D(`M${left} ${y}H${Math.max(left, x - gap)}M${Math.min(right, x + gap)} ${y}H${right}`
      + `M${x} ${top}V${Math.max(top, y - gap)}M${x} ${Math.min(bottom, y + gap)}V${bottom}`));
  }

  describe(plane) {
    const {shape, spacing, origin, unit} = this.facts, index = this.at[plane.axis];
    const at = origin && origin[plane.axis] + index * spacing[plane.axis]; // none where slices are oblique
    const position = origin ? `${SIDES[plane.axis][+(at >= 0)]} ${Math.abs(at).toFixed(1)} mm` : "oblique";
    plane.slider.value = index;
    const text = `${plane.name} ${index + 1} / ${shape[plane.axis]}${unit === "mm" ? ` · ${position}` : ""}`;
    if (plane.text.textContent !== text) plane.text.textContent = text; // what is read aloud is read once
  }
}

const viewers = new WeakMap();
function open(root) {
  if (viewers.has(root)) return;
  const viewer = new Viewer(root);
  viewers.set(root, viewer);
  viewer.open();
}
const near = "IntersectionObserver" in window && new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) open(entry.target);
}, {rootMargin: "300px"});
for (const root of document.querySelectorAll(".viewer")) {
  const details = root.closest("details");
  const start = () => near ? near.observe(root) : open(root);
  if (!details || details.open) start();
  if (details) details.addEventListener("toggle", () => {
    if (near) near.unobserve(root);
    if (details.open) start();
    else if (viewers.has(root)) {
      viewers.get(root).close();
      viewers.delete(root);
    }
  });
}
})();
