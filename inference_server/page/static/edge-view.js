// One edge: what it sees, what is answered, what its link gives, and why answers were late.

import { ago, ms, percent, pictureOf, rate, said } from "./words.js";
import { AGO, Chart, samples } from "./chart.js";
import { Tile, answerLine, make, part, write } from "./dom.js";
import { Misses } from "./misses.js";
import { manifest } from "./models-view.js";

const LINES = 10;
const KEPT = 240;
const HOUR_S = 3600;
const SPANS = { minute: ["1 minute", 60], hour: ["1 hour", HOUR_S] };

export class EdgeView {
  constructor(root) {
    this.root = root;
    this.number = null;
  }

  start() {
    this.names = new Map(); // of classes, or of answers to questions, by model
  }

  open(number) {
    if (number === this.number) return;
    this.number = number;
    this.reports = [];
    this.history = new Map();
    this.said = [];
    this.built = false;
    this.charts?.forEach((chart) => chart.destroy());
    this.charts = null;
    const back = make("a", { href: "#/edges" }, "Edges");
    this.name = make("h1", { id: "edge-title" }, "Edge");
    this.facts = make("p", { className: "lead num" }, "loading …");
    this.badge = make("span", { className: "badge" });
    this.body = make("div", { className: "stack" });
    const head = make("header", {}, make("p", { className: "small crumbs" }, back), make("div", { className: "row" }, this.name, this.badge), this.facts);
    this.root.replaceChildren(head, this.body);
  }

  show(news, first) {
    const { edge, now } = news;
    if (!edge) return this.unknown();
    if (!this.built) this.build();
    if (first) {
      this.reports = [];
      this.history.clear();
    }
    this.reports = [...this.reports, ...edge.reports].slice(-KEPT);
    for (const row of edge.history) this.history.set(row[0], row);
    for (const at of this.history.keys()) if (at < now - HOUR_S) this.history.delete(at);
    this.columns = edge.columns;
    this.last = { edge, now };
    document.title = `${edge.name} · artoveq`;
    this.head(edge, now);
    if (edge.thumbnail) this.thumbnail.src = edge.thumbnail;
    this.thumbnail.hidden = !this.thumbnail.src;
    this.answer(edge);
    this.figures(edge);
    this.draw();
  }

  unknown() {
    write(this.name, "Edge");
    write(this.facts, "");
    const empty = make(
      "div",
      { className: "card empty" },
      make("h2", {}, "This edge is not known"),
      make("p", {}, "It left more than an hour ago, or the server has started anew since."),
      make("a", { className: "button", href: "#/edges" }, "All edges"),
    );
    if (!this.body.querySelector(".empty")) this.body.replaceChildren(empty);
    this.built = false;
  }

