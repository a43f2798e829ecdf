"""Endpoints and heartbeats: checks, pings and their state."""
