// The tables of peers and of segments.

import * as format from "./format.js";
import { shortId } from "./graph.js";

function cell(text, bad = false) {
  const element = document.createElement("td");
  element.textContent = text;
  if (bad) element.dataset.bad = "true";
  return element;
}

function row(head, cells) {
  const element = document.createElement("tr");
  const first = document.createElement("th");
  first.scope = "row";
  first.textContent = head;
  element.append(first, ...cells);
  return element;
}

/** Writes only what changed, so that selections are left in peace. */
function fill(table, rows) {
  const body = table.tBodies[0];
  rows.forEach((fresh, index) => {
    const old = body.rows[index];
    if (old === undefined) body.append(fresh);
    else if (old.outerHTML !== fresh.outerHTML) old.replaceWith(fresh);
  });
  while (body.rows.length > rows.length) body.rows[rows.length].remove();
}

function peerRow(member, chosen) {
  const { stats } = member;
  const plays = (stats.viewers ?? 0) > 0;
  const stalls = stats.player_stalls_total ?? 0;
  const element = row(shortId(member.peer), [
    cell(String(stats.viewers ?? 0)),
    cell(plays && stats.bitrate_bps ? format.rate(stats.bitrate_bps) : format.UNKNOWN),
    cell(plays ? format.roughSeconds(stats.buffer_s) : format.UNKNOWN),
    cell(String(stalls), stalls > 0),
    cell(format.bytes(stats.peers_bytes)),
    cell(format.bytes(stats.cache_bytes)),
    cell(format.bytes(stats.origin_bytes)),
    cell(format.bytes(stats.uploaded_bytes)),
    cell(String(member.have)),
    cell(String(stats.neighbours ?? 0)),
    cell(`${Math.round(member.seen_s)}\u202fs ago`),
  ]);
  element.dataset.chosen = String(member.peer === chosen);
  return element;
}

export function showPeers(table, members, chosen) {
  const sorted = [...members].sort((a, b) => (b.stats.viewers ?? 0) - (a.stats.viewers ?? 0) || a.peer.localeCompare(b.peer));
  fill(table, sorted.map((member) => peerRow(member, chosen)));
}

function leaseText(segment) {
  if (segment.leaders.length === 0) return "none";
  const first = shortId(segment.leaders[0]);
  return segment.leaders.length === 1 ? first : `${first} +${segment.leaders.length - 1}`;
}

function segmentRow(segment) {
  const known = segment.size_bytes > 0 && segment.fetched_bytes > 0;
  const copies = known ? segment.fetched_bytes / segment.size_bytes : 0;
  return row(segment.path ?? `#${segment.position}`, [
    cell(segment.size_bytes > 0 ? format.bytes(segment.size_bytes) : format.UNKNOWN),
    cell(String(segment.holders)),
    cell(known ? copies.toFixed(2) : format.UNKNOWN, copies > 1.005),
    cell(leaseText(segment)),
    cell(String(segment.epoch % 100000)),
    cell(String(segment.takeovers), segment.takeovers > 0),
  ]);
}

export function showSegments(table, segments) {
  fill(table, segments.map(segmentRow));
}
