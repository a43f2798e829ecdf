"""Subscriptions: asked for by anybody, in force once the owner of the address says yes.

Nothing an outsider gets to see tells whether an address is known.
"""

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core import context, runtime_settings
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.ids import new_secret
from apps.core.principals import Principal
from apps.notifications.services import queue_mail
from apps.notifications.services.targets import check_url_form
from apps.notifications.signing import clean_secret, make_secret
from apps.statuspage.addresses import confirm_url, read_unsubscribe_token, unsubscribe_url, url_of
from apps.statuspage.models import Component, Page, Subscriber
from apps.statuspage.services.common import locked
from apps.statuspage.states import SUBSCRIBER

LIFETIME = timedelta(hours=24)
#: To one address a mail is sent at most so often, whoever asks.
MAIL_AGAIN_AFTER = timedelta(minutes=10)

runtime_settings.declare(
    "statuspage", "confirmations_per_hour", "int", 300,
    "How many mails that ask for a confirmation leave within an hour, over all status pages.", least=1, most=100_000,
)  # fmt: skip


def visitor() -> Principal:
    """Return somebody of the public as an actor."""
    return Principal(kind="visitor", id=context.current().address or "unknown", name="A visitor of a status page")


def clean_email(value: Any) -> str:
    """Return an address, its host in lower case.

    Raises:
        Invalid: it is none (422).
    """
    text = value.strip() if isinstance(value, str) else ""
    try:
        validate_email(text)
    except ValidationError:
        raise Invalid({"email": "give an e-mail address such as name@example.org"}) from None
    name, _, host = text.rpartition("@")
    return f"{name}@{host.lower()}"


def ask_subscription(*, page: Page, email: str, names: Iterable[str] = (), actor: Principal) -> None:
    """Ask the owner of an address whether he wants a page's news; the caller learns nothing.

    Args:
        names: public names of the components; none: of all. An unknown one is passed over.

    Raises:
        Invalid: it is no address (422).

    Emits: status.subscriber_asked, where a mail was queued.
    """
    email = clean_email(email)
    wanted = [
        str(pk)
        for pk in Component.objects.filter(page=page, visible=True, name__in=list(names)[:200]).values_list(
            "id", flat=True
        )
    ]
    if not page.published or not page.allow_subscriptions:
        return
    now = timezone.now()
    with transaction.atomic():
        row = Subscriber.objects.select_for_update().filter(page=page, email__iexact=email).first()
        fresh = row is None
        if row is None:
            row = Subscriber(page=page, email=email)
        elif row.asked_at > now - MAIL_AGAIN_AFTER:
            return
        if not _may_mail():
            return
        token = new_secret()
        row.token_hash, row.token_until, row.asked_at, row.wanted = _hash(token), now + LIFETIME, now, wanted
        try:
            with transaction.atomic():
                row.save(force_insert=fresh)
        except IntegrityError:  # the same address was asked for at the same moment
            return
        queue_mail(email, f"Confirm: news of {page.name}", _question(page, token))
        emit("status.subscriber_asked", subject=_subject(row), actor=actor, data=_facts(row))


def _may_mail() -> bool:
    asked = Subscriber.objects.filter(asked_at__gt=timezone.now() - timedelta(hours=1)).count()
    return asked < int(runtime_settings.get("statuspage.confirmations_per_hour"))


def _question(page: Page, token: str) -> str:
    return (
        f"Somebody, we hope you, asked us to send news of {page.name} ({url_of(page)}) to this address.\n\n"
        f"If you want them, open this link within 24 hours and confirm:\n\n{confirm_url(page, token)}\n\n"
        "If not, ignore this mail: nothing more will come.\n"
    )


def find_asked(token: str) -> Subscriber | None:
    """Return the subscription that waits for this token."""
    if not token:
        return None
    rows = Subscriber.objects.filter(token_hash=_hash(token), token_until__gt=timezone.now())
    return rows.select_related("page").first()


