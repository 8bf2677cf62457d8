// One edge: what it sees, the answer as it sharpens, capacity and bytes over time, what other ways would cost.

import { Chart } from "./chart.js";
import { answerRow, kbit, percent, pictureOf, said } from "./words.js";

const KEPT = 240;
const ROWS = 8;
const SILENT_S = 10;

export class Card {
  constructor(parent) {
    this.root = document.getElementById("edge-card").content.cloneNode(true).firstElementChild;
    parent.append(this.root);
    this.chart = new Chart(this.part(".chart"));
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
    this.facts(edge, now);
    if (this.reports.length) this.costs();
    this.chart.draw(this.reports, now);
  }

  answer(picture) {
    const [best, ...others] = said(picture.answers.at(-1));
    this.part(".best").textContent = best;
    this.part(".others").textContent = others.join(", ");
    const made = this.part(".reconstruction");
    made.hidden = !picture.answers.at(-1).png;
    if (!made.hidden) made.src = pictureOf(picture.answers.at(-1));
    const every = Math.ceil(picture.answers.length / ROWS); // of many answers some are shown, and always the last
    const shown = picture.answers.filter((a, i) => (picture.answers.length - 1 - i) % every === 0);
    this.rows = Math.max(this.rows, shown.length); // the card does not shrink and grow with every picture
    this.part(".answers").style.minHeight = `${1.35 * this.rows}rem`;
    this.part(".answers").replaceChildren(...shown.map((a) => answerRow(a)));
  }

  facts(edge, now) {
    const facts = [`${edge.pictures.toLocaleString()} pictures`];
    const newest = this.reports.at(-1);
    if (edge.picture) {
      const answer = edge.picture.answers.at(-1); // of the rows below, and not of a report, which comes later
      facts.push(`point ${answer.point} of ${edge.points}, ${answer.payload_bytes} bytes`);
    }
    if (newest) {
      const met = this.reports.filter((r) => r.latency_ms <= r.budget_ms).length;
      facts.push(`${percent(met / this.reports.length)} within ${Math.round(newest.budget_ms)} ms`);
    }
    const silent = Math.round(now - edge.active);
    if (silent >= SILENT_S) facts.push(`silent for ${silent} s`);
    this.part(".facts").textContent = facts.join(" · ");
  }

  costs() {
    const mean = (key) => Math.round(this.reports.reduce((sum, r) => sum + r[key], 0) / this.reports.length);
    const newest = this.reports.at(-1);
    const measured = newest.capacity ? `measured ${kbit(newest.capacity)}` : "not measured lately";
    const known = newest.true_capacity ? `, truly ${kbit(newest.true_capacity)}` : "";
    const bytes = Object.assign(document.createElement("span"), { className: "key-bytes", textContent: "bytes" });
    const link = Object.assign(document.createElement("span"), {
      className: "key-capacity",
      textContent: `link, ${measured}${known}`,
    });
    this.part("figcaption").replaceChildren(link, " · ", bytes);
    this.part(".chart").setAttribute("aria-hidden", "true"); // the caption says its newest values
    this.part(".costs").textContent =
      `A picture takes ${mean("payload_bytes")} bytes here; the same pictures as files of the encoder's size: ` +
      `JPEG ${mean("jpeg_bytes")}, WebP ${mean("webp_bytes")} bytes.`;
  }
}
