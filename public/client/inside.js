// The second view, for the curious: every segment as a cell, and how much time each request had left.

import { SlackChart } from "./chart.js";
import * as format from "./format.js";

const LETTERS = { peers: "V", cache: "C", origin: "O" };
const NAMES = { peers: "other viewers", cache: "this machine’s cache", origin: "the origin" };
const ROWS = [
  ["video", "Picture"],
  ["audio", "Sound"],
  ["other", "Lists, beginnings, proof"],
];
const HASH = "#details";

/** Where most of a record's bytes came from, or null before any did. */
export function mainSource(record) {
  const most = ["peers", "cache", "origin"].reduce((best, source) => (record[source] > record[best] ? source : best));
  return record[most] > 0 ? most : null;
}

/** What one cell stands for, in a sentence. */
export function describe(record) {
  const total = record.peers + record.cache + record.origin;
  const parts = ["peers", "cache", "origin"]
    .filter((source) => record[source] > 0)
    .map((source) => `${format.percent(Math.round((100 * record[source]) / total))} from ${NAMES[source]}`);
  const words = [`${record.path}, ${format.bytes(record.size_bytes)}`, parts.join(" and ")];
  words.push(`first byte after ${format.milliseconds(record.first_byte_ms)}, whole after ${format.milliseconds(record.took_ms)}`);
  if (record.slack_ms !== null) words.push(slackWords(record.slack_ms));
  if (record.hedges > 0) words.push(format.plural(record.hedges, "hedge", "hedges"));
  if (record.duplicate_bytes > 0) words.push(`${format.bytes(record.duplicate_bytes)} came twice`);
  return `${words.filter(Boolean).join("; ")}.`;
}

function slackWords(slackMs) {
  const time = format.seconds(Math.abs(slackMs) / 1000);
  return slackMs < 0 ? `${time} too late` : `${time} before it was needed`;
}

function rowOf(record) {
  return record.kind === "video" || record.kind === "audio" ? record.kind : "other";
}

export class Inside {
  #section = document.getElementById("inside");
  #cells = document.getElementById("cells");
  #told = document.getElementById("cell-told");
  #film = document.getElementById("view-film");
  #details = document.getElementById("view-details");
  #chart = new SlackChart(document.getElementById("slack-chart"));
  #changed;
  #records = [];
  #shown = "";
  #chosen = null;

  /** `changed(shown)` hears whether the details are on the page. */
  constructor(changed) {
    this.#changed = changed;
    this.#film.addEventListener("click", () => this.#show(false));
    this.#details.addEventListener("click", () => this.#show(true));
    this.#cells.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("hashchange", () => this.#show(location.hash === HASH));
    this.#show(location.hash === HASH);
  }

  toggle() { this.#show(this.#section.hidden); }

  #show(details) {
    this.#section.hidden = !details;
    document.body.dataset.view = details ? "details" : "film";
    this.#film.setAttribute("aria-pressed", String(!details));
    this.#details.setAttribute("aria-pressed", String(details));
    if ((location.hash === HASH) !== details) history.replaceState(null, "", details ? HASH : location.pathname + location.search);
    this.#changed(details);
    this.#shown = "";
  }

  /** The JSON of GET /stats. */
  showStats(stats) {
    if (this.#section.hidden) return;
    this.#records = stats.segments ?? [];
    const shown = this.#records.map((record) => `${record.path} ${record.at_s}`).join();
    const empty = document.getElementById("cells-empty");
    empty.hidden = this.#records.length > 0;
    // A peer names what it plays to its own machine only.
    const fetched = (stats.bytes?.peers ?? 0) + (stats.bytes?.origin ?? 0) > 0;
    empty.textContent = fetched ? "The peer lists its segments on its own machine only." : "No segment has been fetched yet.";
    if (shown !== this.#shown) this.#build(shown);
    const points = this.#records
      .filter((record) => record.slack_ms !== null)
      .map((record) => ({ t: record.at_s, slack: record.slack_ms / 1000, source: mainSource(record) }))
      .sort((a, b) => a.t - b.t);
    if (points.length > 0) this.#chart.show(points, stats.uptime_s);
  }

  #build(shown) {
    const focused = this.#cells.contains(document.activeElement);
    this.#shown = shown;
    const rows = ROWS.map(([kind, name]) => this.#row(kind, name)).filter((row) => row !== null);
    this.#cells.replaceChildren(...rows);
    const cells = this.#all();
    const stop = cells.find((cell) => cell.dataset.path === this.#chosen) ?? cells.at(-1);
    if (stop) stop.tabIndex = 0;
    if (focused) stop?.focus();
  }

  #row(kind, name) {
    const records = this.#records
      .filter((record) => rowOf(record) === kind)
      .sort((a, b) => (a.number ?? -1) - (b.number ?? -1) || a.at_s - b.at_s);
    if (records.length === 0) return null;
    const row = document.createElement("div");
    row.className = "cell-row";
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", name);
    const label = document.createElement("span");
    label.className = "cell-row-name";
    label.setAttribute("aria-hidden", "true");
    label.textContent = name;
    const list = document.createElement("div");
    list.className = "cell-list";
    list.append(...records.map((record) => this.#cell(record)));
    row.append(label, list);
    return row;
  }

  #cell(record) {
    const source = mainSource(record);
    const cell = document.createElement("button");
    cell.type = "button";
    cell.tabIndex = -1;
    cell.className = `cell ${source ?? "none"}${record.slack_ms !== null && record.slack_ms < 0 ? " late" : ""}`;
    cell.textContent = LETTERS[source] ?? "–";
    cell.dataset.path = record.path;
    cell.title = describe(record);
    cell.setAttribute("aria-label", describe(record));
    cell.setAttribute("aria-pressed", String(record.path === this.#chosen));
    cell.addEventListener("click", () => this.#choose(cell, record));
    cell.addEventListener("focus", () => this.#choose(cell, record));
    return cell;
  }

  #choose(cell, record) {
    this.#chosen = record.path;
    for (const other of this.#all()) {
      other.tabIndex = other === cell ? 0 : -1;
      other.setAttribute("aria-pressed", String(other === cell));
    }
    this.#told.textContent = describe(record);
  }

  #all() { return [...this.#cells.querySelectorAll(".cell")]; }

  #key(event) {
    const cells = this.#all();
    const at = cells.indexOf(document.activeElement);
    if (at < 0) return;
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: cells.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    cells[Math.max(0, Math.min(cells.length - 1, to))].focus();
  }
}
