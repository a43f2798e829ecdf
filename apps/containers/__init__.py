"""Containers of servers: what runs there, what it writes, and starting, stopping and restarting it."""
