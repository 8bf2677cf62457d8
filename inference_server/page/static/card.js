// One edge: what it sees, the answer as it sharpens, capacity and level over time, what other ways would cost.

import { Chart } from "./chart.js";
import { kbit, percent, planeRow } from "./words.js";

const KEPT = 240;

export class Card {
  constructor(parent, model) {
    this.model = model;
    this.root = document.getElementById("edge-card").content.cloneNode(true).firstElementChild;
    parent.append(this.root);
    this.chart = new Chart(this.part(".chart"), model.max_level);
    this.reports = [];
    this.rows = 0;
  }

  part(selector) {
    return this.root.querySelector(selector);
  }

  remove() {
    this.chart.destroy();
    this.root.remove();
  }

  update(edge, now) {
    this.part("h3").textContent = edge.name;
    if (edge.thumbnail) {
      this.part(".thumbnail").src = edge.thumbnail;
      this.part(".thumbnail").hidden = false;
    }
    if (edge.picture) this.answer(edge.picture);
    this.reports = [...this.reports, ...edge.reports].slice(-KEPT);
    this.facts(edge);
    if (this.reports.length) this.costs();
    this.chart.draw(this.reports, now);
  }

  answer(picture) {
    const [best, ...others] = picture.answers.at(-1).classes.map((c) => `${c.name} ${percent(c.probability)}`);
    this.part(".best").textContent = best;
    this.part(".others").textContent = others.join(", ");
    this.rows = Math.max(this.rows, picture.answers.length); // the card does not shrink and grow with every picture
    this.part(".planes").style.minHeight = `${1.35 * this.rows}rem`;
    this.part(".planes").replaceChildren(...picture.answers.map((a) => planeRow(a)));
  }

  facts(edge) {
    const facts = [`${edge.pictures.toLocaleString()} pictures`];
    const newest = this.reports.at(-1);
    if (newest) {
      const met = this.reports.filter((r) => r.latency_ms <= r.budget_ms).length;
      facts.push(`level ${newest.planes}, ${newest.payload_bytes} bytes`);
      facts.push(`${percent(met / this.reports.length)} within ${Math.round(newest.budget_ms)} ms`);
    } else if (edge.picture) {
      facts.push(`level ${edge.picture.level}, ${edge.picture.answers.at(-1).payload_bytes} bytes`);
    }
    this.part(".facts").textContent = facts.join(" · ");
  }

  costs() {
    const mean = (key) => Math.round(this.reports.reduce((sum, r) => sum + r[key], 0) / this.reports.length);
    const newest = this.reports.at(-1);
    const measured = newest.capacity ? `measured ${kbit(newest.capacity)}` : "not measured yet";
    const known = newest.true_capacity ? `, truly ${kbit(newest.true_capacity)}` : "";
    const level = Object.assign(document.createElement("span"), { className: "key-level", textContent: "level" });
    const link = Object.assign(document.createElement("span"), {
      className: "key-capacity",
      textContent: `link, ${measured}${known}`,
    });
    this.part("figcaption").replaceChildren(link, " · ", level);
    this.part(".chart").setAttribute("aria-hidden", "true"); // the caption says its newest values
    this.part(".costs").textContent =
      `A picture takes ${mean("payload_bytes")} bytes here; the same pictures as files of the encoder's size: ` +
      `JPEG ${mean("jpeg_bytes")}, WebP ${mean("webp_bytes")} bytes.`;
  }
}
