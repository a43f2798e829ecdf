"""Rehearsal: what a proposed threshold, rule or schedule would have done in the stored past. Writes nothing."""

from apps.alerts.services.rehearsal import endpoints, rules, schedules, thresholds  # noqa: F401
from apps.alerts.services.rehearsal.common import KINDS, Report, rehearse

__all__ = ["KINDS", "Report", "rehearse"]
