// Regions that are drawn anew by the server when something they show has happened.
//
// <div id="alerts" data-live="alert.*"> is fetched from this very page and replaced, at most once in `data-every` ms.
// With `data-subject` only events about that thing count. While no socket is open, regions are fetched every 20 s instead.

import { follow, isLive, onReset } from "./live.js";
import { refresh as refreshTimes } from "./times.js";

const FOCUSABLE = "a[href], button, summary";
const waiting = new Set();
let timer = null;
let running = false;
let lastRun = 0;

function least() {
  const given = [...waiting].map((id) => Number(document.getElementById(id)?.dataset.every || 700));
  return given.length ? Math.min(...given) : 700;
}

function schedule(id) {
  waiting.add(id);
  if (timer || running) return;
  timer = setTimeout(run, Math.max(250, least() - (Date.now() - lastRun)));
}

async function run() {
  timer = null;
  if (document.hidden) {
    document.addEventListener("visibilitychange", run, { once: true });
    return;
  }
  running = true;
  const ids = [...waiting];
  waiting.clear();
  try {
    const answer = await fetch(location.href, { headers: { "X-Fragment": "1" }, credentials: "same-origin" });
    if (answer.ok && !answer.redirected) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ids) replace(id, fresh);
    }
  } catch {
    // The server is away: the indicator says so, the next event or poll tries again.
  }
  lastRun = Date.now();
  running = false;
  if (waiting.size) schedule([...waiting][0]);
}

function replace(id, fresh) {
  const old = document.getElementById(id);
  const now = fresh.getElementById(id);
  if (!old || !now) return;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  if (focused && /^(INPUT|SELECT|TEXTAREA)$/.test(focused.tagName)) return;
  if (old.querySelector(":active")) { // a button that goes while it is pressed does nothing
    waiting.add(id);
    return;
  }
  const place = focused ? [...old.querySelectorAll(FOCUSABLE)].indexOf(focused) : -1;
  const open = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
  old.replaceChildren(...now.childNodes);
  for (const name of open) document.getElementById(name)?.setAttribute("open", "");
  const same = place < 0 ? null : old.querySelectorAll(FOCUSABLE)[place];
  if (same?.textContent === focused?.textContent) same?.focus({ preventScroll: true });
  refreshTimes(old);
  old.dispatchEvent(new CustomEvent("wk:drawn", { bubbles: true }));
}

const regions = [...document.querySelectorAll("[data-live]")].filter((node) => node.id && node.dataset.live);
for (const node of regions) {
  follow(node.dataset.live, (event) => {
    if (!node.dataset.subject || node.dataset.subject === event.subject?.id || Object.values(event.data).includes(node.dataset.subject)) schedule(node.id);
  });
}
const all = () => regions.forEach((node) => schedule(node.id));
onReset(all);
setInterval(() => { if (!isLive() && !document.hidden) all(); }, 20000);
