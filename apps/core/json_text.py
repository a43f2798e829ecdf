"""JSON of strangers: what no database and no answer takes is refused where it is read."""

import json
import re
from typing import Any, NoReturn

_HALF = re.compile("[\ud800-\udfff]")
#: The same as an escape; a whole pair looks like it too.
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: it is malformed (then a JSONDecodeError), nested without end, or holds what nothing can store:
            NaN, infinity, a number of thousands of digits, half of a surrogate pair. The text says which.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (json.JSONDecodeError, _NoNumber):
        raise
    except ValueError:  # thousands of digits; Python's words speak of its own settings
        raise ValueError("it holds a number that is too long") from None
    if (_ESCAPED.search(text) or _HALF.search(text)) and _holds_half(value):
        raise ValueError("half of a surrogate pair (\\ud800 to \\udfff) is no character")
    return value


class _NoNumber(ValueError):
    """A word that stands for a number, in no JSON."""


def _refuse(name: str) -> NoReturn:
    raise _NoNumber(f"{name} is no number of JSON")


def _holds_half(value: Any) -> bool:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            if _HALF.search(one):
                return True
        elif isinstance(one, dict):
            left += one.keys()
            left += one.values()
        elif isinstance(one, list):
            left += one
    return False
