// Uploads each chosen or dropped file in its own request, so that each has its own progress and error message.

import { looksLikeName } from "./person_names.js";

const MAX_PARALLEL = 3;

const form = document.querySelector("form.upload");
const input = form.querySelector("input[type=file]");
const list = document.querySelector("#uploads");
const itemTemplate = document.querySelector("#upload-item");
const summary = document.querySelector("#upload-summary");
const names = document.querySelector("#upload-names");
const maxBytes = Number(form.dataset.maxBytes);

const queue = [];
const count = { all: 0, active: 0, received: 0, refused: 0 };
const undecided = new Set(); // functions that send or hold back the name of a file that waits for the user

form.classList.add("is-enhanced"); // hides the button: files upload as soon as they are chosen

input.addEventListener("change", addChosen);
names.querySelector("[data-send-without-name]").addEventListener("click", () => decideAll(false));
names.querySelector("[data-send-with-name]").addEventListener("click", () => decideAll(true));

// The whole window accepts drops. Otherwise a file dropped outside the zone would replace the page.
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  form.classList.add("is-dragged-over");
});
document.addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) form.classList.remove("is-dragged-over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("is-dragged-over");
  const folders = [...event.dataTransfer.items].filter((item) => item.webkitGetAsEntry?.()?.isDirectory);
  const names = new Set(folders.map((item) => item.webkitGetAsEntry().name));
  add([...event.dataTransfer.files], names);
});

window.addEventListener("beforeunload", (event) => {
  if (count.active || undecided.size) event.preventDefault();
});

function addChosen() {
  add([...input.files]);
  input.value = ""; // allows choosing the same file again
}

function add(files, folderNames = new Set()) {
  for (const file of files) {
    const item = show(file);
    if (folderNames.has(file.name)) {
      refuse(item, "Folders cannot be uploaded. Open the folder and drop the files.");
    } else if (file.size > maxBytes) {
      refuse(item, `This file is too large. The limit is ${Math.floor(maxBytes / 1024 ** 2)} MB.`);
    } else if (looksLikeName(file.name)) {
      askAboutName(file, item);
    } else {
      queue.push({ file, item, name: file.name });
    }
  }
  sendNext();
}

function show(file) {
  const item = itemTemplate.content.firstElementChild.cloneNode(true);
  item.querySelector(".row-name").textContent = file.name;
  item.querySelector("progress").setAttribute("aria-label", `Upload of ${file.name}`);
  showState(item, "Waiting");
  list.append(item);
  count.all += 1;
  return item;
}

// Holds the file back until the user decides about its name.
function askAboutName(file, item) {
  const question = item.querySelector(".upload-name-question");
  const withoutName = `X-ray${file.name.match(/\.\w{1,5}$/)?.[0] ?? ""}`;
  const decide = (keepsName) => {
    const name = keepsName ? file.name : withoutName;
    undecided.delete(decide);
    question.hidden = true;
    item.querySelector(".row-name").textContent = name;
    showState(item, "Waiting");
    queue.push({ file, item, name });
    showUndecided();
    sendNext();
  };
  showState(item, "The file name may contain a person's name. Callus keeps file names.");
  question.hidden = false;
  undecided.add(decide);
  question.querySelector("[data-send-without-name]").addEventListener("click", () => decide(false), { once: true });
  question.querySelector("[data-send-with-name]").addEventListener("click", () => decide(true), { once: true });
  showUndecided();
}

// One decision for all files that wait for one, if there are several.
function showUndecided() {
  names.hidden = undecided.size < 2;
  names.querySelector("[role=status]").textContent = `${undecided.size} file names may contain a person's name. Callus keeps file names.`;
}

function decideAll(keepsName) {
  for (const decide of [...undecided]) decide(keepsName);
}

function sendNext() {
  while (queue.length && count.active < MAX_PARALLEL) {
    const { file, item, name } = queue.shift();
    count.active += 1;
    send(file, item, name);
  }
}

function send(file, item, name) {
  const request = new XMLHttpRequest();
  const progress = item.querySelector("progress");
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    progress.value = loaded / total;
    showState(item, `${Math.floor((100 * loaded) / total)}% uploaded`);
  });
  request.upload.addEventListener("load", () => {
    progress.removeAttribute("value");
    showState(item, "Checking the file");
  });
  request.addEventListener("loadend", () => {
    count.active -= 1;
    if (request.status === 201) receive(item, request.response.item);
    else refuse(item, request.response?.detail ?? errorMessage(request.status), canRetry(request.status) && { file, name });
    sendNext();
  });

  const body = new FormData();
  body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  body.append("file", file, name);
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.send(body);
}

function receive(item, html) {
  const row = document.createElement("template");
  row.innerHTML = html;
  item.replaceWith(row.content);
  count.received += 1;
  updateSummary();
}

function refuse(item, message, toRetry) {
  const error = item.querySelector(".upload-error");
  item.classList.add("is-refused");
  item.querySelector("progress").hidden = true;
  showState(item, "");
  error.textContent = message;
  error.hidden = false;
  count.refused += 1;
  updateSummary();
  if (!toRetry) return;
  const button = item.querySelector("button");
  button.hidden = false;
  button.addEventListener("click", () => retry(toRetry, item), { once: true });
}

function retry({ file, name }, item) {
  item.classList.remove("is-refused");
  item.querySelector(".upload-error").hidden = true;
  item.querySelector("button").hidden = true;
  const progress = item.querySelector("progress");
  progress.hidden = false;
  progress.value = 0;
  showState(item, "Waiting");
  count.refused -= 1;
  queue.push({ file, item, name });
  sendNext();
}

function showState(item, text) {
  item.querySelector(".upload-state").textContent = text;
}

function updateSummary() {
  const refused = count.refused ? `, ${count.refused} refused` : "";
  summary.textContent = `${count.received} of ${count.all} uploaded${refused}.`;
}

function canRetry(status) {
  return status === 0 || status >= 500;
}

function errorMessage(status) {
  if (status === 0) return "The connection to the portal was lost. Try again.";
  if (status === 401) return "You are signed out. Reload this page to sign in again.";
  if (status === 403) return "This page has expired. Reload it and try again.";
  if (status === 413) return "This file is too large. It was not stored.";
  return "The server ran into an error. Try again later.";
}

addChosen(); // files that were chosen before this script loaded
