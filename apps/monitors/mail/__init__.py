"""Pings by mail: a listener that takes messages for heartbeats and nothing else.

- `addresses`: which heartbeat and which signal an address means.
- `messages`: what of a message is kept as the ping's body.
- `link`: one connection as lines and data, with time limits.
- `session`: the SMTP dialogue.
- `listener`: the server: limits, TLS, the way into the database, and the note that it is there.

It runs as a process of its own (`manage.py smtp`) that loads only what it needs (`config.settings.mail`).
"""
