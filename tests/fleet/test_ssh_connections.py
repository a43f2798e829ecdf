"""SSH connections: adding, changing, testing, host keys, and who may."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.errors import Conflict, Forbidden, Invalid
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import CommandRun, SshConnection
from apps.fleet.services import delete_connection, test_connection, update_connection
from apps.fleet.ssh import parse_host_key, pool
from apps.secrets.models import Secret
from apps.secrets.services import create_secret, delete_secret
from tests.factories.accounts import client_as, client_of, make_user, principal
from tests.factories.fleet import make_server
from tests.factories.ssh import make_connection
from tests.support.sshd import USER, Sshd, make_key, password_server, sshd

pytestmark = pytest.mark.django_db
ACTOR = system("test")
CANARY = "canary-of-ssh-8fK2"
URL = "/api/v1/ssh-connections"


@pytest.fixture(autouse=True)
def _empty_pool() -> Iterator[None]:
    yield
    pool.close()


@pytest.fixture(scope="module")
def key(tmp_path_factory: Any) -> Path:
    return make_key(tmp_path_factory.mktemp("keys"), "id", passphrase=CANARY)


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any, key: Path) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd"), accepts=[key]) as running:
        yield running


def _body(server: Sshd, key: Path, **values: Any) -> dict[str, Any]:
    return {
        "name": "web", "hostname": "127.0.0.1", "port": server.port, "username": USER, "auth_method": "key",
        "credential": key.read_text(), "passphrase": CANARY, **values,
    }  # fmt: skip


def test_connection_is_added_tested_and_used(server: Sshd, key: Path) -> None:
    client = client_as("admin")
    made = client.post(URL, _body(server, key), format="json")
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["host_key_state"], body["host_key_fingerprint"], body["last_result"]) == ("pending", "", "untested")
    assert body["secret_id"] and body["passphrase_secret_id"] and "credential" not in body
    one = f"{URL}/{body['id']}"
    early = client.post(f"{one}/execute", {"command": "true"}, format="json")
    assert (early.status_code, early.json()["code"]) == (409, "host_key_pending")

    tested = client.post(f"{one}/test").json()
    fingerprint = parse_host_key(server.host_key).fingerprint
    assert (tested["ok"], tested["pinned_now"], tested["host_key_fingerprint"]) == (True, True, fingerprint)
    assert tested["server_version"].startswith("OpenSSH") and tested["latency_ms"] > 0
    assert [phase["phase"] for phase in tested["phases"]] == ["connect", "handshake", "host key", "sign in"]
    assert client.post(f"{one}/test").json()["pinned_now"] is False

    ran = client.post(f"{one}/execute", {"command": f"echo {CANARY}; cat; exit 3", "stdin": "in"}, format="json")
    assert ran.status_code == 200
    run = ran.json()
    assert (run["exit_code"], run["status"], run["executor"]) == (3, "failed", "ssh")
    assert run["output"] == "***\nin"  # the passphrase of its key is masked in what it prints
    shown = client.get(one).json()
    assert (shown["host_key_state"], shown["last_result"], shown["server_version"]) == (
        "pinned", "ok", tested["server_version"],
    )  # fmt: skip
    names = set(Event.objects.values_list("name", flat=True))
    assert {
        "ssh_connection.created", "ssh_connection.tested", "ssh_connection.host_key_pinned", "secret.used",
        "command.started", "command.finished",
    } <= names  # fmt: skip


def test_no_credential_stands_in_answers_events_or_runs(server: Sshd, key: Path) -> None:
    client = client_as("admin")
    made = client.post(URL, _body(server, key, sudo_password=f"{CANARY}-sudo"), format="json").json()
    client.post(f"{URL}/{made['id']}/test")
    client.put(f"{URL}/{made['id']}", {"passphrase": CANARY, "credential": key.read_text()}, format="json")
    seen = json.dumps([made, client.get(f"{URL}/{made['id']}").json(), client.get(URL).json()])
    seen += json.dumps([[row.data, row.audit] for row in Event.objects.all()])
    assert CANARY not in seen
    assert key.read_text().splitlines()[1] not in seen


def test_changed_host_key_is_refused_told_once_and_accepted_by_a_person(tmp_path: Path) -> None:
    old, new = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    client = client_as("admin")
    with password_server("right", old) as first:
        row = make_connection(port=first.port, credential="right")
        assert test_connection(actor=ACTOR, connection_id=row.pk).ok
    with password_server("right", new, port=first.port) as second:
        fresh, pinned = parse_host_key(second.host_key).fingerprint, parse_host_key(first.host_key).fingerprint
        for _ in range(2):
            refused = client.post(f"{URL}/{row.pk}/test").json()
            assert (refused["ok"], refused["reason"]) == (False, "host_key_changed")
            assert (refused["host_key_fingerprint"], refused["offered_fingerprint"]) == (pinned, fresh)
        ran = client.post(f"{URL}/{row.pk}/execute", {"command": "id"}, format="json")
        assert (ran.status_code, ran.json()["code"]) == (409, "host_key_changed")
        assert second.attempts == []  # no credential, not even a name
        alert = Event.objects.get(name="system.alert", subject_id=f"ssh-host-key:{row.pk}")
        assert alert.level == "critical" and fresh in alert.data["message"] and pinned in alert.data["message"]
        fact = Event.objects.get(name="ssh_connection.host_key_changed")
        assert (fact.data["pinned"], fact.data["offered"]) == (pinned, fresh)

        accept = f"{URL}/{row.pk}/accept-host-key"
        assert client.post(accept, {"fingerprint": pinned}, format="json").status_code == 409
        assert client.post(accept, {"fingerprint": fresh}, format="json").json()["host_key_state"] == "pinned"
        assert Event.objects.get(name="ssh_connection.host_key_accepted").audit["before"]
        assert client.post(f"{URL}/{row.pk}/test").json()["ok"] is True
        assert client.post(accept, {"fingerprint": fresh}, format="json").status_code == 409


def test_failed_test_says_where_it_stopped(server: Sshd, tmp_path: Path) -> None:
    stranger = make_key(tmp_path, "stranger")
    row = make_connection(
        port=server.port, username=USER, auth_method="key", credential=stranger.read_text(), host_key=server.host_key
    )
    report = test_connection(actor=ACTOR, connection_id=row.pk)
    assert (report.ok, report.reason, report.phase, report.phases) == (False, "sign_in", "sign in", [])
    shown = client_as("admin").get(f"{URL}/{row.pk}").json()
    assert (shown["last_result"], shown["host_key_state"]) == ("failed", "pinned")
    assert "refused the private key" in shown["last_error"]
    ran = client_as("admin").post(f"{URL}/{row.pk}/execute", {"command": "true"}, format="json")
    assert (ran.status_code, ran.json()["code"], ran.json()["details"]["phase"]) == (502, "not_reached", "sign in")
    assert CommandRun.objects.get().error == shown["last_error"]


@pytest.mark.parametrize(
    ("on_exec", "status", "sentence"),
    [("vanish", "lost", "whether and how it ended is not known"), ("refuse", "failed", "did not run the command")],
)
def test_command_that_was_sent_into_a_breaking_connection_is_lost(on_exec: str, status: str, sentence: str) -> None:
    with password_server("right", paramiko.ECDSAKey.generate()) as target:
        target.on_exec = on_exec
        row = make_connection(port=target.port, credential="right", host_key=target.host_key)
        ran = client_as("admin").post(f"{URL}/{row.pk}/execute", {"command": "true"}, format="json")
    assert (ran.status_code, ran.json()["details"]["status"]) == (502, status)
    assert sentence in CommandRun.objects.get().error


def test_command_whose_connection_breaks_in_the_middle_is_lost_with_its_output(server: Sshd, key: Path) -> None:
    given = {"auth_method": "key", "credential": key.read_text(), "passphrase": CANARY, "username": USER}
    row = make_connection(port=server.port, host_key=server.host_key, **given)
    body = {"command": "echo so far; sleep 0.3; kill -9 $PPID; sleep 3"}
    ran = client_as("admin").post(f"{URL}/{row.pk}/execute", body, format="json")
    assert (ran.status_code, ran.json()["details"]["reason"]) == (502, "broken")
    run = CommandRun.objects.get()
    assert (run.status, run.output, run.exit_code) == ("lost", "so far\n", None)
    assert Event.objects.get(name="command.finished").data["status"] == "lost"


def test_jump_host_is_used_and_never_leads_in_a_circle(server: Sshd, key: Path, tmp_path: Path) -> None:
    with sshd(tmp_path / "jump", accepts=[key]) as jump:
        given = {"auth_method": "key", "credential": key.read_text(), "passphrase": CANARY, "username": USER}
        outer = make_connection("outer", port=jump.port, host_key=jump.host_key, **given)
        inner = make_connection("inner", port=server.port, host_key=server.host_key, jump_host_id=outer.pk, **given)
        report = test_connection(actor=ACTOR, connection_id=inner.pk)
        assert report.ok and [phase["host"] for phase in report.phases] == ["outer"] * 4 + ["inner"] * 4
    with pytest.raises(Invalid, match="circle"):
        update_connection(actor=ACTOR, connection_id=outer.pk, values={"jump_host_id": inner.pk})
    with pytest.raises(Invalid, match="circle"):
        update_connection(actor=ACTOR, connection_id=outer.pk, values={"jump_host_id": outer.pk})
    with pytest.raises(Conflict, match="inner"):
        delete_connection(actor=ACTOR, connection_id=outer.pk)


def test_changed_row_closes_what_is_kept_open(server: Sshd, key: Path) -> None:
    client = client_as("admin")
    row = SshConnection.objects.get(
        pk=client.post(URL, _body(server, key, host_key=server.host_key), format="json").json()["id"]
    )
    for _ in range(2):
        assert client.post(f"{URL}/{row.pk}/execute", {"command": "true"}, format="json").status_code == 200
    assert pool.count(str(row.pk)) == 1
    client.put(f"{URL}/{row.pk}", {"username": "nobody-of-that-name"}, format="json")
    assert client.post(f"{URL}/{row.pk}/execute", {"command": "true"}, format="json").status_code == 502
    assert pool.count(str(row.pk)) == 0


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"),
        ({"hostname": ""}, "hostname"),
        ({"hostname": "bad host"}, "hostname"),
        ({"hostname": "169.254.169.254"}, "hostname"),
        ({"username": "a b"}, "username"),
        ({"port": 0}, "port"),
        ({"auth_method": "magic"}, "auth_method"),
        ({"credential": ""}, "credential"),
        ({"auth_method": "key", "credential": "no key"}, "credential"),
        ({"auth_method": "agent"}, "credential"),
        ({"passphrase": "x y z"}, "passphrase"),
        ({"host_key": "ssh-ed25519 AAAA"}, "host_key"),
        ({"jump_host_id": "0190a3c4-0000-7000-8000-000000000000"}, "jump_host_id"),
        ({"secret_id": "0190a3c4-0000-7000-8000-000000000000", "credential": None}, "secret_id"),
    ],
)
def test_wrong_value_names_its_field(values: dict[str, Any], field: str) -> None:
    body = {
        "name": "x", "hostname": "10.0.0.1", "username": "ops", "auth_method": "password", "credential": "pass word",
        **values,
    }  # fmt: skip
    answer = client_as("admin").post(URL, {k: v for k, v in body.items() if v is not None}, format="json")
    assert answer.status_code == 422, answer.content
    assert field in {row["loc"][-1] for row in answer.json()["detail"]}
    assert not SshConnection.objects.exists() and not Secret.objects.exists()


def test_locked_key_without_its_passphrase_names_the_passphrase(key: Path) -> None:
    with pytest.raises(Invalid) as caught:
        make_connection(auth_method="key", credential=key.read_text())
    assert list(caught.value.problems) == ["passphrase"]


def test_second_connection_of_a_name_is_refused() -> None:
    make_connection("one")
    with pytest.raises(Invalid, match="another SSH connection"):
        make_connection("one")


def test_secret_in_use_is_not_removed_and_one_secret_serves_many() -> None:
    secret = create_secret(actor=ACTOR, name="shared", value="correct horse", category="password")
    rows = [make_connection(secret_id=secret.pk) for _ in range(2)]
    with pytest.raises(Conflict, match=rows[0].name):
        delete_secret(secret_id=secret.pk, actor=ACTOR)
    for row in rows:
        delete_connection(actor=ACTOR, connection_id=row.pk)
    delete_secret(secret_id=secret.pk, actor=ACTOR)
    assert Event.objects.filter(name="ssh_connection.deleted").count() == 2


def test_vault_is_used_by_those_alone_who_may() -> None:
    secret = create_secret(actor=ACTOR, name="shared", value="correct horse")
    maker = principal(user=make_user("maker", permissions=["ssh_connections:*"]))
    for values in ({"secret_id": secret.pk}, {"credential": "new one"}):
        with pytest.raises(Forbidden, match="secrets:"):
            make_connection(actor=maker, **values)


def test_binding_a_server_needs_the_permission() -> None:
    row = make_connection()
    assert client_as("admin").post(
        "/api/v1/servers", {"name": "web", "ssh_connection_id": str(row.pk)}, format="json"
    ).json()["ssh_connection_id"] == str(row.pk)  # fmt: skip
    operator = client_as("operator")
    assert (
        operator.post("/api/v1/servers", {"name": "b", "ssh_connection_id": str(row.pk)}, format="json").status_code
        == 403
    )
    other = make_server("other")
    path = f"/api/v1/servers/{other.slug}"
    assert operator.put(path, {"ssh_connection_id": str(row.pk)}, format="json").status_code == 403
    assert operator.put(path, {"ssh_connection_id": None, "name": "still"}, format="json").status_code == 200
    missing = "0190a3c4-0000-7000-8000-000000000000"
    assert client_as("admin").put(path, {"ssh_connection_id": missing}, format="json").status_code == 422
    with pytest.raises(Conflict, match="web"):
        delete_connection(actor=ACTOR, connection_id=row.pk)


def test_change_without_a_difference_is_no_fact_and_old_revision_is_refused() -> None:
    row = make_connection(description="x")
    client = client_of(make_user("admin"))
    tag = client.get(f"{URL}/{row.pk}")["ETag"]
    assert client.put(f"{URL}/{row.pk}", {"description": "x"}, format="json")["ETag"] == tag
    assert not Event.objects.filter(name="ssh_connection.updated").exists()
    changed = client.put(f"{URL}/{row.pk}", {"port": 2200}, format="json", headers={"If-Match": tag})
    assert changed["ETag"] != tag
    assert Event.objects.get(name="ssh_connection.updated").audit["after"] == {"port": 2200}
    again = client.put(f"{URL}/{row.pk}", {"port": 2201}, format="json", headers={"If-Match": tag})
    assert again.status_code == 412


def test_list_takes_the_same_queries_for_any_number() -> None:
    client = client_as("admin")
    make_connection()
    client.get(URL)
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert client.get(URL).json()["count"] == 1
    for _ in range(5):
        make_connection()
    with CaptureQueriesContext(connection) as many:
        assert client.get(URL).json()["count"] == 6
    assert len(few) == len(many)
