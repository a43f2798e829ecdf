// What the schedule in the form would do, shown while one types.
const expression = document.querySelector('[name="on_calendar"]');
const form = expression?.closest("form");
if (form) {
  const place = document.createElement("div");
  place.className = "wk-stack";
  place.style.cssText = "gap:9px;padding:0 16px 16px";
  place.setAttribute("aria-live", "polite");
  expression.closest("section").append(place);
  const names = ["kind", "interval_seconds", "cron", "on_calendar", "timezone", "grace_seconds", "early_seconds"];
  const path = `${location.pathname.split("/heartbeat/")[0]}/heartbeat/preview/`;
  let timer = null;
  let turn = 0;
  const show = async () => {
    const mine = ++turn;
    const query = new URLSearchParams();
    for (const name of names) query.set(name, form.elements[name]?.value ?? "");
    try {
      const answer = await fetch(`${path}?${query}`, { headers: { "X-Fragment": "1" }, credentials: "same-origin" });
      if (mine !== turn || !answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      place.replaceChildren(...fresh.body.childNodes);
    } catch {
      // The server is away; saving will tell.
    }
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(show, 250); };
  form.addEventListener("input", (event) => { if (names.includes(event.target.name)) soon(); });
  form.addEventListener("change", (event) => { if (names.includes(event.target.name)) soon(); });
  show();
}
