"""Tables of the core."""

from apps.core.models.base import EditableModel, Tag
from apps.core.models.events import Event, ReaderCursor, SetAsideFact
from apps.core.models.platform import (
    Canary,
    Condition,
    IdempotencyRecord,
    Lease,
    OutsideHeartbeat,
    Sequence,
    StoredSetting,
)

__all__ = [
    "Canary",
    "Condition",
    "EditableModel",
    "Event",
    "IdempotencyRecord",
    "Lease",
    "OutsideHeartbeat",
    "ReaderCursor",
    "Sequence",
    "SetAsideFact",
    "StoredSetting",
    "Tag",
]
