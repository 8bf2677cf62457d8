// Indices as bytes. docs/wire.md, "Write the payload".

const bitsOf = (size) => Math.ceil(Math.log2(size));
const isPower = (size) => Number.isInteger(Math.log2(size));

/**
 * Payloads of one model.
 * segments: channel groups of each; positions: P; planes: segments that each plane of the chain refines;
 * tables: entropy.u16 as a Uint16Array, or null. anySize, largest, d: `any_size`, `largest_size` and `latent.d`.
 */
export class PayloadCodec {
  constructor({ segments, positions, planes = [], tables = null, anySize = false, largest = 0, d = 0 }) {
    this.segmentOf = segments.flatMap((groups, s) => Array(groups).fill(s)); // of each channel group
    this.groups = this.segmentOf.length;
    this.count = this.groups * positions;
    Object.assign(this, { segments, planes, tables, anySize, largest, d, refinable: planes.length > 0 });
    this.starts = new Map();
  }

  /** The sizes of the point that the first `count` planes are. */
  sizesAfter(count) {
    const sizes = this.segments.map(() => 1);
    for (const refined of this.planes.slice(0, count)) for (const s of refined) sizes[s] *= 2;
    return sizes;
  }

  /** Indices at the sizes `from` as they are at the smaller ones `to`, of a refinable model. */
  reduced(indices, from, to) {
    return indices.map((index, m) => index >> (bitsOf(this.size(from, m)) - bitsOf(this.size(to, m))));
  }

  size(sizes, m) {
    return sizes[this.segmentOf[m % this.groups]];
  }

  /** The block of indices at a point with these sizes. coded: whether the server reads coded payloads. */
  block(indices, sizes, coded) {
    if (this.anySize && this.tables && coded) return shorter(this.folded(indices, sizes), this.block(indices, sizes, false).data);
    if (!sizes.every(isPower)) return { data: this.number(indices, sizes), packed: this.tables !== null };
    const depth = indices.map((_, m) => bitsOf(this.size(sizes, m)));
    const most = Math.max(...depth);
    const planes = Array.from({ length: most }, (_, p) => depth.flatMap((l, m) => (l > p ? [[m, p + 1]] : [])));
    return this.written(indices, depth, planes, coded);
  }

  /** `count` planes of the chain from `first` on, of indices at its last point. */
  run(indices, first, count, coded) {
    const last = this.sizesAfter(this.planes.length);
    const depth = indices.map((_, m) => bitsOf(this.size(last, m)));
    const planes = [];
    for (let n = first; n < first + count; n++) {
      const sizes = this.sizesAfter(n);
      const refined = new Set(this.planes[n - 1]);
      planes.push(
        depth.flatMap((_, m) => (refined.has(this.segmentOf[m % this.groups]) ? [[m, bitsOf(this.size(sizes, m))]] : [])),
      );
    }
    return this.written(indices, depth, planes, coded);
  }

  /** planes: of [sub-vector, bit]. */
  written(indices, depth, planes, coded) {
    const packed = joined(planes.map((plane) => packedBits(plane.map(([m, p]) => bit(indices[m], depth[m], p)))));
    if (this.tables === null || !coded) return { data: packed, packed: this.tables !== null };
    const coder = new RangeEncoder();
    for (const [m, p] of planes.flat()) {
      const before = indices[m] >> (depth[m] - p + 1);
      const table = this.refinable ? 0 : depth[m] - 1;
      const odds = this.tables[(table * this.groups + (m % this.groups)) * 255 + 2 ** (p - 1) - 1 + before];
      coder.putBit(bit(indices[m], depth[m], p), odds);
    }
    return shorter(coder.end(), packed);
  }

  /** Indices of any sizes, group after group. */
  folded(indices, sizes) {
    const coder = new RangeEncoder();
    for (let g = 0; g < this.groups; g++) {
      const start = this.size(sizes, g) > 1 && this.startsOf(g, this.size(sizes, g));
      for (let m = g; start && m < this.count; m += this.groups) {
        coder.put(start[indices[m]], start[indices[m] + 1] - start[indices[m]]);
      }
    }
    return coder.end();
  }

