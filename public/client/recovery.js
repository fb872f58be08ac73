// When playing breaks: find out what is wrong, say it, and go on by itself as soon as it can.

const PROBE_TIMEOUT_MS = 5000;
// Somebody has to start a program or make a film: often enough to feel prompt, rare enough to be quiet.
const LOOK_AGAIN_MS = 3000;
const FIRST_WAIT_MS = 2000;
const LONGEST_WAIT_MS = 16000;
const ATTEMPTS = 5;
// Only a player that lasted this long has recovered; else a broken film would be loaded for ever.
const LASTED_S = 10;
// A longer step of the playhead is a seek.
const LONGEST_STEP_S = 2;
const LONGEST_DETAIL = 200;

/**
 * Asks for the MPD once and names what stands in the way: null (nothing), "film-missing",
 * "film-unavailable" or "peer-away", with a line of explanation where the peer sent one.
 */
export async function probe(mpd) {
  let answer;
  try {
    answer = await fetch(mpd, { cache: "no-store", signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
  } catch {
    return { kind: "peer-away", detail: null };
  }
  if (answer.ok) {
    await answer.body?.cancel();
    return { kind: null, detail: null };
  }
  const kind = answer.status === 404 || answer.status === 410 ? "film-missing" : "film-unavailable";
  return { kind, detail: await explanation(answer) };
}

async function explanation(answer) {
  const type = answer.headers.get("Content-Type") ?? "";
  try {
    if (type.startsWith("application/json")) {
      const { error } = await answer.json();
      return typeof error === "string" ? error.slice(0, LONGEST_DETAIL) : null;
    }
    if (type.startsWith("text/plain")) {
      return (await answer.text()).trim().split("\n")[0].slice(0, LONGEST_DETAIL) || null;
    }
  } catch {
    return null; // The status alone has to do: the page has a sentence for it.
  }
  return null;
}

export class Recovery {
  #video;
  #mpd;
  #notice;
  #stop;
  #load;
  #timer = null;
  #probing = false;
  #broken = false;
  #breaks = 0;
  #positionS = 0;
  #lastedS = 0;
  #wasPaused = false;

  /** `stop()` and `load(fromS, autoplay)` are the player's, with whatever the page does beside. */
  constructor({ video, mpd, notice, stop, load }) {
    this.#video = video;
    this.#mpd = mpd;
    this.#notice = notice;
    this.#stop = stop;
    this.#load = load;
    video.addEventListener("timeupdate", () => this.#moved());
    video.addEventListener("seeking", () => this.#moved());
  }

  /** Playing broke, with `error` ({code, message}). */
  begin(error) {
    if (this.#broken) return;
    this.#broken = true;
    this.#breaks += 1;
    this.#wasPaused = this.#video.paused && this.#positionS > 0;
    this.#stop();
    this.#look(error);
  }

  /** The viewer pressed the button, or the peer came back: look at once. */
  again() {
    if (this.#broken) this.#look(null);
  }

  async #look(error) {
    if (this.#probing) return;
    clearTimeout(this.#timer);
    this.#probing = true;
    const { kind, detail } = await probe(this.#mpd);
    this.#probing = false;
    if (kind !== null) {
      this.#show(kind, detail);
      this.#timer = setTimeout(() => this.#look(null), LOOK_AGAIN_MS);
    } else if (error === null) {
      this.#goOn();
    } else if (this.#breaks < ATTEMPTS) {
      this.#show("broken", error.message);
      const pause = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#breaks - 1));
      this.#timer = setTimeout(() => this.#goOn(), pause);
    } else {
      this.#breaks = 0;
      this.#show("gave-up", error.message);
    }
  }

  #show(kind, detail) {
    this.#notice.show(kind, { detail, action: () => this.again() });
  }

  #goOn() {
    clearTimeout(this.#timer);
    this.#broken = false;
    this.#lastedS = 0;
    this.#notice.show("loading");
    this.#load(this.#positionS, !this.#wasPaused);
  }

  /** Remembers the place: a player that goes sets the playhead back to 0. */
  #moved() {
    const positionS = this.#video.currentTime;
    if (this.#broken || positionS === 0) return;
    const step = positionS - this.#positionS;
    if (step > 0 && step < LONGEST_STEP_S) this.#lastedS += step;
    if (this.#lastedS > LASTED_S) this.#breaks = 0;
    this.#positionS = positionS;
  }
}
