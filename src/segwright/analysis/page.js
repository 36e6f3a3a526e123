"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const value = row => row.cells[column].dataset.value;
      const numeric = [...table.tBodies[0].rows].every(row => !isNaN(value(row)));
      const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numeric;
      table.querySelectorAll("thead th").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => numeric ? value(a) - value(b) : value(a).localeCompare(value(b));
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => down ? order(b, a) : order(a, b)));
    });
  });
}
const dialog = document.querySelector("dialog");
document.querySelectorAll("main img").forEach(image => image.addEventListener("click", () => {
  dialog.firstElementChild.src = image.src;
  dialog.showModal();
}));
dialog.addEventListener("click", () => dialog.close());
