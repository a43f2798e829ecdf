"""The doctor: looks at an installation from outside and says in plain sentences how it is."""

from apps.core.care.doctor.examination import examine
from apps.core.care.doctor.findings import FAILED, FINE, NOTICE, Finding

__all__ = ["FAILED", "FINE", "NOTICE", "Finding", "examine"]
