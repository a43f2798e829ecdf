"""The theme of the console."""

from typing import Any

from django.templatetags.static import static

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Watchkeeper",
    "SITE_HEADER": "Watchkeeper",
    "SITE_ICON": lambda _: static("console/icon.svg"),
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("console/icon.svg")}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "base": {
            "50": "oklch(98.3% .003 228)",
            "100": "oklch(96.2% .005 228)",
            "200": "oklch(91.8% .008 228)",
            "300": "oklch(86% .012 228)",
            "400": "oklch(70% .02 232)",
            "500": "oklch(54.5% .024 234)",
            "600": "oklch(44% .026 236)",
            "700": "oklch(36% .026 238)",
            "800": "oklch(27.5% .022 240)",
            "900": "oklch(21% .019 242)",
            "950": "oklch(16.5% .016 244)",
        },
        "primary": {
            "50": "oklch(97.4% .014 222)",
            "100": "oklch(94% .032 221)",
            "200": "oklch(88.5% .06 220)",
            "300": "oklch(80.5% .092 220)",
            "400": "oklch(72.5% .112 222)",
            "500": "oklch(63.5% .112 226)",
            "600": "oklch(53.5% .1 230)",
            "700": "oklch(46.5% .088 232)",
            "800": "oklch(40% .074 234)",
            "900": "oklch(34.5% .06 236)",
            "950": "oklch(25.5% .044 240)",
        },
    },
    "ACCOUNT": {"navigation": "apps.core.admin.navigation.account_links"},
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "apps.core.admin.navigation.sidebar",
    },
}
