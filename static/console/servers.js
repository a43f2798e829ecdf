// The list of servers: meters move with each sample.
import { follow } from "./live.js";

follow(["server.sample"], ({ data }) => {
  const row = document.querySelector(`tr[data-id="${data.server_id}"]`);
  if (!row) return;
  for (const metric of ["cpu", "memory", "disk"]) {
    const meter = row.querySelector(`[data-metric=${metric}]`);
    const value = data[`${metric}_percent`];
    if (!meter || value === null || value === undefined) continue;
    const [warning, critical] = meter.dataset.limits.split(",").map(Number);
    meter.className = `wk-meter is-${value >= critical ? "crit" : value >= warning ? "warn" : "ok"}`;
    meter.querySelector("i").style.width = `${Math.min(100, value)}%`;
    meter.querySelector("b").textContent = `${value.toFixed(1)} %`;
  }
  const time = row.querySelector("time[data-ago]");
  if (time) {
    time.setAttribute("datetime", data.at);
    delete time.dataset.titled;
  }
});
