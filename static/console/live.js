// One socket a tab: subscribes by pattern, resumes after the last fact it saw, backs off and comes back.

const handlers = [];
const asked = new Set();
let socket = null;
let lastId = null;
let tries = 0;
let timer = null;
let alive = null;
let state = "off";

function setState(next) {
  if (state === next) return;
  state = next;
  document.dispatchEvent(new CustomEvent("wk:live", { detail: next }));
}

/** Return whether an event's name matches a pattern such as "alert.*". */
export function matches(name, pattern) {
  return pattern === "*" || name === pattern || (pattern.endsWith("*") && name.startsWith(pattern.slice(0, -1)));
}

function ask(pattern) {
  if (asked.has(pattern)) return;
  asked.add(pattern);
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "subscribe", event: pattern }));
}

/** Call `handler` with each event whose name matches one of the patterns. */
export function follow(patterns, handler) {
  const list = typeof patterns === "string" ? patterns.split(/\s+/).filter(Boolean) : patterns;
  handlers.push({ list, handler });
  list.forEach(ask);
  if (!socket && !timer && document.querySelector("[data-follow]")) connect();
}

/** Call `handler` after a connection was lost for longer than can be resumed: whatever is shown may be old. */
export function onReset(handler) {
  document.addEventListener("wk:reset", handler);
}

export function isLive() {
  return state === "live";
}

function connect() {
  timer = null;
  setState(tries ? "waiting" : "connecting");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  try {
    socket = new WebSocket(`${scheme}//${location.host}/ws`);
  } catch {
    return again();
  }
  socket.onopen = () => {
    for (const pattern of asked) socket.send(JSON.stringify({ type: "subscribe", event: pattern }));
    if (lastId !== null) socket.send(JSON.stringify({ type: "resume", after: lastId }));
    clearInterval(alive);
    alive = setInterval(() => socket.readyState === WebSocket.OPEN && socket.send('{"type":"ping"}'), 25000);
  };
  socket.onmessage = (message) => {
    let body;
    try {
      body = JSON.parse(message.data);
    } catch {
      return;
    }
    if (body.type === "ready") {
      tries = 0;
      if (lastId === null) lastId = body.data.id;
      setState("live");
    } else if (body.type === "event") {
      if (typeof body.id === "number") lastId = Math.max(lastId ?? 0, body.id);
      for (const { list, handler } of handlers) {
        if (list.some((pattern) => matches(body.event, pattern))) handler(body);
      }
    } else if (body.type === "reset") {
      lastId = body.data.id;
      document.dispatchEvent(new CustomEvent("wk:reset"));
    }
  };
  socket.onclose = (event) => {
    clearInterval(alive);
    socket = null;
    // Signed out: a new attempt can't succeed, the next page load will say so.
    if (event.code === 4401 || event.code === 4403) return setState("off");
    again();
  };
}

function again() {
  setState("waiting");
  tries += 1;
  const wait = Math.min(30000, 500 * 2 ** Math.min(tries, 6)) * (0.7 + Math.random() * 0.6);
  timer = setTimeout(connect, wait);
}

window.addEventListener("online", () => {
  if (timer) {
    clearTimeout(timer);
    connect();
  }
});
addEventListener("pagehide", () => {
  clearTimeout(timer);
  if (socket) {
    socket.onclose = null;
    socket.close();
    socket = null;
  }
});
addEventListener("pageshow", (event) => {
  if (event.persisted && handlers.length) connect();
});
