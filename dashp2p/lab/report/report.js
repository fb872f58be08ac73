// Draws the report's charts with uPlot. What they show is in the page, as JSON.
"use strict";
(() => {
  const told = JSON.parse(document.getElementById("charts").textContent);
  const FONT = "11px system-ui, sans-serif";
  const drawn = new Map();
  if (typeof uPlot === "undefined") return;

  const colour = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function series(line, bar) {
    const stroke = colour(line.colour);
    const common = { label: line.name, spanGaps: true, points: { show: false } };
    if (bar) {
      const paths = uPlot.paths.bars({ size: [0.7, 7, 2], align: 0 });
      return { ...common, paths, fill: stroke, width: 0 };
    }
    return {
      ...common,
      stroke: line.faint ? `color-mix(in srgb, ${stroke} 55%, transparent)` : stroke,
      width: line.faint ? 1.2 : 1.8,
      dash: line.dash ? [6, 4] : undefined,
      paths: line.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
    };
  }

  function axis(extra) {
    return {
      stroke: colour("muted"), font: FONT, ticks: { show: false },
      grid: { stroke: colour("line"), width: 1 }, ...extra,
    };
  }

  function options(chart, width) {
    const shown = (u, value) => (value == null ? "–" : value.toFixed(2));
    const lines = [
      ...chart.bars.map((line) => series(line, true)),
      ...chart.lines.map((line) => series(line, false)),
    ].map((one) => ({ ...one, value: shown }));
    return {
      width,
      height: chart.height,
      padding: [8, 8, 0, 0],
      legend: { show: chart.legend, markers: { width: 2 } },
      cursor: {
        y: false, points: { size: 5 }, drag: { x: false, y: false },
        sync: chart.sync ? { key: chart.sync } : undefined,
      },
      scales: {
        x: { time: false, range: () => [0, chart.x_top] },
        y: { range: () => [0, chart.y_top] },
      },
      series: [{ label: "second", value: shown }, ...lines],
      axes: [
        axis({
          size: 24, gap: 4, space: 56, grid: { show: false },
          values: (u, splits) => splits.map((split) => `${split} s`),
        }),
        axis({ size: 38, gap: 4, space: 28 }),
      ],
    };
  }

  function draw(element) {
    const chart = told[element.dataset.chart];
    const lines = [...chart.bars, ...chart.lines];
    const width = Math.floor(element.clientWidth);
    if (!width) return;
    const data = lines.length ? uPlot.join(lines.map((line) => [line.x, line.y])) : [[]];
    drawn.get(element)?.destroy();
    drawn.set(element, new uPlot(options(chart, width), data, element));
  }

  const elements = [...document.querySelectorAll("[data-chart]")];
  const fitting = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const plot = drawn.get(target);
      const width = Math.floor(contentRect.width);
      if (plot && width && width !== plot.width) {
        plot.setSize({ width, height: told[target.dataset.chart].height });
      }
    }
  });
  // Fifty viewers have a hundred and fifty charts: each is drawn when it comes near.
  const coming = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !drawn.has(target)) draw(target);
    }
  }, { rootMargin: "800px" });
  for (const element of elements) {
    fitting.observe(element);
    coming.observe(element);
  }

  const redraw = () => drawn.forEach((_, element) => draw(element));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
    for (const element of elements) draw(element);
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
    redraw();
  });
})();
