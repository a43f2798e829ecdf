"""Containers of servers: listed from samples, acted on through the agent, and what the console offers of that."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.urls import reverse

from apps.agents.link import executor, requests
from apps.agents.models import AgentRequest
from apps.agents.services import connected, disconnected
from apps.containers import asking, services
from apps.containers.selectors import containers_of
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import ChangeSlot, Server
from apps.fleet.services import create_change_limit
from apps.fleet.services.change_limits import Draw, draw_slots
from tests.factories.accounts import client_as, client_with_key, make_api_key, make_user
from tests.factories.agents import make_host_agent
from tests.factories.fleet import make_server, push, snapshot
from tests.support.console import console_as, inline_scripts

pytestmark = pytest.mark.django_db
#: What another thread answers needs real transactions.
threaded = pytest.mark.django_db(transaction=True)
ACTOR = system("test")
WEB = {"id": "0123456789ab", "name": "web", "image": "shop:7", "state": "running"}
BLOCK = {
    "available": True,
    "total": 2,
    "containers": [
        {
            **WEB, "status": "Up 2 hours", "created": 1_790_000_000,
            "ports": [{"private_port": 80, "public_port": 8080, "type": "tcp"}],
            "labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "front"},
        },
        {"id": "ba9876543210", "name": "old", "image": "shop:6", "state": "exited", "status": "Exited (0)"},
    ],
}  # fmt: skip


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(executor, "POLL_S", 0.05)
    monkeypatch.setattr(services, "own_containers", frozenset)  # the tests may run in one
    found, _ = make_host_agent()
    connected(agent=found, owner="another process", token="t")
    return found


@contextlib.contextmanager
def answering(agent: Any, result: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Take what is asked of the agent, as the process that holds its connection does, and answer all of it alike."""
    asked: list[dict[str, Any]] = []
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            for one in requests.open_requests([agent.pk]):
                if one.state == "waiting" and requests.claim(one, "t"):
                    asked.append(json.loads(one.body))
                    requests.store_output([], [(one.id, result)])
            time.sleep(0.02)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        is_over.set()
        thread.join(10)


def _url(server: Any, rest: str = "") -> str:
    return f"/api/v1/docker/{server.slug}/containers{rest}"


def _server(agent: Any) -> Server:
    return Server.objects.get(pk=agent.server_id)


def _facts() -> list[tuple[str, dict[str, Any]]]:
    return [(row.name, row.data) for row in Event.objects.filter(name__startswith="container.").order_by("id")]


def _events() -> list[tuple[str, dict[str, Any]]]:
    """Return what came of what was asked for."""
    return [(name, data) for name, data in _facts() if name != "container.action_asked"]


def test_containers_are_those_of_the_newest_sample() -> None:
    server, viewer = make_server("Web 1"), client_as("viewer")
    empty = viewer.get(_url(server)).json()
    assert (empty["available"], empty["results"], empty["timestamp"]) == (False, [], None)
    push(server, {**snapshot(), "docker": BLOCK})
    running = viewer.get(_url(server)).json()
    assert (running["count"], running["total"], running["available"]) == (1, 2, True)
    assert running["results"][0] == {
        **WEB, "status": "Up 2 hours", "created": "2026-09-21T14:13:20Z", "project": "shop", "service": "front",
        "ports": [{"private_port": 80, "public_port": 8080, "type": "tcp"}],
    }  # fmt: skip
    everything = viewer.get(_url(server, "?all=true")).json()
    assert [one["name"] for one in everything["results"]] == ["web", "old"]
    assert viewer.get(_url(server, "?all=perhaps")).status_code == 422
    assert client_as("viewer").get("/api/v1/docker/none/containers").status_code == 404


@pytest.mark.parametrize(
    "block",
    [
        {"containers": "many"},
        {"containers": [1, None, "web"]},
        {"available": True, "total": "x", "containers": [{"id": 5, "ports": {"a": 1}, "labels": [], "created": 1e99}]},
        {"available": True, "containers": [{"ports": [{"private_port": "80"}, 7], "created": True, "state": []}]},
    ],
)
def test_block_of_another_form_breaks_nothing(block: dict[str, Any]) -> None:
    server = make_server()
    push(server, {**snapshot(), "docker": block})
    for one in containers_of(server).rows:
        assert (one["id"], one["ports"], one["created"], one["project"]) == ("", [], None, "")
    assert client_as("viewer").get(_url(server, "?all=1")).status_code == 200
    assert console_as("admin").get(reverse("admin:fleet_server_detail", args=[server.pk])).status_code == 200


