// Charts of one server: history from the API, then each sample as it comes.

import { getJson, ranges, SECONDS, TimeChart, withGaps } from "./charts.js";
import { follow } from "./live.js";

let isRaw = true;

const KINDS = {
  cpu: { format: "percent", most: 100, of: (point) => [point.cpu, isRaw ? null : point.cpu?.max], live: (data) => [data.cpu_percent, null],
    series: [{ label: "CPU", colour: "--wk-c1", fill: true, legend: "l-cpu" }, { label: "Peak", colour: "--wk-c3", width: 1, hidden: () => isRaw }] },
  memory: { format: "percent", most: 100, of: (point) => [point.memory], live: (data) => [data.memory_percent],
    series: [{ label: "Memory", colour: "--wk-c4", fill: true, legend: "l-memory" }] },
  disk: { format: "percent", most: 100, of: (point) => [point.disk], live: (data) => [data.disk_percent],
    series: [{ label: "Fullest mount", colour: "--wk-c1", fill: true, legend: "l-disk" }] },
  network: { format: "rate", of: (point) => [point.network?.rx, point.network?.tx], live: (data) => [data.rx_rate, data.tx_rate],
    series: [{ label: "In", colour: "--wk-c2", fill: true, legend: "l-rx" }, { label: "Out", colour: "--wk-c3", legend: "l-tx" }] },
};

const average = (value) => (value && typeof value === "object" ? value.avg ?? null : value ?? null);

function start(box) {
  const slug = box.dataset.slug;
  const charts = [...box.querySelectorAll("[data-chart]")].map((node) => {
    const kind = KINDS[node.dataset.chart];
    return { kind, chart: new TimeChart(node, { series: kind.series, format: kind.format, most: kind.most }) };
  });
  let span = Number(box.dataset.span) || 600;
  let turn = 0;

  async function load() {
    const mine = ++turn;
    const to = new Date();
    const from = new Date(to - span * 1000);
    // Raw samples up to 20 minutes, so that what is live goes on where history ends.
    isRaw = span <= 1200;
    const query = new URLSearchParams({ agent_id: slug, from: from.toISOString(), to: to.toISOString(), resolution: isRaw ? "raw" : "auto" });
    let body;
    try {
      body = await getJson(`/api/v1/history?${query}`);
    } catch {
      return;
    }
    if (mine !== turn) return;
    box.querySelectorAll(".l-max").forEach((node) => { node.hidden = isRaw; });
    const steps = { raw: 30, "1m": 180, "5m": 900, "1h": 10800, "1d": 259200 };
    const gap = steps[body.resolution] || 60;
    for (const { kind, chart } of charts) {
      chart.span = span;
      const columns = [[], ...kind.series.map(() => [])];
      for (const point of body.data) {
        columns[0].push(Date.parse(point.timestamp) / 1000);
        kind.of(point).forEach((value, index) => columns[index + 1].push(average(value)));
      }
      chart.set(withGaps(columns, gap));
    }
  }

  follow(["server.sample"], (event) => {
    if (event.data.slug !== slug || !isRaw) return;
    const at = Date.parse(event.data.at) / 1000;
    for (const { kind, chart } of charts) chart.append(at, kind.live(event.data), span);
  });
  document.addEventListener("wk:reset", load);
  const row = box.querySelector(".wk-ranges[data-range]");
  if (row) ranges(row, (range) => { span = SECONDS[range]; load(); });
  else load();
  setInterval(() => { if (!document.hidden && !isRaw) load(); }, 60000);
  // A tab that slept has missed samples: fill them in when it comes back.
  document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
}

document.querySelectorAll("[data-server-charts]").forEach(start);
