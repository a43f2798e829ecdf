"""Reads, split by thing."""
