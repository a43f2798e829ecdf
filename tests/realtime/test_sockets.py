"""`/ws`: credentials, subscriptions, resume, rights that end, readers that are slow. Redis is away in this suite."""

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.accounts.authentication import principal_of_api_key
from apps.accounts.models import Session
from apps.core.asgi.frames import text_frame
from apps.core.events import Subject, emit, publish_live
from apps.core.events.sequencer import last_seq, sequence_events
from apps.core.principals import Principal, system
from apps.realtime import followers
from apps.realtime.followers import Caller, Follower, Frame
from apps.realtime.hub import Hub, hub
from apps.realtime.routing import sockets
from tests.factories.accounts import access_token, make_api_key, make_user, principal
from tests.factories.heartbeats import make_heartbeat, ping
from tests.support.sockets import AsgiSocket

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _hub() -> Any:
    yield
    await hub.stop()


@sync_to_async
def _token(role: str = "viewer") -> str:
    return access_token(make_user(role))


@sync_to_async
def _alert(title: str = "t") -> int:
    emit(
        "system.alert",
        subject=Subject("test", "1"),
        actor=system("test"),
        data={"title": title, "message": "m", "level": "info"},
    )
    sequence_events()
    return last_seq()


async def test_subscriber_gets_the_event_it_asked_for() -> None:
    async with AsgiSocket(sockets, f"/ws?token={await _token()}") as socket:
        assert (await socket.receive_until("ready"))["data"]["id"] == await sync_to_async(last_seq)()
        await socket.send({"type": "subscribe", "event": "system.*"})
        assert (await socket.receive_until("subscribed"))["data"] == {"event": "system.*"}
        seq = await _alert("hello")
        event = await socket.receive_until("event")
        assert (event["event"], event["id"], event["data"]["title"]) == ("system.alert", seq, "hello")


async def test_nothing_is_sent_without_subscription_or_after_unsubscribe() -> None:
    async with AsgiSocket(sockets, f"/ws?token={await _token()}") as socket:
        await socket.receive_until("ready")
        await _alert("before")
        await asyncio.sleep(1.3)  # the hub polls each second where nothing rings
        await socket.send({"type": "subscribe", "event": "system.alert"})
        await socket.receive_until("subscribed")
        await _alert("heard")
        assert (await socket.receive_until("event"))["data"]["title"] == "heard"
        await socket.send({"type": "unsubscribe", "event": "system.alert"})
        await socket.receive_until("unsubscribed")
        await _alert("unheard")
        await asyncio.sleep(1.3)
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}


async def test_token_may_come_in_the_first_message() -> None:
    async with AsgiSocket(sockets, "/ws") as socket:
        await socket.send({"type": "auth", "token": await _token()})
        assert await socket.receive_until("ready")


@pytest.mark.parametrize("url", ["/ws?token=nonsense", "/ws?token="])
async def test_bad_credential_is_closed_with_4401(url: str) -> None:
    async with AsgiSocket(sockets, url) as socket:
        if url.endswith("="):
            await socket.send({"type": "auth", "token": "nonsense"})
        while await socket.receive() is not None:
            pass
        assert socket.close_code == 4401


async def test_cookie_from_another_origin_does_not_count() -> None:
    headers = {"Cookie": "wk_session=whatever", "Origin": "https://evil.example"}
    async with AsgiSocket(sockets, "/ws", headers) as socket:
        while await socket.receive() is not None:
            pass
        assert socket.close_code == 4403


async def test_resume_replays_what_was_missed_once_and_in_order() -> None:
    token = await _token()
    start = await _alert("seen")
    missed = [await _alert(f"missed {number}") for number in range(5)]
    async with AsgiSocket(sockets, f"/ws?token={token}") as socket:
        await socket.receive_until("ready")
        await socket.send({"type": "subscribe", "event": "system.alert"})
        await socket.receive_until("subscribed")
        await socket.send({"type": "resume", "after": start})
        await _alert("meanwhile")
        got = [await socket.receive_until("event") for _ in range(6)]
        assert [event["id"] for event in got[:5]] == missed
        assert [event["data"]["title"] for event in got][-1] == "meanwhile"


async def test_resume_from_the_future_is_answered_reset() -> None:
    async with AsgiSocket(sockets, f"/ws?token={await _token()}") as socket:
        await socket.send({"type": "resume", "after": 10**9})
        assert await socket.receive_until("reset")


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[" * 30_000,
        "[]",
        {"type": "dance"},
        {"type": "subscribe"},
        {"type": "subscribe", "event": "no.such"},
        {"type": "resume", "after": "x"},
    ],
)
async def test_bad_message_is_answered_with_an_error_and_the_socket_stays(message: Any) -> None:
    async with AsgiSocket(sockets, f"/ws?token={await _token()}") as socket:
        await socket.receive_until("ready")
        await socket.send(message)
        assert (await socket.receive_until("error"))["data"]["message"]
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}


async def test_socket_is_closed_when_its_session_ends() -> None:
    async with AsgiSocket(sockets, f"/ws?token={await _token()}") as socket:
        await socket.receive_until("ready")
        await sync_to_async(Session.objects.all().delete)()
        while await socket.receive(5) is not None:
            pass
        assert socket.close_code == 4401


async def test_rights_that_are_taken_away_take_their_events_along() -> None:
    user = await sync_to_async(make_user)("viewer")
    token = await sync_to_async(access_token)(user)
    async with AsgiSocket(sockets, f"/ws?token={token}") as socket:
        await socket.receive_until("ready")
        await socket.send({"type": "subscribe", "event": "*"})
        await socket.receive_until("subscribed")
        await sync_to_async(user.roles.clear)()
        await asyncio.sleep(1.2)
        await _alert("secret")
        await asyncio.sleep(1.2)
        await socket.send({"type": "ping"})
        assert await socket.receive() == {"type": "pong"}


