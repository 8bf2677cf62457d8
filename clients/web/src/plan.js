// Which operating point, and in which messages. docs/wire.md, "The model".

const RUNS = 8; // in which a chain of planes is sent at most

/** The number of the last point whose payload has no more bytes; the first one where none has so few. */
export function pointWithin({ points }, bytes) {
  return Math.max(1, points.findLastIndex((point) => point.payload_bytes <= bytes) + 1);
}

/** Bytes that a link of so many bits per second carries in the milliseconds that are left; without a capacity, none. */
export function carried(capacity, ms) {
  return capacity === null ? 0 : Math.max(0, (capacity * ms) / 8000);
}

/** How many planes the last point of the chain within so many bytes has, at least one. */
export function planesWithin({ planes }, bytes) {
  let sum = 0;
  const over = planes.findIndex((plane) => (sum += plane.payload_bytes) > bytes);
  return over < 0 ? planes.length : Math.max(1, over);
}

/** `count` planes in runs, [first, number] of each: as near as they come to equal parts of the chain. */
export function runsOf(count, chain) {
  const step = Math.max(1, Math.ceil(chain / RUNS));
  return Array.from({ length: Math.ceil(count / step) }, (_, n) => [n * step + 1, Math.min(step, count - n * step)]);
}
