// dash.js, set up for a peer on this machine, and the few things the page wants to hear from it.

/** Is everything here that playing needs? Returns null, or what is missing. */
export function missing() {
  if (typeof globalThis.dashjs === "undefined") return "library";
  if (!globalThis.dashjs.supportsMediaSource()) return "media-source";
  return null;
}

// What the peer reads (dashp2p/web/cmcd.py, cmcd_events.py): the rest would be bytes for nothing.
const REQUEST_KEYS = ["bl", "br", "bs", "d", "dl", "mtp", "nor", "nrr", "ot", "pr", "rtp", "sf", "sid", "st", "su", "tb", "v"];
const EVENTS = {
  events: ["ps", "bc", "t", "e"], // the state changed, the bitrate changed, time has passed, an error
  enabledKeys: ["bl", "br", "e", "msd", "pb", "pr", "sid", "sta", "ts", "v"],
  interval: 5,
  batchSize: 1,
};

/**
 * Settings for a player whose server is a cache and a crowd, not a far-away host.
 *
 * dash.js measures from the first byte to the last, so what the peer already holds looks like a
 * gigabit link. The peer knows better and says what the swarm can sustain: CMSD `etp` replaces the
 * measurement (weight 1) and `mb` caps the rung (CTA-5006). `etp` is left to dash.js; for `mb` see
 * MaximumBitrate.
 */
function settings(sid) {
  return {
    // Errors reach the page as events; the console stays for what dash.js itself can't handle.
    debug: { logLevel: globalThis.dashjs.Debug.LOG_LEVEL_ERROR },
    streaming: {
      // CTA-5004 in the query: no preflight, and the peer strips it from its keys. Of version 2, because
      // with that dash.js also reports by itself how it plays (event mode).
      cmcd: {
        enabled: true, sid, cid: null, mode: "query", version: 2,
        enabledKeys: REQUEST_KEYS, includeInRequests: ["segment", "mpd"],
        eventTargets: [{ enabled: true, url: new URL("/cmcd", location.href).href, ...EVENTS }],
      },
      cmsd: { enabled: true, abr: { applyMb: false, etpWeightRatio: 1 } },
      // "Faster than 10 ms must be the browser's cache" would throw away good samples with their etp.
      cacheLoadThresholds: { video: 0, audio: 0 },
      buffer: {
        bufferTimeDefault: 12,
        bufferTimeAtTopQuality: 12,
        bufferTimeAtTopQualityLongForm: 12,
        // Fetching buffered seconds again at a higher bitrate costs the origin a second copy.
        fastSwitchEnabled: false,
      },
      // dash.js gives up, and drops what it has buffered, after three attempts. A peer that is being
      // restarted is back before the buffer runs dry: ask as long as that lasts, and a little longer.
      // Without an MPD there is nothing to lose: the page looks for the reason, and again (recovery.js).
      retryAttempts: { MPD: 1, MediaSegment: 14, InitializationSegment: 5 },
      // All viewers begin on the same rung, so that the first segments are shared ones.
      lastBitrateCachingInfo: { enabled: false },
      lastMediaSettingsCachingInfo: { enabled: false },
      abr: {
        rules: {
          // BOLA follows the buffer alone: viewers of one swarm would drift to different rungs.
          bolaRule: { active: false },
          throughputRule: { active: true },
        },
        throughput: {
          // The default, EWMA, weights by download time: after one slow segment a hundred instant
          // ones hardly count. Weighted by bytes each sample counts, and a burst from the cache
          // (where no etp came) is as good as nothing in a harmonic mean.
          averageCalculationMode: "throughputCalculationModeByteSizeWeightedHarmonicMean",
        },
      },
      // Where dash.js parks a playhead that overshot; see "ended" in Player.
      seekDurationBackoff: 0.1,
      // Nothing on this page asks another host; live clocks will come from the peer.
      utcSynchronization: { enabled: false, defaultTimingSource: { value: "" } },
    },
  };
}

/**
 * Plays one MPD in one video element.
 *
 * Dispatches "rendered" (detail: bitrateBps, width, height, rung, rungs), "tracks" (detail: audio),
 * "blocked" (autoplay was refused), "ended" and "failed" (detail: code, message). After "failed" the
 * caller decides when to load() again.
 *
 * "ended" is not the element's: where the sound outlasts the MPD's duration by some milliseconds,
 * dash.js 5.2 may see the end before the element does, pause it and set it back a little, and the
 * element never says so.
 */
export class Player extends EventTarget {
  #video;
  #mpd;
  #sid;
  #dash = null;
  #maximum = null;

  constructor(video, mpd, sid) {
    super();
    this.#video = video;
    this.#mpd = mpd;
    this.#sid = sid;
  }

  get name() { return `dash.js ${globalThis.dashjs?.Version ?? "unknown"}`; }

  /** Seconds that can be played from here without another byte. */
  get bufferS() {
    const { buffered, currentTime } = this.#video;
    for (let index = 0; index < buffered.length; index += 1) {
      // Audio and video seldom begin on the same sample: allow for a gap that players jump.
      if (buffered.start(index) <= currentTime + 0.1 && currentTime < buffered.end(index)) {
        return buffered.end(index) - currentTime;
      }
    }
    return 0;
  }

