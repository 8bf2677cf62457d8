import assert from "node:assert/strict";
import { test } from "node:test";
import { Ended, Failed, Stream } from "../src/index.js";
import { indices, model, scripted } from "./server.js";

const BASE = "https://server.example:8080/";

async function all(answers) {
  const found = [];
  for await (const answer of answers) found.push(answer);
  return found;
}

/** Receipts and answers to what comes; `seen` gathers payloads. */
function answering(seen, capacity = Infinity) {
  let [received, us] = [0, 0];
  return scripted(function ({ hello, payload, ping } = {}, say) {
    if (hello) say({ welcome: { reads_coded: false } });
    const bytes = (payload?.data ?? ping?.padding)?.length;
    received += bytes ? bytes + (payload ? 10 : 6) : 0;
    us += 1000 + (8e6 * (bytes ?? 0)) / capacity;
    if (ping) say({ pong: { id: ping.id, received_bytes: 1e6, received_us: us } });
    if (!payload) return;
    seen.push(payload);
    const { picture_id, first_plane, plane_count, point, last } = payload;
    const [planes, final] = [Math.max(0, first_plane + plane_count - 1), !first_plane || first_plane + plane_count === point || last];
    say({ receipt: { picture_id, planes, received_bytes: 1e6 * seen.length + 1e6, received_us: us } });
    say({ answer: { picture_id, point: first_plane ? planes + 1 : point, final, classification: { classes: [{ name: "dog" }] } } });
  });
}

test("the token is a subprotocol, and the address that of the server", async () => {
  let made;
  const Base = answering([]);
  class WebSocket extends Base {
    constructor(...given) {
      super(...given);
      made = this;
    }
  }
  await Stream.open("http://localhost:8080/edge", model, { token: "ä secret", WebSocket });
  assert.equal(made.url, "ws://localhost:8080/v1/stream");
  assert.deepEqual(made.protocols, ["artoveq.v1", "artoveq.bearer.w6Qgc2VjcmV0"]);
});

test("planes come run after run, and answers refine to the last", async () => {
  const seen = [];
  const stream = await Stream.open(BASE, model, { WebSocket: answering(seen) });
  const answers = await all(stream.predict(indices, { bytes: 3 }));
  assert.deepEqual(seen.map(({ first_plane, plane_count, point }) => [first_plane, plane_count, point]), [[1, 1, 4], [2, 1, 4], [3, 1, 4]]);
  assert.deepEqual(answers.map(({ point, final }) => [point, final]), [[2, false], [3, false], [4, true]]);
  assert.deepEqual(answers.map(({ bytes }) => bytes), [1, 2, 3]);
  assert.equal(seen.map(({ data }) => data[0].toString(2).padStart(8, "0")).join(), "10100000,01100000,10100000");
});

test("a block is one message, of the last point whose bytes fit", async () => {
  const seen = [];
  const stream = await Stream.open(BASE, model, { WebSocket: answering(seen) });
  const [answer] = await all(stream.predict(indices, { bytes: 2, progressive: false }));
  assert.deepEqual([seen.length, seen[0].point, seen[0].first_plane, answer.point, answer.bytes], [1, 3, 0, 3, 2]);
});

test("without a capacity the cheapest is sent, and a probe finds one", async () => {
  const seen = [];
  const stream = await Stream.open(BASE, model, { WebSocket: answering(seen, 8000) });
  await all(stream.predict(indices, { progressive: false }));
  await stream.probe();
  await all(stream.predict(indices, { progressive: false }));
  assert.deepEqual(seen.map(({ point }) => point), [1, 5]);
});

test("a picture that fails throws its sentence, and the stream goes on", async () => {
  const WebSocket = scripted(({ hello, payload }, say) => {
    if (hello) return say({ welcome: { reads_coded: false } });
    const { picture_id } = payload;
    if (picture_id === 1) say({ failure: { picture_id, code: 8, message: "Send fewer.", retry_after_ms: 700 } });
    else say({ answer: { picture_id, point: 1, final: true } });
  });
  const stream = await Stream.open(BASE, model, { WebSocket });
  await assert.rejects(all(stream.predict(indices)), (error) => error instanceof Failed && error.message === "Send fewer." && error.retryAfterMs === 700);
  assert.equal((await all(stream.predict(indices))).length, 1);
});

test("a refusal has the server's sentence and code, an outage our own", async () => {
  const refusing = scripted((_, say, close) => {
    say({ failure: { picture_id: 0, code: 16, message: "This server wants a token." } });
    close(4016, "This server wa");
  });
  await assert.rejects(Stream.open(BASE, model, { WebSocket: refusing }), (error) => error instanceof Ended && error.code === 16 && error.message === "This server wants a token.");
  const dead = scripted((_, say, close) => close(1006));
  await assert.rejects(Stream.open(BASE, model, { WebSocket: dead }), (error) => error.code === 14 && /cannot be reached/.test(error.message));
});

test("a stream that ends in the midst of a picture ends its answers", async () => {
  const WebSocket = scripted(({ hello }, say, close) => (hello ? say({ welcome: { reads_coded: false } }) : close(1006)));
  const stream = await Stream.open(BASE, model, { WebSocket });
  await assert.rejects(all(stream.predict(indices)), Ended);
  assert.equal((await stream.ended).code, 14);
  await assert.rejects(all(stream.predict(indices)), Ended);
});

test("who stops listening cancels", async () => {
  const seen = [];
  const WebSocket = scripted(({ hello, payload, cancel }, say) => {
    if (hello) say({ welcome: { reads_coded: false } });
    if (payload) say({ answer: { picture_id: payload.picture_id, point: 2, final: false } });
    if (cancel) seen.push(cancel.picture_id);
  });
  const stream = await Stream.open(BASE, model, { WebSocket });
  for await (const _ of stream.predict(indices)) break;
  assert.deepEqual(seen, [1]);
});
