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
for (const image of document.querySelectorAll("main img")) {
  image.tabIndex = 0;
  image.setAttribute("role", "button");
  const enlarge = () => {
    Object.assign(dialog.firstElementChild, {src: image.src, alt: image.alt});
    dialog.showModal();
  };
  image.addEventListener("click", enlarge);
  image.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      enlarge();
    }
  });
}
dialog.addEventListener("click", () => dialog.close());
for (const box of document.querySelectorAll(".scroll")) box.tabIndex = 0;
