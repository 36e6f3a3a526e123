"use strict";
{
  const element = id => document.getElementById(id);
  const data = JSON.parse(element("image-data").textContent);
  const pageSize = 50;
  const table = element("image-table"), search = element("image-search"), limit = element("image-limit");
  const byClass = element("image-class");
  const order = {column: 1, down: false};  // the worst images first
  let page = 0, rows = [];

  const scores = data.scores.map(pairs => {
    const result = new Map();
    for (let i = 0; i < pairs.length; i += 2) result.set(pairs[i], pairs[i + 1]);
    return result;
  });
  const texts = data.rows.map(row => row.filter(value => typeof value === "string").join(" ").toLowerCase());
  data.classes.forEach((name, index) => byClass.append(new Option(name, index)));

  const chosenClass = () => byClass && byClass.value !== "" ? Number(byClass.value) : null;
  const columns = () => chosenClass() === null ? data.columns
    : [...data.columns, ["IoU of " + data.classes[chosenClass()] + ", %", "score"]];
  const valueOf = (index, column) =>
    column < data.columns.length ? data.rows[index][column] : scores[index].get(chosenClass());
  const textOf = (value, kind) => {
    if (value === null || value === undefined) return "–";
    if (kind === "score") return (100 * value).toFixed(1);
    if (kind === "points") return (value < 0 ? "−" : "+") + Math.abs(100 * value).toFixed(1);
    if (kind === "number") return String(Math.round(value * 1e4) / 1e4);
    return String(value);
  };

  function select() {
    const wanted = search.value.trim().toLowerCase(), index = chosenClass();
    const bound = limit.value === "" ? Infinity : Number(limit.value) / 100;
    const kind = columns()[order.column] ? columns()[order.column][1] : "";
    const column = kind === "score" || kind === "points" ? order.column : 1;
    rows = [];
    for (let i = 0; i < data.rows.length; i++) {
      if (wanted && !texts[i].includes(wanted)) continue;
      if (index !== null && !scores[i].has(index)) continue;
      if (bound !== Infinity && !(valueOf(i, column) <= bound)) continue;
      rows.push(i);
    }
    const sign = order.down ? -1 : 1, isText = kind === "text";
    rows.sort((a, b) => {
      const x = valueOf(a, order.column), y = valueOf(b, order.column);
      const xMissing = x === null || x === undefined, yMissing = y === null || y === undefined;
      if (xMissing || yMissing) return xMissing - yMissing || a - b;  // undefined values last, in both directions
      return sign * (isText ? x.localeCompare(y) : x - y) || a - b;
    });
    page = 0;
    show();
  }

  function showHead() {
    const line = document.createElement("tr");
    columns().forEach(([title, kind], column) => {
      const head = document.createElement("th"), button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      if (kind !== "text") head.className = "number";
      if (column === order.column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      button.addEventListener("click", () => {
        order.down = column === order.column ? !order.down : kind === "count";
        order.column = column;
        select();
        table.tHead.rows[0].cells[column].firstChild.focus();
      });
      head.append(button);
      line.append(head);
    });
    table.tHead.replaceChildren(line);
  }

  function show() {
    showHead();
    const first = page * pageSize, shown = rows.slice(first, first + pageSize);
    table.tBodies[0].replaceChildren(...shown.map(index => {
      const line = document.createElement("tr");
      columns().forEach(([, kind], column) => {
        const cell = line.insertCell(), text = textOf(valueOf(index, column), kind);
        const anchor = column === 0 && Object.hasOwn(data.anchors, index) ? data.anchors[index] : null;
        cell.className = column === 0 ? "name" : kind === "text" ? "label" : "number";
        if (anchor) {
          const link = document.createElement("a");
          link.href = "#" + anchor;
          link.textContent = text;
          cell.append(link);
        } else cell.textContent = text;
      });
      return line;
    }));
    const total = data.rows.length, last = first + shown.length;
    element("image-status").textContent = rows.length === total ? `${total} images`
      : rows.length ? `${rows.length} of ${total} images` : `No image fits; ${total} in all`;
    element("image-page").textContent = rows.length ? `${first + 1}–${last} of ${rows.length}` : "";
    element("image-previous").disabled = page === 0;
    element("image-next").disabled = last >= rows.length;
  }

  function csv() {
    const field = value => {
      const text = value === null || value === undefined ? "" : String(value);
      return /[",\n\r]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
    };
    const heads = [...data.columns.map(([title]) => title.replace(", %", "")), ...data.classes.map(name => "IoU " + name)];
    const lines = data.rows.map((row, i) => [...row, ...data.classes.map((_, index) => scores[i].get(index))]);
    return [heads, ...lines].map(line => line.map(field).join(",")).join("\n") + "\n";
  }

  element("image-csv").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
    link.download = data.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  search.addEventListener("input", select);
  limit.addEventListener("input", select);
  if (byClass) byClass.addEventListener("change", () => {
    Object.assign(order, chosenClass() === null ? {column: 1, down: false} : {column: data.columns.length, down: false});
    select();
  });
  element("image-previous").addEventListener("click", () => { page -= 1; show(); });
  element("image-next").addEventListener("click", () => { page += 1; show(); });
  select();
}
