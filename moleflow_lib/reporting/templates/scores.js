const filters = [...document.querySelectorAll(".pick select")];
const lines = document.getElementById("images").tBodies[0].rows;
function refresh() {
  let shown = 0;
  for (const row of lines) {
    row.hidden = filters.some((chosen) => chosen.value && row.dataset[chosen.id] !== chosen.value);
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = `${shown} of ${lines.length} shown`;
}
for (const chosen of filters) chosen.addEventListener("change", refresh);
refresh();
