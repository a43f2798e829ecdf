"""What an HTTP answer must satisfy: status codes, a value in its JSON. Parsing and judging, without the network."""

import json
import re
from typing import Any

StatusRanges = tuple[tuple[int, int], ...]
JsonPath = tuple[str | int, ...]

_RANGE = re.compile(r"([1-5])xx\Z|(\d{3})(?:\s*-\s*(\d{3}))?\Z", re.IGNORECASE)
_STEP = re.compile(r"""\.?([^.\[\]"']+)|\[(-?\d+)\]|\[(?:"([^"]+)"|'([^']+)')\]""")
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


def parse_json_path(text: str) -> JsonPath:
    """Parse a path such as `data.items[0].name`, `$.status` or `["a key"].b`.

    Raises:
        ValueError: it is none; the text says where.
    """
    path = text.strip()
    rest = path[1:] if path.startswith("$") else path
    steps: list[str | int] = []
    position = 0
    while position < len(rest):
        match = _STEP.match(rest, position)
        if match is None or (position == 0 and rest.startswith(".") and not path.startswith("$")):
            raise ValueError(f"“{text}” is not a JSON path: it can't be read from “{rest[position:][:20]}” on")
        key, index, double, single = match.groups()
        steps.append(int(index) if index is not None else key or double or single)
        position = match.end()
    if not steps:
        raise ValueError("give a path such as data.items[0].status")
    return tuple(steps)


def shown_path(path: JsonPath) -> str:
    """Return a path as people write it."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def json_problem(body: bytes, path: JsonPath, wanted: Any) -> str:
    """Return why the JSON in `body` does not satisfy the assertion, "" where it does.

    Values are compared as they read: 5 and "5", true and "true" are the same.
    """
    try:
        value = json.loads(body)
    except ValueError:
        return "The answer is not JSON."
    for position, step in enumerate(path):
        try:
            if isinstance(step, int) != isinstance(value, list):
                raise KeyError(step)
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return f"The JSON has no {shown_path(path[: position + 1])}."
    if wanted is None or _text(value) == _text(wanted):
        return ""
    return f"{shown_path(path)} is {_text(value)[:_SHOWN]}, expected {_text(wanted)[:_SHOWN]}."


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
