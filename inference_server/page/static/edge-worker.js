// The edge itself, off the page's thread: fetches the model, encodes pictures, streams them, and tells what comes of it.
// A token is the cookie's that the page sets. To the page: { kind: "step" | "ready" | "refused" | "failed" | "live" | "gone" | "taken" | "answer" | "done" | "lost" | "link", … }.

import { carried, fetchModel, fromRgba, openEncoder, pointWithin, Refused, Stream, toRgba } from "./web/index.js";

const RUNTIME = new URL("vendor/ort/", import.meta.url);
const BUILDS = { wasm: "ort-wasm-simd-threaded", webgpu: "ort-wasm-simd-threaded.asyncify" };
const ABSENT =
  "This server was installed without the part that computes in a browser (ONNX Runtime Web); whoever runs it can run scripts/web, or install a package that has it.";
const NAME = "a browser";
const UNAUTHENTICATED = 16;
const LONGEST_PAUSE_MS = 5000;
const SHOWN_CLASSES = 3; // of this device's own answer
const QUALITY = 0.5; // of the JPEG beside which we stand, as the other edges have it
const THUMBNAIL = { side: 64, quality: 0.2 };

let model = null;
let encoder = null;
let backend = "wasm";
let stream = null;
let waiting = null; // the newest picture that has not been begun; an older one is of no use

const tell = (kind, more = {}, transfer = []) => postMessage({ kind, ...more }, transfer);

self.onmessage = ({ data: { kind, ...message } }) => {
  if (kind === "start") start(message);
  else picture(message);
};

async function start(how) {
  try {
    if (!model) {
      const began = performance.now();
      tell("step", { text: "fetching the model" });
      opening ??= opened(how.backend);
      [model] = await Promise.all([fetchModel(self.location.href), opening]);
      tell("step", { text: "opening the encoder" });
      encoder = await withBackend();
      await encoder.encode(new Uint8Array(3 * model.manifest.preprocessing.size ** 2)); // the first one takes longest
      const { manifest } = model;
      tell("ready", { manifest, backend, encoderBytes: model.encoder.length, took: performance.now() - began });
      keep().catch(() => {}); // a browser without room for it has no page without the server
    }
  } catch (error) {
    const refused = error instanceof Refused && error.status === 401;
    model = null;
    if (!refused) opening = null; // is tried anew
    const text = error instanceof TypeError ? "The server cannot be reached, and nothing of it is kept here; try again when it is back." : error.message;
    return tell(refused ? "refused" : "failed", { text });
  }
  connect();
}

let runtime = null;
let opening = null;

/** The module of ONNX Runtime Web for a backend. */
async function opened(wanted) {
  backend = wanted !== "wasm" && (await navigator.gpu?.requestAdapter().catch(() => null)) ? "webgpu" : "wasm";
  const there = await fetch(new URL(`ort.${backend}.min.mjs`, RUNTIME));
  if (!there.ok) throw new Error(ABSENT);
  runtime = await import(new URL(`ort.${backend}.min.mjs`, RUNTIME));
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmPaths = { mjs: new URL(`${BUILDS[backend]}.mjs`, RUNTIME).href, wasm: new URL(`${BUILDS[backend]}.wasm`, RUNTIME).href };
}

/** What edge-offline.js has not seen on its way, since it came later. */
async function keep() {
  if (!self.caches) return;
  const { fingerprint, files } = model.manifest;
  const names = ["manifest.json", "encoder.onnx", "entropy.u16"].filter((name) => name === "manifest.json" || name in files);
  const kept = await caches.open("artoveq-edge");
  await kept.addAll([
    "v1/models",
    ...names.map((name) => `v1/models/${fingerprint}/files/${name}`),
    ...[`ort.${backend}.min.mjs`, `${BUILDS[backend]}.mjs`, `${BUILDS[backend]}.wasm`].map((name) => `vendor/ort/${name}`),
  ]);
}

/** The encoder; on WebAssembly where the graphics processor does not take it. */
async function withBackend() {
  try {
    return await openEncoder(runtime, model, backend);
  } catch (error) {
    if (backend === "wasm") throw error;
    await opened("wasm");
    return openEncoder(runtime, model, backend);
  }
}

