// The swarm as a circle of peers, with a line for each pair of which one gave the other bytes.

import * as format from "./format.js";

const SIZE = 640;
const CENTRE = SIZE / 2;
const RADIUS = 216;
const MOST_PEERS = 60;
const MOST_LINES = 400;
const WIDEST = 8;
const NAMED = 5;
const ARROWS_UP_TO = 12;
const SVG = "http://www.w3.org/2000/svg";

export const shortId = (id) => id.slice(0, 8);

/** Lines from the reports of receivers: from, to (indices into `members`), bytes. */
export function lines(members) {
  const index = new Map(members.map((member, at) => [member.peer.slice(0, 16), at]));
  const found = [];
  members.forEach((member, to) => {
    for (const [sender, bytes] of Object.entries(member.served_by ?? {})) {
      const from = index.get(sender);
      if (from !== undefined && from !== to && bytes > 0) found.push({ from, to, bytes });
    }
  });
  return found.sort((a, b) => b.bytes - a.bytes).slice(0, MOST_LINES);
}

/** A sentence for one peer, said when it is chosen. */
export function sentence(members, found, at) {
  const side = (pick, other) => found
    .filter((line) => line[pick] === at)
    .slice(0, NAMED)
    .map((line) => `${format.bytes(line.bytes)} ${pick === "to" ? "from" : "to"} ${shortId(members[line[other]].peer)}`);
  const [got, gave] = [side("to", "from"), side("from", "to")];
  const id = shortId(members[at].peer);
  const parts = [
    got.length > 0 ? `got ${got.join(", ")}` : "got nothing from other peers yet",
    gave.length > 0 ? `gave ${gave.join(", ")}` : "gave nothing to other peers yet",
  ];
  return `Peer ${id} ${parts.join("; it ")}.`;
}

