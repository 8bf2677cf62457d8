// What the server tells: one stream of events at a time, opened anew whenever it ends.

const SILENCE_MS = 4000; // the server speaks once a second at least
const AGAIN_MS = 1000;

export class Feed {
  // told(news, first), gone(): nobody answers, refused(): a token is wanted, full(sentence): too many watch.
  constructor({ told, gone, refused, full }) {
    Object.assign(this, { told, gone, refused, full, events: null, edge: null });
  }

  // From now on: all edges, or one of them.
  watch(edge) {
    this.edge = edge;
    this.open();
  }

  async open() {
    this.close();
    const opening = (this.opening = {});
    try {
      const answer = await fetch("v1/models");
      if (opening !== this.opening) return;
      if (answer.status === 401) return this.refused();
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      this.models = await answer.json();
    } catch {
      if (opening === this.opening) this.failed();
      return;
    }
    if (opening !== this.opening) return;
    let first = true; // then the server tells all that it has
    this.events = new EventSource(this.edge === null ? "v1/edges" : `v1/edges?edge=${this.edge}`);
    this.events.addEventListener("edges", (event) => {
      this.await();
      this.told(JSON.parse(event.data), first, this.models);
      first = false;
    });
    this.events.onerror = () => this.broken(first);
    this.await();
  }

  await() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.failed(), SILENCE_MS);
  }

  // An event stream does not say why it was refused.
  async broken(first) {
    this.close();
    const opening = (this.opening = {});
    if (first) {
      try {
        const asked = await fetch("v1/edges", { headers: { Accept: "application/json" } });
        if (opening !== this.opening) return;
        if (asked.status === 429) {
          this.full((await asked.json()).detail);
          this.again = setTimeout(() => this.open(), 5 * AGAIN_MS);
          return;
        }
      } catch {
        // nobody answers
      }
    }
    if (opening === this.opening) this.failed();
  }

  failed() {
    this.close();
    this.gone();
    this.again = setTimeout(() => this.open(), AGAIN_MS);
  }

  close() {
    clearTimeout(this.silence);
    clearTimeout(this.again);
    this.events?.close();
    this.events = null;
    this.opening = null;
  }
}
