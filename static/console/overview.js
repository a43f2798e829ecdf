// The overview's live parts.
import "./server.js";
import "./servers.js";
import "./monitors.js";
