// Adds the ids of the waiting rows to the poll request, and cancels the request when no row waits.

const MAX_ROWS = 50; // keeps the URL short; later polls ask for the other rows

document.addEventListener("htmx:configRequest", (event) => {
  if (event.target.id !== "answers-poll") return;
  const rows = [...document.querySelectorAll("[data-waiting]")].slice(0, MAX_ROWS);
  if (rows.length === 0) event.preventDefault();
  event.detail.parameters.waiting = rows.map((row) => row.dataset.waiting);
});
