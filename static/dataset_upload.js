// Shows the progress of a large upload and the reason if the zip is refused. Without this file, the form is sent as usual.

const form = document.querySelector("form.dataset-upload");
const input = form.querySelector("input[type=file]");
const button = form.querySelector("button");
const sending = form.querySelector(".sending");
const progress = sending.querySelector("progress");
const error = form.querySelector("p.upload-error");
const maxBytes = Number(form.dataset.maxBytes);
let isSending = false;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const file = input.files[0];
  error.hidden = true;
  if (file.size > maxBytes) refuse(`This zip is too large. The limit is ${Math.floor(maxBytes / 1024 ** 2)} MB.`);
  else send(file);
});

window.addEventListener("beforeunload", (event) => {
  if (isSending) event.preventDefault();
});

function send(file) {
  const request = new XMLHttpRequest();
  isSending = true;
  button.disabled = true;
  sending.hidden = false;
  sending.querySelector(".row-name").textContent = file.name;
  progress.setAttribute("aria-label", `Upload of ${file.name}`);
  progress.value = 0;
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    progress.value = loaded / total;
    showState(`${Math.floor((100 * loaded) / total)}% of ${Math.ceil(total / 1024 ** 2)} MB uploaded`);
  });
  request.upload.addEventListener("load", () => {
    progress.removeAttribute("value");
    showState("Checking the zip");
  });
  request.addEventListener("loadend", () => {
    isSending = false;
    button.disabled = false;
    if (request.status === 201) window.location.assign(request.response.location);
    else refuse(request.response?.detail ?? errorMessage(request.status));
  });
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.send(new FormData(form));
}

function showState(text) {
  sending.querySelector(".upload-state").textContent = text;
}

function refuse(text) {
  sending.hidden = true;
  error.textContent = text;
  error.hidden = false;
}

function errorMessage(status) {
  if (status === 0) return "The connection to the portal was lost. Check the list of data sets, then try again.";
  if (status === 401) return "You are signed out. Reload this page to sign in again.";
  if (status === 403) return "This page has expired. Reload it and try again.";
  if (status === 413) return "This zip is too large. Nothing was stored.";
  return "The server ran into an error. Check the list of data sets, then try again later.";
}
