// What a link carries, from the server's receipts. docs/links.md, "It measures". There is no clock in here: times are
// milliseconds, ours of any one monotonic clock, the server's as it sends them.

const SHORTEST_MS = 2; // what takes less may have come in one packet: the link is at least so fast
const AT_LEAST = 2; // by what "at least" raises the capacity, at most
const RISE = 0.5; // how much of a higher capacity is believed at once; a lower one is believed wholly
const REMEMBERED = 64; // messages that tell how far the clocks are apart
const SMALL = 64; // bytes; what is larger tells little of that

export class Link {
  /** Bits per second; null before the first receipt that says anything. */
  capacity = null;
  /** Milliseconds from a small message to what is said to it. */
  roundTrip = 0;
  #left = []; // [bytes so far, when it left, bytes], of messages that are not receipted
  #sent = 0;
  #offsets = []; // the server's clock less ours, and the way
  #newest = -Infinity; // when the newest message arrived, by the server's clock

  /** A message of so many bytes, which is counted in receipts, leaves at `now`. */
  sent(bytes, now) {
    this.#sent += bytes;
    this.#left.push([this.#sent, now, bytes]);
  }

  /** Messages whose receipt has not come. */
  get waiting() {
    return this.#left.length;
  }

  /** When the oldest of them left. */
  get waitingSince() {
    return this.#left[0]?.[1] ?? Infinity;
  }

  /** A Receipt, or the Pong of a padded Ping, comes at `now`. */
  receipted({ received_bytes, received_us }, now) {
    const arrived = received_us / 1000;
    while (this.#left.length && this.#left[0][0] <= received_bytes) {
      const [, left, bytes] = this.#left.shift();
      this.#learn(left, arrived, bytes, now);
    }
  }

  #learn(left, arrived, bytes, now) {
    if (bytes <= SMALL || !this.#offsets.length) this.roundTrip = now - left;
    this.#offsets = [...this.#offsets, arrived - left].slice(-REMEMBERED);
    const offset = Math.min(...this.#offsets); // nothing takes less than no time
    const took = arrived - Math.max(this.#newest, left + offset);
    this.#newest = arrived;
    if (bytes <= SMALL) return;
    const met = (8000 * bytes) / Math.max(took, SHORTEST_MS);
    const known = this.capacity;
    if (took < SHORTEST_MS) this.capacity = known === null ? met : Math.max(known, Math.min(met, AT_LEAST * known));
    else this.capacity = known === null || met < known ? met : known + RISE * (met - known);
  }
}
