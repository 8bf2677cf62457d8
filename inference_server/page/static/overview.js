// All edges, a line each: found by name, answer or model, sorted, and told apart by how they fare.

import { ago, percent, rate } from "./words.js";
import { Tile, make, part, write } from "./dom.js";

const SILENT_S = 10;
const LATE = 0.95; // whose pictures are in time less often is late
const text = (a, b) => a.localeCompare(b, undefined, { numeric: true });
const number = (a, b) => a - b;

// What each column shows and sorts by; `far`: only where there is room.
const COLUMNS = [
  { key: "name", label: "Edge", of: (e) => e.name, compare: text },
  { key: "answer", label: "Answer", of: (e) => e.answer?.said ?? "", compare: text },
  { key: "sure", label: "Sure", of: (e) => e.answer?.confidence ?? -1, compare: number, num: true, far: 2 },
  { key: "point", label: "Point", of: (e) => e.answer?.point ?? -1, compare: number, num: true, far: 3, term: "point" },
  { key: "bytes", label: "Bytes", of: (e) => e.answer?.payload_bytes ?? -1, compare: number, num: true, far: 1 },
  { key: "capacity", label: "Link", of: (e) => e.capacity ?? -1, compare: number, num: true, far: 2 },
  { key: "time", label: "In time", of: (e) => e.in_time ?? 2, compare: number, num: true, far: 1 },
  { key: "pictures", label: "Pictures", of: (e) => e.pictures, compare: number, num: true, far: 3 },
  { key: "seen", label: "Last seen", of: (e) => -e.active, compare: number, num: true },
];
const FILTERS = {
  all: ["All", () => true],
  live: ["Live", (e) => e.state === "live"],
  late: ["Late", (e) => e.state === "late"],
  silent: ["Silent", (e) => e.state === "silent"],
  gone: ["Gone", (e) => e.state === "gone"],
};
const TONES = { live: "good", late: "warn", silent: "", gone: "bad" };

function stateOf(edge, now) {
  if (!edge.connected) return "gone";
  if (now - edge.active >= SILENT_S) return "silent";
  return edge.in_time !== null && edge.in_time < LATE ? "late" : "live";
}

export class Overview {
  constructor() {
    this.edges = new Map();
    this.rows = new Map();
    this.sorted = { key: "name", down: false };
    this.shown = "all";
    const fleet = part("fleet");
    this.tiles = {
      connected: new Tile(fleet, "Connected"),
      time: new Tile(fleet, "In time", "budget"),
      rate: new Tile(fleet, "Pictures a second"),
      p99: new Tile(fleet, "Server, p99", "p99"),
      waiting: new Tile(fleet, "Queue", "queue"),
    };
    this.head();
    this.filters();
    part("search").addEventListener("input", () => this.arrange());
    addEventListener("keydown", (event) => {
      const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName);
      if (event.key !== "/" || typing || part("view-edges").hidden) return;
      event.preventDefault();
      part("search").focus();
    });
  }

  head() {
    const row = part("edges").tHead.rows[0];
    for (const { key, label, num, far } of COLUMNS) {
      const button = make("button", { type: "button" }, label);
      button.addEventListener("click", () => this.sort(key));
      row.append(make("th", { scope: "col", className: `${num ? "num" : ""} ${far ? `far-${far}` : ""}`, data: { key } }, button));
    }
    this.mark();
  }

  filters() {
    this.counts = {};
    for (const [name, [label]] of Object.entries(FILTERS)) {
      const input = make("input", { type: "radio", name: "filter", value: name, checked: name === "all" });
      input.addEventListener("change", () => {
        this.shown = name;
        this.arrange();
      });
      this.counts[name] = make("span", { className: "num" });
      part("filter").append(make("label", {}, input, `${label} `, this.counts[name]));
    }
  }

  sort(key) {
    this.sorted = { key, down: this.sorted.key === key && !this.sorted.down };
    this.mark();
    this.arrange();
  }

  mark() {
    for (const cell of part("edges").tHead.rows[0].cells) {
      if (cell.dataset.key !== this.sorted.key) cell.removeAttribute("aria-sort");
      else cell.setAttribute("aria-sort", this.sorted.down ? "descending" : "ascending");
    }
  }

  show(news, first) {
    if (first) {
      this.edges.clear();
      this.rows.clear();
      part("edges").tBodies[0].replaceChildren();
    }
    for (const edge of news.edges) {
      const kept = this.edges.get(edge.number);
      this.edges.set(edge.number, { thumbnail: kept?.thumbnail, ...edge });
    }
    for (const gone of news.gone) this.edges.delete(gone);
    this.now = news.now;
    this.known = news.known;
    for (const edge of this.edges.values()) edge.state = stateOf(edge, news.now);
    this.totals(news);
    part("nobody").hidden = this.edges.size > 0;
    part("overview").hidden = !this.edges.size;
    this.hint(news.port);
    this.arrange();
  }

  totals(news) {
    const edges = [...this.edges.values()];
    const live = edges.filter((e) => e.connected);
    const told = live.filter((e) => e.in_time !== null);
    const late = told.filter((e) => e.in_time < LATE).length;
    const gone = edges.length - live.length;
    const model = news.server.models;
    const p99 = Math.max(...model.map((m) => m.p99_ms ?? -1));
    this.tiles.connected.show(news.connected.toLocaleString(), gone ? `${gone} gone within the hour` : "");
    const mean = told.length ? told.reduce((sum, e) => sum + e.in_time, 0) / told.length : null;
    const note = told.length ? (late ? `${late} below ${percent(LATE)}` : `${told.length} report`) : "no edge reports";
    this.tiles.time.show(mean === null ? "–" : percent(mean), note, late ? "warn" : "");
    const pictures = model.reduce((sum, m) => sum + m.rate, 0);
    this.tiles.rate.show(pictures < 10 ? pictures.toFixed(1) : Math.round(pictures).toLocaleString());
    this.tiles.p99.show(p99 < 0 ? "–" : `${p99 < 10 ? p99.toFixed(1) : Math.round(p99)} ms`, "last minute");
    this.tiles.waiting.show(news.server.waiting.toLocaleString(), `of ${news.server.queue_pictures.toLocaleString()}`);
  }

  hint(port) {
    const tls = location.protocol === "https:" ? " --tls" : "";
    const token = document.cookie.includes("artoveq_token=") ? " --token TOKEN" : "";
    write(part("hint"), `artoveq watch camera:0 --server ${location.hostname}:${port}${tls}${token} --report`);
  }

  arrange() {
    const wanted = part("search").value.trim().toLowerCase();
    const found = [...this.edges.values()].filter(
      (e) => !wanted || [e.name, e.answer?.said ?? "", e.model].some((one) => one.toLowerCase().includes(wanted)),
    );
    for (const [name, [, fits]] of Object.entries(FILTERS)) write(this.counts[name], String(found.filter(fits).length));
    const [, fits] = FILTERS[this.shown];
    const { of, compare } = COLUMNS.find((column) => column.key === this.sorted.key);
    const sign = this.sorted.down ? -1 : 1;
    const shown = found.filter(fits).sort((a, b) => sign * compare(of(a), of(b)) || text(a.name, b.name) || a.number - b.number);
    const body = part("edges").tBodies[0];
    const rows = shown.map((edge) => this.row(edge));
    for (const [number, row] of this.rows) {
      if (!this.edges.has(number)) this.rows.delete(number);
      if (!rows.includes(row.root)) row.root.remove();
    }
    rows.forEach((row, i) => body.rows[i] !== row && body.insertBefore(row, body.rows[i] ?? null));
    part("nothing").hidden = shown.length > 0;
    const all = this.known > this.edges.size ? `the ${this.edges.size} last active of ${this.known} edges` : `${this.edges.size} ${this.edges.size === 1 ? "edge" : "edges"}`;
    write(part("count"), shown.length === this.edges.size ? all : `${shown.length} of ${all}`);
  }

  row(edge) {
    if (!this.rows.has(edge.number)) this.rows.set(edge.number, new Row(edge.number));
    const row = this.rows.get(edge.number);
    row.show(edge, this.now);
    return row.root;
  }
}

