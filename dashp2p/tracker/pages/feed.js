// The figures as they come: pushed over one stream for all tabs of this browser, else asked for.
//
// A browser opens six connections to a host, and a stream takes one for good. So a hidden tab lets
// its stream go, and of the visible ones that show the same swarm only one has it (Web Locks) and
// tells the others (BroadcastChannel). Where either is missing each tab has its own, and where the
// tracker has no stream left (503) it asks every few seconds.

const POLL_MS = 4000;
const SILENCE_MS = 9000;
const RETRY_MS = 3000;
const FRESH_S = 10;

/** Peers tell more often once somebody looks: until the first of them has, all figures are old. */
export function areOld(members) {
  return members.length > 0 && members.every((one) => one.seen_s > FRESH_S);
}

/**
 * Dispatches "figures" (detail: document, points, how: "stream" | "shared" | "asked") and "gone".
 * `points` is the history so far, oldest first, in the order of document.history.names.
 */
export class Feed extends EventTarget {
  #swarm;
  #running = false;
  #source = null;
  #timer = null;
  #silence = null;
  #channel = null;
  #giveUp = null;
  #release = null;
  #last = null;
  #points = [];

  constructor(swarm = null) {
    super();
    this.#swarm = swarm;
    this.visibility = () => (document.hidden ? this.#pause() : this.#go());
  }

  start() {
    document.addEventListener("visibilitychange", this.visibility);
    if (!document.hidden) this.#go();
  }

  stop() {
    document.removeEventListener("visibilitychange", this.visibility);
    this.#pause();
  }

  #go() {
    if (this.#running) return;
    this.#running = true;
    this.#listenForSilence();
    if (!navigator.locks || !globalThis.BroadcastChannel) {
      this.#stream();
      return;
    }
    const name = `dashp2p live ${this.#swarm ?? ""}`;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#heard(data);
    this.#channel.postMessage({ kind: "hello" });
    this.#giveUp = new AbortController();
    navigator.locks.request(name, { signal: this.#giveUp.signal }, () => this.#lead())
      .catch(() => { /* Aborted: the tab was hidden while it waited for its turn. */ });
  }

  #pause() {
    this.#running = false;
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#giveUp?.abort();
    this.#release?.();
    this.#release = null;
    this.#channel?.close();
    this.#channel = null;
  }

  /** This tab has the stream until it is hidden. */
  #lead() {
    if (!this.#running) return undefined;
    return new Promise((release) => {
      this.#release = release;
      this.#stream();
    });
  }

  #heard(message) {
    if (message.kind === "hello" && this.#release !== null && this.#last !== null) {
      const history = { names: this.#last.history?.names ?? [], points: this.#points };
      this.#channel.postMessage({ kind: "figures", document: { ...this.#last, history } });
    }
    if (message.kind === "figures") this.#take(message.document, "shared");
  }

  #stream() {
    const query = this.#swarm === null ? "" : `?swarm=${this.#swarm}`;
    const source = new EventSource(`/live${query}`);
    this.#source = source;
    source.onmessage = ({ data }) => this.#tell(JSON.parse(data), "stream");
    source.onerror = () => {
      if (source !== this.#source || source.readyState !== EventSource.CLOSED) return; // it tries again itself
      this.#source = null;
      this.#ask();
    };
  }

  async #ask() {
    clearTimeout(this.#timer);
    if (!this.#running) return;
    const named = this.#swarm === null ? "" : `&swarm=${this.#swarm}`;
    const past = this.#last === null ? "&history=1" : "";
    let found = null;
    try {
      const answer = await fetch(`/live?once=1${past}${named}`, { signal: AbortSignal.timeout(POLL_MS) });
      if (answer.ok) found = await answer.json();
    } catch {
      found = null; // Refused, late or no JSON: the silence is told when it has lasted.
    }
    if (!this.#running) return;
    if (found !== null) this.#tell(found, "asked");
    this.#timer = setTimeout(() => this.#ask(), found === null ? RETRY_MS : POLL_MS);
  }

  #tell(found, how) {
    this.#channel?.postMessage({ kind: "figures", document: found });
    this.#take(found, how);
  }

  #take(found, how) {
    if (!this.#running) return;
    this.#listenForSilence();
    this.#remember(found);
    this.#last = found.history || !this.#last?.history ? found : { ...found, history: this.#last.history };
    this.dispatchEvent(new CustomEvent("figures", { detail: { document: found, points: this.#points, how } }));
  }

  #remember(found) {
    const now = found.swarm?.now;
    if (found.history) this.#points = [...found.history.points];
    if (!now) this.#points = [];
    else if (this.#points.length === 0 || now[0] > this.#points.at(-1)[0]) this.#points.push(now);
    const oldest = found.now_s - 3600;
    while (this.#points.length > 0 && this.#points[0][0] < oldest) this.#points.shift();
  }

  #listenForSilence() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.dispatchEvent(new Event("gone"));
      // The tracker may be a new one by now, which knows nothing of this tab.
      this.#listenForSilence();
    }, SILENCE_MS);
  }
}
