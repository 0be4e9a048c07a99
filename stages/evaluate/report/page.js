// Thresholds, counts, gallery and viewer of the page. Everything that comes from the data goes into the document as
// text, never as markup.
"use strict";

const content = JSON.parse(document.getElementById("content").textContent);
const byId = (id) => document.getElementById(id);
const newest = content.models.length - 1;
const thresholds = content.models.map((model) => model.threshold);
const OUTCOMES = { found: "found", missed: "missed", alarm: "false alarm", passed: "passed" };
const LAYERS = { photograph: "photograph", reconstruction: "reconstruction", map: "anomaly map", overlay: "overlay" };
const CHUNK = 48;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function isFlagged(image, model) {
  return image.scores[model] >= thresholds[model];
}

function outcomeOf(image, model) {
  if (image.label) return isFlagged(image, model) ? "found" : "missed";
  return isFlagged(image, model) ? "alarm" : "passed";
}

function isWrong(image, model) {
  return isFlagged(image, model) !== Boolean(image.label);
}

// Above zero: how far on the wrong side of the threshold; below: how far on the right one.
function errorOf(image, model) {
  const distance = image.scores[model] - thresholds[model];
  return image.label ? -distance : distance;
}

function changeOf(image) {
  const [before, after] = [isWrong(image, 0), isWrong(image, newest)];
  if (before === after) return after ? "bad" : "good";
  return after ? "worse" : "better";
}

// Counts -----------------------------------------------------------------------------------------------------------

function recount(model) {
  const counts = { found: 0, missed: 0, alarm: 0, passed: 0 };
  const flagged = content.defects.map(() => 0);
  const images = content.defects.map(() => 0);
  for (const image of content.images) {
    counts[outcomeOf(image, model)] += 1;
    images[image.defect] += 1;
    if (isFlagged(image, model)) flagged[image.defect] += 1;
  }
  const place = byId(`counts-${model}`);
  for (const [kind, count] of Object.entries(counts)) {
    const [all, name] = kind === "found" || kind === "missed"
      ? [counts.found + counts.missed, "anomalous"] : [counts.alarm + counts.passed, "normal"];
    place.querySelector(`[data-count=${kind}]`).textContent = count;
    place.querySelector(`[data-share=${kind}]`).textContent =
      all ? `${((100 * count) / all).toFixed(1)} % of ${all} ${name}` : `no ${name} images`;
  }
  content.defects.forEach((_, defect) => {
    const [cell, share] = ["defect", "defect-share"].map((key) => document.querySelector(`[data-${key}="${model}-${defect}"]`));
    cell.textContent = flagged[defect];
    share.textContent = `${((100 * flagged[defect]) / images[defect]).toFixed(0)} %`;
  });
  return counts;
}

let waiting = 0;

function setThreshold(model, value) {
  thresholds[model] = value;
  byId(`slider-${model}`).value = value;
  byId(`value-${model}`).textContent = value.toFixed(3);
  document.dispatchEvent(new CustomEvent("threshold", { detail: { model, value, counts: recount(model) } }));
  // The gallery is drawn anew when the hand rests: its pictures need not follow every pixel of the way.
  clearTimeout(waiting);
  waiting = setTimeout(drawGallery, 150);
}

content.models.forEach((model, index) => {
  byId(`slider-${index}`).addEventListener("input", (event) => setThreshold(index, Number(event.target.value)));
  byId(`reset-${index}`).addEventListener("click", () => setThreshold(index, model.threshold));
});

// Pictures ---------------------------------------------------------------------------------------------------------

function layerFiles(index, layer, model) {
  const stem = `${content.folder}/${String(index).padStart(5, "0")}`;
  const files = { photograph: `${stem}-photograph.webp`, outline: `${stem}-outline.webp` };
  const chosen = {
    photograph: [files.photograph],
    reconstruction: [`${stem}-${model}-reconstruction.webp`],
    map: [`${stem}-${model}-map.webp`],
    overlay: [files.photograph, `${stem}-${model}-heat.webp`],
  }[layer];
  return content.images[index].outline ? [...chosen, files.outline] : chosen;
}

