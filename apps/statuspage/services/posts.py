"""Posts to subscribed programs: claimed, sent by the webhook transport, tried again, in order for each program.

At least once: what a killed worker had claimed is claimed again, and goes out under the same id.
"""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from apps.core import leases
from apps.notifications.transports import Message, Outcome, transports
from apps.statuspage.models import Post

#: Waits after the first, second … failed attempt; when they are used up the post is given up.
BACKOFF_S = (5, 30, 120, 600, 3600, 3 * 3600, 12 * 3600)
LEASE_S = 45


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt about to be made."""

    post_id: int
    config: dict[str, Any]
    message: Message


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt."""

    post_id: int
    outcome: Outcome
    at: datetime


def claim_posts(limit: int) -> list[Job]:
    """Claim up to `limit` posts that are due and the first open one of their subscriber."""
    earlier = Post.objects.filter(
        subscriber=OuterRef("subscriber"), id__lt=OuterRef("id"), next_attempt_at__isnull=False
    )
    due = Post.objects.filter(~Exists(earlier), next_attempt_at__lte=timezone.now())
    if not due.exists():  # the usual second: a read, no write transaction
        return []
    rows = leases.claim(due.order_by("next_attempt_at", "id"), limit=limit, owner=leases.owner(), seconds=LEASE_S)
    found = Post.objects.select_related("subscriber").filter(pk__in=[row.pk for row in rows]).order_by("id")
    return [_job(row) for row in found]


def _job(row: Post) -> Job:
    body = json.dumps(row.payload, ensure_ascii=False, separators=(",", ":")).encode()
    data = row.payload.get("data", {})
    message = Message(
        id=str(row.uid), event=row.payload.get("type", "status"), body=body, title=data.get("title", ""),
        text=data.get("message", ""),
    )  # fmt: skip
    return Job(row.pk, {"url": row.subscriber.url, "secret": row.subscriber.secret}, message)


async def send_post(job: Job) -> Result:
    """Make one attempt; never raises for what the other side does."""
    outcome = await transports["webhook"].send(job.config, job.message)
    return Result(job.post_id, outcome, timezone.now())


def record_posts(results: Iterable[Result]) -> None:
    """Settle the posts, or say when they are tried again; one transaction."""
    by_id = {result.post_id: result for result in results}
    with transaction.atomic():
        for row in Post.objects.select_for_update().filter(pk__in=by_id, next_attempt_at__isnull=False):
            result = by_id[row.pk]
            row.attempts += 1
            row.status_code, row.error = result.outcome.status_code, result.outcome.error[:500]
            row.lease_owner, row.lease_until = "", None
            if result.outcome.ok:
                row.delivered_at, row.next_attempt_at = result.at, None
            elif result.outcome.gone or row.attempts > len(BACKOFF_S):
                row.next_attempt_at = None
            else:
                wait = BACKOFF_S[row.attempts - 1] * random.uniform(0.9, 1.1)  # so that not all come back at once
                row.next_attempt_at = result.at + timedelta(seconds=max(wait, result.outcome.retry_after_s or 0.0))
            row.save()
