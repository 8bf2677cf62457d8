// node main.js classify HOST:PORT POINT RUNS FILE…   a line of JSON for each picture; POINT 0: the best; RUNS 0: a block
// node main.js check ROOT                            the vectors of a clone of the repository

import { readFile } from "node:fs/promises";
import { check } from "./check.js";
import { Edge } from "./edge.js";

const IN_FLIGHT = 16;

async function classify(address, point, runs, files) {
  const edge = await Edge.connect(address, { token: process.env.ARTOVEQ_TOKEN });
  const stream = await edge.stream();
  const chosen = point || edge.manifest.points.length;
  const rest = files.values();
  const work = async () => {
    for (const file of rest) {
      const { classification, point, bytes } = await stream.predict(await readFile(file), chosen, runs);
      const [{ index, name, probability }] = classification.classes;
      console.log(JSON.stringify({ file, point, bytes, index, name, probability }));
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  await stream.close();
  edge.close();
}

const [verb, first, point, runs, ...files] = process.argv.slice(2);
if (verb === "classify" && files.length) await classify(first, Number(point), Number(runs), files);
else if (verb === "check" && first) await check(first);
else {
  console.error("usage: node main.js classify HOST:PORT POINT RUNS FILE…\n       node main.js check ROOT");
  process.exit(2);
}