  load(fromS = 0, autoplay = true) {
    this.stop();
    const dash = globalThis.dashjs.MediaPlayer().create();
    this.#dash = dash;
    dash.initialize();
    dash.updateSettings(settings(this.#sid));
    const events = globalThis.dashjs.MediaPlayer.events;
    dash.on(events.ERROR, (event) => this.#failed(dash, event.error));
    dash.on(events.PLAYBACK_NOT_ALLOWED, () => this.dispatchEvent(new Event("blocked")));
    dash.on(events.PLAYBACK_ENDED, (event) => { if (event.isLast) this.dispatchEvent(new Event("ended")); });
    dash.on(events.STREAM_INITIALIZED, () => this.#describeTracks(dash));
    dash.on(events.QUALITY_CHANGE_RENDERED, (event) => this.#rendered(dash, event));
    dash.addRequestInterceptor(async (request) => this.#introduce(request));
    this.#maximum = new MaximumBitrate(dash, this.#maximum);
    dash.addResponseInterceptor(async (response) => this.#maximum.heed(response));
    dash.attachView(this.#video);
    dash.setAutoPlay(autoplay);
    dash.attachSource(this.#mpd, fromS);
  }

  stop() {
    const dash = this.#dash;
    this.#dash = null;
    dash?.destroy();
  }

  #failed(dash, error) {
    // One broken segment raises several errors, and a player that was let go may still speak.
    if (dash !== this.#dash) return;
    // That a report did not reach the peer is no news about the film.
    if (error?.data?.request?.type === "CmcdEvent") return;
    const detail = { code: error?.code ?? 0, message: readable(error?.message) };
    this.dispatchEvent(new CustomEvent("failed", { detail }));
  }

  /** dash.js 5.2 has no CMCD yet when it asks for the MPD: without, that would be another session. */
  #introduce(request) {
    if (request.customData?.request?.type === "MPD") {
      const url = new URL(request.url, location.href);
      if (!url.searchParams.has("CMCD")) {
        url.searchParams.set("CMCD", `ot=m,sf=d,sid="${this.#sid}",su`);
        request.url = url.href;
      }
    }
    return request;
  }

  #describeTracks(dash) {
    this.#maximum.apply();
    const audio = dash.getTracksFor("audio").length > 0;
    this.dispatchEvent(new CustomEvent("tracks", { detail: { audio } }));
  }

  #rendered(dash, event) {
    const main = dash.getTracksFor("video").length > 0 ? "video" : "audio";
    if (event.mediaType !== main || !event.newRepresentation) return;
    const { bandwidth, width, height, absoluteIndex } = event.newRepresentation;
    const rungs = dash.getRepresentationsByTypeUnfiltered(main).length;
    const detail = { bitrateBps: bandwidth, width, height, rung: absoluteIndex + 1, rungs };
    this.dispatchEvent(new CustomEvent("rendered", { detail }));
  }
}

/**
 * Heeds CMSD `mb`, the highest bitrate worth asking for, in dash.js's stead: its own `applyMb` (5.2)
 * throws and ignores `mb` while there is no audio track, and ignores an `mb` below the lowest rung.
 */
class MaximumBitrate {
  #dash;
  #kbit = null;
  #video = null;

  /**
   * What `former` was told for the last player still counts: it may have failed at a rung that nobody
   * has while the origin is away, and would at once again.
   */
  constructor(dash, former) {
    this.#dash = dash;
    if (former?.#video == null) return;
    this.#kbit = former.#kbit;
    this.#limit(former.#video);
  }

  heed(response) {
    const type = response?.request?.customData?.request?.mediaType;
    const kbit = type === "audio" ? null : maximumBitrate(response?.headers);
    if (kbit !== null && kbit !== this.#kbit) {
      this.#kbit = kbit;
      this.apply();
    }
    return response;
  }

  apply() {
    if (this.#kbit === null) return;
    const rungs = this.#dash.isReady() ? this.#dash.getRepresentationsByTypeUnfiltered("video") : [];
    const lowest = rungs.length > 0 ? Math.min(...rungs.map((rung) => rung.bitrateInKbit)) : 0;
    // `mb` is for picture and sound together.
    const sounds = this.#dash.isReady() ? this.#dash.getRepresentationsByTypeUnfiltered("audio") : [];
    const sound = Math.max(0, ...sounds.map((one) => one.bitrateInKbit));
    this.#limit(Math.max(this.#kbit - Math.floor(sound), Math.ceil(lowest)));
  }

  #limit(video) {
    this.#video = video;
    this.#dash.updateSettings({ streaming: { abr: { maxBitrate: { video } } } });
  }
}

/** `mb` in kbit/s of the last item of a CMSD-Dynamic header, or null. */
function maximumBitrate(headers) {
  const last = String(headers?.["cmsd-dynamic"] ?? "").split(",").at(-1);
  const match = /;\s*mb=(\d{1,9})(?![\d.])/.exec(last);
  return match === null ? null : Number(match[1]);
}

/** dash.js's message with the addresses in it cut down to what a person can read. */
function readable(message) {
  return String(message || "unknown error").replace(/https?:\/\/[^\s/]+(\/[^\s?]*)\S*/g, "$1");
}

/** "720p", or the size where a picture is upright or has no common name. */
export function pictureName({ width, height }) {
  if (!width || !height) return "sound";
  return width >= height ? `${height}p` : `${width} × ${height}`;
}