function make(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function place(at, count) {
  const angle = (2 * Math.PI * at) / count - Math.PI / 2;
  return { angle, x: CENTRE + RADIUS * Math.cos(angle), y: CENTRE + RADIUS * Math.sin(angle) };
}

/**
 * Dispatches "chosen" (detail: the peer's id or null). One tab stop: arrow keys go round the circle,
 * Enter or Space chooses, Escape lets go.
 */
export class Graph extends EventTarget {
  #element;
  #said;
  #svg = null;
  #members = [];
  #lines = [];
  #shown = "";
  #chosen = null;
  #at = 0;

  constructor(element, said) {
    super();
    this.#element = element;
    this.#said = said;
  }

  show(members) {
    const sorted = [...members].sort((a, b) => a.peer.localeCompare(b.peer)).slice(0, MOST_PEERS);
    const shown = sorted.map((member) => member.peer).join();
    this.#members = sorted;
    this.#lines = lines(sorted);
    if (!sorted.some((member) => member.peer === this.#chosen)) this.#chosen = null;
    if (shown !== this.#shown) this.#build(shown, members.length - sorted.length);
    this.#draw();
  }

  #build(shown, left) {
    const focused = this.#element.contains(document.activeElement);
    this.#shown = shown;
    this.#at = Math.min(this.#at, Math.max(0, this.#members.length - 1));
    const count = this.#members.length;
    const nodes = this.#members.map((member, at) => this.#node(member, at, count));
    const label = `${format.plural(count, "peer", "peers")} in a circle${left > 0 ? `, ${left} more not drawn` : ""}`;
    this.#svg = make("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "group", "aria-label": label },
      make("g", { class: "edges", "aria-hidden": "true" }),
      make("g", { class: "peers" }, ...nodes));
    this.#svg.addEventListener("keydown", (event) => this.#key(event));
    this.#element.replaceChildren(this.#svg);
    if (focused) nodes[this.#at]?.focus();
  }

  #node(member, at, count) {
    const { angle, x, y } = place(at, count);
    const size = Math.max(5, Math.min(16, 260 / count));
    const turned = Math.cos(angle) < -1e-6;
    const degrees = (angle * 180) / Math.PI + (turned ? 180 : 0);
    const node = make("g", { class: "peer", role: "button", tabindex: at === this.#at ? "0" : "-1" },
      make("circle", { class: "body", cx: x, cy: y, r: size }),
      make("circle", { class: "origin-share", cx: x, cy: y, r: 0 }),
      make("text", {
        x: x + (turned ? -1 : 1) * (size + 6),
        y,
        "dominant-baseline": "central",
        "text-anchor": turned ? "end" : "start",
        "font-size": Math.max(11, Math.min(15, 400 / count)),
        transform: `rotate(${degrees} ${x} ${y})`,
      }, shortId(member.peer)));
    node.addEventListener("click", () => { this.#at = at; this.#choose(member.peer); });
    return node;
  }

  #draw() {
    const nodes = this.#svg.querySelectorAll(".peer");
    this.#members.forEach((member, at) => this.#describe(nodes[at], member, at));
    const most = this.#lines[0]?.bytes ?? 1;
    const chosen = this.#members.findIndex((member) => member.peer === this.#chosen);
    const drawn = [...this.#lines].reverse().flatMap((line) => this.#line(line, most, chosen));
    if (drawn.length === 0) {
      const text = this.#members.length < 2 ? "One peer has nobody to share with yet" : "No peer has given another anything yet";
      drawn.push(make("text", { class: "none", x: CENTRE, y: CENTRE, "text-anchor": "middle" }, text));
    }
    this.#svg.querySelector(".edges").replaceChildren(...drawn);
    const said = chosen < 0 ? "" : sentence(this.#members, this.#lines, chosen);
    if (this.#said.textContent !== said) this.#said.textContent = said;
  }

  #describe(node, member, at) {
    const stats = member.stats;
    const total = (stats.peers_bytes ?? 0) + (stats.origin_bytes ?? 0);
    const share = total > 0 ? (stats.origin_bytes ?? 0) / total : 0;
    const [body, inner] = node.querySelectorAll("circle");
    inner.setAttribute("r", String((body.r.baseVal.value - 2) * Math.sqrt(share)));
    const label = `Peer ${shortId(member.peer)}: ${format.bytes(stats.peers_bytes ?? 0)} from peers, ${format.bytes(stats.origin_bytes ?? 0)} from the origin, ${format.bytes(stats.uploaded_bytes ?? 0)} passed on`;
    if (node.getAttribute("aria-label") !== label) node.setAttribute("aria-label", label);
    node.setAttribute("aria-pressed", String(member.peer === this.#chosen));
    node.setAttribute("tabindex", at === this.#at ? "0" : "-1");
  }

  #line({ from, to, bytes }, most, chosen) {
    const count = this.#members.length;
    const [a, b] = [place(from, count), place(to, count)];
    const widest = Math.max(2.5, WIDEST * Math.min(1, ARROWS_UP_TO / count));
    const width = Math.max(0.7, widest * Math.sqrt(bytes / most));
    // Bent towards the middle, and there and back on either side of it.
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const [midX, midY] = [(a.x + b.x) / 2, (a.y + b.y) / 2];
    const bendX = midX + (CENTRE - midX) * 0.45 - dy * 0.09;
    const bendY = midY + (CENTRE - midY) * 0.45 + dx * 0.09;
    const mine = from === chosen || to === chosen;
    const tone = chosen < 0 ? "" : mine ? " strong" : " faint";
    const path = make("path", {
      class: `edge${tone}`,
      d: `M${a.x.toFixed(1)} ${a.y.toFixed(1)}Q${bendX.toFixed(1)} ${bendY.toFixed(1)} ${b.x.toFixed(1)} ${b.y.toFixed(1)}`,
      "stroke-width": width.toFixed(1),
      ...(chosen < 0 ? { "stroke-opacity": String(Math.max(0.18, Math.min(0.6, 12 / count))) } : {}),
    });
    if (!mine && count > ARROWS_UP_TO) return [path];
    if (chosen >= 0 && !mine) return [path];
    return [path, this.#arrow(b, bendX, bendY, width, count)];
  }

  #arrow(b, fromX, fromY, width, count) {
    const length = Math.hypot(b.x - fromX, b.y - fromY) || 1;
    const [ux, uy] = [(b.x - fromX) / length, (b.y - fromY) / length];
    const gap = Math.max(5, Math.min(16, 260 / count)) + 2;
    const [tipX, tipY] = [b.x - ux * gap, b.y - uy * gap];
    const size = 7 + width;
    const [baseX, baseY] = [tipX - ux * size, tipY - uy * size];
    const half = size * 0.45;
    const points = [[tipX, tipY], [baseX - uy * half, baseY + ux * half], [baseX + uy * half, baseY - ux * half]];
    return make("polygon", { class: "arrow", points: points.map((point) => point.map((one) => one.toFixed(1)).join()).join(" ") });
  }

  #choose(peer) {
    this.#chosen = this.#chosen === peer ? null : peer;
    this.#draw();
    this.#svg.querySelectorAll(".peer")[this.#at]?.focus();
    this.dispatchEvent(new CustomEvent("chosen", { detail: this.#chosen }));
  }

  #key(event) {
    const count = this.#members.length;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step !== undefined) this.#at = (this.#at + step + count) % count;
    else if (event.key === "Home") this.#at = 0;
    else if (event.key === "End") this.#at = count - 1;
    else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#choose(this.#members[this.#at].peer);
      return;
    } else if (event.key === "Escape" && this.#chosen !== null) {
      this.#choose(this.#chosen);
      return;
    } else return;
    event.preventDefault();
    this.#draw();
    this.#svg.querySelectorAll(".peer")[this.#at].focus();
  }
}
