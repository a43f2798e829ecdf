"""Events: declare them, emit them, read them. The rows are the truth; Redis only rings."""

from apps.core.events.catalogue import FACT, LIVE, Declaration, catalogue, declare
from apps.core.events.emit import Emission, Subject, emit, emit_many, publish_live
from apps.core.events.readers import reader, readers

__all__ = [
    "FACT",
    "LIVE",
    "Declaration",
    "Emission",
    "Subject",
    "catalogue",
    "declare",
    "emit",
    "emit_many",
    "publish_live",
    "reader",
    "readers",
]
