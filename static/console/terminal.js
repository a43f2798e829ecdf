// A shell on a server: bytes over a socket, drawn by xterm. A broken connection is taken up again where it was.

import { FitAddon } from "../vendor/addon-fit-0.11.0/addon-fit.js";
import { screen } from "./screens.js";

const box = document.getElementById("terminal");
const said = document.getElementById("terminal-state");
const again = document.getElementById("terminal-again");
const shut = document.getElementById("terminal-close");
const KEPT = `wk-terminal:${box.dataset.server}`;
const ACK_BYTES = 32 * 1024;
const PASTE_BYTES = 64 * 1024;
const AWAY_MS = 30_000;

const term = screen(box, { cursorBlink: true });
const fit = new FitAddon();
term.loadAddon(fit);
const encoder = new TextEncoder();

let socket = null;
let session = null;
let received = 0;
let drawn = 0;
let acked = 0;
let brokenAt = 0;
let tries = 0;
let timer = null;

function tell(tone, text) {
  said.dataset.tone = tone;
  said.textContent = text;
}

function remember() {
  try {
    if (session) sessionStorage.setItem(KEPT, session);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // Without storage a reload opens another shell.
  }
}

function remembered() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

function send(body) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(body));
}

function sendBytes(bytes) {
  if (socket?.readyState !== WebSocket.OPEN) return;
  for (let at = 0; at < bytes.length; at += PASTE_BYTES) socket.send(bytes.subarray(at, at + PASTE_BYTES));
}

function over(tone, text) {
  session = null;
  remember();
  clearTimeout(timer);
  tell(tone, text);
  term.options.cursorBlink = false;
  term.options.disableStdin = true;
  again.hidden = false;
  shut.hidden = true;
}

function draw(bytes) {
  received += bytes.length;
  term.write(bytes, () => {
    drawn += bytes.length;
    if (drawn - acked < ACK_BYTES) return;
    acked = drawn;
    send({ type: "ack", position: drawn });
  });
}

function ready(data) {
  const lost = session === data.id && data.position > received;
  if (session !== data.id) term.reset();
  session = data.id;
  received = drawn = acked = data.position;
  brokenAt = tries = 0;
  remember();
  again.hidden = true;
  shut.hidden = false;
  term.options.disableStdin = false;
  term.options.cursorBlink = true;
  send({ type: "ack", position: drawn });
  send({ type: "resize", cols: term.cols, rows: term.rows });
  tell("ok", lost ? "Connected again; some of the output was lost meanwhile." : data.recorded_input ? "Connected. Output and what you type are recorded." : "Connected. The output is recorded.");
  term.focus();
}

function ended(data) {
  if (data.status === "ended") {
    const how = data.signal ? `by signal ${data.signal}` : `with exit code ${data.exit_code}`;
    over(data.exit_code === 0 ? "quiet" : "warn", `The shell ended ${how}.`);
  } else {
    over(data.status === "closed" ? "quiet" : "crit", data.reason);
  }
}

function hear(event) {
  if (event.data instanceof ArrayBuffer) {
    draw(new Uint8Array(event.data));
    return;
  }
  const { type, data } = JSON.parse(event.data);
  if (type === "ready") ready(data);
  else if (type === "exit") ended(data);
  else if (type === "notice") tell("warn", data.message);
  else if (type === "error") {
    if (data.code === 4400) tell("warn", data.message);
    else if (data.reason !== "elsewhere") refused(data);
  }
}

function refused(data) {
  // A remembered shell that is over makes room for another one.
  if (data.reason === "over" || (data.code === 4404 && !brokenAt && remembered())) {
    const wasOpen = Boolean(session);
    session = null;
    remember();
    if (wasOpen) {
      over("crit", data.message);
    } else {
      socket.onclose = null;
      connect();
    }
    return;
  }
  over("crit", data.message);
}

function lost(event) {
  if (event.target !== socket) return;
  socket = null;
  const kept = session || remembered();
  if (!kept) {
    if (again.hidden) over("crit", "The connection could not be made. Is Watchkeeper reachable, and are you still signed in?");
    return;
  }
  session = kept;
  brokenAt ||= Date.now();
  if (Date.now() - brokenAt > AWAY_MS) {
    over("crit", "The connection broke off and did not come back in time; the shell was ended.");
    return;
  }
  tell("warn", "The connection broke off; trying again …");
  tries += 1;
  timer = setTimeout(connect, Math.min(500 * 2 ** (tries - 1), 5000));
}

function connect() {
  clearTimeout(timer);
  fit.fit();
  const address = new URL(box.dataset.socket, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const kept = session || remembered();
  if (kept) {
    address.searchParams.set("resume", kept);
    address.searchParams.set("after", String(session ? received : 0));
  } else {
    address.searchParams.set("cols", String(term.cols));
    address.searchParams.set("rows", String(term.rows));
    tell("quiet", "Connecting …");
  }
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onmessage = hear;
  socket.onclose = lost;
}

term.onData((text) => sendBytes(encoder.encode(text)));
term.onBinary((text) => sendBytes(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
term.onResize(({ cols, rows }) => send({ type: "resize", cols, rows }));

function copy() {
  const text = term.getSelection();
  if (!text) return false;
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(() => tell("warn", "The browser did not let this page copy."));
  else document.execCommand("copy");
  return true;
}

// Ctrl+C copies where something is selected and interrupts otherwise; Ctrl+Shift+C always copies.
term.attachCustomKeyEventHandler((event) => {
  if (event.type !== "keydown" || !event.ctrlKey || event.altKey || event.key.toLowerCase() !== "c") return true;
  if (!event.shiftKey && !term.hasSelection()) return true;
  event.preventDefault();
  if (copy()) term.clearSelection();
  return false;
});

let waiting = null;
new ResizeObserver(() => {
  clearTimeout(waiting);
  waiting = setTimeout(() => fit.fit(), 80);
}).observe(box);

again.addEventListener("click", () => {
  again.hidden = true;
  term.reset();
  session = null;
  remember();
  brokenAt = tries = 0;
  connect();
});
shut.addEventListener("click", () => send({ type: "close" }));
addEventListener("pageshow", (event) => { if (event.persisted && !socket) connect(); });

(document.fonts?.ready ?? Promise.resolve()).then(connect);
