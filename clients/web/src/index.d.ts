/** What of a manifest an edge reads; docs/wire.md has all of it. */
export interface Manifest {
  name: string;
  fingerprint: string;
  format_version: number;
  preprocessing: { size: number };
  latent: { shape: [number, number, number]; d: number };
  segments: number[];
  points: Point[];
  planes: { segments: number[]; payload_bytes: number }[];
  largest_size: number;
  any_size: boolean;
  task: { name: string; classes?: string[] };
  files: Record<string, string>;
}

export interface Point {
  sizes: number[];
  payload_bytes: number;
  coded_bytes: number | null;
  metric: number;
}

export interface Model {
  manifest: Manifest;
  /** encoder.onnx. */
  encoder: Uint8Array;
  codec: PayloadCodec;
}

/** 8 bits each, R G B, row by row. */
export interface Picture {
  rgb: Uint8Array;
  width: number;
  height: number;
}

export class Refused extends Error {
  /** Of HTTP. */
  status: number;
}
export class Ended extends Error {
  /** A google.rpc.Code; 14 where nobody said one. */
  code: number;
}
export class Failed extends Error {
  code: number;
  retryAfterMs: number;
}

export function fetchModel(
  base: string | URL,
  how?: { name?: string; token?: string; fetch?: typeof globalThis.fetch },
): Promise<Model>;
export function fingerprintOf(manifest: object): string;
export function codecOf(manifest: Manifest, tables: Uint8Array | null): PayloadCodec;
export function sha256(bytes: Uint8Array): string;

/** ONNX Runtime Web, or what has its `InferenceSession` and `Tensor`. */
export interface Runtime {
  InferenceSession: { create(model: Uint8Array, options?: object): Promise<unknown> };
  Tensor: new (type: string, data: never, dims: number[]) => unknown;
}
export interface Encoder {
  /** The encoder's input, S × S × 3. */
  fit(picture: Picture): Uint8Array;
  /** Indices (M,): of a refinable model at the last point of its chain, else at `point`. */
  encode(input: Uint8Array, point?: number | null): Promise<number[]>;
  /** As `encode`, with the edge's own answer (point 0): its classes, the most probable one first; null without a local head. */
  encodeAndAnswer(
    input: Uint8Array,
    point?: number | null,
  ): Promise<{ indices: number[]; own: { index: number; name: string; probability: number }[] | null }>;
}
export function openEncoder(runtime: unknown, model: Model, backend?: "wasm" | "webgpu"): Promise<Encoder>;

export function fromRgba(pixels: { data: ArrayLike<number>; width: number; height: number }): Picture;
export function toRgba(rgb: Uint8Array): Uint8ClampedArray;
export function onWhite(colour: number, alpha: number): number;
export function fitPicture(picture: Picture, size: number): Uint8Array;

export interface Written {
  data: Uint8Array;
  packed: boolean;
}
export class PayloadCodec {
  constructor(model: {
    segments: number[];
    positions: number;
    planes?: number[][];
    tables?: Uint16Array | null;
    anySize?: boolean;
    largest?: number;
    d?: number;
  });
  readonly refinable: boolean;
  sizesAfter(planes: number): number[];
  reduced(indices: number[], from: number[], to: number[]): number[];
  block(indices: number[], sizes: number[], coded: boolean): Written;
  run(indices: number[], first: number, count: number, coded: boolean): Written;
}
export class RangeEncoder {
  putBit(one: number, odds: number): void;
  put(start: bigint, width: bigint): void;
  end(): Uint8Array;
}
export function joined(parts: Uint8Array[]): Uint8Array;

export function pointWithin(manifest: Manifest, bytes: number): number;
export function planesWithin(manifest: Manifest, bytes: number): number;
export function carried(capacity: number | null, milliseconds: number): number;
export function runsOf(planes: number, chain: number): [first: number, count: number][];

export class Link {
  /** Bits per second; null before anything is known. */
  capacity: number | null;
  /** Milliseconds. */
  roundTrip: number;
  readonly waiting: number;
  readonly waitingSince: number;
  sent(bytes: number, now: number): void;
  receipted(receipt: { received_bytes: number; received_us: number }, now: number): void;
}

export interface Answer {
  point: number;
  final: boolean;
  classification?: { classes: { index: number; name: string; probability: number }[] };
  reconstruction?: { png: Uint8Array };
  other?: object;
  queue_us: number;
  decode_us: number;
  /** Of payload that it was made from. */
  bytes: number;
  /** Milliseconds since the picture was taken. */
  after: number;
}

export class Stream {
  static open(
    base: string | URL,
    model: Model,
    how?: { token?: string; name?: string; WebSocket?: unknown; now?: () => number },
  ): Promise<Stream>;
  readonly link: Link;
  readonly ended: Promise<Ended>;
  probe(): Promise<void>;
  predict(
    indices: number[],
    how?: { budget?: number; taken?: number; bytes?: number | null; point?: number | null; progressive?: boolean },
  ): AsyncGenerator<Answer, void, void>;
  report(report: Record<string, number | Uint8Array>): void;
  close(): void;
}

/** kind: a message's name in remote_inference.proto. */
export function encode(kind: string, message: object): Uint8Array;
export function decode(kind: string, bytes: Uint8Array): Record<string, any>;
/** A google.protobuf.Struct. */
export function plain(struct: object): Record<string, unknown>;
