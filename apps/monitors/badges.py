"""Drawing badges: a small picture with two words, the same as plain data, and as shields.io reads it. Pure."""

from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

OK, WARN, CRIT, INFO, QUIET = "ok", "warn", "crit", "info", "quiet"
#: Dark enough under white text to be read by everybody (contrast over 4.5).
_COLOURS = {OK: "#1a7f4b", WARN: "#9a6700", CRIT: "#c5303a", INFO: "#2563a8", QUIET: "#656d76"}
_LEFT = "#3b434b"
_NARROW, _WIDE = frozenset("iljft.,:;'|!()[] 1"), frozenset("mwMW%@")
_HEIGHT, _PAD = 20, 7


@dataclass(frozen=True, slots=True)
class Look:
    """What a badge says now: "uptime 30 d" | "99.98 %", and in which tone."""

    label: str
    message: str
    tone: str


def svg(look: Look) -> str:
    """Return the badge as a picture of its own: no script, no style sheet, no font or link from elsewhere."""
    left, right = _width(look.label), _width(look.message)
    title = escape(f"{look.label}: {look.message}", {'"': "&quot;"})
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{_HEIGHT}" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="{_HEIGHT}" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{_HEIGHT}" fill="{_LEFT}"/>'
        f'<rect x="{left}" width="{right}" height="{_HEIGHT}" fill="{_COLOURS[look.tone]}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(look.label, left / 2, left)}{_text(look.message, left + right / 2, right)}</g></svg>"
    )


def shields(look: Look) -> dict[str, Any]:
    """Return the badge as shields.io's endpoint badge reads it."""
    return {
        "schemaVersion": 1,
        "label": look.label,
        "message": look.message,
        "color": _COLOURS[look.tone],
        "isError": look.tone == CRIT,
    }


def _text(text: str, middle: float, width: int) -> str:
    return f'<text x="{middle:g}" y="14" textLength="{width - 2 * _PAD}">{escape(text)}</text>'


def _width(text: str) -> int:
    return round(sum(4 if char in _NARROW else 10 if char in _WIDE else 6.8 for char in text)) + 2 * _PAD
