// What the page of an edge shows: answers, bytes, times.

import { ms, percent, rate } from "./words.js";

export const part = (id) => document.getElementById(id);
const bytes = (count) => `${count.toLocaleString("en")} B`;

export function state(kind, text) {
  part("state").className = `status ${kind}`;
  part("state").textContent = text;
}

/** A sentence that the person must read; none takes it away. */
export function notice(text = "") {
  part("notice").textContent = text;
  part("notice").hidden = !text;
}

export function ready({ manifest, backend, encoderBytes, took }) {
  const { size } = manifest.preprocessing;
  part("size").textContent = `${size} × ${size}`;
  part("backend").textContent = backend === "webgpu" ? "on the GPU (WebGPU)" : "on the CPU (WebAssembly)";
  part("facts").textContent = `${manifest.name} · ${manifest.task.name} · ${manifest.points.length} operating points · encoder of ${Math.round(encoderBytes / 1000)} kB, ready after ${(took / 1000).toFixed(1)} s`;
}

export function link({ capacity, roundTrip }) {
  part("capacity").textContent = capacity === null ? "–" : rate(capacity);
  part("trip").textContent = `there and back ${ms(roundTrip)}`;
}

export function taken({ encodeMs, size, rgba }) {
  const canvas = part("fitted");
  canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(new ImageData(rgba, size, size), 0, 0);
  part("encode").textContent = ms(encodeMs);
}

/** What was said of another picture. */
export function forget() {
  part("answers").replaceChildren();
  part("best").textContent = "…";
  part("others").textContent = " ";
  part("reconstruction").hidden = true;
  progress("sending", "");
}

function progress(text, tone) {
  part("progress").textContent = text;
  part("progress").className = `badge ${tone}`;
}

/** answers: those of one picture so far, the newest last. */
export function answered(answers, budget) {
  const newest = answers.at(-1);
  const classes = newest.classification?.classes ?? [];
  const [best, ...others] = classes;
  const span = document.createElement("span");
  span.className = "num";
  span.textContent = best ? percent(best.probability) : "";
  part("best").replaceChildren(best?.name ?? (newest.reconstruction ? "reconstructed" : "answered"), " ", span);
  part("others").textContent = others.map((one) => `${one.name} ${percent(one.probability)}`).join(" · ") || " ";
  if (newest.reconstruction) picture(newest.reconstruction.png);
  const rows = answers.map((answer) => row(answer, answer.after > budget));
  const list = part("answers");
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach((made, n) => (n < list.children.length ? list.children[n].replaceChildren(...made.childNodes) : list.append(made)));
  const first = answers.find((answer) => answer.point) ?? answers[0]; // the server's, once there is one
  const late = first.after > budget;
  part("first").textContent = ms(first.after);
  part("late").textContent = late ? "later than asked for" : `of ${ms(budget)}`;
  part("late").classList.toggle("bad", late);
  if (!newest.point) return progress("this device's own answer", "");
  progress(newest.final ? `final, after ${ms(newest.after)}` : "refining", newest.final ? "good" : "");
}

function row({ point, bytes: sent, after, classification }, late) {
  const best = classification?.classes[0];
  const made = document.createElement("tr");
  made.classList.toggle("late", late);
  const cell = (text, name = "") => {
    const td = document.createElement("td");
    td.className = name;
    td.textContent = text;
    made.append(td);
    return td;
  };
  cell(point ? bytes(sent) : `${bytes(sent)}, this device`, "num");
  cell(ms(after), "num");
  cell(best?.name ?? "");
  const share = cell("", "share");
  if (best) {
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.setProperty("--share", percent(best.probability).replace(" ", ""));
    share.append(bar, ` ${percent(best.probability)}`);
  }
  return made;
}

function picture(png) {
  URL.revokeObjectURL(part("reconstruction").src);
  part("reconstruction").src = URL.createObjectURL(new Blob([png], { type: "image/png" }));
  part("reconstruction").hidden = false;
}

export function compared(sent, { jpegBytes, wholeBytes }) {
  const most = Math.max(sent, jpegBytes, wholeBytes);
  for (const [id, count] of [["ours", sent], ["jpeg", jpegBytes], ["whole", wholeBytes]]) {
    part(id).querySelector("output").textContent = bytes(count);
    part(id).querySelector(".bar").style.setProperty("--share", `${Math.max(0.5, (100 * count) / most)}%`);
  }
  const times = jpegBytes / sent;
  part("times").textContent = times > 1.05 ? `${times.toFixed(times < 10 ? 1 : 0)} times fewer than a JPEG` : "";
}

/** card: of /edge/address. met: the fingerprint in the code by which this device came. */
export function invite({ url, qr, certificate }, met) {
  const pairs = (hex) => hex.match(/../g).join(":");
  part("phone").hidden = false;
  part("code").hidden = !qr;
  if (qr) part("code").src = qr;
  part("address").textContent = part("address").href = url;
  part("phone-title").textContent = met ? "The certificate" : "On a phone";
  part("certificate").textContent = met ? pairs(met) : (certificate ?? "");
  part("secure").textContent = met
    ? "The code that you scanned says that the certificate has this SHA-256; where the browser shows another one, somebody is in between."
    : certificate
      ? "Scan the code, and compare the certificate's SHA-256 with what the phone's browser shows:"
      : url.startsWith("https:")
        ? ""
        : "Phones hand their camera to secure pages alone: start the server with --tls-self-signed. Files can be chosen all the same.";
}

export function lost(text) {
  const own = part("answers").children.length > 0;
  progress(own ? "answered by this device alone" : "not answered", "bad");
  if (!own) part("best").textContent = "–";
  notice(text);
}
