// What every page of the console runs.
import "./times.js";
import "./ui.js";
import "./regions.js";
import { follow } from "./live.js";

// The bell beside the indicator counts the person's unread notifications.
const bell = document.querySelector(".wk-bell");
if (bell) {
  follow(["notification"], () => {
    const figure = bell.querySelector("b") || bell.appendChild(document.createElement("b"));
    figure.textContent = Math.min(99, (Number(figure.textContent) || 0) + 1);
  });
}
