"""What is wrong with the platform itself: told once when it begins and once when it ends, whoever notices it."""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.events.emit import Subject, emit
from apps.core.models import Condition
from apps.core.principals import system


def begin_condition(*, name: str, title: str, message: str, level: str = "critical") -> bool:
    """Note that something is wrong; where it is known already only its message is brought up to date.

    Returns:
        Whether it is news.

    Emits: system.alert where it is.
    """
    now = timezone.now()
    lasting = Condition.objects.filter(name=name, ended_at__isnull=True)
    known = lasting.values_list("message", flat=True).first()
    if known is not None:
        if known != message:
            lasting.update(message=message)
        return False
    with transaction.atomic():
        row = Condition.objects.select_for_update().filter(name=name).first()
        if row is not None and row.ended_at is None:
            return False
        try:
            with transaction.atomic():
                Condition.objects.update_or_create(
                    name=name,
                    defaults={"title": title, "message": message, "level": level, "since": now, "ended_at": None},
                )
        except IntegrityError:  # another process was faster
            return False
        _tell(name, title, message, level)
    return True


def end_condition(*, name: str, title: str, message: str) -> bool:
    """Note that something is well again.

    Args:
        message: a sentence; " It lasted …." is added.

    Returns:
        Whether it was wrong until now.

    Emits: system.alert (info) where it was.
    """
    if not Condition.objects.filter(name=name, ended_at__isnull=True).exists():
        return False
    with transaction.atomic():
        row = Condition.objects.select_for_update().filter(name=name, ended_at__isnull=True).first()
        if row is None:
            return False
        row.ended_at = timezone.now()
        row.save(update_fields=["ended_at"])
        _tell(name, title, f"{message} It lasted {_words(row.ended_at - row.since)}.", "info")
    return True


def lasting_condition(name: str) -> Condition | None:
    """Return the condition while it lasts."""
    return Condition.objects.filter(name=name, ended_at__isnull=True).first()


def _tell(name: str, title: str, message: str, level: str) -> None:
    emit(
        "system.alert",
        subject=Subject("platform", name, title),
        actor=system("watch"),
        level=level,
        data={"title": title, "message": message, "level": level},
    )


def _words(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
