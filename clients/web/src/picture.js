// From a picture's pixels to the encoder's input. docs/wire.md, "Read a picture" and "Fit it".

/** Pixels with alpha, as a canvas has them, laid on white: `{ rgb, width, height }`. */
export function fromRgba({ data, width, height }) {
  const rgb = new Uint8Array(3 * width * height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const alpha = data[4 * pixel + 3];
    for (let c = 0; c < 3; c++) rgb[3 * pixel + c] = onWhite(data[4 * pixel + c], alpha);
  }
  return { rgb, width, height };
}

/** The same with an alpha of 255, for a canvas. */
export function toRgba(rgb) {
  const data = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let pixel = 0; pixel < rgb.length / 3; pixel++) data.set(rgb.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
  return data;
}

/** A colour with an alpha, both of 8 bits, on white. */
export function onWhite(colour, alpha) {
  if (alpha === 255) return colour;
  const laid = colour * alpha + 255 * (255 - alpha);
  return Math.floor((2 * laid + 255) / 510);
}

/** The centred square of a picture, scaled to `size` × `size`: the encoder's input. */
export function fitPicture({ rgb, width, height }, size) {
  if (width === size && height === size) return rgb;
  const side = Math.min(width, height);
  const columns = weights(width, (width - side) / 2, side, size);
  const rows = weights(height, (height - side) / 2, side, size);
  const narrow = new Uint8Array(3 * size * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) scaled(rgb, 3 * y * width, 3, columns[x], narrow, 3 * (y * size + x));
  }
  const fitted = new Uint8Array(3 * size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) scaled(narrow, 3 * x, 3 * size, rows[y], fitted, 3 * (y * size + x));
  }
  return fitted;
}

/** For each of `size` results: the first sample that it is made of, and their weights. */
function weights(samples, begin, side, size) {
  const scale = side / size;
  const grow = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const centre = begin + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - grow + 0.5));
    const end = Math.min(samples, Math.trunc(centre + grow + 0.5));
    const w = [];
    for (let x = first; x < end; x++) w.push(Math.max(0, 1 - Math.abs((x - centre + 0.5) * (1 / grow))));
    const sum = w.reduce((a, b) => a + b, 0);
    return { first, k: w.map((one) => Math.trunc(0.5 + (one / sum) * 4194304)) };
  });
}

function scaled(from, at, step, { first, k }, to, place) {
  for (let c = 0; c < 3; c++) {
    let sum = 2097152;
    for (let n = 0; n < k.length; n++) sum += k[n] * from[at + (first + n) * step + c];
    to[place + c] = Math.max(0, Math.min(255, sum >> 22));
  }
}
