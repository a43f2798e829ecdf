"""The zone in which a person reads and writes times at the console."""

from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.http import HttpRequest

#: Set by the page's script to the zone of the browser, in which all times are shown.
COOKIE = "wk_zone"
#: Names the zone in which a form's times were written, whatever the cookie says by then.
FIELD = "_zone"


def zone_of(request: HttpRequest) -> ZoneInfo:
    """Return the zone of a form that was sent, else the browser's, else the one of the profile, else UTC."""
    given = (
        request.POST.get(FIELD, "") if request.method == "POST" else "",
        unquote(request.COOKIES.get(COOKIE, "")),
        str(getattr(request.user, "timezone", "") or ""),
    )
    return next((zone for zone in map(_zone, given) if zone is not None), ZoneInfo("UTC"))


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None
