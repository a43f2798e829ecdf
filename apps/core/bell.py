"""The bell: Redis tells other processes to look at the database. Nothing waits for it, nothing depends on it.

`ring` and `publish_live` only put a message into a queue of this process; one daemon thread sends. Where Redis is away
the messages are dropped and listeners fall back to polling once a second. Live events are sent only while somebody
follows them, in this process or in another one.
"""

import json
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings

log = logging.getLogger(__name__)

EVENTS = "events"  # a fact was committed and waits for its number
FACTS = "facts"  # facts were numbered
WORK = "work"  # deliveries or due rows wait
SETTINGS = "settings"  # a runtime setting, a right or a session changed
AGENTS = "agents"  # something is asked of a host agent, or was taken
AGENT_OUTPUT = "agent-output"  # something came from a host agent
LIVE = "live"  # a batch of live events
FOLLOWED = "followed"  # a process began to follow live events
_HEARD = (EVENTS, FACTS, WORK, SETTINGS, AGENTS, AGENT_OUTPUT)
_ASK = "ask"  # to the sender alone: does another process follow?

Callback = Callable[[str, Any], None]

LIVE_BATCH_S = 0.25
ASK_EVERY_S = 1.0
_BACKOFF_S = 1.0


class _Bell:
    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._callbacks: dict[str, list[Callback]] = defaultdict(list)
        self._lock = threading.Lock()
        self._sender: threading.Thread | None = None
        self._listener: threading.Thread | None = None
        self._live_listener: threading.Thread | None = None
        self._away_until = 0.0
        self._asked_at = 0.0
        self._is_followed_elsewhere = True  # until the first answer
        self.connected = False

    # --- sending -------------------------------------------------------------------------------------------------

    def send(self, channel: str, payload: Any = None) -> None:
        """Queue a message; never blocks, never raises."""
        self._queue.put((channel, payload))
        if self._sender is None or not self._sender.is_alive():
            with self._lock:
                if self._sender is None or not self._sender.is_alive():
                    self._sender = threading.Thread(target=self._send_forever, name="bell-sender", daemon=True)
                    self._sender.start()

    def _send_forever(self) -> None:
        client = _client()
        live: list[Any] = []
        flush_at = 0.0
        while True:
            timeout = max(0.0, flush_at - time.monotonic()) if live else None
            rung: dict[str, Any] = {}
            try:
                channel, payload = self._queue.get(timeout=timeout)
                while True:  # take all that waits: many rings of one bell are one ring
                    if channel == LIVE:
                        if not live:
                            flush_at = time.monotonic() + LIVE_BATCH_S
                        live.append(payload)
                    else:
                        rung[channel] = payload
                    channel, payload = self._queue.get_nowait()
            except queue.Empty:
                pass
            if rung.pop(_ASK, None):
                self._ask(client)
            for name, payload in rung.items():
                self._local(name, payload)
                self._publish(client, name, payload)
            if live and (time.monotonic() >= flush_at or len(live) >= 500):
                batch, live = live, []
                self._local(LIVE, batch)
                self._publish(client, LIVE, batch)

    def _publish(self, client: "redis.Redis", channel: str, payload: Any) -> None:
        if time.monotonic() < self._away_until:
            return
        try:
            client.publish(_channel(channel), json.dumps([_ORIGIN, payload], default=str))
        except redis.RedisError:
            self._away_until = time.monotonic() + _BACKOFF_S

    def is_followed(self) -> bool:
        """Return whether live events have a reader; costs nothing, and is at most about a second old."""
        if self._callbacks.get(LIVE):
            return True
        now = time.monotonic()
        if now - self._asked_at > ASK_EVERY_S:
            self._asked_at = now
            self.send(_ASK, True)
        return self._is_followed_elsewhere

    def _ask(self, client: "redis.Redis") -> None:
        if time.monotonic() < self._away_until:
            self._is_followed_elsewhere = False
            return
        try:
            ((_, count),) = client.pubsub_numsub(_channel(LIVE))
            self._is_followed_elsewhere = count > 0
        except redis.RedisError:
            self._is_followed_elsewhere = False
            self._away_until = time.monotonic() + _BACKOFF_S

    def _local(self, channel: str, payload: Any) -> None:
        for callback in list(self._callbacks.get(channel, ())):
            try:
                callback(channel, payload)
            except Exception:
                log.exception("a listener of the bell failed")

    # --- listening -----------------------------------------------------------------------------------------------

    def listen(self, channel: str, callback: Callback) -> None:
        """Call `callback(channel, payload)` from the bell's threads on every ring, of this process and of others."""
        with self._lock:
            self._callbacks[channel].append(callback)
            if channel == LIVE:
                if self._live_listener is None:
                    self._live_listener = threading.Thread(target=self._follow, name="bell-live", daemon=True)
                    self._live_listener.start()
                return
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(target=self._listen_forever, name="bell-listener", daemon=True)
                self._listener.start()

    def unlisten(self, channel: str, callback: Callback) -> None:
        """Stop calling `callback`."""
        with self._lock:
            if callback in self._callbacks[channel]:
                self._callbacks[channel].remove(callback)

    def _listen_forever(self) -> None:
        while True:
            try:
                client = _client(socket_timeout=None)
                pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                pubsub.subscribe(*(_channel(name) for name in (*_HEARD, FOLLOWED)))
                self.connected = True
                for name in _HEARD:  # what was rung while the line was down
                    self._local(name, None)
                for message in pubsub.listen():
                    origin, payload = json.loads(message["data"])
                    if origin == _ORIGIN:
                        continue
                    name = message["channel"].decode().rpartition(":")[2]
                    if name == FOLLOWED:
                        self._is_followed_elsewhere = True
                    self._local(name, payload)
            except (redis.RedisError, OSError):
                pass
            except Exception:
                log.exception("the bell's listener failed")
            self.connected = False
            time.sleep(_BACKOFF_S)

    def _follow(self) -> None:
        # A line of its own, held only while somebody here follows: its number of readers is what senders ask for.
        while True:
            try:
                with _client(socket_timeout=None).pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
                    pubsub.subscribe(_channel(LIVE))
                    pubsub.get_message(timeout=1.0)  # the line stands: from here on nothing is missed
                    self.send(FOLLOWED)
                    while self._callbacks[LIVE]:
                        message = pubsub.get_message(timeout=1.0)
                        if message is None:
                            continue
                        origin, batch = json.loads(message["data"])
                        if origin != _ORIGIN:
                            self._local(LIVE, batch)
            except (redis.RedisError, OSError):
                pass
            except Exception:
                log.exception("the bell's live listener failed")
            with self._lock:
                if not self._callbacks[LIVE]:
                    self._live_listener = None
                    return
            time.sleep(_BACKOFF_S)


