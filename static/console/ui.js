// Small manners of the pages: copy buttons, questions before what can't be undone, menus, tabs, quick search.

function toast(text) {
  const box = document.createElement("div");
  box.className = "wk-toast";
  box.setAttribute("role", "status");
  box.textContent = text;
  document.body.append(box);
  setTimeout(() => box.remove(), 2600);
}

async function copy(button) {
  const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.closest(".wk-code, .wk-copyline").querySelector("pre, code");
  const text = source.dataset.text || source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS a browser offers no clipboard to scripts: mark the text, so that a key press copies it.
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    if (!document.execCommand("copy")) return toast("Marked: press Ctrl+C to copy.");
  }
  toast("Copied.");
}

function ask(form, submitter) {
  const dialog = document.createElement("dialog");
  dialog.className = "wk-dialog";
  const title = document.createElement("h2");
  title.textContent = form.dataset.ask || submitter?.textContent.trim() || "Go on?";
  dialog.append(title);
  if (form.dataset.explain) {
    const text = document.createElement("p");
    text.textContent = form.dataset.explain;
    dialog.append(text);
  }
  let note = null;
  if ("note" in form.dataset) {
    note = document.createElement("textarea");
    note.placeholder = "Note for the others (optional)";
    note.setAttribute("aria-label", "Note");
    note.maxLength = 1000;
    dialog.append(note);
  }
  const ends = document.createElement("div");
  ends.className = "ends";
  const no = document.createElement("button");
  no.type = "button";
  no.className = "wk-button";
  no.textContent = "Cancel";
  const yes = document.createElement("button");
  yes.type = "button";
  yes.className = `wk-button ${form.dataset.tone === "danger" ? "danger solid" : "primary"}`;
  yes.textContent = form.dataset.yes || submitter?.textContent.trim() || "Yes";
  ends.append(no, yes);
  dialog.append(ends);
  document.body.append(dialog);
  no.onclick = () => dialog.close();
  dialog.onclose = () => dialog.remove();
  yes.onclick = () => {
    if (note) {
      const field = form.querySelector("input[name=note]") || form.appendChild(Object.assign(document.createElement("input"), { type: "hidden", name: "note" }));
      field.value = note.value;
    }
    dialog.close();
    // The part of the page that held the form may have been drawn anew meanwhile; outside the page a form sends nothing.
    if (!form.isConnected) {
      form.hidden = true;
      document.body.append(form);
    }
    form.dataset.sure = "1";
    form.requestSubmit(submitter || undefined);
    delete form.dataset.sure; // who comes back to this page is asked again
  };
  dialog.showModal();
  (note || yes).focus();
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (("ask" in form.dataset || "note" in form.dataset) && !form.dataset.sure) {
    event.preventDefault();
    ask(form, event.submitter);
    return;
  }
  if (form.method === "post") {
    // A second press while the first is under way would do it twice.
    setTimeout(() => form.querySelectorAll("button[type=submit]").forEach((button) => { button.disabled = true; }), 0);
  }
});
addEventListener("pageshow", () => document.querySelectorAll("form button[disabled][type=submit]").forEach((button) => { button.disabled = false; }));

document.addEventListener("click", (event) => {
  const copier = event.target.closest(".wk-copy");
  if (copier) return void copy(copier);
  const tab = event.target.closest("[role=tab]");
  if (tab) {
    const list = tab.closest("[role=tablist]");
    for (const other of list.querySelectorAll("[role=tab]")) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", chosen);
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    return;
  }
  const row = event.target.closest("tr[data-href]");
  if (row && !event.target.closest("a, button, input, label, summary") && !getSelection().toString()) location.href = row.dataset.href;
  for (const menu of document.querySelectorAll("details.wk-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll("details.wk-menu[open]").forEach((menu) => { menu.open = false; });
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName) && !event.ctrlKey && !event.metaKey) {
    const box = document.querySelector(".wk-search input");
    if (box) {
      event.preventDefault();
      box.focus();
      box.select();
    }
  }
});

// Fields that matter for one choice only: data-when="endpoint_type=http&opt_http_auth=basic" shows one while all that holds.
function holds(condition) {
  const [name, values] = condition.split("=");
  const field = document.querySelector(`[name="${name}"]:checked, select[name="${name}"], input[name="${name}"][type=hidden]`);
  return !field || values.split("|").includes(field.value);
}
function showFields() {
  for (const node of document.querySelectorAll("[data-when]")) node.hidden = !node.dataset.when.split("&").every(holds);
}
document.addEventListener("change", showFields);
showFields();

// A form that was refused: to the first field that is wrong.
const wrong = [...document.querySelectorAll(".wk-form .has-error")].map((box) => box.querySelector("input, select, textarea")).find((field) => field?.offsetParent);
if (wrong) wrong.focus();

// Time zones by name, as the browser knows them.
const zones = document.querySelectorAll("input[name=timezone]");
if (zones.length && Intl.supportedValuesOf) {
  const list = document.createElement("datalist");
  list.id = "wk-zones";
  for (const zone of ["UTC", ...Intl.supportedValuesOf("timeZone")]) list.append(new Option(zone, zone));
  document.body.append(list);
  for (const field of zones) field.setAttribute("list", list.id);
}

const indicator = document.querySelector(".wk-live");
const said = { live: "Live", waiting: "Reconnecting…", connecting: "Connecting…", off: "Not live" };
document.addEventListener("wk:live", (event) => {
  if (!indicator) return;
  indicator.dataset.state = event.detail;
  indicator.querySelector("span").textContent = said[event.detail] || "";
  indicator.title = event.detail === "live" ? "Changes show as they happen" : "This page is not following changes right now";
});
