// Time series on uPlot: theme-aware, resizing, with a tip that names the moment in UTC and local time.

import { local, utc } from "./times.js";

const shown = new Set();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || getComputedStyle(document.body).color;
}

// A canvas does not know oklch variables of variables; let the browser resolve them to what it paints.
const probe = document.createElement("span");
probe.hidden = true;
document.documentElement.append(probe);
function resolved(value, alpha = 1) {
  probe.style.color = alpha === 1 ? value : `color-mix(in srgb, ${value} ${alpha * 100}%, transparent)`;
  return getComputedStyle(probe).color;
}

export const formats = {
  percent: (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`,
  ms: (value) => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`),
  rate: (value) => {
    for (const unit of ["B", "kB", "MB", "GB"]) {
      if (Math.abs(value) < 1000 || unit === "GB") return `${value.toFixed(value < 10 && unit !== "B" ? 1 : 0)} ${unit}/s`;
      value /= 1000;
    }
    return "";
  },
  figure: (value) => value.toFixed(value < 10 ? 2 : 0),
};

/**
 * A chart of one or more series over time.
 *
 * options.series: [{label, colour: "--wk-c1", fill: bool}], options.format: key of `formats`,
 * options.most: fixed top of the scale, options.bands: draw the first two series as a range.
 */
export class TimeChart {
  constructor(node, options) {
    this.node = node;
    this.options = options;
    this.data = [[], ...options.series.map(() => [])];
    this.height = Number(node.dataset.h) || { short: 120, tall: 240 }[node.dataset.height] || 170;
    this.make();
    shown.add(this);
    new ResizeObserver(() => this.plot && this.plot.setSize({ width: node.clientWidth, height: this.height })).observe(node);
  }

