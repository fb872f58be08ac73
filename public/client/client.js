// The player page: brings player, panel, charts and reports together.

import { PlaybackChart, SourceChart } from "./chart.js";
import * as format from "./format.js";
import { listenForKeys } from "./keys.js";
import { Notice } from "./notice.js";
import { Panel } from "./panel.js";
import { missing, pictureName, Player } from "./player.js";
import { listenTo, QoeMeter, QoeReporter } from "./qoe.js";
import { Recovery } from "./recovery.js";
import { Inside } from "./inside.js";
import { headline } from "./sources.js";
import { StatsFeed } from "./stats.js";

const DEFAULT_MPD = "/dash/dash.mpd";
const TICK_MS = 1000;
const SLOW_START_MS = 8000;
const NEAR_END_S = 1;
// A screen reader hears the headline now and then, not each second.
const SAY_HEADLINE_EVERY_S = 60;

/** The film's path from ?mpd=, or null when it is no path on this server. */
function mpdPath(search, origin) {
  const wanted = new URLSearchParams(search).get("mpd");
  if (wanted === null) return DEFAULT_MPD;
  if (!wanted.startsWith("/")) return null;
  let url;
  try {
    url = new URL(wanted, origin);
  } catch {
    return null;
  }
  // "//elsewhere/x" and "/\elsewhere/x" begin with a slash and still name another server.
  return url.origin === origin ? url.pathname + url.search : null;
}

/** A name for this viewing, for CMCD and QoE alike. randomUUID() exists on secure origins only. */
function sessionId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const random = Array.from(crypto.getRandomValues(new Uint8Array(16)));
  const hex = random.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

class Page {
  video = document.getElementById("video");
  unmute = document.getElementById("unmute");
  live = document.getElementById("live");
  notice = new Notice();
  panel = new Panel();
  inside = new Inside((shown) => { this.panel.rows = shown ? Infinity : 8; });
  sourceChart = new SourceChart(document.getElementById("source-chart"));
  playbackChart = new PlaybackChart(document.getElementById("playback-chart"));
  feed = new StatsFeed();
  meter = new QoeMeter();
  stats = null;
  peerAway = false;
  picture = null;
  autoplay = true;
  hasAudio = false;
  saidHeadlineS = -SAY_HEADLINE_EVERY_S;

  start() {
    this.watchPeer();
    listenForKeys(this.video, document.getElementById("stage"), () => this.inside.toggle());
    const mpd = mpdPath(location.search, location.origin);
    const lack = missing();
    if (mpd === null) {
      this.notice.show("bad-address", { action: () => location.assign(location.pathname) });
    } else if (lack !== null) {
      this.notice.show(lack, { action: () => location.reload() });
    } else {
      this.play(mpd);
    }
  }

  watchPeer() {
    this.feed.addEventListener("stats", ({ detail }) => {
      if (this.peerAway) {
        this.say("The peer answers again.");
        this.recovery?.again();
      }
      this.peerAway = false;
      this.stats = detail;
      this.panel.showStats(detail);
      this.inside.showStats(detail);
      this.sourceChart.add(performance.now() / 1000, detail.bytes ?? {});
      this.sayHeadline();
    });
    this.feed.addEventListener("away", () => {
      if (!this.peerAway) this.say("The peer on this machine does not answer.");
      this.peerAway = true;
      this.panel.showPeerAway();
    });
    this.feed.start();
  }

  play(mpd) {
    const sid = sessionId();
    this.player = new Player(this.video, mpd, sid);
    const { video, notice } = this;
    const load = (fromS, autoplay) => this.load(fromS, autoplay);
    this.recovery = new Recovery({ video, mpd, notice, load, stop: () => this.player.stop() });
    this.listenToPlayer();
    this.listenToVideo();
    const describe = () => ({ sid, buffer_s: this.bufferS(), player: this.player.name });
    new QoeReporter(this.meter, describe).start();
    setInterval(() => this.tick(), TICK_MS);
    notice.show("loading");
    load(0, true);
  }

  load(fromS, autoplay) {
    this.autoplay = autoplay;
    this.meter.attached();
    this.player.load(fromS, autoplay);
    clearTimeout(this.slowTimer);
    this.slowTimer = setTimeout(() => {
      if (this.notice.kind === "loading") this.notice.show("slow");
    }, SLOW_START_MS);
  }