def confirm_subscription(*, token: str, actor: Principal) -> Subscriber:
    """Put a subscription in force.

    Raises:
        NotFound: the link is unknown, used or too old (404).

    Emits: status.subscriber_confirmed.
    """
    found = find_asked(token)
    if found is None:
        raise NotFound("This link was used before or is too old; ask for a new one.", code="bad_link")
    with transaction.atomic():
        row = locked(Subscriber, found.pk)
        if row.token_hash != _hash(token):
            raise NotFound("This link was used before or is too old; ask for a new one.", code="bad_link")
        row.token_hash, row.token_until = "", None
        row.components.set(Component.objects.filter(page_id=row.page_id, pk__in=row.wanted))
        row.wanted = []
        if row.state != "confirmed":
            SUBSCRIBER.check(row.state, "confirmed")
            row.state, row.confirmed_at = "confirmed", timezone.now()
        row.revision += 1
        row.save()
        emit("status.subscriber_confirmed", subject=_subject(row), actor=actor, data=_facts(row))
    return row


def find_by_unsubscribe_token(token: str) -> Subscriber | None:
    """Return the subscription that a signed token names; None where it is wrong or the subscription is gone."""
    identifier = read_unsubscribe_token(token)
    return Subscriber.objects.filter(pk=identifier).select_related("page").first() if identifier else None


def leave(*, token: str, actor: Principal) -> None:
    """End the subscription that a signed token names; one that is gone is as good.

    Raises:
        NotFound: the token's signature is wrong (404).

    Emits: status.subscriber_removed, where there was one.
    """
    if read_unsubscribe_token(token) is None:
        raise NotFound("This link is not whole; copy it again from the mail.", code="bad_link")
    row = find_by_unsubscribe_token(token)
    if row is not None:
        remove_subscriber(subscriber_id=row.pk, actor=actor)


def add_webhook(
    *, page: Page, url: str, actor: Principal, components: Iterable[Component] = (), secret: str = ""
) -> tuple[Subscriber, str]:
    """Have a program told of a page's notices by signed posts.

    Returns:
        The subscriber and its secret: this is the only time it is shown.

    Raises:
        Invalid: the outbound policy refuses the URL, the secret has the wrong form (422).
        Conflict: this page tells that URL already (409).

    Emits: status.subscriber_confirmed.
    """
    target = check_url_form(url)
    secret = clean_secret(secret) if secret else make_secret()
    rows = list(components)
    if any(row.page_id != page.id for row in rows):
        raise Invalid({"component_ids": "a component stands on another page"})
    with transaction.atomic():
        if Subscriber.objects.filter(page=page, url=target).exists():
            raise Conflict("This page tells that address already.", code="url_taken")
        row = Subscriber(
            page=page,
            kind=Subscriber.WEBHOOK,
            url=target,
            secret=secret,
            state="confirmed",
            confirmed_at=timezone.now(),
        )
        row.save(force_insert=True)
        row.components.set(rows)
        emit("status.subscriber_confirmed", subject=_subject(row), actor=actor, data=_facts(row))
    return row, secret


def remove_subscriber(*, subscriber_id: UUID | str, actor: Principal) -> None:
    """Remove a subscriber.

    Raises:
        NotFound (404).

    Emits: status.subscriber_removed.
    """
    with transaction.atomic():
        row = locked(Subscriber, subscriber_id)
        emit("status.subscriber_removed", subject=_subject(row), actor=actor, data=_facts(row))
        row.delete()


def drop_unconfirmed() -> int:
    """Forget addresses whose owner never said yes; returns how many."""
    before = timezone.now() - 2 * LIFETIME
    ids = list(Subscriber.objects.filter(state="pending", asked_at__lt=before).values_list("id", flat=True)[:200])
    if ids:
        Subscriber.objects.filter(id__in=ids).delete()
    return len(ids)


def leave_link(subscriber: Subscriber) -> str:
    """Return the link by which a subscriber leaves."""
    return unsubscribe_url(subscriber.page, subscriber)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _subject(row: Subscriber) -> Subject:
    return Subject("status_subscriber", str(row.pk), row.masked)


def _facts(row: Subscriber) -> dict[str, Any]:
    return {"subscriber_id": str(row.pk), "address": row.masked}
