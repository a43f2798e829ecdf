"""Addresses of the public pages, and the tokens in them."""

from urllib.parse import urlencode

from django.conf import settings
from django.core import signing

from apps.statuspage.models import Notice, Page, Subscriber

_SALT = "statuspage.unsubscribe"


def base_of(page: Page) -> str:
    """Return scheme and host under which a page is read: its own domain, else that of PUBLIC_URL."""
    if not page.domain:
        return settings.PUBLIC_URL
    scheme, _, rest = settings.PUBLIC_ORIGIN.partition("://")
    _, _, port = rest.rpartition("]")[2].partition(":")
    return f"{scheme}://{page.domain}{':' + port if port else ''}"


def path_of(page: Page) -> str:
    """Return the path of a page, good under every host."""
    return "/status" if page.is_default and not page.domain else f"/status/{page.slug}"


def url_of(page: Page) -> str:
    """Return the whole address of a page."""
    return f"{base_of(page)}{path_of(page)}"


def notice_url(page: Page, notice: Notice) -> str:
    """Return the address of a notice in its page's history."""
    return f"{url_of(page)}/history#n-{notice.reference}"


def confirm_url(page: Page, token: str) -> str:
    """Return the address by which a subscriber says yes."""
    return f"{base_of(page)}/status/confirm?{urlencode({'token': token})}"


def unsubscribe_url(page: Page, subscriber: Subscriber) -> str:
    """Return the signed address by which a subscriber leaves; it needs no login and holds as long as the address."""
    return f"{base_of(page)}/status/unsubscribe?{urlencode({'token': unsubscribe_token(subscriber)})}"


def unsubscribe_token(subscriber: Subscriber) -> str:
    """Return the signed name of a subscription."""
    return signing.Signer(salt=_SALT).sign(str(subscriber.pk))


def read_unsubscribe_token(token: str) -> str | None:
    """Return the id of the subscription that a token names, None where its signature is wrong."""
    try:
        return signing.Signer(salt=_SALT).unsign(token)
    except signing.BadSignature:
        return None