@threaded
def test_actions_are_asked_of_the_agent_and_told(agent: Any) -> None:
    server, operator = _server(agent), client_as("operator")
    with answering(agent, {"ok": True, "container": WEB}) as asked:
        started = operator.post(_url(server, "/web/start"))
        stopped = operator.post(_url(server, "/web/stop"))
        restarted = operator.post(_url(server, "/web/restart"), {"timeout": 3}, format="json")
        patient = operator.post(_url(server, "/web/stop?timeout=4"))
    assert started.json() == {"status": "success", "message": "web was started.", "container": WEB}
    assert [one.status_code for one in (started, stopped, restarted, patient)] == [200] * 4
    assert asked == [
        {"action": "start", "container": "web"},
        {"action": "stop", "container": "web", "timeout_s": 10},
        {"action": "restart", "container": "web", "timeout_s": 3},
        {"action": "stop", "container": "web", "timeout_s": 4},
    ]
    names = ["container.started", "container.stopped", "container.restarted", "container.stopped"]
    assert [name for name, _ in _events()] == names
    assert [name for name, _ in _facts()][::2] == ["container.action_asked"] * 4
    assert [(data["container"], data["action"]) for _, data in _facts()[:4:2]] == [("web", "start"), ("web", "stop")]
    told = _events()[0][1]
    assert (told["container"], told["container_id"], told["image"]) == ("web", WEB["id"], "shop:7")
    assert told["slug"] == server.slug
    assert not ChangeSlot.objects.exists() and not AgentRequest.objects.exists()


