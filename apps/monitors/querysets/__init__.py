"""Querysets of the app, split by thing."""
