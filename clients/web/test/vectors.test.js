// What has no need of a stream; proto/vectors are computed by clients/node, which shares these modules.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import protobuf from "protobufjs";
import { decode, encode, fetchModel, fingerprintOf, fitPicture, fromRgba, Link, plain, planesWithin, pointWithin, runsOf, sha256, toRgba } from "../src/index.js";

const root = new URL("../../../", import.meta.url);
const json = async (file) => JSON.parse(await readFile(new URL(file, root)));

test("SHA-256 is Node's", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1000, 100_000]) {
    const bytes = new Uint8Array(randomBytes(length));
    assert.equal(sha256(bytes), createHash("sha256").update(bytes).digest("hex"));
  }
});

test("pictures that a canvas gives as they are fit to the vectors", async () => {
  for (const { rgb, input, size, width, height, name } of await json("proto/vectors/pictures.json")) {
    const pixels = toRgba(Uint8Array.from(Buffer.from(rgb, "hex")));
    assert.equal(Buffer.from(fitPicture(fromRgba({ data: pixels, width, height }), size)).toString("hex"), input, name);
  }
});

test("alpha is laid on white", () => {
  assert.deepEqual([...fromRgba({ data: [10, 20, 30, 0, 10, 20, 30, 128], width: 2, height: 1 }).rgb], [255, 255, 255, 132, 137, 142]);
});

test("messages are those of protobufjs", async () => {
  const types = await protobuf.load(new URL("proto/artoveq/v1/remote_inference.proto", root).pathname);
  const of = (name) => types.lookupType(`artoveq.v1.${name}`);
  for (const [kind, message] of [
    ["StreamRequest", { hello: { fingerprint: "ab", name: "gärten", reads_bundles: true } }],
    ["StreamRequest", { payload: { picture_id: 2 ** 40 + 3, point: 300, first_plane: 1, plane_count: 2, data: Uint8Array.of(0, 255), packed: true, top_k: 3, last: true } }],
    ["StreamRequest", { cancel: { picture_id: 9 } }],
    ["StreamRequest", { ping: { id: 1, padding: new Uint8Array(200) } }],
    ["StreamRequest", { report: { point: 3, payload_bytes: 4, capacity: 5e9, latency_us: 6, budget_us: 7, jpeg_bytes: 8, webp_bytes: 9, thumbnail: Uint8Array.of(1) } }],
  ]) {
    const theirs = of(kind).encode(of(kind).fromObject(camel(message))).finish();
    assert.equal(Buffer.from(encode(kind, message)).toString("hex"), Buffer.from(theirs).toString("hex"));
  }
  const said = {
    bundle: { responses: [
      { receipt: { picture_id: 7, planes: 3, received_bytes: 5e9, received_us: 2 ** 45 } },
      { answer: { picture_id: 7, point: 2, final: true, classification: { classes: [{ index: 4, name: "dingo", probability: 0.5 }] } } },
      { answer: { picture_id: 8, other: { fields: { say: { stringValue: "hä" }, list: { listValue: { values: [{ numberValue: 1.5 }, { boolValue: true }, { nullValue: 0 }, { numberValue: 0 }] } } } } } },
      { failure: { picture_id: 0, code: 16, message: "No.", retry_after_ms: 12 } },
    ] },
  };
  const bytes = new Uint8Array(of("StreamResponse").encode(of("StreamResponse").fromObject(camel(said))).finish());
  const [first, second, third, fourth] = decode("StreamResponse", bytes).bundle.responses;
  assert.deepEqual({ ...first.receipt }, said.bundle.responses[0].receipt);
  assert.equal(second.answer.classification.classes[0].name, "dingo");
  assert.equal(second.answer.classification.classes[0].probability, 0.5);
  assert.deepEqual(plain(third.answer.other), { say: "hä", list: [1.5, true, null, 0] });
  assert.deepEqual({ ...fourth.failure }, said.bundle.responses[3].failure);
});

function camel(value) {
  if (Array.isArray(value)) return value.map(camel);
  if (value === null || typeof value !== "object" || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key.replace(/_(.)/g, (_, c) => c.toUpperCase()), camel(one)]));
}

