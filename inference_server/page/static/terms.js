// What words mean, said where they stand: every button.term opens its sentence.

import { part } from "./dom.js";

const TERMS = {
  planes:
    "A picture becomes a few numbers, each the place of a code word in a learned table. A plane is one further bit of some of them. Planes travel one after the other; the server answers after the first and refines with each.",
  point:
    "An operating point says how fine the tables are, and so how many bytes a picture takes and how often the answer is right. Point 1 is the cheapest; point 0, where a model has it, is the edge's own answer, for which nothing is sent. For each picture the edge takes the point that its link carries before the deadline.",
  class: "One of the things that the model tells apart. The share beside it is how probable the model takes it to be; of answers that are 80 % sure, about 80 % are right.",
  capacity:
    "What the link delivers now to pictures like these, in bits a second, measured from the server's receipts: where a shaper lets the first bytes after a pause pass at once, small ones find more than it carries for long. The band is where eight of ten pictures are expected to find it. Without a number the pictures were too small to fill the link.",
  budget: "The time that the edge allows from picture to answer. Where the first answer comes later, the deadline is missed.",
  missed:
    "Each late picture is put down to the part of its time that took longest beyond what is usual there: encoding on the edge, the link, the server's queue, or decoding.",
  share:
    "Of a model there may be several versions. The current one is what edges get; a share of them, always the same ones, may get another one, the canary, until it is promoted or rolled back. The others answer only edges that have them already.",
  batch: "Pictures that come while the decoder is busy are decoded together. Larger batches say that more comes at once.",
  queue: "Pictures that have arrived and wait for the decoder.",
  p99: "Of a hundred pictures of the last minute, 99 took no longer on the server, from their last byte to the answer; p50: half of them.",
};

const box = part("explain");
let opener = null;

function close() {
  opener?.setAttribute("aria-expanded", "false");
  opener = null;
  box.hidePopover();
}

function open(term) {
  opener = term;
  box.textContent = TERMS[term.dataset.term];
  box.showPopover();
  const [at, size] = [term.getBoundingClientRect(), box.getBoundingClientRect()];
  const below = at.bottom + 8 + size.height <= innerHeight;
  box.style.left = `${Math.max(16, Math.min(at.left, innerWidth - size.width - 16))}px`;
  box.style.top = `${below ? at.bottom + 8 : Math.max(8, at.top - size.height - 8)}px`;
  term.setAttribute("aria-describedby", "explain");
  term.setAttribute("aria-expanded", "true");
}

export function explainTerms() {
  document.addEventListener("click", (event) => {
    const [term, before] = [event.target.closest?.("button.term"), opener];
    if (before && !box.contains(event.target)) close();
    if (term && term !== before) open(term);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && opener && close());
  addEventListener("hashchange", () => opener && close());
}
