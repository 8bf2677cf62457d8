// A server's end of a stream, in memory, and a small refinable model.

import { codecOf, decode, encode } from "../src/index.js";

const manifest = {
  format_version: 2,
  fingerprint: "f".repeat(64),
  preprocessing: { size: 8 },
  segments: [1],
  latent: { shape: [2, 2, 2], d: 2 },
  planes: [1, 2, 3, 4].map(() => ({ segments: [0], payload_bytes: 1 })),
  points: [1, 2, 4, 8, 16].map((size, bits) => ({ sizes: [size], payload_bytes: bits, metric: bits / 4 })),
  any_size: false,
  largest_size: 16,
};
export const model = { manifest, codec: codecOf(manifest, null) };
export const indices = [0b1010, 0b0101, 0b1111, 0b0000];

/** A WebSocket class whose server answers each request with what `script(request, say, close)` says. */
export function scripted(script) {
  return class {
    readyState = 0;
    constructor(url, protocols) {
      Object.assign(this, { url: String(url), protocols });
      queueMicrotask(() => {
        this.readyState = 1;
        this.onopen();
      });
    }
    send(bytes) {
      const request = bytes.length ? decode("StreamRequest", bytes) : null;
      const say = (response) =>
        queueMicrotask(() => this.readyState === 1 && this.onmessage({ data: encode("StreamResponse", response).buffer }));
      const close = (code, reason = "") =>
        queueMicrotask(() => {
          this.readyState = 3;
          this.onclose({ code, reason });
        });
      script.call(this, request, say, close);
    }
    close() {
      this.readyState = 3;
    }
  };
}
