// Compiled, not run: how the package is used, by its types.
import { fetchModel, fromRgba, openEncoder, Stream } from "../src/index.js";

export async function classify(base: string, runtime: unknown, pixels: ImageData): Promise<string | undefined> {
  const model = await fetchModel(base);
  const encoder = await openEncoder(runtime, model, "wasm");
  const stream = await Stream.open(base, model, { name: "an example" });
  await stream.probe();
  const indices = await encoder.encode(encoder.fit(fromRgba(pixels)));
  let best: string | undefined;
  for await (const answer of stream.predict(indices, { budget: 500 })) best = answer.classification?.classes[0]?.name;
  stream.close();
  return best;
}
