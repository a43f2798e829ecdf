"""Pages: add, change, remove, their logos."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import transaction

from apps.core.errors import Conflict, Invalid
from apps.core.events import Subject, emit
from apps.core.principals import Principal
from apps.statuspage.models import Page, PageLogo, PageState
from apps.statuspage.services.common import clean_domain, clean_line, clean_text, locked, put_changes, touch_pages
from apps.statuspage.services.logos import clean_logo

#: Words that stand in paths below /status/.
RESERVED = frozenset(
    {"events", "subscribe", "confirm", "unsubscribe", "history", "logo", "feed", "calendar", "status", "api", "json"}
)
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")


def subject_of(page: Page) -> Subject:
    """Return the page as an event's subject."""
    return Subject("status_page", str(page.id), page.name)


def create_page(*, actor: Principal, values: Mapping[str, Any]) -> Page:
    """Add a page; the first one is the default.

    Raises:
        Invalid: a field is wrong (422). Conflict: slug or domain is taken (409).

    Emits: status.page_created.
    """
    cleaned = _clean(values)
    if "name" not in cleaned:
        raise Invalid({"name": "is required"})
    cleaned.setdefault("slug", _slug_from(cleaned["name"]))
    with transaction.atomic():
        _require_free(cleaned, None)
        page = Page(**cleaned)
        if not Page.objects.filter(is_default=True).exists():
            page.is_default = True
        elif page.is_default:
            Page.objects.filter(is_default=True).update(is_default=False)
        page.save(force_insert=True)
        PageState.objects.create(page=page)
        touch_pages()
        emit(
            "status.page_created", subject=subject_of(page), actor=actor,
            data={"page_id": str(page.id), "name": page.name}, after=dict(cleaned),
        )  # fmt: skip
    return page


def update_page(
    *, page_id: UUID | str, values: Mapping[str, Any], actor: Principal, expected_revision: int | None = None
) -> Page:
    """Change the named fields.

    Raises:
        NotFound (404), Invalid (422), PreconditionFailed (412).
        Conflict: slug or domain is taken, or it would leave no default page (409).

    Emits: status.page_updated, where something changed.
    """
    cleaned = _clean(values)
    with transaction.atomic():
        page = locked(Page, page_id, expected_revision)
        _require_free(cleaned, page)
        if page.is_default and cleaned.get("is_default") is False:
            raise Conflict("One page is always the default; make another page the default instead.", code="wrong_state")
        if cleaned.get("is_default") and not page.is_default:
            Page.objects.filter(is_default=True).update(is_default=False)
        before, after = put_changes(page, cleaned)
        if after:
            page.revision += 1
            page.save()
            touch_pages()
            emit(
                "status.page_updated", subject=subject_of(page), actor=actor,
                data={"page_id": str(page.id), "name": page.name}, before=before, after=after,
            )  # fmt: skip
    return page


def delete_page(*, page_id: UUID | str, actor: Principal) -> None:
    """Remove a page with all that stands on it; another one becomes the default.

    Raises:
        NotFound (404).

    Emits: status.page_deleted.
    """
    with transaction.atomic():
        page = locked(Page, page_id)
        subject, was_default = subject_of(page), page.is_default
        data = {"page_id": str(page.id), "name": page.name}
        page.delete()
        following = Page.objects.order_by("id").first() if was_default else None
        if following is not None:
            Page.objects.filter(pk=following.pk).update(is_default=True)
        touch_pages()
        emit("status.page_deleted", subject=subject, actor=actor, data=data, before={"slug": page.slug})


def default_page(*, actor: Principal) -> Page:
    """Return the default page; where there is none yet, one named "Status" is added.

    Emits: status.page_created, where it was added.
    """
    page = Page.objects.filter(is_default=True).first()
    return page or create_page(actor=actor, values={"name": "Status", "slug": "main"})


