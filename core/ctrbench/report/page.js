"use strict";
// All of the page is there without this script; it sorts and filters tables, and lets figures tell their numbers.
const number = text => parseFloat(text.replace(/−/g, "-").replace(/,/g, ""));
const text = (row, place) => (row.cells[place].querySelector(".full") || row.cells[place]).textContent;

function sort(head, place) {
  const rows = [...head.closest("table").tBodies[0].rows];
  const down = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.closest("table").querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
  rows.sort((a, b) => {
    const x = number(text(a, place)), y = number(text(b, place));
    if (isNaN(x) || isNaN(y)) return isNaN(x) && isNaN(y) ? down * text(a, place).localeCompare(text(b, place)) : isNaN(x) - isNaN(y);
    return down * (x - y);
  });
  head.closest("table").tBodies[0].append(...rows);
}

for (const box of document.querySelectorAll(".grid")) {
  const tables = [...box.querySelectorAll("table")], rows = tables[0].tBodies[0].rows.length;
  if (rows > 1)
    for (const table of tables)
      table.querySelectorAll("th[scope=col]").forEach((head, place) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        button.addEventListener("click", () => sort(head, place));
        head.append(button);
      });
  if (rows > 8) {
    const field = Object.assign(document.createElement("input"), { type: "search", placeholder: "Show rows with …" });
    field.setAttribute("aria-label", "Show rows with");
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const table of tables)
        for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    box.prepend(field);
  }
}

for (const figure of document.querySelectorAll("figure")) {
  const marks = () => [...figure.querySelectorAll("svg")].filter(drawn => drawn.checkVisibility())
    .flatMap(drawn => [...drawn.querySelectorAll("title")].map(title => title.parentNode));
  if (!figure.querySelector("title")) continue;
  const told = document.createElement("output");
  let now = -1;
  const tell = mark => {
    figure.querySelectorAll(".told").forEach(other => other.classList.remove("told"));
    if (mark) mark.classList.add("told");
    told.textContent = mark ? mark.querySelector("title").textContent : "";
  };
  figure.tabIndex = 0;
  figure.append(told);
  figure.addEventListener("focus", () => { told.textContent = told.textContent || "Arrow keys tell the numbers."; });
  figure.addEventListener("blur", () => tell(null));
  figure.addEventListener("pointerover", event => {
    const mark = [event.target, event.target.closest("g"), event.target.closest("g g")].find(g => g && g.querySelector(":scope > title"));
    if (mark) { now = marks().indexOf(mark); tell(mark); }
  });
  figure.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || event.target !== figure) return;
    event.preventDefault();
    const all = marks();
    now = (now + step + all.length) % all.length;
    tell(all[now]);
  });
}

const all = document.createElement("button");
all.type = "button";
all.textContent = "Open all details";
all.addEventListener("click", () => {
  const open = all.getAttribute("aria-pressed") !== "true";
  document.querySelectorAll("details").forEach(each => { each.open = open; });
  all.setAttribute("aria-pressed", String(open));
  all.textContent = open ? "Close all details" : "Open all details";
});
document.querySelector(".tools").append(all);
