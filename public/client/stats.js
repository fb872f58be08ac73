// Asks the peer for its figures once a second, and for nothing while nobody looks.

const INTERVAL_MS = 1000;
const TIMEOUT_MS = 4000;
// One missed answer is a hiccup of a busy machine; two in a row are news.
const MISSES_UNTIL_AWAY = 2;

/**
 * Dispatches "stats" (detail: the JSON of GET /stats) for each answer, and "away" when the peer
 * stops answering. Polls one after the other, so that a slow peer is never asked twice at a time.
 */
export class StatsFeed extends EventTarget {
  #url;
  #timer = null;
  #asking = false;
  #misses = 0;
  #everAnswered = false;

  constructor(url = "/stats") {
    super();
    this.#url = url;
  }

  start() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) clearTimeout(this.#timer);
      else this.poll();
    });
    this.poll();
  }

  async poll() {
    clearTimeout(this.#timer);
    if (this.#asking || document.hidden) return;
    this.#asking = true;
    let stats = null;
    try {
      const answer = await fetch(this.#url, {
        cache: "no-store",
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (answer.ok) stats = await answer.json();
    } catch {
      stats = null; // Refused, timed out or not JSON: for a viewer all the same, the peer is away.
    } finally {
      this.#asking = false;
    }
    this.#tell(stats);
    if (!document.hidden) this.#timer = setTimeout(() => this.poll(), INTERVAL_MS);
  }

  #tell(stats) {
    if (stats !== null && typeof stats === "object") {
      this.#misses = 0;
      this.#everAnswered = true;
      this.dispatchEvent(new CustomEvent("stats", { detail: stats }));
      return;
    }
    this.#misses += 1;
    const limit = this.#everAnswered ? MISSES_UNTIL_AWAY : 1;
    if (this.#misses >= limit) this.dispatchEvent(new Event("away"));
  }
}
