// The response-time chart of one endpoint.
import { getJson, ranges, SECONDS, TimeChart, withGaps } from "./charts.js";
import { follow } from "./live.js";

const node = document.querySelector("[data-times]");
if (node) {
  const failures = [];
  const chart = new TimeChart(node, {
    format: "ms",
    series: [{ label: "Mean", colour: "--wk-c1", fill: true, legend: "l-mean" }, { label: "95th percentile", colour: "--wk-c3", width: 1.2, dash: [4, 3] }],
    marks: () => failures,
    note: (index) => (failures[index] ? `${failures[index]} failed` : ""),
  });
  let range = "24h";
  let turn = 0;
  const load = async () => {
    const mine = ++turn;
    let body;
    try {
      body = await getJson(`${node.dataset.times}?range=${range}`);
    } catch {
      return;
    }
    if (mine !== turn) return;
    const columns = [[], [], [], []];
    for (const point of body.points) point.forEach((value, index) => columns[index].push(value));
    const filled = withGaps(columns, body.gap);
    failures.splice(0, failures.length, ...filled[3]);
    chart.span = SECONDS[range];
    chart.set(filled.slice(0, 3));
    document.querySelector(".l-p95").hidden = body.raw;
  };
  ranges(document.querySelector(".wk-ranges[data-range]"), (chosen) => { range = chosen; load(); });
  let waiting = null;
  follow(["endpoint.check_result"], ({ data }) => {
    if (data.endpoint_id !== node.dataset.endpointId || waiting) return;
    // Long ranges change slowly: one fetch for many results.
    waiting = setTimeout(() => { waiting = null; load(); }, range === "1h" ? 300 : 30000);
  });
}
