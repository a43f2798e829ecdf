"""Notices: the order of their states, what is said about them, who is told."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.core.errors import Conflict, Invalid, PreconditionFailed
from apps.notifications.models import Delivery, Mail
from apps.statuspage import services
from apps.statuspage.models import Mailing, NoticeEdit, NoticeUpdate
from apps.statuspage.states import NOTICE
from tests.factories.monitors import facts
from tests.factories.statuspage import ACTOR, make_component, make_notice, make_page, make_subscriber

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _mail(settings: Any) -> None:
    settings.SMTP_URL = "smtp://127.0.0.1:2525?tls=none"


def planned(**values: Any) -> Any:
    """Return a published maintenance of tomorrow."""
    start = timezone.now() + timedelta(days=1)
    times = {"starts_at": start, "ends_at": start + timedelta(hours=2)}
    return make_notice(kind="maintenance", publish=True, **{**times, **values})


def told() -> list[tuple[str, str]]:
    """Queue all mails, and return (recipient, subject) of those so far."""
    while services.send_mailings():
        pass
    return list(Mail.objects.order_by("id").values_list("recipient", "subject"))


def test_incident_goes_its_way_and_each_step_is_told() -> None:
    notice = make_notice(publish=True)
    for state in ("identified", "monitoring", "monitoring", "resolved"):
        services.add_update(notice_id=notice.id, state=state, message=f"It is {state}.", actor=ACTOR)
    notice.refresh_from_db()
    assert (notice.state, notice.ended_at is not None) == ("resolved", True)
    assert len(facts("status.incident_created")) == 1
    assert len(facts("status.incident_updated")) == 3
    assert facts("status.incident_resolved")[0].data["public"]["message"] == "It is resolved."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("identified", "investigating"),
        ("monitoring", "identified"),
        ("resolved", "monitoring"),
        ("resolved", "resolved"),
    ],
)
def test_incident_never_goes_back(before: str, after: str) -> None:
    notice = make_notice(publish=True)
    services.add_update(notice_id=notice.id, state=before, message="x", actor=ACTOR)
    with pytest.raises(Conflict):
        services.add_update(notice_id=notice.id, state=after, message="x", actor=ACTOR)
    assert not NOTICE["incident"].allows(before, after)


def test_state_of_the_other_kind_is_refused() -> None:
    notice = make_notice(publish=True)
    with pytest.raises(Conflict):
        services.add_update(notice_id=notice.id, state="completed", message="x", actor=ACTOR)


def test_update_that_says_nothing_is_refused() -> None:
    notice = make_notice()
    with pytest.raises(Invalid, match="say something"):
        services.add_update(notice_id=notice.id, state="", message=" ", actor=ACTOR)


def test_published_notice_is_not_published_again() -> None:
    notice = make_notice(publish=True)
    with pytest.raises(Conflict, match="already"):
        services.publish_notice(notice_id=notice.id, actor=ACTOR)


def test_corrected_update_keeps_what_it_said_and_tells_nobody() -> None:
    page = make_page()
    notice = make_notice(page, publish=True)
    make_subscriber(page)
    update = services.add_update(notice_id=notice.id, state="", message="We found tihs.", actor=ACTOR)
    before = told()
    services.edit_update(update_id=update.id, message="We found this.", actor=ACTOR)
    services.edit_update(update_id=update.id, message="We found this cause.", actor=ACTOR)
    kept = list(NoticeEdit.objects.filter(update=update).values_list("message", flat=True))
    assert kept == ["We found tihs.", "We found this."]
    assert NoticeUpdate.objects.get(pk=update.pk).message == "We found this cause."
    assert told() == before
    assert len(facts("status.update_edited")) == 2


def test_maintenance_needs_an_end_after_its_start() -> None:
    now = timezone.now()
    with pytest.raises(Invalid, match="when the maintenance ends"):
        make_notice(kind="maintenance", starts_at=now)
    with pytest.raises(Invalid, match="after starts_at"):
        make_notice(kind="maintenance", starts_at=now, ends_at=now - timedelta(hours=1))


def test_moving_a_maintenance_tells_each_subscriber_once() -> None:
    page = make_page()
    notice = planned(page=page)
    one, two = make_subscriber(page), make_subscriber(page)
    moved = {"starts_at": notice.starts_at + timedelta(days=1), "ends_at": notice.ends_at + timedelta(days=1)}
    services.update_notice(notice_id=notice.id, values=moved, actor=ACTOR)
    services.update_notice(notice_id=notice.id, values=moved, actor=ACTOR)  # says nothing new
    services.update_notice(notice_id=notice.id, values={"severity": "major"}, actor=ACTOR)
    mails = told()
    assert sorted(recipient for recipient, _ in mails) == sorted([one.email, two.email])
    assert {subject for _, subject in mails} == {f"[{page.name}] Maintenance moved: Payments fail"}
    assert len(facts("status.maintenance_updated")) == 1
    assert len(facts("status.notice_changed")) == 2


def test_maintenance_that_runs_can_only_be_lengthened() -> None:
    notice = planned()
    services.keep_times(now=notice.starts_at + timedelta(minutes=1))
    notice.refresh_from_db()
    assert notice.state == "in_progress"
    with pytest.raises(Conflict, match="only its end"):
        services.update_notice(
            notice_id=notice.id, values={"starts_at": notice.starts_at - timedelta(hours=5)}, actor=ACTOR
        )
    services.update_notice(notice_id=notice.id, values={"ends_at": notice.ends_at + timedelta(hours=1)}, actor=ACTOR)


def test_draft_of_a_maintenance_never_begins_by_itself() -> None:
    start = timezone.now() + timedelta(hours=1)
    make_notice(kind="maintenance", starts_at=start, ends_at=start + timedelta(hours=1))
    assert services.keep_times(now=start + timedelta(hours=5)) == 0


def test_subscriber_of_one_component_hears_of_that_alone() -> None:
    page = make_page()
    shop, blog = make_component(page, name="Shop"), make_component(page, name="Blog")
    everything, only_blog = make_subscriber(page), make_subscriber(page, components=(blog,))
    make_notice(page, publish=True, components=[shop], title="Shop is slow")
    make_notice(page, publish=True, components=[blog], title="Blog is slow")
    make_notice(page, publish=True, title="Everything is slow")
    heard = told()
    assert [subject.partition(": ")[2] for who, subject in heard if who == only_blog.email] == [
        "Blog is slow",
        "Everything is slow",
    ]
    assert len([who for who, _ in heard if who == everything.email]) == 3


def test_mailing_goes_on_where_a_worker_died_and_tells_nobody_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.statuspage.services import mailings

    monkeypatch.setattr(mailings, "AT_ONCE", 2)
    page = make_page()
    emails = sorted(make_subscriber(page).email for _ in range(5))
    make_notice(page, publish=True)
    assert services.send_mailings() == 2
    assert Mailing.objects.get().done_at is None
    assert sorted(who for who, _ in told()) == emails
    mailing = Mailing.objects.get()
    assert (mailing.done_at is not None, mailing.count) == (True, 5)
    assert Delivery.objects.filter(kind="mail").count() == 5


def test_who_subscribes_later_does_not_hear_of_what_was() -> None:
    page = make_page()
    make_subscriber(page)
    make_notice(page, publish=True)
    late = make_subscriber(page)
    assert late.email not in [who for who, _ in told()]


def test_mail_says_what_where_and_how_to_leave(settings: Any) -> None:
    page = make_page(name="ACME")
    subscriber = make_subscriber(page)
    notice = make_notice(page, publish=True, components=[make_component(page, name="Shop")])
    told()
    text = Mail.objects.get(recipient=subscriber.email).text
    assert "We look into it." in text
    assert "Affected: Shop" in text
    assert f"#n-{notice.reference}" in text
    assert f"{settings.PUBLIC_URL}/status/unsubscribe?token=" in text


def test_page_without_subscribers_makes_no_mailing() -> None:
    make_notice(publish=True)
    assert not Mailing.objects.exists()


def test_change_of_a_row_that_was_changed_meanwhile_is_refused() -> None:
    notice = make_notice()
    services.update_notice(notice_id=notice.id, values={"title": "Other"}, actor=ACTOR, expected_revision=1)
    with pytest.raises(PreconditionFailed):
        services.update_notice(notice_id=notice.id, values={"title": "Third"}, actor=ACTOR, expected_revision=1)


def test_removed_notice_is_gone_with_all_that_was_said() -> None:
    notice = make_notice(publish=True)
    services.delete_notice(notice_id=notice.id, actor=ACTOR)
    assert not NoticeUpdate.objects.exists()
    assert facts("status.notice_deleted")
    assert facts("status.page_created")


def test_maintenance_is_announced_to_the_subscribers() -> None:
    page = make_page()
    make_subscriber(page)
    planned(page=page)
    assert [subject for _, subject in told()] == [f"[{page.name}] Maintenance announced: Payments fail"]
    assert facts("status.maintenance_scheduled")
