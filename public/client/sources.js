// From the peer's byte counters to shares and to the one sentence that says what they mean.
// Nothing here touches the page.

import { percent, plural } from "./format.js";

export const SOURCES = ["peers", "cache", "origin"];
// From here on the cache has earned its place in the sentence.
const CACHE_WORTH_TELLING_PERCENT = 10;

/**
 * Whole percentages that add up to 100 (largest remainder), except that a source which gave
 * anything never reads 0 and one that did not give all never reads 100.
 */
export function shares(bytes) {
  const counts = SOURCES.map((source) => Math.max(0, Number(bytes?.[source]) || 0));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const result = { total, peers: 0, cache: 0, origin: 0 };
  if (total === 0) return result;
  const exact = counts.map((count) => (100 * count) / total);
  const whole = exact.map((value, index) => (counts[index] > 0 ? Math.max(1, Math.floor(value)) : 0));
  const byRemainder = exact
    .map((value, index) => ({ index, remainder: value - whole[index] }))
    .sort((a, b) => b.remainder - a.remainder);
  let left = 100 - whole.reduce((sum, value) => sum + value, 0);
  for (let turn = 0; left > 0; turn = (turn + 1) % byRemainder.length, left -= 1) {
    whole[byRemainder[turn].index] += 1;
  }
  while (left < 0) {
    whole[whole.indexOf(Math.max(...whole))] -= 1;
    left += 1;
  }
  SOURCES.forEach((source, index) => { result[source] = whole[index]; });
  return result;
}

/** The headline: a sentence that is true for these figures, whatever they are. */
export function headline(stats) {
  if (stats === null) return "Getting ready…";
  const share = shares(stats.bytes);
  const viewers = stats.neighbours?.length ?? 0;
  if (share.total === 0) {
    return viewers > 0
      ? `Connected to ${plural(viewers, "other viewer", "other viewers")}; nothing has been fetched yet`
      : "Nothing has been fetched yet";
  }
  if (stats.mode === "pass-through") return "This film is not shared: it passes through from the origin";
  if (share.peers === 0) return withoutPeers(share, viewers, stats.share === "off");
  if (share.cache < CACHE_WORTH_TELLING_PERCENT) {
    return `${percent(share.peers)} of what you watch came from other viewers`;
  }
  const spared = share.origin === 0
    ? "What you watch spared the origin altogether"
    : `${percent(share.peers + share.cache)} of what you watch spared the origin`;
  return `${spared}: ${percent(share.peers)} came from other viewers, ${percent(share.cache)} was already here`;
}

function withoutPeers(share, viewers, off) {
  if (share.origin === 0) return "All of what you watch was already on this machine";
  if (share.cache > share.origin) {
    return `${percent(share.cache)} of what you watch was already on this machine`;
  }
  if (off) return "Sharing is switched off here, so the film comes from the origin";
  return viewers > 0
    ? `Connected to ${plural(viewers, "other viewer", "other viewers")}; so far the film came from the origin`
    : "You are the only viewer so far, so the film comes from the origin";
}

/** The running mode in a word or two, with a tone that the page turns into a colour. */
export function modeLabel(stats) {
  switch (stats?.mode) {
    case "sharing": return sharingLabel(stats.share);
    case "pass-through": return { text: "Passing through", tone: "warn" };
    case "no-origin": return { text: "Origin away", tone: "warn" };
    default: return { text: "Starting", tone: "quiet" };
  }
}

function sharingLabel(share) {
  if (share === "off") return { text: "Sharing off", tone: "quiet" };
  return { text: share === "download-only" ? "Taking only" : "Sharing", tone: "good" };
}
