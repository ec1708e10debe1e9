"use strict";
for (const holder of document.querySelectorAll("script[type='application/vnd.plotly.v1+json']")) {
  const figure = JSON.parse(holder.textContent);
  Plotly.newPlot(holder.previousElementSibling, figure.data, figure.layout, { responsive: true, displaylogo: false });
}
for (const head of document.querySelectorAll("table.sortable th")) {
  head.addEventListener("click", (event) => {
    if (event.target.closest("a")) return;
    const column = head.cellIndex, body = head.closest("table").tBodies[0];
    const down = head.dataset.order !== "down";
    head.dataset.order = down ? "down" : "up";
    const value = (row) => row.cells[column].textContent.replace(/[\u2009\s]/g, "");
    const rows = [...body.rows].sort((a, b) => {
      const x = value(a), y = value(b), numeric = !isNaN(parseFloat(x)) && !isNaN(parseFloat(y));
      return (numeric ? parseFloat(x) - parseFloat(y) : x.localeCompare(y)) * (down ? -1 : 1);
    });
    body.append(...rows);
  });
}