  /** Nothing says "playing" of a film that was paused before it broke. */
  standReady() {
    if (this.autoplay || !["loading", "slow"].includes(this.notice.kind)) return;
    this.meter.restored();
    this.meter.progress(this.video.currentTime);
    this.notice.hide();
  }

  listenToPlayer() {
    this.player.addEventListener("failed", ({ detail }) => {
      this.meter.failed();
      this.recovery.begin(detail);
    });
    this.player.addEventListener("rendered", ({ detail }) => {
      this.picture = detail;
      this.meter.rendered(detail.bitrateBps);
      this.panel.showPicture(detail);
    });
    this.player.addEventListener("tracks", ({ detail }) => {
      this.hasAudio = detail.audio;
      this.offerSound();
    });
    this.player.addEventListener("ended", () => {
      this.meter.ended();
      this.showEnd();
    });
    this.player.addEventListener("blocked", () => {
      this.notice.show("blocked", { action: () => this.playOnClick() });
    });
    this.meter.addEventListener("state", ({ detail }) => this.announce(detail));
  }

  listenToVideo() {
    listenTo(this.video, this.meter);
    const clear = () => this.notice.hide();
    this.video.addEventListener("playing", clear);
    // The viewer took the slider; dash.js moves by less when it parks the playhead at the end.
    this.video.addEventListener("seeking", () => {
      const fromEnd = this.video.duration - this.video.currentTime;
      if (this.notice.kind === "ended" && fromEnd > NEAR_END_S) clear();
    });
    this.video.addEventListener("canplay", () => this.standReady());
    const stage = document.getElementById("stage");
    for (const name of ["waiting", "seeking"]) {
      this.video.addEventListener(name, () => { stage.dataset.waiting = "true"; });
    }
    for (const name of ["playing", "canplay", "emptied"]) {
      this.video.addEventListener(name, () => { delete stage.dataset.waiting; });
    }
    this.video.addEventListener("volumechange", () => this.offerSound());
    this.unmute.addEventListener("click", () => {
      this.video.muted = false;
      if (this.video.volume === 0) this.video.volume = 1;
      this.video.focus({ preventScroll: true });
    });
  }

  playOnClick() {
    // The wait for the click was not the network's: start-up counts from the click on.
    this.meter.attached();
    this.video.play().catch((error) => {
      this.notice.show("gave-up", { detail: error.message, action: () => location.reload() });
    });
  }

  showEnd() {
    const given = this.stats?.bytes?.uploaded ?? 0;
    const text = given > 0
      ? `You passed ${format.bytes(given)} of it on to other viewers.`
      : "Nobody needed a part of it from you this time.";
    this.notice.show("ended", { text: [text], action: () => this.playAgain() });
  }

  playAgain() {
    this.notice.hide();
    this.video.currentTime = 0;
    this.playOnClick();
  }

  offerSound() {
    this.unmute.hidden = !(this.hasAudio && this.video.muted);
  }

  bufferS() {
    return Number(this.player.bufferS.toFixed(3));
  }

  tick() {
    const report = this.meter.report();
    const started = report.startup_ms !== null;
    this.panel.showQoe(report);
    this.panel.showPlayback({ bufferS: this.player.bufferS, started });
    if (started && report.state !== "ended" && !document.hidden) {
      this.playbackChart.add(performance.now() / 1000, this.player.bufferS, this.picture?.bitrateBps ?? null);
    }
  }

  announce(state) {
    const { width, height } = this.picture ?? {};
    const words = {
      playing: `Playing${width ? ` in ${pictureName({ width, height })}` : ""}.`,
      paused: "Paused.",
      stalled: "Waiting for the next part of the film.",
      ended: "That was the film.",
      failed: "Playback stopped. This page looks for the reason.",
    };
    this.panel.showQoe(this.meter.report());
    if (words[state]) this.say(words[state]);
  }

  sayHeadline() {
    const now = performance.now() / 1000;
    if (now - this.saidHeadlineS < SAY_HEADLINE_EVERY_S) return;
    if (!this.stats.bytes || this.meter.state !== "playing") return;
    this.saidHeadlineS = now;
    this.say(`${headline(this.stats)}.`);
  }

  say(text) {
    this.live.textContent = text;
  }
}

new Page().start();
