// Sends each chosen or dropped file by itself, so that each has its own progress and its own error.

const MOST_AT_ONCE = 3;

const form = document.querySelector("form.upload");
const input = form.querySelector("input[type=file]");
const list = document.querySelector("#uploads");
const blank = document.querySelector("#upload-item");
const summary = document.querySelector("#upload-summary");
const maxBytes = Number(form.dataset.maxBytes);

const queue = [];
const count = { all: 0, active: 0, received: 0, refused: 0 };

form.classList.add("is-enhanced"); // files are sent when chosen: no button needed

input.addEventListener("change", addChosen);

// The whole window takes drops: one that misses the zone would else open the file and leave the page.
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
  if (count.active) event.preventDefault();
});

function addChosen() {
  add([...input.files]);
  input.value = ""; // so that the same file can be chosen again
}

function add(files, folderNames = new Set()) {
  for (const file of files) {
    const item = show(file);
    if (folderNames.has(file.name)) {
      refuse(item, "This is a folder. Open it and drop the files in it.");
    } else if (file.size > maxBytes) {
      refuse(item, `This file is too large: up to ${Math.floor(maxBytes / 1024 ** 2)} MB are accepted.`);
    } else {
      queue.push({ file, item });
    }
  }
  sendNext();
}

function show(file) {
  const item = blank.content.firstElementChild.cloneNode(true);
  item.querySelector(".row-name").textContent = file.name;
  item.querySelector("progress").setAttribute("aria-label", `Upload of ${file.name}`);
  say(item, "Waiting for its turn");
  list.append(item);
  count.all += 1;
  return item;
}

function sendNext() {
  while (queue.length && count.active < MOST_AT_ONCE) {
    const { file, item } = queue.shift();
    count.active += 1;
    send(file, item);
  }
}

function send(file, item) {
  const request = new XMLHttpRequest();
  const progress = item.querySelector("progress");
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    progress.value = loaded / total;
    say(item, `${Math.floor((100 * loaded) / total)} % sent`);
  });
  request.upload.addEventListener("load", () => {
    progress.removeAttribute("value");
    say(item, "Being checked");
  });
  request.addEventListener("loadend", () => {
    count.active -= 1;
    if (request.status === 201) receive(item, request.response.item);
    else refuse(item, request.response?.detail ?? sentence(request.status), canRetry(request.status) && file);
    sendNext();
  });

  const body = new FormData();
  body.append("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
  body.append("file", file);
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
  sum();
}

function refuse(item, message, fileToRetry) {
  const error = item.querySelector(".upload-error");
  item.classList.add("is-refused");
  item.querySelector("progress").hidden = true;
  say(item, "");
  error.textContent = message;
  error.hidden = false;
  count.refused += 1;
  sum();
  if (!fileToRetry) return;
  const button = item.querySelector("button");
  button.hidden = false;
  button.addEventListener("click", () => retry(fileToRetry, item), { once: true });
}

function retry(file, item) {
  item.classList.remove("is-refused");
  item.querySelector(".upload-error").hidden = true;
  item.querySelector("button").hidden = true;
  const progress = item.querySelector("progress");
  progress.hidden = false;
  progress.value = 0;
  say(item, "Waiting for its turn");
  count.refused -= 1;
  queue.push({ file, item });
  sendNext();
}

function say(item, text) {
  item.querySelector(".upload-state").textContent = text;
}

function sum() {
  const refused = count.refused ? `, ${count.refused} refused` : "";
  summary.textContent = `${count.received} of ${count.all} uploaded${refused}.`;
}

function canRetry(status) {
  return status === 0 || status >= 500;
}

function sentence(status) {
  if (status === 0) return "The portal cannot be reached, or the connection was cut.";
  if (status === 401) return "You are signed out. Reload this page to sign in again.";
  if (status === 403) return "This page is out of date. Reload it and try again.";
  if (status === 413) return "This file is too large.";
  return "Something went wrong on our side. Please try again later.";
}

addChosen(); // what was chosen before this script was there
