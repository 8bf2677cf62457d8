// A picture of one's own: the server's answers, each shown when a link of that capacity would have brought its bytes.

import { answerRow, kbit, pictureOf, said } from "./words.js";

const LARGEST_SIDE = 512; // what is uploaded; the encoder's input is smaller still
const CAMERA_PAUSE_MS = 300;
const part = (id) => document.getElementById(id);
const onScale = (slider, low, high) => low * (high / low) ** (slider.value / 100);
const capacity = () => onScale(part("capacity"), 2000, 512000);
const budget = () => onScale(part("budget"), 20, 1000);

let model = null;
let answers = []; // to the picture, cheapest first; of a model that is not refinable only the one at the point that fits
let picture = null;
let camera = null;
let asked = 0;

export function start(described) {
  const first = model === null;
  model = described;
  if (!first) return;
  part("capacity").value = 50;
  part("budget").value = 50;
  for (const id of ["capacity", "budget"]) part(id).addEventListener("input", replay);
  part("file").addEventListener("change", () => part("file").files[0] && take(part("file").files[0]));
  const drop = part("drop");
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (e) => hover(e, true));
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (e) => hover(e, false));
  drop.addEventListener("drop", (e) => e.dataTransfer.files[0] && take(e.dataTransfer.files[0]));
  part("camera").addEventListener("click", () => (camera ? stopCamera() : startCamera()));
  labels();
}

function hover(event, over) {
  event.preventDefault();
  part("drop").classList.toggle("over", over);
}

function verdict(text, bad = false) {
  part("verdict").textContent = text;
  part("verdict").classList.toggle("bad", bad);
}

function labels() {
  const [link, allowed] = [kbit(capacity()), `${Math.round(budget())} ms`];
  part("capacity-value").textContent = link;
  part("budget-value").textContent = allowed;
  part("capacity").setAttribute("aria-valuetext", link);
  part("budget").setAttribute("aria-valuetext", allowed);
}

async function take(file) {
  stopCamera();
  try {
    const bitmap = await createImageBitmap(file);
    await send(await smaller(bitmap, bitmap.width, bitmap.height), true);
  } catch {
    verdict(`${file.name} is not a picture that this browser can read.`, true);
  }
}

async function smaller(source, width, height) {
  const scale = Math.min(1, LARGEST_SIDE / Math.min(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

async function send(blob, preview) {
  const number = ++asked;
  picture = blob;
  if (preview) {
    URL.revokeObjectURL(part("preview").src);
    part("preview").src = URL.createObjectURL(blob);
    part("preview").alt = "Your picture";
    part("preview").hidden = false;
    part("invite").hidden = true;
    forget();
  }
  const found = await ask(blob, wanted());
  if (found && number === asked) {
    answers = found;
    replay();
  }
}

// What was said of another picture.
function forget() {
  answers = [];
  clearTimeout(pending);
  timers.forEach(clearTimeout);
  part("answers").replaceChildren();
  part("pair").hidden = true;
  verdict("Asking the server…");
}

async function ask(blob, point) {
  try {
    const question = point === null ? "v1/predictions/stream?top_k=3" : `v1/predictions?top_k=3&point=${point}`;
    const answer = await fetch(question, { method: "POST", body: blob });
    const text = await answer.text();
    if (!answer.ok) throw new Error(JSON.parse(text).detail);
    if (point !== null) return [JSON.parse(text)];
    const events = text.split("\n\n").map((event) => event.split("\n")).filter((lines) => lines.length === 3);
    const [kind, data] = [events.at(-1)[1], events.map((lines) => JSON.parse(lines[2].slice("data: ".length)))];
    if (kind === "event: error") throw new Error(data.at(-1).detail);
    return data;
  } catch (error) {
    const text = error instanceof TypeError ? "The server cannot be reached; try again when it is back." : error.message;
    verdict(text, true);
    return null;
  }
}

const carried = () => (capacity() * budget()) / 8000; // bytes
const arrival = (row) => (8000 * row.payload_bytes) / capacity(); // in ms
const chosen = (rows) => rows.findLast((row) => row.payload_bytes <= carried());

// A refinable model gives all answers to one question; else the best point whose bytes the link carries is asked for.
function wanted() {
  if (model.planes.length) return null;
  const fitting = model.points.filter((p) => (p.coded_bytes ?? p.payload_bytes) <= carried());
  const best = fitting.reduce((a, b) => (b.metric > a.metric ? b : a), fitting[0] ?? model.points[0]);
  return model.points.indexOf(best) + 1;
}

let timers = [];
let pending = 0;

// Slider moves come in bursts; the newest one is played.
function replay() {
  labels();
  clearTimeout(pending);
  if (answers.length) pending = setTimeout(play, camera ? 0 : 60);
}

async function play() {
  timers.forEach(clearTimeout);
  if (wanted() !== null && wanted() !== answers.at(-1).point) {
    const [asking, about] = [wanted(), picture];
    const found = await ask(about, asking);
    if (!found || asking !== wanted() || about !== picture) return; // a newer question is on its way
    answers = found;
  }
  const list = part("answers");
  const used = chosen(answers) ?? answers[0]; // the first answer is waited for even when it is late
  const shown = answers.filter((a) => a.point <= used.point);
  if (!camera) list.replaceChildren();
  const appear = (answer) => {
    const late = arrival(answer) > budget();
    const row = answerRow(answer, { late, way: `${Math.round(arrival(answer))} ms` });
    if (answer === shown[0]) list.replaceChildren(row);
    else list.append(row);
    if (answer === used) conclude(used, late);
  };
  timers = shown.map((answer) => setTimeout(appear, Math.min(arrival(answer), 3000), answer));
}

function conclude(used, late) {
  const way = `point ${used.point} of ${model.points.length}, ${used.payload_bytes} bytes, ${Math.round(arrival(used))} ms on the way`;
  verdict(`${said(used).join(", ")}: ${way}${late ? ", later than the budget" : ""}.`, late);
  part("verdict").dataset.bytes = used.payload_bytes;
  part("pair").hidden = !used.png;
  if (used.png) compare(used, picture);
}

// The reconstruction beside what the encoder was given: the middle of the picture, at the side that it takes.
async function compare(answer, about) {
  const bitmap = await createImageBitmap(about);
  if (about !== picture) return; // a newer one is on its way
  const [canvas, side] = [part("original"), Math.min(bitmap.width, bitmap.height)];
  canvas.width = canvas.height = model.preprocessing.size;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  const corner = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  context.drawImage(bitmap, ...corner, side, side, 0, 0, canvas.width, canvas.height);
  part("reconstruction").src = pictureOf(answer);
  part("reconstruction-bytes").textContent = `${answer.payload_bytes} bytes`;
}

async function startCamera() {
  const video = part("video");
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    verdict("The camera cannot be used; allow it, and open this page over https or on localhost.", true);
    return;
  }
  video.srcObject = camera;
  await video.play();
  video.hidden = false;
  part("preview").hidden = true;
  part("invite").hidden = true;
  part("camera").setAttribute("aria-pressed", "true");
  part("camera").textContent = "Stop the camera";
  while (camera) {
    await send(await smaller(video, video.videoWidth, video.videoHeight), false);
    await new Promise((done) => setTimeout(done, CAMERA_PAUSE_MS));
  }
}

function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  const video = part("video");
  video.srcObject = null;
  video.hidden = true;
  part("preview").hidden = !part("preview").src;
  part("invite").hidden = !part("preview").hidden;
  part("camera").setAttribute("aria-pressed", "false");
  part("camera").textContent = "Use the camera";
}
