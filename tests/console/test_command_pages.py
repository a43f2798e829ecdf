"""Commands on many servers, limits of change and signals in the console."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.core.principals import system
from apps.fleet.models import ChangeLimit, CommandBatch, CommandRun, Server
from apps.fleet.sampler.processes import read_process
from apps.fleet.services import create_change_limit, drive_batches, ensure_local_server
from apps.fleet.ssh import pool
from apps.fleet.states import BatchStatus, RunStatus
from tests.factories.accounts import make_user
from tests.factories.batches import make_batch, make_machines
from tests.factories.fleet import make_server, push, snapshot
from tests.factories.secrets import make_secret
from tests.factories.ssh import make_connection
from tests.support.console import console_of
from tests.support.sshd import make_key, sshd

ACTOR = system("test")


def _page(view: str, *args: Any) -> str:
    return reverse(f"admin:fleet_{view}", args=args)


def _form(**values: Any) -> dict[str, Any]:
    return {"command": "uptime", "timeout_s": 30, "on": "tags", "tags": ["web"], "parallel": "2", **values}


@pytest.mark.django_db(transaction=True)
def test_servers_are_seen_before_a_command_runs_on_them_and_failed_ones_run_again(tmp_path: Path) -> None:
    key = make_key(tmp_path, "id")
    with sshd(tmp_path / "sshd", accepts=[key], more_ports=1) as target:
        try:
            make_machines(target, key)
            make_server("far", tags=["web"])
            console = console_of(make_user("operator"))
            command = f'case "$SSH_CONNECTION" in *" {target.ports[1]}") echo "<b>no</b>"; exit 4;; esac\r\necho fine'
            form = _form(command=command, canary="1")
            seen = console.post(_page("commandbatch_add"), form)
            text = seen.content.decode()
            assert "Run on 2 servers?" in text and "No way leads to far" in text and not CommandBatch.objects.exists()
            token = text.partition('name="_seen" value="')[2].partition('"')[0]
            again = console.post(_page("commandbatch_add"), {**form, "_seen": "other"})
            assert "other servers than those you saw" in again.content.decode()
            begun = console.post(_page("commandbatch_add"), {**form, "_seen": token})
            assert begun.status_code == 302
            batch = CommandBatch.objects.get()
            assert "\r" not in batch.command
            _drive(batch)
            page = console.get(begun["Location"]).content.decode()
            assert "1 of 3 servers succeeded" in page and "&lt;b&gt;no&lt;/b&gt;" in page and "Exit code 4" in page
            assert "Run again where it failed" in page and "No turn" in page
            only = console.get(begun["Location"] + "?show=failed").content.decode()
            assert "Exit code 4" in only and ">m0<" not in only
            repeated = console.post(_page("commandbatch_do", batch.pk, "retry"))
            assert repeated.status_code == 302
            second = CommandBatch.objects.exclude(pk=batch.pk).get()
            assert list(second.runs.values_list("target", flat=True)) == ["m1"]
            assert "repeats an earlier one" in console.get(repeated["Location"]).content.decode()
            _drive(second)
            assert "uptime" not in console.get(_page("commandbatch_changelist")).content.decode()
        finally:
            pool.close()


@pytest.mark.django_db
def test_form_demands_servers_and_refuses_at_the_field() -> None:
    make_server("m", ssh_connection_id=make_connection().pk, tags=["web"])
    console = console_of(make_user("operator"))
    empty = console.post(_page("commandbatch_add"), _form(tags=[]))
    assert empty.status_code == 422 and "Tick at least one" in empty.content.decode()
    odd = console.post(_page("commandbatch_add"), _form(canary="some", parallel="0"))
    assert odd.status_code == 422 and "number of machines" in odd.content.decode()
    assert console_of(make_user("viewer")).post(_page("commandbatch_add"), _form()).status_code == 403
    # Only who may see the vault is offered its secrets.
    assert "env_secrets" not in console.get(_page("commandbatch_add")).content.decode()
    make_secret("deploy token")
    admin = console_of(make_user("admin"))
    wrong = admin.post(_page("commandbatch_add"), _form(env_secrets="TOKEN"))
    assert "is no line of the kind" in wrong.content.decode()
    unknown = admin.post(_page("commandbatch_add"), _form(env_secrets="TOKEN = none"))
    assert "no secret of this name" in unknown.content.decode()
    fine = admin.post(_page("commandbatch_add"), _form(env_secrets="TOKEN = deploy token"))
    assert "Run on 1 server?" in fine.content.decode()


@pytest.mark.django_db
def test_servers_with_a_tag_are_a_choice_once_there_are_some() -> None:
    make_server("m", ssh_connection_id=make_connection().pk)
    console = console_of(make_user("operator"))
    assert "Servers with a tag" not in console.get(_page("commandbatch_add")).content.decode()
    make_server("n", tags=["web"])
    assert "Servers with a tag" in console.get(_page("commandbatch_add")).content.decode()


@pytest.mark.django_db
def test_batch_is_ended_by_its_button_and_says_for_what_it_waits() -> None:
    server = make_server("m", ssh_connection_id=make_connection().pk)
    batch = make_batch("uptime", servers=[server])
    CommandBatch.objects.update(waits_for="At most 1 of 3 servers may be under change at once.")
    operator = console_of(make_user("operator"))
    assert "It waits for room. At most 1" in operator.get(_page("commandbatch_detail", batch.pk)).content.decode()
    assert console_of(make_user("viewer")).post(_page("commandbatch_do", batch.pk, "cancel")).status_code == 403
    operator.post(_page("commandbatch_do", batch.pk, "cancel"))
    drive_batches()
    batch.refresh_from_db()
    assert batch.status == BatchStatus.CANCELLED
    assert "cancelled it" in operator.get(_page("commandbatch_detail", batch.pk)).content.decode()


@pytest.mark.django_db
def test_limit_is_set_and_removed_by_pages_and_shows_its_room() -> None:
    make_server("m", tags=["web"])
    admin = console_of(make_user("admin"))
    assert admin.post(_page("changelimit_add"), {"tag": "web", "enabled": "on"}).status_code == 422
    made = admin.post(_page("changelimit_add"), {"tag": "web", "percent_most": 50, "enabled": "on"})
    assert made.status_code == 302
    row = ChangeLimit.objects.get()
    assert "At most 1 of 1 server tagged web" in admin.get(made["Location"]).content.decode()
    page = admin.get(_page("changelimit_changelist")).content.decode()
    assert "50 %: 1 of 1 server" in page and "Room" in page
    admin.post(_page("changelimit_change", row.pk), {"tag": "web", "hosts_most": 3, "enabled": "on"})
    row.refresh_from_db()
    assert (row.hosts_most, row.percent_most) == (3, None)
    assert console_of(make_user("operator")).get(_page("changelimit_add")).status_code == 403
    assert admin.post(_page("changelimit_delete", row.pk)).status_code == 302
    assert not ChangeLimit.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["commandbatch", "changelimit"])
def test_lists_take_the_same_queries_for_any_number(name: str) -> None:
    server = make_server("m", ssh_connection_id=make_connection().pk, tags=["a", "b", "c"])
    console, counts = console_of(make_user("admin")), []
    console.get(_page(f"{name}_changelist"))
    for tags in (["a"], ["b", "c"]):
        for tag in tags:
            make_batch("uptime", servers=[server])
            create_change_limit(actor=ACTOR, values={"tag": tag, "hosts_most": 1})
        with CaptureQueriesContext(connection) as queries:
            assert console.get(_page(f"{name}_changelist")).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "300"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.django_db
def test_process_is_signalled_from_its_row(settings: Any, victim: subprocess.Popen[bytes]) -> None:
    settings.LOCAL_COMMANDS = True
    server: Server = ensure_local_server()
    listed = [{**(read_process(victim.pid) or {}), "cpu": 1.0}]
    of_kernel = {**listed[0], "pid": victim.pid + 1, "name": "kworker", "rss": 0}
    listed += [of_kernel, read_process(os.getpid()) or {}]
    push(server, snapshot(processes={"total": 3, "topByCpu": listed, "topByMemory": []}))
    admin, operator = console_of(make_user("admin")), console_of(make_user("operator"))
    detail, path = _page("server_detail", server.pk), _page("server_signal", server.pk)
    text = admin.get(detail).content.decode()
    assert f"Send this signal to sleep ({victim.pid})?" in text
    assert "kworker" in text and f">{os.getpid()}<" in text
    assert text.count("Send this signal to") == 1, "what would be refused is not offered"
    assert "Send this signal" not in operator.get(detail).content.decode()
    form = {"pid": victim.pid, "signal": 15, "start_time": listed[0]["startTime"]}
    assert "servers:execute_local" in operator.post(path, form, follow=True).content.decode()
    assert console_of(make_user("viewer")).post(path, form).status_code == 403
    assert "never signalled" in admin.post(path, {**form, "pid": 1}, follow=True).content.decode()
    assert "has ended" in admin.post(path, form, follow=True).content.decode()
    assert victim.wait(5) == -15


def _drive(batch: CommandBatch) -> None:
    until = time.monotonic() + 30
    while True:
        drive_batches()
        batch.refresh_from_db()
        if batch.status != BatchStatus.RUNNING and not CommandRun.objects.filter(status=RunStatus.RUNNING).exists():
            return
        assert time.monotonic() < until
        time.sleep(0.05)
