// The vectors of docs/wire.md.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import ort from "onnxruntime-node";
import { fingerprintOf } from "../web/src/model.js";
import { PayloadCodec, RangeEncoder } from "../web/src/payload.js";
import { fitPicture } from "../web/src/picture.js";
import { readPicture } from "./picture.js";

const hex = (data) => Buffer.from(data).toString("hex");

/** root: of a clone of the repository. */
export async function check(root) {
  let passed = 0;
  const same = (ours, theirs, name) => {
    assert.equal(ours, theirs, name);
    passed++;
  };
  const json = async (file) => JSON.parse(await readFile(path.join(root, file)));
  const vectors = (name) => json(`proto/vectors/${name}.json`);

  const manifest = await vectors("manifest");
  same(fingerprintOf(manifest), manifest.fingerprint, "fingerprint");

  for (const { name, file, rgb, input, size } of await vectors("pictures")) {
    const picture = await readPicture(Buffer.from(file, "hex"));
    same(hex(picture.rgb), rgb, `${name}: as RGB`);
    same(hex(fitPicture(picture, size)), input, `${name}: fitted`);
  }

  for (const { bits, odds, coded } of await vectors("coder")) {
    const coder = new RangeEncoder();
    [...bits].forEach((bit, n) => coder.putBit(Number(bit), odds[n]));
    same(hex(coder.end()), coded, "a string");
  }

  for (const one of await vectors("payloads")) {
    const plain = new PayloadCodec(one);
    same(hex(plain.block(one.indices, one.sizes, false).data), one.packed, one.name);
    const coder = one.tables && new PayloadCodec({ ...one, tables: bitTables(one) });
    if (one.coded) same(hex(coder.block(one.indices, one.sizes, true).data), one.coded, one.name);
    for (const { first_plane, plane_count, packed, coded } of one.runs ?? []) {
      same(hex(plain.run(one.indices, first_plane, plane_count, false).data), packed, "a run");
      if (coded) same(hex(coder.run(one.indices, first_plane, plane_count, true).data), coded, "a coded run");
    }
  }

  const any = await vectors("folded");
  const groups = any.segments.reduce((a, b) => a + b);
  const tables = Uint16Array.from([...Array(groups).fill(any.counts).flat(), ...Array(groups).fill(any.rows).flat(2)]);
  const folding = new PayloadCodec({ ...any, tables, anySize: true, largest: any.largest_size });
  same(hex(folding.block(any.indices, any.sizes, true).data), any.coded, any.name);
  same(hex(folding.block(any.indices, any.sizes, false).data), any.packed, any.name);

  for (const one of await vectors("indices")) {
    const { preprocessing, points } = await json(`${one.model}/manifest.json`);
    const size = preprocessing.size;
    const picture = fitPicture(await readPicture(await readFile(path.join(root, one.picture))), size);
    const encoder = await ort.InferenceSession.create(path.join(root, one.model, "encoder.onnx"));
    const { sizes } = points[one.point - 1];
    const { indices } = await encoder.run({
      picture: new ort.Tensor("uint8", picture, [1, size, size, 3]),
      sizes: new ort.Tensor("int32", Int32Array.from(sizes), [sizes.length]),
    });
    const other = one.indices.filter((index, m) => index !== indices.data[m]).length;
    assert.ok(other <= one.indices.length / 200, `${one.picture}: ${other} indices differ`);
    passed++;
  }
  console.log(`${passed} vectors agree`);
}

function bitTables({ segments, planes }) {
  const [count, groups] = [planes ? 1 : 8, segments.reduce((a, b) => a + b)];
  const all = new Uint16Array(count * groups * 255);
  for (let t = 0; t < count; t++)
    for (let g = 0; g < groups; g++)
      for (let n = 0; n < 255; n++) all[(t * groups + g) * 255 + n] = 1000 + ((7919 * (t + 2 * g + 5 * n)) % 64000);
  return all;
}
