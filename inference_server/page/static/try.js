// A picture of one's own, and what each byte of it buys.

import { metric, ms, pictureOf, rate, said } from "./words.js";
import { answerLine, make, part, write } from "./dom.js";
import { bytesOf, curve, frontier, manifest, metricName } from "./models-view.js";
import { predictions } from "./predictions.js";
import { Source } from "./source.js";

const STEPS = 16; // of the slider; each is a point that the server answers at
const LINES = 8;
const LINKS = [2400, 9600, 24000, 64000, 256000, 1000000, 10000000]; // bits a second
const JPEG_QUALITY = 0.5;
const WORDS = 40; // of those that a model knows, as an example

export class TryView {
  constructor() {
    this.asked = 0;
    this.described = new Promise((resolve) => (this.describe = resolve)); // a picture may be given before the model is known
    this.answers = new Map(); // by point
    this.source = new Source({
      picture: (blob, still) => this.ask(blob, still),
      unreadable: (sentence) => this.verdict(sentence, true),
    });
    for (const bits of LINKS) part("link").append(make("option", { value: bits, selected: bits === 24000 }, rate(bits)));
    part("link").addEventListener("change", () => this.show());
    part("bytes").addEventListener("input", () => this.moved());
    part("asking").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.picture) this.ask(this.picture, !this.source.camera);
    });
  }

  start(models) {
    this.models = models;
    if (!part("view-try").hidden) this.open();
  }

  async open() {
    if (this.model || this.opening || !this.models) return;
    this.opening = true;
    const described = await manifest(this.models[0].name);
    this.opening = false;
    if (!described) return this.verdict("The server does not describe its model; open this view anew.", true);
    this.model = described;
    const worth = frontier(described);
    const count = Math.min(STEPS, worth.length);
    this.steps = Array.from({ length: count }, (_, i) => worth[Math.round((i * (worth.length - 1)) / Math.max(1, count - 1))]);
    part("bytes").max = count - 1;
    part("bytes").value = Math.floor(0.6 * (count - 1));
    this.curve = curve(part("curve"), described, part("curve-legend"));
    part("bytes").disabled = false;
    const { questions, free_text } = described.task;
    this.asks = Boolean(questions || free_text);
    if (this.asks) this.invite(questions);
    this.verdict(`${this.asks ? "Ask a question, and choose" : "Choose"} a sample, drop a picture, or use the camera.`);
    this.buys();
    this.describe();
    await this.source.samples();
  }

  // To ask in the words that the model knows, or in any.
  invite(questions) {
    part("asking").hidden = false;
    if (!questions) return write(part("knows"), "In any words. It answers in its own.");
    const { vocabulary, answers } = questions;
    const more = vocabulary.length > WORDS ? ", …" : "";
    const words = vocabulary.slice(0, WORDS).join(", ");
    write(part("knows"), `In these ${vocabulary.length} words: ${words}${more}. It answers with one of ${answers.length}.`);
  }

  leave() {
    this.source.stop();
  }

  get step() {
    return this.steps[part("bytes").value];
  }

  moved() {
    this.buys();
    if (!this.source.camera) this.show();
  }

  // What the bytes buy, on the pictures that the model was tested with.
  buys() {
    const { step, model } = this;
    const bytes = Math.round(bytesOf(step));
    part("bytes-value").textContent = `${bytes} bytes`;
    const worth = metric(step.metric, model.task.metric);
    const text = `Point ${step.number} of ${model.points.length}${step.number ? "" : ", the edge alone"}: ${worth} ${metricName(model.task)} on the test pictures, of ${metric(model.unquantised_metric, model.task.metric)} without any loss.`;
    part("buys").textContent = text;
    part("bytes").setAttribute("aria-valuetext", `${bytes} bytes, ${worth} ${metricName(model.task)}`);
    this.curve.at(bytesOf(step), step.metric);
  }

  verdict(text, bad = false) {
    part("verdict").classList.toggle("bad", bad);
    write(part("verdict"), text);
    delete part("verdict").dataset.bytes;
  }

  // A still picture is asked about at every step, one of the camera at the slider's.
  async ask(blob, still) {
    const number = ++this.asked;
    await this.described;
    if (number !== this.asked) return;
    this.picture = blob;
    this.fit = this.fitted(blob);
    const question = part("question").value.trim();
    if (this.asks && !question) {
      if (still) this.verdict("Ask a question about this picture.");
      return;
    }
    if (still) {
      this.answers = new Map();
      part("answers").replaceChildren();
      part("pair").hidden = true;
      this.jpeg = null;
      part("jpeg").textContent = "";
      this.verdict("Asking the server …");
    }
    const points = still ? this.steps.map((step) => step.number) : [this.step.number];
    try {
      this.file(blob);
      let fresh = still;
      for await (const answer of predictions(blob, this.model.name, points, question)) {
        if (number !== this.asked) return; // a newer one is on its way
        if (!fresh) this.answers = new Map();
        fresh = true;
        this.answers.set(answer.point, answer);
        this.show();
      }
    } catch (error) {
      if (number !== this.asked) return;
      this.verdict(error instanceof TypeError ? "The server cannot be reached; try again when it is back." : error.message, true);
    }
  }

  show() {
    if (!this.answers.size) return;
    const bits = Number(part("link").value);
    const way = (bytes) => (8000 * bytes) / bits; // ms
    const upTo = [...this.answers.values()].filter((a) => a.point <= this.step.number);
    const [chosen] = upTo.slice(-1);
    if (!chosen) return;
    const every = Math.ceil(upTo.length / LINES); // of many some are shown, and always the last
    const shown = upTo.filter((a, i) => (upTo.length - 1 - i) % every === 0);
    part("answers").replaceChildren(
      ...shown.map((a) => answerLine(a, { words: said(a), time: ms(way(a.payload_bytes)), chosen: a === chosen })),
    );
    if (chosen.partial) this.verdict(`${said(chosen).join(", ")} …`);
    else if (chosen.point === this.step.number) {
      this.verdict(`${said(chosen).join(", ")}: ${chosen.payload_bytes} bytes, ${ms(way(chosen.payload_bytes))} on the way.`);
      part("verdict").dataset.bytes = chosen.payload_bytes;
    }
    part("pair").hidden = !chosen.png;
    if (chosen.png) this.compare(chosen);
    if (this.jpeg && chosen.payload_bytes) {
      const times = (this.jpeg / chosen.payload_bytes).toFixed(1);
      const text = `As a JPEG file of the encoder's size the picture takes ${this.jpeg.toLocaleString()} bytes, ${times} times as much, and ${ms(way(this.jpeg))}.`;
      write(part("jpeg"), text);
    }
  }

  // What the encoder is given: the middle of the picture, at the side that it takes.
  async fitted(blob) {
    const bitmap = await createImageBitmap(blob);
    const [size, side] = [this.model.preprocessing.size, Math.min(bitmap.width, bitmap.height)];
    const canvas = make("canvas", { width: size, height: size });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, size, size);
    return canvas;
  }

  async file(blob) {
    const canvas = await this.fit;
    canvas.toBlob((file) => {
      if (blob !== this.picture) return;
      this.jpeg = file.size;
      this.show();
    }, "image/jpeg", JPEG_QUALITY);
  }

  async compare(answer) {
    const about = this.picture;
    const canvas = await this.fit; // the same for all of its answers, whose order stays
    if (about !== this.picture) return; // a newer one is on its way
    const original = part("original");
    original.width = original.height = canvas.width;
    original.getContext("2d").drawImage(canvas, 0, 0);
    part("reconstruction").src = pictureOf(answer);
    write(part("reconstruction-bytes"), `${answer.payload_bytes} bytes`);
  }
}
