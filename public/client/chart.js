// The two charts of the last three minutes, drawn by uPlot. Colours come from client.css, so that
// light and dark have one home.

// The window grows with the page's age, so that the first minute is not a sliver.
const NARROWEST_S = 60;
const WIDEST_S = 180;
// Segments come in bursts each few seconds; the mean over two segments is what a link feels like.
const SMOOTH_S = 8;
const FONT = "11px system-ui, sans-serif";

/** Readings by time, oldest first, forgotten when no chart shows them. Times are page seconds. */
export class History {
  constructor() { this.rows = []; }

  add(row) {
    this.rows.push(row);
    const oldest = row.t - WIDEST_S - SMOOTH_S;
    let drop = 0;
    while (this.rows[drop].t < oldest) drop += 1;
    if (drop > 0) this.rows.splice(0, drop);
  }

  /** A running total at time `t`, between two readings as if it had grown evenly. */
  at(t, field) {
    const rows = this.rows;
    if (t <= rows[0].t) return rows[0][field];
    for (let index = rows.length - 1; index > 0; index -= 1) {
      const [before, after] = [rows[index - 1], rows[index]];
      if (before.t <= t) {
        const part = Math.min(1, (t - before.t) / (after.t - before.t));
        return before[field] + part * (after[field] - before[field]);
      }
    }
    return rows[0][field];
  }

  /** Mbit/s over the last SMOOTH_S seconds before `t`, of a total that counts bytes. */
  rate(t, field) {
    const gained = this.at(t, field) - this.at(t - SMOOTH_S, field);
    return Math.max(0, (8 * gained) / SMOOTH_S / 1e6);
  }
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function ago(u, splits) {
  const now = u.scales.x.max;
  return splits.map((split) => {
    const seconds = Math.round(now - split);
    if (seconds === 0) return "now";
    return seconds % 60 === 0 ? `−${seconds / 60} min` : `−${seconds} s`;
  });
}

function timeSplits(u) {
  const { min, max } = u.scales.x;
  const every = max - min > 1.5 * NARROWEST_S ? 60 : 20;
  const splits = [];
  for (let split = max; split >= min; split -= every) splits.unshift(split);
  return splits;
}

function axes(right) {
  const ink = colour("muted");
  const grid = { stroke: colour("line"), width: 1 };
  const common = { stroke: ink, font: FONT, ticks: { show: false }, grid };
  const value = { ...common, size: 34, gap: 4, space: 28, splits: niceSplits };
  return [
    { ...common, size: 22, gap: 4, grid: { show: false }, splits: timeSplits, values: ago },
    value,
    ...(right ? [{ ...value, scale: right, side: 1, grid: { show: false } }] : []),
  ];
}

/** From nought to a round number at or above the maximum, so that the picture does not breathe. */
function niceTop(max) {
  const steps = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 60, 80, 100];
  const found = steps.find((step) => step >= max * 1.05);
  return found ?? Math.ceil((max * 1.05) / 50) * 50;
}

function niceSplits(u, axis) {
  const top = u.scales[u.axes[axis].scale].max;
  return [0, top / 2, top];
}

const fromNought = { range: (u, min, max) => [0, niceTop(max ?? 0)] };
const lastMinutes = {
  time: false,
  // Times count from the page's birth: the newest reading's time is the page's age.
  range: (u, min, max) => [(max ?? 0) - Math.min(WIDEST_S, Math.max(NARROWEST_S, max ?? 0)), max ?? 0],
};

/** A chart that lives in `element`, as wide as it, redrawn in new colours when the theme turns. */
class Chart {
  #element;
  #plot = null;
  #data = null;

