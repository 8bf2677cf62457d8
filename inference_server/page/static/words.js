// Numbers, times and answers as people read them.

export function rate(bitsPerSecond) {
  const kbits = bitsPerSecond / 1000;
  if (kbits >= 10000) return `${(kbits / 1000).toFixed(kbits < 1e5 ? 1 : 0)} Mbit/s`;
  return `${kbits < 10 ? kbits.toFixed(1) : Math.round(kbits).toLocaleString()} kbit/s`;
}

export function perSecond(value) {
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString();
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10000) return `${Math.round(value / 1000)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString()} ms`;
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

// Of memory, about.
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 9.95e6 ? 1 : 0)} MB`;
}

// Of a moment that many seconds ago.
export function ago(seconds) {
  return seconds < 2 ? "now" : `${duration(seconds)} ago`;
}

// Whether a metric is a share of the pictures.
export const isShare = (name) => name === "top1" || name === "accuracy";

// What a manifest says of accuracy: a share, or of another metric its number.
export function metric(value, name) {
  return isShare(name) ? `${(100 * value).toFixed(1)} %` : `${value.toFixed(1)} ${name === "psnr" ? "dB" : name}`;
}

// What an answer says, the most probable first: of classes, of answers to a question, or, of another task, each of its keys.
export function said(answer) {
  if (answer.classes) return answer.classes.map((c) => `${c.name} ${percent(c.probability)}`);
  if (answer.answers) return answer.answers.map((a) => `${a.text} ${percent(a.probability)}`);
  if (answer.png) return ["reconstructed"];
  const { point, payload_bytes, final, partial, ...keys } = answer;
  return Object.entries(keys).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
}

// A reconstruction, as an image takes it.
export function pictureOf(answer) {
  return `data:image/png;base64,${answer.png}`;
}
