// Plays the recording of a terminal: an asciicast v2, read as it comes, with speed, pause and seeking.

import { screen } from "./screens.js";

const box = document.getElementById("replay");
const toggle = document.getElementById("replay-toggle");
const slider = document.getElementById("replay-at");
const clock = document.getElementById("replay-clock");
const speed = document.getElementById("replay-speed");
const skip = document.getElementById("replay-skip");
const said = document.getElementById("replay-state");
const typed = document.getElementById("replay-typed");
const BYTES_MOST = 64 * 1024 * 1024;
const IDLE_S = 2;
const STEP = 256 * 1024;

const term = screen(box, { disableStdin: true, cursorInactiveStyle: "block", scrollback: 2000 });
let head = { width: 80, height: 24 };
let events = []; // [seconds, kind, text]
let length = 0; // seconds
let next = 0; // the event to come
let position = 0; // seconds
let playing = false;
let lastFrame = 0;
let keys = "";

function minutes(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function show() {
  slider.max = String(Math.max(length, 0.01));
  slider.value = String(position);
  slider.setAttribute("aria-valuetext", `${minutes(position)} of ${minutes(length)}`);
  clock.textContent = `${minutes(position)} / ${minutes(length)}`;
  const icon = toggle.querySelector(".material-symbols-outlined");
  if (icon) icon.textContent = playing ? "pause" : position >= length && length ? "replay" : "play_arrow";
  toggle.querySelector("span:last-child").textContent = playing ? "Pause" : position >= length && length ? "Play again" : "Play";
}

function sized(text) {
  const [cols, rows] = text.split("x").map(Number);
  if (cols > 1 && rows > 0) term.resize(Math.min(cols, 1000), Math.min(rows, 500));
}

function type(text) {
  if (!typed) return;
  keys = (keys + text.replace(/[\x00-\x1f\x7f]/g, (letter) => (letter === "\x7f" ? "\u2421" : String.fromCharCode(0x2400 + letter.charCodeAt(0))))).slice(-120);
  typed.textContent = keys;
}

/** Draw all events up to a time; many at once go as one text. */
function draw(until) {
  let text = "";
  while (next < events.length && events[next][0] <= until) {
    const [, kind, data] = events[next];
    if (kind === "o") {
      text += data;
      if (text.length > STEP) {
        term.write(text);
        text = "";
      }
    } else {
      if (text) term.write(text);
      text = "";
      if (kind === "r") term.write("", () => sized(data)); // in its place among what is written
      else if (kind === "i") type(data);
    }
    next += 1;
  }
  if (text) term.write(text);
}

function seek(seconds) {
  const target = Math.min(Math.max(seconds, 0), length);
  if (target < position) {
    term.reset();
    term.resize(head.width, head.height);
    next = 0;
    keys = "";
    if (typed) typed.textContent = "";
  }
  position = target;
  draw(position);
  show();
}

function frame(now) {
  if (!playing) return;
  position += ((now - lastFrame) / 1000) * Number(speed.value);
  lastFrame = now;
  const coming = events[next]?.[0];
  if (skip.checked && coming !== undefined && coming - position > IDLE_S) position = coming - IDLE_S / 2;
  if (position >= length) {
    position = length;
    playing = false;
  }
  draw(position);
  show();
  if (playing) requestAnimationFrame(frame);
}

function play(wanted) {
  if (wanted && position >= length) seek(0);
  playing = wanted;
  lastFrame = performance.now();
  show();
  if (playing) requestAnimationFrame(frame);
}

function add(line) {
  if (!line) return;
  const body = JSON.parse(line);
  if (!Array.isArray(body)) {
    head = body;
    term.resize(Math.min(head.width, 1000), Math.min(head.height, 500));
    return;
  }
  events.push(body);
  length = Math.max(length, body[0]);
}

async function read() {
  const answer = await fetch(box.dataset.recording, { credentials: "same-origin" });
  if (!answer.ok) {
    said.textContent = "The recording can't be read. It may be past its keep time.";
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let total = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    total += value.length;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(add);
    show();
    if (total > BYTES_MOST) {
      await reader.cancel();
      said.textContent = "This recording is long: the first 64 MB are played here. The file holds all of it.";
      break;
    }
  }
  if (!events.length) said.textContent = "Nothing was shown in this session.";
  toggle.disabled = slider.disabled = !events.length;
  show();
}

toggle.addEventListener("click", () => play(!playing));
slider.addEventListener("input", () => seek(Number(slider.value)));
document.addEventListener("keydown", (event) => {
  if (/^(INPUT|SELECT|TEXTAREA|BUTTON|A)$/.test(event.target.tagName) && event.target !== slider) return;
  if (event.key === " ") play(!playing);
  else if (event.key === "ArrowLeft" && event.target !== slider) seek(position - 5);
  else if (event.key === "ArrowRight" && event.target !== slider) seek(position + 5);
  else return;
  event.preventDefault();
});

show();
read().catch(() => { said.textContent = "The recording can't be read to its end."; });
