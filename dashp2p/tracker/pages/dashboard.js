// The tracker's dashboard: brings feed, tiles, charts, graph and tables together.

import { areOld, Feed } from "./feed.js";
import * as format from "./format.js";
import { Graph } from "./graph.js";
import { AudienceChart, DELIVERED, grown, ORIGIN, RateChart } from "./series.js";
import { showPeers, showSegments } from "./tables.js";

const MODES = {
  stream: ["Live", "good"],
  shared: ["Live", "good"],
  asked: ["Live, every 4 s", "good"],
};
// Fewer bytes than this in a minute say nothing about a share.
const TELLING_BYTES = 100_000;

const id = (name) => document.getElementById(name);

function write(name, text) {
  const element = id(name);
  if (element.textContent !== text) element.textContent = text;
  return element;
}

function percentage(part) {
  const value = 100 * Math.max(0, Math.min(1, part));
  return format.percent(value > 99 && value < 100 ? value.toFixed(1) : Math.round(value));
}

class Dashboard {
  swarm = new URLSearchParams(location.search).get("swarm");
  rates = new RateChart(id("rates"));
  audience = new AudienceChart(id("audience"));
  graph = new Graph(id("graph"), id("graph-said"));
  chosen = null;
  members = [];

  start() {
    const named = /^[0-9a-f]{64}$/.test(this.swarm ?? "") ? this.swarm : null;
    this.feed = new Feed(named);
    this.feed.addEventListener("figures", ({ detail }) => this.show(detail));
    this.feed.addEventListener("gone", () => this.showGone());
    this.graph.addEventListener("chosen", ({ detail }) => {
      this.chosen = detail;
      showPeers(id("peers"), this.members, detail);
    });
    id("swarms").addEventListener("change", ({ target }) => { location.search = `?swarm=${target.value}`; });
    this.feed.start();
  }

  show({ document: found, points, how }) {
    const members = found.swarm?.members ?? [];
    const [text, tone] = areOld(members) ? ["Asking the peers", "quiet"] : MODES[how];
    write("mode", text).dataset.tone = tone;
    id("banner").hidden = true;
    const empty = found.swarm === null;
    document.body.dataset.state = empty ? "empty" : "live";
    id("empty").hidden = !empty;
    id("filled").hidden = empty;
    this.showSwarms(found);
    if (empty) return;
    const { swarm } = found;
    this.members = members;
    this.showTiles(swarm, points);
    this.rates.show(points, found.now_s);
    this.audience.show(points, found.now_s);
    this.graph.show(swarm.members);
    showPeers(id("peers"), swarm.members, this.chosen);
    const left = swarm.peers - swarm.members.length;
    id("peers-more").hidden = left <= 0;
    write("peers-more", `and ${left} more`);
    showSegments(id("segments"), swarm.segments);
    const { figures } = swarm;
    write("services", `${figures.granted} leases granted, ${figures.takeovers} taken over, ${figures.hedges} hedges · tracker up ${duration(found.uptime_s)}`);
  }

  showGone() {
    document.body.dataset.state = document.body.dataset.state === "loading" ? "loading" : "gone";
    write("mode", "Tracker away").dataset.tone = "bad";
    id("banner").hidden = false;
    write("banner", "The tracker does not answer. Peers that know each other go on sharing; what you see is the last that it told. This page goes on by itself.");
  }

  showSwarms({ swarms, swarm }) {
    id("picker").hidden = swarms.length < 2 && this.swarm === null;
    const names = swarms.map((one) => `${one.swarm.slice(0, 12)} (${format.plural(one.peers, "peer", "peers")})`);
    const select = id("swarms");
    if (document.activeElement !== select && select.dataset.shown !== names.join()) {
      select.dataset.shown = names.join();
      select.replaceChildren(...swarms.map((one, at) => new Option(names[at], one.swarm)));
    }
    if (swarm !== null && document.activeElement !== select) select.value = swarm.swarm;
  }

  showTiles(swarm, points) {
    const { totals } = swarm;
    const [delivered, origin] = [totals.delivered_bytes ?? 0, totals.origin_bytes ?? 0];
    const overall = delivered > 0 ? percentage(1 - origin / delivered) : format.UNKNOWN;
    const now = swarm.now[0];
    const [gained, left] = points.length > 1
      ? [grown(points, now, DELIVERED).amount, grown(points, now, ORIGIN).amount]
      : [0, 0];
    const live = gained >= TELLING_BYTES;
    write("offload", live ? percentage(1 - left / gained) : overall);
    write("offload-note", live ? `in the last minute; ${overall} since the start` : "since the start");
    write("copies", swarm.copies === null ? format.UNKNOWN : swarm.copies.toFixed(2));
    write("saved", format.bytes(Math.max(0, delivered - origin)));
    write("saved-note", `of ${format.bytes(delivered)} delivered`);
    const [, peers, viewers, bitrate] = swarm.now;
    write("viewers", String(viewers));
    write("viewers-note", format.plural(peers, "peer", "peers"));
    write("bitrate", bitrate > 0 ? format.rate(bitrate) : format.UNKNOWN);
    const [stalls, stalledS] = swarm.now.slice(-2);
    const playedS = (totals.player_played_ms_total ?? 0) / 1000;
    const told = playedS > 0 || stalls > 0; // some players report nothing
    write("stalls", told ? (stalls === 0 ? "None" : String(stalls)) : format.UNKNOWN);
    write("stalls-note", stalls === 0
      ? (told ? `in ${duration(playedS)} of film seen` : "no player has reported yet")
      : `${format.roughSeconds(stalledS)}, ${format.percent(((100 * stalledS) / Math.max(1e-9, stalledS + playedS)).toFixed(2))} of the time`);
  }
}

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)}\u202fs`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}\u202fmin`;
  return `${(seconds / 3600).toFixed(1)}\u202fh`;
}

new Dashboard().start();
