"""Paths into JSON, as people write them: `data.items[0].name`, `$.status`, `["a key"].b`."""

import re
from typing import Any

JsonPath = tuple[str | int, ...]

_STEP = re.compile(r"""\.?([^.\[\]"']+)|\[(-?\d+)\]|\[(?:"([^"]+)"|'([^']+)')\]""")


class Missing(LookupError):
    """The JSON has nothing at a path; the text is the part of the path that leads nowhere."""


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


def value_at(document: Any, path: JsonPath) -> Any:
    """Return what stands at a path.

    Raises:
        Missing: nothing does.
    """
    value = document
    for position, step in enumerate(path):
        try:
            if isinstance(step, int) != isinstance(value, list):
                raise KeyError(step)
            value = value[step]
        except (KeyError, IndexError, TypeError) as error:
            raise Missing(shown_path(path[: position + 1])) from error
    return value
