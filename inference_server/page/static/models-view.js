// The models: which versions there are and how they do, what each is, and what its operating points cost and give.

import { isShare, megabytes, metric, ms, perSecond, percent } from "./words.js";
import { Chart } from "./chart.js";
import { make, part } from "./dom.js";

const manifests = new Map();

// Of a model by its name, asked for once; null where the server does not say.
export function manifest(name) {
  if (!manifests.has(name)) manifests.set(name, ask(name));
  return manifests.get(name);
}

async function ask(name) {
  try {
    const answer = await fetch(`v1/model?model=${encodeURIComponent(name)}`);
    if (answer.ok) return await answer.json();
  } catch {
    // asked again with the next use
  }
  manifests.delete(name);
  return null;
}

export const bytesOf = (point) => point.coded_bytes ?? point.payload_bytes;

// The points that are worth their bytes: none that is cheaper is as good. Point 0 is the edge's own answer.
export function frontier({ points, local_head: own }) {
  const found = own ? [{ sizes: [], payload_bytes: 0, metric: own.metric, number: 0 }] : [];
  points.forEach((point, i) => {
    if (!found.length || point.metric > found.at(-1).metric) found.push({ ...point, number: i + 1 });
  });
  return found;
}

export const metricName = (task) => ({ top1: "right answers", accuracy: "right answers", psnr: "PSNR" })[task.metric] ?? task.metric;

// Bytes to what answers are worth, with WebP beside it: for the eye; the table says the same.
export function curve(parent, described, legend) {
  const name = described.task.metric;
  const share = isShare(name);
  const points = frontier(described).filter((p) => p.number).map((p) => [bytesOf(p), p.metric, null, null]);
  const files = described.codec.map((file) => [file.payload_bytes, null, file.metric, null]);
  const rows = [...points, ...files].sort((a, b) => a[0] - b[0]);
  const scale = (value) => (value === null ? null : share ? 100 * value : value);
  const chart = new Chart(parent, {
    series: [
      { label: "this model", colour: "--accent", points: true },
      { label: "WebP, all on the server", colour: "--bytes", points: true, dash: [5, 4], quiet: !files.length },
      { label: "here", colour: "--ink", points: "only", quiet: true },
    ],
    y: { format: (t) => (share ? `${Math.round(t)} %` : metric(t, name)), most: share ? 100 : undefined },
    x: { log: true, format: (t) => `${t} B`, legend: (t) => `at ${Math.round(t)} B` },
    legend,
  });
  chart.plot.series.forEach((series, i) => i && (series.spanGaps = true));
  const range = [rows[0][0] * 0.9, rows.at(-1)[0] * 1.1];
  chart.at = (bytes, value) => {
    const all = bytes === null ? rows : [...rows, [bytes, null, null, value]].sort((a, b) => a[0] - b[0]);
    chart.draw([all.map((r) => r[0]), ...[1, 2, 3].map((i) => all.map((r) => scale(r[i])))], range);
  };
  chart.at(null);
  return chart;
}

export class ModelsView {
  // How each version does now: they come and go while the page is open.
  show(versions) {
    const before = this.versions ?? [];
    this.versions = versions;
    if (String(before.map((one) => one.name)) !== String(versions.map((one) => one.name))) this.built = false;
    if (!part("view-models").hidden) this.draw();
  }

  open() {
    if (this.incomplete) this.built = false;
    this.draw();
  }

  draw() {
    if (!this.versions) return;
    part("versions").replaceChildren(...this.versions.map(row));
    if (!this.built) this.describe(this.versions);
  }

  async describe(versions) {
    this.built = true;
    part("models").replaceChildren(make("p", { className: "card empty quiet" }, "loading …"));
    const describing = (this.describing = {});
    const described = await Promise.all(versions.map((one) => manifest(one.fingerprint)));
    if (describing !== this.describing) return; // others have come meanwhile
    part("models").replaceChildren();
    described.forEach((one, i) => (one ? this.card(one, versions[i].name) : this.failed(versions[i].name)));
    this.incomplete = described.includes(null);
  }

