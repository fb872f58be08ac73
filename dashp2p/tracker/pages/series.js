// The two charts of the last hour, drawn by uPlot. Colours come from dashboard.css.

const FONT = "11px system-ui, sans-serif";
// Peers that nobody watches tell their figures each half minute: over less, rates would jump.
const WINDOW_S = 60;
const [AT, PEERS, VIEWERS, BITRATE, DELIVERED, ORIGIN] = [0, 1, 2, 3, 4, 5];

export { AT, PEERS, VIEWERS, BITRATE, DELIVERED, ORIGIN };

/** A total at time `t`, between two points as if it had grown evenly. */
export function totalAt(points, t, field) {
  if (t <= points[0][AT]) return points[0][field];
  for (let index = points.length - 1; index > 0; index -= 1) {
    const [before, after] = [points[index - 1], points[index]];
    if (before[AT] <= t) {
      const part = Math.min(1, (t - before[AT]) / (after[AT] - before[AT]));
      return before[field] + part * (after[field] - before[field]);
    }
  }
  return points[0][field];
}

/** What a total grew by in the last WINDOW_S before `t`, and over how many seconds that is. */
export function grown(points, t, field) {
  const from = Math.max(points[0][AT], t - WINDOW_S);
  return { amount: Math.max(0, totalAt(points, t, field) - totalAt(points, from, field)), seconds: t - from };
}

function megabits(points, t, field) {
  const { amount, seconds } = grown(points, t, field);
  return seconds > 0 ? (8 * amount) / seconds / 1e6 : 0;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const fromNought = { range: (u, min, max) => [0, Math.max(1, (max ?? 0) * 1.1)] };

class Chart {
  #element;
  #plot = null;
  #data = null;

  constructor(element) {
    this.#element = element;
    if (typeof globalThis.uPlot === "undefined") {
      element.textContent = "The chart library is not here: dashp2p doctor says how to get it.";
      element.classList.add("absent");
      return;
    }
    new ResizeObserver(() => this.#fit()).observe(element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#rebuild());
  }

  draw(data) {
    if (typeof globalThis.uPlot === "undefined" || data[0].length < 2) return;
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
    const common = { ...this.#size(), legend: { show: false }, cursor: { show: false } };
    this.#plot = new globalThis.uPlot({ ...common, ...this.options() }, this.#data, this.#element);
  }
}

/** As clocks on walls show it; with seconds where the chart is narrower than some minutes. */
function clockTimes(u, splits) {
  const { min, max } = u.scales.x;
  const second = max - min < 240 ? "2-digit" : undefined;
  const asTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second, hourCycle: "h23" });
  return splits.map((split) => asTime.format(new Date(split * 1000)));
}

function axes(right) {
  const line = { stroke: colour("line"), width: 1 };
  const common = { stroke: colour("muted"), font: FONT, ticks: { show: false }, grid: line };
  const value = { ...common, size: 40, gap: 4, space: 32 };
  return [
    { ...common, size: 24, gap: 4, space: 70, grid: { show: false }, values: clockTimes },
    value,
    ...(right ? [{ ...value, scale: right, side: 1, grid: { show: false } }] : []),
  ];
}

/** Page time of points, whose own time is the tracker's. */
function times(points, nowS) {
  const offset = Date.now() / 1000 - nowS;
  return points.map((point) => point[AT] + offset);
}

/** Mbit/s delivered to players as an area, and over it what left the origin. */
export class RateChart extends Chart {
  options() {
    const area = (fill, stroke, width) => ({ fill: colour(fill), stroke: colour(stroke), width, points: { show: false } });
    return {
      padding: [8, 12, 0, 0],
      scales: { y: fromNought },
      axes: axes(null),
      series: [{}, area("peers-area", "peers", 1.5), area("origin", "origin", 1)],
    };
  }

  show(points, nowS) {
    this.draw([
      times(points, nowS),
      points.map((point) => megabits(points, point[AT], DELIVERED)),
      points.map((point) => megabits(points, point[AT], ORIGIN)),
    ]);
  }
}

/** Viewers as a staircase, their mean bitrate dashed with a scale of its own. */
export class AudienceChart extends Chart {
  options() {
    const { stepped } = globalThis.uPlot.paths;
    return {
      padding: [8, 0, 0, 0],
      scales: { y: fromNought, mbit: fromNought },
      axes: axes("mbit"),
      series: [
        {},
        { stroke: colour("buffer"), fill: colour("buffer-area"), width: 2, paths: stepped({ align: 1 }), points: { show: false } },
        { scale: "mbit", stroke: colour("bitrate"), width: 2, dash: [6, 3], points: { show: false } },
      ],
    };
  }

  show(points, nowS) {
    this.draw([
      times(points, nowS),
      points.map((point) => point[VIEWERS]),
      points.map((point) => (point[BITRATE] > 0 ? point[BITRATE] / 1e6 : null)),
    ]);
  }
}
