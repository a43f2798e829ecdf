"""Regular expressions that people write: what is wrong with one in a sentence, and a search that always ends.

Python's own `re` holds the whole process while a careless pattern backtracks; this one gives up in time.
"""

from typing import Any

import regex

PATTERN_MOST = 500
SEARCH_S = 0.2


class PatternTooSlow(Exception):
    """Tell that a pattern was given up: on this text it takes too long."""


def compile_pattern(text: str) -> Any:
    """Compile a regular expression.

    Raises:
        ValueError: it is none; the sentence names the place of the fault.
    """
    if len(text) > PATTERN_MOST:
        raise ValueError(f"is longer than {PATTERN_MOST} characters")
    try:
        return regex.compile(text, regex.VERSION1)
    except regex.error as error:
        position = getattr(error, "pos", None)
        place = f" at character {position + 1}" if position is not None else ""
        raise ValueError(f"is not a regular expression: {error.msg}{place}") from error
    except (OverflowError, RecursionError, ValueError, KeyError) as error:
        raise ValueError(f"is not a regular expression: {error}") from error


def is_found(pattern: Any, text: str, *, timeout_s: float = SEARCH_S) -> bool:
    """Return whether a compiled pattern occurs in the text.

    Raises:
        PatternTooSlow: it could not be said within `timeout_s` seconds.
    """
    try:
        return pattern.search(text, timeout=timeout_s) is not None
    except TimeoutError as error:
        raise PatternTooSlow from error
