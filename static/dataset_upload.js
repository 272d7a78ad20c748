// Shows how far the upload of a large zip is, and says what was refused. Without it, the form is sent as it is.

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
  if (file.size > maxBytes) refuse(`This zip is too large: up to ${Math.floor(maxBytes / 1024 ** 2)} MB are accepted.`);
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
    say(`${Math.floor((100 * loaded) / total)} % of ${Math.ceil(total / 1024 ** 2)} MB sent`);
  });
  request.upload.addEventListener("load", () => {
    progress.removeAttribute("value");
    say("Its table of contents is being checked");
  });
  request.addEventListener("loadend", () => {
    isSending = false;
    button.disabled = false;
    if (request.status === 201) window.location.assign(request.response.location);
    else refuse(request.response?.detail ?? sentence(request.status));
  });
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.send(new FormData(form));
}

function say(text) {
  sending.querySelector(".upload-state").textContent = text;
}

function refuse(text) {
  sending.hidden = true;
  error.textContent = text;
  error.hidden = false;
}

function sentence(status) {
  if (status === 0) return "The portal cannot be reached, or the connection was cut.";
  if (status === 401) return "You are signed out. Reload this page to sign in again.";
  if (status === 403) return "This page is out of date. Reload it and try again.";
  if (status === 413) return "This zip is too large.";
  return "Something went wrong on our side. Please try again later.";
}
