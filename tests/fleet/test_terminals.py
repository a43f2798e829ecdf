"""Terminal sessions: their rows, recordings, API and pages. The sockets are in tests/realtime."""

import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.core import files
from apps.core.models import Event
from apps.fleet import terminal_keeping
from apps.fleet.models import SshConnectionState, TerminalSession
from apps.fleet.services.terminals import end_lost_terminals, finish_terminal
from apps.fleet.states import HostKeyState, TerminalStatus
from apps.fleet.terminal.casts import read_cast
from tests.factories.accounts import client_as, client_of, make_user
from tests.factories.fleet import make_server
from tests.factories.ssh import make_connection
from tests.factories.terminals import make_terminal
from tests.support.console import console_as, console_of

pytestmark = pytest.mark.django_db
API = "/api/v1/terminal-sessions"


def _body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_person_sees_own_sessions_and_admin_all() -> None:
    ada, bob = make_user("operator"), make_user("operator")
    mine, others = make_terminal(ada), make_terminal(bob)
    client = client_of(ada)
    assert [row["id"] for row in client.get(API).json()["results"]] == [str(mine.pk)]
    assert client.get(f"{API}/{mine.pk}").json()["address"] == "10.0.0.9"
    for path in ("", "/recording"):
        assert client.get(f"{API}/{others.pk}{path}").status_code == 404
    admin = client_as("admin")
    assert {row["id"] for row in admin.get(API).json()["results"]} == {str(mine.pk), str(others.pk)}
    assert [row["user"] for row in admin.get(API, {"user": bob.username}).json()["results"]] == [bob.username]
    assert admin.get(API, {"status": "open"}).json()["count"] == 0
    assert admin.get(API, {"status": "loud"}).status_code == 422
    assert admin.get(API, {"server_id": str(mine.server_id)}).json()["count"] == 1
    assert client_as("viewer").get(API).status_code == 403


def test_list_takes_as_many_queries_for_one_session_as_for_many() -> None:
    ada = make_user("operator")
    client = client_of(ada)
    counts = []
    for _ in range(2):
        make_terminal(ada)
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert client.get(API).status_code == 200
        counts.append(len(caught))
    assert counts[0] == counts[1]


def test_recording_is_a_cast_and_asking_for_it_is_audited() -> None:
    ada = make_user("operator")
    row = make_terminal(ada, text="Größe\r\n".encode())
    got = client_of(ada).get(f"{API}/{row.pk}/recording")
    lines = [json.loads(line) for line in _body(got).decode().splitlines()]
    assert (lines[0]["version"], lines[0]["title"], lines[1][1:]) == (2, row.target, ["o", "Größe\r\n"])
    assert "attachment" in got["Content-Disposition"]
    fact = Event.objects.get(name="terminal.replayed")
    assert (fact.subject_id, fact.actor["name"]) == (str(row.pk), ada.username)
    files.delete(row.file_name)
    assert client_of(ada).get(f"{API}/{row.pk}/recording").status_code == 404


def test_recording_that_breaks_off_is_read_to_its_last_whole_part() -> None:
    row = make_terminal(make_user("operator"))
    path = files.path_of(row.file_name)
    whole = path.read_bytes()
    path.write_bytes(whole + gzip.compress(b'[9.0, "o", "never whole"]\n')[:-12])
    text = b"".join(read_cast(row.file_name)).decode()
    assert text.startswith('{"version": 2') and '"hello\\r\\n"' in text
    big = b"x" * 3_000_000
    path.write_bytes(gzip.compress(big) + gzip.compress(b"end"))
    assert b"".join(read_cast(row.file_name)) == big + b"end"


def test_admin_ends_an_open_session_and_nobody_a_past_one() -> None:
    ada = make_user("operator")
    row = make_terminal(ada, over=False)
    assert client_of(ada).post(f"{API}/{row.pk}/end").status_code == 403
    admin = client_as("admin")
    assert admin.post(f"{API}/{row.pk}/end").json()["status"] == "open"
    assert admin.post(f"{API}/{row.pk}/end").status_code == 200  # asked twice, told once
    assert Event.objects.filter(name="terminal.end_asked").count() == 1
    finish_terminal(row=row, status=TerminalStatus.KICKED, reason="x")
    assert admin.post(f"{API}/{row.pk}/end").status_code == 409
    assert admin.post(f"{API}/nonsense/end").status_code == 404


