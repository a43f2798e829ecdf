"""Batches, as the API and the console show them."""

from typing import Any

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from apps.core.principals import Principal
from apps.fleet.models import CommandBatch, CommandRun
from apps.fleet.selectors.commands import iso
from apps.fleet.states import RunStatus


def batch_list(principal: Principal) -> Any:
    """Return the batches, newest first, each with the number of runs that go on at this moment."""
    # Counted for the rows of the page alone, which a join would not be.
    going = CommandRun.objects.filter(batch=OuterRef("pk"), status=RunStatus.RUNNING).order_by().values("batch")
    running = Coalesce(Subquery(going.annotate(n=Count("pk")).values("n")), 0)
    rows = CommandBatch.objects.visible_to(principal).defer("inputs")
    return rows.annotate(running=running).order_by("-started_at", "-id")


def batch_body(row: CommandBatch) -> dict[str, Any]:
    """Return a batch as the API shows it; `running` where the row was counted."""
    running = getattr(row, "running", None)
    if running is None:
        running = row.runs.filter(status=RunStatus.RUNNING).count()
    over = row.succeeded + row.failed + row.skipped
    return {
        "batch_id": str(row.pk),
        "command": row.command,
        "status": str(row.status),
        "asked": row.asked,
        "hosts": row.hosts,
        "waiting": max(0, row.hosts - over - running) if row.finished_at is None else 0,
        "running": running,
        "succeeded": row.succeeded,
        "failed": row.failed,
        "skipped": row.skipped,
        "parallel": row.parallel,
        "canary": row.canary,
        "stop_after_failures": row.stop_after,
        "stop_reason": row.stop_reason,
        "waits_for": row.waits_for,
        "sudo": row.sudo,
        "env_names": row.env_names,
        "env_secrets": row.env_secrets,
        "timeout_s": row.timeout_s,
        "retry_of": str(row.retry_of_id) if row.retry_of_id else None,
        "user": row.user,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
    }
