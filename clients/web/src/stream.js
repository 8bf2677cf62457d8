// A stream of pictures over a WebSocket. docs/wire.md, "A stream" and "Over a WebSocket".

import { Link } from "./link.js";
import { decode, encode } from "./messages.js";
import { carried, planesWithin, pointWithin, runsOf } from "./plan.js";

const PROTOCOL = "artoveq.v1";
const STATUSES = 4000; // a stream that ends with a status is closed with this and the status's number
const SILENCE_MS = 8000; // a link on which a message has waited so long for its receipt is dark
const PROBES = [32, 256, 1024, 4096, 16384]; // bytes, two of each, as long as the link carries them in no time
const PROBED_MS = 20;
const TOP_K = 3;
const LOST = "The server cannot be reached; try again when it is back.";

/** A stream that ended; `code` is a google.rpc.Code, 14 where nobody said one. */
export class Ended extends Error {
  constructor(message, code) {
    super(message);
    this.name = "Ended";
    this.code = code;
  }
}

/** One picture that failed; the stream goes on. */
export class Failed extends Error {
  constructor({ message, code, retry_after_ms }) {
    super(message);
    Object.assign(this, { name: "Failed", code, retryAfterMs: retry_after_ms });
  }
}

const base64url = (text) =>
  btoa(String.fromCharCode(...new TextEncoder().encode(text))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

export class Stream {
  #end;
  /** Resolves to an `Ended` once the stream has ended, for whatever reason. */
  ended = new Promise((resolve) => (this.#end = resolve));
  link = new Link();
  #over = null;
  #said = null; // why it ends, as a last failure says it
  #pictures = new Map();
  #pongs = new Map();
  #nextPicture = 1;
  #nextPing = 1;
  #coded = false;
  #wake = () => {}; // whoever waits for a receipt

  /**
   * A stream to the server at `base`. model: of `fetchModel`. name: what the server's page calls this edge.
   * now: a monotonic clock, in milliseconds. Rejects with `Ended`.
   */
  static async open(base, model, { token = "", name = "", WebSocket = globalThis.WebSocket, now = () => performance.now() } = {}) {
    const url = new URL("v1/stream", base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const stream = new Stream();
    Object.assign(stream, { model, now });
    const socket = new WebSocket(url, token ? [PROTOCOL, `artoveq.bearer.${base64url(token)}`] : [PROTOCOL]);
    stream.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(encode("StreamRequest", { hello: { fingerprint: model.manifest.fingerprint, name, reads_bundles: true } }));
    socket.onclose = ({ code, reason }) => stream.#close(code, reason);
    const welcome = new Promise((resolve) => {
      socket.onmessage = ({ data }) => {
        const response = decode("StreamResponse", new Uint8Array(data));
        if (response.welcome) resolve(response.welcome);
        else stream.#heard(response);
      };
    });
    const first = await Promise.race([welcome, stream.ended]);
    if (first instanceof Ended) throw first;
    stream.#coded = first.reads_coded;
    stream.#watch();
    return stream;
  }

  /** Measures the link, with as few bytes as tell something. */
  async probe() {
    for (const padding of PROBES) {
      const pings = [this.#ping(padding), this.#ping(padding)]; // the second one waits behind the first
      const began = this.now();
      await Promise.race([Promise.all(pings), this.ended]);
      if (this.#over) throw this.#over;
      if (this.link.capacity !== null && this.now() - began > PROBED_MS) return;
    }
  }

  #ping(padding) {
    const id = this.#nextPing++;
    const pong = new Promise((resolve) => this.#pongs.set(id, resolve));
    this.#send({ ping: { id, padding: new Uint8Array(padding) } }, true);
    return pong;
  }

  /**
   * Answers about a picture, better and better ones; the last has `final`.
   * indices: (M,), of a refinable model those at the last point of its chain, else those at `point`.
   * budget: milliseconds from `taken` on. bytes, point: in place of what the link carries until then.
   * progressive: plane by plane, where the model is refinable.
   * Each answer comes with `bytes`, how many of payload it was made from, and `after`, milliseconds from `taken` on.
   * Throws `Failed`, or `Ended`.
   */
  async *predict(indices, { budget = 1000, taken = this.now(), bytes = null, point = null, progressive = true } = {}) {
    if (this.#over) throw this.#over;
    const id = this.#nextPicture++;
    const answers = [];
    const picture = { answers, taken, bytes: 0, by: new Map(), done: false, wake: () => {} };
    this.#pictures.set(id, picture);
    const room = bytes ?? carried(this.link.capacity, taken + budget - this.now() - this.link.roundTrip);
    const sending = progressive && this.model.codec.refinable && point === null
      ? this.#planes(id, picture, indices, room, taken + budget)
      : this.#block(id, picture, indices, point ?? pointWithin(this.model.manifest, room));
    sending.catch(() => {}); // what ends it ends the answers, too
    try {
      while (true) {
        while (answers.length) {
          const answer = answers.shift();
          if (answer instanceof Error) throw answer;
          yield answer;
          if (answer.final) return;
        }
        if (this.#over) throw this.#over;
        await new Promise((resolve) => (picture.wake = resolve));
      }
    } finally {
      if (!picture.done && !this.#over) this.#send({ cancel: { picture_id: id } });
      picture.done = true;
      this.#pictures.delete(id);
    }
  }

  async #block(id, picture, indices, point) {
    const { codec, manifest } = this.model;
    const sizes = manifest.points[point - 1].sizes;
    const here = codec.refinable ? codec.reduced(indices, codec.sizesAfter(codec.planes.length), sizes) : indices;
    this.#payload(id, picture, { point, ...codec.block(here, sizes, this.#coded) });
  }

  /** Run after run, each once the one before has arrived: about a round trip of data is under way. */
  async #planes(id, picture, indices, room, deadline) {
    const { codec, manifest } = this.model;
    const count = planesWithin(manifest, room);
    const pointAfter = (planes) => {
      const target = codec.sizesAfter(planes).join();
      return manifest.points.findIndex(({ sizes }) => sizes.join() === target) + 1;
    };
    const point = pointAfter(count);
    const runs = runsOf(count, codec.planes.length);
    for (const [n, [first_plane, plane_count]] of runs.entries()) {
      const began = this.now();
      const last = n < runs.length - 1 && n > 0 && this.now() + this.link.roundTrip > deadline;
      this.#payload(id, picture, { point, first_plane, plane_count, last, ...codec.run(indices, first_plane, plane_count, this.#coded) });
      picture.by.set(pointAfter(first_plane + plane_count - 1), picture.bytes);
      if (last) return;
      while (this.link.waiting && this.link.waitingSince >= began && !picture.done && !this.#over) await this.#receipt();
      if (picture.done || this.#over) return;
    }
  }

  #payload(id, picture, payload) {
    picture.bytes += payload.data.length;
    this.#send({ payload: { picture_id: id, top_k: TOP_K, ...payload } }, true);
  }

  #send(request, counted = false) {
    const bytes = encode("StreamRequest", request);
    if (counted) this.link.sent(bytes.length, this.now());
    if (this.socket.readyState === 1) this.socket.send(bytes);
  }

  #receipt() {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #heard(response) {
    const { answer, failure, receipt, pong, bundle } = response;
    if (bundle) bundle.responses.forEach((one) => this.#heard(one));
    if (pong) {
      if (pong.received_bytes) this.link.receipted(pong, this.now());
      this.#pongs.get(pong.id)?.();
      this.#pongs.delete(pong.id);
    }
    if (receipt) {
      this.link.receipted(receipt, this.now());
      this.#wake();
    }
    if (failure && failure.picture_id === 0) this.#said = failure;
    const picture = this.#pictures.get((answer ?? failure)?.picture_id);
    if (!picture) return;
    if (failure) picture.answers.push(new Failed(failure));
    else picture.answers.push({ ...answer, bytes: picture.by.get(answer.point) ?? picture.bytes, after: this.now() - picture.taken });
    picture.done = Boolean(failure) || answer.final;
    picture.wake();
    if (picture.done) this.#wake();
  }

  /** Tells the server's page how a picture went; fields as in `Report`. */
  report(report) {
    this.#send({ report });
  }

  #watch() {
    this.watching = setInterval(() => {
      if (this.now() - this.link.waitingSince > SILENCE_MS) {
        this.socket.close();
        this.#close(1006, "");
      }
    }, SILENCE_MS / 8);
    this.watching.unref?.(); // Node would wait for it
  }

  #close(code, reason) {
    if (this.#over) return;
    clearInterval(this.watching);
    this.#over = new Ended(this.#said?.message || reason || LOST, code > STATUSES ? code - STATUSES : 14);
    this.#end(this.#over);
    this.#wake();
    for (const picture of this.#pictures.values()) picture.wake();
  }

  /** Half-closes: what was begun is still answered. */
  close() {
    if (this.socket.readyState === 1) this.socket.send(new Uint8Array());
  }
}