def test_session_whose_process_is_gone_is_lost_and_ends_once() -> None:
    row = make_terminal(make_user("operator"), over=False, lease_until=timezone.now() - timedelta(seconds=1))
    assert (end_lost_terminals(), end_lost_terminals()) == (1, 0)
    row.refresh_from_db()
    assert row.status == "lost" and row.finished_at
    assert finish_terminal(row=row, status=TerminalStatus.ENDED, reason="late").status == "lost"
    assert Event.objects.filter(name="terminal.closed").count() == 1


def test_old_sessions_go_with_their_recordings_and_open_ones_stay() -> None:
    old = timezone.now() - timedelta(days=400)
    gone = make_terminal(make_user("operator"), started_at=old)
    still = make_terminal(make_user("operator"), over=False, started_at=old)
    fresh = make_terminal(make_user("operator"))
    assert (terminal_keeping.prune(500), terminal_keeping.prune(500)) == (1, 0)
    assert set(TerminalSession.objects.values_list("pk", flat=True)) == {still.pk, fresh.pk}
    assert files.size_of(gone.file_name) is None and files.size_of(fresh.file_name)


def test_pages_show_sessions_and_their_recording() -> None:
    ada = make_user("operator")
    row = make_terminal(ada)
    console = console_of(ada)
    listed = console.get(reverse("admin:fleet_terminalsession_changelist")).content.decode()
    assert row.target in listed and "10.0.0.9" in listed
    page = console.get(reverse("admin:fleet_terminalsession_detail", args=[row.pk])).content.decode()
    recording = reverse("admin:fleet_terminalsession_recording", args=[row.pk])
    assert recording in page and "replay.js" in page
    assert b'"hello' in _body(console.get(recording))
    server = console.get(reverse("admin:fleet_server_detail", args=[row.server_id])).content.decode()
    assert reverse("admin:server_terminal", args=[row.server_id]) in server
    assert console_as("operator").get(recording).status_code == 404
    files.delete(row.file_name)
    page = console.get(reverse("admin:fleet_terminalsession_detail", args=[row.pk])).content.decode()
    assert "past its keep time" in page and console.get(recording).status_code == 404


def test_admin_ends_a_session_by_its_page() -> None:
    row = make_terminal(make_user("operator"), over=False)
    page = reverse("admin:fleet_terminalsession_do", args=[row.pk, "end"])
    assert console_as("operator").post(page).status_code == 403
    assert console_as("admin").post(page).status_code == 302
    row.refresh_from_db()
    assert row.end_asked_at


def test_page_of_a_terminal_says_what_stands_in_the_way(settings: Any) -> None:
    bare = make_server("bare")
    way = make_connection()
    reached = make_server("reached", ssh_connection_id=str(way.pk))
    own = make_server("own")
    type(own).objects.filter(pk=own.pk).update(is_local=True)

    def page(server: Any, role: str = "operator") -> str:
        return console_as(role).get(reverse("admin:server_terminal", args=[server.pk])).content.decode()

    assert "Ask an admin" in page(bare)
    assert reverse("admin:fleet_server_change", args=[bare.pk]) in page(bare, "admin")
    assert "is not known yet" in page(reached) and "terminal.js" not in page(reached)
    SshConnectionState.objects.update(host_key_state=HostKeyState.CHANGED)
    assert reverse("admin:fleet_sshconnection_detail", args=[way.pk]) in page(reached, "admin")
    SshConnectionState.objects.update(host_key_state=HostKeyState.PINNED)
    shown = page(reached)
    assert "terminal.js" in shown and f"/ws/servers/{reached.pk}/terminal" in shown
    assert "execute_local" in page(own) and "LOCAL_COMMANDS" in page(own, "admin")
    settings.LOCAL_COMMANDS = True
    assert "terminal.js" in page(own, "admin")
    assert console_as("viewer").get(reverse("admin:server_terminal", args=[own.pk])).status_code == 403
