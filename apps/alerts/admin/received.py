"""What an alert of another system brought along, as its page shows it."""

from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

_NOTHING = mark_safe("")


@dataclass(frozen=True, slots=True)
class Received:
    """Lines for the evidence, and the way back to where it came from."""

    lines: list[tuple[str, str]]
    link: SafeString


def received_of(evidence: dict[str, Any]) -> Received:
    """Take labels, annotations and the link out of an alert's evidence, each label as a line of its own."""
    lines: list[tuple[str, str]] = []
    for name in ("annotations", "labels"):
        found = evidence.pop(name, None)
        if isinstance(found, dict):
            lines += [(str(key), str(value)) for key, value in found.items()]
    address, system = str(evidence.pop("link", "") or ""), str(evidence.get("system") or "the other system")
    if not address.startswith(("http://", "https://")):
        return Received(lines, _NOTHING)
    link = format_html(
        ' · <a class="wk-link wk-small" href="{}" rel="noopener noreferrer" target="_blank">open in {}</a>',
        address,
        system,
    )
    return Received(lines, link)
