"""What an HTTP answer must satisfy: status codes, a value in its JSON. Parsing and judging, without the network."""

import json
import re
from typing import Any

from apps.core.json_path import JsonPath, Missing, parse_json_path, shown_path, value_at

__all__ = ["JsonPath", "StatusRanges", "accepts", "json_problem", "parse_json_path", "parse_status", "shown_path"]

StatusRanges = tuple[tuple[int, int], ...]

_RANGE = re.compile(r"([1-5])xx\Z|(\d{3})(?:\s*-\s*(\d{3}))?\Z", re.IGNORECASE)
_SHOWN = 80


def parse_status(text: str) -> StatusRanges:
    """Parse a list such as "2xx,301,400-404".

    Raises:
        ValueError: an entry is neither a code, a class nor a range.
    """
    ranges: list[tuple[int, int]] = []
    for entry in (part.strip() for part in text.split(",")):
        match = _RANGE.match(entry)
        if match is None:
            raise ValueError(f"“{entry}” is not a status: give codes, classes or ranges such as 2xx,301,400-404")
        if match.group(1):
            low = int(match.group(1)) * 100
            ranges.append((low, low + 99))
            continue
        low, high = int(match.group(2)), int(match.group(3) or match.group(2))
        if not 100 <= low <= high <= 599:
            raise ValueError(f"“{entry}” is not a status: codes lie in 100..599, ranges ascend")
        ranges.append((low, high))
    return tuple(ranges)


def accepts(ranges: StatusRanges, status: int) -> bool:
    """Return whether a status code lies in one of the ranges."""
    return any(low <= status <= high for low, high in ranges)


def json_problem(body: bytes, path: JsonPath, wanted: Any) -> str:
    """Return why the JSON in `body` does not satisfy the assertion, "" where it does.

    Values are compared as they read: 5 and "5", true and "true" are the same.
    """
    try:
        value = json.loads(body)
    except ValueError:
        return "The answer is not JSON."
    try:
        value = value_at(value, path)
    except Missing as missing:
        return f"The JSON has no {missing}."
    if wanted is None or _text(value) == _text(wanted):
        return ""
    return f"{shown_path(path)} is {_text(value)[:_SHOWN]}, expected {_text(wanted)[:_SHOWN]}."


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
