"""SSH connections and commands in the console, over a real server."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from django.urls import reverse

from apps.fleet.models import CommandRun, Server, SshConnection
from apps.fleet.ssh import parse_host_key, pool
from apps.fleet.states import RunStatus
from apps.secrets.models import Secret
from tests.factories.accounts import make_user
from tests.factories.fleet import make_server
from tests.factories.ssh import make_connection, make_run
from tests.support.console import console_of
from tests.support.sshd import password_server

pytestmark = pytest.mark.django_db
CANARY = "canary-of-a-form-4Tz"


@pytest.fixture(autouse=True)
def _empty_pool() -> Iterator[None]:
    yield
    pool.close()


def _page(view: str, *args: Any) -> str:
    return reverse(f"admin:fleet_{view}", args=args)


def _form(port: int = 22, **values: Any) -> dict[str, Any]:
    return {
        "name": "web", "hostname": "127.0.0.1", "port": port, "username": "ops", "auth_method": "password",
        "credential": CANARY, "connect_timeout_s": 10, "keepalive_s": 30, **values,
    }  # fmt: skip


def test_connection_is_added_tested_and_its_changed_key_accepted_by_pages() -> None:
    console = console_of(make_user("admin"))
    old, new = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    with password_server(CANARY, old) as first:
        assert console.post(_page("sshconnection_add"), _form(first.port)).status_code == 302
        row = SshConnection.objects.get()
        detail = _page("sshconnection_detail", row.pk)
        assert "Not pinned yet" in console.get(detail).content.decode()
        tested = console.post(_page("sshconnection_test", row.pk)).content.decode()
        assert "It works" in tested and "sign in" in tested
        assert parse_host_key(first.host_key).fingerprint in tested
    with password_server(CANARY, new, port=first.port) as second:
        offered = parse_host_key(second.host_key).fingerprint
        refused = console.post(_page("sshconnection_test", row.pk)).content.decode()
        assert "The host key has changed" in refused and offered in refused
        assert parse_host_key(first.host_key).fingerprint in refused
        accept = _page("sshconnection_accept", row.pk)
        assert "no other key" not in console.post(accept, {"fingerprint": "SHA256:other"}, follow=True).content.decode()
        assert "The host key has changed" in console.get(detail).content.decode()
        console.post(accept, {"fingerprint": offered})
        page = console.get(detail).content.decode()
        assert "The host key has changed" not in page and offered in page


def test_credential_comes_back_to_no_page_not_even_with_an_error() -> None:
    console = console_of(make_user("admin"))
    refused = console.post(_page("sshconnection_add"), _form(name="", sudo_password=CANARY))
    assert refused.status_code == 422 and CANARY not in refused.content.decode()
    console.post(_page("sshconnection_add"), _form())
    row = SshConnection.objects.get()
    for view in ("detail", "change"):
        assert CANARY not in console.get(_page(f"sshconnection_{view}", row.pk)).content.decode()
    kept = row.secret_id
    saved = console.post(
        _page("sshconnection_change", row.pk), _form(credential="", secret_id=str(kept), username="other")
    )  # fmt: skip
    assert saved.status_code == 302
    row.refresh_from_db()
    assert (row.username, row.secret_id, Secret.objects.count()) == ("other", kept, 1)


def test_wrong_key_is_refused_at_its_field() -> None:
    answer = console_of(make_user("admin")).post(
        _page("sshconnection_add"), _form(auth_method="key", credential=Path(__file__).read_text())
    )
    assert answer.status_code == 422
    assert "whole private key" in answer.content.decode()


def test_server_is_bound_by_its_form_and_offered_to_those_who_may() -> None:
    row, server = make_connection("way"), make_server("web")
    path = reverse("admin:fleet_server_change", args=[server.pk])
    form = {"name": "web", "slug": "web", "port": 22, "ssh_connection_id": str(row.pk)}
    operator = console_of(make_user("operator"))
    assert "ssh_connection_id" not in operator.get(path).content.decode()
    operator.post(path, form)
    server.refresh_from_db()
    assert server.ssh_connection_id is None
    assert console_of(make_user("admin")).post(path, form).status_code == 302
    operator.post(path, {**form, "name": "renamed"})
    server.refresh_from_db()
    assert (server.ssh_connection_id, server.name) == (row.pk, "renamed")


@pytest.mark.django_db(transaction=True)
def test_command_is_run_from_pages_and_its_output_shown_and_sent_as_a_file() -> None:
    with password_server(CANARY, paramiko.ECDSAKey.generate()) as target:
        row = make_connection("way", port=target.port, credential=CANARY, host_key=target.host_key)
        server = make_server("web", ssh_connection_id=row.pk)
        console = console_of(make_user("operator"))
        form = {"server": "web", "command": "<b>show</b> ", "timeout_s": 30}
        begun = console.post(_page("commandrun_add"), form)
        assert begun.status_code == 302
        _until(lambda: CommandRun.objects.get().status == RunStatus.SUCCEEDED)
        page = console.get(begun["Location"]).content.decode()
        assert "ran &lt;b&gt;show&lt;/b&gt; " in page and "Succeeded" in page
        sent = console.get(_page("commandrun_output", CommandRun.objects.get().pk))
        assert sent.content == b"ran <b>show</b> " and sent["Content-Type"].startswith("text/plain")
        first = CommandRun.objects.get()
        other = make_connection("other way", port=target.port, credential=CANARY, host_key=target.host_key)
        Server.objects.update(ssh_connection=other)
        again = console.post(_page("commandrun_do", first.pk, "again"))
        assert again.status_code == 302
        assert CommandRun.objects.exclude(pk=first.pk).get().ssh_connection_id == other.pk
        _until(lambda: not CommandRun.objects.filter(status=RunStatus.RUNNING).exists())
        assert "show" in console.get(reverse("admin:fleet_server_detail", args=[server.pk])).content.decode()


def test_running_command_is_ended_by_its_button_and_viewers_have_none() -> None:
    run = make_run()
    path = _page("commandrun_do", run.pk, "cancel")
    viewer = console_of(make_user("viewer"))
    assert "End it" not in viewer.get(_page("commandrun_detail", run.pk)).content.decode()
    assert viewer.post(path).status_code == 403
    assert "It is being ended" in console_of(make_user("admin")).post(path, follow=True).content.decode()
    run.refresh_from_db()
    assert run.cancel_asked_at is not None


def _until(holds: Any) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until, list(CommandRun.objects.values())
        time.sleep(0.05)
