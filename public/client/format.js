// Numbers as people read them. Every function takes SI units and returns a short string.

const NARROW_SPACE = "\u202f";
export const UNKNOWN = "–";

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function withUnit(value, steps, units) {
  let scaled = Math.max(0, value);
  let step = 0;
  // 999.5 would round up to "1000 kB": step on before that.
  while (scaled >= 999.5 && step < units.length - 1) {
    scaled /= steps;
    step += 1;
  }
  const digits = step === 0 || scaled >= 99.95 ? 0 : 1;
  return `${scaled.toFixed(digits)}${NARROW_SPACE}${units[step]}`;
}

/** Decimal multiples, as links and disks are sold: 8200000 -> "8.2 MB". */
export function bytes(count) {
  return isNumber(count) ? withUnit(count, 1000, ["B", "kB", "MB", "GB", "TB"]) : UNKNOWN;
}

/** Bits per second: 2500000 -> "2.5 Mbit/s". */
export function rate(bitsPerSecond) {
  if (!isNumber(bitsPerSecond)) return UNKNOWN;
  return withUnit(bitsPerSecond, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]);
}

export function seconds(value) {
  if (!isNumber(value)) return UNKNOWN;
  return `${value.toFixed(value < 9.995 ? 2 : 1)}${NARROW_SPACE}s`;
}

/** Tenths are enough where the value moves all the time. */
export function roughSeconds(value) {
  return isNumber(value) ? `${Math.max(0, value).toFixed(1)}${NARROW_SPACE}s` : UNKNOWN;
}

export function milliseconds(value) {
  if (!isNumber(value)) return UNKNOWN;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)}${NARROW_SPACE}ms`;
}

export function percent(value) {
  return `${value}${NARROW_SPACE}%`;
}

export function plural(count, one, many) {
  return `${count} ${count === 1 ? one : many}`;
}