function stack(index, layer, model) {
  const image = content.images[index];
  const box = make("span", { className: "stack" });
  box.style.display = "block";
  box.style.aspectRatio = image.ratio;
  layerFiles(index, layer, model).forEach((file, depth) => {
    const picture = make("img", { loading: "lazy", decoding: "async", draggable: false });
    picture.alt = depth === 0 ? `${LAYERS[layer]} of ${image.name}` : "";
    if (file.endsWith("outline.webp")) picture.className = "outline";
    picture.addEventListener("error", () => {
      picture.replaceWith(make("span", { className: "gone", textContent: `picture missing: ${file}` }));
    });
    picture.src = file;
    box.append(picture);
  });
  return box;
}

// Gallery ----------------------------------------------------------------------------------------------------------

const grid = byId("grid");
const tools = byId("tools");
let order = [];
let current = 0;

function chosenImages() {
  const wanted = Object.fromEntries(new FormData(tools));
  const keep = (image) =>
    (!wanted.defect || image.defect === Number(wanted.defect)) &&
    (!wanted.verdict || isFlagged(image, newest) === (wanted.verdict === "flagged")) &&
    (!wanted.outcome || [outcomeOf(image, newest), isWrong(image, newest) ? "wrong" : "right"].includes(wanted.outcome)) &&
    (!wanted.change || changeOf(image) === wanted.change);
  const keys = {
    error: (image) => -errorOf(image, newest),
    falling: (image) => -image.scores[newest],
    rising: (image) => image.scores[newest],
    change: (image) => -Math.abs(image.scores[newest] - image.scores[0]),
    name: () => 0,
  };
  const key = keys[wanted.sort];
  const indices = content.images.map((_, index) => index).filter((index) => keep(content.images[index]));
  // The images come sorted by name, and the sort is stable.
  return indices.sort((a, b) => key(content.images[a]) - key(content.images[b]));
}

function card(place) {
  const index = order[place];
  const image = content.images[index];
  const models = content.models.map((_, model) => model);
  const layer = tools.elements.layer.value;
  const drawn = models.filter((model) => layer !== "reconstruction" || content.models[model].reconstructs);
  const pair = make("span", { className: "pair" }, ...drawn.map((model) => stack(index, layer, model)));
  const rows = models.map((model) => {
    const outcome = outcomeOf(image, model);
    return make("span", { className: "row" },
      make("span", { className: `tag ${outcome}`, textContent: OUTCOMES[outcome] }),
      make("span", { textContent: image.scores[model].toFixed(3) }));
  });
  const name = make("span", { className: "name", textContent: image.name, title: image.name });
  const caption = make("span", { className: "caption" }, name, ...rows);
  const button = make("button", { type: "button", className: "card", tabIndex: place === current ? 0 : -1 }, pair, caption);
  button.addEventListener("click", () => show(place));
  return make("li", {}, button);
}

function appendUpTo(count) {
  while (grid.children.length < Math.min(count, order.length)) grid.append(card(grid.children.length));
  byId("more").hidden = grid.children.length === order.length;
  byId("shown").textContent = order.length
    ? `${order.length} of ${content.images.length} images.` : "No image is like that. Change a filter above.";
}

function drawGallery() {
  order = chosenImages();
  current = 0;
  grid.replaceChildren();
  document.body.classList.toggle("no-outlines", tools.elements.outlines ? !tools.elements.outlines.checked : false);
  appendUpTo(CHUNK);
}

function focusCard(place) {
  if (!order.length) return;
  const wanted = Math.max(0, Math.min(order.length - 1, place));
  appendUpTo(wanted + CHUNK);
  grid.children[current].firstChild.tabIndex = -1;
  current = wanted;
  const button = grid.children[current].firstChild;
  button.tabIndex = 0;
  button.focus();
}

function columns() {
  const top = grid.firstChild.offsetTop;
  const second = [...grid.children].findIndex((item) => item.offsetTop !== top);
  return second === -1 ? grid.children.length : second;
}

grid.addEventListener("keydown", (event) => {
  const width = columns();
  const places = {
    ArrowRight: current + 1, ArrowLeft: current - 1, ArrowDown: current + width, ArrowUp: current - width,
    Home: 0, End: order.length - 1,
  };
  if (!(event.key in places)) return;
  event.preventDefault();
  focusCard(places[event.key]);
});
tools.addEventListener("input", drawGallery);
tools.addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", () => appendUpTo(grid.children.length + CHUNK));

