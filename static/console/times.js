// Times: relative ones age by themselves, exact ones are shown in the reader's zone; UTC and local are a hover away.

export function since(then, now = Date.now()) {
  const seconds = (now - then) / 1000;
  if (seconds > -1 && seconds < 5) return "just now";
  const size = Math.abs(seconds);
  let text = `${Math.floor(size)} s`;
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (size >= unit) {
      text = `${Math.floor(size / unit)} ${name}`;
      break;
    }
  }
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

const pad = (number) => String(number).padStart(2, "0");

export function utc(moment) {
  return `${moment.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function local(moment) {
  const date = `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())}`;
  return `${date} ${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "local";

// The server writes and reads the moments of forms in the zone in which this script shows all others.
const known = document.cookie.split("; ").find((one) => one.startsWith("wk_zone="))?.slice(8);
if (zone !== "local" && known !== encodeURIComponent(zone)) {
  document.cookie = `wk_zone=${encodeURIComponent(zone)}; path=/admin/; max-age=31536000; samesite=lax`;
  const written = document.querySelector(`input[name=_zone]${location.pathname.endsWith("/add/") ? ", input[name=timezone]" : ""}`);
  // A form that was drawn before the zone was known is drawn once more, unless somebody has sent it already.
  if (written && written.value !== zone && document.cookie.includes("wk_zone=") && !document.querySelector(".has-error")) location.reload();
}

export function refresh(root = document) {
  for (const node of root.querySelectorAll("time[data-ago], time[data-exact]")) {
    const moment = new Date(node.getAttribute("datetime"));
    if (Number.isNaN(moment.getTime())) continue;
    if ("ago" in node.dataset) {
      const text = since(moment.getTime());
      if (node.textContent !== text) node.textContent = text;
    } else if (!node.dataset.shown) {
      node.textContent = local(moment);
      node.dataset.shown = "1";
    }
    if (!node.dataset.titled) {
      node.title = zone === "UTC" ? utc(moment) : `${utc(moment)}\n${local(moment)} ${zone}`;
      node.dataset.titled = "1";
    }
  }
}

refresh();
setInterval(() => refresh(), 1000);
