"use strict";
const body = document.getElementById("images").tBodies[0];
const filters = { task: document.getElementById("task"), decision: document.getElementById("decision") };
function refresh() {
  let shown = 0;
  for (const row of body.rows) {
    row.hidden = Object.entries(filters).some(([name, chosen]) => chosen.value && row.dataset[name] !== chosen.value);
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = `${shown} of ${body.rows.length} shown`;
}
for (const chosen of Object.values(filters)) chosen.addEventListener("change", refresh);
for (const head of document.querySelectorAll("#images th")) {
  head.addEventListener("click", () => {
    const down = head.dataset.order !== "down";
    head.dataset.order = down ? "down" : "up";
    const value = (row) => row.cells[head.cellIndex].textContent.trim();
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b), numeric = !isNaN(parseFloat(x)) && !isNaN(parseFloat(y));
      return (numeric ? parseFloat(x) - parseFloat(y) : x.localeCompare(y)) * (down ? -1 : 1);
    });
    body.append(...rows);
  });
}
refresh();
