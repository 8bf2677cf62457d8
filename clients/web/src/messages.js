// Messages of remote_inference.proto, as protobuf has them: those that an edge sends and reads. A table and forty lines
// take 6 kB; the libraries take 50 and more, and one of them makes code from text, which pages should not allow.

const SCHEMA = {
  StreamRequest: {
    1: ["hello", "Hello"],
    2: ["payload", "Payload"],
    3: ["cancel", "Cancel"],
    4: ["ping", "Ping"],
    5: ["report", "Report"],
  },
  StreamResponse: {
    1: ["welcome", "Welcome"],
    2: ["answer", "Answer"],
    3: ["failure", "Failure"],
    4: ["receipt", "Receipt"],
    5: ["pong", "Pong"],
    6: ["bundle", "ResponseBundle"],
  },
  ResponseBundle: { 1: ["responses", ["StreamResponse"]] },
  Hello: { 1: ["fingerprint", "string"], 2: ["name", "string"], 3: ["reads_bundles", "bool"] },
  Welcome: { 1: ["server_version", "string"], 2: ["reads_coded", "bool"], 3: ["reads_bundles", "bool"] },
  Payload: {
    1: ["picture_id", "uint"],
    2: ["point", "uint"],
    3: ["first_plane", "uint"],
    4: ["plane_count", "uint"],
    5: ["data", "bytes"],
    6: ["packed", "bool"],
    7: ["top_k", "uint"],
    8: ["last", "bool"],
  },
  Cancel: { 1: ["picture_id", "uint"] },
  Ping: { 1: ["id", "uint"], 2: ["padding", "bytes"] },
  Pong: { 1: ["id", "uint"], 2: ["received_bytes", "uint"], 3: ["received_us", "uint"] },
  Report: {
    1: ["point", "uint"],
    2: ["payload_bytes", "uint"],
    3: ["capacity", "uint"],
    5: ["latency_us", "uint"],
    6: ["budget_us", "uint"],
    7: ["jpeg_bytes", "uint"],
    8: ["webp_bytes", "uint"],
    9: ["thumbnail", "bytes"],
  },
  Receipt: {
    1: ["picture_id", "uint"],
    2: ["planes", "uint"],
    3: ["received_bytes", "uint"],
    4: ["received_us", "uint"],
  },
  Answer: {
    1: ["picture_id", "uint"],
    2: ["point", "uint"],
    3: ["classification", "Classification"],
    4: ["other", "Struct"],
    5: ["partial", "bool"],
    6: ["final", "bool"],
    7: ["queue_us", "uint"],
    8: ["decode_us", "uint"],
    9: ["reconstruction", "Reconstruction"],
  },
  Classification: { 1: ["classes", ["ClassProbability"]] },
  ClassProbability: { 1: ["index", "uint"], 2: ["name", "string"], 3: ["probability", "float"] },
  Reconstruction: { 1: ["png", "bytes"] },
  Failure: {
    1: ["picture_id", "uint"],
    2: ["code", "uint"],
    3: ["message", "string"],
    4: ["retry_after_ms", "uint"],
  },
  Struct: { 1: ["fields", ["Field"]] },
  Field: { 1: ["key", "string"], 2: ["value", "Value"] },
  Value: {
    1: ["null", "uint"],
    2: ["number", "double"],
    3: ["string", "string"],
    4: ["bool", "bool"],
    5: ["struct", "Struct"],
    6: ["list", "ListValue"],
  },
  ListValue: { 1: ["values", ["Value"]] },
};
const WIRE = { uint: 0, bool: 0, double: 1, float: 5 }; // all others: 2, with a length
const NOTHING = { uint: 0, bool: false, float: 0, double: 0, string: "" };
const utf8 = new TextEncoder();
const text = new TextDecoder();

/** A message as bytes. kind: its name in remote_inference.proto. */
export function encode(kind, message) {
  const out = [];
  for (const [number, [name, type]] of Object.entries(SCHEMA[kind])) {
    const value = message[name];
    if (value === undefined || value === NOTHING[type] || (type === "bytes" && !value.length)) continue;
    for (const one of Array.isArray(type) ? value : [value]) write(out, Number(number), Array.isArray(type) ? type[0] : type, one);
  }
  return Uint8Array.from(out);
}

function write(out, number, type, value) {
  const wire = WIRE[type] ?? 2;
  varint(out, number * 8 + wire);
  if (wire === 0) return varint(out, Number(value));
  if (wire !== 2) throw new TypeError(`An edge sends no ${type}.`);
  const bytes = type === "bytes" ? value : type === "string" ? utf8.encode(value) : encode(type, value);
  varint(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

function varint(out, value) {
  while (value > 127) {
    out.push((value % 128) + 128);
    value = Math.floor(value / 128);
  }
  out.push(value);
}

/** Bytes as a message, in which what was not sent is as proto3 has it; other messages in it are left out where they are. */
export function decode(kind, bytes) {
  const message = {};
  for (const [name, type] of kind === "Value" ? [] : Object.values(SCHEMA[kind])) {
    if (Array.isArray(type)) message[name] = [];
    else if (type === "bytes") message[name] = new Uint8Array();
    else if (type in NOTHING) message[name] = NOTHING[type];
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const number = () => {
    for (let value = 0, unit = 1; ; unit *= 128) {
      const byte = view.getUint8(at++);
      value += (byte & 127) * unit;
      if (byte < 128) return value;
      if (unit > 2 ** 63) throw new RangeError("A number in the message has no end.");
    }
  };
  while (at < bytes.length) {
    const key = number();
    const wire = key % 8;
    let value;
    if (wire === 0) value = number();
    else if (wire === 1) [value, at] = [view.getFloat64(at, true), at + 8];
    else if (wire === 5) [value, at] = [view.getFloat32(at, true), at + 4];
    else if (wire === 2) {
      const length = number();
      if (length > bytes.length - at) throw new RangeError("The message was cut short.");
      [value, at] = [bytes.subarray(at, at + length), at + length];
    } else throw new RangeError("The bytes are not a message.");
    const field = SCHEMA[kind][Math.floor(key / 8)];
    if (!field) continue; // of a newer server
    const [name, type] = field;
    const one = Array.isArray(type) ? type[0] : type;
    if ((WIRE[one] ?? 2) !== wire) throw new RangeError(`${kind}.${name} is of another type.`);
    if (one === "bool") value = value !== 0;
    else if (one === "string") value = text.decode(value);
    else if (one === "bytes") value = value.slice();
    else if (one in SCHEMA) value = decode(one, value);
    if (Array.isArray(type)) message[name].push(value);
    else message[name] = value;
  }
  return message;
}

/** A google.protobuf.Struct as a plain object. */
export function plain(struct) {
  const value = (one) => {
    if (one.struct) return plain(one.struct);
    if (one.list) return one.list.values.map(value);
    return one.string ?? one.number ?? one.bool ?? null;
  };
  return Object.fromEntries(struct.fields.map((field) => [field.key, value(field.value ?? {})]));
}