  build() {
    this.built = true;
    const tiles = make("dl", { className: "tiles" });
    this.tiles = {
      bytes: new Tile(tiles, "Bytes a picture"),
      point: new Tile(tiles, "Point", "point"),
      capacity: new Tile(tiles, "Link", "capacity"),
      latency: new Tile(tiles, "Latency", "budget"),
      time: new Tile(tiles, "In time", "missed"),
    };
    this.thumbnail = make("img", { className: "seen", alt: "What this edge sees", hidden: true });
    this.made = make("img", { className: "seen pixels", alt: "What the server made of its bytes", hidden: true });
    this.best = make("p", { className: "best" });
    this.others = make("p", { className: "quiet small" });
    this.lines = make("ol", { className: "answers", "aria-label": "The answers to this picture, by the bytes that had arrived" });
    const now = make(
      "article",
      { className: "card stack now" },
      make("div", { className: "pictures" }, this.thumbnail, this.made),
      make("div", {}, this.best, this.others),
      this.lines,
    );
    const spans = make("fieldset", { className: "segments" }, make("legend", { className: "visually-hidden" }, "Time shown"));
    this.span = "minute";
    for (const [value, [label]] of Object.entries(SPANS)) {
      const input = make("input", { type: "radio", name: "span", value, checked: value === this.span });
      input.addEventListener("change", () => {
        this.span = value;
        this.draw();
      });
      spans.append(make("label", {}, input, label));
    }
    this.plots = make("div", { className: "stack" }, make("div", { className: "row plots-head" }, make("h2", {}, "Over time"), spans));
    this.charts = [];
    const bits = (t) => rate(t);
    this.link = this.chart("Link", "capacity", {
      series: [
        { label: "expected up to", colour: "--accent", width: 0, quiet: true },
        { label: "expected from", colour: "--accent", width: 0, quiet: true },
        { label: "true", colour: "--quiet", dash: [5, 4], width: 1.25 },
        { label: "measured", colour: "--accent", points: true },
      ],
      bands: [[1, 2]],
      y: { format: bits, log: true, least: 20000, size: 76 },
    });
    this.sizes = this.chart("Bytes a picture", null, {
      series: [{ label: "bytes", colour: "--bytes", stepped: true, fill: true }],
      y: { format: (t) => `${Math.round(t)} B`, least: 64 },
    });
    this.times = this.chart("Latency", "budget", {
      series: [
        { label: "first answer after", colour: "--time", points: true },
        { label: "budget", colour: "--bad", dash: [5, 4], width: 1.25 },
        { label: "late", colour: "--bad", points: "only", quiet: true },
      ],
      y: { format: ms, least: 20 },
    });
    this.strip = make("ol", { className: "strip", "aria-label": "What was answered, the newest last" });
    const answers = make("article", { className: "card" }, make("div", { className: "card-head" }, make("h3", {}, "Answers")), this.strip);
    this.plots.append(answers);
    this.misses = new Misses();
    this.plots.append(this.misses.root);
    this.body.replaceChildren(tiles, make("div", { className: "split" }, now, this.plots));
  }

  chart(title, term, options) {
    const legend = make("p", { className: "legend" });
    const box = make("div", { className: "chart", "aria-hidden": "true" });
    const name = term ? make("button", { className: "term", type: "button", data: { term } }, title) : title;
    this.plots.append(make("article", { className: "card" }, make("div", { className: "card-head" }, make("h3", {}, name), legend), box));
    const chart = new Chart(box, { ...options, x: AGO, legend });
    this.charts.push(chart);
    return chart;
  }

  head(edge, now) {
    write(this.name, edge.name);
    const silent = now - edge.active;
    const [kind, text] = !edge.connected ? ["bad", "gone"] : silent >= 10 ? ["", "silent"] : ["good", "live"];
    this.badge.className = `badge ${kind}`;
    write(this.badge, text);
    const seen = text === "live" ? "" : ` · last seen ${ago(Math.max(0, silent))}`;
    write(this.facts, `${edge.pictures.toLocaleString()} pictures · ${edge.model}${seen}`);
  }

  answer(edge) {
    const answers = edge.picture?.answers ?? [];
    const newest = answers.at(-1);
    if (!newest) {
      write(this.best, "No picture has come yet.");
      return;
    }
    const [best, ...others] = said(newest);
    write(this.best, best);
    write(this.others, others.join(", "));
    this.made.hidden = !newest.png;
    if (newest.png) this.made.src = pictureOf(newest);
    const every = Math.ceil(answers.length / LINES); // of many answers some are shown, and always the last
    const shown = answers.filter((a, i) => (answers.length - 1 - i) % every === 0);
    this.most = Math.max(this.most ?? 1, shown.length); // the card does not shrink and grow with every picture
    this.lines.style.minHeight = `${1.6 * this.most}rem`;
    this.lines.replaceChildren(...shown.map((a) => answerLine(a, { words: said(a) })));
  }