  constructor(element) {
    this.#element = element;
    if (typeof globalThis.uPlot === "undefined") {
      element.textContent = "The chart library is not here: run ./run-demo.sh once, which fetches it.";
      element.classList.add("absent");
      return;
    }
    new ResizeObserver(() => this.#fit()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#rebuild());
  }

  draw(data) {
    if (typeof globalThis.uPlot === "undefined") return;
    this.#data = data;
    if (this.#plot === null) this.#rebuild();
    else this.#plot.setData(data);
  }

  #size() {
    return { width: Math.max(120, this.#element.clientWidth), height: Math.max(80, this.#element.clientHeight) };
  }

  #fit() {
    const { width, height } = this.#size();
    if (this.#plot && (this.#plot.width !== width || this.#plot.height !== height)) {
      this.#plot.setSize({ width, height });
    }
  }

  #rebuild() {
    if (this.#data === null) return;
    this.#plot?.destroy();
    const options = {
      ...this.#size(),
      legend: { show: false },
      cursor: { show: false },
      ...this.options(),
    };
    this.#plot = new globalThis.uPlot(options, this.#data, this.#element);
  }
}

/** Stacked areas: viewers at the bottom, cache upon them, the origin on top. */
export class SourceChart extends Chart {
  #history = new History();

  options() {
    // Painted from the tallest down, each over the one before: the area that stays is its own.
    const area = (name) => ({ fill: colour(name), stroke: colour("card"), width: 1, points: { show: false } });
    return {
      padding: [8, 14, 0, 0],
      scales: { x: lastMinutes, y: fromNought },
      axes: axes(null),
      series: [{}, area("origin"), area("cache"), area("peers")],
    };
  }

  add(t, bytes) {
    const { peers = 0, cache = 0, origin = 0 } = bytes;
    const last = this.#history.rows.at(-1);
    // A peer that began anew counts from nought: so do we.
    if (last && peers + cache + origin < last.peers + last.cache + last.origin) this.#history = new History();
    this.#history.add({ t, peers, cache, origin });
    if (peers + cache + origin === 0) return;
    const rows = this.#history.rows;
    const [p, k, o] = ["peers", "cache", "origin"].map((field) => rows.map((row) => this.#history.rate(row.t, field)));
    this.draw([
      rows.map((row) => row.t),
      p.map((rate, index) => rate + k[index] + o[index]),
      p.map((rate, index) => rate + k[index]),
      p,
    ]);
  }
}

/** A point for each request: the seconds that were left when it had come whole, below nought too late. */
export class SlackChart extends Chart {
  options() {
    // The origin's are rings, so that they differ in more than colour.
    const point = (name, fill = name) => ({
      stroke: colour(name), paths: () => null, points: { show: true, size: 7, fill: colour(fill), stroke: colour(name), width: 2 },
    });
    const lowest = (min) => Math.min(0, Math.floor(min ?? 0));
    return {
      padding: [8, 14, 0, 0],
      scales: {
        x: lastMinutes,
        y: { range: (u, min, max) => [lowest(min), niceTop(max ?? 0)] },
      },
      axes: axes(null).map((axis, index) => (index === 1 ? { ...axis, splits: undefined } : axis)),
      series: [{}, point("peers"), point("cache"), point("origin", "card")],
    };
  }

  /** `points`: {t, slack, source}, oldest first; t in the peer's seconds of uptime, `now` the same. */
  show(points, now) {
    const newest = [...points, { t: now, slack: null, source: null }];
    const of = (source) => newest.map((point) => (point.source === source ? point.slack : null));
    this.draw([newest.map((point) => point.t), of("peers"), of("cache"), of("origin")]);
  }
}

/** Seconds of buffer as an area, bitrate on screen as a dashed staircase with its own scale. */
export class PlaybackChart extends Chart {
  #history = new History();

  options() {
    const { stepped } = globalThis.uPlot.paths;
    return {
      padding: [8, 0, 0, 0],
      scales: { x: lastMinutes, y: fromNought, mbit: fromNought },
      axes: axes("mbit"),
      series: [
        {},
        { stroke: colour("buffer"), fill: colour("buffer-area"), width: 2, points: { show: false } },
        { scale: "mbit", stroke: colour("bitrate"), width: 2, dash: [6, 3], paths: stepped({ align: 1 }), points: { show: false } },
      ],
    };
  }

  add(t, bufferS, bitrateBps) {
    this.#history.add({ t, buffer: bufferS, mbit: bitrateBps === null ? null : bitrateBps / 1e6 });
    const rows = this.#history.rows;
    this.draw([rows.map((row) => row.t), rows.map((row) => row.buffer), rows.map((row) => row.mbit)]);
  }
}
