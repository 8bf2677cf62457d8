// The page that makes this device an edge: camera or file in, answers out. The work is edge-worker.js's.

import * as view from "./edge-shown.js";
import { part } from "./edge-shown.js";

const LARGEST_PIXELS = 4096 * 3072; // as the server has it
const CAMERA_PAUSE_MS = 250;
const AS_IT_IS = { colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image" };
const wanted = new URLSearchParams(location.search);

const worker = new Worker("edge-worker.js", { type: "module" });
let manifest = null;
let camera = null; // a MediaStream
let facing = "environment";
let source = null; // what was sent last: a file's Blob
let pending = false; // it has no answer yet
let asked = 0;
let answers = [];
let budgetOf = 0;

const onScale = (slider, low, high) => low * (high / low) ** (slider.value / 100);
const budget = () => onScale(part("budget"), 20, 3000);
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const token = () => decodeURIComponent(document.cookie.match(/(?:^|; )artoveq_token=([^;]*)/)?.[1] ?? "");
const start = () => worker.postMessage({ kind: "start", backend: wanted.get("backend") ?? "auto" });

const HEAR = {
  step: ({ text }) => view.state("", text),
  ready(said) {
    manifest = said.manifest;
    view.ready(said);
    part("bytes").max = manifest.points.length;
    part("bytes").value = manifest.points.length;
    controls();
    view.state("", "connecting");
  },
  refused({ text }) {
    view.state("gone", "A token is wanted.");
    part("access").hidden = false;
    part("token").focus();
    view.notice(token() ? text : "");
  },
  failed({ text }) {
    view.state("gone", "not ready");
    view.notice(text);
    setTimeout(start, 5000);
  },
  live() {
    view.state("live", "live");
    view.notice();
    part("access").hidden = true;
    invite();
    if (pending && source) send(source);
  },
  gone({ text }) {
    view.state("gone", "The server is gone. Trying again…");
    view.notice(manifest ? `${text} Pictures are encoded here all the same, and the newest is sent then.` : text);
  },
  link: view.link,
  taken(said) {
    if (said.id !== asked) return;
    view.taken(said);
    window.indices = said.indices; // for whoever looks with the browser's tools
  },
  answer({ id, answer }) {
    if (id !== asked) return;
    answers.push(answer);
    view.answered(answers, budgetOf);
  },
  done({ id, ...said }) {
    if (id !== asked) return;
    pending = false;
    view.compared(answers.at(-1).bytes, said);
    if (camera) setTimeout(look, CAMERA_PAUSE_MS);
  },
  lost({ id, text, retryAfterMs }) {
    if (id !== asked) return;
    view.lost(text);
    if (camera) setTimeout(look, retryAfterMs || 1000);
  },
};
worker.onmessage = ({ data: { kind, ...said } }) => HEAR[kind](said);
worker.onerror = () => HEAR.failed({ text: "This browser cannot run the edge: it needs module workers and WebAssembly." });

/** How a phone comes here; and, where it came by the code, what certificate it was to meet. */
async function invite() {
  const met = location.hash.match(/^#sha256=([0-9A-F]{64})$/)?.[1];
  const card = met ? { url: location.href.split("#")[0] } : await fetch("edge/address").then((answer) => answer.json());
  view.invite(card, met);
}

/** A picture to the worker. picture: a Blob, or the video. */
async function send(picture) {
  const taken = performance.timeOrigin + performance.now();
  let bitmap;
  try {
    bitmap = await createImageBitmap(picture, AS_IT_IS);
  } catch {
    return view.notice(`${picture.name ?? "This"} is not a picture that this browser can read; choose a JPEG, PNG or WebP file.`);
  }
  if (bitmap.width * bitmap.height > LARGEST_PIXELS) {
    bitmap.close();
    return view.notice("This picture has more than 12.6 million pixels; choose a smaller one.");
  }
  asked += 1;
  pending = true;
  answers = [];
  budgetOf = budget();
  if (!camera) view.forget();
  const bytes = chosen("rule") === "hand" && manifest ? manifest.points[part("bytes").value - 1].payload_bytes : null;
  const how = { budget: budgetOf, bytes, progressive: chosen("mode") === "progressive", report: part("report").checked };
  worker.postMessage({ kind: "picture", id: asked, bitmap, taken, ...how }, [bitmap]);
}

function take(file) {
  stop();
  view.notice();
  source = file;
  URL.revokeObjectURL(part("preview").src);
  part("preview").src = URL.createObjectURL(file);
  part("preview").alt = "Your picture";
  part("preview").hidden = false;
  part("invite").hidden = true;
  part("again").disabled = false;
  send(file);
}

async function watch() {
  if (!navigator.mediaDevices) {
    return view.notice("Browsers hand the camera to secure pages alone: open this page over HTTPS (artoveq serve --tls-self-signed), or choose a picture.");
  }
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: facing, width: { ideal: 640 } } });
  } catch (error) {
    const denied = error.name === "NotAllowedError";
    return view.notice(denied ? "The camera may not be used; allow it in the browser's settings for this page." : "No camera was found; choose a picture in its place.");
  }
  const video = part("video");
  video.srcObject = camera;
  video.classList.toggle("mirrored", camera.getVideoTracks()[0].getSettings().facingMode === "user");
  await video.play();
  source = null;
  part("preview").hidden = part("invite").hidden = true;
  video.hidden = false;
  part("camera").textContent = "Stop the camera";
  part("camera").setAttribute("aria-pressed", "true");
  part("again").disabled = true;
  const devices = await navigator.mediaDevices.enumerateDevices();
  part("turn").hidden = devices.filter(({ kind }) => kind === "videoinput").length < 2;
  look();
}

function look() {
  if (camera) send(part("video"));
}

function stop() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  part("video").hidden = part("turn").hidden = true;
  part("invite").hidden = !part("preview").hidden;
  part("camera").textContent = "Use the camera";
  part("camera").setAttribute("aria-pressed", "false");
}

function controls() {
  const hand = chosen("rule") === "hand";
  part("budget-value").textContent = `${Math.round(budget())} ms`;
  part("budget").setAttribute("aria-valuetext", part("budget-value").textContent);
  part("bytes").disabled = !hand || !manifest;
  const point = manifest?.points[part("bytes").value - 1];
  part("bytes-value").textContent = hand && point ? `${point.payload_bytes} bytes` : "what fits the time";
  part("bytes").setAttribute("aria-valuetext", part("bytes-value").textContent);
}

for (const input of document.querySelectorAll(".controls input")) {
  input.addEventListener("input", controls);
  input.addEventListener("change", () => source && manifest && input.id !== "report" && send(source));
}
part("file").addEventListener("change", () => part("file").files[0] && take(part("file").files[0]));
part("camera").addEventListener("click", () => (camera ? stop() : watch()));
part("turn").addEventListener("click", () => {
  facing = facing === "user" ? "environment" : "user";
  stop();
  watch();
});
part("again").addEventListener("click", () => source && send(source));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  part("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    part("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
}
part("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `artoveq_token=${encodeURIComponent(part("token").value.trim())}; path=/; SameSite=Strict${secure}`;
  part("access").hidden = true;
  start();
});

controls();
start();
navigator.serviceWorker?.register("edge-offline.js").catch(() => {}); // not over a certificate that the browser does not know
