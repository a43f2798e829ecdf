"""What changes all the time is told once, then when it is stable."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.alerts.models import Alert, Flap
from apps.alerts.services import clear_alert, review_due, settle_flaps
from apps.core import runtime_settings
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import system
from apps.notifications.models import Delivery
from tests.factories.accounts import principal
from tests.factories.alerts import make_alert, run_spine
from tests.factories.notifications import make_channel

pytestmark = pytest.mark.django_db


def flip(subject: str, times: int) -> None:
    """Open and resolve in turn."""
    for number in range(times):
        if number % 2 == 0:
            make_alert("critical", subject_id=subject)
        else:
            clear_alert(source="endpoint", kind="availability", subject_id=subject, actor=system("test"))


def names(subject: str) -> list[str]:
    """Return all that was said of a subject's alerts."""
    ids = [str(pk) for pk in Alert.objects.filter(subject_id=subject).values_list("id", flat=True)]
    rows = Event.objects.filter(subject_kind="alert", subject_id__in=ids).order_by("id")
    return list(rows.values_list("name", flat=True))


def sent() -> list[str]:
    """Return what the ledger would send."""
    rows = Delivery.objects.exclude(state=Delivery.State.SUPPRESSED).order_by("id")
    return list(rows.values_list("event_name", flat=True))


def settle(seconds: float = 601) -> None:
    """Let so much time pass since the last change."""
    flap = Flap.objects.get()
    moment = flap.last_flip_at + timedelta(seconds=seconds)
    settle_flaps(now=moment)
    review_due(now=moment + timedelta(seconds=1))


def test_ten_flips_make_one_flapping_notice_and_then_silence() -> None:
    make_channel()
    subject = str(new_id())
    flip(subject, 30)
    run_spine()
    said = names(subject)
    assert said.count("alert.flapping") == 1
    assert said.index("alert.flapping") == 10  # five openings and five ends before it
    assert said[11:] == ["alert.resolved", *["alert.suppressed", "alert.resolved"] * 9]
    assert sent() == [*["alert.opened", "alert.resolved"] * 5, "alert.flapping"]
    assert Alert.objects.filter(subject_id=subject, muted_by="flapping").count() == 10


def test_stable_and_well_again_is_one_summary_and_the_next_fault_is_told() -> None:
    make_channel()
    subject = str(new_id())
    flip(subject, 14)
    settle(599)
    run_spine()
    assert "alert.settled" not in names(subject)
    settle()
    settle()
    run_spine()
    assert names(subject).count("alert.settled") == 1
    event = Event.objects.get(name="alert.settled")
    assert event.data["flips"] == 14 and "14 times" in event.data["note"]
    assert sent()[-1] == "alert.settled"


def test_stable_but_broken_is_told_as_open_with_the_summary() -> None:
    make_channel()
    subject = str(new_id())
    flip(subject, 15)
    settle()
    run_spine()
    alert = Alert.objects.unresolved().get(subject_id=subject)
    assert alert.is_told and "changed 15 times" in alert.note
    assert names(subject)[-1] == "alert.opened"
    clear_alert(source="endpoint", kind="availability", subject_id=subject, actor=system("test"))
    run_spine()
    assert sent()[-2:] == ["alert.opened", "alert.resolved"]
    assert not Flap.objects.filter(ended_at__isnull=True).exists()


def test_slow_changes_do_not_flap() -> None:
    subject = str(new_id())
    for number in range(8):
        flip(subject, 2)
        past = timezone.now() - timedelta(seconds=700 * (8 - number))
        Alert.objects.filter(subject_id=subject, opened_at__gt=past).update(
            opened_at=past, resolved_at=past + timedelta(seconds=10)
        )
    assert make_alert(subject_id=subject).is_told


def test_damping_that_is_switched_off_tells_everything() -> None:
    runtime_settings.change_settings(values={"alerts.flap_flips": 0}, actor=principal("admin"))
    subject = str(new_id())
    flip(subject, 24)
    assert set(names(subject)) == {"alert.opened", "alert.resolved"}
