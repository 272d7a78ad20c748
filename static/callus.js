// Small conveniences for all pages. Every page also works without this file.

const menu = document.querySelector("details.menu");

document.addEventListener("click", (event) => {
  if (menu?.open && !menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !menu?.open) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-select-on-focus]")) event.target.select();
});

// The user was signed out, or the object was deleted elsewhere: reloading shows the right page.
document.addEventListener("htmx:responseError", (event) => {
  if ([401, 404].includes(event.detail.xhr.status)) window.location.reload();
});
