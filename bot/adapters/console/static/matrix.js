// The matrix on the keyboard: one tab stop, arrows between cells; a cell's hint shows on focus and on a tap.
const bubble = document.createElement("div");
bubble.className = "hint";
bubble.hidden = true;

export function startMatrix() {
  bubble.setAttribute("role", "tooltip");
  bubble.id = "cell-hint";
  document.body.append(bubble);
  document.addEventListener("focusin", (event) => {
    const cell = event.target.closest(".cell[data-state]");
    if (cell) show(cell); else hide();
  });
  document.addEventListener("click", (event) => {
    const cell = event.target.closest("button.cell");
    if (cell) { choose(cell); show(cell); } else hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const cell = event.target.closest("button.cell");
    const next = cell && neighbour(cell, event.key);
    if (!next) return;
    event.preventDefault();
    choose(next);
    next.focus();
  });
  document.addEventListener("scroll", hide, { capture: true, passive: true });
}

function neighbour(cell, key) {
  const td = cell.parentElement;
  const tr = td.parentElement;
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
  const rows = [...tr.parentElement.rows];
  if (key === "Home") return tr.querySelector("button.cell");
  if (key === "End") return [...tr.querySelectorAll("button.cell")].at(-1);
  if (!step) return null;
  return rows[rows.indexOf(tr) + step[0]]?.cells[td.cellIndex + step[1]]?.querySelector("button.cell");
}

function choose(cell) {
  for (const other of cell.closest("table").querySelectorAll("button.cell[tabindex='0']")) other.tabIndex = -1;
  cell.tabIndex = 0;
}

function show(cell) {
  if (!cell.dataset.hint) { hide(); return; }
  // A focus that scrolls the cell into view would hide the bubble again; wait for it.
  requestAnimationFrame(() => requestAnimationFrame(() => place(cell)));
}

function place(cell) {
  if (!cell.isConnected || (document.activeElement !== cell && !cell.matches(":hover"))) return;
  bubble.textContent = cell.dataset.hint;
  bubble.hidden = false;
  const at = cell.getBoundingClientRect();
  const size = bubble.getBoundingClientRect();
  const left = Math.min(Math.max(12, at.left + at.width / 2 - size.width / 2), innerWidth - size.width - 12);
  const above = at.top - size.height - 8;
  bubble.style.left = `${left}px`;
  bubble.style.top = `${above > 8 ? above : at.bottom + 8}px`;
}

function hide() { bubble.hidden = true; }