@threaded
def test_agent_is_told_which_container_must_go_on(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = frozenset({"f" * 64, "f" * 12})
    monkeypatch.setattr(services, "own_containers", lambda: ours)
    with answering(agent, {"ok": True, "container": WEB}) as asked:
        for action in ("start", "stop", "restart"):
            assert client_as("operator").post(_url(_server(agent), f"/web/{action}")).status_code == 200
    assert [one.get("own") for one in asked] == [None, sorted(ours), sorted(ours)]


@threaded
def test_refusals_come_back_in_the_engines_words(agent: Any) -> None:
    wanted = {
        "running": (409, "container_running"),
        "not_running": (409, "container_not_running"),
        "own_container": (409, "own_container"),
        "gone": (404, "container_gone"),
        "refused": (409, "engine_refused"),
        "no_engine": (503, "engine_unavailable"),
        "forbidden": (503, "engine_unavailable"),
        "anything": (409, "engine_refused"),
    }
    operator, refusal = client_as("operator"), {"ok": False, "message": "The engine's own words."}
    with answering(agent, refusal):
        for code, (status, shown) in wanted.items():
            refusal["code"] = code
            answer = operator.post(_url(_server(agent), "/web/start"))
            assert (answer.status_code, answer.json()["code"]) == (status, shown)
            assert "The engine's own words." in answer.json()["detail"]
    assert _events() == [] and not ChangeSlot.objects.exists()


@threaded
def test_what_may_have_been_done_is_said_and_told(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, operator, ask = _server(agent), client_as("operator"), requests.ask

    def ask_and_send(**values: Any) -> Any:
        key = ask(**values)
        (waiting,) = requests.open_requests([agent.pk])
        assert requests.claim(waiting, "t")
        return key

    with monkeypatch.context() as patched:
        patched.setattr(asking, "ANSWER_S", 0.2)
        patched.setattr(requests, "ask", ask_and_send)
        silent = operator.post(_url(server, "/web/start"))
    assert (silent.status_code, silent.json()["code"]) == (503, "unconfirmed")
    assert "not known" in silent.json()["detail"]
    with answering(agent, {"ok": False, "code": "engine_silent", "message": "It hangs."}):
        hung = operator.post(_url(server, "/web/stop"), {"timeout": 0}, format="json")
    assert (hung.status_code, hung.json()["code"]) == (503, "unconfirmed")
    assert [(name, data["action"]) for name, data in _events()] == [
        ("container.unconfirmed", "start"),
        ("container.unconfirmed", "stop"),
    ]
    # What the agent has not taken will never be sent, and is no event.
    monkeypatch.setattr(asking, "ANSWER_S", 0.2)
    untaken = operator.post(_url(server, "/web/start"))
    assert (untaken.status_code, untaken.json()["code"]) == (503, "agent_silent")
    assert "Nothing was done" in untaken.json()["detail"]
    assert len(_events()) == 2 and requests.open_requests([agent.pk]) == []
    assert not ChangeSlot.objects.exists()


def test_connection_that_breaks_off_is_never_followed_by_a_second_try(agent: Any) -> None:
    request_id = requests.ask(agent=agent, kind=requests.CONTAINER, body={"action": "stop"}, within_s=9)
    (waiting,) = requests.open_requests([agent.pk])
    assert requests.claim(waiting, "t")
    assert requests.runs_of(agent.pk, "new") == []
    standing = requests.standing_of(request_id)
    assert standing is not None and (standing.state, standing.error) == (
        "lost",
        "The connection to the agent broke off.",
    )
    assert requests.open_requests([agent.pk]) == []


def test_server_whose_agent_is_away_says_so(agent: Any) -> None:
    disconnected(agent_id=agent.pk, token="t")
    operator = client_as("operator")
    for path in ("/web/start", "/web/stop", "/web/restart"):
        answer = operator.post(_url(_server(agent), path))
        assert (answer.status_code, answer.json()["code"]) == (503, "agent_offline")
    assert operator.get(_url(_server(agent), "/web/logs")).status_code == 503
    answer = operator.post(_url(make_server(), "/web/start"))
    assert (answer.status_code, answer.json()["code"]) == (503, "no_agent")
    assert "install one" in answer.json()["detail"]


def test_what_names_no_container_is_refused(agent: Any) -> None:
    operator = client_as("operator")
    for name in ("a", "-web", "we b", "w%252Fb", "w%3Fb", "é-é", "x" * 256):
        answer = operator.post(_url(_server(agent), f"/{name}/start"))
        assert answer.status_code == 422 and "give the id or the name" in json.dumps(answer.json()), name
    assert not AgentRequest.objects.exists() and not ChangeSlot.objects.exists() and _facts() == []


@threaded
def test_who_asked_is_known_where_the_process_dies_meanwhile(agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*args: Any, **values: Any) -> Any:
        raise SystemExit

    monkeypatch.setattr(asking, "ask_agent", die)
    with pytest.raises(SystemExit):
        services.stop_container(actor=ACTOR, server=_server(agent), container="web")
    ((name, told),) = _facts()
    assert (name, told["by"]) == ("container.action_asked", ACTOR.name)
    assert (told["container"], told["action"]) == ("web", "stop")


def test_time_to_stop_has_bounds(agent: Any) -> None:
    operator = client_as("operator")
    for given in (-1, 61, "soon", None, [1]):
        answer = operator.post(_url(_server(agent), "/web/stop"), {"timeout": given}, format="json")
        assert answer.status_code == 422 and "timeout" in json.dumps(answer.json())
    assert operator.post(_url(_server(agent), "/web/stop"), [1], format="json").status_code == 422
    assert not AgentRequest.objects.exists()


@threaded
def test_logs_are_read_with_what_is_asked_for(agent: Any) -> None:
    server, viewer = _server(agent), client_as("viewer")
    with answering(agent, {"ok": True, "container": WEB, "lines": ["one", "two"], "is_cut": True}) as asked:
        found = viewer.get(_url(server, "/web/logs?tail=2&timestamps=true&since=2026-01-01T00:00:00Z")).json()
        viewer.get(_url(server, "/web/logs?tail=999999"))
    assert found["lines"] == ["one", "two"] and found["is_cut"] is True and "left out" in found["note"]
    assert asked[0] == {
        "action": "logs", "container": "web", "tail": 2, "since": 1_767_225_600.0, "timestamps": True,
    }  # fmt: skip
    assert (asked[1]["tail"], asked[1]["since"], asked[1]["timestamps"]) == (5000, None, False)
    for query in ("tail=0", "tail=x", "since=never", "timestamps=2"):
        assert viewer.get(_url(server, f"/web/logs?{query}")).status_code == 422
    assert _events() == []


@threaded
def test_secrets_in_what_a_container_wrote_are_masked_on_every_way(agent: Any) -> None:
    server = _server(agent)
    lines = ["2026-01-01T00:00:00Z password=hunter2 user=me", "postgres://me:hunter2@db/x", "ready"]
    with answering(agent, {"ok": True, "container": WEB, "lines": lines, "is_cut": False}):
        found = client_as("viewer").get(_url(server, "/web/logs")).json()["lines"]
        url = reverse("admin:container_logs", args=[server.pk, "web"])
        page = console_as("viewer").get(url).content.decode()
    assert found == ["2026-01-01T00:00:00Z password=*** user=me", "postgres://me:***@db/x", "ready"]
    assert "password=***" in page and "hunter2" not in page


@threaded
def test_action_counts_as_a_change_of_its_server(agent: Any) -> None:
    create_change_limit(actor=ACTOR, values={"tag": "", "hosts_most": 1})
    other = make_server("busy")
    with transaction.atomic():
        draw_slots([Draw(other.pk, "other", other.pk, "an upgrade", 60)])
    with answering(agent, {"ok": True, "container": WEB}) as asked:
        refused = client_as("operator").post(_url(_server(agent), "/web/stop"))
        assert (refused.status_code, refused.json()["code"]) == (409, "change_limit_reached") and asked == []
        ChangeSlot.objects.all().delete()
        assert client_as("operator").post(_url(_server(agent), "/web/stop")).status_code == 200
    assert not ChangeSlot.objects.exists()


def test_key_of_another_server_reaches_no_container(agent: Any) -> None:
    key = make_api_key(make_user("operator"), role="operator", server_id=str(make_server().id))[1]
    client = client_with_key(key)
    assert client.get(_url(_server(agent))).status_code in (403, 404)
    assert client.post(_url(_server(agent), "/web/start")).status_code in (403, 404)


# --- the console -----------------------------------------------------------------------------------------------------


def test_servers_page_offers_what_fits_the_state_and_the_person(agent: Any) -> None:
    server = _server(agent)
    push(server, {**snapshot(), "docker": BLOCK})
    url = reverse("admin:fleet_server_detail", args=[server.pk])
    page = console_as("operator").get(url).content.decode()
    assert "Up 2 hours" in page and "8080→80" in page and "shop/front" in page
    base = f"{url}containers/" if "containers" in url else f"/admin/fleet/server/{server.pk}/containers/"
    assert f"{base}{WEB['id']}/stop/" in page and f"{base}{WEB['id']}/restart/" in page
    assert f"{base}{WEB['id']}/start/" not in page and f"{base}ba9876543210/start/" in page
    viewer = console_as("viewer").get(url).content.decode()
    assert f"{base}{WEB['id']}/" in viewer and "/stop/" not in viewer
    disconnected(agent_id=agent.pk, token="t")
    assert "/stop/" not in console_as("operator").get(url).content.decode()


@pytest.mark.parametrize(("status", "is_marked"), [("Exited (0)", False), ("Exited (137) 2 hours ago", True)])
def test_container_that_ended_with_an_error_is_marked(agent: Any, status: str, is_marked: bool) -> None:
    server = _server(agent)
    push(server, {**snapshot(), "docker": {**BLOCK, "containers": [{**BLOCK["containers"][1], "status": status}]}})
    page = console_as("viewer").get(reverse("admin:fleet_server_detail", args=[server.pk])).content.decode()
    assert status in page and ("Exited with an error" in page) is is_marked


@threaded
def test_buttons_act_and_say_what_became_of_it(agent: Any) -> None:
    server, client = _server(agent), console_as("operator")
    url = reverse("admin:container_act", args=[server.pk, "web", "stop"])
    with answering(agent, {"ok": True, "container": WEB}) as asked:
        page = client.post(url, follow=True).content.decode()
    assert "web was stopped." in page and len(asked) == 1
    with answering(agent, {"ok": False, "code": "not_running", "message": "The container does not run."}):
        assert "The container does not run." in client.post(url, follow=True).content.decode()
    assert client.get(url).status_code == 405
    assert console_as("viewer").post(url).status_code == 403
    assert client.post(url.replace("/stop/", "/remove/")).status_code == 404


@threaded
def test_log_page_shows_the_lines_or_why_there_are_none(agent: Any) -> None:
    server, client = _server(agent), console_as("viewer")
    url = reverse("admin:container_logs", args=[server.pk, "web"])
    with answering(agent, {"ok": True, "container": WEB, "lines": ["<b>bold</b>"], "is_cut": True}) as asked:
        page = client.get(f"{url}?tail=500&timestamps=1").content.decode()
    assert "&lt;b&gt;bold&lt;/b&gt;" in page and "left out" in page and inline_scripts(page) == []
    assert (asked[0]["tail"], asked[0]["timestamps"]) == (500, True)
    with answering(agent, {"ok": False, "code": "no_engine", "message": "No container engine answers."}):
        assert "No container engine answers." in client.get(url).content.decode()
    with answering(agent, {"ok": False, "code": "gone", "message": "no such container"}):
        assert client.get(url).status_code == 404
    assert client.get(reverse("admin:container_logs", args=[agent.pk, "web"])).status_code == 404


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"available": True, "total": 0, "containers": []}, "None on this host"),
        ({"available": False, "reason": "The agent&#x27;s user may not."}, "may not."),
        ({"available": False}, "No container engine"),
    ],
)
def test_empty_section_says_the_next_step(agent: Any, block: dict[str, Any], words: str) -> None:
    push(_server(agent), {**snapshot(), "docker": block})
    url = reverse("admin:fleet_server_detail", args=[agent.server_id])
    assert words in console_as("viewer").get(url).content.decode()
    bare = console_as("operator").get(reverse("admin:fleet_server_detail", args=[make_server().pk])).content.decode()
    assert "lists the containers of this machine" in bare
