"""Is a destination's address allowed? Asked before it is stored; asked again by every connection."""

from apps.core.errors import Invalid
from apps.core.net import InvalidTarget, NetError, OutboundRefused, Purpose, check_url, resolve_sync
from apps.core.net.hosts import parse_url

LOOKUP_S = 2.0


def check_url_form(url: object, *, field: str = "url") -> str:
    """Return a URL that may be a destination, without looking its name up.

    Raises:
        Invalid: it is no http(s) URL, or the outbound policy forbids it; the text names OUTBOUND_ALLOW (422).
    """
    text = url.strip() if isinstance(url, str) else ""
    if not text or len(text) > 2000:
        raise Invalid({field: "give a URL of at most 2000 characters"})
    try:
        check_url(text, Purpose.DELIVER)
    except (InvalidTarget, OutboundRefused) as error:
        raise Invalid({field: error.message}) from error
    return text


def check_target(url: object, *, field: str = "url") -> None:
    """Look the name up and refuse one that leads to a forbidden address. Call it outside of transactions.

    A name that can't be looked up now is accepted: each connection is checked again.

    Raises:
        Invalid: the outbound policy forbids the URL or what it resolves to (422).
    """
    target = parse_url(check_url_form(url, field=field))
    try:
        resolve_sync(target.host, target.port, Purpose.DELIVER, timeout_s=LOOKUP_S)
    except OutboundRefused as error:
        raise Invalid({field: error.message}) from error
    except NetError:
        return
