// An edge: a picture in, indices out. ONNX Runtime Web is given to it, since pages load it in ways of their own.

import { fitPicture } from "./picture.js";

/** The encoder of a model, on `backend` "wasm" or "webgpu". ort: the module of ONNX Runtime Web, its paths set. */
export async function openEncoder(ort, model, backend = "wasm") {
  const session = await ort.InferenceSession.create(model.encoder, { executionProviders: [backend] });
  return new Encoder(ort, session, model);
}

class Encoder {
  constructor(ort, session, model) {
    Object.assign(this, { ort, session, model });
  }

  /** The encoder's input (S × S × 3, R G B) of a picture `{ rgb, width, height }`. */
  fit(picture) {
    return fitPicture(picture, this.model.manifest.preprocessing.size);
  }

  /**
   * The indices (M,) of such an input: of a refinable model at the last point of its chain, from which all others
   * follow, else at `point`.
   */
  async encode(input, point = null) {
    return (await this.encodeAndAnswer(input, point)).indices;
  }

  /** As `encode`: `{ indices, own }`. own: the edge's own answer (point 0), its classes, the most probable one first; null where the model has no local head. */
  async encodeAndAnswer(input, point = null) {
    const { manifest, codec } = this.model;
    const size = manifest.preprocessing.size;
    const sizes = codec.refinable ? codec.sizesAfter(codec.planes.length) : manifest.points[(point ?? manifest.points.length) - 1].sizes;
    const { indices, local_logits: logits } = await this.session.run({
      picture: new this.ort.Tensor("uint8", input, [1, size, size, 3]),
      sizes: new this.ort.Tensor("int32", Int32Array.from(sizes), [sizes.length]),
    });
    const own = manifest.local_head && logits ? classesOf(logits.data, manifest) : null;
    return { indices: Array.from(indices.data), own };
  }
}

function classesOf(logits, { local_head: { temperature }, task }) {
  const most = Math.max(...logits);
  const shares = Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share, index) => ({ index, name: task.classes[index], probability: share / sum })).sort((a, b) => b.probability - a.probability);
}
