// Numbers as people read them, and the row of an answer.

export function kbit(bitsPerSecond) {
  const kbits = bitsPerSecond / 1000;
  return `${kbits < 10 ? kbits.toFixed(1) : Math.round(kbits).toLocaleString()} kbit/s`;
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

// What an answer says, the most probable first: of classes, or, of another task, each of its keys.
export function said(answer) {
  if (answer.classes) return answer.classes.map((c) => `${c.name} ${percent(c.probability)}`);
  if (answer.png) return ["reconstructed"];
  const { point, payload_bytes, final, ...keys } = answer;
  return Object.entries(keys).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
}

// A reconstruction, as an image takes it.
export function pictureOf(answer) {
  return `data:image/png;base64,${answer.png}`;
}

export function answerRow(answer, { late = false, way = "" } = {}) {
  const row = document.createElement("li");
  const best = answer.classes?.[0];
  const cells = [
    ["size", `${answer.payload_bytes} B`],
    ["way", way],
    ["class", best ? best.name : said(answer).join(", ")],
    ["probability", best ? percent(best.probability) : ""],
  ].filter(([name]) => way || name !== "way");
  for (const [name, text] of cells) {
    const cell = document.createElement("span");
    cell.className = name;
    cell.textContent = text;
    row.append(cell);
  }
  row.classList.toggle("late", late);
  row.querySelector(".class").style.setProperty("--share", `${100 * (best?.probability ?? 0)}%`);
  return row;
}
