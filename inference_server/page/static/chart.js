// Lines over time, and a curve, by uPlot: colours are the page's own, and follow light and dark.

import { make } from "./dom.js";

const HEIGHT = 168;
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = new Set();
dark.addEventListener("change", () => charts.forEach((chart) => chart.plot.redraw(false)));

export function colour(name, share = 1) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return share === 1 ? value : `${value}${Math.round(255 * share).toString(16).padStart(2, "0")}`;
}

// Of a logarithmic axis 1, 2, 5, 10, … are named, of a long one 1, 10, 100, …
function splits(u, number, low, high) {
  const found = [];
  const leading = high / low > 500 ? [1] : [1, 2, 5];
  for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10) {
    found.push(...leading.map((digit) => digit * decade).filter((value) => value >= low && value <= high));
  }
  return found;
}

const axis = (log) => ({
  stroke: () => colour("--quiet"),
  font: '11.5px Inter, ui-sans-serif, system-ui, "Segoe UI", sans-serif',
  ...(log ? { splits, filter: (u, ticks) => ticks } : {}),
  grid: { stroke: () => colour("--line"), width: 1 },
  ticks: { show: false },
});

// series: {label, colour, width, dash, stepped, points, fill}. bands: pairs of series numbers, the upper one first.
// y: {log, format, least}: least is what the axis reaches at least. legend: an element for what stands under the cursor.
export class Chart {
  constructor(parent, { series, bands = [], y = {}, x, legend, height = HEIGHT }) {
    this.series = series;
    this.legend = legend;
    this.format = y.format ?? String;
    this.x = x;
    this.legendAt = x.legend ?? (() => "");
    const options = {
      width: parent.clientWidth || 300,
      height,
      padding: [10, 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: {
        x: { time: false, distr: x.log ? 3 : 1, range: () => this.range ?? [1, 2] },
        y: {
          distr: y.log ? 3 : 1,
          range: (u, low, high) => {
            const top = Math.max(y.least ?? 0, high ?? 0) * 1.08 || 1;
            return y.log ? [Math.max(0.5, Math.min(low ?? 1, top / 10)), top] : [y.from ?? 0, y.most ? Math.min(top, y.most) : top];
          },
        },
      },
      axes: [
        { ...axis(x.log), size: 26, space: 70, ...(x.incrs ? { incrs: x.incrs } : {}), values: (u, ticks) => ticks.map(x.format), grid: { show: false } },
        { ...axis(y.log), size: y.size ?? 62, space: y.log ? 1 : 34, values: (u, ticks) => ticks.map(this.format) },
      ],
      series: [{}, ...series.map((one) => this.line(one))],
      bands: bands.map(([above, below]) => ({ series: [above, below], fill: () => colour(series[above - 1].colour, 0.16) })),
      hooks: { setCursor: [() => this.tell()] },
    };
    this.plot = new uPlot(options, [[], ...series.map(() => [])], parent);
    this.resizer = new ResizeObserver(() => parent.clientWidth && this.plot.setSize({ width: parent.clientWidth, height }));
    this.resizer.observe(parent);
    if (legend) {
      this.values = series.map((one) => {
        if (one.quiet) return null;
        const key = make("span", { className: "key" });
        key.style.setProperty("--key", `var(${one.colour})`);
        legend.append(key);
        return key;
      });
      this.when = make("span");
      legend.append(this.when);
    }
    charts.add(this);
  }

  line({ colour: name, width = 1.75, dash, stepped, points = false, fill }) {
    return {
      stroke: () => colour(name),
      width,
      dash,
      fill: fill ? () => colour(name, 0.1) : undefined,
      paths: stepped ? uPlot.paths.stepped({ align: 1 }) : points === "only" ? () => null : undefined,
      points: { show: Boolean(points), size: 5, width: 0, fill: () => colour(name) },
      spanGaps: false,
    };
  }

  draw(columns, range) {
    this.range = range;
    this.plot.setData(columns);
    this.tell();
  }

  // The values under the cursor, else the newest ones.
  tell() {
    if (!this.values) return;
    const { data, cursor } = this.plot;
    const at = cursor.idx ?? null;
    this.values.forEach((key, i) => {
      if (!key) return;
      const column = data[i + 1] ?? [];
      const value = at === null ? column.findLast((one) => one !== null && one !== undefined) : column[at];
      const text = `${this.series[i].label} ${value === null || value === undefined ? "–" : (this.series[i].format ?? this.format)(value)}`;
      if (key.textContent !== text) key.textContent = text;
    });
    const when = at === null ? "" : this.legendAt(data[0][at]);
    if (this.when.textContent !== when) this.when.textContent = when;
  }

  destroy() {
    charts.delete(this);
    this.resizer.disconnect();
    this.plot.destroy();
  }
}

// The x axis of seconds until now.
export const AGO = {
  incrs: [5, 10, 15, 30, 60, 120, 300, 600, 900, 1200],
  format: (t) => (t === 0 ? "now" : Math.abs(t) < 120 ? `${t} s` : `${Math.round(t / 60)} min`),
  legend: (t) => (t > -1 ? "now" : -t < 120 ? `${Math.round(-t)} s ago` : `${Math.round(-t / 60)} min ago`),
};

// Rows of a history as objects; where a step is missing, a row of nulls parts the line.
export function samples(columns, rows, step = 10) {
  const found = [];
  let before = null;
  for (const row of rows) {
    if (before !== null && row[0] - before > 1.5 * step) found.push({ at: before + step });
    found.push(Object.fromEntries(columns.map((name, i) => [name, row[i]])));
    before = row[0];
  }
  return found;
}
