// The page: live cards of the edges that are connected, and a picture of one's own.

import { Card } from "./card.js";
import { start } from "./try.js";

const SILENCE_MS = 4000; // the server speaks four times a second

const state = document.getElementById("state");
const cards = new Map();
let model = null;
let silence = 0;
let heard = null; // when the server last spoke

function say(kind, text) {
  if (state.textContent === text) return;
  state.className = `status ${kind}`;
  state.textContent = text;
}

function gone() {
  say("gone", "The server is gone. Trying again…");
  document.getElementById("edges").classList.add("stale");
  if (cards.size) count(`as they were at ${heard.toLocaleTimeString()}`);
}

function count(text) {
  document.getElementById("count").textContent = text;
}

function hint(port) {
  const tls = location.protocol === "https:" ? " --tls" : "";
  const token = document.cookie.includes("artoveq_token=") ? " --token TOKEN" : "";
  document.getElementById("hint").textContent =
    `artoveq watch camera:0 --server ${location.hostname}:${port}${tls}${token} --report`;
}

function show(news) {
  hint(news.port);
  heard = new Date();
  const shown = new Set(news.edges.map((edge) => edge.number));
  for (const [number, card] of cards) {
    if (!shown.has(number)) {
      card.remove();
      cards.delete(number);
    }
  }
  for (const edge of news.edges) {
    if (!cards.has(edge.number)) cards.set(edge.number, new Card(document.getElementById("edges")));
    cards.get(edge.number).update(edge, news.now);
  }
  const more = news.connected > news.edges.length ? `, the ${news.edges.length} last active` : "";
  count(news.connected ? `${news.connected} connected${more}` : "");
  document.getElementById("nobody").hidden = news.connected > 0;
  document.getElementById("edges").classList.remove("stale");
}

class Refused extends Error {}

// A cookie, because an event stream carries no header of ours.
document.getElementById("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = encodeURIComponent(document.getElementById("token").value.trim());
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `artoveq_token=${token}; path=/; SameSite=Strict${secure}`;
  document.getElementById("access").hidden = true;
  live();
});

async function describe() {
  const answer = await fetch("v1/model");
  if (answer.status === 401) throw new Refused();
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  const described = await answer.json();
  if (model && model.fingerprint !== described.fingerprint) location.reload(); // it came back with another model
  model = described;
  document.getElementById("model").textContent = `${model.name}, ${model.task.name}, ${model.points.length} operating points`;
}

async function live() {
  try {
    await describe();
  } catch (error) {
    if (error instanceof Refused) {
      say("gone", "A token is wanted.");
      document.getElementById("access").hidden = false;
      return;
    }
    gone();
    setTimeout(live, 1000);
    return;
  }
  start(model);
  const events = new EventSource("v1/edges");
  let first = true; // then the server tells all that it has once more
  const again = () => {
    clearTimeout(silence);
    events.close();
    gone();
    setTimeout(live, 1000);
  };
  events.addEventListener("edges", (event) => {
    say("live", "live");
    if (first) {
      for (const card of cards.values()) card.remove();
      cards.clear();
      first = false;
    }
    show(JSON.parse(event.data));
    clearTimeout(silence);
    silence = setTimeout(again, SILENCE_MS);
  });
  events.onerror = again;
}

live();
