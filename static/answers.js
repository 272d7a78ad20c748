// Tells the poll of a list which rows wait for their answer. When none does, nothing is asked.

const MOST_AT_ONCE = 50; // keeps the address short; the others follow as these finish

document.addEventListener("htmx:configRequest", (event) => {
  if (event.target.id !== "answers-poll") return;
  const rows = [...document.querySelectorAll("[data-waiting]")].slice(0, MOST_AT_ONCE);
  if (rows.length === 0) event.preventDefault();
  event.detail.parameters.waiting = rows.map((row) => row.dataset.waiting);
});
