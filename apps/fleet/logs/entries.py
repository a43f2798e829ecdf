"""One log line as a sender gives it, made fit to be kept.

What is wrong with a line is said of that line alone. Secrets are masked here, before anything is written.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from apps.core.rows import storable
from apps.fleet.masking import mask_field, mask_text
from apps.fleet.states import LogLevel, LogSource

MESSAGE_BYTES = 16 * 1024
FIELDS_MOST = 50
FIELD_NAME_MOST = 100
FIELD_VALUE_MOST = 1000
NAME_MOST = 200
#: What a row costs beside its texts, with its part of the indexes.
ROW_BYTES = 120
FUTURE_MS = 3_600_000
_OLDEST_MS = 946_684_800_000  # 2000-01-01; what is before is a clock that was never set

LEVELS = {level.label: int(level) for level in LogLevel}
SOURCES = {source.label: int(source) for source in LogSource}
LEVEL_WORDS = tuple(LEVELS)
SOURCE_WORDS = tuple(SOURCES)
_ALIASES = {
    "trace": "debug", "notice": "info", "informational": "info", "warn": "warning", "err": "error",
    "severe": "error", "crit": "critical", "fatal": "critical", "alert": "critical", "emerg": "critical",
    "emergency": "critical", "panic": "critical",
}  # fmt: skip
_BY_NAME = {**LEVELS, **{alias: LEVELS[name] for alias, name in _ALIASES.items()}}
# Priorities of syslog, 0 to 7.
_BY_NUMBER = (50, 50, 50, 40, 30, 20, 20, 10)


class BadEntry(Exception):
    """Tell why a line is refused."""


@dataclass(slots=True)
class Line:
    """A line that is fit to be kept.

    Args:
        server: slug or id as the sender gave it; "" where it gave none.
        at: epoch ms by which it is kept. sent_at: the sender's, where that was too far ahead.
        fields: JSON. mark: digest of the sender's own id.
    """

    server: str
    at: int
    sent_at: int | None
    level: int
    source: int
    source_name: str
    message: str
    fields: str
    is_cut: bool
    size: int
    mark: int | None


def read_entry(raw: Any, now_ms: int, oldest_ms: int) -> Line:
    """Return the line.

    Raises:
        BadEntry: it can't be kept; the sentence names the field.
    """
    if not isinstance(raw, dict):
        raise BadEntry("must be an object")
    message, is_cut = _message(raw.get("message"))
    at, sent_at = _time(raw.get("timestamp"), now_ms, oldest_ms)
    source = _source(raw.get("source"))
    source_name = _text(raw, "source_name", NAME_MOST)
    fields = _fields(raw.get("fields"))
    return Line(
        server=_text(raw, "agent_id", 64) or _text(raw, "server_id", 64),
        at=at,
        sent_at=sent_at,
        level=_level(raw.get("level")),
        source=source,
        source_name=source_name,
        message=message,
        fields=fields,
        is_cut=is_cut,
        size=len(message.encode()) + len(fields.encode()) + ROW_BYTES,
        mark=_mark(raw, source, source_name),
    )


def _message(value: Any) -> tuple[str, bool]:
    if not isinstance(value, str):
        raise BadEntry("message must be a text")
    text = storable(value.rstrip("\r\n"))
    is_cut = False
    if len(text) > MESSAGE_BYTES // 4 and len(encoded := text.encode()) > MESSAGE_BYTES:
        text, is_cut = encoded[:MESSAGE_BYTES].decode("utf-8", "ignore"), True
    return mask_text(text), is_cut


def _text(raw: dict[str, Any], name: str, most: int) -> str:
    value = raw.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadEntry(f"{name} must be a text")
    if len(value) > most:
        raise BadEntry(f"{name} is longer than {most} characters")
    return storable(value)


def _level(value: Any) -> int:
    if value is None or value == "":
        return int(LogLevel.INFO)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 7:
        return _BY_NUMBER[value]
    found = _BY_NAME.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        if isinstance(value, str) and value in "01234567" and len(value) == 1:
            return _BY_NUMBER[int(value)]
        raise BadEntry(f"level must be one of {', '.join(LEVELS)}, or a priority of syslog from 0 to 7")
    return found


def _source(value: Any) -> int:
    if value is None or value == "":
        return int(LogSource.FILE)
    found = SOURCES.get(value) if isinstance(value, str) else None
    if found is None:
        raise BadEntry(f"source must be one of {', '.join(SOURCES)}")
    return found


def _time(value: Any, now_ms: int, oldest_ms: int) -> tuple[int, int | None]:
    """Return (time to keep it by, the sender's where that is over an hour ahead)."""
    if value is None or value == "":
        return now_ms, None
    at = _epoch_ms(value)
    if at > now_ms + FUTURE_MS:
        return now_ms, at
    if at < max(oldest_ms, _OLDEST_MS):
        raise BadEntry("timestamp is older than log lines are kept")
    return at, None


def _epoch_ms(value: Any) -> int:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            try:
                value = float(value)
            except ValueError:
                raise BadEntry("timestamp must be a time such as 2026-01-31T10:00:00Z, or epoch seconds") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 4e18:
        raise BadEntry("timestamp must be a time such as 2026-01-31T10:00:00Z, or epoch seconds")
    # Seconds, milli-, micro- or nanoseconds: their ranges lie far apart.
    for most, per_ms in ((1e11, 1000), (1e14, 1), (1e17, 1e-3)):
        if value < most:
            return int(value * per_ms)
    return int(value / 1_000_000)


def _fields(value: Any) -> str:
    if not value:
        if value is not None and not isinstance(value, dict):
            raise BadEntry("fields must be an object of texts")
        return "{}"
    if not isinstance(value, dict):
        raise BadEntry("fields must be an object of texts")
    if len(value) > FIELDS_MOST:
        raise BadEntry(f"fields has more than {FIELDS_MOST} names")
    kept: dict[str, str] = {}
    for name, content in value.items():
        if not isinstance(name, str) or len(name) > FIELD_NAME_MOST:
            raise BadEntry(f"a name in fields is longer than {FIELD_NAME_MOST} characters")
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
        kept[storable(name)] = mask_field(name, storable(text[:FIELD_VALUE_MOST]))
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def _mark(raw: dict[str, Any], source: int, source_name: str) -> int | None:
    value = raw.get("entry_id") if raw.get("entry_id") not in (None, "") else raw.get("cursor")
    if value in (None, ""):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > 300:
        raise BadEntry("entry_id must be a text of at most 300 characters")
    digest = blake2b(f"{source}\0{source_name}\0{value}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
