// The overview's live parts.
import "./server.js";
import "./monitors.js";