async def test_key_bound_to_a_server_sees_that_servers_events_alone() -> None:
    bound = await sync_to_async(lambda: principal("operator"))()
    assert followers.may_see(bound, {"permission": "servers:view", "server_id": "x"})

    @sync_to_async
    def key() -> Any:
        return principal_of_api_key(
            make_api_key(make_user("admin"), server_id="0190a3c4-0000-7000-8000-000000000001")[1]
        )

    program = await key()
    assert followers.may_see(
        program, {"permission": "servers:view", "server_id": "0190a3c4-0000-7000-8000-000000000001"}
    )
    assert not followers.may_see(
        program, {"permission": "servers:view", "server_id": "0190a3c4-0000-7000-8000-000000000002"}
    )
    assert not followers.may_see(program, {"permission": "servers:view"})


async def test_event_without_permission_is_shown_to_nobody() -> None:
    admin = await sync_to_async(lambda: principal("admin"))()
    assert not followers.may_see(admin, {})


async def test_reader_that_does_not_read_is_dropped_and_slows_nobody() -> None:
    admin = await sync_to_async(lambda: principal("admin"))()
    slow, fast = Follower(admin), Follower(admin)
    for follower in (slow, fast):
        follower.patterns = frozenset({"*"})
    got = 0
    for number in range(followers.QUEUE_FRAMES + 10):
        frame = Frame("system.alert", number + 1, {"permission": "dashboard:view"}, "test", "1", b"{}", "{}")
        slow.offer(frame)
        fast.offer(frame)
        assert await fast.next() is frame
        got += 1
    assert got == followers.QUEUE_FRAMES + 10
    assert slow.end_code == followers.TOO_SLOW
    assert await slow.next() is None


async def test_everybody_gets_what_they_asked_for_and_may_see_whoever_else_follows() -> None:
    admin = await sync_to_async(lambda: principal("admin"))()
    nobody = Principal(kind="user", id="1", name="x")
    follows = [(admin, {"alert.*"}), (admin, {"*"}), (admin, {"alert.*"}), (nobody, {"*"}), (admin, {"server.*"})]
    ones = []
    for who, patterns in follows:
        ones.append(Follower(who))
        ones[-1].patterns = frozenset(patterns)
    ones[2].subject = ("alert", "another")
    frame = Frame("alert.opened", 1, {"permission": "alerts:view"}, "alert", "7", b"wire", "{}")
    few = Hub()
    few.followers = set(ones)
    few._fan_out(frame)
    assert [one.queue.qsize() for one in ones] == [1, 1, 0, 0, 0]
    assert await ones[0].next_frames() == b"wire"


async def test_what_waits_goes_out_at_once_up_to_a_bound() -> None:
    one = Follower(await sync_to_async(lambda: principal("admin"))())
    half = b"x" * (followers.TAKE_BYTES // 2)
    for number in range(3):
        one.offer(Frame("alert.opened", number + 1, {}, "alert", "7", half, "{}"), True)
    one.tell({"type": "pong"})
    assert await one.next_frames() == half * 2
    assert await one.next_frames() == half + text_frame('{"type":"pong"}')
    assert one.bytes_waiting == 0
    one.tell({"type": "pong"})
    one.end(4401, "over")
    assert await one.next_frames() == b"", "what waits is not sent"


async def test_who_comes_while_rights_are_looked_up_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    first, late = [Caller(await sync_to_async(principal)("admin")) for _ in range(2)]
    late.principal_key = ("api_key", "late")  # a key that the look under way was not asked for
    looking, go_on = threading.Event(), threading.Event()

    def slow(keys: Any) -> Any:
        looking.set()
        assert go_on.wait(10)
        return dict.fromkeys(keys, first.principal)

    monkeypatch.setattr("apps.realtime.hub.current_principals", slow)
    monkeypatch.setattr("apps.realtime.hub.RIGHTS_S", 0.01)
    await hub.watch(first)
    assert await asyncio.to_thread(looking.wait, 10)
    await hub.watch(late)
    looking.clear()
    go_on.set()
    assert await asyncio.to_thread(looking.wait, 10)  # the next look: the first one was put to use
    assert late.end_code == 0


async def test_unknown_socket_path_is_refused() -> None:
    async with AsgiSocket(sockets, "/ws/nothing") as socket:
        assert await socket.receive() is None
        assert socket.close_code == 4404


async def test_live_events_reach_a_follower_without_an_id() -> None:
    user = await sync_to_async(make_user)("viewer")
    token = await sync_to_async(access_token)(user)
    heartbeat = await sync_to_async(make_heartbeat)()
    async with AsgiSocket(sockets, f"/ws?token={token}") as socket:
        await socket.receive_until("ready")
        await socket.send({"type": "subscribe", "events": ["heartbeat.pinged", "notification.read"]})
        await socket.receive_until("subscribed")
        await sync_to_async(ping)(heartbeat)
        event = await socket.receive_until("event")
        assert (event["event"], event["id"], event["data"]["name"]) == ("heartbeat.pinged", None, heartbeat.name)
        publish = {"subject": Subject("inbox", str(user.id)), "data": {"unread_count": 0}}
        publish_live("notification.read", owner_id="0190a3c4-0000-7000-8000-000000000001", **publish)
        publish_live("notification.read", owner_id=user.id, **publish)
        event = await socket.receive_until("event")
        assert (event["event"], event["data"]) == ("notification.read", {"unread_count": 0})
        with pytest.raises(TimeoutError):
            await socket.receive(1)
