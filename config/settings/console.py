"""The theme of the console."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Watchkeeper",
    "SITE_HEADER": "Watchkeeper",
    "SITE_SYMBOL": "visibility",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "8px",
}
