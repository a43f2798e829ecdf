// Rows and pages of monitors: each result shows as it comes.
import { formats } from "./charts.js";
import { follow } from "./live.js";
import { refresh } from "./times.js";

follow(["endpoint.check_result"], ({ data }) => {
  for (const node of document.querySelectorAll(`[data-endpoint="${data.endpoint_id}"], tr[data-id="${data.endpoint_id}"]`)) {
    const latency = node.querySelector("[data-latency]");
    if (latency) latency.textContent = data.latency_ms === null ? "–" : formats.ms(data.latency_ms);
    const time = node.querySelector("time[data-checked]");
    if (time) {
      time.setAttribute("datetime", data.at);
      delete time.dataset.titled;
      refresh(node);
    }
  }
});
