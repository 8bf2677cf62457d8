// Numbers as people read them, and the row of a bit-plane.

export function kbit(bitsPerSecond) {
  const kbits = bitsPerSecond / 1000;
  return `${kbits < 10 ? kbits.toFixed(1) : Math.round(kbits).toLocaleString()} kbit/s`;
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

export function planeRow(answer, { late = false, note = "" } = {}) {
  const row = document.createElement("li");
  const best = answer.classes[0];
  const cells = [
    ["plane", String(answer.planes)],
    ["size", note || `${answer.payload_bytes} B`],
    ["class", best.name],
    ["probability", percent(best.probability)],
  ];
  for (const [name, text] of cells) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.textContent = text;
    row.append(cell);
  }
  row.classList.toggle("late", late);
  row.children[2].style.setProperty("--share", `${100 * best.probability}%`);
  return row;
}
