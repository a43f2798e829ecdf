"""A log line as the API, the streams and the console show it."""

import json
from typing import Any

from apps.fleet.models.logs import ID_BITS
from apps.fleet.snapshots import to_iso
from apps.fleet.states import LogLevel, LogSource

LEVEL_NAMES = {int(level): level.label for level in LogLevel}
SOURCE_NAMES = {int(source): source.label for source in LogSource}


def line_body(
    *,
    id: int,
    server_id: str,
    slug: str,
    received_at: int,
    sent_at: int | None,
    level: int,
    source: int,
    source_name: str,
    message: str,
    fields: str,
    is_cut: bool,
) -> dict[str, Any]:
    """Return the line. Its id is a text: it is larger than a number of JavaScript holds exactly."""
    return {
        "id": str(id),
        "timestamp": to_iso(id >> ID_BITS),
        "received_at": to_iso(received_at),
        "agent_id": slug,
        "server_id": server_id,
        "source": SOURCE_NAMES.get(source, ""),
        "source_name": source_name,
        "level": LEVEL_NAMES.get(level, ""),
        "message": message,
        "fields": json.loads(fields),
        "truncated": bool(is_cut),
        # Seconds by which the sender's clock ran ahead, where it was too many to believe.
        "clock_ahead_s": None if sent_at is None else round((sent_at - received_at) / 1000),
    }
