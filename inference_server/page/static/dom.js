// Elements, in few words. Text is always text: names come from strangers.

export const part = (id) => document.getElementById(id);

// make("p", { className: "quiet" }, "text", child, …)
export function make(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "data") Object.assign(made.dataset, value);
    else if (key.startsWith("aria-") || key === "role" || key === "scope") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...children);
  return made;
}

// Writes only what differs: what stands there may be selected, or be read out.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A figure with a label and a note; `term` explains the label.
export class Tile {
  constructor(parent, label, term) {
    this.value = make("dd", { className: "tile-value" }, "–");
    this.note = make("dd", { className: "tile-note" });
    const name = term ? make("button", { className: "term", type: "button", data: { term } }, label) : label;
    parent.append(make("div", { className: "tile" }, make("dt", { className: "tile-label" }, name), this.value, this.note));
  }

  show(value, note = "", tone = "") {
    write(this.value, value);
    write(this.note, note);
    this.value.className = `tile-value ${tone}`;
  }
}

// An answer's line: its bytes, what it says, how sure it is.
export function answerLine(answer, { words, time = "", chosen = false, late = false }) {
  const best = answer.classes?.[0];
  const line = make("li", {}, make("span", { className: "size" }, `${answer.payload_bytes} B`));
  if (time) line.append(make("span", { className: "way" }, time));
  const name = make("span", { className: "class" }, best ? best.name : words.join(", "));
  name.style.setProperty("--share", `${100 * (best?.probability ?? 0)}%`);
  const sure = best ? `${Math.round(100 * best.probability)} %` : "";
  line.append(name, make("span", { className: "probability" }, sure));
  line.classList.toggle("late", late);
  line.classList.toggle("chosen", chosen);
  return line;
}
