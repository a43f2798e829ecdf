// Brings the page up to date without loading it anew: asks a small cached JSON every 30 s, draws only what changed.
"use strict";
(() => {
  const EVERY_MS = 30000;
  const show = (root) => {
    for (const one of root.querySelectorAll("time[datetime]")) {
      const at = new Date(one.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      one.title = one.textContent;
      one.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    }
  };
  show(document);
  const live = document.getElementById("live");
  if (!live) return;
  const pulse = document.getElementById("pulse");
  let known = null;
  const ask = async () => {
    try {
      const answer = await fetch(live.dataset.json, { cache: "no-cache", credentials: "omit" });
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (known !== null && known !== text) await draw();
      known = text;
      pulse.textContent = "";
    } catch {
      pulse.textContent = "No connection: this is what was known last.";
    }
  };
  const draw = async () => {
    const answer = await fetch(live.dataset.page, { cache: "no-cache", credentials: "omit" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const inner = fresh.getElementById("live");
    if (!inner) return;
    live.replaceChildren(...inner.childNodes);
    document.title = fresh.title;
    show(live);
  };
  ask();
  setInterval(() => { if (!document.hidden) ask(); }, EVERY_MS);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
})();