  figures(edge) {
    const newest = this.reports.at(-1);
    const answer = edge.picture?.answers.at(-1);
    const mean = (key) => Math.round(this.reports.reduce((sum, r) => sum + r[key], 0) / this.reports.length);
    const files = newest ? `as JPEG ${mean("jpeg_bytes")}, WebP ${mean("webp_bytes")}` : "";
    this.tiles.bytes.show(edge.local ? "0" : answer ? answer.payload_bytes.toLocaleString() : "–", files);
    this.tiles.point.show(edge.local ? "0" : answer ? String(answer.point) : "–", edge.local ? "the edge answered alone" : `of ${edge.points}`);
    const spread = newest?.capacity_low ? `${rate(newest.capacity_low)} to ${rate(newest.capacity_high)}` : "";
    const unknown = newest ? "not measured lately" : "the edge does not report";
    this.tiles.capacity.show(newest?.capacity ? rate(newest.capacity) : "–", newest?.capacity ? spread : unknown);
    const late = newest && newest.latency_ms > newest.budget_ms;
    this.tiles.latency.show(newest ? ms(newest.latency_ms) : "–", newest ? `budget ${ms(newest.budget_ms)}` : "", late ? "bad" : "");
    const share = edge.in_time;
    this.tiles.time.show(share === null ? "–" : percent(share), share === null ? "" : `of ${this.reports.length} pictures`, share < 0.95 && share !== null ? "warn" : "");
  }

  // Of the minute each report, of the hour the samples.
  rows() {
    const { now } = this.last;
    const seconds = SPANS[this.span][1];
    const hour = samples(this.columns, [...this.history.values()].sort((a, b) => a[0] - b[0]));
    if (this.span === "hour") return { rows: hour, seconds };
    const reports = this.reports.filter((r) => r.at > now - seconds);
    if (reports.length) return { rows: reports, seconds };
    return { rows: hour.filter((r) => r.at > now - seconds), seconds }; // of an edge that does not report
  }

  draw() {
    if (!this.last || !this.charts) return;
    const { rows, seconds } = this.rows();
    const { now, edge } = this.last;
    const range = [-seconds, 0];
    const x = rows.map((r) => r.at - now);
    const column = (key) => rows.map((r) => r[key] ?? null);
    this.link.draw([x, column("capacity_high"), column("capacity_low"), column("true_capacity"), column("capacity")], range);
    this.sizes.draw([x, column("payload_bytes")], range);
    const late = rows.map((r) => (r.latency_ms > r.budget_ms ? r.latency_ms : null));
    this.times.draw([x, column("latency_ms"), column("budget_ms"), late], range);
    this.answers(rows, edge);
    this.misses.show(this.reports, samples(this.columns, [...this.history.values()]), now);
  }

  async answers(rows, edge) {
    if (!this.names.has(edge.model)) {
      this.names.set(edge.model, []);
      const task = (await manifest(edge.model))?.task;
      this.names.set(edge.model, task?.questions?.answers ?? task?.classes ?? []);
    }
    const names = this.names.get(edge.model);
    const runs = [];
    for (const row of rows.filter((r) => r.class !== null && r.class !== undefined)) {
      const run = runs.at(-1);
      if (run?.class === row.class) {
        run.count += 1;
        run.sum += row.confidence;
      } else runs.push({ class: row.class, count: 1, sum: row.confidence });
    }
    const shown = runs.slice(-24);
    const key = shown.map((run) => `${run.class}:${run.count}`).join() + this.span;
    if (key === this.stripKey) return;
    this.stripKey = key;
    this.strip.replaceChildren(
      ...shown.map((run) => {
        const name = names[run.class] ?? `number ${run.class}`;
        const sure = percent(run.sum / run.count);
        const item = make("li", { title: `${name}, ${sure} on average` }, make("span", {}, name), make("span", { className: "quiet num" }, sure));
        item.style.flexGrow = run.count;
        item.style.setProperty("--hue", `${(run.class * 137) % 360}`);
        return item;
      }),
    );
    if (!shown.length) this.strip.replaceChildren(make("li", { className: "quiet none" }, "Nothing yet."));
  }
}