  /** Where each of `size` symbols of a channel group begins, of 2^24, and the end. */
  startsOf(group, size) {
    const key = `${group} ${size}`;
    if (!this.starts.has(key)) this.starts.set(key, starts(this.foldedCounts(group, size)));
    return this.starts.get(key);
  }

  foldedCounts(group, size) {
    const { largest, d, tables } = this;
    const count = Array.from(tables.subarray(group * largest, group * largest + size));
    const row = (k, c) => tables[this.groups * largest + (group * largest + k) * d + c];
    for (let j = size; j < largest; j++) {
      let [nearest, least] = [0, Infinity];
      for (let k = 0; k < size; k++) {
        let distance = 0;
        for (let c = 0; c < d; c++) distance += (row(k, c) - row(j, c)) ** 2;
        if (distance < least) [nearest, least] = [k, distance];
      }
      count[nearest] += tables[group * largest + j];
    }
    return count;
  }

  /** Mixed radix. */
  number(indices, sizes) {
    let [number, product] = [0n, 1n];
    indices.forEach((index, m) => {
      const size = BigInt(this.size(sizes, m));
      if (size > 1n) [number, product] = [number * size + BigInt(index), product * size];
    });
    const bytes = Math.ceil((product - 1n).toString(2).length / 8);
    const digits = number.toString(16).padStart(2 * bytes, "0");
    return Uint8Array.from({ length: bytes }, (_, n) => parseInt(digits.slice(2 * n, 2 * n + 2), 16));
  }
}

function starts(count) {
  const total = BigInt(count.reduce((a, b) => a + b));
  const rest = (1n << 24n) - BigInt(count.length);
  let before = 0n;
  const found = count.map((one, k) => {
    const start = BigInt(k) + (rest * before) / total;
    before += BigInt(one);
    return start;
  });
  return [...found, 1n << 24n];
}

const shorter = (coded, packed) =>
  coded.length < packed.length ? { data: coded, packed: false } : { data: packed, packed: true };

const bit = (index, depth, p) => (index >> (depth - p)) & 1;

function packedBits(bits) {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8));
  bits.forEach((one, n) => (bytes[n >> 3] |= one << (7 - (n & 7))));
  return bytes;
}

/** Byte arrays, one behind the other. */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const wrap = (value) => BigInt.asUintN(64, value);
const WORD = 1n << 32n;

export class RangeEncoder {
  lower = 0n;
  range = (1n << 64n) - 1n;
  held = null; // words that a carry may still change
  words = [];

  putBit(one, odds) {
    const zero = ((BigInt(65536 - odds) * 16777214n) >> 16n) + 1n;
    if (one) this.put(zero, (1n << 24n) - zero);
    else this.put(0n, zero);
  }

  /** start, width: of 2^24. */
  put(start, width) {
    const unit = this.range >> 24n;
    const lower = wrap(this.lower + unit * start);
    this.range = unit * width;
    if (this.held && wrap(lower + this.range) > lower) this.settle(lower < this.lower);
    this.lower = lower;
    if (this.range >= WORD) return;
    const word = this.lower >> 32n;
    [this.lower, this.range] = [wrap(this.lower << 32n), this.range << 32n];
    if (this.held) this.held.count++;
    else if (wrap(this.lower + this.range) > this.lower) this.words.push(word);
    else this.held = { first: word, count: 1 };
  }

  settle(carry) {
    this.words.push((this.held.first + (carry ? 1n : 0n)) % WORD);
    for (let n = 1; n < this.held.count; n++) this.words.push(carry ? 0n : WORD - 1n);
    this.held = null;
  }

  end() {
    const point = wrap(this.lower + WORD - 1n);
    if (this.held) this.settle(point < this.lower);
    this.words.push(point >> 32n);
    if (wrap(this.lower + this.range) >> 32n === point >> 32n) this.words.push(0n);
    const view = new DataView(new ArrayBuffer(4 * this.words.length));
    this.words.forEach((word, n) => view.setUint32(4 * n, Number(word), true));
    return new Uint8Array(view.buffer);
  }
}