def set_logo(*, page_id: UUID | str, body: bytes, actor: Principal) -> Page:
    """Give a page its picture: a PNG, or an SVG from which scripts and references are removed.

    Raises:
        NotFound (404). Invalid: too large, no such picture (422).

    Emits: status.page_updated.
    """
    content_type, cleaned = clean_logo(body)
    with transaction.atomic():
        page = locked(Page, page_id)
        PageLogo.objects.update_or_create(page=page, defaults={"content_type": content_type, "body": cleaned})
        _bump(page, actor, {"logo": content_type})
    return page


def remove_logo(*, page_id: UUID | str, actor: Principal) -> Page:
    """Take a page's picture away.

    Raises:
        NotFound (404).

    Emits: status.page_updated, where there was one.
    """
    with transaction.atomic():
        page = locked(Page, page_id)
        if PageLogo.objects.filter(page=page).delete()[0]:
            _bump(page, actor, {"logo": None})
    return page


def _bump(page: Page, actor: Principal, after: Mapping[str, Any]) -> None:
    page.revision += 1
    page.save(update_fields=["revision", "updated_at"])
    touch_pages()
    data = {"page_id": str(page.id), "name": page.name}
    emit("status.page_updated", subject=subject_of(page), actor=actor, data=data, after=after)


def _slug_from(name: str) -> str:
    text = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50] or "page"
    base = f"{text}-page" if text in RESERVED else text
    slug, number = base, 2
    while Page.objects.filter(slug=slug).exists():
        slug, number = f"{base}-{number}", number + 1
    return slug


def _require_free(cleaned: Mapping[str, Any], page: Page | None) -> None:
    for field, sentence in (("slug", "Another page has this address."), ("domain", "Another page has this domain.")):
        taken = Page.objects.filter(**{field: cleaned.get(field)})
        if cleaned.get(field) and (taken.exclude(pk=page.pk) if page else taken).exists():
            raise Conflict(sentence, code=f"{field}_taken")


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    problems: dict[str, Any] = {}
    for name, value in values.items():
        try:
            cleaned[name] = _CLEANERS[name](value) if name in _CLEANERS else value
        except Invalid as error:
            problems |= error.problems
    if problems:
        raise Invalid(problems)
    return cleaned


def _slug(value: Any) -> str:
    text = str(value or "").strip().lower()
    if not _SLUG.match(text):
        raise Invalid({"slug": "give 1 to 63 small letters, digits and hyphens, such as eu-services"})
    if text in RESERVED:
        raise Invalid({"slug": f"“{text}” is a path of the page itself; choose another word"})
    return text


def _colour(field: str) -> Any:
    def clean(value: Any) -> str:
        if not isinstance(value, str) or not _COLOUR.match(value):
            raise Invalid({field: "give a colour such as #0b6e8f"})
        return value.lower()

    return clean


def _networks(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 100:
        raise Invalid({"allowed_networks": "give a list of at most 100 networks"})
    found = []
    for position, word in enumerate(value):
        try:
            found.append(str(ipaddress.ip_network(str(word).strip(), strict=False)))
        except ValueError:
            raise Invalid(
                {f"allowed_networks.{position}": f"“{word}” is no network such as 10.0.0.0/8 or 192.0.2.7"}
            ) from None
    return list(dict.fromkeys(found))


def _home(value: Any) -> str:
    text = clean_line("home_url", value or "", most=500, required=False)
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise Invalid({"home_url": "give an address such as https://example.org"})
    return text


def _theme(value: Any) -> str:
    if value not in Page.Theme.values:
        raise Invalid({"theme": f"must be one of {', '.join(Page.Theme.values)}"})
    return str(value)


_CLEANERS: dict[str, Any] = {
    "name": lambda value: clean_line("name", value, most=100),
    "slug": _slug,
    "domain": clean_domain,
    "intro": lambda value: clean_text("intro", value or "", most=1000),
    "theme": _theme,
    "accent_light": _colour("accent_light"),
    "accent_dark": _colour("accent_dark"),
    "home_url": _home,
    "allowed_networks": _networks,
}
