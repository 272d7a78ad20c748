// Draws the boxes of a review on the X-ray. Without this file, the review form works without boxes.

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.01; // how far an arrow key moves a box, as a share of the longer side of the image
const PLACED = 0.2; // the side of a box placed by keyboard, as a share of the shorter side of the image
const MIN_DRAG = 4; // screen pixels; a shorter drag is a click
const FIELDS = ["x", "y", "width", "height"];
const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const hasKeyboard = !window.matchMedia("(hover: none)").matches;

let form; // the review form; it comes with the answer, which may be later than this script
let layer; // the SVG element over the X-ray; its coordinates are pixels of the image
let drawButton;
let status;
let boxes = []; // {x, y, width, height} in whole pixels of the image, newest last
let isDrawing = false;
let drag = null; // while a pointer is down: {from, x, y, box}

start();
document.addEventListener("htmx:afterSettle", start);
document.addEventListener("htmx:oobBeforeSwap", keepStartedReview);
document.addEventListener("keydown", endOnEscape);
window.addEventListener("pageshow", () => form && showFinding()); // the browser may have restored the finding

function start() {
  const found = document.querySelector("#review-form");
  if (!found || found === form) return;
  form = found;
  layer = document.querySelector("#drawing");
  drawButton = form.querySelector("[data-draw]");
  status = document.querySelector("#drawing-status");
  boxes = parseBoxes(form.elements.boxes.value);

  form.addEventListener("change", showFinding);
  drawButton.addEventListener("click", () => setDrawing(!isDrawing));
  form.querySelector("[data-copy-marks]")?.addEventListener("click", copyMarks);
  document.querySelector("[data-end-drawing]").addEventListener("click", () => setDrawing(false));
  layer.addEventListener("keydown", useKey);
  layer.addEventListener("pointerdown", startDrag);
  layer.addEventListener("pointermove", moveDrag);
  layer.addEventListener("pointerup", endDrag);
  layer.addEventListener("lostpointercapture", cancelDrag);

  form.querySelector(".boxes").hidden = false;
  showBoxes();
  showFinding();
}

// The answer of another model version may arrive while someone writes a review of an earlier one.
function keepStartedReview(event) {
  if (!form?.isConnected || !["marks", "reviews"].includes(event.detail.target.id)) return;
  const { finding, comment } = form.elements;
  if (finding.value || comment.value || boxes.length) event.detail.shouldSwap = false;
}

function parseBoxes(text) {
  try {
    const isBox = (box) => FIELDS.every((name) => Number.isFinite(box?.[name]));
    return (JSON.parse(text) ?? []).filter(isBox);
  } catch {
    return []; // the server refused what was sent
  }
}

// Only a review with the finding "fracture" has a kind and boxes. Disabled fields are not sent.
function showFinding() {
  const isFracture = form.elements.finding.value === "fracture";
  form.querySelector(".if-fracture").disabled = !isFracture;
  layer.classList.toggle("is-off", !isFracture);
  if (!isFracture && isDrawing) setDrawing(false);
  if (!isFracture) say("");
}

function setDrawing(isOn) {
  isDrawing = isOn && boxes.length < maxBoxes();
  drag = null;
  drawButton.textContent = isDrawing ? "Stop drawing" : "Draw a box";
  showBoxes();
  if (!isDrawing) return say("");
  say(`Drag on the picture to draw a box${hasKeyboard ? ", or press Enter to place one" : ""}.`);
  layer.focus({ preventScroll: true });
  layer.scrollIntoView({ block: "nearest" });
}

function maxBoxes() {
  return Number(form.dataset.maxBoxes);
}

function say(text) {
  status.textContent = text;
}

// Pointer

function startDrag(event) {
  if (!isDrawing || !event.isPrimary || event.button !== 0) return;
  layer.setPointerCapture(event.pointerId);
  layer.focus({ preventScroll: true });
  drag = { from: toImage(event), x: event.clientX, y: event.clientY, box: null };
}

function moveDrag(event) {
  if (!drag || !event.isPrimary) return;
  drag.box = boxBetween(drag.from, toImage(event));
  showBoxes();
}

function endDrag(event) {
  if (!drag || !event.isPrimary) return;
  const width = Math.abs(event.clientX - drag.x);
  const height = Math.abs(event.clientY - drag.y);
  const box = boxBetween(drag.from, toImage(event));
  drag = null;
  if (Math.min(width, height) >= MIN_DRAG) add(box);
  else showBoxes();
}

function cancelDrag() {
  if (!drag) return;
  drag = null;
  showBoxes();
}

function toImage(event) {
  const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(layer.getScreenCTM().inverse());
  return [x, y];
}

