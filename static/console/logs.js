// The log page: chips search at once; the live tail puts new lines on top.

const form = document.getElementById("log-search");
form?.addEventListener("change", (event) => {
  if (event.target.matches("select, input[type=checkbox]")) form.requestSubmit();
});

const LINES_MOST = 1000;
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Return the text without escapes of terminals; other control characters become visible ones. */
export function harmless(text) {
  return text.replace(ESCAPES, "").replace(CONTROLS, (letter) => {
    const code = letter.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : "\ufffd";
  });
}

function element(name, css, text) {
  const node = document.createElement(name);
  node.className = css;
  if (text) node.textContent = text;
  return node;
}

const two = (number) => String(number).padStart(2, "0");

function moment(text) {
  const at = new Date(text);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

function message(line) {
  const node = element("span", "message");
  const letters = Array.from(line.message); // places count characters, not halves of them
  let position = 0;
  for (const [begin, end] of line.highlights) {
    node.append(harmless(letters.slice(position, begin).join("")));
    node.append(element("mark", "", harmless(letters.slice(begin, end).join(""))));
    position = end;
  }
  node.append(harmless(letters.slice(position).join("")));
  return node;
}

const button = document.getElementById("log-live");
const box = document.getElementById("log-lines");
const said = document.getElementById("log-state");

function row(line) {
  const template = document.querySelector(`template[data-level="${CSS.escape(line.level)}"]`);
  const node = element("div", `wk-logline is-${template ? template.dataset.tone : "unknown"} is-new`);
  node.dataset.id = line.id;
  const at = element("a", "at");
  at.href = `${button.dataset.context}${encodeURIComponent(line.id)}/`;
  at.title = "The lines around it";
  const time = element("time", "", moment(line.timestamp));
  time.dateTime = line.timestamp;
  at.append(time);
  const level = element("span", "level");
  if (template) level.append(template.content.cloneNode(true));
  const from = element("span", "from", line.agent_id);
  if (line.source_name) from.append(" ", element("span", "wk-quiet", line.source_name));
  const text = element("div", "text");
  text.append(message(line));
  node.append(at, level, from, text);
  return node;
}

let stream = null;
let waiting = [];
let missed = 0;
let newest = button?.dataset.newest || "0";

function draw() {
  const lines = waiting.splice(0);
  if (!lines.length) return;
  document.getElementById("log-empty")?.remove();
  const fresh = document.createDocumentFragment();
  for (const line of lines) {
    if (box.querySelector(`[data-id="${CSS.escape(line.id)}"]`)) continue;
    fresh.prepend(row(line));
  }
  box.prepend(fresh);
  while (box.children.length > LINES_MOST) box.lastElementChild.remove();
}

function tell(text) {
  said.textContent = missed ? `${text} ${missed} lines came too fast and are not shown.` : text;
}

function stop() {
  stream?.close();
  stream = null;
  button.setAttribute("aria-pressed", "false");
  button.querySelector("span:last-child").textContent = "Follow live";
  tell("");
}

function start() {
  const address = new URL(button.dataset.stream, location.href);
  if (newest !== "0") address.searchParams.set("last_event_id", newest);
  stream = new EventSource(address);
  button.setAttribute("aria-pressed", "true");
  button.querySelector("span:last-child").textContent = "Stop following";
  tell("Connecting …");
  stream.onopen = () => tell("Live.");
  stream.addEventListener("log", (event) => {
    const line = JSON.parse(event.data);
    newest = line.id;
    if (!waiting.length) setTimeout(draw, 150);
    waiting.push(line);
    if (waiting.length > LINES_MOST) {
      waiting.shift();
      missed += 1;
    }
  });
  stream.addEventListener("missed", (event) => {
    missed += JSON.parse(event.data).count || 0;
    tell("Live.");
  });
  stream.onerror = () => {
    tell("Connection lost; trying again …");
    if (stream.readyState === EventSource.CLOSED) stop();
  };
}

if (button) {
  button.addEventListener("click", () => (stream ? stop() : start()));
  addEventListener("pagehide", () => stream?.close());
}