class Row {
  constructor(number) {
    this.dot = make("span", { className: "dot" });
    this.state = make("span", { className: "visually-hidden" });
    this.picture = make("img", { className: "tiny", alt: "", hidden: true });
    this.none = make("span", { className: "tiny" });
    this.link = make("a", { href: `#/edges/${number}` });
    this.cells = {};
    this.root = make("tr");
    for (const { key, num, far } of COLUMNS) {
      const cell = make(key === "name" ? "th" : "td", { className: `${num ? "num" : ""} ${far ? `far-${far}` : ""}` });
      if (key === "name") cell.setAttribute("scope", "row");
      this.cells[key] = cell;
      this.root.append(cell);
    }
    this.cells.name.append(make("div", { className: "who" }, this.dot, this.picture, this.none, this.link, this.state));
    this.cells.answer.append((this.said = make("span", { className: "said" })));
    this.root.addEventListener("click", (event) => event.target.closest("a") || this.link.click());
  }

  show(edge, now) {
    this.root.className = edge.state;
    this.dot.className = `dot ${TONES[edge.state]}`;
    write(this.state, ` (${edge.state})`);
    write(this.link, edge.name);
    if (edge.thumbnail && this.picture.src !== edge.thumbnail) this.picture.src = edge.thumbnail;
    this.picture.hidden = !edge.thumbnail;
    this.none.hidden = !this.picture.hidden;
    const { answer } = edge;
    write(this.said, answer?.said ?? "no picture yet");
    this.said.classList.toggle("quiet", !answer);
    write(this.cells.sure, answer?.confidence == null ? "" : percent(answer.confidence));
    write(this.cells.point, edge.local ? "edge alone" : answer ? `${answer.point} / ${edge.points}` : "");
    write(this.cells.bytes, edge.local ? "0" : answer ? answer.payload_bytes.toLocaleString() : "");
    write(this.cells.capacity, edge.capacity ? rate(edge.capacity) : "–");
    write(this.cells.time, edge.in_time === null ? "–" : percent(edge.in_time));
    this.cells.time.classList.toggle("warn", edge.in_time !== null && edge.in_time < LATE);
    write(this.cells.pictures, edge.pictures.toLocaleString());
    write(this.cells.seen, ago(Math.max(0, now - edge.active)));
  }
}
