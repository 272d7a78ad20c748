// Select all, and the number of selected X-rays on the delete button. The listeners are on the document, because
// a search replaces the list.

const boxes = () => [...document.querySelectorAll(".selection input[name=id]")];

function update() {
  const all = document.querySelector("[data-select-all]");
  if (!all) return;
  const numSelected = boxes().filter((box) => box.checked).length;
  all.closest("label").hidden = false;
  all.checked = numSelected === boxes().length;
  all.indeterminate = numSelected > 0 && !all.checked;
  const button = document.querySelector("[data-delete-selected]");
  for (const dependent of document.querySelectorAll("[data-needs-selection]")) dependent.disabled = numSelected === 0;
  button.textContent = numSelected ? `Delete selected (${numSelected})` : "Delete selected";
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of boxes()) box.checked = event.target.checked;
  }
  update();
});

document.addEventListener("htmx:afterSettle", update);
window.addEventListener("pageshow", update);
update();