  failed(name) {
    part("models").append(make("p", { className: "notice bad" }, `The server does not describe ${name}; open this view anew.`));
  }

  card(model, name) {
    const points = frontier(model);
    const [first, best, bytes] = [points[0], points.at(-1), model.points.map(bytesOf)];
    const facts = [
      ["Task", `${model.task.name}, ${metricName(model.task)}`],
      ["Trained on", model.dataset],
      ["Picture", `${model.preprocessing.size} × ${model.preprocessing.size}, ${model.preprocessing.colour}`],
      ["Codebook", `${model.family}, up to ${model.largest_size} words`],
      ["Points", `${bytes.length}, ${Math.round(Math.min(...bytes))} to ${Math.round(Math.max(...bytes))} bytes`],
      ["Cheapest", `${metric(first.metric, model.task.metric)} at ${Math.round(bytesOf(first))} bytes`],
      ["Best", `${metric(best.metric, model.task.metric)} at ${Math.round(bytesOf(best))} bytes`],
      ["Uncompressed", metric(model.unquantised_metric, model.task.metric)],
    ];
    const list = make("dl", { className: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", { className: "num" }, value)]));
    const legend = make("p", { className: "legend" });
    const box = make("div", { className: "chart", "aria-hidden": "true" });
    const refinable = model.planes.length
      ? make("button", { className: "term badge good", type: "button", data: { term: "planes" } }, `${model.planes.length} planes`)
      : make("span", { className: "badge" }, "whole points");
    const card = make(
      "article",
      { className: "card model" },
      make("div", { className: "card-head" }, make("h2", {}, name), refinable),
      make("div", { className: "split" }, list, make("figure", {}, box, make("figcaption", {}, legend))),
      table(model, points),
      classes(model),
      make("p", { className: "quiet small print" }, "Fingerprint ", make("code", {}, model.fingerprint)),
    );
    part("models").append(card);
    curve(box, model, legend);
  }
}

function row(one) {
  const cell = (text) => make("td", { className: "num" }, text);
  const [kind, what] = one.current ? ["good", "current"] : one.share ? ["warn", "canary"] : ["", ""];
  return make(
    "tr",
    {},
    make("th", { scope: "row" }, one.name),
    make("td", {}, make("span", { className: "num" }, percent(one.share)), what && " ", what && make("span", { className: `badge ${kind}` }, what)),
    make("td", {}, one.device ? megabytes(one.memory_bytes) : "not loaded"),
    cell(one.streams.toLocaleString()),
    cell(one.pictures.toLocaleString()),
    cell(perSecond(one.rate)),
    cell(ms(one.p50_ms)),
    cell(ms(one.p99_ms)),
  );
}

function table(model, points) {
  const name = model.task.metric;
  const rows = points.map((p) =>
    make(
      "tr",
      {},
      make("td", { className: "num" }, String(p.number)),
      make("td", { className: "num" }, bytesOf(p).toFixed(0)),
      make("td", { className: "num" }, metric(p.metric, name)),
      make("td", { className: "mono" }, p.sizes.join(" ") || "the edge alone"),
    ),
  );
  const heads = [["Point", "num"], ["Bytes", "num"], [metricName(model.task), "num"], ["Words of each segment's table", ""]];
  return make(
    "details",
    {},
    make("summary", {}, `The ${points.length} points that are worth their bytes`),
    make(
      "div",
      { className: "table-wrap flat", tabIndex: 0, role: "region", "aria-label": `Points of ${model.name}` },
      make("table", { className: "table" }, make("thead", {}, make("tr", {}, ...heads.map(([text, kind]) => make("th", { scope: "col", className: kind }, text)))), make("tbody", {}, ...rows)),
    ),
  );
}

function classes(model) {
  const names = model.task.classes ?? [];
  if (!names.length) return "";
  return make(
    "details",
    {},
    make("summary", {}, `The ${names.length.toLocaleString()} classes that it tells apart`),
    make("ul", { className: "classes" }, ...names.slice(0, 1000).map((name) => make("li", {}, name))),
  );
}
