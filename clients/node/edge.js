// An edge: fetches the model, encodes pictures, and sends them on one stream. docs/wire.md, from "The model" on.

import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import ort from "onnxruntime-node";
import { codecOf, fingerprintOf } from "../web/src/model.js";
import { fitPicture } from "../web/src/picture.js";
import { readPicture } from "./picture.js";

const PROTO = fileURLToPath(new URL("../../proto/artoveq/v1/remote_inference.proto", import.meta.url));
const OPTIONS = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
};
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

export class Edge {
  /** address: HOST:PORT. token: where the server wants one. */
  static async connect(address, { token } = {}) {
    const edge = new Edge();
    const definition = grpc.loadPackageDefinition(loader.loadSync(PROTO, { keepCase: true, longs: Number, defaults: true, oneofs: true }));
    const Service = definition.artoveq.v1.RemoteInferenceService;
    edge.metadata = new grpc.Metadata();
    if (token) edge.metadata.set("authorization", `Bearer ${token}`);
    edge.service = new Service(address, grpc.credentials.createInsecure(), OPTIONS);
    const described = await edge.call("DescribeModel", {});
    edge.manifest = JSON.parse(described.manifest.toString());
    if (edge.manifest.format_version !== 2) throw new Error("The model has a format version that is not known here.");
    if (fingerprintOf(edge.manifest) !== described.fingerprint) throw new Error("The manifest is not that of its fingerprint.");
    const { files } = edge.manifest;
    edge.encoder = await ort.InferenceSession.create(await edge.fetch("encoder.onnx"));
    const tables = files["entropy.u16"] ? await edge.fetch("entropy.u16") : null;
    edge.codec = codecOf(edge.manifest, tables);
    return edge;
  }

  call(name, request) {
    return new Promise((resolve, reject) =>
      this.service[name](request, this.metadata, (error, answer) => (error ? reject(error) : resolve(answer))),
    );
  }

  async fetch(name) {
    const pieces = [];
    const { fingerprint, files } = this.manifest;
    for await (const { data } of this.service.FetchFile({ fingerprint, name }, this.metadata)) pieces.push(data);
    const file = Buffer.concat(pieces);
    if (sha256(file) !== files[name]) throw new Error(`${name} is not the file of this model.`);
    return file;
  }

  /** A picture's file to its indices at the codebook sizes of a point. */
  async encode(file, sizes) {
    const size = this.manifest.preprocessing.size;
    const picture = fitPicture(await readPicture(file), size);
    const { indices } = await this.encoder.run({
      picture: new ort.Tensor("uint8", picture, [1, size, size, 3]),
      sizes: new ort.Tensor("int32", Int32Array.from(sizes), [sizes.length]),
    });
    return Array.from(indices.data);
  }

  /** A stream of pictures. */
  stream() {
    return Stream.open(this);
  }

  close() {
    this.service.close();
  }
}

class Stream {
  waiting = new Map();
  next = 1;

  static async open(edge) {
    const stream = new Stream();
    stream.edge = edge;
    stream.call = edge.service.Stream(edge.metadata);
    stream.ended = new Promise((resolve) => stream.call.on("end", resolve));
    const welcome = new Promise((resolve, reject) => {
      stream.call.on("data", (response) => (response.message === "welcome" ? resolve(response.welcome) : stream.heard(response)));
      stream.call.on("error", (error) => {
        reject(error);
        for (const { reject } of stream.waiting.values()) reject(error);
      });
    });
    stream.call.write({ hello: { fingerprint: edge.manifest.fingerprint, name: "node" } });
    stream.coded = (await welcome).reads_coded && !edge.manifest.any_size; // whose code of its own is not written here
    return stream;
  }

  heard(response) {
    const kind = response.message;
    const { picture_id, final, message } = response[kind];
    const picture = this.waiting.get(picture_id);
    if (kind === "failure") picture?.reject(new Error(message));
    if (kind === "answer" && final) picture?.resolve(response.answer);
    if (kind === "failure" || (kind === "answer" && final)) this.waiting.delete(picture_id);
  }

  /**
   * The answer about a picture's file at a point, and the bytes that were sent.
   * runs: 0 sends a block; else the planes up to the point, in so many messages.
   */
  async predict(file, point, runs = 0) {
    const { codec, manifest } = this.edge;
    const finest = runs || codec.refinable ? codec.sizesAfter(codec.planes.length) : manifest.points[point - 1].sizes;
    const indices = await this.edge.encode(file, finest);
    const payloads = runs ? this.planes(indices, point, runs) : [this.block(indices, finest, point)];
    const picture_id = this.next++;
    const answer = new Promise((resolve, reject) => this.waiting.set(picture_id, { resolve, reject }));
    for (const payload of payloads) this.call.write({ payload: { picture_id, point, ...payload } });
    return { ...(await answer), bytes: payloads.reduce((sum, { data }) => sum + data.length, 0) };
  }

  block(indices, from, point) {
    const { codec, manifest } = this.edge;
    const sizes = manifest.points[point - 1].sizes;
    return codec.block(codec.refinable ? codec.reduced(indices, from, sizes) : indices, sizes, this.coded);
  }

  planes(indices, point, runs) {
    const { codec, manifest } = this.edge;
    const target = manifest.points[point - 1].sizes.join();
    const last = codec.planes.findIndex((_, n) => codec.sizesAfter(n + 1).join() === target) + 1;
    if (!last) throw new Error(`No planes end in point ${point}.`);
    const ends = Array.from({ length: runs }, (_, n) => Math.round((last * (n + 1)) / runs));
    return ends.flatMap((end, n) => {
      const first = (ends[n - 1] ?? 0) + 1;
      const count = end - first + 1;
      return count ? [{ first_plane: first, plane_count: count, ...codec.run(indices, first, count, this.coded) }] : [];
    });
  }

  /** Half-closes, and waits until the server has said everything. */
  async close() {
    this.call.end();
    await this.ended;
  }
}