function boxBetween([x1, y1], [x2, y2]) {
  const { width, height } = layer.viewBox.baseVal;
  const [left, right] = ends(x1, x2, width);
  const [top, bottom] = ends(y1, y2, height);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

// Whole pixels within the image, at least one pixel apart.
function ends(a, b, size) {
  const low = clamp(Math.round(Math.min(a, b)), 0, size - 1);
  return [low, clamp(Math.round(Math.max(a, b)), low + 1, size)];
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// Keyboard

function endOnEscape(event) {
  if (event.key !== "Escape" || (!isDrawing && document.activeElement !== layer)) return;
  setDrawing(false);
  drawButton.focus();
}

function useKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const direction = DIRECTIONS[event.key];
  if (isDrawing && (direction || event.key === "Enter" || event.key === " ")) add(boxInTheMiddle());
  else if (boxes.length && direction) change(direction, event.shiftKey);
  else if (boxes.length && (event.key === "Delete" || event.key === "Backspace")) removeNewest();
  else return;
  event.preventDefault();
}

function boxInTheMiddle() {
  const { width, height } = layer.viewBox.baseVal;
  const half = (Math.min(width, height) * PLACED) / 2;
  return boxBetween([width / 2 - half, height / 2 - half], [width / 2 + half, height / 2 + half]);
}

function change([dx, dy], isResize) {
  const { width, height } = layer.viewBox.baseVal;
  const step = Math.max(1, Math.round(Math.max(width, height) * STEP));
  const box = boxes.at(-1);
  if (isResize) {
    box.width = clamp(box.width + dx * step, 1, width - box.x);
    box.height = clamp(box.height + dy * step, 1, height - box.y);
  } else {
    box.x = clamp(box.x + dx * step, 0, width - box.width);
    box.y = clamp(box.y + dy * step, 0, height - box.height);
  }
  say(`${label(box, boxes.length)}.`);
  showBoxes();
}

function removeNewest() {
  say(`Box ${boxes.length} removed.`);
  boxes.pop();
  if (!boxes.length) drawButton.focus();
  showBoxes();
}

// Boxes

function add(box) {
  boxes.push(box);
  setDrawing(false);
  say(`${label(box, boxes.length)}.${hasKeyboard ? " Arrow keys move it, Shift and an arrow key resize it." : ""}`);
}

function copyMarks() {
  const isKnown = (box) => boxes.some((other) => FIELDS.every((name) => other[name] === box[name]));
  for (const mark of document.querySelectorAll("#marks .is-answer .mark-box")) {
    const [x, y, width, height] = FIELDS.map((name) => Number(mark.getAttribute(name)));
    const box = boxBetween([x, y], [x + width, y + height]);
    if (boxes.length < maxBoxes() && !isKnown(box)) boxes.push(box);
  }
  setDrawing(false);
}

function remove(index) {
  boxes.splice(index, 1);
  setDrawing(false);
  say(`Box ${index + 1} removed.`);
  const next = form.querySelectorAll(".boxes-list button")[Math.min(index, boxes.length - 1)];
  (next ?? drawButton).focus();
}

function label(box, number) {
  return `Box ${number}, ${Math.round(box.width)} × ${Math.round(box.height)} pixels`;
}

// Shows the boxes on the X-ray and in the list, and writes them into the form.
function showBoxes() {
  const shown = drag?.box ? [...boxes, drag.box] : boxes;
  layer.toggleAttribute("hidden", !isDrawing && !shown.length);
  layer.classList.toggle("is-drawing", isDrawing);
  if (isDrawing || boxes.length) layer.setAttribute("tabindex", "0");
  else layer.removeAttribute("tabindex");
  layer.replaceChildren(...shown.flatMap(shapes));
  if (drag) return;
  form.elements.boxes.value = JSON.stringify(boxes);
  form.querySelector(".boxes-list").replaceChildren(...boxes.map(listItem));
  drawButton.disabled = boxes.length >= maxBoxes();
}

function shapes(box, index) {
  const rects = ["mark-halo", "review-box"].map((name) => shape("rect", { class: name, ...box }));
  const size = Math.max(layer.viewBox.baseVal.width, layer.viewBox.baseVal.height) / 28;
  const above = box.y - size / 4; // the number stands inside only where there is no room above
  const text = shape("text", { x: box.x, y: above > size ? above : box.y + size, "font-size": size });
  text.textContent = index + 1;
  return [...rects, text];
}

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function listItem(box, index) {
  const item = document.createElement("li");
  const text = document.createElement("span");
  const button = document.createElement("button");
  text.textContent = label(box, index + 1);
  button.type = "button";
  button.className = "button small";
  button.textContent = "Remove";
  button.setAttribute("aria-label", `Remove box ${index + 1}`);
  button.addEventListener("click", () => remove(index));
  item.append(text, button);
  return item;
}
