"""Sweeps: statuses, maintenances whose time has come, drafts, mails; keep times."""

from datetime import timedelta
from functools import partial

from django.utils import timezone

from apps.core import runtime_settings
from apps.core.pulse import sweep
from apps.core.registries import Keep, keeps
from apps.core.runner import runner
from apps.statuspage import services
from apps.statuspage.models import Component, Mailing, Post, StatusChange
from apps.statuspage.services import posts

LANE, AT_ONCE = "status posts", 16

runtime_settings.declare(
    "retention", "status_changes", "duration", 400 * 86400,
    "How long it is kept when a component of a status page changed its status.", least=91 * 86400, most=3650 * 86400,
)  # fmt: skip
runtime_settings.declare(
    "retention", "status_mailings", "duration", 30 * 86400,
    "How long messages to the subscribers of status pages are kept.", least=86400, most=3650 * 86400,
)  # fmt: skip


@sweep("statuspage.statuses", every_s=5)
def keep_statuses() -> None:
    """End overrides, begin and end maintenances, and look at every component again."""
    services.keep_times()
    if Component.objects.exists():
        services.end_overrides()
        services.refresh_components()


@sweep("statuspage.drafts", every_s=15)
def draft_notices() -> None:
    """Draft notices from alerts that last."""
    services.draft_from_alerts()


@sweep("statuspage.mailings", every_s=2)
def send_mailings() -> None:
    """Queue the next mails of open mailings."""
    services.send_mailings()


@sweep("statuspage.posts", every_s=2, shared=True)
def send_posts() -> None:
    """Claim due posts and hand them to the runner."""
    free = runner().free(LANE, AT_ONCE)
    if free:
        for job in posts.claim_posts(free):
            runner().submit(LANE, partial(_post, job))


async def _post(job: posts.Job) -> None:
    runner().store(posts.record_posts, await posts.send_post(job))


def prune_changes(limit: int) -> int:
    """Delete at most `limit` old status changes; each component's last one stays. Returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.status_changes"))
    old = StatusChange.objects.filter(at__lt=before).order_by("at")
    # What a component shows now began with its last change, however old.
    later = StatusChange.objects.filter(at__gte=before).values("component_id")
    ids = list(old.filter(component_id__in=later).values_list("id", flat=True)[:limit])
    StatusChange.objects.filter(id__in=ids).delete()
    return len(ids)


def prune_mailings(limit: int) -> int:
    """Delete at most `limit` old mailings, and addresses that were never confirmed; returns how many mailings."""
    services.drop_unconfirmed()
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.status_mailings"))
    ids = list(
        Mailing.objects.filter(created_at__lt=before, done_at__isnull=False)
        .order_by("created_at")
        .values_list("id", flat=True)[:limit]
    )
    Mailing.objects.filter(id__in=ids).delete()
    return len(ids)


def prune_posts(limit: int) -> int:
    """Delete at most `limit` settled posts past their keep time; returns how many."""
    before = timezone.now() - timedelta(seconds=runtime_settings.get("retention.status_mailings"))
    rows = Post.objects.filter(created_at__lt=before, next_attempt_at__isnull=True).order_by("created_at")
    ids = list(rows.values_list("id", flat=True)[:limit])
    Post.objects.filter(id__in=ids).delete()
    return len(ids)


keeps.register("status posts", Keep("statuspage_post", "retention.status_mailings", prune_posts))
keeps.register("status changes", Keep("statuspage_statuschange", "retention.status_changes", prune_changes))
keeps.register("status mailings", Keep("statuspage_mailing", "retention.status_mailings", prune_mailings))
