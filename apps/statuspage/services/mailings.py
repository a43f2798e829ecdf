"""Telling subscribers: one mailing a published change; mails and posts are queued in portions."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.notifications.services import queue_mail
from apps.statuspage.addresses import notice_url, unsubscribe_url, url_of
from apps.statuspage.models import Mailing, Notice, Post, Subscriber

AT_ONCE = 50


def tell_subscribers(
    notice: Notice, message: str, *, event: str, public: Mapping[str, Any], is_new: bool = False, moved: bool = False
) -> Mailing | None:
    """Write a mailing about a published notice; call it in the transaction of the change.

    Args:
        event, public: what programs get: the fact's name and its public part.

    Returns:
        None where the page has no confirmed subscriber.
    """
    page = notice.page
    if not Subscriber.objects.filter(page=page, state="confirmed").exists():
        return None
    names = sorted(notice.components.filter(visible=True).values_list("name", flat=True))
    if moved:
        what = "Maintenance moved"
    elif notice.kind == "maintenance" and is_new:
        what = "Maintenance announced"
    else:
        what = notice.get_state_display()
    lines = [f"{notice.title}", ""]
    if message:
        lines += [message, ""]
    lines.append(f"State: {notice.get_state_display()}")
    if notice.kind == "maintenance" and notice.ends_at:
        lines.append(f"Time: {notice.starts_at:%Y-%m-%d %H:%M} to {notice.ends_at:%Y-%m-%d %H:%M} UTC")
    if names:
        lines.append(f"Affected: {', '.join(names)}")
    lines += ["", notice_url(page, notice)]
    return Mailing.objects.create(
        page=page,
        subject=f"[{page.name}] {what}: {notice.title}"[:255],
        text="\n".join(lines),
        payload={"type": event, "timestamp": public["at"], "data": dict(public), "url": notice_url(page, notice)},
        component_ids=[str(pk) for pk in notice.components.values_list("id", flat=True)],
    )


def send_mailings() -> int:
    """Queue the mails and posts of open mailings, a portion each; returns how many were queued.

    The portion and the place it ends at are one transaction: a worker that dies leaves nobody out and tells nobody
    twice.
    """
    queued = 0
    for mailing_id in list(
        Mailing.objects.filter(done_at__isnull=True).order_by("id").values_list("id", flat=True)[:4]
    ):
        with transaction.atomic():
            mailing = Mailing.objects.select_for_update().filter(pk=mailing_id, done_at__isnull=True).first()
            if mailing is not None:
                queued += _queue(mailing)
    return queued


def _queue(mailing: Mailing) -> int:
    rows = Subscriber.objects.filter(page_id=mailing.page_id, state="confirmed", confirmed_at__lte=mailing.created_at)
    if mailing.after:
        rows = rows.filter(id__gt=mailing.after)
    portion = list(rows.select_related("page").prefetch_related("components").order_by("id")[:AT_ONCE])
    about = set(mailing.component_ids)
    count = 0
    for subscriber in portion:
        wanted = {str(component.id) for component in subscriber.components.all()}
        if wanted and about and not wanted & about:
            continue
        count += 1
        if subscriber.kind == Subscriber.WEBHOOK:
            Post.objects.create(subscriber=subscriber, payload=mailing.payload)
            continue
        page = subscriber.page
        text = (
            f"{mailing.text}\n\n--\nYou get this because you asked for news of {page.name}: {url_of(page)}\n"
            f"Leave: {unsubscribe_url(page, subscriber)}\n"
        )
        queue_mail(subscriber.email, mailing.subject, text)
    if portion:
        mailing.after = portion[-1].id
    if len(portion) < AT_ONCE:
        mailing.done_at = timezone.now()
    mailing.count += count
    mailing.save(update_fields=["after", "done_at", "count"])
    return count
