// "Select all", and a delete button that says how many. Listens on the document: a search replaces the list.

const boxes = () => [...document.querySelectorAll(".selection input[name=id]")];

function update() {
  const all = document.querySelector("[data-select-all]");
  if (!all) return;
  const num_selected = boxes().filter((box) => box.checked).length;
  all.closest("label").hidden = false;
  all.checked = num_selected === boxes().length;
  all.indeterminate = num_selected > 0 && !all.checked;
  const button = document.querySelector("[data-delete-selected]");
  for (const needy of document.querySelectorAll("[data-needs-selection]")) needy.disabled = num_selected === 0;
  button.textContent = num_selected ? `Delete selected (${num_selected})` : "Delete selected";
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
