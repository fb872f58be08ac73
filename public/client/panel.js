// The figures beside the film. Each function shows one kind of news; nothing here asks for any.

import * as format from "./format.js";
import { pictureName } from "./player.js";
import { headline, modeLabel, shares, SOURCES } from "./sources.js";

const ROWS = 8;
const FULL_BUFFER_S = 12;
const SHORT_ID = 8;
const TRACKER_GRACE_S = 5;

export class Panel {
  #root;
  #known = false;
  /** How many neighbours are listed; the details list all. */
  rows = ROWS;

  constructor(root = document) { this.#root = root; }

  /** The JSON of GET /stats, or null before the first answer. */
  showStats(stats) {
    this.#known = true;
    this.#root.body.dataset.peer = "here";
    const mode = modeLabel(stats);
    this.#text("mode", mode.text).dataset.tone = mode.tone;
    this.#text("peer-id", shortId(stats.peer));
    this.#text("headline", headline(stats));
    this.#showSources(stats.bytes ?? {});
    this.#showNeighbours(stats.neighbours ?? []);
    this.#text("uploaded", format.bytes(stats.bytes?.uploaded));
    this.#text("services", services(stats));
    this.#banner(bannerText(stats));
  }

  showPeerAway() {
    this.#root.body.dataset.peer = "away";
    this.#text("mode", "Peer away").dataset.tone = "bad";
    if (!this.#known) this.#text("headline", "Waiting for the peer");
    this.#banner("The peer on this machine does not answer. Start it with ./run-demo.sh 5, or look into its terminal.");
  }

  showPlayback({ bufferS, started }) {
    this.#text("buffer", started ? format.roughSeconds(bufferS) : format.UNKNOWN);
    const part = Math.min(1, Math.max(0, bufferS / FULL_BUFFER_S));
    this.#id("buffer-gauge").style.setProperty("--part", started ? part.toFixed(3) : "0");
    this.#id("buffer-gauge").dataset.low = String(started && bufferS < 2);
  }

  showPicture({ bitrateBps, width, height, rung, rungs }) {
    this.#text("picture", pictureName({ width, height }));
    const place = rungs > 1 ? ` · ${rung} of ${rungs}` : "";
    this.#text("picture-note", `${format.rate(bitrateBps)}${place}`);
  }

  /** A report of the QoE meter. */
  showQoe(report) {
    this.#text("startup", report.startup_ms === null ? format.UNKNOWN : format.seconds(report.startup_ms / 1000));
    if (report.startup_ms === null) return;
    this.#text("stalls", report.stalls === 0 ? "None" : String(report.stalls));
    const lost = report.stalls === 0 ? "since the start" : `${format.roughSeconds(report.stalled_ms / 1000)} in all`;
    this.#text("stalls-note", lost).dataset.bad = String(report.stalls > 0);
  }

  #showSources(bytes) {
    const share = shares(bytes);
    this.#id("split").dataset.empty = String(share.total === 0);
    for (const source of SOURCES) {
      const part = this.#id("split").querySelector(`.${source}`);
      part.hidden = share[source] === 0; // else its gap would show
      part.style.flexGrow = String(share[source]);
      const known = share.total > 0;
      const percentage = known ? format.percent(share[source]) : format.UNKNOWN;
      this.#pair(`from-${source}`, percentage, known ? format.bytes(bytes[source] ?? 0) : "");
    }
  }

  #showNeighbours(neighbours) {
    this.#text("neighbours", String(neighbours.length));
    this.#text("neighbours-note", neighboursNote(neighbours));
    this.#id("crowd").hidden = neighbours.length === 0;
    this.#id("crowd-empty").hidden = neighbours.length > 0;
    const busiest = [...neighbours]
      .sort((a, b) => (b.received_bytes - a.received_bytes) || a.peer.localeCompare(b.peer))
      .slice(0, this.rows);
    this.#id("crowd-rows").replaceChildren(...busiest.map(neighbourRow));
    const others = neighbours.length - busiest.length;
    this.#id("crowd-more").hidden = others === 0;
    this.#text("crowd-more", `and ${others} more`);
  }

  #banner(text) {
    this.#id("banner").hidden = text === null;
    this.#text("banner", text ?? "");
  }

  #pair(id, value, note) {
    const element = this.#id(id);
    if (element.dataset.shown === `${value} ${note}`) return;
    element.dataset.shown = `${value} ${note}`;
    const small = document.createElement("small");
    small.textContent = note;
    element.replaceChildren(document.createTextNode(`${value} `), small);
  }

  /** Writes only what changed, so that screen readers and selections are left in peace. */
  #text(id, text) {
    const element = this.#id(id);
    if (element.textContent !== text) element.textContent = text;
    return element;
  }

  #id(id) { return this.#root.getElementById(id); }
}

function shortId(peer) {
  return typeof peer === "string" ? peer.slice(0, SHORT_ID) : "…";
}

function services(stats) {
  const word = (service) => (service?.reachable ? "reachable" : "away");
  // Without the film's index a peer does not know of which film to speak to the tracker.
  const asked = stats.share !== "off" && stats.tracker?.asked !== false;
  const tracker = asked ? word(stats.tracker) : "not asked";
  return `Tracker ${tracker} · origin ${word(stats.origin)}`;
}

function bannerText(stats) {
  if (stats.mode === "pass-through") {
    return stats.message ?? "This film has no signed index, so nothing is shared: all of it passes through from the origin.";
  }
  if (stats.mode === "no-origin") {
    return stats.message ?? "The origin does not answer. What the viewers and this machine hold can still be played.";
  }
  if (stats.message) return stats.message;
  // In its first seconds a peer has asked nobody yet; one that shares nothing never does.
  if (stats.share !== "off" && stats.tracker?.reachable === false && stats.uptime_s > TRACKER_GRACE_S) {
    return "The tracker does not answer: viewers who know each other go on sharing, new ones are not found.";
  }
  return null;
}

/** What a link has shown that it can carry; a guess is none. */
function shown(neighbour, direction) {
  return neighbour[`${direction}_measured`] === false ? null : neighbour[`${direction}_bps`];
}

function neighboursNote(neighbours) {
  if (neighbours.length === 0) return "nobody yet";
  const fastest = Math.max(...neighbours.map((one) => shown(one, "download") ?? 0));
  return fastest > 0 ? `fastest: ${format.rate(fastest)}` : "none has sent much yet";
}

function neighbourRow(neighbour) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = shortId(neighbour.peer);
  const cells = [
    format.rate(shown(neighbour, "download")),
    format.rate(shown(neighbour, "upload")),
    format.bytes(neighbour.received_bytes),
    format.milliseconds(neighbour.rtt_ms),
  ].map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    return cell;
  });
  row.append(head, ...cells);
  return row;
}
