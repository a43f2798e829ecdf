"""Alerts and thresholds. The reference app: the smallest one that has every file; read it first."""
