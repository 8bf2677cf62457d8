// Capacity and bytes over the last minute.

const SPAN_S = 60;
const HEIGHT = 144;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Chart {
  constructor(parent) {
    const axis = { stroke: () => colour("--quiet"), grid: { stroke: () => colour("--line"), width: 1 }, size: 44 };
    const options = {
      width: parent.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: [-SPAN_S, 0] },
        kbit: { distr: 3, range: (u, low, high) => [Math.min(2, low || 2), Math.max(100, high || 100)] },
        bytes: { range: (u, low, high) => [0, 1.1 * Math.max(64, high || 0)] },
      },
      axes: [
        { ...axis, size: 24, values: (u, ticks) => ticks.map((t) => (t === 0 ? "now" : `${t} s`)) },
        { ...axis, scale: "kbit", values: (u, ticks) => ticks.map((t) => (/^[125]0*$/.test(String(t)) ? t : null)) },
        { ...axis, scale: "bytes", side: 1, size: 56, values: (u, ticks) => ticks.map((t) => `${t} B`), grid: { show: false } },
      ],
      series: [
        {},
        { scale: "kbit", stroke: () => colour("--quiet"), dash: [4, 3], width: 1, points: { show: false } },
        { scale: "kbit", stroke: () => colour("--accent"), width: 2, points: { show: false } },
        {
          scale: "bytes",
          stroke: () => colour("--bytes"),
          width: 2,
          paths: uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
        },
      ],
    };
    this.plot = new uPlot(options, [[], [], [], []], parent);
    this.resizer = new ResizeObserver(() => this.plot.setSize({ width: parent.clientWidth, height: HEIGHT }));
    this.resizer.observe(parent);
  }

  draw(reports, now) {
    const rows = reports.filter((r) => r.at > now - SPAN_S - 5);
    const kbits = (bits) => (bits ? bits / 1000 : null);
    this.plot.setData([
      rows.map((r) => r.at - now),
      rows.map((r) => kbits(r.true_capacity)),
      rows.map((r) => kbits(r.capacity)),
      rows.map((r) => r.payload_bytes),
    ]);
  }

  destroy() {
    this.resizer.disconnect();
    this.plot.destroy();
  }
}
