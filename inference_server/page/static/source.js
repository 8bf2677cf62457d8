// Where pictures for "try it" come from: a drop, a file, a sample, the camera. Each is handed on as a PNG file.

import { make, part } from "./dom.js";

const LARGEST_SIDE = 512; // what is uploaded; the encoder's input is smaller still
const CAMERA_PAUSE_MS = 300;
const SAMPLE = "samples/dingo.png";
// One picture as it is, nearer, mirrored, and at dusk: the model knows what it shows.
const SAMPLES = [
  ["Dingo", {}],
  ["Dingo, nearer", { zoom: 1.5 }],
  ["Dingo, mirrored", { mirrored: true }],
  ["Dingo at dusk", { light: 0.4 }],
];

export class Source {
  // picture(blob, still): a new one. unreadable(sentence): there is none.
  constructor({ picture, unreadable }) {
    Object.assign(this, { picture, unreadable, camera: null });
    part("file").addEventListener("change", () => part("file").files[0] && this.take(part("file").files[0]));
    const drop = part("drop");
    const over = (event, is) => {
      event.preventDefault();
      drop.classList.toggle("over", is);
    };
    for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (e) => over(e, true));
    for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, (e) => over(e, false));
    drop.addEventListener("drop", (e) => e.dataTransfer.files[0] && this.take(e.dataTransfer.files[0]));
    part("camera").addEventListener("click", () => (this.camera ? this.stop() : this.start()));
  }

  async samples() {
    if (part("samples").childElementCount) return;
    const image = new Image();
    image.src = SAMPLE;
    await image.decode();
    for (const [name, change] of SAMPLES) {
      const canvas = drawn(image, change);
      const button = make("button", { type: "button", "aria-label": name, title: name }, canvas);
      button.addEventListener("click", () => canvas.toBlob((blob) => this.still(blob), "image/png"));
      part("samples").append(make("li", {}, button));
    }
  }

  async take(file) {
    try {
      const bitmap = await createImageBitmap(file);
      await this.still(await smaller(bitmap, bitmap.width, bitmap.height));
    } catch {
      this.unreadable(`${file.name} is not a picture that this browser can read.`);
    }
  }

  async still(blob) {
    this.stop();
    URL.revokeObjectURL(part("preview").src);
    part("preview").src = URL.createObjectURL(blob);
    part("preview").alt = "Your picture";
    part("preview").hidden = false;
    part("invite").hidden = true;
    await this.picture(blob, true);
  }

  async start() {
    const video = part("video");
    try {
      this.camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      this.unreadable("The camera cannot be used; allow it, and open this page over https or on localhost.");
      return;
    }
    video.srcObject = this.camera;
    await video.play();
    video.hidden = false;
    part("preview").hidden = true;
    part("invite").hidden = true;
    this.pressed(true);
    const camera = this.camera;
    while (camera && this.camera === camera) {
      await this.picture(await smaller(video, video.videoWidth, video.videoHeight), false);
      await new Promise((done) => setTimeout(done, CAMERA_PAUSE_MS));
    }
  }

  stop() {
    if (!this.camera) return;
    this.camera.getTracks().forEach((track) => track.stop());
    this.camera = null;
    part("video").srcObject = null;
    part("video").hidden = true;
    part("preview").hidden = !part("preview").src;
    part("invite").hidden = !part("preview").hidden;
    this.pressed(false);
  }

  pressed(is) {
    part("camera").setAttribute("aria-pressed", String(is));
    part("camera").textContent = is ? "Stop the camera" : "Use the camera";
  }
}

function drawn(image, { zoom = 1, mirrored = false, light = 1 }) {
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const side = Math.min(width, height) / zoom;
  const canvas = make("canvas", { width: 256, height: 256 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff"; // the picture may be transparent there
  context.fillRect(0, 0, 256, 256);
  if (mirrored) context.setTransform(-1, 0, 0, 1, 256, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (width - side) / 2, (height - side) / 2, side, side, 0, 0, 256, 256);
  context.fillStyle = `rgb(10 10 40 / ${1 - light})`;
  context.fillRect(0, 0, 256, 256);
  return canvas;
}

async function smaller(source, width, height) {
  const scale = Math.min(1, LARGEST_SIDE / Math.min(width, height));
  const canvas = make("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
