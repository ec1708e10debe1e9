"use strict";
const night = matchMedia("(prefers-color-scheme: dark)");
const LOOKS = {
  light: { paper: "white", ink: "#1b1f24", grid: "#e6e8eb", line: "#8b929a" },
  dark: { paper: "#14181d", ink: "#dde3ea", grid: "#2d343c", line: "#8b929a" },
};

// Words in lines that fit; a letter is at most 9 pixels wide.
const inLines = (text, room) => text.split(" ").reduce((lines, word) => {
  const last = lines.split("<br>").at(-1);
  return lines + ((last.length + word.length) * 9 < room ? " " : "<br>") + word;
});

// Axes with titles no longer than themselves.
function fitting(layout, width) {
  const plot = width - (layout.margin?.l ?? 70) - (layout.margin?.r ?? 30);
  const titled = Object.entries(layout).filter(([name, axis]) => name.startsWith("xaxis") && axis.title?.text);
  return Object.fromEntries(titled.map(([name, axis]) => {
    const [low, high] = axis.domain ?? [0, 1];
    return [name, { ...axis, title: { ...axis.title, text: inLines(axis.title.text, plot * (high - low) - 20) } }];
  }));
}

// Below a narrow figure: first the axis' numbers and title, then the legend.
function legendBelow(layout, axes, names, width) {
  const titles = Math.max(1, ...Object.values(axes).map(({ title }) => title.text.split("<br>").length));
  const legend = Math.ceil(names.reduce((sum, name) => sum + name.length * 8 + 50, 0) / width);
  const room = 40 + 18 * titles + 22 * legend;
  return {
    height: (layout.height ?? 450) + Math.max(0, room - (layout.margin?.b ?? 80)),
    legend: { ...layout.legend, orientation: "h", x: 0, yref: "container", y: 0, yanchor: "bottom" },
    margin: { ...layout.margin, b: room },
  };
}

function dressed(layout, names, look, drawing, width) {
  const { ink, grid, line } = LOOKS[look];
  // Where a figure is wider than its place, the shade at the place's edge is seen through it.
  const paper = drawing > width ? "transparent" : LOOKS[look].paper;
  const axis = { gridcolor: grid, zerolinecolor: line, linecolor: line };
  const base = layout.template?.layout ?? {};
  const template = { ...layout.template, layout: {
    ...base, paper_bgcolor: paper, plot_bgcolor: paper, font: { ...base.font, color: ink },
    xaxis: { ...base.xaxis, ...axis }, yaxis: { ...base.yaxis, ...axis },
  } };
  const axes = fitting(layout, drawing);
  const narrow = width < 600 && names.length ? legendBelow(layout, axes, names, width) : {};
  const margin = { ...layout.margin, ...narrow.margin, t: Math.min(layout.margin?.t ?? 60, 60) };
  const modebar = { bgcolor: "transparent", color: line, activecolor: ink };
  return { ...layout, ...axes, ...narrow, modebar, template, margin };
}

function draw(holder, look) {
  const figure = JSON.parse(holder.textContent);
  const frame = holder.parentElement;
  const drawing = frame.querySelector(".drawing");
  const listed = figure.data.filter(({ name, showlegend }) => name && showlegend !== false).map(({ name }) => name);
  const layout = dressed(figure.layout, [...new Set(listed)], look, drawing.clientWidth, frame.clientWidth);
  drawing.style.height = `${layout.height ?? 450}px`;
  const named = ({ name, ...trace }) => (name ? { ...trace, name: inLines(name, frame.clientWidth - 60) } : trace);
  Plotly.react(drawing, figure.data.map(named), layout, { responsive: true, displaylogo: false });
  frame.querySelector(".static").hidden = true;
}

const holders = document.querySelectorAll("script[type='application/vnd.plotly.v1+json']");
const drawAll = (look) => { for (const holder of holders) draw(holder, look); };
if (typeof Plotly === "undefined") {
  for (const empty of document.querySelectorAll(".drawing")) empty.hidden = true;
} else {
  const current = () => drawAll(night.matches ? "dark" : "light");
  current();
  night.addEventListener("change", current);
  addEventListener("beforeprint", () => drawAll("light"));
  addEventListener("afterprint", current);
}

function comparable(cell) {
  if (cell.dataset.value !== undefined) return parseFloat(cell.dataset.value);
  const text = cell.textContent.trim();
  const leading = text.replace(/[\u2009\s]/g, "").replace(/^\u2212/, "-");
  if (/^[-+]?[\d.]/.test(leading)) return parseFloat(leading);
  return text;
}

function before(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return a.localeCompare(b);
}

function sort(head) {
  const table = head.closest("table");
  const body = table.tBodies[0];
  const order = head.getAttribute("aria-sort") === "descending" ? "ascending" : "descending";
  for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const value = (row) => comparable(row.cells[head.cellIndex]);
  const rank = (row) => (row.classList.contains("summary") ? 2 : value(row) === "–" ? 1 : 0);
  const rows = [...body.rows].sort((a, b) =>
    rank(a) - rank(b) || before(value(a), value(b)) * (order === "descending" ? -1 : 1));
  body.append(...rows);
}

for (const head of document.querySelectorAll("table.sortable th")) {
  const button = document.createElement("button");
  button.type = "button";
  for (const node of [...head.childNodes]) if (!node.matches?.("a")) button.append(node);
  button.innerHTML = button.innerHTML.replaceAll("_", "_<wbr>");
  button.title = head.title || "sort";
  head.prepend(button);
  button.addEventListener("click", () => sort(head));
}
