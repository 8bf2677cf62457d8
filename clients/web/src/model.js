// The model, as a server hands it out. docs/wire.md, "The model" and "Over a WebSocket".

import { PayloadCodec } from "./payload.js";
import { sha256 } from "./sha256.js";

const FORMAT = 2;
const utf8 = new TextEncoder();

/** A server that answers with a problem, whose sentence this is; `status` is that of HTTP. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.name = "Refused";
    this.status = status;
  }
}

/** The fingerprint of a manifest. */
export function fingerprintOf(manifest) {
  const { fingerprint: _, ...rest } = manifest;
  return sha256(utf8.encode(canonical(rest)));
}

/** RFC 8785. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join()}}`;
}

/** What writes payloads of a model. tables: entropy.u16 as bytes, or null. */
export function codecOf({ segments, latent, planes, any_size, largest_size }, tables) {
  return new PayloadCodec({
    segments,
    positions: latent.shape[1] * latent.shape[2],
    planes: planes.map((plane) => plane.segments),
    anySize: any_size,
    largest: largest_size,
    d: latent.d,
    tables: tables && new Uint16Array(Uint8Array.from(tables).buffer), // a copy: a Buffer of Node may be a part of a larger one
  });
}

/**
 * A model of the server at `base` (https://HOST:8080/), fetched and checked: `{ manifest, encoder, codec }`.
 * name: name or fingerprint; the server's first model if left out. token: where the server wants one.
 */
export async function fetchModel(base, { name = "", token = "", fetch = globalThis.fetch } = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const get = async (path) => {
    const answer = await fetch(new URL(path, base), { headers });
    if (!answer.ok) throw new Refused(await sentence(answer), answer.status);
    return new Uint8Array(await answer.arrayBuffer());
  };
  const json = (bytes) => JSON.parse(new TextDecoder().decode(bytes));
  const served = json(await get("v1/models"));
  const one = name ? served.find((model) => model.name === name || model.fingerprint === name) : served[0];
  if (!one) throw new Refused(`The server has no model ${name}; name one of ${served.map((model) => model.name).join(", ")}.`, 404);
  const file = (path) => get(`v1/models/${one.fingerprint}/files/${path}`);
  const manifest = json(await file("manifest.json"));
  if (manifest.format_version !== FORMAT) throw new Error(`The model has format ${manifest.format_version}; this page reads ${FORMAT}.`);
  if (fingerprintOf(manifest) !== one.fingerprint) throw new Error("The manifest is not that of its fingerprint; ask whoever runs the server.");
  const checked = async (path) => {
    const bytes = await file(path);
    if (sha256(bytes) !== manifest.files[path]) throw new Error(`${path} is not the file of this model; ask whoever runs the server.`);
    return bytes;
  };
  const [encoder, tables] = await Promise.all([
    checked("encoder.onnx"),
    manifest.files["entropy.u16"] ? checked("entropy.u16") : null,
  ]);
  return { manifest, encoder, codec: codecOf(manifest, tables) };
}

async function sentence(answer) {
  try {
    return (await answer.json()).detail;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}
