"""Limits of change: drawn by every command, atomic, and freed whatever happens."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.core.errors import Conflict, Invalid
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.commands import Command
from apps.fleet.executors import LocalExecutor
from apps.fleet.models import ChangeLimit, ChangeSlot, CommandRun, Server
from apps.fleet.services import create_change_limit, drive_batches, end_lost_runs
from apps.fleet.services.change_limits import Draw, draw_slots, free_old_slots, give_back
from apps.fleet.services.commands import start_run
from apps.fleet.states import RunStatus
from tests.factories.accounts import client_as
from tests.factories.batches import make_batch
from tests.factories.fleet import make_server
from tests.factories.ssh import make_connection

ACTOR = system("test")
URL = "/api/v1/change-limits"


def limit(tag: str = "", **values: Any) -> ChangeLimit:
    return create_change_limit(actor=ACTOR, values={"tag": tag, **values})


def run(server: Server) -> CommandRun:
    return start_run(actor=ACTOR, executor=LocalExecutor("x"), command=Command("uptime", 10), server=server)


def draw(server: Server, name: str = "remediation") -> Draw:
    return Draw(server.pk, "other", new_id(), name, 60)


@pytest.mark.django_db
def test_single_command_beyond_the_limit_is_refused_and_told_who_holds_it() -> None:
    web = [make_server(f"web {n}", tags=["web"]) for n in range(3)]
    other = make_server("db")
    limit("web", hosts_most=2)
    first, second = run(web[0]), run(web[1])
    with pytest.raises(Conflict) as caught:
        run(web[2])
    assert caught.value.code == "change_limit_reached"
    said = caught.value.detail
    assert "At most 2 of 3 servers tagged web" in said and "web 0 (command of" in said and "web 1" in said
    assert not CommandRun.objects.filter(server=web[2]).exists()
    run(other)  # not of that tag
    run(web[0])  # under change already: it counts once
    # A process that died gives back what it held.
    CommandRun.objects.filter(pk=second.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert end_lost_runs() == 1
    run(web[2])
    assert first.status == RunStatus.RUNNING


@pytest.mark.django_db
def test_share_of_a_tag_and_of_all_hold_together() -> None:
    web = [make_server(f"web {n}", tags=["web"]) for n in range(10)]
    limit("web", percent_most=30, hosts_most=5)
    limit(hosts_most=4)
    with transaction.atomic():
        granted, why = draw_slots([draw(one) for one in web])
    assert (len(granted), "At most 3 of 10 servers tagged web" in why) == (3, True)
    with transaction.atomic():
        granted, why = draw_slots([draw(make_server(f"db {n}")) for n in range(3)])
    assert (len(granted), "At most 4 of 13 servers may" in why) == (1, True)
    ChangeLimit.objects.update(enabled=False)
    with transaction.atomic():
        assert len(draw_slots([draw(one) for one in web])[0]) == 10


@pytest.mark.django_db
def test_tiny_share_still_lets_one_through_and_old_slots_are_freed() -> None:
    servers = [make_server(f"s {n}") for n in range(2)]
    limit(percent_most=1)
    held = draw(servers[0])
    assert len(draw_slots([held])[0]) == 1
    assert draw_slots([draw(servers[1])])[0] == []
    ChangeSlot.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert len(draw_slots([draw(servers[1])])[0]) == 1
    assert free_old_slots() == 1
    give_back("other", [held.holder_id])
    assert ChangeSlot.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_time_never_take_more_than_there_is() -> None:
    servers = [make_server(f"s {n}") for n in range(8)]
    limit(hosts_most=3)
    barrier, taken = threading.Barrier(8), []

    def take(server: Server) -> None:
        barrier.wait()
        try:
            with transaction.atomic():
                taken.append(len(draw_slots([draw(server)])[0]))
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(one,)) for one in servers]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (sum(taken), ChangeSlot.objects.count()) == (3, 3)


@pytest.mark.django_db
def test_batch_waits_for_room_and_says_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[CommandRun] = []
    monkeypatch.setattr(
        "apps.fleet.services.batch_driving.follow_in_background", lambda following: followed.append(following.row)
    )
    servers = [make_server(f"web {n}", tags=["web"], ssh_connection_id=make_connection().pk) for n in range(3)]
    free = make_server("db", ssh_connection_id=make_connection().pk)
    limit("web", hosts_most=1)
    batch = make_batch("true", servers=[*servers, free], parallel=4)
    drive_batches()
    assert [row.target for row in followed] == ["web 0", "db"]
    batch.refresh_from_db()
    assert "At most 1 of 3 servers tagged web" in batch.waits_for
    assert client_as("viewer").get(f"/api/v1/command-batches/{batch.pk}").json()["waits_for"] == batch.waits_for
    CommandRun.objects.filter(pk=followed[0].pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    end_lost_runs()
    assert [row.target for row in followed] == ["web 0", "db", "web 1"]


@pytest.mark.django_db
def test_batches_that_wait_for_room_hold_no_younger_one_back(monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[CommandRun] = []
    monkeypatch.setattr("apps.fleet.services.batch_driving.BATCHES_MOST", 2)
    monkeypatch.setattr(
        "apps.fleet.services.batch_driving.follow_in_background", lambda following: followed.append(following.row)
    )
    web = [make_server(f"web {n}", tags=["web"], ssh_connection_id=make_connection().pk) for n in range(2)]
    free = make_server("db", ssh_connection_id=make_connection().pk)
    limit("web", hosts_most=1)
    run(web[0])
    for server in (web[1], web[1], free):
        make_batch("true", servers=[server])
    assert drive_batches() == 3
    assert [row.target for row in followed] == ["db"]


@pytest.mark.django_db
def test_limits_are_kept_by_the_api_with_their_audit() -> None:
    make_server("web", tags=["web"])
    admin, viewer = client_as("admin"), client_as("viewer")
    made = admin.post(URL, {"tag": "web", "hosts_most": 2}, format="json")
    assert made.status_code == 201 and made["ETag"]
    path = f"{URL}/{made.json()['id']}"
    assert viewer.get(URL).json()["count"] == 1 and viewer.get(path).json()["tag"] == "web"
    assert viewer.put(path, {"hosts_most": 9}, format="json").status_code == 403
    changed = admin.put(path, {"percent_most": 10}, format="json", HTTP_IF_MATCH=made["ETag"])
    assert (changed.json()["hosts_most"], changed.json()["percent_most"], changed.json()["revision"]) == (2, 10, 2)
    assert admin.put(path, {}, format="json", HTTP_IF_MATCH=made["ETag"]).status_code == 412
    assert Event.objects.get(name="change_limit.updated").audit["after"]["percent_most"] == 10
    assert admin.post(URL, {"tag": "web", "hosts_most": 1}, format="json").status_code == 422
    assert admin.delete(path).status_code == 204
    names = ("change_limit.created", "change_limit.updated", "change_limit.deleted")
    assert list(Event.objects.filter(name__in=names).order_by("id").values_list("name", flat=True)) == list(names)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "hosts_most"),
        ({"hosts_most": 0}, "hosts_most"),
        ({"percent_most": 101}, "percent_most"),
        ({"tag": "none", "hosts_most": 1}, "tag"),
    ],
)
def test_wrong_limit_is_named(values: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        create_change_limit(actor=ACTOR, values=values)
    assert list(caught.value.problems) == [field]
