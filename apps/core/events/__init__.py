"""Events: declare them, emit them, read them. The rows are the truth; Redis only rings."""

from apps.core.events.catalogue import FACT, LIVE, Declaration, catalogue, declare
from apps.core.events.emit import Subject, emit, publish_live
from apps.core.events.readers import reader, readers

__all__ = [
    "FACT",
    "LIVE",
    "Declaration",
    "Subject",
    "catalogue",
    "declare",
    "emit",
    "publish_live",
    "reader",
    "readers",
]
