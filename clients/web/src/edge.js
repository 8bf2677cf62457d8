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
    const { manifest, codec } = this.model;
    const size = manifest.preprocessing.size;
    const sizes = codec.refinable ? codec.sizesAfter(codec.planes.length) : manifest.points[(point ?? manifest.points.length) - 1].sizes;
    const { indices } = await this.session.run({
      picture: new this.ort.Tensor("uint8", input, [1, size, size, 3]),
      sizes: new this.ort.Tensor("int32", Int32Array.from(sizes), [sizes.length]),
    });
    return Array.from(indices.data);
  }
}
