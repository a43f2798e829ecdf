// What the terminal and the replay share: an xterm in the console's colours.

import { Terminal } from "../vendor/xterm-6.0.0/xterm.js";

const COLOURS = {
  light: {
    background: "#fbfcfd", foreground: "#1f2a33", cursor: "#1f2a33", cursorAccent: "#fbfcfd", selectionBackground: "#b9d6ee",
    black: "#1f2a33", red: "#b3261e", green: "#1b7a3d", yellow: "#8a5a00", blue: "#1f5fa8", magenta: "#8b3a9c", cyan: "#0f7480", white: "#5b6872",
    brightBlack: "#697680", brightRed: "#c93a31", brightGreen: "#23904a", brightYellow: "#9c6a0a", brightBlue: "#2f74c4", brightMagenta: "#a14db3", brightCyan: "#168896", brightWhite: "#3a4750",
  },
  dark: {
    background: "#0d1418", foreground: "#d5dee4", cursor: "#d5dee4", cursorAccent: "#0d1418", selectionBackground: "#33566f",
    black: "#1b252b", red: "#f28b82", green: "#7fd197", yellow: "#e8c26a", blue: "#82b6f2", magenta: "#d79be6", cyan: "#76d0dc", white: "#d5dee4",
    brightBlack: "#7d8b95", brightRed: "#ffaaa2", brightGreen: "#a0e5b3", brightYellow: "#f6d78b", brightBlue: "#a8cdfa", brightMagenta: "#e7b9f2", brightCyan: "#9fe3ec", brightWhite: "#ffffff",
  },
};

const isDark = () => document.documentElement.classList.contains("dark");

/** Return an xterm in `node` that follows the console's light and dark. */
export function screen(node, options = {}) {
  const term = new Terminal({
    fontFamily: '"JetBrains Mono", "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace',
    fontSize: 13,
    lineHeight: 1.15,
    scrollback: 5000,
    minimumContrastRatio: 4.5,
    ...options,
    theme: COLOURS[isDark() ? "dark" : "light"],
  });
  new MutationObserver(() => {
    const theme = COLOURS[isDark() ? "dark" : "light"];
    if (term.options.theme.background !== theme.background) term.options.theme = theme;
  }).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  term.open(node);
  return term;
}