test("bytes that are no message are refused, and none keeps us for ever", () => {
  for (const bytes of ["ff", "0aff", "12ffffffffffffffffffffff01", "0b", "0dffffffff"]) {
    assert.throws(() => decode("StreamResponse", Uint8Array.from(Buffer.from(bytes, "hex"))), RangeError);
  }
  for (let n = 0; n < 2000; n++) {
    try {
      decode("StreamResponse", new Uint8Array(randomBytes(n % 40)));
    } catch (error) {
      assert.ok(error instanceof RangeError, error);
    }
  }
});

test("the last point that fits is taken, and planes in equal runs", () => {
  const manifest = { points: [{ payload_bytes: 2 }, { payload_bytes: 5 }, { payload_bytes: 9 }], planes: [{ payload_bytes: 2 }, { payload_bytes: 3 }, { payload_bytes: 4 }] };
  assert.deepEqual([0, 2, 4, 5, 9, 100].map((bytes) => pointWithin(manifest, bytes)), [1, 1, 1, 2, 3, 3]);
  assert.deepEqual([0, 2, 4, 5, 9, 100].map((bytes) => planesWithin(manifest, bytes)), [1, 1, 1, 2, 3, 3]);
  assert.deepEqual(runsOf(10, 64), [[1, 8], [9, 2]]);
  assert.deepEqual(runsOf(3, 3), [[1, 1], [2, 1], [3, 1]]);
});

test("a link's capacity is found, falls at once, and rises by half", () => {
  const link = new Link();
  let [bytes, now] = [0, 0];
  const send = (count, capacity) => {
    link.sent(count, now);
    const took = (8000 * count) / capacity;
    bytes += count;
    now += took + 10;
    link.receipted({ received_bytes: bytes, received_us: 1000 * (now - 5 + 5000) }, now);
    now += 100;
  };
  for (let n = 0; n < 5; n++) send(10, 1e9);
  assert.equal(link.capacity, null);
  send(1000, 100_000);
  assert.ok(Math.abs(link.capacity / 100_000 - 1) < 0.01, link.capacity);
  send(1000, 20_000);
  assert.ok(Math.abs(link.capacity / 20_000 - 1) < 0.01, link.capacity);
  send(1000, 100_000);
  assert.ok(Math.abs(link.capacity / 60_000 - 1) < 0.05, link.capacity);
  assert.ok(Math.abs(link.roundTrip - 10) < 1);
  assert.equal(link.waiting, 0);
});

test("a model is fetched and checked", async () => {
  const { fingerprint: _, ...manifest } = await json("proto/vectors/manifest.json");
  const encoder = Uint8Array.of(1, 2, 3);
  manifest.files = { "encoder.onnx": sha256(encoder) };
  const served = { ...manifest, fingerprint: fingerprintOf(manifest) };
  const asked = [];
  const server = (files) => async (url, { headers }) => {
    asked.push([url.pathname, headers.authorization]);
    const name = url.pathname.split("/").at(-1);
    return name in files ? new Response(files[name]) : Response.json({ detail: "This server wants a token." }, { status: 401 });
  };
  const files = { models: JSON.stringify([{ name: "one", fingerprint: served.fingerprint }]), "manifest.json": JSON.stringify(served), "encoder.onnx": encoder };
  const model = await fetchModel("https://server/", { fetch: server(files), token: "secret" });
  assert.deepEqual([...model.encoder], [1, 2, 3]);
  assert.deepEqual(asked[1], [`/v1/models/${served.fingerprint}/files/manifest.json`, "Bearer secret"]);
  await assert.rejects(fetchModel("https://server/", { fetch: server({ ...files, "encoder.onnx": Uint8Array.of(1) }) }), /encoder.onnx is not the file of this model/);
  await assert.rejects(fetchModel("https://server/", { fetch: server({ ...files, "manifest.json": JSON.stringify({ ...served, name: "other" }) }) }), /not that of its fingerprint/);
  await assert.rejects(fetchModel("https://server/", { fetch: server({}) }), (error) => error.status === 401 && error.message === "This server wants a token.");
  await assert.rejects(fetchModel("https://server/", { fetch: server(files), name: "two" }), /no model two; name one of one/);
});
