"""Every websocket and SSE endpoint, whatever app owns the data. Nobody imports it."""
