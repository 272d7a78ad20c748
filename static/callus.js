// Small helps for all pages. Without this file everything still works.

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

// Signed out, or deleted in another window: the page itself, loaded anew, says which.
document.addEventListener("htmx:responseError", (event) => {
  if ([401, 404].includes(event.detail.xhr.status)) window.location.reload();
});
