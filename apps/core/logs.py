"""Log lines as JSON, one object a line, with the request's id."""

import json
import logging
from datetime import UTC, datetime

from apps.core import context


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object: at, level, logger, message, request_id, and `extra={"facts": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = context.current().request_id
        if request_id:
            line["request_id"] = request_id
        facts = getattr(record, "facts", None)
        if isinstance(facts, dict):
            line.update(facts)
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
