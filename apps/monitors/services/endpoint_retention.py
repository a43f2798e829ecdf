"""How long results are kept, and how they go."""

from datetime import timedelta

from django.db.models import Model
from django.utils import timezone

from apps.core import runtime_settings
from apps.monitors.models import (
    CheckResult,
    CheckRollup1d,
    CheckRollup1h,
    CheckRollup5m,
    DirtyBucket,
    DroppedSeries,
)

DAY_S = 86_400
SERIES: tuple[type[Model], ...] = (CheckResult, CheckRollup5m, CheckRollup1h, CheckRollup1d)


def prune_series(model: type[Model], setting: str, limit: int) -> int:
    """Delete about `limit` rows of a table keyed by (num, at) that are past their keep time, oldest first.

    Returns:
        How many went; fewer than `limit` where nothing old is left.
    """
    before = timezone.now() - timedelta(seconds=runtime_settings.get(setting))
    old = model._default_manager.filter(at__lt=int(before.timestamp() * 1000))
    times = list(old.order_by("at").values_list("at", flat=True)[:limit])
    if not times:
        return 0
    old.filter(at__lte=times[-1]).delete()
    return len(times)


def drop_series(limit: int) -> int:
    """Delete about `limit` results and roll-ups of endpoints that were removed.

    Returns:
        How many rows went; 0 where none is left.
    """
    gone = DroppedSeries.objects.order_by("num").first()
    if gone is None:
        return 0
    for model in SERIES:
        rows = model._default_manager.filter(num=gone.num)
        times = list(rows.order_by("at").values_list("at", flat=True)[:limit])
        if times:
            rows.filter(at__lte=times[-1]).delete()
            return len(times)
    DirtyBucket.objects.filter(num=gone.num).delete()
    gone.delete()
    return 1