def _origin() -> str:
    import uuid

    return uuid.uuid4().hex[:12]


_ORIGIN = _origin()
_bell = _Bell()


def _channel(name: str) -> str:
    return f"{settings.REDIS_PREFIX}:bell:{name}"


def _client(socket_timeout: float | None = 0.1) -> "redis.Redis":
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=socket_timeout, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0)
    )


def ring(name: str, payload: Any = None) -> None:
    """Ring: somebody should look at the database. Returns at once."""
    _bell.send(name, payload)


def live_is_followed() -> bool:
    """Return whether anybody follows live events; who has a payload to make for them asks first."""
    return _bell.is_followed()


def publish_live(message: dict[str, Any]) -> None:
    """Hand one live event to the sender; it leaves with the next batch."""
    _bell.send(LIVE, message)


def listen(name: str, callback: Callback) -> None:
    """Call `callback(name, payload)` on every ring. It runs in a thread of the bell: be short."""
    _bell.listen(name, callback)


def unlisten(name: str, callback: Callback) -> None:
    """Stop calling `callback`."""
    _bell.unlisten(name, callback)


def is_connected() -> bool:
    """Return whether this process hears other processes' rings now."""
    return _bell.connected


def client() -> "redis.Redis":
    """Return a Redis client that gives up after 100 ms."""
    return _client()