  make() {
    const { series, format, most } = this.options;
    const spoken = formats[format] || formats.figure;
    const grid = { stroke: resolved(colour("--wk-line")), width: 1 };
    const axis = { stroke: resolved(colour("--wk-quiet")), grid, ticks: { show: false }, font: "11px Inter, sans-serif", labelFont: "11px Inter" };
    this.plot?.destroy();
    const settings = {
      width: this.node.clientWidth || 300,
      height: this.height,
      padding: [8, 6, 0, 0],
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      legend: { show: false },
      scales: {
        x: { time: true, range: (_, low, high) => this.window(low, high) },
        y: { range: (_, low, high) => [0, most ?? (high > 0 ? high * 1.15 : 1)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 64, values: timeLabels },
        { ...axis, size: 58, space: 34, values: (_, splits) => splits.map((value) => (value === null ? "" : spoken(value).replace(/\.0+(?= )/, ""))) },
      ],
      series: [
        {},
        ...series.map((one) => ({
          label: one.label,
          stroke: resolved(colour(one.colour)),
          fill: one.fill ? resolved(colour(one.colour), 0.12) : undefined,
          width: one.width ?? 1.6,
          dash: one.dash,
          spanGaps: false,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [(plot) => this.tip(plot)], draw: [(plot) => this.mark(plot)] },
    };
    this.plot = new window.uPlot(settings, this.data, this.node);
    this.tell();
  }

  // A chart shows its whole range, also while it is young: what is missing shows as missing.
  window(low, high) {
    if (!this.span) return [low, high];
    const end = Math.max(high || 0, Date.now() / 1000 - (this.lag || 0));
    return [end - this.span, end];
  }

  // What failed stands as marks along the foot of the chart.
  mark(plot) {
    const marks = this.options.marks?.();
    if (!marks) return;
    const { ctx, bbox } = plot;
    const unit = devicePixelRatio || 1;
    ctx.save();
    ctx.fillStyle = resolved(colour("--wk-crit"));
    this.data[0].forEach((at, index) => {
      if (marks[index]) ctx.fillRect(plot.valToPos(at, "x", true) - unit, bbox.top + bbox.height - 7 * unit, 2 * unit, 7 * unit);
    });
    ctx.restore();
  }

  tip(plot) {
    const { idx, left } = plot.cursor;
    if (idx === null || idx === undefined || left < 0 || !this.data[0].length) {
      this.box?.remove();
      this.box = null;
      return;
    }
    const moment = new Date(this.data[0][idx] * 1000);
    const spoken = formats[this.options.format] || formats.figure;
    if (!this.box) {
      this.box = document.createElement("div");
      this.box.className = "wk-tip";
      this.node.append(this.box);
    }
    const at = document.createElement("div");
    at.className = "at";
    const here = local(moment), there = utc(moment);
    at.textContent = there.startsWith(here) ? there : `${here} · ${there.slice(11)}`;
    const lines = this.options.series.map((one, index) => {
      if (one.hidden?.()) return "";
      const value = this.data[index + 1][idx];
      const line = document.createElement("div");
      const key = document.createElement("i");
      key.style.background = `var(${one.colour})`;
      const figure = document.createElement("b");
      figure.textContent = value === null || value === undefined ? "no data" : spoken(value);
      line.append(key, one.label, figure);
      return line;
    });
    this.box.replaceChildren(at, ...lines);
    const extra = this.options.note?.(idx);
    if (extra) this.box.append(Object.assign(document.createElement("div"), { textContent: extra }));
    const x = left + plot.over.offsetLeft;
    const width = this.box.offsetWidth;
    this.box.style.left = `${x + width + 18 > this.node.clientWidth ? Math.max(0, x - width - 12) : x + 12}px`;
    this.box.style.top = "8px";
  }

  /** Show these columns: [seconds, series...]; null leaves a gap. */
  set(data) {
    this.data = data;
    this.plot.setData(data);
    this.tell();
  }

  /** Append one moment; what is older than `keep` seconds falls out. */
  append(at, values, keep) {
    const times = this.data[0];
    if (times.length && at <= times[times.length - 1]) return;
    times.push(at);
    values.forEach((value, index) => this.data[index + 1].push(value ?? null));
    while (keep && times.length && times[0] < at - keep) this.data.forEach((column) => column.shift());
    this.plot.setData(this.data);
    this.tell();
  }

  tell() {
    const has = this.data[0].length > 0;
    let word = this.node.querySelector(".nothing");
    if (has) word?.remove();
    else if (!word) {
      word = document.createElement("div");
      word.className = "nothing";
      word.textContent = this.node.dataset.nothing || "No data in this range yet.";
      this.node.append(word);
    }
    const spoken = formats[this.options.format] || formats.figure;
    this.options.series.forEach((one, index) => {
      const place = one.legend && document.getElementById(one.legend);
      if (!place) return;
      const column = this.data[index + 1];
      const value = column[column.length - 1];
      place.textContent = value === null || value === undefined ? "–" : spoken(value);
    });
  }
}

const pad = (number) => String(number).padStart(2, "0");
function timeLabels(plot, splits) {
  const span = plot.scales.x.max - plot.scales.x.min;
  let day = "";
  return splits.map((seconds) => {
    const moment = new Date(seconds * 1000);
    const date = `${pad(moment.getDate())} ${moment.toLocaleString("en", { month: "short" })}`;
    const time = `${pad(moment.getHours())}:${pad(moment.getMinutes())}`;
    if (span > 5 * 86400) return date;
    if (span > 86400) {
      const text = date === day ? time : `${date} ${time}`;
      day = date;
      return text;
    }
    return span < 600 ? `${time}:${pad(moment.getSeconds())}` : time;
  });
}

new MutationObserver(() => shown.forEach((chart) => chart.make())).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });

/** Bucket a gap: put a null where two moments lie more than `gap` seconds apart, so that silence shows as silence. */
export function withGaps(columns, gap) {
  const out = columns.map(() => []);
  columns[0].forEach((at, index) => {
    if (index && at - columns[0][index - 1] > gap) {
      out[0].push(columns[0][index - 1] + 1);
      for (let series = 1; series < columns.length; series += 1) out[series].push(null);
    }
    columns.forEach((column, series) => out[series].push(column[index]));
  });
  return out;
}

export async function getJson(url) {
  const answer = await fetch(url, { credentials: "same-origin", headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

/** Wire a row of range buttons; calls `choose(range)` at once and on every press; the choice lives in the address. */
export function ranges(node, choose) {
  const chosen = new URLSearchParams(location.search).get("range") || node.dataset.range;
  const press = (range, keep) => {
    for (const button of node.querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.range === range);
    if (keep) {
      const address = new URL(location.href);
      address.searchParams.set("range", range);
      history.replaceState(null, "", address);
    }
    choose(range);
  };
  node.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-range]");
    if (button) press(button.dataset.range, true);
  });
  press([...node.querySelectorAll("button")].some((button) => button.dataset.range === chosen) ? chosen : node.dataset.range, false);
}

export const SECONDS = { "10m": 600, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000, "90d": 7776000, "1y": 31536000 };
