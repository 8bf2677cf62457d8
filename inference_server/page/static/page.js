// The page: which view is open, and what the server tells it.

import { explainTerms } from "./terms.js";
import { part, write } from "./dom.js";
import { Feed } from "./feed.js";
import { Overview } from "./overview.js";
import { EdgeView } from "./edge-view.js";
import { ServerView } from "./server-view.js";
import { ModelsView } from "./models-view.js";
import { TryView } from "./try.js";

const TITLES = { edges: "Edges", edge: "Edge", server: "Server", models: "Models", try: "Try it" };
const state = part("state");
let heard = null; // when the server last spoke
let models = null;

const overview = new Overview();
const edgeView = new EdgeView(part("view-edge"));
const serverView = new ServerView();
const modelsView = new ModelsView();
const tryView = new TryView();

function say(kind, text) {
  state.className = `status ${kind}`;
  write(state, text);
}

function notice(text) {
  part("outage").hidden = !text;
  write(part("outage"), text);
  part("views").classList.toggle("stale", Boolean(text));
}

const feed = new Feed({
  told(news, first, described) {
    say("live", "live");
    notice("");
    heard = new Date();
    part("access").hidden = true;
    part("views").hidden = false;
    if (first) renew(described);
    serverView.show(news, first);
    modelsView.show(news.server.models);
    if ("edge" in news) edgeView.show(news, first);
    else overview.show(news, first);
  },
  gone() {
    say("gone", "no connection");
    const as = heard ? ` What stands here is as it was at ${heard.toLocaleTimeString()}.` : "";
    notice(`The server is gone. Trying again every second.${as}`);
  },
  full(sentence) {
    say("gone", "too many viewers");
    notice(`${sentence} Trying again every five seconds.`);
  },
  refused() {
    say("gone", "A token is wanted.");
    notice("");
    part("views").hidden = true;
    part("access").hidden = false;
    part("token").focus();
  },
});

// The server may have come back with other models.
function renew(described) {
  const before = models?.map((model) => model.fingerprint).join();
  if (before === described.map((model) => model.fingerprint).join()) return;
  if (before) return location.reload();
  models = described;
  tryView.start(described);
  edgeView.start();
}

// #/edges, #/edges/7, #/server, #/models, #/try
function route() {
  const [, name = "edges", number] = location.hash.split("/");
  const view = name === "edges" && number ? "edge" : name in TITLES ? name : "edges";
  for (const each of Object.keys(TITLES)) part(`view-${each}`).hidden = each !== view;
  for (const link of document.querySelectorAll(".nav [data-view]")) {
    if (link.dataset.view === (view === "edge" ? "edges" : view)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TITLES[view]} · artoveq`;
  if (view !== "try") tryView.leave();
  const edge = view === "edge" ? Number.parseInt(number, 10) || 0 : null;
  if (view === "edge") edgeView.open(edge);
  if (view === "server") serverView.open();
  if (view === "models") modelsView.open();
  if (view === "try") tryView.open();
  return edge;
}

addEventListener("hashchange", () => {
  const edge = route();
  scrollTo(0, 0);
  part("main").focus({ preventScroll: true });
  if (edge !== feed.edge) feed.watch(edge);
});

// A cookie, because an event stream carries no header of ours.
part("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = encodeURIComponent(part("token").value.trim());
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `artoveq_token=${token}; path=/; SameSite=Strict${secure}`;
  feed.open();
});

explainTerms();
feed.watch(route());
