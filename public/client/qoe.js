// What the viewer lives through: start-up, stalls, switches and bitrate (names as in CTA-2066).
// QoeMeter only counts, from the events it is told of; QoeReporter sends the count to the peer.

// Shorter than this nobody sees it: a repaint that came late, not a stall.
const SHORTEST_STALL_MS = 50;
// A stall is over when the picture moves again, whether or not the browser says "playing".
const MOVED_S = 0.1;
// A jump of the playhead beyond this is a seek or a suspended machine, not watched time.
const LONGEST_STEP_S = 2;
const REPORT_INTERVAL_MS = 5000;
// Changes of state come in flurries (seeking, waiting, playing): one report for each flurry.
const FLURRY_MS = 250;

export class QoeMeter extends EventTarget {
  #clock;
  #state = "starting";
  #attachedMs;
  #startupMs = null;
  #stalls = 0;
  #stalledMs = 0;
  #stallBeganMs = null;
  #stallBeganAtS = 0;
  #seeking = false;
  #positionS = 0;
  #bitrateBps = null;
  #weightedBits = 0;
  #playedS = 0;
  #switches = 0;
  #changedBps = 0;

  /** `clock` returns milliseconds and never goes back. */
  constructor(clock = () => performance.now()) {
    super();
    this.#clock = clock;
    this.#attachedMs = clock();
  }

  get state() { return this.#state; }

  /** The film was handed to the player. Start-up counts from here until it first plays. */
  attached() {
    if (this.#startupMs === null) {
      this.#attachedMs = this.#clock();
      this.#enter("starting");
    }
  }

  playing() {
    if (this.#startupMs === null) this.#startupMs = this.#clock() - this.#attachedMs;
    this.#seeking = false;
    this.#endStall();
    this.#enter("playing");
  }

  /** The player ran dry. Only counts between start-up and the end, and not while seeking. */
  waiting() {
    if (this.#startupMs === null || this.#seeking || this.#state !== "playing") return;
    this.#beginStall();
    this.#enter("stalled");
  }

  paused() {
    // A player that broke off pauses and rewinds the element: nothing that the viewer did.
    if (this.#startupMs === null || this.#state === "ended" || this.#state === "failed") return;
    this.#endStall();
    this.#enter("paused");
  }

  seeking() {
    if (this.#state === "failed" || this.#state === "ended") return;
    this.#endStall();
    this.#seeking = true;
    if (this.#state === "stalled") this.#enter("playing");
  }

  ended() {
    this.#endStall();
    this.#enter("ended");
  }

  /** Playback broke off. To one who watched that is a stall, until it plays again. */
  failed() {
    if (this.#state === "playing") this.#beginStall();
    this.#enter("failed");
  }

  /** What had failed stands ready again, but the viewer had paused it. */
  restored() {
    this.#endStall();
    this.#enter("paused");
  }

  /** Another representation has come on screen. */
  rendered(bitrateBps) {
    if (this.#bitrateBps !== null && this.#bitrateBps !== bitrateBps) {
      this.#switches += 1;
      this.#changedBps += Math.abs(bitrateBps - this.#bitrateBps);
    }
    this.#bitrateBps = bitrateBps;
  }

  /** The playhead is at `positionS` now; what it passed since the last time was watched. */
  progress(positionS) {
    if (this.#state === "failed") return;
    const step = positionS - this.#positionS;
    this.#positionS = positionS;
    if (this.#state === "stalled" && positionS - this.#stallBeganAtS > MOVED_S) this.playing();
    if (this.#seeking || step <= 0 || step > LONGEST_STEP_S || this.#bitrateBps === null) return;
    this.#weightedBits += this.#bitrateBps * step;
    this.#playedS += step;
  }

  /** The body of POST /qoe but for what only the reporter knows (sid, buffer, player). */
  report() {
    const open = this.#stallBeganMs === null ? 0 : this.#clock() - this.#stallBeganMs;
    const counts = open >= SHORTEST_STALL_MS;
    return {
      state: this.#state,
      startup_ms: this.#startupMs === null ? null : Math.round(this.#startupMs),
      stalls: this.#stalls + (counts ? 1 : 0),
      stalled_ms: Math.round(this.#stalledMs + (counts ? open : 0)),
      mean_bitrate_bps: this.#playedS > 0 ? Math.round(this.#weightedBits / this.#playedS) : 0,
      switches: this.#switches,
      changed_bps: this.#changedBps,
      played_s: Number(this.#playedS.toFixed(3)),
      position_s: Number(this.#positionS.toFixed(3)),
    };
  }

  #beginStall() {
    this.#stallBeganMs = this.#clock();
    this.#stallBeganAtS = this.#positionS;
  }

  #endStall() {
    if (this.#stallBeganMs === null) return;
    const lasted = this.#clock() - this.#stallBeganMs;
    this.#stallBeganMs = null;
    if (lasted < SHORTEST_STALL_MS) return;
    this.#stalls += 1;
    this.#stalledMs += lasted;
  }

  #enter(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

/** Tells a meter what a video element does. Of rendered(), ended() and failed() the player knows. */
export function listenTo(video, meter) {
  video.addEventListener("playing", () => meter.playing());
  video.addEventListener("waiting", () => meter.waiting());
  video.addEventListener("pause", () => { if (!video.ended) meter.paused(); });
  video.addEventListener("seeking", () => meter.seeking());
  video.addEventListener("timeupdate", () => meter.progress(video.currentTime));
}

/** Posts the meter's report every five seconds, after each change of state, and when the page goes. */
export class QoeReporter {
  #meter;
  #describe;
  #url;
  #flurry = null;

  /** `describe()` returns the fields that the meter does not know: sid, buffer_s, player. */
  constructor(meter, describe, url = "/qoe") {
    this.#meter = meter;
    this.#describe = describe;
    this.#url = url;
  }

  start() {
    setInterval(() => this.send(), REPORT_INTERVAL_MS);
    this.#meter.addEventListener("state", () => {
      if (this.#flurry !== null) return;
      this.#flurry = setTimeout(() => { this.#flurry = null; this.send(); }, FLURRY_MS);
    });
    addEventListener("pagehide", () => this.send());
  }

  send() {
    const body = JSON.stringify({ v: 1, ...this.#describe(), ...this.#meter.report() });
    fetch(this.#url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body,
      keepalive: true,
    }).catch(() => {
      // The feed of /stats tells the viewer that the peer is away; a lost report is no second alarm.
    });
  }
}