// Viewer -----------------------------------------------------------------------------------------------------------

const viewer = byId("viewer");
const panels = byId("panels");
const view = { k: 1, x: 0, y: 0 };

function show(place) {
  current = place;
  const index = order[place];
  const image = content.images[index];
  byId("viewer-title").textContent = image.name;
  const verdicts = content.models.map((model, i) =>
    `${newest ? `${model.title}: ` : ""}${OUTCOMES[outcomeOf(image, i)]}, score ${image.scores[i].toFixed(3)}`);
  byId("viewer-facts").textContent = [content.defects[image.defect], ...verdicts, `${place + 1} of ${order.length}`].join(" · ");
  const shown = [["photograph", 0]];
  content.models.forEach(({ reconstructs }, model) => {
    if (reconstructs) shown.push(["reconstruction", model]);
    shown.push(["map", model], ["overlay", model]);
  });
  panels.replaceChildren(...shown.map(([layer, model]) => {
    const title = newest && layer !== "photograph" ? `${LAYERS[layer]}, ${content.models[model].title}` : LAYERS[layer];
    return make("figure", {}, make("figcaption", { textContent: title }), make("div", { className: "panel" }, stack(index, layer, model)));
  }));
  zoomTo(1, 0, 0);
  if (!viewer.open) viewer.showModal();
}

// x and y are percent of a picture's side, so that pictures of any size on the screen move as one.
function zoomTo(k, x, y) {
  view.k = Math.max(1, Math.min(12, k));
  const least = -100 * (view.k - 1);
  view.x = Math.max(least, Math.min(0, x));
  view.y = Math.max(least, Math.min(0, y));
  panels.classList.toggle("zoomed", view.k > 1);
  for (const [name, value] of Object.entries(view)) panels.style.setProperty(`--${name}`, value);
}

function zoomBy(factor, at = [50, 50]) {
  const k = Math.max(1, Math.min(12, view.k * factor));
  const [x, y] = [view.x, view.y].map((offset, axis) => at[axis] - ((at[axis] - offset) / view.k) * k);
  zoomTo(k, x, y);
}

function walk(step) {
  const place = current + step;
  if (place >= 0 && place < order.length) show(place);
}

panels.addEventListener("wheel", (event) => {
  const panel = event.target.closest(".panel");
  if (!panel) return;
  event.preventDefault();
  const box = panel.getBoundingClientRect();
  const at = [(100 * (event.clientX - box.left)) / box.width, (100 * (event.clientY - box.top)) / box.height];
  zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, at);
}, { passive: false });
panels.addEventListener("pointerdown", (event) => {
  const panel = event.target.closest(".panel");
  if (panel) panel.setPointerCapture(event.pointerId);
});
panels.addEventListener("pointermove", (event) => {
  const panel = event.target.closest(".panel");
  if (!panel || !panel.hasPointerCapture(event.pointerId)) return;
  zoomTo(view.k, view.x + (100 * event.movementX) / panel.clientWidth, view.y + (100 * event.movementY) / panel.clientHeight);
});
viewer.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [20, 0], ArrowRight: [-20, 0], ArrowUp: [0, 20], ArrowDown: [0, -20] };
  const acts = {
    ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), "+": () => zoomBy(1.5), "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5), 0: () => zoomTo(1, 0, 0),
  };
  const move = event.shiftKey && moves[event.key];
  const act = move ? () => zoomTo(view.k, view.x + move[0], view.y + move[1]) : acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
viewer.addEventListener("close", () => focusCard(current));
byId("previous").addEventListener("click", () => walk(-1));
byId("next").addEventListener("click", () => walk(1));
byId("zoom-in").addEventListener("click", () => zoomBy(1.5));
byId("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
byId("close").addEventListener("click", () => viewer.close());

for (const sheet of document.querySelectorAll("[data-sheet]")) {
  const tell = () => sheet.replaceWith(make("p", { className: "note", textContent: `picture missing: ${sheet.getAttribute("src")}` }));
  sheet.addEventListener("error", tell);
  if (sheet.complete && !sheet.naturalWidth) tell();
}
byId("unstarted").remove();
content.models.forEach((_, model) => recount(model));
drawGallery();
