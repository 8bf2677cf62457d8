// How the server is: throughput, how long pictures wait for the decoders, and what those run on.

import { duration, ms, perSecond, percent } from "./words.js";
import { AGO, Chart, samples } from "./chart.js";
import { Tile, make, part } from "./dom.js";

const HOUR_S = 3600;
const FEW_S = 300;
const STEP_S = 10;

export class ServerView {
  constructor() {
    const tiles = part("health");
    this.tiles = {
      rate: new Tile(tiles, "Pictures a second"),
      p50: new Tile(tiles, "p50", "p99"),
      p99: new Tile(tiles, "p99", "p99"),
      waiting: new Tile(tiles, "Queue", "queue"),
      batch: new Tile(tiles, "Batch", "batch"),
      up: new Tile(tiles, "Up for"),
    };
    this.history = new Map(); // by version, by time
  }

  open() {
    if (this.charts) return;
    const chart = (title, options) => {
      const legend = make("p", { className: "legend" });
      const box = make("div", { className: "chart", "aria-hidden": "true" });
      part("load").append(make("article", { className: "card" }, make("div", { className: "card-head" }, make("h2", {}, title), legend), box));
      return new Chart(box, { ...options, x: AGO, legend });
    };
    this.charts = {
      rate: chart("Throughput", {
        series: [{ label: "pictures a second", colour: "--accent", fill: true }],
        y: { format: (t) => perSecond(t), least: 1 },
      }),
      time: chart("Latency on the server", {
        series: [
          { label: "p99", colour: "--time" },
          { label: "p50", colour: "--accent" },
        ],
        y: { format: ms, least: 5 },
      }),
      batch: chart("Batch and queue", {
        series: [
          { label: "pictures of a batch", colour: "--bytes" },
          { label: "most that waited", colour: "--quiet", dash: [5, 4] },
        ],
        y: { format: (t) => (Number.isInteger(t) ? String(t) : t.toFixed(1)), least: 2 },
      }),
    };
    this.draw();
  }

  show(news, first) {
    const { server, now } = news;
    this.now = now;
    if (first) this.history.clear();
    for (const model of server.models) {
      const kept = this.history.get(model.fingerprint) ?? new Map();
      for (const row of samples(model.columns, model.history, Infinity)) kept.set(row.at, row);
      for (const at of kept.keys()) if (at < now - HOUR_S) kept.delete(at);
      this.history.set(model.fingerprint, kept);
    }
    if (part("view-server").hidden) return;
    const { models } = server;
    const most = (key) => {
      const known = models.map((m) => m[key]).filter((value) => value !== null);
      return known.length ? Math.max(...known) : null;
    };
    this.tiles.rate.show(perSecond(models.reduce((sum, m) => sum + m.rate, 0)), "last ten seconds");
    this.tiles.p50.show(ms(most("p50_ms")), "last minute");
    this.tiles.p99.show(ms(most("p99_ms")), "last minute");
    this.tiles.waiting.show(server.waiting.toLocaleString(), `of ${server.queue_pictures.toLocaleString()}`);
    const batch = most("batch");
    this.tiles.batch.show(batch === null ? "–" : batch.toFixed(1), `of ${server.batch_pictures}`);
    this.tiles.up.show(duration(server.uptime_s), `${news.connected} ${news.connected === 1 ? "stream" : "streams"} open`);
    this.decoders(models);
    this.draw();
  }

  decoders(models) {
    const cell = (text) => make("td", { className: "num" }, text);
    part("decoders").replaceChildren(
      ...models.map((m) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, m.name),
          make("td", {}, m.device === "cpu" ? "CPU" : m.device || "not loaded"),
          cell(percent(m.share)),
          cell(perSecond(m.rate)),
          cell(ms(m.p50_ms)),
          cell(ms(m.p99_ms)),
          cell(m.batch === null ? "–" : m.batch.toFixed(1)),
          cell(m.waiting.toLocaleString()),
        ),
      ),
    );
  }

  // All models together: sums, and of percentiles the worst. Where nothing came there is no latency, and the rate is 0.
  draw() {
    if (!this.charts || this.now === undefined) return;
    const at = new Map();
    for (const kept of this.history.values()) {
      for (const row of kept.values()) {
        const all = at.get(row.at) ?? { pictures: 0, batches: 0, waiting: 0, p50_ms: 0, p99_ms: 0 };
        for (const key of ["pictures", "batches"]) all[key] += row[key];
        for (const key of ["waiting", "p50_ms", "p99_ms"]) all[key] = Math.max(all[key], row[key] ?? 0);
        at.set(row.at, all);
      }
    }
    const begin = Math.ceil((this.now - HOUR_S) / STEP_S) * STEP_S;
    const rows = [];
    for (let t = Math.max(begin, Math.min(...at.keys(), this.now)); t + STEP_S <= this.now; t += STEP_S) rows.push([t - this.now, at.get(t)]);
    const x = rows.map(([t]) => t);
    const column = (of) => rows.map(([, row]) => (row ? of(row) : null));
    const range = [Math.min(-FEW_S, x[0] ?? 0), 0]; // what a young server has seen fills the chart
    this.charts.rate.draw([x, rows.map(([, row]) => (row ? row.pictures / STEP_S : 0))], range);
    this.charts.time.draw([x, column((r) => r.p99_ms), column((r) => r.p50_ms)], range);
    this.charts.batch.draw([x, column((r) => r.pictures / r.batches), column((r) => r.waiting)], range);
  }
}
