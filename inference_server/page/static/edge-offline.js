// The page of an edge without its server: what it is made of, and the model, are kept as they were fetched last.

const KEPT = "artoveq-edge";
const FOR_GOOD = /\/v1\/models\/[0-9a-f]{64}\/files\//; // never change
const OURS = /\/(edge[^/]*|[^/]*\.css|words\.js|icon\.svg|web\/[^/]+|vendor\/ort\/[^/]+|v1\/models(\/.*)?)$/;

const PAGE = ["edge", "edge.js", "edge-shown.js", "edge-worker.js", "words.js", "icon.svg", "page.css", "layout.css", "figures.css", "controls.css", "marks.css", "edge.css"];
const PACKAGE = ["index", "edge", "link", "messages", "model", "payload", "picture", "plan", "sha256", "stream"].map((name) => `web/${name}.js`);

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll([...PAGE, ...PACKAGE])));
});
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method === "GET" && origin === self.location.origin && OURS.test(pathname)) event.respondWith(answer(request, pathname));
});

async function answer(request, pathname) {
  const kept = await caches.open(KEPT);
  const same = { ignoreSearch: request.mode === "navigate", ignoreVary: true };
  const found = await kept.match(request, same);
  if (found && FOR_GOOD.test(pathname)) return found;
  try {
    const fetched = await fetch(request);
    if (fetched.ok && request.method === "GET") await keep(kept, request, fetched.clone(), pathname);
    return fetched;
  } catch (error) {
    if (found) return found;
    throw error;
  }
}

/** Of models the newest one alone is kept. */
async function keep(kept, request, response, pathname) {
  await kept.put(request, response);
  const model = pathname.match(FOR_GOOD) && pathname.split("/files/")[0];
  for (const one of model ? await kept.keys() : []) {
    const path = new URL(one.url).pathname;
    if (FOR_GOOD.test(path) && !path.startsWith(`${model}/`)) await kept.delete(one);
  }
}
