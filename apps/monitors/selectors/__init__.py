"""Selectors of the app, split by thing."""
