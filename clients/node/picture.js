// From a picture's file to its pixels. docs/wire.md, "Read a picture".

import sharp from "sharp";
import { onWhite } from "../web/src/picture.js";

const MOST_PIXELS = 4096 * 3072;

/** A JPEG, PNG or WebP file as `{ rgb, width, height }`, upright and without transparency. */
export async function readPicture(file) {
  const image = sharp(file, { limitInputPixels: MOST_PIXELS, ignoreIcc: true, failOn: "truncated" });
  const { depth, hasAlpha, space } = await image.metadata();
  const wide = depth === "ushort";
  const upright = image.autoOrient();
  if (wide) upright.toColourspace(space);
  const { data, info } = await upright.raw({ depth: wide ? "ushort" : "uchar" }).toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  const samples = wide ? new Uint16Array(data.buffer, data.byteOffset, data.length / 2) : data;
  const eight = !wide ? (v) => v : channels === 1 && !hasAlpha ? (v) => Math.round((v * 255) / 65535) : (v) => v >> 8;
  const colours = channels < 3 ? 1 : 3;
  const rgb = new Uint8Array(3 * width * height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const at = pixel * channels;
    const alpha = channels > colours ? eight(samples[at + colours]) : 255;
    for (let c = 0; c < 3; c++) {
      const colour = eight(samples[at + (colours === 1 ? 0 : c)]);
      rgb[3 * pixel + c] = onWhite(colour, alpha);
    }
  }
  return { rgb, width, height };
}