async function connect(pause = 500) {
  try {
    stream = await Stream.open(self.location.href, model, { name: NAME });
  } catch (error) {
    stream = null;
    if (error.code === UNAUTHENTICATED) return tell("refused", { text: error.message });
    tell("gone", { text: error.message });
    setTimeout(connect, pause, Math.min(2 * pause, LONGEST_PAUSE_MS));
    return;
  }
  stream.ended.then((error) => {
    stream = null;
    tell("gone", { text: error.message });
    if (error.code === UNAUTHENTICATED) tell("refused", { text: error.message });
    else setTimeout(connect, 500);
  });
  try {
    await stream.probe();
  } catch {
    return; // told already
  }
  tell("live");
  link();
  work();
}

function link() {
  if (stream) tell("link", { capacity: stream.link.capacity, roundTrip: stream.link.roundTrip });
}

function picture(message) {
  waiting?.bitmap.close();
  waiting = message;
  work();
}

let working = false;

async function work() {
  if (working || !waiting || !encoder) return;
  working = true;
  const taken = waiting;
  waiting = null;
  try {
    await one(taken);
  } catch (error) {
    tell("lost", { id: taken.id, text: error.message, retryAfterMs: error.retryAfterMs });
  }
  working = false;
  work();
}

async function one({ id, bitmap, budget, bytes, progressive, report, taken: takenAt }) {
  const taken = takenAt - performance.timeOrigin; // the page's clock begins elsewhere
  const input = encoder.fit(fromRgba(pixelsOf(bitmap)));
  const { size } = model.manifest.preprocessing;
  // Of a model that is not refinable the point must be known before the encoder runs.
  const room = bytes ?? carried(stream?.link.capacity ?? null, taken + budget - performance.now());
  const point = model.codec.refinable ? null : pointWithin(model.manifest, room);
  const began = performance.now();
  const { indices, own } = await encoder.encodeAndAnswer(input, point);
  const encodeMs = performance.now() - began;
  const jpegs = jpegsOf(input, size, bitmap);
  const rgba = toRgba(input);
  tell("taken", { id, encodeMs, size, rgba, indices }, [rgba.buffer]);
  const sent = { budget, bytes, point, progressive, taken };
  if (own) tell("answer", { id, answer: { point: 0, final: false, classification: { classes: own.slice(0, SHOWN_CLASSES) }, bytes: 0, after: performance.now() - taken } });
  if (!stream) throw new Error("The server cannot be reached; the picture is sent when it is back.");
  const answers = [];
  for await (const answer of stream.predict(indices, sent)) {
    answers.push(answer);
    tell("answer", { id, answer });
  }
  const { jpegBytes, wholeBytes, webp } = await jpegs;
  tell("done", { id, jpegBytes, wholeBytes });
  link();
  if (report && answers.length) tellServer(answers, budget, jpegBytes, webp);
}

function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

/** What the picture takes as a JPEG, at the encoder's side and whole. */
async function jpegsOf(input, size, bitmap) {
  const small = new OffscreenCanvas(size, size);
  small.getContext("2d").putImageData(new ImageData(toRgba(input), size, size), 0, 0);
  const whole = new OffscreenCanvas(bitmap.width, bitmap.height);
  whole.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  const [jpeg, large, webp] = await Promise.all([
    small.convertToBlob({ type: "image/jpeg", quality: QUALITY }),
    whole.convertToBlob({ type: "image/jpeg", quality: 0.85 }),
    small.convertToBlob({ type: "image/webp", quality: THUMBNAIL.quality }),
  ]);
  return { jpegBytes: jpeg.size, wholeBytes: large.size, webp };
}

async function tellServer(answers, budget, jpegBytes, webp) {
  const [first, last] = [answers[0], answers.at(-1)];
  const thumbnail = webp.type === "image/webp" ? new Uint8Array(await webp.arrayBuffer()) : new Uint8Array();
  stream?.report({
    point: last.point,
    payload_bytes: last.bytes,
    capacity: Math.round(stream.link.capacity ?? 0),
    latency_us: Math.round(1000 * first.after),
    budget_us: Math.round(1000 * budget),
    jpeg_bytes: jpegBytes,
    thumbnail,
  });
}
