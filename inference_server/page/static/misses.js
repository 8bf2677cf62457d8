// Deadlines that were missed, by the part of the time that took longer than usual.

import { ago, ms } from "./words.js";
import { make, write } from "./dom.js";

const CAUSES = {
  link: "The link was slower than before",
  queue: "Waited in the server's queue",
  decode: "Decoding took longer",
  edge: "Encoding on the edge took longer",
  unknown: "The edge does not say",
};
const PARTS = ["edge", "link", "queue", "decode"];
const NEWEST = 6;

export class Misses {
  constructor() {
    this.total = make("p", { className: "legend" });
    const term = make("button", { className: "term", type: "button", data: { term: "missed" } }, "Missed deadlines");
    this.list = make("ul", { className: "causes" });
    this.rows = make("tbody");
    const heads = ["When", "Latency", "Budget", "Encoding", "Link", "Queue", "Decoding"].map((name, i) => make("th", { scope: "col", className: i ? "num" : "" }, name));
    const caption = make("caption", { className: "visually-hidden" }, "The newest late pictures, and what their time went to");
    this.table = make("table", { className: "table" }, caption, make("thead", {}, make("tr", {}, ...heads)), this.rows);
    this.wrap = make("div", { className: "table-wrap flat", hidden: true, tabIndex: 0, role: "region", "aria-label": "Newest late pictures" }, this.table);
    this.root = make("article", { className: "card" }, make("div", { className: "card-head" }, make("h3", {}, term), this.total), this.list, this.wrap);
  }

  // reports: the newest ones; hour: samples.
  show(reports, hour, now) {
    const count = (cause) => hour.reduce((sum, row) => sum + (row[`missed_${cause}`] ?? 0), 0);
    const counts = Object.keys(CAUSES).map((cause) => [cause, count(cause)]).filter(([, n]) => n);
    const [missed, all] = [counts.reduce((sum, [, n]) => sum + n, 0), hour.reduce((sum, row) => sum + (row.reported ?? 0), 0)];
    write(this.total, all ? `${missed} of ${all.toLocaleString()} within the hour` : "no reports");
    const key = JSON.stringify([counts, all]);
    if (key !== this.key) {
      this.key = key;
      this.list.replaceChildren(...counts.sort((a, b) => b[1] - a[1]).map(([cause, n]) => line(CAUSES[cause], n, missed)));
      if (!missed) this.list.replaceChildren(make("li", { className: "quiet" }, all ? "None." : "This edge does not report; start it with --report."));
    }
    const late = reports.filter((r) => r.cause && r.parts).slice(-NEWEST).reverse();
    this.wrap.hidden = !late.length;
    this.rows.replaceChildren(
      ...late.map((r) =>
        make(
          "tr",
          {},
          make("td", {}, ago(Math.max(0, now - r.at))),
          make("td", { className: "num" }, ms(r.latency_ms)),
          make("td", { className: "num" }, ms(r.budget_ms)),
          ...PARTS.map((name) => make("td", { className: `num ${name === r.cause ? "cause" : ""}` }, ms(r.parts[name]))),
        ),
      ),
    );
  }
}

function line(text, count, all) {
  const bar = make("span", { className: "bar" });
  bar.style.setProperty("--share", `${(100 * count) / all}%`);
  return make("li", {}, make("span", {}, text), make("span", { className: "num quiet" }, String(count)), bar);
}
