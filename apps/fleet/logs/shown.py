"""Log lines as pages show them: harmless on a screen, with the words looked for marked.

The API hands lines out as they came.
"""

import re
from collections.abc import Sequence

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.fleet.logs.words import Term, places

# Colours, cursor moves and titles of terminals (ECMA-48: CSI, OSC and the short ones).
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# Control characters but for tab and line break, and those that turn the order of letters round.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def harmless(text: str) -> str:
    """Return the text without escapes of terminals; other control characters become visible ones."""
    return _CONTROLS.sub(_visible, _ESCAPES.sub("", text))


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 32 else "\N{REPLACEMENT CHARACTER}"


def marked(text: str, terms: Sequence[Term]) -> SafeString:
    """Return a harmless line as HTML, the words looked for in `<mark>`."""
    text = harmless(text)
    parts, position = [], 0
    for begin, end in places(terms, text):
        parts.append(format_html("{}<mark>{}</mark>", text[position:begin], text[begin:end]))
        position = end
    return mark_safe("".join([*parts, format_html("{}", text[position:])]))  # noqa: S308 - each part is escaped
